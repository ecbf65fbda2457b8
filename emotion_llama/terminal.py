"""How an answer and a coverage report look to a person in a terminal.

Knows: rich, colours, widths, wording. Does not know: flags, files, models, exit codes.
Everything that comes from a file is shown as plain text, never as markup or control codes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from emotion_llama.records import Evidence, Modality, Prediction, View

__all__ = [
    "Waiting",
    "answer",
    "answer_line",
    "coverage_table",
    "printable",
    "timeline_table",
    "whole_line",
]

COLOURS: Mapping[str, str] = {
    "happy": "#3fb950",
    "neutral": "#9aa4af",
    "surprise": "#e3b341",
    "angry": "#f85149",
    "sad": "#58a6ff",
    "fear": "#bc8cff",
    "worried": "#db8a3c",
    "disgust": "#9fae2b",
    "contempt": "#db61a2",
    "doubt": "#b08968",
}
"""Colour of a label's block and bar, readable on dark and on light; rich falls back to fewer."""

OTHER_COLOUR = "#39c5cf"
"""Colour of any other label."""

MODALITY_WORDS: "Mapping[Modality, str]" = {
    "global": "picture (global)",
    "local": "face (local)",
    "temporal": "movement (temporal)",
    "audio": "voice (audio)",
    "text": "words (text)",
}
"""What each encoder role looks or listens at, with the paper's name for it."""

BAR_WIDTH = 32
SHORT_BAR_WIDTH = 12
"""Width of the bar in a row of a timeline."""

EIGHTHS = " ▏▎▍▌▋▊▉"
"""Block characters that fill 0 to 7 eighths of a cell."""


class CoverageGroup(Protocol):
    """Tensors that had the same fate: where they came from and where they went."""

    @property
    def source(self) -> str:
        """Name in the source file; empty for what was made anew."""

    @property
    def destination(self) -> str:
        """Name in the written file; empty for what was left out."""

    @property
    def count(self) -> int:
        """How many tensors the group stands for."""

    @property
    def status(self) -> str:
        """What was done with them."""

    @property
    def note(self) -> str:
        """Why."""


class TimedAnswer(Protocol):
    """A part of a clip and its answer, or why it has none."""

    @property
    def start_s(self) -> float:
        """Where it starts."""

    @property
    def end_s(self) -> float:
        """Where it ends."""

    @property
    def prediction(self) -> "Prediction | None":
        """Its answer."""

    @property
    def error(self) -> str | None:
        """Why there is none."""


