"""What flows through the construction of a data set: measures -> clues -> captions -> one record.

Knows: names, units and what may be absent. Does not know: how anything is measured or worded,
files. A value that could not be taken is ``None`` and named in ``missing``; it is never 0.
Source: Cheng et al. 2024, section 3.1 and appendix A (MERR); docs/merr.md has the data flow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from emotion_llama.records import AuScale, NeutralScope

SCHEMA_VERSION = "1"
"""Version of the written form of `MerrRecord`; it changes when a name or a meaning does."""

ClueKind = Literal["facial", "scene", "voice", "words"]
"""The four sources of clues: visual expression, visual objective, audio tone and subtitle of the
paper."""

CLUE_KINDS: tuple[ClueKind, ...] = ("facial", "scene", "voice", "words")

LabelKind = Literal["human", "model", "rule"]
"""Who gave a label. Labels of different kinds are kept apart, never overwritten."""

Agreement = Literal["agrees", "disagrees", "abstains", "unmapped"]
"""What a rule table says to a label: its rule fired; it did not, though its units were measured;
nothing can be said (no face, units not measured); or the table has no rule for the label."""

Outcome = Literal["passed", "failed", "unknown"]
"""``unknown``: what the gate looks at was not measured. It is not a pass and not a failure."""

NormScope = Literal["speaker", "corpus", "packaged"]
"""What a voice is held against: other recordings of its speaker, all others of the data set, or the
packaged statistics of many speakers."""

_STRICT = {"extra": "forbid"}
"""Reading (pydantic) refuses a name that the record does not have."""


@dataclass(frozen=True)
class Origin:
    """Where a field of a record came from."""

    __pydantic_config__ = _STRICT

    producer: str
    """name of what made it"""
    version: str
    """its version, with the hash of its weights or table where it has any"""
    settings: str
    """hash of its settings; ``producers.json`` of the data set has them in full"""
    inputs: str
    """hash of what it was made from"""


@dataclass(frozen=True)
class UnitReading:
    """One action unit in the peak frame."""

    __pydantic_config__ = _STRICT

    unit: str
    """``AU12``"""
    intensity: float | None
    """on the scale of `FaceMeasures`; ``None`` where it could not be measured"""
    is_present: bool | None
    """the producer's own decision, else the intensity against the threshold of the scale; ``None``
    where neither is there"""
    confidence: float
    """0 to 1"""


@dataclass(frozen=True)
class FaceMeasures:
    """The main person's face in a clip, and the action units of its peak frame."""

    __pydantic_config__ = _STRICT

    units: tuple[UnitReading, ...]
    """by number; a unit that was never measured has no entry"""
    scale: AuScale | None
    """``None`` where only presence is known (a published record)"""
    scope: NeutralScope | None
    peak_frame: int | None
    """frame number of the peak, from 0, as the producer counted"""
    peak_s: float | None
    peak_score: float | None
    """sum of the intensities that count"""
    peak_reading: str | None
    """``all`` or ``frequent``, see `emotion_llama.face.peak`"""
    num_frames: int | None
    """frames of the clip that were looked at"""
    coverage: float | None
    """share of them that show the face"""
    score: float | None
    """mean probability that what was followed is a face"""
    talking: bool | None
    """whether somebody is heard or seen to talk; parted lips and jaw drop then say little"""


@dataclass(frozen=True)
class SceneMeasures:
    """Facts of the picture that need no model."""

    __pydantic_config__ = _STRICT

    width: int
    height: int
    num_people: int
    """people whose face was followed through the clip"""
    face_share: float | None
    """median area of the main person's face box as a share of the picture, 0 to 1"""
    brightness: float
    """median luma of the picture, 0 black to 1 white"""
    motion: float | None
    """mean change of luma from frame to frame as a share of its range, per second; ``None`` for a
    still"""
    num_cuts: int | None
    """scene cuts; ``None`` for a still"""


@dataclass(frozen=True)
class VoiceMeasures:
    """Prosody of a clip, in units of its own and against a norm."""

    __pydantic_config__ = _STRICT

    values: Mapping[str, float | None]
    """measure -> value in the unit of `emotion_llama.voice.MEASURES`"""
    scores: Mapping[str, float | None]
    """measure -> robust z-score against the norm"""
    scope: NormScope | None
    """the norm; ``None``: there is none, and no word is said"""
    num_recordings: int
    """recordings behind the norm"""
    voiced_s: float
    speech_share: float
    """share of the clip in which somebody speaks, 0 to 1"""
    snr_db: float | None
    """level of speech over that of the pauses"""
    start_s: float | None = None
    """when speech begins, and ends; ``None`` where nobody speaks"""
    end_s: float | None = None


