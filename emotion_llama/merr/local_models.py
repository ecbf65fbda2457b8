"""Models that run on this machine through transformers: text, picture and voice.

Knows: loading, chat templates, decoding. Does not know: what is asked of a text model, clips. A
folder is read without network; a hub id is fetched once unless ``HF_HUB_OFFLINE`` is set. Code that
comes with a model is never run.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_llama.merr.describers import (
    ANSWER_TOKENS,
    DESCRIPTION_TOKENS,
    PICTURE_PROMPT,
    RETRY_TEMPERATURE,
    VOICE_PROMPT,
    Message,
    clean_answer,
    require_description,
    require_picture,
    require_waveform,
)

RETRY_TOP_P = 0.95
"""Share of the probability that is drawn from with a seed other than 0: the rest are slips."""
_DTYPES = ("float32", "bfloat16", "float16", "auto")
_HASH_LETTERS = 16


@dataclass(frozen=True)
class _Loaded:
    """A model, what prepares its input, and where both come from."""

    model: Any
    processor: Any
    """a tokenizer for a text model"""
    name: str
    version: str
    settings: Mapping[str, Any]


class LocalTextModel:
    """A language model that continues a conversation."""

    def __init__(
        self, checkpoint: str, *, device: str | None = None, dtype: str | None = None
    ) -> None:
        """Load a causal language model.

        Args:
            checkpoint: local folder or hub id
            device: torch device; default is a GPU if there is one
            dtype: ``float32``, ``bfloat16``, ``float16`` or ``auto``, as stored; default is
                ``float32`` on a CPU, else ``auto``

        Raises:
            ValueError: an unknown dtype, or no such model there
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._loaded = _load(
            checkpoint, "language model", (AutoModelForCausalLM,), AutoTokenizer, device, dtype
        )
        self.model, self.tokenizer = self._loaded.model, self._loaded.processor
        self.name = self._loaded.name
        self.version = self._loaded.version
        self.settings: Mapping[str, Any] = {
            **self._loaded.settings,
            "max_tokens": ANSWER_TOKENS,
            "retry_temperature": RETRY_TEMPERATURE,
            "retry_top_p": RETRY_TOP_P,
        }

    def answer(self, messages: Sequence[Message], *, seed: int) -> str:
        """Continue a conversation: greedily for seed 0, else drawn with the seed.

        Raises:
            ValueError: the conversation is longer than the model takes
        """
        inputs = self.encode(messages)
        return clean_answer(_generate(self._loaded, inputs, ANSWER_TOKENS, seed))

    def encode(self, messages: Sequence[Message]) -> Any:
        """Give the token ids of a conversation, [1 x s].

        A transcript may hold the marks of a chat template; they count as plain text.
        """
        from jinja2 import TemplateError

        tokenizer = self.tokenizer
        if not tokenizer.chat_template:
            text = "\n\n".join(message.content for message in messages) + "\n"
            return tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        options = {
            "add_generation_prompt": True,
            "return_dict": True,
            "return_tensors": "pt",
            "sanitize_control_tokens": True,
        }
        try:
            return tokenizer.apply_chat_template(_plain(messages), **options)
        except TemplateError:  # some models take no system message
            return tokenizer.apply_chat_template(_plain(_without_system(messages)), **options)


