"""Figures on the development split, with percentile bootstrap intervals over the items."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def _recall(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    return float(np.mean([np.mean(guess[truth == label] == label) for label in np.unique(truth)]))


def _accuracy(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    return float(np.mean(truth == guess))


def summarize(truth: NDArray[Any], guess: NDArray[Any], num_resamples: int) -> dict[str, Any]:
    """Give n, accuracy and unweighted average recall.

    Args:
        truth: label index of each item, [n]
        guess: predicted index, [n]
        num_resamples: bootstrap resamples for the 95 % intervals; 0 leaves them out
    """
    result: dict[str, Any] = {"n": len(truth)}
    for key, measure in (("accuracy", _accuracy), ("uar", _recall)):
        result[key] = round(measure(truth, guess), 4)
        if num_resamples:
            rng = np.random.default_rng(0)
            rows = rng.integers(0, len(truth), (num_resamples, len(truth)))
            values = [measure(truth[row], guess[row]) for row in rows]
            low, high = np.percentile(values, [2.5, 97.5])
            result[f"{key}_95"] = [round(float(low), 4), round(float(high), 4)]
    return result
