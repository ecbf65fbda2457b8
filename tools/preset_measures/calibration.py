"""Whether the probabilities of a preset, at its own temperature, can be taken at their word.

Knows: which answers are pooled. Does not know: models, how errors of calibration are counted.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emotion_llama.evaluation.metrics import MIN_ECE_CLIPS, answered_share, calibration
from emotion_llama.labels import MINI

from .bench import Answered, Bench
from .rows import Row, Rows, intervals, num_people, rounded, unit

PRECISION = 0.8
NUM_RESAMPLES = 400
"""Each resample simulates 200 perfect answerers as well, which takes most of the time."""


def measure(bench: Bench) -> list[Row]:
    """Give one row for all speech and one for pictures of faces."""
    pools = {
        "speech, all sets": [bench.answer(one) for one in bench.speech],
        "FER+, picture": [bench.answer(bench.faces)],
    }
    config = bench.predictor.model.config
    names = ("label_temperature", "evidence_temperatures")
    temperatures = {name: getattr(config, name, None) for name in names}
    return [{**score(name, pool), **temperatures} for name, pool in pools.items()]


def score(name: str, pool: Sequence[Answered]) -> Row:
    """Score the answers of several sets together; clips that failed are left out and counted.

    A label that a set does not offer has probability 0 there.
    """
    table = np.concatenate([spread(one) for one in pool])
    truths = [
        item.label
        for one in pool
        for item, is_in in zip(one.chosen.items, one.is_answered, strict=True)
        if is_in
    ]
    people = [
        item.person
        for one in pool
        for item, is_in in zip(one.chosen.items, one.is_answered, strict=True)
        if is_in
    ]

    enough = len(truths) >= MIN_ECE_CLIPS

    def figures(rows: Rows) -> tuple[float, float, float, float]:
        if enough and len(rows) < MIN_ECE_CLIPS:  # repeating all rows changes none of the figures
            rows = np.tile(rows, 1 + MIN_ECE_CLIPS // len(rows))
        chosen = [truths[row] for row in rows]
        one = calibration(table[rows], chosen, MINI.labels)
        share = answered_share(table[rows], chosen, MINI.labels, PRECISION)
        return one.nll, one.brier, share, one.ece or 0.0

    whole = calibration(table, truths, MINI.labels)
    drawn = intervals(figures, people, NUM_RESAMPLES)
    return {
        "name": name,
        "n": len(truths),
        "groups": num_people(people),
        "resampled": unit(people),
        "failures": sum(one.failures for one in pool),
        "ece": None if whole.ece is None else rounded(whole.ece),
        "ece_95": drawn[3] if enough else None,
        "perfect_ece": None if whole.perfect_ece is None else rounded(whole.perfect_ece),
        "nll": rounded(whole.nll),
        "nll_95": drawn[0],
        "brier": rounded(whole.brier),
        "brier_95": drawn[1],
        "answered_at_80": rounded(answered_share(table, truths, MINI.labels, PRECISION)),
        "answered_at_80_95": drawn[2],
    }


def spread(result: Answered) -> NDArray[np.float64]:
    """Give the probabilities of a set's answered clips over all labels of the preset, [n x 8]."""
    columns = [MINI.labels.index(label) for label in result.chosen.labels]
    table = np.zeros((int(result.is_answered.sum()), len(MINI.labels)))
    table[:, columns] = result.probabilities[result.is_answered]
    return table
