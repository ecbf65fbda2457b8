"""File -> mono waveform: decoding, mixing down, resampling, and when sound counts as absent.

Knows: sound tracks, sample formats and the silence rule. Does not know: pictures, speech, models.
"""

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from emotion_llama.config import MediaConfig
from emotion_llama.media.container import (
    choose_track,
    open_before,
    open_container,
    packets_of,
    shortfall,
    start_of,
)
from emotion_llama.media.span import Span

SILENCE_DBFS = -70.0
"""Peak level below which a track is silence: the quantisation noise of 12 bits is near -72 dBFS."""

LEAD_S = 0.5
"""Seconds that are decoded before a span: a decoder that starts midway needs up to 80 ms until its
sound is that of the whole (Opus, RFC 7845 section 4.6; MP3 and AAC need a few frames), and
resampling some 20 ms."""

ANCHOR_PIECES = 64
"""Pieces whose times say where in a track a reading stands. Some containers round times to
milliseconds; the middle between the earliest and the latest start that the times of many pieces
speak for is right to a sample or so."""

CLOCK_ROUNDING_S = 0.001
"""Farthest that rounding puts such a start from the median of all; what is farther is a gap."""

_TimedPiece = tuple[float | None, int, NDArray[np.float32]]
"""Presentation time in seconds (``None``: not known), sample rate in Hz, mono samples [w]."""


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


def read_waveform(path: Path, spec: MediaConfig, span: Span | None = None) -> SoundReading:
    """Read a file's sound as one mono waveform.

    1. Take the default sound track. 2. Average its channels. 3. Resample as it streams.
    4. Name the sound absent when it is too short or silent.

    Args:
        path: the file
        spec: sample rate and limits
        span: part of the file to read; the samples are those of the whole reading there

    Raises:
        MediaError: the file cannot be opened as media
    """
    with open_container(path) as container:
        if not container.streams.audio:
            return SoundReading(None, "the file has no sound", 0.0)
        track, warnings = choose_track(container.streams.audio, "sound")
        faults: list[str] = []
        late_s = 0.0
        if span is None:
            rate, limit_s = spec.sample_rate_hz, spec.max_duration_s
            room = None if limit_s is None else round(limit_s * rate)
            pieces = _resampled(_mono_frames(container, track, faults), rate, room)
            waveform = np.concatenate([np.zeros(0, np.float32), *pieces])  # [w]
        else:
            track_s = sound_start_s(path)
            late_s = max(0.0, track_s - span.start_s)
            waveform = _cut(path, track.index, spec, faults, span, track_s)
        duration_s = len(waveform) / spec.sample_rate_hz
        if spec.max_duration_s is None and not faults and (span is None or len(waveform)):
            warnings += shortfall(track, late_s + duration_s, "sound", span)
    if faults:
        warnings += (
            f"{len(faults)} part(s) of the sound could not be decoded ({faults[0]}); used the rest",
        )
    num_invalid = int(np.count_nonzero(~np.isfinite(waveform)))
    if num_invalid:
        waveform = np.nan_to_num(waveform, nan=0.0, posinf=0.0, neginf=0.0)
        warnings += (f"{num_invalid} samples of the sound are no finite numbers; set to 0",)
    absence = _absence(waveform, spec, "" if span is None else f" in {span}")
    # resampling overshoots a full-scale edge by a few per cent
    kept = None if absence else np.clip(waveform, -1.0, 1.0).astype(np.float32)
    return SoundReading(kept, absence, duration_s, warnings)


def _absence(waveform: NDArray[np.float32], spec: MediaConfig, where: str) -> str | None:
    """Say why a waveform [w] cannot be used, or ``None`` when it can."""
    if len(waveform) == 0:
        return f"the sound track has no samples{where}"
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
    for _, rate, samples in _timed_frames(container, track, faults):
        yield rate, samples


