"""Convert published weights into a model folder and back, with every tensor accounted for.

Knows: the published key names and shapes (docs/published-model.md), and how they map to ours.
Does not know: media, prompts, training. Files are read as data only; nothing is dropped in silence.
"""

import json
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoTokenizer, Blip2VisionConfig, Blip2VisionModel

from emotion_llama.model.configuration import EmotionLlamaConfig
from emotion_llama.model.emotion_llama import EmotionLlama
from emotion_llama.model.processor import EmotionLlamaProcessor

Status = Literal["loaded", "ignored", "initialised", "set"]

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
_DEAD = re.compile(r"attention\..+|.*rotary_emb\.inv_freq")
_FINAL_NORM = re.compile(r"ln_vision\.(weight|bias)")

_BLOCK_NAMES: Mapping[str, str] = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.proj": "self_attn.projection",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
"""Parts of a vision block in ``eva_vit_g.pth`` -> names in ``Blip2VisionModel``."""

_SHARD_BYTES = 2 * 1024**3
"""Tensors held in memory before a shard is written; bounds the memory of a conversion."""


class CheckpointError(ValueError):
    """A weight file cannot be read as data, or its tensors do not fit."""


@dataclass(frozen=True)
class CoverageRow:
    """What became of one tensor."""

    source: str
    destination: str
    shape: tuple[int, ...]
    status: Status
    note: str = ""


@dataclass
class CoverageReport:
    """What became of every tensor of a conversion."""

    rows: list[CoverageRow] = field(default_factory=list)

    def add(
        self, source: str, destination: str, shape: Any, status: Status, note: str = ""
    ) -> None:
        """Append one row."""
        self.rows.append(CoverageRow(source, destination, tuple(shape), status, note))

    def count(self, status: Status) -> int:
        """Count the tensors with a status."""
        return sum(row.status == status for row in self.rows)


@dataclass(frozen=True)
class VisionSizes:
    """Sizes of the vision tower that its weights do not tell."""

    num_layers: int = 39
    """blocks to use; the public file has 40, of which the published model leaves out the last"""
    num_heads: int = 16
    image_size: int | None = None
    """side of the picture in pixels; ``None`` takes the checkpoint's setting, else 448"""


_DEFAULT_IMAGE_SIZE = 448


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
        reason_tag: task tag of the reasoning task; default ``reason_v2`` (the published fine stage),
            or ``reason`` with init_missing
        vision: sizes of the vision tower where they differ from the published ones

    Returns:
        one row for every tensor read, ignored, initialised or set

    Raises:
        CheckpointError: a file is not plain tensors, or a tensor is missing, unexpected or misshaped
        FileExistsError: the output folder exists and is not empty
        FileNotFoundError: an input is missing
    """
    output = Path(output_dir)
    if output.exists() and any(output.iterdir()):
        msg = f"{output} is not empty; give a new folder"
        raise FileExistsError(msg)
    for path in (llama_dir, vision_path, checkpoint_path):
        if not Path(path).exists():
            msg = f"{path} does not exist; give the path of the downloaded file or folder"
            raise FileNotFoundError(msg)
    sizes = vision or VisionSizes()
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    report = CoverageReport()
    with ExitStack() as stack:
        checkpoint, settings = _open_checkpoint(Path(checkpoint_path), stack)
        base = _open_folder(Path(llama_dir), stack)
        tower = _VisionSource.open(Path(vision_path), stack)
        image_size = sizes.image_size or int(settings.get("image_size", _DEFAULT_IMAGE_SIZE))
        tower_config = tower.config(sizes, image_size)
        config = _model_config(Path(llama_dir), checkpoint, settings, tower_config)
        config.reason_tag = reason_tag or ("reason" if init_missing else "reason_v2")
        tensors = _collect_model(config, base, checkpoint, init_missing, report)
        vision_tensors = _collect_tower(tower_config, tower, checkpoint, report)
        _write_folder(partial, config, tensors, Path(llama_dir))
        _write_tower(partial / "encoders" / "global", tower_config, vision_tensors)
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
    """
    config = EmotionLlamaConfig.from_pretrained(folder)
    expected = {k: v for k, v in _skeleton(config).items() if _published_name(k)}
    report, tensors = CoverageReport(), {}
    with ExitStack() as stack:
        source = _open_folder(Path(folder), stack)
        _check(expected, {k: source[k] for k in expected if k in source}, f"folder {folder}")
        for key in expected:
            name = _published_name(key)
            tensors[name] = source[key].read()
            report.add(key, name, tensors[name].shape, "loaded")
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


