"""Shapley values: hand-worked cases and the rules that define them."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_llama.evaluation.modality_shares import modality_shares, subsets

MODALITIES = ("audio", "video", "text")
SCORE = st.floats(-1, 1, allow_nan=False)

games = st.integers(1, 4).flatmap(
    lambda size: st.lists(SCORE, min_size=2**size, max_size=2**size).map(
        lambda scores: game(tuple("abcd"[:size]), scores)
    )
)


def game(
    names: tuple[str, ...], scores: list[float]
) -> tuple[tuple[str, ...], dict[frozenset[str], float], float]:
    return names, dict(zip(subsets(names), scores[1:], strict=True)), scores[0]


def test_subsets_come_small_ones_first_and_in_the_given_order() -> None:
    found = [[m for m in MODALITIES if m in chosen] for chosen in subsets(MODALITIES)]
    assert found == [
        ["audio"],
        ["video"],
        ["text"],
        ["audio", "video"],
        ["audio", "text"],
        ["video", "text"],
        ["audio", "video", "text"],
    ]


def test_two_modalities_worked_out_by_hand() -> None:
    scores = {frozenset("a"): 0.5, frozenset("t"): 0.6, frozenset("at"): 0.8}
    found = modality_shares("at", scores, 0.2)
    # a: first 0.5 - 0.2, last 0.8 - 0.6; t: first 0.6 - 0.2, last 0.8 - 0.5
    assert found.shapley == pytest.approx({"a": (0.3 + 0.2) / 2, "t": (0.4 + 0.3) / 2})
    assert found.shares == pytest.approx({"a": 0.25 / 0.6, "t": 0.35 / 0.6})
    assert found.drops == pytest.approx({"a": 0.2, "t": 0.3})
    assert (found.full, found.baseline) == (0.8, 0.2)
    assert found.scores == {"a": 0.5, "t": 0.6, "a+t": 0.8}
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_the_gloves_game_has_its_known_values() -> None:
    """One left glove and two right ones: a pair is worth 1 (a textbook case: 2/3, 1/6, 1/6)."""
    scores = {s: float("left" in s and len(s) > 1) for s in subsets(("left", "r1", "r2"))}
    found = modality_shares(("left", "r1", "r2"), scores, 0.0)
    assert found.shapley == pytest.approx({"left": 2 / 3, "r1": 1 / 6, "r2": 1 / 6})


def test_with_one_modality_the_drop_and_the_value_are_all_of_the_gain() -> None:
    found = modality_shares(("text",), {frozenset(["text"]): 0.7}, 0.3)
    assert found.drops["text"] == found.shapley["text"] == pytest.approx(0.4)


@settings(max_examples=40)
@given(games)
def test_the_values_add_up_to_what_all_modalities_gain(
    played: tuple[tuple[str, ...], dict[frozenset[str], float], float],
) -> None:
    names, scores, baseline = played
    found = modality_shares(names, scores, baseline)
    assert math.fsum(found.shapley.values()) == pytest.approx(found.full - baseline, abs=1e-9)
    if found.shares is not None and abs(found.full - baseline) > 1e-3:
        assert math.fsum(found.shares.values()) == pytest.approx(1, abs=1e-6)


@settings(max_examples=40)
@given(games)
def test_other_names_and_another_order_change_no_value(
    played: tuple[tuple[str, ...], dict[frozenset[str], float], float],
) -> None:
    names, scores, baseline = played
    found = modality_shares(names, scores, baseline).shapley
    turned = {frozenset(name.upper() for name in chosen): score for chosen, score in scores.items()}
    upper = tuple(name.upper() for name in reversed(names))
    assert modality_shares(upper, turned, baseline).shapley == pytest.approx(
        {name.upper(): value for name, value in found.items()}, abs=1e-9
    )


@settings(max_examples=30)
@given(st.lists(SCORE, min_size=4, max_size=4))
def test_modalities_that_always_do_the_same_are_worth_the_same(by_size: list[float]) -> None:
    scores = {chosen: by_size[len(chosen)] for chosen in subsets(MODALITIES)}
    found = modality_shares(MODALITIES, scores, by_size[0])
    third = (by_size[3] - by_size[0]) / 3
    assert list(found.shapley.values()) == pytest.approx([third] * 3, abs=1e-9)


def test_a_modality_that_changes_nothing_is_worth_nothing() -> None:
    scores = {chosen: 0.2 + 0.5 * ("text" in chosen) for chosen in subsets(MODALITIES)}
    found = modality_shares(MODALITIES, scores, 0.2)
    assert found.shapley == pytest.approx({"audio": 0, "video": 0, "text": 0.5})
    assert found.drops == pytest.approx({"audio": 0, "video": 0, "text": 0.5})


def test_a_gain_of_nothing_has_no_shares() -> None:
    scores = {frozenset("a"): 0.5, frozenset("t"): 0.1, frozenset("at"): 0.3}
    found = modality_shares("at", scores, 0.3)
    assert found.shares is None
    assert found.shapley == pytest.approx({"a": 0.2, "t": -0.2})


def without(chosen: str) -> dict[frozenset[str], float]:
    return {s: 0.5 for s in subsets("at") if s != frozenset(chosen)}


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (without("at"), r"no score with a\+t, expected one with each of the 3 choices of a, t"),
        (without("t"), "no score with t,"),
        (without("") | {frozenset(): 0.2}, "scores with nothing, .*is the baseline"),
        (without("") | {frozenset("av"): 0.2}, r"scores with a\+v, "),
        (without("") | {frozenset("a"): math.nan}, "score with a is nan"),
    ],
)
def test_scores_that_do_not_cover_the_subsets_are_refused(
    scores: dict[frozenset[str], float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        modality_shares("at", scores, 0.2)


def test_a_baseline_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="score with nothing is nan"):
        modality_shares("at", without(""), math.nan)


@pytest.mark.parametrize("names", [(), ("audio", "audio")])
def test_modalities_that_are_no_list_of_names_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="expected at least one, each once"):
        subsets(names)
