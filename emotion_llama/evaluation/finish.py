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
from emotion_llama.evaluation.judged import JUDGED, judge_section, missing_line
from emotion_llama.evaluation.noise import NOISE, NOISE_BATCHES
from emotion_llama.evaluation.overlap import TextPair
from emotion_llama.evaluation.protocol import Protocol, load_protocol
from emotion_llama.evaluation.proxies import clue_agreement, word_overlap
from emotion_llama.evaluation.report import KEY_FRAMES, key_frame_name, write_report
from emotion_llama.evaluation.report.answers import most_confident_wrong
from emotion_llama.evaluation.report.read import METRICS_FILE, read_answers
from emotion_llama.evaluation.run import RUN_FILE, RunSettings, Workers, answer_samples, chosen
from emotion_llama.evaluation.sample_clip import decode_sample
from emotion_llama.evaluation.samples import EvalSample, Reading
from emotion_llama.evaluation.scoring import (
    Section,
    compare,
    score_hits,
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
            "hits": _hits(protocol, rows, content["settings"]),
            "faithfulness": _faithfulness(run),
            "comparison": _comparison(protocol, rows, compare_with),
            **_descriptions(run, protocol, rows, judge),
        },
        _ABSENT,
    )
    absent |= more.pop("absent")
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": {**content["protocol"], "asked": list(protocol.asked)},
        "run": {**_run_section(content), **_batches(run)},
        "counts": _counts(rows),
        **sections,
        **more,
        "absent": absent,
    }


_ABSENT: Mapping[str, str] = {
    "subsets": f"{_NOT_ASKED}; it needs clips with more than one part shown",
    "noise": _NOT_ASKED,
    "hits": "for MER-UniBench's basic sets, where reasons are written",
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


def _batches(run: Path) -> Section:
    """Say in which batches samples were answered, where that was found out or had to change."""
    rows = [*read_rows(run / examiner.BATCHES), *read_rows(run / NOISE_BATCHES)]
    if not rows:
        return {}
    sizes = sorted({row["batch_size"] for row in rows})
    return {"batches": {"sizes": sizes, "out_of_memory": sum(r["out_of_memory"] for r in rows)}}


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


def _hits(protocol: Protocol, rows: Sequence[Row], settings: Mapping[str, Any]) -> Section | None:
    """Score the reasons as free answers, over the samples that one was asked for."""
    if "reasons" not in settings["analyses"]:
        return None
    return score_hits(protocol, chosen(rows, settings["analysed"], settings["seed"]))


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


def _descriptions(run: Path, protocol: Protocol, rows: Sequence[Row], judge: str | None) -> Section:
    """Hold reasons against reference descriptions, with the judge and without one."""
    if protocol.kind != "description":
        return {"judge": None, "proxies": None}
    references = [str(row["truth"]["description"] or "") for row in rows]
    reasons = [str(row.get("reason") or "") for row in rows]
    return {
        "judge": None if judge is None else _judged(run, judge, rows, references, reasons),
        "proxies": _proxies(rows, references, reasons),
    }


def _judged(
    run: Path,
    spec: str,
    rows: Sequence[Row],
    references: Sequence[str],
    reasons: Sequence[str],
) -> Section:
    pairs = [
        TextPair(row["sample_id"], reference, reason)
        for row, reference, reason in zip(rows, references, reasons, strict=True)
    ]
    return judge_section(load_judge(spec), pairs, CALIBRATED, run / JUDGED)


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
    by_id = {sample.sample_id: sample for sample in samples}
    folder = run / KEY_FRAMES
    for row in most_confident_wrong(read_answers(run)):
        sample = by_id.get(row.sample_id)
        picture = None if sample is None else _key_frame(predictor.reader, sample)
        if picture is not None:
            folder.mkdir(exist_ok=True)
            image = Image.fromarray(picture)
            image.thumbnail((_PICTURE_PX, _PICTURE_PX))
            image.save(folder / key_frame_name(row.sample_id), quality=85)


def _key_frame(reader: ClipReader, sample: EvalSample) -> NDArray[np.uint8] | None:
    if sample.path is None:
        return None
    return reader.find_face(decode_sample(reader, sample)).key_frame


def headline(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Say in a few lines what a run came to."""
    protocol, counts = metrics["protocol"], metrics["counts"]
    yield f"{protocol['title']}: {counts['answered']} of {counts['samples']} samples answered"
    for reason, count in metrics["run"]["data"]["left_out"].items():
        yield f"  left out before: {count} x {reason}"
    if batches := metrics["run"].get("batches"):
        sizes = " and ".join(map(str, batches["sizes"]))
        yield f"  in batches of {sizes}; memory ran out {batches['out_of_memory']} times"
    labels = metrics.get("labels")
    if labels:
        for name, one in labels["scored"]["figures"].items():
            base = metrics["baselines"]["majority"]["figures"][name]["value"]
            published = protocol["published"].get(name)
            beside = f"   published {published:.3f}" if published is not None else ""
            span = "" if one["low"] is None else f"  [{one['low']:.3f}, {one['high']:.3f}]"
            yield f"  {name:12} {one['value']:.3f}{span}   always one label {base:.3f}{beside}"
        yield f"  written answers without a label: {counts['unparsed']}"
    if hits := metrics.get("hits"):
        yield f"  hit rate     {_hit_line(hits)}"
    for name in ("sentiment", "open_words", "proxies", "judge"):
        if metrics.get(name):
            yield f"  {name}: {json.dumps(metrics[name])[:300]}"
    if metrics.get("judge") and (missing := missing_line(metrics["judge"])):
        yield f"  {missing}"


def _hit_line(hits: Mapping[str, Any]) -> str:
    found = hits["reason"]
    rate, mscore = (
        "none" if found[name] is None else f"{found[name]:.3f}" for name in ("hit_rate", "mscore")
    )
    scored = max(one["num_clips"] for one in found["wheels"])
    return f"{rate}   mscore {mscore}, reasons of {scored} clips; see metrics.json, hits"
