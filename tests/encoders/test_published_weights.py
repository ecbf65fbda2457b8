"""Files in the layouts of MAE's and VideoMAE's own programs: round trips and faults."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders.towers import crops, mae_tower, videomae_tower
from torch import Tensor

from emotion_llama.encoders import MaeLocalEncoder, VideoMaeTemporalEncoder
from emotion_llama.encoders.published_weights import PublishedWeightsError

State = dict[str, Tensor]


def copy_pair(state: State, theirs: str, ours: str, tower: State) -> None:
    for kind in ("weight", "bias"):
        state[f"{theirs}.{kind}"] = tower[f"{ours}.{kind}"]


def mae_state(width: int = 64) -> State:
    """Lay a tower out as MAE's program does, with its decoder."""
    tower = mae_tower(width).state_dict()
    state = {"cls_token": tower["embeddings.cls_token"]}
    state["pos_embed"] = tower["embeddings.position_embeddings"]
    copy_pair(state, "patch_embed.proj", "embeddings.patch_embeddings.projection", tower)
    copy_pair(state, "norm", "layernorm", tower)
    for n in range(2):
        copy_pair(state, f"blocks.{n}.norm1", f"layers.{n}.layernorm_before", tower)
        copy_pair(state, f"blocks.{n}.norm2", f"layers.{n}.layernorm_after", tower)
        copy_pair(state, f"blocks.{n}.attn.proj", f"layers.{n}.attention.o_proj", tower)
        copy_pair(state, f"blocks.{n}.mlp.fc1", f"layers.{n}.mlp.fc1", tower)
        copy_pair(state, f"blocks.{n}.mlp.fc2", f"layers.{n}.mlp.fc2", tower)
        for kind in ("weight", "bias"):
            rows = [tower[f"layers.{n}.attention.{row}_proj.{kind}"] for row in "qkv"]
            state[f"blocks.{n}.attn.qkv.{kind}"] = torch.cat(rows)
    state["mask_token"] = torch.zeros(1, 1, 8)
    state["decoder_embed.weight"] = torch.zeros(8, width)
    state["decoder_blocks.0.attn.qkv.weight"] = torch.zeros(24, 8)
    return state


def videomae_state(prefix: str) -> State:
    """Lay a tower out as VideoMAE's program does, without norm behind the blocks."""
    tower = videomae_tower(use_mean_pooling=not prefix).state_dict()
    state: State = {}
    copy_pair(state, "patch_embed.proj", "embeddings.patch_embeddings.projection", tower)
    for n in range(2):
        layer = f"encoder.layer.{n}"
        copy_pair(state, f"blocks.{n}.norm1", f"{layer}.layernorm_before", tower)
        copy_pair(state, f"blocks.{n}.norm2", f"{layer}.layernorm_after", tower)
        copy_pair(state, f"blocks.{n}.attn.proj", f"{layer}.attention.output.dense", tower)
        copy_pair(state, f"blocks.{n}.mlp.fc1", f"{layer}.intermediate.dense", tower)
        copy_pair(state, f"blocks.{n}.mlp.fc2", f"{layer}.output.dense", tower)
        inner = f"{layer}.attention.attention"
        rows = [tower[f"{inner}.{row}.weight"] for row in ("query", "key", "value")]
        state[f"blocks.{n}.attn.qkv.weight"] = torch.cat(rows)
        state[f"blocks.{n}.attn.q_bias"] = tower[f"{inner}.query.bias"]
        state[f"blocks.{n}.attn.v_bias"] = tower[f"{inner}.value.bias"]
    if prefix:
        copy_pair(state, "norm", "layernorm", tower)
    return {prefix + key: value for key, value in state.items()}


def pretraining_state() -> State:
    others = {"mask_token": torch.zeros(1, 1, 8), "encoder_to_decoder.weight": torch.zeros(8, 64)}
    others["decoder.blocks.0.mlp.fc1.weight"] = torch.zeros(8, 8)
    return {**videomae_state("encoder."), **others}


def stored(state: Any, tmp_path: Path, **beside: Any) -> Path:
    path = tmp_path / "weights.pth"
    torch.save({"model": state, **beside}, path)
    return path


def test_mae_comes_back_with_all_its_sizes(tmp_path: Path) -> None:
    command_line = argparse.Namespace(model="mae_vit_large_patch16", epochs=400)
    path = stored(mae_state(128), tmp_path, args=command_line, epoch=340, optimizer={"state": {}})
    encoder = MaeLocalEncoder.from_published(path, num_heads=2, reading="mean")
    tower = mae_tower(128)
    sizes = encoder.settings["tower"]
    assert (sizes["hidden_size"], sizes["num_hidden_layers"], sizes["image_size"]) == (128, 2, 32)
    assert (sizes["num_attention_heads"], sizes["intermediate_size"]) == (2, 24)
    assert sizes["layer_norm_eps"] == 1e-6
    track = crops(3, 32)
    expected = MaeLocalEncoder(tower, reading="mean").encode([track])
    assert torch.equal(encoder.encode([track]), expected)
    assert encoder.ignored_weights == (
        "decoder_blocks.0.attn.qkv.weight",
        "decoder_embed.weight",
        "mask_token",
    )
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    by_width = MaeLocalEncoder.from_published(path).settings["tower"]
    assert by_width["num_attention_heads"] == 128 // 64


