"""The licence of a source and the tools used on it -> what may be done with a record.

Knows: the table ``tables/licences.yaml``, and that the strictest term wins. Does not know: what is
in a record, who wants to use it. What is not stated is not permitted. This is no legal advice.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.merr.records import MerrRecord

_PACKAGED = Path(__file__).parent / "tables" / "licences.yaml"


@dataclass(frozen=True)
class Licence:
    """The terms of a source."""

    id: str
    name: str
    commercial_ok: bool | None
    """``None``: the terms do not settle it"""
    redistributable: bool
    """whether the clips may be passed on"""
    derived_redistributable: bool
    """whether annotations of them may"""
    attribution: str | None
    """what has to be said where it is passed on"""
    url: str | None
    hub: str | None
    """its id on the Hugging Face hub; ``None``: the hub has none"""


@dataclass(frozen=True)
class ProducerTerms:
    """The terms that the output of a tool carries."""

    name: str
    words: tuple[str, ...]
    """any of them in the name of a producer means this tool"""
    commercial_ok: bool | None
    derived_redistributable: bool
    attribution: str | None
    url: str | None

    def made(self, producer: str) -> bool:
        """Say whether a producer is, or builds on, this tool."""
        return any(_names(producer, word) for word in self.words)


@dataclass(frozen=True)
class LicenceTable:
    """All terms that are known."""

    licences: Mapping[str, Licence]
    """by id"""
    producers: tuple[ProducerTerms, ...]
    forms: Mapping[str, str]
    """other written form, folded -> id"""

    def find(self, licence: str | None) -> Licence | None:
        """Give the terms of an id in any capitalisation, ``None`` where it is not in the table."""
        return self.licences.get(self.forms.get(_folded(licence or ""), ""))


@dataclass(frozen=True)
class Terms:
    """What may be done with a record."""

    commercial_ok: bool | None
    """``None``: not stated"""
    redistributable: bool
    """whether its annotations may be passed on"""
    why: tuple[str, ...]
    """what limits it, in words; empty where nothing does"""
    media_redistributable: bool
    """whether the clip itself may be passed on with them"""


class LicenceRow(BaseModel):
    """A licence, as the table writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    also: list[str] = Field(default_factory=list)
    commercial_ok: bool | None
    redistributable: bool
    derived_redistributable: bool
    attribution: str | None = None
    url: str | None = None
    hub: str | None = None

    def to_record(self, identifier: str) -> Licence:
        """Give the record."""
        return Licence(id=identifier, **self.model_dump(exclude={"also"}))


class ProducerRow(BaseModel):
    """A tool, as the table writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    words: list[str] = Field(min_length=1)
    commercial_ok: bool | None
    derived_redistributable: bool
    attribution: str | None = None
    url: str | None = None

    def to_record(self) -> ProducerTerms:
        """Give the record."""
        return ProducerTerms(**{**self.model_dump(), "words": tuple(self.words)})


class LicenceFileRow(BaseModel):
    """The whole table, as it is written."""

    model_config = ConfigDict(extra="forbid", strict=True)

    licences: dict[str, LicenceRow]
    producers: list[ProducerRow] = Field(default_factory=list)

    def to_record(self) -> LicenceTable:
        """Give the record."""
        licences = {key: row.to_record(key) for key, row in self.licences.items()}
        forms = {
            _folded(form): key
            for key, row in self.licences.items()
            for form in (key, row.name, *row.also)
        }
        return LicenceTable(licences, tuple(row.to_record() for row in self.producers), forms)


@cache
def load_licences(path: Path | None = None) -> LicenceTable:
    """Read the table of terms.

    Args:
        path: a table of the same form in place of the packaged one

    Raises:
        ValueError: the file is no such table
    """
    file = path or _PACKAGED
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        return LicenceFileRow.model_validate(content).to_record()
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        msg = (
            f"{file.name}: {place}: {fault['msg'].lower()}, found {fault['input']!r:.80}; write it "
            "like emotion_llama/merr/tables/licences.yaml"
        )
        raise ValueError(msg) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"{file.name}: expected a table of licences in YAML, found none ({error})"
        raise ValueError(msg) from error


def terms(record: MerrRecord, table: LicenceTable | None = None) -> Terms:
    """Say what may be done with a record: the strictest term of its source and of its producers.

    Producers are those of its lineage and of its labels; one without an entry in the table adds no
    term. A licence that is not stated or not in the table permits nothing, and whether commercial
    use is permitted is then not known.

    Args:
        record: what is to be used
        table: terms; the packaged ones by default
    """
    known = table or load_licences()
    limits = [_source_limit(record.source.licence, known)]
    limits += [_producer_limit(tool) for tool in tools_of(record, known)]
    return Terms(
        commercial_ok=_strictest([limit.commercial_ok for limit in limits]),
        redistributable=all(limit.redistributable for limit in limits),
        why=tuple(reason for limit in limits for reason in limit.why),
        media_redistributable=all(limit.media_redistributable for limit in limits),
    )


def tools_of(record: MerrRecord, table: LicenceTable | None = None) -> tuple[ProducerTerms, ...]:
    """Name the tools behind a record whose output carries terms, in the order of the table."""
    known = table or load_licences()
    producers = {origin.producer for origin in record.lineage.values()}
    producers |= {reading.producer for reading in record.labels}
    return tuple(
        tool for tool in known.producers if any(tool.made(producer) for producer in producers)
    )


def _source_limit(stated: str | None, table: LicenceTable) -> Terms:
    licence = table.find(stated)
    if licence is None:
        why = (
            "the licence of the source is not stated"
            if stated is None
            else f"the licence {stated!r} of the source is not in the table of licences, "
            "so it counts as not stated"
        )
        return Terms(None, redistributable=False, why=(why,), media_redistributable=False)
    limits = {
        "no commercial use": licence.commercial_ok is False,
        "commercial use not settled": licence.commercial_ok is None,
        "clips may not be passed on": not licence.redistributable,
        "annotations may not be passed on": not licence.derived_redistributable,
    }
    return Terms(
        commercial_ok=licence.commercial_ok,
        redistributable=licence.derived_redistributable,
        why=_in_words(f"source under {licence.id}", limits),
        media_redistributable=licence.redistributable and licence.derived_redistributable,
    )


def _producer_limit(tool: ProducerTerms) -> Terms:
    limits = {
        "no commercial use": tool.commercial_ok is False,
        "commercial use not settled": tool.commercial_ok is None,
        "its output may not be passed on": not tool.derived_redistributable,
    }
    return Terms(
        commercial_ok=tool.commercial_ok,
        redistributable=tool.derived_redistributable,
        why=_in_words(f"made with {tool.name}", limits),
        media_redistributable=tool.derived_redistributable,
    )


def _in_words(subject: str, limits: Mapping[str, bool]) -> tuple[str, ...]:
    holding = [words for words, holds in limits.items() if holds]
    return (f"{subject}: {', '.join(holding)}",) if holding else ()


def _strictest(answers: Sequence[bool | None]) -> bool | None:
    if False in answers:
        return False
    return None if None in answers else True


@lru_cache(maxsize=4096)
def _names(producer: str, word: str) -> bool:
    # `mini` is neither `some-model-mini` nor `minimal`; `OpenFace-2` is `openface`
    pattern = rf"(?<![\w./-]){re.escape(word)}(?![a-z_])"
    return re.search(pattern, producer, re.IGNORECASE) is not None


def _folded(form: str) -> str:
    """Bring ``CC BY 4.0`` and ``cc-by-4.0`` to one form."""
    return "-".join(form.strip().casefold().split())
