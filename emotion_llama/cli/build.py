"""emotion-llama build: raw clips -> an annotated data set of emotions and the reasons for them.

Knows: flags, what is said while it runs and at its end. Does not know: stages, rules, records.
What needs torch is imported inside the functions.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotion_llama import terminal
from emotion_llama.bulk import Done, num_usable_cpus, run_bulk
from emotion_llama.cli.flags import Debug, Device
from emotion_llama.cli.output import (
    FAILED,
    INTERRUPTED,
    WRONG_COMMAND,
    error_console,
    one_line_errors,
    quiet_loading,
    say,
)

if TYPE_CHECKING:
    from emotion_llama.config import BuildConfig
    from emotion_llama.media import SpeechRecognizer
    from emotion_llama.merr.build import BuildPlan, BuildReport, Runner
    from emotion_llama.merr.sources import SourceClip
    from emotion_llama.pseudo_label import PresetLabelMaker

EXIT_CODES = (
    "Exit code: 0 every clip was kept or rejected, 1 some could not be read or captioned "
    "(DATASET/errors.jsonl), 2 wrong command or settings, 130 stopped with Ctrl-C."
)

NAMED_FAILURES = 5
"""Failures that are named on stderr; the file has all."""

LINE_EVERY_S = 10.0
"""Seconds between two lines of progress where stderr is no terminal."""


class Keep(StrEnum):
    """Which clips stay by what the rule table says to their label."""

    AGREEING = "agreeing"
    UNDISPUTED = "undisputed"
    ALL = "all"


def build(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|MANIFEST|CLIP",
            help="Folder to search for media, or a table with the column path and, where known, "
            "clip_id, text, speaker, source, licence, language, group, action_units.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DATASET",
            file_okay=False,
            help="Folder of the data set; what was done for it before is not done again.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Labels of the clips: a table with the columns name and label.",
            show_default="the preset labels",
        ),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="What is said: a table with the columns name and sentence.",
            show_default="column text of the manifest",
        ),
    ] = None,
    rules: Annotated[
        str,
        typer.Option(
            metavar="merr|mer-factory|facs|FILE.yaml",
            help="Which action units fit which emotion: the published table, that of MER-Factory, "
            "prototypes of the FACS literature, or your own.",
        ),
    ] = "merr",
    keep: Annotated[
        Keep,
        typer.Option(help="Keep clips whose label the rules agree with, do not dispute, or all."),
    ] = Keep.AGREEING,
    llm: Annotated[
        str,
        typer.Option(
            metavar="offline|hf:ID|URL#MODEL",
            help="What writes the fine captions: composed from the measures, a transformers model, "
            "or an OpenAI-compatible endpoint.",
        ),
    ] = "offline",
    picture_model: Annotated[
        str,
        typer.Option(metavar="offline|hf:ID|URL#MODEL", help="What describes the peak frame."),
    ] = "offline",
    voice_model: Annotated[
        str,
        typer.Option(metavar="offline|hf:ID|URL#MODEL", help="What describes the voice."),
    ] = "offline",
    speech_model: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|HUB-ID",
            help="Whisper model that reads the words, to use where none are given and to check "
            "those that are.",
            show_default=False,
        ),
    ] = None,
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote",
            help="Let endpoints be on another machine, which then gets faces, voices and words.",
        ),
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER|HUB-ID",
            help="Preset that labels the clips; beside --labels it is compared.",
            show_default="mini, without --labels",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the source.", show_default="name of the folder or manifest"),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Terms of the source, such as CC-BY-4.0, own or MER2023-EULA; what they forbid, "
            "exports refuse.",
            show_default="column licence of the manifest",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Another setting of the build, such as min_snr_db=10; may be repeated.",
            show_default=False,
        ),
    ] = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Find the peak as published: single frames, parted lips and jaw always counted.",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Changes which phrasings are drawn and who is split where.")
    ] = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Processes that work on clips; 0 works in this one.",
            show_default="one for each processor, with --ray one fewer",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Take the first N clips.", show_default=False),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Know files by name, size and time, without reading them again. Without it, what "
            "was done before is found by the content of the files.",
        ),
    ] = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Work on the Ray cluster that RAY_ADDRESS names, else on one started here.",
        ),
    ] = False,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Build a data set of clips with labels, clues, captions and where each came from.

    Nothing is sent anywhere unless a model on another machine is named and allowed. It can be
    stopped at any time; the same command continues. Two runs write the same bytes.
    """
    with one_line_errors(debug, WRONG_COMMAND):
        from emotion_llama.merr.build import BuildPlan, require_usable
        from emotion_llama.merr.sources import read_labels

        if ray and workers == 0:
            msg = "Ray needs an actor; give at least 1, or leave --workers out"
            raise typer.BadParameter(msg, param_hint="--workers")
        config = build_config(
            settings or [],
            published=published,
            rules=rules,
            keep=keep.value,
            seed=seed,
            text_model=llm,
            picture_model=picture_model,
            voice_model=voice_model,
            allow_remote=allow_remote,
        )
        require_usable(config)
        clips = named_clips(source, text, name, licence)[:limit]
        plan = BuildPlan(
            clips=clips,
            out_dir=out,
            config=config,
            given_labels=None if labels is None else read_labels(labels, clips),
            labels_name="" if labels is None else labels.name,
            label_maker=label_maker(preset, device) if preset or labels is None else None,
            load_recognizer=recognizer(speech_model, device),
            trust_names=resume,
        )
    with one_line_errors(debug):
        started = time.monotonic()
        report = run(with_full_paths(plan) if ray else plan, runner(len(clips), workers, ray))
        show(report, out, time.monotonic() - started)
        if report.failures:
            raise typer.Exit(FAILED)


