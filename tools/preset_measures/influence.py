"""What each modality of a clip does to the answer: left out, or taken from another person's clip.

Knows: clips with face and voice. Does not know: files, what a reason says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from emotion_llama import Prediction, Predictor
from emotion_llama.records import Features

from .bench import Bench
from .closed_labels import FACE_FIELDS, without
from .rows import Row, mean_row

PARTS: Mapping[str, tuple[str, ...]] = {
    "audio": ("audio",),
    "local": ("local",),
    "temporal": ("temporal",),
    "global": ("patches", "class_token"),
    "picture": FACE_FIELDS,
}
"""What is left out or swapped -> fields of `Features`."""
LEAST_CHANGE = 1e-4
"""Total variation from which the probabilities count as changed."""


@dataclass(frozen=True)
class Change:
    """An answer before and after."""

    before: Prediction
    after: Prediction
    person: str | None


def measure(bench: Bench) -> dict[str, Row]:
    """Give the effect of each change; nothing where the split has no clips."""
    features, people, labels = bench.clip_features, bench.clips.people, bench.clips.labels
    if not features:
        return {}
    ask = _Asker(bench.predictor, labels)
    whole = [ask(one) for one in features]
    donors = swapped_order(people)
    others = [features[row] for row in donors]
    effects = {}
    for name, fields in PARTS.items():
        for how in ("left out", "swapped"):
            changes = [
                Change(before, ask(changed(own, other, fields, how)), person)
                for before, own, other, person in zip(whole, features, others, people, strict=True)
                if _has(own, fields) and (how == "left out" or _has(other, fields))
                if how == "swapped" or without(own, fields).present
            ]
            effects[f"{name} {how}"] = effect(changes)
    effects["audio swapped"] |= _towards_sound(ask, features, others, whole, people)
    return effects


class _Asker:
    """Asks for the label of encoder outputs over one closed list."""

    def __init__(self, predictor: Predictor, labels: Sequence[str]) -> None:
        self._predictor = predictor
        self._labels = tuple(labels)

    def __call__(self, features: Features) -> Prediction:
        return self._predictor.from_features(features, labels=self._labels, with_reason=False)


def _has(features: Features, fields: Sequence[str]) -> bool:
    return any(getattr(features, field) is not None for field in fields)


def swapped_order(people: Sequence[str | None]) -> list[int]:
    """Give for each clip the row of its donor, a clip half the list further on by another person.

    Where that one is of the same person, the next one that is not; where there is none, it stays.
    """
    count = len(people)
    rows = []
    for row in range(count):
        following = [(row + count // 2 + step) % count for step in range(count)]
        by_another = (one for one in following if people[one] != people[row])
        rows.append(next(by_another, following[0]))
    return rows


def changed(own: Features, other: Features, fields: Sequence[str], how: str) -> Features:
    """Leave fields out, or take them from another clip."""
    if how == "left out":
        return without(own, fields)
    return replace(own, **{field: getattr(other, field) for field in fields})


def distance(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Give the total variation of two sets of probabilities, 0 to 1."""
    return sum(abs(before[label] - after[label]) for label in before) / 2


def effect(changes: Sequence[Change]) -> Row:
    """Give what a change does to labels and probabilities."""
    people = [one.person for one in changes]
    moved = [distance(one.before.probabilities, one.after.probabilities) for one in changes]
    labels = mean_row([one.before.label != one.after.label for one in changes], people)
    variation = mean_row(moved, people)
    return {
        "clips": len(changes),
        "labels changed": labels["value"],
        "labels changed 95": labels["interval_95"],
        "mean total variation": variation["value"],
        "mean total variation 95": variation["interval_95"],
        "clips with any change": mean_row([x > LEAST_CHANGE for x in moved], people)["value"],
        "over": labels["over"],
    }


def _towards_sound(
    ask: _Asker,
    features: Sequence[Features],
    others: Sequence[Features],
    whole: Sequence[Prediction],
    people: Sequence[str | None],
) -> Row:
    """Say how often a swapped soundtrack takes the answer towards what that sound says alone."""
    every: list[tuple[bool, str | None]] = []
    differing: list[tuple[bool, str | None]] = []
    for own, other, before, person in zip(features, others, whole, people, strict=True):
        if own.audio is None or other.audio is None:
            continue
        donor, usual = (ask(without(one, FACE_FIELDS)).label for one in (other, own))
        after = ask(changed(own, other, ("audio",), "swapped"))
        assert donor is not None
        one = (is_towards(before.probabilities, after.probabilities, donor), person)
        every.append(one)
        if donor != usual:
            differing.append(one)
    return {
        "towards the sound": mean_row([x for x, _ in every], [p for _, p in every]),
        "towards the sound where both sounds differ": mean_row(
            [x for x, _ in differing], [p for _, p in differing]
        ),
    }


def is_towards(before: Mapping[str, float], after: Mapping[str, float], label: str) -> bool:
    """Tell whether a label became more probable."""
    return after[label] > before[label]
