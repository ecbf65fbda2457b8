"""Answers of two runs to the same clips -> which run is better, and whether that may be chance.

Knows: paired intervals and tests. Does not know: files, models, where the answers come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_llama.evaluation.metrics import (
    LEVEL,
    NUM_RESAMPLES,
    Counts,
    Interval,
    Numbers,
    bootstrap,
    confusion,
)

NUM_PERMUTATIONS = 5000
"""Exchanges of the two runs behind a p value; the smallest it can show is then 1 in 5001."""

FIGURES = ("accuracy", "uar", "weighted_f1")
"""What is compared: these fields of `metrics.LabelFigures`."""

_NAMED = 3
"""Names that an error lists before it counts the rest."""

_ROUNDING = 1e-12
"""Differences this close are equal: the same sum in another order."""


@dataclass(frozen=True)
class Run:
    """What one run answered; three lists of one order."""

    ids: Sequence[str]
    truths: Sequence[str]
    answers: Sequence[str | None]
    """``None`` where no label could be read"""


@dataclass(frozen=True)
class Difference:
    """One figure of two runs."""

    a: float
    b: float
    difference: float
    """a - b"""
    interval: Interval
    """of the difference, both runs drawn together"""
    p: float
    """share of random exchanges of the two runs that show at least this difference, in either
    direction, two-sided; the observed one counts as one of them (Phipson and Smyth 2010)"""


@dataclass(frozen=True)
class Comparison:
    """Run A against run B on the same clips."""

    figures: Mapping[str, Difference]
    """by name, see `FIGURES`"""
    mcnemar_p: float
    """exact two-sided p value of the accuracies (McNemar 1947, binomial form): takes clips as
    independent, also where groups are given; 1 where the runs are right on the same clips"""
    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong: int
    num_clips: int
    num_units: int
    """what was drawn and exchanged: clips, or groups of clips such as people"""
    num_permutations: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


def compare_runs(
    a: Run,
    b: Run,
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    num_resamples: int = NUM_RESAMPLES,
    num_permutations: int = NUM_PERMUTATIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> Comparison:
    """Compare two runs, clip by clip as their ids say.

    Args:
        a: one run
        b: the other; its order may differ
        labels: as in `compare`
        groups: as in `compare`, in the order of ``a``
        num_resamples: as in `compare`
        num_permutations: as in `compare`
        level: as in `compare`
        seed: as in `compare`

    Raises:
        ValueError: the runs have other clips or other truths, an id occurs twice, or as `compare`
    """
    rows_a, rows_b = _by_id(a, "A"), _by_id(b, "B")
    _require_same_clips(rows_a, rows_b)
    return compare(
        a.truths,
        a.answers,
        [rows_b[name][1] for name in a.ids],
        labels,
        groups=groups,
        num_resamples=num_resamples,
        num_permutations=num_permutations,
        level=level,
        seed=seed,
    )


def compare(
    truths: Sequence[str],
    answers_a: Sequence[str | None],
    answers_b: Sequence[str | None],
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    num_resamples: int = NUM_RESAMPLES,
    num_permutations: int = NUM_PERMUTATIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> Comparison:
    """Compare two lists of answers to the same clips.

    Args:
        truths: right label of each clip
        answers_a: label that run A answered, in the same order; ``None`` where none could be read
        answers_b: the same of run B
        labels: the closed list that is scored
        groups: person of each clip: people are then drawn and exchanged with all their clips,
            which is honest where several clips are of one person; ``None``: clips
        num_resamples: draws behind an interval
        num_permutations: exchanges behind a p value
        level: share of the resamples inside an interval
        seed: of draws and exchanges

    Raises:
        ValueError: as `metrics.confusion` and `metrics.bootstrap`
    """
    for answers in (answers_a, answers_b):
        confusion(truths, answers, labels)  # refuses what cannot be scored
    true, of_a, of_b = (_codes(names, labels) for names in (truths, answers_a, answers_b))
    size = len(labels)

    def differences(rows: Counts) -> list[float]:
        pair = (_figures(true[rows], answers[rows], size) for answers in (of_a, of_b))
        return list(np.subtract(*pair))

    intervals = bootstrap(
        differences, len(true), groups=groups, num_resamples=num_resamples, level=level, seed=seed
    )
    units = np.arange(len(true)) if groups is None else np.unique(groups, return_inverse=True)[1]
    p_values = _permutation_p(true, of_a, of_b, size, units, num_permutations, seed)
    pairs = zip(_figures(true, of_a, size), _figures(true, of_b, size), strict=True)
    right_a, right_b = of_a == true, of_b == true
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return Comparison(
        figures={
            name: Difference(float(a), float(b), float(a - b), interval, p)
            for name, (a, b), interval, p in zip(FIGURES, pairs, intervals, p_values, strict=True)
        },
        mcnemar_p=mcnemar_p(only_a, only_b),
        both_right=int((right_a & right_b).sum()),
        only_a_right=only_a,
        only_b_right=only_b,
        both_wrong=int((~right_a & ~right_b).sum()),
        num_clips=len(true),
        num_units=intervals[0].num_units,
        num_permutations=num_permutations,
    )


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Give the exact two-sided p value of a fair coin for the clips that one run alone has right.

    Args:
        only_a: clips that only run A has right
        only_b: clips that only run B has right
    """
    total = only_a + only_b
    ways = tail = 1  # of choosing none of all
    for count in range(min(only_a, only_b)):
        ways = ways * (total - count) // (count + 1)
        tail += ways
    return min(1.0, 2 * tail / (1 << total))


