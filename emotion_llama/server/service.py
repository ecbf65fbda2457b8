"""A preset and settings -> an engine, ready to be started.

Knows: how predictor, readers and engine are put together. Does not know: HTTP, what they do.
"""

from functools import partial
from pathlib import Path
from typing import Literal

from emotion_llama.config import ServeConfig
from emotion_llama.predict import Predictor
from emotion_llama.server.engine import Engine
from emotion_llama.server.reading import Readers, ReadLimits, make_reader


def make_engine(
    preset: str | Path,
    settings: ServeConfig,
    *,
    device: str | None = None,
    dtype: str | None = None,
    quantize_bits: Literal[4, 8] | None = None,
    speech_model: str | None = None,
) -> Engine:
    """Load a preset and prepare the processes that read for it.

    Args:
        preset: see `Predictor.from_pretrained`
        settings: limits and sizes
        device: see `Predictor.from_pretrained`
        dtype: see `Predictor.from_pretrained`
        quantize_bits: see `Predictor.from_pretrained`
        speech_model: Whisper folder or hub id that reads the words of clips without transcript;
            each reading process loads it

    Raises:
        PresetError: there is no such preset
    """
    predictor = Predictor.from_pretrained(
        preset, device=device, dtype=dtype, quantize_bits=quantize_bits
    )
    return Engine(
        predictor,
        Readers(
            partial(make_reader, predictor.reader.media, speech_model),
            ReadLimits(
                time_s=settings.read_limit_s,
                memory_mb=settings.read_memory_mb,
                max_duration_s=settings.max_duration_s,
                max_side_px=settings.max_side_px,
                max_streams=settings.max_streams,
            ),
            settings.num_readers,
        ),
        settings,
        speech_model=speech_model,
    )
