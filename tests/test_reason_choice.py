"""Which part of a reason was measured, and how a reason goes on from there."""

from dataclasses import replace

import pytest
import torch

from emotion_llama.reason_choice import (
    Continuation,
    Ground,
    is_true,
    next_clause,
    not_measured,
    true_part,
)
from emotion_llama.reason_writing import views_of
from emotion_llama.records import Evidence, Features, Modality, Sample

SMILE = "The lip corners are strongly pulled up"
PITCH = "the pitch is clearly higher than usual"


def found(modality: Modality, feature: str, reading: str) -> Evidence:
    return Evidence(modality, "", 1.0, 0.0, 0.0, "test 1", feature, reading)


EVIDENCE = (found("local", "AU12", "strong"), found("audio", "pitch", "clearly high"))
GROUND = Ground(EVIDENCE, label="happy")
HAPPY = "So the person feels happy: the face and the voice speak for it."


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
    assert is_true(f"{SMILE}, and {PITCH}. {HAPPY}", GROUND)
    assert not is_true(HAPPY, GROUND)
    assert not is_true(f"{SMILE}; {SMILE}, and {PITCH}. {HAPPY}", GROUND)
    assert not is_true(f"{SMILE} and {SMILE.lower()}, although {PITCH}. {HAPPY}", GROUND), (
        "nothing is said twice, not in one clause either"
    )
    assert not is_true(f"{SMILE}; the the {PITCH}. {HAPPY}", GROUND), "nor in a row"
    words = "The words are taken as they stand"
    assert is_true(f"{words}; {PITCH}, while {SMILE.lower()}. {HAPPY}", GROUND)
    assert not is_true(f"{words}; {PITCH}, while {words.lower()}. {HAPPY}", GROUND)
    assert not is_true(f"{SMILE} and the jaw is strongly lowered, and {PITCH}. {HAPPY}", GROUND)
    open_end = "The person seems to feel happy, but nothing that was measured decides it."
    assert is_true(open_end, Ground((), label="happy"))


def test_a_reason_is_true_if_its_conclusion_follows() -> None:
    assert not is_true(f"{SMILE}, and {PITCH}. The person feels happy.", GROUND), "no claim"
    wrong = "The person may feel happy, but the face speaks against it, so this is uncertain."
    assert not is_true(f"{SMILE}, and {PITCH}. {wrong}", GROUND)


def test_the_true_beginning_ends_with_a_clause() -> None:
    reason = f"{SMILE} and the jaw is strongly lowered, and {PITCH}. So it is."
    assert true_part(reason, GROUND) == f"{SMILE} and"
    assert true_part(f"The jaw is strongly lowered. {SMILE}.", GROUND) == ""


def test_a_reason_goes_on_with_a_clause_that_was_measured() -> None:
    options = [
        Continuation(" the jaw is strongly lowered. So the person feels happy.", True),
        Continuation(" the words are taken as they stand. So the person feels happy.", True),
        Continuation(f" {PITCH}. {HAPPY}", True),
    ]
    chosen = next_clause(f"{SMILE}, and", options, GROUND)
    assert chosen == Continuation(f"{SMILE}, and {PITCH}.", False)
    assert next_clause(f"{SMILE}, and", options[:1], GROUND) is None


def test_of_two_clauses_the_one_that_was_measured_more_surely_stands() -> None:
    lids = "the upper eyelids are slightly raised"
    ground = Ground((EVIDENCE[0], found("local", "AU05", "slight")), label="happy")
    options = [Continuation(f"{text}. So", False) for text in (lids, lids, SMILE)]
    assert next_clause("", options, ground) == Continuation(f"{SMILE}.", False)
    assert next_clause("", options[:2], ground) == Continuation(f"{lids}.", False)


def test_a_reason_ends_only_with_the_label_and_about_the_person() -> None:
    ends = Continuation(f" {HAPPY}", True)
    assert next_clause(f"{SMILE}.", [ends], GROUND) == Continuation(f"{SMILE}. {HAPPY}", True)
    assert next_clause(f"{SMILE}.", [ends], replace(GROUND, label="sad")) is None
    garbled = Continuation(" the seems to feel happy: the face speaks for it.", True)
    assert next_clause(f"{SMILE} and", [garbled], GROUND) is None


