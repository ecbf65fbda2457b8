"""The page that describes the API: complete, and nothing on it comes from elsewhere."""

from pathlib import Path
from typing import Any

import pytest
from serving import stub_engine

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.app import make_app
from emotion_llama.server.api.docs_page import to_html
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.engines import Engines


@pytest.fixture
def described(tmp_path: Path) -> Any:
    folder, settings = UploadFolder(tmp_path, 10), ServeConfig()
    app = make_app(
        Engines(stub_engine()), settings, keys=None, uploads=folder, database=None, page=False
    )
    return app.openapi()


def test_every_route_field_and_answer_is_on_the_page(described: Any) -> None:
    page = to_html(described)
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code> {operation['summary']}" in page
    for name in ("labels", "evidence", "temperature", "transcript", "purpose", "sha256"):
        assert f"<code>{name}</code>" in page
    assert "<td>string, required</td>" in page
    assert "Too many requests" in page


def test_nothing_comes_from_elsewhere(described: Any) -> None:
    page = to_html(described)
    for loading in ("<script", "<link", "<style", "src=", "http://", "https://"):
        assert loading not in page


def test_words_stay_words() -> None:
    answers = {"200": {"description": "<b>"}}
    operation = {"summary": "<i>", "description": "`<a>`", "responses": answers}
    info = {"title": "<x>", "version": "1", "summary": "&"}
    page = to_html({"info": info, "paths": {"/<p>": {"get": operation}}})
    for raw in ("<x>", "<i>", "<b>", "<a>", "/<p>"):
        assert raw not in page
    for shown in (
        "&lt;x&gt;",
        "&lt;i&gt;",
        "&lt;b&gt;",
        "<code>&lt;a&gt;</code>",
        "GET /&lt;p&gt;",
    ):
        assert shown in page
