"""The two small networks of the face: where faces are, and where the points of one face are.

Knows: layers, sizes, the meaning of each output channel, weight files. Does not know: frames,
crops, time; `detector.py` and `landmarks.py` turn pictures into tensors and outputs into records.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
"""Pixels between neighbouring cells of the detector's three output maps."""
ANCHOR_PX = (28.0, 72.0, 170.0)
"""Face side that each map is responsible for, in pixels of its input: box sides are coded as the
logarithm of their ratio to it."""
NUM_BOX_VALUES = 9
"""Of each cell: centre (2), log side (1), right eye, left eye and mouth (6)."""

SMALLEST_DEVIATION = 4.0
"""In grey levels; a picture that varies less counts as even."""

CROP_PX = 96
"""Side of the landmark network's input."""
NUM_POINTS = 70
REGIONS = ("eyes", "nose", "mouth")
"""Parts of the face whose visibility the landmark network states."""


Network = TypeVar("Network", bound=nn.Module)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut; the first may halve the picture."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, picture: Tensor) -> Tensor:
        """Map [b x channels x h x w] to [b x outputs x h / stride x w / stride]."""
        return torch.relu(self.body(picture) + self.shortcut(picture))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class DetectorNetwork(nn.Module):
    """Grey picture -> for each cell of three maps, how face-like it is and where the face lies.

    A fully convolutional one-stage detector in the manner of CenterNet and FCOS (Zhou et al. 2019,
    Tian et al. 2019): one backbone, a top-down path, one head shared by the three maps.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (16, 24, 48, 80)) -> None:
        super().__init__()
        stem, low, middle, high = widths
        self.stem = nn.Sequential(_convolution(1, stem, 2), ResidualBlock(stem, low, 2))
        self.level_8 = nn.Sequential(
            ResidualBlock(low, middle, 2), ResidualBlock(middle, middle, 1)
        )
        self.level_16 = nn.Sequential(ResidualBlock(middle, high, 2), ResidualBlock(high, high, 1))
        self.level_32 = nn.Sequential(ResidualBlock(high, high, 2), ResidualBlock(high, high, 1))
        self.laterals = nn.ModuleList(nn.Conv2d(width, middle, 1) for width in (middle, high, high))
        self.head = _convolution(middle, middle)
        self.score = nn.Conv2d(middle, 1, 3, padding=1)
        self.box = nn.Conv2d(middle, NUM_BOX_VALUES, 3, padding=1)
        # faces are rare: start from a probability of 1 in 100 (Lin et al. 2017, section 4.1)
        nn.init.constant_(self.score.bias, -4.6)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Score every cell.

        Args:
            pictures: standardised grey, sides divisible by 32, [b x 1 x h x w]

        Returns:
            for each of `STRIDES`: score logits [b x 1 x h' x w'] and box values
            [b x 9 x h' x w'] in units of the map's anchor, see `decode`
        """
        maps = [self.level_8(self.stem(pictures))]
        maps.append(self.level_16(maps[0]))
        maps.append(self.level_32(maps[1]))
        merged = [lateral(level) for lateral, level in zip(self.laterals, maps, strict=True)]
        for upper in (1, 0):  # top-down: coarse context helps small faces
            grown = functional.interpolate(merged[upper + 1], scale_factor=2.0, mode="nearest")
            merged[upper] = merged[upper] + grown
        heads = [self.head(level) for level in merged]
        return [(self.score(head), self.box(head)) for head in heads]


def decode(values: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """Turn box values of one map into pixels of the network's input.

    Args:
        values: [b x 9 x h x w]
        level: position in `STRIDES`

    Returns:
        centre and side [b x 3 x h x w]; right eye, left eye, mouth as x, y [b x 6 x h x w]
    """
    stride, anchor = STRIDES[level], ANCHOR_PX[level]
    height, width = values.shape[2:]
    y = (torch.arange(height, device=values.device) + 0.5)[:, None] * stride
    x = (torch.arange(width, device=values.device) + 0.5)[None, :] * stride
    cells = torch.stack([x.expand(height, width), y.expand(height, width)])[None]  # [1x2xhxw]
    centre = cells + values[:, :2] * anchor
    side = anchor * torch.exp(values[:, 2:3].clamp(-3.0, 3.0))
    points = cells.repeat(1, 3, 1, 1) + values[:, 3:] * anchor
    return torch.cat([centre, side], dim=1), points


class LandmarkNetwork(nn.Module):
    """Upright grey face crop -> points, whether it is a face, and which parts are visible."""

    def __init__(self, widths: tuple[int, int, int, int] = (16, 32, 64, 112)) -> None:
        super().__init__()
        first, *_, last = widths
        self.trunk = nn.Sequential(
            _convolution(1, first, 2),
            *(
                layer
                for inputs, outputs in zip(widths[:-1], widths[1:], strict=True)
                for layer in (ResidualBlock(inputs, outputs, 2), ResidualBlock(outputs, outputs, 1))
            ),
            nn.Conv2d(last, 32, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
        )
        cells = (CROP_PX // 16) ** 2
        self.points = nn.Linear(32 * cells, 3 * NUM_POINTS)
        self.states = nn.Linear(32 * cells, 1 + len(REGIONS))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Find the points of one face a crop.

        Args:
            crops: standardised grey, [b x 1 x 96 x 96]

        Returns:
            points as x, y, depth in crop sides from the crop's centre, [b x 70 x 3]; logits of
            "a face" and of each of `REGIONS` being visible, [b x 4]
        """
        embedding = self.trunk(crops)
        return self.points(embedding).unflatten(1, (NUM_POINTS, 3)), self.states(embedding)


def standardized(grey: Tensor) -> Tensor:
    """Take off each picture's mean and divide by its deviation.

    Args:
        grey: grey levels from 0 to 255, [b x 1 x h x w]

    Returns:
        the same shape; a nearly even picture is not blown up to noise
    """
    centred = grey - grey.mean(dim=(2, 3), keepdim=True)
    deviation = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
    return centred / deviation.clamp(min=SMALLEST_DEVIATION)


def short_hash(path: Path) -> str:
    """Give the first digits of the SHA-256 of a weight file: which weights found what."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def load_weights(network: Network, path: Path) -> Network:
    """Fill a network with the weights of a safetensors file, fp32, for use only.

    Raises:
        ValueError: the file is missing, or holds other tensors than the network has
    """
    if not path.is_file():
        msg = f"found no file {path}, expected the weights of {type(network).__name__}; reinstall"
        raise ValueError(msg)
    stored = {name: value.float() for name, value in load_file(path).items()}
    # counters of normalisation layers matter for training only and are not stored
    expected = {k: v for k, v in network.state_dict().items() if v.is_floating_point()}
    wrong = sorted(expected.keys() ^ stored.keys()) or [
        name for name, value in stored.items() if value.shape != expected[name].shape
    ]
    if wrong:
        msg = (
            f"{path} does not fit {type(network).__name__}: {', '.join(wrong)}; "
            "use the file that was made for this version"
        )
        raise ValueError(msg)
    network.load_state_dict(stored, strict=False)
    return network.eval().requires_grad_(False)
