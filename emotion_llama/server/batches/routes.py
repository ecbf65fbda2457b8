"""Many clips in one go: routes that collect them, results as JSON lines.

Knows: HTTP, what may be asked of a batch by whom. Does not know: how clips are kept
(`emotion_llama.server.batches.store`) and answered (`emotion_llama.server.batches.worker`).
"""

import asyncio
import errno
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, ParamSpec, TypeVar

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.api_error import ApiError
from emotion_llama.server.api.bodies import read_form
from emotion_llama.server.api.guard import key_name
from emotion_llama.server.api.limits import require_labels, require_model, require_text
from emotion_llama.server.api.schemas import ErrorResponse, error_responses
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.batches.records import (
    Batch,
    BatchStateError,
    NewClip,
    NoBatchError,
    Outcome,
    TooManyError,
)
from emotion_llama.server.batches.schemas import (
    BatchPageResponse,
    BatchRequest,
    BatchResponse,
    ClipResponse,
    ResultResponse,
)
from emotion_llama.server.batches.store import BatchStore
from emotion_llama.server.batches.worker import BatchWorker
from emotion_llama.server.engine import Engine
from emotion_llama.server.engines import Engines

__all__ = ["BatchWorker", "make_router"]

MAX_BATCHES = 100
"""Batches of one key that are kept at once, ended ones included."""

PAGE_CLIPS = 100
"""Results read from the database at a time."""

JSON_LINES = "application/x-ndjson"

_logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

BatchId = Annotated[
    str, Path(pattern="^[0-9a-f]{32}$", description="`id` of the batch, as it was given.")
]

_ERRORS = {
    409: "The batch is not in the state for this, or there are as many as may be.",
    507: "The disk has no room for a clip.",
}
"""Status -> when it is given, besides those that other routes give too."""

