"""Temperatures: found again where they are known, and no change of the order."""

import numpy as np
import pytest

finish = pytest.importorskip("finish_mini")


def answers(temperature: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities that are too sure by a known factor."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(count, 4)) * 1.5
    fair = np.exp(scores - np.logaddexp.reduce(scores, axis=1)[:, None])
    truth = np.array([rng.choice(4, p=row) for row in fair])
    return scores * temperature, truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    assert finish.fit_temperature([answers(temperature)]) == pytest.approx(temperature, rel=0.08)


def test_every_set_counts_the_same() -> None:
    sure, unsure = answers(3.0, 300), answers(0.7, 3000)
    both = finish.fit_temperature([sure, unsure])
    assert finish.fit_temperature([unsure]) + 0.3 < both < 3.0
