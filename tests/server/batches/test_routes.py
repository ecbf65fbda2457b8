"""The routes of batches, from the first request to the last line of the results."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="NOT CHECKED: needs sqlalchemy")
pytest.importorskip("fastapi", reason="NOT CHECKED: needs fastapi")

from batch_samples import StubEngine, prediction, store_at
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.api_error import ApiError, to_api_error
from emotion_llama.server.api.uploads import TooLargeError, UploadFolder
from emotion_llama.server.batches import files, routes
from emotion_llama.server.batches import worker as working
from emotion_llama.server.batches.store import BatchStore
from emotion_llama.server.engine import UnanswerableError
from emotion_llama.server.engines import Engines

SETTINGS = ServeConfig(
    batch_size=4, max_batch_clips=6, max_text_chars=20, max_json_kb=4.0, max_upload_mb=0.01
)
FAULTS = {"empty.mp4": UnanswerableError("empty.mp4 gives neither a feature nor text")}
UNKNOWN = "0" * 32


def make_app(folder: Path, settings: ServeConfig = SETTINGS) -> FastAPI:
    """Give an app with only the routes of batches, as the server puts them together."""
    engine: Any = StubEngine(settings, dict(FAULTS))
    other: Any = StubEngine(settings, preset="other")
    store = store_at(folder)
    uploads = UploadFolder(folder / "uploads", round(settings.max_upload_mb * 1e6))
    engines = Engines(engine, other)
    worker = routes.BatchWorker(store, engines, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.may_answer = asyncio.Event()
        engine.may_answer.set()
        await worker.start()
        yield
        engine.may_answer.set()
        await worker.stop()
        store.close()

    app = FastAPI(lifespan=lifespan)
    app.state.engine, app.state.other, app.state.store = engine, other, store

    @app.middleware("http")
    async def name_key(request: Request, call_next: Any) -> Any:
        request.state.key_name = request.headers.get("x-key-name")
        return await call_next(request)

    @app.exception_handler(ApiError)
    @app.exception_handler(TooLargeError)
    async def answer(_: Request, error: Exception) -> JSONResponse:
        refusal = to_api_error(error)
        return JSONResponse({"detail": refusal.message}, refusal.status)

    app.include_router(routes.make_router(store, engines, uploads, settings))
    return app


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "POLL_S", 0.01)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Any]:
    with TestClient(make_app(tmp_path)) as client:
        yield client


def store_of(api: Any) -> BatchStore:
    store: BatchStore = api.app.state.store
    return store


def opened(api: Any, key: str | None = None, **options: Any) -> str:
    answer = api.post("/v1/batches", json=options, headers=as_key(key))
    assert answer.status_code == 201, answer.text
    batch_id: str = answer.json()["id"]
    return batch_id


def as_key(name: str | None) -> dict[str, str]:
    return {} if name is None else {"x-key-name": name}


def send(
    api: Any,
    batch: str,
    name: str = "a.mp4",
    content: bytes = b"",
    key: str | None = None,
    **form: str,
) -> Any:
    files = {"file": (name, content or name.encode(), "video/mp4")}
    url = f"/v1/batches/{batch}/clips"
    return api.post(url, files=files, data=form, headers=as_key(key))


def started(api: Any, *names: str, key: str | None = None, **options: Any) -> str:
    batch = opened(api, key, **options)
    for name in names:
        assert send(api, batch, name, key=key).status_code == 201
    assert api.post(f"/v1/batches/{batch}/start", headers=as_key(key)).status_code == 200
    return batch


def ended(api: Any, batch: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while (told := api.get(f"/v1/batches/{batch}").json())["ended_at"] is None:
        assert time.monotonic() < deadline, told
        time.sleep(0.005)
    return dict(told)


def results(api: Any, batch: str) -> list[dict[str, Any]]:
    answer = api.get(f"/v1/batches/{batch}/results")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_batch_from_the_first_request_to_its_results(api: Any, tmp_path: Path) -> None:
    answer = api.post("/v1/batches", json={"labels": ["calm", "tense"], "metadata": {"study": "7"}})
    told = answer.json()
    batch = told["id"]
    assert (told["status"], told["labels"], told["metadata"]) == (
        *("open", ["calm", "tense"]),
        {"study": "7"},
    )
    assert told["expires_at"] > told["created_at"]
    clip = send(api, batch, "b.mp4", b"film", text="hello").json()
    sha256 = hashlib.sha256(b"film").hexdigest()
    assert clip == {
        **{"number": 0, "clip": "b.mp4", "sha256": sha256, "num_bytes": 4, "is_new": True}
    }
    send(api, batch, "empty.mp4")
    send(api, batch, "a.mp4")
    assert api.post(f"/v1/batches/{batch}/start").json()["num_clips"] == 3
    told = ended(api, batch)
    assert told["status"] == "finished"
    assert told["counts"] == {"waiting": 0, "running": 0, "done": 2, "failed": 1, "cancelled": 0}
    assert told["kept_bytes"] == 0
    assert told["created_at"] <= told["started_at"] <= told["ended_at"] < told["expires_at"]
    lines = results(api, batch)
    expected = prediction("b.mp4", b"film", "hello", ("calm", "tense")).to_dict()
    del expected["evidence"]
    assert lines[0] == {
        "clip": "b.mp4",
        "sha256": sha256,
        "state": "done",
        "prediction": json.loads(json.dumps(expected)),
        "error": None,
    }
    assert [line["clip"] for line in lines] == ["b.mp4", "empty.mp4", "a.mp4"]
    assert lines[1]["error"] == "empty.mp4 gives neither a feature nor text"
    assert lines[1]["prediction"] is None
    assert [path for path in tmp_path.rglob("*") if path.parent.name == "uploads"] == []
    assert list(store_of(api).files.root.iterdir()) == []


def test_a_batch_names_its_preset(api: Any) -> None:
    told = [
        api.post("/v1/batches", json=row).json()
        for row in ({}, {"model": None}, {"model": "other"})
    ]
    assert [one["model"] for one in told] == ["stub", "stub", "other"]
    ended(api, started(api, "a", model="other"))
    assert (api.app.state.engine.answered, api.app.state.other.answered) == ([], ["a"])
    unknown = api.post("/v1/batches", json={"model": "gone"})
    assert (unknown.status_code, "'gone', which is not served" in unknown.text) == (404, True)


def test_results_can_be_asked_for_before_the_end(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "PAGE_CLIPS", 2)
    api.app.state.engine.may_answer.clear()
    batch = started(api, "a", "b", "c", "d", "e")
    lines = results(api, batch)
    assert [line["clip"] for line in lines] == list("abcde")
    assert {line["state"] for line in lines} <= {"waiting", "running"}
    assert {(line["prediction"], line["error"]) for line in lines} == {(None, None)}


def test_results_of_a_batch_that_goes_away_are_cut_off(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = started(api, "a", "b")
    monkeypatch.setattr(store_of(api), "outcomes", lambda *_, **__: [])
    with pytest.raises(RuntimeError, match="removed while its results were read"):
        results(api, batch)


def test_a_request_that_is_sent_again_stays_one_clip(api: Any) -> None:
    batch = opened(api)
    first, again = send(api, batch), send(api, batch)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == {**first.json(), "is_new": False}
    assert send(api, batch, text="").status_code == 200
    assert send(api, batch, text="other").json()["number"] == 1


def test_another_key_s_batch_does_not_exist(api: Any) -> None:
    batch = started(api, "a", key="ann")
    for key in (None, "bob"):
        headers = as_key(key)
        url = f"/v1/batches/{batch}"
        answers = [
            api.get(url, headers=headers),
            api.get(f"{url}/results", headers=headers),
            api.post(f"{url}/start", headers=headers),
            api.post(f"{url}/cancel", headers=headers),
            api.delete(url, headers=headers),
            send(api, batch, key=key),
        ]
        missing = api.get(f"/v1/batches/{UNKNOWN}", headers=headers)
        assert {answer.status_code for answer in answers} == {404}
        assert answers[0].json()["detail"] == missing.json()["detail"].replace(UNKNOWN, batch)
        assert api.get("/v1/batches", headers=headers).json() == {"batches": [], "next": None}
    assert api.get("/v1/batches", headers=as_key("ann")).json()["batches"][0]["id"] == batch


def test_pages_lead_through_all_batches(api: Any) -> None:
    ids = [opened(api) for _ in range(5)]
    seen: list[str] = []
    following: str | None = ""
    while following is not None:
        query = f"&before={following}" if following else ""
        page = api.get(f"/v1/batches?limit=2{query}").json()
        seen += [batch["id"] for batch in page["batches"]]
        following = page["next"]
    assert seen == ids[::-1]


def test_cancel_keeps_a_batch_and_delete_does_not(api: Any) -> None:
    api.app.state.engine.may_answer.clear()
    batch = started(api, "a", "b")
    url = f"/v1/batches/{batch}"
    assert api.post(f"{url}/cancel").json()["status"] == "cancelled"
    assert list(store_of(api).files.root.iterdir()) == []
    assert [line["state"] for line in results(api, batch)] == ["cancelled"] * 2
    assert api.post(f"{url}/cancel").status_code == 200
    assert api.post(f"{url}/start").status_code == 409
    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == api.delete(url).status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "Invalid JSON"),
        (b"\xe6\xff", "Invalid JSON"),
        (b"[]", "object"),
        (b'{"labels": "nonsense"}', "'nonsense' is no label set"),
        (b'{"labels": ["a", "a"]}', "repeats"),
        (b'{"labels": []}', "at least 1"),
        (b'{"reason": "perhaps"}', "boolean"),
        (b'{"unknown": 1}', "Extra inputs"),
        (b'{"metadata": {"a": 1}}', "string"),
        (b'{"metadata": {"a": "\\ud800"}}', "Invalid JSON"),
        (json.dumps({"metadata": dict.fromkeys(map(str, range(17)), "")}).encode(), "at most 16"),
    ],
)
def test_a_request_that_cannot_be_used_says_why(api: Any, body: bytes, message: str) -> None:
    headers = {"content-type": "application/json"}
    answer = api.post("/v1/batches", content=body, headers=headers)
    assert answer.status_code == 422
    assert message in answer.text


def test_only_small_json_opens_a_batch(api: Any) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}
    large = json.dumps({"metadata": {"a": "x" * 5000}}).encode()
    assert api.post("/v1/batches", content=large, headers=headers).status_code == 413
    assert api.post("/v1/batches", content=b"a=b").status_code == 415
    assert api.post("/v1/batches", content=b"{}", headers=headers).status_code == 201


def test_limits_of_clips_are_kept(api: Any, tmp_path: Path) -> None:
    batch = opened(api)
    too_long = send(api, batch, text="x" * 21)
    assert (too_long.status_code, "found 21 characters" in too_long.text) == (422, True)
    assert send(api, batch, content=b"x" * 10_001).status_code == 413
    assert api.post(f"/v1/batches/{batch}/clips", files={"text": (None, "a")}).status_code == 422
    assert send(api, batch, other="field").status_code == 422
    assert api.post(f"/v1/batches/{batch}/clips", json={}).status_code == 415
    assert list((tmp_path / "uploads").iterdir()) == []
    for number in range(6):
        assert send(api, batch, f"{number}").status_code == 201
    full = send(api, batch, "7")
    assert (full.status_code, "expected fewer than 6" in full.text) == (409, True)
    assert list((tmp_path / "uploads").iterdir()) == []
    assert len(list(store_of(api).files.root.glob("*/*"))) == 6


def test_a_key_has_only_so_many_batches(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MAX_BATCHES", 1)
    opened(api, "ann")
    opened(api, "bob")
    answer = api.post("/v1/batches", json={}, headers=as_key("ann"))
    assert (answer.status_code, "delete one" in answer.text) == (409, True)


def test_a_batch_without_a_clip_does_not_start(api: Any) -> None:
    answer = api.post(f"/v1/batches/{opened(api)}/start")
    assert (answer.status_code, "without a clip" in answer.text) == (409, True)


def test_a_name_is_a_label_and_never_a_path(api: Any) -> None:
    batch = opened(api)
    for name in ("../../a.mp4", "C:\\b.mp4", "..", "a\u202eb"):
        assert send(api, batch, name, content=name.encode()).status_code == 201
    api.post(f"/v1/batches/{batch}/start")
    ended(api, batch)
    assert [line["clip"] for line in results(api, batch)] == ["a.mp4", "b.mp4", "clip", "ab"]


@pytest.mark.parametrize("batch_id", ["..%2F..", "A" * 32, "0" * 31, "0" * 33, f"{UNKNOWN}%00"])
def test_what_is_no_id_is_refused(api: Any, batch_id: str) -> None:
    assert api.get(f"/v1/batches/{batch_id}").status_code in (404, 422)
    assert send(api, batch_id).status_code in (404, 422)


def test_a_full_disk_is_told(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = opened(api)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_keep", fail)
    assert send(api, batch).status_code == 507
    monkeypatch.setattr(files.BatchFiles, "free_bytes", 100)
    answer = send(api, batch)
    assert (answer.status_code, "no room" in answer.text) == (507, True)
    assert results(api, batch) == []


def test_a_database_that_is_away_is_told(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        statement = "SELECT secret"
        raise OperationalError(statement, {}, Exception("connection to host lost"))

    monkeypatch.setattr(store_of(api), "get", fail)
    answer = api.get(f"/v1/batches/{UNKNOWN}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "secret" not in answer.text and "host" not in answer.text


def test_a_batch_goes_on_after_a_restart(tmp_path: Path) -> None:
    with TestClient(make_app(tmp_path)) as first:
        first.app.state.engine.state = "draining"  # takes no clip
        batch = started(first, "a", "b")
    with TestClient(make_app(tmp_path)) as second:
        assert ended(second, batch)["counts"]["done"] == 2


def test_every_route_and_refusal_is_described(api: Any) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    routes = {
        (method, path): route["responses"].keys()
        for path, methods in paths.items()
        for method, route in methods.items()
    }
    base = "/v1/batches"
    assert routes.keys() == {
        *(("post", base), ("get", base)),
        *(("get", f"{base}/{{batch_id}}"), ("delete", f"{base}/{{batch_id}}")),
        *(("post", f"{base}/{{batch_id}}/{verb}") for verb in ("clips", "start", "cancel")),
        ("get", f"{base}/{{batch_id}}/results"),
    }
    assert all({"422", "429", "503"} <= statuses for statuses in routes.values())
    assert {"200", "201", "404", "409", "413", "415", "507"} <= routes[
        ("post", f"{base}/{{batch_id}}/clips")
    ]
    lines = paths[f"{base}/{{batch_id}}/results"]["get"]["responses"]["200"]["content"]
    assert lines.keys() == {"application/x-ndjson"}
