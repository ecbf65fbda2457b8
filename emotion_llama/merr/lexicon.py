"""Action units <-> words: the wordings of each unit, and the forms in which others say the same.

Knows: the table of wordings, grades, everyday descriptions of faces. Does not know: measures,
which units a clip has. What is said always carries the unit it was made from.
Source of which part moves: Ekman, Friesen & Hager 2002, Facial Action Coding System (manual).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.face.unit_names import UNIT_NAMES
from emotion_llama.merr.record_file import canonical_json

Grade = Literal["slight", "clear", "strong"]
"""How strong a movement is on the 0-5 scale."""

PRESENT_READING = "present"
"""Reading of a unit that is there without a known grade."""
FACE, STILL = "face", "still"
"""Feature and reading of a face in which nothing moves."""
OR = "|"
"""Between the units of a feature of which at least one is meant, as in ``AU01|AU02``."""

_TABLE = Path(__file__).parent / "tables" / "facs_lexicon.yaml"
_SLOT = "{degree} "
_FEW = "{0,6}"
"""Most words between a part and its movement: with a bound, a text of one word over and over is
searched as fast as any."""

_OWNER = r"(?:the|her|his|their|its|both|a|an|of)"
_VERB = (
    r"(?:(?:is|are|was|were|has|have|had|do|does|did)(?:n['’]t)?|be|been|being|not|no longer|never|"
    r"hardly|(?:appear|seem|look|remain|stay)(?:s|ed)?|becomes?|became|to|also|held|kept|and)"
)
"""Words that may stand between a part of the face and what it does."""


@dataclass(frozen=True)
class Form:
    """One way in which a text may speak of a unit."""

    pattern: re.Pattern[str]
    """with the group ``link`` around the words between part and movement, where there are any"""
    feature: str
    """``AU12``, several joined by `OR`, or `FACE`"""
    reading: str | None
    """what it says where no degree is said; ``None``: the unit without a degree"""


@dataclass(frozen=True)
class Lexicon:
    """The wordings of all units, and how they are read back."""

    version: str
    """as written in the table, with the hash of its content"""
    degrees: Mapping[str, str]
    """grade -> adverb"""
    wordings: Mapping[str, tuple[str, ...]]
    """unit -> main clauses with ``{degree}`` where the adverb stands"""
    still: tuple[str, ...]
    """wordings of a face in which nothing moves"""
    degree_words: Mapping[str, re.Pattern[str]]
    """grade -> words that say it"""
    any_degree: str
    """expression that matches any word of degree"""
    own_forms: tuple[Form, ...]
    """forms of the wordings"""
    free_forms: tuple[Form, ...]
    """forms in which others describe faces"""

    def word(self, unit: str, reading: str) -> tuple[str, ...]:
        """Give all ways to say a reading of a unit; none where the lexicon lacks the unit.

        Raises:
            ValueError: the reading is neither a grade nor ``present``
        """
        if reading != PRESENT_READING and reading not in self.degrees:
            known = ", ".join((*self.degrees, PRESENT_READING))
            msg = f"found the reading {reading!r} of {unit}, expected one of {known}"
            raise ValueError(msg)
        adverb = f"{self.degrees[reading]} " if reading in self.degrees else ""
        return tuple(text.replace(_SLOT, adverb) for text in self.wordings.get(unit, ()))

    def grade_of(self, text: str) -> str | None:
        """Give the grade that the first word of degree in a text says, if there is one."""
        found = [
            (match.start(), grade)
            for grade, pattern in self.degree_words.items()
            if (match := pattern.search(text))
        ]
        return min(found)[1] if found else None


class ParaphraseRow(BaseModel):
    """Everyday forms that speak of one unit, or of one of several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: str = Field(pattern=r"^(?:face|AU\d{2}(?:\|AU\d{2})*)$")
    parts: str = ""
    moves: str = ""
    words: str = ""


