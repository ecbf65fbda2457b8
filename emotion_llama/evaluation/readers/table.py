"""Files of one's own -> samples: a folder with a sub-folder per label, or a table.

Knows: the columns of the table. Does not know: which labels are scored, before it is told.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers.files import (
    OPTIONS,
    checked_row,
    first_file,
    missing,
    read_options,
)
from emotion_llama.evaluation.readers.gather import Found, gather, known, label_form, vote_shares
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth
from emotion_llama.media.manifest import read_table, walk_media

TABLES = ("manifest.csv", "manifest.tsv", "manifest.jsonl", "manifest.parquet")
VOTES = "votes_"
"""A column of this and a label holds the votes for it."""


class FolderOptions(BaseModel):
    """None."""

    model_config = OPTIONS


class ManifestOptions(BaseModel):
    """Which rows."""

    model_config = OPTIONS

    split: str | None = None
    """``None``: rows of every split"""


class ManifestRow(BaseModel):
    """One clip; columns beside these and ``votes_LABEL`` are left alone."""

    model_config = ConfigDict(
        frozen=True, extra="allow", str_strip_whitespace=True, coerce_numbers_to_str=True
    )

    path: str | None = None
    text: str | None = Field(
        default=None, validation_alias=AliasChoices("text", "transcript", "sentence")
    )
    label: str | None = Field(default=None, validation_alias=AliasChoices("label", "emotion"))
    value: Any = None
    """sentiment; looked at where the protocol scores it, of any form elsewhere"""
    clip_id: str | None = None
    speaker: str | None = Field(default=None, validation_alias=AliasChoices("speaker", "person"))
    sex: str | None = None
    age: str | None = None
    language: str | None = None
    source: str | None = Field(default=None, validation_alias=AliasChoices("source", "dataset"))
    split: str | None = None
    fold: str | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _no_empty_text(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    @property
    def groups(self) -> dict[str, str]:
        """Groups that the row states; a speaker is known within the source alone."""
        speaker = f"{self.source}/{self.speaker}" if self.source and self.speaker else self.speaker
        return known(
            speaker=speaker,
            sex=self.sex,
            age=self.age,
            language=self.language,
            source=self.source,
        )


def read_folder(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read a folder whose sub-folders are called like the labels.

    Raises:
        MissingDataError: there is no such folder or no media file in it
    """
    read_options(protocol, FolderOptions)
    files = sorted(walk_media(folder)) if folder.is_dir() else []
    if not files:
        what = f"media file in {folder}"
        raise missing(what, protocol)
    named = {path: path.relative_to(folder) for path in files}
    loose = sum(len(name.parts) == 1 for name in named.values())
    clips = (
        Found(
            EvalSample(
                sample_id=name.as_posix(),
                path=path,
                transcript=None,
                truth=Truth(label=label_form(name.parts[0], protocol)),
            )
        )
        for path, name in named.items()
        if len(name.parts) > 1
    )
    left_out = {"not in the sub-folder of a label": loose} if loose else {}
    return gather(clips, protocol, folder, left_out)


def read_manifest(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read a table, or the table ``manifest.csv`` (.tsv, .jsonl, .parquet) of a folder.

    Args:
        folder: table or folder; a relative path of the table begins at the table's folder
        protocol: which labels are scored; the option ``split`` chooses rows
        work: not used

    Raises:
        MissingDataError: the table, or all clips, are missing
        ValueError: a row breaks its form; names file and row
    """
    path = _table(folder)
    if path is None:
        what = f"{' or '.join(TABLES)} in {folder}"
        raise missing(what, protocol)
    split = read_options(protocol, ManifestOptions).split
    rows = dict(_rows(path))
    chosen = {n: row for n, row in rows.items() if split in (None, row.split)}
    others = len(rows) - len(chosen)
    left_out = {f"not in the split {split}": others} if others else {}
    clips = (_manifest_clip(n, row, path, protocol) for n, row in chosen.items())
    return gather(clips, protocol, path, left_out)


def own_labels(source: Path) -> tuple[str, ...]:
    """List the labels of files of one's own, sorted, in lower case.

    Args:
        source: a table, a folder with a table, or a folder with a sub-folder per label

    Raises:
        ValueError: it has none
    """
    path = _table(source)
    if path is not None:
        written = {row.label for _, row in _rows(path)} - {None}
    elif source.is_dir():
        names = (media.relative_to(source).parts for media in walk_media(source))
        written = {parts[0] for parts in names if len(parts) > 1}
    else:
        written = set()
    labels = sorted({" ".join(label.lower().split()) for label in written if label})
    if not labels:
        msg = (
            f"{source}: found no label, expected sub-folders with media files, called like the "
            "labels, or a table with a column label"
        )
        raise ValueError(msg)
    return tuple(labels)


def _table(source: Path) -> Path | None:
    return source if source.is_file() else first_file(source / name for name in TABLES)


def _rows(path: Path) -> Iterator[tuple[int, ManifestRow]]:
    for number, values in enumerate(read_table(path), 1):
        row = checked_row(values, ManifestRow, path, number)
        if row.path is None and row.text is None:
            msg = (
                f"{path}, row {number}: found neither path nor text, expected at least one; the "
                f"columns are {', '.join(values)}"
            )
            raise ValueError(msg)
        yield number, row


def _manifest_clip(number: int, row: ManifestRow, path: Path, protocol: Protocol) -> Found:
    sample = EvalSample(
        sample_id=row.clip_id or row.path or f"row {number}",
        path=None,
        transcript=row.text,
        truth=Truth(
            label=label_form(row.label, protocol) if row.label else None,
            votes=vote_shares(_votes(row, f"{path}, row {number}", protocol), protocol),
            value=_value(row, f"{path}, row {number}", protocol),
        ),
        groups=row.groups,
        split=row.split,
        fold=row.fold,
    )
    return Found(sample, (path.parent / row.path,) if row.path else ())


def _value(row: ManifestRow, where: str, protocol: Protocol) -> float | None:
    """Read the sentiment of a row; ``None`` where the protocol scores something else."""
    if protocol.kind != "sentiment" or protocol.value_range is None:
        return None
    low, high = protocol.value_range
    try:
        value = float("nan") if isinstance(row.value, bool) else float(row.value)
    except (TypeError, ValueError):
        value = float("nan")
    if not low <= value <= high:  # no number lies in no range
        found = "nothing" if row.value is None else repr(row.value)
        msg = (
            f"{where}, value: found {found}, expected a number from {low:g} to {high:g}; mend the "
            "row, or state another range (--value-range)"
        )
        raise ValueError(msg)
    return value


def _votes(row: ManifestRow, where: str, protocol: Protocol) -> Mapping[str, float]:
    """Read the columns of votes; an empty cell is no vote."""
    votes: dict[str, float] = {}
    for column, value in (row.model_extra or {}).items():
        if not column.startswith(VOTES) or value in (None, ""):
            continue
        try:
            count = float(value)
        except (TypeError, ValueError):
            count = -1.0
        if not 0 <= count < float("inf"):
            msg = f"{where}, {column}: found {value!r}, expected a count of votes, 0 or more"
            raise ValueError(msg)
        label = label_form(column.removeprefix(VOTES), protocol)
        votes[label] = votes.get(label, 0.0) + count
    return votes
