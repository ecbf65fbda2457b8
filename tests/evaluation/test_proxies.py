"""Overlap of words and clues on texts whose content is known."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_llama.evaluation.proxies import clue_agreement, relation, word_overlap
from emotion_llama.merr.faithfulness import read_clues
from emotion_llama.merr.records import StatedClue

WHEEL = {
    "happy": frozenset({"joy"}),
    "glad": frozenset({"joy"}),
    "angry": frozenset({"anger"}),
    "sad": frozenset({"sadness"}),
    "hurt": frozenset({"sadness", "anger"}),
}
SENTENCES = (
    "The woman smiles slightly.",
    "She does not smile.",
    "Her mouth is wide open.",
    "He frowns.",
    "His brows are lowered.",
    "The room is bright.",
    "The scene is dim.",
    "She speaks fast.",
    "Her pitch is lower than usual.",
    'She says "You did it!"',
    'He says "?!"',
    "She asks a question.",
    "Two people are seen.",
)


def classes(word: str) -> frozenset[str]:
    return WHEEL.get(word, frozenset())


def clue(kind: str, feature: str, reading: str | None) -> StatedClue:
    return StatedClue(kind, feature, reading, "words")  # type: ignore[arg-type]


def test_words_are_compared_by_class_and_means_are_taken_before_their_harmonic_mean() -> None:
    truths = [("happy",), ("sad", "angry"), ("sad",), ("curious",)]
    predictions = [("Glad ", "angry"), ("hurt",), ("dizzy",), ("happy",)]
    found = word_overlap(truths, predictions, classes)
    # clips: 1/2 and 1, 1 and 1, 0 and 0 without a predicted class, none without a true class
    assert found.precision == pytest.approx((0.5 + 1 + 0) / 3)
    assert found.recall == pytest.approx((1 + 1 + 0) / 3)
    assert found.f == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))
    assert found.f != pytest.approx((2 / 3 + 1 + 0) / 3), "a mean of F over clips is another figure"
    assert (found.num_clips, found.num_scored) == (4, 3)
    assert (found.num_without_truth, found.num_without_prediction) == (1, 1)
    assert set(found.intervals) == {"precision", "recall", "f"}
    low, high = found.intervals["f"].low, found.intervals["f"].high
    assert 0 <= low < found.f < high <= 1
    assert found == word_overlap(truths, predictions, classes)
    json.dumps(asdict(found))


def test_padding_with_every_word_costs_precision() -> None:
    found = word_overlap([("happy",), ("sad",)], [tuple(WHEEL)] * 2, classes)
    assert (found.precision, found.recall) == (pytest.approx(1 / 3), 1.0)


def test_nothing_right_is_0_and_nothing_to_score_is_none() -> None:
    found = word_overlap([("happy",), ("sad",)], [(), ("angry",)], classes)
    assert (found.precision, found.recall, found.f) == (0.0, 0.0, 0.0)
    for truths in ([], [("curious",), ()]):
        none = word_overlap(truths, [("happy",)] * len(truths), classes)
        assert none.precision is none.recall is none.f is None
        assert (none.intervals, none.num_without_truth) == ({}, len(truths))
    assert word_overlap([("sad",)], [("sad",)], classes).intervals == {}, "one clip has no spread"


def test_words_of_one_person_are_drawn_together() -> None:
    truths, predictions = [("sad",)] * 4, [("sad",), ("sad",), ("happy",), ("happy",)]
    found = word_overlap(truths, predictions, classes, groups=["a", "a", "b", "b"])
    assert found.intervals["recall"].num_units == 2
    assert word_overlap(truths, predictions, classes, groups=["a"] * 4).intervals == {}


def test_clues_worked_out_by_hand() -> None:
    references = [
        "The woman smiles slightly. The scene is dim. She speaks fast.",
        "His brows are lowered.",
        "It is a story about nothing.",
        "Nothing is said here.",
    ]
    predictions = [
        "The woman smiles. The room is bright. Two people are seen.",
        "His brows are not lowered.",
        "She speaks fast.",
        "",
    ]
    found = clue_agreement(references, predictions)
    # the smile agrees; light and brows contradict; people and the third clip's tempo stay open
    assert (found.num_reference_clues, found.num_predicted_clues) == (4, 5)
    assert found.recall == pytest.approx(1 / 4)
    assert found.contradiction == pytest.approx(2 / 5)
    assert (found.num_clips, found.num_both_silent) == (4, 1)
    assert (found.num_silent_references, found.num_silent_predictions) == (2, 1)
    assert found.intervals["recall"].num_units == 2
    assert found.intervals["contradiction"].num_units == 3
    json.dumps(asdict(found))


def test_a_prediction_that_says_nothing_recalls_nothing_and_contradicts_nothing() -> None:
    found = clue_agreement(["The woman smiles."] * 2, ["", "  "])
    assert (found.recall, found.contradiction) == (0.0, None)
    assert set(found.intervals) == {"recall"}
    assert found.num_silent_predictions == 2


def test_texts_without_readable_clues_have_no_share() -> None:
    found = clue_agreement(["他看起来很高兴"], ["他在笑"])
    assert found.recall is found.contradiction is None
    assert (found.num_both_silent, found.intervals) == (1, {})


@settings(max_examples=20)
@given(st.lists(st.lists(st.sampled_from(SENTENCES), max_size=5), min_size=1, max_size=3))
def test_a_text_agrees_with_itself(clips: list[list[str]]) -> None:
    texts = [" ".join(sentences) for sentences in clips]
    found = clue_agreement(texts, texts)
    assert found.recall in (1.0, None)
    assert found.contradiction in (0.0, None)


@given(st.lists(st.sampled_from(SENTENCES), max_size=3), st.lists(st.sampled_from(SENTENCES)))
def test_two_clues_stand_to_each_other_alike_from_both_sides(a: list[str], b: list[str]) -> None:
    for one in read_clues(" ".join(a)):
        for other in read_clues(" ".join(b)):
            assert relation(one, [other]) == relation(other, [one])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("facial", "AU12", "clear"), ("facial", "AU12", "clear"), "agrees"),
        (("facial", "AU12", "clear"), ("facial", "AU12", None), "agrees"),
        (("facial", "AU12", "clear"), ("facial", "AU12", "present"), "agrees"),
        (("facial", "AU12", "clear"), ("facial", "AU12", "strong"), "contradicts"),
        (("facial", "AU12", "clear"), ("facial", "AU12", "absent"), "contradicts"),
        (("facial", "AU12", None), ("facial", "AU12", "absent"), "contradicts"),
        (("facial", "AU12", "absent"), ("facial", "AU12", "absent"), "agrees"),
        (("facial", "AU12", "clear"), ("facial", "AU04", "clear"), "open"),
        (("facial", "AU04|AU15", None), ("facial", "AU04", "clear"), "agrees"),
        (("facial", "AU04|AU15", None), ("facial", "AU04", "absent"), "open"),
        (("facial", "AU04|AU15", "absent"), ("facial", "AU04", "slight"), "contradicts"),
        (("facial", "AU04|AU15", "strong"), ("facial", "AU04", "slight"), "open"),
        (("facial", "AU04|AU15", "strong"), ("facial", "AU04|AU15", "slight"), "contradicts"),
        (("voice", "pitch", "very high"), ("voice", "pitch", "high"), "agrees"),
        (("voice", "pitch", "high"), ("voice", "pitch", "low"), "contradicts"),
        (("voice", "pitch", "high"), ("voice", "rate", "low"), "open"),
        (("scene", "people", "two"), ("scene", "people", None), "agrees"),
        (("scene", "people", "two"), ("scene", "people", "one"), "contradicts"),
        (("words", "quote", "You did it!"), ("words", "quote", "did it"), "agrees"),
        (("words", "quote", "You did it!"), ("words", "quote", "no"), "open"),
        (("words", "positive word", "happy"), ("words", "positive word", "glad"), "open"),
        (("words", "question", "present"), ("words", "question", "present"), "agrees"),
        (("facial", "pitch", "high"), ("voice", "pitch", "high"), "open"),
    ],
)
def test_what_a_clue_says_to_another(
    one: tuple[str, str, str | None], other: tuple[str, str, str | None], expected: str
) -> None:
    assert relation(clue(*one), [clue(*other)]) == expected
    assert relation(clue(*other), [clue(*one)]) == expected


def test_one_clue_that_agrees_is_enough() -> None:
    others = [clue("facial", "AU12", reading) for reading in ("strong", "slight")]
    assert relation(clue("facial", "AU12", "slight"), others) == "agrees"
    assert relation(clue("facial", "AU12", "clear"), others) == "contradicts"
    assert relation(clue("facial", "AU12", "clear"), []) == "open"


def test_another_number_of_predictions_is_refused() -> None:
    with pytest.raises(ValueError, match="found 1 predictions of 2 clips"):
        clue_agreement(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="found 1 groups of 2 clips"):
        word_overlap([()] * 2, [()] * 2, classes, groups=["a"])
