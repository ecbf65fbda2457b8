"""emotion-llama evaluate: a benchmark or own clips, answered, scored and reported in one folder.

Knows: flags, what is said while it runs and at its end. Does not know: how anything is asked or
scored. What needs torch is imported inside the functions.
"""

import math
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from emotion_llama import terminal
from emotion_llama.cli.flags import Debug, Device, Dtype, Preset, QuantizeBits, quantized
from emotion_llama.cli.output import (
    FAILED,
    INTERRUPTED,
    WRONG_COMMAND,
    error_console,
    one_line_errors,
    quiet_loading,
    say,
    text_console,
)
from emotion_llama.cli.predict import PromptMode

if TYPE_CHECKING:
    from emotion_llama.evaluation.protocol import Protocol
    from emotion_llama.evaluation.run import Progress, RunSettings
    from emotion_llama.evaluation.samples import Reading
    from emotion_llama.predict import Predictor

EXIT_CODES = (
    "Exit code: 0 every sample has an answer, 1 some have none (they count as wrong and stand in "
    "the report), 2 wrong command, data or weights, 130 stopped with Ctrl-C."
)


def evaluate(
    protocol: Annotated[
        str | None,
        typer.Argument(
            metavar="PROTOCOL",
            help="Name of a benchmark (--list shows them), folder or manifest for own clips, or a "
            "YAML file of your own.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            envvar="EMOTION_LLAMA_DATA",
            help="Folder of the data set as it ships; for manifest, the table.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            file_okay=False,
            help="Folder for answers, figures and the report; a stopped run there goes on.",
            show_default="runs/evaluate/PROTOCOL",
        ),
    ] = None,
    preset: Preset = "mini",
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="SET|a,b,c",
            help="Labels to offer and score, for folder and manifest.",
            show_default="those found in the data",
        ),
    ] = None,
    value_range: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH",
            help="Smallest and largest value of the column value, for manifest-sentiment.",
            show_default="-3,3",
        ),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            metavar="N|SHARE",
            help="Ask about N samples, or a share below 1, drawn with the seed.",
            show_default="all",
        ),
    ] = None,
    modalities: Annotated[
        str | None,
        typer.Option(
            metavar="a,b",
            help="Parts of a clip that are shown, of audio, vision, text.",
            show_default="all that is there",
        ),
    ] = None,
    prompt_mode: Annotated[
        PromptMode, typer.Option(help="Prompt of the training, or of the published evaluation.")
    ] = PromptMode.TRAINED,
    analyses: Annotated[
        str,
        typer.Option(
            metavar="a,b|none",
            help="What is looked at beside the labels, of reasons, subsets, orders, phrasings, "
            "noise.",
        ),
    ] = "reasons,subsets,orders,phrasings,noise",
    batch_size: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Samples that are answered together; auto: as many as fit into a GPU's memory, "
            "and 16 on a CPU.",
        ),
    ] = "auto",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that answer; 0 works in this one.")
    ] = 0,
    ray: Annotated[
        bool, typer.Option("--ray", help="Answer on the Ray cluster that RAY_ADDRESS names.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume/--restart", help="Go on with the run in RUN, or begin anew.")
    ] = True,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN2",
            file_okay=False,
            help="Test against the answers of another run over the same samples.",
            show_default=False,
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="URL#MODEL|FOLDER",
            help="Model that scores descriptions (protocol emer): an OpenAI-compatible address or "
            "a local folder.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of samples.")] = 0,
    list_them: Annotated[bool, typer.Option("--list", help="Show the protocols and stop.")] = False,
    device: Device = None,
    dtype: Dtype = None,
    quantize_bits: QuantizeBits = None,
    debug: Debug = False,
) -> None:
    """Answer for a benchmark or for your own labelled clips; write figures and a report.

    The same command goes on with a run that was stopped; nothing is asked twice.
    """
    if list_them:
        show_protocols()
        return
    if protocol is None or data is None:
        msg = "name a protocol and give --data; --list shows the protocols"
        raise typer.BadParameter(msg, param_hint="PROTOCOL")
    folder = out or Path("runs/evaluate") / Path(protocol).stem
    with one_line_errors(debug, WRONG_COMMAND):
        quiet_loading()
        if not resume and folder.is_dir():
            remove_run(folder)
        with missing_data_explained():
            rules, reading = read_samples(protocol, data, folder, labels, value_range)
        choices = {
            **chosen_parts(modalities),
            "analyses": chosen_analyses(analyses),
            "limit": limit,
            "seed": seed,
            **chosen_batch_size(batch_size),
        }
        load = partial(load_predictor, preset, device, dtype, quantized(quantize_bits), prompt_mode)
        settings, predictor = loaded(load, preset, choices)
    with one_line_errors(debug):
        try:
            answer(load, predictor, rules, reading, settings, folder, workers, ray)
            metrics = finished(folder, predictor, reading, compare, judge)
        except KeyboardInterrupt:
            say(f"stopped; the same command goes on with {folder}", style="yellow")
            raise typer.Exit(INTERRUPTED) from None
    show(metrics, folder)
    if metrics["counts"]["failed"]:
        raise typer.Exit(FAILED)


