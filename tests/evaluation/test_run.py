"""A run over own clips with a tiny preset: every sample has its row, whatever happens."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest

from emotion_llama import Predictor
from emotion_llama.evaluation.finish import evaluate, finish, headline, score
from emotion_llama.evaluation.protocol import Protocol, load_protocol
from emotion_llama.evaluation.run import (
    Progress,
    RunSettings,
    Workers,
    answer_samples,
    chosen,
    folder_hash,
    settings_of,
)
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth
from emotion_llama.predict import EncodedClip
from emotion_llama.records import Clip

LABELS = ("happy", "sad", "neutral")
FILES = ("answers", "measures", "subsets", "orders", "phrasings", "noise")


@pytest.fixture(scope="module")
def predictor(tiny_preset: Path) -> Predictor:
    return load(tiny_preset)


def load(preset: Path) -> Predictor:
    return Predictor.from_pretrained(preset, device="cpu")


@pytest.fixture
def protocol() -> Protocol:
    return load_protocol("folder").model_copy(update={"labels": LABELS})


@pytest.fixture
def reading(talking_film: Path, tmp_path: Path) -> Reading:
    """Two films, words alone, and a file that is broken."""
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    return Reading(
        (
            EvalSample("film", talking_film, "I am here.", Truth("happy"), {"speaker": "a"}),
            EvalSample("broken", broken, None, Truth("sad"), {"speaker": "b"}),
            EvalSample("words", None, "It is late.", Truth("neutral"), {"speaker": "b"}),
            EvalSample("again", talking_film, None, Truth("sad"), {"speaker": "a"}),
        ),
        {"label bored is not scored": 3},
    )


def settings(preset: Path, **changes: object) -> RunSettings:
    return settings_of(load(preset), str(preset), batch_size=2, **changes)


def run(
    predictor: Predictor,
    preset: Path,
    protocol: Protocol,
    reading: Reading,
    out: Path,
    progress: Progress | None = None,
) -> None:
    answer_samples(reading, protocol, settings(preset), Workers(lambda: predictor), out, progress)


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_sample_has_one_row_and_a_broken_file_says_why(
    predictor: Predictor, tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run(predictor, tiny_preset, protocol, reading, out)
    answers = rows(out / "answers.jsonl")
    assert [row["sample_id"] for row in answers] == ["film", "broken", "words", "again"]
    assert [row["error"] is None for row in answers] == [True, False, True, True]
    assert "timings_s" not in answers[0]
    assert answers[2]["modalities"] == ["text"]
    metrics = finish(out, predictor, reading.samples)
    assert metrics["counts"]["failed"] == 1
    assert metrics["labels"]["scored"]["num_clips"] == 4, "a failure counts as wrong"
    assert metrics["labels"]["scored"]["confusion"]["unparsed"] == [0, 1, 0]
    assert metrics["run"]["data"]["left_out"] == {"label bored is not scored": 3}
    assert {"folds", "comparison", "soft_labels"} <= set(metrics["absent"])
    assert all(
        section in metrics for section in ("subsets", "noise", "sensitivity", "risk_coverage")
    )
    assert "3 of 4 samples answered" in next(headline(metrics))


def test_free_answers_that_name_no_label_are_counted_and_never_neutral(
    predictor: Predictor, tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run(predictor, tiny_preset, protocol, reading, out)
    answers = [row for row in rows(out / "answers.jsonl") if row["error"] is None]
    assert {row["parse_status"] for row in answers} == {"invalid"}, "random weights write nonsense"
    assert all(row["written_label"] is None for row in answers)
    labels = score(out)["labels"]
    assert labels["written"]["figures"]["accuracy"]["value"] == 0
    assert labels["published"]["became_neutral"] == 3
    assert labels["published"]["rewarded"] == 1
    assert labels["published"]["figures"]["accuracy"]["value"] == pytest.approx(1 / 4)


def test_a_stopped_run_ends_with_the_bytes_of_an_undisturbed_one(
    predictor: Predictor, tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    run(predictor, tiny_preset, protocol, reading, whole)

    def stop(name: str, done: int, total: int) -> None:
        if name == "answers" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(predictor, tiny_preset, protocol, reading, part, Progress(stop))
    assert len(rows(part / "answers.jsonl")) == 2
    run(predictor, tiny_preset, protocol, reading, part)
    for name in FILES:
        assert (part / f"{name}.jsonl").read_bytes() == (whole / f"{name}.jsonl").read_bytes()
    for folder in (whole, part):
        finish(folder, predictor, reading.samples)
    assert (part / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
    assert (part / "report.html").read_bytes() == (whole / "report.html").read_bytes()


def test_a_lost_block_costs_its_samples_and_nothing_else(
    predictor: Predictor,
    tiny_preset: Path,
    protocol: Protocol,
    reading: Reading,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What no clip is to blame for, such as a dead process: every row is there, nothing is lost."""
    encode, out = Predictor.encode, tmp_path / "run"

    def fails(self: Predictor, clips: Sequence[Clip]) -> list[EncodedClip]:
        if any(clip.kind == "text" for clip in clips):
            msg = "out of luck"
            raise RuntimeError(msg)
        return encode(self, clips)

    monkeypatch.setattr(Predictor, "encode", fails)
    run(predictor, tiny_preset, protocol, reading, out)
    answers = rows(out / "answers.jsonl")
    assert [row["sample_id"] for row in answers] == ["film", "broken", "words", "again"]
    assert ["out of luck" in str(row["error"]) for row in answers] == [False, False, True, True]
    noisy = rows(out / "noise.jsonl")
    lost = [row["sample_id"] for row in noisy if "out of luck" in str(row.get("error"))]
    assert lost == ["words", "again"]
    truth = Truth("happy", value=1.0)
    valued = [{**row, "truth": asdict(truth)} if n == 0 else row for n, row in enumerate(answers)]
    (out / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in valued), "utf-8")
    metrics = score(out)
    assert metrics["counts"]["failed"] == 3
    assert metrics["valence"]["num_without_truth"] == 3


