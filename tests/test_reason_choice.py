"""Which part of a reason was measured, and how a reason goes on from there."""

import pytest

from emotion_llama.reason_choice import Continuation, is_true, next_clause, not_measured, true_part
from emotion_llama.records import Evidence, Modality

SMILE = "The lip corners are strongly pulled up"
PITCH = "the pitch is clearly higher than usual"


def found(modality: Modality, feature: str, reading: str) -> Evidence:
    return Evidence(modality, "", 1.0, 0.0, 0.0, "test 1", feature, reading)


EVIDENCE = (found("local", "AU12", "strong"), found("audio", "pitch", "clearly high"))


@pytest.mark.parametrize(
    ("reason", "untrue"),
    [
        (f"{SMILE}, and {PITCH}. The person feels happy.", ()),
        ("The lip corners are slightly pulled up.", ("The lip corners are slightly pulled up",)),
        (f"{SMILE} and the jaw is strongly lowered.", ("the jaw is strongly lowered",)),
        ("The person feels happy.", ()),
    ],
)
def test_statements_are_held_against_what_was_measured(
    reason: str, untrue: tuple[str, ...]
) -> None:
    assert not_measured(reason, EVIDENCE) == untrue


def test_a_reason_is_true_if_it_says_something_measured_and_nothing_else() -> None:
    assert is_true(f"{SMILE}. The person feels happy.", EVIDENCE)
    assert not is_true("The person feels happy.", EVIDENCE)
    assert is_true("The person feels happy.", ())
    assert not is_true(f"{SMILE}; {SMILE}. The person feels happy.", EVIDENCE)
    assert not is_true(f"{SMILE} and the jaw is strongly lowered.", EVIDENCE)


def test_the_true_beginning_ends_with_a_clause() -> None:
    reason = f"{SMILE} and the jaw is strongly lowered, and {PITCH}. So it is."
    assert true_part(reason, EVIDENCE) == f"{SMILE} and"
    assert true_part(f"The jaw is strongly lowered. {SMILE}.", EVIDENCE) == ""


def test_a_reason_goes_on_with_a_clause_that_was_measured() -> None:
    options = [
        Continuation(" the jaw is strongly lowered. So the person feels happy.", True),
        Continuation(" the words are taken as they stand. So the person feels happy.", True),
        Continuation(f" {PITCH}. So the person feels happy.", True),
    ]
    chosen = next_clause(f"{SMILE}, and", options, EVIDENCE, "happy")
    assert chosen == Continuation(f"{SMILE}, and {PITCH}.", False)
    assert next_clause(f"{SMILE}, and", options[:1], EVIDENCE, "happy") is None


def test_a_reason_ends_only_with_the_label() -> None:
    ends = Continuation(" So the person feels happy.", True)
    assert next_clause(f"{SMILE}.", [ends], EVIDENCE, "happy") == Continuation(
        f"{SMILE}. So the person feels happy.", True
    )
    assert next_clause(f"{SMILE}.", [ends], EVIDENCE, "sad") is None
