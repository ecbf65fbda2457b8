"""What the routes of batches take and give, as JSON.

Knows: names and limits of fields, how a `Batch` is told. Does not know: routes, the database.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from emotion_llama.server.api.limits import MAX_LABELS
from emotion_llama.server.api.schemas import Answer
from emotion_llama.server.batches.records import Batch, BatchOptions, ClipState, KeptClip, Status

Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]

_EXAMPLE_ID = "188a5c1f9d3e4b00c0ffee0123456789"
_BATCH_EXAMPLE: dict[str, Any] = {
    "id": _EXAMPLE_ID,
    "status": "running",
    "model": "mini",
    "labels": ["happy", "sad", "neutral"],
    "reason": True,
    "evidence": False,
    "metadata": {"study": "7"},
    "counts": {"waiting": 3, "running": 1, "done": 6, "failed": 0, "cancelled": 0},
    "num_clips": 10,
    "kept_bytes": 4_000_000,
    "created_at": "2026-01-02T03:04:05Z",
    "started_at": "2026-01-02T03:05:00Z",
    "ended_at": None,
    "expires_at": None,
}


class BatchRequest(BaseModel):
    """What is asked about every clip of a batch."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"labels": ["happy", "sad", "neutral"], "reason": True, "metadata": {"study": "7"}}
            ]
        },
    )

    model: str | None = None
    """The preset that answers, as `GET /v1/models` has it; without, the first."""

    labels: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | (
        Annotated[list[Label], Field(min_length=1, max_length=MAX_LABELS)] | None
    ) = None
    """Labels to offer, in this order, or the name of a set; without, those of the preset."""

    reason: bool = True
    """Also write the reason."""

    evidence: bool = False
    """Also give what was measured of face, voice and words."""

    metadata: dict[MetadataKey, MetadataValue] = Field(default_factory=dict, max_length=16)
    """Notes of your own, which are given back."""

    def to_record(self, model: str, labels: tuple[str, ...] | None) -> BatchOptions:
        """Give the options of a batch.

        Args:
            model: what `model` stands for
            labels: what `labels` stands for
        """
        return BatchOptions(labels, self.reason, self.evidence, self.metadata, model)


class BatchCounts(Answer):
    """Clips of a batch by state."""

    waiting: int
    """Not taken by a server yet."""
    running: int
    """Being answered."""
    done: int
    """Answered."""
    failed: int
    """Without an answer; the results say why."""
    cancelled: int
    """Not answered any more."""


class BatchResponse(Answer):
    """A batch as it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [_BATCH_EXAMPLE]})

    id: str
    status: Status
    """`open` takes clips, `queued` waits for a server, `running` is being answered; the other
    two have ended."""
    model: str | None
    """The preset that answers; `null`: the first that is served."""
    labels: list[str] | None
    """Offered, in this order; `null`: those of the preset."""
    reason: bool
    evidence: bool
    metadata: dict[str, str]
    counts: BatchCounts
    num_clips: int
    kept_bytes: int
    """Room on the disk; a clip is removed as soon as it is answered."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    """When it is removed with its results; `null` while clips wait for an answer."""

    @classmethod
    def of(cls, batch: Batch, keep_s: float) -> "BatchResponse":
        """Tell of a batch.

        Args:
            batch: to tell of
            keep_s: seconds that it is kept after its end
        """
        return cls(
            id=batch.id,
            status=batch.status,
            model=batch.options.model,
            labels=None if batch.options.labels is None else list(batch.options.labels),
            reason=batch.options.with_reason,
            evidence=batch.options.with_evidence,
            metadata=dict(batch.options.metadata),
            counts=BatchCounts(**{str(state): num for state, num in batch.counts.items()}),
            num_clips=sum(batch.counts.values()),
            kept_bytes=batch.kept_bytes,
            created_at=datetime.fromtimestamp(batch.created_s, UTC),
            started_at=_time(batch.started_s),
            ended_at=_time(batch.ended_s),
            expires_at=_time(batch.expires_s(keep_s)),
        )


class BatchPageResponse(Answer):
    """Some batches of a key, the newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"batches": [_BATCH_EXAMPLE], "next": _EXAMPLE_ID}]}
    )

    batches: list[BatchResponse]
    next: str | None
    """Give it as `before` for the next page; `null`: this was the last."""


class ClipResponse(Answer):
    """A clip that lies in a batch."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "number": 0,
                    "clip": "smile.mp4",
                    "sha256": "0" * 64,
                    "num_bytes": 61_234,
                    "is_new": True,
                }
            ]
        },
    )

    number: int
    """Its place among the results, from 0."""
    clip: str
    """Its name in the results: that of the file, made harmless."""
    sha256: str
    """Of the file."""
    num_bytes: int
    is_new: bool
    """`false`: the same file had come under this name with these words before."""

    @classmethod
    def of(cls, clip: KeptClip) -> "ClipResponse":
        """Tell of a clip."""
        return cls(
            number=clip.number,
            clip=clip.name,
            sha256=clip.sha256,
            num_bytes=clip.num_bytes,
            is_new=clip.is_new,
        )


class ResultResponse(Answer):
    """One line of the results; only a clip that is `done` has a prediction."""

    clip: str
    sha256: str
    state: ClipState
    prediction: Mapping[str, Any] | None
    """As `/v1/predict` gives it, without `sha256` and `request_id`."""
    error: str | None
    """Why there is none, in the words of `/v1/predict`; `null` while the clip waits."""


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
