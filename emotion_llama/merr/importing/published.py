"""Published MERR files, coarse or fine -> records; nothing in them is mended.

Knows: their field names and types, the columns of the list. Does not know: rules, media. Source:
Cheng et al. 2024, section 3.1; docs/exports.md has the fields.
"""

import csv
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.merr.export.published import NAMES_FILE, NO_VOICE, UNKNOWN_VALENCE, VALENCE_NOTE
from emotion_llama.merr.records import (
    Clue,
    FaceMeasures,
    FineCaption,
    LabelReading,
    MerrRecord,
    Origin,
    RuleVerdict,
    Source,
    UnitReading,
)

PRODUCER = "published MERR file"
NOT_STATED = "not stated"

_UNIT = re.compile(r"AU\d{2}")
_LIST_COLUMNS = (3, 4)
_NOT_IN_FILE = "the published form does not have it"


@dataclass(frozen=True)
class ListLine:
    """A line of the list of clips."""

    num_frames: int
    label: str
    valence: str | None
    """as it is written; ``None`` where the list has three columns or `UNKNOWN_VALENCE`"""


class CoarseRow(BaseModel):
    """One coarse annotation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    AU_list: list[str]
    visual_prior_list: list[str]
    audio_prior_list: str
    peak_index: str
    peak_AU_list: list[str]  # noqa: N815 (the published name)
    pseu_emotion: str = Field(min_length=1)
    caption: str = Field(min_length=1)

    def to_record(self, clip_id: str) -> MerrRecord:
        """Give the record of the clip, without what stands in other files."""
        return replace(_to_record(self, clip_id), coarse_caption=self.caption)


class FineRow(BaseModel):
    """One fine annotation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    AU_list: list[str]
    visual_prior_list: list[str]
    audio_prior_list: str
    peak_index: str
    peak_AU_list: list[str]  # noqa: N815 (the published name)
    pseu_emotion: str = Field(min_length=1)
    text: str
    smp_reason_caption: str = Field(min_length=1)

    def to_record(self, clip_id: str) -> MerrRecord:
        """Give the record of the clip, without what stands in other files.

        The whole caption is the conclusion: the published writer was told the label.
        """
        caption = FineCaption("", self.smp_reason_caption, label_conditioned=True)
        return replace(_to_record(self, clip_id), transcript=self.text, fine_caption=caption)


def read_published(
    json_path: Path,
    txt_path: Path | None = None,
    *,
    source: str = PRODUCER,
    licence: str | None = None,
) -> list[MerrRecord]:
    """Read a published MERR file, coarse (``caption``) or fine (``smp_reason_caption``).

    Units have no intensity, for the form has none. Words are kept as they are: a statement of a
    unit that is not among those of the peak stays, and the record says so in a note. Where
    ``names.csv`` of an export lies beside the file, clip ids and paths are taken from it.

    Args:
        json_path: name -> annotation
        txt_path: list with name, number of frames, label and, if wanted, valence
        source: what the source is called
        licence: of the source: an id of `emotion_llama.merr.licences`, such as ``MER2023-EULA``

    Returns:
        the records, in the order of the file

    Raises:
        ValueError: an unknown or missing field, a wrong value, or list and annotations disagree
    """
    content = _read_json(json_path)
    listed = None if txt_path is None else read_list(txt_path)
    if listed is not None:
        _require_same_clips(content, listed, json_path, txt_path)
    names = _read_names(json_path.with_name(NAMES_FILE))
    digest = hashlib.sha256(json_path.read_bytes()).hexdigest()
    origin = Origin(PRODUCER, NOT_STATED, NOT_STATED, digest)
    records = []
    for name, plain in content.items():
        record = _read_entry(name, plain, json_path)
        clip_id, path = _identity(name, names, json_path)
        record = replace(
            record,
            clip_id=clip_id,
            path=path,
            source=Source(source, licence),
            lineage=_lineage(record, origin),
        )
        records.append(record if listed is None else _with_line(record, name, listed, txt_path))
    return records


