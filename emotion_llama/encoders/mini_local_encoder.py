"""Local encoder of the ``mini`` preset: face crops in, one embedding of the expression out.

Knows: a residual network over single small grey faces, and the mean over a track and both sides.
Does not know: how faces are found, motion, labels, class scores.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from numpy.typing import NDArray
from torch import Tensor, nn

from .face_pixels import check_tracks, grey_crops, standardize
from .residual_block import ResidualBlock

CROP_SIZE = 48
"""Side in pixels: the size of the faces it is trained on."""
FACES_PER_PASS = 256
"""Faces run through the network at once: bounds memory for long tracks."""


class FaceLocalEncoder(nn.Module, PyTorchModelHubMixin):
    """A small residual network on 48 x 48 grey faces, averaged over the track.

    The embedding of a face is its pooled features behind a normalisation layer (about zero mean
    and unit variance over the training faces); the embedding of a track is the mean of those and
    of their mirror images: an expression is the same one seen in a mirror.
    `FeatureExtractor` adds a place for each of ``clues``, which `output_dim` counts.
    """

    name = "face-resnet"
    version = "2"

    def __init__(
        self, widths: Sequence[int] = (32, 64, 128, 256), clues: Sequence[str] = ()
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            msg = (
                f"widths has {len(widths)} entries; give the first convolution's and one per block"
            )
            raise ValueError(msg)
        self.clues = tuple(clues)
        self.output_dim = widths[-1] + len(clues)
        self.settings: dict[str, Any] = {"widths": list(widths), "clues": list(clues)}
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(inputs, outputs, stride=2)
                for inputs, outputs in zip(widths[:-1], widths[1:], strict=True)
            )
        )
        self.embedding_norm = nn.BatchNorm1d(widths[-1])

    def forward(self, grey: Tensor) -> Tensor:
        """Embed single faces.

        Args:
            grey: grey levels from 0 to 255, [b x 1 x 48 x 48]

        Returns:
            one embedding per face, [b x e]
        """
        faces = standardize(grey, (1, 2, 3)).to(self.embedding_norm.weight.dtype)
        features = self.blocks(self.stem(faces)).mean(dim=(2, 3))  # [b x e]
        embedding: Tensor = self.embedding_norm(features)
        return embedding

    def crops_read(self, length: int) -> Sequence[int]:
        """Give the positions that are read of a track of this many crops: all."""
        return range(length)

    @torch.no_grad()
    def encode(self, face_crops: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Embed face tracks of any length and crop size.

        Args:
            face_crops: RGB crops of one face each, [t x h x w x 3]

        Returns:
            one embedding per track, [b x e]

        Raises:
            ValueError: no track, or one that is not RGB uint8
        """
        check_tracks(face_crops)
        self.train(mode=False)
        device = self.embedding_norm.weight.device
        tracks = [grey_crops(crops, CROP_SIZE, device) for crops in face_crops]
        passes = torch.split(torch.cat(tracks), FACES_PER_PASS)
        embeddings = torch.cat([(self(part) + self(part.flip(-1))) / 2 for part in passes])
        per_track = torch.split(embeddings, [len(track) for track in tracks])
        return torch.stack([part.mean(dim=0) for part in per_track])
