"""A run over own clips with a tiny preset: every sample has its row, whatever happens."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest
import torch

from emotion_llama import Predictor
from emotion_llama.clip_reader import ClipReader
from emotion_llama.evaluation.disturbance import MER_NOISE, drawn_levels
from emotion_llama.evaluation.examiner import length_s
from emotion_llama.evaluation.finish import evaluate, finish, headline, score
from emotion_llama.evaluation.noise import NOISY_ALREADY
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

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
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


def test_clean_clips_are_disturbed_as_a_noise_track_is_and_noisy_ones_are_not(
    predictor: Predictor, tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    films = Reading((reading.samples[0], replace(reading.samples[3], path=EXAMPLES / "smile.mp4")))
    noise_only = settings(tiny_preset, analyses=("noise",))
    for name, rules in (
        ("clean", protocol),
        ("noisy", protocol.model_copy(update={"noisy": True})),
    ):
        answer_samples(films, rules, noise_only, Workers(lambda: predictor), tmp_path / name)
    clean, noisy = (
        [row for row in rows(tmp_path / name / "noise.jsonl") if row["variant"] == MER_NOISE.title]
        for name in ("clean", "noisy")
    )
    assert [row["levels"] for row in clean] == [
        drawn_levels(MER_NOISE, one.sample_id) for one in films.samples
    ]
    assert [row["left_out"] for row in noisy] == [NOISY_ALREADY] * 2
    section = score(tmp_path / "noisy")["noise"]
    assert section["left_out"][f"{MER_NOISE.title}: {NOISY_ALREADY}"] == 2
    assert MER_NOISE.name not in {row["name"] for row in section["rows"]}
    assert score(tmp_path / "clean")["noise"]["rows"][-1]["kind"] == "audio and vision"


def test_a_basic_set_has_its_hit_rate_over_the_samples_with_a_reason(
    predictor: Predictor, tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    basic = protocol.model_copy(update={"hit_rate_set": "a set"})
    few = settings(tiny_preset, analyses=("reasons",), analysed=3)
    answer_samples(reading, basic, few, Workers(lambda: predictor), out)
    metrics = finish(out, predictor, reading.samples)
    assert metrics["hits"]["reason"]["num_clips"] == 3
    assert "Hit rate" in (out / "report.html").read_text("utf-8")
    assert any("hit rate" in line and "mscore" in line for line in headline(metrics))
    other = tmp_path / "other"
    answer_samples(reading, protocol, few, Workers(lambda: predictor), other)
    assert "MER-UniBench" in finish(other, predictor, reading.samples)["absent"]["hits"]


def out_of_memory_above(room: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a predictor run out of memory above a number of clips; give the sizes it is asked for."""
    encode, sizes = Predictor.encode, []

    def limited(self: Predictor, clips: Sequence[Clip]) -> list[EncodedClip]:
        sizes.append(len(clips))
        if len(clips) > room:
            msg = "CUDA out of memory"
            raise torch.cuda.OutOfMemoryError(msg)
        return encode(self, clips)

    monkeypatch.setattr(Predictor, "encode", limited)
    return sizes


def six(reading: Reading) -> Reading:
    """Six readable samples."""
    film, _, words, again = reading.samples
    more = [replace(one, sample_id=f"{one.sample_id}{n}") for n in (1, 2) for one in (film, words)]
    return Reading((film, words, *more))