_KNOWN_CLIP: dict[str, Any] = {
    "description": "The same clip had come before.",
    "model": ClipResponse,
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route."""
    own = {
        status: {"model": ErrorResponse, "description": _ERRORS[status]}
        for status in statuses
        if status in _ERRORS
    }
    return error_responses(422, 429, 503, *(set(statuses) - own.keys())) | own


def make_router(
    store: BatchStore, engines: Engines, uploads: UploadFolder, settings: ServeConfig
) -> APIRouter:
    """Make the routes under ``/v1/batches``.

    Args:
        store: keeps batches
        engines: know which presets there are, and which labels can be offered
        uploads: gets the clips first, and sets their largest size
        settings: limits
    """
    routes = _Routes(store, engines, uploads, settings)
    router = APIRouter(prefix="/v1/batches", tags=["batches"])
    router.post(
        "",
        summary="Open a batch",
        status_code=201,
        responses=_errors(404, 408, 409, 413, 415),
        openapi_extra=_json_body(),
    )(routes.create)
    router.get("", summary="List your batches", responses=_errors())(routes.page)
    router.get("/{batch_id}", summary="Look at a batch", responses=_errors(404))(routes.get)
    router.post(
        "/{batch_id}/clips",
        summary="Add a clip to a batch",
        status_code=201,
        responses={200: _KNOWN_CLIP, **_errors(404, 408, 409, 413, 415, 507)},
        openapi_extra=_form_body(),
    )(routes.add)
    router.post("/{batch_id}/start", summary="Start a batch", responses=_errors(404, 409))(
        routes.start
    )
    router.get(
        "/{batch_id}/results",
        summary="Get the results of a batch",
        response_class=StreamingResponse,
        responses={200: _json_lines(), **_errors(404)},
    )(routes.results)
    router.post("/{batch_id}/cancel", summary="Cancel a batch", responses=_errors(404))(
        routes.cancel
    )
    router.delete("/{batch_id}", summary="Remove a batch", status_code=204, responses=_errors(404))(
        routes.remove
    )
    return router


class _Routes:
    """The functions behind the routes; their docstrings are shown to clients."""

    def __init__(
        self, store: BatchStore, engines: Engines, uploads: UploadFolder, settings: ServeConfig
    ) -> None:
        self._store = store
        self._engines = engines
        self._uploads = uploads
        self._settings = settings

    async def create(self, request: Request) -> BatchResponse:
        """Open a batch: say what is to be answered about each of its clips.

        Then send its clips one by one, and start it.
        """
        row = await _read_request(request, round(self._settings.max_json_kb * 1000))
        engine = require_model(row.model, self._engines)
        options = row.to_record(engine.predictor.preset, _offered(row.labels, engine))
        owner = key_name(request)
        return self._told(await _stored(self._store.create, owner, options, MAX_BATCHES))

    async def add(self, batch_id: BatchId, request: Request, response: Response) -> ClipResponse:
        """Put a clip at the end of an open batch.

        A request that was cut off may be sent again: the same file under the same name with the
        same words stays one clip, and is answered with 200 in place of 201.
        """
        if self._store.files.free_bytes < 2 * self._uploads.max_bytes:
            raise HTTPException(507, "found no room on the disk for a clip; try again later")
        owner = key_name(request)
        await _stored(self._store.get, batch_id, owner)
        form = await read_form(request, self._uploads, {"text"})
        if form.upload is None:
            msg = "found no file in the form, expected one in the field 'file'"
            raise ApiError(422, "invalid", msg, param="file")
        upload = form.upload
        try:
            text = form.fields.get("text") or None
            require_text(text, "text", self._settings)
            clip = NewClip(upload.path, upload.name, upload.sha256, upload.num_bytes, text)
            limit = self._settings.max_batch_clips
            kept = await _stored(self._store.add, batch_id, owner, clip, limit)
        finally:
            self._uploads.remove(upload)
        response.status_code = 201 if kept.is_new else 200
        return ClipResponse.of(kept)

    async def start(self, batch_id: BatchId, request: Request) -> BatchResponse:
        """Let the clips of a batch be answered; it takes no more then.

        They are answered as far as clips that somebody waits for leave room, the batch that was
        started first before others. To start it again changes nothing.
        """
        return self._told(await _stored(self._store.start, batch_id, key_name(request)))

    async def page(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=100, description="Most batches.")] = 20,
        before: Annotated[
            str | None,
            Query(pattern="^[0-9a-f]{32}$", description="`next` of the page before."),
        ] = None,
    ) -> BatchPageResponse:
        """List your batches, the newest first."""
        batches = await _stored(self._store.page, key_name(request), limit + 1, before)
        shown = [self._told(batch) for batch in batches[:limit]]
        return BatchPageResponse(batches=shown, next=shown[-1].id if len(batches) > limit else None)

    async def get(self, batch_id: BatchId, request: Request) -> BatchResponse:
        """Look at a batch."""
        return self._told(await _stored(self._store.get, batch_id, key_name(request)))

    async def results(self, batch_id: BatchId, request: Request) -> StreamingResponse:
        """Get one JSON line for each clip of a batch, in the order in which they came.

        It may be asked for at any time: clips that wait have neither prediction nor error yet.
        """
        owner = key_name(request)
        batch = await _stored(self._store.get, batch_id, owner)
        return StreamingResponse(self._lines(batch, owner), media_type=JSON_LINES)

    async def cancel(self, batch_id: BatchId, request: Request) -> BatchResponse:
        """Answer no more clips of a batch, and remove their files.

        What is answered already can still be read. For a batch that has ended this changes nothing.
        """
        return self._told(await _stored(self._store.cancel, batch_id, key_name(request)))

    async def remove(self, batch_id: BatchId, request: Request) -> None:
        """Remove a batch, its files and its results; one that has not ended is cancelled."""
        await _stored(self._store.remove, batch_id, key_name(request))

    def _told(self, batch: Batch) -> BatchResponse:
        return BatchResponse.of(batch, self._settings.keep_batches_s)

    async def _lines(self, batch: Batch, owner: str | None) -> AsyncIterator[str]:
        num_clips = sum(batch.counts.values())
        for start in range(0, num_clips, PAGE_CLIPS):
            num = min(PAGE_CLIPS, num_clips - start)
            outcomes = await asyncio.to_thread(
                self._store.outcomes, batch.id, owner, start=start, limit=num
            )
            if len(outcomes) < num:
                # a broken answer is seen to be one, a short answer is not
                msg = "a batch was removed while its results were read"
                raise RuntimeError(msg)
            yield "".join(map(_line, outcomes))


def _offered(labels: str | list[str] | None, engine: Engine) -> tuple[str, ...] | None:
    """Give the labels that are asked for."""
    if labels is None:
        return None
    if isinstance(labels, str):
        require_labels(labels, engine)
    try:
        return engine.predictor.offered(labels).labels
    except ValueError as error:
        raise ApiError(422, "invalid", str(error), param="labels") from error


def _line(outcome: Outcome) -> str:
    row = ResultResponse(
        clip=outcome.name,
        sha256=outcome.sha256,
        state=outcome.state,
        prediction=None if outcome.prediction is None else json.loads(outcome.prediction),
        error=outcome.error,
    )
    return json.dumps(row.model_dump()) + "\n"


async def _stored(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do something with the store, in a thread, and tell the client why it does not work."""
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except NoBatchError as error:
        raise HTTPException(404, str(error)) from error
    except (BatchStateError, TooManyError) as error:
        raise HTTPException(409, str(error)) from error
    except DBAPIError as error:
        _logger.exception("the database of batches does not answer")
        msg = "the database of batches does not answer; try again later"
        raise HTTPException(503, msg, {"Retry-After": "5"}) from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise HTTPException(507, "the disk is full; try again later") from error


async def _read_request(request: Request, max_bytes: int) -> BatchRequest:
    """Read a small JSON body; clips that are sent below the same path may be large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        msg = f"found the content type {kind[:100] or 'nothing'!r}, expected application/json"
        raise HTTPException(415, msg)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413, f"found more than {max_bytes:,} bytes of JSON; send less")
    try:
        return BatchRequest.model_validate_json(bytes(body))
    except ValidationError as error:
        # what was found may be bytes that no answer can hold
        rows = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError(
            [{**row, "loc": ("body", *row["loc"])} for row in rows]
        ) from error


def _json_body() -> dict[str, Any]:
    schema = BatchRequest.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _form_body() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "The clip."},
            "text": {"type": "string", "description": "What is said in it."},
        },
    }
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def _json_lines() -> dict[str, Any]:
    example = {"clip": "smile.mp4", "sha256": "0" * 64, "state": "done", "prediction": {}}
    lines = json.dumps({**example, "error": None}) + "\n"
    schema = {"type": "string", "description": "A `ResultResponse` on each line.", "example": lines}
    return {"description": "One line for each clip.", "content": {JSON_LINES: {"schema": schema}}}
