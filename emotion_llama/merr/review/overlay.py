"""Reviewers' decisions, kept beside the records and laid over them when they are used.

Knows: ``reviews.jsonl``, which decision of a reviewer counts, what it changes in a record. Does not
know: pages, media. A decision holds for the bytes of the record that it was made for; to a record
that was built anew it is not applied, only named.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import StringConstraints, TypeAdapter, ValidationError

from emotion_llama.merr.record_file import canonical_json, to_line
from emotion_llama.merr.records import (
    Agreement,
    FineCaption,
    LabelReading,
    MerrRecord,
    Origin,
    RuleVerdict,
)
from emotion_llama.merr.review.edit_rules import faults_of_edits

REVIEWS_FILE = "reviews.jsonl"
REVIEW_VERSION: Final = "1"
"""Version of the written form of `Review`."""

Decision = Literal["accept", "edit", "reject", "withdraw"]
"""``accept``: the record belongs in the data set as it is; ``edit``: it does with the edits;
``reject``: it does not; ``withdraw``: the reviewer takes the decision on this record back."""

Policy = Literal["majority", "last"]
"""Whose decision holds where reviewers disagree: more than half of them, or the latest one."""

ReviewerName = Annotated[
    str, StringConstraints(pattern=r"^[^\s\p{Cc}](?:[^\p{Cc}]{0,98}[^\s\p{Cc}])?$")
]
"""One to a hundred characters, no blank at either end: a name is stored as it was written."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
UtcTime = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]

Judge = Callable[[MerrRecord], RuleVerdict | None]
"""Judges a record's face by the rule table of the data set, for the label that the record has."""

_STRICT = {"extra": "forbid"}


@dataclass(frozen=True)
class Edits:
    """What a reviewer changed; ``None``: left as it is."""

    __pydantic_config__ = _STRICT

    label: str | None = None
    coarse_caption: str | None = None
    evidence: str | None = None
    conclusion: str | None = None

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of what was changed."""
        return tuple(name for name, value in asdict(self).items() if value is not None)

    def without_repeats(self, record: MerrRecord) -> "Edits":
        """Give the edits with blanks tidied, without those that say what the record says."""
        fine = record.fine_caption
        before = {
            "label": record.label,
            "coarse_caption": record.coarse_caption,
            "evidence": fine.evidence if fine else None,
            "conclusion": fine.conclusion if fine else None,
        }
        changed = {
            name: text
            for name, value in asdict(self).items()
            if value is not None and (text := _tidy(value)) != _tidy(before[name])
        }
        return Edits(**changed)


@dataclass(frozen=True)
class Review:
    """One decision of one reviewer on one record: a line of ``reviews.jsonl``."""

    __pydantic_config__ = _STRICT

    clip_id: str
    record_sha256: Sha256
    """of the record's canonical line, see `record_hash`"""
    reviewer: ReviewerName
    time: UtcTime
    """in UTC, ``2025-01-31T12:00:00Z``"""
    decision: Decision
    edits: Edits = field(default=Edits())
    comment: str = ""
    review_version: Literal["1"] = REVIEW_VERSION


@dataclass(frozen=True)
class ReviewsRead:
    """What a file of reviews, or the end of one, holds."""

    reviews: tuple[Review, ...]
    """in the order in which they were made"""
    notices: tuple[str, ...]
    """lines that were left out, and why"""
    num_bytes: int
    """where the last whole line ends"""
    has_open_end: bool
    """whether something follows that line"""


@dataclass(frozen=True)
class Applied:
    """Records with the reviews laid over them, and the reviews that changed nothing."""

    records: tuple[MerrRecord, ...]
    """in the order given"""
    num_accepted: int
    num_edited: int
    num_rejected: int
    stale: tuple[Review, ...]
    """made for an earlier state of their record; each reviewer's last"""
    unsettled: Mapping[str, str]
    """clip -> on what its reviewers disagree; its record is left as it is"""
    refused: Mapping[str, tuple[str, ...]]
    """clip -> rules that its review breaks; its record is left as it is"""
    unknown_clips: tuple[str, ...]
    """clips with reviews of which there is no record"""


