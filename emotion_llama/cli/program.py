"""The program: its commands by name, its version, and the streams that it writes to.

Knows: which commands there are. Does not know: what they do.
"""

import os
import sys
from typing import Annotated

import typer

from emotion_llama.cli import (
    build,
    convert,
    doctor,
    evaluate,
    extract,
    face,
    merr,
    predict,
    serve,
    train,
)
from emotion_llama.version import __version__

app = typer.Typer(
    name="emotion-llama",
    help="A clip of a person goes in; the emotion and the reasons for it come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line on the arguments of this process."""
    # threads that spin while they wait take the processor from each other: on a busy machine the
    # small networks ran many times slower; torch reads this when it is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
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


app.command(epilog=predict.EXIT_CODES)(predict.predict)
app.command(epilog=extract.EXIT_CODES)(extract.extract)
app.command(epilog=face.EXIT_CODES)(face.face)
app.command(epilog=build.EXIT_CODES)(build.build)
app.add_typer(merr.app)
app.command(epilog=train.EXIT_CODES)(train.train)
app.command(epilog=evaluate.EXIT_CODES)(evaluate.evaluate)
app.command(epilog=serve.EXIT_CODES)(serve.serve)
app.command()(convert.convert)
app.command()(convert.export)
app.command(epilog=doctor.EXIT_CODES)(doctor.doctor)
