"""Frames -> the main person's face through time.

Knows: how boxes are linked and which person is the main one. Does not know: how faces are found,
files, models. First version: linked by overlap alone, so a person who leaves and comes back
elsewhere is two people.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.alignment import crop_face
from emotion_llama.face.detector import FaceBox, FaceDetector, overlap
from emotion_llama.records import FaceTrack

MIN_OVERLAP = 0.3
"""Intersection over union from which two boxes are one person: 5 frames a second allow a shift of
about half a face."""

MIN_CENTRALITY = 0.1
"""Weight of a face in a corner of the frame, where it would be 0 and size could not speak."""


@dataclass
class _Person:
    """Boxes linked so far."""

    positions: list[int] = field(default_factory=list)
    boxes: list[FaceBox] = field(default_factory=list)


def track_main_face(
    frames: NDArray[np.uint8], times_s: NDArray[np.float64], detector: FaceDetector, size: int
) -> FaceTrack | None:
    """Follow the main person's face.

    1. Detect in every frame. 2. Link boxes that overlap. 3. Take the person with the largest
    size x presence x centrality. 4. Steady the boxes over three frames. 5. Crop.

    Size is the mean box side over the frame's shorter side, presence the share of frames with the
    person, centrality 1 in the middle of the frame and falling to 0.1 in its corners. Of equals,
    the one seen first is taken. A frame without the person gives no crop.

    Args:
        frames: RGB, in time order, [t x h x w x 3]
        times_s: their presentation times, [t]
        detector: what finds faces
        size: side of the crops in pixels

    Returns:
        the track, or ``None`` when nobody was found

    Raises:
        ValueError: frames and times of different number
    """
    _require_times(frames, times_s)
    people: list[_Person] = []
    for position, frame in enumerate(frames):
        _link(people, position, detector.detect(frame))
    if not people:
        return None
    main = max(people, key=lambda person: prominence(person.boxes, frames.shape[:3]))
    boxes = _steadied(main.boxes)
    return _track(
        frames, times_s, main.positions, boxes, size, f"{detector.name} {detector.version}"
    )


def whole_frame_track(
    frames: NDArray[np.uint8], times_s: NDArray[np.float64], size: int
) -> FaceTrack:
    """Take every frame as a face crop already, on the user's word; nothing is looked for.

    Args:
        frames: RGB, in time order, at least one, [t x h x w x 3]
        times_s: their presentation times, [t]
        size: side of the crops in pixels

    Raises:
        ValueError: no frames, or frames and times of different number
    """
    _require_times(frames, times_s)
    if len(frames) == 0:
        msg = "found no frames, expected at least one; check the clip first"
        raise ValueError(msg)
    height, width = frames.shape[1:3]
    boxes = [FaceBox(0.0, 0.0, float(width), float(height), score=1.0)] * len(frames)
    return _track(frames, times_s, list(range(len(frames))), boxes, size, "whole-frame 1")


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


def _require_times(frames: NDArray[np.uint8], times_s: NDArray[np.float64]) -> None:
    if len(frames) != len(times_s):
        msg = f"found {len(frames)} frames and {len(times_s)} times, expected as many; pass both"
        raise ValueError(msg)


def _link(people: list[_Person], position: int, boxes: Sequence[FaceBox]) -> None:
    """Give each box to the person whose last box it overlaps most, or to a new person."""
    pairs = sorted(
        (
            (overlap(person.boxes[-1], box), i, j)
            for i, person in enumerate(people)
            for j, box in enumerate(boxes)
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    used_people: set[int] = set()
    used_boxes: set[int] = set()
    for shared, i, j in pairs:
        if shared < MIN_OVERLAP or i in used_people or j in used_boxes:
            continue
        used_people.add(i)
        used_boxes.add(j)
        people[i].positions.append(position)
        people[i].boxes.append(boxes[j])
    people += [_Person([position], [box]) for j, box in enumerate(boxes) if j not in used_boxes]


def _steadied(boxes: Sequence[FaceBox]) -> list[FaceBox]:
    """Take the median of three neighbours in time: a detector's jitter would look like motion."""
    if len(boxes) < 3:
        return list(boxes)
    sides = np.array([(box.left, box.top, box.width, box.height) for box in boxes])  # [t x 4]
    padded = np.concatenate([sides[:1], sides, sides[-1:]])
    medians = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)  # [t x 4]
    return [
        FaceBox(left, top, width, height, box.score)
        for (left, top, width, height), box in zip(medians.tolist(), boxes, strict=True)
    ]


def _track(
    frames: NDArray[np.uint8],
    times_s: NDArray[np.float64],
    positions: Sequence[int],
    boxes: Sequence[FaceBox],
    size: int,
    producer: str,
) -> FaceTrack:
    return FaceTrack(
        crops=np.stack(
            [crop_face(frames[i], box, size) for i, box in zip(positions, boxes, strict=True)]
        ),
        times_s=np.asarray(times_s, dtype=np.float64)[list(positions)],
        boxes=np.array(
            [(box.left, box.top, box.width, box.height) for box in boxes], dtype=np.float32
        ),
        coverage=len(positions) / len(frames),
        producer=producer,
    )
