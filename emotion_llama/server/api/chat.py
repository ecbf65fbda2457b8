"""``/v1/chat/completions`` and ``/v1/models``: talks about a clip, as clients of OpenAI hold them.

Knows: how a talk is answered, at once or while it is written. Does not know: what requests may
hold (`emotion_llama.server.api.chat_schemas`), how the model answers.
"""

import json
import time
from asyncio import Queue, create_task, sleep
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from emotion_llama.config import ServeConfig
from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.prompt import Turn
from emotion_llama.server.api.api_error import to_api_error
from emotion_llama.server.api.bodies import read_json
from emotion_llama.server.api.chat_files import ChatFiles, owner_of
from emotion_llama.server.api.chat_schemas import ChatResponse
from emotion_llama.server.api.chat_talk import Kind, read_request, read_talk
from emotion_llama.server.api.limits import require_labels, require_model, require_text
from emotion_llama.server.api.schemas import (
    ModelListResponse,
    ModelResponse,
    error_responses,
    prediction_content,
)
from emotion_llama.server.api.uploads import Upload, UploadFolder
from emotion_llama.server.api.waiting import awaited
from emotion_llama.server.engine import Engine, OnText
from emotion_llama.server.engines import Engines

MAX_INLINE_BYTES = 20_000_000
"""Of a file within a chat request, which is held in memory, some three times over, while the
request is read; larger ones are uploaded with ``POST /v1/files``."""

PIECE_BYTES = 65_536
"""Of a file that is written from memory: the server answers others in between."""

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatRequest"}}},
    }
}


@dataclass(frozen=True)
class _Asked:
    """What a client asks, its clip in a file."""

    engine: Engine
    kind: Kind
    turns: tuple[Turn, ...]
    transcript: str | None
    labels: str | None
    is_stream: bool
    upload: Upload | None
    is_own: bool
    """whether the file came with the request, and goes with it"""


@dataclass(frozen=True)
class Reply:
    """What is said to a client."""

    text: str
    prediction: Mapping[str, Any] | None = None


class Deltas:
    """Cuts a growing text into pieces that together are the whole, whatever is changed at its end.

    Blanks at the end, and a character of which only half is written, are held back; a text that
    does not go on from what was sent, too.
    """

    def __init__(self) -> None:
        self._sent = ""

    def grown(self, text: str) -> str:
        """Give what of the text so far is new and stays; empty: nothing."""
        safe = text.rstrip("\ufffd \t\r\n")
        if not safe.startswith(self._sent):
            return ""
        new = safe[len(self._sent) :]
        self._sent = safe
        return new

    def rest(self, text: str) -> str:
        """Give what of the whole text was not sent.

        Raises:
            RuntimeError: the whole text does not go on from what was sent
        """
        if not text.startswith(self._sent):
            msg = "the answer was changed after a part of it was sent"
            raise RuntimeError(msg)
        return text[len(self._sent) :]


