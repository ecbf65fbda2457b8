"""From the peak frame to measures and statements, and from texts back to units."""

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from emotion_llama.face.peak import peak_frame
from emotion_llama.labels import LABEL_SETS
from emotion_llama.merr.facial import (
    ABSENT,
    MAX_CLUES,
    PRESENT_FROM,
    face_measures,
    facial_clues,
    read_facial,
    stillness,
    unit_is_named,
)
from emotion_llama.merr.lexicon import FACE, STILL, load_lexicon
from emotion_llama.merr.records import FaceMeasures, UnitReading
from emotion_llama.merr.rules import judge, load_rules
from emotion_llama.records import ActionUnitTable, AuScale

LEXICON = load_lexicon()
NAN = math.nan
OTHERS = ("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12")


def table(
    intensity: Mapping[str, Sequence[float]],
    presence: Mapping[str, Sequence[float]] | None = None,
    tracked: Sequence[bool] | None = None,
    confidence: Sequence[float] | None = None,
    scale: AuScale = "0-5",
) -> ActionUnitTable:
    presence = presence or {}
    columns = {**intensity, **presence}
    num_rows = len(next(iter(columns.values())))
    sure = np.asarray(confidence or [1.0] * num_rows, np.float32)
    return ActionUnitTable(
        times_s=np.arange(num_rows) / 25.0,
        frames=np.arange(num_rows),
        intensity={unit: np.asarray(values, np.float32) for unit, values in intensity.items()},
        presence={unit: np.asarray(values, np.float32) for unit, values in presence.items()},
        confidence=dict.fromkeys(columns, sure),
        tracked=np.asarray(tracked or [True] * num_rows),
        scale=scale,
        scope="producer",
        producer="OpenFace",
        version="2.x",
    )


def measure(one: ActionUnitTable, *, talking: bool | None = False) -> FaceMeasures:
    return face_measures(
        one, peak_frame(one), num_frames=9, coverage=0.123456, score=0.9, talking=talking
    )


def face(
    present: Mapping[str, float | None],
    absent: Sequence[str] = (),
    *,
    talking: bool | None = False,
    scale: AuScale | None = "0-5",
) -> FaceMeasures:
    units = [UnitReading(unit, value, True, 1.0) for unit, value in present.items()]
    units += [UnitReading(unit, 0.0, False, 1.0) for unit in absent]
    units.sort(key=lambda reading: reading.unit)
    return FaceMeasures(
        tuple(units), scale, "clip", 3, 0.12, 1.0, "all", 50, 1.0, 0.9, talking=talking
    )


def stated(text: str) -> list[tuple[str, str | None]]:
    return [(clue.feature, clue.reading) for clue in read_facial(text)]


# ---- the peak frame -----------------------------------------------------------------------------


