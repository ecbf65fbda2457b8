"""Folder, table or file -> the clips to work on, each with its own name.

Knows: which files of a folder are media, tables of paths. Does not know: what is in the files.
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.media.transcript import TABLE_DELIMITERS

VIDEO_SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".flv",
    ".3gp",
    ".mts",
    ".m2ts",
    ".ogv",
)
SOUND_SUFFIXES = (
    ".wav",
    ".mp3",
    ".m4a",
    ".aac",
    ".flac",
    ".ogg",
    ".opus",
    ".wma",
    ".aif",
    ".aiff",
)
PICTURE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".webp",
    ".tif",
    ".tiff",
)
MEDIA_SUFFIXES = frozenset(VIDEO_SUFFIXES + SOUND_SUFFIXES + PICTURE_SUFFIXES)
"""What is taken from a folder; a file that is named itself may have any name."""

MANIFEST_SUFFIXES = frozenset({*TABLE_DELIMITERS, ".jsonl", ".parquet"})
_NAMED = 3
"""Names that an error lists before it counts the rest."""


@dataclass(frozen=True)
class ClipFile:
    """One file to work on."""

    clip_id: str
    """what the clip is called: unlike every other clip of the same list"""
    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    """what else its row of a manifest holds, as written; empty cells are left out"""


class ManifestRow(BaseModel):
    """One row of a manifest; other columns are kept as they are."""

    model_config = ConfigDict(frozen=True, extra="allow", str_strip_whitespace=True)

    path: str = Field(min_length=1)
    clip_id: str | None = None

    def to_record(self, folder: Path) -> ClipFile:
        """Give the clip; a relative path begins at the manifest's folder."""
        others = {
            name: str(value).strip()
            for name, value in (self.model_extra or {}).items()
            if value is not None and str(value).strip()
        }
        return ClipFile(self.clip_id or Path(self.path).as_posix(), folder / self.path, others)


def walk_media(folder: Path) -> Iterator[Path]:
    """Give the media files of a folder and all below it; a loop of links is entered once."""
    seen: set[tuple[int, int]] = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        place = Path(name).stat()
        if (place.st_dev, place.st_ino) in seen:
            folders.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in files:
            if not file.startswith(".") and Path(file).suffix.lower() in MEDIA_SUFFIXES:
                yield Path(name) / file


def list_clips(source: Path) -> list[ClipFile]:
    """List the clips of a folder, of a manifest, or a single file.

    A clip of a folder is called by its path below the folder, with ``/`` between names; so files
    of the same name in different folders are different clips. Hidden files are left out.

    Args:
        source: folder; table of paths (.csv, .tsv, .jsonl or .parquet with a column ``path`` and,
            if wanted, ``clip_id``); or a media file

    Raises:
        ValueError: there is no such file, nothing in it, an unusable row, or two clips of one name
    """
    if source.is_dir():
        clips = [
            ClipFile(_unicode(path.relative_to(source).as_posix()), path)
            for path in sorted(walk_media(source))
        ]
        if not clips:
            endings = ", ".join(sorted(MEDIA_SUFFIXES))
            msg = f"{source} holds no media file (looked for {endings}); name another folder"
            raise ValueError(msg)
        return clips
    if not source.exists():
        msg = f"{source}: found no file or folder; check the path for a typing error"
        raise ValueError(msg)
    if source.suffix.lower() not in MANIFEST_SUFFIXES:
        return [ClipFile(_unicode(source.name), source)]
    clips = [_row(number, row, source) for number, row in enumerate(read_table(source), start=1)]
    if not clips:
        msg = f"{source} holds no row; expected at least one with a path"
        raise ValueError(msg)
    _require_own_names(clips, source)
    return clips


def _unicode(name: str) -> str:
    """Escape what of a file's name is no Unicode: an id is stored and written as text."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def read_table(path: Path) -> Iterable[Mapping[str, Any]]:
    """Read a table (.csv, .tsv, .jsonl or .parquet) as one mapping a row.

    Raises:
        ValueError: another kind of file, or one that does not parse
    """
    ending = path.suffix.lower()
    if ending not in MANIFEST_SUFFIXES:
        msg = (
            f"{path}: found the ending {ending!r}, expected {', '.join(sorted(MANIFEST_SUFFIXES))}"
        )
        raise ValueError(msg)
    if ending == ".parquet":
        from pyarrow import parquet

        rows: list[Mapping[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path}: found bytes that are no UTF-8 ({error.reason}); save the table as UTF-8"
        raise ValueError(msg) from error
    if ending == ".jsonl":
        # not splitlines: a name may hold one of the rarer line ends
        return [_json_row(line, path) for line in text.split("\n") if line.strip()]
    return list(csv.DictReader(StringIO(text, newline=""), delimiter=TABLE_DELIMITERS[ending]))


def _json_row(line: str, path: Path) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        msg = f"{path}: found {line[:60]!r}, expected one JSON object a line ({error})"
        raise ValueError(msg) from error
    if not isinstance(row, dict):
        msg = f"{path}: found {line[:60]!r}, expected a JSON object with a path"
        raise ValueError(msg)
    return row


def _row(number: int, row: Mapping[str, Any], path: Path) -> ClipFile:
    try:
        return ManifestRow(**{str(key): value for key, value in row.items()}).to_record(path.parent)
    except ValidationError as error:
        fault = error.errors()[0]
        msg = (
            f"{path}, row {number}: found columns {', '.join(map(str, row))}; expected 'path' and, "
            f"if wanted, 'clip_id' ({'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()})"
        )
        raise ValueError(msg) from error


def _require_own_names(clips: Iterable[ClipFile], path: Path) -> None:
    twice = [name for name, count in Counter(clip.clip_id for clip in clips).items() if count > 1]
    if twice:
        more = f" and {len(twice) - _NAMED} more" * (len(twice) > _NAMED)
        msg = (
            f"{path}: found clip {', '.join(map(repr, twice[:_NAMED]))}{more} more than once; give "
            "every row its own path or clip_id"
        )
        raise ValueError(msg)
