"""What is measured of a voice: units, what a measure needs, and the words for more and less of it.

Knows: names, limits and wording. Does not know: how anything is measured, norms.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MIN_VOICED_S = 1.0
"""Voiced sound that most measures need: with less, half of the pieces of a recording have a score
that lies half a spread and more from that of the whole (docs/voice.md)."""
SHORT_VOICED_S = 0.6
"""Voiced sound that pitch and loudness need, which settle sooner."""


@dataclass(frozen=True)
class Measure:
    """One measure of the voice."""

    unit: str
    noun: str
    """what it is called in a list"""
    high: str
    """statement of a value above the norm; ``{degree}`` and ``{scope}`` are filled in"""
    low: str
    least_spread: float
    """spread that a norm has at least, in the measure's unit: what is hardly heard is not called
    unusual, however alike the other recordings are"""
    min_snr_db: float
    """signal-to-noise ratio from which noise moves its score by less than a third in half of the
    recordings, and at least 5 dB; docs/voice.md has the table"""
    min_voiced_s: float = MIN_VOICED_S
    needs_same_channel: bool = False
    """whether microphone, distance and gain change it as much as the voice does: then it is only
    held against recordings of the same speaker or data set"""
    is_packaged: bool = True
    """whether the packaged norms have it"""


MEASURES: Mapping[str, Measure] = {
    "pitch": Measure(
        unit="semitones re 27.5 Hz",
        noun="pitch",
        high="the pitch is {degree} higher than usual {scope}",
        low="the pitch is {degree} lower than usual {scope}",
        least_spread=0.5,
        min_snr_db=5.0,
        min_voiced_s=SHORT_VOICED_S,
    ),
    "pitch_range": Measure(
        unit="semitones",
        noun="pitch range",
        high="the pitch moves over a {degree} wider range than usual {scope}",
        low="the pitch moves over a {degree} narrower range than usual {scope}",
        least_spread=1.0,
        min_snr_db=15.0,
    ),
    "pitch_slope": Measure(
        unit="semitones per second",
        noun="course of the pitch",
        high="towards the end the pitch moves {degree} further up than usual {scope}",
        low="towards the end the pitch moves {degree} further down than usual {scope}",
        least_spread=1.0,
        min_snr_db=10.0,
    ),
    "loudness": Measure(
        unit="dB re full scale",
        noun="loudness",
        high="the voice is {degree} louder than usual {scope}",
        low="the voice is {degree} softer than usual {scope}",
        least_spread=1.0,
        min_snr_db=10.0,
        min_voiced_s=SHORT_VOICED_S,
        needs_same_channel=True,
    ),
    "loudness_range": Measure(
        unit="dB",
        noun="variation of loudness",
        high="the loudness varies {degree} more than usual {scope}",
        low="the loudness varies {degree} less than usual {scope}",
        least_spread=1.0,
        min_snr_db=25.0,
        needs_same_channel=True,
    ),
    "rate": Measure(
        unit="syllables per second",
        noun="tempo",
        high="the speech is {degree} faster than usual {scope}",
        low="the speech is {degree} slower than usual {scope}",
        least_spread=0.25,
        min_snr_db=20.0,
    ),
    "pauses": Measure(
        unit="share of the time from first to last speech",
        noun="pauses",
        high="the pauses take up {degree} more of the time than usual {scope}",
        low="the pauses take up {degree} less of the time than usual {scope}",
        least_spread=0.1,
        min_snr_db=10.0,
        is_packaged=False,
    ),
    "hnr": Measure(
        unit="dB",
        noun="noise of the voice",
        high="the voice carries {degree} less noise than usual {scope}",
        low="the voice carries {degree} more noise than usual {scope}",
        least_spread=1.0,
        min_snr_db=25.0,
        needs_same_channel=True,
    ),
    "tension": Measure(
        unit="dB",
        noun="high frequencies",
        high="the high frequencies of the voice are {degree} stronger than usual {scope}",
        low="the high frequencies of the voice are {degree} weaker than usual {scope}",
        least_spread=1.0,
        min_snr_db=15.0,
        needs_same_channel=True,
    ),
}
"""Measure by name; equal scores are said in this order. ``high`` is more of the unit."""
