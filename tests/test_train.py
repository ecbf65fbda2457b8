"""A whole training of the packaged preset on the packaged clips: what it learns and refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from emotion_llama import train as train_module
from emotion_llama.cli import app
from emotion_llama.config import SourceConfig, TrainConfig
from emotion_llama.model import EmotionLlama
from emotion_llama.model.weight_files import read_pth
from emotion_llama.predict import Predictor
from emotion_llama.preset import find_preset
from emotion_llama.train import TrainReport, train
from emotion_llama.training.run_record import MetricsFile, read_metrics

EXAMPLES = Path(__file__).parents[1] / "examples"
FROWN = EXAMPLES / "frown.mp4"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clips.csv"
    path.write_text(
        "path,label,speaker,split,text\n"
        f"{FROWN},disgust,a,train,\n"
        f"{EXAMPLES / 'smile.mp4'},happy,b,dev,\n",
        "utf-8",
    )
    return path


def settings(table: Path, output: Path, **changes: Any) -> TrainConfig:
    source = SourceConfig(kind="table", path=str(table), tasks=("emotion",))
    known: dict[str, Any] = {
        "start": "mini",
        "output": str(output),
        "sources": (source,),
        "validation": (source.model_copy(update={"split": "dev"}),),
        "epochs": 2,
        "steps_per_epoch": 4,
        "batch_size": 2,
        "learning_rate": 2e-3,
        "warmup_steps": 2,
        "metric": "accuracy",
        "report_to": (),
    }
    return TrainConfig(**{**known, **changes})


@pytest.fixture(scope="module")
def trained(
    table: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainReport, TrainConfig]:
    output = tmp_path_factory.mktemp("run")
    config = settings(table, output)
    return output, train(config), config


def test_the_trained_folder_answers_what_was_learned(
    trained: tuple[Path, TrainReport, TrainConfig],
) -> None:
    output, report, _ = trained
    assert report.model_dir == output / "model"
    before = Predictor.from_pretrained("mini")(FROWN, with_reason=False)
    after = Predictor.from_pretrained(report.model_dir)(FROWN, with_reason=False)
    assert after.probabilities["disgust"] > before.probabilities["disgust"] + 0.3
    assert after.missing.keys() == before.missing.keys()


def test_what_is_asked_apart_can_be_asked_in_one_prompt_again(table: Path, tmp_path: Path) -> None:
    steps = {"epochs": 1, "steps_per_epoch": 1, "warmup_steps": 1}
    report = train(settings(table, tmp_path, late_fusion=False, **steps))
    assert Predictor.from_pretrained(report.model_dir)(FROWN, with_reason=False).alone == {}
    assert Predictor.from_pretrained("mini")(FROWN, with_reason=False).alone


def test_a_run_leaves_its_settings_versions_and_figures(
    trained: tuple[Path, TrainReport, TrainConfig],
) -> None:
    output, report, config = trained
    assert TrainConfig(**yaml.safe_load((output / "config.yaml").read_text("utf-8"))) == config
    run = json.loads((output / "run.json").read_text("utf-8"))
    assert run["trainable_parameters"] == report.num_trainable == 600_000
    assert run["versions"]["torch"] and len(run["data_sha256"]) == 1
    rows = read_metrics(output / "metrics.jsonl")
    assert [row["step"] for row in rows if "eval_accuracy" in row] == [4, 8]
    assert report.best_step == 4, "of equals the first"
    written = [json.loads(line) for line in (output / "answers.jsonl").read_text().splitlines()]
    assert {answer["expected"] for answer in written} == {"happy"}


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    table: Path,
    trained: tuple[Path, TrainReport, TrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, _, _ = trained
    log = MetricsFile.on_log

    def stop(self: MetricsFile, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        log(self, args, state, control, **kwargs)
        if state.global_step == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(MetricsFile, "on_log", stop)
    with pytest.raises(KeyboardInterrupt):
        train(settings(table, tmp_path))
    monkeypatch.setattr(MetricsFile, "on_log", log)
    train(settings(table, tmp_path))

    def kept(folder: Path) -> list[dict[str, Any]]:
        rows = read_metrics(folder / "metrics.jsonl")
        timed = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
        return [{k: v for k, v in row.items() if k not in (*timed, "train_loss")} for row in rows]

    assert kept(tmp_path) == kept(whole)
    same = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert same == (whole / "model" / "model.safetensors").read_bytes()


def refused(tmp_path: Path, rows: str, said: str, **changes: Any) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(rows, "utf-8")
    with pytest.raises((ValueError, KeyError), match=said):
        train(settings(path, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists(), "nothing is begun"


def test_people_of_the_training_are_not_validated_on(tmp_path: Path) -> None:
    rows = f"path,label,speaker,split\n{FROWN},sad,a,train\n{EXAMPLES / 'smile.mp4'},happy,a,dev\n"
    refused(tmp_path, rows, "expected other people")


def test_clips_without_features_are_named_before_training(tmp_path: Path) -> None:
    rows = f"path,label,split\n{FROWN},sad,train\ngone.mp4,sad,train\n"
    refused(tmp_path, rows, "1 clips have no features \\(gone.mp4\\)", validation=())


def test_a_label_that_is_not_offered_is_not_learned(tmp_path: Path) -> None:
    refused(tmp_path, f"path,label\n{FROWN},boredom\n", "boredom", validation=())


def test_a_run_by_votes_that_was_stopped_learns_what_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "votes.csv"
    table.write_text(f"path,votes_disgust,votes_happy\n{FROWN},3,1\n", "utf-8")

    def run(output: Path) -> bytes:
        train(settings(table, output, validation=(), batch_size=4, late_fusion=False))
        return (output / "model" / "model.safetensors").read_bytes()

    whole = run(tmp_path / "whole")
    log = MetricsFile.on_log

    def stop(self: MetricsFile, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        log(self, args, state, control, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(MetricsFile, "on_log", stop)
        run(tmp_path / "part")
    assert run(tmp_path / "part") == whole
    answers = Predictor.from_pretrained(tmp_path / "whole" / "model")(FROWN, with_reason=False)
    assert answers.probabilities["disgust"] > answers.probabilities["happy"] > 0.02


def test_a_run_writes_the_model_in_every_form(table: Path, tmp_path: Path) -> None:
    config = settings(
        table,
        tmp_path / "run",
        validation=(),
        epochs=1,
        learning_rate=1e-2,
        merge=True,
        published=str(tmp_path / "published.pth"),
    )
    report = train(config)
    assert report.merged_dir == tmp_path / "run" / "merged"
    apart, merged = (
        EmotionLlama.from_pretrained(folder).eval()
        for folder in (report.model_dir, report.merged_dir)
    )
    assert not any(".lora_" in name for name, _ in merged.named_parameters())
    lora_b = [value for name, value in apart.named_parameters() if ".lora_B" in name]
    assert all(value.abs().max() > 1e-3 for value in lora_b), "LoRA that learned nothing is no test"
    ids = torch.arange(5, 60).unsqueeze(0)
    with torch.no_grad():
        logits = apart(input_ids=ids).logits
        assert torch.allclose(merged(input_ids=ids).logits, logits, atol=1e-4)
        assert not torch.allclose(start_logits(ids), logits, atol=1e-1)
    answer = Predictor.from_pretrained(report.merged_dir)(FROWN, with_reason=False)
    assert answer.label == "disgust"
    by_command = tmp_path / "command.pth"
    runner = CliRunner()
    done = runner.invoke(app, ["export", str(report.model_dir), str(by_command)])
    assert done.exit_code == 0, done.stderr
    ours, theirs = (read_pth(path)["model"] for path in (report.published, by_command))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def start_logits(ids: torch.Tensor) -> torch.Tensor:
    model = EmotionLlama.from_pretrained(find_preset("mini"), dtype=torch.float32).eval()
    logits: torch.Tensor = model(ids).logits
    return logits


def test_forms_that_could_not_be_written_are_refused_before_training(
    table: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="found fsdp with quantize_bits 4"):
        settings(table, tmp_path / "run", fsdp=True, quantize_bits=4)
    with pytest.raises(ValueError, match="found merge with quantize_bits 4"):
        settings(table, tmp_path / "run", merge=True, quantize_bits=4)
    mine = tmp_path / "mine.pth"
    mine.write_text("mine", "utf-8")
    with pytest.raises(FileExistsError, match="mine.pth, which exists; name another file"):
        train(settings(table, tmp_path / "run", published=str(mine)))
    with pytest.raises(FileNotFoundError, match="there is no folder .*gone; make it"):
        train(settings(table, tmp_path / "run", published=str(tmp_path / "gone" / "a.pth")))
    assert mine.read_text("utf-8") == "mine"


INSTRUCTIONS = (
    {"instruction": "Name a colour.", "output": "Blue: the sky has it."},
    {"instruction": "Add the numbers.", "input": "2 and 3", "output": "5"},
    {"instruction": "Repeat this. " * 900, "output": "No."},
)


def instructions(folder: Path) -> SourceConfig:
    path = folder / "plain.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in INSTRUCTIONS), "utf-8")
    return SourceConfig(kind="instructions", path=str(path), weight=3.0)


def test_instructions_are_learned_beside_clips(table: Path, tmp_path: Path) -> None:
    plain = instructions(tmp_path)
    known = settings(table, tmp_path / "run")
    config = settings(
        table,
        tmp_path / "run",
        sources=(*known.sources, plain),
        validation=(plain,),
        metric="instruction_loss",
        steps_per_epoch=8,
        batch_size=1,
    )
    with pytest.raises(ValueError, match="found clip 'plain .* in the training and"):
        train(config)
    other = tmp_path / "other.json"
    other.write_text(json.dumps(INSTRUCTIONS[:2]), "utf-8")
    validation = (plain.model_copy(update={"path": str(other)}),)
    report = train(config.model_copy(update={"validation": validation}))
    assert report.counts[plain.path] == {"longer than 900 tokens": 1}
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    losses = [row["eval_instruction_loss"] for row in rows if "eval_instruction_loss" in row]
    assert losses[1] < losses[0] - 0.1, "what is replayed is learned"
    written = [json.loads(line) for line in (tmp_path / "run" / "answers.jsonl").open()]
    assert {answer["expected"] for answer in written} == {"Blue: the sky has it.", "5"}


def test_without_lora_nothing_can_be_learned_from_instructions(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = settings(table, tmp_path / "run", validation=())
    config = known.model_copy(update={"sources": (instructions(tmp_path),)})
    start = train_module._start

    def merged(*given: Any) -> Any:
        model, processor = start(*given)
        model.config.lora_rank = 0
        return model, processor

    monkeypatch.setattr(train_module, "_start", merged)
    with pytest.raises(ValueError, match=r"plain.jsonl: found instructions, but .* no LoRA"):
        train(config)


@pytest.mark.slow
def test_two_processes_learn_as_one_does(table: Path, tmp_path: Path) -> None:
    one = settings(table, tmp_path / "one", validation=(), epochs=1)
    train(one)
    two = settings(table, tmp_path / "two", validation=(), epochs=1, batch_size=1)
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(two.model_dump(mode="json")), "utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "29517", "-m", "emotion_llama", "train", str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("parameters learned") == 1, "one process speaks for all"
    found = [
        read_metrics(tmp_path / name / "metrics.jsonl")[-1]["train_loss"] for name in ("one", "two")
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_the_command_tells_what_it_did_and_what_it_cannot(table: Path, tmp_path: Path) -> None:
    config = settings(table, tmp_path / "run", validation=(), epochs=1, steps_per_epoch=1)
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")), "utf-8")
    runner = CliRunner()
    done = runner.invoke(app, ["train", str(path), "seed=3"])
    assert done.exit_code == 0, done.stderr
    assert "600,000 parameters learned for 1 steps" in done.stderr
    assert "clips.csv: 1 x not in the split 'train'" in done.stderr
    wrong = runner.invoke(app, ["train", str(path), "sed=3"])
    assert wrong.exit_code == 2 and "known are" in wrong.stderr
    gone = runner.invoke(app, ["train", str(path), "sources.0.path=gone.csv"])
    assert gone.exit_code != 0 and "gone.csv" in gone.stderr


@pytest.mark.parametrize("late_fusion", [None, True])
def test_a_plain_language_model_becomes_one_that_answers(
    table: Path, tmp_path: Path, late_fusion: bool | None
) -> None:
    plain = tmp_path / "plain"
    source = Predictor.from_pretrained("mini")
    tokenizer = source.processor.tokenizer
    sizes = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(sizes).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    config = settings(
        table,
        tmp_path / "run",
        start=str(plain),
        encoders="mini",
        model={"lora_rank": 4, "labels": ["happy", "disgust"]},
        late_fusion=late_fusion,
        validation=(),
        epochs=1,
        learning_rate=1e-2,
    )
    report = train(config)
    answer = Predictor.from_pretrained(report.model_dir)(FROWN, with_reason=False)
    assert answer.label == "disgust"
    assert set(answer.modalities) == {"global", "local", "temporal", "audio"}
    assert bool(answer.alone) is bool(late_fusion)
