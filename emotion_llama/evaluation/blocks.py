"""Blocks of samples -> lines in files: each block once, whole or not at all, in order.

Knows: how far a run came and what a kill may have left half written. Does not know: what is asked.
Blocks are the same however often a run is stopped, so a resumed run has the bytes of an
undisturbed one, and no line stands twice.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Row = dict[str, Any]
"""One line of a file; plain values."""

Item = TypeVar("Item")


class BlockFiles:
    """Files that grow together, block by block.

    Args:
        folder: of the files
        progress_name: file that says how far they came
    """

    def __init__(self, folder: Path, progress_name: str) -> None:
        self.folder = folder
        self._progress = folder / progress_name
        self.num_done, self._sizes = self._read()
        for name, size in self._sizes.items():
            os.truncate(folder / name, size)

    def add(self, rows_of: Mapping[str, Sequence[Row]]) -> None:
        """Add what came of the next block, by the name of the file."""
        for name, rows in rows_of.items():
            path = self.folder / name
            with path.open("ab") as file:
                if name not in self._sizes:
                    file.truncate(0)  # left by a kill before the first block was whole
                file.write("".join(to_line(row) for row in rows).encode())
                file.flush()
                os.fsync(file.fileno())
                self._sizes[name] = file.tell()
        self.num_done += 1
        new = self._progress.with_suffix(".new")
        new.write_text(json.dumps({"blocks": self.num_done, "bytes": self._sizes}), "utf-8")
        new.replace(self._progress)

    def _read(self) -> tuple[int, dict[str, int]]:
        if not self._progress.is_file():
            return 0, {}
        content = json.loads(self._progress.read_text("utf-8"))
        return int(content["blocks"]), dict(content["bytes"])


def to_line(row: Row) -> str:
    """Write plain values as one line of JSON, the same bytes whenever they are the same."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def read_rows(path: Path) -> Iterator[Row]:
    """Read the lines of a file; of one that is not there, none."""
    if path.is_file():
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                yield json.loads(line)


def in_blocks(items: Sequence[Item], size: int) -> list[tuple[Item, ...]]:
    """Cut items into blocks of the same size; the last may be smaller."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def in_order(numbered: Iterable[tuple[int, Item]], start: int) -> Iterator[Item]:
    """Give things in the order of their numbers, which come in any order but without gaps."""
    waiting: dict[int, Item] = {}
    following = start
    for number, item in numbered:
        waiting[number] = item
        while following in waiting:
            yield waiting.pop(following)
            following += 1