@dataclass(frozen=True)
class _Lazy:
    """A tensor that is read when it is written out."""

    shape: tuple[int, ...]
    read: Callable[[], torch.Tensor]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> "_Lazy":
        return cls(tuple(tensor.shape), lambda: tensor)


_Tensors = dict[str, _Lazy]


def _published_name(key: str) -> str:
    """Give the published name of one of our keys; empty for frozen tensors."""
    if lora := _OUR_LORA.fullmatch(key):
        return f"llama_model.base_model.model.{lora['layer']}.lora_{lora['side']}.weight"
    for theirs, ours in _PROJECTIONS.items():
        if key.startswith(f"projector.{ours}."):
            return f"{theirs}.{key.rsplit('.', 1)[1]}"
    return ""


def _our_name(key: str) -> str:
    """Give our name of a published LoRA or projection key; empty for anything else."""
    if lora := _PUBLISHED_LORA.fullmatch(key):
        return f"language_model.{lora['layer']}.lora_{lora['side']}.default.weight"
    name, _, part = key.rpartition(".")
    if name in _PROJECTIONS and part in ("weight", "bias"):
        return f"projector.{_PROJECTIONS[name]}.{part}"
    return ""


def _open_pth(path: Path) -> Any:
    """Read a ``.pth`` file as data; tensors stay on disk where the format allows."""
    try:
        mapped = zipfile.is_zipfile(path)  # the legacy format cannot be memory-mapped
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        msg = (
            f"{path} cannot be read as plain tensors ({reason}); expected a file written by "
            "torch.save that holds tensors, numbers, text, lists and dicts only. A file with other "
            "objects could run code and is refused: save it again as a state dict"
        )
        raise CheckpointError(msg) from error


def _open_checkpoint(path: Path, stack: ExitStack) -> tuple[_Tensors, dict[str, Any]]:
    """Give the tensors of a published checkpoint and its model settings."""
    if path.suffix == ".safetensors":
        return _open_safetensors(path, stack), {}
    content = _open_pth(path)
    if not isinstance(content, dict):
        msg = f"{path} holds a {type(content).__name__}, expected a dict with the key 'model'"
        raise CheckpointError(msg)
    settings = content.get("config") or {}
    model = settings.get("model", {}) if isinstance(settings, dict) else {}
    return _as_lazy(path, content.get("model", content)), dict(model)


def _as_lazy(path: Path, state: Mapping[str, Any]) -> _Tensors:
    others = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        msg = f"{path}: expected only tensors in the state dict, found other values at {others[:5]}"
        raise CheckpointError(msg)
    return {key: _Lazy.of(value) for key, value in state.items()}


def _open_safetensors(path: Path, stack: ExitStack) -> _Tensors:
    try:
        file = stack.enter_context(safe_open(path, framework="pt"))
    except (SafetensorError, OSError) as error:
        msg = f"{path} is no complete safetensors file ({error}); download it again"
        raise CheckpointError(msg) from error

    def lazy(key: str) -> _Lazy:
        return _Lazy(tuple(file.get_slice(key).get_shape()), lambda: file.get_tensor(key))

    return {key: lazy(key) for key in file.keys()}  # noqa: SIM118


def _open_folder(folder: Path, stack: ExitStack) -> _Tensors:
    """Open all weight files of a Hugging Face folder: safetensors, else ``pytorch_model*.bin``."""
    tensors: _Tensors = {}
    safe = sorted(folder.glob("*.safetensors"))
    for path in safe:
        tensors |= _open_safetensors(path, stack)
    if not safe:
        for path in sorted(folder.glob("pytorch_model*.bin")):
            tensors |= _as_lazy(path, _open_pth(path))
    if not tensors:
        found = sorted(p.name for p in folder.iterdir())
        msg = (
            f"{folder} holds no *.safetensors and no pytorch_model*.bin, found {found}; "
            "give the folder of a downloaded model"
        )
        raise CheckpointError(msg)
    return tensors


