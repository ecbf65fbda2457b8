"""Published temporal encoder (VideoMAE): 16 crops of a face track in, one embedding out.

Knows: which reading of the tower is taken, and its final norm. Does not know: how faces are found,
frame times, labels, the names in weight files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEModel

from .crop_choice import NUM_CROPS, choose_crops, draw_crops
from .face_pixels import check_crops, check_tracks, colour_crops
from .frame_pixels import square_side
from .pretrained_tower import load_tower, read_beside, save_tower, tower_settings
from .published_weights import NORM_EPS, read_videomae

_SETTINGS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "layer_norm_eps",
    "image_size",
    "patch_size",
    "num_frames",
    "tubelet_size",
    "qv_bias",
    "use_mean_pooling",
)
_OTHER_PARTS = r"(decoder|classifier|fc_norm)\..+|mask_token|encoder_to_decoder\.weight"
"""Tensors of the library's models with a decoder or head; ``fc_norm`` is read separately."""
_POOLED_NORM = "fc_norm"


class VideoMaeTemporalEncoder(nn.Module):
    """VideoMAE ViT-L (published: trained further on faces) over 16 crops of a track.

    The crops come from eight equal parts of the track, two of each: at fixed places by default, or
    drawn at random as the published features were (they cannot be drawn again: the draw had no
    seed). A track of fewer than 16 crops repeats some.

    The embedding is the mean of all tokens. A pre-training file has a norm over tokens, which comes
    before the mean; a fine-tuned one has a norm (``fc_norm``) behind it instead.

    Args:
        tower: the encoder's half of a VideoMAE
        pooled_norm: the norm behind the mean; needed where, and only where, the tower ends without
        normalize_colours: bring colours to the statistics of ImageNet, as VideoMAE is trained; no
            public source says whether the published features were
        seed: ``None`` takes fixed places; a number draws them at random, alike for tracks of one
            length

    Raises:
        ValueError: the tower does not take 16 frames, or has no norm or two
    """

    name = "videomae"
    version = "1"

    def __init__(
        self,
        tower: Any,
        *,
        pooled_norm: nn.LayerNorm | None = None,
        normalize_colours: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if tower.config.num_frames != NUM_CROPS:
            msg = f"the tower takes {tower.config.num_frames} frames, expected {NUM_CROPS}"
            raise ValueError(msg)
        if (tower.layernorm is None) != (pooled_norm is not None):
            found = "neither" if pooled_norm is None else "both"
            msg = (
                f"found {found} of the norm over tokens and the norm behind the mean "
                f"({_POOLED_NORM}), expected one; give a complete pre-training or fine-tuned model"
            )
            raise ValueError(msg)
        self.normalize_colours, self.seed = normalize_colours, seed
        self.image_size = square_side(tower.config.image_size)
        self.output_dim = int(tower.config.hidden_size)
        self.ignored_weights: tuple[str, ...] = ()
        self.tower = tower
        self.pooled_norm = pooled_norm
        self.train(mode=False).requires_grad_(False)

    @property
    def options(self) -> Mapping[str, Any]:
        """How the tower is read: the keyword arguments of the constructor, but for the norm."""
        return {"normalize_colours": self.normalize_colours, "seed": self.seed}

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
            options: ``normalize_colours``, ``seed``; default is what the folder says

        Raises:
            ValueError: another kind of model, or a tensor is missing, unexpected or misshapen
            OSError: there is no such folder or repository
        """
        loaded = load_tower(
            VideoMAEModel,
            source,
            model_types=(VideoMAEConfig.model_type,),
            dtype=dtype,
            local_files_only=local_files_only,
            ignored=_OTHER_PARTS,
        )
        norm = None
        if loaded.tower.layernorm is None:
            norm = nn.LayerNorm(loaded.tower.config.hidden_size, eps=NORM_EPS, dtype=dtype)
            read_beside(norm, _POOLED_NORM, source, local_files_only=local_files_only)
        encoder = cls(loaded.tower, pooled_norm=norm, **{**loaded.settings, **options})
        used = _POOLED_NORM if norm is not None else "nothing"
        encoder.ignored_weights = tuple(k for k in loaded.ignored if not k.startswith(f"{used}."))
        return encoder.to(device or "cpu")

    @classmethod
    def from_published(
        cls,
        path: str | Path,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device | None = None,
        *,
        num_heads: int | None = None,
        image_size: int = 224,
        **options: Any,
    ) -> Self:
        """Load a ``.pth`` file of VideoMAE's own program, pre-trained or fine-tuned.

        Args:
            path: the file
            dtype: type of the weights in memory
            device: where to put it; ``None`` is the CPU
            num_heads: attention heads; ``None`` is one per 64 of the width, true of all published
                sizes but ViT-H, which has 16
            image_size: side of the pictures in pixels, which the file does not tell
            options: ``normalize_colours``, ``seed``

        Raises:
            PublishedWeightsError: not plain data, or a tensor is missing, unexpected or misshapen
            FileNotFoundError: there is no such file
        """
        tower, norm, ignored = read_videomae(Path(path), num_heads, image_size)
        encoder = cls(tower, pooled_norm=norm, **options)
        encoder.ignored_weights = ignored
        return encoder.to(device=device or "cpu", dtype=dtype)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a folder that this class and the library load; ``dtype`` as in `save_tower`."""
        beside = {} if self.pooled_norm is None else {_POOLED_NORM: self.pooled_norm}
        save_tower(self.tower, folder, self.options, dtype, beside)

    def crops_read(self, length: int) -> Sequence[int]:
        """Give the positions that are read of a track of this many crops."""
        return choose_crops(length) if self.seed is None else draw_crops(length, self.seed)

    @torch.no_grad()
    def encode(self, face_crops: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Embed face tracks of any length and crop size, each by itself.

        Args:
            face_crops: RGB crops of one face each in time order, [t x h x w x 3]

        Returns:
            one embedding per track, [b x e]

        Raises:
            ValueError: no track, or one that is not RGB uint8
        """
        check_tracks(face_crops)
        self.train(mode=False)
        return torch.stack([self._encode_track(crops) for crops in face_crops])

    def _encode_track(self, crops: NDArray[np.uint8]) -> Tensor:
        check_crops(crops)
        places = list(self.crops_read(len(crops)))
        weight = self.tower.embeddings.patch_embeddings.projection.weight
        pixels = colour_crops(
            crops[places], self.image_size, normalize=self.normalize_colours, device=weight.device
        ).to(weight.dtype)
        tokens = self.tower(pixels[None]).last_hidden_state[0]  # [p x e], p over space and time
        pooled: Tensor = tokens.mean(dim=0)
        return pooled if self.pooled_norm is None else self.pooled_norm(pooled)
