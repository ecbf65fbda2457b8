"""emotion-llama train: a model by a file of settings, on one GPU, on many, or on a CPU.

Knows: flags, what is said at the end. Does not know: settings, training.
What needs torch is imported inside the function.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from emotion_llama.cli.flags import Debug
from emotion_llama.cli.output import (
    FAILED,
    INTERRUPTED,
    WRONG_COMMAND,
    one_line_errors,
    quiet_loading,
    say,
)

EXIT_CODES = (
    "Exit code: 0 trained, 1 training failed, 2 wrong command, settings or data, 130 stopped with "
    "Ctrl-C."
)


def train(
    settings: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.yaml",
            exists=True,
            dir_okay=False,
            help="Settings of the run, such as those in configs/.",
            show_default=False,
        ),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...",
            help="Other values: output=run, learning_rate=1e-4, sources.0.path=clips.csv.",
            show_default=False,
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Train a model, or go on with a run that was stopped in the same folder.

    On many GPUs: torchrun --nproc-per-node N -m emotion_llama train CONFIG.yaml
    """
    with one_line_errors(debug, WRONG_COMMAND):
        from emotion_llama.config import TrainConfig
        from emotion_llama.config_file import load_settings

        config = load_settings(TrainConfig, settings, changes or [])
        quiet_loading()
    with one_line_errors(debug, FAILED):
        from emotion_llama.train import train as run

        try:
            report = run(config)
        except KeyboardInterrupt:
            say(
                f"stopped; the same command goes on from the newest checkpoint in {config.output}",
                style="yellow",
            )
            raise typer.Exit(INTERRUPTED) from None
        from emotion_llama.training import end_process

        if os.environ.get("RANK", "0") != "0":
            end_process()
            return
        say(f"{report.num_trainable:,} parameters learned for {report.num_steps} steps")
        for source, counts in report.counts.items():
            for what, count in counts.items():
                say(f"  {source}: {count} x {what}", style="dim")
        if report.best_step is not None:
            figure = report.figures.get(config.metric)
            last = "" if figure is None else f" ({config.metric} of the last one {figure:.4f})"
            say(f"best validation at step {report.best_step}{last}")
        say(
            f"model: {report.model_dir}; try it: emotion-llama predict CLIP --preset "
            f"{report.model_dir}"
        )
        if report.merged_dir is not None:
            say(f"merged: {report.merged_dir}")
        if report.published is not None:
            say(f"published form: {report.published}")
        end_process()
