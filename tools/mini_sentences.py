"""Sentences about faces, voices and words, from which the `mini` preset learns to explain.

Knows: a small grammar of our own, graded words for evidence, cue words. Does not know: files,
models, tokens. All text here was written for this project; nothing is quoted from a data set.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from emotion_llama.labels import MINI

ADJECTIVES = {
    "neutral": ("neutral", "calm"),
    "happy": ("happy", "cheerful"),
    "angry": ("angry", "cross"),
    "sad": ("sad", "unhappy"),
    "surprise": ("surprised", "astonished"),
    "fear": ("fearful", "frightened"),
    "disgust": ("disgusted", "repelled"),
    "contempt": ("contemptuous", "scornful"),
}
"""How a face or an utterance of each label may be described."""

NOUNS = {
    "neutral": "no strong feeling",
    "happy": "happiness",
    "angry": "anger",
    "sad": "sadness",
    "surprise": "surprise",
    "fear": "fear",
    "disgust": "disgust",
    "contempt": "contempt",
}

CUES = {
    "happy": "great love thanks thank good glad happy wonderful nice awesome beautiful fun funny "
    "lol haha best cool enjoy amazing perfect hope welcome proud congratulations sweet yay",
    "angry": "hate angry stupid damn hell shut idiot mad fuck fucking shit ass annoying "
    "ridiculous worst liar unfair dumb moron pissed jerk enough",
    "sad": "sorry sad miss lost cry crying lonely alone hurt died dead poor unfortunately "
    "depressed hopeless tears broke pain goodbye unhappy regret",
    "surprise": "wow surprised really seriously unbelievable suddenly omg whoa unexpected "
    "shocked incredible what wait imagine strange",
    "fear": "afraid scared fear scary terrified worried worry nervous danger dangerous horror "
    "panic threat creepy anxious careful help",
    "disgust": "gross disgusting disgusted ew eww nasty awful ugly vile sick yuck filthy cringe",
}
"""Words that point to a label. Only a word that stands in the transcript is ever named."""

_CUE_LABEL = {cue: label for label, cues in CUES.items() for cue in cues.split()}


@dataclass(frozen=True)
class FaceEvidence:
    """What annotators said about a face."""

    label: str
    """expression that most of them chose"""
    share: float | None = None
    """share of the votes for it, 0 to 1; ``None`` where one annotation stands for all"""


@dataclass(frozen=True)
class VoiceEvidence:
    """Graded words for a voice; an empty tuple says that nothing stands out."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class WordsEvidence:
    """What was said: its label, and a word of it that points there."""

    label: str
    cue: str | None = None


Evidence = FaceEvidence | VoiceEvidence | WordsEvidence


def find_cue(transcript: str, label: str) -> str | None:
    """Give the first word of the transcript that points to the label, in lower case."""
    for word in re.findall(r"[a-z]+", transcript.lower()):
        if _CUE_LABEL.get(word) == label:
            return str(word)
    return None


