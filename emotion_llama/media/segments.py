"""Length of a film -> equal parts to be answered one by one.

Knows: how a length is divided, what a header says of it. Does not know: decoding, answers.
"""

import math
from itertools import pairwise
from pathlib import Path

from emotion_llama.media.container import open_container, packets_of, start_of
from emotion_llama.media.probe import probe
from emotion_llama.media.span import Span

LEAST_SHARE = 0.5
"""Share of the asked length that every part has at least: with n equal parts of a film longer than
n - 1 of them, each is longer than (n - 1) / n of the asked length, and n is 2 or more."""


def segments(duration_s: float, length_s: float) -> list[Span]:
    """Divide a film into equal parts, as few as are no longer than asked.

    The parts follow each other without a gap, from 0 to the end. A film that is not longer than
    ``length_s`` is one part; otherwise each has more than `LEAST_SHARE` of that length.

    Args:
        duration_s: length of the film
        length_s: most seconds of a part

    Raises:
        ValueError: a length is no number above 0
    """
    for name, value in (("duration_s", duration_s), ("length_s", length_s)):
        if not 0 < value < math.inf:
            msg = f"found {name}={value}, expected a number of seconds above 0; give another one"
            raise ValueError(msg)
    number = math.ceil(duration_s / length_s)
    edges = [duration_s * position / number for position in range(number)] + [duration_s]
    return [Span(start_s, end_s) for start_s, end_s in pairwise(edges)]


def file_duration_s(path: Path) -> float | None:
    """Give the length of a film or sound by its header.

    Returns:
        seconds; ``None`` for a still picture, and where the header says nothing, as in films that
        a browser recorded

    Raises:
        MediaError: the file cannot be opened as media
    """
    facts = probe(path)
    return None if facts.kind == "image" else facts.duration_s


def counted_duration_s(path: Path) -> float | None:
    """Give the length of a film or sound by the times of all its packets; nothing is decoded.

    Returns:
        seconds; ``None`` where the packets carry no times

    Raises:
        MediaError: the file cannot be opened as media
    """
    ends: list[float] = []
    with open_container(path) as container:
        start_s = start_of(container)
        tracks = [*container.streams.video, *container.streams.audio]
        for packet in packets_of(container, tracks, []):
            if packet is not None and packet.pts is not None:
                end = packet.pts + (packet.duration or 0)
                ends.append(float(end * packet.time_base) - start_s)
    return max(ends, default=None)
