"""emotion-llama merr: look at a data set, check it, review it, take it to other forms.

Knows: flags, what is written on stdout and stderr. Does not know: records, forms, pages.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotion_llama.cli.flags import Debug
from emotion_llama.cli.output import FAILED, WRONG_COMMAND, one_line_errors, say, text_console

if TYPE_CHECKING:
    from emotion_llama.merr.export import ExportReport
    from emotion_llama.merr.records import MerrRecord

app = typer.Typer(
    name="merr",
    help="Look at a data set, check it, review it, take it to other forms.",
    no_args_is_help=True,
)

NAMED_FAULTS = 20
"""Faults that are written out; the rest is counted, unless all are asked for."""

Dataset = Annotated[
    Path,
    typer.Argument(
        metavar="DATASET", help="Folder that `emotion-llama build` wrote.", show_default=False
    ),
]
Media = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        file_okay=False,
        help="Folder that the clips' paths begin at.",
        show_default=False,
    ),
]


class Form(StrEnum):
    """Forms that a data set can be written in."""

    MERR_COARSE = "merr-coarse"
    MERR_FINE = "merr-fine"
    SHAREGPT = "sharegpt"
    HUGGING_FACE = "hf"
    WEBDATASET = "webdataset"


class Origin(StrEnum):
    """Forms that annotations can be taken from."""

    PUBLISHED = "published"
    MER_FACTORY = "mer-factory"


@app.command()
def stats(
    dataset: Dataset,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", file_okay=False, help="Also draw them, as PNG.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
    debug: Debug = False,
) -> None:
    """Count what is in a data set: labels, clues, lengths, agreement, and how it compares."""
    with one_line_errors(debug, WRONG_COMMAND):
        import json
        import sys

        from emotion_llama.merr.comparison import comparison_table
        from emotion_llama.merr.faithfulness import corpus_faithfulness, render
        from emotion_llama.merr.statistics import statistics, statistics_report

        kept, rejected = records_of(dataset)
        counted = statistics([*kept, *rejected])
        faithful = corpus_faithfulness(kept) if len(kept) > 1 else None
        if as_json:
            sys.stdout.write(json.dumps(counted.to_dict(), ensure_ascii=False, indent=2) + "\n")
        else:
            console = text_console(sys.stdout)
            console.print(statistics_report(counted))
            console.print(comparison_table(counted))
            if faithful is not None:
                console.print(render(faithful))
        if plots is not None:
            from emotion_llama.merr.plots import write_plots

            for path in write_plots(counted, plots):
                say(f"wrote {path}")


def records_of(dataset: Path) -> "tuple[list[MerrRecord], list[MerrRecord]]":
    """Read the kept and the rejected records of a data set.

    Raises:
        ValueError: there is no data set, or a line breaks the schema
    """
    from emotion_llama.merr.record_file import REJECTED_FILE, read_records

    kept = list(read_records(dataset))
    file = dataset / REJECTED_FILE
    return kept, list(read_records(file)) if file.is_file() else []


@app.command()
def validate(
    dataset: Dataset,
    media: Media = None,
    all_faults: Annotated[bool, typer.Option("--all", help="Write out every fault.")] = False,
    debug: Debug = False,
) -> None:
    """Check a data set: schema, clues, captions, splits, lineage, and with --media the files.

    Exit code 1 where something is wrong.
    """
    with one_line_errors(debug, WRONG_COMMAND):
        import sys

        from emotion_llama.merr.validation import validate as find_faults

        faults = find_faults(dataset, media)
    for fault in faults if all_faults else faults[:NAMED_FAULTS]:
        sys.stdout.write(f"{fault}\n")
    if len(faults) > NAMED_FAULTS and not all_faults:
        say(f"... and {len(faults) - NAMED_FAULTS} more; --all writes them out")
    if faults:
        say(f"{len(faults)} fault{'s' * (len(faults) > 1)} in {dataset}", style="red")
        raise typer.Exit(FAILED)
    say(f"{dataset}: no fault found")


@app.command()
def review(
    dataset: Dataset,
    media: Media = None,
    reviewer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose decisions these are.", show_default="asked for"),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")
    ] = 8788,
    debug: Debug = False,
) -> None:
    """Serve a page on this machine, and only to it, on which people accept, edit or reject."""
    with one_line_errors(debug, WRONG_COMMAND):
        from emotion_llama.server.review import make_app, serve

        app_of_page = make_app(dataset, media, reviewer=reviewer)
        serve(app_of_page, port, announce=lambda address: say(f"open {address}"))


@app.command()
def export(
    dataset: Dataset,
    to: Annotated[Form, typer.Option("--to", help="Form to write.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR", file_okay=False, help="A new or empty folder.", show_default=False
        ),
    ],
    media: Media = None,
    own_use: Annotated[
        bool,
        typer.Option(
            "--own-use",
            help="The export stays with you: also write what the terms of a source or of a tool "
            "forbid to pass on.",
        ),
    ] = False,
    reviews: Annotated[
        bool,
        typer.Option(help="Apply what reviewers decided (DATASET/reviews.jsonl)."),
    ] = True,
    debug: Debug = False,
) -> None:
    """Write a data set in another form, with a card that says its terms."""
    with one_line_errors(debug, WRONG_COMMAND):
        records = reviewed(dataset) if reviews else records_of(dataset)[0]
        report = write_form(records, to, out, media, own_use)
        say(f"wrote {report.num_written} entries to {out}")
        for reason, count in report.left_out.items():
            say(f"left out {count}: {reason}", style="yellow")


def reviewed(dataset: Path) -> "list[MerrRecord]":
    """Give the kept records with what reviewers decided, and say what could not be applied.

    Raises:
        ValueError: there is no data set, or a line breaks the schema
    """
    from emotion_llama.merr.review import REVIEWS_FILE, apply, read_reviews

    kept, rejected = records_of(dataset)
    file = dataset / REVIEWS_FILE
    if not file.is_file():
        return kept
    read = read_reviews(file)
    for notice in read.notices:
        say(notice, style="yellow")
    applied = apply([*kept, *rejected], read.reviews)
    say(
        f"reviews: {applied.num_accepted} accepted, {applied.num_edited} edited, "
        f"{applied.num_rejected} rejected"
    )
    not_applied = {
        "made for an earlier state of the record": applied.stale,
        "reviewers disagree": applied.unsettled,
        "they break a rule": applied.refused,
        "of clips that are not here": applied.unknown_clips,
    }
    for why, clips in not_applied.items():
        if clips:
            say(f"reviews not applied, {why}: {len(clips)}", style="yellow")
    chosen = [record for record in applied.records if record.status == "kept"]
    return sorted(chosen, key=lambda record: record.clip_id)


def write_form(
    records: "list[MerrRecord]", to: Form, out: Path, media: Path | None, own_use: bool
) -> "ExportReport":
    """Write records in one form.

    Raises:
        ValueError: terms forbid it, nothing is left, the folder is not empty, or no media folder
    """
    from emotion_llama.merr import export as forms

    if to is Form.WEBDATASET:
        if media is None:
            msg = "webdataset holds the clips themselves; name their folder with --media"
            raise ValueError(msg)
        return forms.write_webdataset(records, out, media_dir=media, own_use=own_use)
    if to is Form.HUGGING_FACE:
        return forms.write_hugging_face(records, out, own_use=own_use)
    if to is Form.SHAREGPT:
        return forms.write_conversations(records, out, own_use=own_use)
    if to is Form.MERR_FINE:
        return forms.write_published(records, out, grain="fine", own_use=own_use)
    return forms.write_published(records, out, grain="coarse", own_use=own_use)


@app.command("import")
def import_annotations(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="A published JSON file, or a folder of MER-Factory's JSON files.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DATASET", file_okay=False, help="A new folder.", show_default=False),
    ],
    form: Annotated[
        Origin, typer.Option("--from", help="Who wrote it.", show_default=True)
    ] = Origin.PUBLISHED,
    table: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE.txt",
            help="The published list of clips: frames, label, valence.",
            show_default=False,
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Terms of the source.", show_default="not stated"),
    ] = None,
    debug: Debug = False,
) -> None:
    """Take annotations of others into a data set of this package's form."""
    with one_line_errors(debug, WRONG_COMMAND):
        from emotion_llama.merr.dataset_files import write_dataset
        from emotion_llama.merr.importing import read_mer_factory, read_published
        from emotion_llama.merr.record_file import RECORDS_FILE

        if (out / RECORDS_FILE).exists():
            msg = f"{out} holds a data set already; name a new folder"
            raise ValueError(msg)
        if form is Origin.PUBLISHED:
            records = read_published(source, table, source=source.stem, licence=licence)
        else:
            records = read_mer_factory(source, source=source.resolve().name, licence=licence)
        records.sort(key=lambda record: record.clip_id)
        imported = {"imported": {"from": form.value, "file": source.resolve().name}}
        write_dataset(out, records, {}, {}, imported)
        say(f"took over {len(records)} clips")
        say(f"data set: {out}; look at it with: emotion-llama merr stats {out}")
