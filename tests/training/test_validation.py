"""Validation asks as inference does, disturbs no training, and says when to keep and to stop."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from training.tiny_run import make_trainer, tiny_model, tiny_processor, weights
from transformers import TrainerControl, TrainerState

from emotion_llama.data.dataset import DrawSource
from emotion_llama.data.examples import Example
from emotion_llama.encoders import FeatureExtractor
from emotion_llama.evaluation.metrics import label_figures
from emotion_llama.model import EmotionLlama
from emotion_llama.predict import Predictor
from emotion_llama.prompt import Instruction, normalize_answer
from emotion_llama.records import Features, Sample
from emotion_llama.training import end_process, newest_checkpoint
from emotion_llama.training.validation import (
    Validation,
    ValidationCallback,
    Validator,
    WrittenAnswer,
)

LABELS = ("happy", "sad", "neutral", "angry")
TOLERANCE = 1e-5
"""Largest difference that another batch, so another padding, was seen to make is 1e-6."""


class MadeUp:
    """Features that depend on the clip's number alone; some clips lack a modality."""

    def features(self, clip_id: str) -> Features:
        number = int(clip_id.removeprefix("clip"))
        generator = torch.Generator().manual_seed(number)
        sizes = {"local": 5, "temporal": 4, "audio": 3}
        values = {k: torch.randn(size, generator=generator) for k, size in sizes.items()}
        if number % 3 == 1:
            del values["audio"]
        return Features(**values)


def emotion(number: int, **changes: Any) -> Example:
    label = LABELS[number % len(LABELS)]
    values = {"offered": LABELS, "label": label, "answer": label, "source": "set"} | changes
    transcript = "so it is" if number % 2 else None
    return Example(f"clip{number}", "emotion", transcript=transcript, person=None, **values)


def reason(number: int, **changes: Any) -> Example:
    values = {"answer": f"The person smiles, {'very ' * (number % 3)}much. happy"} | changes
    return Example(
        f"clip{number}",
        "reason",
        label="happy",
        transcript=None,
        person=None,
        source="set",
        offered=None,
        **values,
    )


def source(examples: Sequence[Example]) -> DrawSource:
    return DrawSource(examples, MadeUp())


def validator(examples: Sequence[Example], **settings: Any) -> Validator:
    return Validator(tiny_processor(), [source(examples)], **settings)


def lively_model(**changes: Any) -> EmotionLlama:
    """A model whose answers differ from clip to clip."""
    model = tiny_model(**changes)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        if parameter.ndim > 1:  # the usual small weights let every clip end in the same answer
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


BOTH = [*(emotion(i) for i in range(10)), *(reason(i) for i in range(5))]


def test_labels_are_those_that_inference_answers() -> None:
    model = lively_model()
    found = validator(BOTH, batch_size=3).validate(model)
    predictor = Predictor(model, tiny_processor(), FeatureExtractor(), preset="tiny")
    asked = [example for example in BOTH if example.task == "emotion"]
    predictions = [
        predictor.from_features(
            MadeUp().features(example.clip_id), example.transcript, LABELS, with_reason=False
        )
        for example in asked
    ]
    answers = [prediction.label for prediction in predictions]
    assert len(set(answers)) > 1, "a model that always says the same tests nothing"
    truths = [str(example.label) for example in asked]
    expected = label_figures(truths, answers, LABELS)
    for name in ("accuracy", "uar", "weighted_f1", "macro_f1"):
        assert found.figures[name] == getattr(expected, name)
    of_truth = [p.probabilities[truth] for p, truth in zip(predictions, truths, strict=True)]
    nll = -sum(math.log(p) for p in of_truth) / len(of_truth)
    assert found.figures["label_nll"] == pytest.approx(nll, abs=TOLERANCE)
    assert found.matrix is not None and found.matrix.counts.sum() == len(asked)
    assert "ece" not in found.figures, "ten clips have no calibration error"


def test_the_loss_of_reasons_is_that_of_all_their_tokens_at_once() -> None:
    model = lively_model().eval()
    examples = [reason(number) for number in range(5)]
    batch = tiny_processor()(
        [Sample("reason") for _ in examples],
        [MadeUp().features(example.clip_id) for example in examples],
        [normalize_answer(example.answer) for example in examples],
    )
    expected = model(**batch).loss.item()
    for size in (1, 2, 5):
        figures = validator(examples, batch_size=size)(model)
        assert set(figures) == {"reason_loss"}
        assert figures["reason_loss"] == pytest.approx(expected, rel=TOLERANCE)


def test_labels_that_differ_from_clip_to_clip_are_scored_together() -> None:
    few = [emotion(number, offered=("happy", "sad"), source="few") for number in (0, 1, 4)]
    many = [emotion(number, source="many") for number in range(6)]
    model = lively_model()
    found = validator([*few, *many], batch_size=4).validate(model)
    assert found.matrix is not None and found.matrix.labels == LABELS
    alone = {name: validator(part)(model) for name, part in (("few", few), ("many", many))}
    for name, figures in alone.items():
        assert "uar/few" not in figures
        for figure in ("uar", "accuracy", "weighted_f1"):
            assert found.figures[f"{figure}/{name}"] == figures[figure]
    weighted = (3 * alone["few"]["label_nll"] + 6 * alone["many"]["label_nll"]) / 9
    assert found.figures["label_nll"] == pytest.approx(weighted, rel=TOLERANCE)


