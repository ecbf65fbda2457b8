"""The global role: a face somewhere in a photograph, its expression, or no face at all.

Knows: how training pictures are put together from grey faces and colour photographs.
No real picture of a whole scene with a labelled expression is in the data.
"""

import csv
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from training_loop import Batch, Schedule, cross_entropy

from emotion_llama.encoders import save_encoder
from emotion_llama.encoders.face_pixels import LUMA
from emotion_llama.encoders.mini_global_encoder import SceneGlobalEncoder
from emotion_llama.labels import MINI

from . import face_data
from .scores import summarize

SIZE = SceneGlobalEncoder.image_size
FACE_SIZE = 64
SCENE_WIDTH, SCENE_HEIGHT = 240, 160
NO_FACE_SHARE, BARE_SHARE = 0.1, 0.25
"""Shares of pictures without a face, and of bare crops that fill the picture."""


def read_scenes(data_dir: Path, split: str) -> Tensor:
    """Read the photographs of a split in which no face was found, uint8 [n x 3 x h x w]."""
    with (data_dir / "faces" / "scenes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with zipfile.ZipFile(data_dir / "faces" / "scenes.zip") as archive:
        pictures = []
        for row in rows:
            if row["split"] == split and row["faces"] == "none":
                picture = Image.open(io.BytesIO(archive.read(row["file"]))).convert("RGB")
                small = picture.resize((SCENE_WIDTH, SCENE_HEIGHT))
                pictures.append(torch.from_numpy(np.array(small)).permute(2, 0, 1))
    return torch.stack(pictures)


def _backgrounds(scenes: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Cut random parts, mirrored half of the time, [n x 3 x 96 x 96] from 0 to 255."""
    chosen = scenes[torch.randint(0, len(scenes), (count,), generator=generator)].float()
    scale = face_data.uniform((count, 2), 0.45, 1.0, generator)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale[:, 0] * mirror, scale[:, 1]
    theta[:, :, 2] = (1.0 - scale) * face_data.uniform((count, 2), -1.0, 1.0, generator)
    return face_data.warp(chosen, theta, SIZE)


def _placement(bare: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw where faces lie, as the map from picture to face coordinates.

    Faces take 30 to 100 % of the height; their width is 0.5 to 1.1 of the height because wide
    frames are squeezed to a square. Bare crops take 100 to 125 % of both sides.

    Returns:
        maps [n x 2 x 3] and the relative height of each face [n]
    """
    count = len(bare)
    height = face_data.uniform((count,), 0.3, 1.0, generator)
    width = height * face_data.uniform((count,), 0.5, 1.1, generator)
    full = face_data.uniform((count,), 1.0, 1.25, generator)
    height, width = torch.where(bare, full, height), torch.where(bare, full, width.clamp(max=1.0))
    centre = face_data.uniform((count, 2), -1.0, 1.0, generator)
    centre_x, centre_y = centre[:, 0] * (1.0 - width).abs(), centre[:, 1] * (1.0 - height).abs()
    angle = face_data.uniform((count,), -14.0, 14.0, generator).deg2rad()
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    theta = torch.empty(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = mirror * angle.cos() / width, -mirror * angle.sin() / height
    theta[:, 1, 0], theta[:, 1, 1] = angle.sin() / width, angle.cos() / height
    centre_in_picture = torch.stack([centre_x, centre_y], dim=1)[:, :, None]
    theta[:, :, 2] = -(theta[:, :, :2] @ centre_in_picture)[:, :, 0]
    return theta, height


def _cover(theta: Tensor, bare: Tensor, generator: torch.Generator) -> Tensor:
    """Give the share of the face in each pixel: soft ovals or rectangles, [n x 1 x h x w]."""
    count = len(theta)
    grid = functional.affine_grid(theta, [count, 1, SIZE, SIZE], align_corners=False)
    power = torch.where(torch.rand(count, generator=generator) < 0.5, 2.5, 12.0)[:, None, None]
    radius = (grid.abs() ** power[..., None]).sum(dim=3) ** (1.0 / power)
    soft = ((1.0 - radius) / 0.12).clamp(0.0, 1.0)
    soft = torch.where(bare[:, None, None], torch.ones_like(soft), soft)
    return soft[:, None]


def _tint(faces: Tensor, generator: torch.Generator) -> Tensor:
    """Give half of the grey faces a skin-like cast, so that grey does not mean face."""
    count = len(faces)
    low, high = torch.tensor([0.95, 0.75, 0.6]), torch.tensor([1.25, 1.0, 0.95])
    gain = torch.rand(count, 3, generator=generator) * (high - low) + low
    tinted = torch.rand(count, 1, generator=generator) < 0.6
    return faces * torch.where(tinted, gain, torch.ones_like(gain))[:, :, None, None]


def compose(
    faces: Tensor, scenes: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Put faces into photographs.

    Args:
        faces: grey levels, uint8 [n x 64 x 64]
        scenes: photographs, uint8 [m x 3 x h x w]
        generator: source of every random choice

    Returns:
        pictures in [0, 1] [n x 3 x 96 x 96], whether a face is there [n] and whether it is bare [n]
    """
    count = len(faces)
    kind = torch.rand(count, generator=generator)
    present, bare = kind >= NO_FACE_SHARE, kind >= 1.0 - BARE_SHARE
    theta, _ = _placement(bare, generator)
    grey = face_data.warp(faces[:, None].float(), theta, SIZE).expand(-1, 3, -1, -1)
    cover = _cover(theta, bare, generator) * present[:, None, None, None]
    background = _backgrounds(scenes, count, generator)
    pictures = background.lerp(_tint(grey, generator), cover)
    as_grey = torch.rand(count, 1, 1, 1, generator=generator) < 0.3
    pictures = torch.where(as_grey, pictures.mean(dim=1, keepdim=True), pictures)
    return pictures, present, bare & present


def start_from_local(encoder: SceneGlobalEncoder, local: Mapping[str, Tensor]) -> None:
    """Copy the trained local encoder's first convolution and block.

    Both read faces at the same scale there: 96 px at stride 2, 48 px at stride 1. Three passes over
    the faces are too few to learn expressions and places from nothing.

    Args:
        encoder: takes the weights
        local: tensors of a trained `FaceLocalEncoder` of default size
    """
    copied = {}
    for key in encoder.convolutions.state_dict():
        place, rest = key.split(".", 1)
        if int(place) < 3:
            source = local[f"stem.{key}"]
        elif int(place) < 4:
            source = local[f"blocks.{int(place) - 3}.{rest}"]
        else:
            continue
        copied[key] = source.float() if source.is_floating_point() else source
    weight = torch.tensor(LUMA)[None, :, None, None]
    copied["0.weight"] = copied["0.weight"] * weight
    encoder.convolutions.load_state_dict(copied, strict=False)


class GlobalRole:
    """Expression and presence of a face in composed pictures."""

    name = "global"

    def __init__(self, data_dir: Path, cache_dir: Path) -> None:
        self.schedule = Schedule(
            epochs=5,
            steps_per_epoch=150,
            batch_size=96,
            peak_learning_rate=1.5e-3,
            weight_decay=0.02,
            ema_decay=0.996,
        )
        encoder = SceneGlobalEncoder()
        width = encoder.patch_dim
        # the mean patch is read too: the language model gets the patches, so they must carry it
        head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * width, len(MINI) + 1))
        local_dir = cache_dir.parent / "encoders" / "local"
        if local_dir.exists():
            start_from_local(encoder, load_file(local_dir / "model.safetensors"))
        else:
            print("global: no trained local encoder to start from; starting from random weights")
        self.network = nn.ModuleDict({"encoder": encoder, "head": head})
        self._train = face_data.both(data_dir, "train", FACE_SIZE)
        self._weights = face_data.draw_weights(self._train)
        self._scenes = read_scenes(data_dir, "train")
        dev = face_data.ferplus(data_dir, "dev")
        generator = torch.Generator().manual_seed(1)
        pixels = face_data.resize(dev, FACE_SIZE).pixels
        pictures, self._present, self._bare = compose(
            pixels, read_scenes(data_dir, "dev"), generator
        )
        self._dev_pictures, self._dev_labels = pictures.half() / 255.0, dev.labels

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Give one batch: pictures [b x 3 x 96 x 96] and targets [b x 9]; the ninth is no face."""
        count = self.schedule.batch_size
        chosen = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        pictures, present, _ = compose(self._train.pixels[chosen], self._scenes, generator)
        pictures = face_data.relight(pictures, generator).clamp(0.0, 255.0) / 255.0
        expression = self._train.targets[chosen] * present[:, None]
        return pictures, torch.cat([expression, (~present).float()[:, None]], dim=1)

    def loss(self, network: nn.ModuleDict, batch: Batch) -> Tensor:
        """Give the cross-entropy of a batch of inputs and targets."""
        inputs, targets = batch
        return cross_entropy(self.logits(network, inputs), targets, self.schedule.label_smoothing)

    def save(self, network: nn.ModuleDict, folder: Path) -> None:
        """Write the encoder; the head stays in the checkpoint."""
        save_encoder(network["encoder"], folder / "encoders" / self.name, torch.float16)

    def logits(self, network: nn.ModuleDict, inputs: Tensor) -> Tensor:
        """Score pictures, [b x 9]."""
        patches, class_token = network["encoder"](inputs)
        tokens = torch.cat([class_token, patches.mean(dim=1)], dim=1)
        scores: Tensor = network["head"](tokens)
        return scores

    @torch.no_grad()
    def evaluate(self, network: nn.ModuleDict, num_resamples: int) -> dict[str, Any]:
        """Give figures on FER+ development faces in validation photographs, and for presence."""
        parts = [self.logits(network, part.float()) for part in self._dev_pictures.split(250)]
        scores = torch.cat(parts)
        guess = scores[:, : len(MINI)].argmax(dim=1).numpy()
        present, bare = self._present.numpy(), self._bare.numpy()
        result = {}
        for name, rows in (("in scene", present & ~bare), ("bare", bare)):
            result[name] = summarize(self._dev_labels[rows], guess[rows], num_resamples)
        found = scores.argmax(dim=1).numpy() != len(MINI)
        result["presence"] = summarize(present, found, num_resamples)
        return result
