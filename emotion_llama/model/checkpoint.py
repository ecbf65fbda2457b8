"""Convert published weights into a model folder and back, with every tensor accounted for.

Knows: the published key names (docs/published-model.md, "Checkpoint") and how they map to ours.
Does not know: media, prompts, training. Nothing is dropped in silence.
"""

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, Blip2VisionConfig

from emotion_llama.model.configuration import EmotionLlamaConfig
from emotion_llama.model.emotion_llama import EmotionLlama
from emotion_llama.model.processor import EmotionLlamaProcessor
from emotion_llama.model.vision_checkpoint import (
    DEFAULT_IMAGE_SIZE,
    VisionSizes,
    VisionWeights,
    collect_tower,
)
from emotion_llama.model.weight_files import (
    CheckpointError,
    CoverageReport,
    LazyTensor,
    Tensors,
    as_tensors,
    open_folder,
    open_safetensors,
    read_pth,
    require_complete,
    write_shards,
)

__all__ = ["CheckpointError", "CoverageReport", "VisionSizes", "convert", "export"]

_PROJECTIONS: Mapping[str, str] = {
    "llama_proj": "patch_projection",
    "feats_llama_proj1": "local_projection",
    "feats_llama_proj2": "temporal_projection",
    "feats_llama_proj3": "audio_projection",
    "cls_tk_llama_proj": "class_token_projection",
}
"""Published projection -> ours."""

_ABSENT_FROM_MINIGPT = tuple(name for name in _PROJECTIONS if name != "llama_proj")
"""The four projections that a MiniGPT-v2 checkpoint cannot have."""

_PUBLISHED_LORA = re.compile(
    r"llama_model\.base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.(?:default\.)?weight"
)
_OUR_LORA = re.compile(r"language_model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.default\.weight")
_POSITION_TABLE = re.compile(r".*rotary_emb\.inv_freq")
_DEAD_HEAD = re.compile(r"attention\..+")
_FINAL_NORM = re.compile(r"ln_vision\.(weight|bias)")


