"""Batches that fit into memory, with a work that runs out of it above a size."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotion_llama.evaluation.batches import Batches, largest_size


@dataclass
class Work:
    """Doubles numbers, at most ``room`` at once."""

    room: int
    sizes: list[int] = field(default_factory=list)

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.sizes.append(len(items))
        if len(items) > self.room:
            msg = "CUDA out of memory"
            raise torch.cuda.OutOfMemoryError(msg)
        return [2 * item for item in items]


def lost(items: Sequence[int], why: str) -> list[int]:
    assert "out of memory" in why
    return [-item for item in items]


@given(num=st.integers(0, 60), size=st.integers(1, 40), room=st.integers(1, 50))
def test_every_item_is_done_once_in_order_whatever_fits(num: int, size: int, room: int) -> None:
    batches, work = Batches(size), Work(room)
    found = [one for part in batches.work(range(1, num + 1), work, lost) for one in part]
    assert found == [2 * item for item in range(1, num + 1)]
    assert batches.num_failed == sum(one > room for one in work.sizes)


def test_the_size_is_halved_and_stays_so() -> None:
    batches, work = Batches(16), Work(5)
    list(batches.work(range(1, 33), work, lost))
    assert work.sizes[:4] == [16, 8, 4, 4]
    assert (batches.size, batches.num_failed) == (4, 2)
    list(batches.work(range(1, 9), work, lost))
    assert work.sizes[-2:] == [4, 4]


def test_what_does_not_even_fit_alone_is_told_and_the_rest_goes_on() -> None:
    def work(items: Sequence[int]) -> list[int]:
        if 3 in items:
            raise torch.cuda.OutOfMemoryError
        return [2 * item for item in items]

    parts = Batches(4).work([1, 2, 3, 4, 5], work, lost)
    assert [one for part in parts for one in part] == [2, 4, -3, 8, 10]


def test_other_faults_are_not_taken_for_it() -> None:
    def work(items: Sequence[int]) -> list[int]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        list(Batches(4).work([1, 2], work, lost))


@pytest.mark.parametrize(("room", "size"), [(0, 1), (1, 1), (7, 4), (16, 16), (99, 32)])
def test_the_largest_power_of_two_is_found(room: int, size: int) -> None:
    work = Work(room)
    assert largest_size(32, lambda count: work(range(count))) == size
