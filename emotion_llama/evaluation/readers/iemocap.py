"""IEMOCAP: evaluation texts, transcriptions and sentences -> samples.

Knows: the folders of a session and the lines of its texts. Does not know: the videos of the whole
dialogues, which show two people side by side.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers.files import (
    OPTIONS,
    ROW,
    checked_row,
    missing,
    read_lines,
    read_options,
)
from emotion_llama.evaluation.readers.gather import Found, gather
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth

Code = Literal["ang", "hap", "exc", "sad", "neu", "fru", "fea", "sur", "dis", "oth", "xxx"]

NAMES: Mapping[Code, str] = {
    "ang": "angry",
    "hap": "happy",
    "exc": "excited",
    "sad": "sad",
    "neu": "neutral",
    "fru": "frustrated",
    "fea": "fear",
    "sur": "surprise",
    "dis": "disgust",
    "oth": "other",
    "xxx": "undecided",
}
"""Code of the evaluation texts -> name; ``xxx``: the annotators agreed on nothing."""

_TURN = re.compile(r"^\[[^\]]*\]\t(?P<turn>[^\t]*)\t(?P<code>[^\t]*)\t")
_SAID = re.compile(r"^(?P<turn>Ses\w+) \[[^\]]*\]:\s*(?P<text>.*)$")
_SEXES = {"F": "female", "M": "male"}
_NUM_SESSIONS = 5


class IemocapOptions(BaseModel):
    """Which sessions, and what counts as happy."""

    model_config = OPTIONS

    sessions: tuple[int, ...] = Field(default=(_NUM_SESSIONS,), min_length=1)
    excited_is_happy: bool = False


class TurnRow(BaseModel):
    """One turn with its label."""

    model_config = ROW

    turn: str = Field(pattern=r"^Ses\d\d[FM]_\w+_[FM][\dX]+\w*$")
    """``Ses05F_impro01_M003``: session, who wears markers, dialogue, who speaks, number"""
    code: Code


def read(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read sessions of IEMOCAP.

    Raises:
        MissingDataError: a session's texts, or all its sentences, are missing
        ValueError: a text breaks its form
    """
    options = read_options(protocol, IemocapOptions)
    texts = {}
    for session in options.sessions:
        place = folder / f"Session{session}" / "dialog" / "EmoEvaluation"
        # a copy made on a Mac has hidden files of the same ending
        texts[session] = sorted(p for p in place.glob("*.txt") if not p.name.startswith("."))
        if not texts[session]:
            what = f"text in {place}"
            raise missing(what, protocol)
    clips = (
        clip
        for session, paths in texts.items()
        for path in paths
        for clip in _clips(path, folder / f"Session{session}", str(session), options)
    )
    return gather(clips, protocol, folder)


def _clips(path: Path, place: Path, session: str, options: IemocapOptions) -> Iterator[Found]:
    """Read one dialogue."""
    said = _transcriptions(place / "dialog" / "transcriptions" / path.name)
    for row in _turns(path):
        label = NAMES[row.code]
        letter = row.turn.rsplit("_", 1)[1][0]
        sample = EvalSample(
            sample_id=row.turn,
            path=None,
            transcript=said.get(row.turn),
            truth=Truth(
                label="happy" if options.excited_is_happy and label == "excited" else label
            ),
            groups={
                "speaker": f"Session{session}-{letter}",
                "sex": _SEXES[letter],
                "session": session,
                "source": path.stem,
                "language": "en",
            },
            split=f"Session{session}",
        )
        yield Found(sample, (place / "sentences" / "wav" / path.stem / f"{row.turn}.wav",))


def _turns(path: Path) -> Iterator[TurnRow]:
    """Read the lines that sum a turn up; those of single annotators are left alone."""
    for number, line in enumerate(read_lines(path), 1):
        if not line.startswith("["):
            continue
        match = _TURN.match(line)
        if match is None:
            msg = (
                f"{path}, row {number}: found {line.strip()!r}, expected [start - end], turn, "
                "emotion and [V, A, D], separated by tabs"
            )
            raise ValueError(msg)
        yield checked_row(match.groupdict(), TurnRow, path, number)


def _transcriptions(path: Path) -> Mapping[str, str]:
    """Read what is said; lines of other forms, such as noises between turns, are left alone."""
    matches = (_SAID.match(line) for line in (read_lines(path) if path.is_file() else ()))
    return {m["turn"]: m["text"].strip() for m in matches if m and m["text"].strip()}