def _timed_frames(
    container: Any, track: Any, faults: list[str]
) -> Generator[_TimedPiece, None, None]:
    """Decode a track as `_mono_frames` does, with the time of each piece."""
    start_s = start_of(container)
    for packet in packets_of(container, track, faults):
        try:
            frames = track.decode(packet)
        except av.FFmpegError as error:
            faults.append(error.strerror or str(error))
            continue
        for frame in frames:
            if frame.samples:
                # not frame.time: the frames that end a track carry no time base of their own
                is_timed = frame.pts is not None
                time_s = float(frame.pts * track.time_base) - start_s if is_timed else None
                yield time_s, frame.sample_rate, mix_down(frame)


def sound_start_s(path: Path) -> float:
    """Give the presentation time of a file's first sample; 0 where there is no sound or clock.

    Raises:
        MediaError: the file cannot be opened as media
    """
    with open_container(path) as container:
        if not container.streams.audio:
            return 0.0
        track, _ = choose_track(container.streams.audio, "sound")
        return _start_s(list(islice(_timed_frames(container, track, []), ANCHOR_PIECES))) or 0.0


def _start_s(pieces: Sequence[_TimedPiece]) -> float | None:
    """Give the time of the first sample of some pieces, by all their times; ``None``: no clock."""
    lengths_s = [len(samples) / rate for _, rate, samples in pieces]
    before_s = np.cumsum([0.0, *lengths_s[:-1]])
    starts_s = [
        time_s - earlier_s
        for (time_s, _, _), earlier_s in zip(pieces, before_s, strict=True)
        if time_s is not None
    ]
    if not starts_s:
        return None
    # the first piece is often cut by the container, whose clock does not say by how much exactly
    starts_s = starts_s[1:] or starts_s
    usual_s = float(np.median(starts_s))
    near = [start_s for start_s in starts_s if abs(start_s - usual_s) <= CLOCK_ROUNDING_S]
    return float(min(near) + max(near)) / 2


def _cut(
    path: Path,
    position: int,
    spec: MediaConfig,
    faults: list[str],
    span: Span,
    track_s: float,
) -> NDArray[np.float32]:
    """Read the samples that a reading of the whole track, from ``track_s`` on, has in a span.

    They are the same because they lie on the same grid of times: what is resampled begins where a
    sample of the track and one of the result fall together.

    Returns:
        samples at ``spec.sample_rate_hz``, [w]
    """
    rate = spec.sample_rate_hz
    end_s = span.start_s + min(span.length_s, spec.max_duration_s or span.length_s)
    first, last = (max(0, round((time_s - track_s) * rate)) for time_s in (span.start_s, end_s))
    with (
        open_before(path, position, span.start_s - LEAD_S) as container,
        closing(_timed_frames(container, container.streams[position], faults)) as frames,
    ):
        anchor = list(islice(frames, 1))
        if not anchor:
            return np.zeros(0, np.float32)
        if span.start_s > LEAD_S:
            # what fails before the first piece is the rest of one that was entered midway
            faults.clear()
        anchor += islice(frames, ANCHOR_PIECES - 1)
        began_s = _start_s(anchor)
        source_rate = anchor[0][1]
        began = 0 if began_s is None else round((began_s - track_s) * source_rate)
        step = source_rate // math.gcd(source_rate, rate)
        entry = max(began, first * source_rate // rate - round(LEAD_S * source_rate))
        entry = math.ceil(entry / step) * step
        offset = entry * rate // source_rate
        if offset >= last:
            return np.zeros(0, np.float32)
        pieces = _after(entry - began, chain(anchor, frames))
        resampled = _resampled(pieces, rate, last - offset)
        waveform = np.concatenate([np.zeros(0, np.float32), *resampled])  # [w]
    return waveform[max(0, first - offset) :]


def _after(number: int, pieces: Iterable[_TimedPiece]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Leave out the first samples.

    Yields:
        sample rate in Hz and mono samples [w]
    """
    for _, rate, samples in pieces:
        if number < len(samples):
            yield rate, samples[number:]
        number = max(0, number - len(samples))


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
    pieces: Iterator[tuple[int, NDArray[np.float32]]], rate: int, room: int | None
) -> Iterator[NDArray[np.float32]]:
    """Bring pieces of one or more sample rates to the wanted rate, up to ``room`` samples.

    Yields:
        samples at ``rate``, [w]
    """
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
