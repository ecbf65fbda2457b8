"""MER2023 and MER2024: label table, label archive or annotation list -> samples.

Knows: ``name,discrete[,valence]`` and ``name,openset`` (``.csv``), MERBench's archive (``.npz``),
Emotion-LLaMA's ``clip frames label`` (``.txt``). Does not know: which labels are scored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers.corpus import read_corpus
from emotion_llama.evaluation.readers.files import (
    OPTIONS,
    ROW,
    bare_name,
    clip_places,
    find_file,
    first_file,
    read_fields,
    read_options,
    read_rows,
)
from emotion_llama.evaluation.readers.gather import Found, gather, label_form
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth
from emotion_llama.evaluation.wheel import listed_words

UNKNOWN_VALENCE = -10.0
"""What MER2023's files hold where the valence is not known."""

TRANSCRIPTS = ("subtitle_chieng.csv", "transcription-engchi-polish.csv")

Language = Literal["english", "chinese"]


class MerOptions(BaseModel):
    """Where a track's files lie below the folder."""

    model_config = OPTIONS

    split: str
    """part of an archive: ``test3`` is in ``test3_corpus``"""
    labels: tuple[str, ...]
    """files with the truth, the first that exists counts"""
    media: tuple[str, ...]
    """folders with the clips"""
    transcript: Language = "english"


class LabelRow(BaseModel):
    """One clip with its label."""

    model_config = ROW

    name: str
    discrete: str
    valence: float | None = None


class ListRow(BaseModel):
    """One line of an annotation list; the middle field is not used."""

    model_config = ROW

    clip: str
    frames: str
    label: str


class WordsRow(BaseModel):
    """One clip with the words of an open vocabulary."""

    model_config = ROW

    name: str
    openset: str


class TranscriptRow(BaseModel):
    """What is said in one clip."""

    model_config = ROW

    name: str
    chinese: str | None = None
    english: str | None = None


Truths = list[tuple[str, Truth]]
"""Clip's name and truth, in the order of the file."""


def read(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read a track of MER2023 or MER2024.

    Raises:
        MissingDataError: the labels, or all clips, are missing
        ValueError: a file breaks its form
    """
    options = read_options(protocol, MerOptions)
    path = find_file(folder, options.labels, protocol)
    spoken = read_transcripts(folder, options.transcript)
    clips = (
        Found(
            EvalSample(
                sample_id=bare_name(name),
                path=None,
                transcript=spoken.get(bare_name(name)),
                truth=truth,
                groups={"language": "zh"},
                split=options.split,
            ),
            clip_places(folder, options.media, name),
        )
        for name, truth in _truths(path, protocol, options)
    )
    return gather(clips, protocol, path)


def read_transcripts(folder: Path, language: Language) -> Mapping[str, str]:
    """Read what is said in each clip, where the folder has a table of it."""
    path = first_file(folder / name for name in TRANSCRIPTS)
    rows = [] if path is None else read_rows(path, TranscriptRow)
    said = {row.name: row.english if language == "english" else row.chinese for row in rows}
    return {name: text for name, text in said.items() if text}


def _truths(path: Path, protocol: Protocol, options: MerOptions) -> Truths:
    if path.suffix == ".npz":
        corpus = read_corpus(path, f"{options.split}_corpus")
        return [(name, _truth(row.emo, row.val, protocol)) for name, row in corpus.items()]
    if protocol.kind == "words":
        return [
            (row.name, Truth(words=listed_words(row.openset))) for row in read_rows(path, WordsRow)
        ]
    if path.suffix == ".txt":
        rows = read_fields(path, ListRow, ("clip", "frames", "label"))
        return [(row.clip, _truth(row.label, None, protocol)) for row in rows]
    return [
        (row.name, _truth(row.discrete, row.valence, protocol)) for row in read_rows(path, LabelRow)
    ]


def _truth(label: str, valence: float | None, protocol: Protocol) -> Truth:
    return Truth(
        label=label_form(label, protocol), value=None if valence == UNKNOWN_VALENCE else valence
    )
