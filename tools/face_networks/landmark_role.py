"""The landmark role: points of one face in an upright crop.

Knows: LFW and FER+ training faces with mesh labels, crops as the tracker cuts them, covers, spoiled
pixels, crops without a face. Does not know: video.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from training_loop import Batch, Schedule

from emotion_llama.face.alignment import region_of_points
from emotion_llama.face.networks import CROP_PX, NUM_POINTS, REGIONS, LandmarkNetwork, standardized
from emotion_llama.face.points import MIRRORED

from . import material
from .composition import Grey, Random, hidden, moved, relit, shuffled, similarity, spoiled, texture
from .detector_role import save_half
from .local_motion import drawn_strengths, with_motion

SHARES = {"lfw": 0.45, "ferplus": 0.4, "lfw_emotion": 0.15}
"""How often a face comes from each set."""
NO_FACE = 0.15
"""Share of crops that show no face."""
HIDDEN = 0.25
"""Share of faces of which a part is covered."""
MOVED = 0.5
"""Share of faces of which parts are moved by a known distance."""
DEPTH_WEIGHT = 0.3
"""Depth is a guess of the teacher too."""

_LID_PAIRS = ((37, 41), (38, 40), (43, 47), (44, 46))
_LIP_PAIRS = ((61, 67), (62, 66), (63, 65), (51, 62), (66, 57), (48, 62), (54, 62), (48, 54))
_BROW_PAIRS = tuple((brow, eye) for brow in range(17, 22) for eye in (36, 39)) + tuple(
    (brow, eye) for brow in range(22, 27) for eye in (42, 45)
)
DISTANCES = (*_LID_PAIRS, *_LIP_PAIRS, *_BROW_PAIRS, (33, 51), (57, 8), (21, 22))
"""Pairs of points whose offset carries an action unit: it counts beside the points themselves."""


def crop_of(
    face: material.Face, filling: Grey, random: Random | None
) -> tuple[Grey, NDArray[np.float32]]:
    """Cut a face as the tracker does, off by a random error if ``random`` is given.

    Returns:
        grey crop [96 x 96]; points in crop sides from its centre [70 x 3]
    """
    region = region_of_points(face.points)
    centre, side, roll = region.centre, region.side, region.roll_deg
    if random is not None:
        error = 2.0 if random.random() < 0.2 else 1.0
        centre = centre + random.normal(0, 0.05 * error, 2) * side
        side = side * float(np.exp(random.normal(0, 0.09 * error)))
        roll = roll + random.normal(0, 7.0 * error)
    matrix = similarity(np.array(centre), CROP_PX / side, roll, (CROP_PX / 2, CROP_PX / 2))
    pixels, cover = face.pixels, np.full(face.pixels.shape, 255, np.uint8)
    shrink = CROP_PX / side
    if shrink < 0.6:
        pixels = np.asarray(cv2.blur(pixels, (2, 2)))
    size = (CROP_PX, CROP_PX)
    crop = cv2.warpAffine(pixels, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    if random is not None and random.random() < 0.6:  # what the archive's crop cuts off
        inside = cv2.warpAffine(cover, matrix, size) > 127
        crop = np.where(inside, crop, filling)
    points = np.empty((NUM_POINTS, 3), np.float32)
    points[:, :2] = moved(matrix, face.points[:, :2]) / CROP_PX - 0.5
    points[:, 2] = face.points[:, 2] * shrink / CROP_PX
    return np.asarray(crop), points


class LandmarkRole:
    """Crops of LFW and FER+ training faces."""

    name = "landmarks"

    def __init__(self, data_dir: Path, labels_dir: Path) -> None:
        self.schedule = Schedule(
            epochs=24,
            steps_per_epoch=400,
            batch_size=64,
            peak_learning_rate=3e-3,
            weight_decay=0.01,
            ema_decay=0.998,
        )
        network = LandmarkNetwork()
        self._sets = {
            "lfw": material.lfw(data_dir, "train"),
            "ferplus": material.labelled(data_dir, labels_dir, "ferplus", "train"),
            "lfw_emotion": material.labelled(data_dir, labels_dir, "lfw_emotion", "train"),
        }
        self._scenes = material.scenes(data_dir, "train")
        self._dev = {
            "lfw": material.lfw(data_dir, "dev"),
            "ferplus": material.labelled(data_dir, labels_dir, "ferplus", "valid")[:800],
        }
        with torch.no_grad():  # start from the mean face
            filling = np.zeros((CROP_PX, CROP_PX), np.uint8)
            some = [crop_of(face, filling, None)[1] for face in self._sets["lfw"][:500]]
            network.points.bias.copy_(torch.from_numpy(np.mean(some, axis=0)).flatten())
            network.points.weight.mul_(0.1)
        self.network = nn.ModuleDict({"landmarks": network})

    def _no_face(self, random: Random) -> Grey:
        """Give a crop without a face: scenery, a shuffled face, or a face mostly outside."""
        size = (CROP_PX, CROP_PX)
        scene = self._scenes[int(random.integers(0, len(self._scenes)))]
        kind = random.random()
        face = self._sets["lfw"][int(random.integers(0, len(self._sets["lfw"])))]
        if kind < 0.6:
            height, width = scene.pixels.shape
            side = int(random.uniform(0.15, 0.9) * min(height, width))
            top, left = random.integers(0, height - side), random.integers(0, width - side)
            piece = scene.pixels[top : top + side, left : left + side]
            return np.asarray(cv2.resize(piece, size, interpolation=cv2.INTER_AREA))
        if kind < 0.75:
            return np.asarray(cv2.resize(shuffled(face.pixels, random), size))
        filling = texture(scene, size, random)
        crop, _ = crop_of(face, filling, None)
        turn = random.uniform(0, 2 * np.pi)
        shift = random.uniform(0.65, 0.95) * CROP_PX * np.array([np.cos(turn), np.sin(turn)])
        matrix = np.array([[1.0, 0, shift[0]], [0, 1.0, shift[1]]])
        moved_crop = cv2.warpAffine(crop, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        cover = cv2.warpAffine(np.full(size, 255, np.uint8), matrix, size)
        return np.where(cover > 0, moved_crop, filling)

    def _face(self, random: Random) -> tuple[Grey, NDArray[np.float32], dict[str, bool]]:
        names = list(SHARES)
        pool = self._sets[names[int(random.choice(len(names), p=list(SHARES.values())))]]
        face = pool[int(random.integers(0, len(pool)))]
        scene = self._scenes[int(random.integers(0, len(self._scenes)))]
        if random.random() < MOVED:
            face = with_motion(face, drawn_strengths(random))
        crop, points = crop_of(face, texture(scene, (CROP_PX, CROP_PX), random), random)
        crop = relit(crop, random)
        seen = dict.fromkeys(REGIONS, True)
        if random.random() < HIDDEN:
            crop, seen = hidden(crop, (points + 0.5) * CROP_PX, scene, random)
        if random.random() < 0.5:
            crop = np.ascontiguousarray(crop[:, ::-1])
            points = points[MIRRORED] * np.array([-1, 1, 1], np.float32)
        return crop, points, seen

    def draw(self, generator: torch.Generator) -> Batch:
        """Give crops [b x 1 x 96 x 96], points [b x 70 x 3], states [b x 4], is a face [b]."""
        random = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        crops, points, states = [], [], []
        for _ in range(self.schedule.batch_size):
            if random.random() < NO_FACE:
                crop = relit(self._no_face(random), random)
                points.append(np.zeros((NUM_POINTS, 3), np.float32))
                states.append([0.0, 0.0, 0.0, 0.0])
            else:
                crop, where, seen = self._face(random)
                points.append(where)
                states.append([1.0, *(float(seen[name]) for name in REGIONS)])
            crops.append(spoiled(crop, random, 0.25))
        pixels = torch.from_numpy(np.stack(crops))[:, None].float()
        state = torch.tensor(states)
        return standardized(pixels), torch.from_numpy(np.stack(points)), state

    def loss(self, network: nn.ModuleDict, batch: Batch) -> Tensor:
        """Give the distance of points and of telling offsets, plus cross-entropy of the states."""
        crops, points, states = batch
        crops = crops.contiguous(memory_format=torch.channels_last)
        guess, logits = network["landmarks"](crops)
        guess, logits, is_face = guess.float(), logits.float(), states[:, 0]
        error = (guess - points) * torch.tensor([1.0, 1.0, DEPTH_WEIGHT])
        one, other = (list(side) for side in zip(*DISTANCES, strict=True))
        offset = (error[:, one] - error[:, other])[..., :2]
        per_face = _wing(error).mean(dim=(1, 2)) + _wing(offset).mean(dim=(1, 2))
        point_loss = (per_face * is_face).sum() / is_face.sum().clamp(min=1.0)
        state_loss = functional.binary_cross_entropy_with_logits(logits, states, reduction="none")
        # which part of no face is hidden has no answer
        counted = torch.cat([torch.ones_like(states[:, :1]), is_face[:, None].expand(-1, 3)], dim=1)
        return point_loss + 0.5 * (state_loss * counted).sum() / counted.sum()

    @torch.no_grad()
    def evaluate(self, network: nn.ModuleDict, num_resamples: int) -> dict[str, Any]:
        """Give the mean point error over the outer eye corners' distance, and state errors."""
        del num_resamples  # the held-out figures with intervals come from measure_face.py
        result: dict[str, Any] = {}
        random = np.random.default_rng(11)
        filling = np.full((CROP_PX, CROP_PX), 110, np.uint8)
        moved = [with_motion(face, drawn_strengths(random)) for face in self._dev["lfw"]]
        for name, faces in {**self._dev, "moved_lfw": moved}.items():
            cut = [crop_of(face, filling, random) for face in faces]
            guess, logits = _run(network["landmarks"], [crop for crop, _ in cut])
            truth = torch.from_numpy(np.stack([points for _, points in cut]))
            span = (truth[:, 36] - truth[:, 45])[:, :2].norm(dim=1)
            error = (guess - truth)[..., :2].norm(dim=2).mean(dim=1) / span
            result[f"{name}_error"] = round(float(error.mean()), 4)
            result[f"{name}_missed"] = round(float((logits[:, 0] < 0).float().mean()), 4)
        _, logits = _run(network["landmarks"], [self._no_face(random) for _ in range(600)])
        result["false_face"] = round(float((logits[:, 0] > 0).float().mean()), 4)
        return result

    def save(self, network: nn.ModuleDict, folder: Path) -> None:
        """Write ``landmarks.safetensors`` in half precision."""
        save_half(network["landmarks"], folder / "landmarks.safetensors")


def _wing(error: Tensor) -> Tensor:
    """Weigh small errors more than squares do (Feng et al. 2018, equation 5; w = 0.1, e = 0.01)."""
    size = error.abs()
    width, curvature = 0.1, 0.01
    constant = width - width * float(np.log(1 + width / curvature))
    inner = width * torch.log1p(size / curvature)
    return 10.0 * torch.where(size < width, inner, size - constant)


def _run(network: nn.Module, crops: Sequence[Grey]) -> tuple[Tensor, Tensor]:
    pixels = torch.from_numpy(np.stack(crops))[:, None].float()
    parts = [network(standardized(part)) for part in pixels.split(200)]
    return torch.cat([points for points, _ in parts]), torch.cat([states for _, states in parts])
