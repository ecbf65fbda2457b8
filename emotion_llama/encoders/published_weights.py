"""The ``.pth`` files of MAE's and VideoMAE's own programs -> towers of the library.

Knows: their key names and sizes, and that files are read as data only. Does not know: pictures, or
how a tower is read. Every tensor is used, is in a stated ignored set, or is an error that names it.
"""

import argparse
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEModel, ViTMAEConfig, ViTMAEModel

WIDTH_PER_HEAD = 64
NORM_EPS = 1e-6
"""Both programs build their norms with it; the library's default is 1e-12."""
VIDEO_FRAMES = 16
_STATE_KEYS = ("model", "module")
"""Where the state dict stands in a file: MAE and VideoMAE, and VideoMAE trained with DeepSpeed."""
_PRETRAINING_PREFIX = "encoder."

Places = Mapping[str, tuple[str, ...]]
"""Published key -> the tower's tensors that its rows fill, in order."""


class PublishedWeightsError(ValueError):
    """A weight file cannot be read as data, or its tensors do not make the tower."""


@dataclass(frozen=True)
class _Names:
    """How one program's keys are called in the library."""

    fixed: Places
    layer: str
    parts: Mapping[str, tuple[str, ...]]
    """part of a published block -> parts of a layer"""
    ignored: str
    """pattern of keys that belong to a decoder or head"""

    def places(self, depth: int) -> dict[str, tuple[str, ...]]:
        """Give every key that a file of this depth must have."""
        places = dict(self.fixed)
        for number in range(depth):
            for part, targets in self.parts.items():
                names = tuple(f"{self.layer}.{number}.{target}" for target in targets)
                places[f"blocks.{number}.{part}"] = names
        return places


