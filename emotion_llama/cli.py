"""The command line: emotion-llama predict | convert | export | face | doctor.

Knows: flags, streams, output files, exit codes. Does not know: media, models, or how an answer
looks (terminal.py). What needs torch is imported inside the commands, so --help answers at once.
"""

import csv
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.console import Console, OverflowMethod
from rich.table import Table
from rich.text import Text

from emotion_llama import terminal
from emotion_llama.labels import LabelSet, label_set
from emotion_llama.version import __version__

if TYPE_CHECKING:
    from emotion_llama.doctor import Finding
    from emotion_llama.face_report import ClipFaces, FaceReport
    from emotion_llama.model.checkpoint import CoverageReport
    from emotion_llama.predict import ClipFailure, Predictor
    from emotion_llama.records import Prediction

FAILED = 1
"""Exit code when some clips have no answer, or a conversion failed."""

WRONG_COMMAND = 2
"""Exit code when nothing could be started; the same as typer's for a wrong flag."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 plus the number of SIGINT, as shells have it."""

FULL_ANSWERS = 5
"""Up to this many clips get a full answer each in the terminal; more get one line each."""

FILE_WIDTH = 100
"""Width in characters of a text answer written to a file."""

VIDEO_SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".flv",
    ".3gp",
    ".mts",
    ".m2ts",
    ".ogv",
)
SOUND_SUFFIXES = (
    ".wav",
    ".mp3",
    ".m4a",
    ".aac",
    ".flac",
    ".ogg",
    ".opus",
    ".wma",
    ".aif",
    ".aiff",
)
PICTURE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".webp",
    ".tif",
    ".tiff",
)
MEDIA_SUFFIXES = frozenset(VIDEO_SUFFIXES + SOUND_SUFFIXES + PICTURE_SUFFIXES)
"""What is taken from a folder; a file that is named itself may have any name."""

TRANSCRIPT_SUFFIXES = frozenset({".txt", ".srt", ".vtt", ".csv", ".tsv"})
"""A text with one of these at its end is the name of a file."""

Job = tuple[Path | None, str | None]
"""A clip, if there is one, and what is said in it, if that is known."""


class Form(StrEnum):
    """How answers are written."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


SUFFIX_FORMS = {".json": Form.JSON, ".jsonl": Form.JSON, ".csv": Form.CSV, ".txt": Form.TEXT}
"""Form of an output file whose form no flag gives."""


class Decision(StrEnum):
    """How the label is found."""

    SCORED = "scored"
    GREEDY = "greedy"


class PromptMode(StrEnum):
    """Which layout of the prompt the model is given."""

    TRAINED = "trained"
    PUBLISHED_EVAL = "published-eval"


class FaceFinder(StrEnum):
    """What finds faces."""

    NETWORK = "network"
    CASCADE = "cascade"


class Reading(StrEnum):
    """Which units are summed at the peak."""

    ALL = "all"
    FREQUENT = "frequent"


class FaceSource(StrEnum):
    """Where the face encoders look."""

    DETECT = "detect"
    WHOLE_FRAME = "whole-frame"


app = typer.Typer(
    name="emotion-llama",
    help="A clip of a person goes in; the emotion and the reasons for it come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def main() -> None:
    """Run the command line on the arguments of this process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="emotion-llama")


