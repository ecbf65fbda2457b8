"""Whether a step of the trainer is as fast as one of a plain PyTorch loop, and its memory.

    python benchmarks/train.py          # the mini preset in fp32, on this CPU
    python benchmarks/train.py --gpu    # published sizes, random weights, bf16 products, on a GPU

Both train the same weights on the same batches, turn by turn in one process, so that what slows the
machine down slows both. The loop is the shortest that learns the same: data loader, forward,
backward, AdamW in the same two groups, schedule. Weights after both are compared: were they not
equal, the times would be of different work.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import TrainerCallback, TrainingArguments, set_seed

from emotion_llama.data.dataset import Collator, Draw
from emotion_llama.model import EmotionLlama, EmotionLlamaConfig, EmotionLlamaProcessor
from emotion_llama.preset import find_preset
from emotion_llama.records import Features, Sample
from emotion_llama.training import EmotionTrainer, PublishedSchedule, is_decayed, prepare_trainable

SEED = 42
SKIPPED_STEPS = 3
"""Steps at the start of a turn that are not timed: memory is reserved and kernels are chosen."""
SCHEDULE = PublishedSchedule(1e-5, 1e-6, 1e-6, warmup_steps=10)
WEIGHT_DECAY = 0.05
WORDS = (
    "the person smiles, the lip corners are clearly pulled up, and the voice is a little higher "
    "and louder than usual, while the words say that something good has happened; taken together "
    "these clues speak for happiness"
)


@dataclass(frozen=True)
class Setup:
    """What both train."""

    name: str
    model: EmotionLlama
    processor: EmotionLlamaProcessor
    device: torch.device
    bf16: bool


@dataclass(frozen=True)
class Turn:
    """One measured run of one of the two."""

    step_s: float
    memory_mb: float
    weights: dict[str, torch.Tensor]


class RandomDraws(Dataset[Draw]):
    """Draws with random features; every third is a reason, some lack a modality."""

    def __init__(self, config: EmotionLlamaConfig, count: int) -> None:
        self._draws = [_draw(config, number) for number in range(count)]

    def __len__(self) -> int:
        return len(self._draws)

    def __getitem__(self, index: int) -> Draw:
        return self._draws[index]


def _draw(config: EmotionLlamaConfig, number: int) -> Draw:
    generator = torch.Generator().manual_seed(number)
    widths = config.feature_widths
    values = {name: torch.randn(width, generator=generator) for name, width in widths.items()}
    values["patches"] = torch.randn(config.num_patches, config.patch_dim, generator=generator)
    if number % 5 == 4:
        del values["audio"]
    sample = Sample("reason" if number % 3 == 0 else "emotion", transcript="we have won the game")
    return Draw(sample, Features(**values), WORDS if number % 3 == 0 else "happy")


def mini_setup() -> Setup:
    """The packaged preset, as it is trained on a CPU."""
    folder = find_preset("mini")
    model = EmotionLlama.from_pretrained(folder, dtype=torch.float32)
    processor = EmotionLlamaProcessor.from_pretrained(folder)
    return Setup("mini, fp32, CPU", model, processor, torch.device("cpu"), bf16=False)


def published_setup() -> Setup:
    """The published sizes with random weights; their values do not change the time."""
    config = EmotionLlamaConfig()
    tokenizer = EmotionLlamaProcessor.from_pretrained(find_preset("mini")).tokenizer
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = EmotionLlama(config)
    torch.set_default_dtype(torch.float32)
    name = f"published sizes, bf16, {torch.cuda.get_device_name()}"
    return Setup(
        name, model, EmotionLlamaProcessor(tokenizer, config), torch.device("cuda"), bf16=True
    )


class Clock(TrainerCallback):
    """Times the steps after those that are skipped."""

    def __init__(self, device: torch.device, num_steps: int) -> None:
        self._on_gpu = device.type == "cuda"
        self._num_steps = num_steps
        self._times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the clock after a step of the trainer."""
        self.tick(state.global_step)

    def tick(self, step: int) -> None:
        """Look at the clock after a step; a GPU is waited for at the ends only."""
        if step < SKIPPED_STEPS:
            return
        if self._on_gpu and step in (SKIPPED_STEPS, self._num_steps):
            torch.cuda.synchronize()
        self._times.append(time.perf_counter())

    @property
    def step_s(self) -> float:
        """Seconds of a step: the mean on a GPU, which runs behind the clock, else the median.

        The median bears that other programs take the processor for a while.
        """
        if self._on_gpu:
            return (self._times[-1] - self._times[0]) / (len(self._times) - 1)
        return statistics.median(b - a for a, b in pairwise(self._times))


