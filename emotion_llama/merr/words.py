"""Transcript -> the words in quotes and what they show by themselves, and such text read back.

Knows: the table ``tables/words.yaml`` of English words, how statements are worded. Does not know:
how the words were spoken, other languages (it only quotes them), irony. Nothing is said of a
transcript in another language but its words.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from emotion_llama.merr.draw import choose
from emotion_llama.merr.records import Clue, StatedClue

TABLE = Path(__file__).parent / "tables" / "words.yaml"

PRESENT = "present"
"""Reading of a cue that is there or not."""
MOST_WORDS = 6
"""Affect words that are spoken of in one clip, the first ones: a caption has room for no more."""
REACH = 3
"""A negation turns a word at most this many words after it, in the same clause."""
ENGLISH_SHARE = 0.25
"""Least share of function words in a text that counts as English. Of 5,645 lines of English film
dialogue with at least six words 88 % have more; of 21 lines in ten other languages none has more
than .17."""
ENGLISH_WORDS = 2
"""Least number of different function words: one may be a word of another language."""
CAPITALS = 3
"""Letters from which a word in capitals stands out; shorter ones are mostly abbreviations."""

Polarity = Literal["positive", "negative", "open"]
_TURNED: Mapping[Polarity, Polarity] = {
    "positive": "negative",
    "negative": "positive",
    "open": "open",
}
_AFFECT = ("positive word", "negative word", "open word")
"""Features that speak of an affect word."""

_QUOTED = re.compile(r'"([^"]*)"')
_STRAIGHT = str.maketrans({"“": '"', "”": '"', "„": '"', "‟": '"', "«": '"', "»": '"'})
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|[.,;:!?…—–]+|(?<=\s)-(?=\s)")


class _GroupRow(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    polarity: Polarity
    speaks_for: Mapping[str, float]
    words: tuple[str, ...]


class _NegatorRow(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    near: frozenset[str]
    next: frozenset[str]
    alone: frozenset[str]


class WordsRow(BaseModel):
    """The table of words, as the file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: Mapping[str, _GroupRow]
    negators: _NegatorRow
    contractions: frozenset[str]
    not_negating: tuple[str, ...]
    subjects: frozenset[str]
    intensifiers: tuple[str, ...]
    intensifiers_before_words: tuple[str, ...]
    hedges: tuple[str, ...]
    hedge_speaks_for: Mapping[str, float]
    polite: tuple[str, ...]
    function_words: frozenset[str]
    statements: Mapping[str, tuple[str, ...]]
    paraphrases: Mapping[str, tuple[str, ...]]


