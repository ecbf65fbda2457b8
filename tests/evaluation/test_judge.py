"""Replies of a judge: what becomes an answer and what never does, and a judge behind an address."""

from collections.abc import Iterator, Sequence

import pytest
from build_samples import ModelServer, model_server
from hypothesis import given
from hypothesis import strategies as st

from emotion_llama.evaluation.judge import (
    NUM_TRIES,
    InvalidReplyError,
    ScoreResponse,
    TextModelJudge,
    ask_for,
    load_judge,
    require_answer,
)
from emotion_llama.merr.describers import Message
from emotion_llama.merr.endpoint import KEY_VARIABLE

GOOD = '{"score": 8, "reason": "both say angry"}'


class StubJudge:
    """Gives its replies one after another, an error by raising it, and keeps the prompts."""

    name = "stub"

    def __init__(self, *replies: str | Exception) -> None:
        self.replies = list(replies)
        self.prompts: list[str] = []

    def ask(self, prompt: str) -> str:
        self.prompts.append(prompt)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f"Here is my verdict, 1. of 2:\n```json\n{GOOD}\n```\nThat is 8/10.",
        '{"reason": "both\nsay angry", "score": 8}',
        '{"score": 8, "reason": "B says {angry}, A {\\"cross\\"}"}',
    ],
)
def test_the_one_json_object_is_read_whatever_stands_around_it(reply: str) -> None:
    assert require_answer(reply, ScoreResponse).score == 8


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("", "no JSON object"),
        ("8", "no JSON object"),
        ("8/10", "no JSON object"),
        ("1. good 8/10", "no JSON object"),
        ('{"score": 8, "reason": "cut o', "no JSON object"),
        ('{"score": 8, "reason": "a"', "no JSON object"),
        ("{" * 100_000, "no JSON object"),
        ('{"a": ' * 100_000, "no JSON object"),
        ('{"score": 8, "score": 3, "reason": "a"}', "no JSON object"),
        (f"{GOOD}\n{GOOD}", "more than one JSON object"),
        (f'{GOOD} or {{"score": 3', "more than one JSON object"),
        ('{"score": 0, "reason": "a"}', "number out of range"),
        ('{"score": 11, "reason": "a"}', "number out of range"),
        ('{"score": -8, "reason": "a"}', "number out of range"),
        ('{"score": 7.5, "reason": "a"}', "another form"),
        ('{"score": "8", "reason": "a"}', "another form"),
        ('{"score": "8/10", "reason": "a"}', "another form"),
        ('{"score": true, "reason": "a"}', "another form"),
        ('{"score": null, "reason": "a"}', "another form"),
        ('{"score": NaN, "reason": "a"}', "another form"),
        ('{"score": 8}', "another form"),
        ('{"score": 8, "reason": "a", "score_of_A": 3}', "another form"),
        (f'{{"answer": {GOOD}}}', "another form"),
    ],
)
def test_what_breaks_the_form_is_no_answer(reply: str, fault: str) -> None:
    with pytest.raises(InvalidReplyError, match=fault) as caught:
        require_answer(reply, ScoreResponse)
    assert caught.value.fault == fault


@given(st.text(alphabet=st.characters(exclude_characters="{")))
def test_no_text_without_an_object_gives_a_score(text: str) -> None:
    asked = ask_for(StubJudge(*[text] * NUM_TRIES), "Score?", ScoreResponse)
    assert (asked.answer, asked.fault) == (None, "no JSON object")


def test_an_unreadable_reply_is_asked_for_again_with_what_was_wrong() -> None:
    judge = StubJudge("8/10", '{"score": 80, "reason": "a"}', GOOD)
    asked = ask_for(judge, "Score?", ScoreResponse)
    assert asked.answer == ScoreResponse(score=8, reason="both say angry")
    assert (asked.fault, asked.detail) == (None, "")
    assert asked.replies == ("8/10", '{"score": 80, "reason": "a"}', GOOD)
    first, second, third = judge.prompts
    assert first == "Score?"
    assert second.startswith("Score?\n\n") and "no JSON object" in second and "try 2 of 3" in second
    assert "less than or equal to 10" in third and "found '80'" in third and "try 3 of 3" in third


def test_after_the_last_try_there_is_no_answer() -> None:
    judge = StubJudge("?", "?", "{}", GOOD)
    asked = ask_for(judge, "Score?", ScoreResponse)
    assert (asked.answer, asked.fault, len(judge.prompts)) == (None, "another form", NUM_TRIES)
    assert "score: Field required" in asked.detail
    assert asked.replies == ("?", "?", "{}")


def test_a_refused_prompt_is_no_answer_and_not_repeated() -> None:
    judge = StubJudge("?", ValueError("found 9000 tokens, expected at most 4096"), GOOD)
    asked = ask_for(judge, "Score?", ScoreResponse)
    assert (asked.answer, asked.fault, asked.replies) == (None, "no answer", ("?",))
    assert "9000 tokens" in asked.detail


def test_a_judge_that_is_gone_ends_the_work() -> None:
    with pytest.raises(ConnectionError):
        ask_for(StubJudge(ConnectionError("gone")), "Score?", ScoreResponse)


def test_a_text_model_is_asked_for_its_likeliest_answer() -> None:
    class Model:
        name, version, settings = "tiny", "1", {"max_tokens": 4}  # noqa: RUF012

        def answer(self, messages: Sequence[Message], *, seed: int) -> str:
            return f"{[(one.role, one.content) for one in messages]} {seed}"

    judge = TextModelJudge(Model())
    assert judge.ask("Score?") == "[('user', 'Score?')] 0"
    assert (judge.name, judge.version, judge.settings) == ("tiny", "1", {"max_tokens": 4})


def test_no_model_is_no_judge() -> None:
    with pytest.raises(ValueError, match=r"found judge 'offline'.*evaluation\.proxies"):
        load_judge("offline")
    with pytest.raises(ValueError, match="allow_remote"):
        load_judge("https://example.org/v1#model")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    pytest.importorskip("openai", reason="NOT CHECKED: the extra 'llm' is not installed")
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    left = ["1. good 8/10", f"<think>Is it {{7}}?</think>{GOOD}"]
    with model_server(lambda request: left.pop(0)) as made:
        yield made


def test_a_judge_behind_an_address_is_asked_at_temperature_0_with_a_seed(
    server: ModelServer,
) -> None:
    judge = load_judge(server.spec)
    asked = ask_for(judge, "Score?", ScoreResponse)
    assert asked.answer is not None and asked.answer.score == 8
    assert asked.replies == ("1. good 8/10", GOOD)
    assert [(one["temperature"], one["seed"]) for one in server.requests] == [(0, 0)] * 2
    assert all(one["response_format"] == {"type": "json_object"} for one in server.requests)
    assert server.requests[0]["messages"] == [{"role": "user", "content": "Score?"}]
    assert judge.name == "tiny"
