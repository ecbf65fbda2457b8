"""Which device, which number type and how many threads, by name or where nobody names one.

Knows: what torch offers here. Does not know: what is computed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_device(name: str | None) -> str:
    """Give the named device, else a GPU if there is one; there, leave out cuDNN's attention.

    With it the same clip has other probabilities each time (by up to 4e-4), and each new length is
    prepared for: 32 to 70 ms a token instead of 29 (random 7b, fp16, H200, torch 2.11).
    """
    device = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda"):
        torch.backends.cuda.enable_cudnn_sdp(False)
    return device


def choose_dtype(name: str | None, device: str) -> torch.dtype:
    """Give the named type, else float32 on a CPU and float16, as published, on a GPU.

    Raises:
        ValueError: an unknown type
    """
    name = name or ("float32" if device == "cpu" else "float16")
    if name not in _TYPES:
        msg = f"dtype is {name!r}, expected one of {', '.join(_TYPES)}"
        raise ValueError(msg)
    return _TYPES[name]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work in one thread: small networks gain nothing from more, and wait for each other.

    Threads also change the last digits of results. A face track that follows itself from frame to
    frame makes hundredths of a pixel of them: the number of processes would change what is found.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
