"""Scores with every choice of modalities -> what each modality is worth.

Knows: sets of names and their scores. Does not know: what is scored, models, files.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any


@dataclass(frozen=True)
class ModalityShares:
    """How much of a score is owed to each modality; all in the unit of the score."""

    scores: Mapping[str, float]
    """modalities joined by ``+`` -> score"""
    full: float
    """score with all modalities"""
    baseline: float
    """score without any: that of the best constant answer"""
    drops: Mapping[str, float]
    """what is lost when only this modality is left out; near 0 where the others say the same"""
    shapley: Mapping[str, float]
    """what the modality adds, averaged over all orders in which modalities can be given (Shapley
    1953); adds up to ``full - baseline``; negative where it does harm"""
    shares: Mapping[str, float] | None
    """``shapley`` as shares that add up to 1; ``None`` where all modalities together add nothing"""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


def subsets(modalities: Sequence[str]) -> list[frozenset[str]]:
    """Give all non-empty subsets: small ones first, then in the order of the modalities.

    Raises:
        ValueError: no modality, or one that occurs twice
    """
    if not modalities or len(set(modalities)) != len(modalities):
        msg = f"found the modalities {list(modalities)}, expected at least one, each once"
        raise ValueError(msg)
    sizes = range(1, len(modalities) + 1)
    return [frozenset(chosen) for size in sizes for chosen in combinations(modalities, size)]


def modality_shares(
    modalities: Sequence[str], scores: Mapping[frozenset[str], float], baseline: float
) -> ModalityShares:
    """Give the worth of each modality.

    Args:
        modalities: their names; results have this order
        scores: score of each of `subsets`
        baseline: score of the empty set: of the answer that is always the same

    Raises:
        ValueError: as `subsets`; a subset without a score, a score of another set, or one that is
            no finite number
    """
    wanted = subsets(modalities)
    _check_scores(modalities, wanted, scores, baseline)
    everything = frozenset(modalities)
    worth = {**scores, frozenset(): baseline}
    gain = worth[everything] - baseline
    values = {modality: _shapley(modality, worth) for modality in modalities}
    some = not math.isclose(gain, 0, abs_tol=1e-12)
    return ModalityShares(
        scores={_name(chosen, modalities): float(scores[chosen]) for chosen in wanted},
        full=float(worth[everything]),
        baseline=float(baseline),
        drops={one: float(worth[everything] - worth[everything - {one}]) for one in modalities},
        shapley=values,
        shares={one: value / gain for one, value in values.items()} if some else None,
    )


def _check_scores(
    modalities: Sequence[str],
    wanted: Sequence[frozenset[str]],
    scores: Mapping[frozenset[str], float],
    baseline: float,
) -> None:
    missing = [_name(chosen, modalities) for chosen in wanted if chosen not in scores]
    if missing:
        msg = (
            f"found no score with {', '.join(missing)}, expected one with each of the "
            f"{len(wanted)} choices of {', '.join(modalities)}; evaluate these too"
        )
        raise ValueError(msg)
    strange = sorted("+".join(sorted(chosen)) or "nothing" for chosen in scores.keys() - {*wanted})
    if strange:
        msg = (
            f"found scores with {', '.join(strange)}, expected non-empty choices of "
            f"{', '.join(modalities)}; the score with nothing is the baseline"
        )
        raise ValueError(msg)
    named = {_name(chosen, modalities): scores[chosen] for chosen in wanted}
    for name, score in {"nothing": baseline, **named}.items():
        if not math.isfinite(score):
            msg = f"the score with {name} is {score}, expected a finite number; evaluate it again"
            raise ValueError(msg)


def _shapley(modality: str, worth: Mapping[frozenset[str], float]) -> float:
    """Average what a modality adds to each set without it, weighted by the orders it stands for."""
    size = max(map(len, worth))
    return math.fsum(
        (worth[chosen | {modality}] - score) / (size * math.comb(size - 1, len(chosen)))
        for chosen, score in worth.items()
        if modality not in chosen
    )


def _name(chosen: Collection[str], modalities: Sequence[str]) -> str:
    return "+".join(modality for modality in modalities if modality in chosen)