def _tidy(text: str | None) -> str | None:
    """Put one blank for any run of blanks and line ends."""
    return None if text is None else " ".join(text.split())


def record_hash(record: MerrRecord) -> str:
    """Give the SHA-256 of a record's canonical line, as hexadecimal digits."""
    return hashlib.sha256(to_line(record).encode()).hexdigest()


@cache
def _adapter() -> TypeAdapter[Review]:
    return TypeAdapter(Review)


def read_reviews(path: Path, start: int = 0) -> ReviewsRead:
    """Read the reviews of a data set.

    A line that is no JSON was cut off when its writer ended: it is left out with a notice.

    Args:
        path: the file, or the folder of the data set; no file is no review
        start: byte to begin at, the ``num_bytes`` of an earlier reading

    Raises:
        ValueError: a line is JSON but no review of this version
    """
    file = path / REVIEWS_FILE if path.is_dir() else path
    if not file.is_file():
        return ReviewsRead((), (), 0, has_open_end=False)
    with file.open("rb") as lines:
        lines.seek(start)
        data = lines.read()
    whole, newline, _ = data.rpartition(b"\n")
    reviews: list[Review] = []
    notices: list[str] = []
    place = start
    for line in data.split(b"\n"):
        if line.strip():
            where = f"{file}, byte {place}"
            review = _read_line(line, where)
            if review is None:
                notices.append(
                    f"{file.name}, byte {place}: left out a line that was not written to its end"
                )
            else:
                reviews.append(review)
        place += len(line) + 1
    end = start + len(whole) + len(newline)
    return ReviewsRead(tuple(reviews), tuple(notices), end, end < start + len(data))


def _read_line(line: bytes, where: str) -> Review | None:
    """Read a review; ``None`` where the line is no JSON."""
    try:
        return _adapter().validate_json(line)
    except ValidationError as error:
        fault = error.errors()[0]
        if fault["type"] == "json_invalid":
            return None
        place = ".".join(map(str, fault["loc"])) or "the line"
        msg = (
            f"{where}: {place}: {fault['msg'].lower()}, found {fault['input']!r:.80}; expected a "
            f"review of version {REVIEW_VERSION}; correct the line or take it out"
        )
        raise ValueError(msg) from error


