"""Global encoders: one whole key frame in, patch tokens and a class token out.

Knows: picture preprocessing and the networks: the published tower (EVA) and the small one of the
``mini`` preset. Does not know: which frame is the key frame, faces, or how tokens are merged.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import Blip2VisionConfig, Blip2VisionModel

from .residual_block import ResidualBlock

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
"""Channel statistics of CLIP (Radford et al., 2021), which the published tower was trained with."""
FINAL_NORM_EPS = 1e-5
"""The published final norm is its own layer with PyTorch's default; the blocks use 1e-6."""


def resize_frames(frames: Sequence[NDArray[np.uint8]], size: int) -> Tensor:
    """Resize frames to a square, bicubic; the aspect ratio is not kept.

    Args:
        frames: RGB pictures, each [h x w x 3]
        size: side in pixels

    Returns:
        values in [0, 1], [b x 3 x size x size]

    Raises:
        ValueError: no frame, or one that is not RGB uint8
    """
    if len(frames) == 0:
        msg = "found no frame; give at least one"
        raise ValueError(msg)
    pictures = []
    for frame in frames:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
            msg = (
                f"found a frame of shape {frame.shape} and type {frame.dtype}; "
                "give RGB uint8, [h x w x 3]"
            )
            raise ValueError(msg)
        picture = Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC)
        pictures.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    return torch.stack(pictures).float() / 255.0


def _side(size: int | list[int] | tuple[int, ...]) -> int:
    if isinstance(size, int):
        return size
    if len(set(size)) != 1:
        msg = (
            f"found a side setting of {size}; the tower takes square pictures and patches, give one"
        )
        raise ValueError(msg)
    return size[0]


class EvaGlobalEncoder(nn.Module):
    """The published vision tower (EVA-CLIP-g as in BLIP-2), read after its final norm.

    The pooled output of the library's class is not used: it passes the final norm twice.
    """

    name = "eva"
    version = "1"

    def __init__(self, config: Blip2VisionConfig) -> None:
        """Build the tower with random weights.

        Args:
            config: sizes; the published ones are 1408 wide, 39 layers, 16 heads, 6144 in the MLP,
                14 px patches of a 448 px picture

        Raises:
            ValueError: the picture is no whole number of patches, or they cannot be merged by four
        """
        super().__init__()
        self._set_tower(Blip2VisionModel(config))

    @classmethod
    def from_tower(cls, tower: Blip2VisionModel) -> Self:
        """Wrap a tower that has its weights already."""
        encoder = cls.__new__(cls)
        nn.Module.__init__(encoder)
        encoder._set_tower(tower)
        return encoder

    def _set_tower(self, tower: Blip2VisionModel) -> None:
        config = tower.config
        self.image_size, patch_size = _side(config.image_size), _side(config.patch_size)
        rows, rest = divmod(self.image_size, patch_size)
        if rest or rows * rows % 4:
            msg = (
                f"a {self.image_size} px picture in {patch_size} px patches gives "
                f"{self.image_size / patch_size:g} patches a side; "
                "choose sizes that give a whole, even number"
            )
            raise ValueError(msg)
        self.num_patches = rows * rows
        self.patch_dim = int(config.hidden_size)
        self.output_dim = self.patch_dim
        # the library builds this norm with the blocks' eps and keeps no separate setting for it
        tower.post_layernorm.eps = FINAL_NORM_EPS
        tower.train(mode=False)
        self.tower = tower

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device | None = None,
    ) -> Self:
        """Load a folder written by `save_pretrained`, or a ``Blip2VisionModel`` folder.

        Raises:
            ValueError: a tensor is missing, unexpected or of the wrong shape
        """
        # a wrong shape is let through to the report, so that the error below can name the tensor
        loaded: Any = Blip2VisionModel.from_pretrained(
            folder,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=True,
        )
        tower, report = loaded
        wrong = {kind: sorted(map(str, keys)) for kind, keys in report.items() if keys}
        if wrong:
            msg = f"{folder} does not hold exactly this tower: {wrong}; convert the weights again"
            raise ValueError(msg)
        encoder = cls.from_tower(tower)
        return encoder if device is None else encoder.to(device)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tower's config.json and safetensors."""
        self.tower.save_pretrained(folder)

    def preprocess(self, frames: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Resize and normalise RGB frames, each [h x w x 3], to [b x 3 x h x w] in fp32."""
        pixels = resize_frames(frames, self.image_size)
        mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
        normalized = (pixels - mean[:, None, None]) / std[:, None, None]
        return normalized.to(self.tower.embeddings.class_embedding.device)

    @torch.no_grad()
    def encode(self, frames: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
        """Encode whole frames.

        Args:
            frames: RGB pictures of any size, each [h x w x 3]

        Returns:
            patch tokens in raster order [b x p x e] and the class token [b x e]
        """
        return self.encode_pixels(self.preprocess(frames))

    @torch.no_grad()
    def encode_pixels(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pictures that are already normalised.

        Args:
            pixel_values: output of `preprocess`, [b x 3 x h x w]

        Returns:
            patch tokens in raster order [b x p x e] and the class token [b x e]
        """
        self.tower.train(mode=False)
        hidden = self.tower(pixel_values=pixel_values).last_hidden_state  # [b x (1 + p) x e]
        return hidden[:, 1:], hidden[:, 0]


class SceneGlobalEncoder(nn.Module, PyTorchModelHubMixin):
    """The small tower of the ``mini`` preset: 96 x 96 pixels to 16 patch tokens and a class token.

    Convolutions turn the picture into a 4 x 4 grid; one transformer layer lets the class token and
    the patches read each other. Four consecutive patches are one row of the grid.
    """

    name = "scene"
    version = "1"
    image_size = 96
    num_patches = 16

    def __init__(self, widths: Sequence[int] = (24, 48, 96), patch_dim: int = 128) -> None:
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
        pixels = resize_frames(frames, self.image_size).to(self.class_embedding.device)
        patches, class_token = self(pixels)
        return patches, class_token
