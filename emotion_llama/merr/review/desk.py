"""A data set laid out for review: its records in the order of need, and the decisions on them.

Knows: the files of a data set, the queue, which decisions may be stored. Does not know: HTTP,
pages, media. Records stay on disk; only what the queue needs is held.
"""

import hashlib
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from emotion_llama.labels import MERR
from emotion_llama.merr.record_file import RECORDS_FILE, REJECTED_FILE, from_line
from emotion_llama.merr.records import MerrRecord
from emotion_llama.merr.review.need import Need, need_of
from emotion_llama.merr.review.overlay import (
    REVIEWS_FILE,
    Review,
    append_review,
    counting,
    faults_of,
    read_reviews,
    record_hash,
    stale,
    unsettled_question,
)
from emotion_llama.merr.review.raters import (
    RaterAgreement,
    kept_ratings,
    krippendorff_alpha,
    label_ratings,
)

ReviewState = Literal["all", "open", "done", "stale", "disputed"]
"""``open``: not decided by the reviewer; ``done``: decided; ``stale``: a decision on an earlier
state of the record; ``disputed``: reviewers disagree."""

REVIEW_STATES: tuple[ReviewState, ...] = get_args(ReviewState)
_TRIES = 3
"""Times that a record is looked for while a build replaces the files."""
_Stamp = tuple[tuple[int, int, int] | None, ...]


class RefusedReviewError(ValueError):
    """A decision breaks a rule; ``faults`` has each in words."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class ChangedRecordError(ValueError):
    """A decision is for another state of the record than the one on disk."""


@dataclass(frozen=True)
class Entry:
    """What the queue knows of a record."""

    clip_id: str
    file: Path
    offset: int
    """byte at which its line begins"""
    line_sha256: str
    """of the line as it is in the file"""
    sha256: str
    status: str
    label: str | None
    need: Need


@dataclass(frozen=True)
class QueueFilter:
    """Which records are asked for."""

    status: str | None = None
    """``kept`` or ``rejected``; ``None``: both"""
    label: str | None = None
    state: ReviewState = "all"
    text: str = ""
    """part of the clip's name"""


@dataclass(frozen=True)
class QueueItem:
    """One record of the queue as one reviewer sees it."""

    clip_id: str
    label: str | None
    status: str
    why: tuple[str, ...]
    """why it should be looked at"""
    decision: str | None
    """the reviewer's own"""
    is_stale: bool
    """the reviewer decided on an earlier state of the record"""
    num_reviewers: int


