"""The API with a stub model: predictions, errors in one form, what is never told or kept."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import running, stub_engine, wait_for

from emotion_llama.config import ServeConfig
from emotion_llama.records import Prediction
from emotion_llama.server.api.app import make_app, put_behind_routes
from emotion_llama.server.api.schemas import ErrorResponse, PredictionResponse
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.engines import Engines

LIMITS = ServeConfig(
    max_upload_mb=0.5, max_text_chars=200, max_waiting=60, requests_per_minute=100_000
)


@pytest.fixture(scope="module")
def engine() -> Any:
    return stub_engine(LIMITS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> UploadFolder:
    return UploadFolder(tmp_path_factory.mktemp("api") / "uploads", 500_000)


@pytest.fixture(scope="module")
def client(engine: Any, folder: UploadFolder) -> Iterator[httpx.Client]:
    app = make_app(Engines(engine), LIMITS, keys=None, uploads=folder, database=None, page=False)
    with running(app) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_left(folder: UploadFolder, engine: Any) -> Iterator[None]:
    yield
    wait_for(lambda: not list(folder.root.iterdir()), 5)
    wait_for(lambda: engine.num_admitted == 0, 5)


def predict(client: httpx.Client, content: bytes = b"sound", **fields: str) -> httpx.Response:
    return client.post("/v1/predict", files={"file": ("a.wav", content)}, data=fields)


def error(answer: httpx.Response, status: int) -> Any:
    """Check the form of an error and give what it says."""
    assert answer.status_code == status, answer.text
    detail = ErrorResponse.model_validate(answer.json()).error
    assert detail.request_id == answer.headers["x-request-id"]
    return detail


# ---- predictions


def test_a_file_is_answered_with_the_records_own_names(client: httpx.Client) -> None:
    answer = predict(client, b"sound")
    assert answer.status_code == 200, answer.text
    content = answer.json()
    PredictionResponse.model_validate(content)
    assert content["clip"] == "a.wav"
    assert content["sha256"] == hashlib.sha256(b"sound").hexdigest()
    assert content["reason"] == f"heard: {content['sha256']}"
    assert content["request_id"] == answer.headers["x-request-id"]
    names = {one.name for one in fields(Prediction)}
    assert set(content) == (names - {"evidence"}) | {"sha256", "request_id"}


def test_numbers_are_not_rounded(client: httpx.Client) -> None:
    content = predict(client, evidence="true").json()
    assert content["confidence"] == 1 / 8
    assert content["valence"] == -1 / 3
    assert content["key_frame_s"] == 1 / 7
    assert content["evidence"][0]["value"] == 1 / 3


def test_evidence_is_left_out_unless_it_is_asked_for(client: httpx.Client) -> None:
    assert "evidence" not in predict(client).json()
    assert len(predict(client, evidence="true").json()["evidence"]) == 1


def test_a_reason_is_written_unless_it_is_not_wanted(client: httpx.Client) -> None:
    assert predict(client, reason="false").json()["reason"] is None


@pytest.mark.parametrize("labels", ["mer2023", "neutral, angry, happy"])
def test_labels_are_a_set_or_a_list(client: httpx.Client, labels: str) -> None:
    offered = list(predict(client, labels=labels).json()["probabilities"])
    assert offered[:3] == ["neutral", "angry", "happy"]
    assert len(offered) == (6 if labels == "mer2023" else 3)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[httpx.Client, Any, Any]]:
    """A service of two presets."""
    small, large = stub_engine(LIMITS, "small"), stub_engine(LIMITS, "large")
    folder = UploadFolder(tmp_path / "uploads", 500_000)
    app = make_app(
        Engines(small, large), LIMITS, keys=None, uploads=folder, database=None, page=False
    )
    with running(app) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield client, small, large
    assert list(folder.root.iterdir()) == []


def test_the_preset_that_is_named_answers(both: tuple[httpx.Client, Any, Any]) -> None:
    client, small, large = both
    assert predict(client).json()["preset"] == "small"
    for name in ("small", "large"):
        assert predict(client, model=name).json()["preset"] == name
        assert (
            client.post("/v1/predict", data={"text": "a", "model": name}).json()["preset"] == name
        )
    listed = client.get("/v1/models").json()["data"]
    assert [one["id"] for one in listed] == ["small", "large"]
    assert client.get("/v1/models/large").json()["id"] == "large"
    text = client.get("/metrics").text
    assert 'emotion_llama_admitted{model="large"} 0.0' in text
    assert 'emotion_llama_batches_total{clips="1",model="large"} 2.0' in text
    assert 'emotion_llama_batches_total{clips="1",model="small"} 3.0' in text


def test_a_preset_that_is_not_served_is_not_found(both: tuple[httpx.Client, Any, Any]) -> None:
    client, small, large = both
    for name in ("gone", ""):
        detail = error(predict(client, model=name), 404)
        assert (detail.code, detail.param) == ("model_not_found", "model")
        assert "expected one of 'small', 'large'" in detail.message
    assert (small.num_admitted, large.num_admitted) == (0, 0)


def test_a_talk_is_held_with_the_preset_that_is_named(
    both: tuple[httpx.Client, Any, Any],
) -> None:
    client, small, large = both
    body = {"messages": [{"role": "user", "content": "why so?"}], "transcript": "so glad"}
    answer = client.post("/v1/chat/completions", json={**body, "model": "large"}).json()
    assert answer["model"] == "large"
    assert (len(small.predictor.talks), len(large.predictor.talks)) == (0, 1)
    refused = client.post("/v1/chat/completions", json={**body, "model": "gone"})
    assert error(refused, 404).code == "model_not_found"


def test_a_full_preset_refuses_and_another_answers(both: tuple[httpx.Client, Any, Any]) -> None:
    client, small, large = both
    large.num_admitted += LIMITS.max_waiting
    try:
        assert error(predict(client, model="large"), 429).code == "busy"
        assert predict(client, model="small").status_code == 200
    finally:
        large.num_admitted -= LIMITS.max_waiting


def test_the_service_is_ready_when_all_presets_are(both: tuple[httpx.Client, Any, Any]) -> None:
    client, _, large = both
    assert client.get("/readyz").status_code == 200
    large.state = "starting"
    assert error(client.get("/readyz"), 503).code == "not_serving"
    large.state = "ready"


def test_what_was_started_is_stopped_where_another_preset_does_not_start(tmp_path: Path) -> None:
    small, large = stub_engine(LIMITS, "small"), stub_engine(LIMITS, "large")

    async def fail() -> None:
        msg = "no process starts"
        raise RuntimeError(msg)

    large.readers.start = fail  # type: ignore[method-assign]
    folder = UploadFolder(tmp_path, 1000)
    app = make_app(
        Engines(small, large), LIMITS, keys=None, uploads=folder, database=None, page=False
    )

    async def live() -> None:
        async with app.router.lifespan_context(app):
            pass

    with pytest.raises(RuntimeError, match="no process starts"):
        asyncio.run(live())
    assert small.state == "stopped"


def test_words_alone_are_answered(client: httpx.Client) -> None:
    for form in ({"data": {"text": "so glad"}}, {"files": {"text": (None, "so glad")}}):
        content = client.post("/v1/predict", **form).json()
        assert content["reason"] == "heard: so glad"
        assert content["sha256"] is None


def test_the_content_type_of_a_file_is_not_trusted(client: httpx.Client) -> None:
    file = ("film.mp4", b"sound", "text/html")
    assert client.post("/v1/predict", files={"file": file}).status_code == 200


def test_names_are_labels_only(client: httpx.Client) -> None:
    file = ("../../etc/passwd\u202e.wav", b"sound")
    assert client.post("/v1/predict", files={"file": file}).json()["clip"] == "passwd.wav"


def test_fifty_clients_at_once_get_their_own_answers(client: httpx.Client) -> None:
    async def ask(session: httpx.AsyncClient, number: int) -> None:
        content = b"%d;" % number * (100 + 2000 * number)
        file = (f"{number}.wav", content)
        answer = (await session.post("/v1/predict", files={"file": file})).json()
        digest = hashlib.sha256(content).hexdigest()
        assert answer["sha256"] == digest
        assert answer["reason"] == f"heard: {digest}"
        assert answer["clip"] == f"{number}.wav"

    async def run() -> None:
        async with httpx.AsyncClient(base_url=client.base_url, timeout=60) as session:
            await asyncio.gather(*(ask(session, number) for number in range(50)))

    asyncio.run(run())


# ---- refusals


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"broken", 415, "unsupported_media"),
        (b"", 415, "unsupported_media"),
        (b"limit", 413, "too_large"),
        (b"timeout", 422, "unreadable_media"),
        (b"crash", 422, "unreadable_media"),
    ],
)
def test_files_that_give_nothing_say_why(
    client: httpx.Client, folder: UploadFolder, content: bytes, status: int, code: str
) -> None:
    detail = error(predict(client, content), status)
    assert (detail.code, detail.param) == (code, "file")
    assert detail.message.startswith("a.wav: found")
    assert str(folder.root) not in detail.message


def test_a_clip_with_nothing_to_go_on_is_unanswerable(client: httpx.Client) -> None:
    assert error(predict(client, text="nothing"), 422).code == "unanswerable"


@pytest.mark.parametrize(
    ("given", "param", "says"),
    [
        ({"labels": "one"}, "labels", "no label set"),
        ({"labels": "happy, happy"}, "labels", "repeats"),
        ({"labels": ",".join(f"l{n}" for n in range(65))}, "labels", "at most"),
        ({"text": "x" * 201}, "text", "201 characters"),
        ({"reason": "perhaps"}, "reason", "true or false"),
        ({"decision": "greedy"}, None, "'decision'"),
    ],
)
def test_unusable_fields_are_named(
    client: httpx.Client, given: dict[str, str], param: str | None, says: str
) -> None:
    detail = error(predict(client, **given), 422)
    assert detail.param == param
    assert says in detail.message


def test_a_field_twice_is_refused(client: httpx.Client) -> None:
    for name in ("text", "file"):
        file = (name, ("a", b"x")) if name == "file" else (name, (None, b"x"))
        assert error(client.post("/v1/predict", files=[file, file]), 422).param == name


def test_neither_file_nor_text_is_refused(client: httpx.Client) -> None:
    for form in ({"data": {"reason": "true"}}, {"data": {"text": "  "}}):
        assert "neither a file nor text" in error(client.post("/v1/predict", **form), 422).message


def test_paths_and_addresses_are_not_opened(client: httpx.Client) -> None:
    for text in ("/etc/passwd", "http://127.0.0.1:1/a.mp4", "file:///etc/passwd"):
        for form in ({"data": {"file": text}}, {"files": {"file": (None, text)}}):
            detail = error(client.post("/v1/predict", **form), 422)
            assert "expected a file" in detail.message


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "", "a/b; boundary=x"])
def test_other_bodies_are_refused(client: httpx.Client, kind: str) -> None:
    answer = client.post("/v1/predict", content=b"{}", headers={"Content-Type": kind})
    assert error(answer, 415).code == "unsupported_content_type"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n",
        b"--b\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nsound',
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nsound\r\n--b\r\n',
        b"--c\r\n",
        b"--b\r\n" + b"x" * 10_000 + b": y\r\n\r\nz\r\n--b--\r\n",
    ],
)
def test_broken_forms_are_told(client: httpx.Client, body: bytes) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert error(client.post("/v1/predict", content=body, headers=kind), 400).code == "broken_form"


def test_a_file_that_is_too_large_is_refused(client: httpx.Client) -> None:
    assert "500,000 bytes" in error(predict(client, bytes(500_001)), 413).message


def test_a_body_that_states_too_much_is_refused_at_once(client: httpx.Client) -> None:
    assert "1,500,000 bytes" in error(predict(client, bytes(2_000_000)), 413).message


def test_a_body_without_length_is_counted(client: httpx.Client) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    parts = (b"x" * 100_000 for _ in range(50))
    answer = client.post("/v1/predict", content=parts, headers=kind)
    assert answer.status_code in (400, 413)


def test_unforeseen_errors_show_nothing(client: httpx.Client) -> None:
    for answer in (predict(client, b"bug"), predict(client, text="fault")):
        detail = error(answer, 500)
        assert "secret" not in answer.text
        assert detail.type == "server_error"


# ---- all routes


def test_errors_of_the_framework_have_the_same_form(client: httpx.Client) -> None:
    assert error(client.get("/nowhere"), 404).type == "invalid_request_error"
    answer = client.get("/v1/predict")
    assert error(answer, 405).code == "method_not_allowed"
    assert answer.headers["allow"] == "POST"


def test_request_ids_are_taken_if_harmless(client: httpx.Client) -> None:
    for given, is_taken in (("my-id.1", True), ('x"y', False), ("a" * 65, False), ("", False)):
        answer = client.get("/healthz", headers={"X-Request-ID": given})
        assert (answer.headers["x-request-id"] == given) is is_taken
        assert len(answer.headers["x-request-id"]) in (7, 32)


def test_answers_carry_headers_that_keep_browsers_safe(client: httpx.Client) -> None:
    for path in ("/healthz", "/nowhere", "/v1/models"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers
    assert client.get("/v1/models").headers["cache-control"] == "no-store"


def test_the_service_says_that_it_is_alive_and_ready(client: httpx.Client, engine: Any) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    engine.state = "draining"
    try:
        for answer in (client.get("/readyz"), predict(client)):
            assert error(answer, 503).code == "not_serving"
            assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200
    finally:
        engine.state = "ready"


def test_too_many_at_once_are_told_when_to_come_back(client: httpx.Client, engine: Any) -> None:
    engine.num_admitted += LIMITS.max_waiting
    try:
        answer = predict(client)
        assert error(answer, 429).code == "busy"
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        engine.num_admitted -= LIMITS.max_waiting


def test_counts_tell_of_requests_and_load(client: httpx.Client) -> None:
    predict(client)
    predict(client, b"broken")
    client.request("BREW", "/nowhere/secret-path")
    text = client.get("/metrics").text
    for line in (
        'emotion_llama_requests_total{method="POST",route="/v1/predict",status="200"}',
        'emotion_llama_requests_total{method="POST",route="/v1/predict",status="415"}',
        'emotion_llama_requests_total{method="other",route="none",status="404"}',
        'emotion_llama_request_seconds_count{route="/v1/predict"}',
        'emotion_llama_admitted{model="stub"} 0.0',
        'emotion_llama_batches_total{clips="1",model="stub"}',
        'emotion_llama_rejected_total{code="unsupported_media"}',
    ):
        assert line in text
    assert "secret" not in text


def told(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [getattr(one, "fields", None) for one in caplog.records]


def test_the_log_has_a_line_for_a_request_and_no_content(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "emotion_llama.server"):
        content = predict(client, text="my words", labels="happy, private").json()
        client.get("/v1/files/secret-id")
        wait_for(lambda: caplog.records and told(caplog)[-1]["error"])
    first, second = told(caplog)[-2:]
    assert first["route"] == "/v1/predict"
    assert (first["status"], first["method"], first["error"]) == (200, "POST", None)
    assert first["request_id"] == content["request_id"]
    assert first["bytes"] > 100
    assert (second["route"], second["error"]) == ("/v1/files/{file_id}", "file_not_found")
    lines = json.dumps([first, second])
    for secret in ("my words", "a.wav", content["sha256"], "private", "secret-id", "happy"):
        assert secret not in lines


def test_a_page_at_the_root_takes_only_what_no_route_of_the_api_does() -> None:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from starlette.responses import PlainTextResponse

    app = FastAPI()
    app.add_api_route("/v1/thing", lambda: "thing", methods=["POST"])
    app.mount("/", PlainTextResponse("page"))
    put_behind_routes(app)
    client = TestClient(app)
    for path in ("/", "/anything", "/v1x"):
        assert client.get(path).text == "page"
    assert client.get("/v1/thing").status_code == 405
    assert client.get("/v1/nothing").status_code == 404
    assert client.post("/v1/thing").json() == "thing"


# ---- who goes away


def test_nothing_is_computed_for_who_has_gone(client: httpx.Client, engine: Any) -> None:
    for form in ({"files": {"file": b"hang"}}, {"files": {"file": b"x"}, "data": {"text": "slow"}}):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{client.base_url}/v1/predict", timeout=0.5, **form)
    wait_for(lambda: engine.readers.num_cancelled == 1)
    wait_for(lambda: engine.predictor.num_given_up == 1)


def test_an_answer_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    settings = ServeConfig(answer_limit_s=0.3)
    engine: Any = stub_engine(settings)
    folder = UploadFolder(tmp_path, 1000)
    app = make_app(Engines(engine), settings, keys=None, uploads=folder, database=None, page=False)
    with running(app) as address:
        answer = httpx.post(f"{address}/v1/predict", files={"file": b"hang"})
        assert error(answer, 504).code == "timeout"
        assert engine.readers.num_cancelled == 1
        assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_server_left_is_removed_and_nothing_stays(tmp_path: Path) -> None:
    left = tmp_path / "upload-old"
    left.write_bytes(b"x")
    engine = stub_engine()
    folder = UploadFolder(tmp_path, 1000)
    app = make_app(
        Engines(engine), ServeConfig(), keys=None, uploads=folder, database=None, page=False
    )
    with running(app) as address:
        assert not left.exists()
        file = {"file": b"x"}
        httpx.post(f"{address}/v1/files", files=file, data={"purpose": "user_data"})
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
    assert engine.state == "stopped"
