"""Time of finding and following faces at 640 x 480 on two threads, beside OpenCV's cascade.

    python benchmarks/face.py

Frames are made from the portraits of the tests on a noisy background; no data is needed. The rows
take turns, so that what else the machine does weighs on all of them alike.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from emotion_llama.config import MediaConfig
from emotion_llama.face import (
    CascadeDetector,
    FaceLandmarker,
    FaceTracker,
    NetworkDetector,
    measure_action_units,
    track_faces,
)
from emotion_llama.face.alignment import region_of_box
from emotion_llama.face.shape import PACKAGED_DIR
from emotion_llama.records import FaceTrack

Pixels = NDArray[np.uint8]

PORTRAITS = Path(__file__).resolve().parents[1] / "tests" / "face" / "portraits"
HEIGHT, WIDTH = 480, 640
THREADS = 2
RUNS, WARM_UP = 50, 10
SIDE_PX = {1: 400, 3: 210}
"""Number of people -> side of each pasted portrait."""
CLIP_FRAMES = 50
REFERENCE = "CascadeDetector.detect"
FRAME_S = 0.001
"""Between two timed frames: all of them fall between two searches of the whole frame."""


def portrait(number: int, side: int) -> Pixels:
    """Read a portrait, scaled; beyond the last one they come again, mirrored, [s x s x 3]."""
    paths = sorted(PORTRAITS.glob("*.jpg"))
    stored = cv2.imread(str(paths[number % len(paths)]), cv2.IMREAD_COLOR)
    assert stored is not None
    scaled = cv2.resize(stored[..., ::-1], (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled if number < len(paths) else scaled[:, ::-1], dtype=np.uint8)


def frame_with(num_people: int, shift_px: int = 0) -> Pixels:
    """Paste portraits side by side on noise.

    Args:
        num_people: a key of `SIDE_PX`
        shift_px: how far all of them stand to the right

    Returns:
        RGB, [480 x 640 x 3]
    """
    noise = np.random.default_rng(0).normal(110, 12, (HEIGHT, WIDTH, 3))
    frame = np.clip(noise, 0, 255).astype(np.uint8)
    side = SIDE_PX[num_people]
    top = (HEIGHT - side) // 2
    for number in range(num_people):
        left = (2 * number + 1) * WIDTH // (2 * num_people) - side // 2 + shift_px
        first, last = max(0, left), min(WIDTH, left + side)
        pasted = portrait(number, side)[:, first - left : last - left]
        frame[top : top + side, first:last] = pasted
    return frame


class Follower:
    """A tracker that has found everybody and is given one more frame at every call."""

    def __init__(self, num_people: int) -> None:
        self._tracker = FaceTracker(
            NetworkDetector(), FaceLandmarker(), MediaConfig().face_crop_size
        )
        self._frames = [frame_with(num_people, shift) for shift in (0, 1, 2, 1)]
        self._num_people = num_people
        self._calls = 0

    def __call__(self) -> None:
        """Take the next frame."""
        self._tracker.update(self._frames[self._calls % len(self._frames)], self._calls * FRAME_S)
        self._calls += 1

    def check(self) -> None:
        """Make sure that what was timed is what the table says.

        Raises:
            ValueError: not everybody was followed in every frame, or the time for a search came
        """
        tracks = self._tracker.finish()
        coverages = [track.coverage for track in tracks]
        if coverages != [1.0] * self._num_people or self._calls * FRAME_S >= 1.0:
            msg = (
                f"found {len(tracks)} people with coverage {coverages} in {self._calls} frames, "
                f"expected {self._num_people} in every frame; the times hold for something else"
            )
            raise ValueError(msg)


def moving_track() -> FaceTrack:
    """Follow one person through `CLIP_FRAMES` frames."""
    frames = [frame_with(1, shift) for shift in range(CLIP_FRAMES)]
    times_s = [number / 25 for number in range(CLIP_FRAMES)]
    size = MediaConfig().face_crop_size
    tracks = track_faces(frames, times_s, NetworkDetector(), FaceLandmarker(), size)
    _require(len(tracks[0].times_s), CLIP_FRAMES)
    return tracks[0]


def fresh_faces(frame: Pixels, detector: NetworkDetector, landmarker: FaceLandmarker) -> int:
    """Find all faces of a frame and their points, as the tracker does with new ones; count them."""
    regions = [region_of_box(box) for box in detector.detect(frame)]
    return len(landmarker.find(frame, regions, passes=2))


def _require(found: int, expected: int) -> None:
    if found != expected:
        msg = f"found {found} faces in a frame with {expected}; the times hold for something else"
        raise ValueError(msg)


def milliseconds(tasks: Sequence[Callable[[], object]]) -> NDArray[np.float64]:
    """Run tasks in turn, give the time of each in milliseconds, [runs x tasks]."""
    for _ in range(WARM_UP):
        for task in tasks:
            task()
    times = np.empty((RUNS, len(tasks)))
    for run in range(RUNS):
        for number, task in enumerate(tasks):
            start = time.perf_counter()
            task()
            times[run, number] = 1000 * (time.perf_counter() - start)
    return times


def time_table(names: Sequence[str], times: NDArray[np.float64]) -> str:
    """Render median, 95 % range and ratio to the cascade of times [runs x rows] in Markdown."""
    medians = np.median(times, axis=0)
    low, high = np.percentile(times, [2.5, 97.5], axis=0)
    reference = medians[list(names).index(REFERENCE)]
    lines = [
        f"| {WIDTH} x {HEIGHT}, {THREADS} threads, {len(times)} runs | ms a picture "
        "| 95 % of runs | of the cascade |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {medians[k]:.1f} | {low[k]:.1f} to {high[k]:.1f} "
        f"| {medians[k] / reference:.2f} |"
        for k, name in enumerate(names)
    ]
    return "\n".join(lines)


def size_table() -> str:
    """Render the sizes of the packaged files in Markdown."""
    files = sorted(PACKAGED_DIR.glob("*.safetensors"))
    lines = ["| file | kB |", "| --- | --- |"]
    lines += [f"| {path.name} | {path.stat().st_size / 1000:.0f} |" for path in files]
    total = sum(path.stat().st_size for path in files) / 1000
    return "\n".join([*lines, f"| together | {total:.0f} |"])


def main() -> None:
    """Time everything and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, help="file for the times in milliseconds (JSON)")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    one, three = (frame_with(count) for count in SIDE_PX)
    detector, landmarker = NetworkDetector(), FaceLandmarker()
    usual, large = CascadeDetector(), CascadeDetector(max_side_px=WIDTH)
    for count, frame in ((1, one), (3, three)):
        _require(fresh_faces(frame, detector, landmarker), count)
    track = moving_track()
    followers = {count: Follower(count) for count in SIDE_PX}
    tasks: dict[str, Callable[[], object]] = {
        "NetworkDetector.detect": lambda: detector.detect(one),
        "detector + points, 1 new face": lambda: fresh_faces(one, detector, landmarker),
        "detector + points, 3 new faces": lambda: fresh_faces(three, detector, landmarker),
        "FaceTracker.update, 1 person followed": followers[1],
        "FaceTracker.update, 3 people followed": followers[3],
        REFERENCE: lambda: usual.detect(one),
        f"CascadeDetector({WIDTH} px).detect": lambda: large.detect(one),
        f"measure_action_units, {CLIP_FRAMES} frames": lambda: measure_action_units(track),
    }
    times = milliseconds(list(tasks.values()))
    for follower in followers.values():
        follower.check()
    print(time_table(list(tasks), times) + "\n\n" + size_table())
    if arguments.output is not None:
        rows = dict(zip(tasks, times.T.round(3).tolist(), strict=True))
        arguments.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
