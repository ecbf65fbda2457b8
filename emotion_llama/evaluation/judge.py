"""A prompt -> a checked answer of a judging language model, or why there is none.

Knows: how a judge is loaded and asked again, what a server that is gone or busy means, how the JSON
in a reply is found and checked. Does not know: what is judged, clips, figures. A reply that breaks
the form never becomes an answer.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.merr.describers import ANSWER_TOKENS, clean_answer, require_model_spec
from emotion_llama.merr.endpoint import Endpoint

LOWEST, HIGHEST = 1, 10
"""Ends of the scale that a judge scores on, as in the prompts of EMER (Lian et al. 2023)."""

NUM_TRIES = 3
"""Replies asked for before a question goes without an answer."""

PAUSES_S = (5.0, 20.0)
"""Pauses before a server that gave no answer is asked again: a restart or a limit per minute passes
in that time. Each time it is tried `emotion_llama.merr.endpoint.NUM_TRIES` times."""
GIVE_UP = 2
"""Questions in a row without an answer after which none is expected any more: at a server that is
gone, every further one would wait in vain."""
TIMEOUT_S = 300.0
"""Longest wait for one answer: thoughts take their time."""
THINKING_TOKENS = 4096
"""Most tokens of an answer of a model that thinks before it."""
CUT_LETTERS = 800
"""A longer reply without an answer in it was cut off among thoughts: `ANSWER_TOKENS` are more
letters than this."""

TRY_AGAIN = (
    "Your last reply could not be read ({fault}). This is try {attempt} of {num_tries}. Answer "
    "with one JSON object of the form asked for above and nothing else."
)
"""Put after the prompt of a second try: at temperature 0 the same prompt gives the same reply."""

Fault = Literal[
    "judge unreachable",
    "no answer",
    "no JSON object",
    "more than one JSON object",
    "number out of range",
    "another form",
]
"""Why a question goes without an answer."""

NOT_FINAL: tuple[Fault, ...] = ("judge unreachable", "no answer")
"""Faults of the server or its settings: the same question may get an answer another time."""

_TIME_OUT = "time-out"
_NONE: Fault = "no JSON object"
_SEVERAL: Fault = "more than one JSON object"
_OUT_OF_RANGE = ("greater_than_equal", "less_than_equal")
"""Names that pydantic has for a number outside of its range."""


class Judge(Protocol):
    """What answers a question in words, always the same way."""

    @property
    def name(self) -> str:
        """Stands in the name of every figure that rests on this judge."""
        ...

    def ask(self, prompt: str) -> str:
        """Give the likeliest answer (temperature 0).

        Raises:
            ValueError: the judge gives no usable answer to this prompt
            ConnectionError: the judge cannot be reached
        """
        ...


@runtime_checkable
class FormJudge(Protocol):
    """A judge that can be held to the form of its answer."""

    def ask_in_form(self, prompt: str, form: type[BaseModel]) -> str:
        """Give the likeliest answer of a form, as JSON; errors as of `Judge.ask`."""
        ...


class EndpointJudge:
    """A model behind an address as a judge: waits for its server, leaves room for thoughts.

    Args:
        endpoint: where the model is
        sleep: waits some seconds; replaced where nobody waits
    """

    version = "unstated"

    def __init__(self, endpoint: Endpoint, sleep: Callable[[float], None] = time.sleep) -> None:
        self._endpoint = endpoint
        self._sleep = sleep
        self._thinks = False
        self._unanswered = 0
        self.outages: Counter[str] = Counter()
        """why the server gave no answer in `NUM_TRIES` requests -> how often"""
        self.name = endpoint.model
        self.settings: Mapping[str, Any] = {
            "model": endpoint.model,
            "host": endpoint.host,
            "temperature": 0,
            "json_answers": endpoint.json_answers,
            "max_tokens": ANSWER_TOKENS,
            "thinking_max_tokens": THINKING_TOKENS,
        }

    def ask(self, prompt: str) -> str:
        """Give the likeliest answer without the thoughts before it.

        A server that is gone, hangs, is busy or fails is asked again after a pause. After
        `GIVE_UP` questions in a row without an answer no further one is asked.

        Raises:
            ValueError: the server refuses the prompt
            ConnectionError: it gives no answer, or none is expected any more
        """
        if self._unanswered >= GIVE_UP:
            msg = f"given up: {GIVE_UP} questions in a row got no answer"
            raise ConnectionError(msg)
        pauses = [*PAUSES_S]
        while True:
            try:
                reply = self._reply(prompt)
            except ConnectionError as error:
                fault = _outage(str(error))
                self.outages[fault] += 1
                if fault == _TIME_OUT or not pauses:  # a time-out has waited long enough
                    self._unanswered += 1
                    raise
                self._sleep(pauses.pop(0))
            else:
                self._unanswered = 0
                return reply

    def _reply(self, prompt: str) -> str:
        """Ask once; a model that used up its tokens for thoughts gets more, from then on."""
        messages = [{"role": "user", "content": prompt}]
        if not self._thinks:
            refusal = None
            reply = ""
            try:
                reply = self._endpoint.ask(messages, seed=0, max_tokens=ANSWER_TOKENS)
            except ValueError as error:  # thoughts that are sent apart leave no answer
                refusal = error
            if refusal is None and not _is_cut(reply):
                return reply
        longer = self._endpoint.ask(messages, seed=0, max_tokens=THINKING_TOKENS)
        self._thinks = self._thinks or not _is_cut(longer)
        return longer


def load_judge(
    spec: str, *, allow_remote: bool = False, device: str | None = None, dtype: str | None = None
) -> Judge:
    """Load the judge of a name.

    Args:
        spec: ``hf:ID-or-folder`` or ``http(s)://HOST:PORT/v1#MODEL``
        allow_remote: whether texts may be sent to another machine
        device: torch device of a local model; default is a GPU if there is one
        dtype: type of a local model's weights; see `emotion_llama.merr.local_models`

    Raises:
        ValueError: another form, an address elsewhere without leave, or a model that does not load
    """
    parsed = require_model_spec(spec, allow_remote=allow_remote)
    if parsed is None:
        msg = (
            f"found judge {spec!r}, expected 'hf:' and a hub id or a folder, or an address with a "
            "model; name one, or use the measures without a judge (emotion_llama.evaluation."
            "proxies)"
        )
        raise ValueError(msg)
    if parsed.kind == "hf":
        from emotion_llama.evaluation.local_judge import LocalJudge
        from emotion_llama.merr.local_models import LocalTextModel

        return LocalJudge(LocalTextModel(parsed.target, device=device, dtype=dtype))
    return EndpointJudge(Endpoint(parsed, timeout_s=TIMEOUT_S, json_answers=True))


class ScoreResponse(BaseModel):
    """A score with its reason, as a judge has to write it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: int = Field(strict=True, ge=LOWEST, le=HIGHEST)
    reason: str


Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class Asked(Generic[Answer]):
    """What came of one question."""

    answer: Answer | None
    fault: Fault | None
    """why there is no answer"""
    detail: str
    """what was wrong with the last try; empty with an answer"""
    replies: tuple[str, ...]
    """what the judge wrote, word for word, in the order of the tries"""


