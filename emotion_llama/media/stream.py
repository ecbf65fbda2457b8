"""File -> every frame, one at a time: films and still pictures alike.

Knows: which reader a file needs, how many frames its header promises. Does not know: decoding,
sampling by policy, faces.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_llama.config import MediaConfig
from emotion_llama.media.container import choose_track, is_cover, open_container
from emotion_llama.media.error import MediaError
from emotion_llama.media.still import read_still
from emotion_llama.media.video import stream_film


def stream_frames(
    path: Path,
    frames_per_second: float = 30.0,
    max_frame_px: int | None = None,
    notes: list[str] | None = None,
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Give the frames of a film, or the one of a still picture, without holding them.

    Args:
        path: the file
        frames_per_second: most frames to give; a film with no more gives every one
        max_frame_px: longest side of a frame; default is that of `MediaConfig`
        notes: what a person should know of the reading is added to it

    Yields:
        presentation times in seconds, rising, and upright RGB frames of one size [h x w x 3]

    Raises:
        ValueError: ``frames_per_second`` is not above 0
        MediaError: the file cannot be opened, or has no picture that decodes
    """
    if not 0 < frames_per_second < math.inf:
        msg = f"found frames_per_second={frames_per_second}, expected a number above 0"
        raise ValueError(msg)
    spec = MediaConfig() if max_frame_px is None else MediaConfig(max_frame_px=max_frame_px)
    still = read_still(path, spec)
    if still is not None and still.key_frame is not None:
        if notes is not None:
            notes.extend(still.warnings)
        yield 0.0, still.key_frame
        return
    is_empty = True
    for timed_frame in stream_film(path, frames_per_second, spec.max_frame_px, notes):
        is_empty = False
        yield timed_frame
    if is_empty:
        raise MediaError(
            path,
            found="no picture in it",
            expected="a film or a still picture",
            next_step="check that it shows something in a media player",
        )


def is_still(path: Path) -> bool:
    """Tell whether a file is a still picture.

    Raises:
        MediaError: it is a damaged picture, or no file that can be read
    """
    return read_still(path, MediaConfig()) is not None


def expected_frames(path: Path, frames_per_second: float = 30.0) -> int:
    """Say how many frames `stream_frames` will about give, by the file's header; 0: unknown.

    Raises:
        MediaError: the file cannot be opened as media
    """
    with open_container(path) as container:
        tracks = [track for track in container.streams.video if not is_cover(track)]
        if not tracks:
            return 0
        track, _ = choose_track(tracks, "picture")
        rate = float(track.average_rate or 0)
        num_frames = int(track.frames)
        if track.duration is not None:
            seconds = float(track.duration * track.time_base)
        else:
            seconds = (container.duration or 0) / 1e6
    num_frames = num_frames or round(seconds * rate)
    return min(num_frames, math.ceil(seconds * frames_per_second) or num_frames)
