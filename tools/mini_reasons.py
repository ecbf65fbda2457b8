"""Reasons that the `mini` preset learns: what was measured, what it speaks for, the label.

Knows: how statements of `emotion_llama.merr` become two or three sentences. Does not know: files,
models, tokens. Every statement is one that a reader program reads back (`emotion_llama.merr`
faithfulness); its scope ("among many speakers") is left out. The order of the kinds and the frame
of the conclusion follow from the clues and the label: a choice by chance could not be learned, and
the most frequent frame would be all that a model writes.
"""

from collections.abc import Mapping, Sequence

from emotion_llama.encoders.clue_code import TOLD
from emotion_llama.labels import MINI
from emotion_llama.merr.facial import countable_units
from emotion_llama.merr.lexicon import FACE, STILL, load_lexicon
from emotion_llama.merr.records import Clue, ClueKind
from emotion_llama.merr.rules import RuleTable
from emotion_llama.merr.weigh import balance, weigh
from emotion_llama.voice import MEASURES, USUAL, VOICE
from emotion_llama.voice.wording import GRADES, SCOPES

KINDS: tuple[ClueKind, ...] = ("facial", "voice", "words")
NAMES: Mapping[ClueKind, str] = {"facial": "the face", "voice": "the voice", "words": "the words"}

NOTHING: Mapping[ClueKind, str] = {
    "facial": "nothing in the face stands out",
    "voice": "nothing in the voice stands out",
    "words": "the words are taken as they stand",
}
"""What is said of a kind that is there and gave no clue. Of the words no clue is told: a language
model of this size cannot copy a word out of a transcript, and names another one."""

JOINERS = (", and ", "; ", ", while ", ". ")

FRAMES: Mapping[str, tuple[str, ...]] = {
    "for": (
        "So the person feels {label}: {s} for it.",
        "The person seems to feel {label}, and {s} for it.",
        "Taken together, {s} for a person who feels {label}.",
        "This is why the person feels {label}, as {s} for it.",
    ),
    "both": (
        "The person seems to feel {label}: {s} for it, {c} against it.",
        "So the person probably feels {label}, although {c} against it and only {s} for it.",
        "The person may feel {label}; {s} for it, but {c} against it.",
    ),
    "against": (
        "Still, the person seems to feel {label}, although {c} against it.",
        "The person may feel {label}, but {c} against it, so this is uncertain.",
        "As a whole the person seems to feel {label}; taken alone, {c} against it.",
    ),
    "open": (
        "The person seems to feel {label}, but nothing that was measured decides it.",
        "This leaves much open; the person may feel {label}.",
        "As a whole the person seems to feel {label}, though no single clue decides it.",
    ),
}
"""Conclusions by what the told clues say to the label."""


def clue_vocabulary() -> Mapping[str, tuple[str, ...]]:
    """Name the clues that encoders hand on: role -> feature and reading of each."""
    lexicon = load_lexicon()
    units = sorted(countable_units(talking=False) & set(lexicon.wordings))
    readings = ("slight", "clear", "strong")
    local = [f"{unit} {reading}" for unit in units for reading in readings]
    measures = [n for n, m in MEASURES.items() if m.is_packaged and not m.needs_same_channel]
    audio = [
        f"{name} {degree} {way}"
        for name in measures
        for way in ("high", "low")
        for _, degree, _ in GRADES
    ]
    return {
        "local": (*local, f"{FACE} {STILL}"),
        "audio": (*audio, f"{VOICE} {USUAL}"),
    }


def told(clues: Sequence[Clue]) -> tuple[Clue, ...]:
    """Choose what is told: of face and voice what encoders hand on."""
    chosen: list[Clue] = []
    for kind in ("facial", "voice"):
        chosen += [clue for clue in clues if clue.kind == kind][:TOLD]
    return tuple(chosen)


def compose_reason(
    clues: Sequence[Clue], kinds: Sequence[ClueKind], label: str, table: RuleTable
) -> str:
    """Write a reason: what was measured, then the label and what speaks for and against it.

    Args:
        clues: of the clip; only those of `told` are used
        kinds: what is there of face, voice and words, at least one
        label: what the reason concludes
        table: the rules that action units are held against
    """
    chosen = told([clue for clue in clues if clue.kind in kinds])
    number = len(chosen) + MINI.labels.index(label)
    ordered = _rotated([kind for kind in KINDS if kind in kinds], number)
    parts = [_part(chosen, kind) for kind in ordered]
    joiner = JOINERS[number % len(JOINERS)]
    evidence = _joined(parts, joiner)
    return f"{evidence} {_conclusion(chosen, label, table, number)}"


def _part(chosen: Sequence[Clue], kind: ClueKind) -> str:
    own = sorted((c for c in chosen if c.kind == kind), key=lambda clue: clue.feature)
    return " and ".join(_without_scope(clue.statement) for clue in own) or NOTHING[kind]


def _without_scope(statement: str) -> str:
    for scope in SCOPES.values():
        statement = statement.replace(f" {scope}", "")
    return statement


def _joined(parts: Sequence[str], joiner: str) -> str:
    """Put the parts into one or two sentences."""
    *first, last = parts
    if joiner == ". ":
        return " ".join(_sentence(part) for part in parts)
    return _sentence(f"{'; '.join(first)}{joiner}{last}" if first else last)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _conclusion(chosen: Sequence[Clue], label: str, table: RuleTable, number: int) -> str:
    sums = balance(weigh(chosen, label, table))
    supports = [kind for kind in KINDS if sums.get(kind, 0.0) > 0]
    contradicts = [kind for kind in KINDS if sums.get(kind, 0.0) < 0]
    case = {(True, True): "both", (True, False): "for", (False, True): "against"}.get(
        (bool(supports), bool(contradicts)), "open"
    )
    frames = FRAMES[case]
    return frames[number % len(frames)].format(
        label=label, s=_speak(supports), c=_speak(contradicts)
    )


def _speak(kinds: Sequence[ClueKind]) -> str:
    """Give ``the face speaks``, ``the face and the voice speak`` ..."""
    if not kinds:
        return ""
    *first, last = [NAMES[kind] for kind in kinds]
    names = f"{', '.join(first)} and {last}" if first else last
    speaks = "speak" if first or kinds[-1] == "words" else "speaks"
    return f"{names} {speaks}"


def _rotated(kinds: Sequence[ClueKind], number: int) -> Sequence[ClueKind]:
    turn = number % len(kinds)
    return [*kinds[turn:], *kinds[:turn]]