def _model_config(
    llama_dir: Path,
    checkpoint: _Tensors,
    settings: Mapping[str, Any],
    tower: Blip2VisionConfig,
) -> EmotionLlamaConfig:
    """Read sizes from the tensors and the remaining settings from the checkpoint."""
    defaults = EmotionLlamaConfig()
    lora = {k: t for k, t in checkpoint.items() if _PUBLISHED_LORA.fullmatch(k)}
    if not lora:
        msg = (
            f"the checkpoint holds no LoRA tensor (llama_model.base_model.model.*.lora_A.weight) "
            f"among its {len(checkpoint)} tensors, for example {list(checkpoint)[:3]}; "
            "give an Emotion-LLaMA or MiniGPT-v2 checkpoint"
        )
        raise CheckpointError(msg)
    ranks = {t.shape[0] for k, t in lora.items() if ".lora_A." in k}
    targets = {m["layer"].rsplit(".", 1)[1] for k in lora if (m := _PUBLISHED_LORA.fullmatch(k))}
    widths = {
        f"{ours.removesuffix('_projection')}_dim": checkpoint[f"{theirs}.weight"].shape[1]
        for theirs, ours in _PROJECTIONS.items()
        if theirs.startswith("feats_") and f"{theirs}.weight" in checkpoint
    }
    return EmotionLlamaConfig(
        text_config=AutoConfig.from_pretrained(llama_dir),
        patch_dim=tower.hidden_size,
        num_patches=(tower.image_size // tower.patch_size) ** 2,
        lora_rank=max(ranks, default=0),
        lora_alpha=int(settings.get("lora_alpha", defaults.lora_alpha)),
        lora_target_modules=sorted(targets),
        max_answer_tokens=int(settings.get("max_txt_len", defaults.max_answer_tokens)),
        preset="7b",
        **widths,
    )


def _skeleton(config: EmotionLlamaConfig) -> dict[str, tuple[int, ...]]:
    """Give key and shape of every tensor of the model, without allocating any."""
    with torch.device("meta"):
        model = EmotionLlama(config)
    state = model.state_dict()
    if config.tie_word_embeddings:
        state = {k: v for k, v in state.items() if not k.endswith("lm_head.weight")}
    return {key: tuple(value.shape) for key, value in state.items()}


def _collect_model(
    config: EmotionLlamaConfig,
    base: _Tensors,
    checkpoint: _Tensors,
    init_missing: bool,
    report: CoverageReport,
) -> _Tensors:
    """Match language model, LoRA and projections with the model's keys."""
    expected = _skeleton(config)
    found: _Tensors = {}
    for key, tensor in base.items():
        _take(found, key, _base_name(key, config, expected), tensor, report)
    for key, tensor in checkpoint.items():
        if _FINAL_NORM.fullmatch(key):
            continue  # belongs to the vision tower
        _take(found, key, _our_name(key), tensor, report)
    if init_missing:
        found |= _fresh_projections(expected, found, report)
    _check(expected, found, "the given files", hint=_missing_hint(init_missing))
    return found


def _take(
    found: _Tensors, source: str, destination: str, tensor: _Lazy, report: CoverageReport
) -> None:
    """Enter a tensor under its destination; without one it is dead or an error later."""
    if destination:
        report.add(source, destination, tensor.shape, "loaded")
        found[destination] = tensor
    elif _DEAD.fullmatch(source):
        note = "position table, recomputed" if "inv_freq" in source else "module never called"
        report.add(source, "", tensor.shape, "ignored", note)
    else:
        found[f"(no place) {source}"] = tensor


def _base_name(key: str, config: EmotionLlamaConfig, expected: Mapping[str, Any]) -> str:
    """Give our name of a base language-model key."""
    if _DEAD.fullmatch(key):
        return ""
    plain = f"language_model.{key}"
    stem, _, part = plain.rpartition(".")
    adapted = stem.rpartition(".")[2] in config.lora_target_modules
    wrapped = f"{stem}.base_layer.{part}"
    if adapted and wrapped in expected:
        return wrapped
    if config.tie_word_embeddings and key == "lm_head.weight":
        return "language_model.lm_head.weight"
    return plain if plain in expected else ""


def _fresh_projections(
    expected: Mapping[str, tuple[int, ...]], found: _Tensors, report: CoverageReport
) -> _Tensors:
    """Start the four projections absent from MiniGPT-v2 as torch's linear layer does by default."""
    fresh: _Tensors = {}
    generator_state = torch.get_rng_state()
    torch.manual_seed(0)
    for name in _ABSENT_FROM_MINIGPT:
        prefix = f"projector.{_PROJECTIONS[name]}"
        if f"{prefix}.weight" in found or f"{prefix}.bias" in found:
            continue
        width, inputs = expected[f"{prefix}.weight"]
        layer = nn.Linear(inputs, width)
        for part, tensor in layer.state_dict().items():
            fresh[f"{prefix}.{part}"] = _Lazy.of(tensor)
            report.add("", f"{prefix}.{part}", tensor.shape, "initialised", "torch default, seed 0")
    torch.set_rng_state(generator_state)
    return fresh


def _missing_hint(init_missing: bool) -> str:
    if init_missing:
        return "init_missing covers only " + ", ".join(_ABSENT_FROM_MINIGPT)
    return (
        "take the complete checkpoint; to start from MiniGPT-v2, which lacks "
        + ", ".join(_ABSENT_FROM_MINIGPT)
        + ", allow it with --init-missing"
    )


def _check(
    expected: Mapping[str, tuple[int, ...]], found: _Tensors, where: str, hint: str = ""
) -> None:
    """Refuse missing, unexpected and misshaped tensors, all named."""
    missing = [_published_name(key) or key for key in expected if key not in found]
    unexpected = [key.removeprefix("(no place) ") for key in found if key not in expected]
    shapes = [
        f"{_published_name(key) or key} is {found[key].shape}, expected {shape}"
        for key, shape in expected.items()
        if key in found and found[key].shape != shape
    ]
    problems = {"missing": missing, "unexpected": unexpected, "wrong shape": shapes}
    texts = [f"{name}: {', '.join(keys)}" for name, keys in problems.items() if keys]
    if texts:
        msg = f"{where} do not make a complete model; {'; '.join(texts)}" + (
            f". {hint}" * bool(hint)
        )
        raise CheckpointError(msg)


@dataclass(frozen=True)
class _VisionSource:
    """A vision tower as it was published: EVA key names or a BLIP-2 folder."""

    tensors: _Tensors
    blip2: Blip2VisionConfig | None

    @classmethod
    def open(cls, path: Path, stack: ExitStack) -> "_VisionSource":
        """Open a ``.pth`` file or a folder."""
        if not path.is_dir():
            state = _open_pth(path)
            if not isinstance(state, dict):
                msg = f"{path} holds a {type(state).__name__}, expected a dict of tensors"
                raise CheckpointError(msg)
            return cls(_as_lazy(path, state.get("model", state)), None)
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        tensors = _open_folder(path, stack)
        prefix = "vision_model."
        if any(key.startswith(prefix) for key in tensors):
            tensors = {
                k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)
            }
        return cls(tensors, Blip2VisionConfig(**config.get("vision_config", config)))

    def config(self, sizes: VisionSizes, image_size: int) -> Blip2VisionConfig:
        """Give the tower's sizes: from the tensors, the folder's configuration, and the caller."""
        if self.blip2 is not None:
            config = Blip2VisionConfig(**self.blip2.to_dict())
            config.image_size = image_size
            return config
        needed = ("patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")
        absent = [key for key in needed if key not in self.tensors]
        if absent:
            msg = f"the vision file lacks {absent}; expected the key names of eva_vit_g.pth"
            raise CheckpointError(msg)
        width, _, patch, _ = self.tensors[needed[0]].shape
        return Blip2VisionConfig(
            hidden_size=width,
            intermediate_size=self.tensors[needed[1]].shape[0],
            num_hidden_layers=sizes.num_layers,
            num_attention_heads=sizes.num_heads,
            image_size=image_size,
            patch_size=patch,
            layer_norm_eps=1e-6,
            qkv_bias=True,
        )