def append_review(path: Path, review: Review) -> None:
    """Add a review to the file; when this returns, it is on the disk.

    What is in the file is never changed. A last line without its end gets one first.

    Args:
        path: the file, or the folder of the data set
        review: the decision

    Raises:
        OSError: it could not be written, such as for lack of room
    """
    file = path / REVIEWS_FILE if path.is_dir() else path
    line = canonical_json(asdict(review)).encode() + b"\n"
    is_new = not file.exists()
    with file.open("ab+", buffering=0) as out:
        if out.seek(0, os.SEEK_END) > 0:
            out.seek(-1, os.SEEK_END)
            if out.read(1) != b"\n":
                line = b"\n" + line
        while line:
            line = line[out.write(line) :]
        os.fsync(out.fileno())
    if is_new and os.name == "posix":
        _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    """Write down that a folder has a new file."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def counting(reviews: Iterable[Review], sha256: str) -> tuple[Review, ...]:
    """Give the last review of each reviewer for one state of a record, without withdrawn ones.

    Args:
        reviews: those of one clip, in the order in which they were made
        sha256: the record's `record_hash`
    """
    last: dict[str, Review] = {}
    for review in reviews:
        if review.record_sha256 == sha256:
            last.pop(review.reviewer, None)  # so that the order is that of the last ones
            last[review.reviewer] = review
    return tuple(review for review in last.values() if review.decision != "withdraw")


def stale(reviews: Sequence[Review], sha256: str) -> tuple[Review, ...]:
    """Give the last review of each reviewer who has none for this state of the record."""
    last = {review.reviewer: review for review in reviews if review.record_sha256 != sha256}
    for review in reviews:
        if review.record_sha256 == sha256:
            last.pop(review.reviewer, None)
    return tuple(review for review in last.values() if review.decision != "withdraw")


def faults_of(record: MerrRecord, review: Review) -> tuple[str, ...]:
    """Name the rules that a review breaks; empty where it may be stored and applied."""
    edits = review.edits
    if review.decision != "edit":
        faults = []
        if edits.changed:
            faults.append(
                f"found edits of {', '.join(edits.changed)} with the decision {review.decision!r}; "
                "only 'edit' has them"
            )
        if review.decision == "reject" and not review.comment.strip():
            faults.append("a rejection needs a comment: say why")
        return tuple(faults)
    if not edits.changed:
        return ("the edit changes nothing; accept the record, or change a text or the label",)
    blank = tuple(
        f"{name} has no word; write a text, or leave it as it is"
        for name, value in asdict(edits).items()
        if value is not None and re.search(r"\w", value) is None
    )
    if blank:
        return blank
    if record.fine_caption is None and (edits.evidence is None) != (edits.conclusion is None):
        return ("the record has no fine caption; a new one needs both evidence and conclusion",)
    after = edited(record, review)
    return faults_of_edits(record, after)


def unsettled_question(
    record: MerrRecord, reviews: Sequence[Review], policy: Policy = "majority"
) -> str | None:
    """Say on what the reviewers of a record disagree; ``None`` where the policy settles it."""
    ruling = _settle(record, reviews, policy) if reviews else ()
    return ruling if isinstance(ruling, str) else None


def apply(
    records: Iterable[MerrRecord],
    reviews: Sequence[Review],
    *,
    policy: Policy = "majority",
    judge: Judge | None = None,
) -> Applied:
    """Lay reviews over records.

    An accepted or edited record is kept, also where a gate had rejected it; a rejected one is
    rejected with the comment as its reason. Whatever is changed has the reviewer as its origin, and
    the lineage has an entry ``review`` for each record that was decided.

    Under ``majority`` three questions are asked one after the other, each of those who answered the
    one before with more than half: keep it? which label? which wording? Where no answer has more
    than half, the record is left as it is.

    Args:
        records: kept and rejected ones
        reviews: in the order in which they were made
        policy: whose decision holds
        judge: judges a record whose label was changed; without it the verdict's agreement with the
            new label is ``None`` where the verdict alone does not tell

    Raises:
        ValueError: there is no such policy
    """
    if policy not in ("majority", "last"):
        msg = f"found policy {policy!r}, expected 'majority' or 'last'"
        raise ValueError(msg)
    of_clip: dict[str, list[Review]] = defaultdict(list)
    for review in reviews:
        of_clip[review.clip_id].append(review)
    done: list[MerrRecord] = []
    num = {"accept": 0, "edit": 0, "reject": 0}
    outdated: list[Review] = []
    unsettled: dict[str, str] = {}
    refused: dict[str, tuple[str, ...]] = {}
    for record in records:
        own = of_clip.pop(record.clip_id, [])
        sha256 = record_hash(record) if own else ""
        outdated += stale(own, sha256)
        current = counting(own, sha256)
        ruling = _settle(record, current, policy) if current else ()
        if isinstance(ruling, str):
            unsettled[record.clip_id] = ruling
        elif ruling and (faults := faults_of(record, ruling[-1])):
            refused[record.clip_id] = faults
        elif ruling:
            num[ruling[-1].decision] += 1
            record = _overlaid(record, ruling, judge)
        done.append(record)
    return Applied(
        records=tuple(done),
        num_accepted=num["accept"],
        num_edited=num["edit"],
        num_rejected=num["reject"],
        stale=tuple(outdated),
        unsettled=unsettled,
        refused=refused,
        unknown_clips=tuple(of_clip),
    )


def _settle(
    record: MerrRecord, reviews: Sequence[Review], policy: Policy
) -> tuple[Review, ...] | str:
    """Give the reviews that decide, the last of them to be applied, or the open question."""
    if policy == "last":
        return (reviews[-1],)
    questions: tuple[tuple[str, Callable[[Review], object]], ...] = (
        ("whether to keep it", lambda review: review.decision == "reject"),
        ("the label", lambda review: review.edits.label or record.label),
        ("the wording", lambda review: replace(review.edits, label=None)),
    )
    left = tuple(reviews)
    for question, answer in questions:
        answers: dict[object, list[Review]] = defaultdict(list)
        for review in left:
            answers[answer(review)].append(review)
        most = max(answers.values(), key=len)
        if 2 * len(most) <= len(left):
            names = ", ".join(sorted(review.reviewer for review in left))
            return f"no majority on {question} among {names}"
        left = tuple(most)
        if left[0].decision == "reject":
            return left
    return left


def _overlaid(record: MerrRecord, ruling: tuple[Review, ...], judge: Judge | None) -> MerrRecord:
    """Apply what was decided, and say who decided it."""
    review = ruling[-1]
    origin = _origin(review, tuple(one.reviewer for one in ruling))
    if review.decision == "reject":
        reason = f"review by {origin.producer}: {review.comment.strip()}"
        return replace(
            record,
            status="rejected",
            reasons=(*record.reasons, reason),
            lineage={**record.lineage, "review": origin, "status": origin, "reasons": origin},
        )
    after = edited(record, review, origin.producer)
    lineage = {**after.lineage, "review": origin}
    notes = after.notes
    if record.status == "rejected":
        lineage |= {"status": origin, "reasons": origin}
        notes += (f"kept by review ({origin.producer}) against: {'; '.join(record.reasons)}",)
    after = replace(after, status="kept", reasons=(), notes=notes, lineage=lineage)
    if judge is not None and after.label != record.label:
        return replace(after, verdict=judge(after))
    return after


def _origin(review: Review, reviewers: tuple[str, ...]) -> Origin:
    return Origin(
        producer=", ".join(sorted(reviewers)),
        version=review.time,
        settings="review",
        inputs=review.record_sha256,
    )


def edited(record: MerrRecord, review: Review, producer: str | None = None) -> MerrRecord:
    """Give the record with a review's edits, each with the reviewer as its origin.

    Args:
        record: as it was built
        review: its edits
        producer: who decided, where it was more than the one reviewer
    """
    edits = review.edits
    origin = _origin(review, (producer or review.reviewer,))
    lineage = dict(record.lineage)
    if edits.label is not None:
        reading = LabelReading(edits.label, "human", origin.producer, review.time)
        record = replace(
            record,
            label=edits.label,
            labels=(reading, *record.labels),
            verdict=_with_agreement(record.verdict, edits.label),
        )
        lineage |= {"label": origin, "labels": origin}
    if edits.coarse_caption is not None:
        record = replace(record, coarse_caption=edits.coarse_caption)
        lineage["coarse_caption"] = origin
    fine = _edited_caption(record.fine_caption, edits)
    if fine != record.fine_caption:
        record = replace(record, fine_caption=fine)
        lineage["fine_caption"] = origin
    missing = {name: why for name, why in record.missing.items() if lineage.get(name) != origin}
    return replace(record, lineage=lineage, missing=missing)


def _edited_caption(fine: FineCaption | None, edits: Edits) -> FineCaption | None:
    """Give the fine caption with its edits."""
    if fine is None:
        if edits.evidence is None or edits.conclusion is None:
            return None
        fine = FineCaption("", "", label_conditioned=True)
    if edits.label is not None:
        # what spoke for the old label was not weighed for the new one
        fine = replace(fine, supports=(), contradicts=())
    return replace(
        fine,
        evidence=fine.evidence if edits.evidence is None else edits.evidence,
        conclusion=fine.conclusion if edits.conclusion is None else edits.conclusion,
        # a reviewer sees the label while writing
        label_conditioned=fine.label_conditioned or edits.evidence is not None,
    )


def _with_agreement(verdict: RuleVerdict | None, label: str) -> RuleVerdict | None:
    """Say what the rules that fired say to another label, as far as the verdict alone tells."""
    if verdict is None:
        return None
    agreement: Agreement | None = None
    if label in verdict.fired:
        agreement = "agrees"
    elif label in verdict.unknown:
        agreement = "abstains"
    return replace(verdict, agreement=agreement)