def read_list(path: Path) -> dict[str, ListLine]:
    """Read a list of clips with three or four columns, separated by blanks.

    Returns:
        name -> the rest of the line

    Raises:
        ValueError: a line of another form, or a clip twice
    """
    lines: dict[str, ListLine] = {}
    for number, text in enumerate(_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        cells = text.split()
        where = f"{path.name}, line {number}"
        if len(cells) not in _LIST_COLUMNS or not cells[1].isdecimal():
            msg = (
                f"{where}: found {text[:60]!r}, expected a name without blanks, a whole number of "
                "frames, a label and, if wanted, a valence"
            )
            raise ValueError(msg)
        if cells[0] in lines:
            msg = f"{where}: found clip {cells[0]!r} again, expected each once; remove one line"
            raise ValueError(msg)
        valence = cells[3] if len(cells) > 3 else None
        _require_number(valence, where)
        lines[cells[0]] = ListLine(
            int(cells[1]), cells[2], None if valence == UNKNOWN_VALENCE else valence
        )
    return lines


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(_text(path), object_pairs_hook=_without_repeats)
    except ValueError as error:
        msg = f"{path.name}: expected a JSON object, a clip an entry ({error})"
        raise ValueError(msg) from error
    if not isinstance(content, dict) or not content:
        msg = f"{path.name}: found no entry, expected a JSON object with an entry a clip"
        raise ValueError(msg)
    return content


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice; JSON itself would drop the first."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        msg = f"found {next(n for n in names if names.count(n) > 1)!r} twice; remove one"
        raise ValueError(msg)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        msg = f"{path}: found no such file; check the path"
        raise ValueError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: found bytes that are no UTF-8; save the file as UTF-8"
        raise ValueError(msg) from error


def _read_entry(name: str, plain: Any, path: Path) -> MerrRecord:
    if not isinstance(plain, dict):
        msg = f"{path.name}, clip {name!r}: found {plain!r:.60}, expected an object with fields"
        raise ValueError(msg)
    row = FineRow if "smp_reason_caption" in plain or "text" in plain else CoarseRow
    try:
        return row.model_validate(plain).to_record(name)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        expected = ", ".join(row.model_fields)
        msg = (
            f"{path.name}, clip {name!r}, field {place!r}: {fault['msg'].lower()}, found "
            f"{_found(fault)}; expected the fields {expected}"
        )
        raise ValueError(msg) from error
    except ValueError as error:
        msg = f"{path.name}, clip {name!r}, {error}"
        raise ValueError(msg) from error


def _found(fault: Any) -> str:
    return "none" if fault["type"] == "missing" else f"{fault['input']!r:.60}"


def _to_record(row: CoarseRow | FineRow, name: str) -> MerrRecord:
    """Give what coarse and fine annotations share.

    Raises:
        ValueError: a value that the field cannot have; names the field
    """
    _require_sound(row)
    voice = None if row.audio_prior_list in ("", NO_VOICE) else row.audio_prior_list
    label = row.pseu_emotion
    missing = {
        "scene": _NOT_IN_FILE,
        "voice": _NOT_IN_FILE,
        "media_sha256": "the published form has no media",
        "words": "the published form has no clues of the words",
    }
    if not row.AU_list:
        missing["facial"] = "AU_list is empty"
    if voice is None:
        missing["voice_description"] = "audio_prior_list says nothing of the voice"
    return MerrRecord(
        clip_id=name,
        path=name,
        media_sha256=None,
        duration_s=None,
        source=Source(PRODUCER, None),
        split=None,
        transcript=None,
        labels=(LabelReading(label, "model", PRODUCER, NOT_STATED),),
        label=label,
        verdict=_verdict(label, row.AU_list),
        face=_face(row),
        scene=None,
        voice=None,
        clues=tuple(
            Clue("facial", unit, "present", statement)
            for unit, statement in zip(row.AU_list, row.visual_prior_list, strict=True)
        ),
        scene_description=None,
        voice_description=voice,
        coarse_caption=None,
        fine_caption=None,
        gates=(),
        status="kept",
        reasons=(),
        missing=missing,
        lineage={},
        notes=_notes(row),
    )


def _require_sound(row: CoarseRow | FineRow) -> None:
    for field, units in (("AU_list", row.AU_list), ("peak_AU_list", row.peak_AU_list)):
        wrong = [unit for unit in units if not _UNIT.fullmatch(unit)]
        if wrong:
            msg = f"field {field!r}: found {wrong[0]!r}, expected names such as 'AU05'"
            raise ValueError(msg)
    if len(row.AU_list) != len(row.visual_prior_list):
        msg = (
            f"field 'visual_prior_list': found {len(row.visual_prior_list)} statements, expected "
            f"{len(row.AU_list)}, one for each unit of AU_list"
        )
        raise ValueError(msg)
    if not row.peak_index.isdecimal() or str(int(row.peak_index)) != row.peak_index:
        msg = f"field 'peak_index': found {row.peak_index!r}, expected a whole number from 0"
        raise ValueError(msg)


def _verdict(label: str, units: Sequence[str]) -> RuleVerdict:
    """Keep the units that the file gives for the label; no rule was tested here."""
    return RuleVerdict(
        table=PRODUCER,
        version=NOT_STATED,
        distribution={},
        margin=None,
        abstains=True,
        why="the published form gives units for the label, and no verdict of a rule",
        fired={label: tuple(units)},
        unknown=(),
        agreement="abstains",
    )


def _face(row: CoarseRow | FineRow) -> FaceMeasures:
    return FaceMeasures(
        units=tuple(
            UnitReading(unit, intensity=None, is_present=True, confidence=1.0)
            for unit in row.peak_AU_list
        ),
        scale=None,
        scope=None,
        peak_frame=int(row.peak_index),
        peak_s=None,
        peak_score=None,
        peak_reading=None,
        num_frames=None,
        coverage=None,
        score=None,
        talking=None,
    )


def _notes(row: CoarseRow | FineRow) -> tuple[str, ...]:
    """Say which units are worded that the peak does not have; in `sad`, AU14 stands as AU15."""
    notes = []
    for unit in dict.fromkeys(row.AU_list):
        if unit in row.peak_AU_list:
            continue
        swapped = unit == "AU15" and row.pseu_emotion == "sad" and "AU14" in row.peak_AU_list
        cause = " (the peak has AU14, which published sad records word as AU15)" if swapped else ""
        notes.append(
            f"AU_list and its phrase name {unit}, which is not among the units of the peak{cause}; "
            "the text is kept as published."
        )
    return tuple(notes)


def _require_number(valence: str | None, where: str) -> None:
    if valence is None:
        return
    try:
        float(valence)
    except ValueError as error:
        msg = f"{where}: found valence {valence!r}, expected a number"
        raise ValueError(msg) from error


def _require_same_clips(
    content: Mapping[str, Any], listed: Mapping[str, ListLine], json_path: Path, txt_path: Any
) -> None:
    for here, there, path, other in (
        (content, listed, json_path, txt_path),
        (listed, content, txt_path, json_path),
    ):
        alone = next((name for name in here if name not in there), None)
        if alone is not None:
            msg = (
                f"{path.name} has clip {alone!r}, which {other.name} lacks; give the list that "
                "belongs to the annotations"
            )
            raise ValueError(msg)


def _with_line(
    record: MerrRecord, name: str, listed: Mapping[str, ListLine], path: Path | None
) -> MerrRecord:
    line = listed[name]
    if line.label != record.label:
        msg = (
            f"clip {name!r}: found label {line.label!r} in {path.name if path else 'the list'} and "
            f"{record.label!r} in the annotations; both have to say the same"
        )
        raise ValueError(msg)
    notes = record.notes
    if line.valence is not None:
        notes += (VALENCE_NOTE.format(valence=line.valence),)
    face = None if record.face is None else replace(record.face, num_frames=line.num_frames)
    return replace(record, face=face, notes=notes)


def _read_names(path: Path) -> Mapping[str, tuple[str, str]] | None:
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return {row["name"]: (row["clip_id"], row["path"]) for row in rows}
    except KeyError as error:
        msg = f"{path.name}: found no column {error}, expected name, clip_id and path"
        raise ValueError(msg) from error


def _identity(
    name: str, names: Mapping[str, tuple[str, str]] | None, json_path: Path
) -> tuple[str, str]:
    if names is None:
        return name, name
    if name not in names:
        msg = (
            f"{json_path.name} has clip {name!r}, which {NAMES_FILE} beside it lacks; remove "
            f"{NAMES_FILE} or add the clip"
        )
        raise ValueError(msg)
    return names[name]


def _lineage(record: MerrRecord, origin: Origin) -> Mapping[str, Origin]:
    made = ("face", "label", "verdict", "clues", "voice_description", "transcript")
    captions = ("coarse_caption", "fine_caption")
    return {name: origin for name in (*captions, *made) if getattr(record, name) is not None}
