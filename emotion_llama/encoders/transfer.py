"""Pictures in main memory -> the encoders' device.

Knows: pinned memory. Does not know: pictures, networks.
"""

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device | str) -> Tensor:
    """Move a tensor; to a GPU through pinned memory, so that the copy overlaps with computing."""
    if torch.device(device).type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
