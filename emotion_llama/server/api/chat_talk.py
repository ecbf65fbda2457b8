"""Chat request -> the clip it is about, what was said of it before, and what is asked.

Knows: the form of OpenAI, which messages count. Does not know: HTTP, files, the model.
Bytes come within the request or from a file that was uploaded before; addresses and paths are
refused in words and never opened.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from emotion_llama.prompt import Turn
from emotion_llama.server.api.api_error import ApiError
from emotion_llama.server.api.chat_schemas import (
    AssistantMessage,
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    MediaPart,
    SystemMessage,
    TextPart,
    UserMessage,
    VideoPart,
)
from emotion_llama.server.api.uploads import NO_NAME

Kind = Literal["emotion", "reason", "reply"]
"""What is asked: the label or the reason of a prediction, or the model's own words."""

_TAGS: dict[str, Kind] = {"[emotion]": "emotion", "[reason]": "reason", "": "reason"}
"""Questions that ask for a prediction."""


@dataclass(frozen=True)
class Media:
    """The clip of a talk: bytes, or the id of a file that was uploaded before."""

    data: bytes | None
    name: str
    file_id: str | None = None


@dataclass(frozen=True)
class Talk:
    """What a client says."""

    media: Media | None
    """``None``: there are words alone"""
    turns: tuple[Turn, ...]
    """earlier questions about the clip with their answers, then the question"""
    kind: Kind


def read_request(content: Any) -> ChatRequest:
    """Check the form of a request; parameters that are null count as left out.

    Raises:
        ApiError: it has another form, or asks for what is not offered (400, with the name)
    """
    try:
        return ChatRequest.model_validate(_without_nulls(content))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(str(part) for part in fault["loc"]) or "body"
        field = ChatRequest.model_fields.get(str(fault["loc"][0]) if fault["loc"] else "")
        hint = f"; {field.description}" if field is not None and len(fault["loc"]) == 1 else ""
        if fault["type"] == "extra_forbidden":
            msg = f"found {param!r}, which is not offered here; leave it out"
        else:
            msg = f"{param}: {fault['msg'][:1].lower()}{fault['msg'][1:]}{hint}"
        raise ApiError(400, "unsupported_parameter", msg, param=param) from error


def read_talk(request: ChatRequest, max_bytes: int) -> Talk:
    """Find the clip and the question of a request, and what was said of the clip before.

    Args:
        request: as a client sent it
        max_bytes: largest file within a request

    Raises:
        ApiError: there is no clip, no question, or something that is not understood (400), or the
            file is too large (413)
    """
    messages = [one for one in request.messages if not isinstance(one, SystemMessage)]
    if any(_text_of(one) for one in request.messages if isinstance(one, SystemMessage)):
        msg = "found a system message, expected none: the model was trained without; leave it out"
        raise _refusal(msg, "unsupported_message")
    begin = max((n for n, one in enumerate(messages) if _media_of(one)), default=None)
    if begin is None and not request.transcript:
        msg = (
            "found no clip, expected a message with a part video_url, image_url, input_audio or "
            "file, or a transcript"
        )
        raise _refusal(msg, "no_clip")
    media = None if begin is None else _only_media(messages[begin], max_bytes)
    turns = _turns(messages[begin or 0 :])
    return Talk(media, turns, _TAGS.get(turns[-1].question, "reply"))


def _turns(messages: Sequence[UserMessage | AssistantMessage]) -> tuple[Turn, ...]:
    """Pair questions with answers; messages of one side in a row are one."""
    said: list[tuple[str, str]] = []
    for message in messages:
        text = _text_of(message)
        if said and said[-1][0] == message.role:
            text = "\n".join(filter(None, (said.pop()[1], text)))
        said.append((message.role, text))
    if not said or said[0][0] != "user" or said[-1][0] != "user":
        msg = "found a talk that does not begin and end with the user, expected a last question"
        raise _refusal(msg, "no_question")
    questions = [text for role, text in said if role == "user"]
    answers = [text for role, text in said if role == "assistant"]
    # without a question, the reason is asked for
    asked = [text or "[reason]" for text in questions[:-1]]
    earlier = [Turn(text, answer) for text, answer in zip(asked, answers, strict=True)]
    return (*earlier, Turn(questions[-1]))


def _text_of(message: UserMessage | AssistantMessage | SystemMessage) -> str:
    """Give the words of a message, its parts as lines."""
    if isinstance(message.content, str):
        return message.content.strip()
    texts = (one.text.strip() for one in message.content if isinstance(one, TextPart))
    return "\n".join(filter(None, texts))


def _media_of(message: UserMessage | AssistantMessage) -> list[MediaPart]:
    if isinstance(message, AssistantMessage) or isinstance(message.content, str):
        return []
    return [one for one in message.content if not isinstance(one, TextPart)]


def _only_media(message: UserMessage | AssistantMessage, max_bytes: int) -> Media:
    """Give the one clip of a message.

    Raises:
        ApiError: there are more, or it is given in a form that is not accepted
    """
    parts = _media_of(message)
    if len(parts) > 1:
        msg = f"found {len(parts)} clips in one message, expected one: an answer is about one clip"
        raise _refusal(msg, "several_clips")
    match parts[0]:
        case VideoPart(video_url=url) | ImagePart(image_url=url):
            return Media(_of_data_url(url.url, max_bytes), NO_NAME)
        case AudioPart(input_audio=audio):
            return Media(_of_base64(audio.data, max_bytes), NO_NAME)
        case FilePart(file=file):
            if (file.file_id is None) == (file.file_data is None):
                msg = "found a file with both or neither of file_id and file_data, expected one"
                raise _refusal(msg, "invalid_file")
            name = file.filename or NO_NAME
            if file.file_data is None:
                return Media(None, name, file.file_id)
            is_url = file.file_data[:5].lower() == "data:"
            read = _of_data_url if is_url else _of_base64
            return Media(read(file.file_data, max_bytes), name)


def _of_data_url(url: str, max_bytes: int) -> bytes:
    """Give the bytes within a data URL.

    Raises:
        ApiError: it is another address, or a path
    """
    head, comma, data = url.partition(",")
    scheme = url[:20].partition(":")[0].lower()
    if scheme != "data" or not comma or not head.lower().endswith(";base64"):
        found = f"an address that begins with {scheme}:" if ":" in url[:20] else "no address"
        found = "a data URL that is not in base64" if scheme == "data" else found
        msg = (
            f"found {found}, expected data:<type>;base64,<bytes>: nothing is fetched or opened "
            "here; put the file into the request or upload it with POST /v1/files"
        )
        raise _refusal(msg, "unsupported_url")
    return _of_base64(data, max_bytes)


def _of_base64(data: str, max_bytes: int) -> bytes:
    """Give bytes that are written in base64.

    Raises:
        ApiError: they are not, or they are too many
    """
    if len(data) * 3 // 4 > max_bytes + 2:
        msg = (
            f"found a file of more than {max_bytes:,} bytes in the request, expected at most "
            "that; upload it with POST /v1/files and name it as file_id"
        )
        raise ApiError(413, "too_large", msg, param="messages")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        msg = "found a file that is not in base64, expected A-Z, a-z, 0-9, + and / with padding"
        raise _refusal(msg, "invalid_base64") from error


def _refusal(message: str, code: str) -> ApiError:
    return ApiError(400, code, message, param="messages")


def _without_nulls(content: Any) -> Any:
    """Leave out what is null, which clients send for what was not set."""
    if isinstance(content, dict):
        return {key: _without_nulls(one) for key, one in content.items() if one is not None}
    if isinstance(content, list):
        return [_without_nulls(one) for one in content]
    return content
