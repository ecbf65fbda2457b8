"""The report of a made-up run: sound HTML, escaped, the same bytes again, and what is not there."""

import html
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emotion_llama.evaluation.metrics import (
    Confusion,
    confusion,
    label_figures,
    label_intervals,
)
from emotion_llama.evaluation.report import KEY_FRAMES, key_frame_name, plots, write_report
from emotion_llama.evaluation.report.answers import MOST_EXAMPLES, most_confident_wrong
from emotion_llama.evaluation.report.read import AnswerRow, ConfusionRow
from emotion_llama.evaluation.report.sections import SECTIONS
from emotion_llama.markup import flat, number, strip, value_of

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
SUPPORT = (41, 46, 42, 64, 11, 4)
SCRIPT = '<script>alert("x")</script>'
VOID = {"meta", "img", "br", "hr", "input", "link"}

Answers = list[dict[str, Any]]


def fake_answers(seed: int = 0) -> Answers:
    generator = np.random.default_rng(seed)
    truths = [label for label, n in zip(LABELS, SUPPORT, strict=True) for _ in range(n)]
    rows: Answers = []
    for place, truth in enumerate(truths):
        logits = generator.normal(0, 1.1, len(LABELS))
        logits[LABELS.index(truth)] += 1.9
        p = np.exp(logits) / np.exp(logits).sum()
        label = LABELS[int(p.argmax())]
        is_empty, fails = place % 37 == 5, place % 61 == 7
        row: dict[str, Any] = {
            "sample_id": f"sample_{place:08d}",
            "target": truth,
            "groups": {"sex": "female" if place % 3 else "male"},
            "error": "found no video stream, expected one" if fails else None,
        }
        if not fails:
            row |= {
                "clip": f"test3/sample_{place:08d}.mp4",
                "label": label,
                "scored_label": label,
                "written_label": None if is_empty else label,
                "probabilities": {n: round(float(v), 6) for n, v in zip(LABELS, p, strict=True)},
                "confidence": round(float(p.max()), 6),
                "reason": "The brows are lowered and the lips are pressed together; the voice is "
                "louder than usual and its pitch rises at the end.",
                "answer": "I am not sure" if is_empty else label,
                "parse_status": "invalid" if is_empty else "ok",
                "modalities": ["audio", "vision", "text"],
                "missing": {},
                "evidence": [
                    {"modality": "vision", "statement": "brow lowerer (AU04) is strong"},
                    {"modality": "audio", "statement": "loudness is high"},
                ],
                "warnings": ["the face is small: 41 pixels wide"] if place % 5 == 0 else [],
                "key_frame_s": 1.24,
            }
        rows.append(row)
    return rows


def figure_set(rows: Answers, field: str) -> dict[str, Any]:
    truths = [row["target"] for row in rows]
    answers = [row[field] for row in rows]
    figures = label_figures(truths, answers, LABELS)
    intervals = label_intervals(truths, answers, LABELS, num_resamples=100)
    matrix = confusion(truths, answers, LABELS)
    return {
        "num_clips": len(rows),
        "figures": {
            name: {"value": getattr(figures, name), "low": one.low, "high": one.high,
                   "over": "clips"}
            for name, one in intervals.items()
        },
        "per_label": per_label(matrix),
        "confusion": {name: np.asarray(one).tolist() for name, one in asdict(matrix).items()},
    }  # fmt: skip


def per_label(matrix: Confusion) -> dict[str, Any]:
    right, given = np.diag(matrix.counts), matrix.counts.sum(0)
    return {
        label: {
            "support": int(matrix.support[i]),
            "recall": right[i] / matrix.support[i],
            "precision": right[i] / given[i] if given[i] else None,
            "f1": 2 * right[i] / (matrix.support[i] + given[i]),
        }
        for i, label in enumerate(matrix.labels)
    }


