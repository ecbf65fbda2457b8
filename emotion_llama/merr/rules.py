"""Action units of the peak frame -> which labels a rule table finds, with shares and a margin.

Knows: the form of a rule table, three-valued logic over units (present, absent, unknown), the
score. Does not know: the rules themselves (they are data), how units were measured, other labels'
sources. A unit that was not measured is unknown, never absent. Source of the idea: Cheng et al.
2024, section 3.1 (a clip is kept where its action units agree with its label).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emotion_llama.face.peak import BLINKS, SPEECH
from emotion_llama.labels import ALIASES
from emotion_llama.merr.facial import is_counted, stillness, strength
from emotion_llama.merr.record_file import canonical_json
from emotion_llama.merr.records import Agreement, FaceMeasures, RuleVerdict, UnitReading

PACKAGED = ("merr", "mer-factory", "facs")
"""Tables that the package has: the published one, and the prototypes of the coding system."""

SpeechUnits = Literal["count", "ignore_when_talking"]
"""What AU25, AU26 and AU27 are of a face that may be talking: as measured, or unknown."""

Outcome = Literal["fired", "not", "unknown"]
"""Of a rule; ``unknown``: with the units that were not measured it might have fired."""

OPTIONAL_WEIGHT = 0.5
"""An optional unit counts half in a score: it strengthens a rule that fired without it."""

SHARE_DECIMALS = 6
"""Of shares and margins: the same bytes from every machine, and sums of 1 to five decimals."""

_TABLES = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class Variant:
    """One set of units by which a rule fires."""

    units: tuple[str, ...]
    min_hits: int
    """how many of them must be present"""
    optional: tuple[str, ...] = ()
    """units that raise the score and are not needed"""
    at_least: Mapping[str, float] = field(default_factory=dict)
    """unit -> intensity on the 0-5 scale from which it counts"""


@dataclass(frozen=True)
class Rule:
    """What a table says of one label."""

    label: str
    origin: Literal["published", "own"]
    source: str
    variants: tuple[Variant, ...]
    """the rule fires by any of them"""
    still: float | None = None
    """share of the countable units that must have been measured, and none of them present; such a
    rule has no variants"""
    needs: Literal["unilateral"] | None = None
    """what the records do not hold: such a rule is never decided"""


@dataclass(frozen=True)
class RuleTable:
    """Rules by label, and how they are read."""

    name: str
    version: str
    """as written in the table, with the hash of its content"""
    source: str
    speech_units: SpeechUnits
    rules: tuple[Rule, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that have a rule, in order."""
        return tuple(rule.label for rule in self.rules)

    def label_of(self, label: str) -> str | None:
        """Give the table's own name of a label (``happiness`` is ``happy``), if it has a rule."""
        form = label.strip().lower()
        return next((name for name in (form, ALIASES.get(form)) if name in self.labels), None)


Unit = Annotated[str, Field(pattern=r"^AU\d{2}$")]


class VariantRow(BaseModel):
    """A variant as it is written; without ``min_hits`` all units are needed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: list[Unit] = Field(min_length=1)
    min_hits: int | None = Field(default=None, ge=1)
    optional: list[Unit] = []
    at_least: dict[Unit, Annotated[float, Field(gt=0, le=5)]] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> "VariantRow":
        named = [*self.units, *self.optional]
        blinks = sorted({*named} & {*BLINKS})
        problems = (
            (self.min_hits is not None and self.min_hits > len(self.units),
             f"min_hits of 1 to {len(self.units)}, the number of units, found {self.min_hits}"),
            (len({*named}) < len(named), f"every unit once, found {', '.join(named)}"),
            (bool(blinks), f"no blink, everybody blinks, found {', '.join(blinks)}"),
            (not {*self.at_least} <= {*self.units},
             f"at_least of its units only, found {', '.join(self.at_least)}"),
        )  # fmt: skip
        for is_wrong, expected in problems:
            if is_wrong:
                msg = f"expected {expected}"
                raise ValueError(msg)
        return self

    def to_record(self) -> Variant:
        """Give the variant."""
        return Variant(
            units=tuple(self.units),
            min_hits=len(self.units) if self.min_hits is None else self.min_hits,
            optional=tuple(self.optional),
            at_least=dict(self.at_least),
        )


class RuleRow(BaseModel):
    """A rule as it is written: with variants, or with ``still``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(min_length=1)
    origin: Literal["published", "own"]
    source: str = Field(min_length=1)
    variants: list[VariantRow] = []
    still: float | None = Field(default=None, gt=0, le=1)
    needs: Literal["unilateral"] | None = None

    @model_validator(mode="after")
    def _has_one_kind(self) -> "RuleRow":
        if bool(self.variants) == (self.still is not None):
            msg = (
                f"expected either variants or still, found {len(self.variants)} variants and "
                f"still={self.still}"
            )
            raise ValueError(msg)
        return self

    def to_record(self) -> Rule:
        """Give the rule."""
        variants = tuple(row.to_record() for row in self.variants)
        return Rule(self.label, self.origin, self.source, variants, self.still, self.needs)


