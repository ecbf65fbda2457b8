"""Training faces framed as the tracker frames them, with their points, and mouths that talk.

Knows: the packaged landmark network, how a picture becomes an aligned crop. Does not know: files of
data sets, labels, networks that are trained.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from emotion_llama.face import FaceLandmarker
from emotion_llama.face.alignment import align_face, aligned_region, mapped, region_of_box
from emotion_llama.face.detector import FaceBox
from emotion_llama.face.points import INNER_LIPS, OUTER_LIPS

from .face_data import Faces, resize, uniform

FEWEST_SCORE = 0.5
"""Probability of a face from which its points are believed; others keep their whole picture."""
UNKNOWN = -1.0
"""Place of points that were not found."""
MOUTH_WIDTH = 0.85
"""Half width of an opened mouth, in half widths of the lips."""


@dataclass(frozen=True)
class AlignedFaces:
    """Grey faces, upright, with the eyes at one height."""

    pixels: Tensor
    """uint8, [n x size x size]"""
    targets: Tensor
    """label probabilities, [n x 8]"""
    points: Tensor
    """x, y in crop sides, [n x 70 x 2]; `UNKNOWN` where none were found"""

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def has_points(self) -> Tensor:
        """Whether the points of each face are known, [n]."""
        return self.points[:, 0, 0] != UNKNOWN

    def rows(self, chosen: Tensor) -> "AlignedFaces":
        """Give some of the faces."""
        return AlignedFaces(self.pixels[chosen], self.targets[chosen], self.points[chosen])


def join(parts: list[AlignedFaces]) -> AlignedFaces:
    """Put faces of several sets into one."""
    return AlignedFaces(
        torch.cat([part.pixels for part in parts]),
        torch.cat([part.targets for part in parts]),
        torch.cat([part.points for part in parts]),
    )


def align(faces: Faces, size: int, cache_path: Path) -> AlignedFaces:
    """Find the points of pictures that a face fills and cut the aligned crops, once.

    Args:
        faces: as a data set has them
        size: side of the crops in pixels
        cache_path: keeps crops and points
    """
    if cache_path.exists():
        kept = torch.load(cache_path, weights_only=True)
        if kept["pixels"].shape[1:] == (size, size) and len(kept["pixels"]) == len(faces.pixels):
            return AlignedFaces(kept["pixels"], faces.targets, kept["points"])
    landmarker = FaceLandmarker()
    pixels = resize(faces, size).pixels.clone()
    points = torch.full((len(pixels), 70, 2), UNKNOWN)
    side = float(faces.pixels.shape[1])
    region = region_of_box(FaceBox(0.0, 0.0, side, side, score=1.0))
    for row in track(range(len(pixels)), f"aligning {cache_path.stem}"):
        picture = faces.pixels[row].numpy()
        found = landmarker.find(picture, [region], passes=2)[0]
        if found.score >= FEWEST_SCORE:
            pixels[row] = torch.from_numpy(align_face(picture, found.points, size))
            matrix = aligned_region(found.points).matrix(size)
            points[row] = torch.from_numpy(mapped(matrix, found.points[:, :2]) / size)
    cache_path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"pixels": pixels, "points": points}, cache_path)
    return AlignedFaces(pixels, faces.targets, points)


def lip_gap(points: Tensor) -> Tensor:
    """Give the distance of the inner lips in the middle, in widths of the mouth, [n]."""
    width = points[:, OUTER_LIPS[6], 0] - points[:, OUTER_LIPS[0], 0]
    gap = points[:, INNER_LIPS[6], 1] - points[:, INNER_LIPS[2], 1]
    return gap / width.clamp(min=1e-3)


def open_mouths(pixels: Tensor, points: Tensor, opening: Tensor, dark: Tensor) -> Tensor:
    """Part the lips of faces, as in talking: the lower lip sinks, the chin is pressed.

    Args:
        pixels: grey levels, [n x size x size]
        points: in crop sides, [n x 70 x 2]
        opening: height of the gap in crop sides; 0 leaves a face as it is, [n]
        dark: grey level in the gap as a share of the face's mean, [n]

    Returns:
        grey levels, [n x size x size]
    """
    size = pixels.shape[1]
    lips = points[:, list(INNER_LIPS)]
    middle = lips.mean(dim=1)  # [n x 2]
    half = MOUTH_WIDTH * (points[:, OUTER_LIPS[6], 0] - points[:, OUTER_LIPS[0], 0]).abs() / 2
    place = (torch.arange(size) + 0.5) / size
    across = (place[None] - middle[:, :1]) / half.clamp(min=0.02)[:, None]  # [n x width]
    gap = opening[:, None] * (1.0 - across**2).clamp(min=0.0).sqrt()  # [n x width]
    below = place[None, :, None] - middle[:, 1, None, None]  # [n x height x 1]
    room = (1.0 - middle[:, 1]).clamp(min=0.1)[:, None, None]
    lowest = gap[:, None].expand(-1, size, -1)
    pressed = (below - lowest) * room / (room - lowest)
    source = torch.where(below > lowest, pressed, below.clamp(max=0.0))
    rows = source + middle[:, 1, None, None]
    columns = place[None, None].expand_as(rows)
    grid = torch.stack([columns, rows], dim=3) * 2.0 - 1.0
    moved = functional.grid_sample(
        pixels[:, None].float(), grid, padding_mode="border", align_corners=False
    )[:, 0]
    inside = (torch.minimum(below, lowest - below) * size + 0.5).clamp(0.0, 1.0)
    inside = inside * (lowest > 0)
    level = (pixels.float().mean(dim=(1, 2)) * dark)[:, None, None]
    return moved.lerp(level.expand_as(moved), inside)


def talking(
    faces: AlignedFaces, chance: Tensor, most: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw how far closed mouths are opened.

    Args:
        faces: with points where they are known
        chance: probability for each face, [n]
        most: largest gap in crop sides
        generator: source of the random choices

    Returns:
        gap in crop sides [n], darkness of the gap [n], and whether the face talks [n]
    """
    count = len(faces)
    closed = faces.has_points & (lip_gap(faces.points) < 0.12)
    talks = closed & (torch.rand(count, generator=generator) < chance)
    opening = uniform((count,), 0.02, most, generator) * talks
    return opening, uniform((count,), 0.15, 0.7, generator), talks
