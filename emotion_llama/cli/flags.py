"""Flags that several commands have, and how their values are checked.

Knows: names and choices. Does not know: what a command does with them.
"""

from enum import StrEnum
from typing import Annotated, Literal

import typer


class FaceSource(StrEnum):
    """Where the face encoders look."""

    DETECT = "detect"
    WHOLE_FRAME = "whole-frame"


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


def quantized(bits: int | None) -> Literal[4, 8] | None:
    """Check a number of bits, if one is given.

    Raises:
        typer.BadParameter: neither 4 nor 8
    """
    known: dict[int | None, Literal[4, 8] | None] = {None: None, 4: 4, 8: 8}
    if bits not in known:
        msg = f"found {bits}, expected 4 or 8; leave it out for the full weights"
        raise typer.BadParameter(msg, param_hint="--quantize-bits")
    return known[bits]


Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Preset = Annotated[str, typer.Option(metavar="NAME|FOLDER|HUB-ID", help="Weights to use.")]
Device = Annotated[
    str | None,
    typer.Option(help="For instance cpu, cuda, cuda:1.", show_default="a GPU if there is one"),
]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, bfloat16 or float16.", show_default="fits the device"),
]
QuantizeBits = Annotated[
    int | None,
    typer.Option(
        metavar="4|8",
        help="Load the language model in so many bits (needs bitsandbytes).",
        show_default=False,
    ),
]
SpeechModel = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|HUB-ID",
        help="Whisper model that reads the words of clips without transcript, and says their "
        "language; a multilingual one puts others into English.",
        show_default=False,
    ),
]
TranslationModel = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|HUB-ID|MODULE:NAME",
        help="Marian model, or translator of your own, that puts words that are not English into "
        "English.",
        show_default=False,
    ),
]
KeyFrame = Annotated[
    str | None,
    typer.Option(
        metavar="POLICY",
        callback=key_frame_policy,
        help="Frame for the global encoder: first, middle, peak, or uniform:n.",
        show_default="what the preset says, else middle",
    ),
]
