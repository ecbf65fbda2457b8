"""Global encoder of the ``mini`` preset: one whole key frame in, patch and class tokens out.

Knows: a small tower over a 96 px picture. Does not know: which frame is the key frame, faces, or
how tokens are merged.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from numpy.typing import NDArray
from torch import Tensor, nn

from .frame_pixels import resize_frames
from .residual_block import ResidualBlock
from .transfer import to_device


class SceneGlobalEncoder(nn.Module, PyTorchModelHubMixin):
    """The small tower of the ``mini`` preset: 96 x 96 pixels to 16 patch tokens and a class token.

    Convolutions turn the picture into a 4 x 4 grid; one transformer layer lets the class token and
    the patches read each other. Four consecutive patches are one row of the grid.
    """

    name = "scene"
    version = "1"
    image_size = 96
    num_patches = 16

    def __init__(self, widths: Sequence[int] = (32, 64, 96), patch_dim: int = 128) -> None:
        super().__init__()
        if len(widths) != 3:
            msg = f"widths has {len(widths)} entries; give three: first convolution and two blocks"
            raise ValueError(msg)
        self.patch_dim = patch_dim
        self.output_dim = patch_dim
        self.settings: dict[str, Any] = {"widths": list(widths), "patch_dim": patch_dim}
        first, second, third = widths
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            ResidualBlock(first, second, stride=2),
            ResidualBlock(second, third, stride=2),
            ResidualBlock(third, third, stride=1),
        )
        self.patch_projection = nn.Conv2d(third, patch_dim, kernel_size=3, stride=3)
        self.class_embedding = nn.Parameter(torch.randn(1, 1, patch_dim) * 0.02)
        self.position_embedding = nn.Parameter(torch.randn(1, 1 + 16, patch_dim) * 0.02)
        self.mixing_norm = nn.LayerNorm(patch_dim)
        self.mixing = nn.MultiheadAttention(patch_dim, num_heads=4, batch_first=True)
        self.token_norm = nn.LayerNorm(patch_dim)
        self.token_network = nn.Sequential(
            nn.Linear(patch_dim, 2 * patch_dim), nn.GELU(), nn.Linear(2 * patch_dim, patch_dim)
        )
        self.final_norm = nn.LayerNorm(patch_dim)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode square pictures.

        1. Convolve to a 4 x 4 grid. 2. Mix patches and class token. 3. Normalise.

        Args:
            pixels: RGB values in [0, 1], [b x 3 x 96 x 96]

        Returns:
            patch tokens in raster order [b x 16 x e] and the class token [b x e]
        """
        scaled = ((pixels - 0.5) * 4.0).to(self.class_embedding.dtype)
        grid = self.patch_projection(self.convolutions(scaled))  # [b x e x 4 x 4]
        patches = grid.flatten(2).transpose(1, 2)  # [b x 16 x e]
        class_token = self.class_embedding.expand(len(patches), 1, -1)
        tokens = torch.cat([class_token, patches], dim=1) + self.position_embedding
        read = self.mixing_norm(tokens)
        tokens = tokens + self.mixing(read, read, read, need_weights=False)[0]
        tokens = tokens + self.token_network(self.token_norm(tokens))
        tokens = self.final_norm(tokens)  # [b x 17 x e]
        return tokens[:, 1:], tokens[:, 0]

    @torch.no_grad()
    def encode(self, frames: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
        """Encode whole frames.

        Args:
            frames: RGB pictures of any size, each [h x w x 3]

        Returns:
            patch tokens in raster order [b x p x e] and the class token [b x e]
        """
        self.train(mode=False)
        pixels = to_device(resize_frames(frames, self.image_size), self.class_embedding.device)
        patches, class_token = self(pixels)
        return patches, class_token
