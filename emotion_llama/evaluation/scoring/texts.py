"""Reasons, words and numbers of a run -> their figures.

Knows: which texts are held against what. Does not know: how texts are read or judged.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from emotion_llama.evaluation.blocks import Row
from emotion_llama.evaluation.metrics import bootstrap
from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.scoring.table import Section
from emotion_llama.evaluation.sentiment import sentiment_figures, value_of
from emotion_llama.evaluation.wheel import (
    CONSTANT_WORDS,
    Lexicon,
    constant_hit_figures,
    constant_wheel_figures,
    emotion_words,
    hit_figures,
    lexicon_set_figures,
    load_lexicon,
    wheel_figures,
    wheel_intervals,
)
from emotion_llama.merr.faithfulness import CorpusFaithfulness, Share, corpus_faithfulness
from emotion_llama.merr.record_file import from_line
from emotion_llama.merr.records import MerrRecord

NUM_DRAWS = 500
"""Resamples behind the interval of sentiment, whose every draw goes through all its figures."""


def score_reasons(lines: Sequence[str]) -> Section:
    """Say how much of what reasons state was measured of their own clips, and of others.

    Args:
        lines: records of `measured.reason_record`, as JSON
    """
    records = [from_line(line) for line in lines]
    random.Random(0).shuffle(records)  # the next clip must not be of the same person or label
    return faithfulness_section(corpus_faithfulness(records), records)


def faithfulness_section(report: CorpusFaithfulness, records: Sequence[MerrRecord]) -> Section:
    """Give a faithfulness report in plain values."""
    return {
        "n": len(records),
        "stated": report.num_stated,
        "own": _share(report.own),
        "other": _share(report.other),
        "drop_points": _share(report.drop_points),
        "telling": 1 - len(report.not_telling) / len(records) if records else None,
        "kinds": {kind: vars(count) for kind, count in report.kinds.items() if count.stated},
        "untrue": [f"{clue.words} ({answer})" for _, clue, answer in report.untrue[:5]],
    }


def _share(share: Share | None) -> Section | None:
    if share is None:
        return None
    return {"value": share.value, "low": share.low, "high": share.high}


def score_sentiment(protocol: Protocol, rows: Sequence[Row]) -> Section:
    """Score expected valence against true sentiment."""
    assert protocol.value_range is not None
    known = [row for row in rows if row["truth"]["value"] is not None]
    values = [value_of(row.get("probabilities", {}), protocol.value_range) for row in known]
    truths = [float(row["truth"]["value"]) for row in known]
    found = sentiment_figures(values, truths, protocol.value_range)
    middle = sentiment_figures([0.0] * len(known), truths, protocol.value_range)
    return {
        "sentiment": {**_leading(values, truths, protocol.value_range), **found.to_dict()},
        "baselines": {"always 0": middle.to_dict()},
        "absent": {},
    }


def _leading(
    values: Sequence[float | None], truths: Sequence[float], value_range: tuple[float, float]
) -> Section:
    """Give weighted F1 of negative against positive, without true zeros, with its interval."""
    pairs = [(value, truth) for value, truth in zip(values, truths, strict=True) if truth != 0]

    def weighted_f1(rows: Sequence[int] | NDArray[np.int64]) -> float:
        drawn = [pairs[row] for row in rows]
        two = sentiment_figures([v for v, _ in drawn], [t for _, t in drawn], value_range)
        return 0.0 if two.without_zeros is None else two.without_zeros.weighted_f1

    interval = None
    if len(pairs) > 1:
        interval = bootstrap(
            lambda rows: (weighted_f1(rows),), len(pairs), num_resamples=NUM_DRAWS
        )[0]
    return {
        "weighted_f1": {
            "value": weighted_f1(range(len(pairs))) if pairs else None,
            "low": interval and interval.low,
            "high": interval and interval.high,
            "num_clips": len(pairs),
        }
    }


def score_words(protocol: Protocol, rows: Sequence[Row]) -> Section:
    """Score the emotion words of answer and reason against an open vocabulary."""
    lexicon = load_lexicon()
    known = [row for row in rows if row["truth"]["words"]]
    truths = [tuple(row["truth"]["words"]) for row in known]
    answers = [None if row["error"] else _words(row, lexicon) for row in known]
    found = wheel_figures(truths, answers, lexicon)
    drawn = wheel_intervals(truths, answers, lexicon) if len(known) > 1 else {}
    return {
        "open_words": {
            **found.to_dict(),
            "intervals": {name: asdict(one) for name, one in drawn.items()},
            "sets": lexicon_set_figures(truths, answers, lexicon).to_dict(),
            "lexicon": lexicon.name,
        },
        "baselines": {
            f"always {', '.join(CONSTANT_WORDS)}": constant_wheel_figures(truths, lexicon).to_dict()
        },
        "absent": {},
    }


def score_hits(protocol: Protocol, rows: Sequence[Row]) -> Section | None:
    """Say how often the true label is among the words of a free answer (AffectGPT, ICML 2025).

    The published measure has models describe a clip without a list of labels. The reason is such
    an answer; with the label, which was chosen from a list, it stands beside it. Without a look at
    the clip all labels hit always, so that answer stands there too.

    Args:
        protocol: one of MER-UniBench's basic sets, else there is nothing to score
        rows: of the samples that a reason was asked for; one without an answer is no hit

    Returns:
        ``None`` where the protocol is no such set, or no reason was written
    """
    if protocol.hit_rate_set is None or not any(row.get("reason") for row in rows):
        return None
    lexicon = load_lexicon()
    truths = [str(row["target"]) for row in rows]
    reasons = [emotion_words(row["reason"], lexicon) if row.get("reason") else None for row in rows]
    with_label = [None if row["error"] else _words(row, lexicon) for row in rows]
    return {
        "set": protocol.hit_rate_set,
        "lexicon": lexicon.name,
        "reason": hit_figures(truths, reasons, protocol.labels, lexicon).to_dict(),
        "label_and_reason": hit_figures(truths, with_label, protocol.labels, lexicon).to_dict(),
        "always_all_labels": constant_hit_figures(truths, protocol.labels, lexicon).to_dict(),
    }


def _words(row: Row, lexicon: Lexicon) -> tuple[str, ...]:
    return tuple(dict.fromkeys((row["label"], *emotion_words(row.get("reason") or "", lexicon))))
