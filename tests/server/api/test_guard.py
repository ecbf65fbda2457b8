"""Who may come in: keys, rates, hosts, origins, sizes and times of bodies."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import running, stub_engine

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.app import make_app
from emotion_llama.server.api.guard import PAGE_CALLS
from emotion_llama.server.api.keys import KeyRing, hash_of
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.engines import Engines
from emotion_llama.server.service import proxy_settings

ANN, BOB = "el_ann", "el_bob"
KEYS = KeyRing({"ann": hash_of(ANN), "bob": hash_of(BOB)})
SETTINGS = ServeConfig(
    requests_per_minute=100_000, max_json_kb=1, max_upload_mb=0.01, body_limit_s=0.4, max_files=2
)


def make(folder: Path, keys: KeyRing | None, settings: ServeConfig = SETTINGS) -> Any:
    uploads = UploadFolder(folder, 10_000)
    engine = stub_engine(settings)
    return make_app(
        Engines(engine), settings, keys=keys, uploads=uploads, database=None, page=False
    )


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(make(tmp_path_factory.mktemp("keyed"), KEYS)) as address:
        yield address


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(make(tmp_path_factory.mktemp("local"), None)) as address:
        yield address


def of(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def code(answer: httpx.Response) -> Any:
    return answer.status_code, answer.json()["error"]["code"]


# ---- keys


@pytest.mark.parametrize(
    "path", ["/v1/predict", "/v1/models", "/metrics", "/docs", "/openapi.json", "/v1"]
)
@pytest.mark.parametrize(
    "header", [None, "Bearer el_wrong", "Bearer", "Basic el_ann", "el_ann", "Bearer él_ann"]
)
def test_without_a_known_key_nothing_is_told(keyed: str, path: str, header: str | None) -> None:
    headers = {"Authorization": header.encode("latin-1")} if header else {}
    answer = httpx.get(f"{keyed}{path}", headers=headers)
    assert code(answer) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["type"] == "authentication_error"
    assert "el_" not in answer.text


def test_a_key_opens_the_api_and_health_needs_none(keyed: str) -> None:
    assert httpx.get(f"{keyed}/v1/models", headers=of(ANN)).status_code == 200
    assert httpx.get(f"{keyed}/metrics", headers={"authorization": "bearer el_ann"}).is_success
    for path in ("/healthz", "/readyz"):
        assert httpx.get(f"{keyed}{path}").status_code == 200


def test_logs_name_the_holder_and_never_the_key(
    keyed: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "emotion_llama.server"):
        httpx.get(f"{keyed}/v1/models", headers=of(ANN))
        httpx.get(f"{keyed}/v1/models", headers=of("el_wrong"))
        time.sleep(0.1)
    told = [getattr(one, "fields", {}) for one in caplog.records]
    assert [one["key"] for one in told][-2:] == ["ann", None]
    assert "el_" not in str(told)


def test_files_belong_to_the_key_that_sent_them(keyed: str) -> None:
    with httpx.Client(base_url=keyed) as client:
        form: Any = {"files": {"file": b"sound"}, "data": {"purpose": "user_data"}}
        own = f"/v1/files/{client.post('/v1/files', **form, headers=of(ANN)).json()['id']}"
        assert code(client.get(own, headers=of(BOB))) == (404, "file_not_found")
        assert code(client.delete(own, headers=of(BOB))) == (404, "file_not_found")
        assert client.get("/v1/files", headers=of(BOB)).json()["data"] == []
        assert client.get(own, headers=of(ANN)).json()["filename"] == "upload"


def test_each_key_has_its_own_rate(tmp_path: Path) -> None:
    app = make(tmp_path, KEYS, ServeConfig(requests_per_minute=5))
    with running(app) as address, httpx.Client(base_url=address) as client:
        answers = [client.get("/v1/models", headers=of(ANN)) for _ in range(6)]
        assert [one.status_code for one in answers] == [200] * 5 + [429]
        assert code(answers[-1]) == (429, "rate_limited")
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
        assert client.get("/v1/models", headers=of(BOB)).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_calls_of_the_page_are_bounded_for_each_address(tmp_path: Path) -> None:
    app = make(tmp_path, None, ServeConfig(requests_per_minute=1))
    with running(app) as address, httpx.Client(base_url=address) as client:
        calls = [client.post("/gradio_api/upload", files={"files": b"x"}) for _ in range(6)]
        assert 429 not in [one.status_code for one in calls[:PAGE_CALLS]]
        assert code(calls[PAGE_CALLS]) == (429, "rate_limited")
        assert client.get("/").status_code != 429, "what only looks is not counted"
        assert client.get("/v1/models").status_code == 200, "the API counts for itself"


def test_a_proxy_is_believed_only_where_it_is_named(tmp_path: Path) -> None:
    said = {"X-Forwarded-For": "203.0.113.7"}
    for trusted, answers in (("", [200, 429]), ("127.0.0.1", [200, 200])):
        app = make(tmp_path, None, ServeConfig(requests_per_minute=1))
        with running(app, **proxy_settings(trusted)) as address:
            first = httpx.get(f"{address}/v1/models").status_code
            second = httpx.get(f"{address}/v1/models", headers=said).status_code
            assert [first, second] == answers


# ---- this machine only


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "127.0.0.1:1:2", "", "[::1"],
)
def test_a_foreign_host_name_is_refused(local: str, host: str) -> None:
    answer = httpx.get(f"{local}/v1/models", headers={"Host": host})
    assert code(answer) == (403, "foreign_host")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:80", "[::1]:80"])
def test_this_machine_may_be_called_by_its_names(local: str, host: str) -> None:
    assert httpx.get(f"{local}/v1/models", headers={"Host": host}).status_code == 200


def test_a_page_from_elsewhere_may_not_send_anything(local: str) -> None:
    for origin in ("http://evil.example", "null", local.replace("http", "https"), f"{local}0"):
        headers = {"Origin": origin}
        answer = httpx.post(f"{local}/v1/predict", files={"file": b"x"}, headers=headers)
        assert code(answer) == (403, "foreign_origin")
    own = httpx.post(f"{local}/v1/predict", files={"file": b"x"}, headers={"Origin": local})
    assert own.status_code == 200


def test_no_other_origin_is_let_in_by_a_browser(keyed: str) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = httpx.request("OPTIONS", f"{keyed}/v1/predict", headers=headers | of(ANN))
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


# ---- bodies


def raw(address: str, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Send bytes as they are, and give all that comes back until the server closes."""
    host, port = address.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)
        while chunk := connection.recv(65536):
            received += chunk
    return received


HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"


def test_a_body_that_states_too_much_is_refused_before_it_is_sent(local: str) -> None:
    answer = raw(local, HEAD % b"/v1/predict" + b"Content-Length: 99000000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


def test_who_waits_to_send_is_told_not_to(local: str) -> None:
    expect = b"Expect: 100-continue\r\nContent-Length: 99000000\r\n\r\n"
    answer = raw(local, HEAD % b"/v1/predict" + expect)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_without_length_is_counted_while_it_comes(local: str) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    head = HEAD % b"/v1/chat/completions" + b"Transfer-Encoding: chunked\r\n\r\n"
    head = head.replace(b"multipart/form-data; boundary=b", b"application/json")
    assert raw(local, head, *[chunk] * 4).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", [b"/v1/predict", b"/v1/files", b"/v1/chat/completions"])
def test_who_sends_too_slowly_is_not_waited_for(local: str, path: bytes) -> None:
    head = HEAD % path + b"Content-Length: 500\r\n\r\n"
    if path.endswith(b"completions"):
        head = head.replace(b"multipart/form-data; boundary=b", b"application/json")
    begin = time.monotonic()
    answer = raw(local, head, b"--b\r\n", pause_s=0.1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"too_slow"' in answer
    assert time.monotonic() - begin < 30


def test_large_bodies_that_are_refused_still_hear_why(local: str) -> None:
    answer = httpx.post(f"{local}/v1/predict", files={"file": bytes(5_000_000)}, timeout=20)
    assert code(answer) == (413, "too_large")


def test_lengths_that_are_no_numbers_are_refused(local: str) -> None:
    for length in (b"-5", b"5, 6", b"1e3"):
        answer = raw(local, HEAD % b"/v1/predict" + b"Content-Length: " + length + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