def printable(text: str) -> str:
    """Replace control codes and broken characters, which a file name may hold."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def answer(prediction: "Prediction", *, ascii_only: bool = False) -> RenderableType:
    """Lay out one answer in full: label, bars, reason, modalities, warnings, timings."""
    parts: list[RenderableType] = [
        Text(printable(prediction.clip), style="bold", overflow="fold"),
        headline(prediction),
        Text(),
    ]
    if prediction.probabilities:
        parts += [bars(prediction.probabilities, ascii_only=ascii_only)]
        if prediction.alone:
            parts += [Text(f"  {alone_words(prediction.alone)}", style="dim")]
        parts += [Text()]
    if prediction.reason:
        parts += [Padding(Text(printable(" ".join(prediction.reason.split()))), (0, 2)), Text()]
    parts += [facts(prediction), Padding(timings(prediction), (0, 2))]
    return Group(*parts)


def answer_line(prediction: "Prediction") -> Text:
    """Lay out one answer in one line, for long lists."""
    line = Text()
    name = printable(prediction.label or "no label")
    line.append(f"{name:<10}", style=f"bold {colour(prediction.label)}")
    line.append(f"{label_share(prediction):>5}  ")
    line.append("unsure  " if prediction.unsure else "        ", style="yellow")
    line.append(printable(prediction.clip))
    if prediction.missing:
        line.append(f"  without {', '.join(prediction.missing)}", style="dim")
    return line


def timeline_table(clip: str, parts: Iterable[TimedAnswer], *, ascii_only: bool = False) -> Table:
    """Lay out the parts of a clip: when, label, how sure, and the first sentence of the reason.

    Below stands what was missing or is to be known, with the number of parts of which it is so.

    Args:
        clip: name of the clip
        parts: its parts in order
        ascii_only: draw bars without block characters
    """
    table = Table(
        title=Text(printable(clip), style="bold", overflow="fold"),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        header_style="bold",
        pad_edge=False,
    )
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("label", no_wrap=True)
    table.add_column("", width=SHORT_BAR_WIDTH, no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("reason")
    remarks: Counter[str] = Counter()
    for part in parts:
        when = f"{part.start_s:.1f} - {part.end_s:.1f}"
        table.add_row(when, *_part_cells(part, ascii_only))
        if part.prediction is not None:
            remarks.update(_remarks(part.prediction))
    lines = [f"{count} x {printable(words)}" for words, count in remarks.most_common()]
    table.caption = Text("\n".join(lines), style="dim")
    return table


def _remarks(prediction: "Prediction") -> Iterator[str]:
    """Say what was missing and what is to be known of an answer."""
    for modality, why in prediction.missing.items():
        yield f"missing {MODALITY_WORDS[modality]}: {why}"
    for warning in prediction.warnings:
        yield f"warning: {warning}"


def _part_cells(part: TimedAnswer, ascii_only: bool) -> tuple[Text, Text, Text, Text]:
    """Give the cells after the time: label, bar, share, and reason or error."""
    prediction = part.prediction
    if prediction is None:
        why = printable(" ".join((part.error or "").split()))
        return Text("no answer", style="red"), Text(), Text(), Text(why, style="red")
    style = colour(prediction.label)
    label = Text(printable(prediction.label or "no label"), style=style)
    if prediction.unsure:
        label.append(" ?", style="yellow")
    share = prediction.probabilities.get(prediction.label or "", 0.0)
    return (
        label,
        Text(bar(share, SHORT_BAR_WIDTH, ascii_only=ascii_only), style=style),
        Text(label_share(prediction)),
        Text(printable(first_sentence(prediction.reason or ""))),
    )


def first_sentence(text: str) -> str:
    """Give the first sentence of a text, in one line."""
    return re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]


def whole_line(label: str | None, probabilities: Mapping[str, float], answered: str) -> Text:
    """Say the answer for the whole clip in one line.

    Args:
        label: its label
        probabilities: mean of those of its parts
        answered: how many parts have an answer, in words
    """
    line = Text("whole clip: ")
    if label is None:
        return line.append(f"no answer ({answered})", style="red")
    line.append(printable(label), style=f"bold {colour(label)}")
    return line.append(f" {probabilities[label]:.0%}, the mean of {answered} by length")


def headline(prediction: "Prediction") -> Text:
    """Give the label as a coloured block, its confidence, and the doubt in words."""
    line = Text(" ")
    if prediction.label is None:
        line.append(" NO LABEL ", style="bold reverse")
        line.append("  the answer names none, or more than one, of the offered labels")
        return line
    line.append(
        f" {printable(prediction.label).upper()} ",
        style=f"bold reverse {colour(prediction.label)}",
    )
    line.append(f"  {label_share(prediction)}", style="bold")
    if prediction.valence is not None:
        line.append(f"   valence {prediction.valence:+.2f}", style="dim")
    if prediction.unsure:
        line.append("   unsure", style="bold yellow")
        line.append(f": {prediction.unsure_rule}", style="yellow")
    return line


def percent(share: float) -> str:
    """Write a share; one that is not 0 or 1 is not written as such."""
    text = f"{100 * share:.0f}"
    if text in ("0", "100") and share not in (0.0, 1.0):
        return "under 1 %" if text == "0" else "over 99 %"
    return f"{text} %"


def alone_words(alone: "Mapping[View, Mapping[str, float]]") -> str:
    """Put into words what each view of a clip says by itself."""
    best = {view: max(chances, key=chances.__getitem__) for view, chances in alone.items()}
    return ", ".join(
        f"{view} alone: {printable(label)} {percent(alone[view][label])}"
        for view, label in best.items()
    )


def label_share(prediction: "Prediction") -> str:
    """Give the probability of the label, which a written answer need not have at its highest."""
    share = prediction.probabilities.get(prediction.label or "")
    return "" if share is None else f"{share:.0%}"


def bars(probabilities: Mapping[str, float], *, ascii_only: bool = False) -> Table:
    """Draw one bar for each offered label, the most probable first."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(width=BAR_WIDTH, no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    for label, probability in sorted(probabilities.items(), key=lambda item: -item[1]):
        grid.add_row(
            Text(f"  {printable(label)}"),
            Text(bar(probability, ascii_only=ascii_only), style=colour(label)),
            Text(f"{100 * probability:.1f} %"),
        )
    return grid


