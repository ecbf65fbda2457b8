"""One training loop for the small networks: schedule, moving average, checkpoint, resume.

Knows: optimisation. Does not know: sounds, pictures, labels; a `Role` hands it batches and a loss.
Every epoch draws from a generator seeded by its number, so a resumed run repeats what it missed.
"""

import copy
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast one role is trained."""

    epochs: int
    steps_per_epoch: int
    batch_size: int
    peak_learning_rate: float
    weight_decay: float
    ema_decay: float
    label_smoothing: float = 0.0
    seed: int = 0


class Role(Protocol):
    """A network with what exists for its training only, and its data."""

    name: str
    schedule: Schedule
    network: nn.ModuleDict

    def draw(self, generator: torch.Generator) -> Batch:
        """Give one augmented batch: inputs and targets."""
        ...

    def loss(self, network: nn.ModuleDict, batch: Batch) -> Tensor:
        """Give the loss of one batch."""
        ...

    def evaluate(self, network: nn.ModuleDict, num_resamples: int) -> dict[str, Any]:
        """Give the figures on the development split; intervals only if ``num_resamples``."""
        ...

    def save(self, network: nn.ModuleDict, folder: Path) -> None:
        """Write what is shipped of the network under the run's folder."""
        ...


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Give the mean cross-entropy of scores against softened probabilities, both [b x labels]."""
    softened = targets * (1.0 - smoothing) + smoothing / targets.shape[1]
    return functional.cross_entropy(logits, softened)


@torch.no_grad()
def _update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    current = network.state_dict()
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[key], 1.0 - decay)
        else:
            value.copy_(current[key])


def train(role: Role, folder: Path, resume: bool) -> None:
    """Train one role and write its package files.

    Args:
        role: network and data
        folder: takes ``checkpoints/<role>.pt``, ``dev/<role>.json`` and what the role saves
        resume: continue from the checkpoint if there is one
    """
    torch.manual_seed(role.schedule.seed)
    checkpoint_path = folder / "checkpoints" / f"{role.name}.pt"
    checkpoint_path.parent.mkdir(parents=True, exist_ok=True)
    schedule = role.schedule
    network = role.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(False)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": schedule.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=schedule.peak_learning_rate,
    )
    history: list[dict[str, Any]] = []
    if resume and checkpoint_path.exists():
        state = torch.load(checkpoint_path, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        history = json.loads(state["history"])
        print(f"{role.name}: resumed after epoch {len(history)}", flush=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=schedule.peak_learning_rate,
        total_steps=schedule.epochs * schedule.steps_per_epoch + 1,
        pct_start=0.25,
        last_epoch=len(history) * schedule.steps_per_epoch - 1,
    )
    for epoch in range(len(history), schedule.epochs):
        started = time.monotonic()
        generator = torch.Generator().manual_seed(1000 * schedule.seed + epoch)
        torch.manual_seed(1000 * schedule.seed + epoch)  # dropout draws from the global one
        loss = _run_epoch(role, network, average, optimizer, scheduler, generator, epoch)
        seconds = time.monotonic() - started
        figures = role.evaluate(average.eval(), num_resamples=0)
        history.append({"epoch": epoch + 1, "loss": loss, "seconds": round(seconds, 1), **figures})
        print(f"{role.name}: {json.dumps(history[-1])}", flush=True)
        state = {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": json.dumps(history),
        }
        torch.save(state, checkpoint_path.with_suffix(".new"))
        checkpoint_path.with_suffix(".new").replace(checkpoint_path)
        role.save(average, folder)
    report = {
        "schedule": asdict(schedule),
        "history": history,
        "dev": role.evaluate(average.eval(), num_resamples=2000),
    }
    report_path = folder / "dev" / f"{role.name}.json"
    report_path.parent.mkdir(parents=True, exist_ok=True)
    report_path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{role.name}: {json.dumps(report['dev'])}", flush=True)


def _run_epoch(
    role: Role,
    network: nn.ModuleDict,
    average: nn.ModuleDict,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
    epoch: int,
) -> float:
    network.train()
    total = 0.0
    for step in range(role.schedule.steps_per_epoch):
        batch = role.draw(generator)
        loss = role.loss(network, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        scheduler.step()
        done = epoch * role.schedule.steps_per_epoch + step
        # a short memory at first: the random start must not weigh in for hundreds of steps
        decay = min(role.schedule.ema_decay, (1.0 + done) / (10.0 + done))
        _update_average(average, network, decay)
        total += loss.item()
    return round(total / role.schedule.steps_per_epoch, 4)
