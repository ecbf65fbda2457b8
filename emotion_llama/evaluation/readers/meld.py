"""MELD: table of utterances -> samples, with their clips or as words alone.

Knows: ``*_sent_emo.csv`` and ``dia{D}_utt{U}.mp4``. Does not know: dialogue context.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

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
from emotion_llama.evaluation.readers.gather import Found, gather, known, label_form
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth

Split = Literal["train", "dev", "test"]

TABLES = (
    "{split}_sent_emo.csv",
    "{split}/{split}_sent_emo.csv",
    "text/meld_{split}.csv",
    "meld_{split}.csv",
)

CLIP_FOLDERS: dict[Split, str] = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
"""As the published archives unpack."""


class MeldOptions(BaseModel):
    """Which part, and what is given of it."""

    model_config = OPTIONS

    split: Split = "test"
    words_only: bool = False
    """whether no clip is looked for"""


class MeldRow(BaseModel):
    """One utterance."""

    model_config = ROW

    utterance: str = Field(alias="Utterance", min_length=1)
    speaker: str | None = Field(default=None, alias="Speaker")
    emotion: str = Field(alias="Emotion", min_length=1)
    dialogue: int = Field(alias="Dialogue_ID")
    number: int = Field(alias="Utterance_ID")


def read(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read MELD.

    Raises:
        MissingDataError: the table, or all clips, are missing
        ValueError: the table breaks its form
    """
    options = read_options(protocol, MeldOptions)
    path = find_file(folder, [name.format(split=options.split) for name in TABLES], protocol)
    return gather(_clips(path, folder, protocol, options), protocol, path)


def _clips(path: Path, folder: Path, protocol: Protocol, options: MeldOptions) -> Iterator[Found]:
    clips = CLIP_FOLDERS[options.split]
    for row in read_rows(path, MeldRow):
        dialogue = f"dia{row.dialogue}"
        name = f"{dialogue}_utt{row.number}"
        sample = EvalSample(
            sample_id=name,
            path=None,
            transcript=row.utterance,
            truth=Truth(label=label_form(row.emotion, protocol)),
            groups=known(speaker=row.speaker, source=dialogue, language="en"),
            split=options.split,
        )
        below = (clips, f"{options.split}/{clips}", options.split)
        yield Found(sample, () if options.words_only else clip_places(folder, below, name))
