"""Scores of a voice -> statements, and statements in a text -> what they say.

Knows: grades, the sentences of `MEASURES`, common descriptions of voices by others. Does not know:
how a score came about, records, emotions.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from emotion_llama.voice.measures import MEASURES
from emotion_llama.voice.norms import NormScope

GRADES: tuple[tuple[float, str, str], ...] = (
    (2.0, "very", "much"),
    (1.0, "clearly", "clearly"),
    (0.5, "slightly", "slightly"),
)
"""Least size of a score, the grade's name and its word. Of normally distributed scores 38 % are
usual, 30 % slightly, 27 % clearly and 5 % very high or low; docs/voice.md has those of voices."""

SCOPES: Mapping[NormScope, str] = {
    "speaker": "for this speaker",
    "corpus": "in these recordings",
    "packaged": "among many speakers",
}
"""What a voice was held against; every statement says so."""

VOICE = "voice"
"""The feature that is spoken of when nothing is unusual."""
USUAL = "usual"


@dataclass(frozen=True)
class VoiceStatement:
    """What a text says of a voice."""

    feature: str
    """name of a measure, or `VOICE`"""
    reading: str
    """``slightly high``, ``clearly low``, ``very high`` ...; ``high`` or ``low`` where no degree
    of ours is said; `USUAL`"""
    words: str
    """the words it was read from"""


def grade(score: float) -> str | None:
    """Give the reading of a score, such as ``clearly low``; ``None`` where it is usual."""
    direction = "high" if score > 0 else "low"
    for least, name, _ in GRADES:
        if abs(score) >= least:
            return f"{name} {direction}"
    return None


def word(measure: str, reading: str, scope: NormScope) -> str:
    """Say a reading of a measure.

    Args:
        measure: one of `MEASURES`
        reading: as from `grade`
        scope: what the voice was held against
    """
    name, direction = reading.split()
    degree = next(said for _, graded, said in GRADES if graded == name)
    template = MEASURES[measure].high if direction == "high" else MEASURES[measure].low
    return template.format(degree=degree, scope=SCOPES[scope])


def word_usual(measures: Sequence[str], scope: NormScope) -> str:
    """Say that a voice is as usual in those measures that were scored."""
    nouns = [MEASURES[name].noun for name in measures]
    listed = nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} and {nouns[-1]}"
    return f"the voice is as usual {SCOPES[scope]} in {listed}"


def read(text: str) -> list[VoiceStatement]:
    """Read what a text says of a voice, in the order of the text.

    Statements of `word` and `word_usual` come back as they were said. Common descriptions by others
    ("a loud, fast voice", "speaks quickly") give a direction without a degree. What is quoted or
    denied is not read.
    """
    rest = _QUOTED.sub(lambda found: "\n" * len(found[0]), text)
    found: list[tuple[int, VoiceStatement]] = []
    for measure, reading, pattern in _OWN:
        for match in pattern.finditer(rest):
            found.append((match.start(), VoiceStatement(measure, reading, match[0])))
    for match in _AS_USUAL.finditer(rest):
        found.append((match.start(), VoiceStatement(VOICE, USUAL, match[0])))
    for start, statement in list(found):
        end = start + len(statement.words)
        rest = rest[:start] + "\n" * (end - start) + rest[end:]
    for clause in _CLAUSE.finditer(rest):
        found += [
            (clause.start() + start, statement) for start, statement in _read_clause(clause[0])
        ]
    return [statement for _, statement in sorted(found, key=lambda item: item[0])]


_QUOTED = re.compile('"[^"]*"|\u201c[^\u201d]*\u201d|\u201e[^\u201c\u201d]*[\u201c\u201d]')
_CLAUSE = re.compile(r"(?:(?!\b(?:but|while|whereas|although|though)\b)[^.;:!?\n])+", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_SCOPE = "|".join(SCOPES.values())


def _own_patterns() -> Iterator[tuple[str, str, re.Pattern[str]]]:
    """Give measure, reading and pattern of every own sentence."""
    for name, measure in MEASURES.items():
        for direction, template in (("high", measure.high), ("low", measure.low)):
            for _, graded, said in GRADES:
                sentence = re.escape(template).replace(r"\{degree\}", said)
                sentence = sentence.replace(r"\ \{scope\}", rf"(?: (?:{_SCOPE}))?")
                yield (
                    name,
                    f"{graded} {direction}",
                    re.compile(rf"\b{sentence.replace(chr(92) + ' ', ' ')}\b", re.IGNORECASE),
                )


_OWN = tuple(_own_patterns())
_NOUNS = "|".join(  # the longest first: "pitch range" is not "pitch"
    sorted((re.escape(one.noun) for one in MEASURES.values()), key=len, reverse=True)
)
_AS_USUAL = re.compile(
    rf"\bthe voice is as usual(?: (?:{_SCOPE}))?"
    rf"(?: in (?:{_NOUNS})(?:(?:, | and )(?:{_NOUNS}))*)?\b",
    re.IGNORECASE,
)

_OF_VOICE = re.compile(r"\bof (?:the|her|his|their) (?:voice|speech)\b", re.IGNORECASE)
"""Says no more than that it is the voice's pitch or loudness."""