def show_version(wanted: bool) -> None:
    """Write the version and stop, if asked for."""
    if wanted:
        typer.echo(f"emotion-llama {__version__}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """A clip of a person goes in; the emotion and the reasons for it come out."""  # noqa: D401


def key_frame_policy(policy: str | None) -> str | None:
    """Check a key-frame policy, if one is given.

    Raises:
        typer.BadParameter: an unknown policy
    """
    from emotion_llama.config import parse_frame_policy

    try:
        if policy is not None:
            parse_frame_policy(policy)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return policy


@app.command(
    epilog="Exit code: 0 every clip has an answer, 1 some have none (named on stderr), "
    "2 wrong command or weights, 130 stopped with Ctrl-C."
)
def predict(
    clips: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CLIP|DIR",
            help="Video, sound or picture files, and folders to search for them. "
            "None is needed when --text alone is to be judged.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT|FILE",
            help="What is said: a sentence, a subtitle or text file (.srt, .vtt, .txt), or a table "
            "with one row for each clip (.csv, .tsv).",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="SET|a,b,c",
            help="Labels to offer, in this order: merr, mer2023, dfew, mini, or your own list.",
            show_default="the labels of the preset",
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(metavar="NAME|FOLDER|HUB-ID", help="Weights to use.")
    ] = "mini",
    device: Annotated[
        str | None,
        typer.Option(help="For instance cpu, cuda, cuda:1.", show_default="a GPU if there is one"),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16 or float16.", show_default="fits the device"),
    ] = None,
    decision: Annotated[
        Decision,
        typer.Option(help="Score every offered label, or read the label out of a written answer."),
    ] = Decision.SCORED,
    prompt_mode: Annotated[
        PromptMode, typer.Option(help="Prompt of the training, or of the published evaluation.")
    ] = PromptMode.TRAINED,
    face_source: Annotated[
        FaceSource, typer.Option(help="Find the face, or take the picture as it is.")
    ] = FaceSource.DETECT,
    key_frame: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            callback=key_frame_policy,
            help="Frame for the global encoder: first, middle, peak, or uniform:n.",
            show_default="what the preset says, else middle",
        ),
    ] = None,
    reason: Annotated[
        bool, typer.Option(help="Write the reason, which takes most of the time.")
    ] = True,
    speech_model: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|HUB-ID",
            help="Whisper model that reads the words of clips without --text.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object for each clip and line on stdout.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="A table on stdout, one row for each clip.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write to this file instead of stdout, clip by clip, so that an interrupted run "
            "keeps its answers. Its form follows --json, --csv or its suffix.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an --output file that is there already.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Name the emotion in each clip, with probabilities and the reason.

    Folders are searched with everything below them, in sorted order; hidden files are left out.
    """
    form = output_form(as_json, as_csv, output)
    check_output(output, overwrite, "--output")
    offered = None if labels is None else offered_labels(labels)
    source = transcript_source(text)
    if not clips and source is None:
        msg = "name a clip or a folder, or give --text"
        raise typer.BadParameter(msg, param_hint="CLIP")
    with one_line_errors(debug):
        paths, failures = find_clips(clips or [])
        total = len(paths) + len(failures)
        jobs = pair_transcripts(paths, source, failures) if clips else [text_job(source)]
        if jobs:
            with one_line_errors(debug, WRONG_COMMAND):
                predictor = load_predictor(
                    preset, device, dtype, decision, prompt_mode, face_source, key_frame
                )
                if speech_model is not None:
                    from emotion_llama.media import WhisperRecognizer

                    where = device or "cpu"
                    recognizer = WhisperRecognizer(speech_model, device=where)
                    predictor.reader.speech_recognizer = recognizer
            results = answers(predictor, jobs, offered, reason, debug)
            with open_output(output) as stream:
                write_answers(results, len(jobs), answer_writer(form, stream, len(jobs)), failures)
        report_failures(failures, total)
        if failures:
            raise typer.Exit(FAILED)


@app.command()
def convert(
    llama: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="Folder of the Llama-2 chat weights."),
    ],
    vision: Annotated[
        Path,
        typer.Option(exists=True, help="eva_vit_g.pth, or a folder of BLIP-2 weights."),
    ],
    checkpoint: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Published .pth with LoRA and projections."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write the model to.")],
    init_missing: Annotated[
        bool,
        typer.Option(
            "--init-missing",
            help="Accept a MiniGPT-v2 checkpoint, which lacks four projections: they are "
            "initialised at random and listed.",
        ),
    ] = False,
    reason_tag: Annotated[
        str | None,
        typer.Option(
            metavar="TAG",
            help="Task tag of the reason, as the checkpoint was trained.",
            show_default="reason_v2, or reason with --init-missing",
        ),
    ] = None,
    vision_layers: Annotated[
        int, typer.Option(min=1, help="Blocks of the vision tower to use; the rest is ignored.")
    ] = 39,
    vision_heads: Annotated[
        int, typer.Option(min=1, help="Attention heads of the vision tower.")
    ] = 16,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            help="Side of the picture.",
            show_default="the checkpoint's setting, else 448",
        ),
    ] = None,
    audio_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|HUB-ID",
            help="HuBERT to place into the folder: TencentGameMate/chinese-hubert-large.",
            show_default=False,
        ),
    ] = None,
    local_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|HUB-ID|FILE.pth",
            help="MAE to place into the folder: a model of transformers, or MAE's own file.",
            show_default=False,
        ),
    ] = None,
    temporal_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|HUB-ID|FILE.pth",
            help="VideoMAE to place into the folder: the same.",
            show_default=False,
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Turn published weights into a model folder, and list what became of every tensor."""
    with one_line_errors(debug):
        from emotion_llama.encoders.placement import placed_encoders
        from emotion_llama.model import checkpoint as weights

        with placed_encoders(
            {"audio": audio_encoder, "local": local_encoder, "temporal": temporal_encoder}, out
        ) as notes:
            report = weights.convert(
                llama,
                vision,
                checkpoint,
                out,
                init_missing=init_missing,
                reason_tag=reason_tag,
                vision=weights.VisionSizes(vision_layers, vision_heads, image_size),
            )
            show_coverage(report)
        for note in notes:
            say(note)
        say(f"wrote {out}")


@app.command()
def export(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="Converted model."),
    ],
    published: Annotated[
        Path, typer.Argument(metavar="PUBLISHED.pth", help="File to write, with published names.")
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Write LoRA and projections of a model folder back under their published names."""
    check_output(published, overwrite, "PUBLISHED.pth")
    with one_line_errors(debug):
        from emotion_llama.model import checkpoint as weights

        show_coverage(weights.export(folder, published))
        say(f"wrote {published}")


