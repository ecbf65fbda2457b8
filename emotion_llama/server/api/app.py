"""The application: all routes behind one guard, and ``POST /v1/predict`` itself.

Knows: what belongs to the service, how it starts and stops. Does not know: how a clip is answered
(`emotion_llama.server.engine`), who may ask (`emotion_llama.server.api.guard`).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from emotion_llama.config import ServeConfig
from emotion_llama.records import Prediction
from emotion_llama.server.api import chat, chat_files
from emotion_llama.server.api.api_error import ApiError, of_status, retry_later, to_api_error
from emotion_llama.server.api.bodies import FORM_BYTES, Form, read_form
from emotion_llama.server.api.chat_files import ChatFiles
from emotion_llama.server.api.chat_schemas import ChatRequest
from emotion_llama.server.api.docs_page import to_html
from emotion_llama.server.api.guard import KEYED, OPEN, Guard, is_below
from emotion_llama.server.api.keys import KeyRing
from emotion_llama.server.api.limits import require_labels, require_model, require_text
from emotion_llama.server.api.observing import Metrics, Observing
from emotion_llama.server.api.schemas import (
    PredictionResponse,
    StateResponse,
    error_responses,
    prediction_content,
)
from emotion_llama.server.api.uploads import TooLargeError, UploadFolder
from emotion_llama.server.api.waiting import awaited
from emotion_llama.server.engine import BusyError, Engine, NotServingError
from emotion_llama.server.engines import Engines
from emotion_llama.version import __version__

if TYPE_CHECKING:
    from emotion_llama.server.batches.store import BatchStore
    from emotion_llama.server.batches.worker import BatchWorker

FIELDS = ("model", "text", "labels", "reason", "evidence")
"""Of the form of a prediction, besides the file."""

UPLOAD_PATHS = ("/v1/predict", "/v1/files", "/v1/batches/*/clips", "/gradio_api/upload")
"""Where a body may be as large as a file; the last is the page's."""

_TEXT = {
    "type": "string",
    "description": "what is said in the clip; without a file, words alone are answered",
}
_LABELS = {
    "type": "string",
    "description": "labels to offer, in this order: the name of a set (merr, mer2023, dfew, mini) "
    "or a comma-separated list; default is the preset's own list",
    "examples": ["mini", "happy, sad, neutral"],
}
_REASON = {
    "type": "boolean",
    "default": True,
    "description": "also write the reason, which takes most of the time",
}
_EVIDENCE = {
    "type": "boolean",
    "default": False,
    "description": "also list what was measured; otherwise `evidence` is left out",
}
_FILE = {
    "type": "string",
    "format": "binary",
    "description": "a video, sound or picture; its kind is found by decoding it, whatever its name "
    "or content type says",
}


def _form(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [required],
        "properties": properties,
    }


def _body(engines: Engines) -> dict[str, Any]:
    """Describe the form of a prediction."""
    model = {
        "type": "string",
        "enum": list(engines.names),
        "default": engines.names[0],
        "description": "the preset that answers, as `GET /v1/models` has it",
    }
    fields = {"model": model, "labels": _LABELS, "reason": _REASON, "evidence": _EVIDENCE}
    words_alone = _form("text", text={**_TEXT, "pattern": r"\S"}, **fields)
    content = {
        "multipart/form-data": _form("file", file=_FILE, text=_TEXT, **fields),
        "application/x-www-form-urlencoded": words_alone,
    }
    return {
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": schema} for kind, schema in content.items()},
        }
    }


