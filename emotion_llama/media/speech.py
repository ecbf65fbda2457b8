"""Waveform -> what is said, by an automatic speech recogniser.

Knows: the interface of a recogniser and the Whisper adapter. Does not know: files, clips.
Recognised words are a guess by a model; a caller that uses them should say so.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


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

    def transcribe(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> str:
        """Give the words in a mono waveform in [-1, 1], [w]."""
        ...


class WhisperRecognizer:
    """Whisper through transformers, thirty seconds at a time, decoded greedily.

    Windows follow each other without overlap: a word on a border may be lost or doubled.
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
            language: spoken language for a multilingual model; ``None`` lets the model decide
            max_new_tokens: most tokens per thirty seconds

        Raises:
            ValueError: an unknown dtype, or no Whisper model there
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
        self._model = model.to(device).eval()
        self._language = language
        self._max_new_tokens = max_new_tokens
        self._name = str(checkpoint)

    @property
    def name(self) -> str:
        """The folder or hub id."""
        return self._name

    @property
    def version(self) -> str:
        """The hub revision of the weights; ``local`` for a folder, which states none."""
        revision = getattr(self._model.config, "_commit_hash", None)
        return revision or "local"

    def transcribe(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> str:
        """Give the words in a mono waveform [w].

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
        return " ".join(" ".join(self._window_text(window).split()) for window in windows).strip()

    def _window_text(self, window: NDArray[np.float32]) -> str:
        import torch

        extractor = self._processor.feature_extractor
        inputs = extractor(
            window,
            sampling_rate=extractor.sampling_rate,
            return_tensors="pt",
            return_attention_mask=True,
        )
        options = {} if self._language is None else {"language": self._language}
        with torch.inference_mode():
            ids = self._model.generate(
                inputs.input_features.to(self._model.device, self._model.dtype),
                attention_mask=inputs.attention_mask.to(self._model.device),
                max_new_tokens=self._max_new_tokens,
                do_sample=False,
                **options,
            )
        text: str = self._processor.batch_decode(ids, skip_special_tokens=True)[0]
        return text
