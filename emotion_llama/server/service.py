"""Presets and settings -> a service that runs until it is told to end.

Knows: how predictor, readers, engine and application are put together, where files lie, the port.
Does not know: routes, how anything is answered.
"""

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, Literal

from emotion_llama.clip_words import WordModels
from emotion_llama.config import ServeConfig
from emotion_llama.predict import Predictor
from emotion_llama.server.engine import Engine
from emotion_llama.server.engines import Engines
from emotion_llama.server.listening import bound, require_packages
from emotion_llama.server.reading.readers import Readers, ReadLimits, make_reader

if TYPE_CHECKING:
    from fastapi import FastAPI

_NEEDED = ("fastapi", "prometheus_client", "python_multipart", "sqlalchemy", "uvicorn")
"""Packages of the extra ``serve``, but for the page's."""


def make_engine(
    preset: str | Path,
    settings: ServeConfig,
    *,
    device: str | None = None,
    dtype: str | None = None,
    quantize_bits: Literal[4, 8] | None = None,
    words: WordModels | None = None,
) -> Engine:
    """Load a preset and prepare the processes that read for it.

    Args:
        preset: see `Predictor.from_pretrained`
        settings: limits and sizes
        device: see `Predictor.from_pretrained`
        dtype: see `Predictor.from_pretrained`
        quantize_bits: see `Predictor.from_pretrained`
        words: what hears and translates words, by name; each reading process loads it

    Raises:
        PresetError: there is no such preset
    """
    words = words or WordModels()
    predictor = Predictor.from_pretrained(
        preset, device=device, dtype=dtype, quantize_bits=quantize_bits
    )
    return Engine(
        predictor,
        Readers(
            partial(
                make_reader,
                predictor.reader.media,
                words,
                english_only=predictor.model.config.reads_english_only,
            ),
            ReadLimits(
                time_s=settings.read_limit_s,
                memory_mb=settings.read_memory_mb,
                max_duration_s=settings.max_duration_s,
                max_side_px=settings.max_side_px,
                max_streams=settings.max_streams,
            ),
            settings.num_readers,
        ),
        settings,
        words=words,
    )


@dataclass(frozen=True)
class Address:
    """Where a service listens."""

    host: str
    port: int
    """0: any free one"""
    reuse_port: bool = False
    """share the port with other processes, among which the system divides connections"""


@dataclass(frozen=True)
class Places:
    """Files and folders of a service."""

    keys: Path | None = None
    """names and hashes of API keys; ``None``: none is needed"""
    data: Path | None = None
    """folder of batches; ``None``: a temporary one"""
    database: str | None = None
    """URL of the database of batches; ``None``: SQLite in ``data``"""
    examples: Path | None = None
    """clips that the page offers to try"""


def run(
    presets: Sequence[str | Path],
    settings: ServeConfig,
    address: Address,
    places: Places,
    *,
    page: bool = True,
    announce: Callable[[str], None] = lambda _words: None,
    **loading: Any,
) -> None:
    """Serve until interrupted or told to end; then finish what was accepted.

    Args:
        presets: at least one, the first for those who name none; see `make_engine`
        settings: limits and sizes
        address: where to listen
        places: files and folders
        page: also serve the page
        announce: told where the service is, once it answers
        **loading: see `make_engine`

    Raises:
        ValueError: a package of the extra ``serve`` is missing, the port is taken, two presets
            have one name, or keys, a preset or the database cannot be read
    """
    require_packages(*_NEEDED, *(["gradio"] if page else []))
    from emotion_llama.server.api.app import make_app
    from emotion_llama.server.api.keys import KeyRing
    from emotion_llama.server.api.observing import log_to_stderr
    from emotion_llama.server.api.uploads import UploadFolder

    keys = None if places.keys is None else KeyRing.from_file(places.keys)
    with (
        closing(bound(address.host, address.port, reuse_port=address.reuse_port)) as listener,
        _folders(places.data) as (data, own),
    ):
        app = make_app(
            Engines(*(make_engine(preset, settings, **loading) for preset in presets)),
            settings,
            keys=keys,
            uploads=UploadFolder(own, int(settings.max_upload_mb * 1e6)),
            database=places.database or f"sqlite:///{data / 'batches.sqlite'}",
            batch_dir=data / "batches",
            page=page,
            examples=_examples(places.examples),
        )
        log_to_stderr()
        _serve(app, listener, settings, announce, _end_of_page(app) if page else lambda: None)


@contextmanager
def _folders(data: Path | None) -> Iterator[tuple[Path, Path]]:
    """Give the folder of batches and, below it, the one for uploads of this process alone.

    What a process that was killed has left is removed.
    """
    with tempfile.TemporaryDirectory(prefix="emotion-llama-") as temporary:
        folder = Path(temporary) if data is None else data.absolute()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob("uploads-*"):
            if not _is_alive(int(left.name.partition("-")[2])):
                rmtree(left, ignore_errors=True)
        own = folder / f"uploads-{os.getpid()}"
        try:
            yield folder, own
        finally:
            rmtree(own, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    """Tell whether a process runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _end_of_page(app: "FastAPI") -> Callable[[], None]:
    from emotion_llama.server.page import close_page

    return partial(close_page, app)


def _examples(folder: Path | None) -> list[Path]:
    from emotion_llama.media.manifest import walk_media

    return [] if folder is None else sorted(walk_media(folder))


def proxy_settings(trusted: str) -> dict[str, Any]:
    """Give what lets uvicorn believe one proxy, and nobody else, when it says who asks.

    Args:
        trusted: address of the proxy; empty: none is believed
    """
    return {"proxy_headers": bool(trusted), "forwarded_allow_ips": trusted}


def _serve(
    app: "FastAPI",
    listener: socket.socket,
    settings: ServeConfig,
    announce: Callable[[str], None],
    end_page: Callable[[], None],
) -> None:
    import uvicorn

    class Announcing(uvicorn.Server):
        """Says where it is once it answers."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Start, then say so."""
            await super().startup(sockets)
            if self.started:
                host, port = listener.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                announce(f"serving on http://{shown}:{port} (API: /docs; Ctrl-C ends)")

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Let open pages go first: each holds a connection that never ends of itself."""
            end_page()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        log_config=None,  # one line a request is written by the service itself
        access_log=False,
        server_header=False,
        **proxy_settings(settings.trusted_proxy),
        timeout_graceful_shutdown=round(settings.answer_limit_s),
    )
    with _heard_once():
        Announcing(config).run(sockets=[listener])


@contextmanager
def _heard_once() -> Iterator[None]:
    """Let signals end the server in order, and nothing more.

    uvicorn sends itself the signal again when it is done, which would end the process before
    folders are removed.
    """
    before = {
        name: signal.signal(name, lambda *_: None) for name in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