class ChatStream(Response):
    """An answer that is sent while it is written, as server-sent events.

    Args:
        engine: answers
        work: gives the reply, and is told where to say what is written so far
        head: what all chunks have
        held: let go when the answer is over
    """

    def __init__(
        self,
        engine: Engine,
        work: Callable[[OnText], Awaitable[Reply]],
        head: Mapping[str, Any],
        held: ExitStack,
    ) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self._engine = engine
        self._work = work
        self._head = head
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; a fault after its begin is an event of its own."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        with self._held:
            await send(start)
            try:
                async for event in self._events(Request(scope, receive)):
                    await send(_event(event))
                await send(_event("[DONE]", more=False))
            except ClientDisconnect:
                return
            except Exception as error:
                refusal = to_api_error(error)
                scope["state"]["error_code"] = refusal.code
                fault = refusal.to_dict(scope["state"]["request_id"])
                await send(_event(json.dumps(fault), more=False))
                if refusal.status == 500:
                    raise

    async def _events(self, request: Request) -> AsyncIterator[str]:
        """Give the chunks of the answer: who speaks, the words, the end."""
        yield self._chunk({"role": "assistant", "content": ""})
        words: Queue[str | None] = Queue()
        deltas = Deltas()
        working = create_task(awaited(request, self._engine, self._reply(words)))
        working.add_done_callback(lambda _: words.put_nowait(None))
        try:
            while (text := await words.get()) is not None:
                if new := deltas.grown(text):
                    yield self._chunk({"content": new})
            if rest := deltas.rest(working.result().text):
                yield self._chunk({"content": rest})
            yield self._chunk({}, "stop")
        finally:
            working.cancel()

    async def _reply(self, words: "Queue[str | None]") -> Reply:
        return await self._work(words.put_nowait)

    def _chunk(self, delta: Mapping[str, str], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return json.dumps({**self._head, "object": "chat.completion.chunk", "choices": [choice]})


def make_router(engines: Engines, folder: UploadFolder, files: ChatFiles) -> APIRouter:
    """Make the routes that clients of OpenAI ask."""
    router = APIRouter(prefix="/v1", tags=["chat"], default_response_class=JSONResponse)
    _add_models(router, engines)

    @router.post(
        "/chat/completions",
        summary="Talk about a clip",
        openapi_extra=_BODY,
        responses={
            200: {
                "model": ChatResponse,
                "description": "The answer; with `stream`, chunks of it as server-sent events.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **error_responses(404, 408, 413, 415, 422, 429, 503, 504),
        },
    )
    async def talk_about_a_clip(request: Request) -> Response:
        """Answer the last question about the clip of the last message that carries one.

        `[emotion]` alone gives the label and `[reason]` alone, or no words, the reason of
        `POST /v1/predict`; anything else is answered in the model's own words, with what was said
        about the clip before in mind. What would change the answer and is not offered (sampling,
        several answers, tools, other formats, system messages) is refused by name with 400.
        """
        with ExitStack() as held:
            move = held.enter_context(engines.admitted())
            asked = await _received(request, engines, move, folder, files)
            engine = asked.engine
            encoded = await awaited(request, engine, _encoded(asked, folder))

            async def reply(on_text: OnText | None) -> Reply:
                return await _reply(asked, encoded, request.state.request_id, on_text)

            head = {
                "id": f"chatcmpl-{request.state.request_id}",
                "created": int(time.time()),
                "model": engine.predictor.preset,
            }
            if asked.is_stream:
                return ChatStream(engine, reply, head, held.pop_all())
            return JSONResponse(_completion(await awaited(request, engine, reply(None)), head))

    return router


def max_chat_bytes(settings: ServeConfig) -> int:
    """Give the most bytes of a chat request: the largest file in base64, and JSON around it."""
    return max_inline_bytes(settings) * 4 // 3 + 4 + _bare_bytes(settings)


def max_inline_bytes(settings: ServeConfig) -> int:
    """Give the most bytes of a file within a chat request."""
    return min(MAX_INLINE_BYTES, round(settings.max_upload_mb * 1e6))


def _bare_bytes(settings: ServeConfig) -> int:
    return round(settings.max_json_kb * 1000)


def _add_models(router: APIRouter, engines: Engines) -> None:
    started = int(time.time())

    def model(name: str) -> dict[str, Any]:
        return ModelResponse(id=name, created=started).model_dump()

    @router.get(
        "/models",
        summary="List models",
        responses={
            200: {"model": ModelListResponse, "description": "All models."},
            **error_responses(429),
        },
    )
    async def list_models() -> JSONResponse:
        """List the presets that answer here; the first does where a request names none."""
        return JSONResponse({"object": "list", "data": list(map(model, engines.names))})

    @router.get(
        "/models/{model_id:path}",
        summary="Describe a model",
        responses={
            200: {"model": ModelResponse, "description": "The model."},
            **error_responses(404, 422, 429),
        },
    )
    async def describe_model(model_id: str) -> JSONResponse:
        """Give a model by its id."""
        require_model(model_id, engines)
        return JSONResponse(model(model_id))


async def _received(
    request: Request,
    engines: Engines,
    move: Callable[[Engine], None],
    folder: UploadFolder,
    files: ChatFiles,
) -> _Asked:
    """Read a request and put its clip into a file; its bytes are not held in memory any longer.

    Args:
        request: holds a place
        engines: answer
        move: moves the place to the engine that is asked
        folder: gets the clip
        files: that were uploaded before

    Raises:
        ApiError: it cannot be answered
        BusyError: the engine that is asked has no place
    """
    settings = engines.settings
    given = read_request(await read_json(request, _bare_bytes(settings)))
    engine = require_model(given.model, engines)
    move(engine)
    require_text(given.transcript, "transcript", settings)
    require_labels(given.labels, engine)
    talk = read_talk(given, max_inline_bytes(settings))
    for turn in talk.turns:
        require_text(turn.question, "messages", settings)
        require_text(turn.answer, "messages", settings)
    upload, is_own = None, False
    if talk.media is not None and talk.media.data is None:
        upload = files.get(owner_of(request), talk.media.file_id or "").upload
    elif talk.media is not None:
        upload = await folder.receive(_pieces(talk.media.data or b""), talk.media.name)
        is_own = True
    return _Asked(
        engine=engine,
        kind=talk.kind,
        turns=talk.turns,
        transcript=given.transcript or None,
        labels=given.labels,
        is_stream=given.stream,
        upload=upload,
        is_own=is_own,
    )


async def _encoded(asked: _Asked, folder: UploadFolder) -> EncodedClip:
    """Read and encode the clip of a talk; a file that came with the request is then removed."""
    engine, upload = asked.engine, asked.upload
    if upload is None:
        return await engine.encode(None, asked.transcript)
    try:
        return await engine.encode(upload.path, asked.transcript, name=upload.name)
    finally:
        if asked.is_own:
            folder.remove(upload)


async def _reply(
    asked: _Asked, encoded: EncodedClip, request_id: str, on_text: OnText | None
) -> Reply:
    """Give what is asked for: the label, the reason, or the model's own words."""
    engine = asked.engine
    if asked.kind == "reply":
        return Reply(await engine.reply(encoded, asked.turns, on_text))
    is_reason = asked.kind == "reason"
    # what may be written anew is not sent before it is whole
    listening = on_text if is_reason and engine.only_appends else None
    prediction = await engine.answer(
        encoded, labels=asked.labels, with_reason=is_reason, on_text=listening
    )
    sha256 = asked.upload.sha256 if asked.upload else None
    record = prediction_content(prediction, sha256, request_id)
    text = prediction.reason if is_reason else prediction.label
    # an answer that names no label is told as the model wrote it
    return Reply(text or prediction.answer or "", record)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
        await sleep(0)


def _completion(reply: Reply, head: Mapping[str, Any]) -> dict[str, Any]:
    """Give the whole answer in the form of OpenAI."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.prediction is not None:
        message["prediction"] = reply.prediction
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {**head, "object": "chat.completion", "choices": [choice]}


def _event(data: str, *, more: bool = True) -> Message:
    body = f"data: {data}\n\n".encode()
    return {"type": "http.response.body", "body": body, "more_body": more}
