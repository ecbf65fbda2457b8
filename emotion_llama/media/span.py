"""Start and end in seconds -> a checked part of a film.

Knows: which parts of a file there can be. Does not know: containers, decoding, how a film is
divided (segments.py). Times are presentation times, counted from the start of the file.
"""

import math
from pathlib import Path
from typing import NamedTuple

from emotion_llama.media.error import MediaError

END_S = 0.5
"""Seconds that a span may reach past the end without a word: headers round, and the sound of a film
is often a little longer or shorter than its picture."""


class Span(NamedTuple):
    """Part of a film: what is shown or heard from ``start_s`` on and before ``end_s``."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s

    def __str__(self) -> str:
        """Say it in words."""
        return f"{self.start_s:.2f} to {self.end_s:.2f} s"


def checked_span(
    path: Path, given: tuple[float, float], duration_s: float | None
) -> tuple[Span, tuple[str, ...]]:
    """Check that a part lies in its file; one that reaches past the end stops there.

    Args:
        path: the file, for the message
        given: start and end in seconds
        duration_s: length of the file; ``None``: its header does not say

    Returns:
        the part and warnings

    Raises:
        MediaError: start and end are no part of a file, or of this one
    """
    start_s, end_s = given
    if not (math.isfinite(end_s) and 0 <= start_s < end_s):
        raise MediaError(
            path,
            found=f"the span {start_s:g} to {end_s:g} s",
            expected="a start from 0 on and an end after it, in seconds",
            next_step="mend the two times",
        )
    span = Span(start_s, end_s)
    if duration_s is None or end_s <= duration_s:
        return span, ()
    if start_s >= duration_s:
        raise MediaError(
            path,
            found=f"the span {span}",
            expected=f"a start before {duration_s:.2f} s, where the file ends",
            next_step="give times within the file",
        )
    cut = Span(start_s, duration_s)
    is_said = end_s > duration_s + END_S
    return cut, (f"the file ends at {duration_s:.2f} s: read {cut}",) * is_said
