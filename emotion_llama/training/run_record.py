"""What a run leaves to be looked at: settings, versions, what was learned from, figures, a plot.

Knows: names of the files. Does not know: how training works.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from emotion_llama.config import TrainConfig
from emotion_llama.version import package_versions

CONFIG_FILE = "config.yaml"
RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
PLOT_FILE = "losses.png"

_PACKAGES = ("emotion-llama", "torch", "transformers", "peft", "accelerate", "numpy")


def write_record(output: Path, config: TrainConfig, facts: Mapping[str, Any]) -> None:
    """Write the resolved settings, and versions and facts of a run.

    Args:
        output: folder of the run
        config: its settings
        facts: what else belongs to it; plain values
    """
    settings = config.model_dump(mode="json")
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    (output / CONFIG_FILE).write_text(text, encoding="utf-8")
    everything = {"versions": package_versions(_PACKAGES), **facts}
    (output / RUN_FILE).write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")


def file_hash(path: Path) -> str:
    """Give the beginning of the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


class MetricsFile(TrainerCallback):
    """Adds what the trainer logs to a file, a line each; what is done again is replaced.

    Args:
        path: the file
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Drop what comes after the step that the run goes on from."""
        if state.is_world_process_zero and self._path.is_file():
            kept = [row for row in read_metrics(self._path) if row["step"] <= state.global_step]
            lines = "".join(json.dumps(row) + "\n" for row in kept)
            self._path.write_text(lines, encoding="utf-8")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add one line."""
        if state.is_world_process_zero and logs:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a metrics file; one that a crash cut off is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def draw_losses(rows: Sequence[Mapping[str, Any]], path: Path, metric: str) -> Path | None:
    """Draw the loss, and the chosen figure of the validation, over the steps.

    Args:
        rows: of the metrics file
        path: picture to write
        metric: figure of the validation

    Returns:
        the picture, or ``None`` where matplotlib is not installed or nothing was logged
    """
    losses = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    figures = [(r["step"], r[f"eval_{metric}"]) for r in rows if f"eval_{metric}" in r]
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    if not losses:
        return None
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*losses, strict=True), color="#0072b2", label="training loss")
    axes.set_xlabel("step")
    axes.set_ylabel("training loss")
    if figures:
        right = axes.twinx()
        right.plot(*zip(*figures, strict=True), color="#d55e00", marker="o", label=metric)
        right.set_ylabel(f"validation {metric}")
    figure.savefig(path, dpi=120)
    return path