@cache
def word_table() -> WordsRow:
    """Give the packaged table."""
    return WordsRow(**yaml.safe_load(TABLE.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class _Token:
    text: str
    word: str
    """in lower case with a straight apostrophe; empty for punctuation"""
    clause: int
    """how many stops stand before it"""


@dataclass(frozen=True)
class _Hit:
    """A piece of the transcript that shows something."""

    start: int
    end: int
    feature: str
    words: str


def hide_quotes(text: str) -> str:
    """Blank out what stands in double quotes, with the quotes; the length stays the same."""
    straight = text.translate(_STRAIGHT)
    return _QUOTED.sub(lambda match: " " * len(match[0]), straight)


def one_line(transcript: str) -> str:
    """Give a transcript as it is quoted: in one line, its own double quotes as single ones."""
    return " ".join(transcript.translate(_STRAIGHT).replace('"', "'").split())


def word_clues(transcript: str | None, language: str | None, clip_id: str) -> tuple[Clue, ...]:
    """Quote what is said and say what the words show by themselves.

    Cues beside the quote are given for English only: the language is ``en``, or it is not stated
    and enough of the words are English function words.

    Args:
        transcript: what is said; without words there is no clue
        language: ISO 639 code, if stated
        clip_id: decides among wordings
    """
    words = one_line(transcript or "")
    if not words:
        return ()
    readings = [("quote", words)]
    if speaks_english(words, language):
        readings += _shorten(_cues(words))
    return tuple(
        Clue("words", feature, reading, _statement(feature, reading, clip_id))
        for feature, reading in readings
    )


def speaks_english(transcript: str, language: str | None) -> bool:
    """Say whether a transcript is English: as stated, else by its share of function words."""
    if language is not None:
        return re.split(r"[-_]", language.strip().lower())[0] in ("en", "eng")
    words = [token.word for token in _tokens(transcript) if token.word]
    known = [word for word in words if word in word_table().function_words]
    return len(set(known)) >= ENGLISH_WORDS and len(known) >= ENGLISH_SHARE * len(words)


def _shorten(cues: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out affect words after the first `MOST_WORDS`."""
    late = [cue for cue in cues if cue[0] in _AFFECT][MOST_WORDS:]
    return [cue for cue in cues if cue not in late]


def _cues(words: str) -> list[tuple[str, str]]:
    """Give feature and reading of each cue in English words, each once, in order."""
    tokens = _tokens(words)
    hits = list(_hits(tokens))
    turned = [h for h in hits if h.feature in _AFFECT and _is_negator(tokens, h.start)]
    inside = [h for h in hits if any(t.start < h.start < t.end and h is not t for t in turned)]
    cues = [(hit.feature, hit.words) for hit in hits if hit not in inside]
    cues += [("capitals", word) for word in _capitals(tokens)]
    if "?" in words:
        cues.append(("question", PRESENT))
    if "!" in words:
        cues.append(("exclamation", PRESENT))
    return list(dict.fromkeys(cues))


def _tokens(words: str) -> list[_Token]:
    tokens = []
    clause = 0
    for match in _TOKEN.finditer(words):
        text = match[0]
        is_word = text[0].isalpha()
        clause += not is_word
        tokens.append(_Token(text, text.lower().replace("’", "'") if is_word else "", clause))
    return tokens


@cache
def _phrases() -> Mapping[tuple[str, ...], str]:
    """Give words of a phrase -> feature, or ``plain`` for a phrase that shows nothing."""
    table = word_table()
    phrases = {
        tuple(p.split()): f"{g.polarity} word" for g in table.groups.values() for p in g.words
    }
    lists = (
        ("plain", table.not_negating),
        ("intensifier", table.intensifiers),
        ("hedge", table.hedges),
        ("politeness", table.polite),
    )
    for feature, entries in lists:
        phrases |= {tuple(phrase.split()): feature for phrase in entries}
    return phrases


@cache
def _longest() -> int:
    return max(map(len, _phrases()))


def _match(tokens: Sequence[_Token], start: int) -> tuple[int, str] | None:
    """Find the longest phrase that begins at a token: its end and feature."""
    for size in range(min(_longest(), len(tokens) - start), 0, -1):
        feature = _phrases().get(tuple(token.word for token in tokens[start : start + size]))
        if feature is not None:
            return start + size, feature
    return None


def _hits(tokens: Sequence[_Token]) -> Iterator[_Hit]:
    """Give what stands in the tokens, from left to right; no phrase begins inside another."""
    place = 0
    used: set[int] = set()
    has_negation = False
    while place < len(tokens):
        found = _match(tokens, place)
        if found is None:
            if _strengthens(tokens, place):
                yield _Hit(place, place + 1, "intensifier", tokens[place].word)
            if not has_negation and _is_negator(tokens, place):
                has_negation = True
                yield _Hit(place, place + 1, "negation", tokens[place].word)
            place += 1
            continue
        end, feature = found
        if feature in _AFFECT:
            yield _affect_hit(tokens, place, end, feature, used)
        elif feature != "plain":
            yield _Hit(place, end, feature, _join(tokens[place:end]))
        used.update(range(place, end))
        place = end


def _affect_hit(
    tokens: Sequence[_Token], start: int, end: int, feature: str, used: set[int]
) -> _Hit:
    """Give an affect word, with its negation and then of the other polarity if it has one."""
    table = word_table()
    for before in range(start - 1, max(start - 1 - REACH, -1), -1):
        if tokens[before].clause != tokens[start].clause or not tokens[before].word:
            break
        near = tokens[before].word not in table.negators.next or before == start - 1
        turns = tokens[before].word not in table.negators.alone
        if before not in used and near and turns and _is_negator(tokens, before):
            turned = next(p for p in _TURNED if feature == f"{p} word")
            return _Hit(before, end, f"{_TURNED[turned]} word", _join(tokens[before:end]))
    return _Hit(start, end, feature, _join(tokens[start:end]))


def _is_negator(tokens: Sequence[_Token], place: int) -> bool:
    """Say whether a word negates; "isn't it", at the start of a clause, asks."""
    table = word_table()
    word = tokens[place].word
    if word not in table.contractions:
        negators = table.negators
        return word in negators.near or word in negators.next or word in negators.alone
    starts = place == 0 or not tokens[place - 1].word
    asks = place + 1 < len(tokens) and tokens[place + 1].word in table.subjects
    return not (starts and asks)


def _strengthens(tokens: Sequence[_Token], place: int) -> bool:
    """Say whether a word like "so" stands right before an affect word."""
    if tokens[place].word not in word_table().intensifiers_before_words:
        return False
    following = _match(tokens, place + 1)
    return following is not None and following[1] in _AFFECT


def _join(tokens: Sequence[_Token]) -> str:
    return " ".join(token.word for token in tokens)


def _capitals(tokens: Sequence[_Token]) -> Iterator[str]:
    """Give the words in capitals of a text that is not all in capitals."""
    words = [token.text for token in tokens if token.word]
    if all(word.isupper() for word in words):
        return
    for word in words:
        if len(word) >= CAPITALS and word.isupper():
            yield word


def _statement(feature: str, reading: str, clip_id: str) -> str:
    template = choose(word_table().statements[feature], clip_id, feature, reading)
    several = " " in reading
    return template.format(
        word=reading,
        noun="words" if several else "word",
        verb="are" if several else "is",
        s="" if several else "s",
    )


def read_words(text: str) -> tuple[StatedClue, ...]:
    """Read what a text says of the words, own statements and the like of others.

    Words in double quotes that no statement claims are read as a quote of what is said.

    Returns:
        the statements in order; of equal ones the first
    """
    straight = " ".join(text.translate(_STRAIGHT).split())
    quotes = _QUOTED.findall(straight)
    numbers = iter(range(len(quotes)))
    # a quote stands as its number, so that nothing is found inside one
    bare = _QUOTED.sub(lambda _: f'"{next(numbers)}"', straight)
    first: dict[tuple[str, str | None], StatedClue] = {}
    for _, stated in sorted(_find(bare, quotes), key=lambda place: place[0]):
        first.setdefault((stated.feature, stated.reading), stated)
    return tuple(first.values())


def _find(bare: str, quotes: Sequence[str]) -> Iterator[tuple[int, StatedClue]]:
    """Give each statement of a text, in which a quote stands as its number, with its place."""
    claimed: set[str] = set()
    for feature, pattern in _patterns():
        for match in pattern.finditer(bare):
            number = match.groupdict().get("quote")
            if number is None:
                yield match.start(), StatedClue("words", feature, PRESENT, match[0])
            elif number not in claimed:
                claimed.add(number)
                yield match.start(), _stated(feature, quotes[int(number)], match, number)
    for match in re.finditer(r'"(?P<quote>\d+)"', bare):
        number = match["quote"]
        if number not in claimed and quotes[int(number)].strip():
            yield match.start(), _stated("quote", quotes[int(number)], match, number)


def _stated(feature: str, quoted: str, match: re.Match[str], number: str) -> StatedClue:
    reading = quoted if feature in ("quote", "capitals") else quoted.lower()
    return StatedClue("words", feature, reading, match[0].replace(f'"{number}"', f'"{quoted}"'))


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Give feature and pattern of each statement, own ones before those of others."""
    table = word_table()
    blanks = {"noun": "(?:words?|phrase)", "verb": "(?:is|are)", "s": "s?"}
    own = [
        (feature, re.escape(template).replace(r"\{", "{").replace(r"\}", "}"))
        for feature, templates in table.statements.items()
        for template in templates
    ]
    own = [(feature, text.format(word="N", **blanks).replace('"N"', "N")) for feature, text in own]
    others = [(feature, text) for feature, texts in table.paraphrases.items() for text in texts]
    return tuple(
        (feature, re.compile(rf"(?<!\w){_mark(text)}(?!\w)", re.IGNORECASE))
        for feature, text in own + others
    )


def _mark(pattern: str) -> str:
    """Put a numbered quote for the letter N that stands alone."""
    return re.sub(r"(?<!\w)N(?!\w)", lambda _: r'"(?P<quote>\d+)"', pattern)


def words_agree(
    stated: StatedClue, transcript: str | None, language: str | None = None
) -> bool | None:
    """Hold a statement against the transcript, read anew.

    A quote agrees where its words stand in the transcript one after another; capitals and
    punctuation at its ends do not matter.

    Returns:
        ``None`` where it cannot be told: not of the words, without a reading, no transcript, or
        another language
    """
    words = one_line(transcript or "")
    if stated.kind != "words" or stated.reading is None or not words:
        return None
    if stated.feature == "quote":
        quoted = [token.word for token in _tokens(stated.reading) if token.word]
        said = [token.word for token in _tokens(words) if token.word]
        starts = range(len(said) - len(quoted) + 1)
        return any(said[i : i + len(quoted)] == quoted for i in starts) if quoted else None
    if not speaks_english(words, language):
        return None
    told = {(feature, reading.lower()) for feature, reading in _cues(words)}
    return (stated.feature, stated.reading.lower()) in told


def affect_groups(clues: Sequence[Clue]) -> Mapping[str, float]:
    """Add up for which labels the words speak.

    Each word adds what its group in the table speaks for; a negated one takes it away, since "not
    happy" speaks against happy and for nothing in particular.

    Returns:
        label -> sum over the words, of those that are not 0
    """
    sums: dict[str, float] = {}
    for clue in clues:
        if clue.kind != "words":
            continue
        if clue.feature == "hedge":
            _add(sums, word_table().hedge_speaks_for, 1)
        elif clue.feature in _AFFECT:
            words = tuple(clue.reading.split())
            sign = 1 if words in _speaks_for() else -1
            tails = (words[start:] for start in range(len(words)))
            phrase = next((tail for tail in tails if tail in _speaks_for()), None)
            _add(sums, _speaks_for()[phrase] if phrase else {}, sign)
    return {label: weight for label, weight in sums.items() if weight}


@cache
def _speaks_for() -> Mapping[tuple[str, ...], Mapping[str, float]]:
    """Give words of a phrase -> label -> weight."""
    groups = word_table().groups.values()
    return {tuple(phrase.split()): group.speaks_for for group in groups for phrase in group.words}


def _add(sums: dict[str, float], weights: Mapping[str, float], sign: int) -> None:
    for label, weight in weights.items():
        sums[label] = sums.get(label, 0.0) + sign * weight
