"""Label sets, and what counts as an answer."""

import pytest

from emotion_llama.labels import DFEW, LABEL_SETS, MERR, MINI, label_set, parse_label, valence
from emotion_llama.prompt import question


@pytest.mark.parametrize("name", sorted(LABEL_SETS))
def test_every_label_is_read_back(name: str) -> None:
    labels = LABEL_SETS[name]
    for label in labels:
        assert parse_label(label, labels) == label
        assert parse_label(f"The person is {label.upper()}.", labels) == label


def test_a_prompt_that_lists_all_labels_is_no_answer() -> None:
    assert parse_label(question("emotion", MERR.labels), MERR) is None


@pytest.mark.parametrize(
    "text", ["I am not sure", "", "happy or sad", "unhappy", "sadly", "The mood is fine."]
)
def test_unclear_answers_are_none(text: str) -> None:
    assert parse_label(text, MERR) is None


def test_aliases_count_only_for_offered_labels() -> None:
    assert parse_label("joy", DFEW) == "happy"
    assert parse_label("disgusted", MERR) is None


def test_label_set_from_text() -> None:
    assert label_set("mini") is MINI
    assert label_set("calm, tense").labels == ("calm", "tense")
    with pytest.raises(ValueError, match=r"'calm' is no label set; expected one of merr"):
        label_set("calm")
    with pytest.raises(ValueError, match="repeats"):
        label_set("happy,happy")


def test_valence_is_the_signed_sum() -> None:
    assert valence({"happy": 0.5, "sad": 0.2, "neutral": 0.3}) == pytest.approx(0.3)
    assert valence({"happy": 0.5, "curious": 0.5}) is None
