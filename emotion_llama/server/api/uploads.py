"""Bytes that a client sends -> a private temporary file with its hash, removed when it was used.

Knows: the folder, the largest size, what a name may hold. Does not know: HTTP, what is in a file.
A client's name is only ever a label: files are named at random and have no ending.
"""

import hashlib
import os
import secrets
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

PREFIX = "upload-"
"""Starts the name of every file here, so that cleaning removes nothing else."""

MAX_NAME_CHARS = 100
"""Kept of a name, from its end: it is shown in answers and errors."""

NO_NAME = "clip"
"""Calls a file whose name has nothing that can be shown."""


class TooLargeError(ValueError):
    """A client sends more than is accepted."""


@dataclass(frozen=True)
class Upload:
    """A file that a client sent."""

    path: Path
    """where it lies on the server; never shown to anybody"""
    name: str
    """what the client calls it, made harmless; a label, never a path"""
    sha256: str
    num_bytes: int


class UploadFolder:
    """A folder that only this user may enter, with the files of clients in it.

    Args:
        root: made where it does not exist; used by one server at a time
        max_bytes: of one file

    Raises:
        OSError: it cannot be made, or made private
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.chmod(0o700)
        self.root = root
        self.max_bytes = max_bytes

    async def receive(self, chunks: AsyncIterator[bytes], name: str) -> Upload:
        """Write what comes into a file that only this user may read.

        Whatever goes wrong meanwhile, a client that goes away included, removes the file.

        Args:
            chunks: of some 10^5 bytes at most, as a server gets them: each is written at once
            name: what the client calls the file

        Raises:
            TooLargeError: more comes than `max_bytes`
        """
        path = self.root / f"{PREFIX}{secrets.token_hex(16)}"
        digest = hashlib.sha256()
        num_bytes = 0
        try:
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
                async for chunk in chunks:
                    num_bytes += len(chunk)
                    if num_bytes > self.max_bytes:
                        msg = (
                            f"found a file of more than {self.max_bytes:,} bytes, expected at "
                            "most that; send a shorter or a smaller one"
                        )
                        raise TooLargeError(msg)
                    digest.update(chunk)
                    out.write(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Upload(path, harmless_name(name), digest.hexdigest(), num_bytes)

    def remove(self, upload: Upload) -> None:
        """Remove a file; one that is gone already is no fault."""
        upload.path.unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove all files that were received, also those that an earlier server left."""
        for path in self.root.glob(f"{PREFIX}*"):
            path.unlink(missing_ok=True)


def harmless_name(name: str) -> str:
    """Give the last part of a name without control characters; a label, not to be opened.

    Characters that are not shown, or that change how others are shown (Unicode's categories C),
    go too.
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(one for one in last if not unicodedata.category(one).startswith("C"))
    kept = " ".join(shown.split())[-MAX_NAME_CHARS:].strip()
    return NO_NAME if kept.strip(". ") == "" else kept