class LocalPictureDescriber:
    """An image-text model that describes a picture."""

    def __init__(
        self, checkpoint: str, *, device: str | None = None, dtype: str | None = None
    ) -> None:
        """Load an image-text model.

        Args:
            checkpoint: local folder or hub id
            device: torch device; default is a GPU if there is one
            dtype: see `LocalTextModel`

        Raises:
            ValueError: an unknown dtype, or no such model there
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self._loaded = _load(
            checkpoint,
            "image-text model",
            (AutoModelForImageTextToText,),
            AutoProcessor,
            device,
            dtype,
        )
        self.name = self._loaded.name
        self.version = self._loaded.version
        self.settings: Mapping[str, Any] = {
            **self._loaded.settings,
            "max_tokens": DESCRIPTION_TOKENS,
            "prompt": PICTURE_PROMPT,
        }

    def describe(self, picture: NDArray[np.uint8]) -> str:
        """Describe an RGB picture [h x w x 3], greedily.

        Raises:
            ValueError: no RGB picture, or an empty description
        """
        from PIL import Image

        require_picture(picture)
        processor = self._loaded.processor
        text = _prompt(processor, "image", PICTURE_PROMPT)
        inputs = processor(images=[Image.fromarray(picture)], text=[text], return_tensors="pt")
        return require_description(_generate(self._loaded, inputs, DESCRIPTION_TOKENS), self.name)


class LocalVoiceDescriber:
    """An audio-language model, such as Qwen2-Audio, that describes a voice."""

    def __init__(
        self, checkpoint: str, *, device: str | None = None, dtype: str | None = None
    ) -> None:
        """Load an audio-language model.

        Args:
            checkpoint: local folder or hub id
            device: torch device; default is a GPU if there is one
            dtype: see `LocalTextModel`

        Raises:
            ValueError: an unknown dtype, or no such model there
        """
        from transformers import AutoModelForMultimodalLM, AutoModelForSeq2SeqLM, AutoProcessor

        # some audio-language models are listed under one of the two only
        classes = (AutoModelForMultimodalLM, AutoModelForSeq2SeqLM)
        self._loaded = _load(
            checkpoint, "audio-language model", classes, AutoProcessor, device, dtype
        )
        if not hasattr(self._loaded.processor, "feature_extractor"):
            msg = (
                f"hf:{checkpoint}: found a {type(self._loaded.model).__name__}, which takes no "
                "sound, expected an audio-language model such as Qwen2-Audio; name another model"
            )
            raise ValueError(msg)
        self.name = self._loaded.name
        self.version = self._loaded.version
        self.settings: Mapping[str, Any] = {
            **self._loaded.settings,
            "max_tokens": DESCRIPTION_TOKENS,
            "prompt": VOICE_PROMPT,
        }

    def describe(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> str:
        """Describe the voice in a mono waveform [w], greedily.

        Raises:
            ValueError: another sample rate than the model's, no waveform, or an empty description
        """
        require_waveform(waveform)
        processor = self._loaded.processor
        expected_hz = processor.feature_extractor.sampling_rate
        if sample_rate_hz != expected_hz:
            msg = (
                f"found a waveform of {sample_rate_hz} Hz, expected {expected_hz} Hz for "
                f"{self.name}; resample it first"
            )
            raise ValueError(msg)
        text = _prompt(processor, "audio", VOICE_PROMPT)
        inputs = processor(
            text=[text], audio=[waveform], sampling_rate=expected_hz, return_tensors="pt"
        )
        return require_description(_generate(self._loaded, inputs, DESCRIPTION_TOKENS), self.name)


def _load(
    checkpoint: str,
    what: str,
    classes: Sequence[Any],
    preparer: Any,
    device: str | None,
    dtype: str | None,
) -> _Loaded:
    """Load a model with the first class that knows its configuration.

    Raises:
        ValueError: an unknown dtype, or no such model there
    """
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or ("float32" if device == "cpu" else "auto")
    if dtype not in _DTYPES:
        msg = f"found dtype {dtype!r}, expected one of {', '.join(_DTYPES)}; choose one of these"
        raise ValueError(msg)
    folder = Path(checkpoint)
    options = {"local_files_only": True} if folder.is_dir() else {}
    try:
        processor = preparer.from_pretrained(checkpoint, **options)
        model = _model(checkpoint, classes, {**options, "dtype": dtype})
    except Exception as error:  # libraries below raise many kinds, down to those of the weights
        msg = (
            f"hf:{checkpoint}: found no {what} that loads ({_first_line(error)}); expected a hub id"
            " or a folder with config.json, weights and tokenizer; check the name, and the network"
            " or HF_HUB_OFFLINE if it has to be fetched"
        )
        raise ValueError(msg) from error
    name, version = _identity(checkpoint, model)
    settings = {"dtype": str(model.dtype).removeprefix("torch."), "device": device.split(":")[0]}
    return _Loaded(model.to(device).eval(), processor, name, version, settings)


def _model(checkpoint: str, classes: Sequence[Any], options: Mapping[str, Any]) -> Any:
    *others, last = classes
    for kind in others:
        try:
            return kind.from_pretrained(checkpoint, **options)
        except ValueError:  # it does not list this configuration
            continue
    return last.from_pretrained(checkpoint, **options)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _identity(checkpoint: str, model: Any) -> tuple[str, str]:
    """Give a model's name and version.

    A model of the hub has its id and the revision that was fetched; a folder has its own name,
    without the path, and ``local-`` with a hash of all its files.
    """
    folder = Path(checkpoint)
    if folder.is_dir():
        return folder.resolve().name, f"local-{hash_folder(folder)}"
    return checkpoint, getattr(model.config, "_commit_hash", None) or "unstated"


def hash_folder(folder: Path) -> str:
    """Hash names and contents of the files in a folder: weights, tokenizer and templates alike.

    The whole content counts: weights that were trained further have the same names and sizes.
    """
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            total.update(f"{path.name}\0{digest}\n".encode())
    return total.hexdigest()[:_HASH_LETTERS]


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """Put what the system says in front of the first message of the user."""
    system = [message.content for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    if not others:
        return [Message("user", "\n\n".join(system))]
    first = Message(others[0].role, "\n\n".join([*system, others[0].content]))
    return [first, *others[1:]]


def _prompt(processor: Any, medium: str, prompt: str) -> str:
    """Give the text that stands for one picture or recording and what is asked of it."""
    if getattr(processor, "chat_template", None):
        content = [{"type": medium}, {"type": "text", "text": prompt}]
        text: str = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        return text
    mark = getattr(processor, f"{medium}_token", None)
    return f"{mark}\n{prompt}\n" if mark else prompt


def _generate(loaded: _Loaded, inputs: Any, max_tokens: int, seed: int = 0) -> str:
    """Let a model go on from its input; seed 0 takes the likeliest token every time.

    Raises:
        ValueError: input and answer are longer than the model takes
    """
    import torch

    model = loaded.model
    length = inputs["input_ids"].shape[1]
    _require_room(model.config, length, max_tokens, loaded.name)
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": RETRY_TEMPERATURE, "top_p": RETRY_TOP_P, "top_k": 0}
        if seed
        else {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    )
    moved = {
        key: value.to(model.device, model.dtype)
        if torch.is_floating_point(value)
        else value.to(model.device)
        for key, value in inputs.items()
    }
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.inference_mode():
        torch.manual_seed(seed)
        ids = model.generate(
            **moved, max_new_tokens=max_tokens, pad_token_id=_padding(loaded), **sampling
        )
    new = ids[0] if model.config.is_encoder_decoder else ids[0, length:]
    text: str = loaded.processor.decode(new, skip_special_tokens=True)
    return text


def _require_room(config: Any, length: int, max_tokens: int, name: str) -> None:
    places = getattr(config.get_text_config(), "max_position_embeddings", None)
    if places is not None and length + max_tokens > places:
        msg = (
            f"{name}: found {length} tokens of input, expected at most {places - max_tokens} (the "
            f"model has {places} places, {max_tokens} of them for the answer); take a model with "
            "more, or shorten the input"
        )
        raise ValueError(msg)


def _padding(loaded: _Loaded) -> int | None:
    """Give the id for padding; one row needs none, but generation warns without."""
    tokenizer = getattr(loaded.processor, "tokenizer", loaded.processor)
    if tokenizer.pad_token_id is not None:
        return int(tokenizer.pad_token_id)
    ending: int | None = tokenizer.eos_token_id
    return ending
