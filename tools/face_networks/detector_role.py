"""The detector role: faces at any size and place of composed scenes.

Knows: LFW training faces pasted into scenes, targets of the three maps. Does not know: video.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from training_loop import Batch, Schedule

from emotion_llama.face.detector import FaceBox, boxes_of_maps, overlap
from emotion_llama.face.networks import ANCHOR_PX, STRIDES, DetectorNetwork, standardized

from . import material
from .composition import Composition, compose, spoiled

SIZE = (256, 320)
"""Height and width of a training picture."""
SIDES_PX = (15.0, 240.0)
NUM_FACES = (0.15, 0.4, 0.25, 0.2)
"""How often a picture has 0, 1, 2, 3 faces."""
LEVEL_EDGES_PX = (0.0, 45.0, 110.0, float("inf"))
"""Box sides at which the next map becomes responsible (geometric means of the anchors)."""
BLUR_EDGE = 1.25
"""A neighbouring map is left alone about a face up to this factor beyond its edge: either map may
find it."""
DEV_PICTURES = 240


def targets(composition: Composition) -> list[np.ndarray]:
    """Give the target maps of one picture.

    Returns:
        for each of `STRIDES` [12 x h x w]: heat (1 at a face's cell, falling off around it),
        weight of the score, weight of the box, and the 9 box values
    """
    maps = []
    for level, stride in enumerate(STRIDES):
        height, width = SIZE[0] // stride, SIZE[1] // stride
        y, x = np.mgrid[:height, :width].astype(np.float32)
        x, y = (x + 0.5) * stride, (y + 0.5) * stride
        result = np.zeros((12, height, width), np.float32)
        result[1] = 1.0
        for left, top, wide, high in composition.unknown:
            inside = (np.abs(x - left - wide / 2) < 0.7 * wide) & (
                np.abs(y - top - high / 2) < 0.7 * high
            )
            result[1][inside] = 0.0
        low, high_edge = LEVEL_EDGES_PX[level], LEVEL_EDGES_PX[level + 1]
        for face in composition.faces:
            cx, cy, side = face.box
            distance = np.hypot(x - cx, y - cy)
            if not low <= side < high_edge:
                if low / BLUR_EDGE <= side < high_edge * BLUR_EDGE:
                    result[1][distance < 0.4 * side] = 0.0
                continue
            heat = np.exp(-(distance**2) / (2 * (side / 7) ** 2))
            row = int(np.clip(cy // stride, 0, height - 1))
            column = int(np.clip(cx // stride, 0, width - 1))
            heat[row, column] = 1.0
            near = heat > np.maximum(result[0], 0.4)
            result[0] = np.maximum(result[0], heat)
            anchor = ANCHOR_PX[level]
            values = [(cx - x) / anchor, (cy - y) / anchor, np.full_like(x, np.log(side / anchor))]
            for kx, ky in face.keypoints:
                values += [(kx - x) / anchor, (ky - y) / anchor]
            result[2][near] = heat[near]
            result[3:, near] = np.stack(values)[:, near]
            result[1][near] = 1.0
        maps.append(result)
    return maps


class DetectorRole:
    """Composed scenes with LFW training faces."""

    name = "detector"

    def __init__(self, data_dir: Path, labels_dir: Path) -> None:
        self.schedule = Schedule(
            epochs=26,
            steps_per_epoch=250,
            batch_size=16,
            peak_learning_rate=4e-3,
            weight_decay=0.01,
            ema_decay=0.998,
        )
        self.network = nn.ModuleDict({"detector": DetectorNetwork()})
        self._faces = material.lfw(data_dir, "train")
        self._small = material.labelled(data_dir, labels_dir, "ferplus", "train")
        self._scenes = material.scenes(data_dir, "train", labels_dir)
        dev = np.random.default_rng(7)
        faces = material.lfw(data_dir, "dev")
        scenes = [s for s in material.scenes(data_dir, "dev", labels_dir) if not len(s.candidates)]
        self._dev = [self._composed(faces, [], scenes, dev, 20.0) for _ in range(DEV_PICTURES)]

    @staticmethod
    def _composed(
        faces: Sequence[material.Face],
        small: Sequence[material.Face],
        scenes: Sequence[material.Scene],
        random: np.random.Generator,
        smallest_px: float,
    ) -> Composition:
        count = int(random.choice(len(NUM_FACES), p=NUM_FACES))
        tiny = bool(small) and random.random() < 0.15
        pool = small if tiny else faces
        chosen = [pool[int(i)] for i in random.integers(0, len(pool), count)]
        sides = (smallest_px, 60.0 if tiny else SIDES_PX[1])
        made = compose(
            scenes[int(random.integers(0, len(scenes)))],
            chosen,
            SIZE,
            sides,
            random,
            outside=0.15,
            hide=0.2,
        )
        return Composition(spoiled(made.pixels, random, 0.5), made.faces, made.unknown)

    def draw(self, generator: torch.Generator) -> Batch:
        """Give pictures [b x 1 x 256 x 320] and the target maps of the three levels."""
        seed = int(torch.randint(2**31, (1,), generator=generator))
        random = np.random.default_rng(seed)
        made = [
            self._composed(self._faces, self._small, self._scenes, random, SIDES_PX[0])
            for _ in range(self.schedule.batch_size)
        ]
        pictures = torch.from_numpy(np.stack([one.pixels for one in made]))[:, None].float()
        levels = zip(*(targets(one) for one in made), strict=True)
        return (standardized(pictures), *(torch.from_numpy(np.stack(level)) for level in levels))

    def loss(self, network: nn.ModuleDict, batch: Batch) -> Tensor:
        """Give focal loss of the scores plus the distance of boxes and keypoints.

        The focal loss is that of CenterNet (Zhou et al. 2019, equation 1), summed over the maps
        and divided by the number of faces.
        """
        pictures, *levels = batch
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        score_loss, box_loss = torch.zeros(()), torch.zeros(())
        faces, weight = 1.0, 1.0
        for (logits, values), target in zip(network["detector"](pictures), levels, strict=True):
            logits, values = logits.float()[:, 0], values.float()
            heat, seen, near = target[:, 0], target[:, 1], target[:, 2]
            chance = torch.sigmoid(logits)
            is_face = (heat == 1.0).float()
            positive = -functional.logsigmoid(logits) * (1 - chance) ** 2 * is_face
            negative = -functional.logsigmoid(-logits) * chance**2 * (1 - heat) ** 4
            score_loss = score_loss + ((positive + negative * (1 - is_face)) * seen).sum()
            distance = (values - target[:, 3:]).abs()
            spread = distance[:, :3].sum(1) + 0.5 * distance[:, 3:].sum(1)
            box_loss = box_loss + (spread * near).sum()
            faces += float(is_face.sum())
            weight += float(near.sum())
        return score_loss / faces + 2.0 * box_loss / weight

    @torch.no_grad()
    def evaluate(self, network: nn.ModuleDict, num_resamples: int) -> dict[str, Any]:
        """Give recall at IoU 0.5 with 1 false box in 50 development pictures, and mean IoU."""
        del num_resamples  # the held-out figures with intervals come from measure_face.py
        hits: list[tuple[float, float]] = []
        false: list[float] = []
        total = 0
        for one in self._dev:
            pixels = torch.from_numpy(one.pixels)[None, None].float()
            found = boxes_of_maps(network["detector"](standardized(pixels)), lowest_score=0.05)
            truth = [_as_box(*face.box) for face in one.faces]
            total += len(truth)
            for box in found:
                shares = [overlap(box, other) for other in truth]
                best = int(np.argmax(shares)) if shares else -1
                if best >= 0 and shares[best] >= 0.5:
                    hits.append((box.score, shares[best]))
                    truth.pop(best)
                else:
                    false.append(box.score)
        allowed = len(self._dev) // 50
        threshold = max(sorted(false, reverse=True)[allowed : allowed + 1] + [0.05])
        kept = [share for score, share in hits if score > threshold]
        return {
            "recall": round(len(kept) / total, 4),
            "threshold": round(float(threshold), 4),
            "mean_iou": round(float(np.mean(kept)), 4) if kept else 0.0,
            "recall_at_0.05": round(len(hits) / total, 4),
        }

    def save(self, network: nn.ModuleDict, folder: Path) -> None:
        """Write ``detector.safetensors`` in half precision."""
        save_half(network["detector"], folder / "detector.safetensors")


def save_half(network: nn.Module, path: Path) -> None:
    """Write a network's weights as fp16, counters of its normalisation layers left out."""
    state = {
        name: value.half().contiguous()
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }
    save_file(state, path)


def _as_box(x: float, y: float, side: float) -> FaceBox:
    half = float(side) / 2
    return FaceBox(float(x) - half, float(y) - half, 2 * half, 2 * half, score=1.0)