@app.command(
    epilog="Exit code: 0 somebody was measured, 1 nobody was found or the file cannot be read, "
    "2 wrong command, 130 stopped with Ctrl-C."
)
def face(
    clip: Annotated[
        Path, typer.Argument(metavar="CLIP", help="Film or still picture.", show_default=False)
    ],
    overlay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.mp4",
            help="Write the clip with what was found drawn on it; of a still picture also .png.",
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE.csv",
            help="Write the action units, a row a frame.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Draw the action units over time: .png, .svg or .pdf.",
            show_default=False,
        ),
    ] = None,
    person: Annotated[
        int,
        typer.Option(
            min=1, metavar="K", help="Whose face: 1 is the main person, by size, presence, place."
        ),
    ] = 1,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            metavar="N",
            help="Most frames a second to look at.",
            show_default="every frame up to 30 a second",
        ),
    ] = None,
    detector: Annotated[
        FaceFinder,
        typer.Option(help="The packaged network, or OpenCV's cascade for frontal faces."),
    ] = FaceFinder.NETWORK,
    reading: Annotated[
        Reading,
        typer.Option(help="Sum every unit at the peak, or those that occur most often."),
    ] = Reading.ALL,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there already.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Measure the face of a person in a clip: action units, head pose, and the peak frame."""
    check_face_outputs(clip, {"--overlay": overlay, "--csv": table, "--plot": plot}, overwrite)
    with one_line_errors(debug):
        from emotion_llama.face_report import faceless, report_on

        check_overlay_form(clip, overlay)
        faces = find_faces(clip, detector, fps)
        if not faces.people:
            say(faceless(faces), style="red")
            raise typer.Exit(FAILED)
        report = report_on(faces, person, reading.value)
        show_face(report)
        write_face_files(report, overlay, table, plot)


def output_form(as_json: bool, as_csv: bool, output: Path | None) -> Form:
    """Decide how answers are written.

    Raises:
        typer.BadParameter: two forms are asked for, or a file's suffix names none
    """
    if as_json and as_csv:
        msg = "--json and --csv exclude each other; give one of them"
        raise typer.BadParameter(msg, param_hint="--json")
    if as_json:
        return Form.JSON
    if as_csv:
        return Form.CSV
    if output is None or not output.suffix:
        return Form.TEXT
    form = SUFFIX_FORMS.get(output.suffix.lower())
    if form is None:
        msg = f"{output.suffix} names no form; use {', '.join(SUFFIX_FORMS)} or add --json or --csv"
        raise typer.BadParameter(msg, param_hint="--output")
    return form


def check_output(output: Path | None, overwrite: bool, parameter: str) -> None:
    """Refuse an output file that cannot be written or would destroy something.

    Raises:
        typer.BadParameter: its folder does not exist, it is a folder, or it holds something
    """
    if output is None:
        return
    if not output.parent.is_dir():
        msg = f"there is no folder {output.parent}; make it first"
    elif output.is_dir():
        msg = f"{output} is a folder; name a file in it"
    elif output.is_file() and output.stat().st_size and not overwrite:
        msg = f"{output} is there already; name another file or add --overwrite"
    else:
        return
    raise typer.BadParameter(msg, param_hint=parameter)


def offered_labels(labels: str) -> LabelSet:
    """Read ``--labels``.

    Raises:
        typer.BadParameter: it is no set and no list
    """
    try:
        return label_set(labels)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--labels") from error


def find_clips(given: Sequence[Path]) -> tuple[list[Path], dict[str, str]]:
    """Expand folders to the media files below them.

    Returns:
        files in the order given, each once; and, for what cannot be a clip, the reason by name
    """
    found: dict[Path, None] = {}
    failures: dict[str, str] = {}
    for path in given:
        if path.is_dir():
            inside = sorted(walk_media(path))
            found.update(dict.fromkeys(inside))
            if not inside:
                failures[str(path)] = "no media file in this folder or below it"
        elif path.is_file():
            found[path] = None
        elif path.exists():
            failures[str(path)] = "not a regular file; write it to a file first"
        else:
            failures[str(path)] = "no such file"
    return list(found), failures


def walk_media(folder: Path) -> Iterator[Path]:
    """Give the media files of a folder and all below it; a loop of links is entered once."""
    seen: set[tuple[int, int]] = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        place = Path(name).stat()
        if (place.st_dev, place.st_ino) in seen:
            folders.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in files:
            if not file.startswith(".") and Path(file).suffix.lower() in MEDIA_SUFFIXES:
                yield Path(name) / file


def transcript_source(text: str | None) -> str | Path | None:
    """Tell a sentence from the name of a file.

    Raises:
        typer.BadParameter: it reads like the name of a transcript, and there is no such file
    """
    if text is None or not text.strip():
        return None
    path = Path(text)
    try:
        if path.is_file():
            return path
    except OSError:  # a sentence may be too long for a file name
        return text
    if path.suffix.lower() in TRANSCRIPT_SUFFIXES:
        name = terminal.printable(text)
        msg = f"there is no file {name}; check the path, or give the sentence itself"
        raise typer.BadParameter(msg, param_hint="--text")
    return text


def pair_transcripts(
    paths: Sequence[Path], source: str | Path | None, failures: dict[str, str]
) -> list[Job]:
    """Give every clip what is said in it, and note the clips whose transcript cannot be read."""
    if source is None:
        return [(path, None) for path in paths]
    from emotion_llama.media import read_transcript

    jobs: list[Job] = []
    for path in paths:
        try:
            jobs.append((path, read_transcript(source, path.stem)))
        except (ValueError, OSError) as error:
            failures[str(path)] = describe(error)
    if len({text for _, text in jobs}) < len(jobs):
        say(f"note: the same --text goes with all {len(jobs)} clips", style="dim")
    return jobs


def text_job(source: str | Path | None) -> Job:
    """Give the job of judging a text without a clip."""
    from emotion_llama.media import read_transcript

    return None, read_transcript(source or "")


def load_predictor(
    preset: str,
    device: str | None,
    dtype: str | None,
    decision: Decision,
    prompt_mode: PromptMode,
    face_source: FaceSource,
    key_frame: str | None,
) -> "Predictor":
    """Load the weights and say their licence notice."""
    # where bitsandbytes is installed, it speaks of a kernel that is not needed when imported
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

    from transformers.utils.logging import disable_progress_bar

    from emotion_llama.predict import Predictor

    disable_progress_bar()  # one sign of life on stderr is enough
    changes = {"face_source": face_source.value} | ({"key_frame": key_frame} if key_frame else {})
    with terminal.Waiting(error_console(), f"loading {preset}", total=1):
        predictor = Predictor.from_pretrained(
            preset,
            device=device,
            dtype=dtype,
            media=changes,
            prompt_mode=prompt_mode.value,
            decision=decision.value,
        )
    if predictor.notice:
        say(predictor.notice, style="dim")
    return predictor


def answers(
    predictor: "Predictor",
    jobs: Sequence[Job],
    labels: LabelSet | None,
    reason: bool,
    debug: bool,
) -> "Iterator[Prediction | ClipFailure]":
    """Give one answer or failure for each clip; with ``debug`` the first error is raised."""
    paths = [path for path, _ in jobs if path is not None]
    if debug or len(paths) < len(jobs):
        for path, text in jobs:
            yield predictor(path, text=text, labels=labels, with_reason=reason)
        return
    texts = [text for _, text in jobs]
    yield from predictor.batch(paths, texts=texts, labels=labels, with_reason=reason)


def write_answers(
    results: "Iterable[Prediction | ClipFailure]",
    total: int,
    write: "Callable[[Prediction], None]",
    failures: dict[str, str],
) -> None:
    """Write answers as they come, and collect failures.

    Raises:
        typer.Exit: stopped with Ctrl-C; stderr says how many clips are done
    """
    from emotion_llama.predict import ClipFailure

    done = 0
    try:
        with terminal.Waiting(error_console(), "looking and listening", total) as waiting:
            for result in results:
                waiting.pause()
                if isinstance(result, ClipFailure):
                    failures[result.clip] = " ".join(result.error.split())
                else:
                    write(result)
                done += 1
                waiting.advance()
    except KeyboardInterrupt:
        say(f"stopped: {done} of {total} clips are done", style="yellow")
        report_failures(failures, total)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def open_output(output: Path | None) -> Iterator[TextIO]:
    """Open the output file, or give stdout."""
    if output is None:
        yield sys.stdout
        return
    with output.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        yield stream
    say(f"wrote {output}")


def answer_writer(form: Form, stream: TextIO, total: int) -> "Callable[[Prediction], None]":
    """Give the function that writes one answer and leaves nothing in a buffer."""
    if form is Form.TEXT:
        show = text_writer(stream, total)
    elif form is Form.JSON:
        show = json_writer(stream)
    else:
        show = csv_writer(stream)

    def write(prediction: "Prediction") -> None:
        show(prediction)
        stream.flush()

    return write


def text_writer(stream: TextIO, total: int) -> "Callable[[Prediction], None]":
    """Write answers for a person: in full, or one line each where there are many clips."""
    console = text_console(stream)
    ascii_only = console.options.ascii_only

    def show(prediction: "Prediction") -> None:
        if total > FULL_ANSWERS:
            # cut to the width of a terminal, but whole in a file or pipe
            shown = console.is_terminal
            overflow: OverflowMethod = "ellipsis" if shown else "ignore"
            line = terminal.answer_line(prediction)
            console.print(line, no_wrap=True, overflow=overflow, crop=shown)
        else:
            console.print(terminal.answer(prediction, ascii_only=ascii_only))
            console.print()

    return show


def json_writer(stream: TextIO) -> "Callable[[Prediction], None]":
    """Write one JSON object a line."""
    # Python's escapes for what an encoding lacks are no JSON; json's own escapes are.
    escape = not (stream.encoding or "utf-8").lower().startswith("utf")

    def show(prediction: "Prediction") -> None:
        stream.write(json.dumps(prediction.to_dict(), ensure_ascii=escape, allow_nan=False) + "\n")

    return show


def csv_writer(stream: TextIO) -> "Callable[[Prediction], None]":
    """Write a flat table; the header comes with the first answer, which knows the labels."""
    rows = csv.writer(stream, lineterminator="\n")
    header: list[str] = []

    def show(prediction: "Prediction") -> None:
        row = flat(prediction)
        if not header:
            header.extend(row)
            rows.writerow(header)
        rows.writerow([row.get(name) for name in header])

    return show


def flat(prediction: "Prediction") -> Mapping[str, object]:
    """Give one answer as named cells."""
    return {
        "clip": prediction.clip,
        "label": prediction.label,
        "confidence": round(prediction.confidence, 6),
        "unsure": str(prediction.unsure).lower(),
        "valence": None if prediction.valence is None else round(prediction.valence, 6),
        "reason": prediction.reason,
        **{f"p_{label}": round(p, 6) for label, p in prediction.probabilities.items()},
        "missing": "; ".join(f"{modality}: {why}" for modality, why in prediction.missing.items()),
    }


def report_failures(failures: Mapping[str, str], total: int) -> None:
    """List what has no answer."""
    if failures and total > 1:
        say(f"{len(failures)} of {total} have no answer:", style="bold red")
    for clip, why in failures.items():
        # an error of a reader begins with the name of its file already
        words = why if why.startswith(clip) else f"{clip}: {why}"
        say(f"{'  ' if total > 1 else 'error: '}{terminal.printable(words)}", style="red")


def check_face_outputs(clip: Path, outputs: Mapping[str, Path | None], overwrite: bool) -> None:
    """Refuse output files before anything is looked at.

    Raises:
        typer.BadParameter: one cannot be written, would destroy something or has a wrong ending
        typer.Exit: plots cannot be drawn here
    """
    from emotion_llama import face_report

    given = {flag: path for flag, path in outputs.items() if path is not None}
    checks = {
        "--overlay": face_report.require_overlay_name,
        "--plot": face_report.require_plot_name,
    }
    for flag, path in given.items():
        others = [clip, *(other for name, other in given.items() if name != flag)]
        if path.resolve() in {other.resolve() for other in others}:
            msg = f"{path} is named twice; name another file"
            raise typer.BadParameter(msg, param_hint=flag)
        check_output(path, overwrite, flag)
        if flag in checks:
            try:
                checks[flag](path)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint=flag) from error
    if "--plot" in given:
        with one_line_errors(debug=False, code=WRONG_COMMAND):
            face_report.require_matplotlib()


def check_overlay_form(clip: Path, overlay: Path | None) -> None:
    """Refuse to draw a film as a picture, before it is looked at.

    Raises:
        typer.Exit: the clip is a film, and the ending of the overlay that of a picture
        MediaError: the clip cannot be read
    """
    from emotion_llama.face_report import require_overlay_name
    from emotion_llama.face_report.overlay import PICTURE_FORMATS
    from emotion_llama.media import is_still

    if overlay is None or overlay.suffix.lower() not in PICTURE_FORMATS:
        return
    still = is_still(clip)
    with one_line_errors(debug=False, code=WRONG_COMMAND):
        require_overlay_name(overlay, is_still=still)


def find_faces(clip: Path, detector: FaceFinder, fps: float | None) -> "ClipFaces":
    """Follow every face through a clip, with a bar on stderr."""
    from emotion_llama.face import CascadeDetector, NetworkDetector
    from emotion_llama.face_report import FRAMES_PER_SECOND, look_at

    finder = NetworkDetector() if detector is FaceFinder.NETWORK else CascadeDetector()
    rate = fps or FRAMES_PER_SECOND
    with terminal.Waiting(error_console(), "looking at faces") as waiting:
        return look_at(clip, finder, rate, waiting.advance, waiting.expect)


def show_face(report: "FaceReport") -> None:
    """Write on stdout what was found."""
    from emotion_llama.face_report import summary

    console = text_console(sys.stdout)
    console.print(summary(report, ascii_only=console.options.ascii_only))


def write_face_files(
    report: "FaceReport", overlay: Path | None, table: Path | None, plot: Path | None
) -> None:
    """Write the files that were asked for, and name them on stderr."""
    from emotion_llama import face_report
    from emotion_llama.face import write_action_units

    if table is not None:
        write_action_units(report.table, table)
        say(f"wrote {table}")
    if plot is not None:
        face_report.write_plot(report, plot)
        say(f"wrote {plot}")
    if overlay is not None:
        num_frames = len(report.clip.times_s)
        with terminal.Waiting(error_console(), "drawing", num_frames) as waiting:
            face_report.write_overlay(report, overlay, waiting.advance)
        say(f"wrote {overlay}")


def show_coverage(report: "CoverageReport") -> None:
    """Write on stdout what became of every tensor."""
    text_console(sys.stdout).print(terminal.coverage_table(report.groups()))


def error_console() -> Console:
    """Give a console on stderr that takes words as they are."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def text_console(stream: TextIO) -> Console:
    """Give a console on a stream: as wide as the terminal, or `FILE_WIDTH` where there is none."""
    width = None if stream.isatty() else FILE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def say(words: str, style: str = "") -> None:
    """Write one line on stderr."""
    error_console().print(words, style=style, soft_wrap=True)