def fake_calibration(rows: Answers) -> dict[str, Any]:
    confidence = np.array([row["confidence"] for row in rows])
    right = np.array([row["scored_label"] == row["target"] for row in rows])
    edges = np.linspace(0, 1, 16)
    bins = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (confidence > low) & (confidence <= high)
        n = int(inside.sum())
        bins.append(
            {
                "low": low,
                "high": high,
                "count": n,
                "confidence": float(confidence[inside].mean()) if n else None,
                "accuracy": float(right[inside].mean()) if n else None,
            }
        )
    values = {"adaptive_ece": 0.07, "classwise_ece": 0.05, "nll": 0.9, "brier": 0.45, "auroc": 0.74}
    return {"ece": None, "perfect_ece": None, **values, "num_clips": len(rows), "bins": bins}


def fake_risk(rows: Answers) -> dict[str, Any]:
    ordered = sorted(rows, key=lambda row: -row["confidence"])
    wrong = np.cumsum([row["scored_label"] != row["target"] for row in ordered])
    numbers = np.arange(1, len(rows) + 1)
    coverage, risk = (numbers / len(rows)).tolist(), (wrong / numbers).tolist()
    return {"coverage": coverage, "risk": risk, "aurc": 0.14, "answered_at_80": 0.75}


def fake_noise() -> dict[str, Any]:
    suite = {
        ("white noise", "audio"): ("20 dB", "10 dB", "0 dB"),
        ("other voices", "audio"): ("10 dB", "5 dB"),
        ("blur", "vision"): ("factor 2", "factor 4"),
        ("covered mouth", "vision"): ("half",),
        ("wrong words", "text"): ("10 %", "30 %"),
    }
    rows = []
    for (name, kind), levels in suite.items():
        for place, level in enumerate(levels):
            value = 0.61 - 0.05 * (place + 1)
            low, high = value - 0.11, value + 0.1
            rows.append(
                {"name": name, "kind": kind, "level": level, "num_clips": 60, "clean": 0.61,
                 "value": value, "drop": 0.61 - value, "low": low, "high": high}
            )  # fmt: skip
    return {"figure": "uar", "rows": rows}


def fake_sensitivity() -> dict[str, Any]:
    return {
        "variants": [
            {"name": "default", "accuracy": 0.66, "uar": 0.6, "flip_rate": 0.0, "num_unparsed": 0},
            {"name": "reversed", "accuracy": 0.64, "uar": 0.58, "flip_rate": 0.1,
             "num_unparsed": 1},
        ],
        "consistency": 0.83,
        "num_clips": 200,
        "uar": {"mean": 0.59, "low": 0.58, "high": 0.6},
    }  # fmt: skip


def fake_subsets() -> dict[str, Any]:
    found = {("audio",): 0.42, ("vision",): 0.39, ("text",): 0.47, ("audio", "vision"): 0.51,
             ("audio", "text"): 0.56, ("vision", "text"): 0.55,
             ("audio", "vision", "text"): 0.61}  # fmt: skip
    rows = [
        {"modalities": list(m), "num_clips": 200, "value": v, "low": v - 0.06, "high": v + 0.06}
        for m, v in found.items()
    ]
    return {
        "figure": "uar",
        "rows": rows,
        "drop": {"audio": 0.06, "vision": 0.05, "text": 0.1},
        "shapley": {"audio": 0.145, "vision": 0.125, "text": 0.175},
    }


