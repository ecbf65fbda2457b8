"""How far the points of a face are from those of the teacher.

Knows: held-out faces with the teacher's mesh, errors in shares of two distances of the face. Does
not know: detection apart from its first box, time, action units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from face_networks import material
from numpy.typing import NDArray

from emotion_llama.face import FaceBox, NetworkDetector
from emotion_llama.face.alignment import region_of_box
from emotion_llama.face.points import LEFT_PUPIL, RIGHT_PUPIL

from . import figures
from .figures import Figure, Table
from .sources import (
    PersonFace,
    Pixels,
    Sources,
    as_rgb,
    lfw_people,
    packaged_networks,
    training_faces,
)

PADDING = 0.3
"""Share of a crop's longer side that is added on each side, edge pixels repeated: the crops end at
the face, and a detector expects something around it."""
FAILED = 0.1
"""Error over the eye corners' distance beyond which points are of no use."""
OUTER_CORNERS = (36, 45)
PUPILS = (RIGHT_PUPIL, LEFT_PUPIL)
COUNTED = 68
"""Points that count: all but the pupils."""
YAW_EDGES_DEG = (0.0, 20.0, 40.0, 60.0)


@dataclass(frozen=True)
class Errors:
    """Errors of one way to find points, a row a face; NaN where no face was found."""

    by_corners: NDArray[np.float64]
    """mean distance over that of the outer eye corners, [n]"""
    by_pupils: NDArray[np.float64]
    """over that of the pupils, [n]"""
    yaw_deg: NDArray[np.float64]
    """turn of the head without its sign, [n]"""
    groups: Sequence[str]
    """what the bootstrap draws, of each face"""

    def mean(self, values: NDArray[np.float64], chosen: NDArray[np.bool_] | None = None) -> Figure:
        """Average over the faces that were found, of all or of the chosen ones [n]."""
        rows = ~np.isnan(values) if chosen is None else ~np.isnan(values) & chosen
        return figures.mean(values[rows], [self.groups[i] for i in np.flatnonzero(rows)])

    def failures(self) -> Figure:
        """Give the share of faces that were not found or whose error is beyond `FAILED`."""
        return figures.mean(~(self.by_corners <= FAILED), self.groups)


def error(found: NDArray[np.floating], truth: NDArray[np.floating], span: tuple[int, int]) -> float:
    """Give the mean distance of `COUNTED` points in the picture [70 x 2 or 3] over that of two."""
    distance = np.linalg.norm(found[:COUNTED, :2] - truth[:COUNTED, :2], axis=1)
    return float(distance.mean() / np.linalg.norm(truth[span[0], :2] - truth[span[1], :2]))


def errors_of(
    found: Sequence[NDArray[np.floating] | None],
    faces: Sequence[material.Face],
    groups: Sequence[str],
) -> Errors:
    """Compare points, ``None`` where no face was found, with the teacher's."""
    both = list(zip(found, faces, strict=True))
    by_corners, by_pupils = (
        np.array([np.nan if p is None else error(p, face.points, span) for p, face in both])
        for span in (OUTER_CORNERS, PUPILS)
    )
    yaw_deg = np.array([abs(material.yaw_of(face.points)) for face in faces])
    return Errors(by_corners, by_pupils, yaw_deg, groups)


def detected(pixels: Pixels, detector: NetworkDetector) -> FaceBox | None:
    """Find the best face in a tight crop [h x w] with repeated edges, in pixels of the crop."""
    margin = round(PADDING * max(pixels.shape))
    boxes = detector.detect(as_rgb(np.pad(pixels, margin, mode="edge")))
    if not boxes:
        return None
    best = boxes[0]
    assert best.keypoints is not None
    right, left, mouth = ((x - margin, y - margin) for x, y in best.keypoints)
    corner = best.left - margin, best.top - margin
    return FaceBox(*corner, best.width, best.height, best.score, (right, left, mouth))


