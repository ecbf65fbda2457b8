"""`transformers.Trainer` for `EmotionLlama`: its loop, with what differs for this model.

Knows: order of the data, what is saved and when it is complete, what may be used in resuming.
Does not know: annotations, prompts, how answers are scored.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import save_fsdp_optimizer
from torch import nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer import SCHEDULER_NAME
from transformers.training_args import ParallelMode

from emotion_llama.model import EmotionLlama
from emotion_llama.model.processor import IGNORED_LABEL
from emotion_llama.training.checkpoint import (
    COMPLETE_FILE,
    load_adapter,
    mark_complete,
    prune_checkpoints,
    save_adapter,
    whole_tensors,
)
from emotion_llama.training.optimizer import is_decayed, prepare_trainable
from emotion_llama.training.schedule import PublishedSchedule
from emotion_llama.training.walking import walked_once

Validate = Callable[[EmotionLlama], Mapping[str, float | None]]
"""Gives the figures of a model by name, ``None`` where one cannot be told."""


class EmotionTrainer(Trainer):
    """Trains LoRA and projections; what the library's trainer does is not repeated here.

    What differs, and why:

    - data are read in their order: the data set draws, so that a stopped run goes on with the
      very examples that were due;
    - the loss is the mean over the answer tokens, or over the answers, of the whole step, over all
      processes and accumulated batches, so that neither changes what is learned;
    - a checkpoint holds LoRA and projections, and counts only when all of it is written;
    - with weights spread over processes (``args.fsdp``) checkpoints hold no more than without:
      the frozen language model is not written, and LoRA and projections are written whole;
    - each process drops out other units, as published (seed + process number);
    - a loss that is not a number is reported as it is.

    Args:
        model: what is trained; parameters that learn become fp32, all others are frozen
        args: settings of the library. Those that the points above rest on are set here; of
            ``save_total_limit`` the latest checkpoints are kept, and the best one beside them
        train_dataset: draws, steps x examples of a step over all processes of them
        collator: items of the data set -> arguments of ``EmotionLlama.forward``
        schedule: learning rate; ``None`` takes the library's by ``args.lr_scheduler_type``
        equal_answers: take the mean over the tokens of each answer first, so that a label counts as
            much as a reason; as published, where a process had one answer at a time
        validate: figures of the model; called where ``args.eval_strategy`` says, in all processes,
            of which the first one's count
        callbacks: of the library

    Raises:
        ValueError: the data set does not have the length of the run, or weights are to be spread
            where that cannot be done
    """

    control: Any
    lr_scheduler: LRScheduler | None

    def __init__(
        self,
        model: EmotionLlama,
        args: TrainingArguments,
        *,
        train_dataset: Dataset[Any],
        collator: Callable[[list[Any]], Mapping[str, torch.Tensor]],
        schedule: PublishedSchedule | None = None,
        equal_answers: bool = False,
        validate: Validate | None = None,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        self.num_trainable = prepare_trainable(model)
        self.schedule = schedule
        self.validate = validate
        self._keep = args.save_total_limit
        _fix_settings(args)
        if args.fsdp and args.parallel_mode != ParallelMode.DISTRIBUTED:
            msg = (
                "fsdp is set, but there is one process, over which nothing can be spread; start "
                "with torchrun --nproc-per-node NUMBER-OF-GPUS -m emotion_llama train ..."
            )
            raise ValueError(msg)
        if schedule is not None:
            args.learning_rate = schedule.learning_rate
        _require_length(args, train_dataset)
        generation_cache = getattr(model.config, "use_cache", None)
        with _known_adapters(model):
            super().__init__(
                model=model,
                args=args,
                train_dataset=train_dataset,
                # the library wants one to be there before it calls `evaluate`, which reads none
                eval_dataset=train_dataset if validate else None,
                data_collator=collator,
                compute_loss_func=EqualAnswers(_answers_of_a_step(args)) if equal_answers else None,
                callbacks=list(callbacks),
            )
        _restore_cache(model, generation_cache)
        if args.fsdp and not self.is_fsdp_enabled:
            msg = "fsdp is set, but the library spreads weights over GPUs only; train without fsdp"
            raise ValueError(msg)

    def train(self, resume_from_checkpoint: str | Path | None = None, **kwargs: Any) -> Any:
        """Train, or go on with training from a checkpoint (`newest_checkpoint`)."""
        set_seed(self.args.seed + self.args.process_index)
        path = None if resume_from_checkpoint is None else str(resume_from_checkpoint)
        with ExitStack() as self._during_training:
            return super().train(resume_from_checkpoint=path, **kwargs)

    def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
        # the library takes the mean over processes of every loss that it logs but of the last
        own: torch.Tensor = self._tr_loss  # type: ignore[has-type]
        self._tr_loss = self.accelerator.reduce(own, reduction="mean")
        return super()._finalize_training(*args, **kwargs)

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        model, batches = super()._prepare_for_training(*args, **kwargs)
        if self.is_fsdp_enabled:
            # validation scores without `forward`, at which weights are gathered
            register_fsdp_forward_method(self.model, "score_answers")
        self._learning = self._during_training.enter_context(walked_once(model))
        return model, batches

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        if self.is_fsdp_enabled:
            return super()._clip_grad_norm(model)
        return self.accelerator.clip_grad_norm_(self._learning, self.args.max_grad_norm)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """Give the norm of the gradients, where it is not known yet only if it is to be logged."""
        if grad_norm is not None or self.is_fsdp_enabled:
            return super()._get_grad_norm(model, grad_norm=grad_norm)
        step = self.state.global_step + 1
        is_first = step == 1 and self.args.logging_first_step
        if step % (self.state.logging_steps or 1) and not is_first:
            return None
        return self.accelerator.clip_grad_norm_(self._learning, math.inf)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Name the parameters that decay, see `is_decayed`."""
        return [name for name, value in model.named_parameters() if is_decayed(name, value)]

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> LRScheduler:
        """Make the published schedule where there is one, else the library's."""
        if self.schedule is not None and self.lr_scheduler is None:
            optimizer = self.optimizer if optimizer is None else optimizer
            self.lr_scheduler = self.schedule.attach(optimizer, num_training_steps)
            self._created_lr_scheduler = True
        scheduler: LRScheduler = super().create_scheduler(num_training_steps, optimizer)
        return scheduler

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], **kwargs: Any) -> Any:
        """Give the loss; no keys and values are kept for later tokens, of which there are none."""
        loss = super().compute_loss(model, {**inputs, "use_cache": False}, **kwargs)
        if not self.is_fsdp_enabled:
            return loss
        # Weights that are spread exchange the gradients of those parameters that have one, which
        # have to be the same in every process; a batch without a modality gives its projection none
        projections = self._plain_model().projector.parameters()
        return loss + 0.0 * sum(parameter.sum() for parameter in projections)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Count nothing: the library's estimate holds where every parameter learns."""
        return 0

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Give the figures of ``validate``, logged, by ``eval_`` and their name.

        What training draws at random afterwards is the same as without.

        Raises:
            ValueError: the trainer was made without ``validate``
        """
        if self.validate is None:
            msg = "the trainer was made without validate; give it, or set eval_strategy to 'no'"
            raise ValueError(msg)
        model = self._plain_model()
        was_training = model.training
        devices = [self.args.device] if self.args.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            figures = dict(self.validate(model.eval()))
        model.train(was_training)
        _spread_again(model)
        metrics = {
            f"{metric_key_prefix}_{name}": float(value)
            for name, value in self._agree(figures).items()
            if value is not None and not math.isnan(value)
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _agree(self, figures: dict[str, float | None]) -> dict[str, float | None]:
        """Take the first process's figures: all have to stop and to save at the same step."""
        if self.args.world_size == 1:
            return figures
        shared = [figures]
        torch.distributed.broadcast_object_list(shared, src=0)
        return shared[0]

    def _plain_model(self) -> EmotionLlama:
        model: EmotionLlama = self.accelerator.unwrap_model(self.model)
        return model

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save LoRA and projections; the library would gather the frozen weights for it too."""
        if self.is_fsdp_enabled:
            self._save(output_dir, whole_tensors(self._plain_model()))
        else:
            super().save_model(output_dir, _internal_call)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Save what resuming needs; the library would write the frozen weights beside it."""
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        plugin = self.accelerator.state.fsdp_plugin
        save_fsdp_optimizer(plugin, self.accelerator, self.optimizer, self.model, output_dir)
        if self.args.should_save:
            assert self.lr_scheduler is not None, "made before training"
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        if self.args.should_save:
            save_adapter(self._plain_model(), Path(output_dir or self.args.output_dir), state_dict)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save as the library does, then state that the checkpoint is whole and drop older ones."""
        output = Path(self._get_output_dir(trial))
        folder = output / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            (folder / COMPLETE_FILE).unlink(missing_ok=True)
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # each process writes the state of its random numbers
        if self.args.should_save:
            mark_complete(folder)
            best = self.state.best_model_checkpoint
            if self._keep:
                prune_checkpoints(output, self._keep, Path(best) if best else None)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        load_adapter(self._plain_model(), Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        load_adapter(self._plain_model(), Path(self.state.best_model_checkpoint))


def _spread_again(model: nn.Module) -> None:
    """Free weights that a validation gathered last: the optimiser knows the spread ones only."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _fix_settings(args: TrainingArguments) -> None:
    """Set what the trainer's promises rest on."""
    args.train_sampling_strategy = "sequential"
    args.remove_unused_columns = False
    args.average_tokens_across_devices = True
    args.logging_nan_inf_filter = False
    args.save_total_limit = None  # the library would count checkpoints that are not whole
    if args.n_gpu > 1:  # the library would spread each batch over threads; torchrun is for that
        args._n_gpu = 1
    # A batch without a modality leaves its projection unused. The library turns this off with
    # gradient checkpointing, whose older form does not bear it; the newer one, set here, does.
    args.ddp_find_unused_parameters = True
    if args.activation_checkpointing:
        args.activation_checkpointing_kwargs = {
            **(args.activation_checkpointing_kwargs or {}),
            "use_reentrant": False,
        }


