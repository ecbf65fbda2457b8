"""What all commands share in talking to a person: lines on stderr, exit codes, output files.

Knows: streams, consoles, exit codes. Does not know: commands, or how an answer looks (terminal.py).
"""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import typer
from rich.console import Console

from emotion_llama.bulk import describe

FAILED = 1
"""Exit code when some clips failed, or a conversion did."""

WRONG_COMMAND = 2
"""Exit code when nothing could be started; the same as typer's for a wrong flag."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 plus the number of SIGINT, as shells have it."""

FILE_WIDTH = 100
"""Width in characters of a text answer written to a file."""


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


@contextmanager
def one_line_errors(debug: bool, code: int = FAILED) -> Iterator[None]:
    """Turn what goes wrong inside into one line on stderr and an exit code.

    Raises:
        typer.Exit: something went wrong
    """
    try:
        yield
    except (typer.Exit, typer.BadParameter, BrokenPipeError):
        # typer has words for a wrong flag, and ends quietly when nobody reads stdout any more
        raise
    except KeyboardInterrupt:
        say("stopped before the first answer", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        say(f"error: {describe(error)}", style="red")
        raise typer.Exit(code) from error


def quiet_loading() -> None:
    """Let no process show a bar of its own while it loads weights, nor speak of kernels.

    Where bitsandbytes is installed, it names a kernel that is not needed as soon as it is imported.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read by processes that start later


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


@contextmanager
def open_output(output: Path | None) -> Iterator[TextIO]:
    """Open the output file, or give stdout."""
    if output is None:
        yield sys.stdout
        return
    with output.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        yield stream
    say(f"wrote {output}")
