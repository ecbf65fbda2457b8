"""What training changed, as files: saved the PEFT way, read back, put into a whole model folder.

Knows: file names and how keys are spelled in them. Does not know: optimisers, data. The frozen
language model is never written into a checkpoint. The published ``.pth`` is made from a whole model
folder by `emotion_llama.model.checkpoint.export`.
"""

import copy
import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from emotion_llama.model import EmotionLlama, EmotionLlamaConfig, EmotionLlamaProcessor
from emotion_llama.model.weight_files import (
    Tensors,
    open_safetensors,
    require_complete,
)
from emotion_llama.preset import MEDIA_FILE

ADAPTER_FILE = "adapter_model.safetensors"
"""LoRA of the language model; with ``adapter_config.json`` it is a folder that PEFT reads."""

PROJECTOR_FILE = "projector.safetensors"
"""The five projections, keys as in `emotion_llama.model.ModalityProjector`."""

MODEL_CONFIG_FILE = "emotion_llama.json"
"""Settings of the model. Not ``config.json``, by which a folder claims to be a whole model."""

COMPLETE_FILE = "complete"
"""Empty file that is written last: a checkpoint without it was cut off while it was written."""

_FOLDER = re.compile(r"checkpoint-(\d+)")
_PEFT_ROOT = "base_model.model."
_OUR_ROOT = "language_model."
_ADAPTER_NAME = ".default."
"""Peft's name of the only adapter, which its files leave out."""


def save_adapter(
    model: EmotionLlama, folder: Path, state: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Write what learns, and the settings it belongs to, into a folder.

    ``peft.PeftModel.from_pretrained(language_model, folder)`` reads the LoRA.

    Args:
        model: the model, not wrapped
        folder: made where it is missing
        state: tensors by the model's names, where those of the model are only parts of them
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, dict[str, torch.Tensor]] = {ADAPTER_FILE: {}, PROJECTOR_FILE: {}}
    for name, parameter in model.trainable_parameters().items():
        file, key = _place(name)
        tensor = (state or {}).get(name, parameter).detach().cpu()
        parts[file][key] = tensor.clone(memory_format=torch.contiguous_format)
    for file, tensors in parts.items():
        if tensors:
            save_file(tensors, folder / file, metadata={"format": "pt"})
    if parts[ADAPTER_FILE]:
        settings = copy.copy(model.language_model.peft_config["default"])
        # a set of text is written in another order by every process
        settings.target_modules = sorted(settings.target_modules)
        settings.save_pretrained(str(folder))
    model.config.to_json_file(folder / MODEL_CONFIG_FILE)


def whole_tensors(model: EmotionLlama) -> dict[str, torch.Tensor]:
    """Put together what learns, where its tensors are spread over processes; all have to call it.

    Args:
        model: the model, not wrapped

    Returns:
        tensors by the model's names; on the CPU where they were spread
    """
    return {
        name: parameter.full_tensor().detach().cpu()
        if isinstance(parameter, DTensor)
        else parameter
        for name, parameter in model.trainable_parameters().items()
    }


def load_adapter(model: EmotionLlama, folder: Path) -> None:
    """Put what `save_adapter` wrote into a model with the same layers.

    Args:
        model: the model, not wrapped
        folder: a checkpoint

    Raises:
        CheckpointError: a file is damaged; a tensor is missing, unexpected or of another shape
        FileNotFoundError: the folder holds no checkpoint
    """
    parameters = model.trainable_parameters()
    places = {name: _place(name) for name in parameters}
    files = sorted({file for file, _ in places.values()})
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        msg = (
            f"{folder} lacks {', '.join(missing)}; give a folder that training wrote "
            "(checkpoint-N in the run's output)"
        )
        raise FileNotFoundError(msg)
    names = {place: name for name, place in places.items()}
    found: Tensors = {}
    with ExitStack() as stack:
        for file in files:
            for key, tensor in open_safetensors(folder / file, stack).items():
                found[names.get((file, key), f"no place: {key}")] = tensor
        require_complete(
            {name: tuple(parameter.shape) for name, parameter in parameters.items()},
            found,
            where=f"the weights in {folder}",
            name_of=lambda name: places[name][1],
            hint=f"start from the model that was trained, see {MODEL_CONFIG_FILE} of the folder",
        )
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(_laid_out_as(parameter, found[name].read()))


