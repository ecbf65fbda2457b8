"""What is asked of models that see, hear and write, and how one is named: ``hf:ID``, an address.

Knows: the interfaces, the prompts, the forms of a name. Does not know: how a model is run, clips,
what is done with an answer. By default there is no model: ``offline``.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import SplitResult, urlsplit

import numpy as np
from numpy.typing import NDArray

PICTURE_PROMPT = (
    "Write two or three plain sentences about this picture. Name who and what is to be seen, what "
    "the people do with their hands and bodies, and the kind of place. Write only what is visible. "
    "Do not name, guess or hint at what anybody feels, thinks or means."
)
"""Asked of a picture describer. The published prompts ask for the content of the picture; a guess
of a feeling here would be taken for an observation later."""

VOICE_PROMPT = (
    "Write one or two plain sentences about how the voice in this recording sounds: high or low, "
    "loud or soft, fast or slow, lively or even, with or without pauses, clear, breathy, rough or "
    "unsteady. Do not repeat what is said. Do not name, guess or hint at what the speaker feels, "
    "thinks or means."
)
"""Asked of a voice describer. The published prompt is a choice of ten feelings; a fifth of its
answers named none, and feelings are not acoustics."""

DESCRIPTION_TOKENS = 120
"""Most tokens of a description: three sentences have fewer."""
ANSWER_TOKENS = 400
"""Most tokens of a text model's answer: captions of the published set have at most 79 words."""
RETRY_TEMPERATURE = 0.7
"""Temperature for every seed but 0, which takes the likeliest tokens: a second try at a rejected
answer has to be able to differ."""

OFFLINE = "offline"
CHOICES = (
    f"{OFFLINE!r}, 'hf:' and a hub id or a folder, or an address with a model such as "
    "'http://127.0.0.1:8000/v1#MODEL'"
)
"""The forms of a name, for errors."""

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


class Producer(Protocol):
    """What is written into the lineage of an answer."""

    @property
    def name(self) -> str:
        """The model, never with a path of one machine."""
        ...

    @property
    def version(self) -> str:
        """Revision or hash of its weights; ``unstated`` where a server does not say."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything else that changes an answer, the prompt included; plain values of JSON."""
        ...


class PictureDescriber(Producer, Protocol):
    """What says what is to be seen in a picture."""

    def describe(self, picture: NDArray[np.uint8]) -> str:
        """Describe an RGB picture [h x w x 3] in a few sentences.

        Raises:
            ValueError: the model gives no usable answer to this picture
            ConnectionError: the model cannot be reached
        """
        ...


class VoiceDescriber(Producer, Protocol):
    """What says how a voice sounds."""

    def describe(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> str:
        """Describe the voice in a mono waveform [w] in [-1, 1] in a few sentences.

        Raises:
            ValueError: the model gives no usable answer to this recording
            ConnectionError: the model cannot be reached
        """
        ...


class TextModel(Producer, Protocol):
    """What answers in words."""

    def answer(self, messages: Sequence[Message], *, seed: int) -> str:
        """Continue a conversation; the same seed gives the same answer where the model allows it.

        Args:
            messages: the conversation, the last message by the user
            seed: 0 for the likeliest answer, any other for another one

        Returns:
            the answer, empty where the model writes nothing

        Raises:
            ValueError: the model gives no usable answer
            ConnectionError: the model cannot be reached
        """
        ...


@dataclass(frozen=True)
class ModelSpec:
    """A model by name, taken apart."""

    kind: Literal["hf", "endpoint"]
    target: str
    """hub id or folder; or the address without the model"""
    model: str
    """what it is called there"""


def require_model_spec(spec: str, *, allow_remote: bool = False) -> ModelSpec | None:
    """Check the name of a model and take it apart; nothing is loaded.

    Args:
        spec: ``offline``, ``hf:ID-or-folder`` or ``http(s)://HOST:PORT/v1#MODEL``
        allow_remote: whether an address may lie outside of this machine

    Returns:
        ``None`` for ``offline``

    Raises:
        ValueError: another form, a folder that is not there, or an address elsewhere without leave
    """
    if spec == OFFLINE:
        return None
    if spec.startswith("hf:") and spec.removeprefix("hf:").strip():
        return _checkpoint(spec.removeprefix("hf:").strip())
    if spec.startswith(("http://", "https://")):
        return _parse_address(spec, allow_remote=allow_remote)
    msg = f"found model {spec!r}, expected {CHOICES}"
    raise ValueError(msg)


def _checkpoint(target: str) -> ModelSpec:
    """Take a folder or a hub id, which has one slash at most."""
    looks_like_path = target.startswith((".", "/", "~")) or target.count("/") > 1
    if looks_like_path and not Path(target).is_dir():
        msg = (
            f"found no folder {target!r}, expected one with a model, or a hub id such as "
            "OWNER/MODEL; check the path"
        )
        raise ValueError(msg)
    return ModelSpec("hf", target, target)


def _parse_address(spec: str, *, allow_remote: bool) -> ModelSpec:
    parts = _split(spec)
    where = f"{parts.scheme}://{parts.hostname}"
    if parts.username is not None or parts.password is not None or parts.query:
        msg = (
            f"found a name, password or query in the address of {where}, expected none; give a key "
            "in the environment variable EMOTION_LLAMA_API_KEY"
        )
        raise ValueError(msg)
    if not parts.fragment:
        msg = (
            f"found no model in {spec!r}, expected its id at the end, such as {spec.rstrip('#')}"
            "#MODEL; ask the server for its models"
        )
        raise ValueError(msg)
    if not allow_remote and not is_loopback(parts.hostname or ""):
        msg = (
            f"found the address {where}, which is not on this machine, expected 127.0.0.1, ::1 or "
            "localhost: no media or words leave the machine unasked; allow remote models "
            "(allow_remote) if they may"
        )
        raise ValueError(msg)
    return ModelSpec("endpoint", spec.partition("#")[0], parts.fragment)


def _split(spec: str) -> SplitResult:
    try:
        parts = urlsplit(spec)
        if parts.hostname and (parts.port is None or parts.port > 0):
            return parts
    except ValueError:  # a port that is no number, or brackets that do not match
        pass
    msg = f"found an address without a usable host and port, expected {CHOICES}"
    raise ValueError(msg)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine whatever the network looks like."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def text_model(
    spec: str,
    *,
    allow_remote: bool = False,
    device: str | None = None,
    dtype: str | None = None,
    json_answers: bool = False,
) -> TextModel | None:
    """Load the text model of a name.

    Args:
        spec: see `require_model_spec`
        allow_remote: whether words may be sent to another machine
        device: torch device of a local model; default is a GPU if there is one
        dtype: type of a local model's weights; see `emotion_llama.merr.local_models`
        json_answers: ask a server for nothing but JSON; a local model is not held to it

    Raises:
        ValueError: another form, an address elsewhere without leave, or a model that does not load
    """
    parsed = require_model_spec(spec, allow_remote=allow_remote)
    if parsed is None:
        return None
    if parsed.kind == "hf":
        from emotion_llama.merr.local_models import LocalTextModel

        return LocalTextModel(parsed.target, device=device, dtype=dtype)
    from emotion_llama.merr.endpoint import Endpoint, EndpointTextModel

    return EndpointTextModel(Endpoint(parsed, json_answers=json_answers))


