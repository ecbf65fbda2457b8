"""The main answers of a run -> the sections that need nothing else.

Knows: which sections there are, and why one is absent. Does not know: how a figure is computed.
A sample without an answer counts as wrong wherever labels are scored, and is left out, and counted,
where a figure needs probabilities.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from emotion_llama.evaluation.blocks import Row
from emotion_llama.evaluation.groups import GroupFigures, group_figures
from emotion_llama.evaluation.metrics import answered_share, label_figures
from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.published import FALLBACK, published_figures, published_label
from emotion_llama.evaluation.scoring.table import FIGURES, Section, Table, figure, plain
from emotion_llama.evaluation.sentiment import combined_figures, value_of
from emotion_llama.evaluation.trust import risk_coverage, soft_label_figures, trust_figures

ANSWERED_AT = 0.8
"""Precision at which the answered share is told."""
VALENCE_RANGE = (-5.0, 5.0)
"""Valence of MER2023 (`docs/evaluation.md`)."""


def score_labels(protocol: Protocol, rows: Sequence[Row]) -> Section:
    """Score one label a sample: every section that needs the answers alone.

    Args:
        protocol: labels and rules
        rows: of the run's answers

    Returns:
        sections by name, and under ``absent`` the reason of each that is not there
    """
    table = Table(protocol, rows)
    sections: Section = {
        "labels": label_section(table),
        "baselines": baselines(table),
        "folds": folds(table),
        "groups": group_sections(table),
        **trust_sections(table.answered),
        **valence_section(table),
    }
    found = with_reasons(sections, _ABSENT)
    if "published" not in sections["labels"]:
        found["absent"]["labels.published"] = (
            f"the published rule needs {FALLBACK} among the scored labels, and no mapping"
        )
    return found


_ABSENT: Mapping[str, str] = {
    "folds": "the data set has no folds, or only one was read",
    "groups": "nothing is known of who is seen or heard",
    "calibration": "no answer, or an offered label counts as none of those that are scored",
    "risk_coverage": "no answer, or an offered label counts as none of those that are scored",
    "soft_labels": "the data set tells no votes of its annotators",
    "valence": "the data set tells no valence, or a label has no stated sign",
}


def with_reasons(sections: Mapping[str, Any], why: Mapping[str, str]) -> Section:
    """Part what is there from what is not, and say why it is not."""
    there = {name: value for name, value in sections.items() if value}
    absent = {name: why.get(name, "not asked for") for name in sections if name not in there}
    return {**there, "absent": absent}


def label_section(table: Table) -> Section:
    """Score the label in three readings: scored, written freely, written as published."""
    section = {
        "scored": figure(table, table.answers()),
        "written": figure(table, table.answers("written_label")),
    }
    texts = table.answers("answer")
    if FALLBACK in table.labels and table.protocol.offered is None:
        read = [None if text is None else published_label(text, table.labels) for text in texts]
        rule = published_figures(table.truths, texts, table.labels)
        section["published"] = {
            **figure(table, read),
            "became_neutral": rule.num_became_neutral,
            "rewarded": rule.num_rewarded,
        }
    return section


def baselines(table: Table) -> Section:
    """Give what is had without looking: the most frequent label, and every constant answer."""
    counts = Counter(table.truths)
    most = max(table.labels, key=lambda label: counts[label])
    constant = {
        label: plain(label_figures(table.truths, [label] * len(table.rows), table.labels))
        for label in table.labels
    }
    drawn = random.Random(0).choices(table.labels, k=len(table.rows))
    return {
        "majority": {"label": most, **figure(table, [most] * len(table.rows))},
        "constant": constant,
        "chance": plain(label_figures(table.truths, drawn, table.labels)),
    }


def folds(table: Table) -> Section | None:
    """Give the figures of each fold, their mean and deviation; ``None`` with fewer than two."""
    names = sorted({row["fold"] for row in table.rows if row.get("fold")})
    if len(names) < 2:
        return None
    of_fold = {}
    for name in names:
        one = Table(table.protocol, [row for row in table.rows if row["fold"] == name])
        of_fold[name] = label_figures(one.truths, one.answers(), one.labels)
    values = {key: np.array([getattr(one, key) for one in of_fold.values()]) for key in FIGURES}
    return {
        **{
            name: {"num_clips": one.num_clips, "figures": plain(one)}
            for name, one in of_fold.items()
        },
        "mean": {key: float(value.mean()) for key, value in values.items()},
        "sd": {key: float(value.std(ddof=1)) for key, value in values.items()},
    }


def trust_sections(table: Table) -> Section:
    """Give calibration, risk by coverage, and votes, of the rows that have an answer."""
    none: Section = {"calibration": None, "risk_coverage": None, "soft_labels": None}
    rows = table.probabilities if table.rows else None
    if rows is None:
        return none
    found = trust_figures(rows, table.truths, table.labels).to_dict()
    found["bins"] = [{"count": one.pop("num_clips"), **one} for one in found["bins"]]
    right = [a == t for a, t in zip(table.answers(), table.truths, strict=True)]
    curve = risk_coverage(rows.max(1), right)
    votes = [row["truth"]["votes"] for row in table.rows]
    return {
        "calibration": found,
        "risk_coverage": {
            **asdict(curve),
            "answered_at_80": answered_share(rows, table.truths, table.labels, ANSWERED_AT),
        },
        "soft_labels": (
            None if None in votes else asdict(soft_label_figures(rows, votes, table.labels))
        ),
    }


def group_sections(table: Table) -> Section | None:
    """Give the figures of each kind of group that is known."""
    kinds = sorted({kind for row in table.rows for kind in row["groups"]})
    sections = {}
    for kind in kinds:
        names = [row["groups"].get(kind) for row in table.rows]
        if len(set(names) - {None}) > 1:
            units = None if kind == table.protocol.group_by else table.units
            found = group_figures(table.truths, table.answers(), table.labels, names, units=units)
            sections[kind] = _group_section(found)
    return sections or None


def _group_section(found: GroupFigures) -> Section:
    gap = found.gap
    return {
        "rows": [
            {
                "group": name,
                "n": row.num_clips,
                "uar": row.uar,
                "low": row.uar_interval and row.uar_interval.low,
                "high": row.uar_interval and row.uar_interval.high,
                "accuracy": row.accuracy,
                "recall": dict(row.recall),
                "ece": row.ece,
            }
            for name, row in found.groups.items()
        ],
        "suppressed": [{"group": name, "n": n} for name, n in found.suppressed.items()],
        "unknown": found.num_unknown,
        "gap": None if gap is None else asdict(gap),
        "worst": None if gap is None else gap.worst,
        "equalised_odds_gap": dict(found.equalised_odds_gap),
    }


def valence_section(table: Table) -> Section:
    """Give MER2023's combined figure where valence is known."""
    truths = [row["truth"]["value"] for row in table.rows]
    if all(value is None for value in truths):
        return {"valence": None}
    values = [value_of(row.get("probabilities", {}), VALENCE_RANGE) for row in table.rows]
    figures = label_figures(table.truths, table.answers(), table.labels)
    return {"valence": combined_figures(figures.weighted_f1, values, truths).to_dict()}
