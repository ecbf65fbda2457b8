"""What is measured of one file: face, picture and voice, each with its reason where it is not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from build_samples import EXAMPLES, openface_table, tone
from PIL import Image

from emotion_llama.config import BuildConfig
from emotion_llama.face import action_units
from emotion_llama.media import FilmWriter, MediaError, stream_frames
from emotion_llama.merr.measure import ClipMeasures, ClipMeter, picture_at
from emotion_llama.merr.records import Source
from emotion_llama.merr.sources import SourceClip


def clip(path: Path, action_units: Path | None = None, text: str | None = None) -> SourceClip:
    return SourceClip(path.name, path, path.name, Source("set", None), text, action_units)


@pytest.fixture(scope="module")
def meter() -> ClipMeter:
    return ClipMeter(BuildConfig(frames_per_second=5))


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    """Two seconds of grey that gets brighter, without sound."""
    with FilmWriter(tmp_path / "grey.mp4") as film:
        for number in range(50):
            film.add(np.full((64, 96, 3), 40 + 4 * number, np.uint8), number / 25)
    return tmp_path / "grey.mp4"


def test_a_film_has_face_picture_and_voice(meter: ClipMeter) -> None:
    found = meter.measure(clip(EXAMPLES / "smile.mp4"), "ab")
    assert found.face is not None and found.scene is not None and found.prosody is not None
    assert found.missing == {}
    assert found.face_producer is not None
    assert found.face_producer[0].startswith(action_units.PRODUCER)
    assert found.face_producer[1].startswith(f"{action_units.VERSION}; face-detector ")
    assert found.face.talking is True
    assert found.duration_s == pytest.approx(4, abs=0.3)
    assert (found.scene.num_people, found.fingerprint.sha256) == (1, "ab")
    assert found.fingerprint.pictures and found.fingerprint.sound


def test_measures_come_back_from_plain_values(meter: ClipMeter) -> None:
    found = meter.measure(clip(EXAMPLES / "smile.mp4"), "ab")
    assert ClipMeasures.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_words_are_not_measured_of_the_file(meter: ClipMeter, tmp_path: Path) -> None:
    sound = tone(tmp_path / "a.wav", 200)
    assert meter.measure(clip(sound, text="One."), "a") == meter.measure(clip(sound), "a")


def test_a_sound_has_no_picture(meter: ClipMeter, tmp_path: Path) -> None:
    found = meter.measure(clip(tone(tmp_path / "a.wav", 200, seconds=1.5)), "a")
    assert (found.face, found.scene, found.face_producer) == (None, None, None)
    assert "no picture" in found.missing["facial"]
    assert found.missing["scene"] == found.missing["facial"]
    assert found.prosody is not None
    assert (found.duration_s, found.fingerprint.pictures) == (1.5, ())


def test_a_picture_has_no_voice_and_no_length(meter: ClipMeter, tmp_path: Path) -> None:
    _, frame = next(iter(stream_frames(EXAMPLES / "smile.mp4", 5.0)))
    Image.fromarray(frame).save(tmp_path / "still.png")
    found = meter.measure(clip(tmp_path / "still.png"), "a")
    assert found.face is not None and found.face.units
    assert (found.face.num_frames, found.face.talking) == (1, False)
    assert found.scene is not None
    assert (found.scene.motion, found.scene.num_cuts) == (None, None)
    assert (found.prosody, found.duration_s) == (None, None)
    assert found.missing["voice"]


def test_a_film_without_faces_says_in_how_many_frames_none_was_found(
    meter: ClipMeter, grey: Path
) -> None:
    found = meter.measure(clip(grey), "a")
    assert found.face is None
    assert found.missing["facial"] == "no face was found in 10 frames"
    assert found.missing["voice"]
    assert found.scene is not None and found.scene.num_people == 0
    assert found.scene.face_share is None


def test_a_file_of_neither_is_an_error(meter: ClipMeter, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(MediaError, match=r"a\.mp4"):
        meter.measure(clip(tmp_path / "a.mp4"), "a")


# ---- tables of another program -------------------------------------------------------------------


def half(value: float, num_frames: int = 50) -> list[float]:
    return [0.0] * (num_frames // 2) + [value] * (num_frames - num_frames // 2)


def test_an_imported_table_takes_the_place_of_the_own_measures(
    meter: ClipMeter, grey: Path, tmp_path: Path
) -> None:
    flags = {28: [1] * 50}
    table = openface_table(tmp_path / "t.csv", {12: half(3.0), 45: half(5.0)}, flags=flags)
    found = meter.measure(clip(grey, table), "a")
    face = found.face
    assert face is not None
    assert found.face_producer == ("OpenFace", "2.x")
    assert (face.scale, face.scope, face.talking) == ("0-5", "producer", False)
    assert face.peak_frame is not None and face.peak_frame >= 20
    assert face.peak_s == pytest.approx(face.peak_frame / 25)
    assert face.peak_score == pytest.approx(3.0), "a blink does not count"
    assert (face.num_frames, face.coverage, face.score) == (50, 1.0, 0.98)
    units = {reading.unit: reading for reading in face.units}
    assert (units["AU12"].intensity, units["AU12"].is_present) == (3.0, True)
    assert (units["AU28"].intensity, units["AU28"].is_present) == (None, True)
    assert found.missing.keys() == {"voice"}
    assert found.scene is not None and found.scene.num_people == 0, "the picture is looked at"


def test_coverage_and_score_are_of_the_table(meter: ClipMeter, grey: Path, tmp_path: Path) -> None:
    success, sure = [0] * 20 + [1] * 30, [0.1] * 20 + [0.9] * 30
    table = openface_table(tmp_path / "t.csv", {4: [2.0] * 50}, success=success, confidence=sure)
    face = meter.measure(clip(grey, table), "a").face
    assert face is not None
    assert (face.coverage, face.score) == (0.6, 0.9)
    assert face.peak_frame is not None and face.peak_frame >= 20


def test_a_table_in_which_no_face_was_followed_says_so(
    meter: ClipMeter, grey: Path, tmp_path: Path
) -> None:
    table = openface_table(tmp_path / "t.csv", {4: [2.0] * 50}, success=[0] * 50)
    found = meter.measure(clip(grey, table), "a")
    assert found.face is not None
    assert (found.face.units, found.face.coverage, found.face.score) == ((), 0.0, None)
    assert "no action unit could be measured" in found.missing["facial"]


def test_a_sound_with_a_table_has_a_face_that_may_talk(meter: ClipMeter, tmp_path: Path) -> None:
    table = openface_table(tmp_path / "t.csv", {12: [2.0] * 50, 25: [4.0] * 50})
    found = meter.measure(clip(tone(tmp_path / "a.wav", 200), table), "a")
    assert found.face is not None
    assert found.face.talking is True
    assert found.face.peak_score == pytest.approx(2.0), "lips that part belong to speech"
    assert found.missing.keys() == {"scene"}


def test_a_table_that_cannot_be_read_is_an_error(
    meter: ClipMeter, grey: Path, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"t\.csv"):
        meter.measure(clip(grey, tmp_path / "t.csv"), "a")


# ---- settings ------------------------------------------------------------------------------------


def test_every_setting_of_the_measures_makes_others(monkeypatch: pytest.MonkeyPatch) -> None:
    base = BuildConfig()
    settings = ClipMeter(base).settings
    for change in (
        {"frames_per_second": 5.0},
        {"peak_reading": "frequent"},
        {"peak_smoothing_s": 0.0},
    ):
        assert ClipMeter(base.model_copy(update=change)).settings != settings
    for change in ({"seed": 5}, {"rules": "facs"}, {"min_snr_db": 1.0}):
        assert ClipMeter(base.model_copy(update=change)).settings == settings
    monkeypatch.setattr(action_units, "VERSION", "another")
    assert ClipMeter(base).settings != settings, "other action units are other measures"
    assert json.dumps(dict(settings)), "they can be part of a key"


def test_the_picture_at_a_time_is_the_one_that_is_shown(grey: Path, tmp_path: Path) -> None:
    for time_s, number in ((0.0, 0), (1.0, 25), (1.03, 25), (99.0, 49)):
        picture = picture_at(grey, time_s, 25.0)
        assert picture.shape == (64, 96, 3)
        assert float(np.median(picture)) == pytest.approx(40 + 4 * number, abs=3)
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(tmp_path / "still.png")
    assert int(picture_at(tmp_path / "still.png", 0.0, 25.0)[0, 0, 0]) == 200


def test_a_copy_has_the_same_fingerprint(meter: ClipMeter, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "smile.mp4", tmp_path / "copy.mp4")
    one = meter.measure(clip(EXAMPLES / "smile.mp4"), "a").fingerprint
    other = meter.measure(clip(tmp_path / "copy.mp4"), "b").fingerprint
    assert replace(other, sha256="a") == one
