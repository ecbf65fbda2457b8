"""The records that flow between the stages: Clip -> Features -> Batch -> Prediction.

Knows: names, shapes and units. Does not know: files, models, prompts. Needs no torch at run time.
Shape letters are listed once, in ``emotion_llama/model/__init__.py``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Modality = Literal["global", "local", "temporal", "audio", "text"]
"""The four encoder roles of the paper's figure, and the transcript."""

MODALITIES: tuple[Modality, ...] = ("global", "local", "temporal", "audio", "text")

EncoderRole = Literal["audio", "global", "local", "temporal"]

ENCODER_ROLES: tuple[EncoderRole, ...] = ("audio", "global", "local", "temporal")
"""The modalities that an encoder reads, in the order in which they are loaded and listed."""

Task = Literal["emotion", "reason"]
"""What is asked: name the emotion, or explain it."""

SCHEMA_VERSION = "1"
"""Version of the JSON form of `Prediction`; it changes when a name or a meaning does."""


@dataclass(frozen=True)
class FaceTrack:
    """One person's face through the frames of a clip; frames without the person are named."""

    crops: NDArray[np.uint8]
    """aligned face crops in time order, RGB, [t x h x w x 3]; at least one"""
    times_s: NDArray[np.float64]
    """presentation time of each crop in seconds, [t]"""
    boxes: NDArray[np.float32]
    """left, top, width, height in pixels of the frame, [t x 4]"""
    coverage: float
    """share of the looked-at frames in which the face was found, 0 to 1"""
    producer: str
    """name and version of what found the face"""
    missing_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """presentation times of the looked-at frames in which this person was not found"""
    person: int = 1
    """1 is the main person of the clip, 2 the next one, ..."""
    prominence: float = 1.0
    """size x presence x centrality: what orders the people of a clip"""
    is_aligned: bool = True
    """whether the crops are turned and scaled on the eyes; if not, they show the boxes"""
    scores: NDArray[np.float32] | None = None
    """probability that the crop shows a face, [t]; this and all below are ``None`` where no points
    were looked for"""
    points: NDArray[np.float32] | None = None
    """x, y, depth in pixels of the frame, numbered as in ``face/points.py``, [t x 70 x 3]"""
    pose_deg: NDArray[np.float32] | None = None
    """yaw, pitch, roll of the head in degrees, [t x 3]; see `emotion_llama.face.head_pose`"""
    visible: NDArray[np.float32] | None = None
    """probability that eyes, nose and mouth are not covered, [t x 3]"""
    views: NDArray[np.uint8] | None = None
    """aligned, grey, as large for every track: in which skin is followed, [t x 112 x 112]"""


AuScale = Literal["0-5", "0-1", "probability"]
"""Unit of an intensity: FACS grades A to E as 1 to 5 with 0 for absent; a share of the largest
movement; or how likely the unit is present. Values of different units are never mixed."""

NeutralScope = Literal["clip", "population", "producer"]
"""What intensities are relative to: the person's own neutral in the clip, the mean of many people
(a still picture), or whatever an imported table's program used."""


@dataclass(frozen=True)
class ActionUnitTable:
    """Action units of one person's face, a row a frame (Ekman & Friesen 1978: FACS)."""

    times_s: NDArray[np.float64]
    """presentation time of each row in seconds, [t]"""
    frames: NDArray[np.int64]
    """frame number of each row, from 0, as its producer counted, [t]"""
    intensity: Mapping[str, NDArray[np.float32]]
    """``AU12`` -> [t]; NaN where it could not be measured. A unit that was never measured has no
    entry: absent is not 0"""
    presence: Mapping[str, NDArray[np.float32]]
    """``AU12`` -> 1 present, 0 not, NaN unknown, [t]; only from producers that decide it"""
    confidence: Mapping[str, NDArray[np.float32]]
    """``AU12`` -> 0 to 1, [t]; how far the value can be relied on, one entry for every unit of
    ``intensity`` and ``presence``"""
    tracked: NDArray[np.bool_]
    """whether the producer followed the face in this frame, [t]; untracked rows hold only NaN"""
    scale: AuScale
    scope: NeutralScope
    producer: str
    version: str

    @property
    def units(self) -> tuple[str, ...]:
        """Names of all units of the table, by number."""
        names = {*self.intensity, *self.presence}
        return tuple(sorted(names, key=lambda name: int(name.removeprefix("AU"))))


@dataclass(frozen=True)
class Evidence:
    """One measured statement that supports or contradicts an answer."""

    modality: Modality
    statement: str
    value: float | None
    start_s: float | None
    end_s: float | None
    producer: str
    feature: str = ""
    """what was measured: an action unit, a measure of the voice, a kind of word"""
    reading: str = ""
    """what it was found to be: ``clear``, ``slightly high``, ``present`` ..."""


