"""What a service must survive: files, names, bodies and connections made to do harm.

Against the packaged preset and a real server; after all of it, a good clip is still answered.
"""

import json
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hostile_files import NO_MEDIA, PLAYLISTS, matroska, mp4_that_states, png, wav
from serving import running, wait_for

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.app import make_app
from emotion_llama.server.api.keys import KeyRing, hash_of
from emotion_llama.server.api.schemas import ErrorResponse
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.engines import Engines
from emotion_llama.server.service import make_engine

SMILE = (Path(__file__).resolve().parents[3] / "examples" / "smile.mp4").read_bytes()
SETTINGS = ServeConfig(
    max_upload_mb=1,
    max_json_kb=50,
    max_duration_s=60,
    max_side_px=1000,
    max_streams=4,
    read_limit_s=20,
    body_limit_s=1.5,
    num_readers=1,
    requests_per_minute=100_000,
)
KEY = "el_a-key-for-this-test"
HEAD = (
    b"POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
    + KEY.encode()
    + b"\r\nContent-Type: %s\r\n"
)
FORM, JSON = b"multipart/form-data; boundary=b", b"application/json"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> UploadFolder:
    return UploadFolder(tmp_path_factory.mktemp("hostile") / "uploads", 10**6)


@pytest.fixture(scope="module")
def engine() -> Any:
    return make_engine("mini", SETTINGS, device="cpu")


@pytest.fixture(scope="module")
def client(engine: Any, folder: UploadFolder) -> Iterator[httpx.Client]:
    keys = KeyRing({"tester": hash_of(KEY)})
    app = make_app(Engines(engine), SETTINGS, keys=keys, uploads=folder, database=None, page=False)
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        running(app) as address,
        httpx.Client(base_url=address, timeout=60, headers=headers) as client,
    ):
        yield client
        assert_well(client)


@pytest.fixture(autouse=True)
def the_service_is_well_afterwards(
    client: httpx.Client, folder: UploadFolder, engine: Any
) -> Iterator[None]:
    yield
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    wait_for(lambda: not list(folder.root.iterdir()), 10)
    wait_for(lambda: engine.num_admitted == 0, 10)


def assert_well(client: httpx.Client) -> None:
    file = {"file": ("smile.mp4", SMILE)}
    answer = client.post("/v1/predict", files=file, data={"reason": "false"})
    assert answer.json()["label"] == "happy", answer.text


def refusal(answer: httpx.Response, *statuses: int) -> Any:
    """Check that an answer is a refusal in the one form, with nothing of the server in it."""
    assert answer.status_code in statuses, answer.text
    detail = ErrorResponse.model_validate(answer.json()).error
    for secret in ("Traceback", "/tmp", "upload-", ".py"):
        assert secret not in detail.message
    return detail


def send(client: httpx.Client, content: bytes, name: str = "clip.mp4") -> httpx.Response:
    return client.post("/v1/predict", files={"file": (name, content)}, data={"reason": "false"})


def raw(client: httpx.Client, *parts: bytes, pause_s: float = 0.0, wait: bool = True) -> bytes:
    """Send bytes as they are; gives what comes back until the server closes."""
    received = b""
    with connected(client) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)
        while wait and (chunk := connection.recv(65536)):
            received += chunk
    return received


def connected(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=15)


# ---- files


@pytest.mark.parametrize("name", NO_MEDIA)
def test_what_is_no_medium_is_refused(client: httpx.Client, name: str) -> None:
    detail = refusal(send(client, NO_MEDIA[name], name), 415)
    assert detail.message.startswith(name)


@pytest.mark.parametrize("name", PLAYLISTS)
def test_files_that_name_others_are_not_followed(client: httpx.Client, name: str) -> None:
    detail = refusal(send(client, PLAYLISTS[name], name), 415)
    assert "root:" not in detail.message


@pytest.mark.parametrize(
    ("content", "statuses"),
    [
        (png(100_000, 100_000), (413, 415)),
        (png(30_000, 900, bytes(10**6)), (413, 415)),
        (wav(stated_s=100, held_s=100), (413,)),
        (matroska(num_tracks=60), (413,)),
        (matroska(duration_s=1e9), (413,)),
        (matroska(width=60_000), (413,)),
        (mp4_that_states(SMILE, 5_000), (413,)),
        (SMILE[:1000], (415,)),
    ],
)
def test_headers_that_lie_and_bombs_are_refused(
    client: httpx.Client, content: bytes, statuses: tuple[int, ...]
) -> None:
    refusal(send(client, content), *statuses)