@pytest.mark.parametrize("key", ["model", "module"])
def test_a_pretraining_videomae_comes_back(key: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({key: pretraining_state()}, path)
    encoder = VideoMaeTemporalEncoder.from_published(path, image_size=16, normalize_colours=False)
    expected = VideoMaeTemporalEncoder(videomae_tower(), normalize_colours=False)
    track = crops(20, 16)
    assert torch.equal(encoder.encode([track]), expected.encode([track]))
    assert encoder.settings == expected.settings
    assert "encoder_to_decoder.weight" in encoder.ignored_weights


def test_a_fine_tuned_videomae_is_normalised_after_the_mean(tmp_path: Path) -> None:
    weight, bias = torch.randn(64), torch.randn(64)
    state = {**videomae_state(""), "fc_norm.weight": weight, "fc_norm.bias": bias}
    state |= {"head.weight": torch.zeros(7, 64), "head.bias": torch.zeros(7)}
    encoder = VideoMaeTemporalEncoder.from_published(stored(state, tmp_path), image_size=16)
    assert encoder.ignored_weights == ("head.bias", "head.weight")
    norm = torch.nn.LayerNorm(64, eps=1e-6)
    norm.load_state_dict({"weight": weight, "bias": bias})
    tower = videomae_tower(use_mean_pooling=True)
    track = crops(16, 16)
    expected = VideoMaeTemporalEncoder(tower, pooled_norm=norm).encode([track])
    assert torch.equal(encoder.encode([track]), expected)
    assert (expected - expected.mean()).abs().max() > 0.1


LAYOUTS: dict[str, tuple[Any, Any, str]] = {
    "mae": (MaeLocalEncoder, mae_state, "blocks.1.mlp.fc1.weight"),
    "videomae": (VideoMaeTemporalEncoder, pretraining_state, "encoder.blocks.1.mlp.fc1.weight"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", ["missing", "unexpected", "wrong shape"])
def test_a_wrong_tensor_is_named(layout: str, change: str, tmp_path: Path) -> None:
    encoder_class, build, key = LAYOUTS[layout]
    state = build()
    named = key.removeprefix("encoder.")
    if change == "missing":
        del state[key]
    elif change == "unexpected":
        state["surprise"] = torch.zeros(1)
        named = "surprise"
    else:
        state[key] = torch.zeros(3, 3)
        named += r" is \[3, 3\], expected \[24, 64\]"
    options = {"image_size": 16} if layout == "videomae" else {}
    with pytest.raises(PublishedWeightsError, match=f"{change}: {named}"):
        encoder_class.from_published(stored(state, tmp_path), **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_other_program_s_file_is_refused(layout: str, tmp_path: Path) -> None:
    encoder_class = LAYOUTS[layout][0]
    other = LAYOUTS["mae" if layout == "videomae" else "videomae"][1]
    with pytest.raises(PublishedWeightsError, match="missing: "):
        encoder_class.from_published(stored(other(), tmp_path))


def test_learned_positions_of_videomae_are_named(tmp_path: Path) -> None:
    state = {**pretraining_state(), "encoder.pos_embed": torch.zeros(1, 32, 64)}
    with pytest.raises(PublishedWeightsError, match="unexpected: pos_embed"):
        VideoMaeTemporalEncoder.from_published(stored(state, tmp_path), image_size=16)


def test_a_globally_pooled_mae_is_refused(tmp_path: Path) -> None:
    state = mae_state()
    for kind in ("weight", "bias"):
        state[f"fc_norm.{kind}"] = state.pop(f"norm.{kind}")
    with pytest.raises(PublishedWeightsError, match=r"missing: norm.weight.*unexpected: fc_norm"):
        MaeLocalEncoder.from_published(stored(state, tmp_path))


class Order:
    """An object whose reading runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code of the file was run",))


def test_a_file_with_other_objects_is_refused_without_running_them(tmp_path: Path) -> None:
    for beside in (Order(), torch.nn.Linear(1, 1)):
        path = stored(mae_state(), tmp_path, surprise=beside)
        with pytest.raises(PublishedWeightsError, match="could run code and is refused"):
            MaeLocalEncoder.from_published(path)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([torch.zeros(1)], "holds a list"),
        ({"model": {"epoch": 3}}, "other values at epoch"),
        ({"model": {}}, "found nothing"),
        ({"model": {"weight": torch.zeros(1)}}, "missing: blocks"),
        ({"model": {"blocks.0.norm1.weight": torch.zeros(1)}}, "missing: patch_embed"),
    ],
)
def test_files_of_another_form_are_refused(content: Any, named: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(PublishedWeightsError, match=named):
        MaeLocalEncoder.from_published(path)


def test_damaged_and_absent_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(PublishedWeightsError, match="cannot be read as plain tensors"):
        MaeLocalEncoder.from_published(path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        MaeLocalEncoder.from_published(tmp_path / "absent.pth")


def test_heads_must_divide_the_width(tmp_path: Path) -> None:
    with pytest.raises(PublishedWeightsError, match="64 wide, which 3 heads do not divide"):
        MaeLocalEncoder.from_published(stored(mae_state(), tmp_path), num_heads=3)