def fake_metrics(rows: Answers) -> dict[str, Any]:
    answered = [row for row in rows if row["error"] is None]
    scored, written = figure_set(answered, "scored_label"), figure_set(answered, "written_label")
    for row in answered:
        row["majority"] = "sad"
    majority = figure_set(answered, "majority")
    return {
        "schema_version": "1",
        "protocol": {
            "name": "mer2023-semi", "title": "MER2023, SEMI (test3)", "kind": "labels",
            "metric": "weighted_f1", "labels": LABELS, "asked": LABELS,
            "note": "surprise has few clips, so its recall moves by several points a clip",
            "published": {"weighted_f1": 0.9036},
            "published_by": "Emotion-LLaMA (Cheng et al., NeurIPS 2024), Table 1",
        },
        "run": {
            "preset": "mini", "preset_sha256": "3f1c9a77b2d04e15",
            "modalities": ["audio", "vision", "text"], "prompt_mode": "trained",
            "decision": "scored", "limit": None, "seed": 0,
            "versions": {"emotion-llama": "0.9.0", "torch": "2.9.0", "python": "3.11.9"},
            "data": {"samples": len(rows), "left_out": {"the media file is missing": 3}},
        },
        "counts": {"samples": len(rows), "answered": len(answered),
                   "failed": len(rows) - len(answered), "unparsed": 6},
        "labels": {"scored": scored, "written": written,
                   "published": {**written, "became_neutral": 6}},
        "baselines": {
            "majority": majority,
            "constant": {n: {"accuracy": 0.1, "uar": 1 / 6, "weighted_f1": 0.02} for n in LABELS},
            "chance": {"accuracy": 0.167, "uar": 0.167, "weighted_f1": 0.18, "macro_f1": 0.15},
        },
        "calibration": fake_calibration(answered),
        "risk_coverage": fake_risk(answered),
        "faithfulness": {
            "n": 180, "own": {"value": 0.81, "low": 0.77, "high": 0.85},
            "other": {"value": 0.52, "low": 0.47, "high": 0.57},
            "drop_points": {"value": 29.0, "low": 24.0, "high": 33.0}, "telling": 0.64,
        },
        "subsets": fake_subsets(),
        "noise": fake_noise(),
        "sensitivity": {"order": fake_sensitivity(), "phrasing": fake_sensitivity()},
        "groups": {
            "sex": {
                "rows": [
                    {"group": "female", "n": 135, "uar": 0.64, "low": 0.55, "high": 0.72},
                    {"group": "male", "n": 69, "uar": 0.57, "low": 0.45, "high": 0.69},
                ],
                "suppressed": [{"group": "other", "n": 4}],
                "gap": {"value": 0.07, "low": 0.01, "high": 0.19}, "worst": "male",
            }
        },
        "comparison": {
            "other": "run of the small preset",
            "figures": {"uar": {"difference": -0.021, "low": -0.06, "high": 0.02, "p": 0.31},
                        "accuracy": {"difference": 0.03, "low": 0.001, "high": 0.06, "p": 0.04}},
            "table": {"both": 120, "only_this": 16, "only_other": 10, "neither": 58},
        },
        "folds": None,
        "absent": {
            "folds": "The protocol has one test set, so there are no folds.",
            "soft_labels": "The data set has no votes of annotators.",
            "sentiment": "The protocol asks for labels.",
            "open_words": "The protocol asks for labels.",
            "judge": "No judge was named.",
        },
    }  # fmt: skip


def write_run(folder: Path, metrics: Mapping[str, Any], answers: Answers) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in answers)
    (folder / "answers.jsonl").write_text(lines, encoding="utf-8")
    return folder