def join(parts: Sequence[str]) -> str:
    """Give ``a``, ``a and b`` or ``a, b and c``."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def face_clause(face: FaceEvidence, rng: random.Random) -> str:
    """Describe a face in one clause."""
    adjective, noun = rng.choice(ADJECTIVES[face.label]), NOUNS[face.label]
    grade = ""
    if face.share is not None and face.label != "neutral":
        grade = "clearly " if face.share >= 0.9 else "slightly " if face.share < 0.6 else ""
    return rng.choice(
        (
            f"the face looks {grade}{adjective}",
            f"the face looks {grade}{adjective}",
            f"the expression is {grade}{adjective}",
            f"the face shows {noun}",
            f"the facial expression shows {noun}",
        )
    )


def voice_clause(voice: VoiceEvidence, rng: random.Random) -> str:
    """Describe a voice in one clause."""
    if not voice.words:
        return rng.choice(
            ("the voice is even", "the voice sounds ordinary", "the voice does not stand out")
        )
    return rng.choice(("the voice is ", "the voice sounds ", "the tone is ")) + join(voice.words)


def words_clause(words: WordsEvidence, rng: random.Random) -> str:
    """Describe what was said in one clause."""
    adjective = rng.choice(ADJECTIVES[words.label])
    if words.cue is not None and rng.random() < 0.75:
        return rng.choice(
            (
                f"the word {words.cue} sounds {adjective}",
                f"the word {words.cue} points to {NOUNS[words.label]}",
            )
        )
    if words.label == "neutral":
        return rng.choice(
            ("the words are plain", "the words sound neutral", "the words show no strong feeling")
        )
    return rng.choice((f"the words sound {adjective}", f"the words express {NOUNS[words.label]}"))


def clause(evidence: Evidence, rng: random.Random) -> str:
    """Describe one piece of evidence in one clause."""
    if isinstance(evidence, FaceEvidence):
        return face_clause(evidence, rng)
    if isinstance(evidence, VoiceEvidence):
        return voice_clause(evidence, rng)
    return words_clause(evidence, rng)


def conclusion(label: str, rng: random.Random) -> str:
    """Name the label; the wording carries no other label."""
    return rng.choice(
        (
            f"so the person feels {label}",
            f"so the person feels {label}",
            f"so the person seems to feel {label}",
            f"which suggests that the person feels {label}",
            f"therefore the person feels {label}",
        )
    )


CONCLUSION = re.compile(r"the person (?:feels|seems to feel) (" + "|".join(MINI.labels) + r")\b")
"""Finds the label that a composed reason ends in."""


def contradicts(evidence: Evidence, label: str) -> bool:
    """Say whether a piece of evidence names another label than the conclusion."""
    return not isinstance(evidence, VoiceEvidence) and evidence.label != label


def compose_reason(label: str, evidence: Sequence[Evidence], rng: random.Random) -> str:
    """Explain a label in one sentence that mentions only the given evidence.

    Lower case, no full stop: the form in which the published model was taught to answer.

    Args:
        label: what the sentence concludes
        evidence: at least one piece; pieces that name another label are conceded first
        rng: chooses the wording
    """
    against = [clause(e, rng) for e in evidence if contradicts(e, label)]
    supporting = [clause(e, rng) for e in evidence if not contradicts(e, label)]
    if against and supporting:
        return f"although {join(against)}, {join(supporting)}, {conclusion(label, rng)}"
    if against:
        return f"although {join(against)}, the person feels {label}"
    return f"{join(supporting)}, {conclusion(label, rng)}"


VOICE_WORDS = (
    ("loud", "quiet"),
    ("high", "low"),
    ("lively", "flat"),
    ("fast", "slow"),
)
"""The two ends of each measure: loudness, pitch, movement of the pitch, speaking rate."""

_SUBJECTS = ("the person", "the woman", "the man", "the speaker", "she", "he", "someone")
_FRAMES = (
    "{subject} feels {label} because {a}",
    "{subject} feels {label}: {a}, and {b}",
    "when {subject} feels {label}, {a}",
    "{a}. {b}. {subject} feels {label}",
    "{a} while {b}, so {subject} feels {label}",
    "we see that {a} and hear that {v}",
    "in this video {a} and {v}",
    "{v}, and {w}",
    "{a}, but {w}",
    "it is easy to see {noun} in a face like this",
    "a {voice} voice may be a sign of {noun}",
    "the words tell us about {noun}, the voice is {voice}",
    "is {subject} {adjective}? {a}, so it seems so",
    "the emotion label of the person in the video is {label}",
    "{noun} means that a person feels {label}",
    "a {adjective} person feels {label}",
)


def _random_voice(rng: random.Random) -> VoiceEvidence:
    chosen = [rng.choice(pair) for pair in VOICE_WORDS if rng.random() < 0.45]
    return VoiceEvidence(tuple(chosen))


def random_evidence(label: str, rng: random.Random) -> list[Evidence]:
    """Draw one to three pieces of evidence, one of each kind at most; some name another label."""
    other = rng.choice(MINI.labels) if rng.random() < 0.1 else label
    pool: list[Evidence] = [
        FaceEvidence(other, rng.choice((None, 0.5, 0.7, 0.95))),
        _random_voice(rng),
        WordsEvidence(label),
    ]
    return [e for e in pool if rng.random() < 0.55] or [rng.choice(pool)]


def random_sentence(rng: random.Random) -> str:
    """Write one descriptive sentence about faces, voices, words and emotions."""
    label = rng.choice(MINI.labels)
    if rng.random() < 0.4:
        text = compose_reason(label, random_evidence(label, rng), rng)
    else:
        first, second = rng.sample(
            (
                face_clause(FaceEvidence(label), rng),
                voice_clause(_random_voice(rng), rng),
                words_clause(WordsEvidence(label), rng),
            ),
            2,
        )
        voice = _random_voice(rng).words or ("ordinary",)
        text = rng.choice(_FRAMES).format(
            subject=rng.choice(_SUBJECTS),
            label=label,
            noun=NOUNS[label],
            adjective=rng.choice(ADJECTIVES[label]),
            a=first,
            b=second,
            v=voice_clause(_random_voice(rng), rng),
            w=words_clause(WordsEvidence(label), rng),
            voice=join(voice),
        )
    return text if rng.random() < 0.5 else text[0].upper() + text[1:] + "."
