"""The one prompt builder."""

import pytest

from emotion_llama.labels import MERR
from emotion_llama.prompt import (
    FEATURE_MARK,
    VIDEO_MARK,
    Instruction,
    first_question,
    instruction_text,
    normalize_answer,
    question,
    render,
    render_instruction,
    split_at_marks,
    training_target,
)
from emotion_llama.records import Sample

HEAD = "[INST] <video><VideoHere></video> <feature><FeatureHere></feature> "


def rendered(sample: Sample, reason_tag: str = "reason") -> str:
    return render(sample, labels=MERR.labels, reason_tag=reason_tag)


def test_emotion_prompt_is_the_trained_one() -> None:
    assert rendered(Sample("emotion", transcript="I am home.")) == (
        HEAD + "The person in video says: I am home..  [emotion] Please determine which emotion "
        "label in the video represents: happy, sad, neutral, angry, worried, surprise, fear, "
        "contempt, doubt.  [/INST]"
    )


def test_offered_labels_and_their_order_are_the_callers() -> None:
    prompt = rendered(Sample("emotion", labels=("sad", "happy")))
    assert "represents: sad, happy." in prompt


def test_reason_tag_belongs_to_the_checkpoint() -> None:
    assert " [reason_v2] What is" in rendered(Sample("reason"), "reason_v2")
    assert " [reason] What is" in rendered(Sample("reason"))


@pytest.mark.parametrize("transcript", [None, "", "  "])
def test_without_transcript_the_character_line_goes(transcript: str | None) -> None:
    prompt = rendered(Sample("emotion", transcript=transcript))
    assert "The person in video says" not in prompt
    assert prompt.startswith(HEAD + " [emotion] ")


@pytest.mark.parametrize("mark", [VIDEO_MARK, FEATURE_MARK])
def test_a_mark_in_the_transcript_is_refused(mark: str) -> None:
    with pytest.raises(ValueError, match="transcript contains the mark"):
        rendered(Sample("emotion", transcript=f"say {mark} please"))


def test_marks_split_by_mode() -> None:
    prompt = rendered(Sample("emotion"))
    trained = split_at_marks(prompt, "trained")
    assert trained[:4] == ["[INST] <video>", VIDEO_MARK, "</video> <feature>", FEATURE_MARK]
    published = split_at_marks(prompt, "published-eval")
    assert published[1] == VIDEO_MARK
    assert FEATURE_MARK in published[2]


def test_default_questions() -> None:
    assert question("reason", ()).endswith("Please tell me the reason.")


def test_answers_are_normalised_as_the_published_targets() -> None:
    assert normalize_answer('He says: "No!" (softly); why?\n') == "he says no softly why?"
    assert normalize_answer("It's fine, really...") == "it's fine, really"
    assert len(normalize_answer("word " * 300).split()) == 200


def test_an_instruction_is_asked_without_clip_and_task() -> None:
    prompt = render_instruction(Instruction("Name a {colour}."))
    assert prompt == "[INST] Name a {colour}. [/INST]"
    assert split_at_marks(prompt, "trained") == [prompt]
    with pytest.raises(ValueError, match="instruction contains the mark"):
        render_instruction(Instruction(f"What is {VIDEO_MARK}?"))


def test_an_instruction_goes_before_what_it_is_about() -> None:
    assert instruction_text(" Add them.", "2 and 3 ") == "Add them.\n\n2 and 3"
    assert instruction_text("Add them.", " ") == "Add them."


def test_answers_to_instructions_stay_as_they_are() -> None:
    assert training_target(Instruction("Hi"), " It's (B): Yes!\n") == "It's (B): Yes!"
    assert training_target(Sample("reason"), "It's (B): Yes!") == "it's b yes"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[emotion]", ("emotion", None)),
        ("[reason] Why is that? ", ("reason", "Why is that?")),
        ("Why is that?", ("reason", "Why is that?")),
        ("", ("reason", None)),
        ("[emotion] one of\ntwo", ("emotion", "one of\ntwo")),
        ("[other] what", ("reason", "[other] what")),
    ],
)
def test_the_first_question_of_a_talk_names_its_task(text: str, expected: object) -> None:
    assert first_question(text) == expected
