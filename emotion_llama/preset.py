"""The name of a preset -> its folder, and what it says about reading files.

Knows: where presets are, packaged, local or on a hub. Does not know: what is in their weights.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from pydantic import ValidationError

from emotion_llama.config import MediaConfig

PACKAGED_PRESETS = Path(__file__).parent / "presets"
MEDIA_FILE = "media.json"
"""File of a preset's folder with the media settings that differ from the defaults."""
CONFIG_FILE = "config.json"
ENCODER_PARTS = ["encoders/*", MEDIA_FILE, CONFIG_FILE, "LICENSE*"]
"""What of a repository is needed where no answer is to be given."""


class PresetError(ValueError):
    """A preset cannot be found or loaded."""


def find_preset(name: str, *, encoders_only: bool = False) -> Path:
    """Give the folder of a packaged preset, of a path, or of a repository of the hub.

    Args:
        name: ``mini``, a folder written by ``emotion-llama convert`` or by training, or a hub id
            ``owner/name``, which is downloaded where it is not in the cache
        encoders_only: its encoders will do: a folder needs no language model, and none is
            downloaded

    Raises:
        PresetError: there is no such preset
    """
    packaged = PACKAGED_PRESETS / name
    if name in packaged_presets():
        return packaged
    needed = "encoders" if encoders_only else CONFIG_FILE
    if (Path(name) / needed).exists():
        return Path(name)
    if Path(name).exists():
        found = sorted(p.name for p in Path(name).iterdir()) if Path(name).is_dir() else "a file"
        msg = f"{name} holds no {needed} (found {found}); give a folder of `convert` or training"
        raise PresetError(msg)
    if name == "7b":
        msg = (
            "the weights of preset '7b' are not part of the package; convert the published files "
            "with `emotion-llama convert` and give the folder (see docs/published-model.md)"
        )
        raise PresetError(msg)
    try:
        parts = ENCODER_PARTS if encoders_only else None
        return Path(snapshot_download(name, allow_patterns=parts))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        msg = (
            f"{name!r} is no packaged preset ({', '.join(packaged_presets())}), no folder here, "
            f"and the hub did not give it ({reason}); check the name, or download it and give "
            "the folder"
        )
        raise PresetError(msg) from error


def packaged_presets() -> list[str]:
    """Name the presets whose weights are inside the package."""
    return sorted(path.parent.name for path in PACKAGED_PRESETS.glob("*/config.json"))


def preset_notice(folder: Path) -> str | None:
    """Give the terms of a preset's weights in one sentence, without loading them."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        return None
    notice: str | None = json.loads(path.read_text(encoding="utf-8")).get("notice")
    return notice


def preset_media(folder: Path, **changes: Any) -> MediaConfig:
    """Give the settings with which a preset reads files: encoders differ in what they want to see.

    Args:
        folder: of the preset
        changes: settings that the caller decides otherwise

    Raises:
        PresetError: ``media.json`` of the folder names an unknown setting or a wrong value
    """
    path = folder / MEDIA_FILE
    own: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    try:
        MediaConfig(**own)
    except (TypeError, ValidationError) as error:
        msg = f"{path} holds no media settings: {error}; mend or remove the file"
        raise PresetError(msg) from error
    return MediaConfig(**{**own, **changes})


def save_preset_media(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write into a preset's folder how it reads files.

    Args:
        folder: of the preset
        settings: media settings that differ from the defaults

    Raises:
        ValidationError: an unknown setting or a wrong value
    """
    MediaConfig(**settings)
    path = folder / MEDIA_FILE
    path.write_text(json.dumps(dict(settings), indent=2) + "\n", encoding="utf-8")
