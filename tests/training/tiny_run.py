"""A training of a tiny model on made-up features; as a script also for more than one process."""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.utils.data import Dataset
from transformers import AutoTokenizer, LlamaConfig, TrainerCallback, TrainingArguments

from emotion_llama.model import EmotionLlama, EmotionLlamaConfig, EmotionLlamaProcessor
from emotion_llama.model.scoring import label_probabilities, write_answers
from emotion_llama.records import Features, Sample
from emotion_llama.training import (
    EmotionTrainer,
    PublishedSchedule,
    end_process,
    load_adapter,
    newest_checkpoint,
    save_adapter,
    whole_tensors,
)

TOKENIZER = Path(__file__).parents[1] / "parity" / "golden" / "llama"
SCHEDULE = PublishedSchedule(1e-2, 1e-3, 1e-3, warmup_steps=2)
ANSWERS = ("happy", "sad", "the person smiles and the voice is high", "angry")


def tiny_config(**changes: Any) -> EmotionLlamaConfig:
    text = LlamaConfig(
        vocab_size=640,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        pad_token_id=None,
    )
    sizes = {
        "lora_rank": 2,
        "patch_dim": 6,
        "num_patches": 8,
        "local_dim": 5,
        "temporal_dim": 4,
        "audio_dim": 3,
    }
    return EmotionLlamaConfig(text_config=text, **{**sizes, **changes})


def tiny_model(**changes: Any) -> EmotionLlama:
    torch.manual_seed(0)
    return EmotionLlama(tiny_config(**changes)).float()


def tiny_processor() -> EmotionLlamaProcessor:
    return EmotionLlamaProcessor(AutoTokenizer.from_pretrained(TOKENIZER), tiny_config())


class Draws(Dataset[Any]):
    """Draw i has features, an answer and missing modalities that depend on i alone."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Sample, Features, str]:
        generator = torch.Generator().manual_seed(index)
        sizes = {"local": (5,), "temporal": (4,), "audio": (3,)}
        values = {k: torch.randn(*size, generator=generator) for k, size in sizes.items()}
        if index % 3 == 0:  # whole batches without a picture, so that projections go unused
            values["patches"] = torch.randn(8, 6, generator=generator)
            values["class_token"] = torch.randn(6, generator=generator)
        if index % 4 == 1:
            del values["audio"]
        sample = Sample("emotion", transcript="so it is" if index % 2 else None)
        return sample, Features(**values), ANSWERS[index % len(ANSWERS)]


def collator() -> Callable[[Sequence[Any]], Any]:
    processor = tiny_processor()

    def collate(draws: Sequence[Any]) -> Any:
        samples, features, answers = zip(*draws, strict=True)
        return dict(processor(samples, features, answers))

    return collate


class KillAt(TrainerCallback):
    """Kills the process after a step, as a machine that goes away does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            # a checkpoint that was being written then
            partial = Path(args.output_dir) / f"checkpoint-{self.step}"
            partial.mkdir()
            (partial / "trainer_state.json").write_text("{", encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)


def make_trainer(
    output: Path,
    *,
    model: EmotionLlama | None = None,
    steps: int = 6,
    batch_size: int = 2,
    accumulate: int = 1,
    processes: int = 1,
    callbacks: Sequence[TrainerCallback] = (),
    validate: Any = None,
    equal_answers: bool = False,
    schedule: PublishedSchedule | None = SCHEDULE,
    **settings: Any,
) -> EmotionTrainer:
    defaults = {
        "max_steps": steps,
        "per_device_train_batch_size": batch_size,
        "gradient_accumulation_steps": accumulate,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "weight_decay": 0.05,
        "max_grad_norm": 0.0,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "seed": 7,
    }
    return EmotionTrainer(
        model or tiny_model(),
        TrainingArguments(output_dir=str(output), **{**defaults, **settings}),
        train_dataset=Draws(steps * batch_size * accumulate * processes),
        collator=collator(),
        schedule=schedule,
        equal_answers=equal_answers,
        validate=validate,
        callbacks=callbacks,
    )


def losses(trainer: EmotionTrainer) -> list[float]:
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def weights(model: EmotionLlama) -> dict[str, torch.Tensor]:
    return {k: v.detach().clone() for k, v in whole_tensors(model).items()}


def ask(model: EmotionLlama) -> dict[str, float]:
    """Score and write answers, as a validation does."""
    draws, processor = Draws(2), tiny_processor()
    samples, features, _ = zip(*(draws[i] for i in range(2)), strict=True)
    found = label_probabilities(model, processor, samples, features, ["happy", "sad", "angry"])
    written = write_answers(model, processor, samples, features, max_new_tokens=3)
    figures = {f"probability_{i}": value for i, value in enumerate(found.flatten().tolist())}
    return {**figures, "written": float(len(written))}


def take_processors_for_accelerators() -> None:
    """Let the library spread weights over processes on CPUs, which it does on accelerators only."""
    begin = PartialState.__init__

    def patched(self: PartialState, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    PartialState.__init__ = patched


def reload_in_parts(output: Path) -> None:
    """Load a checkpoint into a model whose parameters are spread over processes, and save it."""
    torch.distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    model = tiny_model()
    for layer in model.language_model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    load_adapter(model, output / "before")
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(model, options=whole)
    if torch.distributed.get_rank() == 0:
        save_adapter(model, output / "after", state)
    end_process()


def main(output: str, settings: str) -> None:
    """Run in a process of its own; settings are those of `make_trainer` as JSON, and kill_at."""
    options = json.loads(settings)
    if options.pop("in_parts", False):
        reload_in_parts(Path(output))
        return
    kill_at = options.pop("kill_at", None)
    resume = options.pop("resume", False)
    dropout = options.pop("lora_dropout", 0.05)
    if options.pop("asks", False):
        options |= {"validate": ask, "eval_strategy": "steps", "eval_steps": 2}
    if options.pop("on_cpus", True) and options.get("fsdp"):
        take_processors_for_accelerators()
    torch.set_num_threads(1)
    trainer = make_trainer(
        Path(output),
        model=tiny_model(lora_dropout=dropout),
        callbacks=[KillAt(kill_at)] if kill_at else [],
        **options,
    )
    trainer.train(newest_checkpoint(Path(output)) if resume else None)
    spread = sum(isinstance(module, FSDPModule) for module in trainer.model.modules())
    learned = weights(trainer.model)
    if trainer.is_world_process_zero():
        (Path(output) / "losses.json").write_text(json.dumps(losses(trainer)), encoding="utf-8")
        save_file(learned, Path(output) / "weights.safetensors")
        asked = [row for row in trainer.state.log_history if "eval_written" in row]
        facts = {"spread": spread, "asked": asked}
        (Path(output) / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    end_process()


if __name__ == "__main__":
    main(*sys.argv[1:])
