"""Bring published vision-tower weights into the layout of ``Blip2VisionModel``.

Knows: the key names of ``eva_vit_g.pth`` and of BLIP-2 folders, and what the published model does
with them (docs/published-model.md, "Vision tower"). Does not know: the language model, pictures.
"""

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import Blip2VisionConfig, Blip2VisionModel

from emotion_llama.model.weight_files import (
    CheckpointError,
    CoverageReport,
    LazyTensor,
    Tensors,
    as_tensors,
    open_folder,
    read_pth,
    require_complete,
)

DEFAULT_IMAGE_SIZE = 448
"""Side of the published model's picture in pixels."""

_FIXED_NAMES: Mapping[str, str] = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj.weight": "embeddings.patch_embedding.weight",
    "patch_embed.proj.bias": "embeddings.patch_embedding.bias",
}
_BLOCK_NAMES: Mapping[str, str] = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
"""Parts of a block in ``eva_vit_g.pth`` -> names in ``Blip2VisionModel``."""

_BLOCK = re.compile(r"blocks\.(?P<index>\d+)\.(?P<part>.+)")
_UNUSED = re.compile(r"(norm|fc_norm|head)\.(weight|bias)")
_BLIP2_PREFIX = "vision_model."


@dataclass(frozen=True)
class VisionSizes:
    """Sizes of the vision tower that its weights do not tell."""

    num_layers: int = 39
    """blocks to use; the public file has 40, of which the published model leaves out the last"""
    num_heads: int = 16
    image_size: int | None = None
    """side of the picture in pixels; ``None`` takes the checkpoint's setting, else 448"""


@dataclass(frozen=True)
class VisionWeights:
    """A vision tower as it was published."""

    tensors: Tensors
    blip2: Blip2VisionConfig | None
    """sizes, where the source is a BLIP-2 folder; its key names are ours already"""
    left_out: Tensors
    """tensors of a BLIP-2 folder that belong to its other parts"""

    @classmethod
    def open(cls, path: Path, stack: ExitStack) -> "VisionWeights":
        """Open ``eva_vit_g.pth`` or a BLIP-2 folder.

        Raises:
            CheckpointError: the file is no plain data, or the folder holds no weights
        """
        if not path.is_dir():
            state = read_pth(path)
            return cls(as_tensors(path, state.get("model", state)), None, {})
        settings = json.loads((path / "config.json").read_text(encoding="utf-8"))
        tensors = open_folder(path, stack)
        left_out: Tensors = {}
        if any(key.startswith(_BLIP2_PREFIX) for key in tensors):
            left_out = {k: t for k, t in tensors.items() if not k.startswith(_BLIP2_PREFIX)}
            tensors = {
                key.removeprefix(_BLIP2_PREFIX): tensor
                for key, tensor in tensors.items()
                if key not in left_out
            }
        config = Blip2VisionConfig(**settings.get("vision_config", settings))
        return cls(tensors, config, left_out)

    def config(self, sizes: VisionSizes, image_size: int) -> Blip2VisionConfig:
        """Give the tower's sizes: from the folder's configuration, the tensors and the caller.

        Raises:
            CheckpointError: the tensors have other names than ``eva_vit_g.pth``
        """
        if self.blip2 is not None:
            config = Blip2VisionConfig(**self.blip2.to_dict())
            config.image_size = image_size
            return config
        needed = ("patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")
        absent = [key for key in needed if key not in self.tensors]
        if absent:
            msg = (
                f"the vision file lacks {', '.join(absent)}, found for example "
                f"{list(self.tensors)[:3]}; expected the key names of eva_vit_g.pth"
            )
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