def test_nothing_is_asked_twice(
    predictor: Predictor,
    tiny_preset: Path,
    protocol: Protocol,
    reading: Reading,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    run(predictor, tiny_preset, protocol, reading, out)
    before = (out / "answers.jsonl").read_bytes()
    monkeypatch.setattr(Predictor, "encode", _never)
    run(predictor, tiny_preset, protocol, reading, out)
    assert (out / "answers.jsonl").read_bytes() == before


def _never(*_: object) -> None:
    raise AssertionError


def test_a_folder_with_another_run_is_refused(
    predictor: Predictor, tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    workers = Workers(lambda: predictor)
    few = settings(tiny_preset, analyses=())
    answer_samples(reading, protocol, few, workers, tmp_path / "run")
    deaf = few.model_copy(update={"parts": ("vision", "text")})
    with pytest.raises(ValueError, match=r"settings parts = .*'audio'.*name another folder"):
        answer_samples(reading, protocol, deaf, workers, tmp_path / "run")
    fewer = Reading(reading.samples[:2])
    with pytest.raises(ValueError, match="data samples = 4, not 2"):
        answer_samples(fewer, protocol, few, workers, tmp_path / "run")


@pytest.mark.slow
def test_processes_give_the_bytes_of_one(
    tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    few = settings(tiny_preset, analyses=("reasons", "subsets"))
    for count in (0, 2):
        make = partial(Predictor.from_pretrained, tiny_preset, device="cpu")
        workers = Workers(make, count)
        answer_samples(reading, protocol, few, workers, tmp_path / str(count))
    for name in FILES[:3]:
        assert (tmp_path / "2" / f"{name}.jsonl").read_bytes() == (
            tmp_path / "0" / f"{name}.jsonl"
        ).read_bytes()


@pytest.mark.slow
def test_ray_gives_the_bytes_of_one_process(
    tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason="NOT CHECKED: Ray is not installed")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("NOT CHECKED: Ray needs a second processor")
    few = settings(tiny_preset, analyses=("subsets",))
    make = partial(Predictor.from_pretrained, tiny_preset, device="cpu")
    answer_samples(reading, protocol, few, Workers(make), tmp_path / "here")
    try:
        answer_samples(reading, protocol, few, Workers(make, 1, on_ray=True), tmp_path / "ray")
    finally:
        ray.shutdown()
    for name in ("answers", "subsets"):
        assert (tmp_path / "ray" / f"{name}.jsonl").read_bytes() == (
            tmp_path / "here" / f"{name}.jsonl"
        ).read_bytes()


def test_parts_that_are_left_out_are_stated_and_change_nothing_else(
    predictor: Predictor, tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    words = settings(tiny_preset, analyses=(), parts=("text",))
    answer_samples(reading, protocol, words, Workers(lambda: predictor), tmp_path / "run")
    film, _, text, again = rows(tmp_path / "run" / "answers.jsonl")
    assert film["modalities"] == ["text"]
    assert film["missing"]["audio"] == "left out on request"  # type: ignore[index]
    assert "gives neither a feature nor text" in str(again["error"])
    assert text["error"] is None


def test_labels_that_are_offered_and_mapped(
    predictor: Predictor, tiny_preset: Path, reading: Reading, tmp_path: Path
) -> None:
    rules = load_protocol("folder").model_copy(
        update={
            "labels": LABELS,
            "offered": ("happy", "sad", "worried", "doubt"),
            "mapping": {"worried": "sad"},
        }
    )
    few = settings(tiny_preset, analyses=())
    answer_samples(reading, rules, few, Workers(lambda: predictor), tmp_path / "run")
    answers = [row for row in rows(tmp_path / "run" / "answers.jsonl") if row["error"] is None]
    assert all(list(row["probabilities"]) == list(rules.asked) for row in answers)  # type: ignore[call-overload]
    expected = [rules.scored(str(row["label"])) for row in answers]
    assert [row["scored_label"] for row in answers] == expected
    absent = score(tmp_path / "run")["absent"]
    assert "counts as none" in absent["calibration"], "doubt is none of the scored labels"


def test_samples_are_drawn_with_a_seed_and_kept_in_order(reading: Reading) -> None:
    assert chosen(reading.samples, None, 0) == list(reading.samples)
    half = chosen(reading.samples, 0.5, 0)
    assert half == chosen(reading.samples, 2, 0)
    assert [one.sample_id for one in half] == [
        one.sample_id for one in reading.samples if one in half
    ]
    assert chosen(reading.samples, 9, 0) == list(reading.samples)
    with pytest.raises(ValueError, match="the limit is 0"):
        chosen(reading.samples, 0, 0)


def test_other_weights_are_another_preset(tiny_preset: Path, tmp_path: Path) -> None:
    before = folder_hash(tiny_preset)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in tiny_preset.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    config = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, "unsure_below": 0.1}), "utf-8")
    assert folder_hash(copy) != before


def test_a_notebook_scores_samples_in_one_call(predictor: Predictor, reading: Reading) -> None:
    metrics = evaluate(predictor, [reading.samples[0], reading.samples[2]], LABELS)
    assert metrics["counts"] == {"samples": 2, "answered": 2, "failed": 0, "unparsed": 2}
    assert metrics["protocol"]["labels"] == list(LABELS)
    assert "not asked for" in metrics["absent"]["noise"]