@dataclass(frozen=True)
class Clip:
    """What was read from one file (or given as text): the input of the encoders."""

    clip_id: str
    kind: Literal["video", "image", "audio", "text"]
    path: Path | None = None
    duration_s: float | None = None
    waveform: NDArray[np.float32] | None = None
    """mono sound in [-1, 1] at ``sample_rate_hz``, [w]"""
    sample_rate_hz: int = 16000
    frames: NDArray[np.uint8] | None = None
    """frames sampled evenly over the clip, upright, RGB, [t x h x w x 3]"""
    frame_times_s: NDArray[np.float64] | None = None
    """presentation time of each frame in seconds, [t]"""
    key_frame: NDArray[np.uint8] | None = None
    """the frame that the global encoder sees, RGB, [h x w x 3]"""
    key_frame_s: float | None = None
    faces: FaceTrack | None = None
    transcript: str | None = None
    evidence: tuple[Evidence, ...] | None = None
    """what was measured of face, voice and words, the surest of each first; ``None``: nothing was
    measured"""
    missing: Mapping[Modality, str] = field(default_factory=dict)
    """modality -> why it is not there; every absent modality is named"""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Features:
    """Encoder outputs of one clip; a missing modality is ``None``, never zeros."""

    patches: "torch.Tensor | None" = None
    """global encoder, patch tokens of the key frame in raster order, [p x e]"""
    class_token: "torch.Tensor | None" = None
    """global encoder, class token of the key frame, [e]"""
    local: "torch.Tensor | None" = None
    """local encoder, face crops averaged over time, [e]"""
    temporal: "torch.Tensor | None" = None
    """temporal encoder, face motion, [e]"""
    audio: "torch.Tensor | None" = None
    """audio encoder, speech averaged over time, [e]"""
    missing: Mapping[Modality, str] = field(default_factory=dict)
    """modality -> why it is ``None``"""
    approximate: tuple[Modality, ...] = ()
    """modalities put together from windows, because the clip is too long for one pass"""

    def __post_init__(self) -> None:
        if (self.patches is None) != (self.class_token is None):
            msg = (
                "patches and class_token come from one picture: expected both or neither, found "
                f"{'only patches' if self.class_token is None else 'only class_token'}"
            )
            raise ValueError(msg)

    @property
    def present(self) -> tuple[Modality, ...]:
        """Encoder roles that have a feature, in the order of `MODALITIES`."""
        values = {
            "global": self.patches,
            "local": self.local,
            "temporal": self.temporal,
            "audio": self.audio,
        }
        return tuple(m for m in MODALITIES if values.get(m) is not None)

    @property
    def has_face(self) -> bool:
        """Whether a face was encoded; a picture alone may show anything."""
        return self.local is not None or self.temporal is not None

    @property
    def seen(self) -> "Features":
        """What came from pictures alone."""
        return replace(self, audio=None)

    @property
    def heard(self) -> "Features":
        """What came from sound alone."""
        return replace(self, patches=None, class_token=None, local=None, temporal=None)


View = Literal["seen", "heard"]
"""What pictures show of a clip, and what its sound lets hear."""


@dataclass(frozen=True)
class Sample:
    """One question about one clip: what the prompt is rendered from."""

    task: Task
    transcript: str | None = None
    question: str | None = None
    """wording of the question; ``None`` takes the task's default from ``prompt.py``"""
    labels: tuple[str, ...] | None = None
    """labels to offer, in this order; ``None`` takes the model's own list"""
    answer: str | None = None
    """training target"""
    name: str | None = None


@dataclass(frozen=True)
class Prediction:
    """The answer for one clip. Field names are the JSON names."""

    clip: str
    label: str | None
    """the most probable offered label; with greedy decoding the parsed answer or ``None``"""
    probabilities: Mapping[str, float]
    """one value per offered label, in the offered order; they add up to 1"""
    reason: str | None
    """``None`` where no reason was asked for"""
    modalities: tuple[Modality, ...]
    """modalities that the answer used"""
    missing: Mapping[Modality, str]
    """modalities that it did not use, with the reason"""
    confidence: float
    """probability of the most probable label"""
    unsure: bool
    unsure_rule: str
    """the rule behind ``unsure``, in words"""
    valence: float | None
    """sum of probability x sign of each label (`emotion_llama.labels.VALENCE`), -1 to 1"""
    key_frame_s: float | None
    evidence: tuple[Evidence, ...]
    warnings: tuple[str, ...]
    timings_s: Mapping[str, float]
    preset: str
    answer: str | None = None
    """what the model wrote to the emotion task with greedy decoding, unread; ``None`` where the
    label is scored and nothing was to be written"""
    alone: Mapping[View, Mapping[str, float]] = field(default_factory=dict)
    """``seen`` and ``heard``, the words included -> what would be said of that alone, one value per
    offered label; empty where a clip has only one of them, or the preset reads both in one
    prompt"""
    schema_version: str = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Give plain Python values that ``json.dumps`` accepts."""
        return asdict(self)
