"""Frames -> the faces of the people in them, followed through time.

Knows: how faces of neighbouring frames are linked, which stretches show the same person, who is the
main one. Does not know: how faces and points are found, files, action units.
"""

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.alignment import (
    align_face,
    box_of_points,
    crop_face,
    region_of_box,
    region_of_points,
)
from emotion_llama.face.detector import FaceBox, FaceDetector, overlap, require_frame
from emotion_llama.face.identity import describe, same_people, unit
from emotion_llama.face.landmarks import FaceLandmarker, FacePoints, as_grey
from emotion_llama.face.shape import head_pose
from emotion_llama.face.skin_motion import view_of
from emotion_llama.records import FaceTrack

FACE_IS_SEEN = 0.5
"""Probability of a face from which the points of a frame that a face fills are believed."""

MIN_SCORE = 0.5
"""Probability of a face below which a person counts as lost."""
MIN_OVERLAP = 0.3
"""Intersection over union from which boxes of two frames are one person: 5 frames a second allow a
shift of about half a face."""
MAX_GROWTH = 1.6
"""Factor by which a face may grow or shrink from one frame to the next."""
SAME_PERSON = 0.75
"""Likeness from which two stretches show one person. One in a hundred pairs of two development
actors in the same light before the same camera, a second of each, reaches it; of 20,000 pairs of
development people photographed by different cameras none does."""
OTHER_PERSON = 0.7
"""Likeness below which the face in a person's place is somebody else when the picture has changed:
a cut between two people framed alike changes little else. Fewer than one in a hundred frames of the
uncut development clips fall below, at five a second; they begin a stretch, which is joined again.
"""
OTHER_IN_STILL = 0.5
"""The same when the picture has hardly changed since: a person who turns away stays the same. None
of 493 frames of those clips falls below, at two a second."""
CUT_LEVELS = 28.0
"""Mean change of brightness of a 32 x 24 thumbnail from which a frame begins a new shot."""
STILL_LEVELS = 6.0
"""The same from which the picture has changed: 95 % of the frames of the uncut development clips
change it less, at five a second, and every cut between two of their actors changes it more."""
LOOK_AGAIN_S = 1.0
"""Seconds after which the whole frame is searched again for people who came in."""
MIN_CENTRALITY = 0.1
"""Weight of a face in a corner of the frame, where it would be 0 and size could not speak."""


@dataclass
class _Stretch:
    """One face in one place, followed without a cut; a person has one or more."""

    shot: int
    """number of the shot that it is in"""
    positions: list[int] = field(default_factory=list)
    boxes: list[FaceBox] = field(default_factory=list)
    faces: list[FacePoints] = field(default_factory=list)
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    views: list[NDArray[np.uint8]] = field(default_factory=list)
    described: NDArray[np.float32] | None = None
    """sum of the descriptions of its frames, [160]"""
    last_described: NDArray[np.float32] | None = None
    is_followed: bool = False
    """whether the last frame showed the face"""


