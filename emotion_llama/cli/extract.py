"""emotion-llama extract: the features of any number of clips into a store, each computed once.

Knows: flags, what is said while it runs and at its end, the list of failures. Does not know: how
clips are read and encoded, how a store works. What needs torch is imported inside the functions.
"""

import json
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotion_llama import terminal
from emotion_llama.bulk import Done, StopRunError, num_usable_cpus
from emotion_llama.cli.flags import Debug, Device, Dtype, FaceSource, KeyFrame, Preset
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
    import torch

    from emotion_llama.extract import Extracted, ExtractSettings
    from emotion_llama.media.manifest import ClipFile
    from emotion_llama.records import EncoderRole, Features

    Results = Generator[Done[ClipFile, Extracted], None, None]

EXIT_CODES = (
    "Exit code: 0 every clip is stored, 1 some failed or the run had to stop, 2 wrong command or "
    "weights, 130 stopped with Ctrl-C."
)

ERRORS_FILE = "errors.jsonl"
"""File of the store's folder with one line for each clip that failed in the last run."""

NAMED_FAILURES = 5
"""Failures that are named on stderr; the file has all."""

LINE_EVERY_S = 10.0
"""Seconds between two lines of progress where stderr is no terminal."""


class Layout(StrEnum):
    """Another form in which the features are written."""

    PUBLISHED = "published"