def show_protocols() -> None:
    """Say which protocols there are, one a line."""
    from rich.table import Table

    from emotion_llama.evaluation.protocol import load_protocol, protocol_names

    table = Table("protocol", "what it is", "led by", box=None, pad_edge=False)
    for name in protocol_names():
        one = load_protocol(name)
        table.add_row(name, one.title, one.metric)
    text_console(sys.stdout).print(table)


def remove_run(folder: Path) -> None:
    """Remove a run's folder, if it is one.

    Raises:
        ValueError: the folder holds something else
    """
    from emotion_llama.evaluation.run import RUN_FILE

    if any(folder.iterdir()) and not (folder / RUN_FILE).is_file():
        msg = f"{folder} holds no {RUN_FILE}, so it is no run of evaluate; nothing was removed"
        raise ValueError(msg)
    shutil.rmtree(folder)


@contextmanager
def missing_data_explained() -> Iterator[None]:
    """Where files are missing, show how the folder must look, line by line.

    Raises:
        typer.Exit: files are missing
    """
    from emotion_llama.evaluation.samples import MissingDataError

    try:
        yield
    except MissingDataError as error:
        say(f"error: {error}", style="red")
        raise typer.Exit(WRONG_COMMAND) from error


def read_samples(
    protocol: str,
    data: Path,
    folder: Path,
    labels: str | None,
    value_range: str | None,
) -> "tuple[Protocol, Reading]":
    """Read the samples of a benchmark.

    Raises:
        ValueError: no such protocol, or its files are not there or break their form
    """
    from emotion_llama.evaluation.protocol import Protocol, load_protocol
    from emotion_llama.evaluation.readers import READERS, own_labels
    from emotion_llama.labels import label_set

    rules = load_protocol(protocol)
    is_own = rules.reader in ("folder", "manifest")
    if value_range is not None and not (is_own and rules.kind == "sentiment"):
        msg = f"--value-range is for manifest-sentiment; {protocol} has none, or states its own"
        raise ValueError(msg)
    if is_own and rules.kind == "labels":
        names = own_labels(data) if labels is None else label_set(labels).labels
        rules = rules.model_copy(update={"labels": tuple(names)})
    elif labels is not None:
        msg = f"--labels is for folder and manifest; {protocol} states its own in its file"
        raise ValueError(msg)
    if value_range is not None:
        rules = Protocol.model_validate(
            {**rules.model_dump(), "value_range": chosen_range(value_range)}
        )
    return rules, READERS[rules.reader](data, rules, folder / "media")


def chosen_range(text: str) -> tuple[float, float]:
    """Read --value-range.

    Raises:
        ValueError: not two finite numbers, the first below 0 and the second above
    """
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = 0.0
    if not -math.inf < low < 0 < high < math.inf:
        msg = f"found the value range {text!r}, expected two numbers such as -1,1, with 0 between"
        raise ValueError(msg)
    return low, high


