"""A prompt -> a checked answer of a judging language model, or why there is none.

Knows: how a judge is loaded and asked again, how the JSON in its reply is found and checked. Does
not know: what is judged, clips, figures. A reply that breaks the form never becomes an answer.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.merr.describers import Message, TextModel, text_model

LOWEST, HIGHEST = 1, 10
"""Ends of the scale that a judge scores on, as in the prompts of EMER (Lian et al. 2023)."""

NUM_TRIES = 3
"""Replies asked for before a question goes without an answer."""

TRY_AGAIN = (
    "Your last reply could not be read ({fault}). This is try {attempt} of {num_tries}. Answer "
    "with one JSON object of the form asked for above and nothing else."
)
"""Put after the prompt of a second try: at temperature 0 the same prompt gives the same reply."""

Fault = Literal[
    "no answer",
    "no JSON object",
    "more than one JSON object",
    "number out of range",
    "another form",
]
"""Why a question goes without an answer."""

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


class TextModelJudge:
    """A text model, local or behind an address, as a judge."""

    def __init__(self, model: TextModel) -> None:
        """Take a text model; its name, version and settings are those of the judge."""
        self._model = model
        self.name = model.name
        self.version = model.version
        self.settings: Mapping[str, Any] = model.settings

    def ask(self, prompt: str) -> str:
        """Give the likeliest answer; see `Judge`."""
        return self._model.answer([Message("user", prompt)], seed=0)


def load_judge(
    spec: str, *, allow_remote: bool = False, device: str | None = None, dtype: str | None = None
) -> TextModelJudge:
    """Load the judge of a name.

    Args:
        spec: ``hf:ID-or-folder`` or ``http(s)://HOST:PORT/v1#MODEL``
        allow_remote: whether texts may be sent to another machine
        device: torch device of a local model; default is a GPU if there is one
        dtype: type of a local model's weights; see `emotion_llama.merr.local_models`

    Raises:
        ValueError: another form, an address elsewhere without leave, or a model that does not load
    """
    model = text_model(
        spec, allow_remote=allow_remote, device=device, dtype=dtype, json_answers=True
    )
    if model is None:
        msg = (
            f"found judge {spec!r}, expected 'hf:' and a hub id or a folder, or an address with a "
            "model; name one, or use the measures without a judge (emotion_llama.evaluation."
            "proxies)"
        )
        raise ValueError(msg)
    return TextModelJudge(model)


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

    A second try names the fault of the first. A judge that refuses a prompt is not asked again.

    Raises:
        ConnectionError: the judge cannot be reached
    """
    replies: list[str] = []
    question = prompt
    while True:
        try:
            replies.append(judge.ask(question))
        except ValueError as error:
            return Asked(None, "no answer", str(error), tuple(replies))
        try:
            return Asked(require_answer(replies[-1], form), None, "", tuple(replies))
        except InvalidReplyError as error:
            if len(replies) == NUM_TRIES:
                return Asked(None, error.fault, str(error), tuple(replies))
            note = TRY_AGAIN.format(fault=error, attempt=len(replies) + 1, num_tries=NUM_TRIES)
            question = f"{prompt}\n\n{note}"


def require_answer(reply: str, form: type[Answer]) -> Answer:
    """Read the one JSON object of a reply; other words may stand around it.

    Raises:
        InvalidReplyError: no JSON object or several, or one that breaks the form
    """
    try:
        return form.model_validate(_one_object(reply))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        fault: Fault = "number out of range" if first["type"] in _OUT_OF_RANGE else "another form"
        detail = f"{place}: {first['msg']}, found {str(first['input'])[:80]!r}"
        raise InvalidReplyError(fault, detail) from error


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
