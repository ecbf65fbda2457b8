"""Orders and wordings with stubs that depend on them in a known way."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_llama.evaluation.metrics import label_figures
from emotion_llama.evaluation.sensitivity import (
    DEFAULT,
    PHRASINGS,
    Spread,
    label_orders,
    sensitivity,
)

LABELS = ("happy", "sad", "neutral", "angry", "fear")
TRUTHS = ("happy", "sad", "sad", "neutral")


def test_orders_are_the_default_the_reversed_the_alphabetical_and_drawn_ones() -> None:
    orders = label_orders(LABELS, num_orders=4, seed=3)
    assert list(orders)[:3] == [DEFAULT, "reversed", "alphabetical"]
    assert orders[DEFAULT] == LABELS
    assert orders["reversed"] == LABELS[::-1]
    assert orders["alphabetical"] == ("angry", "fear", "happy", "neutral", "sad")
    assert len(orders) == 7
    assert orders == label_orders(list(LABELS), num_orders=4, seed=3)
    assert orders != label_orders(LABELS, num_orders=4, seed=4)


@settings(max_examples=30)
@given(
    labels=st.lists(st.sampled_from(LABELS), min_size=1, unique=True),
    num_orders=st.integers(0, 20),
    seed=st.integers(0, 5),
)
def test_every_order_has_every_label_and_counts_once(
    labels: list[str], num_orders: int, seed: int
) -> None:
    orders = label_orders(labels, num_orders, seed)
    assert all(sorted(order) == sorted(labels) for order in orders.values())
    assert len(set(orders.values())) == len(orders)


def test_few_labels_have_few_orders() -> None:
    assert label_orders(("b", "a")) == {DEFAULT: ("b", "a"), "reversed": ("a", "b")}
    assert len(label_orders(("c", "a", "b"), num_orders=50)) == 6


def test_a_repeated_label_is_refused() -> None:
    with pytest.raises(ValueError, match="found the labels a, b, a, expected each once"):
        label_orders(("a", "b", "a"))


def test_always_taking_the_first_label_is_found_out() -> None:
    orders = label_orders(LABELS, num_orders=0)
    answers = {name: [order[0]] * len(TRUTHS) for name, order in orders.items()}
    result = sensitivity(answers, TRUTHS, LABELS)
    assert result.consistency == 0.0
    assert [one.name for one in result.variants] == [DEFAULT, "reversed", "alphabetical"]
    assert [one.accuracy for one in result.variants] == [0.25, 0.0, 0.0]
    assert result.accuracy == Spread(pytest.approx(0.25 / 3), 0.0, 0.25)
    assert result.uar.high == pytest.approx(1 / 3)
    assert result.flip_rate == Spread(1.0, 1.0, 1.0)


def test_figures_of_a_variant_are_those_of_its_answers() -> None:
    answers = {
        DEFAULT: ["happy", "sad", "angry", "neutral"],
        "other": ["happy", "happy", "sad", None],
    }
    result = sensitivity(answers, TRUTHS, LABELS)
    for one in result.variants:
        figures = label_figures(TRUTHS, answers[one.name], LABELS)
        assert (one.accuracy, one.uar) == (figures.accuracy, figures.uar)
    assert [one.flip_rate for one in result.variants] == [0.0, 0.75]
    assert result.consistency == 0.25


def test_a_missing_label_is_no_label_and_agrees_with_nothing() -> None:
    answers = {"other": [None, None, "sad", "sad"], DEFAULT: [None, "sad", "sad", None]}
    result = sensitivity(answers, TRUTHS, LABELS)
    assert [one.name for one in result.variants] == [DEFAULT, "other"]
    assert result.consistency == 0.25
    assert result.variants[1].flip_rate == 0.5
    assert [one.num_unparsed for one in result.variants] == [2, 2]


def test_every_packaged_wording_names_the_labels_once_and_is_unlike_the_others() -> None:
    assert all(wording.count("{labels}") == 1 for wording in PHRASINGS.values())
    assert len(set(PHRASINGS.values())) == len(PHRASINGS)
    assert DEFAULT not in PHRASINGS


def test_the_default_alone_has_no_flips() -> None:
    result = sensitivity({DEFAULT: TRUTHS}, TRUTHS, LABELS)
    assert result.flip_rate is None
    assert result.consistency == 1.0
    json.dumps(result.to_dict())


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"reversed": TRUTHS}, "found answers to reversed, expected 'default' among them"),
        ({DEFAULT: TRUTHS[:2]}, "2 answers to 4 clips"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    answers: dict[str, Sequence[str | None]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sensitivity(answers, TRUTHS, LABELS)
