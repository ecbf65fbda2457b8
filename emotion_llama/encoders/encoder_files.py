"""Files of one encoder: which class a folder holds, its weights in and out.

Knows: the table of encoder types. Does not know: clips, features, what an encoder computes.
The published classes are imported when one is met: the library around them takes seconds to load.
"""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from emotion_llama.records import Modality

from .frame_pixels import square_side

TYPE_KEY = "encoder_type"
"""Key of config.json that names the encoder's class."""


class EncoderType(NamedTuple):
    """One kind of encoder that a folder can hold."""

    role: Modality
    module: str
    class_name: str
    is_published: bool
    """a tower of `transformers`, saved and loaded as such"""


TYPES: Mapping[str, EncoderType] = {
    "mel_audio": EncoderType("audio", "mini_audio_encoder", "MelAudioEncoder", False),
    "face_local": EncoderType("local", "mini_local_encoder", "FaceLocalEncoder", False),
    "face_temporal": EncoderType("temporal", "mini_temporal_encoder", "FaceTemporalEncoder", False),
    "scene_global": EncoderType("global", "mini_global_encoder", "SceneGlobalEncoder", False),
    "hubert_audio": EncoderType("audio", "audio_encoder", "HubertAudioEncoder", True),
    "mae_local": EncoderType("local", "local_encoder", "MaeLocalEncoder", True),
    "videomae_temporal": EncoderType(
        "temporal", "temporal_encoder", "VideoMaeTemporalEncoder", True
    ),
    "eva_global": EncoderType("global", "global_encoder", "EvaGlobalEncoder", True),
}


def reads_clues(folder: Path) -> bool:
    """Tell whether an encoder of a preset's folder reads what was measured of a clip."""
    configs = sorted((folder / "encoders").glob("*/config.json"))
    return any(json.loads(path.read_text(encoding="utf-8")).get("clues") for path in configs)


def type_of(folder: Path) -> str | None:
    """Give the type that a folder's config.json names."""
    name: str | None = json.loads((folder / "config.json").read_text()).get(TYPE_KEY)
    return name


def published_class(role: Modality) -> Any:
    """Give the class of a role's published encoder."""
    kinds = (kind for kind in TYPES.values() if kind.is_published and kind.role == role)
    return _class_of(next(kinds))


def _class_of(kind: EncoderType) -> Any:
    return getattr(import_module(f"{__package__}.{kind.module}"), kind.class_name)


def save_encoder(encoder: nn.Module, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write one encoder's config.json and model.safetensors.

    Args:
        encoder: one of this package's encoders
        folder: made if it is not there
        dtype: type of the stored weights; ``None`` keeps each tensor's own

    Raises:
        ValueError: the encoder's class is not known here
    """
    class_name = type(encoder).__name__
    known = {kind.class_name: name for name, kind in TYPES.items()}
    if class_name not in known:
        msg = f"found a {class_name}; expected one of {', '.join(sorted(known))} to save"
        raise ValueError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    type_name = known[class_name]
    saved: Any = encoder
    if TYPES[type_name].is_published:
        saved.save_pretrained(folder, dtype)
        add_to_config(folder, {TYPE_KEY: type_name})
    else:
        tensors = {
            key: value.to(dtype or value.dtype).contiguous() if value.is_floating_point() else value
            for key, value in encoder.state_dict().items()
        }
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        config = {TYPE_KEY: type_name, **saved.settings}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def add_to_config(folder: str | Path, entries: Mapping[str, Any]) -> None:
    """Set entries of a folder's config.json."""
    path = Path(folder) / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, **entries}, indent=2) + "\n", encoding="utf-8")


def load_encoder(
    folder: Path, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """Load one encoder; every tensor must be there, and nothing else.

    Args:
        folder: holds config.json and model.safetensors
        device: where to put it; ``None`` is the CPU
        dtype: type of the weights in memory; ``None`` is fp32 whatever the file stores

    Raises:
        ValueError: an unknown type, or a missing, unexpected or misshapen tensor
        FileNotFoundError: a file is not there
    """
    config = json.loads((folder / "config.json").read_text())
    type_name = config.pop(TYPE_KEY, None)
    if type_name not in TYPES:
        msg = (
            f"{folder / 'config.json'} has {TYPE_KEY} {type_name!r}; "
            f"expected one of {sorted(TYPES)}"
        )
        raise ValueError(msg)
    encoder_class = _class_of(TYPES[type_name])
    encoder: nn.Module
    if TYPES[type_name].is_published:
        encoder = encoder_class.from_pretrained(
            folder, dtype or torch.float32, device, local_files_only=True
        )
        return encoder
    encoder = encoder_class(**config)
    _load_tensors(encoder, folder / "model.safetensors")
    encoder.train(mode=False).requires_grad_(False)
    return encoder.to(device=device or "cpu", dtype=dtype or torch.float32)


def _load_tensors(encoder: nn.Module, path: Path) -> None:
    found, expected = load_file(path), encoder.state_dict()
    wrong_shape = [
        f"{key} {list(found[key].shape)} instead of {list(expected[key].shape)}"
        for key in sorted(found.keys() & expected.keys())
        if found[key].shape != expected[key].shape
    ]
    faults = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "wrong shape": wrong_shape,
    }
    if any(faults.values()):
        named = "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in faults.items() if keys)
        msg = f"{path} does not fit {type(encoder).__name__}: {named}; use the file saved with it"
        raise ValueError(msg)
    encoder.load_state_dict(found)


def global_picture_px(folder: str | Path) -> int | None:
    """Give the side of the picture that the global encoder of a preset reads, without loading it.

    Args:
        folder: a preset's folder; without a global encoder the answer is ``None``
    """
    encoder_dir = Path(folder) / "encoders" / "global"
    if not (encoder_dir / "config.json").exists():
        return None
    config = json.loads((encoder_dir / "config.json").read_text())
    kind = TYPES.get(config.get(TYPE_KEY))
    if kind and not kind.is_published:
        return int(_class_of(kind).image_size)
    return square_side(config["image_size"])