def _by_id(run: Run, name: str) -> dict[str, tuple[str, str | None]]:
    """Give truth and answer by id."""
    sizes = {len(run.ids), len(run.truths), len(run.answers)}
    if len(sizes) > 1:
        msg = (
            f"run {name}: found {len(run.ids)} ids, {len(run.truths)} truths and "
            f"{len(run.answers)} answers, expected one each for every clip"
        )
        raise ValueError(msg)
    rows = dict(zip(run.ids, zip(run.truths, run.answers, strict=True), strict=True))
    if len(rows) < len(run.ids):
        twice = len(run.ids) - len(rows)
        msg = f"run {name}: found {twice} ids again, expected each once; remove the repeated rows"
        raise ValueError(msg)
    return rows


def _require_same_clips(
    rows_a: Mapping[str, tuple[str, str | None]], rows_b: Mapping[str, tuple[str, str | None]]
) -> None:
    only_a, only_b = sorted(rows_a.keys() - rows_b), sorted(rows_b.keys() - rows_a)
    if only_a or only_b:
        msg = (
            f"found {len(only_a)} clips only in run A{_listed(only_a)} and {len(only_b)} only in "
            f"run B{_listed(only_b)}, expected the same clips; evaluate both runs on the same ones"
        )
        raise ValueError(msg)
    other = sorted(name for name, row in rows_a.items() if row[0] != rows_b[name][0])
    if other:
        msg = (
            f"found {len(other)} of {len(rows_a)} clips with another truth in run B than in run A"
            f"{_listed(other)}, expected the same truths; evaluate both runs on the same files"
        )
        raise ValueError(msg)


def _listed(names: Sequence[str]) -> str:
    more = ", ..." * (len(names) > _NAMED)
    return f" ({', '.join(names[:_NAMED])}{more})" if names else ""


def _codes(names: Sequence[str | None], labels: Sequence[str]) -> Counts:
    """Number names by label; what is no label is one past the last, [n]."""
    places: dict[str | None, int] = {label: number for number, label in enumerate(labels)}
    return np.array([places.get(name, len(labels)) for name in names], dtype=np.int64)


def _figures(true: Counts, answered: Counts, size: int) -> Numbers:
    """Give `FIGURES` of numbered answers over labels 0 to ``size - 1``, [3].

    The formulas of `metrics.label_figures`, for thousands of draws: no strings, no matrix.
    """
    support = np.bincount(true, minlength=size)
    given = np.bincount(answered, minlength=size + 1)[:size]
    right = np.bincount(true[true == answered], minlength=size)
    seen = support > 0
    f1 = 2 * right[seen] / (support[seen] + given[seen])
    return np.array(
        [
            right.sum() / len(true),
            (right[seen] / support[seen]).mean(),
            (f1 * support[seen]).sum() / len(true),
        ]
    )


def _permutation_p(
    true: Counts,
    of_a: Counts,
    of_b: Counts,
    size: int,
    units: NDArray[np.int64],
    num_permutations: int,
    seed: int,
) -> list[float]:
    """Give the p value of each figure: the runs are exchanged unit by unit, by a fair coin."""
    generator = np.random.default_rng(seed)
    found = np.abs(_figures(true, of_a, size) - _figures(true, of_b, size))
    reached = np.zeros(len(FIGURES), dtype=np.int64)
    for _ in range(num_permutations):
        swap = (generator.random(units.max() + 1) < 0.5)[units]
        one, other = np.where(swap, of_b, of_a), np.where(swap, of_a, of_b)
        drawn = np.abs(_figures(true, one, size) - _figures(true, other, size))
        reached += drawn >= found - _ROUNDING
    return [float(p) for p in (reached + 1) / (num_permutations + 1)]