class EqualAnswers:
    """Loss in which every answer of a step counts the same, however long it is.

    Args:
        num_answers: of a whole step, over all processes and accumulated batches
    """

    def __init__(self, num_answers: int) -> None:
        self._num_answers = num_answers

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> Any:
        """Give this batch's share of the loss.

        Args:
            outputs: with logits [b x s x v]
            labels: token ids, -100 where no loss is taken, [b x s]
            num_items_in_batch: what the library counts; not read
        """
        targets = labels[:, 1:]
        is_answer = targets != IGNORED_LABEL  # [b x s - 1]
        logits = outputs.logits[:, :-1][is_answer].float()
        losses = nn.functional.cross_entropy(logits, targets[is_answer], reduction="none")
        share = 1.0 / is_answer.sum(dim=1, keepdim=True).clamp(min=1)
        return (losses * share.expand_as(targets)[is_answer]).sum() / self._num_answers


def _answers_of_a_step(args: TrainingArguments) -> int:
    return int(args.train_batch_size * args.gradient_accumulation_steps * args.world_size)


def _require_length(args: TrainingArguments, draws: Dataset[Any]) -> None:
    """Refuse a data set that would be begun anew, or cut, within the run."""
    found = len(draws)  # type: ignore[arg-type]
    step = _answers_of_a_step(args)
    expected = args.max_steps * step
    if args.max_steps < 1 or found != expected:
        msg = (
            f"the data set has {found} draws, expected max_steps x batch_size x accumulate x "
            f"processes = {args.max_steps} x {args.train_batch_size} x "
            f"{args.gradient_accumulation_steps} x {args.world_size} = {expected}; make it for the "
            "number of processes that run"
        )
        raise ValueError(msg)


@contextmanager
def _known_adapters(model: EmotionLlama) -> Iterator[None]:
    """Let the library know that adapters learn, without which it trains no quantised model.

    It looks for those that it put there itself. It would also save them alone: hence not for long.
    """
    before = model._hf_peft_config_loaded
    model._hf_peft_config_loaded = before or bool(getattr(model, "is_quantized", False))
    try:
        yield
    finally:
        model._hf_peft_config_loaded = before


def _restore_cache(model: EmotionLlama, before: bool | None) -> None:
    """Take back that the library writes ``use_cache`` into the settings, which are saved."""
    if before is None:
        if hasattr(model.config, "use_cache"):
            del model.config.use_cache
    else:
        model.config.use_cache = before
