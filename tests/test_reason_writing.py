"""How a reason is written on: which view is asked for what, when it is closed, when it ends."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from emotion_llama import reason_writing
from emotion_llama.model.scoring import Begun
from emotion_llama.reason_choice import Ground
from emotion_llama.reason_writing import MORE_DRAWS, Draft, true_reasons, views_of
from emotion_llama.records import Evidence, Features, Modality, Sample

SMILE = "The lip corners are strongly pulled up"
PITCH = "The pitch is clearly higher than usual"
HAPPY = "The person feels happy, and the face speaks for it."
BOTH = "The person feels happy, and the face and the voice speak for it."
VECTOR = torch.ones(2)
FEATURES = Features(VECTOR[None], VECTOR, VECTOR, VECTOR, VECTOR)
MEASURED = Features(local=VECTOR, audio=VECTOR)


def found(modality: Modality, feature: str, reading: str) -> Evidence:
    return Evidence(modality, "", 1.0, 0.0, 0.0, "test 1", feature, reading)


SEEN, HEARD = found("local", "AU12", "strong"), found("audio", "pitch", "clearly high")

Asked = tuple[str, str]
"""The view that was asked, and what it was to go on from; ``leaning ...``: to what was measured."""


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, list[Asked]]]:
    """Write a draft on with a model that says what a list gives for each view and beginning."""

    def write_on(
        draft: str,
        evidence: Sequence[Evidence],
        answers: dict[Asked, list[str]],
        measured: Features = Features(),  # noqa: B008
    ) -> tuple[str, list[Asked]]:
        asked: list[Asked] = []
        left = {key: list(said) for key, said in answers.items()}

        def continue_answers(
            _model: Any, _processor: Any, begun: Sequence[Begun], **_: Any
        ) -> list[list[tuple[str, bool]]]:
            (one,) = begun
            leans = "leaning " * (one.bare is not None)
            if one.bare is not None:
                assert one.bare.present == one.features.present
            key = (leans + name_of(one.features), one.beginning)
            asked.append(key)
            said = left.get(key, [])
            text = said.pop(0) if said else " nothing."
            return [[(text.removesuffix("</s>"), text.endswith("</s>"))]]

        monkeypatch.setattr(reason_writing, "continue_answers", continue_answers)
        model: Any = SimpleNamespace(config=SimpleNamespace(reason_candidates=1))
        ground = Ground(evidence, label="happy")
        views = views_of(Sample("reason"), FEATURES, FEATURES, measured)
        (reason,) = true_reasons(model, None, [Draft(views, ground, draft, ())])  # type: ignore[arg-type]
        return reason, asked

    return write_on


def upright(asked: Sequence[Asked]) -> list[Asked]:
    return [one for one in asked if not one[0].startswith("leaning")]


def name_of(features: Features) -> str:
    if features.has_face and features.audio is not None:
        return "whole"
    if features.has_face:
        return "face" if features.patches is not None else "measured face"
    return "voice"


def test_what_is_missing_is_asked_of_its_part_alone_and_has_a_sentence_of_its_own(
    write: Callable[..., tuple[str, list[Asked]]],
) -> None:
    reason, asked = write(
        f"{SMILE}; the jaw is strongly lowered. {HAPPY}",
        (SEEN, HEARD),
        {
            ("whole", f"{SMILE};"): [" the person feels happy, and the face speaks for it.</s>"],
            ("voice", ""): [f"{PITCH}. The"],
            ("whole", f"{SMILE}. {PITCH}."): [f" {BOTH}</s>"],
        },
    )
    assert reason == f"{SMILE}. {PITCH}. {BOTH}"
    assert asked == [
        ("leaning whole", f"{SMILE};"),
        ("leaning face", f"{SMILE};"),
        ("leaning voice", ""),
        ("whole", f"{SMILE};"),
        ("face", f"{SMILE};"),
        ("voice", ""),
        ("whole", f"{SMILE}. {PITCH}."),
    ]


def test_what_leans_to_the_measures_comes_first(
    write: Callable[..., tuple[str, list[Asked]]],
) -> None:
    reason, asked = write(
        f"{SMILE}; the jaw is strongly lowered. {HAPPY}",
        (SEEN, HEARD),
        {
            ("leaning voice", ""): [f"{PITCH}. The"],
            ("whole", f"{SMILE}. {PITCH}."): [f" {BOTH}</s>"],
        },
    )
    assert reason == f"{SMILE}. {PITCH}. {BOTH}"
    assert upright(asked) == [("whole", f"{SMILE}. {PITCH}.")]


NOSE = "The nose is slightly wrinkled"
WRINKLE = found("local", "AU09", "slight")


UNTRUE = "The jaw is strongly lowered."
NOSE_FIRST: dict[Asked, list[str]] = {("leaning whole", ""): [f"{NOSE}. The"]}
"""What a model says of a face whose lip corners were measured more surely."""


def test_what_is_surest_is_asked_of_the_measures_alone(
    write: Callable[..., tuple[str, list[Asked]]],
) -> None:
    said = {("measured face", ""): [f"{SMILE}. The"], ("whole", f"{SMILE}."): [f" {HAPPY}</s>"]}
    reason, asked = write(UNTRUE, (SEEN, WRINKLE), NOSE_FIRST | said, MEASURED)
    assert reason == f"{SMILE}. {HAPPY}"
    assert asked[3:] == [("measured face", ""), ("whole", f"{SMILE}.")]


def test_what_else_stands_is_taken_where_nobody_writes_what_is_surest(
    write: Callable[..., tuple[str, list[Asked]]],
) -> None:
    said = {("whole", f"{NOSE}."): [" The person feels happy, but nothing decides it.</s>"]}
    reason, asked = write(UNTRUE, (SEEN, WRINKLE), NOSE_FIRST | said, MEASURED)
    assert reason == f"{NOSE}. The person feels happy, but nothing decides it."
    assert asked[3:5] == [("measured face", ""), ("leaning measured face", "")]
    assert ("whole", "") not in asked, "it is not asked upright where a clause stands"


def test_a_part_that_gives_nothing_is_asked_once(
    write: Callable[..., tuple[str, list[Asked]]],
) -> None:
    reason, asked = write(
        f"{SMILE}. {BOTH}",
        (SEEN, HEARD),
        {("whole", f"{SMILE}."): [" No.", *[f" {HAPPY}</s>"] * 5]},
    )
    assert reason == f"{SMILE}. {HAPPY}"
    assert asked.count(("voice", "")) == 1


@pytest.mark.parametrize("end", [" and", ";", ", and"])
def test_where_nothing_more_is_measured_the_sentence_is_closed(
    write: Callable[..., tuple[str, list[Asked]]], end: str
) -> None:
    draft = f"{SMILE}{end} the jaw is strongly lowered. {HAPPY}"
    reason, _ = write(draft, (SEEN,), {("whole", f"{SMILE}."): [f" {HAPPY}</s>"]})
    assert reason == f"{SMILE}. {HAPPY}"


def test_a_conclusion_that_is_not_borne_out_is_asked_for_again(
    write: Callable[..., tuple[str, list[Asked]]],
) -> None:
    key = ("whole", f"{SMILE}.")
    wrong = f" {BOTH}</s>"
    reason, _ = write(f"{SMILE}. {BOTH}", (SEEN,), {key: [wrong, wrong, f" {HAPPY}</s>"]})
    assert reason == f"{SMILE}. {HAPPY}"
    reason, asked = write(f"{SMILE}. {BOTH}", (SEEN,), {key: [wrong] * 9})
    assert reason == f"{SMILE}. {BOTH}", "what is stated is true all the same"
    assert asked.count(key) == 1 + MORE_DRAWS


def test_a_reason_stays_where_nothing_that_was_measured_is_written(
    write: Callable[..., tuple[str, list[Asked]]],
) -> None:
    draft = f"The jaw is strongly lowered. {HAPPY}"
    reason, asked = write(draft, (SEEN,), {})
    assert reason == draft
    views = [("whole", ""), ("face", ""), ("voice", "")]
    assert upright(asked) == [*views, *[("whole", "")] * MORE_DRAWS]
    assert asked[:3] == [(f"leaning {name}", text) for name, text in views]


def test_words_about_a_part_that_was_measured_must_state_something(
    write: Callable[..., tuple[str, list[Asked]]],
) -> None:
    reason, _ = write(
        "The jaw is strongly lowered.",
        (SEEN,),
        {
            ("whole", ""): ["The mouth is drawn sides; the"],
            ("face", ""): [f"{SMILE}; the"],
            ("whole", f"{SMILE};"): [" the words are taken as they stand. The"],
            ("whole", f"{SMILE}; the words are taken as they stand."): [f" {HAPPY}</s>"],
        },
    )
    assert reason == f"{SMILE}; the words are taken as they stand. {HAPPY}"