class Memory:
    """Largest memory between two moments: allocated on a GPU, else resident, in MB."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._stop = threading.Event()
        self._largest = 0
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()

    def take(self) -> float:
        """Stop watching and give the largest."""
        if self._on_gpu:
            return torch.cuda.max_memory_allocated() / 1e6
        self._stop.set()
        self._watcher.join()
        return self._largest / 1e6

    def _watch(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._stop.wait(0.02):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self._largest = max(self._largest, pages * page)


def plain_loop(setup: Setup, draws: RandomDraws, batch_size: int, clock: Clock) -> None:
    """Train with nothing but PyTorch."""
    model, num_steps = setup.model, len(draws) // batch_size
    prepare_trainable(model)
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    groups = [
        {"params": [v for n, v in named if is_decayed(n, v)], "weight_decay": WEIGHT_DECAY},
        {"params": [v for n, v in named if not is_decayed(n, v)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=SCHEDULE.learning_rate, fused=True)
    schedule = SCHEDULE.attach(optimizer, num_steps)
    set_seed(SEED)
    model.train()
    for step, batch in enumerate(
        DataLoader(
            draws,
            batch_size,
            collate_fn=Collator(setup.processor),
            pin_memory=setup.device.type == "cuda",
        ),
        start=1,
    ):
        inputs = {name: v.to(setup.device, non_blocking=True) for name, v in batch.items()}
        with torch.autocast(setup.device.type, torch.bfloat16, enabled=setup.bf16):
            loss = model(**inputs, use_cache=False).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        clock.tick(step)


def trainer(setup: Setup, draws: RandomDraws, batch_size: int, clock: Clock) -> None:
    """Train as `emotion-llama train` does."""
    with tempfile.TemporaryDirectory() as folder:
        run = EmotionTrainer(
            setup.model,
            TrainingArguments(
                output_dir=folder,
                max_steps=len(draws) // batch_size,
                per_device_train_batch_size=batch_size,
                weight_decay=WEIGHT_DECAY,
                max_grad_norm=0.0,
                bf16=setup.bf16,
                use_cpu=setup.device.type == "cpu",
                seed=SEED,
                logging_steps=10,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=setup.device.type == "cuda",
            ),
            train_dataset=draws,
            collator=Collator(setup.processor),
            schedule=SCHEDULE,
            callbacks=[clock],
        )
        run.train()
        # each trainer wraps `forward` for mixed precision, which the next turn must not carry
        run.accelerator.unwrap_model(run.model_wrapped, keep_fp32_wrapper=False)


def measure(
    train: Callable[[Setup, RandomDraws, int, Clock], None],
    setup: Setup,
    draws: RandomDraws,
    batch_size: int,
    start: dict[str, torch.Tensor],
) -> Turn:
    """Train once from the start."""
    with torch.no_grad():
        for name, parameter in setup.model.trainable_parameters().items():
            parameter.data = start[name].clone().to(setup.device)
    clock, memory = Clock(setup.device, len(draws) // batch_size), Memory(setup.device)
    train(setup, draws, batch_size, clock)
    weights = {n: v.detach().cpu().clone() for n, v in setup.model.trainable_parameters().items()}
    return Turn(clock.step_s, memory.take(), weights)


def compare(setup: Setup, batch_size: int, num_steps: int, num_rounds: int) -> None:
    """Let both take turns and print the table."""
    prepare_trainable(setup.model)
    trainable = setup.model.trainable_parameters()
    start = {name: value.detach().cpu().clone() for name, value in trainable.items()}
    draws = RandomDraws(setup.model.config, num_steps * batch_size)
    turns: dict[str, list[Turn]] = {"plain": [], "trainer": []}
    for number in range(num_rounds):
        pair = [("plain", plain_loop), ("trainer", trainer)]
        # who comes second finds a warmer machine, so the order changes
        for name, train in pair if number % 2 == 0 else reversed(pair):
            turns[name].append(measure(train, setup, draws, batch_size, start))
    pairs = list(zip(turns["plain"], turns["trainer"], strict=True))
    ratios = [theirs.step_s / ours.step_s for theirs, ours in pairs]
    change = max(float((turns["plain"][0].weights[n] - v).abs().max()) for n, v in start.items())
    difference = max(
        float((theirs.weights[name] - ours.weights[name]).abs().max())
        for theirs, ours in pairs
        for name in start
    )
    kind = "allocated" if setup.device.type == "cuda" else "resident"
    print(f"\n{setup.name}; batch of {batch_size}, {num_steps - SKIPPED_STEPS} timed steps, "
          f"{num_rounds} turns each; {torch.get_num_threads()} threads, torch {torch.__version__}"
          "\n")  # fmt: skip
    print(f"| loop | ms a step (median) | of the turns | peak memory, {kind} (MB) |")
    print("| --- | --- | --- | --- |")
    for name, own in turns.items():
        times = [1000 * turn.step_s for turn in own]
        print(f"| {name} | {statistics.median(times):.1f} | {min(times):.1f}, {max(times):.1f} | "
              f"{max(turn.memory_mb for turn in own):.0f} |")  # fmt: skip
    print(f"\nspeed of the trainer / plain loop, by turn: median {statistics.median(ratios):.3f}, "
          f"from {min(ratios):.3f} to {max(ratios):.3f}")  # fmt: skip
    print(f"weights afterwards differ by at most {difference:.1e}; training moved them by up to "
          f"{change:.1e}")  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gpu", action="store_true", help="published sizes on a GPU")
    parser.add_argument("--batch-size", type=int, help="default: 16, with --gpu 4")
    parser.add_argument("--steps", type=int, help="of a turn; default 40, with --gpu 25")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each of the two")
    arguments = parser.parse_args()
    if arguments.gpu and not torch.cuda.is_available():
        print("NOT MEASURED: no GPU here")
        return
    setup = published_setup() if arguments.gpu else mini_setup()
    batch_size = arguments.batch_size or (4 if arguments.gpu else 16)
    num_steps = arguments.steps or (25 if arguments.gpu else 40)
    if num_steps <= SKIPPED_STEPS:
        parser.error(f"--steps is {num_steps}, expected more than {SKIPPED_STEPS}")
    compare(setup, batch_size, num_steps, arguments.rounds)


if __name__ == "__main__":
    main()
