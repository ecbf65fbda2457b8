"""What the encoders have in common: one Protocol a role, and what identifies their weights.

Knows: names, settings, shapes. Does not know: any network, clips, files.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HASH_DIGITS = 16
"""Hexadecimal digits kept of a SHA-256: two of a million files collide with p below 1e-7."""


class Encoder(Protocol):
    """What every encoder has; name, version, settings and `weights_hash` decide its numbers."""

    name: str
    version: str
    output_dim: int

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything besides the weights that changes the numbers; JSON values only."""
        ...

    def encode(self, batch: Sequence[Any], /) -> Any:
        """Encode a batch; one item gives the same numbers alone as in company."""
        ...


class AudioEncoder(Encoder, Protocol):
    """A waveform in, one embedding out."""

    sample_rate_hz: int
    fewest_samples: int

    def is_approximate(self, num_samples: int) -> bool:
        """Tell whether a sound of this many samples is too long to be encoded exactly."""
        ...

    def encode(self, waveforms: Sequence[NDArray[np.float32] | Tensor], /) -> Tensor:
        """Embed mono sounds, each [w], as [b x e]."""
        ...


class GlobalEncoder(Encoder, Protocol):
    """A whole frame in, patch tokens and a class token out."""

    image_size: int
    patch_dim: int
    num_patches: int

    def encode(self, frames: Sequence[NDArray[np.uint8]], /) -> tuple[Tensor, Tensor]:
        """Encode RGB frames, each [h x w x 3], as [b x p x e] and [b x e]."""
        ...


class FaceEncoder(Encoder, Protocol):
    """A track of face crops in, one embedding out."""

    def crops_read(self, length: int) -> Sequence[int]:
        """Give the positions that are read of a track of this many crops."""
        ...

    def encode(self, face_crops: Sequence[NDArray[np.uint8]], /) -> Tensor:
        """Embed tracks of RGB crops, each [t x h x w x 3], as [b x e]."""
        ...


_HASHES: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def weights_hash(encoder: nn.Module) -> str:
    """Give a short SHA-256 of names, types, shapes and bytes of an encoder's tensors.

    It is computed once for each encoder: encoders are frozen. The order of the tensors and the
    device do not matter; a cast to another type changes the numbers, and the hash too.
    """
    if encoder not in _HASHES:
        digest = hashlib.sha256()
        for name, tensor in sorted(encoder.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(content.numpy().data)
        _HASHES[encoder] = digest.hexdigest()[:HASH_DIGITS]
    return _HASHES[encoder]
