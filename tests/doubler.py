"""Work for the tests of bulk runs; in a file of its own, which other processes can import."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from emotion_llama.bulk import StopRunError


@dataclass
class Doubler:
    """Doubles numbers; some numbers are trouble. What is saved stands in a file of its own."""

    folder: Path

    def __post_init__(self) -> None:
        self.done: list[int] = []
        self.path = self.folder / f"{os.getpid()}-{time.time_ns()}.txt"

    def run(self, row: int) -> int:
        if row == 13:
            msg = "thirteen"
            raise ValueError(msg)
        if row == 66:
            os.kill(os.getpid(), signal.SIGKILL)
        if row == 67 and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os._exit(3)
        if row == 99:
            msg = "no room"
            raise StopRunError(msg)
        if row == 1000:
            time.sleep(60)
        self.done.append(row)
        return 2 * row

    def save(self) -> None:
        partial = self.path.with_suffix(".partial")
        partial.write_text(" ".join(map(str, self.done)))
        partial.replace(self.path)  # who looks while it saves again finds the earlier numbers


def broken() -> Doubler:
    msg = "no weights"
    raise ValueError(msg)
