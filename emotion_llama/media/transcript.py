"""Written source -> what is said: plain text, subtitle files and tables of sentences.

Knows: .txt, .srt, .vtt, .csv and .tsv. Does not know: sound, speech recognition, prompts.
A `str` is the text itself, a `Path` is a file; nothing is looked for beside a clip.
"""

import csv
import html
import io
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.media.container import require_file
from emotion_llama.media.error import MediaError

TABLE_DELIMITERS = {".csv": ",", ".tsv": "\t"}

TIMED_ENDINGS = frozenset({".srt", ".vtt"})
"""Files of words with times."""

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_TIMING = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")
_VTT_BLOCK = re.compile(r"^(NOTE|STYLE|REGION)(\s|$)")


class Cue(NamedTuple):
    """One subtitle: when it is shown, in seconds of the film, and its words in one line."""

    start_s: float
    end_s: float
    words: str


class TranscriptRow(BaseModel):
    """One row of a transcript table."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)

    name: str
    sentence: str = Field(validation_alias=AliasChoices("sentence", "sentence_en"))


def read_transcript(source: str | Path, clip_id: str | None = None) -> str:
    """Give what is said, in one line.

    Args:
        source: the text itself (`str`), or a .txt, .srt, .vtt, .csv or .tsv file (`Path`)
        clip_id: the row's name, for a table with columns ``name`` and ``sentence`` (or
            ``sentence_en``, used where there is no ``sentence``)

    Raises:
        MediaError: the file cannot be read, is of another kind, or has no row for the clip
    """
    if isinstance(source, str):
        return _one_line(source)
    ending = source.suffix.lower()
    if ending == ".txt":
        return _one_line(_text_of(source))
    if ending in TIMED_ENDINGS:
        return _plain("\n".join(lines for _, lines in _cues(source)))
    if ending in TABLE_DELIMITERS:
        return _table_sentence(source, clip_id)
    raise MediaError(
        source,
        found=f"the ending {source.suffix!r}",
        expected="a transcript in .txt, .srt, .vtt, .csv or .tsv",
        next_step="rename it, or give the text itself",
    )


def read_sentences(path: Path) -> Mapping[str, str]:
    """Read a whole table of transcripts.

    Args:
        path: .csv or .tsv file with columns ``name`` and ``sentence`` (or ``sentence_en``)

    Returns:
        name -> what is said, in one line

    Raises:
        MediaError: the file cannot be read, is of another kind, or has two sentences for one name
    """
    if path.suffix.lower() not in TABLE_DELIMITERS:
        raise MediaError(
            path,
            found=f"the ending {path.suffix!r}",
            expected="a table of transcripts in .csv or .tsv",
            next_step="save it as CSV",
        )
    spoken: dict[str, str] = {}
    for row in _table_rows(path):
        sentence = _one_line(row.sentence)
        if spoken.setdefault(row.name, sentence) != sentence:
            raise MediaError(
                path,
                found=f"two different sentences for the name {row.name!r}",
                expected="one",
                next_step=f"mend the rows named {row.name!r}",
            )
    return spoken


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _text_of(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte-order mark."""
    require_file(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError(
            path,
            found=f"bytes that are not UTF-8 (at byte {error.start})",
            expected="text in UTF-8",
            next_step="save it again with the encoding UTF-8",
        ) from error
    if "\0" in text:
        raise MediaError(
            path,
            found="binary content",
            expected="text in UTF-8",
            next_step="check that this is the transcript",
        )
    return text


def _plain(lines: str) -> str:
    """Give the lines of subtitles in one, without styling."""
    return _one_line(html.unescape(_TAG.sub("", lines)))


def _cues(path: Path) -> list[tuple[re.Match[str], str]]:
    """Give the times and lines of all cues; their names, settings and notes are left out."""
    text = _text_of(path).replace("\r\n", "\n").replace("\r", "\n")
    blocks = re.split(r"\n[ \t]*\n", text.strip("\n"))
    cues: list[tuple[re.Match[str], str]] = []
    for block in blocks:
        lines = block.split("\n")
        if _VTT_BLOCK.match(lines[0]):
            continue
        for number, line in enumerate(lines):
            if timing := _TIMING.match(line):
                cues.append((timing, "\n".join(lines[number + 1 :])))
                break
        else:
            # a blank line inside a cue: its second half has no times of its own
            if cues:
                cues[-1] = (cues[-1][0], "\n".join([cues[-1][1], *lines]))
    if not cues:
        raise MediaError(
            path,
            found="no subtitle with times",
            expected="cues such as '00:00:01,000 --> 00:00:02,000' with text below",
            next_step="rename plain text to .txt",
        )
    return cues


def timed_words(path: Path) -> list[Cue]:
    """Read the subtitles of a film with their times, in the order of the file.

    Args:
        path: .srt or .vtt file

    Raises:
        MediaError: the file cannot be read, is of another kind, has no subtitle, or one that ends
            before it starts
    """
    if path.suffix.lower() not in TIMED_ENDINGS:
        raise MediaError(
            path,
            found=f"the ending {path.suffix!r}",
            expected="words with times in .srt or .vtt",
            next_step="export the subtitles of the film",
        )
    cues: list[Cue] = []
    for timing, lines in _cues(path):
        start_s, end_s = _seconds(*timing.groups()[:4]), _seconds(*timing.groups()[4:])
        if end_s < start_s:
            raise MediaError(
                path,
                found=f"a subtitle from {start_s:.3f} to {end_s:.3f} s",
                expected="an end that is not before the start",
                next_step="mend its times",
            )
        cues.append(Cue(start_s, end_s, _plain(lines)))
    return cues


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction}")


