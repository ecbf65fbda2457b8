"""MAFW, single labels: lists of five folds -> samples.

Knows: lines ``clip.mp4 label``. Does not know: compound labels, captions, votes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers.files import (
    OPTIONS,
    ROW,
    clip_places,
    find_file,
    read_fields,
    read_options,
)
from emotion_llama.evaluation.readers.folds import Fold, fold_numbers
from emotion_llama.evaluation.readers.gather import Found, gather, label_form
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth

LIST = "Train & Test Set/single/no_caption/set_{fold}/test.txt"
CLIP_FOLDERS = ("data/clips", "clips")


class MafwOptions(BaseModel):
    """Which folds."""

    model_config = OPTIONS

    fold: Fold = "all"


class MafwRow(BaseModel):
    """One clip of a fold."""

    model_config = ROW

    clip: str
    label: str


def read(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read the test sets of MAFW.

    Raises:
        MissingDataError: a fold's list, or all clips, are missing
        ValueError: a list breaks its form
    """
    options = read_options(protocol, MafwOptions)
    paths = {
        fold: find_file(folder, [LIST.format(fold=fold)], protocol)
        for fold in fold_numbers(options.fold)
    }
    return gather(_clips(paths, folder, protocol), protocol, folder)


def _clips(paths: Mapping[int, Path], folder: Path, protocol: Protocol) -> Iterator[Found]:
    for fold, path in paths.items():
        for row in read_fields(path, MafwRow, ("clip", "label")):
            sample = EvalSample(
                sample_id=row.clip,
                path=None,
                transcript=None,
                truth=Truth(label=label_form(row.label, protocol)),
                split="test",
                fold=str(fold),
            )
            yield Found(sample, clip_places(folder, CLIP_FOLDERS, row.clip))
