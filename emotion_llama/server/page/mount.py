"""Application + engines -> the same application with the page at its root.

Knows: how Gradio is mounted, locked and cleaned up. Does not know: what is on the page.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import FastAPI
from starlette.routing import Mount

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.keys import RateLimit
from emotion_llama.server.engines import Engines
from emotion_llama.server.page.gate import Gate
from emotion_llama.server.page.steps import Service

if TYPE_CHECKING:
    import gradio

CSS_FILE = Path(__file__).parent / "page.css"
LOGIN = "This server asks for a key. Write any name, and the key as the password."
_QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False"}
"""Gradio reports nothing to its makers, and keeps no history of runs."""


class Keys(Protocol):
    """What knows the keys of this server."""

    def check(self, key: str) -> str | None:
        """Give the name that a key has; ``None``: it is none."""


def mount_page(
    app: FastAPI,
    engines: Engines,
    settings: ServeConfig,
    keys: Keys | None,
    *,
    examples: Sequence[Path] = (),
) -> None:
    """Put the page at the root of an application; routes that are there already come first.

    Args:
        app: to be changed
        engines: answer
        settings: what the page accepts
        keys: whose keys open the page; ``None``: it is open to all
        examples: clips that can be tried
    """
    folder = Path(tempfile.mkdtemp(prefix="emotion-llama-page-")).resolve()
    # Gradio reads these once: when it is imported, and when a page is made
    os.environ.update(_QUIET, GRADIO_TEMP_DIR=str(folder))
    import gradio

    from emotion_llama.server.page.layout import make_page

    service = Service(engines, settings, folder, RateLimit(settings.requests_per_minute))
    blocks = make_page(service, [_copied(path, folder) for path in examples])
    gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        auth=None if keys is None else lambda _name, key: keys.check(key) is not None,
        auth_message=LOGIN,
        show_error=False,
        max_file_size=round(settings.max_upload_mb * 10**6),
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=_theme(),
        css=CSS_FILE.read_text(encoding="utf-8"),
    )
    mounted = app.router.routes[-1]
    assert isinstance(mounted, Mount)
    app.state.end_page = mounted.app.stop_event.set  # type: ignore[attr-defined]
    mounted.app = Gate(mounted.app, folder)
    _clean_at_end(app, folder)


def close_page(app: FastAPI) -> None:
    """End the connections that open pages hold, for which a server that stops would wait.

    To be called in the event loop, before the server waits for its connections to close.

    Args:
        app: with or without a page
    """
    end = getattr(app.state, "end_page", None)
    if end is not None:
        end()


def _copied(path: Path, folder: Path) -> Path:
    """Copy an example to where the page may read."""
    target = folder / "examples" / path.name
    target.parent.mkdir(exist_ok=True)
    for one in (path, path.with_suffix(".txt")):
        if one.is_file():
            shutil.copy(one, target.parent)
    return target


def _theme() -> "gradio.themes.Base":
    """Give calm colours and the letters that the system has, so that no font is loaded."""
    import gradio

    letters = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
    mono = ("ui-monospace", "Consolas", "monospace")
    theme = gradio.themes.Default(
        primary_hue="teal", neutral_hue="slate", font=letters, font_mono=mono, radius_size="md"
    )
    fill = "button_primary_background_fill"
    # the usual shades are too light for white letters
    shades = {fill: "*primary_700", f"{fill}_hover": "*primary_800"}
    both = shades | {f"{name}_dark": shade for name, shade in shades.items()}
    return theme.set(**both, button_primary_text_color="white")


def _clean_at_end(app: FastAPI, folder: Path) -> None:
    """Remove all given files when the application ends."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        try:
            async with inner(app) as state:
                yield state
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    app.router.lifespan_context = lifespan
