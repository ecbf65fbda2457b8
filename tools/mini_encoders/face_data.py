"""Training and development faces of FER+ and LFW with soft labels, and picture augmentation.

Knows: the two npz files. Rows of the test split are never decoded.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from face_networks.material import names_person
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from emotion_llama.labels import MINI

FERPLUS_SIZE, LFW_SIZE = 48, 96
LFW_LABEL_SHARE = 0.9
"""The rest of the probability goes to the other labels: LFW's were given by few people."""
BALANCE = 0.35
"""Faces are drawn in proportion to (count of their label) ** -BALANCE: rare ones more often."""


@dataclass(frozen=True)
class Faces:
    """Grey faces of one split and one data set."""

    pixels: Tensor
    """uint8, [n x size x size]"""
    targets: Tensor
    """label probabilities in the order of `MINI`, [n x 8]"""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Most probable label of each face, [n]."""
        return self.targets.argmax(dim=1).numpy()


def _decode(data: NDArray[np.uint8], offsets: NDArray[np.int64], rows: NDArray[Any]) -> Tensor:
    pictures = []
    for row in rows:
        picture = Image.open(io.BytesIO(data[offsets[row] : offsets[row + 1]].tobytes()))
        pictures.append(np.asarray(picture.convert("L")))
    return torch.from_numpy(np.stack(pictures))


def ferplus(data_dir: Path, split: str) -> Faces:
    """Read FER+ faces; votes become probabilities.

    A lone vote among ten counts as a slip and is dropped, as the data set's authors do; faces that
    most voters called unknown or no face are left out.
    """
    with np.load(data_dir / "faces" / "ferplus.npz", allow_pickle=False) as file:
        data, offsets, votes = file["webp"], file["offset"], file["votes"].astype(np.float32)
        order, splits = list(file["vote_order"]), file["split"]
    votes[votes == 1] = 0.0
    columns = [order.index(label) for label in MINI.labels]
    known = votes[:, columns]
    rest = np.delete(votes, columns, axis=1).max(axis=1)
    named = {"train": "train", "dev": "valid"}[split]
    rows = np.flatnonzero((splits == named) & (known.max(axis=1) > rest))
    targets = torch.from_numpy(known[rows])
    return Faces(_decode(data, offsets, rows), targets / targets.sum(dim=1, keepdim=True))


def lfw(data_dir: Path, split: str) -> Faces:
    """Read LFW faces, 96 x 96, with one label each."""
    with np.load(data_dir / "faces" / "lfw_emotion.npz", allow_pickle=False) as file:
        data, offsets, labels, splits = (file[key] for key in ("jpg", "offset", "label", "split"))
        has_person = names_person(file["identity"])
    rows = np.flatnonzero(has_person & (splits == split) & np.isin(labels, MINI.labels))
    index = torch.tensor([MINI.labels.index(label) for label in labels[rows]])
    hard = functional.one_hot(index, len(MINI)).float()
    other = (1.0 - LFW_LABEL_SHARE) / (len(MINI) - 1)
    return Faces(_decode(data, offsets, rows), hard * (LFW_LABEL_SHARE - other) + other)


def resize(faces: Faces, size: int) -> Faces:
    """Bring faces to a side of ``size`` pixels."""
    if faces.pixels.shape[1] == size:
        return faces
    parts = [
        functional.interpolate(part[:, None].float(), (size, size), mode="bilinear", antialias=True)
        for part in faces.pixels.split(1000)
    ]
    pixels = torch.cat(parts)[:, 0].round().clamp(0, 255).to(torch.uint8)
    return Faces(pixels, faces.targets)


def both(data_dir: Path, split: str, size: int) -> Faces:
    """Read FER+ and LFW faces of a split at one size."""
    parts = [resize(ferplus(data_dir, split), size), resize(lfw(data_dir, split), size)]
    return Faces(
        torch.cat([part.pixels for part in parts]), torch.cat([part.targets for part in parts])
    )


def draw_weights(faces: Faces) -> Tensor:
    """Give how often each face is drawn, [n]."""
    counts = np.bincount(faces.labels, minlength=len(MINI)).astype(np.float64)
    return torch.from_numpy(np.maximum(counts, 1.0) ** -BALANCE)[torch.from_numpy(faces.labels)]


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw numbers evenly between two limits."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def random_affine(count: int, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Draw rotation (14 degrees), scale (0.8 to 1.2), shift (8 %) and mirroring, [n x 2 x 3].

    Args:
        count: number of maps
        generator: source of the random factors
        strength: share of these limits
    """
    angle = uniform((count,), -14.0 * strength, 14.0 * strength, generator).deg2rad()
    scale = uniform((count,), 1.0 - 0.2 * strength, 1.0 + 0.2 * strength, generator)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    theta = torch.empty(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = scale * angle.cos() * mirror, -scale * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = scale * angle.sin() * mirror, scale * angle.cos()
    theta[:, :, 2] = uniform((count, 2), -0.16 * strength, 0.16 * strength, generator)
    return theta


def warp(pixels: Tensor, theta: Tensor, size: int) -> Tensor:
    """Sample pictures [n x c x h x w] through affine maps [n x 2 x 3] at ``size`` pixels."""
    shape = [len(pixels), pixels.shape[1], size, size]
    grid = functional.affine_grid(theta, shape, align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def relight(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Change gamma (0.6 to 1.6), blur some pictures and add noise to some.

    Args:
        pixels: grey levels from 0 to 255, [n x c x h x w]
        generator: source of the random factors

    Returns:
        the same shape and range
    """
    count = len(pixels)
    gamma = torch.exp(uniform((count, 1, 1, 1), -0.5, 0.5, generator))
    changed = (pixels.clamp(0.0, 255.0) / 255.0) ** gamma * 255.0
    coarse = functional.interpolate(changed, scale_factor=0.5, mode="bilinear", antialias=True)
    coarse = functional.interpolate(coarse, pixels.shape[2:], mode="bilinear")
    amount = uniform((count, 1, 1, 1), 0.0, 1.0, generator)
    blurred = torch.rand(count, 1, 1, 1, generator=generator) < 0.25
    changed = torch.where(blurred, changed.lerp(coarse, amount), changed)
    strength = uniform((count, 1, 1, 1), 0.0, 14.0, generator)
    noisy = torch.rand(count, 1, 1, 1, generator=generator) < 0.25
    return changed + torch.randn(pixels.shape, generator=generator) * strength * noisy


def erase(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Set a random rectangle (up to 35 % of each side) of a third of the pictures to one grey."""
    count, _, height, width = pixels.shape
    chosen = (torch.rand(count, generator=generator) < 0.33)[:, None]
    inside = []
    for length in (height, width):
        size = uniform((count, 1), 0.1, 0.35, generator) * length
        start = torch.rand(count, 1, generator=generator) * (length - size)
        index = torch.arange(length)
        inside.append((index >= start) & (index < start + size) & chosen)
    hidden = (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
    grey = uniform((count, 1, 1, 1), 0.0, 255.0, generator)
    return torch.where(hidden, grey, pixels)