class TableFile(BaseModel):
    """A rule table as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    source: str = Field(min_length=1)
    speech_units: SpeechUnits
    rules: list[RuleRow] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_one_rule_a_label(self) -> "TableFile":
        labels = [rule.label for rule in self.rules]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            msg = f"expected one rule a label, found more for {', '.join(twice)}"
            raise ValueError(msg)
        return self

    def to_record(self) -> RuleTable:
        """Give the table; its version ends in a hash of its content."""
        content = hashlib.sha256(canonical_json(self.model_dump()).encode()).hexdigest()
        return RuleTable(
            name=self.name,
            version=f"{self.version}-{content[:12]}",
            source=self.source,
            speech_units=self.speech_units,
            rules=tuple(row.to_record() for row in self.rules),
        )


def load_rules(name_or_path: str | Path) -> RuleTable:
    """Read a rule table.

    Args:
        name_or_path: ``merr``, ``facs``, or a YAML file of the form that docs/rules.md describes

    Raises:
        ValueError: there is no such table or file, it is no YAML, or it breaks the form
    """
    packaged = str(name_or_path) in PACKAGED
    path = _TABLES / f"{name_or_path}.yaml" if packaged else Path(name_or_path)
    if not path.is_file():
        msg = (
            f"{name_or_path}: found no such rule table; expected {', '.join(PACKAGED)} or the path "
            "of a YAML file"
        )
        raise ValueError(msg)
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path}: found no YAML ({error}); expected a rule table, see docs/rules.md"
        raise ValueError(msg) from error
    try:
        return TableFile.model_validate(plain).to_record()
    except ValidationError as error:
        raise ValueError(_fault(path, plain, error)) from error


def _fault(path: Path, plain: Any, error: ValidationError) -> str:
    """Say which file, rule and value broke the form, and what was expected."""
    fault = error.errors()[0]
    place = list(fault["loc"])
    parts = []
    if len(place) > 1 and place[0] == "rules":
        rule = plain["rules"][place[1]]
        name = rule.get("label") if isinstance(rule, dict) else None
        parts.append(f"rule {name!r}" if name else f"rule number {int(place[1]) + 1}")
        place = place[2:]
    if place:
        parts.append(".".join(map(str, place)))
    where = f"{path}: {', '.join(parts)}" if parts else str(path)
    wish = fault["msg"].removeprefix("Value error, ")
    # a problem of the whole row names what it found itself
    found = "" if wish.startswith("expected") else f"found {fault['input']!r:.80}; "
    return f"{where}: {found}{wish[0].lower()}{wish[1:]}; correct the table, see docs/rules.md"


@dataclass(frozen=True)
class _Finding:
    """What became of one rule."""

    outcome: Outcome
    score: float = 0.0
    units: tuple[str, ...] = ()
    """present units that made it fire"""


def judge(face: FaceMeasures | None, table: RuleTable, label: str | None = None) -> RuleVerdict:
    """Tell which rules of a table fire for a face, how well they fit, and whether a label agrees.

    The score of a rule that fired is ``seen x explained``: the share of its measured units that
    are present, each weighted by its strength (an optional one by half of it), times the share of
    all the face's movement that its present units make up. A rule for a still face scores the
    share of units that was measured. Shares are scores divided by their sum; of a rule with
    several variants the best counts. The formula is ours.

    Args:
        face: measures of the peak frame; ``None`` where no face was found
        table: the rules
        label: the record's label

    Returns:
        the verdict; it abstains where no rule fired
    """
    findings = {} if _is_blank(face) or face is None else _find_all(face, table)
    fired = {name: found for name, found in findings.items() if found.outcome == "fired"}
    total = sum(found.score for found in fired.values())
    ranked = sorted(fired, key=lambda name: (-fired[name].score, table.labels.index(name)))
    shares = [round(fired[name].score / total, SHARE_DECIMALS) for name in ranked]
    unknown = tuple(name for name, found in findings.items() if found.outcome == "unknown")
    return RuleVerdict(
        table=table.name,
        version=table.version,
        distribution=dict(zip(ranked, shares, strict=True)),
        margin=round(shares[0] - sum(shares[1:2]), SHARE_DECIMALS) if shares else None,
        abstains=not fired,
        why=None if fired else _why(face, unknown),
        fired={name: fired[name].units for name in ranked},
        unknown=unknown if findings else table.labels,
        agreement=None if label is None else _agreement(findings, table, label),
    )


def _is_blank(face: FaceMeasures | None) -> bool:
    return face is None or all(reading.is_present is None for reading in face.units)


def _why(face: FaceMeasures | None, unknown: Sequence[str]) -> str:
    if face is None:
        return "no face was measured"
    if _is_blank(face):
        return "no action unit was measured in a peak frame"
    undecided = f"; not decided, because units were not measured: {', '.join(unknown)}"
    return "no rule fired" + undecided * bool(unknown)


def _agreement(findings: Mapping[str, _Finding], table: RuleTable, label: str) -> Agreement:
    name = table.label_of(label)
    if name is None:
        return "unmapped"
    if name not in findings or findings[name].outcome == "unknown":
        return "abstains"
    return "agrees" if findings[name].outcome == "fired" else "disagrees"


def _find_all(face: FaceMeasures, table: RuleTable) -> dict[str, _Finding]:
    masked = SPEECH if table.speech_units == "ignore_when_talking" else ()
    known = {
        reading.unit: reading
        for reading in face.units
        if reading.is_present is not None
        and (reading.unit not in masked or is_counted(reading.unit, face))
    }
    return {rule.label: _find(rule, face, known) for rule in table.rules}


def _find(rule: Rule, face: FaceMeasures, known: Mapping[str, UnitReading]) -> _Finding:
    if rule.needs is not None:
        return _Finding("unknown")
    if rule.still is not None:
        share = stillness(face, rule.still)
        return (
            _Finding("unknown") if share is None else _Finding("fired" if share else "not", share)
        )
    findings = [_find_variant(variant, face, known) for variant in rule.variants]
    fired = [found for found in findings if found.outcome == "fired"]
    if fired:
        return max(fired, key=lambda found: found.score)
    return _Finding("unknown" if any(f.outcome == "unknown" for f in findings) else "not")


def _find_variant(
    variant: Variant, face: FaceMeasures, known: Mapping[str, UnitReading]
) -> _Finding:
    states = {unit: _state(unit, variant, face, known) for unit in variant.units}
    hits = [unit for unit, state in states.items() if state]
    num_unknown = sum(state is None for state in states.values())
    if len(hits) < variant.min_hits:
        could_fire = len(hits) + num_unknown >= variant.min_hits
        return _Finding("unknown" if could_fire else "not")
    extra = [unit for unit in variant.optional if unit in known and known[unit].is_present]
    weights = {
        unit: strength(reading, face.scale)
        for unit, reading in known.items()
        if reading.is_present and unit not in BLINKS
    }
    weight = sum(weights[unit] for unit in hits)
    more = sum(weights[unit] for unit in extra)
    seen = (weight + OPTIONAL_WEIGHT * more) / (len(states) - num_unknown)
    explained = (weight + more) / sum(weights.values())
    return _Finding("fired", seen * explained, tuple(sorted([*hits, *extra])))


def _state(
    unit: str, variant: Variant, face: FaceMeasures, known: Mapping[str, UnitReading]
) -> bool | None:
    """Tell whether a unit counts as present for a variant; ``None`` where nobody knows."""
    reading = known.get(unit)
    if reading is None or not reading.is_present or unit not in variant.at_least:
        return None if reading is None else reading.is_present
    if face.scale != "0-5" or reading.intensity is None:
        return None
    return reading.intensity >= variant.at_least[unit]