def chosen_parts(modalities: str | None) -> Mapping[str, Any]:
    """Read --modalities.

    Raises:
        ValueError: a name that is no part of a clip
    """
    from emotion_llama.modalities import parts_of

    return {} if modalities is None else {"parts": parts_of(modalities)}


def chosen_batch_size(text: str) -> Mapping[str, Any]:
    """Read --batch-size.

    Raises:
        ValueError: neither ``auto`` nor a number of samples
    """
    if text == "auto":
        return {"batch_size": text}
    if not text.isdecimal() or int(text) < 1:
        msg = f"found the batch size {text!r}, expected auto or a number of at least 1"
        raise ValueError(msg)
    return {"batch_size": int(text)}


def chosen_analyses(text: str) -> tuple[str, ...]:
    """Read --analyses.

    Raises:
        ValueError: a name that is none
    """
    from emotion_llama.evaluation.run import ANALYSES

    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["none"]:
        return ()
    unknown = [name for name in names if name not in ANALYSES]
    if unknown:
        msg = f"found the analysis {unknown[0]!r}, expected none or some of {', '.join(ANALYSES)}"
        raise ValueError(msg)
    return tuple(name for name in ANALYSES if name in names)


def load_predictor(
    preset: str,
    device: str | None,
    dtype: str | None,
    quantize_bits: Literal[4, 8] | None,
    prompt_mode: PromptMode,
) -> "Predictor":
    """Load the weights in the process that answers."""
    from emotion_llama.predict import Predictor

    return Predictor.from_pretrained(
        preset,
        device=device,
        dtype=dtype,
        quantize_bits=quantize_bits,
        prompt_mode=prompt_mode.value,
    )


def loaded(
    load: "partial[Predictor]", preset: str, choices: Mapping[str, Any]
) -> "tuple[RunSettings, Predictor]":
    """Load the weights and say their notice."""
    from emotion_llama.evaluation.run import settings_of

    with terminal.Waiting(error_console(), f"loading {preset}", total=1):
        predictor = load()
    if predictor.notice:
        say(predictor.notice, style="dim")
    settings = settings_of(predictor, preset, **choices)
    if choices.get("batch_size") == "auto" and settings.batch_size != "auto":
        say(f"in batches of {settings.batch_size}, as always on a CPU", style="dim")
    return settings, predictor


def answer(
    load: "partial[Predictor]",
    predictor: "Predictor",
    rules: "Protocol",
    reading: "Reading",
    settings: "RunSettings",
    folder: Path,
    workers: int,
    ray: bool,
) -> None:
    """Ask about every sample, with a bar."""
    from emotion_llama.evaluation.run import Workers, answer_samples

    here = workers == 0 and not ray
    crew = Workers((lambda: predictor) if here else load, workers, ray)
    answer_samples(reading, rules, settings, crew, folder, seen())


def seen() -> "Progress":
    """Give a progress that shows a bar for each part of the run."""
    from emotion_llama.evaluation.run import Progress

    bars: dict[str, terminal.Waiting] = {}

    def show_progress(name: str, done: int, total: int) -> None:
        if name not in bars:
            bars[name] = terminal.Waiting(error_console(), name, total, "samples")
            bars[name].progress.start()
        bars[name].progress.update(bars[name].task, completed=done)
        if done >= total:
            bars[name].pause()

    return Progress(show_progress)


def finished(
    folder: Path,
    predictor: "Predictor",
    reading: "Reading",
    compare: Path | None,
    judge: str | None,
) -> Mapping[str, Any]:
    """Score the answers and write figures and report."""
    from emotion_llama.evaluation.finish import finish

    with terminal.Waiting(error_console(), "scoring", total=1):
        return finish(folder, predictor, reading.samples, compare_with=compare, judge=judge)


def show(metrics: Mapping[str, Any], folder: Path) -> None:
    """Say the figure that leads, what stands beside it, and where everything is."""
    from emotion_llama.evaluation.finish import headline

    console = text_console(sys.stdout)
    for line in headline(metrics):
        console.print(line)
    say(f"report: {folder / 'report.html'}   figures: {folder / 'metrics.json'}")
