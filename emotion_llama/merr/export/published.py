"""Records -> the published MERR files: a JSON of annotations and a list of clips, coarse or fine.

Knows: the published field names, their order and types, and the columns of the list. Does not
know: how anything was measured. Source: Cheng et al. 2024, section 3.1; docs/exports.md.
"""

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote

from emotion_llama.labels import VALENCE
from emotion_llama.merr.export.card import Card, write_card
from emotion_llama.merr.export.folder import files_below, whole_folder
from emotion_llama.merr.export.selection import ExportReport, Selection
from emotion_llama.merr.records import MerrRecord

Grain = Literal["coarse", "fine"]
"""``coarse``: caption put together from the clues; ``fine``: the reason in words."""

STEMS: Mapping[Grain, str] = {"coarse": "MERR_coarse_grained", "fine": "MERR_fine_grained"}
"""The published file names, without ``.json`` and ``.txt``."""

NAMES_FILE = "names.csv"
"""Name in the published files -> clip id and path."""

TRANSCRIPTS_FILE = "transcription_en_all.csv"
"""Where the published loader looks for what is said, whatever the language is."""

NO_VOICE = "no voice was measured in this clip."
"""Stands in ``audio_prior_list`` where records without a voice are asked for."""

UNKNOWN_VALENCE = "-10"
"""How the published lists write a valence that nobody gave."""

VALENCE_NOTE = "The published list gives a valence of {valence}."
"""Note of an imported record: the list has a measured valence, which a record has no field for."""

_VALENCE_NOTE = re.compile(re.escape(VALENCE_NOTE).replace(r"\{valence\}", r"(\S+)"))
_UNSAFE = re.compile(r"[\s\x00-\x1f\x7f]|%(?=[0-9A-Fa-f]{2})")
"""What a name in a list separated by blanks cannot hold, and what would be read as its escape."""


def write_published(
    records: Iterable[MerrRecord],
    out_dir: Path,
    *,
    grain: Grain,
    own_use: bool = False,
    kept_only: bool = True,
    allow_missing_voice: bool = False,
    citations: Sequence[str] = (),
) -> ExportReport:
    """Write the published form: JSON, list, names, transcripts and card.

    ``AU_list`` are the worded units that made the rule of the label fire, empty where it did not
    fire; ``visual_prior_list`` has the statement of each. Lips and jaw of somebody who talks are
    not worded, so they are only in ``peak_AU_list``. A record that lacks what the form needs is
    left out and counted.

    Args:
        records: of a data set
        out_dir: a new or an empty folder
        grain: which of the two forms
        own_use: the export is not passed on, so records whose terms forbid that may be in it
        kept_only: leave out what the build rejected
        allow_missing_voice: write `NO_VOICE` where there is no description of a voice, in place
            of leaving the record out
        citations: further works that the card names

    Raises:
        ValueError: terms forbid the export, nothing is left, or the folder is not empty
    """
    chosen = Selection(records, kept_only=kept_only)
    chosen.require(lambda record: _lacking(record, grain, allow_missing_voice=allow_missing_voice))
    chosen.require_terms(own_use=own_use)
    names = published_names(chosen)
    stem = STEMS[grain]
    with whole_folder(out_dir) as folder:
        entries = {names[record.clip_id]: published_entry(record, grain) for record in chosen}
        text = json.dumps(entries, ensure_ascii=False, indent=4)
        _write(folder / f"{stem}.json", text + "\n")
        lines = (list_line(record, names[record.clip_id]) for record in chosen)
        _write(folder / f"{stem}.txt", "".join(f"{line}\n" for line in lines))
        _write_table(
            folder / NAMES_FILE,
            ("name", "clip_id", "path"),
            ((names[record.clip_id], record.clip_id, record.path) for record in chosen),
        )
        _write_table(
            folder / TRANSCRIPTS_FILE,
            ("name", "sentence"),
            ((names[r.clip_id], r.transcript) for r in chosen if r.transcript),
        )
        write_card(folder, _card(grain, citations), list(chosen), chosen.left_out, own_use=own_use)
        files = files_below(folder)
    return ExportReport(len(chosen), chosen.left_out, files)


