"""What happens at each click: a given clip -> what the page shows, step by step.

Knows: the order of the steps, the engines, which errors become which words. Does not know: Gradio,
HTML, routes. Whoever shows a step's views shows an answer that grows; a step that fails ends in a
view that says why.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

from emotion_llama.config import ServeConfig
from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.labels import LabelSet
from emotion_llama.language import not_english
from emotion_llama.media.segments import segments
from emotion_llama.modalities import Part, keep_encoded
from emotion_llama.prompt import Turn
from emotion_llama.records import Prediction
from emotion_llama.server.api.api_error import ApiError
from emotion_llama.server.api.keys import RateLimit
from emotion_llama.server.api.limits import require_labels, require_text
from emotion_llama.server.engine import BusyError, Engine, NotServingError
from emotion_llama.server.engines import Engines
from emotion_llama.server.page import words
from emotion_llama.server.page.measures import Measures, measure
from emotion_llama.server.page.panels import parts_used, segment_words
from emotion_llama.server.page.talk import Piece, Talk, lean

T = TypeVar("T")
OnText = Callable[[str], None]
Stage = Literal["busy", "label", "growing", "done", "failed"]

SHOWN_EVERY_S = 0.06
"""Least seconds between two views of a growing text: an eye sees no more, and each is sent."""

_log = logging.getLogger(__name__)


@runtime_checkable
class KnowsLength(Protocol):
    """What can tell the length of a file without reading all of it."""

    async def length_s(self, path: Path, name: str) -> float | None:
        """Give the length in seconds; ``None``: it has none, or it is not known."""


@dataclass(frozen=True)
class Service:
    """What the steps work with."""

    engines: Engines
    settings: ServeConfig
    folder: Path
    """where given files lie; a path elsewhere is refused"""
    rate: RateLimit
    """how often a visitor may ask"""


@dataclass(frozen=True)
class Given:
    """What a visitor gave."""

    path: Path | None = None
    text: str = ""
    labels: str = ""
    """name of a set or a list; empty: the preset's"""
    with_reason: bool = True
    preset: str | None = None
    """which answers; ``None``: the default"""


@dataclass(frozen=True)
class View:
    """What is to be seen now."""

    stage: Stage
    said: str
    """in one line"""
    talk: Talk | None = None
    growing: str = ""
    """the reason or the reply so far"""


Views = AsyncGenerator[View, None]


async def paced(service: Service, visitor: str, views: Views) -> Views:
    """Let a visitor have what they asked for, or say that they ask too often.

    Args:
        service: counts
        visitor: address of who asks
        views: what was asked for
    """
    wait_s = math.ceil(service.rate.take(visitor))
    async with aclosing(views):
        if wait_s > 0:
            yield View("failed", words.too_often(service.rate.per_minute, wait_s))
            return
        async for view in views:
            yield view


def answer(service: Service, given: Given) -> Views:
    """Answer for a clip: first the label, then the reason as it is written, then all the rest."""
    return _in_words(_answer(service, given))


def choose(service: Service, talk: Talk | None, place: int) -> Views:
    """Show another segment of a clip; its reason is written when it is first looked at."""
    return _in_words(_choose(service, talk, place))


def reply(service: Service, talk: Talk | None, question: str) -> Views:
    """Reply to a question about a clip that was answered."""
    return _in_words(_reply(service, talk, question))


async def _in_words(views: Views) -> Views:
    """Turn whatever is raised into a last view."""
    try:
        async with aclosing(views):
            async for view in views:
                yield view
    except (ApiError, BusyError, NotServingError, ValueError) as error:
        yield View("failed", _sentence(str(error)))
    except TimeoutError:
        yield View("failed", words.TOO_LATE)
    except Exception:
        _log.exception("a step of the page failed")
        yield View("failed", words.FAULT)


def _sentence(text: str) -> str:
    """Write an error as one sentence; a file's name in front keeps its letters."""
    text = " ".join(text.split())
    if text.partition(" ")[0].isalpha():
        text = text[:1].upper() + text[1:]
    return text + "." * (not text.endswith((".", "!", "?")))


