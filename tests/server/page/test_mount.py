"""What the page lets in: its own requests, of who has a key, and nothing else of Gradio's."""

import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from serving import running, stub_engine, wait_for, wav
from starlette.testclient import TestClient

from emotion_llama.config import ServeConfig
from emotion_llama.labels import label_set
from emotion_llama.server.api.keys import RateLimit
from emotion_llama.server.engines import Engines
from emotion_llama.server.page import close_page, mount_page
from emotion_llama.server.page.steps import Service

KEY = "el_sesame"


class Keys:
    def check(self, key: str) -> str | None:
        return "somebody" if key == KEY else None


@contextmanager
def mounted(
    app: FastAPI, keys: Keys | None = None, presets: Sequence[str] = ("stub",)
) -> Iterator[None]:
    """Mount a page; what that sets for the whole process is taken back at the end."""
    engines = Engines(*(stub_engine(preset=name) for name in presets))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY"):
            patch.setenv(name, "")
        mount_page(app, engines, ServeConfig(max_upload_mb=1), keys)
        yield


@contextmanager
def page(keys: Keys | None = None, presets: Sequence[str] = ("stub",)) -> Iterator[TestClient]:
    app = FastAPI()
    app.get("/healthz")(lambda: "alive")
    with mounted(app, keys, presets), TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with page() as client:
        yield client


def folder(client: TestClient) -> Path:
    (name,) = client.post("/gradio_api/upload", files={"files": ("a.wav", wav())}).json()
    return Path(name).parents[1]


def join(client: TestClient, *data: Any) -> Any:
    body = {"data": data, "fn_index": main_event(client), "session_hash": "abc"}
    return client.post("/gradio_api/queue/join", json=body)


def main_event(client: TestClient) -> int:
    """Find the event of the button, which is the one with most inputs."""
    events = client.get("/config").json()["dependencies"]
    return int(max(events, key=lambda one: len(one["inputs"]))["id"])


def file_of(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def test_routes_that_are_there_come_before_the_page(client: TestClient) -> None:
    assert client.get("/healthz").json() == "alive"
    assert "Emotion-LLaMA" in client.get("/").text


def preset_choice(client: TestClient) -> dict[str, Any]:
    components = client.get("/config").json()["components"]
    (found,) = [one["props"] for one in components if one["props"].get("elem_id") == "el-preset"]
    return dict(found)


def test_presets_can_be_chosen_where_there_are_several(client: TestClient) -> None:
    assert preset_choice(client)["visible"] is False
    with page(presets=("small", "large")) as other:
        shown = preset_choice(other)
        assert shown["visible"] and shown["value"] == "small"
        assert [value for _, value in shown["choices"]] == ["small", "large"]


def test_a_chosen_preset_shows_its_terms_and_its_labels(client: TestClient, tmp_path: Path) -> None:
    from emotion_llama.server.page import events  # loads Gradio, which a page sets up first

    small, large = stub_engine(preset="small"), stub_engine(preset="large")
    terms: Any = "For research only."
    large.predictor.notice = terms
    large.predictor.offered = lambda labels=None: label_set("calm, tense")  # type: ignore[method-assign]
    here = Service(Engines(small, large), ServeConfig(), tmp_path, RateLimit(9))
    header, labels = events.show_preset(here, "large", "dfew")
    assert "large" in header and terms in header
    assert labels["choices"][0] == ("of the preset: calm, tense", "") and labels["value"] == "dfew"


def test_a_given_file_can_be_named(client: TestClient) -> None:
    path = folder(client) / "x" / "a.wav"
    url = f"http://127.0.0.1/gradio_api/file={path}"
    assert join(client, False, "stub", "File", file_of(str(path), url=url)).status_code == 200


@pytest.mark.parametrize("path", ["/etc/passwd", "{}/../../etc/passwd", "etc/passwd", "", 7, None])
def test_no_other_file_of_the_server_can_be_named(client: TestClient, path: Any) -> None:
    path = path.format(folder(client)) if isinstance(path, str) else path
    answer = join(client, False, "stub", "File", {"deep": [file_of(path)]})
    assert answer.status_code == 403 and "root:" not in answer.text


def test_no_address_is_fetched(client: TestClient) -> None:
    path = str(folder(client) / "x" / "a.wav")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        for named in (file_of(url), file_of(path, url=url), {"url": url}):
            assert join(client, False, "stub", "File", named).status_code == 403
        fetched = client.get(f"/gradio_api/file={url}")
        assert fetched.status_code == 404
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("body", [b"[", b"[" * 100_000, b" " * 1_100_000])
def test_a_body_that_cannot_be_checked_is_refused(client: TestClient, body: bytes) -> None:
    assert client.post("/gradio_api/queue/join", content=body).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/file={}/../../etc/passwd"),
        ("GET", "/gradio_api/file={}/..%2F..%2Fetc/passwd"),
        ("GET", "/gradio_api/file/etc/passwd"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1:9/x"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/api/predict"),
        ("POST", "/gradio_api/call/answer"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/gradio_api/dev/reload"),
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", "/gradio_api/stream/a/b/1/playlist.m3u8"),
        ("PUT", "/"),
    ],
)
def test_what_the_page_does_not_need_is_closed(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path.format(folder(client)))
    assert answer.status_code == 404 and answer.json() == {"error": "there is no such page"}


def test_programs_find_no_event_to_call(client: TestClient) -> None:
    found = client.get("/gradio_api/info").json()
    assert found == {"named_endpoints": {}, "unnamed_endpoints": {}}


def test_nothing_may_come_from_elsewhere(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy


def test_a_file_over_the_limit_is_refused(client: TestClient) -> None:
    answer = client.post("/gradio_api/upload", files={"files": ("a.wav", b"0" * 1_100_000)})
    assert answer.status_code == 413


def test_given_files_are_private_and_end_with_the_application() -> None:
    with page() as client:
        kept = folder(client)
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert not kept.exists()


def test_given_files_are_deleted_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emotion_llama.server.page.layout.SWEPT_S", 1)
    monkeypatch.setattr("emotion_llama.server.page.layout.KEPT_S", 1)
    with page() as client:
        kept = folder(client)
        wait_for(lambda: not list(kept.rglob("*.wav")), 10)


def test_a_server_that_stops_need_not_wait_for_open_pages() -> None:
    app = FastAPI()

    @app.post("/stop")
    async def stop() -> None:
        close_page(app)

    with mounted(app), running(app) as address:
        heartbeat = f"{address}/gradio_api/heartbeat/abc"
        with httpx.stream("GET", heartbeat, timeout=10) as answer:
            parts = answer.iter_text()
            assert "ALIVE" in next(parts)
            httpx.post(f"{address}/stop")
            assert list(parts) == []
    close_page(FastAPI())


def test_a_page_with_keys_shows_and_takes_nothing_without_one() -> None:
    with page(Keys()) as client:
        assert client.get("/config").status_code == 401
        assert "auth_required" in client.get("/").text
        assert client.post("/gradio_api/upload", files={"files": ("a", b"0")}).status_code == 401
        body = {"data": [], "fn_index": 0, "session_hash": "abc"}
        assert client.post("/gradio_api/queue/join", json=body).status_code == 401
        wrong = client.post("/login", data={"username": "me", "password": "x"})
        assert wrong.status_code == 400
        right = client.post("/login", data={"username": "me", "password": KEY})
        assert right.status_code == 200
        assert client.get("/config").json()["components"]
