"""The temporal role: expressions that come and go, made from stills.

Knows: how a still becomes 16 moving crops. The data has no labelled films of faces that may train,
so the motion is invented: head drift, talking, and blending between the still and a calmer face.
What the encoder learns about real motion is therefore limited.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from training_loop import Batch, Schedule, cross_entropy

from emotion_llama.encoders import save_encoder
from emotion_llama.encoders.crop_choice import NUM_CROPS
from emotion_llama.encoders.mini_temporal_encoder import CROP_SIZE, FaceTemporalEncoder
from emotion_llama.labels import MINI

from . import face_data
from .aligned_faces import AlignedFaces, open_mouths, talking
from .local_role import JITTER, SETS, aligned_sets
from .scores import summarize

SOURCE_SIZE = 48
TALKING = 0.6
"""Share of the people with a closed mouth who talk."""
WIDEST_GAP = 0.12
"""Of a talking mouth, in crop sides."""


def strength_over_time(count: int, generator: torch.Generator) -> Tensor:
    """Draw how much of the expression shows in each crop, [n x 16] in [0, 1].

    A rise, a rise and fall, a fall, or a steady expression, with random times and steepness.
    """
    time = torch.linspace(0.0, 1.0, NUM_CROPS)
    width = face_data.uniform((count, 1), 0.03, 0.12, generator)
    onset = face_data.uniform((count, 1), 0.05, 0.5, generator)
    offset = onset + face_data.uniform((count, 1), 0.3, 0.6, generator)
    rise, fall = torch.sigmoid((time - onset) / width), torch.sigmoid((offset - time) / width)
    kind = torch.rand(count, 1, generator=generator)
    steady = torch.ones(count, NUM_CROPS)
    curve = torch.where(kind < 0.35, rise, torch.where(kind < 0.6, rise * fall, steady))
    curve = torch.where((kind >= 0.6) & (kind < 0.7), torch.sigmoid((0.6 - time) / width), curve)
    return curve * face_data.uniform((count, 1), 0.75, 1.0, generator)


def smooth_walk(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw slow random curves of about unit size over the last dimension (16 crops)."""
    time = torch.linspace(0.0, math.pi, NUM_CROPS)
    curve = torch.zeros(*shape, NUM_CROPS)
    for order in (1, 2, 3):
        strength = torch.randn(*shape, 1, generator=generator) / order
        phase = torch.rand(*shape, 1, generator=generator) * 2.0 * math.pi
        curve = curve + strength * torch.cos(order * time + phase)
    return curve


