"""Put published encoders into the folder of a preset: read, check, and move in at the end.

Knows: which class reads what for a role. Does not know: the language model, or command lines.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from emotion_llama.records import Modality

from .encoder_files import published_class, save_encoder

_FILES = (".pth", ".pt")
"""Files of MAE's and VideoMAE's own programs end so; anything else is a folder or hub id."""


def open_published(role: Modality, source: str) -> nn.Module:
    """Read the published encoder of a role.

    Args:
        role: ``audio``, ``local`` or ``temporal``
        source: folder, hub id, or for ``local`` and ``temporal`` a ``.pth`` file

    Raises:
        ValueError: the source holds another model, or an incomplete one
        OSError: there is no such source
    """
    encoder: nn.Module
    if Path(source).suffix not in _FILES:
        encoder = published_class(role).from_pretrained(source)
    elif role == "audio":
        msg = f"{source} is a single file; give the folder or hub id of a HuBERT for the audio role"
        raise ValueError(msg)
    else:
        encoder = published_class(role).from_published(source)
    return encoder


@contextmanager
def placed_encoders(sources: Mapping[Modality, str | None], preset: Path) -> Iterator[list[str]]:
    """Check encoders before a preset's folder is written, and move them in when it is.

    Args:
        sources: role -> what `open_published` takes, or ``None``
        preset: the folder; written by the body of the ``with`` statement

    Yields:
        one line for each encoder on what was read and what was ignored

    Raises:
        ValueError: an encoder does not fit its role or the width that the preset projects
        OSError: there is no such source
    """
    waiting = preset.with_name(preset.name + ".encoders.partial")
    shutil.rmtree(waiting, ignore_errors=True)
    widths: dict[Modality, int] = {}
    notes: list[str] = []
    try:
        for role, source in sources.items():
            if source is None:
                continue
            encoder: Any = open_published(role, source)
            save_encoder(encoder, waiting / role)
            widths[role] = encoder.output_dim
            notes.append(f"{role}: {len(encoder.state_dict())} tensors of {source}{_rest(encoder)}")
        yield notes
        _require_widths(preset, widths)
        for role in widths:
            target = preset / "encoders" / role
            target.parent.mkdir(parents=True, exist_ok=True)
            (waiting / role).rename(target)
    finally:
        shutil.rmtree(waiting, ignore_errors=True)


def _rest(encoder: Any) -> str:
    ignored: tuple[str, ...] = encoder.ignored_weights
    if not ignored:
        return ""
    families = sorted({key.split(".")[0] for key in ignored})
    return f"; {len(ignored)} of another part ignored ({', '.join(families)})"


def _require_widths(preset: Path, widths: Mapping[Modality, int]) -> None:
    if not widths:
        return
    config = json.loads((preset / "config.json").read_text(encoding="utf-8"))
    for role, width in widths.items():
        expected = config[f"{role}_dim"]
        if width != expected:
            msg = (
                f"{preset} projects {role} features {expected} wide, the encoder gives {width}; "
                f"it was left out: give one of that width"
            )
            raise ValueError(msg)
