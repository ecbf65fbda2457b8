"""What the page says in fixed words: what it is for, what it is not for, what happens to a clip.

Knows: sentences. Does not know: layout, clips, answers.
"""

from collections.abc import Mapping
from typing import Final

from emotion_llama.clip_words import WordModels
from emotion_llama.media.weights import shown_name
from emotion_llama.modalities import Part

TITLE: Final = "Emotion-LLaMA"
PURPOSE: Final = "A short clip of a person goes in; an emotion and the reasons for it come out."

NOT_FOR: Final = (
    "It is no lie detector and no diagnosis.",
    "Do not judge people by it: not at work, not at school, not at a border.",
    "It sees one short clip and knows nothing else about the person. What a face, a voice and "
    "words show is not what somebody feels.",
    "It learned from acted and posed emotions of few people, and is often wrong.",
)
"""Said on the page itself, beside every answer: who shares an answer shares these too."""

NOT_FOR_SHORT: Final = (
    "No lie detector, no diagnosis, not for judging people at work, at school or at a border."
)

CONSENT: Final = "Show only people who agreed to it."

ENGLISH_ONLY: Final = "The model reads English: give an English translation, or leave it out."

_MINI_TALK: Final = (
    "The preset mini answers a question from the part of the clip that it speaks of: the face, the "
    "voice or the words. It knows no other talk: a first question about none of them gets the "
    "reason, a later one is told so."
)
_OTHER_TALK: Final = (
    "The model was trained on two kinds of questions: which emotion it is, and why. Answers to "
    "others are worth less."
)

START: Final = "Give a clip or words, then press the button."
SHARE: Final = (
    "The record is the one that emotion-llama predict --json writes, with the SHA-256 of the file. "
    "A face is personal data: tick the box only if the person agrees."
)

FAULT: Final = (
    "Something failed here that should not have; the log of the server has it. Try again, or try "
    "another clip."
)
TEXT_LEFT_OUT: Final = (
    "the words were left out: they are those of the whole clip, and it is answered in segments"
)
GONE: Final = "This answer is no longer kept here; let the clip be answered again."
TOO_LATE: Final = "It took too long and was given up; try a shorter clip, or later."

PART_WORDS: Mapping[Part, str] = {
    "vision": "the picture",
    "audio": "the voice",
    "text": "the words",
}


def kept(minutes: int) -> str:
    """Say what happens to a file."""
    return (
        f"Clips are read on this server and sent nowhere else. Files are deleted after {minutes} "
        "minutes, and what was computed from them when you leave or after that time."
    )


def too_often(per_minute: int, wait_s: int) -> str:
    """Say that somebody asks more often than they may."""
    return f"You asked more than {per_minute} times in a minute; try again in {wait_s} s."


def talk_help(*, is_mini: bool) -> str:
    """Say what can be asked."""
    return _MINI_TALK if is_mini else _OTHER_TALK


def transcript_help(models: WordModels, *, english_only: bool) -> str:
    """Say which words may be given, and what happens where none are.

    Args:
        models: what hears and translates words here
        english_only: whether the model reads nothing else
    """
    given = "In English: the model reads nothing else."
    if not english_only:
        given = "In a language that the model reads."
    elif models.translation is not None:
        name = shown_name(models.translation)
        given = f"Words that are plainly not English are translated by {name}."
    if models.speech is None:
        return f"{given} Speech is not recognised here."
    hearer = shown_name(models.speech)
    return f"{given} Left empty, {hearer} writes down what it hears, and says the language."