def bar(share: float, width: int = BAR_WIDTH, *, ascii_only: bool = False) -> str:
    """Draw a share between 0 and 1 as a bar, ``width`` cells at 1."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if ascii_only:
        return "#" * round(eighths / 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS[rest] if rest else "")


def facts(prediction: "Prediction") -> Table:
    """List what was used, what was missing and why, the evidence and the warnings."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    used = ", ".join(MODALITY_WORDS[m] for m in prediction.modalities) or "nothing"
    grid.add_row("  used", Text(used))
    for modality, why in prediction.missing.items():
        grid.add_row("  missing", Text(f"{MODALITY_WORDS[modality]}: {printable(why)}"))
    for item in prediction.evidence:
        grid.add_row("  measured", Text(evidence_words(item)))
    for warning in prediction.warnings:
        grid.add_row("  warning", Text(printable(warning), style="yellow"))
    return grid


def evidence_words(item: "Evidence") -> str:
    """Say one measured statement with its time; value and producer are in the JSON form."""
    words = printable(item.statement)
    if item.start_s is None or item.end_s is None:
        return words
    if item.end_s - item.start_s < 0.05:
        return f"{words}, at {item.start_s:.1f} s"
    return f"{words}, {item.start_s:.1f} to {item.end_s:.1f} s"


def timings(prediction: "Prediction") -> Text:
    """Give preset, key frame and the time of every stage in one dim line."""
    parts = [f"preset {prediction.preset}"]
    if prediction.key_frame_s is not None:
        parts.append(f"key frame at {prediction.key_frame_s:.2f} s")
    parts += [f"{stage} {seconds:.2f} s" for stage, seconds in prediction.timings_s.items()]
    return Text(" | ".join(parts), style="dim")


def colour(label: str | None) -> str:
    """Give the colour of a label."""
    return COLOURS.get(label or "", OTHER_COLOUR)


def coverage_table(groups: Iterable[CoverageGroup]) -> Table:
    """Lay out which source tensor became which tensor of the model, and which did not.

    The two names of a group stand below each other: side by side they would not fit a terminal.
    """
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, caption_justify="left")
    table.add_column("tensor", overflow="fold")
    table.add_column("number", justify="right")
    table.add_column("what became of it", max_width=24)
    totals: Counter[str] = Counter()
    for group in groups:
        names = [group.source] if group.source else []
        names += [f"  -> {group.destination}"] if group.destination else []
        fate = f"{group.status}: {group.note}" if group.note else group.status
        style = "" if group.status == "loaded" else "yellow"
        table.add_row(Text("\n".join(names)), str(group.count), Text(fate), style=style)
        totals[group.status] += group.count
    table.caption = ", ".join(f"{count} {status}" for status, count in totals.items())
    return table


class Waiting:
    """What stands on stderr while clips are read: a spinner, and a bar where there are several.

    With a ``unit`` ("clips") the bar also says how many of them a second. It is silent where stderr
    is no terminal. `pause` takes it off the screen while something else is written, because stdout
    and stderr usually share one terminal.
    """

    def __init__(self, console: Console, words: str, total: int = 1, unit: str = "") -> None:
        self.unit = unit
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="dim"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            # A redirected stdout would send JSON lines to stderr.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.task = self.progress.add_task(words, total=total, rate="")
        self.expect(total)

    def expect(self, total: int) -> None:
        """Learn how many there are, before the first is counted."""
        if total > 1:
            rate = (TextColumn("{task.fields[rate]}"),) if self.unit else ()
            counting = (BarColumn(), MofNCompleteColumn(), *rate, TimeRemainingColumn())
            self.progress.columns = (*self.progress.columns[:2], *counting)
        self.progress.update(self.task, total=total)

    def __enter__(self) -> "Waiting":
        """Show it."""
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take it away, also after an error."""
        self.pause()

    def pause(self) -> None:
        """Take it off the screen."""
        self.progress.stop()

    def advance(self) -> None:
        """Count one more clip and show it again."""
        self.progress.advance(self.task)
        task = self.progress.tasks[self.task]
        if self.unit and task.speed:
            self.progress.update(self.task, rate=f"{task.speed:.1f} {self.unit}/s")
        if not self.progress.finished:
            self.progress.start()
