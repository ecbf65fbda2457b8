"""emotion-llama face: the face of one person in a clip, measured, drawn and written.

Knows: flags, which files are written. Does not know: how faces are found and measured.
"""

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotion_llama import terminal
from emotion_llama.cli.flags import Debug
from emotion_llama.cli.output import (
    FAILED,
    WRONG_COMMAND,
    check_output,
    error_console,
    one_line_errors,
    say,
    text_console,
)

if TYPE_CHECKING:
    from emotion_llama.clip_faces import ClipFaces, FaceReport

EXIT_CODES = (
    "Exit code: 0 somebody was measured, 1 nobody was found or the file cannot be read, "
    "2 wrong command, 130 stopped with Ctrl-C."
)


class FaceFinder(StrEnum):
    """What finds faces."""

    NETWORK = "network"
    CASCADE = "cascade"


class Reading(StrEnum):
    """Which units are summed at the peak."""

    ALL = "all"
    FREQUENT = "frequent"


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
        from emotion_llama.clip_faces import report_on
        from emotion_llama.face_report import faceless

        check_overlay_form(clip, overlay)
        faces = find_faces(clip, detector, fps)
        if not faces.people:
            say(faceless(faces), style="red")
            raise typer.Exit(FAILED)
        report = report_on(faces, person, reading.value)
        show_face(report)
        write_face_files(report, overlay, table, plot)


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
    from emotion_llama.clip_faces import FRAMES_PER_SECOND, look_at
    from emotion_llama.face import CascadeDetector, NetworkDetector

    finder = NetworkDetector() if detector is FaceFinder.NETWORK else CascadeDetector()
    rate = fps or FRAMES_PER_SECOND
    with terminal.Waiting(error_console(), "looking at faces") as waiting:
        return look_at(clip, finder, rate, lambda *_: waiting.advance(), waiting.expect)


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
