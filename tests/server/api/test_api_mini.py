"""The API with the packaged preset: the same clip has the same answer as in Python."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import running

from emotion_llama import Predictor
from emotion_llama.config import ServeConfig
from emotion_llama.server.api.app import make_app
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.engines import Engines
from emotion_llama.server.service import make_engine

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SMILE, FROWN = EXAMPLES / "smile.mp4", EXAMPLES / "frown.mp4"
OWN = ("clip", "timings_s", "request_id", "sha256")
"""What an answer of the API has for itself."""


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.from_pretrained("mini", device="cpu")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = ServeConfig(num_readers=1)
    engine = make_engine("mini", settings, device="cpu")
    folder = UploadFolder(tmp_path_factory.mktemp("mini") / "uploads", 10**6)
    app = make_app(Engines(engine), settings, keys=None, uploads=folder, database=None, page=False)
    with running(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client
    assert list(folder.root.iterdir()) == []


def shared(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in OWN}


def as_json(value: Any) -> Any:
    return list(map(as_json, value)) if isinstance(value, tuple) else value


@pytest.mark.parametrize("clip", [SMILE, FROWN])
@pytest.mark.parametrize("is_spoken", [True, False])
def test_a_clip_has_the_same_answer_everywhere(
    predictor: Predictor, client: httpx.Client, clip: Path, is_spoken: bool
) -> None:
    text = clip.with_suffix(".txt").read_text("utf-8") if is_spoken else None
    expected = predictor(clip, text).to_dict()
    file = {"file": ("another name.bin", clip.read_bytes(), "text/plain")}
    fields = {"evidence": "true"} | ({"text": text} if text else {})
    answer = client.post("/v1/predict", files=file, data=fields).json()
    assert shared(answer) == {key: as_json(one) for key, one in shared(expected).items()}
    assert answer["evidence"], "something was measured"
    assert answer["clip"] == "another name.bin"
    assert answer["sha256"] == hashlib.sha256(clip.read_bytes()).hexdigest()


def test_words_alone_have_the_same_answer(predictor: Predictor, client: httpx.Client) -> None:
    text = "I love it, this is wonderful!"
    expected = predictor(None, text, ["sad", "happy"], with_reason=False).to_dict()
    fields = {"text": text, "labels": "sad,happy", "reason": "false", "evidence": "true"}
    answer = client.post("/v1/predict", data=fields).json()
    assert shared(answer) == {key: as_json(one) for key, one in shared(expected).items()}


def test_a_talk_has_the_same_answers(predictor: Predictor, client: httpx.Client) -> None:
    expected = predictor(SMILE)
    url = f"data:video/mp4;base64,{base64.b64encode(SMILE.read_bytes()).decode()}"
    clip = {"type": "video_url", "video_url": {"url": url}}

    def ask(text: str, *later: Any) -> str:
        first = {"role": "user", "content": [clip, {"type": "text", "text": text}]}
        body = {"model": "mini", "messages": [first, *later]}
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    assert ask("[emotion]") == expected.label
    assert ask("[reason]") == expected.reason
    said = {"role": "assistant", "content": expected.label}
    later = ask("[emotion]", said, {"role": "user", "content": "What does the voice say?"})
    assert later == ask("[emotion]", said, {"role": "user", "content": "What does the voice say?"})
    assert later.strip()
