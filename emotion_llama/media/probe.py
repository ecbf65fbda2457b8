"""File -> what its headers state (kind, length, size, tracks), and whether that may be read.

Knows: headers. Does not know: pixels and samples, which are never decoded for it; whether a header
tells the truth. What reads the file afterwards needs limits of its own on time and memory.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
from PIL import Image, UnidentifiedImageError

from emotion_llama.media.container import is_cover, open_container, require_file, stated_length_s
from emotion_llama.media.error import MediaError, MediaLimitError
from emotion_llama.media.still import FILM_FORMATS, FORMATS, available_formats, refuse_heif


@dataclass(frozen=True)
class MediaFacts:
    """What the headers of a file state."""

    kind: Literal["image", "video", "audio"]
    """``image`` is one still picture; an animated GIF or PNG is a ``video``"""
    format_name: str
    """as Pillow (stills) or FFmpeg calls it, such as ``png`` or ``mov,mp4,m4a,3gp,3g2,mj2``"""
    num_streams: int
    """tracks of every kind, covers and subtitles too"""
    width: int | None
    """largest coded width of any picture track in pixels, covers aside; ``None``: none is stated"""
    height: int | None
    """likewise"""
    duration_s: float | None
    """longest that the container or any track states; ``None``: nothing states one"""


def probe(path: Path) -> MediaFacts:
    """Read what the headers of a picture, film or sound file state.

    Raises:
        MediaError: no such file, or it has neither picture nor sound
        MediaLimitError: a picture with more pixels than Pillow opens
    """
    require_file(path)
    return _still_facts(path) or _film_facts(path)


def check_limits(
    facts: MediaFacts,
    path: Path,
    *,
    max_duration_s: float,
    max_side_px: int,
    max_pixels: int,
    max_streams: int,
) -> None:
    """Refuse a file whose headers state more than is allowed.

    Args:
        facts: what `probe` gave
        path: what the message calls the file
        max_duration_s: longest clip in seconds; a length that nothing states passes
        max_side_px: longest side of a picture
        max_pixels: most pixels of a picture
        max_streams: most tracks

    Raises:
        MediaLimitError: the first limit that is passed
    """
    if facts.num_streams > max_streams:
        raise MediaLimitError(
            path,
            found=f"{facts.num_streams} tracks",
            expected=f"at most {max_streams}",
            next_step="export it with one picture and one sound track",
        )
    width, height = facts.width or 0, facts.height or 0
    if max(width, height) > max_side_px or width * height > max_pixels:
        raise MediaLimitError(
            path,
            found=f"a picture of {width} x {height} pixels",
            expected=f"at most {max_side_px} a side and {max_pixels} in all",
            next_step="make it smaller",
        )
    check_length(facts.duration_s, path, max_duration_s)


def check_length(duration_s: float | None, path: Path, max_duration_s: float) -> None:
    """Refuse a clip that is too long, by its header or as it turned out in reading.

    Raises:
        MediaLimitError: it is
    """
    if duration_s is not None and duration_s > max_duration_s:
        raise MediaLimitError(
            path,
            found=f"a length of {duration_s:.6g} s",
            expected=f"at most {max_duration_s:g} s",
            next_step="cut it shorter",
        )


def _still_facts(path: Path) -> MediaFacts | None:
    """Read the header of a still picture; ``None``: it is none."""
    formats = [name for name in FORMATS if name in available_formats()]
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=formats) as image:
            # not for others: it may search the whole file, and they are read as stills anyway
            if image.format in FILM_FORMATS and getattr(image, "is_animated", False):
                return None
            name = str(image.format).lower()
            return MediaFacts("image", name, 1, image.width, image.height, None)
    except UnidentifiedImageError:
        refuse_heif(path)
        return None
    except Image.DecompressionBombError as error:
        raise MediaLimitError(
            path,
            found=f"a picture that is too large to open ({error})",
            expected="a picture of ordinary size",
            next_step="make it smaller",
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise MediaError(
            path,
            found=f"a picture whose header is damaged ({error})",
            expected="a whole picture",
            next_step="copy or export it again",
        ) from error


def _film_facts(path: Path) -> MediaFacts:
    with open_container(path) as container:
        pictures = [track for track in container.streams.video if not is_cover(track)]
        if not pictures and not container.streams.audio:
            raise MediaError(
                path,
                found=f"neither picture nor sound ({container.format.name})",
                expected="a video, sound or picture file",
                next_step="check that it plays in a media player",
            )
        # a track that nothing here decodes has no size, and needs none
        sizes = [_coded_size(track) for track in pictures if track.codec_context is not None]
        return MediaFacts(
            kind="video" if pictures else "audio",
            format_name=container.format.name,
            num_streams=len(container.streams),
            width=max((width for width, _ in sizes), default=0) or None,
            height=max((height for _, height in sizes), default=0) or None,
            duration_s=max(_lengths(container), default=None),
        )


def _coded_size(track: Any) -> tuple[int, int]:
    """Width and height in memory, which may be larger than what is shown."""
    codec = track.codec_context
    return max(codec.width, codec.coded_width), max(codec.height, codec.coded_height)


def _lengths(container: Any) -> Iterator[float]:
    """Give every length above 0 that is stated, in seconds."""
    stated = [stated_length_s(track) for track in container.streams]
    if container.duration is not None:
        stated.append(container.duration / av.time_base)
    yield from (length for length in stated if length is not None and length > 0)