async def _answer(service: Service, given: Given) -> Views:
    engine = service.engines.named(given.preset)
    _require_given(service, engine, given)
    labels = engine.predictor.offered(given.labels or None)
    text = given.text.strip() or None
    notes: tuple[str, ...] = ()
    with engine.admitted():
        by = _Deadline(service.settings.answer_limit_s)
        yield View("busy", "Reading the clip")
        sha256 = await asyncio.to_thread(_hash, given.path) if given.path else None
        whole, spans = await by.wait(_parted(engine, given.path, text))
        if len(spans) > 1 and text:
            text, notes = None, (*notes, words.TEXT_LEFT_OUT)
        talk = Talk((), labels, given.with_reason, sha256, notes)
        for span in spans:
            encoded = whole
            if encoded is None:
                encoded = await by.wait(_encoded(engine, given.path, text, span))
            piece = await by.wait(_labelled(engine, encoded, labels, span))
            talk = replace(talk, pieces=(*talk.pieces, piece))
            yield View("label", _progress(talk, len(spans)), talk)
            talk = talk.with_last(await asyncio.to_thread(_measured, piece))
        async with aclosing(_completed(engine, by, talk)) as views:
            async for view in views:
                yield view


async def _choose(service: Service, talk: Talk | None, place: int) -> Views:
    if talk is None or not 0 <= place < len(talk.pieces):
        raise ValueError(words.GONE)
    talk = replace(talk, chosen=place, turns=())
    if talk.piece.without is not None:
        yield View("done", _all_said(talk), talk)
        return
    engine = service.engines.named(talk.preset)
    with engine.admitted():
        by = _Deadline(service.settings.answer_limit_s)
        async with aclosing(_completed(engine, by, talk)) as views:
            async for view in views:
                yield view


async def _reply(service: Service, talk: Talk | None, question: str) -> Views:
    question = question.strip()
    if talk is None or not talk.pieces:
        raise ValueError(words.GONE)
    if not question:
        msg = "found no question, expected one; write it and send it again"
        raise ValueError(msg)
    require_text(question, "the question", service.settings)
    turns = (*talk.turns, Turn(question, None))
    engine, encoded = service.engines.named(talk.preset), talk.piece.encoded
    with engine.admitted():
        by = _Deadline(service.settings.answer_limit_s)
        yield View("busy", "Reading the question", replace(talk, turns=turns))
        grown = _growing(lambda on_text: by.wait(engine.reply(encoded, turns, on_text)))
        async with aclosing(grown) as texts:
            async for text in texts:
                if isinstance(text, _Whole):
                    turns = (*talk.turns, Turn(question, text.result))
                else:
                    yield View("growing", "Writing", replace(talk, turns=turns), text)
    yield View("done", "Replied.", replace(talk, turns=turns))


async def _completed(engine: Engine, by: "_Deadline", talk: Talk) -> Views:
    """Write the reason of the chosen piece, then leave out one part of it after another."""
    piece, said = talk.piece, _said(talk)
    if talk.with_reason:
        yield View("growing", f"{said} Writing the reason", talk)

        def ask(on_text: OnText) -> Awaitable[Prediction]:
            return by.wait(engine.answer(piece.encoded, labels=talk.labels, on_text=on_text))

        async with aclosing(_growing(ask)) as texts:
            async for text in texts:
                if isinstance(text, _Whole):
                    piece = replace(piece, prediction=text.result)
                else:
                    yield View("growing", f"{said} Writing the reason", talk, text)
        talk = talk.with_piece(piece)
    yield View("label", f"{said} Leaving out one part after another", talk)
    without = await by.wait(_without(engine, piece, talk.labels))
    yield View("done", _all_said(talk), talk.with_piece(replace(piece, without=without)))


async def _parted(
    engine: Engine, path: Path | None, text: str | None
) -> tuple[EncodedClip | None, Sequence[tuple[float, float] | None]]:
    """Say in which parts a clip is answered; one short enough to be answered whole is encoded."""
    longest_s = engine.settings.segment_s
    readers = engine.readers
    if path is not None and isinstance(readers, KnowsLength):
        length_s = await readers.length_s(path, path.name)
        if length_s is not None and length_s > longest_s:
            return None, segments(length_s, longest_s)
    encoded = await _encoded(engine, path, text, None)
    length_s = encoded.clip.duration_s if encoded.clip else None
    if length_s is None or length_s <= longest_s:
        return encoded, [None]
    return None, segments(length_s, longest_s)


