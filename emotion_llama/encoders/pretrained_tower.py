"""Transformers towers out of folders and hub repositories, with every tensor accounted for.

Knows: how such a folder is read and written. Does not know: what a tower computes, or the layout of
the ``.pth`` files of other programs.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedConfig
from transformers.utils import cached_file
from transformers.utils import logging as library_logging

from .encoder_files import add_to_config

SETTINGS_KEY = "encoder_settings"
"""Key of config.json under which an encoder keeps how its tower is read."""


@dataclass(frozen=True)
class LoadedTower:
    """A tower with its weights, and what was read with it."""

    tower: Any
    settings: Mapping[str, Any]
    """how the tower is read, where the folder was written by this package"""
    ignored: tuple[str, ...]
    """tensors of the files that belong to a part that is not used"""
    absent: tuple[str, ...]
    """tensors that the files may lack, because nothing reads them"""


def load_tower(
    library_class: Any,
    source: str | Path,
    *,
    model_types: Collection[str],
    dtype: torch.dtype,
    local_files_only: bool,
    ignored: str = "",
    optional: str = "",
) -> LoadedTower:
    """Load a tower, frozen, and refuse weights that are not exactly it.

    Args:
        library_class: the class of the library, or ``AutoModel``
        source: a folder or a hub id
        model_types: the ``model_type`` of config.json must be one of these
        dtype: type of the weights in memory
        local_files_only: ask no server; ``HF_HUB_OFFLINE`` does the same for the whole process
        ignored: pattern of tensors that the files may have besides the tower's
        optional: pattern of tensors that they may lack

    Raises:
        ValueError: another kind of model, or a tensor is missing, unexpected or misshapen
        OSError: there is no such folder or repository
    """
    config, _ = PreTrainedConfig.get_config_dict(source, local_files_only=local_files_only)
    if not config:
        msg = (
            f"{source} has no config.json that can be reached; give the folder of a downloaded "
            "model, or a hub id where the hub may be asked"
        )
        raise FileNotFoundError(msg)
    if config.get("model_type") not in model_types:
        msg = (
            f"{source} holds a model of type {config.get('model_type')!r}, "
            f"expected {' or '.join(sorted(model_types))}; give a folder or hub id of that type"
        )
        raise ValueError(msg)
    with _own_report_only():
        # a wrong shape is let through to the report, so that the error below can name the tensor
        tower, report = library_class.from_pretrained(
            source,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=local_files_only,
        )
    left_out = sorted(key for key in report["unexpected_keys"] if re.fullmatch(ignored, key))
    absent = sorted(key for key in report["missing_keys"] if re.fullmatch(optional, key))
    faults = {
        "missing": sorted(report["missing_keys"] - set(absent)),
        "unexpected": sorted(report["unexpected_keys"] - set(left_out)),
        "wrong shape": sorted(map(_shape_words, report["mismatched_keys"])),
        "unreadable": list(report["error_msgs"]),
    }
    if any(faults.values()):
        named = "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in faults.items() if keys)
        msg = f"{source} does not hold exactly this tower: {named}; download or convert it again"
        raise ValueError(msg)
    tower.train(mode=False).requires_grad_(False)
    settings = config.get(SETTINGS_KEY, {})
    return LoadedTower(tower, settings, tuple(left_out), tuple(absent))


def save_tower(
    tower: Any,
    folder: str | Path,
    settings: Mapping[str, Any],
    dtype: torch.dtype | None = None,
    beside: Mapping[str, nn.Module] | None = None,
) -> None:
    """Write config.json with the settings, and model.safetensors.

    Args:
        tower: a model of the library
        folder: made if it is not there
        settings: how the tower is read, JSON values only
        dtype: type of the stored weights; ``None`` keeps each tensor's own
        beside: modules that stand beside the tower, by the names under which they are stored
    """
    tensors = dict(tower.state_dict())
    for prefix, module in (beside or {}).items():
        tensors |= {f"{prefix}.{key}": value for key, value in module.state_dict().items()}
    stored = {
        key: value.to(dtype or value.dtype) if value.is_floating_point() else value
        for key, value in tensors.items()
    }
    tower.save_pretrained(folder, state_dict=stored)
    add_to_config(folder, {SETTINGS_KEY: dict(settings)})


def read_beside(
    module: nn.Module, prefix: str, source: str | Path, *, local_files_only: bool
) -> None:
    """Fill a small module that stands beside a tower from the same model.safetensors or ``.bin``.

    Args:
        module: gets the tensors called ``prefix.*``
        prefix: its name in the file
        source: folder or hub id
        local_files_only: ask no server

    Raises:
        ValueError: one of its tensors is missing or misshapen
    """
    found = _beside(prefix, source, local_files_only)
    wrong = [
        f"{prefix}.{key}"
        for key, value in module.state_dict().items()
        if key not in found or found[key].shape != value.shape
    ]
    if wrong:
        msg = f"{source}: missing or of a wrong shape: {', '.join(wrong)}; download it again"
        raise ValueError(msg)
    module.load_state_dict(found)


def _beside(prefix: str, source: str | Path, local_files_only: bool) -> dict[str, torch.Tensor]:
    for name in ("model.safetensors", "pytorch_model.bin"):
        path = cached_file(
            source,
            name,
            local_files_only=local_files_only,
            _raise_exceptions_for_missing_entries=False,
        )
        if path is None:
            continue
        if name.endswith(".safetensors"):
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        wanted = f"{prefix}."
        return {k.removeprefix(wanted): v for k, v in state.items() if k.startswith(wanted)}
    return {}


def tower_settings(config: Any, names: Collection[str]) -> dict[str, Any]:
    """Pick the entries of a library configuration that change the numbers, as JSON values."""
    picked = {name: getattr(config, name) for name in names if hasattr(config, name)}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in picked.items()
    }


def _shape_words(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    key, found, expected = entry
    return f"{key} {list(found)} instead of {list(expected)}"


@contextmanager
def _own_report_only() -> Iterator[None]:
    """Silence the library's own list of tensors: `load_tower` accounts for each of them."""
    before = library_logging.get_verbosity()
    library_logging.set_verbosity_error()
    try:
        yield
    finally:
        library_logging.set_verbosity(before)
