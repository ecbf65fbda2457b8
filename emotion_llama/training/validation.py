"""Validation during training: labels scored by the decision rule of inference, loss of words.

Knows: which examples are asked about and how their figures are put together, over any number of
processes; which validation was the best one. Does not know: where features come from, how a label
is decided (`emotion_llama.model.scoring`), when validation is due, how a checkpoint is written.
"""

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from emotion_llama.data.dataset import DrawSource, as_instruction
from emotion_llama.data.examples import Example
from emotion_llama.data.features import FeatureSource
from emotion_llama.evaluation.metrics import (
    Confusion,
    calibration,
    confusion,
    label_figures,
    top_k_accuracy,
)
from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.processor import IGNORED_LABEL, Prompted
from emotion_llama.model.scoring import (
    LABEL_TOKENS,
    label_probabilities,
    model_inputs,
    write_answers,
)
from emotion_llama.records import Features, Sample

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

SMALLER_IS_BETTER = frozenset({"reason_loss", "instruction_loss", "label_nll", "brier", "ece"})
"""Figures that fall as a model gets better; all others rise."""

_REASON_TOKENS = 128
"""Most tokens of a reason that is written for people to look at; a model that has not learned yet
when to stop would fill more."""


@dataclass(frozen=True)
class WrittenAnswer:
    """What the model writes by itself (greedily) to one validation question."""

    clip_id: str
    source: str
    task: str
    expected: str
    """the target, in the form in which it is learned"""
    written: str


@dataclass(frozen=True)
class Validation:
    """What one validation found."""

    figures: Mapping[str, float]
    """by name, see `Validator`"""
    matrix: Confusion | None
    """of the scored labels; ``None`` without examples of the emotion task"""
    answers: tuple[WrittenAnswer, ...]


class _Question(NamedTuple):
    """An example, and where the features of its clip come from."""

    example: Example
    source: FeatureSource


class _Scored(NamedTuple):
    """A clip's truth, and the probability of each label offered for it."""

    example: Example
    probabilities: Mapping[str, float]

    @property
    def answer(self) -> str:
        # the first of equals, as in `emotion_llama.predict`
        return max(self.probabilities, key=self.probabilities.__getitem__)


