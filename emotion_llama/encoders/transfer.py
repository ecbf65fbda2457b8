"""Pictures in main memory -> the encoders' device, and features back.

Knows: pinned memory, streams. Does not know: pictures, networks.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device | str) -> Tensor:
    """Move a tensor; to a GPU through pinned memory, so that the copy overlaps with computing."""
    if torch.device(device).type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


class Queued:
    """What a device was given to do up to now.

    Args:
        device: of what is computed; all but a GPU compute at once
    """

    def __init__(self, device: torch.device | str) -> None:
        self._end: torch.cuda.Event | None = None
        if torch.device(device).type == "cuda":
            self._device = torch.device(device)
            self._end = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._end.record(torch.cuda.current_stream(self._device))

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Let copies that are made within wait for this, and not for what was queued after it."""
        if self._end is None:
            yield
            return
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            self._end.wait()
            yield