def _with_kinds(parts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {
        f"{theirs}.{kind}": (f"{ours}.{kind}",)
        for theirs, ours in parts.items()
        for kind in ("weight", "bias")
    }


_PATCHES = _with_kinds({"patch_embed.proj": "embeddings.patch_embeddings.projection"})
_TOKEN_NORM = _with_kinds({"norm": "layernorm"})

MAE_NAMES = _Names(
    fixed={
        "cls_token": ("embeddings.cls_token",),
        "pos_embed": ("embeddings.position_embeddings",),
        **_PATCHES,
        **_TOKEN_NORM,
    },
    layer="layers",
    parts={
        **_with_kinds(
            {
                "norm1": "layernorm_before",
                "attn.proj": "attention.o_proj",
                "norm2": "layernorm_after",
                "mlp.fc1": "mlp.fc1",
                "mlp.fc2": "mlp.fc2",
            }
        ),
        **{
            f"attn.qkv.{kind}": tuple(f"attention.{row}_proj.{kind}" for row in "qkv")
            for kind in ("weight", "bias")
        },
    },
    ignored=r"decoder_.+|mask_token|head\..+",
)

VIDEOMAE_NAMES = _Names(
    fixed=_PATCHES,
    layer="encoder.layer",
    parts={
        **_with_kinds(
            {
                "norm1": "layernorm_before",
                "attn.proj": "attention.output.dense",
                "norm2": "layernorm_after",
                "mlp.fc1": "intermediate.dense",
                "mlp.fc2": "output.dense",
            }
        ),
        "attn.qkv.weight": tuple(
            f"attention.attention.{row}.weight" for row in ("query", "key", "value")
        ),
        "attn.q_bias": ("attention.attention.query.bias",),
        "attn.v_bias": ("attention.attention.value.bias",),
    },
    ignored=r"decoder\..+|encoder_to_decoder\.weight|mask_token|head\..+",
)


def read_mae(path: Path, num_heads: int | None = None) -> tuple[ViTMAEModel, tuple[str, ...]]:
    """Build the encoder's half of a MAE from its file.

    Args:
        path: ``.pth`` file
        num_heads: attention heads; ``None`` is one per 64 of the width

    Returns:
        the tower in fp32, and the keys that were ignored

    Raises:
        PublishedWeightsError: not plain data, or a tensor is missing, unexpected or misshapen
        FileNotFoundError: there is no such file
    """
    state, ignored = _split(_read_state(path), MAE_NAMES.ignored)
    places = MAE_NAMES.places(_depth(path, state))
    patches, positions = _sized(path, state, "patch_embed.proj.weight"), state.get("pos_embed")
    if positions is None or positions.ndim != 3:
        _fail(path, {"missing": ["pos_embed"]})
    side = round((positions.shape[1] - 1) ** 0.5)
    config = ViTMAEConfig(
        **_sizes(path, state, num_heads),
        image_size=side * patches.shape[-1],
        patch_size=patches.shape[-1],
    )
    tower = ViTMAEModel(config)
    _fill(path, tower, places, state)
    return tower, ignored


def read_videomae(
    path: Path, num_heads: int | None = None, image_size: int = 224
) -> tuple[VideoMAEModel, nn.LayerNorm | None, tuple[str, ...]]:
    """Build the encoder's half of a VideoMAE from a pre-training or fine-tuned file.

    Args:
        path: ``.pth`` file
        num_heads: attention heads; ``None`` is one per 64 of the width
        image_size: side of the pictures in pixels

    Returns:
        the tower in fp32, the norm behind its mean if the file has one, and the ignored keys

    Raises:
        PublishedWeightsError: not plain data, or a tensor is missing, unexpected or misshapen
        FileNotFoundError: there is no such file
    """
    state, ignored = _split(_read_state(path), VIDEOMAE_NAMES.ignored)
    prefix = _PRETRAINING_PREFIX if any(k.startswith(_PRETRAINING_PREFIX) for k in state) else ""
    state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    pools_first = "fc_norm.weight" in state and "norm.weight" not in state
    places = VIDEOMAE_NAMES.places(_depth(path, state))
    patches = _sized(path, state, "patch_embed.proj.weight")
    config = VideoMAEConfig(
        **_sizes(path, state, num_heads),
        image_size=image_size,
        patch_size=patches.shape[-1],
        num_frames=VIDEO_FRAMES,
        tubelet_size=patches.shape[2] if patches.ndim == 5 else 2,
        use_mean_pooling=pools_first,
    )
    holder = nn.ModuleDict({"tower": VideoMAEModel(config)})
    if pools_first:
        holder["pooled"] = nn.LayerNorm(config.hidden_size, eps=NORM_EPS)
    norm = {f"fc_norm.{kind}": (f"pooled.{kind}",) for kind in ("weight", "bias")}
    inside = {key: tuple(f"tower.{name}" for name in names) for key, names in places.items()}
    over_tokens = {key: (f"tower.{names[0]}",) for key, names in _TOKEN_NORM.items()}
    _fill(path, holder, {**inside, **(norm if pools_first else over_tokens)}, state)
    tower: Any = holder["tower"]
    pooled: Any = holder["pooled"] if pools_first else None
    return tower, pooled, ignored


def _read_state(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a file that holds plain data.

    Raises:
        PublishedWeightsError: it is damaged, holds other objects, or no dict of tensors
        FileNotFoundError: there is no such file
    """
    if not path.is_file():
        msg = f"there is no file {path}; give the path of the downloaded file"
        raise FileNotFoundError(msg)
    try:
        # both programs store their command line beside the weights: plain attributes, no code
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        msg = (
            f"{path} cannot be read as plain tensors ({reason}); a file with other objects could "
            "run code and is refused: save it again as a state dict"
        )
        raise PublishedWeightsError(msg) from error
    state = content
    if isinstance(content, Mapping):
        state = next((content[key] for key in _STATE_KEYS if key in content), content)
    if not isinstance(state, Mapping):
        msg = f"{path} holds a {type(state).__name__}, expected a dict of tensors"
        raise PublishedWeightsError(msg)
    others = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if others or not state:
        found = f"other values at {', '.join(others[:5])}" if others else "nothing"
        msg = f"{path}: expected tensors under {' or '.join(_STATE_KEYS)}, found {found}"
        raise PublishedWeightsError(msg)
    return dict(state)


def _split(state: dict[str, Tensor], ignored: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Take out the tensors of a decoder or head."""
    left_out = tuple(sorted(key for key in state if re.fullmatch(ignored, key)))
    return {key: tensor for key, tensor in state.items() if key not in left_out}, left_out


def _sized(path: Path, state: Mapping[str, Tensor], key: str) -> Tensor:
    """Give a tensor that sizes are read from.

    Raises:
        PublishedWeightsError: it is not there, or has no two dimensions
    """
    if key not in state:
        _fail(path, {"missing": [key]}, f"found for example {', '.join(list(state)[:3])}")
    if state[key].ndim < 2:
        _fail(path, {"wrong shape": [f"{key} is {list(state[key].shape)}"]})
    return state[key]


def _depth(path: Path, state: Mapping[str, Tensor]) -> int:
    numbers = [int(match[1]) for key in state if (match := re.match(r"blocks\.(\d+)\.", key))]
    if not numbers:
        found = f"found for example {', '.join(list(state)[:3])}"
        _fail(path, {"missing": ["blocks.0.*"]}, found)
    return max(numbers) + 1


def _sizes(path: Path, state: Mapping[str, Tensor], num_heads: int | None) -> dict[str, Any]:
    """Read the sizes that both towers have from the tensors."""
    width = _sized(path, state, "patch_embed.proj.weight").shape[0]
    heads = num_heads or width // WIDTH_PER_HEAD
    if heads == 0 or width % heads:
        msg = f"{path} is {width} wide, which {heads} heads do not divide; give num_heads"
        raise PublishedWeightsError(msg)
    return {
        "hidden_size": width,
        "num_hidden_layers": _depth(path, state),
        "num_attention_heads": heads,
        "intermediate_size": _sized(path, state, "blocks.0.mlp.fc1.weight").shape[0],
        "layer_norm_eps": NORM_EPS,
    }


def _fill(path: Path, module: nn.Module, places: Places, state: Mapping[str, Tensor]) -> None:
    """Load every tensor into its places.

    Raises:
        PublishedWeightsError: a tensor is missing, unexpected or misshapen; all are named
    """
    targets = module.state_dict()
    shapes = {
        key: [sum(targets[name].shape[0] for name in names), *targets[names[0]].shape[1:]]
        for key, names in places.items()
    }
    wrong = [
        f"{key} is {list(state[key].shape)}, expected {shape}"
        for key, shape in shapes.items()
        if key in state and list(state[key].shape) != shape
    ]
    faults = {
        "missing": [key for key in places if key not in state],
        "unexpected": [key for key in state if key not in places],
        "wrong shape": wrong,
    }
    if any(faults.values()):
        _fail(path, faults)
    filled = {
        name: rows
        for key, names in places.items()
        for name, rows in zip(names, state[key].chunk(len(names)), strict=True)
    }
    module.load_state_dict(filled)


def _fail(path: Path, faults: Mapping[str, list[str]], hint: str = "") -> NoReturn:
    """Raise the error that names what does not fit."""
    named = "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in faults.items() if keys)
    advice = hint or "give the program's own file for this encoder"
    msg = f"{path} does not make a complete tower: {named}; {advice}"
    raise PublishedWeightsError(msg)