def convert(
    llama_dir: str | Path,
    vision_path: str | Path,
    checkpoint_path: str | Path,
    output_dir: str | Path,
    *,
    init_missing: bool = False,
    reason_tag: str | None = None,
    vision: VisionSizes | None = None,
) -> CoverageReport:
    """Write a model folder from the published files.

    1. Read the settings. 2. Check every key and shape. 3. Stream the tensors into safetensors.

    Args:
        llama_dir: Hugging Face folder of the base language model, with its tokenizer
        vision_path: ``eva_vit_g.pth`` or a BLIP-2 folder
        checkpoint_path: ``emotion_llama.pth``, or ``minigptv2_checkpoint.pth`` with init_missing
        output_dir: folder to create
        init_missing: start the four projections that a MiniGPT-v2 checkpoint lacks at random
        reason_tag: task tag of the reasoning task; default ``reason_v2`` (the published fine
            stage), or ``reason`` with init_missing
        vision: sizes of the vision tower where they differ from the published ones

    Returns:
        one row for every tensor read, ignored, initialised or set

    Raises:
        CheckpointError: a file is not plain tensors, or a tensor is missing, unexpected or of
            another shape
        FileExistsError: the output folder exists and is not empty
        FileNotFoundError: an input is missing
    """
    output = Path(output_dir)
    _require_paths(output, [Path(llama_dir), Path(vision_path), Path(checkpoint_path)])
    sizes = vision or VisionSizes()
    report = CoverageReport()
    with ExitStack() as stack:
        checkpoint, settings = _open_checkpoint(Path(checkpoint_path), stack)
        base = open_folder(Path(llama_dir), stack)
        tower = VisionWeights.open(Path(vision_path), stack)
        image_size = sizes.image_size or int(settings.get("image_size", DEFAULT_IMAGE_SIZE))
        tower_config = tower.config(sizes, image_size)
        config = _model_config(Path(llama_dir), checkpoint, settings, tower_config)
        config.reason_tag = reason_tag or ("reason" if init_missing else "reason_v2")
        final_norm = {
            match[1]: checkpoint.pop(key)
            for key in list(checkpoint)
            if (match := _FINAL_NORM.fullmatch(key))
        }
        tensors = _collect_model(config, base, checkpoint, init_missing, report)
        tower_tensors = collect_tower(tower_config, tower, final_norm, report)
        partial = output.with_name(output.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        _write_model(partial, config, tensors, Path(llama_dir))
        _write_tower(partial / "encoders" / "global", tower_config, tower_tensors)
    if output.exists():
        output.rmdir()
    partial.rename(output)
    return report


def export(folder: str | Path, path: str | Path) -> CoverageReport:
    """Write LoRA and projections of a model folder as a published checkpoint.

    Args:
        folder: a folder written by `convert` or ``EmotionLlama.save_pretrained``
        path: the ``.pth`` file to write, with the published envelope and key names

    Returns:
        one row for every tensor written; tensors of the frozen language model are not part of it

    Raises:
        CheckpointError: the folder lacks a LoRA or projection tensor
        FileNotFoundError: the folder does not exist
    """
    if not Path(folder).is_dir():
        msg = f"{folder} is no folder; give one written by `emotion-llama convert`"
        raise FileNotFoundError(msg)
    config = EmotionLlamaConfig.from_pretrained(folder)
    expected = {key: shape for key, shape in _skeleton(config).items() if _published_name(key)}
    report = CoverageReport()
    tensors: dict[str, torch.Tensor] = {}
    with ExitStack() as stack:
        source = open_folder(Path(folder), stack)
        found = {key: source[key] for key in expected if key in source}
        require_complete(expected, found, where=f"the weights in {folder}")
        for key, tensor in found.items():
            tensors[_published_name(key)] = tensor.read()
            report.add(key, _published_name(key), tensor.shape, "loaded")
    settings = {
        "arch": "minigpt_v2",
        "lora_r": config.lora_rank,
        "lora_alpha": config.lora_alpha,
        "max_txt_len": config.max_answer_tokens,
        "end_sym": "</s>",
        "chat_template": True,
    }
    envelope = {
        "model": tensors,
        "optimizer": {},
        "config": {"model": settings},
        "scaler": None,
        "epoch": 0,
    }
    partial = Path(path).with_name(Path(path).name + ".partial")
    torch.save(envelope, partial)
    partial.rename(path)
    return report


def _require_paths(output: Path, inputs: list[Path]) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        msg = f"{output} exists and is not an empty folder; give a new one"
        raise FileExistsError(msg)
    for path in inputs:
        if not path.exists():
            msg = f"{path} does not exist; give the path of the downloaded file or folder"
            raise FileNotFoundError(msg)


def _open_checkpoint(path: Path, stack: ExitStack) -> tuple[Tensors, dict[str, Any]]:
    """Give the tensors of a published checkpoint and its model settings."""
    if path.suffix == ".safetensors":
        return open_safetensors(path, stack), {}
    content = read_pth(path)
    settings = content.get("config")
    model = settings.get("model") if isinstance(settings, dict) else None
    return as_tensors(path, content.get("model", content)), dict(model or {})


def _published_name(key: str) -> str:
    """Give the published name of one of our keys; empty for frozen tensors."""
    if lora := _OUR_LORA.fullmatch(key):
        return f"llama_model.base_model.model.{lora['layer']}.lora_{lora['side']}.weight"
    for theirs, ours in _PROJECTIONS.items():
        if key.startswith(f"projector.{ours}."):
            return f"{theirs}.{key.rpartition('.')[2]}"
    return ""


def _our_name(key: str) -> str:
    """Give our name of a published LoRA or projection key; empty for anything else."""
    if lora := _PUBLISHED_LORA.fullmatch(key):
        return f"language_model.{lora['layer']}.lora_{lora['side']}.default.weight"
    name, _, part = key.rpartition(".")
    if name in _PROJECTIONS and part in ("weight", "bias"):
        return f"projector.{_PROJECTIONS[name]}.{part}"
    return ""


def _base_name(key: str, expected: Mapping[str, Any]) -> str:
    """Give our name of a base language-model key; a layer with LoRA keeps it one level deeper."""
    stem, _, part = f"language_model.{key}".rpartition(".")
    for name in (f"{stem}.{part}", f"{stem}.base_layer.{part}"):
        if name in expected:
            return name
    return ""


def _model_config(
    llama_dir: Path,
    checkpoint: Tensors,
    settings: Mapping[str, Any],
    tower: Blip2VisionConfig,
) -> EmotionLlamaConfig:
    """Read sizes from the tensors and the remaining settings from the checkpoint."""
    defaults = EmotionLlamaConfig()
    lora = {match[0]: match for key in checkpoint if (match := _PUBLISHED_LORA.fullmatch(key))}
    if not lora:
        msg = (
            "the checkpoint holds no LoRA tensor (llama_model.base_model.model.*.lora_A.weight), "
            f"found {len(checkpoint)} others, for example {list(checkpoint)[:3]}; "
            "give an Emotion-LLaMA or MiniGPT-v2 checkpoint"
        )
        raise CheckpointError(msg)
    ranks = [checkpoint[key].shape[0] for key, match in lora.items() if match["side"] == "A"]
    widths = {
        f"{ours.removesuffix('_projection')}_dim": checkpoint[f"{theirs}.weight"].shape[1]
        for theirs, ours in _PROJECTIONS.items()
        if theirs.startswith("feats_") and f"{theirs}.weight" in checkpoint
    }
    return EmotionLlamaConfig(
        text_config=AutoConfig.from_pretrained(llama_dir),
        patch_dim=tower.hidden_size,
        num_patches=(tower.image_size // tower.patch_size) ** 2,
        lora_rank=max(ranks, default=defaults.lora_rank),
        lora_alpha=int(settings.get("lora_alpha", defaults.lora_alpha)),
        lora_target_modules=sorted({m["layer"].rpartition(".")[2] for m in lora.values()}),
        max_answer_tokens=int(settings.get("max_txt_len", defaults.max_answer_tokens)),
        preset="7b",
        **widths,
    )


def _skeleton(config: EmotionLlamaConfig) -> dict[str, tuple[int, ...]]:
    """Give key and shape of every tensor of the model, without allocating any."""
    with torch.device("meta"):
        model = EmotionLlama(config)
    tied = model.all_tied_weights_keys
    return {k: tuple(v.shape) for k, v in model.state_dict().items() if k not in tied}


def _collect_model(
    config: EmotionLlamaConfig,
    base: Tensors,
    checkpoint: Tensors,
    init_missing: bool,
    report: CoverageReport,
) -> Tensors:
    """Match language model, LoRA and projections with the model's keys."""
    expected = _skeleton(config)
    found: Tensors = {}
    for key, tensor in base.items():
        tied_head = config.tie_word_embeddings and key == "lm_head.weight"
        dead = tied_head or bool(_POSITION_TABLE.fullmatch(key))
        note = "shared with the input embedding" if tied_head else "position table, recomputed"
        _take(found, tensor, _base_name(key, expected), note if dead else "", report)
    for key, tensor in checkpoint.items():
        dead = bool(_DEAD_HEAD.fullmatch(key) or _POSITION_TABLE.fullmatch(key))
        note = "module never called" if _DEAD_HEAD.fullmatch(key) else "position table, recomputed"
        _take(found, tensor, _our_name(key), note if dead else "", report)
    if init_missing:
        found |= _fresh_projections(expected, found, report)
    require_complete(
        expected,
        found,
        where="the given files",
        name_of=lambda key: _published_name(key) or key,
        hint=_missing_hint(init_missing),
    )
    return found


def _take(
    found: Tensors, tensor: LazyTensor, destination: str, dead_because: str, report: CoverageReport
) -> None:
    """Enter a tensor under its destination; one without a place is refused by the final check."""
    if dead_because:
        report.add(tensor.source, "", tensor.shape, "ignored", dead_because)
        return
    if destination:
        report.add(tensor.source, destination, tensor.shape, "loaded")
    found[destination or f"no place: {tensor.source}"] = tensor


def _fresh_projections(
    expected: Mapping[str, tuple[int, ...]], found: Tensors, report: CoverageReport
) -> Tensors:
    """Start the four projections absent from MiniGPT-v2 as torch's linear layer does by default."""
    fresh: Tensors = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name in _ABSENT_FROM_MINIGPT:
            prefix = f"projector.{_PROJECTIONS[name]}"
            if any(f"{prefix}.{part}" in found for part in ("weight", "bias")):
                continue  # a projection that is there in part is an error, not a fresh start
            width, inputs = expected[f"{prefix}.weight"]
            for part, tensor in nn.Linear(inputs, width).state_dict().items():
                key = f"{prefix}.{part}"
                fresh[key] = LazyTensor.of(key, tensor)
                report.add("", key, tuple(tensor.shape), "initialised", "torch default, seed 0")
    return fresh


def _missing_hint(init_missing: bool) -> str:
    lacking = ", ".join(_ABSENT_FROM_MINIGPT)
    if init_missing:
        return f"--init-missing covers only {lacking}; take the complete file"
    return (
        f"take the complete file; a MiniGPT-v2 checkpoint, which lacks {lacking}, "
        "is converted with --init-missing"
    )


def _write_model(
    folder: Path, config: EmotionLlamaConfig, tensors: Tensors, llama_dir: Path
) -> None:
    folder.mkdir(parents=True)
    tokenizer = AutoTokenizer.from_pretrained(llama_dir)
    if hasattr(tokenizer, "legacy"):
        # the library forgets this setting on saving; it decides the token that follows a "<s>"
        # written in the text, as the published evaluation does
        tokenizer.init_kwargs["legacy"] = tokenizer.legacy
    if tokenizer.pad_token is None:
        # the published tokenizer pads with this existing piece of Llama-2's vocabulary
        tokenizer.pad_token = "$$" if "$$" in tokenizer.get_vocab() else tokenizer.eos_token
    EmotionLlamaProcessor(tokenizer, config).save_pretrained(folder)
    write_shards(folder, tensors)


def _write_tower(folder: Path, config: Blip2VisionConfig, tensors: Tensors) -> None:
    folder.mkdir(parents=True)
    content = config.to_dict() | {
        "architectures": ["Blip2VisionModel"],
        "encoder_type": "eva_global",  # the name by which FeatureExtractor knows the class
    }
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    write_shards(folder, tensors)
