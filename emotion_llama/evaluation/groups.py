"""Answers and the group of each clip -> figures of each group and how far groups are apart.

Knows: counts by group, gaps, what is too small to show. Does not know: files, models, what a group
or a label means. A clip without a group is counted and in no group; none is guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
    calibration,
    confusion,
    label_figures,
    label_intervals,
)

MIN_GROUP = 30
"""Fewest clips of a group that is shown: with fewer, an accuracy has a 95 % interval of more than
plus or minus 16 points, and a figure may point at single people."""

MIN_LABEL_CLIPS = 10
"""Fewest clips of a label in a group for its recall to count in a gap; one clip more or less then
moves the recall by 10 points at most."""

NUM_SHUFFLES = 200
"""Shuffles of the groups behind the gap of chance; its mean is then known to about 1 part in 25."""


@dataclass(frozen=True)
class GroupRow:
    """Figures of one group."""

    num_clips: int
    num_unparsed: int
    accuracy: float
    uar: float
    """mean over the labels that are a truth in this group"""
    accuracy_interval: Interval | None
    """``None``: all clips are of one person, which has no spread"""
    uar_interval: Interval | None
    recall: Mapping[str, float | None]
    """``None`` where the label is never the truth in this group"""
    support: Mapping[str, int]
    """clips of each truth"""
    ece: float | None
    """as `metrics.Calibration`: ``None`` below its least number of clips; also where no
    probabilities are given"""
    perfect_ece: float | None


@dataclass(frozen=True)
class UarGap:
    """How far the groups are apart, over labels that all of them have."""

    worst: str
    """group with the smallest mean recall; of equals the first by name"""
    worst_uar: float
    best: str
    best_uar: float
    gap: float
    """largest less smallest mean recall"""
    interval: Interval | None
    """of the gap. A gap is never below 0, so the interval does not answer whether there is one:
    ``chance_gap`` does. ``None``: fewer than two units to draw"""
    chance_gap: float
    """mean gap after the groups are shuffled among clips of one truth: what equal groups of these
    sizes show; takes clips as independent"""
    labels: tuple[str, ...]
    """labels that are a truth in every shown group; only these are in the means, or a group
    without a hard label would look better than one with it"""


@dataclass(frozen=True)
class GroupFigures:
    """How well each group is served."""

    groups: Mapping[str, GroupRow]
    """groups with at least ``min_group`` clips, by name"""
    suppressed: Mapping[str, int]
    """smaller groups -> their clips"""
    num_unknown: int
    """clips without a group"""
    gap: UarGap | None
    """``None``: fewer than two shown groups, or no label that all of them have"""
    equalised_odds_gap: Mapping[str, float | None]
    """for each label: largest difference of recall between shown groups with at least
    ``min_label_clips`` clips of it; ``None``: fewer than two such groups. This is the share of
    right answers within one truth, from equalised odds (Hardt et al. 2016, definition 2.1)"""
    min_group: int
    min_label_clips: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


def group_figures(
    truths: Sequence[str],
    answers: Sequence[str | None],
    labels: Sequence[str],
    groups: Sequence[str | None],
    *,
    probabilities: NDArray[np.floating[Any]] | None = None,
    units: Sequence[str] | None = None,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> GroupFigures:
    """Give the figures of each group.

    Args:
        truths: right label of each clip
        answers: label answered, in the same order; ``None`` where no label could be read
        labels: the closed list that is scored
        groups: which group each clip is of; ``None``: unknown
        probabilities: of each label, in the order of ``labels``, [n x a]; ``None``: there are none
        units: person of each clip, for intervals that draw people; ``None``: clips are drawn
        num_resamples: draws behind an interval
        level: share of the resamples inside an interval
        seed: of the draws

    Raises:
        ValueError: as `metrics.confusion` and `metrics.calibration`, or another number of groups
            or units than clips
    """
    confusion(truths, answers, labels)  # refuses what cannot be scored
    for what, names in (("groups", groups), ("units", units)):
        if names is not None and len(names) != len(truths):
            msg = f"found {len(names)} {what} of {len(truths)} clips, expected one each"
            raise ValueError(msg)
    if probabilities is not None:
        calibration(probabilities, truths, labels)  # refuses what is no probability
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        if group is not None:
            members.setdefault(group, []).append(row)
    shown = {name: members[name] for name in sorted(members) if len(members[name]) >= MIN_GROUP}
    clips = _Clips(truths, answers, probabilities, units)
    draws = _Draws(num_resamples, level, seed)
    table = _table(clips, labels, shown)
    return GroupFigures(
        groups={name: _row(clips.take(rows), labels, draws) for name, rows in shown.items()},
        suppressed={name: len(members[name]) for name in sorted(members) if name not in shown},
        num_unknown=sum(group is None for group in groups),
        gap=_uar_gap(table, draws),
        equalised_odds_gap=_recall_gaps(table),
        min_group=MIN_GROUP,
        min_label_clips=MIN_LABEL_CLIPS,
    )


@dataclass(frozen=True)
class _Draws:
    """How intervals are drawn."""

    num_resamples: int
    level: float
    seed: int


@dataclass(frozen=True)
class _Clips:
    """What is known of each clip, as given."""

    truths: Sequence[str]
    answers: Sequence[str | None]
    probabilities: NDArray[np.floating[Any]] | None
    units: Sequence[str] | None

    def take(self, rows: Sequence[int]) -> "_Clips":
        """Give these clips alone."""
        return _Clips(
            [self.truths[row] for row in rows],
            [self.answers[row] for row in rows],
            None if self.probabilities is None else self.probabilities[list(rows)],
            None if self.units is None else [self.units[row] for row in rows],
        )


@dataclass(frozen=True)
class _Table:
    """The m clips of the g shown groups, as numbers."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    group: Counts
    """place in ``names``, [m]"""
    true: Counts
    """place in ``labels``, [m]"""
    right: NDArray[np.bool_]
    """[m]"""
    units: tuple[str, ...] | None

    def counts(self) -> tuple[Counts, Counts]:
        """Count clips and right answers by group and truth, each [g x a]."""
        shape = len(self.names), len(self.labels)
        cells = self.group * shape[1] + self.true
        clips = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
        hits = np.bincount(cells[self.right], minlength=shape[0] * shape[1]).reshape(shape)
        return clips, hits

    def take(self, rows: NDArray[Any]) -> "_Table":
        """Give these clips alone; the places stay."""
        units = None if self.units is None else tuple(np.array(self.units)[rows].tolist())
        return replace(
            self,
            group=self.group[rows],
            true=self.true[rows],
            right=self.right[rows],
            units=units,
        )


