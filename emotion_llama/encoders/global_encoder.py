"""Published global encoder (EVA): one whole key frame in, patch tokens and a class token out.

Knows: picture preprocessing and the tower. Does not know: which frame is the key frame, faces, or
how tokens are merged.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import Blip2VisionConfig, Blip2VisionModel

from .frame_pixels import resize_frames, square_side
from .pretrained_tower import load_tower, save_tower, tower_settings
from .transfer import to_device

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
"""Channel statistics of CLIP (Radford et al., 2021), which the published tower was trained with."""
FINAL_NORM_EPS = 1e-5
"""The published final norm is its own layer with PyTorch's default; the blocks use 1e-6."""


_SETTINGS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
    "layer_norm_eps",
    "image_size",
    "patch_size",
    "qkv_bias",
)


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
        self.image_size, patch_size = square_side(config.image_size), square_side(config.patch_size)
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
        self.tower = tower.train(mode=False).requires_grad_(False)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything besides the weights that changes the numbers."""
        return {"tower": tower_settings(self.tower.config, _SETTINGS)}

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device | None = None,
        *,
        local_files_only: bool = True,
    ) -> Self:
        """Load a folder written by `save_pretrained`, or a ``Blip2VisionModel`` folder.

        Raises:
            ValueError: another kind of model, or a tensor is missing, unexpected or misshapen
            OSError: there is no such folder
        """
        loaded = load_tower(
            Blip2VisionModel,
            folder,
            model_types=(Blip2VisionConfig.model_type,),
            dtype=dtype,
            local_files_only=local_files_only,
        )
        return cls.from_tower(loaded.tower).to(device or "cpu")

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write the tower's config.json and safetensors; ``dtype`` as in `save_tower`."""
        save_tower(self.tower, folder, {}, dtype)

    def preprocess(self, frames: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Resize and normalise RGB frames, each [h x w x 3], to [b x 3 x h x w] in fp32."""
        pixels = resize_frames(frames, self.image_size)
        mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
        normalized = (pixels - mean[:, None, None]) / std[:, None, None]
        return to_device(normalized, self.tower.embeddings.class_embedding.device)

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
