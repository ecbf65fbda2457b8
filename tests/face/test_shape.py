"""The mean face, turned, moved and scaled by known amounts, is brought back, and the pose named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_llama.face import head_pose
from emotion_llama.face.points import MIRRORED
from emotion_llama.face.shape import eye_distance_px, frontal, population

TOLERANCE_DEG = 0.5
ANGLE = st.floats(-40.0, 40.0)
POSE = st.tuples(ANGLE, ANGLE, ANGLE)
PLACE = st.tuples(*[st.floats(-2000.0, 2000.0)] * 3)
SCALE = st.floats(0.1, 500.0)


def mean_face():
    """Give the points, x to the picture's right, y down, depth away from the camera, [70 x 3]."""
    return population()["mean"].astype(np.float64)


def about(axis, degrees):
    """Rotation by Rodrigues' formula, [3 x 3]: along with a screw that moves along the axis."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=np.float64)
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def turned(points, pose):
    """Nod, then turn, then lean a face, as the words of `frontal` have the signs, [70 x 3].

    The nose points to the camera, along -z; x is to the picture's right and y down. A screw
    along x takes y to z: the nose, at -z, goes down to -(-y) = +y, so it is a nod for degrees
    above 0. Along y it takes z to x: the nose goes to -x, so a turn to the right is its opposite.
    Along z it takes x to y, right to down: clockwise.
    """
    yaw, pitch, roll = pose
    nod, turn = about((1, 0, 0), pitch), about((0, 1, 0), -yaw)
    lean = about((0, 0, 1), roll)
    return points @ (lean @ turn @ nod).T


def mirrored(points):
    """The same face in a mirror, its points numbered again, [70 x 3]."""
    return (points * [-1, 1, 1])[list(MIRRORED)]


@pytest.mark.parametrize("degrees", [-35.0, -10.0, 10.0, 35.0])
def test_signs_are_as_documented(degrees):
    nose, chin, brow = 30, 8, 27
    sign = np.sign(degrees)
    before = mean_face()
    right = turned(before, (degrees, 0, 0))
    assert np.sign(right[nose, 0] - right[[36, 45], 0].mean()) == sign, "the nose goes to the side"
    down = turned(before, (0, degrees, 0))
    assert np.sign((down - before)[nose, 1]) == sign, "the nose goes down"
    clockwise = turned(before, (0, 0, degrees))
    assert np.sign((clockwise[brow] - clockwise[chin])[0]) == sign, "the brow leans to the right"
    poses = head_pose(np.stack([right, down, clockwise]))
    assert poses == pytest.approx(np.diag([degrees] * 3), abs=TOLERANCE_DEG)


@given(POSE)
def test_angles_are_recovered(pose):
    assert head_pose(turned(mean_face(), pose)[None])[0] == pytest.approx(pose, abs=TOLERANCE_DEG)


@given(POSE, PLACE, SCALE)
def test_shape_does_not_depend_on_pose_place_or_size(pose, place, scale):
    rest = mean_face()
    smiling = rest.copy()
    smiling[[48, 54], 1] -= 0.05
    moved = np.stack([scale * turned(one, pose) + place for one in (rest, smiling)])
    shapes, poses = frontal(moved)
    assert shapes[0] == pytest.approx(rest, abs=1e-6)
    assert shapes[1] == pytest.approx(smiling, abs=1e-6)
    assert poses[0] == pytest.approx(pose, abs=TOLERANCE_DEG)
    assert poses[1] == pytest.approx(pose, abs=TOLERANCE_DEG)


@given(POSE, SCALE)
def test_a_mirrored_face_turns_and_leans_the_other_way(pose, scale):
    face = scale * turned(mean_face(), pose)
    yaw, pitch, roll = head_pose(face[None])[0]
    expected = pytest.approx((-yaw, pitch, -roll), abs=2 * TOLERANCE_DEG)
    assert head_pose(mirrored(face)[None])[0] == expected


@given(POSE, PLACE, SCALE)
def test_the_distance_of_the_eyes_holds_when_the_head_turns(pose, place, scale):
    face = scale * turned(mean_face(), pose) + place
    assert eye_distance_px(face[None])[0] == pytest.approx(scale, rel=1e-3)


def test_each_face_is_turned_by_itself():
    poses = [(0, 0, 0), (30, 0, 0), (0, -20, 15)]
    faces = np.stack([turned(mean_face(), pose) for pose in poses])
    together = frontal(faces)
    for row, face in enumerate(faces):
        shape, pose = frontal(face[None])
        assert together[0][row] == pytest.approx(shape[0], abs=1e-9)
        assert together[1][row] == pytest.approx(pose[0], abs=1e-9)


def test_another_mean_face_can_be_given():
    narrow = mean_face() * [0.8, 1.0, 1.0]
    shapes, pose = frontal(50 * turned(narrow, (20, 5, -10))[None], narrow)
    assert shapes[0] == pytest.approx(narrow, abs=1e-6)
    assert pose[0] == pytest.approx((20, 5, -10), abs=TOLERANCE_DEG)
