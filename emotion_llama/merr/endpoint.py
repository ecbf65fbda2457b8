"""Models behind an OpenAI-compatible address: requests, answers, and when to try again.

Knows: the chat-completions request, retries, the key. Does not know: which addresses are allowed
(`emotion_llama.merr.describers` decides), what is asked. The key is read from the environment and
stands in no setting and no error.
"""

import base64
import io
import os
import time
import wave
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from emotion_llama.merr.describers import (
    ANSWER_TOKENS,
    DESCRIPTION_TOKENS,
    PICTURE_PROMPT,
    RETRY_TEMPERATURE,
    VOICE_PROMPT,
    Message,
    ModelSpec,
    clean_answer,
    is_loopback,
    require_description,
    require_picture,
    require_waveform,
)

KEY_VARIABLE = "EMOTION_LLAMA_API_KEY"
NUM_TRIES = 3
"""Requests before an endpoint is given up."""
BACKOFF_S = 1.0
"""Pause before the second try; it doubles with every further one."""
TIMEOUT_S = 120.0
"""Longest wait for one answer: a large model on a CPU writes a few tokens a second."""
TRY_AGAIN = (408, 409, 429)
"""Statuses below 500 that pass by themselves: timeout, conflict, too many requests."""
PICTURE_PX = 1024
"""Longest side of a picture that is sent; larger ones are made smaller."""
_NO_KEY = "none"
"""Sent where no key is set, since the client wants one; never the key of another service."""