def _table(clips: _Clips, labels: Sequence[str], shown: Mapping[str, Sequence[int]]) -> _Table:
    taken = clips.take([row for rows in shown.values() for row in rows])
    places = {label: number for number, label in enumerate(labels)}
    pairs = zip(taken.truths, taken.answers, strict=True)
    return _Table(
        names=tuple(shown),
        labels=tuple(labels),
        group=np.array(
            [place for place, rows in enumerate(shown.values()) for _ in rows], dtype=np.int64
        ),
        true=np.array([places[truth] for truth in taken.truths], dtype=np.int64),
        right=np.array([truth == answer for truth, answer in pairs], dtype=np.bool_),
        units=None if taken.units is None else tuple(taken.units),
    )


def _row(clips: _Clips, labels: Sequence[str], draws: _Draws) -> GroupRow:
    figures = label_figures(clips.truths, clips.answers, labels)
    intervals = _intervals(clips, labels, draws)
    trusted = (
        None
        if clips.probabilities is None
        else calibration(clips.probabilities, clips.truths, labels)
    )
    return GroupRow(
        num_clips=figures.num_clips,
        num_unparsed=figures.num_unparsed,
        accuracy=figures.accuracy,
        uar=figures.uar,
        accuracy_interval=intervals.get("accuracy"),
        uar_interval=intervals.get("uar"),
        recall=figures.recall,
        support={label: clips.truths.count(label) for label in labels},
        ece=None if trusted is None else trusted.ece,
        perfect_ece=None if trusted is None else trusted.perfect_ece,
    )


def _intervals(clips: _Clips, labels: Sequence[str], draws: _Draws) -> dict[str, Interval]:
    """Give the intervals of the means; none where there is one unit to draw."""
    if clips.units is not None and len(set(clips.units)) < 2:
        return {}
    return label_intervals(clips.truths, clips.answers, labels, groups=clips.units, **asdict(draws))


def _uar_gap(table: _Table, draws: _Draws) -> UarGap | None:
    common = table.counts()[0].min(0, initial=1) > 0
    if len(table.names) < 2 or not common.any():
        return None
    table = table.take(common[table.true])
    uars = _uars(table)
    worst, best = int(uars.argmin()), int(uars.argmax())
    return UarGap(
        worst=table.names[worst],
        worst_uar=float(uars[worst]),
        best=table.names[best],
        best_uar=float(uars[best]),
        gap=_spread(table),
        interval=_gap_interval(table, draws),
        chance_gap=_chance_gap(table, draws.seed),
        labels=tuple(label for label, shared in zip(table.labels, common, strict=True) if shared),
    )


def _uars(table: _Table) -> Numbers:
    """Give the mean recall of each group that has clips, at most [g]."""
    clips, hits = table.counts()
    num_labels = (clips > 0).sum(1)
    sums = (hits / np.maximum(clips, 1)).sum(1)
    uars: Numbers = sums[num_labels > 0] / num_labels[num_labels > 0]
    return uars


def _spread(table: _Table) -> float:
    return float(np.ptp(_uars(table)))


def _gap_interval(table: _Table, draws: _Draws) -> Interval | None:
    if table.units is not None and len(set(table.units)) < 2:
        return None
    alone = replace(table, units=None)  # a draw needs no units, and copying them takes long
    return bootstrap(
        lambda rows: [_spread(alone.take(rows))],
        len(table.true),
        groups=table.units,
        **asdict(draws),
    )[0]


def _chance_gap(table: _Table, seed: int) -> float:
    """Give the mean gap of groups that are shuffled among the clips of one truth."""
    generator = np.random.default_rng(seed)
    in_order = table.take(np.argsort(table.true, kind="stable"))
    gaps = []
    for _ in range(NUM_SHUFFLES):
        order = np.lexsort((generator.random(len(in_order.true)), in_order.true))
        gaps.append(_spread(replace(in_order, group=in_order.group[order])))
    return float(np.mean(gaps))


def _recall_gaps(table: _Table) -> dict[str, float | None]:
    clips, hits = table.counts()
    gaps: dict[str, float | None] = {}
    for label, of_label, right in zip(table.labels, clips.T, hits.T, strict=True):
        enough = of_label >= MIN_LABEL_CLIPS
        recalls = right[enough] / of_label[enough]
        gaps[label] = float(np.ptp(recalls)) if len(recalls) > 1 else None
    return gaps
