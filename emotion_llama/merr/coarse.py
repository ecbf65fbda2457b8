"""Clues -> the coarse caption: scene, expression, voice, words, in the paper's order.

Knows: the frames of sentences and how statements are joined. Does not know: labels, measures. A
kind of clue that is not there is left out, not spoken of. Source: Cheng et al. 2024, section 3.1
and the example of a coarse record in its figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from emotion_llama.merr.draw import choose
from emotion_llama.merr.records import Clue, ClueKind


@dataclass(frozen=True)
class CoarseFrame:
    """The words around the four kinds of clues."""

    scene: str
    facial: str
    voice: str
    words: str


FRAMES = (
    CoarseFrame(
        scene="As for the scene, {}.",
        facial="As for the expression, {}.",
        voice="As for the voice, {}.",
        words="Saying: {}",
    ),
    CoarseFrame(
        scene="The scene: {}.",
        facial="The expression: {}.",
        voice="The voice: {}.",
        words="The words: {}",
    ),
    CoarseFrame(
        scene="What is to be seen: {}.",
        facial="At the peak of the expression, {}.",
        voice="What is to be heard: {}.",
        words="What is said: {}",
    ),
    CoarseFrame(
        scene="To begin with, {}.",
        facial="In the peak frame, {}.",
        voice="In the sound, {}.",
        words="With the words: {}",
    ),
    CoarseFrame(
        scene="The clip shows this: {}.",
        facial="Expression and actions include: {}.",
        voice="The voice sounds like this: {}.",
        words="The person says: {}",
    ),
)
"""One is drawn for each clip, so that a model does not learn one frame by heart."""

ARTICLES = ("A ", "An ", "The ", "There ", "This ")
"""Words that lose their capital inside a sentence; a name keeps it."""


def coarse_caption(
    clues: Sequence[Clue],
    transcript: str | None,
    scene_description: str | None,
    voice_description: str | None,
    clip_id: str,
    seed: int = 0,
) -> str:
    """Put all clues of a clip into one text; it holds no label.

    Args:
        clues: of any kind; those of the words are left to ``transcript``, which is quoted last
        transcript: what is said, or ``None``
        scene_description: visual objective by a model; it takes the place of the scene's clues
        voice_description: audio tone by a model; it takes the place of the voice's clues
        clip_id: draws the frame, together with ``seed``
        seed: of the data set

    Returns:
        the caption; empty where there is nothing to tell
    """
    frame: CoarseFrame = choose(FRAMES, clip_id, seed, "coarse")
    parts = (
        (frame.scene, described(scene_description) or joined(of_kind(clues, "scene"))),
        (frame.facial, joined(of_kind(clues, "facial"))),
        (frame.voice, described(voice_description) or joined(of_kind(clues, "voice"))),
        (frame.words, quoted(transcript)),
    )
    return " ".join(lead.format(text) for lead, text in parts if text)


def of_kind(clues: Sequence[Clue], kind: ClueKind) -> tuple[Clue, ...]:
    """Give the clues of one kind, in order."""
    return tuple(clue for clue in clues if clue.kind == kind)


def joined(clues: Sequence[Clue]) -> str:
    """Join statements word for word: ``a``, ``a and b``, ``a, b and c``."""
    *first, last = [clue.statement for clue in clues] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def described(description: str | None) -> str:
    """Give a model's description as part of a sentence: no capital article, no last full stop."""
    text = " ".join((description or "").split()).rstrip(" .!?")
    return text[:1].lower() + text[1:] if text.startswith(ARTICLES) else text


def quoted(transcript: str | None) -> str:
    """Quote what was said; inner quotation marks become single ones."""
    words = " ".join((transcript or "").split()).replace('"', "'")
    return f'"{words}"' if words else ""
