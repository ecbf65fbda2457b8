"""Asking a language model: without the label, checked, asked again, given up with reasons."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from emotion_llama.labels import MERR
from emotion_llama.merr import fine
from emotion_llama.merr.describers import Message
from emotion_llama.merr.fine import Rejection, ask, prompt_hash, take_apart, write_fine
from emotion_llama.merr.records import Clue, FineCaption
from emotion_llama.merr.rules import load_rules

LIPS = Clue("facial", "AU12", "clear", "the lip corners are clearly pulled up", 2.5)
LIGHT = Clue("scene", "brightness", "dim", "the picture is dim")
CLUES = (LIPS, LIGHT)
TRANSCRIPT = "I am so happy!"
EVIDENCE = (
    'The picture is dim, the lip corners are clearly pulled up, and "I am so happy!" is said.'
)
GOOD = f"Evidence: {EVIDENCE}\nConclusion: Taken together the person seems happy."


class Scripted:
    """A text model that gives its answers in order and keeps what it was asked."""

    name, version = "scripted", "1"
    settings: Mapping[str, Any] = {}

    def __init__(self, answers: Iterable[str | Exception]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[tuple[Message, ...], int]] = []

    def answer(self, messages: Sequence[Message], *, seed: int) -> str:
        self.asked.append((tuple(messages), seed))
        answer = self.answers[len(self.asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def write(model: Scripted, label: str = "happy", **more: Any) -> FineCaption | Rejection:
    return write_fine(CLUES, TRANSCRIPT, label, MERR, model, clip_id="clip", **more)


def test_a_good_answer_is_taken_at_once() -> None:
    model = Scripted([GOOD])
    caption = write(model, table=load_rules("merr"))
    assert isinstance(caption, FineCaption)
    assert caption.evidence == EVIDENCE
    assert caption.conclusion == "Taken together the person seems happy."
    assert caption.label_conditioned is False
    assert caption.num_attempts == 1
    assert caption.supports == ("AU12",)


def test_the_prompt_is_the_same_whatever_the_label() -> None:
    asked = []
    for label in (*MERR, "boredom"):
        model = Scripted([GOOD, GOOD, GOOD])
        write(model, label)
        asked += [messages for messages, _ in model.asked]
    assert len(set(asked)) == 1
    text = "\n".join(message.content for message in asked[0])
    assert "boredom" not in text
    assert ", ".join(MERR) in text, "all labels are offered, in the order of their set"
    without = text.replace(", ".join(MERR), "").replace(TRANSCRIPT, "")
    assert not any(label in without.lower() for label in MERR)


def test_the_prompt_holds_every_clue_and_description_and_the_words() -> None:
    messages = ask(CLUES, TRANSCRIPT, MERR, {"scene": "a man cooks", "voice": ""})
    assert [message.role for message in messages] == ["system", "user"]
    for part in (LIPS.statement, LIGHT.statement, "a man cooks", f'"{TRANSCRIPT}"'):
        assert part in messages[1].content
    assert "- voice" not in messages[1].content
    quote = Clue("words", "quote", TRANSCRIPT, f'the words are: "{TRANSCRIPT}"')
    assert ask((*CLUES, quote), TRANSCRIPT, MERR)[1].content.count(TRANSCRIPT) == 1


BAD: Mapping[str, str] = {
    "empty": "",
    "form": "The person seems happy.",
    "refusal": "I'm sorry, but I cannot tell how the person feels.",
    "no choice": "Evidence: The picture is dim and the lip corners are pulled up.\n"
    "Conclusion: None of the listed emotions is shown here.",
    "label leak": "Evidence: The picture is dim and the lips show happiness.\n"
    "Conclusion: Taken together the person seems happy.",
    "invented clue": "Evidence: The picture is dim and the brows are clearly lowered.\n"
    "Conclusion: Taken together the person seems happy.",
    "missing modality": "Evidence: The picture is dim and the shaking voice is heard.\n"
    "Conclusion: Taken together the person seems happy.",
    "contradiction": f"Evidence: {EVIDENCE}\nConclusion: Taken together the person seems sad.",
    "no conclusion": f"Evidence: {EVIDENCE}\nConclusion: The person seems happy or sad.",
    "prompt leak": f"Evidence: {EVIDENCE} You use the observations as they are given.\n"
    "Conclusion: Taken together the person seems happy.",
    "chat token": f"{GOOD}<|im_end|>",
}


@pytest.mark.parametrize("rule", BAD)
def test_a_bad_answer_is_asked_again_with_another_seed(rule: str) -> None:
    model = Scripted([BAD[rule], BAD[rule], GOOD])
    caption = write(model)
    assert isinstance(caption, FineCaption)
    assert caption.num_attempts == 3
    assert len({seed for _, seed in model.asked}) == 3
    assert model.asked[0][1] == 0, "the likeliest answer first"
    assert len({messages for messages, _ in model.asked}) == 1, "nothing is hinted at"


@pytest.mark.parametrize("rule", BAD)
def test_after_the_last_try_every_reason_is_given(rule: str) -> None:
    rejection = write(Scripted([BAD[rule], ValueError("the server gave nothing")]), tries=2)
    assert isinstance(rejection, Rejection)
    assert rule in rejection.reasons[0]
    assert rejection.reasons[1] == "no answer: the server gave nothing"
    assert rejection.attempts[0].answer == BAD[rule]


def test_a_model_that_cannot_be_reached_is_no_bad_answer() -> None:
    with pytest.raises(ConnectionError):
        write(Scripted([ConnectionError("refused")]))


def test_the_same_clip_is_asked_with_the_same_seeds() -> None:
    first, second, other = (Scripted([""] * 3) for _ in range(3))
    write(first)
    write(second)
    write(other, seed=1)
    assert first.asked == second.asked
    assert first.asked[1:] != other.asked[1:]


@pytest.mark.parametrize(
    "answer",
    [
        "Evidence: It is dim.\nConclusion: So, sad.",
        "**Evidence:** It is dim.\n\n**Conclusion:** So, sad.",
        "Sure!\nEVIDENCE: It is\ndim\n- CONCLUSION: So, sad.",
        "1. Evidence: It is dim.\n2. Conclusion: So, sad.",
        "Evidence: It is dim. Conclusion: So, sad.",
    ],
)
def test_answers_are_taken_apart(answer: str) -> None:
    assert take_apart(answer) == ("It is dim.", "So, sad.")


def test_quotes_at_either_end_stay_whole() -> None:
    evidence, _ = take_apart('Evidence: "No!" is said, then "I am sad!"\n\nConclusion: So, sad.')
    assert evidence == '"No!" is said, then "I am sad!"'
    assert take_apart("Evidence: It is dim.\nConclusion:") == ("It is dim.", "")


def test_the_hash_follows_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    before = prompt_hash()
    assert before == prompt_hash()
    monkeypatch.setattr(fine, "REQUEST", fine.REQUEST + " ")
    assert prompt_hash() != before


def test_without_clues_or_tries_nobody_is_asked() -> None:
    model = Scripted([GOOD])
    with pytest.raises(ValueError, match="clip: found 0 clues and 3 tries"):
        write_fine((), None, "happy", MERR, model, clip_id="clip")
    with pytest.raises(ValueError, match="found 2 clues and 0 tries"):
        write(model, tries=0)
    assert not model.asked
