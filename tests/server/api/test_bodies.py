"""Bodies as they come in: the same in whatever pieces, refused where they are more than may be."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from emotion_llama.server.api.api_error import ApiError, to_api_error
from emotion_llama.server.api.bodies import MAX_DEPTH, read_form, read_json
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.engine import NotServingError
from emotion_llama.server.reading.readers import ReadCrashError

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nso gl\xc3\xa4d\r\n--x\r\n'
    b'--b\r\ncontent-disposition: form-data; name="file"; filename="a;\\"b.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\n\0\r\n-\r\n--\r\n--bb\xff\r\n--b--\r\n"
)


def request(kind: str, *pieces: bytes, is_whole: bool = True) -> Request:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    messages.append(
        {"type": "http.request", "body": b""} if is_whole else {"type": "http.disconnect"}
    )

    async def receive() -> Any:
        return messages.pop(0)

    headers = [(b"content-type", kind.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def form(folder: UploadFolder, *pieces: bytes, is_whole: bool = True) -> Any:
    asked = request("multipart/form-data; boundary=b", *pieces, is_whole=is_whole)
    return asyncio.run(read_form(asked, folder, ("text",)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> UploadFolder:
    return UploadFolder(tmp_path_factory.mktemp("bodies"), 1000)


@given(st.lists(st.integers(0, len(FORM)), max_size=20).map(sorted))
def test_a_form_is_the_same_in_whatever_pieces(folder: UploadFolder, cuts: list[int]) -> None:
    pieces = [FORM[a:b] for a, b in zip([0, *cuts], [*cuts, len(FORM)], strict=True)]
    filled = form(folder, *pieces)
    assert filled.fields == {"text": "so gläd\r\n--x"}
    assert filled.upload.path.read_bytes() == b"\0\r\n-\r\n--\r\n--bb\xff"
    assert filled.upload.name == 'a;"b.wav'
    folder.remove(filled.upload)


@given(st.integers(0, len(FORM) - 6), st.booleans())
def test_a_form_that_breaks_off_anywhere_leaves_nothing(
    folder: UploadFolder, end: int, is_whole: bool
) -> None:
    with pytest.raises(ApiError if is_whole else ClientDisconnect):
        form(folder, FORM[:end], is_whole=is_whole)
    assert list(folder.root.iterdir()) == []


def test_a_fault_behind_the_file_removes_it(folder: UploadFolder) -> None:
    later = b'--b\r\nContent-Disposition: form-data; name="no"\r\n\r\nx\r\n--b--\r\n'
    with pytest.raises(ApiError, match="field 'no'"):
        form(folder, FORM.removesuffix(b"--b--\r\n") + later)
    assert list(folder.root.iterdir()) == []


def read(body: bytes, most: int = 1000) -> Any:
    return asyncio.run(read_json(request("application/json; charset=utf-8", body), most))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_json_is_read_as_it_is(content: Any, is_ascii: bool) -> None:
    text = json.dumps(content, ensure_ascii=is_ascii)
    if content == content and "Infinity" not in text:
        assert read(text.encode("utf-8", "replace"), 10**6) == json.loads(
            text.encode("utf-8", "replace")
        )


def test_strings_may_be_long_and_the_rest_may_not() -> None:
    text = '[{"},{' * 1000
    assert read(json.dumps([text]).encode()) == [text]
    with pytest.raises(ApiError, match="outside of strings"):
        read(json.dumps([1] * 500).encode())


def test_brackets_in_strings_are_not_counted_and_others_are() -> None:
    assert read(b'["' + b"[" * 900 + b'"]') == ["[" * 900]
    assert read(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(ApiError, match="levels"):
        read(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


def test_a_reading_process_that_ends_with_the_server_is_no_fault_of_the_file() -> None:
    assert to_api_error(ReadCrashError("stopped"), is_serving=False).status == 503
    assert to_api_error(ReadCrashError("crashed")).status == 422
    assert to_api_error(NotServingError("starting")).status == 503
    hidden = to_api_error(KeyError("secret"))
    assert (hidden.status, "secret" in hidden.message) == (500, False)
