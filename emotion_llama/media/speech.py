"""Waveform -> what is said, by an automatic speech recogniser.

Knows: the interface of a recogniser and the Whisper adapter. Does not know: files, clips.
Recognised words are a guess by a model; a caller that uses them should say so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emotion_llama.media.weights import NamedWeights

_PROMPT_TOKENS = 4
"""Most tokens that stand before the words: start, language, task, no times."""


@dataclass(frozen=True)
class Speech:
    """What was heard."""

    text: str
    """the words in the language that was spoken"""
    language: str | None = None
    """its ISO 639 code, such as ``de``; ``None``: it was not determined"""
    english: Callable[[], str] | None = None
    """hears the same once more and gives it in English; ``None``: the recogniser cannot"""


class SpeechRecognizer(Protocol):
    """What turns speech into text."""

    @property
    def name(self) -> str:
        """What recognises, such as a model's folder or hub id."""
        ...

    @property
    def version(self) -> str:
        """Version of the weights or the program."""
        ...

    def transcribe(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> Speech:
        """Give the words in a mono waveform in [-1, 1], [w], and their language."""
        ...


def language_name(code: str) -> str:
    """Give the English name of a language by its ISO 639 code; an unknown code is its own name."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return str(LANGUAGES.get(code, code)).title()


class WhisperRecognizer(NamedWeights):
    """Whisper through transformers, thirty seconds at a time, decoded greedily.

    Windows follow each other without overlap: a word on a border may be lost or doubled. A
    multilingual model decides by the first thirty seconds which language is spoken, and can give
    other languages in English.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        dtype: str = "float32",
        device: str = "cpu",
        language: str | None = None,
        max_new_tokens: int = 200,
    ) -> None:
        """Load a recogniser.

        Args:
            checkpoint: local folder or hub id of a Whisper model
            dtype: ``float32``, ``float16`` or ``bfloat16``
            device: torch device
            language: ISO 639 code of the spoken language, for a multilingual model; ``None`` lets
                the model decide
            max_new_tokens: most tokens per thirty seconds

        Raises:
            ValueError: an unknown dtype, no Whisper model there, or not of that language
        """
        import torch
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
        if dtype not in dtypes:
            msg = f"found dtype {dtype!r}, expected one of {', '.join(dtypes)}; choose one of these"
            raise ValueError(msg)
        try:
            self._processor: Any = WhisperProcessor.from_pretrained(str(checkpoint))
            model: Any = WhisperForConditionalGeneration.from_pretrained(
                str(checkpoint), dtype=dtypes[dtype]
            )
        except (OSError, ValueError, KeyError) as error:
            msg = (
                f"{checkpoint}: found no Whisper model that loads ({error}); expected a local "
                "folder or hub id with weights, tokenizer and feature extractor; check the name"
            )
            raise ValueError(msg) from error
        super().__init__(checkpoint, model.to(device).eval())
        self._codes = _languages(model)
        if language is not None and language not in self._codes.values():
            known = ", ".join(sorted(self._codes.values())) or "no choice: it is not multilingual"
            msg = f"{checkpoint}: found language {language!r}, expected one that it knows ({known})"
            raise ValueError(msg)
        self._language = language
        room = model.config.max_target_positions - _PROMPT_TOKENS
        self._max_new_tokens = min(max_new_tokens, room)

    def transcribe(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> Speech:
        """Give the words in a mono waveform [w], and their language.

        Raises:
            ValueError: another sample rate than the model's, or no samples
        """
        extractor = self._processor.feature_extractor
        if sample_rate_hz != extractor.sampling_rate:
            msg = (
                f"found a waveform of {sample_rate_hz} Hz, expected {extractor.sampling_rate} Hz; "
                "resample it first"
            )
            raise ValueError(msg)
        if waveform.ndim != 1 or len(waveform) == 0:
            msg = f"found a waveform of shape {waveform.shape}, expected [w] with at least 1 sample"
            raise ValueError(msg)
        step = extractor.n_samples
        windows = [waveform[start : start + step] for start in range(0, len(waveform), step)]
        language = self._language or self._heard_language(windows[0])
        say = partial(self._text, windows, language)
        return Speech(say(), language, partial(say, task="translate") if self._codes else None)

    def _text(
        self, windows: list[NDArray[np.float32]], language: str | None, task: str = "transcribe"
    ) -> str:
        options = {} if language is None else {"language": language, "task": task}
        texts = [self._window_text(window, **options) for window in windows]
        return " ".join(" ".join(text.split()) for text in texts).strip()

    def _heard_language(self, window: NDArray[np.float32]) -> str | None:
        """Let the model decide which language is spoken; ``None``: it knows but one."""
        if not self._codes:
            return None
        token = self._model.detect_language(self._inputs(window)["input_features"])
        return self._codes.get(int(token))

    def _window_text(self, window: NDArray[np.float32], **options: str) -> str:
        import torch

        with torch.inference_mode():
            ids = self._model.generate(
                **self._inputs(window),
                max_new_tokens=self._max_new_tokens,
                do_sample=False,
                **options,
            )
        text: str = self._processor.batch_decode(ids, skip_special_tokens=True)[0]
        return text

    def _inputs(self, window: NDArray[np.float32]) -> dict[str, Any]:
        extractor = self._processor.feature_extractor
        inputs = extractor(
            window,
            sampling_rate=extractor.sampling_rate,
            return_tensors="pt",
            return_attention_mask=True,
        )
        return {
            "input_features": inputs.input_features.to(self._model.device, self._model.dtype),
            "attention_mask": inputs.attention_mask.to(self._model.device),
        }


def _languages(model: Any) -> dict[int, str]:
    """Give token -> ISO 639 code of the languages that a model tells apart; empty if it does not.

    A multilingual model states them in its generation config as ``{"<|de|>": 50261, ...}``.
    """
    settings = model.generation_config
    if not getattr(settings, "is_multilingual", False):
        return {}
    return {number: mark.strip("<|>") for mark, number in settings.lang_to_id.items()}
