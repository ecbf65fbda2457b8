"""FERV39k: list of all scenes -> samples.

Knows: lines ``Scene/Label/number Label``. Does not know: frames cut out of the clips.
"""

from collections.abc import Iterator
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
from emotion_llama.evaluation.readers.gather import Found, gather, label_form
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth

CLIP_FOLDERS = ("0_7_LabelClips",)


class Ferv39kOptions(BaseModel):
    """Which half."""

    model_config = OPTIONS

    split: str = "test"


class Ferv39kRow(BaseModel):
    """One clip."""

    model_config = ROW

    clip: str
    label: str


def read(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read FERV39k.

    Raises:
        MissingDataError: the list, or all clips, are missing
        ValueError: the list breaks its form
    """
    split = read_options(protocol, Ferv39kOptions).split
    path = find_file(folder, [f"4_setups/All_scenes/{split}_All.csv"], protocol)
    return gather(_clips(path, folder, protocol, split), protocol, path)


def _clips(path: Path, folder: Path, protocol: Protocol, split: str) -> Iterator[Found]:
    for row in read_fields(path, Ferv39kRow, ("clip", "label")):
        sample = EvalSample(
            sample_id=row.clip,
            path=None,
            transcript=None,
            truth=Truth(label=label_form(row.label, protocol)),
            groups={"scene": row.clip.split("/")[0]},
            split=split,
        )
        yield Found(sample, clip_places(folder, CLIP_FOLDERS, row.clip))