async def _encoded(
    engine: Engine, path: Path | None, text: str | None, span: tuple[float, float] | None
) -> EncodedClip:
    return await engine.encode(path, text, span=span, name=path.name if path else None)


async def _labelled(
    engine: Engine, encoded: EncodedClip, labels: LabelSet, span: tuple[float, float] | None
) -> Piece:
    prediction = await engine.answer(encoded, labels=labels, with_reason=False)
    return Piece(encoded, prediction, Measures(0.0, 0.0), span)


def _measured(piece: Piece) -> Piece:
    """Take what is drawn of a piece, after which its sound and crops are not needed any more."""
    clip = piece.encoded.clip
    measures = piece.measures if clip is None else measure(clip, piece.span)
    return replace(piece, encoded=lean(piece.encoded), measures=measures)


async def _without(engine: Engine, piece: Piece, labels: LabelSet) -> Mapping[Part, Prediction]:
    """Answer with each part left out; empty where there is only one."""
    parts = parts_used(piece.prediction)
    if len(parts) < 2:
        return {}
    others = [keep_encoded(piece.encoded, [one for one in parts if one != part]) for part in parts]
    asked = [engine.answer(one, labels=labels, with_reason=False) for one in others]
    return dict(zip(parts, await asyncio.gather(*asked), strict=True))


@dataclass(frozen=True)
class _Whole(Generic[T]):
    """What a text that grew became."""

    result: T


async def _growing(ask: Callable[[OnText], Awaitable[T]]) -> AsyncGenerator[str | _Whole[T], None]:
    """Give a text each time that it has grown, then what it became.

    Args:
        ask: starts the writing, and is given what is to be told the text so far
    """
    news: asyncio.Queue[str | None] = asyncio.Queue()
    task = asyncio.ensure_future(ask(news.put_nowait))
    task.add_done_callback(lambda _: news.put_nowait(None))
    try:
        while (text := await news.get()) is not None:
            if news.empty():
                yield text
                await asyncio.sleep(SHOWN_EVERY_S)
        yield _Whole(await task)
    finally:
        task.cancel()


class _Deadline:
    """The time by which a request has to be answered.

    Args:
        limit_s: seconds from now
    """

    def __init__(self, limit_s: float) -> None:
        self._end = time.monotonic() + limit_s

    async def wait(self, work: Awaitable[T]) -> T:
        """Wait for a part of the answer.

        Raises:
            TimeoutError: it is not there in time; it is given up
        """
        return await asyncio.wait_for(work, self._end - time.monotonic())


def _require_given(service: Service, engine: Engine, given: Given) -> None:
    """Refuse what is no clip and no words, a file from elsewhere, unusable words or labels."""
    if given.path is None and not given.text.strip():
        msg = "found neither a clip nor words, expected one of them; give a clip or write words"
        raise ValueError(msg)
    if given.path is not None and not _lies_in(given.path, service.folder):
        msg = "found a file that was not given on this page; choose the file again"
        raise ValueError(msg)
    if given.path is not None and not given.path.is_file():
        msg = "found no file any more, expected the one that was given; choose it again"
        raise ValueError(msg)
    require_text(given.text, "what is said", service.settings)
    require_labels(given.labels or None, engine)
    why = None if engine.translates else not_english(given.text)
    if why is not None and engine.predictor.model.config.reads_english_only:
        msg = f"found words that are not English ({why}). {words.ENGLISH_ONLY}"
        raise ValueError(msg)


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _said(talk: Talk) -> str:
    return f"Answer: {segment_words(talk.piece.prediction)}."


def _all_said(talk: Talk) -> str:
    seconds = talk.piece.prediction.timings_s.get("total", 0.0)
    return f"{_said(talk)} It took {seconds:.1f} s."


def _progress(talk: Talk, number: int) -> str:
    if number == 1:
        return _said(talk)
    return f"{len(talk.pieces)} of {number} segments are answered"
