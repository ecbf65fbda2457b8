"""Folder of a run -> ``report.html``: one file that asks for nothing else, and prints.

Knows: the page, its head and the order of its parts. Does not know: how anything was computed, how
a section is drawn (`emotion_llama.evaluation.report.sections`).
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from uuid import uuid4

from emotion_llama.evaluation.report.answers import draw_examples, draw_failures
from emotion_llama.evaluation.report.read import (
    AnswerRow,
    MetricsRow,
    read_answers,
    read_metrics,
)
from emotion_llama.evaluation.report.sections import (
    LEADING,
    SECTIONS,
    draw_absent,
    draw_manifest,
)
from emotion_llama.evaluation.report.verdict import draw_verdict
from emotion_llama.markup import NONE, Html, note, tag

REPORT_FILE = "report.html"

LIMITS = (
    "This measures which expression a model reads in a clip, not what the person felt. A figure "
    "holds for this data set and this way of asking only."
)


def write_report(run: Path) -> Path:
    """Write the report of a finished run.

    Args:
        run: folder with ``metrics.json`` and ``answers.jsonl``, and ``key_frames`` where pictures
            are wanted

    Returns:
        ``report.html`` in that folder; it appears whole or not at all, and replaces an older one.
        The same files give the same bytes

    Raises:
        ValueError: one of the two files is missing or has another form
    """
    metrics, answers = read_metrics(run), read_answers(run)
    page = _page(metrics, answers, run)
    path = run / REPORT_FILE
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        # a lone surrogate, which JSON may hold, has no UTF-8
        part.write_bytes(page.encode("utf-8", errors="replace"))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _page(metrics: MetricsRow, answers: Sequence[AnswerRow], run: Path) -> str:
    style = (resources.files(__package__) / "style.css").read_text("utf-8")
    title = f"{metrics.protocol.title}: {metrics.run.preset}"
    drawn = _sections(metrics, answers, run)
    links = [
        tag("a", name, href=f"#{anchor}", _class="" if is_there else "gone")
        for anchor, name, _, is_there in drawn
    ]
    sections = [
        tag("section", tag("h2", name), inner, id=anchor, _class="" if is_there else "absent")
        for anchor, name, inner, is_there in drawn
    ]
    body = [
        _head(metrics),
        tag("nav", *links, aria_label="sections"),
        tag("main", *sections),
        tag("footer", note(LIMITS)),
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            tag("title", title),
            f"<style>\n{style}</style></head>",
            tag("body", *body),
            "</html>\n",
        ]
    )


def _sections(
    metrics: MetricsRow, answers: Sequence[AnswerRow], run: Path
) -> list[tuple[str, str, Html, bool]]:
    """Give (anchor, title, content, whether there are figures) of each section."""
    leading = LEADING.get(metrics.protocol.kind)
    drawn = []
    for section in sorted(SECTIONS, key=lambda one: one.name != leading):  # sorting keeps the order
        inner = section.draw(metrics)
        content = draw_absent(metrics, section.name) if inner is None else inner
        anchor = section.anchor or section.name
        drawn.append((anchor, section.title, content, inner is not None))
    return [
        *drawn,
        ("examples", "Most confident wrong answers", draw_examples(metrics, answers, run), True),
        ("failures", "Left out and failed", draw_failures(metrics, answers), True),
        ("manifest", "Manifest of the run", draw_manifest(metrics), True),
    ]


def _head(metrics: MetricsRow) -> Html:
    run, protocol = metrics.run, metrics.protocol
    facts = [
        f"preset {run.preset}",
        "modalities " + (", ".join(run.modalities) if run.modalities else NONE),
        f"prompt {run.prompt_mode or NONE}",
        f"decision {run.decision or NONE}",
    ]
    parts = [
        tag("h1", protocol.title),
        tag("p", " · ".join(facts), _class="facts"),
        draw_verdict(metrics),
    ]
    if said := _cautions(metrics):
        parts.append(tag("p", " ".join(said), _class="caution"))
    if protocol.note:
        parts.append(note(protocol.note))
    return tag("header", *parts)


def _cautions(metrics: MetricsRow) -> list[str]:
    """Name what makes the figures say less than they seem to."""
    counts = metrics.counts
    said = []
    if metrics.run.limit is not None:
        said.append(
            f"The run was limited to {counts.samples:,} samples (limit {metrics.run.limit:g}): its "
            "figures are not those of the benchmark."
        )
    if counts.failed:
        said.append(f"{counts.failed:,} of {counts.samples:,} clips failed, see the end.")
    if counts.unparsed:
        said.append(f"{counts.unparsed:,} written answers name no label.")
    if left_out := sum((metrics.run.data.get("left_out") or {}).values()):
        said.append(f"{left_out:,} rows of the data set were left out before the run.")
    return said
