"""DFEW: tables of five folds -> samples.

Knows: ``video_name,label`` with labels 1 to 7 and numbered clips. Does not know: the votes of the
annotators (``annotation.xlsx``), which are not read.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers.files import (
    OPTIONS,
    ROW,
    find_file,
    read_options,
    read_rows,
)
from emotion_llama.evaluation.readers.folds import Fold, fold_numbers
from emotion_llama.evaluation.readers.gather import Found, gather
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth
from emotion_llama.labels import DFEW
from emotion_llama.media.manifest import VIDEO_SUFFIXES, walk_media

TABLES = (
    "EmoLabel_DataSplit/test(single-labeled)/set_{fold}.csv",
    "test(single-labeled)/set_{fold}.csv",
)


class DfewOptions(BaseModel):
    """Which folds, and where the clips lie below the folder."""

    model_config = OPTIONS

    fold: Fold = "all"
    media: tuple[str, ...] = ("Clip/original", "videos")


class DfewRow(BaseModel):
    """One clip of a fold."""

    model_config = ROW

    video_name: int
    label: int = Field(ge=1, le=len(DFEW))
    """1 to 7, in the order of `emotion_llama.labels.DFEW`"""


def read(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read the test sets of DFEW.

    Raises:
        MissingDataError: a fold's table, or all clips, are missing
        ValueError: a table breaks its form
    """
    options = read_options(protocol, DfewOptions)
    paths = {
        fold: find_file(folder, [name.format(fold=fold) for name in TABLES], protocol)
        for fold in fold_numbers(options.fold)
    }
    clips = _clips(paths, folder, options.media)
    return gather(clips, protocol, next(iter(paths.values())).parent)


def _clips(paths: Mapping[int, Path], folder: Path, media: Sequence[str]) -> Iterator[Found]:
    files = _numbered_files(folder, media)
    for fold, path in paths.items():
        for row in read_rows(path, DfewRow):
            name = f"{row.video_name:05d}"
            sample = EvalSample(
                sample_id=name,
                path=None,
                transcript=None,
                truth=Truth(label=DFEW.labels[row.label - 1]),
                split="test",
                fold=str(fold),
            )
            looked_for = folder / media[0] / f"{name}.mp4"
            yield Found(sample, (files.get(row.video_name, looked_for),))


def _numbered_files(folder: Path, media: Sequence[str]) -> dict[int, Path]:
    """Find videos by number, however many zeros lead and whatever folder of a part they are in."""
    files: dict[int, Path] = {}
    for place in media:
        for path in walk_media(folder / place) if (folder / place).is_dir() else ():
            if path.stem.isdecimal() and path.suffix.lower() in VIDEO_SUFFIXES:
                files.setdefault(int(path.stem), path)
    return files
