"""What batches, their clips and their results are, between the database and who asks.

Knows: names, states, times. Does not know: SQL, HTTP, files.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ClipState = Literal["waiting", "running", "done", "failed", "cancelled"]
"""Of a clip: it waits, a server has taken it, or what came of it."""

Status = Literal["open", "queued", "running", "finished", "cancelled"]
"""Of a batch: it takes clips, waits for a server, is being answered, or has ended."""

UNANSWERED: tuple[ClipState, ...] = ("waiting", "running")
"""States of a clip that still needs its file."""


class StoreError(ValueError):
    """A database cannot be used."""


class NoBatchError(LookupError):
    """There is no such batch, or it is another key's, which nobody is told."""


class BatchStateError(ValueError):
    """A batch is not in the state for what is asked."""


class TooManyError(ValueError):
    """A batch has as many clips as it may, or a key as many batches."""


@dataclass(frozen=True)
class BatchOptions:
    """What is asked about each clip of a batch."""

    labels: tuple[str, ...] | None = None
    with_reason: bool = True
    with_evidence: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    """the client's own notes"""
    model: str | None = None
    """the preset that answers; ``None``: the default"""


@dataclass(frozen=True)
class Batch:
    """A batch as it stands."""

    id: str
    options: BatchOptions
    counts: Mapping[ClipState, int]
    """every state -> clips"""
    kept_bytes: int
    """of the clips on the disk, which are those without an answer"""
    is_begun: bool
    """whether a server has taken a clip of it"""
    created_s: float
    changed_s: float
    started_s: float | None
    ended_s: float | None
    is_cancelled: bool

    @property
    def status(self) -> Status:
        """Say it in a word."""
        if self.is_cancelled:
            return "cancelled"
        if self.ended_s is not None:
            return "finished"
        if self.started_s is None:
            return "open"
        return "running" if self.is_begun else "queued"

    def expires_s(self, keep_s: float) -> float | None:
        """When it is removed; ``None`` while it has clips to answer."""
        if self.ended_s is not None:
            return self.ended_s + keep_s
        return self.changed_s + keep_s if self.started_s is None else None


@dataclass(frozen=True)
class NewClip:
    """A clip on its way into a batch."""

    source: Path
    """copied from, and left there"""
    name: str
    sha256: str
    num_bytes: int
    text: str | None = None

    @property
    def words_sha256(self) -> str:
        """Tell words apart; empty where none were sent."""
        return "" if self.text is None else hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class KeptClip:
    """A clip of a batch."""

    number: int
    """its place in the batch, from 0"""
    name: str
    sha256: str
    num_bytes: int
    is_new: bool
    """not if the same file had come under this name with these words before"""


@dataclass(frozen=True)
class Job:
    """A clip that a server has taken, to answer for."""

    clip_id: str
    batch_id: str
    number: int
    name: str
    attempts: int
    """how often it was taken, this time included; each time before ended with its server"""
    options: BatchOptions


@dataclass(frozen=True)
class Outcome:
    """What came of a clip."""

    number: int
    name: str
    sha256: str
    state: ClipState
    prediction: str | None
    """JSON"""
    error: str | None