class PredictRequest(BaseModel):
    """The fields of a form that asks for a prediction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    text: str | None = None
    labels: str | None = None
    reason: bool = True
    evidence: bool = False


def make_app(
    engines: Engines,
    settings: ServeConfig,
    *,
    keys: KeyRing | None,
    uploads: UploadFolder,
    database: str | None,
    batch_dir: Path | None = None,
    page: bool = True,
    examples: Sequence[Path] = (),
) -> FastAPI:
    """Make the application.

    Args:
        engines: answer; started and stopped with the application
        settings: what is accepted
        keys: who may ask; ``None``: whoever is on this machine, for a server that listens to no
            other
        uploads: folder for files of clients
        database: address of the database of batches; ``None``: there are no batches
        batch_dir: folder for their clips, the same for all servers of one database; ``None``: below
            ``uploads``
        page: also show the page, at the root
        examples: clips that the page offers to try
    """
    files = ChatFiles(uploads, settings)
    metrics = Metrics(engines)
    if database is None:
        batches = None
    else:
        batches = _open_batches(database, batch_dir or uploads.root / "batches", engines, uploads)
    app = FastAPI(
        title="Emotion-LLaMA",
        version=__version__,
        summary="A clip of a person goes in; the emotion and the reasons for it come out.",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(engines, uploads, files, batches),
    )
    app.state.engines, app.state.settings, app.state.uploads = engines, settings, uploads
    _add_errors(app)
    app.include_router(_open_routes(engines))
    needed = [] if keys is None else [Depends(_described_key)]
    for router in (
        _predicting_routes(engines, uploads),
        chat_files.make_router(files, uploads),
        chat.make_router(engines, uploads, files),
        *([] if batches is None else [batches.router]),
        _counting_routes(metrics),
    ):
        app.include_router(router, dependencies=needed)
    _describe(app)
    app.add_route("/docs", lambda _: HTMLResponse(to_html(app.openapi())))
    if page:
        from emotion_llama.server.page import mount_page

        mount_page(app, engines, settings, keys, examples=examples)
        put_behind_routes(app)
    limits = dict.fromkeys(UPLOAD_PATHS, uploads.max_bytes + FORM_BYTES)
    limits["/v1/chat/completions"] = chat.max_chat_bytes(settings)
    app.add_middleware(Guard, settings=settings, keys=keys, body_limits=limits)
    app.add_middleware(Observing, metrics=metrics)
    return app


@dataclass(frozen=True)
class _Batches:
    """What answers batches."""

    store: "BatchStore"
    worker: "BatchWorker"
    router: APIRouter


def _open_batches(
    database: str, batch_dir: Path, engines: Engines, uploads: UploadFolder
) -> _Batches:
    """Open the database of batches."""
    settings = engines.settings
    from emotion_llama.server.batches.routes import BatchWorker, make_router
    from emotion_llama.server.batches.store import open_store

    store = open_store(database, batch_dir)
    router = make_router(store, engines, uploads, settings)
    return _Batches(store, BatchWorker(store, engines, settings), router)


def _lifespan(
    engines: Engines, uploads: UploadFolder, files: ChatFiles, batches: _Batches | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Start everything in order, and stop it in reverse; what was accepted is finished."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        uploads.clean()
        try:
            await engines.start()
            if batches is not None:
                await batches.worker.start()
            yield
        finally:
            if batches is not None:
                await batches.worker.stop()
            await engines.stop()
            if batches is not None:
                batches.store.close()
            files.clear()
            uploads.clean()

    return lifespan


def _described_key(
    _: Annotated[
        HTTPAuthorizationCredentials | None,
        Depends(HTTPBearer(auto_error=False, description="a key of the server's key file")),
    ],
) -> None:
    """Say in the OpenAPI that a key is needed; the guard has asked for it already."""


def _open_routes(engines: Engines) -> APIRouter:
    """Make the routes for whoever watches over the service; they need no key."""
    router = APIRouter(tags=["watching"])

    @router.get(
        "/healthz",
        summary="Is the process alive?",
        responses={200: {"model": StateResponse, "description": "It is."}, **error_responses()},
    )
    async def healthz() -> JSONResponse:
        """Answer while the process runs; needs no key."""
        return JSONResponse({"status": "alive"})

    @router.get(
        "/readyz",
        summary="Are clips accepted?",
        responses={200: {"model": StateResponse, "description": "Yes."}, **error_responses(503)},
    )
    async def readyz() -> JSONResponse:
        """Answer 503 unless all presets are ready: the service starts or stops; needs no key."""
        if engines.state != "ready":
            raise retry_later(503, "not_serving", f"the service is {engines.state}", 1)
        return JSONResponse({"status": "ready"})

    return router


def _counting_routes(metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["watching"])

    @router.get(
        "/metrics",
        summary="Counts for Prometheus",
        responses={
            200: {
                "description": "Requests by route and status, seconds, load, batches, refusals.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            **error_responses(),
        },
        response_class=Response,
    )
    async def counts() -> Response:
        """Give all counts; needs a key where keys are required."""
        return Response(metrics.to_text(), media_type=CONTENT_TYPE_LATEST)

    return router


def _predicting_routes(engines: Engines, uploads: UploadFolder) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["predict"])

    @router.post(
        "/predict",
        summary="Answer for a clip",
        openapi_extra=_body(engines),
        responses={
            200: {"model": PredictionResponse, "description": "The answer."},
            **error_responses(404, 408, 413, 415, 422, 429, 503, 504),
        },
    )
    async def predict(request: Request) -> JSONResponse:
        """Tell the emotion of a clip, and why; the same clip has the same answer everywhere.

        The file is removed when it was answered for, and nothing of the request is kept.
        """
        with engines.admitted() as move:
            form = await read_form(request, uploads, FIELDS)
            try:
                asked = _checked(form)
                engine = require_model(asked.model, engines)
                move(engine)
                require_text(asked.text, "text", engine.settings)
                require_labels(asked.labels, engine)
                prediction = await awaited(request, engine, _predicted(form, asked, engine))
            finally:
                if form.upload is not None:
                    uploads.remove(form.upload)
        sha256 = form.upload.sha256 if form.upload else None
        return JSONResponse(
            prediction_content(
                prediction, sha256, request.state.request_id, with_evidence=asked.evidence
            )
        )

    return router


async def _predicted(form: Form, asked: PredictRequest, engine: Engine) -> Prediction:
    """Read, encode and answer."""
    if form.upload is None:
        encoded = await engine.encode(None, asked.text)
    else:
        encoded = await engine.encode(form.upload.path, asked.text or None, name=form.upload.name)
    return await engine.answer(encoded, labels=asked.labels, with_reason=asked.reason)


def _checked(form: Form) -> PredictRequest:
    """Check the fields of a form before its file is read.

    Raises:
        ApiError: there is neither a file nor text, or a field is unusable (422)
    """
    try:
        asked = PredictRequest.model_validate(form.fields)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        name = str(fault["loc"][0])
        msg = f"found no truth value in {name}, expected true or false"
        raise ApiError(422, "invalid", msg, param=name) from error
    if form.upload is None and not (asked.text or "").strip():
        msg = "found neither a file nor text, expected one of them or both"
        raise ApiError(422, "invalid", msg, param="file")
    return asked


def _add_errors(app: FastAPI) -> None:
    """Answer everything that goes wrong in the one form of errors."""

    def answer(request: Request, error: ApiError) -> JSONResponse:
        request.state.error_code = error.code
        content = error.to_dict(request.state.request_id)
        return JSONResponse(content, error.status, error.headers)

    def known(request: Request, error: Exception) -> JSONResponse:
        return answer(request, to_api_error(error))

    def of_framework(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return answer(request, of_status(error.status_code, str(error.detail), error.headers))

    def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        fault = error.errors()[0]
        param = ".".join(str(part) for part in fault["loc"][1:]) or "body"
        # not the value that was found: it may hold what cannot be written as UTF-8
        msg = f"{param}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
        return answer(request, ApiError(422, "invalid", msg, param=param))

    for kind in (ApiError, BusyError, NotServingError, TooLargeError):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(HTTPException, of_framework)
    app.add_exception_handler(RequestValidationError, invalid)


def _describe(app: FastAPI) -> None:
    """Add what routes read by themselves to the description of the API."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        content = describe()
        own = ChatRequest.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = content.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(own.pop("$defs", {}))
        schemas["ChatRequest"] = own
        return content

    app.openapi = described  # type: ignore[method-assign]


def put_behind_routes(app: FastAPI) -> None:
    """Let what is mounted at the root have what no route of the API takes, below ``/v1`` nothing.

    As a route, it would take every address: also those of the API that do not exist (404), and
    those that do with another method (405), which have errors of their own form.
    """
    mount = app.router.routes.pop()
    assert isinstance(mount, Mount)
    nothing = app.router.default

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        _, child = mount.matches(scope)
        if scope["type"] != "http" or is_below(scope["path"], (*OPEN, *KEYED)):
            await nothing(scope, receive, send)
            return
        scope.update(child)
        await mount.handle(scope, receive, send)

    app.router.default = page