def test_a_run_that_runs_out_of_memory_loses_no_clip_and_no_byte(
    predictor: Predictor,
    tiny_preset: Path,
    protocol: Protocol,
    reading: Reading,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = settings(tiny_preset, analyses=("reasons", "noise"), disturbed=3)
    few = few.model_copy(update={"batch_size": 6})
    reads, decode = [], ClipReader.decode
    monkeypatch.setattr(ClipReader, "decode", lambda *a: reads.append(a) or decode(*a))
    answer_samples(six(reading), protocol, few, Workers(lambda: predictor), tmp_path / "whole")
    before = len(reads)
    sizes = out_of_memory_above(2, monkeypatch)
    answer_samples(six(reading), protocol, few, Workers(lambda: predictor), tmp_path / "small")
    assert sizes[:4] == [6, 3, 1, 1], "halved until it fits, and small from there on"
    assert len(reads) == 2 * before, "no file was read again"
    for name in ("answers", "measures", "noise"):
        assert (tmp_path / "small" / f"{name}.jsonl").read_bytes() == (
            tmp_path / "whole" / f"{name}.jsonl"
        ).read_bytes()
    assert not (tmp_path / "whole" / "batches.jsonl").exists()
    metrics = finish(tmp_path / "small", predictor, six(reading).samples)
    assert metrics["run"]["batches"]["out_of_memory"] > 2
    assert metrics["counts"]["failed"] == 0
    assert any("memory ran out" in line for line in headline(metrics))


def test_a_clip_that_does_not_fit_alone_has_a_row_that_says_so(
    predictor: Predictor,
    tiny_preset: Path,
    protocol: Protocol,
    reading: Reading,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out_of_memory_above(0, monkeypatch)
    few = settings(tiny_preset, analyses=("noise",))
    answer_samples(reading, protocol, few, Workers(lambda: predictor), tmp_path / "run")
    answers = rows(tmp_path / "run" / "answers.jsonl")
    assert [row["sample_id"] for row in answers] == ["film", "broken", "words", "again"]
    assert all("out of memory" in str(answers[row]["error"]) for row in (0, 2, 3))
    assert "film" in {row["sample_id"] for row in rows(tmp_path / "run" / "noise.jsonl")}


def test_the_size_of_batches_is_tried_on_the_longest_clips(
    predictor: Predictor,
    tiny_preset: Path,
    protocol: Protocol,
    reading: Reading,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings_of(predictor, str(tiny_preset), batch_size="auto").batch_size == 16, "a CPU"
    auto = settings(tiny_preset, analyses=()).model_copy(update={"batch_size": "auto"})
    sizes = out_of_memory_above(4, monkeypatch)
    answer_samples(six(reading), protocol, auto, Workers(lambda: predictor), tmp_path / "run")
    assert sizes == [8, 4, 4, 2], "two tries, then all six"
    (told,) = rows(tmp_path / "run" / "batches.jsonl")
    assert told == {"block": 0, "batch_size": 4, "out_of_memory": 0}
    assert score(tmp_path / "run")["run"]["batches"]["sizes"] == [4]
    samples = six(reading).samples
    assert [one.sample_id for one in sorted(samples, key=length_s)][:3] == [
        "words",
        "words1",
        "words2",
    ]
    assert length_s(reading.samples[1]) == 0, "broken"
    assert length_s(replace(samples[0], span=(1.0, 3.5))) == 2.5


def test_descriptions_are_judged_and_what_is_missing_is_filled_up(
    predictor: Predictor,
    tiny_preset: Path,
    reading: Reading,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stub:
        name, version, outages = "stub", "1", {"status 429": 1}  # noqa: RUF012
        num_asked = 0

        def ask(self, prompt: str) -> str:
            Stub.num_asked += 1
            if Stub.num_asked == 1:
                raise ConnectionError
            return '{"words": ["glad"]}' if "<words in" in prompt else '{"score": 7, "reason": ""}'

    monkeypatch.setattr("emotion_llama.evaluation.finish.load_judge", lambda spec: Stub())
    rules, out = load_protocol("emer"), tmp_path / "run"
    samples = tuple(
        replace(one, truth=Truth(description=f"She is glad, {one.sample_id}."))
        for one in (reading.samples[0], reading.samples[3])
    )
    few = settings(tiny_preset, analyses=("reasons",))
    answer_samples(Reading(samples), rules, few, Workers(lambda: predictor), out)
    first = finish(out, predictor, samples, judge="stub")
    assert first["judge"]["missing"] == 1
    assert any("asks for these alone" in line for line in headline(first))
    assert "status 429" in (out / "report.html").read_text("utf-8")
    Stub.num_asked = 10
    second = finish(out, predictor, samples, judge="stub")
    assert (second["judge"]["missing"], Stub.num_asked) == (0, 11)
    assert not any("asks for these alone" in line for line in headline(second))


def test_both_senses_must_be_shown_to_be_disturbed_together(
    predictor: Predictor, tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    deaf = settings(tiny_preset, analyses=("noise",), parts=("vision", "text"))
    answer_samples(reading, protocol, deaf, Workers(lambda: predictor), tmp_path / "run")
    variants = {row["variant"] for row in rows(tmp_path / "run" / "noise.jsonl")}
    assert "blur, factor 2" in variants
    assert MER_NOISE.title not in variants


def test_a_part_of_a_film_is_asked_about_alone(
    predictor: Predictor, tiny_preset: Path, protocol: Protocol, reading: Reading, tmp_path: Path
) -> None:
    film = reading.samples[0]
    parts = (
        replace(film, sample_id="begin", span=(0.0, 0.5)),
        replace(film, sample_id="beyond", span=(900.0, 901.0)),
    )
    few = settings(tiny_preset, analyses=("reasons",))
    answer_samples(Reading(parts), protocol, few, Workers(lambda: predictor), tmp_path / "run")
    begin, beyond = rows(tmp_path / "run" / "answers.jsonl")
    assert (begin["error"], begin["span_s"]) == (None, [0.0, 0.5])
    assert "900.00 to 901.00 s" in str(beyond["error"])
    finish(tmp_path / "run", predictor, parts)
    with pytest.raises(ValueError, match="sha256"):
        moved = Reading((replace(parts[0], span=(0.5, 1.0)), *parts[1:]))
        answer_samples(moved, protocol, few, Workers(lambda: predictor), tmp_path / "run")


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
