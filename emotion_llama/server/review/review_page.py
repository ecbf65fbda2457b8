"""The page on which people review a data set, for browsers on this machine only.

Knows: HTTP, who may ask, the page's files. Does not know: the queue, what a decision does (see
`emotion_llama.merr.review`). It runs nothing, writes only ``reviews.jsonl`` and needs no network.
"""

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from emotion_llama.merr.records import MerrRecord
from emotion_llama.merr.review.desk import (
    ChangedRecordError,
    QueueFilter,
    RefusedReviewError,
    ReviewDesk,
    ReviewState,
)
from emotion_llama.merr.review.need import need_of
from emotion_llama.merr.review.overlay import Decision, Edits, Review, ReviewerName, Sha256
from emotion_llama.server.listening import bound, require_packages
from emotion_llama.server.review.media_file import find_media, is_recorded

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8788
HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::(\d{1,5}))?")
"""Names by which a browser may call this machine; any other is a foreign name that was made to
point here (DNS rebinding)."""
MAX_BODY = 200_000
"""Bytes of a decision; a caption has some hundred."""
MAX_PAGE = 200
"""Records of one part of the queue."""
PAGE_DIR = Path(__file__).parent
PAGE_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/review.css": ("review.css", "text/css; charset=utf-8"),
    "/review.js": ("review.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer: nothing from elsewhere is loaded, no other page may show or read this one."""

Clock = Callable[[], datetime]


class ReviewRequest(BaseModel):
    """A decision as the page sends it; the time is the server's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clip_id: str
    record_sha256: Sha256
    reviewer: ReviewerName
    decision: Decision
    edits: Edits = Edits()
    comment: str = Field(default="", max_length=10_000)

    def to_record(self, reviewer: str | None, now: datetime) -> Review:
        """Give the review; a reviewer named at the start is the only one."""
        return Review(
            clip_id=self.clip_id,
            record_sha256=self.record_sha256,
            reviewer=reviewer or self.reviewer,
            time=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            decision=self.decision,
            edits=self.edits,
            comment=self.comment,
        )


def require_serve() -> None:
    """Check that pages can be served.

    Raises:
        ValueError: fastapi or uvicorn is not installed
    """
    require_packages("fastapi", "uvicorn")


def make_app(
    dataset_dir: Path,
    media_dir: Path | None = None,
    *,
    reviewer: str | None = None,
    labels: Sequence[str] = (),
    token: str | None = None,
    clock: Clock = lambda: datetime.now(UTC),
) -> "FastAPI":
    """Make the application that shows a data set and stores decisions on it.

    Args:
        dataset_dir: made by ``build``; decisions go to its ``reviews.jsonl``
        media_dir: folder that was built from, below which the records' paths begin; ``None``: the
            page shows no clips
        reviewer: whose decisions these are; ``None``: the page asks
        labels: labels that may be given besides those of the records and the published nine
        token: secret that a browser must know; ``None``: a new random one
        clock: gives the time of a decision

    Raises:
        ValueError: fastapi is not installed, a folder or name is unusable, or the data set cannot
            be read
    """
    require_serve()
    from fastapi import FastAPI

    if media_dir is not None and not media_dir.is_dir():
        msg = f"{media_dir}: found no folder; give the folder of media that was built from"
        raise ValueError(msg)
    if reviewer is not None:
        _require_name(reviewer)
    desk = ReviewDesk(dataset_dir, labels)
    app = FastAPI(title="review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.token = token or secrets.token_urlsafe(24)
    _guard(app)
    _add_errors(app)
    _add_page(app)
    _add_reading(app, desk, media_dir, reviewer)
    _add_media(app, desk, media_dir)
    _add_deciding(app, desk, reviewer, clock)
    return app


def _require_name(reviewer: str) -> None:
    try:
        TypeAdapter(ReviewerName).validate_python(reviewer)
    except ValidationError as error:
        msg = (
            f"found the reviewer {reviewer!r}, expected a name of 1 to 100 characters without "
            "blanks at its ends"
        )
        raise ValueError(msg) from error


def page_address(app: "FastAPI", port: int) -> str:
    """Give the address to open, with the token in it."""
    return f"http://{LOOPBACK}:{port}/?token={app.state.token}"


def serve(
    app: "FastAPI", port: int = DEFAULT_PORT, announce: Callable[[str], None] | None = None
) -> None:
    """Serve an application to this machine until it is interrupted.

    Args:
        app: made by `make_app`
        port: 0: any free one
        announce: told the address to open, once it answers

    Raises:
        ValueError: uvicorn is not installed, or the port is in use
    """
    require_serve()
    import uvicorn

    with closing(bound(LOOPBACK, port)) as listener:
        listener.listen()
        if announce is not None:
            announce(page_address(app, listener.getsockname()[1]))
        # an access log would hold the token
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, proxy_headers=False, server_header=False
        )
        uvicorn.Server(config).run(sockets=[listener])


def _guard(app: "FastAPI") -> None:
    """Let only this machine's browser with the token in; give every answer its headers."""
    from fastapi import Request, Response
    from fastapi.responses import JSONResponse, RedirectResponse

    async def guard(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        cookie = _cookie_name(request.headers.get("host", ""))
        given = request.query_params.get("token")
        response: Response
        if fault := _foreign(request):
            response = JSONResponse({"detail": [fault]}, status_code=403)
        elif request.url.path == "/" and given is not None and _is_same(given, app.state.token):
            response = RedirectResponse("/", status_code=303)
            response.set_cookie(cookie, given, httponly=True, samesite="strict")
        elif not _is_same(request.cookies.get(cookie, ""), app.state.token):
            fault = "this page needs the whole address that the command printed, with its token"
            response = JSONResponse({"detail": [fault]}, status_code=403)
        else:
            response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    app.middleware("http")(guard)


def _foreign(request: "Request") -> str | None:
    """Say why a request does not come from this page; ``None`` where it may."""
    host = request.headers.get("host", "")
    if HOST.fullmatch(host) is None:
        return f"found the host {host!r}, expected 127.0.0.1 or localhost"
    if request.method in ("GET", "HEAD"):
        return None
    origin = request.headers.get("origin")
    if origin != f"http://{host}":
        return f"found the origin {origin!r}, expected this page's own"
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return "found no JSON; expected the content type application/json"
    length = request.headers.get("content-length", "")
    if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY:
        return f"found a body of {length or 'unknown'} bytes, expected at most {MAX_BODY:,}"
    return None


def _cookie_name(host: str) -> str:
    """Give each port its own: a browser sends the cookies of a host to all of its ports."""
    found = HOST.fullmatch(host)
    return f"review_{(found and found[1]) or 80}"


def _is_same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())


def _add_errors(app: "FastAPI") -> None:
    """Answer what goes wrong with a list of sentences, as the page shows them."""
    from fastapi import Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse

    def invalid(_: Request, error: Exception) -> JSONResponse:
        faults = error.errors() if isinstance(error, RequestValidationError) else ()
        # not the value that was found: it may hold what cannot be written as UTF-8
        detail = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg'].lower()}" for one in faults]
        return JSONResponse({"detail": detail}, status_code=422)

    def refused(_: Request, error: Exception) -> JSONResponse:
        faults = error.faults if isinstance(error, RefusedReviewError) else (str(error),)
        return JSONResponse({"detail": list(faults)}, status_code=422)

    def changed(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": [str(error)]}, status_code=409)

    def broken(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": [str(error)]}, status_code=500)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(RefusedReviewError, refused)
    app.add_exception_handler(ChangedRecordError, changed)
    app.add_exception_handler(ValueError, broken)
    app.add_exception_handler(OSError, broken)


def _add_page(app: "FastAPI") -> None:
    """Serve the page's own files, those named and no other."""
    from fastapi.responses import FileResponse

    def answer(name: str, media_type: str) -> Callable[[], FileResponse]:
        return lambda: FileResponse(PAGE_DIR / name, media_type=media_type)

    for address, (name, media_type) in PAGE_FILES.items():
        app.add_api_route(address, answer(name, media_type), response_model=None)


def _add_reading(
    app: "FastAPI", desk: ReviewDesk, media_dir: Path | None, fixed_reviewer: str | None
) -> None:
    """Serve the data set: where the review stands, the queue, one record."""

    @app.get("/api/state")
    def state(reviewer: str = "") -> dict[str, Any]:
        return {
            "dataset": desk.dataset_dir.resolve().name,
            "reviewer": fixed_reviewer,
            "progress": desk.progress(fixed_reviewer or reviewer),
            "label_counts": desk.label_counts(),
            "labels": desk.labels,
            "unit_names": desk.unit_names(),
            "agreement": {name: asdict(one) for name, one in desk.agreement().items()},
            "notices": desk.notices,
        }

    @app.get("/api/queue")
    def queue(
        reviewer: str = "",
        status: str | None = None,
        label: str | None = None,
        state: ReviewState = "all",
        text: str = "",
        after: str | None = None,
    ) -> dict[str, Any]:
        wanted = QueueFilter(status or None, label or None, state, text)
        items = desk.queue(wanted, fixed_reviewer or reviewer)
        start = 0
        if after is not None:
            start = next((n for n, one in enumerate(items, 1) if one.clip_id == after), 0)
        part = items[start : start + MAX_PAGE]
        return {
            "total": len(items),
            "num_left": len(items) - start - len(part),
            "items": [asdict(one) for one in part],
        }

    @app.get("/api/record")
    def record(clip: str, reviewer: str = "") -> dict[str, Any]:
        found = _record(desk, clip)
        return {
            "record": asdict(found[0]),
            "sha256": found[1],
            "why": need_of(found[0]).why,
            "media": _media_facts(found[0], media_dir),
            **_reviews_seen(desk, clip, fixed_reviewer or reviewer),
        }


def _record(desk: ReviewDesk, clip_id: str) -> tuple[MerrRecord, str]:
    """Read a record, or answer that there is none."""
    from fastapi import HTTPException

    found = desk.record(clip_id)
    if found is None:
        raise HTTPException(404, [f"found no clip {clip_id!r} in the data set"])
    return found


def _media_facts(record: MerrRecord, media_dir: Path | None) -> dict[str, Any]:
    media = find_media(record, media_dir)
    return {"kind": media.kind, "media_type": media.media_type, "why": media.why}


def _reviews_seen(desk: ReviewDesk, clip_id: str, reviewer: str) -> dict[str, Any]:
    """Give the reviewer's own decision, and with it the others', so that each judges alone."""
    current, outdated = desk.reviews_of(clip_id)
    own = [asdict(one) for one in current if one.reviewer == reviewer]
    others = [asdict(one) for one in current if one.reviewer != reviewer]
    return {
        "own": own[0] if own else None,
        "others": others if own else None,
        "num_others": len(others),
        "stale": [asdict(one) for one in outdated if own or one.reviewer == reviewer],
    }


def _add_media(app: "FastAPI", desk: ReviewDesk, media_dir: Path | None) -> None:
    """Serve the files that records name, in parts where a browser seeks."""
    from fastapi import HTTPException
    from fastapi.responses import FileResponse

    def media(clip: str) -> FileResponse:
        found = find_media(_record(desk, clip)[0], media_dir)
        if found.path is None:
            raise HTTPException(404, [found.why])
        return FileResponse(found.path, media_type=found.media_type)

    app.add_api_route("/media", media, methods=["GET", "HEAD"], response_model=None)

    @app.get("/api/media")
    def check(clip: str) -> dict[str, Any]:
        """Say whether the file is the one that was annotated; it is read for that."""
        record, _ = _record(desk, clip)
        found = find_media(record, media_dir)
        return {"is_recorded": found.path and is_recorded(record, found.path), "why": found.why}


def _add_deciding(
    app: "FastAPI", desk: ReviewDesk, fixed_reviewer: str | None, clock: Clock
) -> None:
    """Store decisions."""
    from fastapi import HTTPException

    @app.post("/api/reviews", status_code=201)
    def decide(request: ReviewRequest) -> dict[str, Any]:
        review = request.to_record(fixed_reviewer, clock())
        try:
            stored = desk.decide(review)
        except KeyError as error:
            msg = f"found no clip {review.clip_id!r} in the data set"
            raise HTTPException(404, [msg]) from error
        return {
            "review": asdict(stored),
            "progress": desk.progress(stored.reviewer),
            **_reviews_seen(desk, stored.clip_id, stored.reviewer),
        }