def teacher_box(face: material.Face) -> FaceBox:
    """Give the box that came with a face."""
    x, y, side = (float(v) for v in face.box)
    return FaceBox(x - side / 2, y - side / 2, side, side, score=1.0)


def points_at(pixels: Pixels, box: FaceBox | None) -> NDArray[np.float32] | None:
    """Find the points of the face in a box, as the tracker does with a new face, [70 x 3]."""
    if box is None:
        return None
    return packaged_networks()[1].find(pixels, [region_of_box(box)], passes=2)[0].points


def mean_points(faces: Sequence[material.Face]) -> NDArray[np.float64]:
    """Average the points of faces in their boxes: box sides from the centre, [70 x 2]."""
    placed = [(face.points[:, :2] - face.box[:2]) / face.box[2] for face in faces]
    return np.asarray(np.mean(placed, axis=0))


def measure(sources: Sources) -> list[Table]:
    """Measure on LFW, and on FER+ where the teacher's labels of test faces are given."""
    people = lfw_people(sources.data_dir, "test")
    measured = _on_lfw(people, mean_points(training_faces(sources.data_dir)))
    small = _ferplus(sources)
    if small:
        whole = [points_at(face.pixels, _whole(face.pixels)) for face in small]
        groups = [str(number) for number in range(len(small))]
        measured["FER+, whole picture"] = errors_of(whole, small, groups)
    return [_overall(measured), _by_yaw(measured)]


def _on_lfw(people: Sequence[PersonFace], usual: NDArray[np.float64]) -> dict[str, Errors]:
    faces, names = [one.face for one in people], [one.person for one in people]
    found: Mapping[str, list[NDArray[np.floating] | None]] = {
        "LFW, detector's box": [
            points_at(face.pixels, detected(face.pixels, packaged_networks()[0])) for face in faces
        ],
        "LFW, teacher's box": [points_at(face.pixels, teacher_box(face)) for face in faces],
        "LFW, mean training face in the teacher's box": [
            usual * face.box[2] + face.box[:2] for face in faces
        ],
    }
    return {name: errors_of(points, faces, names) for name, points in found.items()}


def _whole(pixels: Pixels) -> FaceBox:
    return FaceBox(0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0]), score=1.0)


def _ferplus(sources: Sources) -> list[material.Face]:
    """Read labelled FER+ test faces; none where there are no labels."""
    if sources.labels_dir is None or not (sources.labels_dir / "ferplus.npz").is_file():
        return []
    return material.labelled(sources.data_dir, sources.labels_dir, "ferplus", "test")


def _overall(measured: Mapping[str, Errors]) -> Table:
    rows = [
        (
            name,
            int(np.isnan(errors.by_corners).sum()),
            errors.mean(errors.by_corners),
            errors.mean(errors.by_pupils),
            errors.failures(),
        )
        for name, errors in measured.items()
    ]
    columns = ("faces, start", "not found", "error / eye corners", "error / pupils",
               f"error over {FAILED:.0%}")  # fmt: skip
    note = (
        f"Mean distance of {COUNTED} points from the teacher's in the picture, over the distance "
        "of the outer eye corners and of the pupils; test faces. Faces not found have no error and "
        f"count as over {FAILED:.0%}. Intervals draw persons (n faces of so many persons); on "
        "FER+, where persons are unknown, pictures."
    )
    return Table("Points of the face", columns, rows, note)


def _by_yaw(measured: Mapping[str, Errors]) -> Table:
    rows = []
    for name, errors in measured.items():
        bins = figures.in_bins(errors.yaw_deg, YAW_EDGES_DEG)
        rows.append((name, *(errors.mean(errors.by_corners, chosen) for chosen in bins)))
    columns = ("faces, start", *figures.bin_names(YAW_EDGES_DEG, "deg"))
    note = (
        "Error over the distance of the outer eye corners in the picture, which a turn shortens. "
        "Intervals draw persons, on FER+ pictures, and say little where these are under ten."
    )
    return Table("Points of the face by turn of the head", columns, rows, note)
