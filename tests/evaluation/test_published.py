"""The published rule, and that our measures give the published figure from its confusion matrix."""

import json
from typing import Any

import pytest

from emotion_llama.evaluation.metrics import confusion, label_figures
from emotion_llama.evaluation.published import published_figures, published_label
from emotion_llama.labels import MER2023

LABELS = ("angry", "happy", "neutral", "sad", "surprise", "worried")
MER2023_SEMI = (
    (179, 1, 2, 1, 0, 0),
    (2, 152, 7, 4, 3, 1),
    (10, 10, 134, 6, 2, 4),
    (2, 2, 1, 250, 0, 2),
    (1, 0, 3, 1, 6, 3),
    (4, 1, 3, 2, 1, 34),
)
"""Clips of Emotion-LLaMA's published run on MER2023-SEMI: row truth, column answer."""


def published_run() -> tuple[list[str], list[str]]:
    pairs = [
        (true, said)
        for true, row in zip(LABELS, MER2023_SEMI, strict=True)
        for said, count in zip(LABELS, row, strict=True)
        for _ in range(count)
    ]
    return [true for true, _ in pairs], [said for _, said in pairs]


def test_the_published_figure_is_computed_from_its_confusion_matrix() -> None:
    truths, answers = published_run()
    figures = label_figures(truths, answers, LABELS)
    assert figures.num_clips == 834
    assert figures.weighted_f1 == pytest.approx(0.903577, abs=5e-7)
    assert figures.accuracy == pytest.approx(0.90528, abs=5e-6)
    assert figures.uar == pytest.approx(0.8069, abs=5e-5)
    assert figures.macro_f1 == pytest.approx(0.8134, abs=5e-5)
    assert figures.recall["surprise"] == pytest.approx(6 / 14)
    assert (confusion(truths, answers, LABELS).counts == MER2023_SEMI).all()


def test_the_figure_called_macro_is_weighted() -> None:
    metrics: Any = pytest.importorskip("sklearn.metrics")
    truths, answers = published_run()
    figures = published_figures(truths, answers).figures
    weighted, macro = (
        metrics.f1_score(truths, answers, average=name) for name in ("weighted", "macro")
    )
    assert figures.weighted_f1 == pytest.approx(weighted)
    assert figures.macro_f1 == pytest.approx(macro)
    assert abs(weighted - 0.9036) < 5e-5 < abs(macro - 0.9036)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("happy", "happy"),
        ("the person is sad ", "sad"),
        ("happy or\nangry", "angry"),
        ("neutral", "neutral"),
        ("happy.", "neutral"),
        ("Happy", "neutral"),
        ("fear", "neutral"),
        ("happy, I think", "neutral"),
        ("", "neutral"),
    ],
)
def test_the_last_word_counts_and_the_rest_becomes_neutral(answer: str, label: str) -> None:
    assert published_label(answer) == label


def test_what_became_neutral_is_counted() -> None:
    truths = ["neutral", "neutral", "sad", "happy", "angry"]
    answers = ["neutral", "fear", "no idea", "happy", None]
    found = published_figures(truths, answers)
    assert (found.num_became_neutral, found.num_rewarded) == (2, 1)
    assert found.figures.accuracy == pytest.approx(3 / 5)
    assert found.figures.num_unparsed == 1, "a clip without an answer is none"
    own = label_figures(truths, ["neutral", "fear", None, "happy", None], MER2023.labels)
    assert own.accuracy == pytest.approx(2 / 5), "the project's own rule rewards no failure"
    json.dumps(found.to_dict())


def test_labels_without_neutral_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 'neutral' among them"):
        published_figures(["sad"], ["sad"], ("happy", "sad"))
