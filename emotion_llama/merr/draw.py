"""A choice that looks random and is the same every time.

Knows: hashing. Does not know: what is chosen among.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def draw_number(*parts: object) -> int:
    """Give a number of 64 bits that depends on the parts' text and on nothing else."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(
        hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big"
    )


def choose(options: Sequence[T], *parts: object) -> T:
    """Choose one of several options by the text of the parts.

    Raises:
        ValueError: there is nothing to choose from
    """
    if not options:
        msg = f"found no option to choose from for {parts!r}; give at least one"
        raise ValueError(msg)
    return options[draw_number(*parts) % len(options)]
