"""What a chat request may hold, in the form of OpenAI.

Knows: parameters, messages, their parts. Does not know: what they ask for (`chat_talk`). What would
change the answer and is not offered is refused by name; what is ignored says so.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_MESSAGES = 200
"""Of a request; the context of the models here holds fewer."""

MAX_PARTS = 20
"""Of a message."""


class Given(BaseModel):
    """May have only what is named."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class TextPart(Given):
    """A question, or a part of it."""

    type: Literal["text"]
    text: str


class DataUrl(Given):
    """Bytes of a file within an address."""

    url: str
    """`data:<type>;base64,<bytes>`; the type is not trusted. Addresses of other kinds and paths are
    refused: the server fetches and opens nothing"""
    detail: str | None = None
    """ignored"""


class VideoPart(Given):
    """A film or a sound."""

    type: Literal["video_url"]
    video_url: DataUrl


class ImagePart(Given):
    """A picture."""

    type: Literal["image_url"]
    image_url: DataUrl


class AudioData(Given):
    """A sound."""

    data: str
    """bytes of the file in base64"""
    format: str | None = None
    """not trusted"""


class AudioPart(Given):
    """A sound."""

    type: Literal["input_audio"]
    input_audio: AudioData


class FileData(Given):
    """A file that was uploaded before, or its bytes; one of them."""

    file_id: str | None = None
    """as `POST /v1/files` gave it"""
    file_data: str | None = None
    """a data URL, or bytes in base64"""
    filename: str | None = None


class FilePart(Given):
    """A film, a sound or a picture."""

    type: Literal["file"]
    file: FileData


MediaPart = VideoPart | ImagePart | AudioPart | FilePart
UserPart = Annotated[TextPart | MediaPart, Field(discriminator="type")]


class UserMessage(Given):
    """A clip, a question, or both."""

    role: Literal["user"]
    content: str | Annotated[list[UserPart], Field(max_length=MAX_PARTS)]
    name: str | None = None
    """ignored"""


class AssistantMessage(Given):
    """An earlier answer."""

    role: Literal["assistant"]
    content: str | Annotated[list[TextPart], Field(max_length=MAX_PARTS)]
    name: str | None = None
    """ignored"""
    annotations: list[Any] | None = None
    """ignored"""
    prediction: dict[str, Any] | None = None
    """ignored; as an earlier answer had it"""


class SystemMessage(Given):
    """Only an empty one is accepted: the models were trained without."""

    role: Literal["system", "developer"]
    content: str | Annotated[list[TextPart], Field(max_length=MAX_PARTS)]
    name: str | None = None
    """ignored"""


Message = Annotated[UserMessage | AssistantMessage | SystemMessage, Field(discriminator="role")]


class TextFormat(Given):
    """Plain text."""

    type: Literal["text"]


class ChatRequest(Given):
    """A talk about a clip.

    The clip comes from the last message that carries one; what was said before it is not read.
    A last question of `[emotion]` alone is answered with the label, `[reason]` alone or nothing
    with the reason, exactly as `POST /v1/predict` has them; anything else in the model's own words.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "mini",
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {
                                    "type": "video_url",
                                    "video_url": {"url": "data:video/mp4;base64,AAAAIGZ0eXA="},
                                },
                                {"type": "text", "text": "[emotion]"},
                            ],
                        }
                    ],
                }
            ]
        }
    )

    model: str
    """as `GET /v1/models` has it"""
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    """send the answer while it is written"""
    transcript: str | None = None
    """what is said in the clip; without a clip, words alone are answered. Not of OpenAI"""
    labels: str | None = None
    """for `[emotion]` and `[reason]`: a named label set or a comma-separated list. Not of OpenAI"""
    temperature: float | None = Field(default=None, ge=0, le=0)
    """only 0: answers are deterministic"""
    top_p: float | None = Field(default=None, ge=1, le=1)
    """only 1: answers are deterministic"""
    n: int | None = Field(default=None, ge=1, le=1)
    """only 1: there is one answer"""
    presence_penalty: float | None = Field(default=None, ge=0, le=0)
    """only 0"""
    frequency_penalty: float | None = Field(default=None, ge=0, le=0)
    """only 0"""
    logprobs: Literal[False] | None = None
    """only false; the probabilities of the labels are in `prediction`"""
    response_format: TextFormat | None = None
    """only text"""
    modalities: list[Literal["text"]] | None = None
    """only text"""
    stream_options: dict[str, Any] | None = None
    """ignored: no tokens are counted"""
    seed: int | None = None
    """ignored: the same request has the same answer"""
    max_tokens: int | None = None
    """ignored: answers are short"""
    max_completion_tokens: int | None = None
    """ignored: answers are short"""
    user: str | None = None
    """ignored"""
    safety_identifier: str | None = None
    """ignored"""
    prompt_cache_key: str | None = None
    """ignored"""
    service_tier: str | None = None
    """ignored"""
    metadata: dict[str, Any] | None = None
    """ignored"""
    store: bool | None = None
    """ignored: nothing is stored"""


class AnswerMessage(Given):
    """What the assistant says."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    prediction: dict[str, Any] | None = None
    """for `[emotion]` and `[reason]`: the record that `POST /v1/predict` gives; else left out"""


class Choice(Given):
    """The one answer."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: Literal["stop"] = "stop"
    logprobs: None = None


class ChatResponse(Given):
    """The answer, in the form of OpenAI; there is no `usage`, for no tokens are counted."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice] = Field(min_length=1, max_length=1)