def _collect_tower(
    config: Blip2VisionConfig, source: _VisionSource, checkpoint: _Tensors, report: CoverageReport
) -> _Tensors:
    """Match the vision tower's tensors with ``Blip2VisionModel``."""
    with torch.device("meta"):
        expected = {k: tuple(v.shape) for k, v in Blip2VisionModel(config).state_dict().items()}
    named = (
        source.tensors if source.blip2 is not None else _rename_eva(source.tensors, config, report)
    )
    found: _Tensors = {}
    for key, tensor in named.items():
        if key.startswith("post_layernorm."):
            report.add(key, "", tensor.shape, "ignored", "not the published model's final norm")
            continue
        if key == "embeddings.position_embedding":
            tensor = _interpolate_positions(tensor, config)  # noqa: PLW2901
        report.add(key, f"encoders/global/{key}", tensor.shape, "loaded")
        found[key] = tensor
    _add_final_norm(found, config, checkpoint, report)
    _check(expected, found, "the vision weights")
    return found


def _rename_eva(tensors: _Tensors, config: Blip2VisionConfig, report: CoverageReport) -> _Tensors:
    """Give the tensors of ``eva_vit_g.pth`` their names in ``Blip2VisionModel``."""
    renamed: _Tensors = {}
    for key, tensor in tensors.items():
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(\w+)|blocks\.(\d+)\.attn\.([qv]_bias)", key)
        index = int(block[1] or block[4]) if block else -1
        if index >= config.num_hidden_layers:
            note = f"beyond the {config.num_hidden_layers} blocks in use"
            report.add(key, "", tensor.shape, "ignored", note)
        elif re.fullmatch(r"(norm|fc_norm|head)\.(weight|bias)", key):
            report.add(key, "", tensor.shape, "ignored", "final norm or head, not used")
        elif not (block and _is_qkv_bias(key)):
            renamed[_eva_name(key)] = tensor
    for index in range(config.num_hidden_layers):
        renamed |= _qkv_bias(tensors, index)
    return renamed


