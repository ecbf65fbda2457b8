"""emotion-llama doctor: which parts of a preset and of the installation are there.

Knows: flags, the table on stdout. Does not know: which parts there should be.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from emotion_llama.cli.flags import Debug
from emotion_llama.cli.output import FAILED, one_line_errors, text_console

if TYPE_CHECKING:
    from emotion_llama.doctor import Finding

EXIT_CODES = (
    "Exit code: 0 the preset is complete, 1 it lacks a part (or cannot be read), 2 wrong command."
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
