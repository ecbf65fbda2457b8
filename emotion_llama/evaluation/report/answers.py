"""Answers of a run -> the most confident wrong ones, and those that came to nothing, as HTML.

Knows: which answers are shown, and how; where the pictures of key frames lie. Does not know: how
answers were scored, the page around.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_llama.evaluation.report.read import AnswerRow, MetricsRow
from emotion_llama.markup import (
    NONE,
    Html,
    escaped,
    joined,
    note,
    number,
    table,
    tag,
)

KEY_FRAMES = "key_frames"
"""Folder in a run with a JPEG picture a clip, called as `key_frame_name` says."""

MOST_EXAMPLES = 12
"""Wrong answers that are shown; the rest is in ``answers.jsonl``."""

MOST_ROWS = 40
"""Failures that are listed by name; the rest is counted."""


def key_frame_name(sample_id: str) -> str:
    """Give the file name of a clip's key frame, the same on every system.

    What a file name may not hold becomes ``_``; a part of the id's hash then keeps two ids apart.
    """
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", sample_id)[:100]
    if safe != sample_id:
        safe += "-" + hashlib.sha256(sample_id.encode()).hexdigest()[:8]
    return f"{safe}.jpg"


def most_confident_wrong(answers: Sequence[AnswerRow]) -> list[AnswerRow]:
    """Give the wrong answers that the report shows, see `wrong_answers`."""
    return wrong_answers(answers)[:MOST_EXAMPLES]


def wrong_answers(answers: Sequence[AnswerRow]) -> list[AnswerRow]:
    """Give the wrong answers with a label, most confident first.

    Equally confident ones are in the order of their ids; one without a confidence comes last.
    """
    wrong = [
        row
        for row in answers
        if row.error is None and row.scored_label is not None and row.scored_label != row.target
    ]
    return sorted(wrong, key=lambda row: (-(row.confidence or 0), row.sample_id))


def draw_examples(metrics: MetricsRow, answers: Sequence[AnswerRow], run: Path) -> Html:
    """Show the most confident wrong answers, each with what it rests on."""
    if metrics.protocol.kind != "labels":
        words = f"The truth of this protocol is no label (its kind is {metrics.protocol.kind})."
        return tag("p", words, _class="why")
    shown, num_wrong = most_confident_wrong(answers), len(wrong_answers(answers))
    if not shown:
        return tag("p", "No answer with a label is wrong.", _class="why")
    words = f"{len(shown):,} of {num_wrong:,} wrong answers with a label, most confident first."
    has_pictures = any((run / KEY_FRAMES / key_frame_name(one.sample_id)).exists() for one in shown)
    licence = (
        " Pictures and texts are of the data set: give this page on only as its licence allows."
    )
    cards = [_example(row, run) for row in shown]
    return joined(
        [note(words, licence if has_pictures else ""), tag("div", *cards, _class="examples")]
    )


def _example(row: AnswerRow, run: Path) -> Html:
    confidence = "none" if row.confidence is None else number(row.confidence)
    head = tag(
        "h3",
        tag("span", row.target, _class="truth"),
        " answered as ",
        tag("span", row.scored_label, _class="wrong"),
        tag("small", f"confidence {confidence}"),
    )
    parts = [head, _key_frame(row, run), _bars(row), *_texts(row)]
    return tag("article", *parts)


def _key_frame(row: AnswerRow, run: Path) -> Html:
    path = run / KEY_FRAMES / key_frame_name(row.sample_id)
    if not path.is_file():
        return Html("")
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    at = "" if row.key_frame_s is None else f" at {row.key_frame_s:.2f} s"
    words = f"key frame of {row.sample_id}{at}"
    # img has no end tag
    picture = tag("img", alt=words, src=f"data:image/jpeg;base64,{data}")
    return Html(picture.removesuffix("</img>"))


def _bars(row: AnswerRow) -> Html:
    """Draw the probabilities, largest first; the truth is marked by a word too."""
    if not row.probabilities:
        return note("No probabilities were stored.")
    lines = []
    for label, share in sorted(row.probabilities.items(), key=lambda one: (-one[1], one[0])):
        kind = "truth" if label == row.target else ""
        name = f"{label} (truth)" if kind else label
        bar = tag("span", tag("i", style=f"width:{100 * share:.1f}%"), _class="bar")
        lines.append(tag("li", tag("span", name), bar, tag("b", number(share)), _class=kind))
    return tag("ul", *lines, _class="bars")


def _texts(row: AnswerRow) -> list[Html]:
    """Write what the answer says and rests on; what there is not, is said or left out."""
    missing = [f"{name} ({why})" for name, why in row.missing.items()]
    pairs: list[tuple[str, object]] = [
        ("reason", row.reason or NONE),
        ("evidence", _list([_statement(one) for one in row.evidence]) if row.evidence else NONE),
        ("heard and seen", ", ".join(row.modalities) or NONE),
    ]
    pairs += [("missing", ", ".join(missing))] * bool(missing)
    pairs += [("warnings", _list(row.warnings))] * bool(row.warnings)
    pairs.append(("clip", tag("code", row.clip or row.sample_id)))
    return [tag("dl", *[joined([tag("dt", name), tag("dd", text)]) for name, text in pairs])]


def _statement(evidence: Any) -> str:
    """Write one piece of evidence: a text, or a mapping with its ``statement``."""
    if not isinstance(evidence, Mapping):
        return str(evidence)
    words = str(evidence.get("statement", dict(evidence)))
    modality = evidence.get("modality")
    return words if modality is None else f"{modality}: {words}"


def _list(texts: Sequence[str]) -> Html:
    return tag("ul", *[tag("li", text) for text in texts])


def draw_failures(metrics: MetricsRow, answers: Sequence[AnswerRow]) -> Html:
    """List what came to no figure: clips left out, clips that failed, answers without a label."""
    return joined(
        [
            tag("h3", "left out before the run"),
            _left_out(metrics),
            tag("h3", "failed"),
            _failed(answers),
            tag("h3", "answers without a label"),
            _unparsed(answers),
        ]
    )


def _left_out(metrics: MetricsRow) -> Html:
    reasons = metrics.run.data.get("left_out") or {}
    if not reasons:
        return tag("p", "No row of the data set was left out.", _class="why")
    return table(("reason", "rows"), [(why, number(count)) for why, count in reasons.items()])


def _failed(answers: Sequence[AnswerRow]) -> Html:
    failed = [row for row in answers if row.error is not None]
    if not failed:
        return tag("p", "No clip failed.", _class="why")
    rows = [(row.sample_id, row.error) for row in failed]
    return _listed(("clip", "error"), rows)


def _unparsed(answers: Sequence[AnswerRow]) -> Html:
    unparsed = [row for row in answers if row.parse_status in ("invalid", "empty")]
    if not unparsed:
        return tag("p", "Every written answer names one label.", _class="why")
    counts = Counter(row.parse_status for row in unparsed)
    words = ", ".join(f"{status}: {count:,}" for status, count in sorted(counts.items()))
    rows = [(row.sample_id, row.answer or "(nothing written)") for row in unparsed]
    return joined([note(f"{words}. Where what is written counts, they are wrong."),
                   _listed(("clip", "what was written"), rows)])  # fmt: skip


def _listed(head: Sequence[str], rows: Sequence[tuple[object, object]]) -> Html:
    listed = table(head, rows[:MOST_ROWS], numeric=False)
    more = len(rows) - MOST_ROWS
    words = f"{more:,} more are in answers.jsonl." if more > 0 else ""
    return joined([listed, note(words) if words else escaped("")])
