"""The scored label over the closed label set of each data set, and of clips with face and voice.

Knows: which data sets, what of a clip is shown. Does not know: models, how intervals are drawn.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from emotion_llama.evaluation.metrics import top_k_accuracy
from emotion_llama.labels import VALENCE
from emotion_llama.predict import Predictor
from emotion_llama.records import Features

from .bench import Answer, Answered, Bench, answered
from .items import ItemSet
from .rows import Row, Rows, intervals, label_row, mean_row, rounded

NO_VALENCE = ("surprise",)
"""Truths that are neither pleasant nor unpleasant."""
FACE_FIELDS = ("patches", "class_token", "local", "temporal")
SHOWN: dict[str, tuple[str, ...]] = {
    "face + voice": (),
    "face alone": ("audio",),
    "voice alone": FACE_FIELDS,
}
"""What is shown of a clip -> fields of `Features` that are left out."""


def measure(bench: Bench) -> list[Row]:
    """Score every data set of the split that has one modality."""
    sets = [*bench.speech, bench.faces, bench.common_faces, bench.lines]
    return [score(bench.answer(one)) for one in sets if len(one)]


def score(result: Answered) -> Row:
    """Score one data set."""
    chosen = result.chosen
    return label_row(
        chosen.name,
        chosen.truths,
        result.labels,
        chosen.labels,
        chosen.people,
        failures=result.failures,
        note=chosen.note,
    )


def measure_clips(bench: Bench) -> list[Row]:
    """Score the clips with face and voice: whole, without the sound, without the picture."""
    return [
        score_clips(answer_clips(bench, shown), shown) for shown in SHOWN if len(bench.clips) > 0
    ]


def answer_clips(bench: Bench, shown: str) -> Answered:
    """Answer for the clips where only a part is shown; ``shown`` is a key of `SHOWN`."""
    chosen = bench.clips
    results = [
        answer_features(bench.predictor, without(features, SHOWN[shown]), chosen)
        for features in bench.clip_features
    ]
    return answered(chosen, results)


def without(features: Features, fields: Sequence[str]) -> Features:
    """Leave fields of the encoder outputs out."""
    return replace(features, **dict.fromkeys(fields))


def answer_features(predictor: Predictor, features: Features, chosen: ItemSet) -> Answer | None:
    """Give the label of encoder outputs; ``None`` where nothing is left to answer from."""
    if not features.present:
        return None
    return predictor.from_features(features, labels=chosen.labels, with_reason=False)


def score_clips(result: Answered, shown: str) -> Row:
    """Score clips with the two most probable labels and with pleasantness beside the label."""
    row = score(result)
    people = result.chosen.people
    two = top_two(result, np.arange(len(people)))
    right = [
        (valence_is_right(truth, answer), person)
        for truth, answer, person in zip(result.chosen.truths, result.labels, people, strict=True)
        if truth not in NO_VALENCE
    ]
    return {
        **row,
        "name": f"{result.chosen.name}, {shown}",
        "top_2": rounded(two[0]),
        "top_2_95": intervals(lambda rows: top_two(result, rows), people)[0],
        "valence": mean_row([one for one, _ in right], [person for _, person in right]),
    }


def top_two(result: Answered, rows: Rows) -> tuple[float]:
    """Give the share of items with the truth among the two most probable labels.

    Args:
        result: the answers
        rows: which of them; a clip that failed is wrong
    """
    own = rows[result.is_answered[rows]]
    if len(own) == 0:
        return (0.0,)
    truths = [result.chosen.items[row].label for row in own]
    share = top_k_accuracy(result.probabilities[own], truths, result.chosen.labels, 2)
    return (share * len(own) / len(rows),)


def valence_is_right(truth: str, answer: str | None) -> bool:
    """Tell whether an answer is as pleasant, unpleasant or neither as the truth."""
    return answer is not None and VALENCE[answer] == VALENCE[truth]
