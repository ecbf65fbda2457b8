"""Figures of a run -> the sections of its report, each a piece of HTML.

Knows: which figure is explained how, in which order. Does not know: files, single answers, the page
around. A section whose figures a run does not have gives ``None``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from emotion_llama.evaluation.metrics import LEVEL
from emotion_llama.evaluation.protocol import Kind
from emotion_llama.evaluation.report import plots
from emotion_llama.evaluation.report.read import (
    FaithfulnessRow,
    FigureRow,
    FigureSetRow,
    GroupsRow,
    MetricsRow,
    NoiseRow,
    NoisesRow,
)
from emotion_llama.markup import (
    NONE,
    Html,
    escaped,
    fields,
    flat,
    joined,
    note,
    number,
    records,
    strip,
    table,
    tag,
    title_of,
    value_of,
    with_range,
)

_SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Section:
    """One heading of the page."""

    name: str
    """of its figures in ``metrics.json``"""
    title: str
    draw: Callable[[MetricsRow], Html | None]
    anchor: str | None = None
    """where two sections draw the same figures; ``None``: ``name``"""


def interval_words(figures: Sequence[FigureRow]) -> str:
    """Say what the intervals of these figures are."""
    over = sorted({one.over for one in figures if one.low is not None})
    if not over:
        return "No intervals were drawn."
    units = " and ".join("clips" if one == "clips" else f"{one}s" for one in over)
    return f"Ranges are {100 * LEVEL:.0f} % bootstrap intervals, drawn over {units}."


def _plot(name: str, words: str, n: int | None, draw: Callable[[], Any]) -> Html:
    """Give a plot on its card, with what it shows; without matplotlib, say so."""
    clips = "" if n is None else f" n{_SPACE}={_SPACE}{n:,}{_SPACE}clips."
    caption = tag("figcaption", words, clips)
    if plots.has_matplotlib():
        return tag("figure", Html(plots.svg(draw(), name, words)), caption)
    missing = note(
        "Not drawn: found no matplotlib. Install it with pip install 'emotion-llama[plot]' and "
        "write the report again."
    )
    return tag("figure", missing, caption)


def _labels(metrics: MetricsRow) -> Html | None:
    if metrics.labels is None:
        return None
    sets = [*_counted(metrics), *_without_model(metrics)]
    shown = [one for _, one in sets if one is not None]
    names = list(dict.fromkeys(name for one in shown for name in one.figures))
    rows = [_set_row(metrics, title, one, names) for title, one in sets]
    if metrics.protocol.published:
        published = [number(metrics.protocol.published.get(name)) for name in names]
        rows.append([tag("span", "published", _class="quiet"), "not given", *published])
    figures = [figure for one in shown for figure in one.figures.values()]
    return joined(
        [
            note(
                "Scored: the most probable label. Written: the label read from the text; an answer "
                "without one is wrong. A clip without an answer is wrong in both. Published way: "
                "an answer without a label counts as neutral, which makes figures comparable with "
                "the paper and no others. "
                "The other rows need no model. ",
                interval_words(figures),
                f" Published figures: {metrics.protocol.published_by or 'no source given'}."
                if metrics.protocol.published
                else "",
            ),
            table(["answers", "clips", *map(title_of, names)], rows),
        ]
    )


def _counted(metrics: MetricsRow) -> list[tuple[str, FigureSetRow | None]]:
    labels = metrics.labels
    assert labels is not None
    published = "published way"
    if labels.published and labels.published.became_neutral is not None:
        published += f" ({labels.published.became_neutral:,} became neutral)"
    return [("scored", labels.scored), ("written", labels.written), (published, labels.published)]


def _without_model(metrics: MetricsRow) -> list[tuple[str, FigureSetRow | None]]:
    baselines = metrics.baselines
    if baselines is None:
        return [("baselines", None)]
    return [
        (majority_title(metrics), baselines.majority),
        *((f"always {label}", one) for label, one in baselines.constant.items()),
        ("chance", baselines.chance),
    ]


def majority_title(metrics: MetricsRow) -> str:
    """Name the baseline of the most frequent label."""
    majority = metrics.baselines.majority if metrics.baselines else None
    label = majority.label if majority else None
    return "most frequent label" + (f" ({label})" if label else "")


def _set_row(
    metrics: MetricsRow,
    title: str,
    one: FigureSetRow | None,
    names: Sequence[str],
    unknown_clips: str = "same",
) -> list[object]:
    if one is None:
        name = title.split()[0]  # "published way" is labels.published
        reason = metrics.absent.get(f"labels.{name}", metrics.absent.get(name))
        return [title, reason or "not in this run, which gives no reason"]
    clips = unknown_clips if one.num_clips is None else number(one.num_clips)
    cells = [
        with_range(found.value, found.low, found.high) if (found := one.figures.get(name)) else NONE
        for name in names
    ]
    return [title, clips, *cells]


def _confusion(metrics: MetricsRow) -> Html | None:
    scored = metrics.labels.scored if metrics.labels else None
    if scored is None or scored.confusion is None:
        return None
    matrix = scored.confusion
    words = "Scored answers: share of each truth's clips, below it their number."
    return _plot("confusion", words, scored.num_clips, lambda: plots.draw_confusion(matrix))


def _per_label(metrics: MetricsRow) -> Html | None:
    scored = metrics.labels.scored if metrics.labels else None
    if scored is None or not scored.per_label:
        return None
    rows = [
        [label, number(one.support), number(one.recall), number(one.precision), number(one.f1)]
        for label, one in scored.per_label.items()
    ]
    words = "Recall, precision and F1 of each label, with its clips in brackets."
    return _beside(
        _plot("labels", words, scored.num_clips, lambda: plots.draw_labels(dict(scored.per_label))),
        table(("label", "clips", "recall", "precision", "F1"), rows),
    )


def _beside(*parts: Html) -> Html:
    return tag("div", *parts, _class="beside")


def _folds(metrics: MetricsRow) -> Html | None:
    if metrics.folds is None:
        return None
    folds = metrics.folds
    names = list(dict.fromkeys(name for one in folds.values() for name in one.figures))
    last = [name for name in ("mean", "sd") if name in folds]
    order = [*(name for name in folds if name not in last), *last]
    titles = {"mean": "mean", "sd": "standard deviation"}
    rows = [
        _set_row(metrics, titles.get(name, f"fold {name}"), folds[name], names, "not given")
        for name in order
    ]
    return table(["fold", "clips", *map(title_of, names)], rows)


def _calibration(metrics: MetricsRow) -> Html | None:
    if metrics.calibration is None:
        return None
    found = metrics.calibration
    values = found.model_dump(exclude={"bins", "num_clips"})
    rows = [(title_of(name), number(value)) for name, value in values.items()]
    words = "Points on the dashed line: confidences can be taken at their word."
    parts = [table(("figure", f"n = {found.num_clips:,}"), rows)]
    if any(one.count for one in found.bins):
        plot = _plot("reliability", words, found.num_clips, lambda: plots.draw_reliability(found))
        parts.insert(0, plot)
    else:
        parts.append(note("No bin holds a clip, so there is nothing to draw."))
    return joined([note("A value of none was not computed: too few clips."), _beside(*parts)])


def _risk_coverage(metrics: MetricsRow) -> Html | None:
    curve = metrics.risk_coverage
    if curve is None:
        return None
    n = metrics.calibration.num_clips if metrics.calibration else None
    words = "Wrong answers when only the most confident ones are given."
    if curve.answered_at_80 is not None:
        words += f" At 80 % right, {100 * curve.answered_at_80:.0f} % of the clips are answered."
    rows = [
        (title_of("aurc"), number(curve.aurc)),
        (title_of("best_aurc"), number(curve.best_aurc)),
        ("share answered at 80 % right", number(curve.answered_at_80)),
    ]
    return _beside(
        _plot("risk", words, n, lambda: plots.draw_risk(curve)), table(("figure", "value"), rows)
    )


def _subsets(metrics: MetricsRow) -> Html | None:
    found = metrics.subsets
    if found is None:
        return None
    rows = [
        [
            " + ".join(row.modalities) or "nothing",
            number(row.num_clips),
            with_range(row.value, row.low, row.high),
            strip(row.value, row.low, row.high),
        ]
        for row in found.rows
    ]
    parts = [table(("modalities", "clips", title_of(found.figure), "0 to 1"), rows)]
    if found.shapley or found.drop:
        words = "What each modality adds, over all orders in which they can be added."
        n = max((row.num_clips for row in found.rows), default=None)
        parts.append(_plot("shapley", words, n, lambda: plots.draw_shares(found)))
    return _beside(*parts)


def _noise(metrics: MetricsRow) -> Html | None:
    found = metrics.noise
    if found is None:
        return None
    rows = [
        [
            plots.noise_name(row),
            number(row.num_clips),
            number(row.clean),
            with_range(row.value, row.low, row.high),
            number(row.drop, signed=True),
            number(row.same_answer),
        ]
        for row in found.rows
    ]
    head = ("disturbance", "clips", "clean", title_of(found.figure), "lost", "same answer")
    parts = [table(head, rows), tag("div", *_noise_plots(found), _class="plots")]
    if found.left_out:
        left_out = [(why, number(count)) for why, count in found.left_out.items()]
        parts += [tag("h3", "not disturbed"), table(("reason", "clips"), left_out)]
    return joined(parts)


def _noise_plots(found: NoisesRow) -> list[Html]:
    """Draw a plot for each kind, all of one scale."""
    ends = [one for row in found.rows for one in (row.clean, row.value, row.high) if one]
    top = 1.05 * max(ends, default=1.0)
    kinds: dict[str, list[NoiseRow]] = {}
    for row in found.rows:
        kinds.setdefault(row.kind, []).append(row)
    return [
        _plot(
            f"noise{place}",
            f"Disturbed {kind}. Black line: the clean figure of the same clips.",
            max(row.num_clips for row in rows),
            partial(plots.draw_noise, rows, found.figure, top),
        )
        for place, (kind, rows) in enumerate(kinds.items())
    ]


def _groups(metrics: MetricsRow) -> Html | None:
    if metrics.groups is None:
        return None
    parts: list[Html] = [
        note(
            "Mean recall of each group. A group with few clips has no figure, because chance would "
            "make most of it."
        )
    ]
    for name, found in metrics.groups.items():
        parts += [tag("h3", title_of(name)), _beside(_group_table(found), _group_gap(found))]
    return joined(parts)


def _group_table(found: GroupsRow) -> Html:
    rows: list[list[object]] = [
        [
            row.group,
            number(row.n),
            with_range(row.uar, row.low, row.high),
            strip(row.uar, row.low, row.high),
        ]
        for row in found.rows
    ]
    rows += [[row.group, number(row.n), "too few clips for a figure"] for row in found.suppressed]
    return table(("group", "clips", title_of("uar"), "0 to 1"), rows)


def _group_gap(found: GroupsRow) -> Html:
    values: dict[str, Any] = {"clips in these groups": sum(row.n for row in found.rows)}
    if found.unknown is not None:
        values["clips of no known group"] = found.unknown
    values |= found.gap if _has_fields(found.gap) else {"worst": found.worst, "gap": found.gap}
    if found.equalised_odds_gap:
        values["largest difference of recall"] = found.equalised_odds_gap
    return fields(values)


def _has_fields(gap: Any) -> bool:
    return isinstance(gap, Mapping) and "gap" in gap


def _sensitivity(metrics: MetricsRow) -> Html | None:
    if metrics.sensitivity is None:
        return None
    explained = {
        "order": "The same labels, offered in another order. Ranges: smallest to largest.",
        "phrasing": "The same question in other words. Ranges: smallest to largest.",
    }
    parts: list[Html] = []
    for name, values in metrics.sensitivity.items():
        parts += [tag("h3", title_of(name)), note(explained.get(name, "")), fields(values)]
    return joined(parts)


def _faithfulness(metrics: MetricsRow) -> Html | None:
    found = metrics.faithfulness
    if found is None:
        return None
    rows: list[tuple[str, Html]] = [
        ("agrees with the own clip", _figure_of(found.own)),
        ("agrees with another clip", _figure_of(found.other)),
    ]
    rest = {
        "difference in points": found.drop_points,
        "telling": found.telling,
        "clues stated": found.stated,
    }
    rows += [(title, value_of(value)) for title, value in flat(rest)]
    words = "Share of the clues in reasons that agree with what was measured."
    return joined(
        [
            note(
                "A reason that would suit any clip agrees with another clip as often as with its "
                "own. Telling: states a true clue that is false of most other clips."
            ),
            _beside(
                _plot("faithfulness", words, found.n, lambda: plots.draw_faithfulness(found)),
                table(("clues", f"n = {found.n:,}"), rows),
            ),
            *_clues(found),
        ]
    )


def _clues(found: FaithfulnessRow) -> list[Html]:
    """List the clues by kind, and some that do not agree."""
    parts = []
    if found.kinds:
        kinds = [{"kind": kind, **counts} for kind, counts in found.kinds.items()]
        parts += [tag("h3", "clues by kind"), records(kinds)]
    if found.untrue:
        parts += [tag("h3", "some that do not agree"), note("; ".join(found.untrue))]
    return parts


def _figure_of(figure: FigureRow | None) -> Html:
    return escaped(NONE) if figure is None else with_range(figure.value, figure.low, figure.high)


def _named(name: str, words: str) -> Callable[[MetricsRow], Html | None]:
    """Give a section that lists the names and values as they stand."""

    def draw(metrics: MetricsRow) -> Html | None:
        values = getattr(metrics, name)
        if values is None:
            return None
        return joined([note(words), fields(values), *_other_baselines(metrics, name)])

    return draw


def _other_baselines(metrics: MetricsRow, name: str) -> list[Html]:
    """Give the baselines of a protocol without labels, in the section that leads."""
    baselines = metrics.baselines.model_extra if metrics.baselines else None
    if not baselines or LEADING.get(metrics.protocol.kind) != name:
        return []
    return [
        part for title, values in baselines.items() for part in (tag("h3", title), fields(values))
    ]


def _comparison(metrics: MetricsRow) -> Html | None:
    found = metrics.comparison
    if found is None:
        return None
    rows = [
        [
            title_of(name),
            with_range(one.get("difference"), one.get("low"), one.get("high"), signed=True),
            number(one.get("p")),
        ]
        for name, one in found.figures.items()
    ]
    n = f" n = {sum(found.table.values()):,} clips." if found.table else ""
    parts = [
        note(f"This run minus {found.other}, on the same clips.{n}"),
        table(("figure", "difference", "p"), rows),
    ]
    if found.mcnemar_p is not None:
        parts.append(table(("test", "p"), [("McNemar, accuracies", number(found.mcnemar_p))]))
    if found.table:
        counts = [(title_of(name), number(count)) for name, count in found.table.items()]
        parts.append(table(("answered right by", "clips"), counts))
    return joined([parts[0], _beside(*parts[1:])])


def draw_manifest(metrics: MetricsRow) -> Html:
    """List all that is known about the run and the protocol."""
    return joined(
        [
            tag("h3", "run"),
            fields(metrics.run.model_dump()),
            tag("h3", "protocol"),
            fields(metrics.protocol.model_dump()),
            tag("h3", "counts"),
            fields(metrics.counts.model_dump()),
        ]
    )


def draw_absent(metrics: MetricsRow, name: str) -> Html:
    """Say why a run does not have a section."""
    reason = metrics.absent.get(name)
    if reason is None:
        kind = metrics.protocol.kind
        fitting = KINDS.get(name, kind)
        reason = f"the run has no figures for {name} and gives no reason"
        if kind != fitting:
            reason = f"only for protocols of the kind {fitting}; this one is of the kind {kind}"
    ending = "" if reason.endswith(".") else "."
    return tag("p", reason[:1].upper() + reason[1:] + ending, _class="why")


SECTIONS: tuple[Section, ...] = (
    Section("labels", "Label figures", _labels),
    Section("labels", "Confusion matrix", _confusion, "confusion"),
    Section("labels", "Each label", _per_label, "each-label"),
    Section("folds", "Folds", _folds),
    Section("calibration", "Calibration", _calibration),
    Section("risk_coverage", "Risk and coverage", _risk_coverage),
    Section("subsets", "Modalities", _subsets),
    Section("noise", "Disturbances", _noise),
    Section("groups", "Groups of people", _groups),
    Section("sensitivity", "Sensitivity to the prompt", _sensitivity),
    Section("faithfulness", "Faithfulness of reasons", _faithfulness),
    Section(
        "soft_labels",
        "Soft labels",
        _named("soft_labels", "Probabilities against the votes of several annotators."),
    ),
    Section("valence", "Valence", _named("valence", "Labels and expected valence, put together.")),
    Section("sentiment", "Sentiment", _named("sentiment", "Answers against a value.")),
    Section(
        "open_words", "Open vocabulary", _named("open_words", "Words against words of people.")
    ),
    Section(
        "hits",
        "Hit rate",
        _named(
            "hits",
            "Is the true label among the words of the answer, on emotion wheels? Truths on no "
            "wheel, such as neutral, are skipped. Never read a hit rate without mscore, which many "
            "words cost; figures of another lexicon are not comparable.",
        ),
    ),
    Section("judge", "Judged reasons", _named("judge", "Reasons as a judge model scores them.")),
    Section(
        "proxies",
        "Proxies without a judge",
        _named("proxies", "Overlap of texts, which stands in for a judge and is no judge."),
    ),
    Section("comparison", "Against another run", _comparison),
)
"""In the order of the page."""

_LABELS_ONLY = (
    "labels",
    "folds",
    "calibration",
    "risk_coverage",
    "soft_labels",
    "groups",
    "valence",
    "hits",
)

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(_LABELS_ONLY, "labels"),
    "sentiment": "sentiment",
    "open_words": "words",
    "judge": "description",
    "proxies": "description",
}
"""Section -> the kind of protocol that it is for; the others are for several."""

LEADING: Mapping[str, str] = {
    "sentiment": "sentiment",
    "words": "open_words",
    "description": "judge",
}
"""Kind of protocol -> the section that comes first; for labels, the order stands."""
