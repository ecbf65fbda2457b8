"""What a stage made of one clip, kept under a key of everything that it depends on.

Knows: keys, files written whole. Does not know: what is kept. Safe for many processes and machines
on one file system, and for kill -9: a file is there in full or not at all.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from emotion_llama.merr.record_file import canonical_json

KEY_DIGITS = 32
"""Hexadecimal digits of a key: 128 bits never meet by chance."""


def key_of(value: Any) -> str:
    """Give the key of plain values (what `canonical_json` takes)."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:KEY_DIGITS]


class StageCache:
    """A folder of results.

    Args:
        folder: made when the first result is kept
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, stage: str, key: str) -> Mapping[str, Any] | None:
        """Give what is kept; ``None`` where there is nothing, or nothing that can be read."""
        try:
            value = json.loads(self._path(stage, key).read_bytes())
        except (FileNotFoundError, ValueError):  # damaged: made again
            return None
        return value if isinstance(value, dict) else None

    def put(self, stage: str, key: str, value: Mapping[str, Any]) -> None:
        """Keep a result.

        Raises:
            OSError: there is no room
        """
        path = self._path(stage, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            with part.open("wb") as file:
                file.write(canonical_json(value).encode())
                file.flush()
                os.fsync(file.fileno())  # a name must never outlive a crash without its content
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _path(self, stage: str, key: str) -> Path:
        return self._folder / stage / key[:2] / f"{key}.json"