def test_a_few_answers_are_written_to_be_looked_at() -> None:
    found = validator(BOTH, num_written=2).validate(lively_model(max_new_tokens=6))
    assert [(a.task, a.clip_id) for a in found.answers] == [
        ("emotion", "clip0"),
        ("emotion", "clip5"),
        ("reason", "clip0"),
        ("reason", "clip2"),
    ]
    assert found.answers[1].expected == "sad"
    assert found.answers[2].expected == "the person smiles, much happy"
    assert all(answer.written for answer in found.answers)
    assert validator(BOTH, num_written=0).validate(lively_model()).answers == ()


def test_the_model_is_left_as_it_was() -> None:
    model = lively_model(lora_dropout=0.5).train()
    model.projector.eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = validator(BOTH)(model)
    assert [module.training for module in model.modules()] == modes
    assert torch.rand(3).equal(expected), "validation drew random numbers of the training"
    assert validator(BOTH)(model) == first, "dropout was on"
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_in_half_precision_and_with_checkpointed_gradients_can_be_asked() -> None:
    model = lively_model()
    model.language_model.to(torch.bfloat16)
    for parameter in model.trainable_parameters().values():
        parameter.data = parameter.data.float()
    model.gradient_checkpointing_enable()
    figures = validator(BOTH)(model.train())
    exact = validator(BOTH)(lively_model())
    assert figures["label_nll"] == pytest.approx(exact["label_nll"], rel=0.1)
    assert figures["reason_loss"] == pytest.approx(exact["reason_loss"], rel=0.1)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "no validation example"),
        ([emotion(3, offered=("happy", "sad"))], "'clip3' of set has the label 'angry', expected"),
        ([emotion(3, label=None)], "the label None, expected one of"),
        ([emotion(0, label="disgust", offered=None)], "happy, sad, neutral, angry, worried"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_training(
    examples: list[Example], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        validator(examples)


def test_a_model_that_diverged_is_not_scored() -> None:
    model = lively_model()
    model.projector.local_projection.bias.data.fill_(math.nan)
    with pytest.raises(ValueError, match="probabilities of the labels .* training has diverged"):
        validator(BOTH)(model)
    with pytest.raises(ValueError, match="loss of reasons .* lower learning_rate"):
        validator([reason(0)])(model)


class Scripted:
    """Gives prepared figures, one set a validation, in place of a validator."""

    figure_names = frozenset({"weighted_f1", "reason_loss"})
    last: Validation | None = None

    def __init__(self, metric: str, values: Sequence[float]) -> None:
        self._rows = iter({metric: value, "brier": 0.5} for value in values)

    def __call__(self, model: EmotionLlama) -> Mapping[str, float]:
        return next(self._rows)


def run(
    output: Path,
    metric: str,
    values: Sequence[float],
    patience: int | None = None,
    *,
    resume: bool = False,
    **settings: Any,
) -> Any:
    script: Any = Scripted(metric, values)
    often = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps"}
    trainer = make_trainer(
        output,
        validate=script,
        callbacks=[ValidationCallback(script, metric=metric, patience=patience)],
        **often | {"save_steps": 1} | settings,
    )
    trainer.train(newest_checkpoint(output) if resume else None)
    return trainer


def checkpoints(output: Path) -> set[str]:
    return {path.name for path in output.glob("checkpoint-*")}


def test_the_best_checkpoint_is_kept_and_training_stops(tmp_path: Path) -> None:
    values = [0.2, 0.5, 0.4, 0.5, 0.6]
    trainer = run(tmp_path, "weighted_f1", values, patience=2, save_total_limit=1)
    assert trainer.state.global_step == 4, "0.5 again is no better figure"
    assert trainer.state.best_global_step == 2
    assert trainer.state.best_metric == 0.5
    assert Path(trainer.state.best_model_checkpoint).name == "checkpoint-2"
    assert checkpoints(tmp_path) == {"checkpoint-2", "checkpoint-4"}


def test_of_a_loss_the_smallest_is_the_best(tmp_path: Path) -> None:
    trainer = run(tmp_path, "reason_loss", [0.5, 0.2, 0.4, 0.6, 0.1, 0.3])
    assert (trainer.state.best_global_step, trainer.state.best_metric) == (5, 0.1)


def test_the_best_is_saved_when_no_save_is_due(tmp_path: Path) -> None:
    run(tmp_path, "weighted_f1", [0.2, 0.5, 0.4, 0.3, 0.3, 0.3], save_steps=100)
    assert checkpoints(tmp_path) == {"checkpoint-1", "checkpoint-2", "checkpoint-6"}


def test_a_figure_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    trainer = run(tmp_path, "weighted_f1", [math.nan, 0.1, math.nan, math.nan], patience=2)
    assert (trainer.state.global_step, trainer.state.best_global_step) == (4, 2)


def test_a_resumed_run_counts_on(tmp_path: Path) -> None:
    values = [0.5, 0.4, 0.3, 0.2, 0.6, 0.6]
    whole = run(tmp_path / "whole", "weighted_f1", values, patience=3)
    assert whole.state.global_step == 4
    stopped = tmp_path / "stopped"
    first = run(stopped, "weighted_f1", values[:3], patience=2)
    assert first.state.global_step == 3
    trainer = run(stopped, "weighted_f1", values[3:], patience=3, resume=True)
    assert trainer.state.global_step == 4
    assert (trainer.state.best_global_step, trainer.state.best_metric) == (1, 0.5)


def test_a_metric_that_the_examples_cannot_tell_is_refused() -> None:
    with pytest.raises(ValueError, match="'reason_loss', expected one of accuracy"):
        ValidationCallback(validator([emotion(0)]), metric="reason_loss")
    with pytest.raises(ValueError, match="'weighted_f1', expected one of reason_loss"):
        ValidationCallback(validator([reason(0)]), metric="weighted_f1")


def test_training_is_the_same_with_validation_and_answers_are_kept(tmp_path: Path) -> None:
    without = make_trainer(tmp_path / "without", model=tiny_model(lora_dropout=0.5), steps=4)
    without.train()
    asked = validator(BOTH, num_written=1)
    file = tmp_path / "answers.jsonl"
    callback = ValidationCallback(asked, metric="reason_loss", answers_file=file)
    trainer = make_trainer(
        tmp_path / "with",
        model=tiny_model(lora_dropout=0.5),
        steps=4,
        validate=asked,
        callbacks=[callback],
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=100,
    )
    trainer.train()
    expected = weights(without.model)
    assert all(value.equal(expected[name]) for name, value in weights(trainer.model).items())
    logged = [row for row in trainer.state.log_history if "eval_uar" in row]
    assert [row["step"] for row in logged] == [2, 4]
    assert trainer.state.best_metric == min(row["eval_reason_loss"] for row in logged)
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [(row["step"], row["task"]) for row in lines] == [
        (2, "emotion"), (2, "reason"), (4, "emotion"), (4, "reason"),
    ]  # fmt: skip


def test_answers_of_steps_that_are_made_again_are_replaced(tmp_path: Path) -> None:
    script = Scripted("weighted_f1", [])
    file = tmp_path / "answers.jsonl"
    callback = ValidationCallback(script, answers_file=file)  # type: ignore[arg-type]
    for step, written in ((2, "old"), (4, "old"), (4, "new"), (6, "new\nline")):
        script.last = Validation({}, None, (WrittenAnswer("a", "set", "reason", "x", written),))
        state = TrainerState(global_step=step, is_world_process_zero=True)
        callback.on_evaluate(None, state, TrainerControl(), {"eval_weighted_f1": 0.1})  # type: ignore[arg-type]
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [(row["step"], row["written"]) for row in rows] == [
        (2, "old"), (4, "new"), (6, "new\nline"),
    ]  # fmt: skip


def test_instructions_give_a_loss_of_their_own() -> None:
    plain = [
        Example(
            f"clip{i}", "instruction", f"{'So' * i}: Yes!", None, None, None, "plain", None, text
        )
        for i, text in enumerate(("Is it?", "Say it twice."), start=1)
    ]
    model = lively_model().eval()
    asked = validator([emotion(0), *plain])
    found = asked.validate(model)
    losses = []
    for example in plain:
        batch = tiny_processor()(
            [Instruction(example.instruction or "")], [Features()], [example.answer]
        )
        tokens = int((batch["labels"] >= 0).sum())
        losses.append((model(**batch).loss.item() * tokens, tokens))
    expected = sum(loss for loss, _ in losses) / sum(tokens for _, tokens in losses)
    assert found.figures["instruction_loss"] == pytest.approx(expected, rel=TOLERANCE)
    assert "instruction_loss" in asked.figure_names and "reason_loss" not in asked.figure_names
    assert [a.expected for a in found.answers if a.task == "instruction"] == [
        "So: Yes!",
        "SoSo: Yes!",
    ]


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(tmp_path: Path) -> None:
    examples = [*(emotion(number) for number in range(9)), *(reason(i) for i in range(3))]
    expected = dict(validator(examples, batch_size=2)(lively_model()))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    paths = os.pathsep.join(str(path) for path in Path(__file__).parents[1:3])
    subprocess.run(
        [sys.executable, *launcher, __file__, str(tmp_path)],
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text("utf-8"))
        assert found == expected, "batches are the same, so the figures are"


def main(folder: str) -> None:
    """Ask in one of several processes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    examples = [*(emotion(number) for number in range(9)), *(reason(i) for i in range(3))]
    figures = dict(validator(examples, batch_size=2)(lively_model()))
    rank = torch.distributed.get_rank()
    (Path(folder) / f"{rank}.json").write_text(json.dumps(figures), encoding="utf-8")
    end_process()


if __name__ == "__main__":
    main(sys.argv[1])
