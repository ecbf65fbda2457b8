"""emotion-llama serve: the page and the API, on one port.

Knows: flags, who may reach the service. Does not know: routes, pages, how clips are answered.
"""

import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from emotion_llama.cli.flags import (
    Debug,
    Device,
    Dtype,
    QuantizeBits,
    SpeechModel,
    TranslationModel,
    quantized,
)
from emotion_llama.cli.output import WRONG_COMMAND, one_line_errors, quiet_loading, say

EXIT_CODES = (
    "Exit code: 0 stopped in order, 2 it could not be started. Ctrl-C and SIGTERM finish what was "
    "accepted."
)


def serve(
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...",
            help="Other limits: max_upload_mb=50, batch_size=16 (docs/serving.md has all).",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            help="mini, a folder of `convert` or of training, or a hub id; several times: a choice "
            "of presets, the first for those who name none.",
            show_default="mini",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine's own need --keys.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 7860,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Names and hashes of the API keys that may ask.",
            show_default="none needed",
        ),
    ] = None,
    new_key: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Add a key for NAME to the file of --keys, show it once, and stop.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            exists=True,
            dir_okay=False,
            help="Limits, by name.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Folder for batches, which then survive a restart.",
            show_default="a temporary one",
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database of batches, such as postgresql+psycopg://...",
            show_default="SQLite in --data",
        ),
    ] = None,
    page: Annotated[bool, typer.Option(help="Serve the page beside the API.")] = True,
    examples: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Folder of clips that the page offers to try.",
            show_default=False,
        ),
    ] = None,
    reuse_port: Annotated[
        bool,
        typer.Option(
            "--reuse-port", help="Share the port with other processes of this command (Linux)."
        ),
    ] = False,
    speech_model: SpeechModel = None,
    translation_model: TranslationModel = None,
    device: Device = None,
    dtype: Dtype = None,
    quantize_bits: QuantizeBits = None,
    debug: Debug = False,
) -> None:
    """Serve the page and the API: http://127.0.0.1:7860, the API's description at /docs."""
    with one_line_errors(debug, WRONG_COMMAND):
        if new_key is not None:
            _add_key(keys, new_key)
            return
        if keys is None and not is_loopback(host):
            msg = (
                f"found the address {host}, which other machines can reach, and no keys; make one "
                "with: emotion-llama serve --keys FILE --new-key NAME, and give --keys FILE"
            )
            raise ValueError(msg)
        from emotion_llama.clip_words import WordModels
        from emotion_llama.config import ServeConfig
        from emotion_llama.config_file import load_settings
        from emotion_llama.server.service import Address, Places, run

        limits = load_settings(ServeConfig, settings, changes or [])
        quiet_loading()
        run(
            preset or ["mini"],
            limits,
            Address(host, port, reuse_port),
            Places(keys, data, database, examples),
            page=page,
            device=device,
            dtype=dtype,
            quantize_bits=quantized(quantize_bits),
            words=WordModels(speech_model, translation_model),
            announce=say,
        )


def is_loopback(host: str) -> bool:
    """Tell whether an address is this machine's own, which no other machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _add_key(path: Path | None, name: str) -> None:
    """Add a key to a file and show it.

    Raises:
        ValueError: no file was named, the name is unusable or there already
    """
    if path is None:
        msg = "found --new-key without --keys; name the file that the key's hash is added to"
        raise ValueError(msg)
    from emotion_llama.server.api.keys import add_key

    key = add_key(path, name)
    typer.echo(key)
    say(f"the key of {name}, shown this once; {path} holds its hash only", style="dim")
