"""Replies of a judge: what becomes an answer and what never does, and a judge behind an address."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from build_samples import ModelServer, model_server
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from emotion_llama.evaluation.judge import (
    GIVE_UP,
    NUM_TRIES,
    PAUSES_S,
    THINKING_TOKENS,
    EndpointJudge,
    InvalidReplyError,
    ScoreResponse,
    ask_for,
    load_judge,
    require_answer,
)
from emotion_llama.merr.describers import ANSWER_TOKENS, require_model_spec
from emotion_llama.merr.endpoint import KEY_VARIABLE, Endpoint

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


def test_a_judge_that_is_gone_leaves_a_question_without_an_answer() -> None:
    asked = ask_for(StubJudge("?", ConnectionError("gone")), "Score?", ScoreResponse)
    assert (asked.answer, asked.fault, asked.detail) == (None, "judge unreachable", "gone")
    assert asked.replies == ("?",)


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        (f'<think>Is it {{"score": 3, "reason": "x"}}?</think>{GOOD}', 8),
        (f'Maybe {{"score": 3, "reason": "x"}}.</think>\n{GOOD}', 8),
        ('<think>Maybe {"score": 3, "reason": "x"}', None),
    ],
)
def test_what_is_thought_is_no_answer(reply: str, score: int | None) -> None:
    asked = ask_for(StubJudge(*[reply] * NUM_TRIES), "Score?", ScoreResponse)
    assert (asked.answer and asked.answer.score) == score


def test_a_judge_that_can_be_held_to_a_form_is_asked_for_it() -> None:
    class Held(StubJudge):
        def ask_in_form(self, prompt: str, form: type[BaseModel]) -> str:
            assert form is ScoreResponse
            return GOOD

    asked = ask_for(Held(), "Score?", ScoreResponse)
    assert asked.answer is not None and asked.answer.score == 8


class StubEndpoint:
    """Stands in for `Endpoint`: gives replies by budget, an error by raising it."""

    model, host, json_answers = "tiny", "loopback", True

    def __init__(self, *replies: str | Exception) -> None:
        self.replies = list(replies)
        self.budgets: list[int] = []

    def ask(self, messages: object, *, seed: int, max_tokens: int) -> str:
        assert seed == 0
        self.budgets.append(max_tokens)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def waiting(*replies: str | Exception) -> tuple[EndpointJudge, StubEndpoint, list[float]]:
    """A judge at a stub, and the pauses that it makes."""
    endpoint, pauses = StubEndpoint(*replies), list[float]()
    return EndpointJudge(endpoint, pauses.append), endpoint, pauses  # type: ignore[arg-type]


BUSY = ConnectionError("found no answer in 3 tries, the last fault was: status 429: slow down")
FAILED = ConnectionError("found no answer in 3 tries, the last fault was: status 503: later")
GONE = ConnectionError("found no answer in 3 tries, the last fault was: Connection error.")
SLOW = ConnectionError("found no answer in 3 tries, the last fault was: Request timed out.")


def test_a_server_that_comes_back_is_asked_again_after_pauses_and_counted() -> None:
    judge, _, pauses = waiting(BUSY, FAILED, GOOD)
    assert judge.ask("Score?") == GOOD
    assert pauses == list(PAUSES_S)
    assert judge.outages == {"status 429": 1, "status 503": 1}


def test_a_server_that_is_gone_is_given_up_after_some_questions() -> None:
    judge, endpoint, _ = waiting(*[GONE] * 3 * GIVE_UP)
    for _ in range(GIVE_UP + 5):
        with pytest.raises(ConnectionError):
            judge.ask("Score?")
    assert endpoint.replies == [], "after that nothing is sent"
    assert judge.outages == {"no connection": 3 * GIVE_UP}


def test_a_server_that_answers_in_between_is_not_given_up() -> None:
    judge, _, _ = waiting(*[*[GONE] * 3, GOOD] * (GIVE_UP + 1))
    for _ in range(GIVE_UP + 1):
        with pytest.raises(ConnectionError):
            judge.ask("Score?")
        assert judge.ask("Score?") == GOOD


def test_a_server_that_hangs_has_been_waited_for() -> None:
    judge, endpoint, pauses = waiting(SLOW)
    with pytest.raises(ConnectionError):
        judge.ask("Score?")
    assert (pauses, len(endpoint.budgets)) == ([], 1)
    assert judge.outages == {"time-out": 1}


@pytest.mark.parametrize(
    "first",
    ["", "Well, is it {7} or {8}? " * 60, ValueError("expected text in choices[0].message")],
)
def test_a_judge_that_thinks_gets_more_tokens_from_then_on(first: str | Exception) -> None:
    judge, endpoint, _ = waiting(first, GOOD, GOOD)
    assert judge.ask("Score?") == GOOD
    assert judge.ask("Score?") == GOOD
    assert endpoint.budgets == [ANSWER_TOKENS, THINKING_TOKENS, THINKING_TOKENS]


def test_a_judge_that_answers_badly_is_not_taken_for_one_that_thinks() -> None:
    judge, endpoint, _ = waiting("8/10", GOOD)
    assert [judge.ask("Score?"), judge.ask("Score?")] == ["8/10", GOOD]
    assert endpoint.budgets == [ANSWER_TOKENS] * 2


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


@pytest.mark.parametrize("status", [429, 503])
def test_a_real_server_that_fails_is_counted_by_its_status(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai", reason="NOT CHECKED: the extra 'llm' is not installed")
    left: list[str | int] = [status] * 3 + [GOOD]
    with model_server(lambda request: left.pop(0)) as server:
        spec = require_model_spec(server.spec)
        assert spec is not None
        judge = EndpointJudge(Endpoint(spec, backoff_s=0.0), lambda seconds: None)
        assert judge.ask("Score?") == GOOD
    assert judge.outages == {f"status {status}": 1}


def test_a_real_server_that_is_gone_or_hangs_is_told_apart() -> None:
    pytest.importorskip("openai", reason="NOT CHECKED: the extra 'llm' is not installed")
    hang = threading.Event()

    def reply(request: dict[str, Any]) -> str:
        hang.wait(5)
        return GOOD

    with model_server(reply) as server:
        spec = require_model_spec(server.spec)
        assert spec is not None
        slow = EndpointJudge(Endpoint(spec, backoff_s=0.0, timeout_s=0.1), lambda seconds: None)
        with pytest.raises(ConnectionError):
            slow.ask("Score?")
        hang.set()
    assert slow.outages == {"time-out": 1}
    gone = EndpointJudge(Endpoint(spec, backoff_s=0.0), lambda seconds: None)
    with pytest.raises(ConnectionError):
        gone.ask("Score?")
    assert gone.outages == {"no connection": 3}
