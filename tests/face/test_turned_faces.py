"""Faces seen from the side: photographs of real people, which are no part of the repository."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_llama.face import measure_action_units, track_faces
from emotion_llama.face.action_units import MAX_TURN_DEG

ROOT = Path(__file__).resolve().parents[2]
NUM_FACES = 40
MARGIN_PX = 60


@pytest.fixture(scope="module")
def turned_faces():
    """Give the development faces of LFW that are turned furthest, and their yaw in degrees."""
    folder = os.environ.get("EMOTION_LLAMA_DATA")
    if folder is None:
        pytest.skip("NOT CHECKED: set EMOTION_LLAMA_DATA to the data folder of docs/data.md")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        from face_networks import material
    faces = material.lfw(Path(folder), "dev")
    chosen = sorted(((material.yaw_of(face.points), face.pixels) for face in faces), key=_turn)
    return chosen[-NUM_FACES:]


def _turn(face):
    return abs(face[0])


def test_a_turned_face_is_followed_or_not_found_and_never_measured(
    turned_faces, detector, landmarker
):
    found, unmeasured = 0, 0
    assert max(map(_turn, turned_faces)) > MAX_TURN_DEG
    for yaw, pixels in turned_faces:
        edges = (MARGIN_PX,) * 4
        grey = cv2.copyMakeBorder(pixels, *edges, cv2.BORDER_REPLICATE)
        frame = np.repeat(grey[..., None], 3, axis=2)
        for track in track_faces([frame], [0.0], detector, landmarker, 64):
            found += 1
            assert track.pose_deg[0, 0] == pytest.approx(yaw, abs=20)
            values = np.array(list(measure_action_units(track).intensity.values()))
            if np.abs(track.pose_deg[0, :2]).max() >= MAX_TURN_DEG:
                unmeasured += 1
                assert np.isnan(values).all()
    assert found > NUM_FACES // 4
    assert unmeasured > 0, "no face was turned far enough to check"
