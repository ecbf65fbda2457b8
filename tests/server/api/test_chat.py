"""Talks about a clip with the official client of OpenAI: what is asked, sent, refused, removed."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import running, stub_engine, wait_for

from emotion_llama.config import ServeConfig
from emotion_llama.prompt import Turn
from emotion_llama.server.api import chat
from emotion_llama.server.api.app import make_app
from emotion_llama.server.api.chat import Deltas
from emotion_llama.server.api.schemas import ErrorResponse
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.engines import Engines

openai = pytest.importorskip("openai", reason="NOT CHECKED: needs openai")

LIMITS = ServeConfig(
    max_upload_mb=0.2, max_text_chars=200, requests_per_minute=100_000, max_files=3
)
SOUND = b"sound"
SHA256 = hashlib.sha256(SOUND).hexdigest()
BASE64 = base64.b64encode(SOUND).decode()
URL = f"data:audio/wav;base64,{BASE64}"


@pytest.fixture(scope="module")
def engine() -> Any:
    return stub_engine(LIMITS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> UploadFolder:
    return UploadFolder(tmp_path_factory.mktemp("chat") / "uploads", 200_000)


@pytest.fixture(scope="module")
def address(engine: Any, folder: UploadFolder) -> Iterator[str]:
    app = make_app(Engines(engine), LIMITS, keys=None, uploads=folder, database=None, page=False)
    with running(app) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Any:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=20)


@pytest.fixture(autouse=True)
def nothing_is_left(client: Any, folder: UploadFolder, engine: Any) -> Iterator[None]:
    engine.predictor.talks.clear()
    yield
    for file in client.files.list():
        client.files.delete(file.id)
    wait_for(lambda: not list(folder.root.iterdir()), 5)
    wait_for(lambda: engine.num_admitted == 0, 5)


def clip(text: str | None = None, url: str = URL) -> dict[str, Any]:
    words = [] if text is None else [{"type": "text", "text": text}]
    return {
        "role": "user",
        "content": [{"type": "video_url", "video_url": {"url": url}}, *words],
    }


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def ask(client: Any, *messages: Any, **parameters: Any) -> Any:
    given: dict[str, Any] = {"model": "stub", "messages": list(messages)} | parameters
    return client.chat.completions.create(**given)


def refusal(client: Any, *messages: Any, status: int = 400, **parameters: Any) -> Any:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, *messages, **parameters)
    assert caught.value.status_code == status
    return ErrorResponse.model_validate(caught.value.response.json()).error


# ---- what is asked


def test_the_label_is_that_of_a_prediction(client: Any, address: str) -> None:
    answer = ask(client, clip("[emotion]"))
    message = answer.choices[0].message
    file = {"file": ("clip", SOUND)}
    record = httpx.post(f"{address}/v1/predict", files=file, data={"reason": "false"}).json()
    own = message.prediction
    assert message.content == "neutral"
    for told in (own, record):
        del told["request_id"], told["timings_s"]
    assert own == record
    assert (answer.model, answer.choices[0].finish_reason) == ("stub", "stop")


@pytest.mark.parametrize("text", ["[reason]", "", None, "  "])
def test_the_reason_is_that_of_a_prediction(client: Any, text: str | None) -> None:
    message = ask(client, clip(text)).choices[0].message
    assert message.content == f"heard: {SHA256}" == message.prediction["reason"]
    assert message.prediction["sha256"] == SHA256


def test_anything_else_is_answered_in_own_words(client: Any, engine: Any) -> None:
    answer = ask(client, clip("why so?"))
    assert answer.choices[0].message.content == "you asked: why so?"
    assert "prediction" not in answer.choices[0].message.model_dump()
    assert answer.usage is None
    assert engine.predictor.talks == [(Turn("why so?"),)]


def test_what_was_said_of_the_clip_goes_with_the_question(client: Any, engine: Any) -> None:
    other = clip("what of this?", "data:,no base64, and never read")
    ask(
        client,
        user("hello"),
        other,
        said("something"),
        clip(),
        said("a reason"),
        user("and the voice?"),
        user("and the face?"),
        said("calm"),
        user("sure?"),
    )
    first = Turn("[reason]", "a reason")
    second = Turn("and the voice?\nand the face?", "calm")
    assert engine.predictor.talks == [(first, second, Turn("sure?"))]


def test_an_answer_can_be_given_back_as_it_came(client: Any, engine: Any) -> None:
    answer = ask(client, clip("[emotion]")).choices[0].message
    ask(client, clip("[emotion]"), answer.model_dump(), user("why?"))
    ask(client, clip("[emotion]"), answer, user("why?"))
    assert engine.predictor.talks == [(Turn("[emotion]", "neutral"), Turn("why?"))] * 2


def test_labels_and_words_can_be_given(client: Any) -> None:
    extra = {"labels": "happy, sad", "transcript": "so glad"}
    message = ask(client, clip("[emotion]"), extra_body=extra).choices[0].message
    assert message.content == "happy"
    alone = ask(client, user("[reason]"), extra_body={"transcript": "so glad"}).choices[0].message
    assert alone.content == "heard: so glad"
    assert alone.prediction["sha256"] is None


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video_url", "video_url": {"url": URL}},
        {"type": "image_url", "image_url": {"url": URL.replace("audio/wav", "IMAGE/png")}},
        {"type": "image_url", "image_url": {"url": f"DATA:;base64,{BASE64}", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
        {"type": "file", "file": {"file_data": URL, "filename": "a/b.wav"}},
        {"type": "file", "file": {"file_data": BASE64}},
    ],
)
def test_a_clip_comes_in_any_kind_of_part(client: Any, part: Any) -> None:
    message = ask(client, {"role": "user", "content": [part]}).choices[0].message
    assert message.prediction["sha256"] == SHA256
    named = part["type"] == "file" and "filename" in part["file"]
    assert message.prediction["clip"] == ("b.wav" if named else "clip")


# ---- while it is written


def streamed(client: Any, *messages: Any, **parameters: Any) -> tuple[list[str], list[Any]]:
    chunks = list(ask(client, *messages, stream=True, **parameters))
    return [chunk.choices[0].delta.content or "" for chunk in chunks], chunks


@pytest.mark.parametrize("question", ["why so?", "[emotion]", "[reason]"])
def test_pieces_are_the_whole(client: Any, question: str) -> None:
    whole = ask(client, clip(question)).choices[0].message.content
    pieces, chunks = streamed(client, clip(question))
    assert "".join(pieces) == whole
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[1:]] == [
        *[None] * (len(chunks) - 2),
        "stop",
    ]
    assert len({(chunk.id, chunk.model, chunk.object) for chunk in chunks}) == 1


def test_words_come_while_they_are_written(client: Any) -> None:
    pieces, _ = streamed(client, clip("why so?"))
    assert len([piece for piece in pieces if piece]) > 2


@pytest.mark.parametrize(("question", "is_told"), [("[reason]", False), ("why?", True)])
def test_a_reason_that_may_change_is_sent_when_it_is_whole(
    client: Any, engine: Any, question: str, is_told: bool
) -> None:
    engine.predictor.model.config.reason_candidates = 2
    try:
        pieces, _ = streamed(client, clip(question))
    finally:
        engine.predictor.model.config.reason_candidates = 1
    assert (len([piece for piece in pieces if piece]) > 1) is is_told


def test_a_change_of_what_was_sent_is_an_error_and_never_a_wrong_text(client: Any) -> None:
    with pytest.raises(openai.APIError, match="something failed here"):
        streamed(client, clip("why?"), extra_body={"transcript": "rewritten"})


def test_a_fault_before_the_answer_has_its_status(client: Any) -> None:
    broken = clip("why?", f"data:;base64,{base64.b64encode(b'broken').decode()}")
    assert refusal(client, broken, stream=True, status=415).code == "unsupported_media"


def test_a_fault_amid_the_answer_is_told(client: Any, engine: Any) -> None:
    with pytest.raises(openai.APIError, match="gives nothing"):
        streamed(client, clip("[emotion]"), extra_body={"transcript": "nothing"})


def test_the_stream_is_one_of_events(address: str) -> None:
    body = {"model": "stub", "messages": [clip("[emotion]")], "stream": True}
    answer = httpx.post(f"{address}/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: ") for event in events[:-1])
    assert json.loads(events[0][6:])["object"] == "chat.completion.chunk"


@pytest.mark.parametrize("question", ["why?", "[reason]"])
@pytest.mark.parametrize("stream", [True, False])
def test_who_goes_away_is_not_answered(
    address: str, engine: Any, question: str, stream: bool
) -> None:
    before = engine.predictor.num_given_up
    body = {"model": "stub", "messages": [clip(question)], "transcript": "slow", "stream": stream}
    with (
        pytest.raises(httpx.ReadTimeout),
        httpx.stream("POST", f"{address}/v1/chat/completions", json=body, timeout=0.4) as answer,
    ):
        for _ in answer.iter_bytes():
            pass
    wait_for(lambda: engine.predictor.num_given_up == before + 1)


@given(st.text(st.sampled_from(" ab\ufffd\n"), max_size=12), st.data())
def test_pieces_of_any_text_are_the_whole_or_an_error(text: str, data: st.DataObject) -> None:
    deltas = Deltas()
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    tail = data.draw(st.sampled_from(["", "\ufffd", " ", "x"]))
    sent = [deltas.grown(text[:end] + tail) for end in ends]
    try:
        assert "".join(sent) + deltas.rest(text) == text
    except RuntimeError:
        assert tail == "x"


# ---- refusals


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/a.mp4",
        "https://example.com/a.mp4",
        "file:///etc/passwd",
        "/etc/passwd",
        "../a.mp4",
        "C:\\a.mp4",
        "",
        "data:video/mp4,plain",
        "data:;base64",
        " data:;base64,AAAA",
        "concat:a|b",
    ],
)
def test_nothing_is_fetched_or_opened(client: Any, url: str) -> None:
    detail = refusal(client, clip("[emotion]", url))
    assert detail.code == "unsupported_url"
    assert "nothing is fetched" in detail.message


@pytest.mark.parametrize("data", ["AAA", "A A=", "*", "AAAA\n", "ÄÄÄÄ", "AA_-"])
def test_base64_must_be_base64(client: Any, data: str) -> None:
    assert refusal(client, clip(url=f"data:;base64,{data}")).code == "invalid_base64"


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"temperature": 0.7}, "deterministic"),
        ({"top_p": 0.5}, "deterministic"),
        ({"n": 2}, "there is one answer"),
        ({"presence_penalty": 1}, "only 0"),
        ({"frequency_penalty": 1}, "only 0"),
        ({"logprobs": True}, "only false"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "'tools'"),
        ({"stop": ["x"]}, "'stop'"),
        ({"logit_bias": {"5": 1}}, "'logit_bias'"),
        ({"modalities": ["audio"]}, "modalities.0"),
        ({"extra_body": {"nonsense": 1}}, "'nonsense'"),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(
    client: Any, parameters: dict[str, Any], says: str
) -> None:
    detail = refusal(client, clip("[emotion]"), **parameters)
    assert detail.code == "unsupported_parameter"
    assert says in detail.message
    assert str(detail.param).split(".")[0] in {*parameters, "nonsense"}


def test_what_changes_nothing_is_ignored(client: Any) -> None:
    harmless: dict[str, Any] = dict(
        temperature=0, top_p=1.0, n=1, seed=3, user="ann", max_tokens=5, max_completion_tokens=5
    )
    harmless |= dict(metadata={"a": "b"}, store=False, logprobs=False, modalities=["text"])
    harmless |= dict(response_format={"type": "text"}, extra_body={"tools": None, "stop": None})
    assert ask(client, clip("[emotion]"), **harmless).choices[0].message.content == "neutral"


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([user("hello")], "no_clip"),
        ([{"role": "system", "content": "be brief"}, clip()], "unsupported_message"),
        ([{"role": "developer", "content": "be brief"}, clip()], "unsupported_message"),
        ([clip(), said("so")], "no_question"),
        ([{"role": "user", "content": clip()["content"] * 2}], "several_clips"),
        ([{"role": "tool", "content": "x", "tool_call_id": "1"}, clip()], "unsupported_parameter"),
        ([{"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}], None),
        ([{"role": "user", "content": [{"type": "file", "file": {}}]}], "invalid_file"),
        ([], "unsupported_parameter"),
    ],
)
def test_talks_that_are_not_understood_are_refused(
    client: Any, messages: list[Any], code: str | None
) -> None:
    assert refusal(client, *messages).code == (code or "unsupported_parameter")


def test_an_empty_system_message_is_none(client: Any) -> None:
    system = {"role": "system", "content": " "}
    assert ask(client, system, clip("[emotion]")).choices[0].message.content == "neutral"


def test_limits_of_texts_and_labels(client: Any) -> None:
    assert refusal(client, clip("x" * 201), status=422).code == "too_long"
    assert refusal(client, clip(), said("x" * 201), user("?"), status=422).code == "too_long"
    for name, value in (("transcript", "x" * 201), ("labels", "one")):
        assert refusal(client, clip(), extra_body={name: value}, status=422).param == name


def test_a_file_too_large_for_a_request_is_sent_by_itself(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "MAX_INLINE_BYTES", 3)
    detail = refusal(client, clip("[emotion]"), status=413)
    assert "POST /v1/files" in detail.message


def test_halves_of_characters_are_refused(address: str) -> None:
    body = json.dumps({"model": "stub", "messages": [clip("\ud800")]})
    answer = httpx.post(
        f"{address}/v1/chat/completions",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    assert "surrogate" in answer.json()["error"]["message"]


# ---- models and files


def test_there_is_one_model(client: Any) -> None:
    assert [one.id for one in client.models.list()] == ["stub"]
    assert client.models.retrieve("stub").id == "stub"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt")
    assert refusal(client, clip(), model="gpt", status=404).code == "model_not_found"


def test_a_file_is_sent_once_and_talked_about_often(client: Any, folder: UploadFolder) -> None:
    file = client.files.create(file=("a.wav", SOUND), purpose="user_data")
    assert (file.bytes, file.filename, file.purpose) == (5, "a.wav", "user_data")
    assert file.expires_at == file.created_at + 3600
    part = {"type": "file", "file": {"file_id": file.id}}
    for _ in range(2):
        message = ask(client, {"role": "user", "content": [part]}).choices[0].message
        assert (message.prediction["sha256"], message.prediction["clip"]) == (SHA256, "a.wav")
    assert [one.id for one in client.files.list()] == [file.id]
    assert client.files.retrieve(file.id) == file
    assert client.files.delete(file.id).deleted
    assert list(folder.root.iterdir()) == []
    detail = refusal(client, {"role": "user", "content": [part]}, status=404)
    assert detail.code == "file_not_found"


def test_only_so_many_files_are_kept(client: Any, folder: UploadFolder) -> None:
    for _ in range(3):
        client.files.create(file=("a.wav", SOUND), purpose="x")
    with pytest.raises(openai.RateLimitError, match="most that are kept"):
        client.files.create(file=("a.wav", SOUND), purpose="x")
    assert len(list(folder.root.iterdir())) == 3


def test_files_without_purpose_or_file_are_refused(client: Any, address: str) -> None:
    for form in ({"files": {"file": SOUND}}, {"data": {"purpose": "x"}}):
        answer = httpx.post(f"{address}/v1/files", **form)
        assert answer.status_code == 422
    assert client.files.list().data == []


def test_files_go_when_their_time_is_over(tmp_path: Path) -> None:
    settings = ServeConfig(keep_files_s=0.5)
    engine, folder = stub_engine(settings), UploadFolder(tmp_path, 1000)
    app = make_app(Engines(engine), settings, keys=None, uploads=folder, database=None, page=False)
    with running(app) as address:
        form: Any = {"files": {"file": SOUND}, "data": {"purpose": "x"}}
        assert httpx.post(f"{address}/v1/files", **form).status_code == 200
        assert len(list(tmp_path.iterdir())) == 1
        wait_for(lambda: not list(tmp_path.iterdir()), 5)
        assert httpx.get(f"{address}/v1/files").json()["data"] == []
