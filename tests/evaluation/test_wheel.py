"""Open-vocabulary measures against numbers worked out by hand, and what games them."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_llama.evaluation.metrics import Interval
from emotion_llama.evaluation.wheel import (
    OWN_LEXICON,
    Lexicon,
    Wheel,
    constant_hit_figures,
    constant_wheel_figures,
    emotion_words,
    hit_figures,
    lexicon_set_figures,
    listed_words,
    load_lexicon,
    synonym_class,
    wheel_class,
    wheel_figures,
    wheel_intervals,
)
from emotion_llama.labels import DFEW, MERR

MER_WORDS = ("neutral", "angry", "happy", "sad", "worried", "surprise")

SMALL = Lexicon(
    name="small",
    bases={
        "happiness": ("happy",),
        "happy": ("happy",),
        "glad": ("glad",),
        "bitter": ("bitter",),
        "sad": ("sad",),
        "angry": ("angry",),
        "let down": ("let down",),
    },
    synonyms={"glad": ("happy", "cheerful"), "bitter": ("sad", "angry"), "let down": ("sad",)},
    wheels=(
        Wheel(
            "one",
            {"happy": "good", "cheerful": "good", "sad": "bad", "angry": "bad", "good": "good"},
            {
                "happy": "happy",
                "cheerful": "merry",
                "sad": "sad",
                "angry": "cross",
                "good": "happy",
            },
        ),
        Wheel("two", {"sad": "sad", "happy": "happy"}, {"sad": "sad", "happy": "happy"}),
    ),
)


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return load_lexicon()


def test_words_resolve_to_the_first_wheel_word_in_the_alphabet() -> None:
    one, two = SMALL.wheels
    assert SMALL.wheel_words(" Bitter ") == ("angry", "sad")
    assert synonym_class("bitter", SMALL) == "angry"
    assert wheel_class("bitter", one, SMALL, 2) == "cross"
    assert wheel_class("bitter", two, SMALL) == "sad", "angry is not on this wheel"
    assert wheel_class("glad", one, SMALL, 2) == "merry"
    assert wheel_class("Happiness", two, SMALL) == "happy"
    assert wheel_class("good", one, SMALL, 2) == "happy"
    assert wheel_class("neutral", one, SMALL) is None and synonym_class("neutral", SMALL) is None


def test_a_small_case_worked_out_by_hand() -> None:
    truths = [["happy", "sad"], ["sad"], ["neutral"], ["angry"]]
    answers = [["glad"], ["happy", "bitter", "let down", "odd"], ["sad"], None]
    figures = wheel_figures(truths, answers, SMALL)
    # wheel one, level 1: clips 1, 2, 4; P (1, 1/2, 0), R (1/2, 1, 0)
    # wheel two: clips 1, 2 (angry is not on it); P (1, 1/2), R (1/2, 1)
    by_place = {(score.wheel, score.level): score for score in figures.wheels}
    one, two = by_place["one", 1], by_place["two", 1]
    assert (one.precision, one.recall, one.f1) == pytest.approx((0.5, 0.5, 0.5))
    assert (two.precision, two.recall, two.f1) == pytest.approx((0.75, 0.75, 0.75))
    assert (one.num_clips, two.num_clips, figures.num_clips) == (3, 2, 4)
    assert figures.wheel_f1 == pytest.approx(0.625)
    # level 2 of wheel one: truths happy + sad, sad, cross; answers merry, happy + cross + sad, none
    assert by_place["one", 2].precision == pytest.approx(1 / 9)
    assert by_place["one", 2].recall == pytest.approx(1 / 3)
    assert figures.wheel_f1_level2 == pytest.approx((2 / 9 * 1 / 3 / (4 / 9) + 0.75) / 2)
    assert (figures.precision, figures.recall) == pytest.approx((0.625, 0.625))
    assert figures.unknown_in_truths == {"neutral": 1}
    assert figures.unknown_in_answers == {"odd": 1}
    assert figures.num_unparsed == 1
    assert (figures.words_per_truth, figures.words_per_answer) == (5 / 4, 6 / 4)
    json.dumps(figures.to_dict())


def test_mer2025_averages_two_levels_and_mer2026_takes_one(lexicon: Lexicon) -> None:
    figures = wheel_figures([["worried"], ["sad"]], [["afraid"], ["sad"]], lexicon)
    assert figures.wheel_f1 == 1, "worried and afraid share a class of level 1"
    assert figures.wheel_f1_level2 == pytest.approx(0.5)
    assert figures.wheel_f1_mean == pytest.approx(0.75)


def test_f1_is_the_harmonic_mean_of_the_means_not_the_mean_over_clips() -> None:
    truths = [["happy"], ["happy", "sad"]]
    answers = [["happy", "sad"], ["happy"]]
    figures = wheel_figures(truths, answers, SMALL)
    # P (1/2, 1), R (1, 1/2): means 3/4 and 3/4; F1 of each clip would be 2/3
    assert figures.wheel_f1 == pytest.approx(0.75) != pytest.approx(2 / 3)


def test_nothing_right_is_zero_and_no_number_is_missing() -> None:
    figures = wheel_figures([["happy"]], [["sad"]], SMALL)
    assert figures.wheel_f1 == figures.wheel_f1_level2 == figures.wheel_f1_mean == 0
    assert wheel_figures([["happy"]], [[]], SMALL).wheel_f1 == 0


def test_a_wheel_without_a_clip_has_no_figure() -> None:
    figures = wheel_figures([["angry"]], [["angry"]], SMALL)
    assert figures.wheel_f1 is None and figures.precision is None
    assert [(score.wheel, score.f1) for score in figures.wheels[:2]] == [("one", 1), ("two", None)]
    assert hit_figures(["angry"], [["angry"]], ["angry", "sad"], SMALL).hit_rate is None


@pytest.mark.parametrize(
    ("truths", "answers", "message"),
    [([], [], "no clip"), ([["sad"]], [], "0 answers to 1 clips")],
)
def test_what_cannot_be_scored_is_refused(
    truths: list[list[str]], answers: list[list[str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        wheel_figures(truths, answers, SMALL)
    with pytest.raises(ValueError, match=message):
        lexicon_set_figures(truths, answers, SMALL)
    with pytest.raises(ValueError, match=message):
        hit_figures([t[0] for t in truths], answers, ["sad"], SMALL)


some_words = st.lists(st.sampled_from([*MER_WORDS, "gratitude", "fear", "joy", "zzz"]), max_size=4)


@settings(max_examples=30)
@given(st.lists(st.tuples(some_words, some_words), min_size=1, max_size=6), st.randoms())
def test_figures_depend_on_no_order_and_lie_between_0_and_1(pairs, random) -> None:
    lexicon = SMALL
    truths, answers = zip(*pairs, strict=True)
    figures = wheel_figures(truths, answers, lexicon)
    mixed = random.sample(pairs, len(pairs))
    again = wheel_figures(
        [random.sample(t, len(t)) for t, _ in mixed],
        [random.sample(a, len(a)) + a for _, a in mixed],
        lexicon,
    )
    assert figures.wheel_f1 == pytest.approx(again.wheel_f1)
    for score in figures.wheels:
        assert score.f1 is None or 0 <= score.f1 <= 1
        assert (score.f1 is None) == (score.num_clips == 0)
    perfect = wheel_figures(truths, truths, lexicon)
    assert perfect.wheel_f1 in (None, pytest.approx(1))


def test_intervals_hold_the_figure_and_repeat(lexicon: Lexicon) -> None:
    truths = [["happy"], ["sad", "worried"], ["angry"], ["fear"]] * 5
    answers = [["joy"], ["sad"], ["sad"], None] * 5
    figures = wheel_figures(truths, answers, lexicon)
    first = wheel_intervals(truths, answers, lexicon, num_resamples=200)
    assert set(first) == {"wheel_f1", "wheel_f1_level2", "wheel_f1_mean"}
    assert all(isinstance(interval, Interval) for interval in first.values())
    assert figures.wheel_f1 is not None
    assert first["wheel_f1"].low < figures.wheel_f1 < first["wheel_f1"].high
    assert first == wheel_intervals(truths, answers, lexicon, num_resamples=200)
    groups = ["a", "b", "c", "d"] * 5
    wide = wheel_intervals(truths, answers, lexicon, groups=groups, num_resamples=200)
    assert wide["wheel_f1"].num_units == 4
    few = wheel_intervals([["sad"], ["zzz"]], [["sad"], ["sad"]], lexicon, num_resamples=50)
    assert few == {}, "a draw may hold no clip with a known word"


def test_hits_worked_out_by_hand() -> None:
    truths = ["happy", "sad", "sad", "neutral"]
    answers = [["glad", "sad", "odd"], ["happy"], None, ["happy"]]
    figures = hit_figures(truths, answers, ["happy", "sad", "neutral"], SMALL)
    # clip 1 hits with two of the data set's classes answered; the clip of neutral is not scored
    assert figures.hit_rate == pytest.approx(1 / 3)
    assert figures.mscore == pytest.approx(1 / 2 / 3)
    assert [score.num_clips for score in figures.wheels] == [3, 3]
    assert figures.unscored == {"neutral": 1}
    assert (figures.num_clips, figures.num_unparsed, figures.words_per_answer) == (4, 1, 5 / 4)
    json.dumps(figures.to_dict())


def test_classes_that_the_data_set_has_not_do_not_lower_the_mscore() -> None:
    figures = hit_figures(["happy"], [["happy", "sad"]], ["happy"], SMALL)
    assert figures.mscore == figures.hit_rate == 1


def test_an_answer_of_all_labels_has_every_hit_and_the_mscore_shows_it(lexicon: Lexicon) -> None:
    truths = ["neutral", *MER_WORDS[1:]] * 3
    constant = constant_hit_figures(truths, MER_WORDS, lexicon)
    assert constant.hit_rate == 1
    # five of the six labels lie on the wheels, in five classes of their own
    assert constant.mscore == pytest.approx(1 / 5)
    assert constant.words_per_answer == 6
    honest = hit_figures(truths, [[truth] for truth in truths], MER_WORDS, lexicon)
    assert honest.hit_rate == honest.mscore == 1


def test_neutral_is_on_no_wheel_and_its_clips_are_counted(lexicon: Lexicon) -> None:
    truths, answers = ["neutral"] * 3 + ["happy"], [["angry"]] * 3 + [["happy"]]
    figures = hit_figures(truths, answers, MER_WORDS, lexicon)
    assert figures.hit_rate == 1, "three wrong answers to neutral clips are not seen"
    assert figures.unscored == {"neutral": 3}


def test_five_constant_words_have_a_high_recall_for_nothing(lexicon: Lexicon) -> None:
    truths = [["happy", "excited"], ["sad", "hurt"], ["irritated"], ["anxious", "shocked"]]
    figures = constant_wheel_figures(truths, lexicon)
    assert figures.recall is not None and figures.recall > 0.8
    assert figures.precision is not None and figures.precision < 0.4
    assert figures.words_per_answer == 5


def test_sets_by_the_lexicon_worked_out_by_hand() -> None:
    truths = [["happy", "odd"], ["sad"], []]
    answers = [["glad", "happiness", "sad"], None, ["sad"]]
    figures = lexicon_set_figures(truths, answers, SMALL)
    # glad is "cheerful", happiness "happy": groups {cheerful, happy, sad} against {happy, odd}
    assert figures.lexicon_set_accuracy == pytest.approx((1 / 3 + 0) / 2)
    assert figures.lexicon_set_recall == pytest.approx((1 / 2 + 0) / 2)
    assert figures.lexicon_set_average == pytest.approx(5 / 24)
    assert (figures.num_clips, figures.num_skipped) == (2, 1)
    assert all("lexicon" in name for name in figures.to_dict() if "set" in name)
    same = lexicon_set_figures([["odd"]], [["Odd "]], SMALL)
    assert same.lexicon_set_average == 1, "an unknown word is a group of its own"
    assert lexicon_set_figures([[]], [["sad"]], SMALL).lexicon_set_average is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("He looks Happy, and then sadly happy.", ("happy", "sadly")),
        ("She is not happy.", ()),
        ("There is no anger in her voice.", ()),
        ("He speaks without fear.", ()),
        ("He isn't sad, and she isn’t angry.", ()),
        ("There is no obvious sign of fear.", ()),
        ("no anger, fear, or disgust", ()),
        ("He is not sad or worried but relieved.", ("relieved",)),
        ("He is not sad and looks relieved.", ("relieved",)),
        ("Without fear he smiles; excitement shows.", ("excitement",)),
        ("neither angry nor sad", ()),
        ("He is not only sad but angry.", ("sad", "angry")),
        ("She cannot hide her anger.", ("anger",)),
        ("No doubt he is sad.", ("sad",)),
        ("He was not afraid. Now he is afraid.", ("afraid",)),
        ("The woman's joy; light-hearted and let down.", ("joy", "light-hearted", "let down")),
        ("An unhappy man's madness in a sadist's tale", ("unhappy",)),
        ("The content of the video moved us.", ()),
        ("", ()),
    ],
)
def test_words_in_text_are_found_unless_negated(
    lexicon: Lexicon, text: str, words: tuple[str, ...]
) -> None:
    assert emotion_words(text, lexicon) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("['sad', 'let down', \"angry\"]", ("sad", "let down", "angry")),
        ("Happy, sad;  let  down.", ("happy", "sad", "let down")),
        ("sad, SAD, sad", ("sad",)),
        ("['one's own joy', 'fear']", ("one's own joy", "fear")),
        ("[]", ()),
        ("", ()),
    ],
)
def test_written_lists_are_read(text: str, words: tuple[str, ...]) -> None:
    assert listed_words(text) == words


def test_the_own_lexicon_is_sound(lexicon: Lexicon) -> None:
    assert len(lexicon.bases) >= 400
    assert len(lexicon.synonyms) >= 150
    assert all(len(bases) == 1 for bases in lexicon.bases.values()), "no form is in two places"
    assert all(len(names) == 1 for names in lexicon.synonyms.values())
    assert lexicon.listed_only <= set(lexicon.bases)
    for wheel in lexicon.wheels:
        assert 6 <= len(set(wheel.level1.values())) <= 8
        assert len(set(wheel.level2.values())) > 2 * len(set(wheel.level1.values()))
        assert {wheel.level1[word] for word in wheel.level2.values()} == set(wheel.level1.values())
        for word, finer in wheel.level2.items():
            assert wheel.level1[finer] == wheel.level1[word], "level 2 refines level 1"


@pytest.mark.parametrize("label", sorted({*MERR.labels, *DFEW.labels} - {"neutral"}))
def test_every_label_of_the_project_lies_on_every_wheel(lexicon: Lexicon, label: str) -> None:
    assert all(wheel_class(label, wheel, lexicon) for wheel in lexicon.wheels)


def test_labels_of_mer_are_told_apart_at_level_1(lexicon: Lexicon) -> None:
    for wheel in lexicon.wheels:
        classes = {wheel_class(label, wheel, lexicon) for label in MER_WORDS[1:]}
        assert len(classes) == 5


def test_the_file_repeats_no_form() -> None:
    """YAML takes the last of two equal keys in silence."""
    text = OWN_LEXICON.read_text(encoding="utf-8").split("listed_only:")[0]
    bases = re.findall(r"^    ([\w -]+):", text, re.MULTILINE)
    assert len(bases) == len(set(bases))


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    write(tmp_path, "format.csv", "word,forms\nHappy,\"['happy', 'happily']\"\nmad,\"['madly']\"\n")
    write(tmp_path, "synonym.csv", "word,run 1,run 2\njoy,\"happy, glad\",['merry']\nrage,mad,\n")
    write(tmp_path, "wheel1.csv", "a,b,c\nhappy,playful,cheeky\n,bold,joy\nangry,rage,\n")
    write(tmp_path, "wheel2.csv", "a,b\nrage,rage\n")
    return tmp_path


def test_tables_of_the_user_are_read(tables: Path) -> None:
    lexicon = load_lexicon(tables)
    one, two = lexicon.wheels
    assert (one.name, two.name, lexicon.name) == ("wheel1", "wheel2", tables.name)
    assert lexicon.wheel_words("happily") == ("happy", "joy")
    assert one.level1 == {
        "happy": "happy", "playful": "happy", "cheeky": "happy", "bold": "happy", "joy": "happy",
        "angry": "angry", "rage": "angry",
    }  # fmt: skip
    assert one.level2["joy"] == "bold"
    assert one.level2["happy"] == "bold", "an inner word is its first child in the alphabet"
    assert wheel_class("madly", two, lexicon) == "rage"
    assert wheel_class("glad", one, lexicon) == "happy", "known as a synonym only"
    assert wheel_class("happy", two, lexicon) is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("wheel1.csv", "a,b\nhappy,\n", "row 2: found .* expected classes of level 1 and level 2"),
        ("format.csv", "a\nb\n", "no row of two columns"),
        ("synonym.csv", None, "found no synonym.csv.*save each sheet of an .xlsx file as CSV"),
    ],
)
def test_faulty_tables_are_refused(tables: Path, name: str, text: str | None, message: str) -> None:
    if text is None:
        (tables / name).rename(tables / "synonym.xlsx")
    else:
        write(tables, name, text)
    with pytest.raises(ValueError, match=message):
        load_lexicon(tables)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "no YAML"),
        ("name: x\nwords: {}\nlisted_only: []\n", "wheels: Field required"),
        (
            "name: x\nwords: {sad: {sad: []}}\nlisted_only: []\nwheels: {w: {sad: {sad: [low]}}}\n",
            r"the wheels hold \['low'\]",
        ),
        (None, "No such file"),
    ],
)
def test_a_faulty_file_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "lexicon.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_lexicon(path)
