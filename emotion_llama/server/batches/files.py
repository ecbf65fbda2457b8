"""Clips of batches -> private files that go away with their answers.

Knows: where a clip and its words lie, who may read them, removal. Does not know: the database,
HTTP, what is in a file. Files are called by ids of hex digits that this server drew; what a client
calls a clip is never part of a path.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

WORDS = ".txt"
"""Ends the name of the file with what is said in a clip."""


@dataclass(frozen=True)
class FoundFile:
    """A clip's file on the disk."""

    batch_id: str
    clip_id: str
    age_s: float


class BatchFiles:
    """A folder that only this user may enter: ``<batch>/<clip>`` and ``<batch>/<clip>.txt``.

    Args:
        root: made where it does not exist; servers that share a database share it

    Raises:
        OSError: it cannot be made, or made private
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.chmod(0o700)
        self.root = root

    def path(self, batch_id: str, clip_id: str) -> Path:
        """Say where a clip lies."""
        return self.root / batch_id / clip_id

    def place(self, batch_id: str, clip_id: str, source: Path, text: str | None) -> None:
        """Keep a file, and what is said in it, after the upload is removed.

        Raises:
            OSError: the disk is full, or the batch is removed at the same time
        """
        path = self.path(batch_id, clip_id)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        try:
            _keep(source, path)
            if text is not None:
                with _new_file(path.with_suffix(WORDS)) as out:
                    out.write(text.encode())
        except BaseException:
            self.remove(batch_id, clip_id)
            raise

    def words(self, batch_id: str, clip_id: str) -> str | None:
        """Read what is said in a clip, as far as it was sent."""
        path = self.path(batch_id, clip_id).with_suffix(WORDS)
        # as bytes, because reading text would change line ends
        return path.read_bytes().decode() if path.exists() else None

    def remove(self, batch_id: str, clip_id: str) -> None:
        """Remove a clip, and the folder of its batch if that was the last."""
        path = self.path(batch_id, clip_id)
        path.unlink(missing_ok=True)
        path.with_suffix(WORDS).unlink(missing_ok=True)
        with suppress(OSError):  # others lie there, or another thread was first
            path.parent.rmdir()

    def remove_batch(self, batch_id: str) -> None:
        """Remove all clips of a batch."""
        shutil.rmtree(self.root / batch_id, ignore_errors=True)

    def found(self) -> Iterator[FoundFile]:
        """List what lies here."""
        now = time.time()
        for path in self.root.glob("*/*"):
            with suppress(FileNotFoundError):  # another thread removes it
                age_s = now - path.stat().st_mtime
                yield FoundFile(path.parent.name, path.stem, age_s)

    @property
    def free_bytes(self) -> int:
        """Room on the disk."""
        return shutil.disk_usage(self.root).free


def _new_file(path: Path) -> BinaryIO:
    """Open a file that is not there yet and that only this user may read."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def _keep(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that is not possible (another disk)."""
    try:
        os.link(source, target)
    except OSError:
        with source.open("rb") as given, _new_file(target) as out:
            shutil.copyfileobj(given, out)