def build_config(changes: Sequence[str], *, published: bool = False, **flags: Any) -> "BuildConfig":
    """Put flags and ``--set`` together.

    Raises:
        typer.BadParameter: no NAME=VALUE, an unknown name or a wrong value
    """
    import yaml
    from pydantic import ValidationError

    from emotion_llama.config import PUBLISHED_BUILD, BuildConfig

    values: dict[str, Any] = {**(PUBLISHED_BUILD if published else {}), **flags}
    for change in changes:
        setting, equals, value = change.partition("=")
        if not equals:
            msg = f"found {change!r}, expected NAME=VALUE"
            raise typer.BadParameter(msg, param_hint="--set")
        try:
            values[setting.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            msg = f"found {change!r}, expected a value in the form of YAML"
            raise typer.BadParameter(msg, param_hint="--set") from error
    try:
        return BuildConfig(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        setting = ".".join(map(str, fault["loc"]))
        known = ", ".join(sorted(BuildConfig.model_fields))
        more = f"; known are {known}" if fault["type"] == "extra_forbidden" else ""
        msg = f"{setting}: {fault['msg'].lower()}, found {fault['input']!r}{more}"
        raise typer.BadParameter(msg, param_hint="--set") from error


def named_clips(
    source: Path, text: Path | None, name: str | None, licence: str | None
) -> "list[SourceClip]":
    """List the clips with what flags and tables say of them.

    Raises:
        ValueError: an unusable manifest or table
    """
    from emotion_llama.media import read_sentences
    from emotion_llama.merr.sources import list_sources

    spoken = read_sentences(text) if text is not None else None
    return list_sources(source, name=name, licence=licence, transcripts=spoken)


def label_maker(preset: str | None, device: str | None) -> "PresetLabelMaker":
    """Find the preset that labels, and say its terms.

    Raises:
        PresetError: there is no such preset
    """
    from emotion_llama.preset import find_preset, preset_notice
    from emotion_llama.pseudo_label import PresetLabelMaker

    quiet_loading()
    name = preset or "mini"
    folder = find_preset(name)
    notice = preset_notice(folder)
    if notice:
        say(notice, style="dim")
    # processes may begin in another folder
    return PresetLabelMaker(str(folder.resolve()) if folder == Path(name) else name, device)


def recognizer(model: str | None, device: str | None) -> "Callable[[], SpeechRecognizer] | None":
    """Give what loads the recogniser, in the process that uses it."""
    if model is None:
        return None
    from emotion_llama.device import choose_device
    from emotion_llama.media import WhisperRecognizer

    return partial(WhisperRecognizer, model, device=choose_device(device))


def with_full_paths(plan: "BuildPlan") -> "BuildPlan":
    """Name all files by their full paths: the machines of a cluster begin in other folders."""
    from dataclasses import replace

    clips = [
        replace(
            clip,
            path=clip.path.resolve(),
            action_units=clip.action_units and clip.action_units.resolve(),
        )
        for clip in plan.clips
    ]
    return replace(plan, clips=clips, out_dir=plan.out_dir.resolve())


def runner(num_clips: int, workers: int | None, ray: bool) -> "Runner":
    """Choose what works on the clips: this process, several, or a cluster.

    Args:
        num_clips: how many there are; one alone needs no other process
        workers: processes; ``None``: one for each processor, of a cluster all but one
        ray: whether it is a cluster
    """
    if ray:
        return partial(run_on_cluster, workers or max(1, num_usable_cpus() - 1))
    if workers is None:
        workers = num_usable_cpus() if num_clips > 1 else 0
    return partial(run_here, workers)


def run(plan: "BuildPlan", work: "Runner") -> "BuildReport":
    """Build, with a bar or lines on stderr.

    Raises:
        typer.Exit: stopped with Ctrl-C
    """
    from emotion_llama.merr.build import build as build_dataset

    plan.out_dir.mkdir(parents=True, exist_ok=True)
    progress = Progress(len(plan.clips))
    try:
        with progress.waiting:
            return build_dataset(plan, work, progress)
    except KeyboardInterrupt:
        say(
            f"stopped at {progress.stage}, {progress.done} of {progress.total} clips; what is done "
            "is kept, and the same command continues",
            style="yellow",
        )
        raise typer.Exit(INTERRUPTED) from None


def run_here(
    num_workers: int, make_worker: Callable[[], Any], rows: Sequence[Any]
) -> Iterator[Done[Any, Any]]:
    """Work in processes of this machine."""
    yield from run_bulk(make_worker, rows, num_workers)


def run_on_cluster(
    num_workers: int, make_worker: Callable[[], Any], rows: Sequence[Any]
) -> Iterator[Done[Any, Any]]:
    """Work on a Ray cluster whose machines see the same files."""
    from emotion_llama.bulk_ray import Stage, run_on_ray

    yield from run_on_ray([Stage(make_worker, num_workers)], rows)


class Progress:
    """What stands on stderr while a data set is built.

    Args:
        num_clips: how many there are
    """

    def __init__(self, num_clips: int) -> None:
        self._console = error_console()
        self.waiting = terminal.Waiting(self._console, "measuring", num_clips, unit="clips")
        self.stage, self.done, self.total = "measuring", 0, num_clips
        self._said = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        if stage == self.stage == "measuring":
            self.waiting.advance()
        self.stage, self.done, self.total = stage, done, total
        late = time.monotonic() - self._said > LINE_EVERY_S
        if late and done < total and (stage != "measuring" or not self._console.is_terminal):
            self._said = time.monotonic()
            say(f"{stage}: {done} of {total} clips")


def show(report: "BuildReport", out: Path, seconds: float) -> None:
    """Say what came of the run."""
    from emotion_llama.merr.agreement import render_counts

    say(
        f"kept {report.num_kept}, rejected {report.num_rejected}, failed {len(report.failures)} "
        f"of {report.num_clips} clips in {seconds:.1f} s, {report.num_clips / seconds:.1f} a second"
    )
    if report.agreement.rows:
        for line in render_counts(report.agreement).splitlines():
            say(terminal.printable(line))
    for reason, count in sorted(report.reasons.items(), key=lambda item: (-item[1], item[0])):
        say(f"  rejected for {reason}: {count}")
    if report.reused:
        say(f"done before: {_counts(report.reused)}")
    for note in report.notes:
        say(f"note: {note}", style="yellow")
    for clip_id, why in list(report.failures.items())[:NAMED_FAILURES]:
        named = why if why.startswith(clip_id) else f"{clip_id}: {why}"
        say(terminal.printable(named), style="red")
    if len(report.failures) > NAMED_FAILURES:
        say(f"... all of them in {out / 'errors.jsonl'}", style="red")
    say(f"data set: {out}; look at it with: emotion-llama merr stats {out}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{stage} of {count}" for stage, count in sorted(counts.items()))
