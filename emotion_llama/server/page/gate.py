"""Request to the page -> whether it is one that the page itself makes.

Knows: paths and bodies of requests, the folder of given files. Does not know: events, answers.
Gradio answers to more than a page needs: it fetches addresses, lists its events for programs, and
takes names of files that lie on the server. None of that passes here.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api/"
FILE_PATH = f"{API}file="
JOIN_PATHS = (f"{API}queue/join", f"{API}queue/join/")

OPEN = frozenset(
    {
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/config"),
        ("GET", "/theme.css"),
        ("GET", "/favicon.ico"),
        ("GET", "/robots.txt"),
        ("GET", "/manifest.json"),
        ("POST", "/login"),
        ("GET", "/logout"),
        ("GET", f"{API}info"),
        ("GET", f"{API}app_id"),
        ("GET", f"{API}theme.css"),
        ("GET", f"{API}startup-events"),
        ("GET", f"{API}queue/data"),
        ("POST", f"{API}queue/join"),
        ("POST", f"{API}upload"),
        ("GET", f"{API}upload_progress"),
        ("POST", f"{API}cancel"),
        ("POST", f"{API}reset"),
    }
)
"""What a browser asks for while the page is used."""

OPEN_BELOW = ("/assets/", "/static/", "/svelte/", f"{API}heartbeat/")
"""Files of Gradio itself, and the sign that a visitor is still there."""

POLICY = (
    "default-src 'self'; connect-src 'self' data: blob:; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: nothing comes from elsewhere and nothing goes there. Gradio
writes scripts into the page and compiles templates, so these two cannot be forbidden."""

MOST_BODY = 1_000_000
"""Bytes of what an event sends: words and names of files."""


class Gate:
    """Lets requests of the page through to Gradio, and answers 404 or 403 to all others.

    Args:
        app: Gradio
        folder: where given files lie
    """

    def __init__(self, app: App, folder: Path) -> None:
        self._app = app
        self._folder = folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI 3)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path = _path(scope)
        if scope["type"] != "http" or not self._is_open(scope["method"], path):
            await _refuse(send, 404, "there is no such page")
            return
        if path in JOIN_PATHS:
            body = await _body(receive)
            if body is None or not self._is_harmless(body):
                await _refuse(send, 403, "only files that were given on this page can be named")
                return
            receive = _again(body, receive)
        await self._app(scope, receive, _with_policy(send))

    def _is_open(self, method: str, path: str) -> bool:
        if path.startswith(FILE_PATH):
            return method in ("GET", "HEAD") and self._is_given(unquote(path[len(FILE_PATH) :]))
        is_below = method in ("GET", "HEAD") and path.startswith(OPEN_BELOW)
        return is_below or (method, path.rstrip("/") or "/") in OPEN

    def _is_harmless(self, body: bytes) -> bool:
        """Tell whether all files and addresses that an event names are those of given files."""
        try:
            named = list(_named(json.loads(body)))
        except (ValueError, RecursionError):
            return False
        return all(isinstance(path, str) and self._is_given(path) for path in named)

    def _is_given(self, path: str) -> bool:
        try:
            return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self._folder)
        except (OSError, ValueError):
            return False


def _path(scope: Scope) -> str:
    """Give the path below the place where the page is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) or "/"


def _named(value: Any) -> Iterator[Any]:
    """Find the files that a value of JSON names at any depth: every ``path`` and ``url``.

    The address of a given file ends in its path; of another address, all of it is given.
    """
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        if (url := value.get("url")) is not None:
            yield unquote(url.partition(FILE_PATH)[2]) if FILE_PATH in str(url) else url
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _named(one)


async def _body(receive: Receive) -> bytes | None:
    """Read a body; ``None`` where it is too large or does not arrive."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MOST_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body once more to who reads it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return messages.pop() if messages else await receive()

    return read


def _with_policy(send: Send) -> Send:
    """Send answers with `POLICY`."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            policy = (b"content-security-policy", POLICY.encode())
            message = {**message, "headers": [*message.get("headers", ()), policy]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"error": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
