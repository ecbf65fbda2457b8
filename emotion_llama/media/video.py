"""File -> a few upright RGB frames at known times, and the key frame.

Knows: picture tracks, presentation times, rotation, and the frame policies. Does not know: faces,
sound, models. A long file is streamed twice (times, then pictures); only chosen frames are held.
Of a span, only that part is streamed, from the codec key frame before it.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from emotion_llama.config import MediaConfig, parse_frame_policy
from emotion_llama.media.container import (
    choose_track,
    is_cover,
    open_before,
    open_container,
    packets_of,
    shortfall,
    start_of,
)
from emotion_llama.media.span import Span

TIME_TOLERANCE_S = 1e-6
"""Two presentation times closer than this are one: container clocks are at most 1 MHz here."""

DECODER_THREADS = 4
"""Of one film. FFmpeg's own choice is one for every processor of the machine, 38 where two of them
are ours: they live on until Python collects what PyAV's objects hold of each other."""

CLOCK_ROUNDING_S = 0.002
"""How far the times of two frames may be wrong together: some containers count milliseconds."""


@dataclass(frozen=True)
class PictureReading:
    """What was read of a file's picture; either the frames or ``absence`` is set."""

    frames: NDArray[np.uint8] | None = None
    """[t x h x w x 3]"""
    times_s: NDArray[np.float64] | None = None
    """[t]"""
    key_frame: NDArray[np.uint8] | None = None
    """[h x w x 3]"""
    key_frame_s: float | None = None
    duration_s: float | None = None
    """``None`` for a still picture"""
    absence: str | None = None
    """why there is no usable picture, in words"""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Timeline:
    """Presentation times of a track before anything is decoded, in order."""

    times_s: NDArray[np.float64]
    """every frame, [t]"""
    intra_s: NDArray[np.float64]
    """frames that decode alone (the codec's own key frames), [t]"""
    duration_s: float


@dataclass(frozen=True)
class _Plan:
    """Which frames to decode."""

    sampled_s: NDArray[np.float64]
    key_s: float
    is_intra_only: bool


def choose_frames(policy: str, times_s: NDArray[np.float64], end_s: float) -> NDArray[np.intp]:
    """Choose frames by a policy over presentation time: the same input gives the same frames.

    ``first`` is the first frame, ``middle`` the one on show at half the time, ``uniform:n`` those
    on show at the middle of n equal parts; a frame on show at two of these is given once. ``peak``
    is known only when the face has been measured: until then it is the middle one.

    Args:
        policy: see `emotion_llama.config.parse_frame_policy`
        times_s: presentation times in rising order, at least one, [t]
        end_s: when the last frame stops being shown

    Returns:
        positions in ``times_s``, rising

    Raises:
        ValueError: an unknown policy, or no frame to choose from
    """
    name, num_frames = parse_frame_policy(policy)
    if len(times_s) == 0:
        msg = "found no frame times to choose from, expected at least one; check the clip first"
        raise ValueError(msg)
    if name == "first":
        return np.zeros(1, dtype=np.intp)
    start_s = times_s[0]
    moments = start_s + (np.arange(num_frames) + 0.5) * (end_s - start_s) / num_frames
    on_show = np.searchsorted(times_s, moments + TIME_TOLERANCE_S, side="right") - 1
    return np.unique(np.clip(on_show, 0, len(times_s) - 1))


def read_frames(path: Path, spec: MediaConfig, span: Span | None = None) -> PictureReading:
    """Read the sampled frames and the key frame of a film.

    1. List presentation times without decoding. 2. Choose times. 3. Decode and keep those.

    Args:
        path: the film
        spec: sampling and key-frame settings
        span: part of the film to read as if it were a film of its own; times stay those of the
            whole one

    Raises:
        MediaError: the file cannot be opened as media
    """
    with open_container(path) as container:
        tracks = [track for track in container.streams.video if not is_cover(track)]
        if not tracks:
            return PictureReading(absence="the file has no picture")
        track, warnings = choose_track(tracks, "picture")
        position = track.index
        if span is None:
            timeline = _timeline(container, track)
        else:
            timeline = _span_timeline(path, position, span)
        if timeline is not None and len(timeline.times_s):
            late_s = 0.0 if span is None else float(timeline.times_s[0]) - span.start_s
            warnings += shortfall(track, late_s + timeline.duration_s, "picture", span)
    if timeline is None:
        timeline = _decoded_timeline(path, position, span)
    if len(timeline.times_s) == 0:
        why = "the picture track has no frame" + ("" if span is None else f" in {span}")
        return PictureReading(absence=why, warnings=warnings)
    plan = _plan(timeline, spec)
    wanted_s = np.union1d(plan.sampled_s, [plan.key_s])
    faults: list[str] = []
    part = None if span is None else Span(float(wanted_s[0]), span.end_s)
    kept = _keep(path, position, wanted_s, plan.is_intra_only, spec, faults, part)
    if faults:
        warnings += (
            f"{len(faults)} part(s) of the picture could not be decoded ({faults[0]}); "
            "used the rest",
        )
    if not kept:
        return PictureReading(absence="no frame of the picture decodes", warnings=warnings)
    return _reading(kept, plan, timeline.duration_s, warnings)


