"""emotion-llama convert and export: published weights in and out.

Knows: flags, and that every tensor is accounted for on stdout. Does not know: weight files.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotion_llama import terminal
from emotion_llama.cli.flags import Debug
from emotion_llama.cli.output import check_output, one_line_errors, say, text_console

if TYPE_CHECKING:
    from emotion_llama.model.checkpoint import CoverageReport


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
        from emotion_llama.config import PUBLISHED_MEDIA
        from emotion_llama.encoders.placement import placed_encoders
        from emotion_llama.model import checkpoint as weights
        from emotion_llama.preset import save_preset_media

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
        save_preset_media(out, PUBLISHED_MEDIA)
        for note in notes:
            say(note)
        say(f"wrote {out}")


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


def show_coverage(report: "CoverageReport") -> None:
    """Write on stdout what became of every tensor."""
    text_console(sys.stdout).print(terminal.coverage_table(report.groups()))
