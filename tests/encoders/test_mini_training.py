"""The training script's parts: resuming, split discipline, invented motion and pictures."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from emotion_llama.encoders import FaceLocalEncoder
from emotion_llama.face.alignment import EYE_HEIGHT
from emotion_llama.face.points import INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import training_loop
from mini_encoders import aligned_faces, face_data, global_role, local_role, temporal_role

PORTRAITS = Path(__file__).parents[1] / "face" / "portraits"


class FakeRole:
    """Learns noise; evaluation interrupts the run when told to."""

    name = "local"

    def __init__(self, stop_after: int | None = None) -> None:
        self.schedule = training_loop.Schedule(3, 2, 4, 1e-2, 0.01, 0.5)
        torch.manual_seed(5)
        head = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 8))
        encoder = FaceLocalEncoder(widths=(2, 3, 4))
        self.network = nn.ModuleDict({"encoder": encoder, "head": head})
        self._stop_after, self._evaluations = stop_after, 0

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        faces = torch.rand(4, 1, 48, 48, generator=generator) * 255.0
        return faces, torch.full((4, 8), 0.125)

    logits = local_role.LocalRole.logits
    loss = local_role.LocalRole.loss
    save = local_role.LocalRole.save

    def evaluate(self, network: nn.ModuleDict, num_resamples: int) -> dict[str, Any]:
        if self._evaluations == self._stop_after:
            raise KeyboardInterrupt
        self._evaluations += 1
        return {}


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    training_loop.train(FakeRole(), tmp_path / "whole", resume=False)
    with pytest.raises(KeyboardInterrupt):
        training_loop.train(FakeRole(stop_after=1), tmp_path / "parts", resume=False)
    training_loop.train(FakeRole(), tmp_path / "parts", resume=True)
    states = [
        torch.load(tmp_path / run / "checkpoints" / "local.pt", weights_only=True)
        for run in ("whole", "parts")
    ]
    assert len(json.loads(states[1]["history"])) == 3
    for key, value in states[0]["average"].items():
        assert torch.equal(value, states[1]["average"][key]), key
    assert (tmp_path / "parts" / "encoders" / "local" / "config.json").exists()


def write_faces(folder: Path) -> None:
    """Write six tiny FER+ faces; the grey level of each is ten times its row."""
    order = [
        "neutral",
        "happy",
        "surprise",
        "sad",
        "angry",
        "disgust",
        "fear",
        "contempt",
        "unknown",
        "NF",
    ]
    votes = np.zeros((6, 10), np.uint8)
    votes[:, 1] = 6
    votes[:, 0] = 3
    votes[0, 4] = 1
    votes[5, 8] = 10
    pictures = []
    for row in range(6):
        file = io.BytesIO()
        Image.fromarray(np.full((48, 48), 10 * row, np.uint8)).save(file, "WEBP", lossless=True)
        pictures.append(np.frombuffer(file.getvalue(), np.uint8))
    folder.mkdir()
    np.savez(
        folder / "ferplus.npz",
        webp=np.concatenate(pictures),
        offset=np.cumsum([0, *map(len, pictures)]),
        votes=votes,
        split=np.array(["train", "valid", "test", "train", "test", "train"]),
        vote_order=np.array(order),
    )


def test_faces_come_from_the_asked_split_with_lone_and_unknown_votes_dropped(
    tmp_path: Path,
) -> None:
    write_faces(tmp_path / "faces")
    train, dev = face_data.ferplus(tmp_path, "train"), face_data.ferplus(tmp_path, "dev")
    assert train.pixels[:, 0, 0].tolist() == [0, 30]
    assert dev.pixels[:, 0, 0].tolist() == [10]
    expected = torch.tensor([3 / 9, 6 / 9, 0, 0, 0, 0, 0, 0])
    torch.testing.assert_close(train.targets[0], expected)
    with pytest.raises(KeyError):
        face_data.ferplus(tmp_path, "test")


def aligned(count: int, mouth: float = 0.75) -> aligned_faces.AlignedFaces:
    """Bright faces with a dark lower edge, whose points are a mouth that is closed."""
    pixels = torch.full((count, 48, 48), 200, dtype=torch.uint8)
    pixels[:, 44:] = 50
    points = torch.full((count, 70, 2), 0.5)
    points[:, list(INNER_LIPS)] = torch.tensor([0.5, mouth])
    points[:, list(OUTER_LIPS)] = torch.tensor([0.5, mouth])
    points[:, OUTER_LIPS[0], 0], points[:, OUTER_LIPS[6], 0] = 0.35, 0.65
    return aligned_faces.AlignedFaces(pixels, torch.full((count, 8), 0.125), points)


def test_invented_motion_has_sixteen_changing_crops() -> None:
    generator = torch.Generator().manual_seed(0)
    faces = aligned(6)
    faces.pixels.copy_(torch.randint(0, 256, (6, 48, 48), generator=generator))
    neutral = torch.full((6, 48, 48), 128, dtype=torch.uint8)
    crops = temporal_role.animate(faces, neutral, generator)
    assert crops.shape == (6, 16, 32, 32)
    assert (crops.std(dim=1).mean(dim=(1, 2)) > 0.5).all()
    assert temporal_role.animate(faces, neutral, generator, 48).shape == (6, 16, 48, 48)


def test_an_opened_mouth_is_dark_inside_and_nothing_above_it_moves() -> None:
    faces = aligned(2)
    gap = torch.tensor([0.0, 0.1])
    opened = aligned_faces.open_mouths(faces.pixels, faces.points, gap, torch.full((2,), 0.2))
    torch.testing.assert_close(opened[0], faces.pixels[0].float())
    assert opened[1, 38, 24] < 60 < opened[0, 38, 24]
    torch.testing.assert_close(opened[1, :35], faces.pixels[1, :35].float())


def test_only_closed_mouths_with_points_are_opened() -> None:
    faces = aligned(3)
    faces.points[1] = aligned_faces.UNKNOWN
    faces.points[2, INNER_LIPS[6], 1] = 0.9  # open already
    generator = torch.Generator().manual_seed(0)
    opening, _, talks = aligned_faces.talking(faces, torch.ones(3), 0.1, generator)
    assert talks.tolist() == [True, False, False]
    assert opening[0] > 0 and opening[1:].tolist() == [0.0, 0.0]


def test_aligned_faces_are_found_once(tmp_path: Path) -> None:
    portrait = Image.open(PORTRAITS / "collins.jpg").convert("L").resize((48, 48))
    pixels = torch.from_numpy(np.array(portrait))[None]
    faces = face_data.Faces(pixels, torch.full((1, 8), 0.125))
    first = aligned_faces.align(faces, 48, tmp_path / "one.pt")
    again = aligned_faces.align(faces, 48, tmp_path / "one.pt")
    assert bool(first.has_points.all())
    assert torch.equal(first.pixels, again.pixels)
    eyes = first.points[0, list((*RIGHT_EYE, *LEFT_EYE))].mean(dim=0)
    torch.testing.assert_close(eyes, torch.tensor([0.5, EYE_HEIGHT]), atol=0.02, rtol=0)


def test_pictures_without_a_face_show_only_the_scene() -> None:
    generator = torch.Generator().manual_seed(0)
    faces = torch.full((40, 64, 64), 255, dtype=torch.uint8)
    scenes = torch.zeros(2, 3, 160, 240, dtype=torch.uint8)
    pictures, present, bare = global_role.compose(faces, scenes, generator)
    brightest = pictures.amax(dim=(1, 2, 3))
    assert 0 < int(present.sum()) < 40 and int(bare.sum()) > 0
    assert (brightest[~present] == 0).all() and (brightest[present] > 150).all()
    assert (pictures[bare].amin(dim=(1, 2, 3)) > 100).all()