@pytest.mark.parametrize("content", [wav(10**6, 1), wav(1, 100), SMILE[: len(SMILE) // 3]])
def test_lies_that_do_no_harm_are_answered_for_what_is_there(
    client: httpx.Client, content: bytes
) -> None:
    assert send(client, content).json()["modalities"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("/etc/passwd", "passwd"),
        ("a\0.mp4", "a.mp4"),
        ("%2e%2e%2fx.mp4", "%2e%2e%2fx.mp4"),
        ("x" * 1000, "x" * 100),
        ("'; DROP TABLE clips; --<script>", "'; DROP TABLE clips; --<script>"),
    ],
)
def test_names_are_labels_and_open_nothing(
    client: httpx.Client, name: str, shown: str, folder: UploadFolder
) -> None:
    body = PART % (name.encode(), wav(1, 1)) + b"\r\n--b--\r\n"
    kind = {"Content-Type": FORM.decode()}
    answer = client.post("/v1/predict", content=body, headers=kind)
    assert answer.json()["clip"] == shown, answer.text
    assert [path.name for path in folder.root.parent.iterdir()] == ["uploads"]


def test_a_wrong_type_and_ending_change_nothing(client: httpx.Client) -> None:
    for name, kind in (("a.png", "image/png"), ("a.html", "text/html"), ("a", "x" * 1000)):
        file = {"file": (name, wav(1, 1), kind)}
        answer = client.post("/v1/predict", files=file, data={"reason": "false"})
        assert answer.json()["modalities"] == ["audio"]


# ---- bodies


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_a_body_that_breaks_off_leaves_nothing(client: httpx.Client, part: float) -> None:
    body = PART % (b"a.mp4", SMILE) + b"\r\n--b--\r\n"
    head = HEAD % (b"/v1/predict", FORM) + b"Content-Length: %d\r\n\r\n" % len(body)
    cut = min(round(part * len(body)), len(body) - 1)
    raw(client, head, body[:cut], wait=False)


def test_a_client_that_resets_the_connection_leaves_nothing(client: httpx.Client) -> None:
    body = PART % (b"a.mp4", SMILE) + b"\r\n--b--\r\n"
    with connected(client) as connection:
        head = HEAD % (b"/v1/predict", FORM) + b"Content-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        time.sleep(0.2)
        now = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)


def test_slow_clients_are_not_waited_for_and_hold_nobody_up(client: httpx.Client) -> None:
    head = HEAD % (b"/v1/predict", FORM) + b"Content-Length: 5000\r\n\r\n"
    drops = [bytes([byte]) for byte in PART % (b"a", b"x" * 50)]
    begin = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        slow = [
            pool.submit(raw, client, head, *drops[:20], pause_s=0.05, wait=True) for _ in range(4)
        ]
        assert client.get("/healthz", timeout=5).status_code == 200
        for one in slow:
            assert one.result().startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begin < 30


def test_idle_connections_hold_nobody_up(client: httpx.Client) -> None:
    idle = [connected(client) for _ in range(200)]
    try:
        for half, connection in enumerate(idle):
            connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: loc"[: half % 40])
        assert client.get("/healthz", timeout=5).status_code == 200
        assert_well(client)
    finally:
        for connection in idle:
            connection.close()


def chat(client: httpx.Client, body: bytes) -> httpx.Response:
    kind = {"Content-Type": "application/json"}
    return client.post("/v1/chat/completions", content=body, headers=kind)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 20_000,
        b"[" * 20_000 + b"]" * 20_000,
        b'{"a":' * 8_000 + b"1" + b"}" * 8_000,
        b'{"messages": [' + b"[[" * 100 + b"]]" * 100 + b"]}",
        b'{"model": NaN}',
        b'{"model": 1' + b"0" * 10_000 + b"}",
        b'"' + b"\\" * 10_001,
        b"\xff\xfe",
        b"",
        b"null",
        b'{"model": "mini", "messages": {"role": "user"}}',
    ],
)
def test_json_that_is_deep_or_broken_is_refused(client: httpx.Client, body: bytes) -> None:
    refusal(chat(client, body), 400)


def test_json_that_grows_in_memory_is_refused_before_it_is_read(client: httpx.Client) -> None:
    begin = time.monotonic()
    bomb = b"[" + b"{}," * 400_000 + b"{}]"
    assert "outside of strings" in refusal(chat(client, bomb), 413).message
    escapes = b'{"model": "' + b"\\\\" * 600_000 + b'"}'
    refusal(chat(client, escapes), 400)
    assert time.monotonic() - begin < 30


def test_json_that_is_huge_is_refused(client: httpx.Client) -> None:
    body = {"model": "mini", "messages": [{"role": "user", "content": "x" * 1_500_000}]}
    refusal(chat(client, json.dumps(body).encode()), 413)


def test_many_fields_and_headers_are_refused(client: httpx.Client) -> None:
    field = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\nx\r\n'
    kind = {"Content-Type": FORM.decode()}
    many = b"".join(field % b"text" for _ in range(10_000))
    for body, status in (
        (many + b"--b--\r\n", 422),
        (field % (b"n" * 3_000) + b"--b--\r\n", 422),
        (b"--b\r\n" + b"X: y\r\n" * 1_000 + b"\r\nz\r\n--b--\r\n", 400),
        (b"x" * 500_000, 400),
        (field % b"text" + b"x" * 100_000 + b"\r\n--b--\r\n", 422),
    ):
        refusal(client.post("/v1/predict", content=body, headers=kind), status)
    long = {"text": "&".join(f"a{n}=1" for n in range(1000))}
    refusal(client.post("/v1/predict", data=long), 422)
    many_pairs = "&".join(f"a{n}=1" for n in range(1000))
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    refusal(client.post("/v1/predict", content=many_pairs, headers=kind), 400)


# ---- requests


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer el_wrong", "Basic eDp5", "Bearer " + "x" * 9000]
)
def test_without_the_key_nothing_is_read(client: httpx.Client, header: str) -> None:
    answer = client.post("/v1/predict", files={"file": SMILE}, headers={"Authorization": header})
    refusal(answer, 401)


@pytest.mark.parametrize(
    "path", ["/../etc/passwd", "/v1/../metrics", "//v1/models", "/v1//models", "/V1/models", "/%00"]
)
def test_odd_paths_lead_nowhere(client: httpx.Client, path: str) -> None:
    answer = raw(client, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in (b"404", b"401", b"400")


def test_requests_hidden_in_others_are_not_answered(client: httpx.Client) -> None:
    both = (
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"
    )
    answer = raw(client, HEAD % (b"/v1/chat/completions", JSON) + both)
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert b"HTTP/1.1 200" not in answer


def test_what_is_no_http_is_closed(client: httpx.Client) -> None:
    for noise in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"x" * 100_000,
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        answer = raw(client, noise)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
