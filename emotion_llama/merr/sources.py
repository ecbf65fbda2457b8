"""Folder or manifest -> the clips to annotate, with what is known of them; tables of labels.

Knows: columns of a manifest, how a table of labels names clips. Does not know: media, rules.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.labels import ALIASES
from emotion_llama.media.manifest import ClipFile, list_clips, read_table
from emotion_llama.merr.records import Source

_NAMED = 3
"""Names that an error lists before it counts the rest."""


@dataclass(frozen=True)
class SourceClip:
    """One clip to annotate."""

    clip_id: str
    path: Path
    shown_path: str
    """from the folder or manifest that was named, as records have it"""
    source: Source
    transcript: str | None = None
    action_units: Path | None = None
    """table of another program, in place of the own measures"""


class SourceRow(BaseModel):
    """What a manifest may say of a clip, beside ``path`` and ``clip_id``."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)

    text: str | None = Field(
        default=None, validation_alias=AliasChoices("text", "transcript", "sentence")
    )
    speaker: str | None = None
    source: str | None = None
    licence: str | None = Field(default=None, validation_alias=AliasChoices("licence", "license"))
    language: str | None = None
    group: str | None = None
    action_units: str | None = None


class LabelRow(BaseModel):
    """One row of a table of labels."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)

    name: str = Field(min_length=1, validation_alias=AliasChoices("name", "clip_id", "path"))
    label: str = Field(min_length=1, validation_alias=AliasChoices("label", "emotion"))


def list_sources(
    source: Path,
    *,
    name: str | None = None,
    licence: str | None = None,
    transcripts: Mapping[str, str] | None = None,
) -> list[SourceClip]:
    """List the clips of a folder, a manifest or one file.

    A manifest may have the columns ``text``, ``speaker``, ``source``, ``licence``, ``language``,
    ``group`` (what a split must not tear apart) and ``action_units`` (a table of OpenFace, py-feat,
    LibreFace or this package; a relative path begins at the manifest's folder).

    Args:
        source: what to list
        name: of the source where no column says it; default is the folder's or manifest's name
        licence: of the source where no column says it
        transcripts: clip id, or the name of its file without ending, -> what is said, where no
            column says it

    Raises:
        ValueError: as `emotion_llama.media.manifest.list_clips` raises it, or a transcript that
            could belong to two clips
    """
    folder = source if source.is_dir() else source.parent
    clips = list_clips(source)
    spoken = by_clip(clips, transcripts or {}, "transcript")
    named = name or (source.resolve().name if source.is_dir() else source.stem)
    return [_source_clip(clip, folder, named, licence, spoken.get(clip.clip_id)) for clip in clips]


def _source_clip(
    clip: ClipFile, folder: Path, name: str, licence: str | None, transcript: str | None
) -> SourceClip:
    row = SourceRow.model_validate(dict(clip.columns))
    words = " ".join((row.text or transcript or "").split())
    return SourceClip(
        clip_id=clip.clip_id,
        path=clip.path,
        shown_path=_shown(clip.path, folder),
        source=Source(
            name=row.source or name,
            licence=row.licence or licence,
            speaker=row.speaker,
            language=row.language,
            group=row.group,
        ),
        transcript=words or None,
        action_units=folder / row.action_units if row.action_units else None,
    )


def _shown(path: Path, folder: Path) -> str:
    """Give a path without the part that only this machine has."""
    try:
        inside = path.relative_to(folder)
    except ValueError:  # a manifest that names files elsewhere by their full path
        inside = Path(path.name)
    shown = PurePosixPath(*(part for part in inside.parts if part not in ("..", "/"))).as_posix()
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")


def read_labels(path: Path, clips: Sequence[SourceClip]) -> Mapping[str, str]:
    """Read the labels that a table gives to clips.

    Args:
        path: table (.csv, .tsv, .jsonl, .parquet) with the columns ``name`` (or ``clip_id`` or
            ``path``: a clip's id, or the name of its file without ending where no two clips share
            it) and ``label`` (or ``emotion``)
        clips: what the labels are for

    Returns:
        clip id -> label, in the form of `emotion_llama.labels` where it is another form of one.
        Clips without a row have no entry

    Raises:
        ValueError: a row without name or label, two labels for one clip, no row for any clip, or a
            name that could be two clips
    """
    given: dict[str, str] = {}
    for number, row in enumerate(read_table(path), start=1):
        entry = _label_row(row, path, number)
        label = ALIASES.get(entry.label.lower(), entry.label.lower())
        if given.setdefault(entry.name, label) != label:
            msg = (
                f"{path}, row {number}: found the label {label!r} for {entry.name!r}, which has "
                f"{given[entry.name]!r} already; give each clip one label"
            )
            raise ValueError(msg)
    labels = by_clip(clips, given, "label")
    if not labels:
        found, wanted = next(iter(given), "no row"), clips[0].clip_id
        msg = (
            f"{path}: none of its {len(given)} names is a clip (found {found!r}, expected such as "
            f"{wanted!r}); name clips by their path below the folder that is built from"
        )
        raise ValueError(msg)
    return labels


def _label_row(row: Mapping[str, Any], path: Path, number: int) -> LabelRow:
    try:
        return LabelRow.model_validate({str(key): value for key, value in row.items()})
    except ValidationError as error:
        fault = error.errors()[0]
        msg = (
            f"{path}, row {number}: found columns {', '.join(map(str, row))}; expected 'name' and "
            f"'label' ({'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()})"
        )
        raise ValueError(msg) from error


def by_clip(
    clips: Sequence[SourceClip] | Sequence[ClipFile], values: Mapping[str, str], what: str
) -> Mapping[str, str]:
    """Find the clip that each name means: its id, else its file's name without ending.

    Args:
        clips: what may be meant
        values: name -> value
        what: the values, for the error

    Raises:
        ValueError: a name that is no id and the file name of several clips
    """
    ids = {clip.clip_id for clip in clips}
    stems = Counter(Path(clip.clip_id).stem for clip in clips)
    unclear = [name for name in values if name not in ids and stems[name] > 1]
    if unclear:
        named = ", ".join(map(repr, unclear[:_NAMED]))
        msg = (
            f"the {what} for {named} could belong to {stems[unclear[0]]} clips; name clips by "
            f"their id, such as {next(i for i in ids if Path(i).stem == unclear[0])!r}"
        )
        raise ValueError(msg)
    found = {}
    for clip in clips:
        for name in (clip.clip_id, Path(clip.clip_id).stem):
            if name in values:
                found[clip.clip_id] = values[name]
                break
    return found
