"""emotion-llama predict: clips in, answers out, as text, JSON lines or a table; or by segments.

Knows: flags, forms of output, which clip goes with which words. Does not know: media, models, or
how an answer looks (terminal.py). What needs torch is imported inside the functions.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import OverflowMethod

from emotion_llama import terminal
from emotion_llama.bulk import describe
from emotion_llama.cli.flags import (
    Debug,
    Device,
    Dtype,
    FaceSource,
    KeyFrame,
    Preset,
    QuantizeBits,
    SpeechModel,
    TranslationModel,
    quantized,
)
from emotion_llama.cli.output import (
    FAILED,
    INTERRUPTED,
    WRONG_COMMAND,
    check_output,
    error_console,
    one_line_errors,
    open_output,
    quiet_loading,
    say,
    text_console,
)
from emotion_llama.labels import LabelSet, label_set

if TYPE_CHECKING:
    from emotion_llama.predict import ClipFailure, Predictor
    from emotion_llama.records import Prediction
    from emotion_llama.timeline import Segment

EXIT_CODES = (
    "Exit code: 0 every clip has an answer, 1 some have none (named on stderr), "
    "2 wrong command or weights, 130 stopped with Ctrl-C."
)

FULL_ANSWERS = 5
"""Up to this many clips get a full answer each in the terminal; more get one line each."""

LONG_S = 60.0
"""A film longer than this is worth a word on segments: one answer hides what changes in it."""

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
    preset: Preset = "mini",
    device: Device = None,
    dtype: Dtype = None,
    quantize_bits: QuantizeBits = None,
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
    key_frame: KeyFrame = None,
    reason: Annotated[
        bool, typer.Option(help="Write the reason, which takes most of the time.")
    ] = True,
    segment_s: Annotated[
        float | None,
        typer.Option(
            "--segment-s",
            metavar="SECONDS",
            min=1.0,
            help="Answer each clip in equal parts of at most this length; --text is then a "
            "subtitle file.",
            show_default=False,
        ),
    ] = None,
    speech_model: SpeechModel = None,
    translation_model: TranslationModel = None,
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
    if not clips and (source is None or segment_s is not None):
        msg = "name a clip or a folder" + (", or give --text" if segment_s is None else "")
        raise typer.BadParameter(msg, param_hint="CLIP")
    if segment_s is not None and form is Form.CSV:
        msg = "segments are written as text or JSON; use --json instead of CSV"
        raise typer.BadParameter(msg, param_hint="--segment-s")
    with one_line_errors(debug):
        paths, failures = find_clips(clips or [])
        total = len(paths) + len(failures)
        jobs = pair_transcripts(paths, source, failures) if clips else [text_job(source)]
        if jobs:
            with one_line_errors(debug, WRONG_COMMAND):
                predictor = load_predictor(
                    preset,
                    decision,
                    prompt_mode,
                    face_source,
                    key_frame,
                    device=device,
                    dtype=dtype,
                    quantize_bits=quantized(quantize_bits),
                )
                if speech_model or translation_model:
                    from emotion_llama.clip_words import WordModels

                    models = WordModels(speech_model, translation_model)
                    english_only = predictor.reader.words.english_only
                    predictor.reader.words = models.load(
                        english_only=english_only, device=device or "cpu"
                    )
            with open_output(output) as stream:
                if segment_s is None:
                    results = answers(predictor, jobs, offered, reason, debug)
                    write = answer_writer(form, stream, len(jobs))
                    write_answers(results, len(jobs), write, failures)
                else:
                    from emotion_llama.timeline import timeline

                    ask = partial(
                        timeline,
                        predictor,
                        text=source,
                        labels=offered,
                        segment_s=segment_s,
                        with_reason=reason,
                    )
                    films = [path for path, _ in jobs if path is not None]
                    write_timelines(ask, segment_s, films, form, stream, failures)
            if segment_s is None:
                hint_at_segments([path for path, _ in jobs if path and str(path) not in failures])
        report_failures(failures, total)
        if failures:
            raise typer.Exit(FAILED)


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
    from emotion_llama.media.manifest import walk_media

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
    decision: Decision,
    prompt_mode: PromptMode,
    face_source: FaceSource,
    key_frame: str | None,
    **loading: Any,
) -> "Predictor":
    """Load the weights and say their licence notice."""
    quiet_loading()  # one sign of life on stderr is enough
    from emotion_llama.predict import Predictor

    changes = {"face_source": face_source.value} | ({"key_frame": key_frame} if key_frame else {})
    with terminal.Waiting(error_console(), f"loading {preset}", total=1):
        predictor = Predictor.from_pretrained(
            preset,
            media=changes,
            prompt_mode=prompt_mode.value,
            decision=decision.value,
            **loading,
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


def write_timelines(
    ask: "Callable[[Path], Iterator[Segment]]",
    segment_s: float,
    paths: Sequence[Path],
    form: Form,
    stream: TextIO,
    failures: dict[str, str],
) -> None:
    """Write the segments of clips, and collect clips without any answer.

    JSON is written segment by segment, the table of a clip at its end.

    Raises:
        typer.Exit: stopped with Ctrl-C; stderr says how many clips are done
    """
    from emotion_llama.timeline import film_parts

    for done, path in enumerate(paths):
        parts: list[Segment] = []
        name = terminal.printable(path.name)
        try:
            with terminal.Waiting(error_console(), f"looking and listening: {name}") as waiting:
                waiting.expect(len(film_parts(path, segment_s)))
                for part in ask(path):
                    waiting.pause()
                    parts.append(part)
                    if form is Form.JSON:
                        write_segment(stream, path, part)
                    waiting.advance()
        except KeyboardInterrupt:
            say(f"stopped: {done} of {len(paths)} clips are done", style="yellow")
            report_failures(failures, len(paths))
            raise typer.Exit(INTERRUPTED) from None
        except (ValueError, OSError) as error:
            failures[str(path)] = describe(error)
        finally:
            if form is Form.TEXT and parts:
                show_timeline(stream, path, parts)
        if parts and all(part.prediction is None for part in parts):
            failures[str(path)] = f"none of {len(parts)} segments has an answer: {parts[0].error}"


def write_segment(stream: TextIO, path: Path, part: "Segment") -> None:
    """Write one segment as a JSON object in a line: its times, then the names of an answer."""
    answer = {} if part.prediction is None else part.prediction.to_dict()
    times = {"start_s": part.start_s, "end_s": part.end_s, "error": part.error}
    write_json(stream, {"clip": str(path), **times, **answer})
    stream.flush()


def show_timeline(stream: TextIO, path: Path, parts: "Sequence[Segment]") -> None:
    """Write the segments of a clip for a person, and the answer for the whole."""
    from emotion_llama.timeline import summary

    console = text_console(stream)
    ascii_only = console.options.ascii_only
    console.print(terminal.timeline_table(str(path), parts, ascii_only=ascii_only))
    whole = summary(parts)
    answered = f"{whole.num_answered} of {whole.num_segments} segments"
    console.print(terminal.whole_line(whole.label, whole.probabilities, answered))
    console.print()
    stream.flush()


def hint_at_segments(paths: Sequence[Path]) -> None:
    """Say which clips are long for one answer, in one line."""
    from emotion_llama.media import file_duration_s

    long: list[tuple[Path, float]] = []
    for path in paths:
        try:
            duration_s = file_duration_s(path) or 0.0
        except (ValueError, OSError):
            continue  # it has an answer all the same
        if duration_s > LONG_S:
            long.append((path, duration_s))
    if not long:
        return
    path, duration_s = long[0]
    what = f"{terminal.printable(str(path))} is {duration_s:.0f} s long and was"
    if len(long) > 1:
        what = f"{len(long)} clips are longer than {LONG_S:.0f} s and were"
    say(f"note: {what} read as one; --segment-s 20 answers per segment", style="dim")


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

    def show(prediction: "Prediction") -> None:
        write_json(stream, prediction.to_dict())

    return show


def write_json(stream: TextIO, row: Mapping[str, object]) -> None:
    """Write one JSON object in a line."""
    # Python's escapes for what an encoding lacks are no JSON; json's own escapes are.
    escape = not (stream.encoding or "utf-8").lower().startswith("utf")
    stream.write(json.dumps(row, ensure_ascii=escape, allow_nan=False) + "\n")


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
