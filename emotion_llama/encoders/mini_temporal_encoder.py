"""Temporal encoder of the ``mini`` preset: a face track in, one embedding of its motion out.

Knows: which crops of a track are read and the network over them and their differences.
Its shipped weights come from stills made to move: the training data has no labelled film of faces.
Does not know: how faces are found, frame times, labels, class scores.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from numpy.typing import NDArray
from torch import Tensor, nn

from .crop_choice import NUM_CROPS, choose_crops
from .face_pixels import check_crops, check_tracks, grey_crops, standardize
from .residual_block import ResidualBlock

CROP_SIZE = 32
DIFFERENCE_SCALE = 3.0
"""Neighbouring crops differ by about a third of the deviation within a crop."""


class _TemporalBlock(nn.Module):
    """A convolution over time with a shortcut."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Map [b x e x t] to the same shape."""
        mixed: Tensor = frames + self.body(frames)
        return mixed


class FaceTemporalEncoder(nn.Module, PyTorchModelHubMixin):
    """Convolutions over 16 small grey crops and their differences, then over time.

    One mean and one deviation normalise the whole track, so that changes of light and shape stay.
    The embedding joins mean and deviation over time behind a normalisation layer (about zero mean
    and unit variance over the training sequences).
    """

    name = "face-motion"
    version = "1"

    def __init__(
        self, widths: Sequence[int] = (24, 48, 96), frame_width: int = 128, output_dim: int = 128
    ) -> None:
        super().__init__()
        if len(widths) != 3:
            msg = f"widths has {len(widths)} entries; give three: first convolution and two blocks"
            raise ValueError(msg)
        self.output_dim = output_dim
        self.settings: dict[str, Any] = {
            "widths": list(widths),
            "frame_width": frame_width,
            "output_dim": output_dim,
        }
        first, second, third = widths
        self.pictures = nn.Sequential(
            nn.Conv2d(2, first, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            ResidualBlock(first, second, stride=2),
            ResidualBlock(second, third, stride=2),
            nn.AvgPool2d(2),
        )
        self.frame_projection = nn.Sequential(
            nn.Conv1d(4 * third, frame_width, 1, bias=False), nn.BatchNorm1d(frame_width), nn.ReLU()
        )
        self.motion = nn.Sequential(_TemporalBlock(frame_width, 1), _TemporalBlock(frame_width, 2))
        self.embedding = nn.Linear(2 * frame_width, output_dim, bias=False)
        self.embedding_norm = nn.BatchNorm1d(output_dim)

    def forward(self, grey: Tensor) -> Tensor:
        """Embed tracks of chosen crops.

        1. Normalise each track. 2. Add differences. 3. Convolve crops, then time. 4. Pool.

        Args:
            grey: grey levels from 0 to 255, [b x 16 x 32 x 32]

        Returns:
            one embedding per track, [b x e]
        """
        crops = standardize(grey, (1, 2, 3)).to(self.embedding.weight.dtype)
        change = torch.zeros_like(crops)
        change[:, 1:] = (crops[:, 1:] - crops[:, :-1]) * DIFFERENCE_SCALE
        pairs = torch.stack([crops, change], dim=2).flatten(0, 1)  # [b * t x 2 x h x w]
        features = self.pictures(pairs).flatten(1)  # [b * t x 4 * third width]
        per_track = features.unflatten(0, (len(grey), NUM_CROPS)).transpose(1, 2)
        frames = self.motion(self.frame_projection(per_track))  # [b x frame width x t]
        deviation = frames.var(dim=2, correction=0).clamp(min=1e-5).sqrt()
        pooled = torch.cat([frames.mean(dim=2), deviation], dim=1)
        embedding: Tensor = self.embedding_norm(self.embedding(pooled))
        return embedding

    def crops_read(self, length: int) -> Sequence[int]:
        """Give the positions that are read of a track of this many crops."""
        return choose_crops(length)

    @torch.no_grad()
    def encode(self, face_crops: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Embed face tracks of any length and crop size.

        Args:
            face_crops: RGB crops of one face each in time order, [t x h x w x 3]

        Returns:
            one embedding per track, [b x e]

        Raises:
            ValueError: no track, or one that is not RGB uint8
        """
        check_tracks(face_crops)
        self.train(mode=False)
        device = self.embedding.weight.device
        tracks = []
        for crops in face_crops:
            check_crops(crops)
            chosen = crops[choose_crops(len(crops))]
            tracks.append(grey_crops(chosen, CROP_SIZE, device)[:, 0])
        embeddings: Tensor = self(torch.stack(tracks))
        return embeddings