def picture_describer(
    spec: str, *, allow_remote: bool = False, device: str | None = None, dtype: str | None = None
) -> PictureDescriber | None:
    """Load the picture describer of a name.

    Args:
        spec: see `require_model_spec`
        allow_remote: whether pictures may be sent to another machine
        device: torch device of a local model; default is a GPU if there is one
        dtype: type of a local model's weights; see `emotion_llama.merr.local_models`

    Raises:
        ValueError: another form, an address elsewhere without leave, or a model that does not load
    """
    parsed = require_model_spec(spec, allow_remote=allow_remote)
    if parsed is None:
        return None
    if parsed.kind == "hf":
        from emotion_llama.merr.local_models import LocalPictureDescriber

        return LocalPictureDescriber(parsed.target, device=device, dtype=dtype)
    from emotion_llama.merr.endpoint import Endpoint, EndpointPictureDescriber

    return EndpointPictureDescriber(Endpoint(parsed))


def voice_describer(
    spec: str, *, allow_remote: bool = False, device: str | None = None, dtype: str | None = None
) -> VoiceDescriber | None:
    """Load the voice describer of a name.

    Args:
        spec: see `require_model_spec`
        allow_remote: whether sound may be sent to another machine
        device: torch device of a local model; default is a GPU if there is one
        dtype: type of a local model's weights; see `emotion_llama.merr.local_models`

    Raises:
        ValueError: another form, an address elsewhere without leave, or a model that does not load
    """
    parsed = require_model_spec(spec, allow_remote=allow_remote)
    if parsed is None:
        return None
    if parsed.kind == "hf":
        from emotion_llama.merr.local_models import LocalVoiceDescriber

        return LocalVoiceDescriber(parsed.target, device=device, dtype=dtype)
    from emotion_llama.merr.endpoint import Endpoint, EndpointVoiceDescriber

    return EndpointVoiceDescriber(Endpoint(parsed))


_THOUGHTS = re.compile(r"^\s*<think>.*?(?:</think>|\Z)", re.DOTALL)


def clean_answer(text: str) -> str:
    """Give an answer without the thoughts that some models write before it."""
    return _THOUGHTS.sub("", text).strip()


def require_description(text: str, name: str) -> str:
    """Give a description in one line.

    Raises:
        ValueError: there is none
    """
    description = " ".join(clean_answer(text).split())
    if not description:
        msg = (
            f"found an empty description by {name}, expected a sentence; try a larger model or go "
            "on without a description"
        )
        raise ValueError(msg)
    return description


def require_picture(picture: NDArray[np.uint8]) -> None:
    """Check a picture before it is described.

    Raises:
        ValueError: it is no RGB picture [h x w x 3] of uint8
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        msg = (
            f"found a picture of shape {picture.shape} and type {picture.dtype}, expected RGB "
            "[h x w x 3] of uint8; convert it first"
        )
        raise ValueError(msg)


def require_waveform(waveform: NDArray[np.float32]) -> None:
    """Check a waveform before it is described.

    Raises:
        ValueError: it is not mono [w], or has no samples
    """
    if waveform.ndim != 1 or len(waveform) == 0:
        msg = (
            f"found a waveform of shape {waveform.shape}, expected mono [w] with at least 1 sample;"
            " mix it down first"
        )
        raise ValueError(msg)
