"""Every run is on a CPU, with one thread where processes are compared."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file
from training.tiny_run import (
    Draws,
    collator,
    losses,
    make_trainer,
    tiny_config,
    tiny_model,
    weights,
)
from transformers import LlamaConfig, TrainerCallback, TrainingArguments

from emotion_llama.model import EmotionLlama, EmotionLlamaConfig, quantization_config
from emotion_llama.training import (
    EmotionTrainer,
    load_adapter,
    newest_checkpoint,
    save_adapter,
)
from emotion_llama.training.trainer import EqualAnswers

SCRIPT = Path(__file__).with_name("tiny_run.py")

ROUNDING = 1e-6
"""Tolerance between runs that add the same numbers in another order, relative for losses and
absolute for weights; measured: at most 1.5e-7 and 7e-8."""


def run(output: Path, resume: Path | None = None, **settings: Any) -> tuple[list[float], Any]:
    dropout = settings.pop("lora_dropout", 0.05)
    model = tiny_model(lora_dropout=dropout)
    trainer = make_trainer(output, model=model, **settings)
    trainer.train(resume)
    return losses(trainer), weights(model)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def furthest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


class StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step == self.step


def test_it_learns_only_what_is_to_learn(tmp_path: Path) -> None:
    model = tiny_model()
    before = {name: value.clone() for name, value in model.named_parameters()}
    trainer = make_trainer(tmp_path, model=model, steps=30)
    trainer.train()
    curve = losses(trainer)
    assert sum(curve[-10:]) < sum(curve[:10]) - 0.5
    changed = {n for n, value in model.named_parameters() if not torch.equal(before[n], value)}
    assert changed == set(model.trainable_parameters())


def test_the_learning_rate_of_each_step_is_the_published_one(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, steps=6)
    trainer.train()
    rates = [row["learning_rate"] for row in trainer.state.log_history if "learning_rate" in row]
    assert rates == pytest.approx([trainer.schedule.rate(step, 6) for step in range(6)])
    assert trainer.args.learning_rate == trainer.schedule.learning_rate


def test_the_library_s_schedules_are_there_too(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path, steps=4, schedule=None, lr_scheduler_type="linear", learning_rate=4e-3
    )
    trainer.train()
    rates = [row["learning_rate"] for row in trainer.state.log_history if "learning_rate" in row]
    assert rates == pytest.approx([4e-3, 3e-3, 2e-3, 1e-3])


def test_the_first_loss_is_the_mean_over_answer_tokens_of_the_draws_in_order(
    tmp_path: Path,
) -> None:
    curve, _ = run(tmp_path, steps=1, batch_size=2, accumulate=2, lora_dropout=0.0)
    draws = Draws(4)
    batch = collator()([draws[i] for i in range(4)])
    expected = tiny_model(lora_dropout=0.0)(**batch).loss
    assert curve[0] == pytest.approx(expected.item(), rel=ROUNDING)


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(tmp_path: Path) -> None:
    first, second, third = (run(tmp_path, seed=seed) for seed in (7, 7, 8))
    assert first[0] == second[0]
    assert same(first[1], second[1])
    assert not same(first[1], third[1])  # other units are dropped out


@pytest.mark.parametrize("equal", [False, True])
def test_accumulation_equals_the_large_batch(tmp_path: Path, equal: bool) -> None:
    # Batches differ in the number of answer tokens: a mean of means would differ by per cents.
    # Epsilon above the rounding of gradients that are zero but for it, which Adam would scale up.
    settings = {"lora_dropout": 0.0, "adam_epsilon": 1e-5, "equal_answers": equal}
    large = run(tmp_path, batch_size=4, **settings)
    small = run(tmp_path, batch_size=1, accumulate=4, **settings)
    assert small[0] == pytest.approx(large[0], rel=ROUNDING)
    assert furthest(small[1], large[1]) < ROUNDING


def test_checkpointed_activations_change_nothing(tmp_path: Path) -> None:
    plain = run(tmp_path)
    model = tiny_model()
    trainer = make_trainer(tmp_path, model=model, activation_checkpointing=True)
    calls = []
    part = model.language_model.model.layers[0].mlp
    hook = part.register_forward_pre_hook(lambda *_: calls.append(1))
    trainer.train()
    hook.remove()
    assert len(calls) == 2 * 6  # each layer is computed twice a step
    assert losses(trainer) == plain[0]
    assert same(weights(model), plain[1])


@pytest.mark.parametrize("stop", [2, 3])
def test_a_stopped_run_goes_on_as_if_it_had_not(tmp_path: Path, stop: int) -> None:
    settings = {"steps": 6, "accumulate": 2, "save_strategy": "steps", "save_steps": 1}
    whole = run(tmp_path / "whole", **settings)
    part = make_trainer(tmp_path / "part", callbacks=[StopAt(stop)], **settings)
    part.train()
    assert len(losses(part)) == stop
    resumed = run(tmp_path / "part", newest_checkpoint(tmp_path / "part"), **settings)
    assert resumed[0] == whole[0]
    assert same(resumed[1], whole[1])


def test_only_what_learns_is_saved_and_the_latest_stay(tmp_path: Path) -> None:
    make_trainer(tmp_path, steps=5, save_strategy="steps", save_steps=1, save_total_limit=2).train()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-4", "checkpoint-5"]
    files = {path.name for path in (tmp_path / "checkpoint-5").iterdir()}
    assert not {"model.safetensors", "pytorch_model.bin", "training_args.bin"} & files
    assert {"adapter_config.json", "adapter_model.safetensors", "projector.safetensors"} < files


class Figures:
    """Best at the second of five validations."""

    def __init__(self) -> None:
        self.values = [0.2, 0.9, 0.4, 0.3, 0.1]
        self.training: list[bool] = []

    def __call__(self, model: EmotionLlama) -> dict[str, float | None]:
        self.training.append(model.training)
        torch.rand(3)
        return {"uar": self.values[len(self.training) - 1], "reason_loss": None}


VALIDATED = {
    "steps": 5,
    "save_strategy": "steps",
    "save_steps": 1,
    "eval_strategy": "steps",
    "eval_steps": 1,
    "metric_for_best_model": "uar",
    "greater_is_better": True,
}


def test_the_best_checkpoint_is_kept_and_loaded(tmp_path: Path) -> None:
    model, figures = tiny_model(), Figures()
    trainer = make_trainer(
        tmp_path,
        model=model,
        validate=figures,
        load_best_model_at_end=True,
        save_total_limit=1,
        **VALIDATED,
    )
    trainer.train()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-5"]
    assert trainer.state.best_metric == 0.9
    best = load_file(tmp_path / "checkpoint-2" / "projector.safetensors")
    assert torch.equal(best["audio_projection.weight"], model.projector.audio_projection.weight)
    assert figures.training == [False] * 5
    logged = [row["eval_uar"] for row in trainer.state.log_history if "eval_uar" in row]
    assert logged == figures.values
    assert not any("eval_reason_loss" in row for row in trainer.state.log_history)


def test_validation_does_not_change_what_is_learned(tmp_path: Path) -> None:
    without = run(tmp_path / "without", steps=5)
    with_it = run(tmp_path / "with", validate=Figures(), **VALIDATED)
    assert with_it[0] == without[0]
    assert same(with_it[1], without[1])


def test_validation_without_figures_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="eval_strategy to 'no'"):
        make_trainer(tmp_path).evaluate()


def test_a_data_set_for_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has 24 draws, .* = 6 x 2 x 1 x 1 = 12"):
        make_trainer(tmp_path, processes=2)


def test_training_leaves_the_settings_of_the_model_as_they_were(tmp_path: Path) -> None:
    model = tiny_model()
    before = model.config.to_dict()
    make_trainer(tmp_path, model=model, steps=1).train()
    assert model.config.to_dict() == before


def test_a_loss_that_is_no_number_is_reported(tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.projector.local_projection.bias.fill_(torch.nan)
    trainer = make_trainer(tmp_path, model=model, steps=2)
    trainer.train()
    assert all(map(math.isnan, losses(trainer)))


def test_nothing_is_cached_in_training(tmp_path: Path) -> None:
    model = tiny_model()
    caches = []
    model.language_model.register_forward_hook(lambda *call: caches.append(call[-1].cache))
    make_trainer(tmp_path, model=model, steps=1).train()
    assert caches == [None]


def test_one_process_uses_one_gpu(tmp_path: Path) -> None:
    args = TrainingArguments(output_dir=str(tmp_path), max_steps=3, use_cpu=True, report_to=[])
    assert args.n_gpu in (0, 1)
    args._n_gpu = 2  # as where the machine has two
    trainer = EmotionTrainer(
        tiny_model(), args, train_dataset=Draws(3 * 8), collator=collator(), schedule=None
    )
    assert trainer.args.n_gpu == 1


def in_processes(output: Path, count: int = 1, **settings: Any) -> subprocess.CompletedProcess[str]:
    output.mkdir(exist_ok=True)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [sys.executable, *(launcher if count > 1 else []), str(SCRIPT), str(output)]
    paths = [str(SCRIPT.parents[1]), str(SCRIPT.parents[2])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.run(
        [*command, json.dumps(settings)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )


def result(output: Path) -> tuple[list[float], dict[str, torch.Tensor]]:
    curve = json.loads((output / "losses.json").read_text(encoding="utf-8"))
    return curve, load_file(output / "weights.safetensors")


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    settings = {"steps": 7, "accumulate": 2, "save_strategy": "steps", "save_steps": 2}
    killed = in_processes(tmp_path / "killed", kill_at=5, **settings)
    assert killed.returncode == -9, killed.stderr
    assert newest_checkpoint(tmp_path / "killed") == tmp_path / "killed" / "checkpoint-4"
    resumed = in_processes(tmp_path / "killed", resume=True, **settings)
    assert resumed.returncode == 0, resumed.stderr
    whole = in_processes(tmp_path / "whole", **settings)
    assert whole.returncode == 0, whole.stderr
    assert result(tmp_path / "killed")[0] == result(tmp_path / "whole")[0]
    assert same(result(tmp_path / "killed")[1], result(tmp_path / "whole")[1])


def test_every_answer_counts_the_same() -> None:
    logits = torch.zeros(2, 4, 5)
    logits[0, 2, 1] = 2.0
    labels = torch.tensor([[-100, -100, -100, 1], [-100, 3, 2, 4]])
    first = -math.log(math.exp(2.0) / (math.exp(2.0) + 4.0))
    loss = EqualAnswers(4)(SimpleNamespace(logits=logits), labels)
    assert loss.item() == pytest.approx((first + math.log(5.0)) / 4)


@pytest.mark.slow
@pytest.mark.parametrize(("checkpointing", "equal"), [(False, False), (True, True)])
def test_two_processes_learn_as_one(tmp_path: Path, checkpointing: bool, equal: bool) -> None:
    # In a step of 2 x 2 x 2 draws the processes have other numbers of answer tokens, and one may
    # have a picture where the other has none.
    settings = {
        "steps": 5,
        "batch_size": 2,
        "lora_dropout": 0.0,  # which units are dropped depends on the process
        "adam_epsilon": 1e-5,
        "activation_checkpointing": checkpointing,
        "equal_answers": equal,
    }
    one = in_processes(tmp_path / "one", accumulate=4, **settings)
    assert one.returncode == 0, one.stderr
    two = in_processes(
        tmp_path / "two", 2, accumulate=2, processes=2, ddp_backend="gloo", **settings
    )
    assert two.returncode == 0, two.stderr
    (curve, weights_), (expected, expected_weights) = (
        result(tmp_path / name) for name in ("two", "one")
    )
    assert curve == pytest.approx(expected, rel=ROUNDING)
    assert furthest(weights_, expected_weights) < ROUNDING


@pytest.mark.slow
def test_two_processes_go_on_after_a_stop(tmp_path: Path) -> None:
    settings = {
        "steps": 4,
        "processes": 2,
        "ddp_backend": "gloo",
        "save_strategy": "steps",
        "save_steps": 2,
    }
    whole = in_processes(tmp_path / "whole", 2, **settings)
    assert whole.returncode == 0, whole.stderr
    (tmp_path / "part").mkdir()
    (tmp_path / "whole" / "checkpoint-2").rename(tmp_path / "part" / "checkpoint-2")
    resumed = in_processes(tmp_path / "part", 2, resume=True, **settings)
    assert resumed.returncode == 0, resumed.stderr
    assert result(tmp_path / "part")[0] == result(tmp_path / "whole")[0]
    assert same(result(tmp_path / "part")[1], result(tmp_path / "whole")[1])


SPREAD: dict[str, Any] = {
    "steps": 4,
    "lora_dropout": 0.0,
    "adam_epsilon": 1e-5,
    "save_strategy": "steps",
    "save_steps": 2,
    "asks": True,
}
OVER_TWO: dict[str, Any] = {**SPREAD, "processes": 2, "fsdp": True, "fsdp_config": {"version": 2}}


@pytest.mark.slow
def test_spread_weights_learn_as_one_process_and_are_saved_whole(tmp_path: Path) -> None:
    one = in_processes(tmp_path / "one", accumulate=2, **SPREAD)
    assert one.returncode == 0, one.stderr
    two = in_processes(tmp_path / "two", 2, ddp_backend="gloo", **OVER_TWO)
    assert two.returncode == 0, two.stderr
    require_learned_as_one(tmp_path, rounding=ROUNDING)
    folder = tmp_path / "two" / "checkpoint-4"
    assert not list(folder.glob("pytorch_model*")), "the frozen weights are not saved"
    model = tiny_model()
    load_adapter(model, folder)
    assert same(weights(model), result(tmp_path / "two")[1])
    (tmp_path / "part").mkdir()
    (tmp_path / "two" / "checkpoint-2").rename(tmp_path / "part" / "checkpoint-2")
    resumed = in_processes(tmp_path / "part", 2, resume=True, ddp_backend="gloo", **OVER_TWO)
    assert resumed.returncode == 0, resumed.stderr
    assert result(tmp_path / "part")[0] == result(tmp_path / "two")[0]
    assert same(result(tmp_path / "part")[1], result(tmp_path / "two")[1])


@pytest.mark.gpu
def test_spread_weights_learn_on_gpus(tmp_path: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("NOT CHECKED: weights were not spread over GPUs (FSDP2), for two are needed")
    for name, settings in (("one", {**SPREAD, "accumulate": 2}), ("two", OVER_TWO)):
        count = 2 if name == "two" else 1
        done = in_processes(tmp_path / name, count, use_cpu=False, on_cpus=False, **settings)
        assert done.returncode == 0, done.stderr
    require_learned_as_one(tmp_path, rounding=1e-3)


def require_learned_as_one(folder: Path, rounding: float) -> None:
    """Compare a run over two processes with that of one."""
    (curve, found), (expected, weights_) = (result(folder / name) for name in ("two", "one"))
    assert curve == pytest.approx(expected, rel=rounding)
    assert furthest(found, weights_) < rounding
    facts = [json.loads((folder / name / "facts.json").read_text()) for name in ("one", "two")]
    # two layers, the embedding, norm and output together, and what is left
    assert [fact["spread"] for fact in facts] == [0, 5]
    asked = [fact["asked"] for fact in facts]
    assert [row["step"] for row in asked[1]] == [2, 4]
    for row, alone in zip(*reversed(asked), strict=True):
        assert row == pytest.approx(alone, abs=rounding)


def on_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NOT CHECKED: training on a GPU, for there is none")


def half_model() -> EmotionLlama:
    """Frozen weights in fp16, as a training in fp16 loads them."""
    return tiny_model().half()


@pytest.mark.gpu
def test_fp16_learns_on_a_gpu_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    on_gpu()
    settings = {"use_cpu": False, "fp16": True, "steps": 30, "save_strategy": "steps"}
    whole = make_trainer(tmp_path / "whole", model=half_model(), save_steps=15, **settings)
    whole.train()
    curve, learned = losses(whole), weights(whole.model)
    assert sum(curve[-10:]) < sum(curve[:10]) - 0.5
    assert all(bool(value.isfinite().all()) for value in learned.values())
    stopped = make_trainer(
        tmp_path / "part", model=half_model(), callbacks=[StopAt(15)], save_steps=15, **settings
    )
    stopped.train()
    checkpoint = newest_checkpoint(tmp_path / "part")
    assert checkpoint is not None
    assert (checkpoint / "scaler.pt").is_file()
    again = make_trainer(tmp_path / "part", model=half_model(), save_steps=15, **settings)
    again.train(checkpoint)
    assert losses(again) == pytest.approx(curve, rel=1e-3)
    assert furthest(weights(again.model), learned) < 1e-3


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("bits", [8, 4])
def test_adapters_of_a_quantised_model_learn(
    tmp_path: Path, bits: Literal[4, 8], device: str
) -> None:
    pytest.importorskip("bitsandbytes", reason="few-bit loading needs bitsandbytes")
    if device == "cuda":
        on_gpu()
    wide = LlamaConfig(
        **(tiny_config().text_config.to_dict() | {"hidden_size": 128, "head_dim": 32})
    )
    torch.manual_seed(0)
    EmotionLlama(
        EmotionLlamaConfig(**(tiny_config().to_dict() | {"text_config": wide}))
    ).save_pretrained(tmp_path / "start")
    model = EmotionLlama.from_pretrained(
        tmp_path / "start",
        dtype=torch.bfloat16,
        device_map=device,
        quantization_config=quantization_config(bits),
    )
    trainer = make_trainer(
        tmp_path,
        model=model,
        steps=30,
        use_cpu=device == "cpu",
        bf16=True,
        save_steps=30,
        save_strategy="steps",
    )
    trainer.train()
    curve = losses(trainer)
    assert sum(curve[-10:]) < sum(curve[:10]) - 0.5
    assert f"{bits}bit" in type(model.language_model.model.layers[0].mlp.up_proj).__name__
    assert newest_checkpoint(tmp_path) is not None


def test_weights_are_spread_only_where_that_can_be_done(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fsdp is set, but there is one process.*torchrun"):
        make_trainer(tmp_path, fsdp=True)


@pytest.mark.slow
def test_weights_are_not_spread_over_cpus_in_silence(tmp_path: Path) -> None:
    done = in_processes(tmp_path, 2, ddp_backend="gloo", on_cpus=False, **OVER_TWO)
    assert done.returncode != 0
    assert "the library spreads weights over GPUs only" in done.stderr


@pytest.mark.slow
def test_parameters_that_are_spread_over_processes_are_loaded_and_saved(tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        for parameter in model.trainable_parameters().values():
            parameter.normal_()
    save_adapter(model, tmp_path / "before")
    done = in_processes(tmp_path, 2, in_parts=True)
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "before").iterdir():
        assert (tmp_path / "after" / path.name).read_bytes() == path.read_bytes(), path.name