def extract(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|MANIFEST|CLIP",
            help="Folder to search for media, a table with the column path and, if wanted, "
            "clip_id (.csv, .tsv, .jsonl, .parquet), or one file.",
            show_default=False,
        ),
    ],
    store: Annotated[
        Path,
        typer.Option(
            metavar="OUT",
            file_okay=False,
            help="Folder of the store; what it holds already is not computed again.",
            show_default=False,
        ),
    ],
    preset: Preset = "mini",
    encoders: Annotated[
        str | None,
        typer.Option(
            metavar="a,b,c",
            help="Encoders to run, of audio, global, local, temporal.",
            show_default="audio,local,temporal, and the picture that global reads is kept",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Processes that read clips and, on a CPU, encode them; 0 works in this one.",
            show_default="one for each processor",
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
            help="Skip clips that are stored under their name with the size of their file, without "
            "reading them. Otherwise files are read, and what is stored is found by their content, "
            "also under another name.",
        ),
    ] = False,
    device: Device = None,
    dtype: Dtype = None,
    autocast: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="Type of matrix products, for instance bfloat16, where the weights keep theirs.",
            show_default="the type of the weights",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="Clips that a GPU encodes together.")
    ] = 8,
    clip_limit: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            help="Give a clip up that takes longer; needs --workers of at least 1.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Work on the Ray cluster that RAY_ADDRESS names, else on one started here; "
            "--workers is the number of its actors that read.",
        ),
    ] = False,
    key_frame: KeyFrame = None,
    face_source: Annotated[
        FaceSource | None,
        typer.Option(
            help="Find the face, or take the picture as it is.",
            show_default="what the preset says, else detect",
        ),
    ] = None,
    layout: Annotated[
        Layout | None,
        typer.Option(
            help="Also write the features of these clips as published: a folder for each encoder, "
            "a .npy file for each clip.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            file_okay=False,
            help="Folder for --layout.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of --output that are there already.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Compute the features of clips once, and keep them in a store.

    It can be stopped at any time; the same command continues. Clips that fail do not stop the
    others: OUT/errors.jsonl names them, with the reason.
    """
    if (layout is None) != (output is None):
        msg = "--layout published and --output DIR belong together; give both or none"
        raise typer.BadParameter(msg, param_hint="--layout")
    if clip_limit is not None and (ray or workers == 0):
        msg = "a clip can be given up only in a process of its own, not with --ray or --workers 0"
        raise typer.BadParameter(msg, param_hint="--clip-limit")
    if ray and workers == 0:
        msg = "Ray needs an actor to work in; let --workers be 1 or more"
        raise typer.BadParameter(msg, param_hint="--workers")
    with one_line_errors(debug, WRONG_COMMAND):
        from emotion_llama.media.manifest import list_clips

        roles = encoder_roles(encoders)
        clips = list_clips(source)[:limit]
        if output is not None:
            check_published(clips, roles, output, overwrite)
        settings = extraction_settings(
            preset, store, roles, device, dtype, resume, media_changes(key_frame, face_source)
        )
        if autocast is not None:
            settings = replace(settings, autocast_dtype=named_dtype(autocast))
        store.mkdir(parents=True, exist_ok=True)
        (store / ERRORS_FILE).unlink(missing_ok=True)
    if workers is None:
        in_this_one = len(clips) == 1 and clip_limit is None and not ray
        workers = 0 if in_this_one else num_usable_cpus()
    with one_line_errors(debug):
        if ray:
            results = start_on_ray(clips, settings, workers)
        else:
            results = start(clips, settings, workers, batch_size, clip_limit)
        tally = run(results, len(clips), store, debug)
        say(tally.summary())
        say(f"store: {store}")
        if output is not None:
            write_published(settings, tally.stored, output, overwrite)
        report_failures(tally, store)
        if tally.num_failed:
            raise typer.Exit(FAILED)


def encoder_roles(encoders: str | None) -> "tuple[EncoderRole, ...]":
    """Read ``--encoders``.

    Raises:
        typer.BadParameter: it names something else, or nothing
    """
    from emotion_llama.extract import DEFAULT_ROLES
    from emotion_llama.records import ENCODER_ROLES

    if encoders is None:
        return DEFAULT_ROLES
    names = [name.strip().lower() for name in encoders.split(",") if name.strip()]
    unknown = [name for name in names if name not in ENCODER_ROLES]
    if unknown or not names:
        found = ", ".join(map(repr, unknown)) or "none"
        msg = f"found {found}; choose of {', '.join(ENCODER_ROLES)}"
        raise typer.BadParameter(msg, param_hint="--encoders")
    return tuple(role for role in ENCODER_ROLES if role in names)


def media_changes(key_frame: str | None, face_source: FaceSource | None) -> dict[str, Any]:
    """Give the settings of reading that a flag decides."""
    changes = {"key_frame": key_frame, "face_source": face_source and face_source.value}
    return {name: value for name, value in changes.items() if value is not None}


def extraction_settings(
    preset: str,
    store: Path,
    roles: "tuple[EncoderRole, ...]",
    device: str | None,
    dtype: str | None,
    resume: bool,
    media: Mapping[str, Any],
) -> "ExtractSettings":
    """Find the weights, say their licence notice, and put together what is to be done.

    Raises:
        ValueError: there is no such preset or type
    """
    from emotion_llama.device import choose_device, choose_dtype
    from emotion_llama.extract import ExtractSettings
    from emotion_llama.preset import find_preset, preset_media, preset_notice

    folder = find_preset(preset, encoders_only=True)
    notice = preset_notice(folder)
    if notice:
        say(notice, style="dim")
    quiet_loading()
    device = choose_device(device)
    return ExtractSettings(
        preset_dir=folder,
        store_dir=store,
        media=preset_media(folder, **media),
        roles=roles,
        device=device,
        dtype=choose_dtype(dtype, device),
        trust_names=resume,
    )


def named_dtype(name: str) -> "torch.dtype":
    """Read the name of a number type.

    Raises:
        ValueError: an unknown type
    """
    from emotion_llama.device import choose_dtype

    return choose_dtype(name, "cpu")


@dataclass
class Tally:
    """What became of the clips so far."""

    num_computed: int = 0
    num_reused: int = 0
    num_failed: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    """of the computed, how many lack each modality"""
    approximate: Counter[str] = field(default_factory=Counter)
    """of the computed, how many features are put together from windows"""
    stored: list[str] = field(default_factory=list)
    """names of the clips that did not fail"""
    first_failures: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def num_clips(self) -> int:
        """How many are done, whatever became of them."""
        return self.num_computed + self.num_reused + self.num_failed

    @property
    def rate(self) -> float:
        """Clips a second."""
        return self.num_clips / max(time.monotonic() - self.started, 1e-9)

    def add(self, done: "Done[ClipFile, Extracted]") -> None:
        """Count one more clip."""
        if done.result is None:
            self.num_failed += 1
            if len(self.first_failures) < NAMED_FAILURES:
                why = done.error or ""
                # an error of a reader begins with the name of its file already
                named = why.startswith(str(done.row.path))
                self.first_failures.append(why if named else f"{done.row.clip_id}: {why}")
            return
        self.stored.append(done.row.clip_id)
        if done.result.reused:
            self.num_reused += 1
            return
        self.num_computed += 1
        self.missing.update(role for role in done.result.missing if role != "key_frame")
        self.approximate.update(done.result.approximate)

    def summary(self) -> str:
        """Say in a line or two what was done."""
        seconds = time.monotonic() - self.started
        lines = [
            f"computed {self.num_computed}, reused {self.num_reused}, failed {self.num_failed}: "
            f"{self.num_clips} clips in {seconds:.1f} s, {self.rate:.1f} a second"
        ]
        facts = [f"{count} without {role}" for role, count in sorted(self.missing.items())]
        facts += [
            f"{count} with {role} put together from windows, an approximation"
            for role, count in sorted(self.approximate.items())
        ]
        if facts:
            lines.append(f"of those computed: {', '.join(facts)}")
        return "\n".join(lines)


def start(
    clips: "Sequence[ClipFile]",
    settings: "ExtractSettings",
    num_workers: int,
    batch_size: int,
    clip_limit_s: float | None,
) -> "Results":
    """Begin on this machine."""
    from emotion_llama import extract as extraction

    return extraction.extract(
        clips,
        settings,
        num_workers=num_workers,
        batch_size=batch_size,
        clip_limit_s=clip_limit_s,
    )


def start_on_ray(
    clips: "Sequence[ClipFile]", settings: "ExtractSettings", num_workers: int
) -> "Results":
    """Begin on a cluster, whose machines know only full paths."""
    from emotion_llama import extract as extraction

    folders = {name: getattr(settings, name).resolve() for name in ("preset_dir", "store_dir")}
    return extraction.extract_on_ray(
        [replace(clip, path=clip.path.resolve()) for clip in clips],
        replace(settings, **folders),
        num_workers=num_workers,
    )


def run(results: "Results", total: int, store: Path, debug: bool) -> Tally:
    """Let the clips be extracted, with a bar or lines on stderr, and list what fails.

    Raises:
        typer.Exit: stopped with Ctrl-C, by a full disk, or before the first clip
    """
    tally = Tally()
    console = error_console()
    said = time.monotonic()
    try:
        with (
            terminal.Waiting(console, "extracting", total, unit="clips") as waiting,
            closing(results),
        ):
            for done in results:
                tally.add(done)
                if done.result is None:
                    note_failure(store / ERRORS_FILE, done)
                waiting.advance()
                due = time.monotonic() - said > LINE_EVERY_S and tally.num_clips < total
                if due and not console.is_terminal:
                    said = time.monotonic()
                    say(progress_line(tally, total))
    except KeyboardInterrupt:
        report_failures(tally, store)
        say(
            f"stopped: {tally.num_clips} of {total} clips are done, and what is done is "
            "stored; the same command continues",
            style="yellow",
        )
        raise typer.Exit(INTERRUPTED) from None
    except StopRunError:
        report_failures(tally, store)
        raise
    except Exception:
        if tally.num_clips == 0:  # the weights: no clip can be the cause
            with one_line_errors(debug, WRONG_COMMAND):
                raise
        raise
    return tally


def progress_line(tally: Tally, total: int) -> str:
    """Say how far it is."""
    minutes, seconds = divmod(round((total - tally.num_clips) / tally.rate), 60)
    failed = f", {tally.num_failed} failed" if tally.num_failed else ""
    return (
        f"{tally.num_clips} of {total} clips{failed}, {tally.rate:.1f} a second, "
        f"{minutes}:{seconds:02} min left"
    )


def note_failure(path: Path, done: "Done[ClipFile, Extracted]") -> None:
    """Write one failure down at once, so that a killed run has it too."""
    row = {"clip": done.row.clip_id, "path": str(done.row.path), "error": done.error}
    with path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def report_failures(tally: Tally, store: Path) -> None:
    """Name the first failures, and the file that has all."""
    if not tally.num_failed:
        return
    say(f"{tally.num_failed} of {tally.num_clips} clips failed:", style="bold red")
    for words in tally.first_failures:
        say(f"  {terminal.printable(words)}", style="red")
    more = tally.num_failed - len(tally.first_failures)
    say(f"{f'{more} more, and all' if more else 'all'} in {store / ERRORS_FILE}", style="red")


# ---- the published layout ------------------------------------------------------------------------


@dataclass(frozen=True)
class _ClipsOfRun:
    """The features of some clips of a store."""

    store: Any
    names: Sequence[str]

    def clip_ids(self) -> Sequence[str]:
        return self.names

    def clip(self, clip_id: str) -> "Features":
        features: Features = self.store.clip(clip_id)
        return features


def check_published(
    clips: "Sequence[ClipFile]", roles: "Sequence[EncoderRole]", output: Path, overwrite: bool
) -> None:
    """Refuse a layout that could not be written, before anything is computed.

    Raises:
        typer.BadParameter: no role has a place in it, two clips share a name, or a file is there
    """
    from emotion_llama.feature_store.published_layout import PUBLISHED_NAMES, file_stem

    folders = [output / PUBLISHED_NAMES[role] for role in roles if role in PUBLISHED_NAMES]
    if not folders:
        msg = f"the layout has no folder for {', '.join(roles)}; add one of {[*PUBLISHED_NAMES]}"
        raise typer.BadParameter(msg, param_hint="--layout")
    named: dict[str, str] = {}
    for clip in clips:
        stem = file_stem(clip.clip_id)
        if stem in named:
            msg = (
                f"clips {named[stem]!r} and {clip.clip_id!r} would share the file {stem}.npy: the "
                "layout has no folders; give them a clip_id each in a manifest"
            )
            raise typer.BadParameter(terminal.printable(msg), param_hint="--layout")
        named[stem] = clip.clip_id
        for path in (folder / f"{stem}.npy" for folder in folders):
            if path.exists() and not overwrite:
                msg = f"{path} is there already; name another folder or add --overwrite"
                raise typer.BadParameter(msg, param_hint="--output")


def write_published(
    settings: "ExtractSettings", names: Sequence[str], output: Path, overwrite: bool
) -> None:
    """Write the features of these clips in the published layout, as wide as they are."""
    from emotion_llama import extract as extraction
    from emotion_llama.feature_store import AmbiguousFeatureError, FeatureStore

    try:
        clips = _ClipsOfRun(FeatureStore(settings.store_dir), names)
        written = export_roles(clips, settings.roles, output, overwrite)
    except AmbiguousFeatureError:  # other weights have features in this store too
        extractor = extraction.load_extractor(settings)
        named = extraction.identities(extractor, settings.reader(), settings)
        clips = _ClipsOfRun(FeatureStore(settings.store_dir, named), names)
        written = export_roles(clips, settings.roles, output, overwrite)
    counts = ", ".join(f"{count} {role}" for role, count in written.items())
    say(f"wrote {counts} features to {output}")


def export_roles(
    clips: _ClipsOfRun, roles: "Sequence[EncoderRole]", output: Path, overwrite: bool
) -> "dict[EncoderRole, int]":
    """Write each role by itself: encoders of other presets have widths of their own."""
    from emotion_llama.feature_store import export_published
    from emotion_llama.feature_store.published_layout import PUBLISHED_NAMES, PUBLISHED_WIDTH

    written: dict[EncoderRole, int] = {}
    for role, folder in PUBLISHED_NAMES.items():
        if role in roles:
            values = (getattr(clips.clip(name), role) for name in clips.names)
            width = next((len(value) for value in values if value is not None), PUBLISHED_WIDTH)
            written |= export_published(
                clips, output, {role: folder}, width=width, overwrite=overwrite
            )
    return written
