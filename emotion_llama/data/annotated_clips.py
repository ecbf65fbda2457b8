"""Annotations of every form -> one record a clip.

Knows: which file of a source holds what. Does not know: tasks, features, which clips are wanted.
The published forms and data sets are read by the readers of `emotion_llama.merr`.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from emotion_llama.config import SourceConfig
from emotion_llama.data.clip_names import ClipNames
from emotion_llama.data.instructions import short_hash
from emotion_llama.media import read_sentences
from emotion_llama.media.manifest import read_table
from emotion_llama.merr.importing.published import read_list, read_published
from emotion_llama.merr.record_file import REJECTED_FILE, read_records
from emotion_llama.merr.records import MerrRecord
from emotion_llama.merr.review.overlay import apply, read_reviews

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnnotatedClip:
    """What annotations say of one clip, whatever form they have."""

    clip_id: str
    path: str | None
    """of its file, as it is written; ``None``: there are words only"""
    label: str | None
    transcript: str | None
    caption: str | None
    """the reason in words"""
    person: str | None
    source: str
    split: str | None
    where: str
    """file, with row or clip, for errors"""
    votes: Mapping[str, float] | None = None
    """label -> how many people chose it; ``None`` where that is not known"""


_VOTES_COLUMN = "votes_"
"""A column of this and a label holds the votes for it."""

_VOTES_FORM = '{"happy": 7, "neutral": 3}'


class TableRow(BaseModel):
    """One row of a table; other columns are left alone."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", str_strip_whitespace=True, coerce_numbers_to_str=True
    )

    path: str | None = None
    clip_id: str | None = None
    label: str | None = Field(default=None, validation_alias=AliasChoices("label", "emotion"))
    text: str | None = Field(
        default=None, validation_alias=AliasChoices("text", "transcript", "sentence")
    )
    caption: str | None = Field(default=None, validation_alias=AliasChoices("caption", "reason"))
    speaker: str | None = Field(default=None, validation_alias=AliasChoices("speaker", "person"))
    source: str | None = Field(default=None, validation_alias=AliasChoices("source", "dataset"))
    split: str | None = None
    votes: dict[str, float] | None = None

    @field_validator("votes", mode="before")
    @classmethod
    def _votes_as_text(cls, value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) and value.strip() else value
        except json.JSONDecodeError as error:
            msg = f"no JSON such as {_VOTES_FORM} ({error})"
            raise ValueError(msg) from error

    @field_validator("votes")
    @classmethod
    def _votes_counted(cls, votes: dict[str, float] | None) -> dict[str, float] | None:
        if votes is None:
            return None
        if not all(0 <= count < float("inf") for count in votes.values()) or not any(
            votes.values()
        ):
            msg = f"expected counts of at least 0, not all of them 0, such as {_VOTES_FORM}"
            raise ValueError(msg)
        return {label: count for label, count in votes.items() if count}

    @field_validator("*", mode="before")
    @classmethod
    def _no_empty_text(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    def to_record(self, stem: str, where: str, words_id: str) -> AnnotatedClip:
        """Give the clip.

        Args:
            stem: of the table's name, the source where no column says it
            where: file and row, for errors
            words_id: what the clip is called where it has neither path nor name
        """
        person = self.speaker
        if person is not None and self.source is not None:
            person = f"{self.source}/{person}"
        return AnnotatedClip(
            clip_id=self.clip_id or (PurePath(self.path).as_posix() if self.path else words_id),
            path=self.path or (self.clip_id if self.text is None else None),
            label=self.label,
            transcript=_one_line(self.text),
            caption=_one_line(self.caption),
            person=person,
            source=self.source or stem,
            split=self.split,
            where=where,
            votes=self.votes,
        )


def read_clips(source: SourceConfig) -> list[AnnotatedClip]:
    """Read the clips of a source, with transcripts from its table where they have none.

    Instructions have none.

    Raises:
        ValueError: there is no such file, or it breaks its form; names file and row or clip
    """
    readers: Mapping[str, Callable[[SourceConfig], list[AnnotatedClip]]] = {
        "dataset": _read_dataset,
        "merr-coarse": _read_merr,
        "merr-fine": _read_merr,
        "mer2023": _read_mer2023,
        "table": _read_table,
    }
    if source.kind == "instructions":
        return []
    clips = readers[source.kind](source)
    _require_own_names(clips, source.path)
    if source.transcripts is None:
        return clips
    return _with_transcripts(clips, Path(source.transcripts))


def _read_dataset(source: SourceConfig) -> list[AnnotatedClip]:
    """Read the kept records of a data set, as its reviewers left them."""
    folder = Path(source.path)
    return [
        AnnotatedClip(
            clip_id=record.clip_id,
            path=record.path,
            label=record.label,
            transcript=_one_line(record.transcript),
            caption=_caption(record),
            person=_person(record),
            source=record.source.name,
            split=record.split,
            where=f"{folder}, clip {record.clip_id!r}",
            votes=_votes(record),
        )
        for record in _reviewed(folder)
        if record.status == "kept"
    ]


def _reviewed(folder: Path) -> Iterable[MerrRecord]:
    """Lay the decisions of reviewers over the records, as an export does."""
    kept = list(read_records(folder))
    reviews = read_reviews(folder).reviews if folder.is_dir() else ()
    if not reviews:
        return kept
    rejected = folder / REJECTED_FILE
    applied = apply([*kept, *(read_records(rejected) if rejected.is_file() else ())], reviews)
    logger.info(
        "%s: reviewers accepted %d records, edited %d, rejected %d; %d decisions do not apply",
        folder,
        applied.num_accepted,
        applied.num_edited,
        applied.num_rejected,
        len(applied.stale) + len(applied.unsettled) + len(applied.refused),
    )
    return applied.records


def _caption(record: MerrRecord) -> str | None:
    """Give the fine caption of a record, else the coarse one."""
    fine = None if record.fine_caption is None else record.fine_caption.text
    return fine or record.coarse_caption


def _votes(record: MerrRecord) -> Mapping[str, float] | None:
    """Give the shares of people's votes; how sure a model or a rule is, is not counted as one."""
    first = next(iter(record.labels), None)
    if first is None or first.kind != "human" or first.label != record.label:
        return None
    return first.probabilities


def _person(record: MerrRecord) -> str | None:
    """Name the speaker with the source, within which alone speakers are known."""
    speaker = record.source.speaker
    return None if speaker is None else f"{record.source.name}/{speaker}"


def _read_merr(source: SourceConfig) -> list[AnnotatedClip]:
    path = Path(source.path)
    is_fine = source.kind == "merr-fine"
    clips = []
    for record in read_published(path):
        where = f"{path}, clip {record.clip_id!r}"
        caption = record.fine_caption.text if record.fine_caption else None
        if not is_fine:
            caption = record.coarse_caption
        if caption is None:
            found, expected = ("caption", "smp_reason_caption")[:: 1 if is_fine else -1]
            other = "merr-coarse" if is_fine else "merr-fine"
            msg = f"{where}: found {found!r}, expected {expected!r}; set kind to {other!r}"
            raise ValueError(msg)
        clips.append(
            AnnotatedClip(
                clip_id=record.clip_id,
                path=record.path,
                label=record.label,
                transcript=_one_line(record.transcript),
                caption=caption,
                person=None,
                source=path.stem,
                split=None,
                where=where,
            )
        )
    return clips


def _read_mer2023(source: SourceConfig) -> list[AnnotatedClip]:
    path = Path(source.path)
    return [
        AnnotatedClip(
            clip_id=name,
            path=name,
            label=line.label,
            transcript=None,
            caption=None,
            person=None,
            source=path.stem,
            split=None,
            where=f"{path}, clip {name!r}",
        )
        for name, line in read_list(path).items()
    ]


def _read_table(source: SourceConfig) -> list[AnnotatedClip]:
    path = Path(source.path)
    if not path.is_file():
        msg = (
            f"{path}: found no file, expected a table (.csv, .tsv, .jsonl or .parquet); check path"
        )
        raise ValueError(msg)
    # rows of words alone are named by the table's content: two tables may have the same name
    content = short_hash(path)
    clips = []
    for number, row in enumerate(read_table(path), start=1):
        where = f"{path}, row {number}"
        entry = _table_row(row, where, source)
        clips.append(entry.to_record(path.stem, where, f"{path.stem} {content} row {number}"))
    return clips


def _table_row(row: Mapping[str, Any], where: str, source: SourceConfig) -> TableRow:
    columns = ", ".join(map(str, row))
    cells = {str(name).strip(): value for name, value in row.items()}
    try:
        entry = TableRow.model_validate(_with_votes(cells, where))
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        msg = f"{where}, column {place}: {fault['msg'].lower()}, found {fault['input']!r:.60}"
        raise ValueError(msg) from error
    if entry.path is None and entry.clip_id is None and entry.text is None:
        msg = (
            f"{where}: found neither path, clip_id nor text (columns {columns}); expected the path "
            "of the clip, or the words where there is no clip"
        )
        raise ValueError(msg)
    if entry.label is None and entry.votes is None and "emotion" in source.tasks:
        msg = (
            f"{where}: found no label (columns {columns}); expected one, or votes, for the task "
            "'emotion': fill it in, remove the row, or take 'emotion' out of tasks"
        )
        raise ValueError(msg)
    return entry


def _with_votes(cells: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Put the columns of votes, one a label, into one."""
    given = cells.get("votes")
    if isinstance(given, Mapping):  # a table of types fills in the labels of all rows
        given = {label: count for label, count in given.items() if count is not None}
        return {**cells, "votes": given}
    columns = {
        name.removeprefix(_VOTES_COLUMN): count
        for name, count in cells.items()
        if name.startswith(_VOTES_COLUMN) and count not in (None, "")
    }
    if not columns:
        return cells
    if given not in (None, ""):
        msg = f"{where}: found votes and {_VOTES_COLUMN}{next(iter(columns))}, expected one of them"
        raise ValueError(msg)
    return {**cells, "votes": columns}


def _require_own_names(clips: Iterable[AnnotatedClip], path: str) -> None:
    counts = Counter(clip.clip_id for clip in clips)
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        msg = (
            f"{path}: found clip {twice!r} {counts[twice]} times, expected each once; remove the "
            "repeated rows, or give every row its own clip_id"
        )
        raise ValueError(msg)


def _with_transcripts(clips: list[AnnotatedClip], table: Path) -> list[AnnotatedClip]:
    spoken = read_sentences(table)
    names = ClipNames(spoken, str(table))
    found = {clip.clip_id: names.find(clip.clip_id) for clip in clips}
    if clips and not any(found.values()):
        name, wanted = next(iter(spoken), "no row"), clips[0].clip_id
        msg = (
            f"{table}: none of its names is a clip (found {name!r}, expected such as {wanted!r}); "
            "give the table that belongs to the annotations"
        )
        raise ValueError(msg)
    return [
        replace(clip, transcript=clip.transcript or spoken.get(found[clip.clip_id] or "") or None)
        for clip in clips
    ]


def _one_line(text: str | None) -> str | None:
    return " ".join((text or "").split()) or None
