"""Figures of a run -> plots as inline SVG.

Knows: matplotlib, sizes, colours. Does not know: files, pages, how anything was computed. Colours
are from Okabe & Ito (2008), told apart by colour-blind people too; each colour also has a shape or
a word. Plots are narrow, so that their letters can be read on a phone.
"""

import html
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from emotion_llama.evaluation.report.read import (
    CalibrationRow,
    ConfusionRow,
    FaithfulnessRow,
    LabelRow,
    NoiseRow,
    RiskCoverageRow,
    SubsetsRow,
)
from emotion_llama.markup import title_of

BLUE, PALE, ORANGE, GREY = "#0072b2", "#9ecae1", "#d55e00", "#777777"
COLOUR_MAP = "Blues"
WIDTH_IN = 4.8
SMALL = 9
"""Size of the letters in points."""
PX_PER_PT = 4 / 3
SMALLEST = 0.7
"""Share of its size to which a plot shrinks on a small screen; a wider one is scrolled."""
PRECISION = 0.8
"""Share of right answers that ``answered_at_80`` asks for."""


def has_matplotlib() -> bool:
    """Say whether plots can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def svg(figure: Any, name: str, words: str) -> str:
    """Write a plot as an SVG element for a page; the same plot gives the same text.

    Args:
        figure: of matplotlib
        name: begins every id, so that the plots of one page do not share any
        words: what is to be seen, for those who do not see it
    """
    import matplotlib

    out = io.StringIO()
    # a date, a version or a drawn id would differ from run to run
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata=metadata)
    drawn = out.getvalue()
    width_px = figure.get_figwidth() * 72 * PX_PER_PT
    style = f"max-width:{width_px:.0f}px;min-width:{SMALLEST * width_px:.0f}px"
    box = re.search(r'viewBox="[^"]*"', drawn)
    assert box is not None
    inner = drawn[drawn.index(">", drawn.index("<svg")) + 1 :].strip()
    inner = re.sub(r'\bid="', f'id="{name}-', inner)
    inner = re.sub(r'xlink:href="#', f'href="#{name}-', inner)
    inner = inner.replace("url(#", f"url(#{name}-")
    head = f'<svg {box[0]} style="{style}" role="img" aria-label="{html.escape(words)}">'
    return f"{head}\n{inner}"


def _figure(height_in: float, width_in: float = WIDTH_IN) -> tuple[Any, Any]:
    # not pyplot: it would choose a window system and keep the figure
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axis = figure.subplots()
    _calm(axis)
    return figure, axis


def _calm(axis: Any) -> None:
    axis.tick_params(labelsize=SMALL, length=0)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("#bbbbbb")
    axis.set_axisbelow(True)


def _grid(axis: Any, which: str) -> None:
    axis.grid(axis=which, color="#dddddd", linewidth=0.6)


def _plain(name: str) -> str:
    """Escape what would be read as a formula."""
    return name.replace("$", r"\$")


def draw_confusion(matrix: ConfusionRow) -> Any:
    """Draw truths as rows, answers as columns: shares of the row as shades, with counts."""
    extra = {"other label": matrix.outside, "no label": matrix.unparsed}
    shown = {name: column for name, column in extra.items() if any(column)}
    counts = np.array([*zip(*matrix.counts, strict=True), *shown.values()]).T  # [a x columns]
    totals = np.sum([np.sum(matrix.counts, axis=1), matrix.outside, matrix.unparsed], axis=0)
    shares = np.divide(
        counts, totals[:, None], out=np.full(counts.shape, np.nan), where=totals[:, None] > 0
    )
    rows, columns = counts.shape
    figure, axis = _figure(1.3 + 0.46 * rows, max(WIDTH_IN, 1.5 + 0.56 * columns))
    # a mesh and no picture: it stays sharp, and holds no bytes of an image library
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    axis.pcolormesh(*edges, shares, cmap=COLOUR_MAP, vmin=0, vmax=1, edgecolors="white")
    axis.set_ylim(rows - 0.5, -0.5)
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            _cell(axis, row, column, int(counts[row, column]), float(shares[row, column]))
    names = [_plain(label) for label in matrix.labels]
    axis.set_xticks(range(columns), [*names, *shown], rotation=40, ha="right",
                    rotation_mode="anchor")  # fmt: skip
    axis.set_yticks(range(rows), [f"{n} ({t:,})" for n, t in zip(names, totals, strict=True)])
    axis.spines[:].set_visible(False)
    if shown:
        axis.axvline(rows - 0.5, color="white", linewidth=4)
    axis.set_xlabel("answer", fontsize=SMALL)
    axis.set_ylabel("truth (clips)", fontsize=SMALL)
    return figure


def _cell(axis: Any, row: int, column: int, count: int, share: float) -> None:
    colour = "white" if share > 0.55 else "black"
    axis.text(column, row - 0.14, f"{100 * share:.0f} %", ha="center", va="center",
              fontsize=SMALL, color=colour)  # fmt: skip
    axis.text(column, row + 0.24, f"{count:,}", ha="center", va="center", fontsize=SMALL - 2,
              color=colour)  # fmt: skip


def draw_labels(labels: dict[str, LabelRow]) -> Any:
    """Draw recall and precision of each label as bars and its F1 as a mark."""
    figure, axis = _figure(1.2 + 0.46 * len(labels))
    places = np.arange(len(labels))
    for offset, name, colour in ((-0.19, "recall", BLUE), (0.19, "precision", PALE)):
        values = [getattr(row, name) for row in labels.values()]
        _bars(axis, places + offset, values, colour, name)
    known = [(place, row.f1) for place, row in enumerate(labels.values()) if row.f1 is not None]
    if known:
        marks, f1 = zip(*known, strict=True)
        axis.plot(f1, marks, "D", color="black", markersize=5, label="F1")
    names = [f"{_plain(label)} ({row.support:,})" for label, row in labels.items()]
    axis.set_yticks(places, names)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.set_xlim(0, 1)
    _grid(axis, "x")
    figure.legend(loc="outside upper right", ncols=3, fontsize=SMALL, frameon=False)
    return figure


def _bars(axis: Any, places: Any, values: Sequence[float | None], colour: str, name: str) -> None:
    """Draw bars; where there is no value, say so instead of drawing none."""
    axis.barh(places, [value or 0 for value in values], 0.36, color=colour, label=name)
    for place, value in zip(places, values, strict=True):
        if value is None:
            axis.text(0.01, place, f"no {name}", va="center", fontsize=SMALL - 2, color=GREY)


def draw_reliability(calibration: CalibrationRow) -> Any:
    """Draw accuracy over confidence, and below it how many clips each bin holds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bins = [one for one in calibration.bins if one.count]
    places, widths = [one.low for one in bins], [one.high - one.low for one in bins]
    style: dict[str, Any] = {"align": "edge", "edgecolor": "white", "linewidth": 0.8}
    above.bar(places, [one.accuracy or 0 for one in bins], widths, color=PALE, **style)
    above.plot((0, 1), (0, 1), "--", color="#444444", linewidth=1, label="as right as confident")
    known = [one for one in bins if one.confidence is not None]
    points = [one.confidence for one in known], [one.accuracy for one in known]
    above.plot(*points, "o", color=BLUE, markersize=5, clip_on=False,
               label="a bin")  # fmt: skip
    above.set_ylabel("share right", fontsize=SMALL)
    above.set_ylim(0, 1)
    below.bar(places, [one.count for one in bins], widths, color=GREY, **style)
    below.set_ylabel("clips", fontsize=SMALL)
    below.set_xlabel("confidence", fontsize=SMALL)
    below.set_xlim(0, 1)
    for axis in (above, below):
        _calm(axis)
        _grid(axis, "y")
    figure.legend(loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def draw_risk(curve: RiskCoverageRow) -> Any:
    """Draw the share of wrong answers over the share of clips that are answered."""
    figure, axis = _figure(3.0)
    axis.plot(curve.coverage, curve.risk, color=BLUE, linewidth=1.8)
    if curve.answered_at_80 is not None:
        share, risk = curve.answered_at_80, 1 - PRECISION
        axis.plot((0, share), (risk, risk), ":", color=ORANGE, linewidth=1.2)
        axis.plot((share, share), (0, risk), ":", color=ORANGE, linewidth=1.2)
        axis.plot(share, risk, "o", color=ORANGE, markersize=5, clip_on=False)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, max(0.25, 1.1 * max(curve.risk, default=0)))
    axis.set_xlabel("share answered, most confident first", fontsize=SMALL)
    axis.set_ylabel("share wrong of these", fontsize=SMALL)
    _grid(axis, "both")
    return figure


