"""Published local encoder (MAE): face crops in, the mean of their class tokens out.

Knows: the tower and its readings, and the mean over a track. Does not know: how faces are found,
motion, labels, the names in weight files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import ViTMAEConfig, ViTMAEModel

from .face_pixels import check_crops, check_tracks, colour_crops
from .frame_pixels import square_side
from .pretrained_tower import load_tower, save_tower, tower_settings
from .published_weights import read_mae

FACES_PER_PASS = 64
"""Faces run through the tower at once: about 0.7 GB at the published size."""

Reading = Literal["class", "mean"]
"""What of a face is read: the class token, as published, or the mean of the patch tokens."""

_SETTINGS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "layer_norm_eps",
    "image_size",
    "patch_size",
    "qkv_bias",
)
_DECODER = r"(decoder|classifier)\..+|mask_token"
"""Tensors of the library's models with a decoder or head on the same tower."""


class MaeLocalEncoder(nn.Module):
    """MAE ViT-L/16 (published: trained on faces) over every crop of a track, averaged.

    Both readings come after the final norm. The published code's other variant, which pools the
    patches and normalises after that, was not used for the published features; its files, which
    hold ``fc_norm`` and no ``norm``, are refused.

    Args:
        tower: the encoder's half of a MAE
        reading: what of a face is read
        normalize_colours: bring colours to the statistics of ImageNet, as MAE is trained; the
            published features were made without

    Raises:
        ValueError: an unknown reading
    """

    name = "mae"
    version = "1"

    def __init__(
        self, tower: Any, *, reading: Reading = "class", normalize_colours: bool = False
    ) -> None:
        super().__init__()
        if reading not in get_args(Reading):
            msg = f"reading is {reading!r}; expected one of {', '.join(get_args(Reading))}"
            raise ValueError(msg)
        self.reading, self.normalize_colours = reading, normalize_colours
        self.image_size = square_side(tower.config.image_size)
        self.output_dim = int(tower.config.hidden_size)
        self.ignored_weights: tuple[str, ...] = ()
        tower.config.mask_ratio = 0.0
        self.tower = tower.train(mode=False).requires_grad_(False)

    @property
    def options(self) -> Mapping[str, Any]:
        """How the tower is read: the keyword arguments of the constructor."""
        return {"reading": self.reading, "normalize_colours": self.normalize_colours}

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything besides the weights that changes the numbers."""
        return {**self.options, "tower": tower_settings(self.tower.config, _SETTINGS)}

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device | None = None,
        *,
        local_files_only: bool = False,
        **options: Any,
    ) -> Self:
        """Load a folder or a hub repository of the library, or a folder of `save_pretrained`.

        Args:
            source: folder or hub id
            dtype: type of the weights in memory
            device: where to put it; ``None`` is the CPU
            local_files_only: ask no server
            options: keyword arguments of the constructor; default is what the folder says

        Raises:
            ValueError: another kind of model, or a tensor is missing, unexpected or misshapen
            OSError: there is no such folder or repository
        """
        loaded = load_tower(
            ViTMAEModel,
            source,
            model_types=(ViTMAEConfig.model_type,),
            dtype=dtype,
            local_files_only=local_files_only,
            ignored=_DECODER,
        )
        encoder = cls(loaded.tower, **{**loaded.settings, **options})
        encoder.ignored_weights = loaded.ignored
        return encoder.to(device or "cpu")

    @classmethod
    def from_published(
        cls,
        path: str | Path,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device | None = None,
        *,
        num_heads: int | None = None,
        **options: Any,
    ) -> Self:
        """Load a ``.pth`` file of MAE's own program.

        Args:
            path: pre-training file, or one fine-tuned without global pooling
            dtype: type of the weights in memory
            device: where to put it; ``None`` is the CPU
            num_heads: attention heads; ``None`` is one per 64 of the width, true of all published
                sizes but ViT-H, which has 16
            options: keyword arguments of the constructor

        Raises:
            PublishedWeightsError: not plain data, or a tensor is missing, unexpected or misshapen
            FileNotFoundError: there is no such file
        """
        tower, ignored = read_mae(Path(path), num_heads)
        encoder = cls(tower, **options)
        encoder.ignored_weights = ignored
        return encoder.to(device=device or "cpu", dtype=dtype)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a folder that this class and the library load; ``dtype`` as in `save_tower`."""
        save_tower(self.tower, folder, self.options, dtype)

    def crops_read(self, length: int) -> Sequence[int]:
        """Give the positions that are read of a track of this many crops: all."""
        return range(length)

    @torch.no_grad()
    def encode(self, face_crops: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Embed face tracks of any length and crop size, each by itself.

        Args:
            face_crops: RGB crops of one face each, [t x h x w x 3]

        Returns:
            one embedding per track, [b x e]

        Raises:
            ValueError: no track, or one that is not RGB uint8
        """
        check_tracks(face_crops)
        self.train(mode=False)
        return torch.stack([self.encode_faces(crops).mean(dim=0) for crops in face_crops])

    @torch.no_grad()
    def encode_faces(self, crops: NDArray[np.uint8]) -> Tensor:
        """Embed the faces of one track, a part at a time.

        Args:
            crops: RGB uint8 crops, [t x h x w x 3]

        Returns:
            one embedding per face, [t x e]

        Raises:
            ValueError: no crop, or not RGB uint8
        """
        check_crops(crops)
        parts = range(0, len(crops), FACES_PER_PASS)
        return torch.cat([self._encode_part(crops[i : i + FACES_PER_PASS]) for i in parts])

    def _encode_part(self, crops: NDArray[np.uint8]) -> Tensor:
        place = self.tower.embeddings.cls_token
        pixels = colour_crops(
            crops, self.image_size, normalize=self.normalize_colours, device=place.device
        ).to(place.dtype)
        # the library sorts patches by random noise even where it masks none; ascending noise keeps
        # their order, and with it the numbers
        num_patches = self.tower.embeddings.patch_embeddings.num_patches
        noise = torch.arange(num_patches, device=place.device).expand(len(crops), -1)
        tokens: Tensor = self.tower(pixels, noise=noise).last_hidden_state  # [t x (1 + p) x e]
        return tokens[:, 0] if self.reading == "class" else tokens[:, 1:].mean(dim=1)
