"""The errors that reading a file can end with.

Knows: how such a message is put together. Does not know: containers, codecs, clips.
"""

from pathlib import Path


class MediaError(ValueError):
    """A file cannot be used; the message names the file, what was found, expected and to do."""

    def __init__(self, path: Path, *, found: str, expected: str, next_step: str) -> None:
        super().__init__(f"{path}: found {found}; expected {expected}; {next_step}")
        self.path = path
        self.found = found
        self.expected = expected
        self.next_step = next_step


class MediaLimitError(MediaError):
    """A file is longer, larger or more than was allowed; the file itself may be sound."""
