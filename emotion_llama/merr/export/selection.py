"""Which records may leave: kept ones, without a path of one machine, whose terms permit it.

Knows: what every form refuses, and how what was left out is counted. Does not know: any form.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from emotion_llama.merr.licences import terms
from emotion_llama.merr.records import MerrRecord

REJECTED = "rejected by the build"
MACHINE_PATH = "names a path of one machine"
_NAMED = 3
"""Clips or reasons that an error names before it counts the rest."""

_PATH_IN_TEXT = re.compile(r"(?:^|[\s:=(\"'\[,])(?:/[\w.~-]+/[\w.~-]|~/|[A-Za-z]:[\\/](?!/))")
"""An absolute path inside a sentence; ``and/or`` and ``http://host/x`` are none."""


@dataclass(frozen=True)
class ExportReport:
    """What an export did."""

    num_written: int
    """entries of the form that were written; for most forms as many as records"""
    left_out: Mapping[str, int]
    """reason -> how many records (conversations: rows) it left out"""
    files: tuple[str, ...]
    """what was written, by paths inside the folder"""


class Selection:
    """Records that go out, and why others do not."""

    def __init__(self, records: Iterable[MerrRecord], *, kept_only: bool = True) -> None:
        """Take what any form may take.

        Args:
            records: of a data set
            kept_only: leave out what the build rejected

        Raises:
            ValueError: two records of one clip
        """
        self._reasons: Counter[str] = Counter()
        self._records: list[MerrRecord] = []
        seen: set[str] = set()
        for record in records:
            if record.clip_id in seen:
                msg = (
                    f"found two records of clip {record.clip_id!r}, expected one of each; give one "
                    "data set at a time"
                )
                raise ValueError(msg)
            seen.add(record.clip_id)
            reason = self._general_reason(record, kept_only=kept_only)
            if reason is None:
                self._records.append(record)
            else:
                self._reasons[reason] += 1

    def __iter__(self) -> Iterator[MerrRecord]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def left_out(self) -> Mapping[str, int]:
        """Reason -> how many it left out, by reason."""
        return dict(sorted(self._reasons.items()))

    def count(self, reason: str) -> None:
        """Count something of a record that stays behind, though the record goes out."""
        self._reasons[reason] += 1

    def keep_only(self, clip_ids: Collection[str]) -> None:
        """Drop records of which nothing is written; the caller has counted why."""
        self._records = [record for record in self._records if record.clip_id in clip_ids]

    def require(self, reason_against: Callable[[MerrRecord], str | None]) -> None:
        """Leave out the records that something speaks against.

        Args:
            reason_against: gives the reason, ``None`` for a record that may stay
        """
        staying = []
        for record in self._records:
            reason = reason_against(record)
            if reason is None:
                staying.append(record)
            else:
                self._reasons[reason] += 1
        self._records = staying

    def require_terms(self, *, own_use: bool, with_media: bool = False) -> None:
        """Refuse the export where the terms of a record forbid that it is passed on.

        Args:
            own_use: the caller's word that the export is not passed on
            with_media: the clips go out too

        Raises:
            ValueError: terms forbid it, or no record is left
        """
        self.require_some()
        if own_use:
            return
        refused = [record for record in self._records if not _may_go(record, with_media)]
        if refused:
            what = "clips or their annotations" if with_media else "annotations"
            reasons = Counter(terms(record).why for record in refused)
            words = "; ".join(f"{', '.join(why)} ({n})" for why, n in reasons.most_common(_NAMED))
            msg = (
                f"the {what} of {len(refused)} of {len(self._records)} records may not be passed "
                f"on: {words}; state the licence of their source (--licence at build), or write "
                "for your own use only (--own-use)"
            )
            raise ValueError(msg)

    def require_some(self) -> None:
        """Refuse to write nothing.

        Raises:
            ValueError: no record is left
        """
        if not self._records:
            words = ", ".join(f"{reason} ({n})" for reason, n in self.left_out.items())
            msg = (
                f"found no record to write, expected at least one; left out: {words or 'none'}. "
                "Give a data set whose records have what the form needs (docs/exports.md)"
            )
            raise ValueError(msg)

    def _general_reason(self, record: MerrRecord, *, kept_only: bool) -> str | None:
        if kept_only and record.status != "kept":
            return REJECTED
        return MACHINE_PATH if _names_machine_path(record) else None


def is_machine_path(path: str) -> bool:
    """Say whether a path is anything but one below the folder that was built from."""
    return (
        PurePosixPath(path).is_absolute()
        or PureWindowsPath(path).drive != ""
        or path.startswith("~")
        or ".." in PurePosixPath(path.replace("\\", "/")).parts
    )


def _may_go(record: MerrRecord, with_media: bool) -> bool:
    found = terms(record)
    return found.media_redistributable if with_media else found.redistributable


def _names_machine_path(record: MerrRecord) -> bool:
    """Look for an absolute path; in free text (transcript, captions) nothing is looked for."""
    if is_machine_path(record.clip_id) or is_machine_path(record.path):
        return True
    return any(_PATH_IN_TEXT.search(text) for text in _messages(record))


def _messages(record: MerrRecord) -> Iterator[str]:
    yield from (record.source.name, *record.reasons, *record.notes, *record.missing.values())
    yield from (gate.why for gate in record.gates)
    for origin in record.lineage.values():
        yield from (origin.producer, origin.version, origin.settings, origin.inputs)
    for reading in record.labels:
        yield from (reading.producer, reading.version)
