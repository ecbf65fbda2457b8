"""Folder of a run -> its figures and answers, checked, as the report shows them.

Knows: the form of ``metrics.json`` and ``answers.jsonl``. Does not know: how anything was computed,
HTML, plots. A section that a run does not have is ``None``; ``absent`` says why.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emotion_llama.evaluation.protocol import Kind

METRICS_FILE = "metrics.json"
ANSWERS_FILE = "answers.jsonl"

_Row = TypeVar("_Row", bound=BaseModel)

_READ = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)
"""``metrics.json`` may hold more than the report shows; it stays the full record."""


class FigureRow(BaseModel):
    """A figure with its 95 % interval, where one could be drawn."""

    model_config = _READ

    value: float | None
    low: float | None = None
    high: float | None = None
    over: str = "clips"
    """what the interval was drawn over: clips, or a group such as ``speaker``"""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, found: Any) -> Any:
        return {"value": found} if isinstance(found, int | float) else found


class LabelRow(BaseModel):
    """Figures of one label."""

    model_config = _READ

    support: int
    recall: float | None
    precision: float | None
    f1: float | None


class ConfusionRow(BaseModel):
    """How often which label was answered for which."""

    model_config = _READ

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """row: truth, column: answer, [a x a]"""
    outside: tuple[int, ...]
    """answers that are no scored label, by truth, [a]"""
    unparsed: tuple[int, ...]
    """answers without a label, by truth, [a]"""

    @model_validator(mode="after")
    def _is_square(self) -> "ConfusionRow":
        size = len(self.labels)
        lengths = {len(row) for row in (self.counts, *self.counts, self.outside, self.unparsed)}
        if lengths != {size}:
            msg = f"found rows of {sorted(lengths)} counts, expected {size}, one a label"
            raise ValueError(msg)
        return self


class FigureSetRow(BaseModel):
    """Figures of one way to count the answers."""

    model_config = _READ

    figures: Mapping[str, FigureRow]
    num_clips: int | None = None
    per_label: Mapping[str, LabelRow] = Field(default_factory=dict)
    confusion: ConfusionRow | None = None
    label: str | None = None
    """of an answer that is always the same"""
    became_neutral: int | None = None
    """answers without a label that were counted as neutral"""

    @model_validator(mode="before")
    @classmethod
    def _from_figures(cls, found: Any) -> Any:
        is_bare = isinstance(found, Mapping) and "figures" not in found
        return {"figures": found} if is_bare else found


class LabelsRow(BaseModel):
    """The same answers, counted in three ways."""

    model_config = _READ

    scored: FigureSetRow | None = None
    written: FigureSetRow | None = None
    published: FigureSetRow | None = None


class BaselinesRow(BaseModel):
    """Figures that no model is needed for; other fields are baselines of other kinds."""

    model_config = ConfigDict(**{**_READ, "extra": "allow"})

    majority: FigureSetRow | None = None
    constant: Mapping[str, FigureSetRow] = Field(default_factory=dict)
    chance: FigureSetRow | None = None


class BinRow(BaseModel):
    """Clips whose confidence is within one bin."""

    model_config = _READ

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


class CalibrationRow(BaseModel):
    """Whether confidences can be taken at their word."""

    model_config = _READ

    num_clips: int
    ece: float | None = None
    perfect_ece: float | None = None
    adaptive_ece: float | None = None
    perfect_adaptive_ece: float | None = None
    classwise_ece: float | None = None
    perfect_classwise_ece: float | None = None
    nll: float | None = None
    brier: float | None = None
    auroc: float | None = None
    bins: tuple[BinRow, ...] = ()


class RiskCoverageRow(BaseModel):
    """Share of wrong answers when only the most confident ones are given."""

    model_config = _READ

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    aurc: float | None = None
    best_aurc: float | None = None
    answered_at_80: float | None = None


class FaithfulnessRow(BaseModel):
    """Whether what reasons state was measured in their own clip, and in another one."""

    model_config = _READ

    n: int
    own: FigureRow | None
    other: FigureRow | None
    drop_points: Any = None
    telling: Any = None
    stated: int | None = None
    """clues in all reasons"""
    kinds: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    untrue: tuple[str, ...] = ()
    """some clues that do not agree"""


class SubsetRow(BaseModel):
    """The figure with some modalities only."""

    model_config = _READ

    modalities: tuple[str, ...]
    num_clips: int
    value: float | None
    low: float | None = None
    high: float | None = None


class SubsetsRow(BaseModel):
    """What each modality adds."""

    model_config = _READ

    figure: str
    rows: tuple[SubsetRow, ...]
    drop: Mapping[str, float | None] = Field(default_factory=dict)
    shapley: Mapping[str, float | None] = Field(default_factory=dict)


class NoiseRow(BaseModel):
    """The figure under one disturbance."""

    model_config = _READ

    name: str
    level: Any = None
    kind: str
    num_clips: int
    clean: float | None
    value: float | None
    drop: float | None = None
    low: float | None = None
    high: float | None = None
    """``low`` and ``high`` are the interval of ``value``"""
    same_answer: float | None = None
    """share of clips that are answered as before"""


class NoisesRow(BaseModel):
    """What disturbances cost."""

    model_config = _READ

    figure: str
    rows: tuple[NoiseRow, ...]
    left_out: Mapping[str, int] = Field(default_factory=dict)
    """why clips could not be disturbed -> how many"""


class GroupRow(BaseModel):
    """The mean recall of one group of people."""

    model_config = _READ

    group: str
    n: int
    uar: float | None
    low: float | None = None
    high: float | None = None


class SmallGroupRow(BaseModel):
    """A group with too few clips for a figure."""

    model_config = _READ

    group: str
    n: int


class GroupsRow(BaseModel):
    """One way to divide the people, such as ``sex``."""

    model_config = _READ

    rows: tuple[GroupRow, ...]
    suppressed: tuple[SmallGroupRow, ...] = ()
    gap: Any = None
    worst: Any = None
    unknown: int | None = None
    """clips of no known group"""
    equalised_odds_gap: Mapping[str, float | None] = Field(default_factory=dict)
    """label -> largest difference of its recall between groups"""


class ComparisonRow(BaseModel):
    """This run against another one on the same clips."""

    model_config = _READ

    other: str
    figures: Mapping[str, Mapping[str, Any]]
    """figure -> ``difference`` (this minus the other), ``low``, ``high``, ``p``"""
    mcnemar_p: float | None = None
    """of the accuracies"""
    table: Mapping[str, int] | None = None
    """clips that ``both``, ``only_this``, ``only_other`` or ``neither`` answered right"""


class ProtocolRow(BaseModel):
    """The rules of the benchmark."""

    model_config = ConfigDict(**{**_READ, "extra": "allow"})

    name: str
    title: str
    kind: Kind
    metric: str
    labels: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    note: str | None = None
    published: Mapping[str, float] = Field(default_factory=dict)
    published_by: str | None = None


class RunRow(BaseModel):
    """What ran, on what; every other field is shown in the manifest."""

    model_config = ConfigDict(**{**_READ, "extra": "allow"})

    preset: str
    modalities: tuple[str, ...] | None = None
    prompt_mode: str | None = None
    decision: str | None = None
    limit: float | None = None
    """samples that were asked for: a number of at least 1, or a share"""
    data: Mapping[str, Any] = Field(default_factory=dict)


class CountsRow(BaseModel):
    """How many clips came to what."""

    model_config = _READ

    samples: int
    answered: int
    failed: int
    unparsed: int | None = None


class MetricsRow(BaseModel):
    """All of ``metrics.json``."""

    model_config = _READ

    schema_version: Literal["1"]
    protocol: ProtocolRow
    run: RunRow
    counts: CountsRow
    labels: LabelsRow | None = None
    baselines: BaselinesRow | None = None
    folds: Mapping[str, FigureSetRow] | None = None
    calibration: CalibrationRow | None = None
    risk_coverage: RiskCoverageRow | None = None
    soft_labels: Mapping[str, Any] | None = None
    valence: Mapping[str, Any] | None = None
    faithfulness: FaithfulnessRow | None = None
    subsets: SubsetsRow | None = None
    noise: NoisesRow | None = None
    sensitivity: Mapping[str, Mapping[str, Any]] | None = None
    groups: Mapping[str, GroupsRow] | None = None
    sentiment: Mapping[str, Any] | None = None
    open_words: Mapping[str, Any] | None = None
    hits: Mapping[str, Any] | None = None
    judge: Mapping[str, Any] | None = None
    proxies: Mapping[str, Any] | None = None
    comparison: ComparisonRow | None = None
    absent: Mapping[str, str] = Field(default_factory=dict)
    """section -> why the run does not have it"""


class AnswerRow(BaseModel):
    """One line of ``answers.jsonl``; one with an error has no answer."""

    model_config = _READ

    sample_id: str
    clip: str | None = None
    label: str | None = None
    probabilities: Mapping[str, float] | None = None
    reason: str | None = None
    answer: str | None = None
    """what the model wrote, as it stands"""
    parse_status: Literal["ok", "mapped", "invalid", "empty"] | None = None
    target: Any = None
    scored_label: str | None = None
    """``label`` as the protocol counts it"""
    confidence: float | None = None
    modalities: tuple[str, ...] = ()
    missing: Mapping[str, str] = Field(default_factory=dict)
    evidence: tuple[Any, ...] = ()
    warnings: tuple[str, ...] = ()
    groups: Mapping[str, str] = Field(default_factory=dict)
    error: str | None = None
    key_frame_s: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, found: Any) -> Any:
        if not isinstance(found, Mapping):
            return found
        return {name: value for name, value in found.items() if value is not None}


def read_metrics(run: Path) -> MetricsRow:
    """Read ``metrics.json`` of a run.

    Raises:
        ValueError: it is missing or has another form
    """
    path = run / METRICS_FILE
    return _checked(MetricsRow, _text(path), str(path))


def read_answers(run: Path) -> list[AnswerRow]:
    """Read ``answers.jsonl`` of a run.

    Raises:
        ValueError: it is missing or a line has another form
    """
    path = run / ANSWERS_FILE
    lines = _text(path).split("\n")  # not splitlines: a text may hold other line ends
    return [
        _checked(AnswerRow, line, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = (
            f"{path}: found no text that can be read ({error}), expected a file of a finished "
            "run; run the evaluation first"
        )
        raise ValueError(msg) from error


def _checked(form: type[_Row], text: str, where: str) -> _Row:
    try:
        return form.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        msg = f"{where}: found no JSON ({error}), expected what the evaluation wrote; run it again"
        raise ValueError(msg) from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the whole"
        found = repr(fault["input"])[:200]
        msg = f"{where}, {place}: {fault['msg']}; found {found}; run the evaluation again"
        raise ValueError(msg) from error