def _table_sentence(path: Path, clip_id: str | None) -> str:
    """Find a clip's sentence in a table; names are compared as written, never as numbers."""
    if clip_id is None:
        raise MediaError(
            path,
            found="a table and no clip id",
            expected="the name of a row",
            next_step="give the clip id",
        )
    sentences = _table_sentences(path, path.stat().st_mtime_ns if path.is_file() else 0)
    found = sentences.get(clip_id, frozenset())
    if len(found) != 1:
        raise MediaError(
            path,
            found=f"{len(found)} different sentences for the name {clip_id!r}",
            expected="one",
            next_step=f"mend the rows named {clip_id!r}",
        )
    return _one_line(next(iter(found)))


@lru_cache(maxsize=4)
def _table_sentences(path: Path, changed_ns: int) -> Mapping[str, frozenset[str]]:
    """Read a table once for all clips of a run; a file that changed is read again."""
    sentences: dict[str, frozenset[str]] = {}
    for row in _table_rows(path):
        sentences[row.name] = sentences.get(row.name, frozenset()) | {row.sentence}
    return sentences


def _table_rows(path: Path) -> list[TranscriptRow]:
    lines = io.StringIO(_text_of(path), newline="")
    try:
        reader = csv.DictReader(lines, delimiter=TABLE_DELIMITERS[path.suffix.lower()], strict=True)
        rows = [{(name or "").strip(): value for name, value in row.items()} for row in reader]
        columns = [name.strip() for name in reader.fieldnames or []]
    except csv.Error as error:
        raise MediaError(
            path,
            found=f"a table that does not parse ({error})",
            expected="rows with one name and one sentence",
            next_step="save it again as CSV or TSV",
        ) from error
    if "name" not in columns or not {"sentence", "sentence_en"}.intersection(columns):
        raise MediaError(
            path,
            found=f"the columns {columns}",
            expected="the columns name and sentence (or sentence_en)",
            next_step="rename the columns",
        )
    try:
        return [TranscriptRow.model_validate(row) for row in rows]
    except ValidationError as error:
        raise MediaError(
            path,
            found=f"a row without a name or sentence ({error.errors()[0]['input']!r})",
            expected="a name and a sentence in every row",
            next_step="mend that row",
        ) from error