class Endpoint:
    """One model at one address."""

    def __init__(
        self,
        spec: ModelSpec,
        *,
        timeout_s: float = TIMEOUT_S,
        backoff_s: float = BACKOFF_S,
        json_answers: bool = False,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            spec: of kind ``endpoint``
            timeout_s: longest wait for one answer
            backoff_s: pause before the second try
            json_answers: whether the server is to let the model write nothing but JSON

        Raises:
            ValueError: the client library is not installed, or a key would travel unencrypted
        """
        try:
            import openai
        except ImportError as error:
            msg = (
                "found no package 'openai', which talks to model servers; install it with "
                "pip install 'emotion-llama[llm]'"
            )
            raise ValueError(msg) from error
        self.json_answers = json_answers
        host = urlsplit(spec.target).hostname or ""
        self._is_local = is_loopback(host)
        self._key = os.environ.get(KEY_VARIABLE, "")
        if self._key and not self._is_local and not spec.target.startswith("https://"):
            msg = (
                f"found a key in {KEY_VARIABLE} and the unencrypted address {spec.target}, expected"
                " https; use https, or unset the key if the server needs none"
            )
            raise ValueError(msg)
        self.model = spec.model
        self.host = "loopback" if self._is_local else host
        self._where = f"{spec.target} (model {spec.model})"
        self._backoff_s = backoff_s
        # else taken from the variables of another tool
        unsent: Any = {name: openai.Omit() for name in ("OpenAI-Organization", "OpenAI-Project")}
        self._client = openai.OpenAI(
            base_url=spec.target,
            api_key=self._key or _NO_KEY,
            timeout=timeout_s,
            max_retries=0,
            default_headers=unsent,
            # a redirect, or a proxy of the environment, would carry media to another machine
            http_client=openai.DefaultHttpxClient(
                trust_env=not self._is_local, follow_redirects=False
            ),
        )

    def ask(self, messages: Sequence[Mapping[str, Any]], *, seed: int, max_tokens: int) -> str:
        """Give the model's answer; a lost connection or a fault of the server is tried again.

        Args:
            messages: as the chat-completions interface has them
            seed: 0 for temperature 0
            max_tokens: most tokens of the answer

        Raises:
            ValueError: the server refuses the request or sends no answer
            ConnectionError: it could not be reached, or failed every time
        """
        import openai

        fault = ""
        for attempt in range(NUM_TRIES):
            if attempt:
                time.sleep(self._backoff_s * 2 ** (attempt - 1))
            try:
                return self._read(self._send(messages, seed, max_tokens))
            except openai.APIStatusError as error:
                fault = f"status {error.status_code}: {self._hide(str(error))}"
                if error.status_code < 500 and error.status_code not in TRY_AGAIN:
                    msg = (
                        f"{self._where}: found {fault}; check the model's id, the address and "
                        f"{KEY_VARIABLE}, and whether the model takes what was sent"
                    )
                    raise ValueError(msg) from None  # the cause may repeat the key
            except openai.APIConnectionError as error:
                fault = self._hide(f"{error} {error.__cause__ or ''}".strip())
            except (openai.APIResponseValidationError, ValueError) as error:
                fault = self._hide(str(error))
                msg = f"{self._where}: found an answer that cannot be read: {fault}"
                raise ValueError(msg) from None
        msg = (
            f"{self._where}: found no answer in {NUM_TRIES} tries, the last fault was: {fault}; "
            "start the server or check the address"
        )
        raise ConnectionError(msg)

    def _send(self, messages: Sequence[Mapping[str, Any]], seed: int, max_tokens: int) -> Any:
        completions: Any = self._client.chat.completions
        return completions.create(
            model=self.model,
            messages=list(messages),
            temperature=RETRY_TEMPERATURE if seed else 0,
            seed=seed,
            max_tokens=max_tokens,
            **({"response_format": {"type": "json_object"}} if self.json_answers else {}),
        )

    def _read(self, answer: Any) -> str:
        choices = getattr(answer, "choices", None)
        message = getattr(choices[0], "message", None) if choices else None
        content = getattr(message, "content", None)
        if not isinstance(content, str):
            found = self._hide(str(answer))[:200]
            msg = f"{found!r}, expected text in choices[0].message.content; check the server"
            raise ValueError(msg)
        return clean_answer(content)

    def _hide(self, text: str) -> str:
        """Shorten what a server says, without the key: some repeat it."""
        return (text.replace(self._key, "***") if self._key else text)[:300]


def _settings(endpoint: Endpoint, **others: Any) -> Mapping[str, Any]:
    return {
        "model": endpoint.model,
        "host": endpoint.host,
        "temperature": 0,
        "retry_temperature": RETRY_TEMPERATURE,
        **({"json_answers": True} if endpoint.json_answers else {}),
        **others,
    }


class EndpointTextModel:
    """A text model behind an address."""

    version = "unstated"

    def __init__(self, endpoint: Endpoint) -> None:
        """Ask at an address.

        Args:
            endpoint: where
        """
        self._endpoint = endpoint
        self.name = endpoint.model
        self.settings = _settings(endpoint, max_tokens=ANSWER_TOKENS)

    def answer(self, messages: Sequence[Message], *, seed: int) -> str:
        """Continue a conversation; see `emotion_llama.merr.describers.TextModel`.

        Raises:
            ValueError: the server refuses the request or sends no answer
            ConnectionError: it could not be reached, or failed every time
        """
        plain = [{"role": message.role, "content": message.content} for message in messages]
        return self._endpoint.ask(plain, seed=seed, max_tokens=ANSWER_TOKENS)


class EndpointPictureDescriber:
    """A model that sees, behind an address."""

    version = "unstated"

    def __init__(self, endpoint: Endpoint) -> None:
        """Ask at an address.

        Args:
            endpoint: where
        """
        self._endpoint = endpoint
        self.name = endpoint.model
        self.settings = _settings(
            endpoint, prompt=PICTURE_PROMPT, max_tokens=DESCRIPTION_TOKENS, picture_px=PICTURE_PX
        )

    def describe(self, picture: NDArray[np.uint8]) -> str:
        """Describe an RGB picture [h x w x 3]; it is sent as PNG.

        Raises:
            ValueError: no RGB picture, or no usable answer
            ConnectionError: the server could not be reached, or failed every time
        """
        require_picture(picture)
        url = f"data:image/png;base64,{base64.b64encode(_png(picture)).decode()}"
        part = {"type": "image_url", "image_url": {"url": url}}
        return _describe(self._endpoint, part, PICTURE_PROMPT)


class EndpointVoiceDescriber:
    """A model that hears, behind an address."""

    version = "unstated"

    def __init__(self, endpoint: Endpoint) -> None:
        """Ask at an address.

        Args:
            endpoint: where
        """
        self._endpoint = endpoint
        self.name = endpoint.model
        self.settings = _settings(endpoint, prompt=VOICE_PROMPT, max_tokens=DESCRIPTION_TOKENS)

    def describe(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> str:
        """Describe the voice in a mono waveform [w]; it is sent as WAV of 16 bits.

        Raises:
            ValueError: no waveform, or no usable answer
            ConnectionError: the server could not be reached, or failed every time
        """
        require_waveform(waveform)
        data = base64.b64encode(_wav(waveform, sample_rate_hz)).decode()
        part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
        return _describe(self._endpoint, part, VOICE_PROMPT)


def _describe(endpoint: Endpoint, part: Mapping[str, Any], prompt: str) -> str:
    messages = [{"role": "user", "content": [part, {"type": "text", "text": prompt}]}]
    text = endpoint.ask(messages, seed=0, max_tokens=DESCRIPTION_TOKENS)
    return require_description(text, endpoint.model)


def _png(picture: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((PICTURE_PX, PICTURE_PX))
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def _wav(waveform: NDArray[np.float32], sample_rate_hz: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(sample_rate_hz)
        samples = np.clip(np.nan_to_num(waveform), -1, 1) * 32767
        sound.writeframes(np.rint(samples).astype("<i2").tobytes())
    return file.getvalue()