def collect_tower(
    config: Blip2VisionConfig, weights: VisionWeights, final_norm: Tensors, report: CoverageReport
) -> Tensors:
    """Match the tower's tensors with ``Blip2VisionModel``.

    Args:
        config: sizes of the tower
        weights: the published tensors
        final_norm: ``weight`` and ``bias`` of ``ln_vision`` where the checkpoint has them
        report: gets a row for every tensor

    Returns:
        tensors by their names in ``Blip2VisionModel``

    Raises:
        CheckpointError: a tensor is missing, unexpected or of another shape
    """
    with torch.device("meta"):
        state = Blip2VisionModel(config).state_dict()
    expected = {key: tuple(value.shape) for key, value in state.items()}
    for tensor in weights.left_out.values():
        report.add(tensor.source, "", tensor.shape, "ignored", "not part of the vision tower")
    named = weights.tensors if weights.blip2 else _rename_eva(weights.tensors, config, report)
    found: Tensors = {}
    for key, tensor in named.items():
        if key.startswith("post_layernorm."):
            note = "not the published model's final norm"
            report.add(tensor.source, "", tensor.shape, "ignored", note)
            continue
        found[key] = (
            _resize_positions(tensor, config) if key == "embeddings.position_embedding" else tensor
        )
        report.add(tensor.source, f"encoders/global/{key}", found[key].shape, "loaded")
    _add_final_norm(found, config, final_norm, report)
    require_complete(expected, found, where="the vision weights")
    return found


def _rename_eva(tensors: Tensors, config: Blip2VisionConfig, report: CoverageReport) -> Tensors:
    """Give the tensors of ``eva_vit_g.pth`` their names in ``Blip2VisionModel``."""
    renamed: Tensors = {}
    biases: dict[int, dict[str, LazyTensor]] = {}
    for key, tensor in tensors.items():
        block = _BLOCK.fullmatch(key)
        index = int(block["index"]) if block else -1
        if index >= config.num_hidden_layers:
            note = f"beyond the {config.num_hidden_layers} blocks in use"
            report.add(key, "", tensor.shape, "ignored", note)
        elif _UNUSED.fullmatch(key):
            report.add(key, "", tensor.shape, "ignored", "final norm or head, not used")
        elif block and block["part"] in ("attn.q_bias", "attn.v_bias"):
            biases.setdefault(index, {})[block["part"]] = tensor
        else:
            renamed[_eva_name(key)] = tensor
    for index, parts in biases.items():
        if len(parts) == 2:  # else the joined bias is reported as missing
            joined = _join_bias(parts["attn.q_bias"], parts["attn.v_bias"])
            renamed[f"encoder.layers.{index}.self_attn.qkv.bias"] = joined
    return renamed


def _eva_name(key: str) -> str:
    """Give a tensor's name in ``Blip2VisionModel``; an unknown name stays and is refused later."""
    if key in _FIXED_NAMES:
        return _FIXED_NAMES[key]
    block = _BLOCK.fullmatch(key)
    part, _, kind = block["part"].rpartition(".") if block else ("", "", "")
    if block and part in _BLOCK_NAMES and kind in ("weight", "bias"):
        return f"encoder.layers.{block['index']}.{_BLOCK_NAMES[part]}.{kind}"
    return key


def _join_bias(query: LazyTensor, value: LazyTensor) -> LazyTensor:
    """Join the biases of query and value; the key has none, that is zeros."""

    def joined() -> torch.Tensor:
        q, v = query.read(), value.read()
        return torch.cat([q, torch.zeros_like(q), v])

    width = query.shape[0] * 2 + value.shape[0]
    return LazyTensor(f"{query.source} + v_bias", (width,), joined)


def _resize_positions(tensor: LazyTensor, config: Blip2VisionConfig) -> LazyTensor:
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

    return LazyTensor(tensor.source, (1, side * side + 1, width), resized)


def _add_final_norm(
    found: Tensors, config: Blip2VisionConfig, final_norm: Tensors, report: CoverageReport
) -> None:
    """Take ``ln_vision`` from the checkpoint if it is there, else weight 1 and bias 0."""
    for part, constant in (("weight", 1.0), ("bias", 0.0)):
        key = f"post_layernorm.{part}"
        destination = f"encoders/global/{key}"
        if part in final_norm:
            found[key] = final_norm[part]
            report.add(f"ln_vision.{part}", destination, found[key].shape, "loaded")
            continue
        found[key] = LazyTensor.of(key, torch.full((config.hidden_size,), constant))
        note = f"constant {constant:g}, as in the published model"
        report.add("", destination, found[key].shape, "set", note)