def draw_shares(subsets: SubsetsRow) -> Any:
    """Draw what each modality adds: its Shapley value, and what its loss alone costs."""
    names = list(dict.fromkeys([*subsets.shapley, *subsets.drop]))
    figure, axis = _figure(1.2 + 0.5 * len(names))
    places = np.arange(len(names))
    series = (
        ("Shapley value", subsets.shapley, BLUE),
        ("lost without it", subsets.drop, PALE),
    )
    for offset, (words, values, colour) in zip((-0.19, 0.19), series, strict=True):
        known = [(p, values[n]) for p, n in zip(places, names, strict=True) if n in values]
        shown = [(place + offset, value) for place, value in known if value is not None]
        if shown:
            axis.barh(*zip(*shown, strict=True), 0.36, color=colour, label=words)
        for place, value in shown:
            axis.annotate(f"{value:+.3f}", (max(value, 0), place), (3, 0), va="center",
                          textcoords="offset points", fontsize=SMALL - 1)  # fmt: skip
    axis.set_yticks(places, [_plain(name) for name in names])
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.margins(x=0.18)
    axis.axvline(0, color="#777777", linewidth=0.8)
    axis.set_xlabel(f"part of the {title_of(subsets.figure)}", fontsize=SMALL)
    _grid(axis, "x")
    figure.legend(loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def draw_noise(rows: Sequence[NoiseRow], figure_name: str, top: float) -> Any:
    """Draw the figure under each disturbance of one kind, beside the clean one.

    Args:
        rows: of one kind, in the order of the table
        figure_name: what is drawn
        top: end of the scale; that of all kinds, so that they can be compared
    """
    figure, axis = _figure(1.0 + 0.3 * len(rows))
    for place, row in enumerate(rows):
        if row.clean is not None:
            axis.plot((row.clean, row.clean), (place - 0.32, place + 0.32), color="black",
                      linewidth=1.6, label="clean" if place == 0 else None)  # fmt: skip
        if row.value is None:
            axis.text(0.01 * top, place, "no figure", va="center", fontsize=SMALL - 2, color=GREY)
            continue
        if row.low is not None and row.high is not None:
            axis.plot((row.low, row.high), (place, place), color=BLUE, linewidth=2.2, alpha=0.5)
        axis.plot(row.value, place, "o", color=BLUE, markersize=5,
                  label="disturbed" if place == 0 else None)  # fmt: skip
    axis.set_yticks(range(len(rows)), [_plain(noise_name(row)) for row in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(0, top)
    axis.set_xlabel(title_of(figure_name), fontsize=SMALL)
    _grid(axis, "x")
    figure.legend(loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def noise_name(row: NoiseRow) -> str:
    """Name a disturbance with its level."""
    return row.name if row.level is None else f"{row.name}, {row.level}"


def draw_faithfulness(faithfulness: FaithfulnessRow) -> Any:
    """Draw which share of stated clues agrees with the own clip and with another one."""
    figure, axis = _figure(1.5)
    rows = (("own clip", faithfulness.own, BLUE), ("another clip", faithfulness.other, GREY))
    for place, (_, row, colour) in enumerate(rows):
        if row is None or row.value is None:
            axis.text(0.01, place, "no figure", va="center", fontsize=SMALL, color=GREY)
            continue
        axis.barh(place, row.value, 0.6, color=colour)
        if row.low is not None and row.high is not None:
            axis.plot((row.low, row.high), (place, place), color="black", linewidth=1.4)
    axis.set_yticks(range(2), [name for name, _, _ in rows])
    axis.set_ylim(1.6, -0.6)
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of stated clues that agree", fontsize=SMALL)
    _grid(axis, "x")
    return figure