def _is_qkv_bias(key: str) -> bool:
    return key.endswith((".attn.q_bias", ".attn.v_bias"))


def _eva_name(key: str) -> str:
    fixed = {
        "cls_token": "embeddings.class_embedding",
        "pos_embed": "embeddings.position_embedding",
        "patch_embed.proj.weight": "embeddings.patch_embedding.weight",
        "patch_embed.proj.bias": "embeddings.patch_embedding.bias",
    }
    if key in fixed:
        return fixed[key]
    if match := re.fullmatch(r"blocks\.(\d+)\.attn\.qkv\.weight", key):
        return f"encoder.layers.{match[1]}.self_attn.qkv.weight"
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", key)
    if match and match[2] in _BLOCK_NAMES:
        return f"encoder.layers.{match[1]}.{_BLOCK_NAMES[match[2]]}.{match[3]}"
    return f"(no place) {key}"


def _qkv_bias(tensors: _Tensors, index: int) -> _Tensors:
    """Join the biases of query and value; the key has none, that is zeros."""
    query = tensors.get(f"blocks.{index}.attn.q_bias")
    value = tensors.get(f"blocks.{index}.attn.v_bias")
    if query is None or value is None:
        return {}  # reported as missing by the check

    def joined() -> torch.Tensor:
        q, v = query.read(), value.read()
        return torch.cat([q, torch.zeros_like(q), v])

    return {f"encoder.layers.{index}.self_attn.qkv.bias": _Lazy((3 * query.shape[0],), joined)}