def test_the_worked_example_of_the_publication() -> None:
    au05 = [0.0, 0.36, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    au26 = [0.0, 1.02, 0.0, 0.0, 0.0, 0.0, 0.0, 1.25]
    one = table({"AU05": au05, "AU26": au26})
    peak = peak_frame(one, speech_counts=True)
    assert peak is not None
    assert peak.frame == 1, "frame 1 = .36 + 1.02 beats frame 7 = 0 + 1.25"
    assert peak.score == pytest.approx(1.38)
    found = face_measures(one, peak, num_frames=8, coverage=1.0, score=None, talking=False)
    assert (found.peak_frame, found.peak_s, found.peak_score) == (1, 0.04, 1.38)


def test_a_frame_whose_tracking_failed_never_wins() -> None:
    one = table(
        {"AU04": [0.2, 5.0, 0.4, 5.0], "AU12": [0.1, 5.0, 0.3, 5.0]},
        tracked=[True, False, True, True],
        confidence=[0.95, 0.9, 0.95, 0.02],
    )
    assert measure(one).peak_frame == 2


def test_blinks_and_speech_do_not_make_the_peak() -> None:
    one = table(
        {
            "AU12": [0.0, 1.0, 0.0],
            "AU45": [5.0, 0.0, 0.0],
            "AU25": [0.0, 0.0, 5.0],
            "AU26": [0.0, 0.0, 5.0],
        }
    )
    assert measure(one, talking=True).peak_frame == 1


# ---- measures -----------------------------------------------------------------------------------


def test_values_are_those_of_the_peak_row_as_plain_rounded_numbers() -> None:
    found = measure(table({"AU04": [0.0, 1.23456789, 0.0], "AU12": [0.9, 0.0, 0.9]}))
    assert [(one.unit, one.intensity) for one in found.units] == [("AU04", 1.2346), ("AU12", 0.0)]
    assert all(type(one.intensity) is float for one in found.units)
    assert all(type(one.is_present) is bool for one in found.units)
    assert type(found.peak_frame) is int
    assert found.coverage == 0.1235
    assert (found.scale, found.scope, found.peak_reading) == ("0-5", "producer", "all")


def test_the_producers_decision_comes_before_the_threshold() -> None:
    found = measure(
        table(
            {"AU04": [3.0], "AU12": [0.4], "AU15": [2.0], "AU17": [0.99]},
            {"AU04": [0.0], "AU12": [1.0], "AU15": [NAN]},
        )
    )
    present = {one.unit: one.is_present for one in found.units}
    assert present == {"AU04": False, "AU12": True, "AU15": True, "AU17": False}


def test_a_unit_that_exists_only_as_a_flag_is_read_judged_and_said() -> None:
    found = measure(table({"AU04": [0.0]}, {"AU28": [1.0]}))
    assert found.units[-1] == UnitReading("AU28", None, True, 1.0)
    assert judge(found, load_rules("merr"), "worried").agreement == "agrees"
    (clue,) = facial_clues(found, "a")
    assert (clue.feature, clue.reading, clue.value) == ("AU28", "present", None)


def test_what_was_never_measured_has_no_entry_and_what_was_not_here_is_unknown() -> None:
    found = measure(table({"AU04": [2.0, 0.0], "AU12": [NAN, 1.0], "AU15": [NAN, NAN]}))
    assert found.peak_frame == 0
    assert [one.unit for one in found.units] == ["AU04", "AU12"]
    assert (found.units[1].intensity, found.units[1].is_present) == (None, None)


def test_without_a_peak_there_are_no_units() -> None:
    found = measure(table({"AU04": [NAN]}, tracked=[False]))
    assert found.units == ()
    assert found.peak_frame is found.peak_s is found.peak_score is found.peak_reading is None
    assert facial_clues(found, "a") == ()


@pytest.mark.parametrize(
    ("scale", "below", "from_here"),
    [("0-5", 0.99, 1.0), ("0-1", 0.19, 0.2), ("probability", 0.49, 0.5)],
)
def test_every_scale_has_its_own_threshold(scale: AuScale, below: float, from_here: float) -> None:
    found = measure(table({"AU04": [below], "AU12": [from_here]}, scale=scale))
    assert [one.is_present for one in found.units] == [False, True]
    assert PRESENT_FROM[scale] == pytest.approx(from_here)


# ---- statements ---------------------------------------------------------------------------------


def test_grades_follow_the_scale() -> None:
    values = {"AU01": 1.0, "AU02": 1.99, "AU04": 2.0, "AU05": 3.49, "AU06": 3.5, "AU07": 5.0}
    readings = {clue.feature: clue.reading for clue in facial_clues(face(values), "a")}
    assert readings == {
        "AU01": "slight",
        "AU02": "slight",
        "AU04": "clear",
        "AU05": "clear",
        "AU06": "strong",
        "AU07": "strong",
    }


def test_no_degree_is_said_on_other_scales_or_against_the_value() -> None:
    for scale in ("probability", "0-1", None):
        (clue,) = facial_clues(face({"AU12": 0.9}, scale=scale), "a")
        assert clue.reading == "present"
    (clue,) = facial_clues(face({"AU12": 0.4}), "a")  # present by flag alone
    assert (clue.reading, clue.value) == ("present", 0.4)


def test_the_strongest_are_said_and_not_too_many() -> None:
    values = {f"AU{number:02d}": 1.0 + number / 10 for number in (1, 2, 4, 5, 6, 7, 9, 10, 12)}
    clues = facial_clues(face(values), "a")
    assert [clue.feature for clue in clues] == ["AU12", "AU10", "AU09", "AU07", "AU06", "AU05"]
    assert len(clues) == MAX_CLUES
    assert all(clue.kind == "facial" and clue.start_s == clue.end_s == 0.12 for clue in clues)
    assert clues[0].value == pytest.approx(2.2)


def test_blinks_are_never_said_and_lips_and_jaw_only_of_a_silent_face() -> None:
    values = {"AU43": 4.0, "AU45": 4.0, "AU25": 3.0, "AU26": 3.0, "AU12": 2.0}
    features = {
        talking: {clue.feature for clue in facial_clues(face(values, talking=talking), "a")}
        for talking in (True, None, False)
    }
    assert features[True] == features[None] == {"AU12"}
    assert features[False] == {"AU12", "AU25", "AU26"}


def test_a_face_is_at_rest_only_where_enough_was_measured() -> None:
    (clue,) = facial_clues(face({}, OTHERS), "a")
    assert (clue.feature, clue.reading, clue.value) == (FACE, STILL, None)
    assert stillness(face({}, OTHERS)) == pytest.approx(9 / 18)
    assert facial_clues(face({}, OTHERS[:8]), "a") == ()
    assert stillness(face({}, OTHERS[:8])) is None
    assert stillness(face({"AU12": 1.0}, OTHERS[:8])) == 0.0


def test_the_same_clip_has_the_same_words_and_clips_differ() -> None:
    one = face({"AU12": 2.0, "AU06": 2.0, "AU25": 2.0})
    assert facial_clues(one, "a") == facial_clues(one, "a")
    said = {tuple(clue.statement for clue in facial_clues(one, f"clip{n}")) for n in range(40)}
    assert len(said) == 8, "two wordings of each of three units"


LABELS = sorted({label for labels in LABEL_SETS.values() for label in labels})


@pytest.mark.parametrize("label", LABELS)
def test_no_label_turns_a_unit_into_another(label: str) -> None:
    # the published sad records write AU14 with the words of AU15
    one = face({"AU14": 2.5, "AU04": 1.5}, ("AU15",))
    for name in ("merr", "facs"):
        verdict = judge(one, load_rules(name), label)
        assert all("AU15" not in units for units in verdict.fired.values())
    for clip in range(20):
        clues = facial_clues(one, f"{label}/{clip}")
        assert [clue.feature for clue in clues] == ["AU14", "AU04"]
        assert [unit_is_named(clue.statement) for clue in clues] == ["AU14", "AU04"]


def test_every_statement_names_the_unit_that_it_was_made_from() -> None:
    for unit in LEXICON.wordings:
        for reading in ("slight", "clear", "strong", "present"):
            for statement in LEXICON.word(unit, reading):
                assert unit_is_named(statement) == unit
    assert unit_is_named("the light is dim") is None
    assert unit_is_named(LEXICON.still[0]) is None
    assert unit_is_named("she smiles") is None


# ---- texts back to units ------------------------------------------------------------------------


@pytest.mark.parametrize("unit", LEXICON.wordings)
def test_every_statement_is_read_back_as_it_was_said(unit: str) -> None:
    for reading in ("slight", "clear", "strong", "present"):
        for statement in LEXICON.word(unit, reading):
            for text in (
                statement,
                f"{statement[0].upper()}{statement[1:]}.",
                f"In the picture there is one person, and {statement}; the light is dim.",
                statement.upper(),
                statement.replace(" ", "\n", 1),
            ):
                assert stated(text) == [(unit, reading)], text


@pytest.mark.parametrize("joint", [", and ", "; ", ". ", ", "])
def test_joined_statements_are_read_back_in_order(joint: str) -> None:
    units = list(LEXICON.wordings)
    for first in range(len(units)):
        chosen = [units[(first + step * 7) % len(units)] for step in range(4)]
        readings = ["clear", "present", "strong", "slight"]
        said = list(zip(chosen, readings, strict=True))
        texts = [LEXICON.word(unit, reading)[first % 2] for unit, reading in said]
        assert stated(joint.join(texts)) == said


def test_a_face_at_rest_is_read_back() -> None:
    for text in LEXICON.still:
        assert stated(f"Here {text}.") == [(FACE, STILL)]


def test_clues_and_reading_agree_for_whole_faces() -> None:
    values = {"AU01": 1.2, "AU04": 2.4, "AU15": 4.0, "AU17": 1.0, "AU25": 2.2}
    for clip in range(30):
        clues = facial_clues(face(values), f"clip{clip}")
        text = ", and ".join(clue.statement for clue in clues)
        assert stated(text) == [(clue.feature, clue.reading) for clue in clues]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A woman smiles broadly.", [("AU12", "strong")]),
        ("She is smiling", [("AU12", None)]),
        ("with a faint smile", [("AU12", "slight")]),
        ("raised eyebrows", [("AU01|AU02", None)]),
        ("her eyebrows are slightly raised", [("AU01|AU02", "slight")]),
        ("he raises his inner eyebrows", [("AU01", None)]),
        ("deeply furrowed brows", [("AU04", "strong")]),
        ("The man's eyebrows are lowered", [("AU04", None)]),
        ("brows raised and drawn together", [("AU01|AU02", None), ("AU04", None)]),
        ("wide eyes", [("AU05", None)]),
        ("her lips are tightly pressed", [("AU23|AU24", None)]),
        ("his lips are clearly tightened", [("AU23", "clear")]),
        ("tightened mouth", [("AU23|AU24", None)]),
        ("He frowns.", [("AU04|AU15", None)]),
        ("an open mouth", [("AU25|AU26|AU27", None)]),
        ("His jaw dropped slightly", [("AU25|AU26|AU27", "slight")]),
        ("her lip corners are pulled down", [("AU15", "present")]),
        ("the corners of his mouth are turned down", [("AU15", None)]),
        ("the lip corners are markedly pulled up", [("AU12", "strong")]),
        ("AU12 (lip corner puller) and AU 4", [("AU12", None), ("AU12", None), ("AU04", None)]),
        ("a neutral expression", [(FACE, STILL)]),
        ("his face remains blank", [(FACE, STILL)]),
        ("the video features neutral light and a wide street", []),
    ],
)
def test_what_others_write_is_understood(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert stated(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is no smile.", [("AU12", ABSENT)]),
        ("without a smile or frown", [("AU12", ABSENT), ("AU04|AU15", ABSENT)]),
        ("not smiling but frowning", [("AU12", ABSENT), ("AU04|AU15", None)]),
        ("no smile, and raised brows", [("AU12", ABSENT), ("AU01|AU02", None)]),
        ("her eyebrows aren't raised", [("AU01|AU02", ABSENT)]),
        ("the brows are not raised", [("AU01|AU02", ABSENT)]),
        ("a smile is not visible", [("AU12", ABSENT)]),
        ("the face is not expressionless", [(FACE, ABSENT)]),
        ("It cannot be said that the lip corners are clearly pulled up", [("AU12", ABSENT)]),
        ("There is no sign that the person smiles", [("AU12", ABSENT)]),
        ("not only smiling", [("AU12", None)]),
        ("no doubt smiling", [("AU12", None)]),
    ],
)
def test_what_is_denied_is_not_read_as_present(
    text: str, expected: list[tuple[str, str | None]]
) -> None:
    assert stated(text) == expected


def test_somebodys_words_are_no_description() -> None:
    assert stated('She says "smile, do not frown" with narrowed eyes') == [("AU06|AU07", None)]
    assert stated("She says “smile” and her jaw is clearly lowered") == [("AU26", "clear")]


def test_the_words_that_were_read_are_kept() -> None:
    (clue,) = read_facial("Her eyebrows are slightly raised.")
    assert (clue.kind, clue.words) == ("facial", "eyebrows are slightly raised")


@pytest.mark.parametrize("word", ["the ", "very ", "no ", "a little ", "smile ", "brows is "])
def test_a_text_that_repeats_itself_is_read_in_no_time(word: str) -> None:
    start = time.perf_counter()
    read_facial(word * 2000)
    assert time.perf_counter() - start < 10, "grows with the square of the length"


def test_what_is_strong_by_a_doubtful_measure_comes_late() -> None:
    units = (UnitReading("AU12", 3.0, True, 0.75), UnitReading("AU23", 4.0, True, 0.08))
    face = FaceMeasures(units, "0-5", "clip", 3, 0.1, 7.0, "all", 9, 1.0, 0.9, talking=True)
    assert [clue.feature for clue in facial_clues(face, "a.mp4")] == ["AU12", "AU23"]
