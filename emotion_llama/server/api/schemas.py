"""What answers look like: JSON of predictions, models, files and errors, as the OpenAPI has it.

Knows: names, types and meanings. Does not know: how an answer comes about. The names of a
prediction are those of `emotion_llama.records.Prediction`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from emotion_llama.records import Modality, Prediction, View

_EXAMPLE: Mapping[str, Any] = {
    "clip": "smile.mp4",
    "label": "happy",
    "probabilities": {"happy": 0.75, "neutral": 0.25},
    "reason": "the person smiles, so the emotion is happy",
    "modalities": ["global", "local", "temporal", "audio"],
    "missing": {"text": "no transcript was given"},
    "confidence": 0.75,
    "unsure": False,
    "unsure_rule": "neither face, voice nor words to go on, no readable label, or a probability "
    "below 0.35",
    "valence": 0.75,
    "key_frame_s": 1.0,
    "warnings": [],
    "timings_s": {"read": 0.5, "encode": 0.125, "label": 0.125, "reason": 0.25, "total": 1.0},
    "preset": "mini",
    "answer": None,
    "alone": {
        "seen": {"happy": 0.875, "neutral": 0.125},
        "heard": {"happy": 0.5, "neutral": 0.5},
    },
    "schema_version": "1",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "request_id": "5f0c6d0c1a2b4e5f8a9b0c1d2e3f4a5b",
}


class Answer(BaseModel):
    """Has all that is named, and no more."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class EvidenceResponse(Answer):
    """One measured statement."""

    modality: Modality
    statement: str
    value: float | None
    start_s: float | None
    end_s: float | None
    producer: str
    feature: str
    """what was measured: an action unit, a measure of the voice, a kind of word"""
    reading: str
    """what it was found to be"""


class PredictionResponse(Answer):
    """The answer for one clip."""

    model_config = ConfigDict(json_schema_extra={"examples": [dict(_EXAMPLE)]})

    clip: str
    """what the client called the file, made harmless; `text` for text alone"""
    label: str | None
    """the most probable offered label"""
    probabilities: dict[str, float]
    """one value per offered label, in the offered order; they add up to 1"""
    reason: str | None
    """null where no reason was asked for"""
    modalities: list[Modality]
    """modalities that the answer used"""
    missing: dict[Modality, str]
    """modalities that it did not use, with the reason"""
    confidence: float
    """probability of the most probable label"""
    unsure: bool
    unsure_rule: str
    """the rule behind `unsure`, in words"""
    valence: float | None
    """-1 unpleasant to 1 pleasant; null where a label has no sign"""
    key_frame_s: float | None
    evidence: list[EvidenceResponse] | None = None
    """what was measured of face, voice and words; left out unless the request has
    `evidence=true`, and empty where no reason was asked for"""
    warnings: list[str]
    timings_s: dict[str, float]
    """seconds of each stage"""
    preset: str
    answer: str | None
    """what the model wrote freely, where that decides the label"""
    alone: dict[View, dict[str, float]]
    """what would be said of what is `seen` and of what is `heard`, with the words, alone; empty
    where a clip has only one of them, or where the preset reads both in one prompt"""
    schema_version: str
    sha256: str | None
    """of the file as it arrived; null for text alone"""
    request_id: str


class ErrorDetail(Answer):
    """What went wrong."""

    message: str
    """what was found, what was expected, what to do"""
    type: str
    """`invalid_request_error`, `authentication_error`, `permission_error`, `rate_limit_error` or
    `server_error`"""
    code: str
    """one word for programs"""
    param: str | None
    """part of the request that is at fault"""
    request_id: str


class ErrorResponse(Answer):
    """Every error has this form."""

    error: ErrorDetail


class StateResponse(Answer):
    """Whether the service runs."""

    status: Literal["alive", "ready"]


class ModelResponse(Answer):
    """A model, in the form of OpenAI."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """when the server was started; seconds since 1970"""
    owned_by: str = "emotion-llama"


class ModelListResponse(Answer):
    """All models, the one that is asked where none is named first."""

    object: Literal["list"] = "list"
    data: list[ModelResponse]


class FileResponse(Answer):
    """A file that was uploaded for chat, in the form of OpenAI."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    """seconds since 1970"""
    expires_at: int
    """when the file is removed"""
    filename: str
    """what the client called the file, made harmless"""
    purpose: str
    status: Literal["processed"] = "processed"


class FileListResponse(Answer):
    """All files of the key."""

    object: Literal["list"] = "list"
    data: list[FileResponse]
    has_more: Literal[False] = False


class FileRemovedResponse(Answer):
    """A file that is no more."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


_RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}

ERRORS: Mapping[int, str] = {
    400: "The request is broken, or asks for what is not offered.",
    401: "No key, or an unknown one; only where keys are required.",
    403: "Without keys: a foreign host name or origin.",
    404: "There is no such model, file or address.",
    408: "The body came too slowly.",
    413: "More than the limits allow: bytes, seconds, pixels, tracks.",
    415: "The body is of another type, or the file is no video, sound or picture.",
    422: "A field is unusable, or the clip gives no answer: nothing to go on, a text that is too "
    "long, or reading it fails or takes too long.",
    429: "Too many requests of this client, or too many wait.",
    500: "Something failed here; the trace is in the server's log under the request id.",
    503: "The service starts or stops.",
    504: "The answer takes too long; its work was cancelled.",
}
"""Status -> when it is given."""


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route; those that any route may give are always among them."""
    return {
        status: {
            "model": ErrorResponse,
            "description": ERRORS[status],
            **({"headers": _RETRY_AFTER} if status in (429, 503) else {}),
        }
        for status in sorted({400, 401, 403, 500, *statuses})
    }


def prediction_content(
    prediction: Prediction, sha256: str | None, request_id: str, *, with_evidence: bool = False
) -> dict[str, Any]:
    """Give a prediction as it is sent, of the form of `PredictionResponse`."""
    record = prediction_record(prediction, with_evidence=with_evidence)
    return {**record, "sha256": sha256, "request_id": request_id}


def prediction_record(prediction: Prediction, *, with_evidence: bool) -> dict[str, Any]:
    """Give the names and values of a prediction, with evidence on request; nothing is rounded."""
    record = prediction.to_dict()
    if not with_evidence:
        del record["evidence"]
    return record
