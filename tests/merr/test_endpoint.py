"""Models behind an address: a small server on loopback stands in for theirs."""

import base64
import io
import json
import threading
import wave
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emotion_llama.merr import endpoint as endpoint_module
from emotion_llama.merr.describers import (
    PICTURE_PROMPT,
    VOICE_PROMPT,
    Message,
    picture_describer,
    require_model_spec,
    text_model,
    voice_describer,
)
from emotion_llama.merr.endpoint import KEY_VARIABLE, PICTURE_PX, Endpoint, EndpointTextModel

KEY = "very-secret-key"
ASKED = [Message("system", "Be brief."), Message("user", "What is seen?")]

pytest.importorskip("openai", reason="NOT CHECKED: the extra 'llm' is not installed")


class Server:
    """Answers with what it is told to, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        """status and body of each answer, the last one again and again"""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.extra: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append({"path": self.path, **json.loads(body)})
                outer.headers.append({key.lower(): value for key, value in self.headers.items()})
                many = len(outer.answers) > 1
                status, answer = outer.answers.pop(0) if many else outer.answers[0]
                text = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                for key, value in outer.extra.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def spec(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1#tiny"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def says(content: Any) -> tuple[int, dict[str, Any]]:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny"}
    return 200, {**body, "choices": [choice]}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    made = Server()
    yield made
    made.close()


def ask(server: Server, seed: int = 0) -> str:
    spec = require_model_spec(server.spec)
    assert spec is not None
    return EndpointTextModel(Endpoint(spec, timeout_s=5, backoff_s=0.01)).answer(ASKED, seed=seed)


def test_a_conversation_is_sent_and_answered(server: Server) -> None:
    server.answers = [says("<think>Hm.</think>\n A table. ")]
    assert ask(server) == "A table."
    assert server.requests == [
        {
            "path": "/v1/chat/completions",
            "model": "tiny",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is seen?"},
            ],
            "temperature": 0,
            "seed": 0,
            "max_tokens": endpoint_module.ANSWER_TOKENS,
        }
    ]
    ask(server, seed=3)
    assert server.requests[1]["seed"] == 3
    assert server.requests[1]["temperature"] > 0, "else a second try would say the same"


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_fault_that_passes_is_tried_again(server: Server, status: int) -> None:
    server.answers = [(status, {"error": {"message": "busy"}}), says("A table.")]
    assert ask(server) == "A table."
    assert len(server.requests) == 2


def test_a_fault_that_stays_is_given_up(server: Server) -> None:
    server.answers = [(500, {"error": {"message": "out of memory"}})]
    with pytest.raises(ConnectionError, match=r"no answer in 3 tries.*out of memory.*start"):
        ask(server)
    assert len(server.requests) == 3


def test_a_refused_request_is_not_repeated(server: Server) -> None:
    server.answers = [(404, {"error": {"message": "no model tiny"}})]
    with pytest.raises(ValueError, match=r"model tiny\).*status 404.*no model tiny.*check"):
        ask(server)
    assert len(server.requests) == 1


def test_nobody_at_the_address(server: Server) -> None:
    server.close()
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:\d+/v1 \(model tiny\).*start"):
        ask(server)


@pytest.mark.parametrize(
    "body",
    ["no JSON", {"choices": []}, {"choices": None}, {"error": "?"}, says(None)[1], says([1])[1]],
)
def test_an_answer_of_another_form_is_refused(server: Server, body: Any) -> None:
    server.answers = [(200, body)]
    with pytest.raises(ValueError, match="an answer that cannot be read"):
        ask(server)
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.answers = [(307, {})]
    server.extra = {"Location": "http://127.0.0.1:9/v1/chat/completions"}
    with pytest.raises(ValueError, match="status 307"):
        ask(server)


def test_a_proxy_does_not_see_what_stays_here(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.answers = [says("A table.")]
    assert ask(server) == "A table."


def test_only_the_own_key_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "of-another-tool")
    server.answers = [says("A table.")]
    ask(server)
    assert "of-another-tool" not in str(server.headers)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    ask(server)
    assert server.headers[1]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [200, 401, 500])
def test_the_key_is_in_no_setting_and_no_error(
    server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    server.answers = [(status, {"error": {"message": f"wrong key {KEY}"}})]
    spec = require_model_spec(server.spec)
    assert spec is not None
    model = EndpointTextModel(Endpoint(spec, timeout_s=5, backoff_s=0.01))
    assert KEY not in repr([model.name, model.version, model.settings])
    with pytest.raises((ValueError, ConnectionError)) as caught:
        model.answer(ASKED, seed=0)
    assert "***" in str(caught.value)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_key_does_not_travel_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with pytest.raises(ValueError, match=r"unencrypted address http://192\.0\.2\.1"):
        text_model("http://192.0.2.1:8000/v1#tiny", allow_remote=True)
    far = text_model("https://192.0.2.1/v1#tiny", allow_remote=True)
    assert far is not None
    assert far.settings["host"] == "192.0.2.1"


def test_a_picture_is_sent_as_png(server: Server) -> None:
    server.answers = [says("A woman\nat a table.")]
    model = picture_describer(server.spec)
    assert model is not None
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    assert model.describe(picture) == "A woman at a table."
    (message,) = server.requests[0]["messages"]
    assert message["content"][1] == {"type": "text", "text": PICTURE_PROMPT}
    head, _, data = message["content"][0]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    sent = np.array(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.array_equal(sent, picture)
    assert model.settings["prompt"] == PICTURE_PROMPT
    model.describe(np.zeros((20, 2 * PICTURE_PX, 3), np.uint8))
    data = server.requests[1]["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (PICTURE_PX, 10)


def test_a_voice_is_sent_as_wav(server: Server) -> None:
    server.answers = [says("High and fast.")]
    model = voice_describer(server.spec)
    assert model is not None
    waveform = np.array([0, 0.5, -1, 2, np.nan], np.float32)
    assert model.describe(waveform, 16000) == "High and fast."
    part, text = server.requests[0]["messages"][0]["content"]
    assert text["text"] == VOICE_PROMPT
    assert part["input_audio"]["format"] == "wav"
    with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as sound:
        assert (sound.getframerate(), sound.getnchannels()) == (16000, 1)
        samples = np.frombuffer(sound.readframes(5), "<i2")
    assert samples.tolist() == [0, 16384, -32767, 32767, 0]


def test_an_empty_description_is_no_description(server: Server) -> None:
    server.answers = [says(" \n")]
    model = picture_describer(server.spec)
    assert model is not None
    with pytest.raises(ValueError, match="empty description by tiny"):
        model.describe(np.zeros((4, 4, 3), np.uint8))
    assert ask(server) == "", "of a text model it is an answer, to be rejected by its rules"


def test_without_the_client_library_the_extra_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(ValueError, match=r"'openai'.*emotion-llama\[llm\]"):
        text_model(server.spec)
