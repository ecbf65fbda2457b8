"""The coarse caption: the paper's order, several frames, nothing said of what is not there."""

import re

import pytest

from emotion_llama.labels import ALIASES, VALENCE
from emotion_llama.merr.coarse import FRAMES, coarse_caption
from emotion_llama.merr.records import Clue

SCENE = Clue("scene", "people", "one", "one person is in the picture")
LIGHT = Clue("scene", "brightness", "dim", "the picture is dim")
LIPS = Clue("facial", "AU12", "clear", "the lip corners are clearly pulled up")
VOICE = Clue("voice", "pitch", "very high", "the pitch is very high")
QUOTE = Clue("words", "quote", "No way!", 'the words are: "No way!"')
ALL = (LIPS, VOICE, QUOTE, SCENE, LIGHT)


def test_scene_expression_voice_and_words_come_in_this_order() -> None:
    for number in range(20):
        text = coarse_caption(ALL, "No way!", None, None, f"clip{number}")
        parts = [SCENE.statement, LIGHT.statement, LIPS.statement, VOICE.statement, '"No way!"']
        places = [text.find(part) for part in parts]
        assert -1 not in places, text
        assert places == sorted(places), text
        assert text.endswith('"No way!"')


def test_frames_are_drawn_by_clip_and_seed_and_all_are_used() -> None:
    texts = {coarse_caption(ALL, "No way!", None, None, f"clip{n}") for n in range(80)}
    assert len(texts) == len(FRAMES) >= 4
    assert coarse_caption(ALL, "a", None, None, "x", 3) == coarse_caption(
        ALL, "a", None, None, "x", 3
    )
    seeds = {coarse_caption(ALL, "a", None, None, "x", seed) for seed in range(20)}
    assert len(seeds) > 1


@pytest.mark.parametrize("kind", ["scene", "facial", "voice", "words"])
def test_a_kind_without_clues_is_left_out_and_not_spoken_of(kind: str) -> None:
    clues = [clue for clue in ALL if clue.kind != kind]
    transcript = None if kind == "words" else "No way!"
    for number in range(20):
        text = coarse_caption(clues, transcript, None, None, f"clip{number}")
        assert not re.search(
            r"\b(?:none|no|not|zero|0|missing|unknown)\b", text.split('"')[0], re.I
        )
        assert "  " not in text and "{}" not in text and ": ." not in text
    whole = coarse_caption(ALL, "No way!", None, None, "clip1")
    assert len(coarse_caption(clues, transcript, None, None, "clip1")) < len(whole)


def test_without_anything_to_tell_the_caption_is_empty() -> None:
    assert coarse_caption((), None, None, None, "x") == ""
    assert coarse_caption((), "  ", "", None, "x") == ""


def test_a_models_description_takes_the_place_of_the_clues() -> None:
    text = coarse_caption(ALL, None, "A man stands\nin a kitchen.", "Paul shouts!", "clip1")
    assert "a man stands in a kitchen." in text
    assert "Paul shouts." in text, "a name keeps its capital"
    assert SCENE.statement not in text
    assert VOICE.statement not in text


def test_inner_quotation_marks_do_not_end_the_quote() -> None:
    text = coarse_caption((), 'He said "no".', None, None, "x")
    assert text.endswith("\"He said 'no'.\"")
    assert text.count('"') == 2


def test_no_frame_names_a_label() -> None:
    forms = {*VALENCE, *ALIASES}
    for frame in FRAMES:
        words = set(re.findall(r"\w+", " ".join(vars(frame).values()).lower()))
        assert not words & forms
