"""File -> mono waveform: decoding, mixing down, resampling, and when sound counts as absent.

Knows: sound tracks, sample formats and the silence rule. Does not know: pictures, speech, models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from emotion_llama.config import MediaConfig
from emotion_llama.media.container import choose_track, open_container, packets_of, shortfall

SILENCE_DBFS = -70.0
"""Peak level below which a track is silence: the quantisation noise of 12 bits is near -72 dBFS."""


@dataclass(frozen=True)
class SoundReading:
    """What was read of a file's sound; exactly one of ``waveform`` and ``absence`` is set."""

    waveform: NDArray[np.float32] | None
    """mono sound in [-1, 1], [w]"""
    absence: str | None
    """why there is no usable sound, in words"""
    duration_s: float
    """seconds of sound that were decoded"""
    warnings: tuple[str, ...] = ()


def read_waveform(path: Path, spec: MediaConfig) -> SoundReading:
    """Read a file's sound as one mono waveform.

    1. Take the default sound track. 2. Average its channels. 3. Resample as it streams.
    4. Name the sound absent when it is too short or silent.

    Raises:
        MediaError: the file cannot be opened as media
    """
    with open_container(path) as container:
        if not container.streams.audio:
            return SoundReading(None, "the file has no sound", 0.0)
        track, warnings = choose_track(container.streams.audio, "sound")
        faults: list[str] = []
        pieces = _resampled(_mono_frames(container, track, faults), spec)
        waveform = np.concatenate([np.zeros(0, np.float32), *pieces])  # [w]
        duration_s = len(waveform) / spec.sample_rate_hz
        if spec.max_duration_s is None and not faults:
            warnings += shortfall(track, duration_s, "sound")
    if faults:
        warnings += (
            f"{len(faults)} part(s) of the sound could not be decoded ({faults[0]}); used the rest",
        )
    num_invalid = int(np.count_nonzero(~np.isfinite(waveform)))
    if num_invalid:
        waveform = np.nan_to_num(waveform, nan=0.0, posinf=0.0, neginf=0.0)
        warnings += (f"{num_invalid} samples of the sound are no finite numbers; set to 0",)
    absence = _absence(waveform, spec)
    # resampling overshoots a full-scale edge by a few per cent
    kept = None if absence else np.clip(waveform, -1.0, 1.0).astype(np.float32)
    return SoundReading(kept, absence, duration_s, warnings)


def _absence(waveform: NDArray[np.float32], spec: MediaConfig) -> str | None:
    """Say why a waveform [w] cannot be used, or ``None`` when it can."""
    if len(waveform) == 0:
        return "the sound track has no samples"
    length_s = len(waveform) / spec.sample_rate_hz
    if length_s < spec.min_audio_s:
        return f"the sound lasts {length_s:.4g} s; at least {spec.min_audio_s:g} s are needed"
    peak = float(np.abs(waveform).max())
    if peak == 0.0:
        return "the sound is silence (every sample is 0)"
    level_dbfs = 20.0 * np.log10(peak)
    if level_dbfs < SILENCE_DBFS:
        return (
            f"the sound is silence (loudest sample {level_dbfs:.1f} dBFS; "
            f"below {SILENCE_DBFS:g} dBFS counts as silence)"
        )
    return None


def _mono_frames(
    container: Any, track: Any, faults: list[str]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Decode a track piece by piece; note what fails in ``faults`` and go on.

    Yields:
        sample rate in Hz and mono samples [w]
    """
    for packet in packets_of(container, track, faults):
        try:
            frames = track.decode(packet)
        except av.FFmpegError as error:
            faults.append(error.strerror or str(error))
            continue
        for frame in frames:
            if frame.samples:
                yield frame.sample_rate, mix_down(frame)


def mix_down(frame: Any) -> NDArray[np.float32]:
    """Average the channels of a decoded frame.

    Args:
        frame: PyAV audio frame of any sample format

    Returns:
        mono samples in [-1, 1], [w]
    """
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T  # [channels x w]
    if samples.dtype == np.uint8:
        scaled = (samples.astype(np.float32) - 128.0) / 128.0
    elif np.issubdtype(samples.dtype, np.integer):
        scaled = samples.astype(np.float64) / -float(np.iinfo(samples.dtype).min)
    else:
        scaled = samples
    mono: NDArray[np.float32] = scaled.mean(axis=0).astype(np.float32)  # [w]
    return mono


def _resampled(
    pieces: Iterator[tuple[int, NDArray[np.float32]]], spec: MediaConfig
) -> Iterator[NDArray[np.float32]]:
    """Bring pieces of one or more sample rates to the wanted rate, up to the longest duration.

    Yields:
        samples at ``spec.sample_rate_hz``, [w]
    """
    rate = spec.sample_rate_hz
    room = None if spec.max_duration_s is None else round(spec.max_duration_s * rate)
    for resampled in _converted(pieces, rate):
        if room is not None:
            resampled = resampled[:room]
            room -= len(resampled)
        yield resampled
        if room == 0:
            return


def _converted(
    pieces: Iterator[tuple[int, NDArray[np.float32]]], rate: int
) -> Iterator[NDArray[np.float32]]:
    source_rate = rate
    resampler = None
    for piece_rate, samples in pieces:
        if piece_rate != source_rate:
            if resampler is not None:
                yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            source_rate = piece_rate
            resampler = None
            if piece_rate != rate:
                resampler = soxr.ResampleStream(piece_rate, rate, 1, dtype="float32")
        yield samples if resampler is None else resampler.resample_chunk(samples)
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
