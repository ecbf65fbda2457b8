"""The data folder of this project (docs/data.md) -> samples of one of its sets.

Knows: ``manifest.csv`` and ``faces/ferplus.npz``. Does not know: models, figures.
"""

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers.files import (
    OPTIONS,
    ROW,
    checked_row,
    find_file,
    read_options,
)
from emotion_llama.evaluation.readers.gather import Found, gather, known, vote_shares
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth
from emotion_llama.media.manifest import read_table

Split = Literal["train", "dev", "test"]

PICTURES = "faces/ferplus.npz"
_ARRAYS = ("webp", "offset", "votes", "vote_order", "split")
_SEXES = {"M": "male", "F": "female"}
_SEX = "gender="
"""Where the note of a row states the sex."""


class DataFolderOptions(BaseModel):
    """Which set."""

    model_config = OPTIONS

    dataset: str
    split: Split = "test"
    with_transcript: bool = False
    """whether the words are given too; actors say the same ones in every emotion"""


class PicturesOptions(BaseModel):
    """Which part of FER+."""

    model_config = OPTIONS

    split: Split = "test"


class DataFolderRow(BaseModel):
    """One item of the manifest."""

    model_config = ROW

    path: str
    dataset: str
    label: str
    speaker: str | None = None
    language: str | None = None
    split: Split
    transcript: str | None = None
    note: str = ""

    @property
    def sex(self) -> str | None:
        """What the note states, ``gender=M`` among others."""
        parts = (part.strip() for part in self.note.split(";"))
        letters = (part.removeprefix(_SEX) for part in parts if part.startswith(_SEX))
        return _SEXES.get(next(letters, ""))


def read_set(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read a set of recordings or clips from the manifest.

    Raises:
        MissingDataError: the manifest, or all files, are missing
        ValueError: a row breaks its form, or there is none of the set and split
    """
    options = read_options(protocol, DataFolderOptions)
    path = find_file(folder, ["manifest.csv"], protocol)
    rows = [
        checked_row(row, DataFolderRow, path, number)
        for number, row in enumerate(read_table(path), 1)
        if row.get("dataset") == options.dataset
    ]
    chosen = [row for row in rows if row.split == options.split]
    if not chosen:
        counts = Counter(row.split for row in rows)
        msg = (
            f"{path}: found no row of the data set {options.dataset} in the split {options.split}, "
            f"expected at least one; it has {dict(counts) or 'none at all'}"
        )
        raise ValueError(msg)
    return gather((_clip(row, folder, options) for row in chosen), protocol, path)


def read_pictures(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read the faces of FER+ and write those that are scored as PNG files.

    The label is the annotators' most frequent one, of equals the first in the order of the votes;
    faces that most called unknown or no face are left out.

    Args:
        folder: data folder
        protocol: which labels are scored
        work: gets ``ferplus/ROW.png``; a picture that is there already is not written again

    Raises:
        MissingDataError: there is no archive
        ValueError: the archive breaks its form
    """
    split = read_options(protocol, PicturesOptions).split
    path = find_file(folder, [PICTURES], protocol)
    arrays = _arrays(path)
    pictures = work / "ferplus"
    reading = gather(_faces(arrays, split, pictures, protocol), protocol, path)
    pictures.mkdir(parents=True, exist_ok=True)
    for sample in reading.samples:
        assert sample.path is not None  # _faces gives every sample one
        _write_picture(arrays, sample.path)
    return reading


def _clip(row: DataFolderRow, folder: Path, options: DataFolderOptions) -> Found:
    sample = EvalSample(
        sample_id=row.path,
        path=None,
        transcript=(row.transcript or None) if options.with_transcript else None,
        truth=Truth(label=row.label),
        groups=known(speaker=row.speaker, sex=row.sex, language=row.language, source=row.dataset),
        split=row.split,
    )
    return Found(sample, (folder / row.path,))


def _arrays(path: Path) -> Mapping[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        lacking = [name for name in _ARRAYS if name not in archive.files]
        if lacking:
            msg = (
                f"{path}: found the arrays {', '.join(archive.files)}, expected "
                f"{', '.join(lacking)} too"
            )
            raise ValueError(msg)
        # each access of an archive reads the array anew
        return {name: archive[name] for name in _ARRAYS}


def _faces(
    arrays: Mapping[str, Any], split: Split, pictures: Path, protocol: Protocol
) -> Iterator[Found]:
    order = [str(name) for name in arrays["vote_order"]]
    published = "valid" if split == "dev" else split
    for row in np.flatnonzero(arrays["split"] == published):
        votes = dict(zip(order, map(float, arrays["votes"][row]), strict=True))
        most = max(votes, key=votes.__getitem__)
        sample = EvalSample(
            sample_id=f"ferplus/{row}",
            path=pictures / f"{row}.png",
            transcript=None,
            truth=Truth(label=most, votes=vote_shares(votes, protocol)),
            groups={"source": "ferplus"},
            split=split,
        )
        yield Found(sample)


def _write_picture(arrays: Mapping[str, Any], path: Path) -> None:
    if path.is_file():
        return
    start, end = arrays["offset"][int(path.stem) : int(path.stem) + 2]
    picture = Image.open(io.BytesIO(arrays["webp"][start:end].tobytes()))
    half = path.with_suffix(".half")
    picture.convert("RGB").save(half, format="PNG")
    half.replace(path)  # so that what is there is whole, whenever a run is cut off
