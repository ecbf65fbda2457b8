"""IEMOCAP: evaluation texts, transcriptions, films of dialogues and sentences -> samples.

Knows: the folders of a session, the lines of its texts, on which side of a film who is seen. Does
not know: how a part of a film is read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, model_validator

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
from emotion_llama.evaluation.samples import EvalSample, Reading, Side, Truth

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

_TURN = re.compile(
    r"^\[(?P<start_s>[\d.]+) - (?P<end_s>[\d.]+)\]\t(?P<turn>[^\t]*)\t(?P<code>[^\t]*)\t"
)
_SAID = re.compile(r"^(?P<turn>Ses\w+) \[[^\]]*\]:\s*(?P<text>.*)$")
_SEXES = {"F": "female", "M": "male"}
_MARKERS = 5
"""Place of the letter in ``Ses05F_impro01``."""
_NUM_SESSIONS = 5


class IemocapOptions(BaseModel):
    """Which sessions, and what counts as happy."""

    model_config = OPTIONS

    given: Literal["film", "voice"] | None = None
    """``film``: the turn in the film of its dialogue, ``voice``: the sound of its sentence;
    ``None``: of each dialogue the film, where it is there"""
    sessions: tuple[int, ...] = Field(default=(_NUM_SESSIONS,), min_length=1)
    excited_is_happy: bool = False


class TurnRow(BaseModel):
    """One turn with its label."""

    model_config = ROW

    turn: str = Field(pattern=r"^Ses\d\d[FM]_\w+_[FM][\dX]+\w*$")
    """``Ses05F_impro01_M003``: session, who wears markers, dialogue, who speaks, number"""
    code: Code
    start_s: float
    end_s: float
    """in the film of the dialogue"""

    @property
    def speaks(self) -> str:
        """Letter of the one who speaks, ``F`` or ``M``."""
        return self.turn.rsplit("_", 1)[1][0]

    @property
    def side(self) -> Side:
        """Where in the film: who wears markers, as the dialogue's name tells, sits on the left."""
        return "left" if self.turn[_MARKERS] == self.speaks else "right"

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> "TurnRow":
        if self.end_s <= self.start_s:
            msg = (
                f"found a turn from {self.start_s:g} to {self.end_s:g} s, expected an end after it"
            )
            raise ValueError(msg)
        return self


def read(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read sessions of IEMOCAP.

    Raises:
        MissingDataError: a session's texts, or all films and sentences, are missing
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
    film = place / "dialog" / "avi" / "DivX" / f"{path.stem}.avi"
    given = options.given or ("film" if film.is_file() else "voice")
    for row in _turns(path):
        label = NAMES[row.code]
        sample = EvalSample(
            sample_id=row.turn,
            path=None,
            transcript=said.get(row.turn),
            truth=Truth(
                label="happy" if options.excited_is_happy and label == "excited" else label
            ),
            groups={
                "speaker": f"Session{session}-{row.speaks}",
                "sex": _SEXES[row.speaks],
                "session": session,
                "source": path.stem,
                "language": "en",
                "given": given,
            },
            split=f"Session{session}",
        )
        if given == "film":
            sample = replace(sample, span=(row.start_s, row.end_s), side=row.side)
            yield Found(sample, (film,))
        else:
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