_SPEAKING = (
    "voice voices tone speech delivery speak speaks speaking spoke talk talks talking talked say "
    "says said"
)


@dataclass(frozen=True)
class _Description:
    """Words of others that say a direction of a measure, if they stand at one of the nouns."""

    feature: str
    reading: str
    words: frozenset[str]
    nouns: frozenset[str]
    """none: the words say it by themselves"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _description(feature: str, reading: str, words: str, nouns: str = "") -> _Description:
    return _Description(feature, reading, _words(words), _words(nouns))


_DESCRIPTIONS = (
    _description("pitch", "high", "high higher raised elevated", "pitch register"),
    _description("pitch", "low", "low lower lowered deep deeper", "pitch register"),
    _description("pitch", "low", "deep deeper", "voice"),
    _description("pitch", "high", "high-pitched higher-pitched"),
    _description("pitch", "low", "low-pitched lower-pitched deep-voiced"),
    _description("pitch_range", "low", "monotone monotonous monotonously"),
    _description("pitch_range", "low", "flat narrow narrower", "intonation pitch voice tone"),
    _description("pitch_range", "high", "varied wide wider", "intonation pitch"),
    _description("pitch_slope", "high", "rising", "intonation contour ending"),
    _description("pitch_slope", "low", "falling", "intonation contour ending"),
    _description("loudness", "high", "loud louder loudly raised", _SPEAKING),
    _description("loudness", "high", "high higher raised", "volume loudness"),
    _description("loudness", "high", "shouts shouting shouted yells yelling yelled"),
    _description(
        "loudness", "low", "soft softer softly quiet quieter quietly hushed faint", _SPEAKING
    ),
    _description("loudness", "low", "low lower reduced", "volume loudness"),
    _description("loudness", "low", "whispers whispering whispered soft-spoken"),
    _description("loudness_range", "high", "varying changing uneven", "volume loudness"),
    _description("loudness_range", "low", "even steady constant", "volume loudness"),
    _description(
        "rate",
        "high",
        "fast faster quick quicker quickly rapid rapidly hurried hurriedly",
        f"{_SPEAKING} tempo pace rate",
    ),
    _description("rate", "high", "fast-paced fast-spoken"),
    _description("rate", "low", "slow-paced"),
    _description("rate", "high", "high higher", "tempo rate"),
    _description("rate", "low", "slow slower slowly", f"{_SPEAKING} tempo pace rate"),
    _description("rate", "low", "low lower", "tempo rate"),
    _description("pauses", "high", "many long longer frequent more", "pauses"),
    _description("pauses", "low", "few fewer short shorter rare without no", "pauses"),
    _description(
        "hnr", "low", "breathy breathier hoarse rough rougher raspy husky creaky", "voice tone"
    ),
    _description("hnr", "high", "clear clearer", "voice tone"),
    _description("tension", "high", "sharp sharper shrill piercing strident", "voice tone"),
    _description("tension", "low", "dull duller muffled", "voice tone"),
    _description(VOICE, USUAL, "usual normal ordinary typical", "voice tone speech"),
)
_DESCRIBING = frozenset[str]().union(*(one.words for one in _DESCRIPTIONS))
_BETWEEN = _DESCRIBING | _words(
    "and or is are was were be being been becomes became gets got grows grew stays stayed remains "
    "remained sounds sounded seems seemed appears has in a an with very quite rather fairly "
    "somewhat slightly clearly noticeably relatively much more too so bit little steadily"
)
"""Words that may stand between a description and its noun."""
_REACH = 6
"""Words over which a description is joined to its noun."""
_DENIALS = _words("not no never neither nor without hardly cannot")
_DENIED_WITHIN = 3


def _read_clause(clause: str) -> Iterator[tuple[int, VoiceStatement]]:
    """Read descriptions by others in one clause, with where they begin."""
    heard = _OF_VOICE.sub(lambda found: " " * len(found[0]), clause)
    matches = list(_WORD.finditer(heard))
    words = [match[0].lower().replace("\u2019", "'") for match in matches]
    for place, said in enumerate(words):
        for one in _DESCRIPTIONS:
            if said not in one.words:
                continue
            noun = _noun_near(words, place, one.nouns) if one.nouns else place
            if noun is None or _is_denied(words, place, noun):
                continue
            first, last = sorted((place, noun))
            start, end = matches[first].start(), matches[last].end()
            yield start, VoiceStatement(one.feature, one.reading, clause[start:end])


def _noun_near(words: Sequence[str], place: int, nouns: frozenset[str]) -> int | None:
    """Find the noun that a description belongs to: after it, else before it."""
    for step in (1, -1):
        for far in range(1, _REACH + 1):
            at = place + step * far
            if not 0 <= at < len(words):
                break
            if words[at] in nouns:
                return at
            if words[at] not in _BETWEEN:
                break
    return None


def _is_denied(words: Sequence[str], place: int, noun: int) -> bool:
    """Tell whether a denial stands before a description or its noun."""
    first = min(place, noun)
    before = words[max(0, first - _DENIED_WITHIN) : max(place, noun)]
    own = words[place] in _DENIALS
    return any(
        (one in _DENIALS or one.endswith("n't")) and not (own and one == words[place])
        for one in before
    )
