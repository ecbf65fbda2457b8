"""Work on many items -> the same work in batches that fit into a GPU's memory.

Knows: sizes, halving, what running out of memory is. Does not know: what the work is, samples.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

MOST = 64
"""Largest batch that is tried: beyond it a GPU is busy anyway, and a kill costs more answers."""
OUT_OF_MEMORY = "out of memory"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches:
    """Cuts work into batches, and into smaller ones from where memory ran out.

    Args:
        size: items that are worked on together
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.num_failed = 0
        """batches that ran out of memory so far"""

    def work(
        self,
        items: Sequence[Item],
        do: Callable[[Sequence[Item]], Result],
        lost: Callable[[Sequence[Item], str], Result],
    ) -> Iterator[Result]:
        """Work on items in order; a batch that runs out of memory is done again with half the size.

        Args:
            items: all of them
            do: the work on one batch
            lost: says of an item that does not even fit alone why there is nothing of it
        """
        start = 0
        while start < len(items):
            batch = items[start : start + self.size]
            found = _within_memory(do, batch)
            if found is None:
                self.num_failed += 1
                if len(batch) > 1:
                    self.size = len(batch) // 2
                    continue
                found = (lost(batch, f"{OUT_OF_MEMORY}, though it was asked about alone"),)
            start += len(batch)
            yield found[0]


def largest_size(most: int, do: Callable[[int], object]) -> int:
    """Find the largest power of two, at most ``most``, whose batch fits; 1 is not tried.

    Args:
        most: first size that is tried, a power of two
        do: the work on a batch of a size
    """
    size = most
    while size > 1 and _within_memory(do, size) is None:
        size //= 2
    return size


def _within_memory(do: Callable[[Item], Result], given: Item) -> tuple[Result] | None:
    """Give the result; ``None`` where memory ran out, with what was taken given back."""
    try:
        return (do(given),)
    except torch.cuda.OutOfMemoryError:
        pass  # the error holds the tensors of the frames it went through; it ends here
    gc.collect()
    torch.cuda.empty_cache()
    return None