def published_names(records: Iterable[MerrRecord]) -> dict[str, str]:
    """Give each clip its name in the published files: its id without a media ending.

    Folders stay, so equal stems in different folders are different names; clips that differ only
    in their ending keep it. A blank becomes ``%20``, as every other white space.

    Returns:
        clip id -> name

    Raises:
        ValueError: two clips would get one name
    """
    clip_ids = [record.clip_id for record in records]
    short = {clip_id: _without_ending(clip_id) for clip_id in clip_ids}
    counts = Counter(short.values())
    names = {
        clip_id: _escaped(clip_id if counts[name] > 1 else name) for clip_id, name in short.items()
    }
    shared = [name for name, count in Counter(names.values()).items() if count > 1]
    if shared:
        both = [clip_id for clip_id in clip_ids if names[clip_id] == shared[0]]
        msg = (
            f"clips {both[0]!r} and {both[1]!r} would both be called {shared[0]!r}; rename one of "
            "the files"
        )
        raise ValueError(msg)
    return names


def published_entry(record: MerrRecord, grain: Grain) -> dict[str, Any]:
    """Give the entry of a record that has all that the form needs, in the published order."""
    stated = _stated_units(record)
    face = record.face
    entry: dict[str, Any] = {
        "AU_list": [unit for unit, _ in stated],
        "visual_prior_list": [statement for _, statement in stated],
        "audio_prior_list": record.voice_description or NO_VOICE,
        "peak_index": str(face.peak_frame) if face else "",
        "peak_AU_list": [u.unit for u in face.units if u.is_present] if face else [],
        "pseu_emotion": record.label,
    }
    if grain == "coarse":
        return entry | {"caption": record.coarse_caption}
    caption = record.fine_caption.text if record.fine_caption else ""
    return entry | {"text": record.transcript, "smp_reason_caption": caption}


def list_line(record: MerrRecord, name: str) -> str:
    """Give the line of the list: name, number of frames, label, valence.

    The valence is that of `emotion_llama.labels.VALENCE`, or what a published list gave.
    """
    num_frames = record.face.num_frames if record.face else None
    given = next((m[1] for note in record.notes if (m := _VALENCE_NOTE.fullmatch(note))), None)
    sign = VALENCE.get(record.label or "")
    valence = given or (UNKNOWN_VALENCE if sign is None else str(sign))
    return f"{name} {num_frames} {record.label} {valence}"


def _lacking(record: MerrRecord, grain: Grain, *, allow_missing_voice: bool) -> str | None:
    """Name the first thing that the form needs and the record does not have."""
    face, label = record.face, record.label
    needs = {
        "no label": label is not None,
        "label with a blank": label is None or not re.search(r"\s", label),
        "no face": face is not None,
        "no peak frame": face is None or face.peak_frame is not None,
        "number of frames not known": face is None or face.num_frames is not None,
        "no unit of the rule is worded": bool(_stated_units(record)) or not _rule(record),
        "no voice description": bool(record.voice_description) or allow_missing_voice,
    }
    if grain == "coarse":
        needs["no coarse caption"] = bool(record.coarse_caption)
    else:
        needs["no transcript"] = record.transcript is not None
        needs["no fine caption"] = record.fine_caption is not None
    return next((reason for reason, holds in needs.items() if not holds), None)


def _rule(record: MerrRecord) -> tuple[str, ...]:
    if record.verdict is None or record.label is None:
        return ()
    return record.verdict.fired.get(record.label, ())


def _stated_units(record: MerrRecord) -> list[tuple[str, str]]:
    """Give the units of the rule with their statements; a unit named twice has two of them."""
    statements: defaultdict[str, list[str]] = defaultdict(list)
    for clue in record.clues_of("facial"):
        statements[clue.feature].append(clue.statement)
    return [
        (unit, statements[unit].pop(0) if len(statements[unit]) > 1 else statements[unit][0])
        for unit in _rule(record)
        if statements[unit]
    ]


def _without_ending(clip_id: str) -> str:
    """Drop a media ending: the published loader adds one of its own."""
    from emotion_llama.media.manifest import MEDIA_SUFFIXES

    path = PurePosixPath(clip_id)
    known = path.suffix.lower() in MEDIA_SUFFIXES
    return clip_id.removesuffix(path.suffix) if known else clip_id


def _escaped(name: str) -> str:
    return _UNSAFE.sub(lambda found: quote(found[0], safe=""), name)


def _card(grain: Grain, citations: Sequence[str]) -> Card:
    stem = STEMS[grain]
    return Card(
        title=f"MERR annotations, {grain}",
        form="The form of the published MERR files. Names are clip ids without their ending.",
        files={
            f"{stem}.json": "name -> annotation",
            f"{stem}.txt": "name, number of frames looked at, label, valence (-10: not known)",
            NAMES_FILE: "name -> clip id and path of the clip",
            TRANSCRIPTS_FILE: "name -> what is said; clips without a transcript have no row",
        },
        citations=citations,
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
