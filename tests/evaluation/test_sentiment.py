"""Sentiment figures against scikit-learn and against numbers worked out by hand."""

import json
import math
from typing import Any

import numpy as np
import pytest

from emotion_llama.evaluation.sentiment import (
    combined_figures,
    sentiment_figures,
    sentiment_word_figures,
    value_of,
)

MOSI, SIMS = (-3.0, 3.0), (-1.0, 1.0)


def test_a_small_case_worked_out_by_hand() -> None:
    truths = [-2.0, 0.0, 0.0, 1.0, 2.6]
    values = [-0.4, -0.2, 0.4, -1.0, 1.6]
    figures = sentiment_figures(values, truths, MOSI)
    # negative against non-negative: right are clips 1, 3, 5
    assert figures.non_negative.accuracy == pytest.approx(3 / 5)
    # F1 of negative 2 * 1 / (1 + 3), of non-negative 2 * 2 / (4 + 2)
    assert figures.non_negative.weighted_f1 == pytest.approx((1 * 0.5 + 4 * 2 / 3) / 5)
    assert figures.without_zeros is not None
    assert figures.without_zeros.accuracy == pytest.approx(2 / 3)
    assert figures.without_zeros.num_clips == 3
    # an answer of 0.4 to a truth of 0 is positive, so wrong here
    assert figures.non_positive.accuracy == pytest.approx(3 / 5)
    # rounded truths -2 0 0 1 3 and values 0 0 0 -1 2
    assert figures.acc7 == pytest.approx(2 / 5)
    assert figures.acc5 == pytest.approx(3 / 5), "2 and 3 are one class of five"
    assert figures.acc3 == pytest.approx(3 / 5)
    assert figures.mae == pytest.approx((1.6 + 0.2 + 0.4 + 2.0 + 1.0) / 5)
    json.dumps(figures.to_dict())


def test_halves_are_rounded_to_even_and_classes_cut_but_distances_are_not() -> None:
    figures = sentiment_figures([0.5, 1.5, 9.0], [0.0, 2.0, 3.0], MOSI)
    assert figures.acc7 == 1
    assert figures.mae == pytest.approx((0.5 + 0.5 + 6) / 3)


def test_the_edges_of_ch_sims_belong_to_the_class_below() -> None:
    truths = [-1.0, -0.4, 0.0, 0.4, 1.0]
    figures = sentiment_figures([-0.7, -0.1, 0.1, 0.7, 5.0], truths, SIMS)
    assert figures.acc5 == figures.acc3 == 1
    assert figures.acc7 is None
    above = sentiment_figures([-0.69, -0.09, 0.11, 0.71, 0.7], truths, SIMS)
    assert above.acc5 == 0
    zero = sentiment_figures([0.0, 0.0], [-0.2, 0.2], SIMS)
    assert (zero.non_positive.accuracy, zero.non_negative.accuracy) == (0.5, 0.5)
    assert sentiment_figures([0.0], [-0.2], SIMS).non_positive.accuracy == 1
    assert sentiment_figures([0.0], [-0.2], SIMS).non_negative.accuracy == 0


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_those_of_scikit_learn(seed: int) -> None:
    metrics: Any = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(seed)
    truths = np.round(generator.uniform(-3, 3, 80))
    values = truths + generator.normal(0, 1.5, 80)
    figures = sentiment_figures(values.tolist(), truths.tolist(), MOSI)
    kept = truths != 0
    assert figures.without_zeros is not None
    for true, answered, found in (
        (truths >= 0, values >= 0, figures.non_negative),
        (truths[kept] > 0, values[kept] > 0, figures.without_zeros),
        (truths > 0, values > 0, figures.non_positive),
    ):
        assert found.accuracy == pytest.approx(metrics.accuracy_score(true, answered))
        f1 = metrics.f1_score(true, answered, average="weighted")
        assert found.weighted_f1 == pytest.approx(f1)
    assert figures.mae == pytest.approx(metrics.mean_absolute_error(truths, values))
    assert figures.correlation == pytest.approx(np.corrcoef(truths, values)[0, 1])