class FaceTracker:
    """Follows every face of a clip, frame by frame, without holding the frames.

    Args:
        detector: what finds faces in a whole frame
        landmarker: what finds the points of a face
        crop_size: side of the aligned crops in pixels
    """

    def __init__(self, detector: FaceDetector, landmarker: FaceLandmarker, crop_size: int) -> None:
        self._detector = detector
        self._landmarker = landmarker
        self._crop_size = crop_size
        self._stretches: list[_Stretch] = []
        self._shot = 0
        self._changed_at = 0
        self._times_s: list[float] = []
        self._looked_s = -np.inf
        self._thumbnail: NDArray[np.float32] | None = None
        self._shape = (0, 0)

    def update(self, frame: NDArray[np.uint8], time_s: float) -> None:
        """Take the next frame.

        1. Follow the faces of the last frame: their points say where to look. 2. Search the whole
        frame after a cut, where a face was lost or none is there, and once a second. 3. What is
        found there and is not followed goes on where a like face was in this shot, or begins.

        Args:
            frame: RGB, [h x w x 3]
            time_s: its presentation time in seconds, later than the last

        Raises:
            ValueError: another shape or type of frame
        """
        require_frame(frame)
        grey = as_grey(frame)
        position = len(self._times_s)
        change = self._change(grey)
        is_cut = change > CUT_LEVELS
        self._shot += is_cut
        if change > STILL_LEVELS:
            self._changed_at = position
        self._times_s.append(time_s)
        self._shape = frame.shape[:2]
        followed = [stretch for stretch in self._stretches if stretch.is_followed]
        if is_cut:
            for stretch in followed:
                stretch.is_followed = False
        else:
            self._follow(followed, frame, grey, position)
        has_lost = any(not stretch.is_followed for stretch in followed)
        is_due = time_s - self._looked_s >= LOOK_AGAIN_S
        if has_lost or is_due or not followed:
            self._looked_s = time_s
            self._search(frame, grey, position)

    def finish(self) -> tuple[FaceTrack, ...]:
        """Give a track of each person, the main one first.

        Only now is it decided which stretches show the same person: by their mean descriptions,
        which a poor first frame after a cut does not mislead. Faces of one frame are never joined.

        The main person has the largest size x presence x centrality: size is the mean box side over
        the frame's shorter side, presence the share of frames with the person, centrality 1 in the
        middle of the frame and falling to 0.1 in its corners. Of equals, the one seen first.
        """
        film = (len(self._times_s), *self._shape)
        people = _people(self._stretches)
        order = sorted(people, key=lambda person: -prominence(person.boxes, film))
        return tuple(self._track(person, rank) for rank, person in enumerate(order, start=1))

    def _change(self, grey: NDArray[np.uint8]) -> float:
        """Give the mean change of brightness since the last frame."""
        small = cv2.resize(grey, (32, 24), interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._thumbnail = self._thumbnail, small
        return 0.0 if before is None else float(np.abs(small - before).mean())

    def _follow(
        self,
        stretches: Sequence[_Stretch],
        frame: NDArray[np.uint8],
        grey: NDArray[np.uint8],
        position: int,
    ) -> None:
        """Look for each face around its last place; what is not there is let go."""
        regions = [region_of_points(stretch.faces[-1].points) for stretch in stretches]
        found = self._landmarker.find(grey, regions)
        taken: list[FaceBox] = []
        for stretch, face in zip(stretches, found, strict=True):
            box = box_of_points(face.points, face.score)
            description = describe(grey, face.points)
            stretch.is_followed = (
                face.score >= MIN_SCORE
                and _is_near(stretch.boxes[-1], box)
                and self._may_be(stretch, description)
                and all(overlap(box, other) < MIN_OVERLAP for other in taken)
            )
            if stretch.is_followed:
                taken.append(box)
                self._add(stretch, (frame, grey), position, box, face, description)

    def _may_be(self, stretch: _Stretch, description: NDArray[np.float32]) -> bool:
        """Tell whether a face in the place of a stretch is like enough to go on with it."""
        is_still = stretch.positions[-1] >= self._changed_at
        least = OTHER_IN_STILL if is_still else OTHER_PERSON
        return _likeness(stretch, description) >= least

    def _search(self, frame: NDArray[np.uint8], grey: NDArray[np.uint8], position: int) -> None:
        """Find the faces that nobody followed, and whether they were there before."""
        here = [stretch.boxes[-1] for stretch in self._stretches if stretch.is_followed]
        boxes = [
            box
            for box in self._detector.detect(frame)
            if all(overlap(box, other) < MIN_OVERLAP for other in here)
        ]
        found = self._landmarker.find(grey, [region_of_box(box) for box in boxes], passes=2)
        for face in found:
            box = box_of_points(face.points, face.score)
            if face.score < MIN_SCORE or any(overlap(box, other) >= MIN_OVERLAP for other in here):
                continue
            here.append(box)
            description = describe(grey, face.points)
            stretch = self._continued(box, description)
            self._add(stretch, (frame, grey), position, box, face, description)

    def _continued(self, box: FaceBox, description: NDArray[np.float32]) -> _Stretch:
        """Give the lost stretch of this shot that goes on here, or a new one."""
        lost = [
            stretch
            for stretch in self._stretches
            if not stretch.is_followed
            and stretch.shot == self._shot
            and overlap(stretch.boxes[-1], box) >= MIN_OVERLAP
            and self._may_be(stretch, description)
        ]
        if lost:
            return max(lost, key=lambda stretch: _likeness(stretch, description))
        self._stretches.append(_Stretch(self._shot))
        return self._stretches[-1]

    def _add(
        self,
        stretch: _Stretch,
        pictures: tuple[NDArray[np.uint8], NDArray[np.uint8]],
        position: int,
        box: FaceBox,
        face: FacePoints,
        description: NDArray[np.float32],
    ) -> None:
        stretch.is_followed = True
        stretch.positions.append(position)
        stretch.boxes.append(box)
        stretch.faces.append(face)
        frame, grey = pictures
        stretch.crops.append(align_face(frame, face.points, self._crop_size))
        stretch.views.append(view_of(grey, face.points))
        before = 0 if stretch.described is None else stretch.described
        stretch.described = before + description
        stretch.last_described = description

    def _track(self, person: _Stretch, rank: int) -> FaceTrack:
        times_s = np.array(self._times_s)
        seen = np.zeros(len(times_s), dtype=bool)
        seen[person.positions] = True
        points = np.stack([face.points for face in person.faces])
        return FaceTrack(
            crops=np.stack(person.crops),
            times_s=times_s[seen],
            boxes=_as_array(person.boxes),
            coverage=float(seen.mean()),
            producer=f"{self._detector.name} {self._detector.version}, "
            f"{self._landmarker.name} {self._landmarker.version}",
            missing_s=times_s[~seen],
            person=rank,
            prominence=prominence(person.boxes, (len(times_s), *self._shape)),
            scores=np.array([face.score for face in person.faces], dtype=np.float32),
            points=points,
            pose_deg=head_pose(points).astype(np.float32),
            visible=np.stack([face.visible for face in person.faces]),
            views=np.stack(person.views),
        )


def track_faces(
    frames: Iterable[NDArray[np.uint8]],
    times_s: Sequence[float] | NDArray[np.float64],
    detector: FaceDetector,
    landmarker: FaceLandmarker,
    crop_size: int,
) -> tuple[FaceTrack, ...]:
    """Follow every face of a clip; see `FaceTracker`.

    Args:
        frames: RGB, in time order, each [h x w x 3]
        times_s: their presentation times, as many
        detector: what finds faces
        landmarker: what finds points
        crop_size: side of the aligned crops in pixels

    Returns:
        a track of each person, the main one first; empty when nobody was found

    Raises:
        ValueError: frames and times of different number
    """
    if isinstance(frames, Sized):
        _require_times(len(frames), len(times_s))
    tracker = FaceTracker(detector, landmarker, crop_size)
    for frame, time_s in zip(frames, times_s, strict=True):
        tracker.update(frame, float(time_s))
    return tracker.finish()


def whole_frame_track(
    frames: NDArray[np.uint8],
    times_s: NDArray[np.float64],
    size: int,
    landmarker: FaceLandmarker | None = None,
    *,
    align: bool = False,
) -> FaceTrack:
    """Take every frame as filled by a face, on the user's word; no face is looked for.

    Args:
        frames: RGB, in time order, at least one, [t x h x w x 3]
        times_s: their presentation times, [t]
        size: side of the crops in pixels
        landmarker: finds the points of the face that fills each frame; ``None``: none are given
        align: turn and scale the crops on the eyes, where the landmarker sees a face in every frame

    Raises:
        ValueError: no frames, or frames and times of different number
    """
    _require_times(len(frames), len(times_s))
    if len(frames) == 0:
        msg = "found no frames, expected at least one; check the clip first"
        raise ValueError(msg)
    height, width = frames.shape[1:3]
    box = FaceBox(0.0, 0.0, float(width), float(height), score=1.0)
    track = FaceTrack(
        crops=np.stack([crop_face(frame, box, size) for frame in frames]),
        times_s=np.asarray(times_s, dtype=np.float64),
        boxes=_as_array([box] * len(frames)),
        coverage=1.0,
        producer="whole-frame 1",
        is_aligned=False,
    )
    return track if landmarker is None else _with_points(track, frames, box, landmarker, align)


def _require_times(num_frames: int, num_times: int) -> None:
    if num_frames != num_times:
        msg = f"found {num_frames} frames and {num_times} times, expected as many; pass both"
        raise ValueError(msg)


def _with_points(
    track: FaceTrack,
    frames: NDArray[np.uint8],
    box: FaceBox,
    landmarker: FaceLandmarker,
    align: bool,
) -> FaceTrack:
    """Add the points of the face that fills each frame."""
    found = [landmarker.find(frame, [region_of_box(box)], passes=2)[0] for frame in frames]
    points = np.stack([face.points for face in found])
    size = track.crops.shape[1]
    are_faces = align and all(face.score >= FACE_IS_SEEN for face in found)
    crops = track.crops
    if are_faces:
        crops = np.stack([align_face(f, p, size) for f, p in zip(frames, points, strict=True)])
    return replace(
        track,
        crops=crops,
        is_aligned=are_faces,
        producer=f"whole-frame 1, {landmarker.name} {landmarker.version}",
        scores=np.array([face.score for face in found], dtype=np.float32),
        points=points,
        pose_deg=head_pose(points).astype(np.float32),
        visible=np.stack([face.visible for face in found]),
        views=np.stack([view_of(as_grey(f), p) for f, p in zip(frames, points, strict=True)]),
    )


def prominence(boxes: Sequence[FaceBox], film_shape: tuple[int, ...]) -> float:
    """Give size x presence x centrality of a person, 0 to 1 or a little above.

    Args:
        boxes: the person's boxes, at least one
        film_shape: number of frames, height and width
    """
    num_frames, height, width = film_shape
    size = np.mean([max(box.width, box.height) for box in boxes]) / min(height, width)
    across = np.mean([(box.left + box.width / 2) / width for box in boxes]) - 0.5
    down = np.mean([(box.top + box.height / 2) / height for box in boxes]) - 0.5
    # the corner of the frame lies sqrt(0.5) from its middle in these units
    centrality = max(MIN_CENTRALITY, 1.0 - float(np.hypot(across, down)) / np.sqrt(0.5))
    return float(size * len(boxes) / num_frames * centrality)


def _is_near(last: FaceBox, now: FaceBox) -> bool:
    """Tell whether a face may have come from one box to the other between two frames."""
    growth = now.width / last.width
    return 1 / MAX_GROWTH <= growth <= MAX_GROWTH and overlap(last, now) > 0


def _likeness(stretch: _Stretch, description: NDArray[np.float32]) -> float:
    """Compare a face with the last one and the mean of a stretch: light may change slowly."""
    assert stretch.described is not None and stretch.last_described is not None
    known = np.stack([unit(stretch.described), stretch.last_described])
    return float((known @ description).max())


def _people(stretches: Sequence[_Stretch]) -> list[_Stretch]:
    """Join the stretches of each person, in the order in which they are first seen."""
    if not stretches:
        return []
    described = np.stack([np.asarray(stretch.described) for stretch in stretches])
    groups = same_people(described, _together(stretches), SAME_PERSON)
    return [_joined([stretches[number] for number in group]) for group in groups]


def _together(stretches: Sequence[_Stretch]) -> NDArray[np.bool_]:
    """Tell which stretches share a frame, [n x n]."""
    seen: dict[int, list[int]] = {}
    for number, stretch in enumerate(stretches):
        for position in stretch.positions:
            seen.setdefault(position, []).append(number)
    together = np.zeros((len(stretches), len(stretches)), dtype=bool)
    for numbers in seen.values():
        together[np.ix_(numbers, numbers)] = True
    return together


def _joined(stretches: Sequence[_Stretch]) -> _Stretch:
    """Put the stretches of one person, none of which share a frame, in order of time."""
    positions = [position for stretch in stretches for position in stretch.positions]
    boxes = [box for stretch in stretches for box in stretch.boxes]
    faces = [face for stretch in stretches for face in stretch.faces]
    crops = [crop for stretch in stretches for crop in stretch.crops]
    views = [view for stretch in stretches for view in stretch.views]
    order = np.argsort(positions)
    return _Stretch(
        stretches[0].shot,
        [positions[row] for row in order],
        [boxes[row] for row in order],
        [faces[row] for row in order],
        [crops[row] for row in order],
        [views[row] for row in order],
    )


def _as_array(boxes: Sequence[FaceBox]) -> NDArray[np.float32]:
    sides = [(box.left, box.top, box.width, box.height) for box in boxes]
    return np.array(sides, dtype=np.float32)
