"""What is told of a written reason without its clip, in today's wordings and in others."""

import pytest
from preset_measures import sentences

TODAY = "the face looks clearly unhappy, so the person feels sad"
OTHER = (
    "The lip corners are slightly pulled up, and the pitch is much higher than usual among many "
    "speakers. This suggests happiness."
)


def test_a_well_formed_reason_is_finished_and_speaks_of_what_is_there() -> None:
    assert sentences.is_well_formed(OTHER, {"face", "voice"})
    assert not sentences.is_well_formed(OTHER, {"face"})
    assert not sentences.is_well_formed(OTHER.rstrip("."), {"face", "voice"})
    assert not sentences.is_well_formed("  ", {"face", "voice", "words"})


@pytest.mark.parametrize(
    "text",
    [
        "The voice is high and high and high.",
        "The face the face is sad.",
        "The brows are drawn, the brows are drawn, so she is angry.",
    ],
)
def test_words_that_stand_twice_in_a_row_are_a_repetition(text: str) -> None:
    assert sentences.repeats_itself(text)


@pytest.mark.parametrize("text", [TODAY, OTHER, 'She says "no no no".', "It is as sad as it is."])
def test_usual_sentences_are_no_repetition(text: str) -> None:
    assert not sentences.repeats_itself(text)


def test_kinds_of_evidence_are_found() -> None:
    assert sentences.mentioned(TODAY) == {"face"}
    assert sentences.mentioned(OTHER) == {"face", "voice"}
    assert sentences.mentioned("The words sound cross.") == {"words"}
    assert sentences.mentioned("This suggests happiness.") == set()


def test_labels_are_named_by_any_of_their_words() -> None:
    assert sentences.named_labels(TODAY) == ["sad", "sad"]
    assert sentences.named_labels("no strong feeling, then joy and afraid") == [
        "neutral",
        "happy",
        "fear",
    ]
    assert sentences.named_labels('He says "I am happy", which suggests anger.') == ["angry"]


def test_another_label_is_a_contradiction() -> None:
    text = "Although the face looks happy, the person feels sad."
    assert sentences.names_another(text, "sad")
    assert not sentences.concludes_another(text, "sad")
    assert sentences.concludes_another(text, "happy")
    assert not sentences.names_another("The brows are drawn.", "sad")


def test_a_frame_forgets_what_is_filled_in() -> None:
    assert sentences.frame(TODAY) == "the face looks <label>, so the person feels <label>"
    same = OTHER.replace("slightly", "clearly").replace("happiness", "fear")
    assert sentences.frame(same) == sentences.frame(OTHER)
    fewer = "The lip corners are clearly pulled up. This suggests anger."
    assert sentences.frame(fewer) == "<clue>. this suggests <label>."


def test_frames_with_more_clues_of_a_list_are_the_same() -> None:
    one = "the voice is loud, so the person feels angry"
    three = "the voice is loud, high and lively, so the person feels sad"
    assert sentences.frame(one) == sentences.frame(three)


def test_quotes_are_filled_in() -> None:
    first, second = ('They say "never mind".', 'They say "so what?".')
    assert sentences.frame(first) == sentences.frame(second)