class LexiconFile(BaseModel):
    """The lexicon as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    degrees: dict[Grade, str]
    units: dict[str, list[str]]
    still: list[str] = Field(min_length=1)
    degree_words: dict[Grade, str]
    paraphrases: list[ParaphraseRow]

    def to_record(self) -> Lexicon:
        """Give the lexicon with its forms made ready to search.

        Raises:
            ValueError: a grade, a slot or a wording is missing, or two units share a wording
        """
        _require_own_wordings(self.units)
        for name, grades in (("degrees", self.degrees), ("degree_words", self.degree_words)):
            if set(grades) != set(get_args(Grade)):
                msg = f"{name}: found {', '.join(grades)}; expected {', '.join(get_args(Grade))}"
                raise ValueError(msg)
        any_degree = "|".join(map(_expression, self.degree_words.values()))
        content = hashlib.sha256(canonical_json(self.model_dump()).encode()).hexdigest()
        return Lexicon(
            version=f"{self.version}-{content[:12]}",
            degrees={str(grade): adverb for grade, adverb in self.degrees.items()},
            wordings={unit: tuple(texts) for unit, texts in self.units.items()},
            still=tuple(self.still),
            degree_words={
                str(grade): _compile(_expression(words))
                for grade, words in self.degree_words.items()
            },
            any_degree=any_degree,
            own_forms=(
                *(
                    Form(_wording_pattern(text, any_degree), unit, PRESENT_READING)
                    for unit, texts in self.units.items()
                    for text in texts
                ),
                *(Form(_wording_pattern(text, any_degree), FACE, STILL) for text in self.still),
            ),
            free_forms=(
                *(Form(_name_pattern(unit), unit, None) for unit in self.units),
                *(form for row in self.paraphrases for form in _paraphrase(row, any_degree)),
            ),
        )


def _require_own_wordings(units: Mapping[str, list[str]]) -> None:
    owner: dict[str, str] = {}
    for unit, texts in units.items():
        if not re.fullmatch(r"AU\d{2}", unit) or not texts:
            msg = f"units: found {unit!r} with {len(texts)} wordings; expected AU12 with some"
            raise ValueError(msg)
        for text in texts:
            if text.count(_SLOT) != 1:
                msg = f"{unit}: found {text!r}; expected {_SLOT.strip()} once, before a word"
                raise ValueError(msg)
            other = owner.setdefault(text, unit)
            if other != unit:
                msg = f"{unit}: found {text!r}, which {other} has; give every unit its own wordings"
                raise ValueError(msg)


@cache
def load_lexicon(path: Path = _TABLE) -> Lexicon:
    """Read a table of wordings.

    Raises:
        ValueError: there is no such file, it is no YAML, or breaks the form
    """
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
        return LexiconFile.model_validate(plain).to_record()
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the table"
        msg = f"{path}: {place}: found {fault['input']!r:.80}; {fault['msg'].lower()}"
        raise ValueError(msg) from error
    except (OSError, yaml.YAMLError, re.error, ValueError) as error:
        msg = f"{path}: {error}; expected a table like {_TABLE.name} of the package"
        raise ValueError(msg) from error


def _compile(expression: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{expression})(?![\w-])", re.IGNORECASE)


def _expression(words: str) -> str:
    """Make a folded line of the table an expression: any white space between words, none at |."""
    return re.sub(r" +", r"\\s+", re.sub(r"\|\s+", "|", words.strip()))


def _wording_pattern(text: str, any_degree: str) -> re.Pattern[str]:
    """Find a wording with any degree or none, and whoever the face is of."""
    before, slot, after = text.partition(_SLOT)
    subject = before if slot else text
    link = rf"(?P<link>(?:(?:{any_degree})\s+){_FEW})" if slot else ""
    expression = "".join(map(_word_pattern, subject.split())) + link
    expression += "".join(map(_word_pattern, after.split()))
    return _compile(expression.removesuffix(r"\s+"))


def _word_pattern(word: str) -> str:
    if word == "the":
        return rf"(?:{_OWNER}\s+){{0,2}}"
    if word in {"is", "are"}:
        return r"(?:(?:is|are|was|were|being|appears?|remains?)\s+)?"
    return re.escape(word) + r"\s+"


def _name_pattern(unit: str) -> re.Pattern[str]:
    """Find a unit's number or its name in the manual."""
    names = [rf"AU[\s-]?0?{int(unit.removeprefix('AU'))}"]
    if unit in UNIT_NAMES:
        names.append(_expression(UNIT_NAMES[unit]))
    return _compile("|".join(names))


def _paraphrase(row: ParaphraseRow, any_degree: str) -> list[Form]:
    """Make the forms of a row: words of their own, movement before part, part before movement."""
    reading = STILL if row.feature == FACE else None
    expressions = [_expression(row.words)] if row.words else []
    if row.parts and row.moves:
        parts, moves = _expression(row.parts), _expression(row.moves)
        degree = rf"(?:{any_degree})"
        expressions += [
            rf"(?:{moves})\s+(?P<link>(?:(?:{_OWNER}|{degree})\s+){_FEW})(?:{parts})",
            rf"(?:{parts})\s+(?P<link>(?:(?:{_VERB}|{degree})\s+){_FEW})(?:{moves})",
        ]
    return [Form(_compile(expression), row.feature, reading) for expression in expressions]