def stream_film(
    path: Path, frames_per_second: float, max_frame_px: int, notes: list[str] | None = None
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Decode a film frame by frame; one frame is held at a time.

    Every frame comes where the film has at most ``frames_per_second``; of a faster one, frames are
    left out evenly over presentation time.

    Args:
        path: the film
        frames_per_second: most frames to give
        max_frame_px: longest side of a frame; a larger one is shrunk
        notes: what a person should know of the reading is added to it

    Yields:
        presentation times in seconds, rising, and upright RGB frames of one size [h x w x 3]

    Raises:
        MediaError: the file cannot be opened as media
    """
    notes = [] if notes is None else notes
    faults: list[str] = []
    step_s = 1.0 / frames_per_second
    early_s = min(CLOCK_ROUNDING_S, step_s / 4)
    shape: tuple[int, ...] | None = None
    last_s, due_s = -math.inf, -math.inf
    with open_container(path) as container:
        tracks = [track for track in container.streams.video if not is_cover(track)]
        if not tracks:
            return
        track, warnings = choose_track(tracks, "picture")
        notes.extend(warnings)
        for time_s, frame in _decoded(container, track, False, faults):
            if time_s <= last_s + TIME_TOLERANCE_S or time_s < due_s - early_s:
                continue
            # a late frame does not make the next ones come faster for long
            was_due_s = time_s if last_s == -math.inf else max(due_s, time_s - step_s / 2)
            last_s, due_s = time_s, was_due_s + step_s
            picture = upright(frame, max_frame_px, shape)
            shape = picture.shape
            yield time_s, picture
    if faults:
        notes.append(
            f"{len(faults)} part(s) of the picture could not be decoded ({faults[0]}); "
            "used the rest"
        )


def _plan(timeline: _Timeline, spec: MediaConfig) -> _Plan:
    """Choose the times to sample; far apart, they fall on frames that decode alone."""
    policy = parse_frame_policy(spec.key_frame)
    num_wanted = math.ceil(timeline.duration_s * spec.frames_per_second - TIME_TOLERANCE_S)
    num_frames = max(1, min(num_wanted, spec.max_frames))
    if policy.name == "uniform":
        num_frames = policy.num_frames
    times_s = timeline.times_s
    end_s = times_s[0] + timeline.duration_s
    is_intra_only = _is_dense(timeline.intra_s, times_s[0], end_s, num_frames)
    if is_intra_only:
        times_s = timeline.intra_s
    sampled_s = times_s[choose_frames(f"uniform:{num_frames}", times_s, end_s)]
    if policy.name == "uniform":
        key_s = sampled_s[len(sampled_s) // 2]
    else:
        key_s = times_s[choose_frames(spec.key_frame, times_s, end_s)[0]]
    return _Plan(sampled_s, float(key_s), is_intra_only)


def _is_dense(intra_s: NDArray[np.float64], start_s: float, end_s: float, num_frames: int) -> bool:
    """Tell whether frames that decode alone [t] lie at most half a sampling step apart."""
    if len(intra_s) < 2 * num_frames:
        return False
    edges = np.concatenate([[start_s], intra_s, [end_s]])
    return bool(np.diff(edges).max() <= (end_s - start_s) / num_frames / 2)


def _reading(
    kept: list[tuple[float, NDArray[np.uint8]]],
    plan: _Plan,
    duration_s: float,
    warnings: tuple[str, ...],
) -> PictureReading:
    times_s = np.array([time_s for time_s, _ in kept])  # [t]
    key = int(np.argmin(np.abs(times_s - plan.key_s)))
    # a wanted frame that did not decode is stood in for by the next one that did
    sampled = np.unique(
        np.clip(np.searchsorted(times_s, plan.sampled_s - TIME_TOLERANCE_S), 0, len(times_s) - 1)
    )
    return PictureReading(
        frames=np.stack([kept[i][1] for i in sampled]),  # [t x h x w x 3]
        times_s=times_s[sampled],
        key_frame=kept[key][1],
        key_frame_s=float(times_s[key]),
        duration_s=duration_s,
        warnings=warnings,
    )


def _timeline(container: Any, track: Any, end_s: float = math.inf) -> _Timeline | None:
    """List presentation times up to ``end_s``, and at least one after it if there is one.

    Returns:
        times from packets alone; ``None`` when packets carry no times
    """
    start_s = start_of(container)
    times: list[float] = []
    intra: list[float] = []
    latest_s, last_s = -math.inf, 0.0
    try:
        for packet in container.demux(track):
            if packet.size == 0 or packet.is_discard:
                continue
            if packet.pts is None:
                return None
            time_s = float(packet.pts * packet.time_base) - start_s
            times.append(time_s)
            if packet.is_keyframe:
                intra.append(time_s)
            if time_s > latest_s:
                latest_s = time_s
                last_s = float((packet.duration or 0) * packet.time_base)
            # packets come in the order of decoding: no later one is shown before this time
            if packet.dts is not None and float(packet.dts * packet.time_base) - start_s >= end_s:
                break
    except av.FFmpegError:
        # the packets before the damage are the timeline; decoding reports the damage
        pass
    return _ordered(times, intra, last_s)


def _ordered(times: list[float], intra: list[float], last_s: float) -> _Timeline:
    """Put times in order; a last frame of unknown length is shown as long as the usual one."""
    ordered = np.unique(np.array(times, dtype=np.float64))
    if last_s <= 0 and len(ordered) > 1:
        last_s = float(np.median(np.diff(ordered)))
    duration_s = float(ordered[-1] - ordered[0] + last_s) if len(ordered) else 0.0
    return _Timeline(ordered, np.unique(np.array(intra, dtype=np.float64)), duration_s)


def _span_timeline(path: Path, position: int, span: Span) -> _Timeline | None:
    """List presentation times of a part of a film as `_timeline` does of the whole."""
    with open_before(path, position, span.start_s) as container:
        timeline = _timeline(container, container.streams[position], span.end_s)
    return None if timeline is None else _within(timeline, span)


def _within(timeline: _Timeline, span: Span) -> _Timeline:
    """Leave out what does not begin in a span; its last frame is shown to its end at most."""
    times_s, intra_s = (
        times[(times >= span.start_s - TIME_TOLERANCE_S) & (times < span.end_s - TIME_TOLERANCE_S)]
        for times in (timeline.times_s, timeline.intra_s)
    )
    if len(times_s) == 0:
        return _Timeline(times_s, intra_s, 0.0)
    shown_s = min(span.end_s, timeline.times_s[0] + timeline.duration_s)
    return _Timeline(times_s, intra_s, float(shown_s - times_s[0]))


def _decoded_timeline(path: Path, position: int, span: Span | None) -> _Timeline:
    """List presentation times by decoding, for streams whose packets carry none; holds no frame."""
    times = [time_s for time_s, _ in _frames(path, position, False, [], span)]
    timeline = _ordered(times, [], 0.0)
    return timeline if span is None else _within(timeline, span)


def _frames(
    path: Path, position: int, is_intra_only: bool, faults: list[str], span: Span | None
) -> Generator[tuple[float, Any], None, None]:
    """Decode a picture track, or what of it is in a span.

    Yields:
        presentation time in seconds and PyAV frame
    """
    opened: AbstractContextManager[Any]
    opened = open_container(path) if span is None else open_before(path, position, span.start_s)
    with opened as container:
        track = container.streams[position]
        for time_s, frame in _decoded(container, track, is_intra_only, faults):
            if span is None:
                yield time_s, frame
            elif time_s >= span.end_s - TIME_TOLERANCE_S:
                return
            elif time_s >= span.start_s - TIME_TOLERANCE_S:
                yield time_s, frame


def _decoded(
    container: Any, track: Any, is_intra_only: bool, faults: list[str]
) -> Iterator[tuple[float, Any]]:
    """Decode a picture track; note what fails in ``faults`` and go on.

    Yields:
        presentation time in seconds and PyAV frame
    """
    track.thread_type = "AUTO"
    if track.codec_context is not None:  # a track that nothing here decodes
        track.codec_context.thread_count = DECODER_THREADS
    start_s = start_of(container)
    rate = float(track.guessed_rate or track.average_rate or 25)
    number = 0
    for packet in packets_of(container, track, faults):
        if is_intra_only and packet is not None and packet.size and not packet.is_keyframe:
            continue
        try:
            frames = track.decode(packet)
        except av.FFmpegError as error:
            faults.append(error.strerror or str(error))
            continue
        for frame in frames:
            if frame.pts is None:
                # a raw stream has no clock: its frames are counted at the stated rate
                yield number / rate, frame
            else:
                # not frame.time: the frames that end a track carry no time base of their own
                yield float(frame.pts * track.time_base) - start_s, frame
            number += 1


def _keep(
    path: Path,
    position: int,
    wanted_s: NDArray[np.float64],
    is_intra_only: bool,
    spec: MediaConfig,
    faults: list[str],
    span: Span | None,
) -> list[tuple[float, NDArray[np.uint8]]]:
    """Decode a track, or a span of it, and keep the first frame at or after each wanted time.

    Returns:
        times and upright frames [h x w x 3] of one size, in time order
    """
    kept: list[tuple[float, NDArray[np.uint8]]] = []
    last: tuple[float, Any] | None = None
    next_wanted = 0
    shape: tuple[int, ...] | None = None
    with closing(_frames(path, position, is_intra_only, faults, span)) as frames:
        for time_s, frame in frames:
            last = (time_s, frame)
            if time_s < wanted_s[next_wanted] - TIME_TOLERANCE_S:
                continue
            kept.append((time_s, upright(frame, spec.max_frame_px, shape)))
            shape = kept[0][1].shape
            next_wanted = int(np.searchsorted(wanted_s, time_s + TIME_TOLERANCE_S, side="right"))
            if next_wanted == len(wanted_s):
                break
        if last is not None and not kept:
            kept.append((last[0], upright(last[1], spec.max_frame_px, shape)))
    return kept


def upright(
    frame: Any, max_frame_px: int, shape: tuple[int, ...] | None = None
) -> NDArray[np.uint8]:
    """Turn a decoded frame into the picture a viewer sees.

    1. Square pixels, no side over ``max_frame_px``. 2. RGB. 3. The stated rotation or mirroring.

    Args:
        frame: PyAV video frame
        max_frame_px: longest side of the result
        shape: (h, w, 3) that the result must have, for a film that changes its size midway

    Returns:
        RGB, [h x w x 3]
    """
    is_turned, flips_x, flips_y = _orientation(frame)
    if shape is None:
        height, width = display_size(frame.height, frame.width * _pixel_aspect(frame), max_frame_px)
    else:
        height, width = (shape[1], shape[0]) if is_turned else (shape[0], shape[1])
    picture = frame.to_ndarray(  # [h x w x 3]
        format="rgb24", width=width, height=height, interpolation="AREA"
    )
    if is_turned:
        picture = picture.swapaxes(0, 1)
    if flips_x:
        picture = picture[:, ::-1]
    if flips_y:
        picture = picture[::-1]
    result: NDArray[np.uint8] = np.ascontiguousarray(picture)
    return result


def display_size(height: float, width: float, max_frame_px: int) -> tuple[int, int]:
    """Give the whole-number height and width with the longest side at most ``max_frame_px``."""
    scale = min(1.0, max_frame_px / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _pixel_aspect(frame: Any) -> float:
    """Width of a pixel over its height, 1 where it is not stated."""
    aspect = getattr(frame, "sample_aspect_ratio", None)
    return float(aspect) if aspect else 1.0


def _orientation(frame: Any) -> tuple[bool, bool, bool]:
    """Read the display matrix: whether the axes swap, then whether x and y are mirrored.

    The matrix is nine 32-bit numbers (a b u, c d v, x y w) in the layout of the ISO base media
    format: a point goes to x' = a x + c y, y' = b x + d y, with y pointing down.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype="<i4")[:5].tolist()
    if abs(b) > abs(a):
        return True, c < 0, b < 0
    return False, a < 0, d < 0
