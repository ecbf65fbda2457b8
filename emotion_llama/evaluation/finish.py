"""The folder of a run with its answers -> figures, pictures of the worst answers, a report.

Knows: which file feeds which section, what the screen says of it. Does not know: models, how a
figure is computed or drawn. Nothing is asked again, so a run can be scored as often as wanted.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emotion_llama.clip_reader import ClipReader
from emotion_llama.evaluation import examiner
from emotion_llama.evaluation.blocks import Row, read_rows
from emotion_llama.evaluation.judge import load_judge
from emotion_llama.evaluation.noise import NOISE
from emotion_llama.evaluation.overlap import TextPair, calibrate, clue_overlap, label_overlap
from emotion_llama.evaluation.overlap import summarise as summarise_overlap
from emotion_llama.evaluation.protocol import Protocol, load_protocol
from emotion_llama.evaluation.proxies import clue_agreement, word_overlap
from emotion_llama.evaluation.report import KEY_FRAMES, key_frame_name, write_report
from emotion_llama.evaluation.report.answers import most_confident_wrong
from emotion_llama.evaluation.report.read import METRICS_FILE, read_answers
from emotion_llama.evaluation.run import RUN_FILE, RunSettings, Workers, answer_samples
from emotion_llama.evaluation.samples import EvalSample, Reading
from emotion_llama.evaluation.scoring import (
    Section,
    compare,
    score_labels,
    score_noise,
    score_reasons,
    score_sentiment,
    score_subsets,
    score_variants,
    score_words,
    with_reasons,
)
from emotion_llama.evaluation.wheel import emotion_words, load_lexicon, wheel_class
from emotion_llama.predict import Predictor

SCHEMA_VERSION = "1"
_NOT_ASKED = "not asked for; see --analyses"
CALIBRATED = 20
"""References that a judge is tried on before it judges."""
_PICTURE_PX = 240
"""Longest side of a key frame in the report."""


def evaluate(
    predictor: Predictor,
    samples: Sequence[EvalSample],
    labels: Sequence[str] | None = None,
    *,
    protocol: Protocol | None = None,
    out: Path | None = None,
    **changes: Any,
) -> Section:
    """Ask about samples and score the answers, in this process.

    Args:
        predictor: a loaded preset
        samples: clips with their truth, for instance of `emotion_llama.evaluation.readers`
        labels: what is offered and scored, in this order; default is the labels of the samples
        protocol: rules other than those of own clips
        out: folder that keeps answers, figures and report; ``None``: nothing is kept
        **changes: fields of `RunSettings`; no analysis is made unless ``analyses`` names it

    Returns:
        what stands in ``metrics.json``

    Raises:
        ValueError: samples that cannot be scored, or ``out`` holds another run
    """
    if protocol is None:
        found = {one.truth.label for one in samples} - {None}
        names = tuple(labels or sorted(map(str, found)))
        protocol = load_protocol("manifest").model_copy(update={"labels": names})
    settings = RunSettings(
        preset=predictor.preset,
        prompt_mode=predictor.processor.prompt_mode,
        **{"analyses": (), **changes},
    )
    with TemporaryDirectory() as scratch:
        run = out or Path(scratch)
        answer_samples(Reading(tuple(samples)), protocol, settings, Workers(lambda: predictor), run)
        return finish(run, predictor, samples)


def finish(
    run: Path,
    predictor: Predictor,
    samples: Sequence[EvalSample],
    *,
    compare_with: Path | None = None,
    judge: str | None = None,
) -> Section:
    """Score the answers of a run and write ``metrics.json``, key frames and ``report.html``.

    Args:
        run: folder in which every sample has its row
        predictor: reads the key frames of the worst answers
        samples: of the run, for the places of their files
        compare_with: folder of another run over the same samples
        judge: model that scores descriptions, see `judge.load_judge`

    Raises:
        ValueError: the other run is not of the same samples, or there is no such judge
    """
    metrics = score(run, compare_with=compare_with, judge=judge)
    text = json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False)
    (run / METRICS_FILE).write_text(text + "\n", encoding="utf-8")
    keep_pictures(run, predictor, samples)
    write_report(run)
    return metrics


def score(run: Path, *, compare_with: Path | None = None, judge: str | None = None) -> Section:
    """Give all figures of a run; arguments and errors as of `finish`."""
    content = json.loads((run / RUN_FILE).read_text("utf-8"))
    protocol = Protocol.model_validate(content["protocol"])
    rows = list(read_rows(run / examiner.ANSWERS))
    sections = _by_kind(protocol, rows)
    absent: dict[str, str] = sections.pop("absent")
    more = with_reasons(
        {
            **_other_ways(protocol, rows, run),
            "faithfulness": _faithfulness(run),
            "comparison": _comparison(protocol, rows, compare_with),
            **_descriptions(protocol, rows, judge),
        },
        _ABSENT,
    )
    absent |= more.pop("absent")
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": {**content["protocol"], "asked": list(protocol.asked)},
        "run": _run_section(content),
        "counts": _counts(rows),
        **sections,
        **more,
        "absent": absent,
    }


_ABSENT: Mapping[str, str] = {
    "subsets": f"{_NOT_ASKED}; it needs clips with more than one part shown",
    "noise": _NOT_ASKED,
    "sensitivity": _NOT_ASKED,
    "faithfulness": f"{_NOT_ASKED}; it needs reasons",
    "comparison": "no other run was given; see --compare",
    "judge": "only descriptions are judged, by the model of --judge",
    "proxies": "only descriptions are compared",
}


def _run_section(content: Mapping[str, Any]) -> Section:
    settings = content["settings"]
    return {
        **settings,
        "modalities": settings["parts"],
        "decision": "scored",
        "versions": content["versions"],
        "data": content["data"],
    }


def _counts(rows: Sequence[Row]) -> Section:
    failed = sum(row["error"] is not None for row in rows)
    silent = sum(row.get("parse_status") in ("invalid", "empty") for row in rows)
    return {
        "samples": len(rows),
        "answered": len(rows) - failed,
        "failed": failed,
        "unparsed": silent,
    }


def _by_kind(protocol: Protocol, rows: Sequence[Row]) -> Section:
    if protocol.kind == "labels":
        return score_labels(protocol, rows)
    if protocol.kind == "sentiment":
        return score_sentiment(protocol, rows)
    if protocol.kind == "words":
        return score_words(protocol, rows)
    return {"absent": {}}


def _other_ways(protocol: Protocol, rows: Sequence[Row], run: Path) -> Section:
    subsets = list(read_rows(run / examiner.SUBSETS))
    noise = list(read_rows(run / NOISE))
    questions = {
        "order": list(read_rows(run / examiner.ORDERS)),
        "phrasing": list(read_rows(run / examiner.PHRASINGS)),
    }
    return {
        "subsets": score_subsets(protocol, rows, subsets) if subsets else None,
        "noise": score_noise(protocol, rows, noise) if noise else None,
        "sensitivity": {
            name: score_variants(protocol, rows, found)
            for name, found in questions.items()
            if found
        },
    }


def _faithfulness(run: Path) -> Section | None:
    path = run / examiner.MEASURES
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return score_reasons(lines) if len(lines) > 1 else None


def _comparison(protocol: Protocol, rows: Sequence[Row], other: Path | None) -> Section | None:
    if other is None:
        return None
    path = other / examiner.ANSWERS
    if not path.is_file():
        msg = f"{other} holds no {examiner.ANSWERS}; name the folder of a run of evaluate"
        raise ValueError(msg)
    return compare(protocol, rows, list(read_rows(path)), other.name)


def _descriptions(protocol: Protocol, rows: Sequence[Row], judge: str | None) -> Section:
    """Hold reasons against reference descriptions, with the judge and without one."""
    if protocol.kind != "description":
        return {"judge": None, "proxies": None}
    references = [str(row["truth"]["description"] or "") for row in rows]
    reasons = [str(row.get("reason") or "") for row in rows]
    return {
        "judge": None if judge is None else _judged(judge, rows, references, reasons),
        "proxies": _proxies(rows, references, reasons),
    }


def _judged(
    spec: str, rows: Sequence[Row], references: Sequence[str], reasons: Sequence[str]
) -> Section:
    judge = load_judge(spec)
    pairs = [
        TextPair(row["sample_id"], reference, reason)
        for row, reference, reason in zip(rows, references, reasons, strict=True)
    ]
    section: Section = {"calibration": asdict(calibrate(judge, references[:CALIBRATED]))}
    for ask in (clue_overlap, label_overlap):
        found = summarise_overlap([ask(judge, pair) for pair in pairs])
        section[found.metric] = asdict(found)
    return section


def _proxies(rows: Sequence[Row], references: Sequence[str], reasons: Sequence[str]) -> Section:
    lexicon = load_lexicon()

    def classes(word: str) -> frozenset[str]:
        found = (wheel_class(word, wheel, lexicon) for wheel in lexicon.wheels)
        return frozenset(name for name in found if name)

    truths = [
        tuple(row["truth"]["words"] or emotion_words(reference, lexicon))
        for row, reference in zip(rows, references, strict=True)
    ]
    words = [emotion_words(reason, lexicon) for reason in reasons]
    return {
        "words": asdict(word_overlap(truths, words, classes)),
        "clues": asdict(clue_agreement(references, reasons)),
    }


def keep_pictures(run: Path, predictor: Predictor, samples: Sequence[EvalSample]) -> None:
    """Keep the key frames of the answers that the report shows."""
    paths = {sample.sample_id: sample.path for sample in samples}
    folder = run / KEY_FRAMES
    for row in most_confident_wrong(read_answers(run)):
        path = paths.get(row.sample_id)
        picture = None if path is None else _key_frame(predictor.reader, path)
        if picture is not None:
            folder.mkdir(exist_ok=True)
            image = Image.fromarray(picture)
            image.thumbnail((_PICTURE_PX, _PICTURE_PX))
            image.save(folder / key_frame_name(row.sample_id), quality=85)


def _key_frame(reader: ClipReader, path: Path) -> NDArray[np.uint8] | None:
    return reader.find_face(reader.decode(path)).key_frame


def headline(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Say in a few lines what a run came to."""
    protocol, counts = metrics["protocol"], metrics["counts"]
    yield f"{protocol['title']}: {counts['answered']} of {counts['samples']} samples answered"
    for reason, count in metrics["run"]["data"]["left_out"].items():
        yield f"  left out before: {count} x {reason}"
    labels = metrics.get("labels")
    if labels:
        for name, one in labels["scored"]["figures"].items():
            base = metrics["baselines"]["majority"]["figures"][name]["value"]
            published = protocol["published"].get(name)
            beside = f"   published {published:.3f}" if published is not None else ""
            span = "" if one["low"] is None else f"  [{one['low']:.3f}, {one['high']:.3f}]"
            yield f"  {name:12} {one['value']:.3f}{span}   always one label {base:.3f}{beside}"
        yield f"  written answers without a label: {counts['unparsed']}"
    for name in ("sentiment", "open_words", "proxies", "judge"):
        if metrics.get(name):
            yield f"  {name}: {json.dumps(metrics[name])[:300]}"