def test_of_conclusions_the_true_one_stands_and_an_unsure_one_says_so() -> None:
    begun = f"{SMILE}, and {PITCH}."
    false, sure, hedged = (
        " Still, the person seems to feel happy, although the face speaks against it.",
        f" {HAPPY}",
        " The person seems to feel happy, and the face and the voice speak for it.",
    )
    options = [Continuation(text, True) for text in (false, false, false, sure, sure, hedged)]
    for ground, expected in ((GROUND, sure), (replace(GROUND, is_unsure=True), hedged)):
        chosen = next_clause(begun, options, ground)
        assert chosen == Continuation(begun + expected, True)
    assert next_clause(begun, options[:1], GROUND) is not None, "a false one, if there is no other"


def test_nothing_is_said_of_what_is_not_there() -> None:
    deaf = Ground(EVIDENCE[:1], ["voice", "words"], "happy")
    so = "So the person feels happy: the face speaks for it."
    assert is_true(f"{SMILE}. {so}", deaf)
    assert not is_true(f"{SMILE}, and nothing in the voice stands out. {so}", deaf)
    assert not is_true(f"{SMILE}. The words are taken as they stand. {so}", deaf)
    assert (
        true_part(f"{SMILE}, and nothing in the voice stands out. So it is.", deaf) == f"{SMILE},"
    )
    option = Continuation(" Nothing in the voice stands out. So the person feels happy.", True)
    assert next_clause(f"{SMILE}.", [option], deaf) is None
    assert next_clause(f"{SMILE}.", [option], Ground(EVIDENCE[:1])) is not None


@pytest.mark.parametrize("said", ["nothing in the voice stands out", "nothing over the voice is"])
def test_nothing_stands_out_only_where_nothing_was_measured(said: str) -> None:
    text, so = f"{SMILE}, and {said}.", " So the person feels happy: the face speaks for it."
    seen_only = Ground(EVIDENCE[:1], label="happy")
    assert EVIDENCE[0].modality == "local"
    assert is_true(text + so, seen_only)
    assert any(one.modality == "audio" for one in EVIDENCE)
    assert not is_true(text + so, GROUND)
    assert true_part(text + so, GROUND) == f"{SMILE},"


def test_what_was_written_most_often_stands_and_slips_do_not() -> None:
    options = [
        Continuation(" the teeth. So", False),
        Continuation(" the pitch is clearly higher than usual in the. So", False),
        Continuation(f" {PITCH}. So", False),
        Continuation(f" {PITCH}. This", False),
    ]
    assert next_clause(f"{SMILE}, and", options, GROUND) == Continuation(
        f"{SMILE}, and {PITCH}.", False
    )
    assert next_clause(f"{SMILE} and", options[:1], GROUND) is None, "nothing is stated"
    words = Continuation(" The words are taken as they stand; the", False)
    assert next_clause("", [words], GROUND) == Continuation(
        " The words are taken as they stand;", False
    )


def test_a_clip_with_several_parts_is_looked_at_part_by_part() -> None:
    vector = torch.ones(2)
    sample = Sample("reason", "Hello")
    whole = Features(vector[None], vector, vector, vector, vector)
    learned = Features(-vector[None], -vector, -vector, -vector, -vector)
    measured = Features(local=2 * vector, audio=3 * vector)
    views = views_of(sample, whole, learned, measured)
    every = [views.whole, *views.parts, *views.measures]
    assert [one.part for one in every] == [None, "face", "voice", "face", "voice"]
    assert [one.features.present for one in every] == [
        ("global", "local", "temporal", "audio"),
        ("global", "local", "temporal"),
        ("audio",),
        ("local",),
        ("audio",),
    ]
    assert [one.bare and one.bare.present for one in every] == [o.features.present for o in every]
    assert [one.sample.transcript for one in every] == ["Hello", None, None, None, None]
    face, voice = views.parts
    assert face.bare is not None and face.bare.local is learned.local
    assert face.upright.bare is None and face.upright.features is face.features
    assert views.measures[1].features.audio is measured.audio
    blank = views.measures[1].bare
    assert blank is not None and blank.audio is not None and not blank.audio.any()
    heard = voice.features
    assert views_of(Sample("reason"), heard, heard, Features()).parts == (), "that is all there is"
    assert len(views_of(sample, heard, heard, Features()).parts) == 1
