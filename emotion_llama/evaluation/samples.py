"""What a benchmark asks about: one clip with its truth, as read from the files of a data set.

Knows: names and units. Does not know: files, models, scores.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

_NAMED = 3
"""Names that an error lists before it counts the rest."""


@dataclass(frozen=True)
class Truth:
    """What is right for one clip; what a data set does not state is ``None``."""

    label: str | None = None
    """one of the protocol's scored labels"""
    votes: Mapping[str, float] | None = None
    """label -> share of the annotators, adding up to 1"""
    value: float | None = None
    """sentiment or valence, in the units that the protocol names"""
    words: tuple[str, ...] | None = None
    """emotion words of an open vocabulary"""
    description: str | None = None
    """a reference text about the clip's emotion and its reasons"""


Side = Literal["left", "right"]


@dataclass(frozen=True)
class EvalSample:
    """One question to the model, with the answer."""

    sample_id: str
    """unlike every other of the protocol"""
    path: Path | None
    """media file; ``None``: there are words only"""
    transcript: str | None
    truth: Truth
    groups: Mapping[str, str] = field(default_factory=dict)
    """``speaker``, ``sex``, ``age``, ``language``, ``source`` ... -> which one; unknown is left
    out"""
    split: str | None = None
    fold: str | None = None
    span: tuple[float, float] | None = None
    """start and end in seconds of the part of the file that is asked about; ``None``: all of it"""
    side: Side | None = None
    """half of the picture that shows the person; ``None``: the picture is theirs alone"""


@dataclass(frozen=True)
class Reading:
    """What the files of a data set came to."""

    samples: tuple[EvalSample, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    """why rows are left out -> how many"""


class MissingDataError(ValueError):
    """The files of a data set are not where they are looked for."""


def require_own_ids(samples: Sequence[EvalSample], where: Path) -> None:
    """Refuse two samples of one id.

    Raises:
        ValueError: names the first ids that occur twice
    """
    counts = Counter(sample.sample_id for sample in samples)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        more = f" and {len(twice) - _NAMED} more" * (len(twice) > _NAMED)
        msg = (
            f"{where}: found {', '.join(twice[:_NAMED])}{more} more than once, expected every clip "
            "once; remove the repeated rows"
        )
        raise ValueError(msg)