@dataclass(frozen=True)
class Clue:
    """One measured statement, with what it says in a form that a program can compare."""

    __pydantic_config__ = _STRICT

    kind: ClueKind
    feature: str
    """what is spoken of: ``AU12``, ``pitch``, ``brightness``, ``question`` ..."""
    reading: str
    """what is said of it: ``clear``, ``very high``, ``dim``, ``present`` ..."""
    statement: str
    """a main clause in lower case without full stop, free of emotion words outside quotes"""
    value: float | None = None
    """the number behind it"""
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class StatedClue:
    """What a text says, read back into the form of a `Clue`."""

    kind: ClueKind
    feature: str
    reading: str | None
    """``None``: the text says it of the feature without a degree"""
    words: str
    """the words it was read from"""


@dataclass(frozen=True)
class LabelReading:
    """A label and who gave it."""

    __pydantic_config__ = _STRICT

    label: str
    kind: LabelKind
    producer: str
    version: str
    probabilities: Mapping[str, float] | None = None


@dataclass(frozen=True)
class RuleVerdict:
    """What a rule table makes of the action units in the peak frame."""

    __pydantic_config__ = _STRICT

    table: str
    version: str
    distribution: Mapping[str, float]
    """label -> share, of the rules that fired; they add up to 1, empty where none did"""
    margin: float | None
    """distance of the first to the second share; ``None`` without a first"""
    abstains: bool
    why: str | None
    """why it abstains"""
    fired: Mapping[str, tuple[str, ...]]
    """label -> units that made its rule fire"""
    unknown: tuple[str, ...]
    """labels whose rule could not be decided, because units were not measured"""
    agreement: Agreement | None
    """with the record's label; ``None`` where there is no label"""


@dataclass(frozen=True)
class GateResult:
    """One quality gate."""

    __pydantic_config__ = _STRICT

    name: str
    value: float | None
    limit: float | None
    outcome: Outcome
    why: str
    """in words, with the value and the limit"""


@dataclass(frozen=True)
class FineCaption:
    """The reason in words."""

    __pydantic_config__ = _STRICT

    evidence: str
    """what was observed; it names no label"""
    conclusion: str
    """what follows from it; it names the label"""
    label_conditioned: bool
    """whether its writer was told the label before it wrote the evidence"""
    supports: tuple[str, ...] = ()
    """features whose clues speak for the label"""
    contradicts: tuple[str, ...] = ()
    """features whose clues speak against it"""
    num_attempts: int = 1

    @property
    def text(self) -> str:
        """The whole caption."""
        return f"{self.evidence} {self.conclusion}".strip()


@dataclass(frozen=True)
class Source:
    """Where a clip comes from, as its manifest says."""

    __pydantic_config__ = _STRICT

    name: str
    """of the data set or the folder"""
    licence: str | None
    """SPDX id or the name of the terms; ``None``: not stated"""
    speaker: str | None = None
    language: str | None = None
    """ISO 639 code"""
    group: str | None = None
    """what else must not be torn apart by a split, such as the film"""


@dataclass(frozen=True)
class MerrRecord:
    """One annotated clip."""

    __pydantic_config__ = _STRICT

    clip_id: str
    path: str
    """of the file, from the folder that was built from; never a path of one machine"""
    media_sha256: str | None
    duration_s: float | None
    source: Source
    split: str | None
    """``train``, ``dev`` or ``test``, by person and source"""
    transcript: str | None
    labels: tuple[LabelReading, ...]
    """all that were given, human before model"""
    label: str | None
    """the pseudo-label: the first of ``labels``"""
    verdict: RuleVerdict | None
    face: FaceMeasures | None
    scene: SceneMeasures | None
    voice: VoiceMeasures | None
    clues: tuple[Clue, ...]
    scene_description: str | None
    """visual objective, by a model"""
    voice_description: str | None
    """audio tone, in a sentence: by a model, else the voice clues"""
    coarse_caption: str | None
    fine_caption: FineCaption | None
    gates: tuple[GateResult, ...]
    status: Literal["kept", "rejected"]
    reasons: tuple[str, ...]
    """why it was rejected; empty where it was kept"""
    missing: Mapping[str, str]
    """field or kind of clue -> why it is not there"""
    lineage: Mapping[str, Origin]
    """field -> where it came from"""
    notes: tuple[str, ...] = field(default=())
    """what a person should know of the reading"""
    schema_version: str = SCHEMA_VERSION

    def clues_of(self, kind: ClueKind) -> tuple[Clue, ...]:
        """Give the clues of one kind, in order."""
        return tuple(clue for clue in self.clues if clue.kind == kind)
