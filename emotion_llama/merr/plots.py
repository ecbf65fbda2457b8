"""Statistics -> plots: classes, action units by label, agreement, lengths of captions.

Knows: matplotlib, sizes, colours. Does not know: records, how anything was counted. Colours are
from Okabe & Ito (2008), told apart by colour-blind people too; shares are shades of one colour
(Harrower & Brewer 2003), and every cell also has its number.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from emotion_llama.merr.statistics import (
    SAYS,
    Statistics,
    by_count,
    common_units,
    split_order,
)

Form = Literal["png", "svg"]

SPLIT_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#999999")
COARSE_COLOUR, FINE_COLOUR = "#56b4e9", "#d55e00"
EMPTY_COLOUR = "#c8c8c8"
"""Cells without a value: nothing was measured."""
COLOUR_MAP = "Blues"
SMALL = 8
"""Size of the letters in points."""
MOST_LABELS = 24
"""Labels that a plot has room for, the most frequent ones."""


def require_matplotlib() -> None:
    """Check that plots can be drawn.

    Raises:
        ValueError: matplotlib is not installed
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        msg = (
            "found no matplotlib, which draws the plots; "
            "install it with: pip install 'emotion-llama[plot]'"
        )
        raise ValueError(msg) from error


def write_plots(stats: Statistics, out_dir: Path, form: Form = "png") -> list[Path]:
    """Draw all plots that there are numbers for.

    Args:
        stats: what is drawn
        out_dir: folder of the plots; made where it is missing. Each plot appears whole or not at
            all, and replaces an older one
        form: ``png`` or ``svg``; the same numbers give the same bytes

    Returns:
        the files, in the order of `PLOTS`

    Raises:
        ValueError: another form, or matplotlib is not installed
    """
    if form not in ("png", "svg"):
        msg = f"found the form {form!r}, expected png or svg; choose one of them"
        raise ValueError(msg)
    require_matplotlib()
    out_dir.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, draw in PLOTS.items():
        figure = draw(stats)
        if figure is not None:
            written.append(out_dir / f"{name}.{form}")
            _save(figure, written[-1], form)
    return written


def _save(figure: Any, path: Path, form: Form) -> None:
    import matplotlib

    # a date, a version or a drawn id would differ from run to run
    metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with matplotlib.rc_context({"svg.hashsalt": "merr"}), part.open("xb") as stream:
            figure.savefig(stream, format=form, dpi=130, metadata=metadata)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # not pyplot: it would choose a window system and keep the figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.tick_params(labelsize=SMALL, length=0)
    return figure, axis


def _title(axis: Any, words: str) -> None:
    axis.set_title(words, loc="left", fontsize=SMALL + 2)


def _plain(name: str) -> str:
    """Escape what would be read as a formula."""
    return name.replace("$", r"\$")


def draw_classes(stats: Statistics) -> Any | None:
    """Draw how many kept clips each label has, a bar a label, a colour a split."""
    labels = by_count(stats.labels)[:MOST_LABELS]
    if not labels:
        return None
    figure, axis = _figure(7.5, 1.3 + 0.34 * max(len(labels), 2))
    places = np.arange(len(labels))
    begin = np.zeros(len(labels))
    splits = split_order(stats.labels_by_split)
    for index, split in enumerate(splits):
        counts = np.array([stats.labels_by_split[split].get(label, 0) for label in labels])
        colour = SPLIT_COLOURS[min(index, len(SPLIT_COLOURS) - 1)]
        axis.barh(places, counts, 0.72, left=begin, color=colour, label=_plain(split))
        begin += counts
    total = sum(stats.labels.values())
    for place, count in zip(places, begin, strict=True):
        words = f" {int(count):,}  ({100 * count / total:.1f} %)"
        axis.text(count, place, words, va="center", fontsize=SMALL)
    axis.set_yticks(places, [_plain(label) for label in labels])
    # few labels are no thick bars
    axis.set_ylim(max(len(labels), 2) - 0.5, -0.5)
    axis.set_xlim(0, 1.22 * begin.max())
    axis.set_xlabel("kept clips", fontsize=SMALL)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    if len(splits) > 1:
        figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False)
    _title(axis, f"labels of {stats.num_kept:,} kept clips")
    return figure


def draw_units(stats: Statistics) -> Any | None:
    """Draw how often each action unit is present in the clips of each label."""
    units = common_units(stats)
    labels = [label for label in by_count(stats.labels) if stats.units.get(label)][:MOST_LABELS]
    if not units or not labels:
        return None
    shares = np.full((len(labels), len(units)), np.nan)
    for row, label in enumerate(labels):
        for column, unit in enumerate(units):
            share = stats.units[label].get(unit)
            if share is not None:
                shares[row, column] = share.share
    rows = [f"{label} ({stats.labels[label]:,})" for label in labels]
    columns = [unit.removeprefix("AU") for unit in units]
    texts = [["" if np.isnan(v) else f"{100 * v:.0f}" for v in row] for row in shares]
    figure, axis = _grid(shares, rows, columns, texts, "% of the label's clips")
    axis.set_xlabel("action unit", fontsize=SMALL)
    _title(axis, "action units in the peak frame, kept clips; grey: not measured")
    return figure


