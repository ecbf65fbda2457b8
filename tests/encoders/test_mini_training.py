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

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import training_loop
from mini_encoders import face_data, global_role, local_role, temporal_role


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


def test_invented_motion_has_sixteen_changing_crops() -> None:
    generator = torch.Generator().manual_seed(0)
    stills = torch.randint(0, 256, (3, 48, 48), generator=generator).to(torch.uint8)
    moving = temporal_role.animate(stills, stills.flip(0), generator)
    assert moving.shape == (3, 16, 32, 32) and torch.isfinite(moving).all()
    assert ((moving[:, 1:] - moving[:, :-1]).abs().mean(dim=(2, 3)) > 0.1).all()


def test_pictures_without_a_face_show_only_the_scene() -> None:
    generator = torch.Generator().manual_seed(0)
    faces = torch.full((40, 64, 64), 255, dtype=torch.uint8)
    scenes = torch.zeros(2, 3, 160, 240, dtype=torch.uint8)
    pictures, present, bare = global_role.compose(faces, scenes, generator)
    brightest = pictures.amax(dim=(1, 2, 3))
    assert 0 < int(present.sum()) < 40 and int(bare.sum()) > 0
    assert (brightest[~present] == 0).all() and (brightest[present] > 150).all()
    assert (pictures[bare].amin(dim=(1, 2, 3)) > 100).all()
