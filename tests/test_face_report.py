"""Reports on faces that cannot be measured, made without a clip."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from emotion_llama.clip_faces import ClipFaces, FaceReport, report_on
from emotion_llama.face import head_pose
from emotion_llama.face.drawing import rotation_of
from emotion_llama.face.shape import population
from emotion_llama.face_report import summary, write_plot
from emotion_llama.records import FaceTrack


def report(yaw: float, mouth: float = 0.9, frames: tuple[int, ...] = (0, 1, 2, 5)) -> FaceReport:
    """Six frames, a face in some of them."""
    turned = population()["mean"] @ rotation_of(np.array([yaw, 0.0, 0.0])).T
    points = np.repeat((60 * turned + [90, 90, 0])[None], len(frames), axis=0).astype(np.float32)
    times_s = np.arange(6) / 25
    num = len(frames)
    track = FaceTrack(
        crops=np.full((num, 112, 112, 3), 90, np.uint8),
        times_s=times_s[list(frames)],
        boxes=np.tile(np.float32([40, 40, 100, 100]), (num, 1)),
        coverage=num / 6,
        producer="test 1",
        scores=np.full(num, 0.9, np.float32),
        points=points,
        pose_deg=head_pose(points).astype(np.float32),
        visible=np.tile(np.float32([0.9, 0.9, mouth]), (num, 1)),
    )
    clip = ClipFaces(Path("a$b$.mp4"), times_s, 180, 180, (track,), 30.0, False, None, ("a note",))
    return report_on(clip)


def shown(words: FaceReport) -> str:
    console = Console(width=100, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(summary(words))
    return " ".join(capture.get().split())


def test_what_was_never_measured_is_listed_with_the_reason() -> None:
    turned = shown(report(60.0))
    assert "none: no unit could be measured in any frame" in turned
    assert "not measured all 19 units: the head is turned away (45 degrees or more)" in turned
    covered = shown(report(0.0, mouth=0.1))
    assert "AU12 lip corner puller" in covered
    assert "the mouth is covered" in covered
    assert "AU04 brow lowerer" not in covered.split("not measured")[1]


def test_gaps_and_notes_are_named() -> None:
    words = shown(report(0.0))
    assert "nobody 0.12 to 0.20 s (2 frames)" in words
    assert "note a note" in words


@pytest.mark.parametrize(("yaw", "mouth"), [(60.0, 0.9), (0.0, 0.1)])
def test_plots_of_what_was_not_measured(tmp_path: Path, yaw: float, mouth: float) -> None:
    path = tmp_path / "a.svg"
    write_plot(report(yaw, mouth), path)
    assert "not measured: the" in path.read_text("utf-8")


def test_many_gaps_are_counted() -> None:
    one = report(0.0, frames=(0, 2, 4))
    assert [num for *_, num in one.clip.spans_of(one.missing)] == [1, 1, 1]
    assert one.clip.spans_of(one.missing)[-1][1] == pytest.approx(0.24)


def test_a_person_who_is_not_there() -> None:
    with pytest.raises(ValueError, match="found 1 person, and person 2 was asked for"):
        report_on(report(0.0).clip, 2)
