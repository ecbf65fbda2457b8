"""The card of an exported data set: what it holds, its terms, whom to name.

Knows: the README form of the Hugging Face hub. Does not know: the files beside it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from emotion_llama.merr.licences import Licence, load_licences, terms, tools_of
from emotion_llama.merr.records import SCHEMA_VERSION, MerrRecord

CARD_FILE = "README.md"

PAPER = (
    "Z. Cheng, Z.-Q. Cheng, J.-Y. He, J. Sun, K. Wang, Y. Lin, Z. Lian, X. Peng, A. Hauptmann: "
    "Emotion-LLaMA: Multimodal Emotion Recognition and Reasoning with Instruction Tuning. "
    "NeurIPS 2024."
)
"""The paper whose construction the data set follows."""

UNSPLIT = "unsplit"
"""What the part of records without a split is called."""

_NOT_LABELLED = "(none)"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
"""Size classes of the hub, by their upper limit."""
_LARGEST = "100K<n<1M"


@dataclass(frozen=True)
class Card:
    """What an exporter says of its files."""

    title: str
    form: str
    """the form in one or two sentences"""
    files: Mapping[str, str]
    """name or pattern -> what is in it"""
    configs: Sequence[Mapping[str, Any]] = ()
    """of the front matter: which file belongs to which split"""
    citations: Sequence[str] = ()
    """further works to cite, such as those of the sources"""


def write_card(
    folder: Path,
    card: Card,
    records: Sequence[MerrRecord],
    left_out: Mapping[str, int],
    *,
    own_use: bool,
) -> None:
    """Write ``README.md``.

    Args:
        folder: of the export
        card: what the exporter says
        records: what was written
        left_out: reason -> how many were not
        own_use: whether it was written for the caller's own use
    """
    text = render_card(card, records, left_out, own_use=own_use)
    (folder / CARD_FILE).write_text(text, encoding="utf-8", newline="\n")


def render_card(
    card: Card, records: Sequence[MerrRecord], left_out: Mapping[str, int], *, own_use: bool
) -> str:
    """Write the text of the card: YAML front matter, then what a reader needs to know."""
    front = yaml.safe_dump(
        _front_matter(card, records), sort_keys=False, allow_unicode=True, width=100
    )
    parts = [
        f"---\n{front}---",
        f"# {card.title}",
        f"{len(records)} annotated clips. {card.form}",
        _table(("file", "holds"), sorted(card.files.items())),
        "## Counts",
        _counts(records),
        *_left_out(left_out),
        "## Terms",
        *_terms(records, own_use=own_use),
        "## Whom to name",
        *_attributions(records),
        "## Cite",
        _list([PAPER, *card.citations]),
        "The works of the sources are to be cited as each source asks.",
        "## Made by",
        f"Schema version of the records: {SCHEMA_VERSION}. Each field names its producer.",
        _producers(records),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(card: Card, records: Sequence[MerrRecord]) -> dict[str, Any]:
    languages = sorted({r.source.language for r in records if r.source.language})
    front: dict[str, Any] = {"pretty_name": card.title}
    front |= {"language": languages} if languages else {}
    front |= _hub_licence(records)
    front["task_categories"] = ["video-classification"]
    front["tags"] = ["emotion-recognition", "emotion-reasoning", "multimodal"]
    front["size_categories"] = [
        next((name for limit, name in _SIZES if len(records) < limit), _LARGEST)
    ]
    if card.configs:
        front["configs"] = [dict(config) for config in card.configs]
    return front


def _hub_licence(records: Sequence[MerrRecord]) -> dict[str, str]:
    """Give the licence of the whole; one of several, or one that tools narrow, is ``other``."""
    licences = {load_licences().find(record.source.licence) for record in records}
    only = licences.pop() if len(licences) == 1 else None
    narrowed = any(
        tool.commercial_ok is not True and only is not None and only.commercial_ok is not False
        for record in records
        for tool in tools_of(record)
    )
    if only is not None and only.hub is not None and not narrowed:
        return {"license": only.hub}
    return {"license": "other", "license_name": "see-terms-below"}


def _counts(records: Sequence[MerrRecord]) -> str:
    """Count records per label and split."""
    counts = Counter((r.label or _NOT_LABELLED, r.split or UNSPLIT) for r in records)
    labels = sorted({label for label, _ in counts})
    splits = sorted({split for _, split in counts})
    rows = [
        (label, *(counts[label, split] for split in splits), sum(counts[label, s] for s in splits))
        for label in labels
    ]
    total = tuple(sum(counts[label, split] for label in labels) for split in splits)
    return _table(("label", *splits, "all"), [*rows, ("all", *total, len(records))])


def _left_out(left_out: Mapping[str, int]) -> list[str]:
    if not left_out:
        return ["Nothing was left out."]
    return ["Left out:", _table(("reason", "how many"), sorted(left_out.items()))]


def _terms(records: Sequence[MerrRecord], *, own_use: bool) -> list[str]:
    found = [terms(record) for record in records]
    refused = sum(not one.redistributable for one in found)
    commercial = Counter(one.commercial_ok for one in found)
    words = []
    if refused:
        words.append(
            f"**Not to be passed on.** The annotations of {refused} of {len(records)} records "
            "may not be passed on; this was written for own use."
        )
    elif own_use:
        words.append("This was written for own use.")
    words.append(
        f"Commercial use: permitted for {commercial[True]} records, forbidden for "
        f"{commercial[False]}, not stated for {commercial[None]}."
    )
    reasons = Counter(reason for one in found for reason in one.why)
    if reasons:
        words.append(_table(("limit", "records"), sorted(reasons.items())))
    words.append("This is a summary and no legal advice; the texts of the licences decide.")
    return words


def _attributions(records: Sequence[MerrRecord]) -> list[str]:
    sources = Counter((r.source.name, r.source.licence or "not stated") for r in records)
    rows = [
        (name, licence, _attribution(load_licences().find(licence)), count)
        for (name, licence), count in sorted(sources.items())
    ]
    parts = [_table(("source", "licence", "asks for", "records"), rows)]
    tools = {tool.name: tool for record in records for tool in tools_of(record)}
    if tools:
        lines = [
            " ".join(filter(None, (f"{name}:", tool.attribution, tool.url)))
            for name, tool in sorted(tools.items())
        ]
        parts.append(_list(lines))
    return parts


def _attribution(licence: Licence | None) -> str:
    if licence is None:
        return "not known"
    return ". ".join(filter(None, (licence.name, licence.attribution, licence.url)))


def _producers(records: Sequence[MerrRecord]) -> str:
    counts = Counter(
        (name, origin.producer, origin.version, origin.settings)
        for record in records
        for name, origin in record.lineage.items()
    )
    rows = [(*key, count) for key, count in sorted(counts.items())]
    return _table(("field", "producer", "version", "settings", "records"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)
