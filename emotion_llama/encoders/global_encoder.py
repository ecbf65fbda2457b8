"""Global encoders: one whole key frame in, patch tokens and a class token out.

Knows: picture preprocessing and the networks: the published tower (EVA) and the small one of the
``mini`` preset. Does not know: which frame is the key frame, faces, or how tokens are merged.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import Blip2VisionConfig, Blip2VisionModel

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
        mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        self.register_buffer("pixel_mean", mean[:, None, None], persistent=False)
        self.register_buffer("pixel_std", std[:, None, None], persistent=False)

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
        pixels = resize_frames(frames, self.image_size).to(self.pixel_mean.device)
        return (pixels - self.pixel_mean.float()) / self.pixel_std.float()

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
