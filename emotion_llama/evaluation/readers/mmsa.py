"""CMU-MOSI, CMU-MOSEI, CH-SIMS and CH-SIMS v2: tables of sentiment -> samples.

Knows: ``label.csv`` and ``meta.csv`` of MMSA, the metadata folder of CH-SIMS, and
``Raw/VIDEO/CLIP.mp4``. Does not know: packed features (``.pkl``), which hold no clips.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers.files import (
    OPTIONS,
    ROW,
    clip_places,
    find_file,
    read_options,
    read_rows,
)
from emotion_llama.evaluation.readers.gather import Found, gather, known
from emotion_llama.evaluation.readers.mer import Language
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth

METADATA = "metadata/sentiment/label_M.csv"
"""Form of CH-SIMS: the split is in tables of row numbers, the words in another table."""


class MmsaOptions(BaseModel):
    """Which part, and which table."""

    model_config = OPTIONS

    labels: tuple[str, ...]
    """tables with the truth, the first that exists counts"""
    split: str = "test"
    language: str
    transcript: Language = "chinese"
    """of CH-SIMS, whose metadata have both"""


class SentimentRow(BaseModel):
    """One clip of a table; ``mode`` and ``text`` are elsewhere in the metadata of CH-SIMS."""

    model_config = ROW

    video_id: str = Field(min_length=1)
    clip_id: str = Field(min_length=1)
    label: float = Field(allow_inf_nan=False)
    text: str | None = None
    mode: str | None = None


class IndexRow(BaseModel):
    """Number of a row, from 0."""

    model_config = ROW

    index: int = Field(ge=0)


class TranslationRow(BaseModel):
    """What is said in one clip."""

    model_config = ROW

    video_id: str
    clip_id: str
    chinese: str | None = Field(default=None, alias="Chinese")
    english: str | None = Field(default=None, alias="English")


def read(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read a part of a sentiment set.

    Raises:
        MissingDataError: the table, or all clips, are missing
        ValueError: a table breaks its form, or a value is outside the protocol's range
    """
    options = read_options(protocol, MmsaOptions)
    path = find_file(folder, options.labels, protocol)
    rows = read_rows(path, SentimentRow)
    _require_range(rows, path, protocol)
    if path == folder / METADATA:
        rows = _with_metadata(rows, folder, protocol, options)
    else:
        _require_modes(rows, path)
    chosen = [row for row in rows if row.mode == options.split]
    others = len(rows) - len(chosen)
    left_out = {f"not in the split {options.split}": others} if others else {}
    return gather(_clips(chosen, folder, options), protocol, path, left_out)


def _clips(rows: Sequence[SentimentRow], folder: Path, options: MmsaOptions) -> Iterator[Found]:
    for row in rows:
        sample = EvalSample(
            sample_id=f"{row.video_id}/{row.clip_id}",
            path=None,
            transcript=row.text or None,
            truth=Truth(value=row.label),
            groups=known(source=row.video_id, language=options.language),
            split=options.split,
        )
        # a table that was saved by a spreadsheet has lost the zeros of 0001
        names = dict.fromkeys((row.clip_id, row.clip_id.zfill(4)))
        below = [f"Raw/{row.video_id}"]
        yield Found(
            sample, tuple(place for name in names for place in clip_places(folder, below, name))
        )


def _with_metadata(
    rows: Sequence[SentimentRow], folder: Path, protocol: Protocol, options: MmsaOptions
) -> list[SentimentRow]:
    """Join split and words of CH-SIMS to the rows."""
    index = find_file(folder, [f"metadata/{options.split}_index.csv"], protocol)
    chosen = {row.index for row in read_rows(index, IndexRow)}
    if chosen and max(chosen) >= len(rows):
        msg = (
            f"{index}: found the index {max(chosen)}, expected less than {len(rows)}, the rows of "
            f"{METADATA}; get both files from one release"
        )
        raise ValueError(msg)
    said = _translations(folder / "metadata" / "Translation.csv", options.transcript)
    return [
        row.model_copy(
            update={
                "mode": options.split if number in chosen else None,
                "text": said.get((row.video_id, row.clip_id.zfill(4))),
            }
        )
        for number, row in enumerate(rows)
    ]


def _translations(path: Path, language: Language) -> Mapping[tuple[str, str], str | None]:
    """Read what is said, by video and clip of four digits."""
    rows = read_rows(path, TranslationRow) if path.is_file() else []
    return {
        (row.video_id, row.clip_id.zfill(4)): row.english if language == "english" else row.chinese
        for row in rows
    }


def _require_modes(rows: Sequence[SentimentRow], path: Path) -> None:
    for number, row in enumerate(rows, 1):
        if not row.mode:
            msg = f"{path}, row {number}: found no mode, expected train, valid or test"
            raise ValueError(msg)


def _require_range(rows: Sequence[SentimentRow], path: Path, protocol: Protocol) -> None:
    assert protocol.value_range is not None  # the protocol checks it
    low, high = protocol.value_range
    for number, row in enumerate(rows, 1):
        if not low <= row.label <= high:
            msg = (
                f"{path}, row {number}: found the label {row.label:g}, expected {low:g} to {high:g}"
            )
            raise ValueError(msg)
