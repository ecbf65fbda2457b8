"""What was measured of a clip stands beside its answer, and only where it was measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emotion_llama.clip_reader import ClipReader
from emotion_llama.evidence import measured_evidence
from emotion_llama.media import text_clip
from emotion_llama.merr.facial import read_facial
from emotion_llama.merr.voice_clues import read_voice
from emotion_llama.records import Clip

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def smile() -> Clip:
    return ClipReader().read(EXAMPLES / "smile.mp4", "This is wonderful!")


def test_face_voice_and_words_are_stated_with_value_time_and_producer(smile: Clip) -> None:
    found = measured_evidence(smile)
    assert [one.modality for one in found] == sorted(
        (one.modality for one in found), key=("local", "audio", "text").index
    )
    face = [one for one in found if one.modality == "local"]
    assert "AU12" in {stated.feature for one in face for stated in read_facial(one.statement)}
    assert all(one.value is not None and one.start_s is not None for one in face)
    voice = [one for one in found if one.modality == "audio"]
    assert voice and all(read_voice(one.statement) for one in voice)
    assert any("wonderful" in one.statement for one in found if one.modality == "text")
    assert all(one.producer for one in found)


def test_what_is_not_there_is_not_stated(smile: Clip) -> None:
    mute = replace(smile, waveform=None)
    assert "audio" not in {one.modality for one in measured_evidence(mute)}
    faceless = replace(smile, faces=None)
    assert "local" not in {one.modality for one in measured_evidence(faceless)}
    assert measured_evidence(replace(mute, faces=None, transcript=None)) == ()


def test_text_alone_states_its_words() -> None:
    (one,) = [
        one
        for one in measured_evidence(text_clip("I am so sad that you have to go."))
        if "sad" in one.statement
    ]
    assert (one.modality, one.value, one.start_s) == ("text", None, None)


def test_a_voice_of_another_rate_is_not_measured(smile: Clip) -> None:
    other = replace(smile, sample_rate_hz=8000, waveform=np.zeros(8000, np.float32))
    assert "audio" not in {one.modality for one in measured_evidence(other)}


def test_a_clip_under_another_name_says_the_same(tmp_path: Path) -> None:
    smile = Path(__file__).resolve().parents[1] / "examples" / "smile.mp4"
    reader = ClipReader(measure=measured_evidence)
    said = reader.read(smile, "What a great day").evidence
    assert said
    for name in ("a", "another one", "third"):
        copy = tmp_path / f"{name}.mp4"
        copy.write_bytes(smile.read_bytes())
        assert reader.read(copy, "What a great day").evidence == said