def other_kind(kind: str, section: str, values: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """Figures of a protocol without labels."""
    return {
        "schema_version": "1",
        "protocol": {"name": kind, "title": f"A protocol of {kind}", "kind": kind,
                     "metric": metric, "published": {}},
        "run": {"preset": "mini"},
        "counts": {"samples": 9, "answered": 9, "failed": 0, "unparsed": 0},
        section: values,
        "absent": {"labels": "The truth is no label."},
    }  # fmt: skip


def page_of(folder: Path, metrics: Mapping[str, Any], answers: Answers) -> str:
    return write_report(write_run(folder, metrics, answers)).read_text(encoding="utf-8")


class Balance(HTMLParser):
    """Finds end tags that do not fit, repeated ids and what is loaded."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.loaded += [v or "" for n, v in attrs if n in ("src", "href", "xlink:href", "data")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at line {self.getpos()[0]}")


def parsed(page: str) -> Balance:
    reader = Balance()
    reader.feed(page)
    reader.close()
    return reader


def words_of(page: str) -> str:
    """Give the text of a page without plots and style."""
    bare = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


@pytest.fixture(scope="module")
def answers() -> Answers:
    return fake_answers()


@pytest.fixture(scope="module")
def metrics(answers: Answers) -> dict[str, Any]:
    return fake_metrics(answers)


@pytest.fixture(autouse=True)
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the plots of `page` only: they take most of the time."""
    monkeypatch.setattr(plots, "has_matplotlib", lambda: False)


@pytest.fixture(scope="module")
def run(answers: Answers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder of a run with one picture, of the answer that comes first."""
    folder = tmp_path_factory.mktemp("run")
    name = most_confident_wrong([AnswerRow.model_validate(row) for row in answers])[0].sample_id
    (folder / KEY_FRAMES).mkdir()
    Image.new("RGB", (160, 120), (90, 120, 150)).save(folder / KEY_FRAMES / key_frame_name(name))
    return folder


@pytest.fixture(scope="module")
def page(run: Path, metrics: dict[str, Any], answers: Answers) -> str:
    pytest.importorskip("matplotlib", reason="NOT CHECKED: matplotlib is not installed")
    return page_of(run, metrics, answers)


def test_every_tag_is_closed_and_every_id_is_given_once(page: str) -> None:
    found = parsed(page)
    assert found.faults == [] and found.open == []
    assert len(found.ids) == len(set(found.ids))
    targets = {one.removeprefix("#") for one in found.loaded if one.startswith("#")}
    assert targets and targets <= set(found.ids)


def test_a_plot_refers_to_parts_of_itself_only(page: str) -> None:
    ids = set(parsed(page).ids)
    used = set(re.findall(r"url\(#([^)]+)\)", page))
    assert used and used <= ids


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    found = parsed(page)
    assert all(one.startswith(("#", "data:image/jpeg;base64,")) for one in found.loaded)
    assert "http" not in page and "@import" not in page
    assert not found.tags & {"script", "link", "iframe", "object", "base"}


def test_the_page_says_each_figure_with_its_interval_and_its_clips(
    page: str, metrics: dict[str, Any]
) -> None:
    words = words_of(page)
    scored = metrics["labels"]["scored"]
    for one in scored["figures"].values():
        expected = f"{number(one['value'])} {number(one['low'])} to {number(one['high'])}"
        assert expected in words
    assert f"95 % interval over {scored['num_clips']} clips" in words
    assert "published 0.904" in words


def test_each_plot_is_drawn_with_the_number_of_its_clips(page: str) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, flags=re.DOTALL)
    # 2 for the labels, 2 for confidences, 1 for modalities, 3 for disturbances, 1 for reasons
    assert len(captions) == page.count("<svg") == 9
    assert all(re.search(r"n = [\d,]+ clips", words_of(caption)) for caption in captions)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.6, 0.7, "Above the baseline: most frequent label. Below the published figure."),
        (0.1, 0.95, "Not told apart from the baseline: most frequent label. "
                    "Not told apart from the published figure."),
    ],
)  # fmt: skip
def test_the_verdict_goes_by_the_interval(
    low: float, high: float, said: str, metrics: dict[str, Any], tmp_path: Path
) -> None:
    figures = {"weighted_f1": {"value": 0.65, "low": low, "high": high}}
    changed = {**metrics, "labels": {"scored": {"num_clips": 200, "figures": figures}}}
    assert said in words_of(page_of(tmp_path, changed, []))


def test_without_an_interval_the_verdict_says_nothing_about_differences(
    metrics: dict[str, Any], tmp_path: Path
) -> None:
    changed = {**metrics, "labels": {"scored": {"num_clips": 1, "figures": {"weighted_f1": 1.0}}}}
    words = words_of(page_of(tmp_path, changed, []))
    assert "no interval, 1 clips" in words
    assert "Without an interval, nothing can be said about differences." in words


def test_the_same_files_give_the_same_bytes(
    page: str,
    run: Path,
    metrics: dict[str, Any],
    answers: Answers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plots, "has_matplotlib", lambda: True)
    shutil.copytree(run / KEY_FRAMES, tmp_path / KEY_FRAMES)
    assert page_of(tmp_path, metrics, answers) == page
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "answers.jsonl",
        KEY_FRAMES,
        "metrics.json",
        "report.html",
    ]


def test_texts_of_the_data_are_escaped_wherever_they_stand(
    metrics: dict[str, Any], answers: Answers, tmp_path: Path
) -> None:
    hostile = {
        **metrics,
        "protocol": {**metrics["protocol"], "title": SCRIPT, "note": SCRIPT,
                     "published_by": SCRIPT},
        "run": {**metrics["run"], "preset": SCRIPT, "data": {"left_out": {SCRIPT: 1}}},
        "groups": {SCRIPT: {"rows": [{"group": SCRIPT, "n": 40, "uar": 0.5}], "worst": SCRIPT}},
        "judge": {SCRIPT: SCRIPT},
        "absent": {"folds": SCRIPT},
        "comparison": {"other": SCRIPT, "figures": {SCRIPT: {"difference": 0.1}}},
    }  # fmt: skip
    wrong = {
        "sample_id": SCRIPT, "clip": SCRIPT, "reason": SCRIPT, "answer": SCRIPT, "target": "sad",
        "scored_label": SCRIPT, "confidence": 0.9, "probabilities": {SCRIPT: 0.9},
        "evidence": [SCRIPT, {"statement": SCRIPT}], "warnings": [SCRIPT],
        "missing": {SCRIPT: SCRIPT}, "parse_status": "invalid", "modalities": [SCRIPT],
    }  # fmt: skip
    failed = {"sample_id": "b", "error": SCRIPT}
    page = page_of(tmp_path, hostile, [*answers, wrong, failed])
    assert "<script" not in page and 'alert("x")' not in page
    assert page.count("&lt;script&gt;") > 20
    assert parsed(page).faults == []


def test_names_with_signs_of_formulas_are_drawn_as_they_stand() -> None:
    pytest.importorskip("matplotlib", reason="NOT CHECKED: matplotlib is not installed")
    matrix = ConfusionRow(
        labels=("$x_^$", "b"), counts=((1, 2), (0, 0)), outside=(1, 0), unparsed=(0, 0)
    )
    drawn = plots.svg(plots.draw_confusion(matrix), "a", "b")
    assert parsed(drawn).faults == [] and "<image" not in drawn


def test_a_section_that_is_absent_says_why(page: str, metrics: dict[str, Any]) -> None:
    words = words_of(page)
    for reason in metrics["absent"].values():
        assert reason in words
    # where the run gives no reason
    assert "Only for protocols of the kind description; this one is of the kind labels." in words
    assert "The run has no figures for valence and gives no reason." in words


def test_a_run_with_no_section_at_all_still_has_every_heading(tmp_path: Path) -> None:
    bare = other_kind("labels", "judge", {"clue_overlap": 1.0}, "uar")
    page = page_of(tmp_path, bare, [])
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings[: len(SECTIONS)] == [html.escape(one.title) for one in SECTIONS]
    assert "The run has no mean recall (UAR), the figure that leads here." in words_of(page)
    assert "<svg" not in page


@pytest.mark.parametrize(
    ("kind", "section", "values", "metric", "said"),
    [
        ("sentiment", "sentiment",
         {"non_negative": {"accuracy": 0.8, "weighted_f1": 0.7, "num_clips": 9},
          "without_zeros": {"accuracy": 0.6, "weighted_f1": 0.5, "num_clips": 7},
          "mae": 0.9, "num_clips": 9}, "weighted_f1",
         "weighted F1, without zeros 0.500 over 7 clips published none This figure has several"),
        ("sentiment", "sentiment", {"weighted_f1": {"value": 0.7, "low": 0.6, "high": 0.8},
                                    "num_clips": 7}, "weighted_f1", "over 7 clips"),
        ("words", "open_words",
         {"wheel_f1": 0.41, "intervals": {"wheel_f1": {"low": 0.3, "high": 0.5}},
          "wheels": [{"wheel": "1", "f1": 0.4}], "num_clips": 8}, "wheel_f1",
         "wheel F1 0.410 0.300 to 0.500 95 % interval over 8 clips"),
        ("description", "judge",
         {"clue_overlap@rules": {"mean": 6.25, "interval": {"low": 6.0, "high": 6.5},
                                 "num_clips": 9, "num_scored": 5}}, "clue_overlap",
         "clue overlap@rules 6.250 6.000 to 6.500 95 % interval over 5 clips"),
    ],
)  # fmt: skip
def test_a_protocol_without_labels_leads_with_its_own_section(
    kind: str, section: str, values: Mapping[str, Any], metric: str, said: str, tmp_path: Path
) -> None:
    row = {"sample_id": "a", "target": None, "reason": "r", "answer": "calm"}
    page = page_of(tmp_path, other_kind(kind, section, values, metric), [row])
    first = next(one for one in SECTIONS if one.name == section)
    assert page.index(f"<h2>{first.title}</h2>") == page.index("<h2>")
    assert said in words_of(page[: page.index("<nav")])
    assert "The truth is no label." in words_of(page)
    assert f"The truth of this protocol is no label (its kind is {kind})." in words_of(page)
    assert parsed(page).faults == []


def test_a_figure_that_only_a_judge_gives_is_said_to_be_missing_without_one(
    tmp_path: Path,
) -> None:
    found = other_kind("description", "proxies", {"words": {"f": 0.3}}, "clue_overlap")
    found["absent"]["judge"] = "no judge was named"
    words = words_of(page_of(tmp_path, found, []).split("<nav")[0])
    assert "The run has no clue overlap, the figure that leads here. No judge was named." in words


def test_baselines_of_another_kind_stand_beside_its_figure(tmp_path: Path) -> None:
    values = {"wheel_f1": 0.41, "intervals": {"wheel_f1": {"low": 0.3, "high": 0.5}}}
    found = other_kind("words", "open_words", values, "wheel_f1")
    found["baselines"] = {"always happy": {"wheel_f1": 0.2, "words_per_answer": 1.0}}
    page = page_of(tmp_path, found, [])
    assert "Above the baseline: always happy." in words_of(page)
    assert "always happy name value wheel F1 0.200" in words_of(page)


def test_the_most_confident_wrong_answers_come_first(page: str, answers: Answers) -> None:
    wrong = [r for r in answers if r["error"] is None and r["scored_label"] != r["target"]]
    expected = sorted(wrong, key=lambda r: -r["confidence"])[:MOST_EXAMPLES]
    articles = re.findall(r"<article>(.*?)</article>", page, flags=re.DOTALL)
    assert len(articles) == MOST_EXAMPLES < len(wrong)
    for article, row in zip(articles, expected, strict=True):
        assert row["clip"] in article and number(row["confidence"]) in article
    assert "data:image/jpeg;base64," in articles[0] and "<img" not in articles[1]


def test_an_answer_without_a_label_is_listed_as_it_was_written_and_is_no_example(
    page: str, answers: Answers
) -> None:
    ending = page[page.index('id="failures"') :]
    for row in answers:
        if row["error"] or row["parse_status"] == "invalid":
            assert row["sample_id"] in ending
    assert "I am not sure" in ending and "found no video stream" in ending
    rows = [AnswerRow(sample_id="a", target="sad"), AnswerRow(sample_id="b", error="x")]
    assert most_confident_wrong(rows) == []


def test_a_long_list_of_failures_is_counted_and_not_cut_in_silence(
    metrics: dict[str, Any], tmp_path: Path
) -> None:
    rows: Answers = [{"sample_id": f"s{place}", "error": "broken"} for place in range(100)]
    assert "60 more are in answers.jsonl." in words_of(page_of(tmp_path, metrics, rows))


def test_what_makes_figures_say_less_stands_at_the_top(
    metrics: dict[str, Any], tmp_path: Path
) -> None:
    limited = {**metrics, "run": {**metrics["run"], "limit": 0.5}}
    page = page_of(tmp_path, limited, [])
    top = words_of(page[: page.index("<nav")])
    assert "limited to 208 samples (limit 0.5)" in top
    assert "4 of 208 clips failed" in top and "6 written answers name no label" in top
    assert "3 rows of the data set were left out" in top


def test_a_reading_that_is_not_counted_says_why(metrics: dict[str, Any], tmp_path: Path) -> None:
    labels = {name: one for name, one in metrics["labels"].items() if name != "published"}
    absent = {"labels.published": "no label is neutral"}
    words = words_of(page_of(tmp_path, {**metrics, "labels": labels, "absent": absent}, []))
    assert "published way no label is neutral most frequent label" in words


def test_the_manifest_names_everything_that_the_run_states(page: str) -> None:
    manifest = words_of(page[page.index('id="manifest"') :])
    for name, value in (("preset sha256", "3f1c9a77b2d04e15"), ("versions, torch", "2.9.0")):
        assert f"{name} {value}" in manifest


def test_without_matplotlib_the_page_says_what_draws_its_plots(
    metrics: dict[str, Any], answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # looks for matplotlib again, and then finds none
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = page_of(tmp_path, metrics, answers)
    assert "<svg" not in page and parsed(page).faults == []
    assert "pip install 'emotion-llama[plot]'" in words_of(page)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m: m.update(schema_version="2"), "schema_version"),
        (lambda m: m["labels"]["scored"]["confusion"]["counts"].pop(), "expected 6, one a label"),
        (lambda m: m.pop("counts"), "counts: Field required"),
    ],
)
def test_figures_of_another_form_are_refused_by_place(
    spoil: Callable[[dict[str, Any]], Any], said: str, metrics: dict[str, Any], tmp_path: Path
) -> None:
    changed = json.loads(json.dumps(metrics))
    spoil(changed)
    with pytest.raises(ValueError, match=said):
        write_report(write_run(tmp_path, changed, []))
    assert not (tmp_path / "report.html").exists()


def test_files_that_are_missing_or_broken_are_named(
    metrics: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"metrics\.json: found no text that can be read"):
        write_report(tmp_path)
    write_run(tmp_path, metrics, [{"sample_id": "a"}])
    with (tmp_path / "answers.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"sample_id": ')
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 2: found no JSON"):
        write_report(tmp_path)


def test_names_of_key_frames_stay_in_their_folder_and_apart() -> None:
    assert key_frame_name("sample_00000007") == "sample_00000007.jpg"
    names = [key_frame_name(one) for one in ("a/b", "a_b", "../a", "/a", "..", "a b", "x" * 300)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+\.jpg", name) for name in names)
    assert max(map(len, names)) < 128


def test_missing_values_are_named_and_never_written_as_zero() -> None:
    assert number(None) == "none" and number(0) == "0" and number(0.0) == "0.000"
    assert number(-0.0214, signed=True) == "\N{MINUS SIGN}0.021"
    assert number(1234) == "1,234" and number(0.5, signed=True) == "+0.500"
    assert number(0.0002) == "0.0002" and number(-0.0002) == "\N{MINUS SIGN}0.0002"
    assert value_of(None) == "none" and value_of([]) == "none"


def test_nested_fields_keep_their_names_and_intervals_stay_whole() -> None:
    values = {"a": {"b": 1, "c": {"value": 0.5, "low": 0.4, "high": 0.6}}, "d": {}, "e": []}
    assert dict(flat(values)) == {
        "a, b": 1, "a, c": {"value": 0.5, "low": 0.4, "high": 0.6}, "d": None, "e": [],
    }  # fmt: skip
    assert dict(flat({"interval": {"low": 0.1, "high": 0.2}})) == {
        "interval": {"low": 0.1, "high": 0.2}
    }


def test_a_line_from_0_to_1_shows_no_value_outside_it() -> None:
    assert "left:50.00%" in strip(0.5, 0.4, 0.6, {"a": 0.1})
    assert strip(6.25, 6.0, 6.5) == "" and strip(None, None, None) == ""
