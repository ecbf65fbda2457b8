"""Open a media file safely: the checks before decoding, and the choice of a track.

Knows: files, containers and tracks. Does not know: what is done with frames and samples.
A file is handed to the demuxer as an open stream and the demuxer may open nothing else, so a
playlist cannot reach other files or the network, and a name such as ``http:x`` is only a name.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from emotion_llama.media.error import MediaError
from emotion_llama.media.span import Span

TEXT_DEMUXERS = frozenset(
    {"tty", "concat", "hls", "dash", "srt", "webvtt", "ass", "lrc", "subviewer"}
)
"""Demuxers (FFmpeg names) that read text: text is never pictures or sound here."""

MAX_FAULTS = 1000
"""Undecodable packets after which a track is given up."""

PARTIAL_SHARE = 0.05
"""Share of the stated length that may be absent before a track is called cut short."""

PARTIAL_S = 0.5
"""Seconds that may be absent: rounding, edit lists and encoder padding stay below this."""

SEEK_BACK_S = (0.0, 1.0, 4.0, 16.0, 64.0)
"""How far before the wanted time a file is entered, until a codec key frame is found at or before
it: some containers are entered between key frames, which lie up to ten seconds apart as a rule."""


def require_file(path: Path) -> None:
    """Check that a path names a regular, readable file that is not empty.

    Raises:
        MediaError: it does not
    """
    wanted = "a video, sound or picture file"
    try:
        if not path.exists():
            raise MediaError(
                path,
                found="no file",
                expected=wanted,
                next_step="check the path for a typing error",
            )
        if path.is_dir():
            raise MediaError(
                path, found="a directory", expected=wanted, next_step="name one file inside it"
            )
        if not path.is_file():
            raise MediaError(
                path,
                found="a pipe, socket or device",
                expected="a regular file",
                next_step="save it to disk first",
            )
        if path.stat().st_size == 0:
            raise MediaError(
                path,
                found="an empty file (0 bytes)",
                expected=wanted,
                next_step="copy or download it again",
            )
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            path,
            found=f"a file that cannot be read ({reason})",
            expected="a readable file",
            next_step="check its name and permissions",
        ) from error


@contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """Open a media file for demuxing and close it at the end.

    Yields:
        a PyAV input container with at least one track

    Raises:
        MediaError: not a media file, cut off before its index, or text
    """
    require_file(path)
    with path.open("rb") as stream:
        try:
            container = av.open(
                stream, metadata_errors="ignore", options={"protocol_whitelist": "none"}
            )
        except (av.FFmpegError, ValueError, OSError, IndexError) as error:
            raise MediaError(
                path,
                found=f"content that no demuxer reads ({_reason(error)})",
                expected="a video, sound or picture file",
                next_step="play it in a media player; if that fails, copy or export it again",
            ) from error
        with container:
            if TEXT_DEMUXERS.intersection(container.format.name.split(",")):
                raise MediaError(
                    path,
                    found=f"text ({container.format.name})",
                    expected="a video, sound or picture file",
                    next_step="give text as the transcript instead",
                )
            yield container


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def start_of(container: Any) -> float:
    """Give the time at which a file starts by its own clock, in seconds."""
    start = container.start_time
    return 0.0 if start is None else start / av.time_base


@contextmanager
def open_before(path: Path, position: int, time_s: float) -> Iterator[Any]:
    """Open a file at a codec key frame at or before a time, or at its start where it cannot seek.

    Args:
        path: the file
        position: number of the track whose key frames count
        time_s: presentation time in seconds

    Yields:
        a PyAV input container, of which that track can be decoded at once

    Raises:
        MediaError: the file cannot be opened as media
    """
    for target_s in (time_s - back_s for back_s in SEEK_BACK_S):
        if target_s <= 0:
            break
        with open_container(path) as container:
            if _enters(container, container.streams[position], target_s, time_s):
                yield container
                return
    with open_container(path) as container:
        yield container


def _enters(container: Any, track: Any, target_s: float, time_s: float) -> bool:
    """Seek, and tell whether a key frame at or before ``time_s`` is the first to come."""
    ticks = math.floor((target_s + start_of(container)) / track.time_base)
    try:
        container.seek(ticks, stream=track)
        keys = (packet for packet in container.demux(track) if packet.is_keyframe and packet.size)
        first = next(keys, None)
        container.seek(ticks, stream=track)
    except av.FFmpegError:
        return False
    if first is None or first.pts is None:
        return False
    return float(first.pts * first.time_base) - start_of(container) <= time_s


def packets_of(container: Any, track: Any, faults: list[str]) -> Iterator[Any]:
    """Read a track's packets up to the end, to damage, or to `MAX_FAULTS` faults.

    Args:
        container: PyAV input container
        track: one of its streams, or several
        faults: what failed so far; damage to the container is added to it

    Yields:
        packets, and at the end ``None``, which makes a decoder give its last frames
    """
    packets = container.demux(track)
    while len(faults) <= MAX_FAULTS:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            faults.append(_reason(error))
            packet = None
        # PyAV ends a track with an empty packet of its own
        if packet is None or packet.size == 0:
            yield None
            return
        yield packet


def choose_track(tracks: Sequence[Any], kind: str) -> tuple[Any, tuple[str, ...]]:
    """Choose the default track, or else the first, and say so where there are several.

    Args:
        tracks: PyAV streams of one kind, at least one
        kind: how a warning calls them, such as ``sound``

    Returns:
        the track and warnings
    """
    default = [track for track in tracks if track.disposition & _disposition("default")]
    chosen = (default or list(tracks))[0]
    if len(tracks) == 1:
        return chosen, ()
    why = "the default" if len(default) == 1 else "the first"
    position = list(tracks).index(chosen) + 1
    return chosen, (f"{len(tracks)} {kind} tracks: used track {position}, {why} one",)


def is_cover(track: Any) -> bool:
    """Tell whether a picture track is the cover of a sound file or a thumbnail."""
    flags = _disposition("attached_pic") | _disposition("timed_thumbnails")
    return bool(track.disposition & flags)


def _disposition(name: str) -> Any:
    return getattr(av.stream.Disposition, name)


def shortfall(track: Any, read_s: float, kind: str, span: Span | None = None) -> tuple[str, ...]:
    """Warn when a track ends well before the length that the file states for it.

    Args:
        track: PyAV stream
        read_s: seconds that were there
        kind: how the warning calls the track
        span: part of the file that was read; ``None``: all of it
    """
    stated_s = stated_length_s(track)
    if stated_s is not None and span is not None:
        stated_s = min(stated_s, span.end_s) - span.start_s
    if stated_s is None or stated_s - read_s <= max(PARTIAL_S, PARTIAL_SHARE * stated_s):
        return ()
    where = "" if span is None else f" for {span}"
    return (
        f"the {kind} is cut short: the file states {stated_s:.2f} s{where} and {read_s:.2f} s are "
        "there; used what is there",
    )


def stated_length_s(track: Any) -> float | None:
    """Length of a track in seconds by its header, or by Matroska's tag ``h:mm:ss.fraction``."""
    if track.duration is not None and track.time_base is not None:
        return float(track.duration * track.time_base)
    tag = re.fullmatch(r"(\d+):(\d{2}):(\d{2}(?:\.\d+)?)", track.metadata.get("DURATION", ""))
    return None if tag is None else int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