class InvalidReplyError(ValueError):
    """A reply from which no answer can be read."""

    def __init__(self, fault: Fault, detail: str) -> None:
        """Name the kind of fault and what was found."""
        super().__init__(f"{fault}: {detail}")
        self.fault = fault


def ask_for(judge: Judge, prompt: str, form: type[Answer]) -> Asked[Answer]:
    """Ask until a reply has the form, at most `NUM_TRIES` times.

    A second try names the fault of the first. A judge that refuses a prompt, or cannot be reached,
    is not asked again.
    """
    replies: list[str] = []
    question = prompt
    while True:
        try:
            replies.append(_reply(judge, question, form))
        except ConnectionError as error:
            return Asked(None, "judge unreachable", str(error), tuple(replies))
        except ValueError as error:
            return Asked(None, "no answer", str(error), tuple(replies))
        try:
            return Asked(require_answer(replies[-1], form), None, "", tuple(replies))
        except InvalidReplyError as error:
            if len(replies) == NUM_TRIES:
                return Asked(None, error.fault, str(error), tuple(replies))
            note = TRY_AGAIN.format(fault=error, attempt=len(replies) + 1, num_tries=NUM_TRIES)
            question = f"{prompt}\n\n{note}"


def _reply(judge: Judge, question: str, form: type[BaseModel]) -> str:
    if isinstance(judge, FormJudge):
        return judge.ask_in_form(question, form)
    return judge.ask(question)


def require_answer(reply: str, form: type[Answer]) -> Answer:
    """Read the one JSON object of a reply; other words may stand around it, thoughts before it.

    Raises:
        InvalidReplyError: no JSON object or several, or one that breaks the form
    """
    try:
        return form.model_validate(_one_object(without_thoughts(reply)))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        fault: Fault = "number out of range" if first["type"] in _OUT_OF_RANGE else "another form"
        detail = f"{place}: {first['msg']}, found {str(first['input'])[:80]!r}"
        raise InvalidReplyError(fault, detail) from error


def without_thoughts(reply: str) -> str:
    """Give what stands behind the thoughts of a reply; of thoughts without an end, nothing."""
    return clean_answer(reply).rpartition("</think>")[2]


def _is_cut(reply: str) -> bool:
    """Say whether a reply was cut off before its answer."""
    try:
        _one_object(reply)
    except InvalidReplyError:
        return not reply or len(reply) > CUT_LETTERS
    return False


def _outage(said: str) -> str:
    """Name the last fault of `Endpoint.ask` in words that can be counted."""
    status = re.search(r"fault was: (status \d+)", said)
    if status:
        return status[1]
    return _TIME_OUT if "timed out" in said.lower() else "no connection"


def _one_object(reply: str) -> object:
    """Decode from the first brace on; whatever opens a brace after the object makes it unclear."""
    start = reply.find("{")
    if start < 0:
        raise InvalidReplyError(_NONE, "found no opening brace")
    try:
        found, end = _DECODER.raw_decode(reply, start)
    except (ValueError, RecursionError) as error:
        raise InvalidReplyError(_NONE, " ".join(str(error).split())) from error
    if "{" in reply[end:]:
        raise InvalidReplyError(_SEVERAL, "found a brace after the first one")
    return found


def _once_each(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Make a dict, where the standard decoder would keep the last of two equal keys in silence."""
    keys = [key for key, _ in pairs]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        msg = f"found {', '.join(repeated)} more than once in one object"
        raise ValueError(msg)
    return dict(pairs)


# models write line breaks into strings, which cannot be mistaken for anything else
_DECODER = json.JSONDecoder(object_pairs_hook=_once_each, strict=False)
