"""What an edited record must hold to: its evidence names no label, its conclusion names its own.

Knows: which of the rules for captions hold for people too. Does not know: files, reviewers. People
may see what was not measured, so a clue that no measure confirms is no fault of theirs.
"""

from emotion_llama.labels import LABEL_SETS, LabelSet
from emotion_llama.merr.records import MerrRecord


def faults_of_edits(before: MerrRecord, after: MerrRecord) -> tuple[str, ...]:
    """Name the rules that a record breaks through its edits; empty where it breaks none.

    A text that was not touched is not held against the reviewer, unless the label was changed.

    Args:
        before: the record as it was built
        after: the same with the edits
    """
    # the face package behind these is slow to load
    from emotion_llama.merr.caption_rules import (
        Draft,
        find_contradiction,
        find_label_leak,
        find_no_conclusion,
    )
    from emotion_llama.merr.faithfulness import measured

    fine, old = after.fine_caption, before.fine_caption
    if fine is None:
        return ()
    draft = Draft(
        evidence=fine.evidence,
        conclusion=fine.conclusion,
        label=after.label or "",
        labels=_labels_of(after),
        measured=measured(after),
    )
    is_relabelled = after.label != before.label
    old_evidence, old_conclusion = (old.evidence, old.conclusion) if old else (None, None)
    faults = []
    if (is_relabelled or fine.evidence != old_evidence) and (leak := find_label_leak(draft)):
        faults.append(
            f"evidence names a label ({leak}); say what is seen and heard, and leave the label to "
            "the conclusion"
        )
    if after.label is not None and (is_relabelled or fine.conclusion != old_conclusion):
        other = find_no_conclusion(draft) or find_contradiction(draft)
        if other is not None:
            faults.append(f"conclusion must name the label {after.label!r} and no other: {other}")
    return tuple(faults)


def _labels_of(record: MerrRecord) -> LabelSet:
    """Give every label that the package or the record knows, in a fixed order."""
    own = {reading.label for reading in record.labels}
    if record.verdict is not None:
        own |= {*record.verdict.distribution, *record.verdict.unknown}
    return LabelSet("known", tuple(sorted(own.union(*LABEL_SETS.values()))))
