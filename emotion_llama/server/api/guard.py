"""Every request -> let through, or refused before anything reads it.

Knows: hosts, keys, rates, sizes and times of bodies, headers of answers. Does not know: what a
route does. It is plain ASGI, so that bodies are counted as they come and answers can stream.
"""

import asyncio
import math
import re
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.api_error import ApiError, of_status, retry_later
from emotion_llama.server.api.keys import KeyRing, RateLimit

HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?")
"""Names by which a browser may call this machine; any other was made to point here."""

OPEN = ("/healthz", "/readyz")
"""For whoever watches over the service: they tell no more than that it runs."""

KEYED = ("/v1", "/metrics", "/docs", "/openapi.json")
"""What needs a key where keys are required, with all below."""

PAGE_CALLS = 5
"""Calls that the page may make for one answer: it uploads, fills in and asks. The page counts what
is asked by itself, to say in words that it was too often; here its calls are bounded as such."""

LENGTH = re.compile(r"[0-9]{1,18}")

DRAIN_S = 1.0
"""Seconds for which a refused body is still taken in and thrown away: a client that sends it would
otherwise see a broken connection instead of the words."""

HEADERS: Mapping[str, str] = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer; none allows another origin to read it."""

API_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Of answers that are no page."""


class Guard:
    """ASGI middleware that refuses what may not come in.

    Without keys the server listens to this machine only, and a page in a browser of this machine is
    the one who must be kept out: foreign host names (DNS rebinding) and foreign origins are
    refused. With keys, those paths under `KEYED` need one; all others belong to the page, which
    asks for itself.

    Args:
        app: the application
        settings: sizes, times and rates
        keys: ``None``: none is required, and only this machine may ask
        body_limits: path, in which ``*`` stands for anything -> most bytes of a body there;
            elsewhere it is ``settings.max_json_kb``
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServeConfig,
        keys: KeyRing | None,
        body_limits: Mapping[str, int],
    ) -> None:
        self._app = app
        self._settings = settings
        self._keys = keys
        self._body_limits = body_limits
        self._rate = RateLimit(settings.requests_per_minute)
        self._page_rate = RateLimit(PAGE_CALLS * settings.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": "not offered"})
            return
        headers = Headers(scope=scope)
        is_api = is_below(scope["path"], (*OPEN, *KEYED))
        limit = self._body_limit(scope["path"])
        body = _Body(receive, limit, self._settings.body_limit_s)
        body.is_read = not {"content-length", "transfer-encoding"} & set(headers)
        sending = _guarded_send(send, body, {**HEADERS, **(API_HEADERS if is_api else {})})
        try:
            self._admit(scope, headers)
            _require_small(headers, limit)
        except ApiError as error:
            await _refuse(scope, body, sending, error)
            return
        try:
            await self._app(scope, body.receive, sending)
        except ClientDisconnect:
            return

    def _admit(self, scope: Scope, headers: Headers) -> None:
        """Check who asks, and how often.

        Raises:
            ApiError: the request may not come in
        """
        path = scope["path"]
        client = (scope.get("client") or ("unknown", 0))[0]
        if self._keys is None:
            _require_own_page(headers)
        elif is_below(path, KEYED):
            client = scope["state"]["key_name"] = _holder(self._keys, headers)
        if is_below(path, ("/v1",)):
            _require_seldom(self._rate, client)
        elif scope["method"] == "POST":  # of the page, which does nothing else in these
            _require_seldom(self._page_rate, client)

    def _body_limit(self, path: str) -> int:
        limits = [one for where, one in self._body_limits.items() if fnmatchcase(path, where)]
        return max(limits, default=round(self._settings.max_json_kb * 1000))


class _Body:
    """The body of a request on its way in: counted and timed."""

    def __init__(self, receive: Receive, max_bytes: int, limit_s: float) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._limit_s = limit_s
        self._ends = time.monotonic() + limit_s
        self._num_bytes = 0
        self.is_read = False
        """whether all of it has come, or the client is gone"""

    async def receive(self) -> Message:
        """Give the next message of the client.

        Raises:
            HTTPException: more comes than may (413), or too slowly (408); of this type, because
                FastAPI lets no other through where it reads a body itself
        """
        if self.is_read:
            return await self._receive()
        try:
            async with asyncio.timeout(self._ends - time.monotonic()):
                message = await self._receive()
        except TimeoutError as error:
            self.is_read = True
            msg = (
                f"found a body that is still on its way after {self._limit_s:g} s, expected all "
                "of it by then; send it faster or send less"
            )
            raise HTTPException(408, msg, {"Connection": "close"}) from error
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._max_bytes:
            raise HTTPException(413, _too_large(self._max_bytes), {"Connection": "close"})
        self.is_read = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Throw away what still comes, for a moment."""
        try:
            async with asyncio.timeout(DRAIN_S):
                while not self.is_read:
                    self.is_read = not (await self._receive()).get("more_body", False)
        except TimeoutError:
            self.is_read = True


