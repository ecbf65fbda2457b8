"""Pairs of texts and a judge -> scores that are asked for once, kept in a file, and filled up.

Knows: which answers are final, the form of the file, what is said of a judge. Does not know: what
a judge is asked (`overlap`), how one is reached (`judge`).
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from emotion_llama.evaluation.blocks import read_rows, to_line
from emotion_llama.evaluation.judge import NOT_FINAL, TRY_AGAIN, Judge
from emotion_llama.evaluation.overlap import (
    CLUE_PROMPT,
    LABEL_PROMPT,
    WORDS_PROMPT,
    ClipOverlap,
    TextPair,
    calibrate,
    clue_overlap,
    label_overlap,
    summarise,
)

JUDGED = "judged.jsonl"

Section = dict[str, Any]
Ask = Callable[[Judge, TextPair], ClipOverlap]


class JudgedFile:
    """Scores of a run; another run of the same command asks only for those that are missing.

    Args:
        path: of the file; it need not be there
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _drop_half_line(path)
        self._found = {row.pop("key"): _overlap(row) for row in read_rows(path)}

    def ask(self, ask: Ask, judge: Judge, pair: TextPair) -> ClipOverlap:
        """Give a score of the file, else ask for it and keep it, unless it may come another time.

        Args:
            ask: `clue_overlap` or `label_overlap`
            judge: who is asked
            pair: the texts
        """
        key = _key(ask, judge, pair)
        if key not in self._found:
            result = ask(judge, pair)
            if result.left_out in NOT_FINAL:
                return result
            self._found[key] = result
            with self._path.open("a", encoding="utf-8") as file:
                file.write(to_line({"key": key, **asdict(result)}))
        return replace(self._found[key], sample_id=pair.sample_id)


def judge_section(
    judge: Judge, pairs: Sequence[TextPair], num_calibrated: int, path: Path
) -> Section:
    """Let a judge score descriptions, after it was tried on what is known.

    Args:
        judge: who scores
        pairs: reference and prediction of each clip
        num_calibrated: references that the judge is tried on
        path: file that keeps the scores
    """
    kept = JudgedFile(path)
    clues = partial(kept.ask, clue_overlap)
    references = [pair.reference for pair in pairs[:num_calibrated]]
    calibration = calibrate(judge, references, measure=clues)
    summaries = []
    for ask in (clue_overlap, label_overlap):
        summaries.append(summarise([kept.ask(ask, judge, pair) for pair in pairs]))
    counted = [calibration.left_out, *(one.left_out for one in summaries)]
    return {
        "judge": {name: getattr(judge, name, None) for name in ("name", "version", "settings")},
        "calibration": asdict(calibration),
        **{one.metric: asdict(one) for one in summaries},
        "missing": sum(reasons.get(fault, 0) for reasons in counted for fault in NOT_FINAL),
        "outages": dict(getattr(judge, "outages", {})),
    }


def missing_line(section: Mapping[str, Any]) -> str:
    """Say that scores are missing and how they come; empty where none are."""
    if not section["missing"]:
        return ""
    faults = ", ".join(f"{count} x {fault}" for fault, count in sorted(section["outages"].items()))
    return (
        f"{section['missing']} scores of the judge are missing ({faults or 'it did not answer'}); "
        "the same command asks for these alone"
    )


def _key(ask: Ask, judge: Judge, pair: TextPair) -> str:
    """Name a question: who is asked what, in which words, about which texts."""
    parts = (
        ask.__name__,
        judge.name,
        getattr(judge, "version", "unstated"),
        *(CLUE_PROMPT, WORDS_PROMPT, LABEL_PROMPT, TRY_AGAIN),
        pair.reference,
        pair.prediction,
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _overlap(row: Mapping[str, Any]) -> ClipOverlap:
    words = tuple(tuple(one) for one in row["words"])
    return ClipOverlap(**{**row, "replies": tuple(row["replies"]), "words": words})


def _drop_half_line(path: Path) -> None:
    """Cut off what a kill left half written."""
    if path.is_file():
        whole = path.read_bytes()
        if not whole.endswith(b"\n"):
            path.write_bytes(whole[: whole.rfind(b"\n") + 1])