class ReviewDesk:
    """The records and reviews of one data set; may be used by several threads.

    Args:
        dataset_dir: made by ``build``
        labels: labels that a reviewer may give besides those of the records and the published nine

    Raises:
        ValueError: there are no records, a line breaks the schema, or a clip is there twice
    """

    def __init__(self, dataset_dir: Path, labels: Sequence[str] = ()) -> None:
        self.dataset_dir = dataset_dir
        self._more_labels = tuple(labels)
        self._lock = threading.RLock()
        self._stamp: _Stamp = ()
        self._review_stamp: tuple[int, int, int] | None = None
        self._entries: dict[str, Entry] = {}
        self._labels: tuple[str, ...] = ()
        self._reviews: list[Review] = []
        self._of_clip: dict[str, list[Review]] = {}
        self._notices: list[str] = []
        self._read_bytes = 0
        self._has_open_end = False
        self._refresh()

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that a reviewer may give, by name."""
        return self._labels

    @property
    def notices(self) -> tuple[str, ...]:
        """What of the file of reviews was left out."""
        return tuple(self._notices)

    @staticmethod
    def unit_names() -> Mapping[str, str]:
        """Give the name of each action unit."""
        from emotion_llama.face.unit_names import UNIT_NAMES  # the face package is slow to load

        return UNIT_NAMES

    def entry(self, clip_id: str) -> Entry | None:
        """Find a record's place; ``None`` where the data set has no such clip."""
        with self._lock:
            self._refresh()
            return self._entries.get(clip_id)

    def record(self, clip_id: str) -> tuple[MerrRecord, str] | None:
        """Read a record and its hash; ``None`` where the data set has no such clip.

        Raises:
            ChangedRecordError: the file is replaced again and again
        """
        with self._lock:
            for _ in range(_TRIES):
                entry = self.entry(clip_id)
                if entry is None:
                    return None
                with entry.file.open("rb") as lines:
                    lines.seek(entry.offset)
                    line = lines.readline()
                if hashlib.sha256(line.rstrip(b"\n")).hexdigest() == entry.line_sha256:
                    return from_line(line, f"{entry.file}, byte {entry.offset}"), entry.sha256
                self._stamp = ()
        msg = f"{self.dataset_dir}: the records change while they are read; wait for the build"
        raise ChangedRecordError(msg)

    def queue(self, wanted: QueueFilter, reviewer: str) -> list[QueueItem]:
        """List the records that are asked for, those that need a review most first."""
        with self._lock:
            self._refresh()
            return [
                self._item(entry, reviewer)
                for entry in self._entries.values()
                if self._is_wanted(entry, wanted, reviewer)
            ]

    def reviews_of(self, clip_id: str) -> tuple[tuple[Review, ...], tuple[Review, ...]]:
        """Give the reviews of a clip that count, and those of an earlier state of its record."""
        with self._lock:
            entry = self.entry(clip_id)
            own = self._of_clip.get(clip_id, [])
            if entry is None:
                return (), tuple(own)
            return counting(own, entry.sha256), stale(own, entry.sha256)

    def decide(self, review: Review) -> Review:
        """Store a decision; when this returns, it is on the disk.

        Returns:
            the review as it is stored, its edits tidied

        Raises:
            KeyError: the data set has no such clip
            ChangedRecordError: it is for another state of the record
            RefusedReviewError: it breaks a rule
            OSError: it could not be written
        """
        with self._lock:
            found = self.record(review.clip_id)
            if found is None:
                raise KeyError(review.clip_id)
            record, sha256 = found
            if review.record_sha256 != sha256:
                msg = (
                    f"{review.clip_id}: found a decision on record {review.record_sha256[:12]}, "
                    f"the data set has {sha256[:12]}; it was built anew, so look at it again"
                )
                raise ChangedRecordError(msg)
            review = replace(
                review,
                edits=review.edits.without_repeats(record),
                comment=review.comment.strip(),
            )
            faults = [*faults_of(record, review), *self._label_faults(review.edits.label)]
            if faults:
                raise RefusedReviewError(faults)
            append_review(self.dataset_dir / REVIEWS_FILE, review)
            self._refresh()
            return review

    def progress(self, reviewer: str) -> Mapping[str, int]:
        """Count the records, and those that the reviewer and that anybody has decided."""
        with self._lock:
            self._refresh()
            counts: Counter[str] = Counter(records=len(self._entries))
            for clip_id, entry in self._entries.items():
                current = counting(self._of_clip.get(clip_id, ()), entry.sha256)
                counts["by_anybody"] += bool(current)
                counts["by_reviewer"] += any(one.reviewer == reviewer for one in current)
                counts[entry.status] += 1
            return dict(counts)

    def label_counts(self) -> Mapping[str, int]:
        """Count the records of each label, by name."""
        with self._lock:
            self._refresh()
            counts = Counter(entry.label for entry in self._entries.values() if entry.label)
            return dict(sorted(counts.items()))

    def agreement(self) -> Mapping[str, RaterAgreement]:
        """Measure how far reviewers of the records as they are agree: to keep, and on the label."""
        with self._lock:
            self._refresh()
            labels = {entry.sha256: entry.label for entry in self._entries.values()}
            current = [review for review in self._reviews if review.record_sha256 in labels]
            return {
                "keep": krippendorff_alpha(kept_ratings(current)),
                "label": krippendorff_alpha(label_ratings(current, labels)),
            }

    def _label_faults(self, label: str | None) -> list[str]:
        if label is None or label in self._labels:
            return []
        return [f"label is {label!r}, expected one of {', '.join(self._labels)}"]

    def _is_wanted(self, entry: Entry, wanted: QueueFilter, reviewer: str) -> bool:
        if wanted.status is not None and entry.status != wanted.status:
            return False
        if wanted.label is not None and entry.label != wanted.label:
            return False
        if wanted.text.casefold() not in entry.clip_id.casefold():
            return False
        own = self._of_clip.get(entry.clip_id, [])
        current = counting(own, entry.sha256)
        is_done = any(review.reviewer == reviewer for review in current)
        match wanted.state:
            case "open":
                return not is_done
            case "done":
                return is_done
            case "stale":
                return bool(stale(own, entry.sha256))
            case "disputed":
                return len(current) > 1 and self._question(entry, current) is not None
            case "all":
                return True

    def _question(self, entry: Entry, current: Sequence[Review]) -> str | None:
        found = self.record(entry.clip_id)
        return unsettled_question(found[0], current) if found else None

    def _item(self, entry: Entry, reviewer: str) -> QueueItem:
        own = self._of_clip.get(entry.clip_id, [])
        current = counting(own, entry.sha256)
        mine = next((one.decision for one in current if one.reviewer == reviewer), None)
        return QueueItem(
            clip_id=entry.clip_id,
            label=entry.label,
            status=entry.status,
            why=entry.need.why,
            decision=mine,
            is_stale=any(one.reviewer == reviewer for one in stale(own, entry.sha256)),
            num_reviewers=len(current),
        )

    def _refresh(self) -> None:
        """Read again what was written since the last look, by a build or another reviewer."""
        files = (self.dataset_dir / RECORDS_FILE, self.dataset_dir / REJECTED_FILE)
        stamp = tuple(_stamp(file) for file in files)
        if stamp != self._stamp:
            self._index(files)
            self._stamp = stamp
        review_stamp = _stamp(self.dataset_dir / REVIEWS_FILE)
        if review_stamp != self._review_stamp:
            self._read_reviews(review_stamp)
            self._review_stamp = review_stamp

    def _index(self, files: Sequence[Path]) -> None:
        if not files[0].is_file():
            msg = f"{files[0]}: found no file; expected the records of a data set made by `build`"
            raise ValueError(msg)
        entries: dict[str, Entry] = {}
        labels = {*MERR.labels, *self._more_labels}
        for entry, record in _entries(files):
            if entry.clip_id in entries:
                msg = (
                    f"{entry.file}, byte {entry.offset}: found clip {entry.clip_id!r} a second "
                    "time; expected one record a clip; build the data set again"
                )
                raise ValueError(msg)
            entries[entry.clip_id] = entry
            labels.update(reading.label for reading in record.labels)
            if record.verdict is not None:
                labels.update(record.verdict.distribution)
        in_order = sorted(entries.values(), key=lambda entry: (entry.need.order, entry.clip_id))
        self._entries = {entry.clip_id: entry for entry in in_order}
        self._labels = tuple(sorted(labels))

    def _read_reviews(self, stamp: tuple[int, int, int] | None) -> None:
        before = self._review_stamp
        goes_on = (
            before is not None
            and stamp is not None
            and stamp[0] == before[0]
            and stamp[1] >= before[1]
            and not self._has_open_end
        )
        read = read_reviews(
            self.dataset_dir / REVIEWS_FILE, start=self._read_bytes if goes_on else 0
        )
        if not goes_on:
            self._reviews, self._of_clip, self._notices = [], defaultdict(list), []
        for review in read.reviews:
            self._reviews.append(review)
            self._of_clip.setdefault(review.clip_id, []).append(review)
        self._notices += read.notices
        self._read_bytes, self._has_open_end = read.num_bytes, read.has_open_end


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Give what changes when a file is written: its number, size and time."""
    try:
        facts = file.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _entries(files: Sequence[Path]) -> Iterator[tuple[Entry, MerrRecord]]:
    """Give each record of some files and its place; a file that is not there has none."""
    for file in files:
        if not file.is_file():
            continue
        offset = 0
        with file.open("rb") as lines:
            for line in lines:
                record = from_line(line, f"{file}, byte {offset}")
                entry = Entry(
                    clip_id=record.clip_id,
                    file=file,
                    offset=offset,
                    line_sha256=hashlib.sha256(line.rstrip(b"\n")).hexdigest(),
                    sha256=record_hash(record),
                    status=record.status,
                    label=record.label,
                    need=need_of(record),
                )
                yield entry, record
                offset += len(line)