def draw_agreement(stats: Statistics) -> Any | None:
    """Draw what the rule table says to each label: counts, coloured by the share of the label."""
    said = [one for one in SAYS if any(row[one] for row in stats.says.values())]
    return _draw_matrix(stats.says, said, "what the rule table says to the label, all clips")


def draw_first_labels(stats: Statistics) -> Any | None:
    """Draw which label the rule table puts first, against the label."""
    return _draw_matrix(
        stats.first_labels,
        _in_row_order(stats.first_labels),
        "label (rows) and first label of the rule table (columns), all clips",
    )


def draw_human_model(stats: Statistics) -> Any | None:
    """Draw the labels of a model against those of people."""
    agreement = stats.human_model
    words = "label by people (rows) and by a model (columns), all clips"
    if agreement.accuracy is not None:
        kappa = "none" if agreement.kappa is None else f"{agreement.kappa:.2f}"
        words += f"\nequal: {100 * agreement.accuracy:.1f} %, kappa {kappa}"
    return _draw_matrix(agreement.counts, _in_row_order(agreement.counts), words)


def _in_row_order(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """List the columns in the order of the rows, so that equal names lie on the diagonal."""
    rows = _rows(counts)
    others = {column for row in counts.values() for column in row} - set(rows)
    return [*rows, *sorted(others, key=lambda name: (name.startswith("("), name))]


def _rows(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    return by_count({row: sum(counts[row].values()) for row in counts})[:MOST_LABELS]


def _draw_matrix(
    counts: Mapping[str, Mapping[str, int]], columns: Sequence[str], words: str
) -> Any | None:
    rows = _rows(counts)
    if not rows:
        return None
    numbers = np.array([[counts[row].get(column, 0) for column in columns] for row in rows])
    totals = numbers.sum(axis=1, keepdims=True)
    shares = np.divide(numbers, totals, out=np.full(numbers.shape, np.nan), where=totals > 0)
    texts = [[f"{number:,}" if number else "" for number in row] for row in numbers]
    figure, axis = _grid(shares, rows, list(columns), texts, "% of the row")
    axis.tick_params(axis="x", labelrotation=40 if max(map(len, columns)) > 4 else 0)
    for name in axis.get_xticklabels():
        name.set_horizontalalignment("right" if max(map(len, columns)) > 4 else "center")
        name.set_rotation_mode("anchor")
    _title(axis, words)
    return figure


def _grid(
    shares: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[Sequence[str]],
    scale: str,
) -> tuple[Any, Any]:
    """Draw shares as shaded cells with a text each; dark cells have white letters."""
    from matplotlib import colormaps

    # the title needs some width, however few columns there are
    figure, axis = _figure(max(2.6 + 0.46 * len(columns), 6.4), 1.6 + 0.34 * max(len(rows), 2))
    colours = colormaps[COLOUR_MAP].with_extremes(bad=EMPTY_COLOUR)
    picture = axis.imshow(100 * shares, cmap=colours, vmin=0, vmax=100, aspect="auto")
    for row, column in np.ndindex(shares.shape):
        dark = not np.isnan(shares[row, column]) and shares[row, column] > 0.55
        axis.text(column, row, texts[row][column], ha="center", va="center", fontsize=SMALL - 1,
                  color="white" if dark else "black")  # fmt: skip
    axis.set_xticks(np.arange(len(columns)), [_plain(name) for name in columns])
    axis.set_yticks(np.arange(len(rows)), [_plain(name) for name in rows])
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(picture, ax=axis, shrink=0.9, pad=0.02)
    bar.set_label(scale, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)
    return figure, axis


def draw_lengths(stats: Statistics) -> Any | None:
    """Draw how many words coarse and fine captions have."""
    kinds = [("coarse", COARSE_COLOUR), ("fine", FINE_COLOUR)]
    drawn = [(kind, colour) for kind, colour in kinds if stats.words.get(kind)]
    if not drawn:
        return None
    figure, axis = _figure(7.5, 3.2)
    longest = max(max(stats.words[kind]) for kind, _ in drawn)
    width = max(1, round(longest / 40))
    edges = np.arange(0, longest + width + 1, width)
    for kind, colour in drawn:
        words = list(stats.words[kind])
        heights, _ = np.histogram(words, edges, weights=list(stats.words[kind].values()))
        spread = stats.lengths[kind]
        assert spread is not None
        name = f"{kind}: median {spread.median:.0f}, p5 {spread.p5:.0f}, p95 {spread.p95:.0f}"
        style = "-" if kind == "coarse" else "--"
        axis.stairs(heights, edges, fill=True, color=colour, alpha=0.25)
        axis.stairs(heights, edges, color=colour, linewidth=1.5, linestyle=style, label=name)
    axis.set_xlabel("words", fontsize=SMALL)
    axis.set_ylabel("kept clips", fontsize=SMALL)
    axis.set_xlim(0, edges[-1])
    # room for the legend above the curves
    axis.set_ylim(0, 1.25 * axis.dataLim.ymax)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.legend(fontsize=SMALL, frameon=False)
    _title(axis, "lengths of captions")
    return figure


PLOTS: Mapping[str, Callable[[Statistics], Any | None]] = {
    "classes": draw_classes,
    "action_units": draw_units,
    "agreement": draw_agreement,
    "first_labels": draw_first_labels,
    "human_model": draw_human_model,
    "lengths": draw_lengths,
}
"""Name of the file -> what draws it; ``None`` where there are no numbers for it."""