def describe(error: BaseException) -> str:
    """Put an error in one line, with its type where the message is not meant for users."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {words}"


@contextmanager
def one_line_errors(debug: bool, code: int = FAILED) -> Iterator[None]:
    """Turn what goes wrong inside into one line on stderr and an exit code.

    Raises:
        typer.Exit: something went wrong
    """
    try:
        yield
    except (typer.Exit, BrokenPipeError):  # typer ends quietly when nobody reads stdout any more
        raise
    except KeyboardInterrupt:
        say("stopped before the first answer", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        say(f"error: {describe(error)}", style="red")
        raise typer.Exit(code) from error


# ---- doctor --------------------------------------------------------------------------------------


@app.command(
    epilog="Exit code: 0 the preset is complete, 1 it lacks a part (or cannot be read), "
    "2 wrong command."
)
def doctor(
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER",
            help="Preset to look at: mini, 7b, or a folder.",
            show_default="both, and the exit code is that of mini",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Say which parts of a preset are there, where the others come from, and what is installed."""
    with one_line_errors(debug):
        from emotion_llama import doctor as examination

        console = text_console(sys.stdout)
        installation = examination.examine_installation()
        show_findings(console, "installation", installation)
        complete = [examination.is_complete(installation)]
        for name in [preset] if preset else ["mini", "7b"]:
            findings = examination.examine_preset(name)
            show_findings(console, f"preset {name}", findings)
            complete.append(examination.is_complete(findings))
        if not all(complete[:2]):
            raise typer.Exit(FAILED)


def show_findings(console: Console, title: str, findings: "Sequence[Finding]") -> None:
    """Write a heading, and a row for each part."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for finding in findings:
        absent = "MISSING" if finding.required else "-"
        style = "" if finding.present else "yellow"
        row = ("ok" if finding.present else absent, finding.part, finding.detail)
        table.add_row(*(Text(cell) for cell in row), style=style)
    console.print(Text(title, style="bold"))
    console.print(table)
    console.print()
