"""What can be told of a written reason without its clip: form, labels that it names, its frame.

Knows: English forms of emotion words and of clues. Does not know: models, how any preset words its
reasons: the forms here are those of everyday English, not of one grammar.
"""

import re
from collections.abc import Collection, Mapping
from functools import cache

from emotion_llama import reason_choice
from emotion_llama.labels import ALIASES, MINI
from emotion_llama.merr.faithfulness import read_clues
from emotion_llama.merr.lexicon import load_lexicon
from emotion_llama.merr.words import hide_quotes
from emotion_llama.reason_choice import statements
from emotion_llama.reason_conclusion import conclusion_of, follows
from emotion_llama.voice import GRADES, SCOPES

EMOTION_WORDS: Mapping[str, str] = {
    "neutral": "neutrality calm no\\s+strong\\s+feeling",
    "happy": "cheerful glad pleased delighted",
    "angry": "cross furious annoyed",
    "sad": "unhappy sorrow sorrowful downcast sadness",
    "surprise": "astonished astonishment surprising",
    "fear": "frightened anxious terrified",
    "disgust": "repelled disgusting",
    "contempt": "scornful scorn disdain",
}
"""Further words for a label beside its own name and its aliases."""

MENTIONS: Mapping[str, re.Pattern[str]] = {
    "face": re.compile(r"\b(?:faces?|facial|expressions?|smil\w+|frown\w*|brows?|lips?)\b", re.I),
    "voice": re.compile(r"\b(?:voices?|vocal\w*|tone|pitch|intonation|speech)\b", re.I),
    "words": re.compile(r"\b(?:words?|wording|transcript|utterance)\b", re.I),
}
"""How a sentence speaks of a kind of evidence."""
_KINDS: Mapping[str, str] = {"facial": "face", "voice": "voice", "words": "words"}

_STRAIGHT = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "’": "'"})
_END = re.compile(r"[.!?][\"')]?$")
_VOICE_WORDS = (
    "loud quiet soft high low lively flat fast slow even ordinary usual monotonous shrill breathy"
)
_PLACEHOLDER = r"<[a-z]+>"
_RUN = re.compile(rf"({_PLACEHOLDER})(?:(?:,? and|,)? {_PLACEHOLDER})+")


def is_finished(text: str) -> bool:
    """Tell whether a text ends as a sentence does."""
    return bool(_END.search(text.strip()))


def repeats_itself(text: str) -> bool:
    """Tell whether one to five words stand twice in a row, quotes aside."""
    return reason_choice.repeats_itself(hide_quotes(text))


def mentioned(text: str) -> set[str]:
    """Name the kinds of evidence that a text speaks of: face, voice, words."""
    open_text = hide_quotes(text)
    kinds = {kind for kind, pattern in MENTIONS.items() if pattern.search(open_text)}
    return kinds | {_KINDS[clue.kind] for clue in read_clues(text) if clue.kind in _KINDS}


def is_well_formed(text: str, present: Collection[str]) -> bool:
    """Tell whether a reason is a finished sentence about what is there.

    Args:
        text: the reason
        present: face, voice, words, as far as the clip has them
    """
    written = text.strip()
    return (
        bool(written)
        and is_finished(written)
        and not repeats_itself(written)
        and mentioned(written) <= set(present)
    )


def named_labels(text: str) -> list[str]:
    """Name the labels that a text speaks of, in order; quoted words are somebody's speech."""
    return [
        label
        for match in _label_pattern().finditer(hide_quotes(text))
        for label in [_label_of(match[0])]
    ]


def names_another(text: str, label: str) -> bool:
    """Tell whether a text speaks of any label but this one."""
    return bool(set(named_labels(text)) - {label})


def concludes_another(text: str, label: str) -> bool:
    """Tell whether the last label that a text speaks of is another one."""
    named = named_labels(text)
    return bool(named) and named[-1] != label


def concludes_truly(text: str, label: str) -> bool:
    """Tell whether a text claims of its clues, for and against a label, what the tables say."""
    conclusion = conclusion_of(text)
    return conclusion is not None and follows(conclusion, statements(text), label)


def frame(text: str) -> str:
    """Give the bare sentence: clues, quotes, degrees, labels and descriptions become placeholders.

    A list of placeholders counts as one, so that two clues in place of one are no new sentence.
    """
    bare = " ".join(text.translate(_STRAIGHT).split())
    for clue in sorted(read_clues(bare), key=lambda one: -len(one.words)):
        bare = bare.replace(clue.words, "<clue>")
    bare = re.sub(r"\bthe (?=<clue>)", "", bare, flags=re.IGNORECASE)
    bare = re.sub(r'"[^"]*"', "<quote>", bare)
    bare = re.sub(r"\bthe word \w+", "the word <quote>", bare, flags=re.IGNORECASE)
    for name, pattern in _slots():
        bare = pattern.sub(f"<{name}>", bare)
    bare = re.sub(r"(?:<degree> )+(?=<)", "", bare)
    return _RUN.sub(r"\1", bare).lower()


def num_words(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


@cache
def _forms() -> Mapping[str, str]:
    """Give form -> label; a form is a regular expression."""
    forms = {label: label for label in MINI.labels}
    forms |= {alias: label for alias, label in ALIASES.items() if label in MINI.labels}
    return forms | {word: label for label, ws in EMOTION_WORDS.items() for word in ws.split()}


@cache
def _label_pattern() -> re.Pattern[str]:
    longest_first = sorted(_forms(), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(longest_first)})\b", re.IGNORECASE)


def _label_of(words: str) -> str:
    return next(label for form, label in _forms().items() if re.fullmatch(form, words, re.I))


@cache
def _slots() -> tuple[tuple[str, re.Pattern[str]], ...]:
    degrees = "|".join(sorted({said for _, *both in GRADES for said in both}))
    scopes = "|".join(SCOPES.values())
    own = load_lexicon().any_degree
    return (
        ("label", _label_pattern()),
        ("scope", re.compile(rf"\b(?:{scopes})\b", re.IGNORECASE)),
        ("degree", re.compile(rf"\b(?:{degrees}|{own})\b", re.IGNORECASE)),
        ("voice", re.compile(rf"\b(?:{'|'.join(_VOICE_WORDS.split())})\b", re.IGNORECASE)),
        ("number", re.compile(r"\b\d+(?:\.\d+)?\b")),
    )
