"""What an answer looks like: every number has its words, and no text becomes markup."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.labels import LabelSet
from emotion_llama.records import Evidence, Features, Prediction
from emotion_llama.server.page import panels, plots, words
from emotion_llama.server.page.measures import Curve, FoundUnit, Measures
from emotion_llama.server.page.talk import Piece, Talk

MARKUP = "<script>alert('x')</script>"

PREDICTION = Prediction(
    clip="clip.mp4",
    label="happy",
    probabilities={"sad": 0.2, "happy": 0.7961, "fear": 0.0039},
    reason="Because of the face.",
    modalities=("local", "audio"),
    missing={"text": "no transcript was given"},
    confidence=0.7961,
    unsure=False,
    unsure_rule="a probability below 0.5",
    valence=0.6,
    key_frame_s=1.0,
    evidence=(Evidence("audio", "the pitch is high", 3.0, 0.2, 1.8, "prosody 1"),),
    warnings=(),
    timings_s={"read": 0.25, "total": 1.5},
    preset="mini",
)


def a_piece(measures: Measures | None = None, **changes: Any) -> Piece:
    encoded = EncodedClip("clip.mp4", Features(), None)
    return Piece(encoded, replace(PREDICTION, **changes), measures or Measures(0, 0))


def test_the_most_probable_label_comes_first_with_its_number() -> None:
    shown = panels.answer(a_piece())
    names = re.findall(r'el-name">(\w+)<', shown)
    assert names == ["happy", "sad", "fear"]
    assert "80 %" in shown and "under 1 %" in shown
    assert "Unsure" not in shown


def test_what_is_seen_and_heard_alone_stands_below_the_bars() -> None:
    alone = {"seen": {"happy": 0.25, "sad": 0.75}, "heard": {"happy": 0.9, "sad": 0.1}}
    shown = panels.answer(a_piece(alone=alone))
    assert "seen alone: sad 75 %, heard alone: happy 90 %" in shown
    assert "alone" not in panels.answer(a_piece())


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0 %"), (0.004, "under 1 %"), (0.5, "50 %"), (0.997, "over 99 %"), (1, "100 %")],
)
def test_only_nothing_is_0_and_only_all_is_100(share: float, said: str) -> None:
    assert panels.percent(share) == said


def test_doubt_is_said_with_its_rule() -> None:
    assert "a probability below 0.5" in panels.answer(a_piece(unsure=True))


def test_an_answer_without_a_label_says_so() -> None:
    assert "no label" in panels.answer(a_piece(label=None))


@pytest.mark.parametrize("field", ["clip", "label", "unsure_rule"])
def test_no_text_of_an_answer_becomes_markup(field: str) -> None:
    piece = a_piece(**{field: MARKUP}, unsure=True)
    if field == "label":
        piece = a_piece(label=MARKUP, probabilities={MARKUP: 1.0})
    assert "<script" not in panels.answer(piece) and "&lt;script" in panels.answer(piece)


def test_no_reason_warning_statement_or_question_becomes_markup() -> None:
    spoken = replace(PREDICTION.evidence[0], statement=MARKUP)
    piece = a_piece(evidence=(spoken,), missing={"text": MARKUP})
    shown = [
        panels.reason(MARKUP, [MARKUP]),
        panels.evidence(piece),
        panels.problem(MARKUP),
        panels.status(MARKUP),
        panels.player(f'"{MARKUP}', "video"),
        panels.player(f'"{MARKUP}', "image"),
    ]
    assert all("<script" not in one for one in shown)


def test_what_was_measured_used_missed_and_taken_is_said() -> None:
    shown = panels.evidence(a_piece())
    for said in ("the pitch is high, 0.2 to 1.8 s", "voice (audio)", "no transcript was given",
                 "read 0.25 s"):  # fmt: skip
        assert said in shown


def test_what_a_part_adds_is_told_by_number_and_by_the_other_label() -> None:
    other = replace(PREDICTION, label="sad", probabilities={"sad": 0.6, "happy": 0.4, "fear": 0.0})
    piece = replace(a_piece(), without={"audio": other})
    shown = panels.evidence(piece)
    assert f"without {words.PART_WORDS['audio']}" in shown
    assert "\N{MINUS SIGN}40 points" in shown and "80 % to 40 %; the label would be sad" in shown


def test_a_timeline_has_a_row_for_each_segment_and_none_for_one() -> None:
    pieces = tuple(replace(a_piece(), span=(float(n), n + 1.0)) for n in range(3))
    talk = Talk(pieces, LabelSet("custom", ("happy", "sad")), True, chosen=1)
    shown = panels.timeline(talk)
    assert shown.count("<li") == 3 and shown.count("el-chosen") == 1
    assert "1.0 to 2.0 s" in shown and "left:33.33%" in shown
    assert panels.timeline(replace(talk, pieces=pieces[:1], chosen=0)) == ""


def test_action_units_stand_with_grade_and_name() -> None:
    found = (FoundUnit("AU12", 3.2, 0.9),)
    measures = Measures(0, 2, key_frame_s=1.0, found=found, plain_frame=b"x", marked_frame=b"y")
    shown = panels.evidence(a_piece(measures))
    assert "AU12 lip corner puller" in shown and "3.2 C" in shown
    assert 'alt="Key frame at 1.00 s, the face marked"' in shown


def course(values: list[float]) -> Curve:
    times = np.linspace(0, 2, len(values))
    return Curve("pitch", "Hz", times, np.array(values), 100.0, 200.0)


def test_a_gap_of_a_curve_stays_a_gap() -> None:
    voice = (course([100, 150, float("nan"), 150, 200]),)
    shown = plots.curves(Measures(0, 2, voice=voice, peak_s=0.5))
    (line,) = re.findall(r'el-line" d="([^"]+)"', shown)
    assert line.count("M") == 2 and "nan" not in shown
    assert "100 to 200 Hz" in shown and "peak of the face, 0.50 s" in shown


def test_a_segment_has_the_times_of_its_file() -> None:
    voice = (replace(course([100, 200]), times_s=np.array([10.0, 12.0])),)
    shown = plots.curves(Measures(10, 12, voice=voice))
    assert ">10 s<" in shown and ">12 s<" in shown and 'd="M0.0 98.0L1000.0 2.0"' in shown


def test_what_has_no_time_has_no_curves() -> None:
    assert plots.curves(Measures(0, 0)) == ""


def test_the_page_loads_no_style_from_elsewhere() -> None:
    style = (Path(panels.__file__).parent / "page.css").read_text(encoding="utf-8")
    assert "@import" not in style and "url(" not in style