class Validator:
    """Asks a model about validation examples; the same examples in the same batches every time.

    Figures, by name:

    - of ``emotion`` examples: ``accuracy``, ``uar``, ``weighted_f1``, ``macro_f1``, ``top_2``
      (with three labels or more), ``label_nll``, ``brier``, ``ece`` (from 1,000 clips on); with
      several sources also ``accuracy/NAME``, ``uar/NAME`` and ``weighted_f1/NAME`` of each;
    - of ``reason`` examples: ``reason_loss``, the mean cross-entropy of a token of the captions
      after the default question;
    - of plain instructions: ``instruction_loss``, the same of their answers, which rises as the
      language model forgets.

    Processes that were started together share the batches, and all give the figures of all.

    Args:
        processor: prompts and token layout
        sources: what is asked, every example once; weights are for draws and not read
        batch_size: examples at once; each scored one takes as much memory as labels are offered
        num_written: examples of each task that the model writes an answer to, to be looked at

    Raises:
        ValueError: there is no example, or an emotion example without a label or whose label is
            not offered
    """

    def __init__(
        self,
        processor: EmotionLlamaProcessor,
        sources: Sequence[DrawSource],
        *,
        batch_size: int = 4,
        num_written: int = 3,
    ) -> None:
        questions = [
            _Question(example, source.features) for source in sources for example in source.examples
        ]
        if not questions:
            msg = "found no validation example; give annotations that have some, or no validation"
            raise ValueError(msg)
        self._processor = processor
        self._num_written = num_written
        self._emotion = [q for q in questions if q.example.task == "emotion"]
        self._reason = [q for q in questions if q.example.task == "reason"]
        self._instructions = [q for q in questions if q.example.task == "instruction"]
        for question in self._emotion:
            self._require_offered(question.example)
        self._label_batches = self._batches_by_offer(batch_size)
        self._worded_batches = {
            task: _batches(worded, batch_size)
            for task, worded in (("reason", self._reason), ("instruction", self._instructions))
            if worded
        }
        self.last: Validation | None = None

    @property
    def figure_names(self) -> frozenset[str]:
        """Names that can choose a checkpoint with these examples."""
        of_labels = {"accuracy", "uar", "weighted_f1", "macro_f1", "label_nll", "brier"}
        of_words = {f"{task}_loss" for task in self._worded_batches}
        return frozenset((of_labels if self._emotion else set()) | of_words)

    def __call__(self, model: EmotionLlama) -> Mapping[str, float]:
        """Give the figures of a model by name; `last` keeps what else was found."""
        return self.validate(model).figures

    def validate(self, model: EmotionLlama) -> Validation:
        """Ask a model; afterwards it is in the mode, and draws the random numbers, of before.

        Raises:
            NoFeaturesError: a clip has no features
            ValueError: a feature has a wrong shape, a prompt is too long, or the model's numbers
                are not finite
        """
        with _evaluating(model), torch.no_grad():
            scored = self._score(model)
            figures = self._label_figures(scored)
            for task, batches in self._worded_batches.items():
                figures[f"{task}_loss"] = self._mean_loss(model, task, batches)
            kinds = (self._emotion, self._reason, self._instructions)
            answers = tuple(answer for kind in kinds for answer in self._write(model, kind))
        matrix = None
        if scored:
            matrix = confusion(*_truths_and_answers(scored), _all_labels(scored))
        self.last = Validation(figures, matrix, answers)
        return self.last

    def _offered(self, example: Example) -> tuple[str, ...]:
        return example.offered or tuple(self._processor.config.labels)

    def _require_offered(self, example: Example) -> None:
        offered = self._offered(example)
        if example.label in offered:
            return
        msg = (
            f"clip {example.clip_id!r} of {example.source} has the label {example.label!r}, "
            f"expected one of those that the question offers: {', '.join(offered)}; set `labels` "
            "of this validation source to leave such clips out, or `offered` to offer the label"
        )
        raise ValueError(msg)

    def _batches_by_offer(self, size: int) -> list[list[_Question]]:
        """Put examples that offer the same labels into batches together."""
        groups: dict[tuple[str, ...], list[_Question]] = {}
        for question in self._emotion:
            groups.setdefault(self._offered(question.example), []).append(question)
        return [batch for group in groups.values() for batch in _batches(group, size)]

    def _asked(self, batch: Sequence[_Question]) -> tuple[list[Prompted], list[Features]]:
        samples = [self._prompted(example) for example, _ in batch]
        return samples, [source.features(example.clip_id) for example, source in batch]

    def _prompted(self, example: Example) -> Prompted:
        if example.task == "instruction":
            return as_instruction(example)
        return Sample(
            example.task,
            transcript=example.transcript,
            labels=self._offered(example),
            name=example.clip_id,
        )

    def _score(self, model: EmotionLlama) -> list[_Scored]:
        def score(batch: list[_Question]) -> list[list[float]]:
            labels = self._offered(batch[0].example)
            rows = label_probabilities(model, self._processor, *self._asked(batch), labels)
            return [row.tolist() for row in rows]

        results = _shared(self._label_batches, score)
        return [
            _Scored(example, dict(zip(self._offered(example), row, strict=True)))
            for batch, rows in zip(self._label_batches, results, strict=True)
            for (example, _), row in zip(batch, rows, strict=True)
        ]

    def _label_figures(self, scored: Sequence[_Scored]) -> dict[str, float]:
        if not scored:
            return {}
        labels = _all_labels(scored)
        truths, answers = _truths_and_answers(scored)
        means = label_figures(truths, answers, labels)
        rows = np.array([[row.probabilities.get(label, 0.0) for label in labels] for row in scored])
        _require_finite("the probabilities of the labels", rows)
        found = calibration(rows, truths, labels)
        figures = {
            "accuracy": means.accuracy,
            "uar": means.uar,
            "weighted_f1": means.weighted_f1,
            "macro_f1": means.macro_f1,
            "label_nll": found.nll,
            "brier": found.brier,
        }
        if len(labels) > 2:
            figures["top_2"] = top_k_accuracy(rows, truths, labels, k=2)
        if found.ece is not None:
            figures["ece"] = found.ece
        return figures | _figures_by_source(scored)

    def _mean_loss(
        self, model: EmotionLlama, task: str, batches: Sequence[list[_Question]]
    ) -> float:
        def loss(batch: list[_Question]) -> tuple[float, int]:
            samples, features = self._asked(batch)
            targets = [
                self._processor.training_target(sample, question.example.answer)
                for sample, question in zip(samples, batch, strict=True)
            ]
            inputs = model_inputs(model, self._processor, samples, features, targets)
            tokens = int((inputs["labels"] != IGNORED_LABEL).sum())
            mean = model(**inputs, use_cache=False).loss
            return float(mean) * tokens, tokens

        sums = _shared(batches, loss)
        _require_finite(f"the loss of {task}s", [total for total, _ in sums])
        return math.fsum(total for total, _ in sums) / sum(tokens for _, tokens in sums)

    def _write(self, model: EmotionLlama, questions: list[_Question]) -> Iterator[WrittenAnswer]:
        """Let the model answer questions spread over the list; every process does the same."""
        count = min(self._num_written, len(questions))
        chosen = [questions[number * len(questions) // count] for number in range(count)]
        if not chosen:
            return
        samples, features = self._asked(chosen)
        longest = LABEL_TOKENS if chosen[0].example.task == "emotion" else _REASON_TOKENS
        written = write_answers(model, self._processor, samples, features, max_new_tokens=longest)
        for (example, _), sample, answer in zip(chosen, samples, written, strict=True):
            yield WrittenAnswer(
                clip_id=example.clip_id,
                source=example.source,
                task=example.task,
                expected=self._processor.training_target(sample, example.answer),
                written=answer,
            )


class ValidationCallback(TrainerCallback):
    """After a validation: saves the best one's weights, stops when none gets better any more.

    Goes with a trainer whose ``evaluate`` reports the figures of the validator as ``eval_NAME``
    (`emotion_llama.training.EmotionTrainer` with ``validate=validator``). Which validation was the
    best one is kept in the trainer's own state, so that the library keeps its checkpoint and a run
    that goes on after a stop counts on. The library saves and keeps checkpoints only with a
    ``save_strategy`` of ``steps`` or ``epoch``.

    Args:
        validator: what was called; its written answers are logged
        metric: figure that chooses the best checkpoint
        patience: validations without a better figure after which training stops; ``None``: never
        answers_file: JSON lines that written answers are added to

    Raises:
        ValueError: the validator does not give the metric
    """

    def __init__(
        self,
        validator: Validator,
        *,
        metric: str = "weighted_f1",
        patience: int | None = None,
        answers_file: Path | None = None,
    ) -> None:
        if metric not in validator.figure_names:
            names = ", ".join(sorted(validator.figure_names))
            msg = (
                f"metric is {metric!r}, expected one of {names}, which the validation examples can "
                "tell; choose one of them, or validate with examples of the other task too"
            )
            raise ValueError(msg)
        self._validator = validator
        self._metric = metric
        self._patience = patience
        self._answers_file = answers_file

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Compare the figure with the best one; keep what the model wrote."""
        if self._validator.last is not None and state.is_world_process_zero:
            self._keep_answers(state.global_step, self._validator.last.answers)
        # what is no number is not reported, and is never the best one
        value = (metrics or {}).get(f"eval_{self._metric}", math.nan)
        if self._is_better(value, state.best_metric):
            state.best_metric = value
            state.best_global_step = state.global_step
            control.should_save = True
        elif self._patience is not None and self._validations_since_best(state) >= self._patience:
            logger.info(
                "training stops after step %d: %s has not been better than %s, that of step %s, "
                "in %d validations",
                state.global_step,
                self._metric,
                state.best_metric,
                state.best_global_step,
                self._patience,
            )
            control.should_training_stop = True
            control.should_save = True

    def _is_better(self, value: float, best: float | None) -> bool:
        if best is None:
            return not math.isnan(value)
        return value < best if self._metric in SMALLER_IS_BETTER else value > best

    def _validations_since_best(self, state: TrainerState) -> int:
        """Count validations in the history, which a resumed run has read from its checkpoint."""
        best = state.best_global_step or 0
        steps = {
            row["step"]
            for row in state.log_history
            if any(name.startswith("eval_") for name in row)
        }
        return len({step for step in steps | {state.global_step} if step > best})

    def _keep_answers(self, step: int, answers: Sequence[WrittenAnswer]) -> None:
        for answer in answers:
            logger.info(
                "step %d, %s of %s: expected %r, written %r",
                step,
                answer.task,
                answer.clip_id,
                answer.expected,
                answer.written,
            )
        if self._answers_file is None:
            return
        # what a stopped run wrote after the checkpoint that it goes on from is written anew
        kept = [line for line in _lines(self._answers_file) if json.loads(line)["step"] < step]
        new = [json.dumps({"step": step} | asdict(a), ensure_ascii=False) for a in answers]
        part = self._answers_file.with_suffix(".part")
        part.write_text("".join(f"{line}\n" for line in [*kept, *new]), encoding="utf-8")
        part.replace(self._answers_file)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _batches(questions: Sequence[_Question], size: int) -> list[list[_Question]]:
    return [list(questions[start : start + size]) for start in range(0, len(questions), size)]


def _shared(
    batches: Sequence[list[_Question]], run: Callable[[list[_Question]], Result]
) -> list[Result]:
    """Run batches, each in one of the processes that were started together; give all results.

    Batches do not depend on the number of processes, so neither do the figures.
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if not distributed or not batches:
        return [run(batch) for batch in batches]
    rank, count = torch.distributed.get_rank(), torch.distributed.get_world_size()
    own: list[tuple[int, Result]] = []
    for start in range(0, len(batches), count):
        # a process without a batch of its own repeats the last one: where weights are spread over
        # processes, all of them have to compute together
        number = min(start + rank, len(batches) - 1)
        own.append((number, run(batches[number])))
    gathered: list[list[tuple[int, Result]]] = [[] for _ in range(count)]
    torch.distributed.all_gather_object(gathered, own)
    results = {number: result for part in reversed(gathered) for number, result in part}
    return [results[number] for number in range(len(batches))]


@contextmanager
def _evaluating(model: EmotionLlama) -> Iterator[None]:
    """Turn dropout off, then put every module back into the mode that it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _require_finite(what: str, numbers: Any) -> None:
    if not np.isfinite(numbers).all():
        msg = (
            f"{what} of the validation are not all finite numbers: training has diverged; go on "
            "from an earlier checkpoint with a lower learning_rate, with max_grad_norm, or in "
            "bf16 instead of fp16"
        )
        raise ValueError(msg)


def _all_labels(scored: Sequence[_Scored]) -> tuple[str, ...]:
    """Give every offered label once, in the order of the offers."""
    return tuple(dict.fromkeys(label for row in scored for label in row.probabilities))


def _truths_and_answers(scored: Sequence[_Scored]) -> tuple[list[str], list[str]]:
    return [row.example.label or "" for row in scored], [row.answer for row in scored]


def _figures_by_source(scored: Sequence[_Scored]) -> dict[str, float]:
    """Give the figures of each source, where there are several."""
    sources: dict[str, list[_Scored]] = {}
    for row in scored:
        sources.setdefault(row.example.source, []).append(row)
    figures = {}
    for source, rows in sources.items() if len(sources) > 1 else ():
        means = label_figures(*_truths_and_answers(rows), _all_labels(rows))
        figures[f"accuracy/{source}"] = means.accuracy
        figures[f"uar/{source}"] = means.uar
        figures[f"weighted_f1/{source}"] = means.weighted_f1
    return figures
