"""What is drawn of a clip: in its own times, gaps where there is nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from page_engine import a_clip

from emotion_llama.clip_reader import ClipReader
from emotion_llama.server.page.measures import MOST_UNITS, measure

EXAMPLE = Path(__file__).parents[3] / "examples" / "smile.mp4"


def test_pitch_and_loudness_of_a_tone_have_its_times() -> None:
    found = measure(a_clip(Path("tone.mp4"), None, 2.0), (10.0, 12.0))
    pitch, loudness = found.voice
    assert np.nanmedian(pitch.values) == pytest.approx(200, rel=0.02)
    assert pitch.times_s[0] == pytest.approx(10.0) and loudness.times_s[-1] <= 12.01
    assert (found.start_s, found.end_s) == (10.0, 12.0)


def test_silence_has_no_pitch() -> None:
    clip = a_clip(Path("tone.mp4"), None, 2.0)
    silent = replace(clip, waveform=np.zeros(32000, np.float32))
    assert [curve.name for curve in measure(silent).voice] == ["loudness"]


def test_words_have_nothing_to_draw() -> None:
    found = measure(a_clip(None, "Well", 0.0))
    assert not found.is_timed and found.voice == () and found.plain_frame is None


def test_a_still_picture_has_no_times() -> None:
    clip = replace(a_clip(Path("a.png"), None, 2.0), duration_s=None, waveform=None, kind="image")
    found = measure(clip)
    assert not found.is_timed and found.key_frame_s is None
    assert found.plain_frame is not None and found.marked_frame is None


def test_a_face_is_marked_and_its_units_are_drawn() -> None:
    found = measure(ClipReader().read(EXAMPLE))
    assert found.marked_frame is not None and found.marked_frame != found.plain_frame
    assert found.found[0].unit == "AU12" and len(found.units) == MOST_UNITS
    assert found.peak_s is not None and 0 < found.peak_s < found.end_s