def _interpolate_positions(tensor: _Lazy, config: Blip2VisionConfig) -> _Lazy:
    """Resize the grid of position embeddings to the picture, as the published model does.

    The class row is kept; the patch rows are resized bicubically in fp32, corners not aligned.
    """
    side = config.image_size // config.patch_size
    _, rows, width = tensor.shape
    source_side = round((rows - 1) ** 0.5)
    if source_side == side or source_side**2 + 1 != rows:
        return tensor  # a count that is no square grid is refused by the shape check

    def resized() -> torch.Tensor:
        positions = tensor.read().float()
        grid = positions[:, 1:].reshape(1, source_side, source_side, width).permute(0, 3, 1, 2)
        grid = nn.functional.interpolate(
            grid, size=(side, side), mode="bicubic", align_corners=False
        )
        return torch.cat([positions[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)

    return _Lazy((1, side * side + 1, width), resized)


def _add_final_norm(
    found: _Tensors, config: Blip2VisionConfig, checkpoint: _Tensors, report: CoverageReport
) -> None:
    """Take ``ln_vision`` from the checkpoint if it is there, else weight 1 and bias 0."""
    for part, fill in (("weight", torch.ones), ("bias", torch.zeros)):
        key = f"post_layernorm.{part}"
        given = checkpoint.get(f"ln_vision.{part}")
        found[key] = given or _Lazy.of(fill(config.hidden_size))
        source, status = (f"ln_vision.{part}", "loaded") if given else ("", "set")
        note = "" if given else f"constant {int(fill(1).item())}, as in the published model"
        report.add(source, f"encoders/global/{key}", found[key].shape, status, note)  # type: ignore[arg-type]


def _write_folder(
    folder: Path, config: EmotionLlamaConfig, tensors: _Tensors, llama_dir: Path
) -> None:
    folder.mkdir(parents=True)
    tokenizer = AutoTokenizer.from_pretrained(llama_dir)
    if tokenizer.pad_token is None:
        # the published tokenizer pads with this existing piece of Llama-2's vocabulary
        pieces = tokenizer.get_vocab()
        tokenizer.pad_token = "$$" if "$$" in pieces else tokenizer.eos_token
    EmotionLlamaProcessor(tokenizer, config).save_pretrained(folder)
    _write_shards(folder, "model", tensors)


def _write_tower(folder: Path, config: Blip2VisionConfig, tensors: _Tensors) -> None:
    folder.mkdir(parents=True)
    content = json.loads(config.to_json_string(use_diff=False))
    content |= {"architectures": ["Blip2VisionModel"], "encoder_type": "eva"}
    (folder / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _write_shards(folder, "model", tensors)


def _shards(tensors: _Tensors) -> Iterator[dict[str, torch.Tensor]]:
    """Read tensors in groups of bounded size."""
    shard: dict[str, torch.Tensor] = {}
    size = 0
    for key, lazy in tensors.items():
        # a copy, because safetensors refuses tensors that share memory
        tensor = lazy.read().detach().clone(memory_format=torch.contiguous_format)
        if shard and size + tensor.nbytes > _SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard[key] = tensor
        size += tensor.nbytes
    yield shard


def _write_shards(folder: Path, stem: str, tensors: _Tensors) -> None:
    """Write safetensors shards and, for more than one, their index."""
    paths, weight_map, total = [], {}, 0
    for number, shard in enumerate(_shards(tensors), start=1):
        path = folder / f"{stem}-{number:05d}.safetensors"
        save_file(shard, path, metadata={"format": "pt"})
        paths.append(path)
        weight_map |= dict.fromkeys(shard, number)
        total += sum(t.nbytes for t in shard.values())
    if len(paths) == 1:
        paths[0].rename(folder / f"{stem}.safetensors")
        return
    names = {n: f"{stem}-{n:05d}-of-{len(paths):05d}.safetensors" for n in range(1, len(paths) + 1)}
    for number, path in enumerate(paths, start=1):
        path.rename(folder / names[number])
    index = {
        "metadata": {"total_size": total},
        "weight_map": {key: names[number] for key, number in weight_map.items()},
    }
    (folder / f"{stem}.safetensors.index.json").write_text(
        json.dumps(index, indent=2) + "\n", encoding="utf-8"
    )


def iter_groups(report: CoverageReport) -> Iterator[tuple[str, str, int, Status, str]]:
    """Fold rows that differ only in layer numbers, for a table that fits on a screen.

    Yields:
        source pattern, destination pattern, number of tensors, status and note
    """
    groups: dict[tuple[str, str, Status, str], int] = {}
    for row in report.rows:
        fold = tuple(re.sub(r"\.\d+\.", ".*.", name) for name in (row.source, row.destination))
        key = (fold[0], fold[1], row.status, row.note)
        groups[key] = groups.get(key, 0) + 1
    for (source, destination, status, note), count in groups.items():
        yield source, destination, count, status, note
