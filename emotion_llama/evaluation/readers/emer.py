"""EMER: descriptions of clips of MER2023 -> samples.

Knows: the first form ``names,emotions,subtitles,reasons`` and the second ``name,chinese,english``.
Does not know: how texts are compared.
"""

from pathlib import Path

from pydantic import AliasChoices, BaseModel, Field

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers.files import (
    OPTIONS,
    ROW,
    clip_places,
    find_file,
    read_options,
    read_rows,
)
from emotion_llama.evaluation.readers.gather import Found, gather
from emotion_llama.evaluation.readers.mer import Language, read_transcripts
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth
from emotion_llama.evaluation.wheel import listed_words


class EmerOptions(BaseModel):
    """Where the files lie below the folder."""

    model_config = OPTIONS

    labels: tuple[str, ...]
    media: tuple[str, ...]
    language: Language = "english"
    """of the description, where a file has both; the model must answer in the same"""


class EmerRow(BaseModel):
    """One clip with its description."""

    model_config = ROW

    name: str = Field(validation_alias=AliasChoices("names", "name"))
    emotions: str | None = None
    subtitles: str | None = None
    reasons: str | None = None
    english: str | None = None
    chinese: str | None = None


def read(folder: Path, protocol: Protocol, work: Path) -> Reading:
    """Read EMER.

    Raises:
        MissingDataError: the descriptions, or all clips, are missing
        ValueError: the file breaks its form
    """
    options = read_options(protocol, EmerOptions)
    path = find_file(folder, options.labels, protocol)
    spoken = read_transcripts(folder, options.language)
    clips = (
        Found(
            EvalSample(
                sample_id=row.name,
                path=None,
                transcript=row.subtitles or spoken.get(row.name),
                truth=_truth(row, options),
                groups={"language": "zh"},
            ),
            clip_places(folder, options.media, row.name),
        )
        for row in read_rows(path, EmerRow)
    )
    return gather(clips, protocol, path)


def _truth(row: EmerRow, options: EmerOptions) -> Truth:
    words = listed_words(row.emotions or "")
    text = row.english if options.language == "english" else row.chinese
    return Truth(description=row.reasons or text, words=words or None)
