"""RAVDESS and CREMA-D: file names that state everything -> samples.

Knows: the fields of the names, CREMA-D's tables of actors and votes. Does not know: splits, of
which neither set has an official one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers.files import OPTIONS, ROW, missing, read_options, read_rows
from emotion_llama.evaluation.readers.gather import Found, gather, vote_shares
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth
from emotion_llama.media.manifest import SOUND_SUFFIXES, VIDEO_SUFFIXES, walk_media

OTHER_NAME = "file name of another form"

RAVDESS_EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
RAVDESS_SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
RAVDESS_MODALITIES = {"01": "face and voice", "02": "face alone", "03": "voice alone"}
RAVDESS_CHANNELS = {"01": "spoken", "02": "sung"}
_RAVDESS_FIELDS = 7

CREMA_EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
CREMA_SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
_CREMA_FIELDS = 4
_QUERY = 100_000
"""A row of CREMA-D's votes is numbered 100,000 x what the raters were given + clip."""


class RavdessOptions(BaseModel):
    """Which files."""

    model_config = OPTIONS

    modality: Literal["01", "02", "03"] = "01"


class CremaDOptions(BaseModel):
    """Which files; the votes are of raters who were given the same."""

    model_config = OPTIONS

    given: Literal["clip", "voice"] = "clip"


class ActorRow(BaseModel):
    """One actor of CREMA-D."""

    model_config = ROW

    actor: str = Field(alias="ActorID")
    age: int = Field(alias="Age", ge=0)
    sex: Literal["Male", "Female"] = Field(alias="Sex")
    race: str = Field(alias="Race")
    ethnicity: str = Field(alias="Ethnicity")

    def to_record(self) -> Mapping[str, str]:
        """Give the groups; ages by decade, so that a group has more than a few people."""
        decade = self.age // 10 * 10
        return {
            "sex": self.sex.lower(),
            "age": f"{decade}-{decade + 9}",
            "race": self.race,
            "ethnicity": self.ethnicity,
        }


class VotesRow(BaseModel):
    """Votes for one clip of CREMA-D by raters who were given one thing."""

    model_config = ROW

    key: int = Field(alias="")
    name: str = Field(alias="fileName")
    angry: int = Field(alias="A", ge=0)
    disgust: int = Field(alias="D", ge=0)
    fear: int = Field(alias="F", ge=0)
    happy: int = Field(alias="H", ge=0)
    neutral: int = Field(alias="N", ge=0)
    sad: int = Field(alias="S", ge=0)

    def to_record(self) -> Mapping[str, float]:
        """Give the votes by label."""
        return {label: float(getattr(self, label)) for label in CREMA_EMOTIONS.values()}


def read_ravdess(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read RAVDESS: speech of one modality, in any folders.

    Raises:
        MissingDataError: there is no such file
        ValueError: a name has fields that mean nothing
    """
    wanted = read_options(protocol, RavdessOptions).modality
    left_out: Counter[str] = Counter()
    clips = []
    for path in _files(folder):
        fields = path.stem.split("-")
        if len(fields) != _RAVDESS_FIELDS or not all(f.isdecimal() for f in fields):
            left_out[OTHER_NAME] += 1
            continue
        modality = _meaning(fields[0], RAVDESS_MODALITIES, "modality", path)
        channel = _meaning(fields[1], RAVDESS_CHANNELS, "vocal channel", path)
        if fields[0] != wanted or channel != "spoken":
            left_out[f"{modality}, {channel}"] += 1
            continue
        clips.append(_ravdess_clip(path, fields))
    if not clips:
        what = f"RAVDESS speech of {RAVDESS_MODALITIES[wanted]} in {folder}"
        raise missing(what, protocol)
    return gather(clips, protocol, folder, left_out)


def _ravdess_clip(path: Path, fields: list[str]) -> Found:
    actor = int(fields[6])
    sample = EvalSample(
        sample_id=path.stem,
        path=path,
        transcript=_meaning(fields[4], RAVDESS_SENTENCES, "statement", path),
        truth=Truth(label=_meaning(fields[2], RAVDESS_EMOTIONS, "emotion", path)),
        groups={
            "speaker": f"actor{actor:02d}",
            "sex": "male" if actor % 2 else "female",
            "language": "en",
        },
    )
    return Found(sample)


def read_crema_d(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read CREMA-D; the label is what the actor was asked for.

    Groups and votes are read from their tables where the folder has them.

    Raises:
        MissingDataError: there is no such file
        ValueError: a name has fields that mean nothing, or a table breaks its form
    """
    given = read_options(protocol, CremaDOptions).given
    endings = VIDEO_SUFFIXES if given == "clip" else SOUND_SUFFIXES
    actors = _crema_actors(folder / "VideoDemographics.csv")
    votes = _crema_votes(folder / "processedResults" / "tabulatedVotes.csv", given)
    left_out: Counter[str] = Counter()
    clips = []
    for path in _files(folder):
        fields = path.stem.split("_")
        if len(fields) != _CREMA_FIELDS or not fields[0].isdecimal():
            left_out[OTHER_NAME] += 1
        elif path.suffix.lower() not in endings:
            left_out["voice alone" if given == "clip" else "video"] += 1
        else:
            clips.append(_crema_clip(path, fields, actors, votes, protocol))
    if not clips:
        what = f"CREMA-D {given} in {folder}"
        raise missing(what, protocol)
    return gather(clips, protocol, folder, left_out)


def _crema_clip(
    path: Path,
    fields: list[str],
    actors: Mapping[str, Mapping[str, str]],
    votes: Mapping[str, Mapping[str, float]],
    protocol: Protocol,
) -> Found:
    actor, sentence, emotion, _ = fields
    sample = EvalSample(
        sample_id=path.stem,
        path=path,
        transcript=_meaning(sentence, CREMA_SENTENCES, "sentence", path),
        truth=Truth(
            label=_meaning(emotion, CREMA_EMOTIONS, "emotion", path),
            votes=vote_shares(votes.get(path.stem, {}), protocol),
        ),
        groups={"speaker": actor, "language": "en", **actors.get(actor, {})},
    )
    return Found(sample)


def _crema_actors(path: Path) -> Mapping[str, Mapping[str, str]]:
    rows = read_rows(path, ActorRow) if path.is_file() else []
    return {row.actor: row.to_record() for row in rows}


def _crema_votes(path: Path, given: str) -> Mapping[str, Mapping[str, float]]:
    query = 3 if given == "clip" else 1
    rows = read_rows(path, VotesRow) if path.is_file() else []
    return {row.name: row.to_record() for row in rows if row.key // _QUERY == query}


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(walk_media(folder)) if folder.is_dir() else ())


def _meaning(field: str, meanings: Mapping[str, str], what: str, path: Path) -> str:
    if field not in meanings:
        msg = (
            f"{path}: found the {what} {field!r} in the name, expected one of "
            f"{', '.join(meanings)}; rename or remove the file"
        )
        raise ValueError(msg)
    return meanings[field]