def test_a_clip_without_a_value_is_wrong_and_counted() -> None:
    figures = sentiment_figures([1.0, None, None], [1.0, 2.0, -1.0], MOSI)
    assert figures.non_negative.accuracy == pytest.approx(1 / 3)
    assert figures.acc7 == figures.acc3 == pytest.approx(1 / 3)
    assert figures.mae == 0
    assert (figures.num_clips, figures.num_without_value) == (3, 2)
    nothing = sentiment_figures([None], [1.0], MOSI)
    assert nothing.mae is None and nothing.non_negative.accuracy == 0


@pytest.mark.parametrize(
    ("values", "truths"),
    [([1.0], [1.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, 1.0]), ([None], [1.0])],
)
def test_a_correlation_that_is_undefined_is_none(values: list[Any], truths: list[float]) -> None:
    assert sentiment_figures(values, truths, MOSI).correlation is None


def test_without_a_truth_other_than_zero_there_is_no_second_reading() -> None:
    assert sentiment_figures([1.0], [0.0], MOSI).without_zeros is None


@pytest.mark.parametrize(
    ("values", "truths", "value_range", "message"),
    [
        ([], [], MOSI, "no clip"),
        ([1.0], [1.0, 2.0], MOSI, "1 answers to 2 clips"),
        ([math.nan], [1.0], MOSI, "no finite number"),
        ([1.0], [math.inf], MOSI, "no finite number"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    values: list[float], truths: list[float], value_range: tuple[float, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sentiment_figures(values, truths, value_range)


def test_a_range_of_ones_own_has_distances_and_two_classes_and_no_others() -> None:
    figures = sentiment_figures([4.0, -1.0], [5.0, -2.0], (-5.0, 5.0))
    assert (figures.acc3, figures.acc5, figures.acc7) == (None, None, None)
    assert figures.mae == 1
    assert figures.non_negative.accuracy == 1


def test_words_are_scored_without_zeros_and_neutral_is_wrong() -> None:
    truths = [1.0, 2.0, -1.0, -0.5, 0.0, 0.0]
    answers = ["positive", "neutral", "negative", None, "neutral", "positive"]
    figures = sentiment_word_figures(answers, truths)
    # F1 of positive 2 * 1 / (2 + 1), of negative the same
    assert figures.weighted_f1 == pytest.approx(2 / 3)
    assert figures.accuracy == pytest.approx(1 / 2)
    assert (figures.num_clips, figures.num_zeros) == (4, 2)
    assert (figures.num_neutral, figures.num_unparsed) == (1, 1)
    json.dumps(figures.to_dict())


def test_figures_of_words_equal_those_of_scikit_learn() -> None:
    metrics: Any = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    truths = generator.integers(-3, 4, 60).astype(float)
    answers = generator.choice(["negative", "neutral", "positive"], 60)
    kept = truths != 0
    true = np.where(truths > 0, "positive", "negative")[kept]
    expected = metrics.f1_score(true, answers[kept], average="weighted", zero_division=0)
    found = sentiment_word_figures(answers.tolist(), truths.tolist())
    assert found.weighted_f1 == pytest.approx(expected)


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match=r"answers \['happy'\], expected negative, neutral"):
        sentiment_word_figures(["happy"], [1.0])


def test_valence_is_scaled_to_the_range_and_never_guessed() -> None:
    assert value_of({"happy": 0.75, "sad": 0.25}, MOSI) == pytest.approx(1.5)
    assert value_of({"happy": 0.0, "sad": 1.0}, (-5.0, 4.0)) == -5
    assert value_of({"happy": 1.0}, (-5.0, 4.0)) == 4
    assert value_of({"neutral": 1.0}, (-5.0, 4.0)) == 0
    assert value_of({"happy": 0.5, "nostalgic": 0.5}, MOSI) is None
    assert value_of({}, MOSI) is None
    with pytest.raises(ValueError, match="range 0 to 1"):
        value_of({"happy": 1.0}, (0.0, 1.0))


def test_the_combined_figure_worked_out_by_hand() -> None:
    figures = combined_figures(0.8, [1.0, -2.0, None, 3.0], [2.0, -2.0, 1.0, None])
    assert figures.valence_mse == pytest.approx(0.5)
    assert figures.combined == pytest.approx(0.8 - 0.25 * 0.5)
    assert figures.num_clips == 2
    assert (figures.num_without_truth, figures.num_without_value) == (1, 1)
    assert combined_figures(0.8, [None], [1.0]).combined is None
    json.dumps(figures.to_dict())
