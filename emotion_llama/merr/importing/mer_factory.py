"""MER-Factory's output, a JSON file a clip -> records.

Knows: the fields of its full analysis, and which of its texts say that there is no evidence. Does
not know: how it measured. What its gate rejected is missing here, and no evidence.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.merr.records import (
    FaceMeasures,
    FineCaption,
    LabelReading,
    MerrRecord,
    Origin,
    Source,
    UnitReading,
)

PRODUCER = "MER-Factory"
UNIT_PRODUCER = "OpenFace, run by MER-Factory"
LABEL_PRODUCER = "label file of MER-Factory"
NOT_STATED = "not stated"

_MARKERS = frozenset({"final_summary", "coarse_descriptions_at_peak"})
"""A file with one of these is a full analysis; the others in its folder are of single stages."""

_REJECTED = re.compile(r"\brejected\)?\s*\.?\s*$", re.IGNORECASE)
"""How its gate replaces a text, such as ``neutral (AU rejected)``."""

_UNIT = re.compile(r"AU(\d{1,2})(?:_r)?")
_HIGHEST_GRADE = 5.0


class PeakRow(BaseModel):
    """The frame with the strongest expression."""

    model_config = ConfigDict(extra="forbid")

    frame_number: int | None = Field(default=None, ge=0)
    timestamp: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    top_aus_intensities: dict[str, float] = Field(default_factory=dict)


class DescriptionRow(BaseModel):
    """What its models said of the clip."""

    model_config = ConfigDict(extra="forbid", strict=True)

    visual_expression: str | None = None
    visual_objective: str | None = None
    audio_analysis: str | None = None
    video_content: str | None = None


class MerFactoryRow(BaseModel):
    """The full analysis of one clip."""

    model_config = ConfigDict(extra="forbid")

    source_path: str = Field(min_length=1)
    audio_path: str | None = None
    chronological_emotion_peaks: list[str] = Field(default_factory=list)
    overall_peak_frame_info: PeakRow | None = None
    coarse_descriptions_at_peak: DescriptionRow
    final_summary: str | None = None
    ground_truth_label: str | None = None

    def to_record(self, place: "_Place") -> MerrRecord:
        """Give the record of the clip.

        Raises:
            ValueError: a unit or an intensity that OpenFace does not have; names the field
        """
        said, missing, notes = self.coarse_descriptions_at_peak, _missing(self), _notes(self)
        face = None if "face" in missing else _face(self.overall_peak_frame_info)
        summary = _evidence(self.final_summary)
        label = (self.ground_truth_label or "").strip().lower() or None
        given = (LabelReading(label, "human", LABEL_PRODUCER, NOT_STATED),) if label else ()
        return MerrRecord(
            clip_id=place.clip_id,
            path=place.path,
            media_sha256=None,
            duration_s=None,
            source=place.source,
            split=None,
            transcript=None,
            labels=given,
            label=label,
            verdict=None,
            face=face,
            scene=None,
            voice=None,
            clues=(),
            scene_description=_evidence(said.visual_objective),
            voice_description=_evidence(said.audio_analysis),
            coarse_caption=None,
            fine_caption=(
                # its writer was told the label where there was one
                FineCaption("", summary, label_conditioned=label is not None) if summary else None
            ),
            gates=(),
            status="kept",
            reasons=(),
            missing=missing,
            lineage={},
            notes=notes,
        )


@dataclass(frozen=True)
class _Place:
    """Which clip a file is of."""

    clip_id: str
    path: str
    source: Source


def read_mer_factory(
    folder: Path,
    *,
    media_dir: str | None = None,
    source: str = PRODUCER,
    licence: str | None = None,
) -> list[MerrRecord]:
    """Read the full analyses below a folder; the files of single stages are passed over.

    A clip is called by its path below ``media_dir`` where that is given, and else by the path of
    its JSON file below the folder, so equal file names in different folders stay different clips.
    Intensities of action units stay on OpenFace's scale from 0 to 5.

    Args:
        folder: output of MER-Factory
        media_dir: the folder that it was run on, as its files write it (``source_path``)
        source: what the source is called
        licence: of the source: an id of `emotion_llama.merr.licences`

    Returns:
        the records, in the order of the files' paths

    Raises:
        ValueError: no full analysis, an unknown field or a wrong value, or two files of one clip
    """
    records: list[MerrRecord] = []
    origin_of: dict[str, str] = {}
    for file in sorted(folder.rglob("*.json")):
        shown = file.relative_to(folder).as_posix()
        content = file.read_bytes()
        row = _read_row(content, shown)
        if row is None:
            continue
        place = _place(row, shown, media_dir, Source(source, licence))
        if place.clip_id in origin_of:
            msg = (
                f"{shown} and {origin_of[place.clip_id]} are both of clip {place.clip_id!r}; "
                "remove one of them"
            )
            raise ValueError(msg)
        origin_of[place.clip_id] = shown
        records.append(_record(row, place, shown, hashlib.sha256(content).hexdigest()))
    if not records:
        msg = (
            f"{folder}: found no JSON file with {' or '.join(sorted(_MARKERS))}; give the output "
            "folder of MER-Factory"
        )
        raise ValueError(msg)
    return records


def _read_row(content: bytes, shown: str) -> MerFactoryRow | None:
    try:
        plain = json.loads(content)
    except ValueError as error:
        msg = f"{shown}: expected JSON, found none ({error}); remove it or run MER-Factory again"
        raise ValueError(msg) from error
    if not isinstance(plain, dict) or not _MARKERS & plain.keys():
        return None
    try:
        return MerFactoryRow.model_validate(plain)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        msg = f"{shown}, field {place!r}: {fault['msg'].lower()}, found {fault['input']!r:.60}"
        raise ValueError(msg) from error


def _record(row: MerFactoryRow, place: _Place, shown: str, digest: str) -> MerrRecord:
    try:
        record = row.to_record(place)
    except ValueError as error:
        msg = f"{shown}, {error}"
        raise ValueError(msg) from error
    by = {"face": UNIT_PRODUCER, "label": LABEL_PRODUCER}
    fields = ("face", "fine_caption", "label", "scene_description", "voice_description")
    lineage = {
        name: Origin(by.get(name, PRODUCER), NOT_STATED, NOT_STATED, digest)
        for name in fields
        if getattr(record, name) is not None
    }
    return replace(record, lineage=lineage)


def _place(row: MerFactoryRow, shown: str, media_dir: str | None, source: Source) -> _Place:
    windows = "\\" in row.source_path or PureWindowsPath(row.source_path).drive != ""
    kind = PureWindowsPath if windows else PurePosixPath
    media = kind(row.source_path)
    if media_dir is None:
        return _Place(str(PurePosixPath(shown).with_suffix("")), media.name, source)
    if not media.is_relative_to(kind(media_dir)):
        msg = (
            f"{shown}, field 'source_path': found {row.source_path!r}, expected a file below "
            f"{media_dir!r}; give the folder that MER-Factory was run on"
        )
        raise ValueError(msg)
    path = media.relative_to(kind(media_dir)).as_posix()
    return _Place(path, path, source)


def _evidence(text: str | None) -> str | None:
    """Give a text, unless it is empty or says that the gate rejected it."""
    stripped = (text or "").strip()
    return None if not stripped or _REJECTED.search(stripped) else stripped


def _missing(row: MerFactoryRow) -> dict[str, str]:
    said, peak = row.coarse_descriptions_at_peak, row.overall_peak_frame_info
    missing = {
        "scene": "MER-Factory measures no scene",
        "voice": "MER-Factory measures no prosody",
        "facial": "MER-Factory's words of the face are kept in the notes",
        "words": "MER-Factory has no clues of the words",
        "transcript": "MER-Factory keeps no transcript of its own",
        "coarse_caption": "MER-Factory writes none",
    }
    expression = said.visual_expression or ""
    if _REJECTED.search(expression.strip()):
        missing["face"] = f"MER-Factory's gate rejected the action units ({expression.strip()!r})"
    elif peak is None or not peak.top_aus_intensities:
        missing["face"] = "MER-Factory gave no action unit of the peak"
    texts: Mapping[str, str | None] = {
        "scene_description": said.visual_objective,
        "voice_description": said.audio_analysis,
        "fine_caption": row.final_summary,
    }
    for name, text in texts.items():
        if _evidence(text) is None:
            is_rejected = bool((text or "").strip())
            missing[name] = f"MER-Factory {'rejected it' if is_rejected else 'left it empty'}"
    if not (row.ground_truth_label or "").strip():
        missing["label"] = "MER-Factory was given none"
    return missing


def _notes(row: MerFactoryRow) -> tuple[str, ...]:
    """Keep what a record has no field for; notes are no evidence."""
    said = row.coarse_descriptions_at_peak
    peaks = "; ".join(row.chronological_emotion_peaks)
    kept = {
        "peaks over time": peaks or None,
        "expression": _evidence(said.visual_expression),
        "content of the video": _evidence(said.video_content),
    }
    return tuple(f"MER-Factory, {name}: {words}" for name, words in kept.items() if words)


def _face(peak: PeakRow | None) -> FaceMeasures | None:
    if peak is None:
        return None
    return FaceMeasures(
        units=tuple(sorted(_units(peak.top_aus_intensities), key=lambda unit: unit.unit)),
        scale="0-5",
        scope="producer",
        peak_frame=peak.frame_number,
        peak_s=peak.timestamp,
        peak_score=None,
        peak_reading=None,
        num_frames=None,
        coverage=None,
        score=None,
        talking=None,
    )


def _units(intensities: Mapping[str, Any]) -> list[UnitReading]:
    # here, since the package of the face loads what pictures need
    from emotion_llama.face.peak import PRESENT

    units = []
    for name, intensity in intensities.items():
        number = _UNIT.fullmatch(name)
        if number is None or not 0 <= intensity <= _HIGHEST_GRADE:
            msg = (
                f"field 'top_aus_intensities': found {name!r}: {intensity!r}, expected a unit such "
                "as 'AU12_r' and an intensity from 0 to 5"
            )
            raise ValueError(msg)
        unit = f"AU{int(number[1]):02d}"
        units.append(UnitReading(unit, intensity, intensity >= PRESENT, confidence=1.0))
    return units
