"""The clips that the project carries: whole, small, and with a face to be seen."""

from pathlib import Path

import pytest

from emotion_llama.face import FaceLandmarker, NetworkDetector, track_faces
from emotion_llama.media import read_clip, read_transcript

EXAMPLES_DIR = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.parametrize("name", ["smile", "frown"])


@pytest.fixture
def clip(name):
    text = read_transcript(EXAMPLES_DIR / f"{name}.txt")
    return read_clip(EXAMPLES_DIR / f"{name}.mp4", text=text)


def test_every_modality_is_there(clip):
    assert (clip.missing, clip.warnings) == ({}, ())
    assert 3.0 <= clip.duration_s <= 4.1
    assert clip.frames.shape[1:] == (320, 320, 3)


def test_face_is_found_in_nearly_all_frames(clip):
    tracks = track_faces(clip.frames, clip.frame_times_s, NetworkDetector(), FaceLandmarker(), 112)
    assert len(tracks) == 1
    assert tracks[0].coverage == 1.0


def test_file_is_small(name):
    assert (EXAMPLES_DIR / f"{name}.mp4").stat().st_size < 250_000


def test_words_are_in_the_readme(name):
    words = read_transcript(EXAMPLES_DIR / f"{name}.txt")
    assert words in (EXAMPLES_DIR / "README.md").read_text(encoding="utf-8")