def saved_config(folder: Path) -> EmotionLlamaConfig:
    """Read the settings of the model that a checkpoint belongs to.

    Raises:
        FileNotFoundError: the folder holds no checkpoint
    """
    path = folder / MODEL_CONFIG_FILE
    if not path.is_file():
        msg = f"{folder} lacks {MODEL_CONFIG_FILE}; give a folder that training wrote"
        raise FileNotFoundError(msg)
    config: EmotionLlamaConfig = EmotionLlamaConfig.from_json_file(path)
    return config


def write_model(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    folder: Path,
    *,
    encoders: Path | None = None,
    merge: bool = False,
) -> None:
    """Write a whole model folder: one that `Predictor` loads and the published export reads.

    Args:
        model: trained, or loaded and then given a checkpoint by `load_adapter`
        processor: its tokenizer
        folder: folder to create
        encoders: model folder whose encoders, media settings and licences are copied; without it
            the folder answers from features only
        merge: add the LoRA to the weights it belongs to, which frees answers from its cost; the
            model that was given is changed, and the published export needs LoRA apart

    Raises:
        CheckpointError: LoRA is to be merged into quantised weights, which would round it away
        FileExistsError: the folder exists and is not empty
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"{folder} exists and is not an empty folder; give a new one"
        raise FileExistsError(msg)
    if merge:
        model.merge_lora()
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    processor.tokenizer.save_pretrained(partial)
    for path in sorted(encoders.iterdir()) if encoders else []:
        if path.name == "encoders":
            shutil.copytree(path, partial / path.name)
        elif path.name == MEDIA_FILE or path.name.startswith("LICENSE"):
            shutil.copy(path, partial)
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)


def mark_complete(folder: Path) -> None:
    """State that all files of a checkpoint are written."""
    (folder / COMPLETE_FILE).touch()


def newest_checkpoint(output: Path) -> Path | None:
    """Give the latest complete checkpoint of a run, or ``None``.

    A checkpoint that was being written when the run was killed is passed over.
    """
    complete = {step: path for step, path in _checkpoints(output).items() if _is_complete(path)}
    return complete[max(complete)] if complete else None


def prune_checkpoints(output: Path, keep: int, best: Path | None = None) -> None:
    """Delete what is not among the latest complete checkpoints and not the best one.

    Nothing is deleted while there is no complete checkpoint.

    Args:
        output: folder of the run
        keep: how many of the latest stay
        best: stays beside them
    """
    newest = newest_checkpoint(output)
    if newest is None:
        return
    found = _checkpoints(output)
    complete = sorted(step for step, path in found.items() if _is_complete(path))
    for step, path in found.items():
        is_best = best is not None and path.name == best.name
        if step < _step(newest) and step not in complete[-keep:] and not is_best:
            (path / COMPLETE_FILE).unlink(missing_ok=True)  # first: deleting takes time
            shutil.rmtree(path)


def _checkpoints(output: Path) -> dict[int, Path]:
    folders = output.iterdir() if output.is_dir() else []
    return {_step(path): path for path in folders if _FOLDER.fullmatch(path.name)}


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _is_complete(folder: Path) -> bool:
    return (folder / COMPLETE_FILE).is_file()


def _place(name: str) -> tuple[str, str]:
    """Give file and key of a trainable parameter."""
    if name.startswith("projector."):
        return PROJECTOR_FILE, name.removeprefix("projector.")
    return ADAPTER_FILE, _PEFT_ROOT + name.removeprefix(_OUR_ROOT).replace(_ADAPTER_NAME, ".")


def _laid_out_as(parameter: nn.Parameter, tensor: torch.Tensor) -> torch.Tensor:
    """Cut a tensor the way its parameter is spread over processes (FSDP2)."""
    if not isinstance(parameter, DTensor):
        return tensor
    whole = tensor.to(parameter.device, parameter.dtype)
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements)