def _guarded_send(send: Send, body: _Body, extra: Mapping[str, str]) -> Send:
    """Give a way to send that adds headers, and hears out the client before an answer ends."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            for name, value in extra.items():
                headers.setdefault(name, value)
            message = {**message, "headers": headers.raw}
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_last and not body.is_read:
            await send({**message, "more_body": True})
            await body.drain()
            message = {"type": "http.response.body"}
        await send(message)

    return guarded


async def _refuse(scope: Scope, body: _Body, send: Send, error: ApiError) -> None:
    state: dict[str, Any] = scope["state"]
    state["error_code"] = error.code
    response = JSONResponse(error.to_dict(state["request_id"]), error.status, error.headers)
    await response(scope, body.receive, send)


def _require_own_page(headers: Headers) -> None:
    """Check that neither a foreign name nor a foreign page leads to this machine."""
    host = headers.get("host", "")
    if HOST.fullmatch(host) is None:
        msg = (
            f"found the host {host[:100]!r}, expected 127.0.0.1 or localhost: without keys only "
            "this machine is served"
        )
        raise ApiError(403, "foreign_host", msg)
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        msg = f"found the origin {origin[:100]!r}, expected none or http://{host}"
        raise ApiError(403, "foreign_origin", msg)


def _require_seldom(rate: RateLimit, client: str) -> None:
    """Count a request of a client, and refuse what is too much."""
    wait_s = math.ceil(rate.take(client))
    if wait_s > 0:
        msg = f"found more than {rate.per_minute} requests a minute; try again in {wait_s} s"
        raise retry_later(429, "rate_limited", msg, wait_s)


def _holder(keys: KeyRing, headers: Headers) -> str:
    """Give the name of who holds the key of a request."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    name = keys.check(key.strip()) if scheme.lower() == "bearer" else None
    if name is None:
        found = "an unknown key" if key else "no key"
        msg = f"found {found}, expected a header 'Authorization: Bearer <key>'"
        raise ApiError(401, "invalid_api_key", msg, headers={"WWW-Authenticate": "Bearer"})
    return name


def _require_small(headers: Headers, limit: int) -> None:
    """Check the length that a body states, before any of it is read."""
    length = headers.get("content-length", "0")
    if LENGTH.fullmatch(length) is None:
        raise of_status(400, "found a Content-Length that is no number of bytes")
    if int(length) > limit:
        raise of_status(413, _too_large(limit), {"Connection": "close"})


def _too_large(limit: int) -> str:
    return f"found a body of more than {limit:,} bytes, expected at most that here; send less"


def key_name(request: Request) -> str | None:
    """Give the name of the key that a request came in with; ``None`` where none is required."""
    name: str | None = getattr(request.state, "key_name", None)
    return name


def is_below(path: str, prefixes: tuple[str, ...]) -> bool:
    """Tell whether a path is one of those, or below one."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)