def _motion_grids(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw sampling positions: one pose per sequence and slow drift.

    Returns:
        positions in [-1, 1], [n * 16 x size x size x 2]
    """
    pose = face_data.random_affine(count, generator, JITTER)
    drift = torch.zeros(count, NUM_CROPS, 2, 3)
    strength = face_data.uniform((count, 1), 0.0, 1.0, generator)
    angle = smooth_walk((count,), generator) * 0.03 * strength
    scale = 1.0 + smooth_walk((count,), generator) * 0.02 * strength
    shift = smooth_walk((count, 2), generator) * 0.03 * strength[:, :, None]
    jitter = 0.008 * torch.randn(count, NUM_CROPS, 2, generator=generator)
    drift[:, :, 0, 0], drift[:, :, 0, 1] = scale * angle.cos(), -scale * angle.sin()
    drift[:, :, 1, 0], drift[:, :, 1, 1] = scale * angle.sin(), scale * angle.cos()
    drift[:, :, :, 2] = shift.transpose(1, 2) + jitter
    maps = (pose[:, None, :, :2] @ drift).flatten(0, 1)  # [n * 16 x 2 x 3]
    maps[:, :, 2] += pose[:, :, 2].repeat_interleave(NUM_CROPS, dim=0)
    return functional.affine_grid(maps, [len(maps), 1, size, size], align_corners=False)


def _calmer(stills: Tensor, neutral: Tensor, generator: torch.Generator) -> Tensor:
    """Weaken expressions: blur the still, or mix in another person's neutral face.

    Args:
        stills: grey levels, [n x 48 x 48]
        neutral: neutral faces of other people, [n x 48 x 48]
        generator: source of the random choices
    """
    coarse = functional.avg_pool2d(stills[:, None], 6)
    blurred = functional.interpolate(coarse, stills.shape[1:], mode="bilinear")[:, 0]
    share = face_data.uniform((len(stills), 1, 1), 0.4, 0.8, generator)
    mixed = stills.lerp(neutral, share)
    by_blur = torch.rand(len(stills), 1, 1, generator=generator) < 0.5
    return torch.where(by_blur, blurred, mixed)


def _mouths(faces: AlignedFaces, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw how far mouths are open in each crop, whatever the label: half of the people talk.

    Returns:
        gap in crop sides and darkness of the gap, [n * 16]
    """
    count = len(faces)
    widest, dark, _ = talking(faces, torch.full((count,), TALKING), WIDEST_GAP, generator)
    steps = torch.randn(count, NUM_CROPS, generator=generator)
    gaps = (0.4 + 0.5 * steps).clamp(0.0, 1.0) * widest[:, None]
    return gaps.flatten(), dark.repeat_interleave(NUM_CROPS)


def animate(
    faces: AlignedFaces, neutral: Tensor, generator: torch.Generator, size: int = CROP_SIZE
) -> Tensor:
    """Make stills move.

    1. Blend each still with a calmer face over time. 2. Let some mouths talk. 3. Move the head.
    4. Change the light.

    Args:
        faces: stills, [n x 48 x 48], with points where they are known
        neutral: neutral faces to blend with, uint8 [n x 48 x 48]
        generator: source of every random choice
        size: side of the crops in pixels

    Returns:
        grey levels from 0 to 255, [n x 16 x size x size]
    """
    count = len(faces)
    shown = faces.pixels.float()
    calm = _calmer(shown, neutral.float(), generator)
    strength = strength_over_time(count, generator)[:, :, None, None]
    frames = calm[:, None].lerp(shown[:, None], strength).flatten(0, 1)  # [n * 16 x 48 x 48]
    points = faces.points.repeat_interleave(NUM_CROPS, dim=0)
    frames = open_mouths(frames, points, *_mouths(faces, generator))
    grid = _motion_grids(count, size, generator)
    moved = functional.grid_sample(
        frames[:, None], grid, padding_mode="border", align_corners=False
    )
    crops = moved[:, 0].unflatten(0, (count, NUM_CROPS))
    light = 1.0 + 0.04 * smooth_walk((count,), generator)
    crops = face_data.relight(crops * light[:, :, None, None], generator)
    flicker = face_data.uniform((count, 1, 1, 1), 0.0, 5.0, generator)
    return crops + torch.randn(crops.shape, generator=generator) * flicker


def neutral_faces(faces: AlignedFaces) -> Tensor:
    """Give the pictures that most annotators called neutral, uint8 [m x 48 x 48]."""
    return faces.pixels[faces.targets[:, MINI.labels.index("neutral")] > 0.7]


class TemporalRole:
    """Expression of moving faces made from FER+ and LFW training stills."""

    name = "temporal"

    def __init__(self, data_dir: Path, cache_dir: Path) -> None:
        self.schedule = Schedule(
            epochs=5,
            steps_per_epoch=160,
            batch_size=64,
            peak_learning_rate=2e-3,
            weight_decay=0.02,
            ema_decay=0.996,
        )
        encoder = FaceTemporalEncoder()
        head = nn.Sequential(nn.Dropout(0.2), nn.Linear(encoder.output_dim, len(MINI)))
        self.network = nn.ModuleDict({"encoder": encoder, "head": head})
        self._train, weights = aligned_sets(data_dir, cache_dir, "train", tuple(SETS))
        self._weights = weights
        self._neutral = neutral_faces(self._train)
        dev, _ = aligned_sets(data_dir, cache_dir, "dev", ("ferplus",))
        generator = torch.Generator().manual_seed(1)
        neutral = neutral_faces(dev)
        chosen = torch.randint(0, len(neutral), (len(dev),), generator=generator)
        parts = [
            animate(dev.rows(rows), neutral[chosen[rows]], generator)
            for rows in torch.arange(len(dev)).split(200)
        ]
        self._dev_sequences = torch.cat(parts).half()
        self._dev_labels = dev.targets.argmax(dim=1).numpy()

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Give one batch: sequences [b x 16 x 32 x 32] and targets [b x 8]."""
        count = self.schedule.batch_size
        chosen = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        other = torch.randint(0, len(self._neutral), (count,), generator=generator)
        faces = self._train.rows(chosen)
        return animate(faces, self._neutral[other], generator), faces.targets

    def loss(self, network: nn.ModuleDict, batch: Batch) -> Tensor:
        """Give the cross-entropy of a batch of inputs and targets."""
        inputs, targets = batch
        return cross_entropy(self.logits(network, inputs), targets, self.schedule.label_smoothing)

    def save(self, network: nn.ModuleDict, folder: Path) -> None:
        """Write the encoder; the head stays in the checkpoint."""
        save_encoder(network["encoder"], folder / "encoders" / self.name, torch.float16)

    def logits(self, network: nn.ModuleDict, inputs: Tensor) -> Tensor:
        """Score sequences, [b x 8]."""
        scores: Tensor = network["head"](network["encoder"](inputs))
        return scores

    @torch.no_grad()
    def evaluate(self, network: nn.ModuleDict, num_resamples: int) -> dict[str, Any]:
        """Give figures on sequences made from FER+ development stills."""
        parts = self._dev_sequences.split(100)
        scores = torch.cat([self.logits(network, part.float()) for part in parts])
        guess = scores.argmax(dim=1).numpy()
        return {"made sequences": summarize(self._dev_labels, guess, num_resamples)}
