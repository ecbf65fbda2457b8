"""Published weights in and out: every key accounted for, nothing dropped, data only."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Blip2VisionConfig, Blip2VisionModel

from emotion_llama.encoders import FeatureExtractor
from emotion_llama.model import EmotionLlama, EmotionLlamaConfig
from emotion_llama.model import weight_files as weight_files_module
from emotion_llama.model.checkpoint import (
    CheckpointError,
    CoverageReport,
    VisionSizes,
    convert,
    export,
)

SIZES = VisionSizes(num_layers=3, num_heads=4)
Convert = Callable[..., CoverageReport]
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def files(golden_folder: Path, tmp_path: Path) -> dict[str, Path]:
    return {
        "llama_dir": golden_folder / "llama",
        "vision_path": golden_folder / "eva_vit_g.pth",
        "checkpoint_path": golden_folder / "emotion_llama.pth",
        "output_dir": tmp_path / "converted",
    }


def edited(source: Path, target: Path, edit: Edit) -> Path:
    """Save a changed copy of a weight file."""
    content = torch.load(source, weights_only=True)
    edit(content)
    torch.save(content, target)
    return target


def edited_checkpoint(files: dict[str, Path], tmp_path: Path, edit: Edit) -> dict[str, Path]:
    path = edited(files["checkpoint_path"], tmp_path / "edited.pth", lambda c: edit(c["model"]))
    return files | {"checkpoint_path": path}


def statuses(report: CoverageReport) -> dict[str, str]:
    return {row.source: row.status for row in report.rows if row.source}


def test_every_key_is_accounted_for(files: dict[str, Path]) -> None:
    report = convert(**files, vision=SIZES)
    found = statuses(report)
    checkpoint = torch.load(files["checkpoint_path"], weights_only=True)["model"]
    assert set(checkpoint) <= set(found)
    assert set(load_file(files["llama_dir"] / "model.safetensors")) <= set(found)
    vision = set(torch.load(files["vision_path"], weights_only=True))
    joined = {key for key in vision if key.endswith(("q_bias", "v_bias"))}
    assert vision - joined <= set(found)
    assert len([key for key in found if key.endswith("q_bias + v_bias")]) == len(joined) // 2
    ignored = {key for key, status in found.items() if status == "ignored"}
    assert {key.split(".")[0] for key in ignored} == {"attention", "llama_model", "model"}
    assert all("inv_freq" in key for key in ignored if not key.startswith("attention."))


def test_a_converted_folder_holds_model_tokenizer_and_vision_tower(files: dict[str, Path]) -> None:
    convert(**files, vision=SIZES)
    folder = files["output_dir"]
    config = EmotionLlamaConfig.from_pretrained(folder)
    assert (config.lora_rank, config.lora_alpha, config.num_patches) == (8, 16, 36)
    assert config.reason_tag == "reason_v2"
    assert config.preset == "7b"
    extractor = FeatureExtractor.from_pretrained(folder)
    assert extractor.global_ is not None
    EmotionLlama.from_pretrained(folder)


def test_precision_of_the_source_is_kept(files: dict[str, Path]) -> None:
    convert(**files, vision=SIZES)
    tensors = load_file(files["output_dir"] / "model.safetensors")
    layer = "language_model.model.layers.0.self_attn.q_proj"
    assert tensors[f"{layer}.base_layer.weight"].dtype == torch.float16
    assert tensors[f"{layer}.lora_A.default.weight"].dtype == torch.float32


def test_newer_adapter_names_are_read(files: dict[str, Path], tmp_path: Path) -> None:
    def rename(model: dict[str, Any]) -> None:
        for key in [k for k in model if ".lora_" in k]:
            model[key.replace(".weight", ".default.weight")] = model.pop(key)

    convert(**edited_checkpoint(files, tmp_path, rename), vision=SIZES)
    export(files["output_dir"], tmp_path / "out.pth")
    original = torch.load(files["checkpoint_path"], weights_only=True)["model"]
    exported = torch.load(tmp_path / "out.pth", weights_only=True)["model"]
    for key, value in exported.items():
        assert torch.equal(value, original[key])


@pytest.mark.parametrize(
    "key",
    [
        "llama_model.base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight",
        "feats_llama_proj2.bias",
        "llama_proj.weight",
    ],
)
def test_a_missing_tensor_is_named(files: dict[str, Path], tmp_path: Path, key: str) -> None:
    broken = edited_checkpoint(files, tmp_path, lambda model: model.pop(key))
    with pytest.raises(CheckpointError, match=f"missing: {key}"):
        convert(**broken, vision=SIZES)
    assert not files["output_dir"].exists()


def test_an_unexpected_key_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    broken = edited_checkpoint(
        files, tmp_path, lambda model: model.update({"llama_proj2.weight": torch.zeros(2)})
    )
    with pytest.raises(CheckpointError, match="unexpected: llama_proj2.weight"):
        convert(**broken, vision=SIZES)


def test_a_wrong_shape_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    broken = edited_checkpoint(
        files, tmp_path, lambda model: model.update({"llama_proj.bias": torch.zeros(65)})
    )
    with pytest.raises(CheckpointError, match=r"llama_proj.bias is \[65\], expected \[64\]"):
        convert(**broken, vision=SIZES)


def test_a_checkpoint_without_lora_is_refused(files: dict[str, Path]) -> None:
    wrong = files | {"checkpoint_path": files["vision_path"]}
    with pytest.raises(CheckpointError, match="holds no LoRA tensor"):
        convert(**wrong, vision=SIZES)


MINIGPT_LACKS = ("feats_llama_proj1", "feats_llama_proj2", "feats_llama_proj3", "cls_tk_llama_proj")


def as_minigpt(model: dict[str, Any]) -> None:
    for key in [k for k in model if k.startswith((*MINIGPT_LACKS, "attention."))]:
        del model[key]


def test_minigpt_checkpoint_needs_a_word(files: dict[str, Path], tmp_path: Path) -> None:
    minigpt = edited_checkpoint(files, tmp_path, as_minigpt)
    with pytest.raises(CheckpointError, match="is converted with --init-missing"):
        convert(**minigpt, vision=SIZES)
    settings = dict(patch_dim=44, local_dim=1024)
    report = convert(**minigpt, vision=SIZES, init_missing=True)
    started = [row.destination for row in report.rows if row.status == "initialised"]
    assert started == [
        f"projector.{name}_projection.{part}"
        for name in ("local", "temporal", "audio", "class_token")
        for part in ("weight", "bias")
    ]
    config = EmotionLlamaConfig.from_pretrained(files["output_dir"])
    assert config.reason_tag == "reason"
    assert {k: getattr(config, k) for k in settings} == settings


def test_init_missing_covers_nothing_else(files: dict[str, Path], tmp_path: Path) -> None:
    def remove(model: dict[str, Any]) -> None:
        as_minigpt(model)
        del model["llama_proj.bias"]

    with pytest.raises(CheckpointError, match="missing: llama_proj.bias"):
        convert(**edited_checkpoint(files, tmp_path, remove), vision=SIZES, init_missing=True)


def test_init_missing_does_not_complete_half_a_projection(
    files: dict[str, Path], tmp_path: Path
) -> None:
    broken = edited_checkpoint(files, tmp_path, lambda m: m.pop("feats_llama_proj1.bias"))
    with pytest.raises(CheckpointError, match="missing: feats_llama_proj1.bias"):
        convert(**broken, vision=SIZES, init_missing=True)


def add_surplus(vision: dict[str, Any]) -> None:
    """A fourth block, a final norm and a head, as the public file has them."""
    for key in [k for k in vision if k.startswith("blocks.0.")]:
        vision[key.replace("blocks.0.", "blocks.3.")] = vision[key] + 1
    vision["norm.weight"] = torch.full((44,), 9.0)
    vision["norm.bias"] = torch.full((44,), 9.0)
    vision["head.weight"] = torch.zeros(2, 44)


def test_surplus_vision_tensors_are_ignored_and_listed(
    files: dict[str, Path], tmp_path: Path
) -> None:
    convert(**files, vision=SIZES)
    surplus = edited(files["vision_path"], tmp_path / "vision.pth", add_surplus)
    other = files | {"vision_path": surplus, "output_dir": tmp_path / "other"}
    report = convert(**other, vision=SIZES)
    ignored = {row.source for row in report.rows if row.status == "ignored"}
    assert {"blocks.3.attn.q_bias", "norm.weight", "head.weight"} <= ignored
    towers = [
        load_file(folder / "encoders" / "global" / "model.safetensors")
        for folder in (files["output_dir"], other["output_dir"])
    ]
    assert towers[0].keys() == towers[1].keys()
    assert all(torch.equal(towers[0][key], towers[1][key]) for key in towers[0])


def test_a_tower_with_too_few_blocks_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match=r"missing: encoder\.layers\.3\."):
        convert(**files, vision=VisionSizes(num_layers=4, num_heads=4))


def test_final_norm_of_the_checkpoint_is_taken(files: dict[str, Path], tmp_path: Path) -> None:
    norm = {"ln_vision.weight": torch.full((44,), 2.0), "ln_vision.bias": torch.full((44,), 3.0)}
    convert(**edited_checkpoint(files, tmp_path, lambda m: m.update(norm)), vision=SIZES)
    tower = load_file(files["output_dir"] / "encoders" / "global" / "model.safetensors")
    assert torch.equal(tower["post_layernorm.weight"], norm["ln_vision.weight"])
    assert torch.equal(tower["post_layernorm.bias"], norm["ln_vision.bias"])


def test_a_blip2_folder_gives_the_same_tower(files: dict[str, Path], tmp_path: Path) -> None:
    """The BLIP-2 layout of the same weights, with a foreign final norm and other parts."""
    config = Blip2VisionConfig(
        hidden_size=44,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=28,
        patch_size=14,
    )
    convert(**files, vision=VisionSizes(3, 4, image_size=28))
    source = load_file(files["output_dir"] / "encoders" / "global" / "model.safetensors")
    assert source.keys() == Blip2VisionModel(config).state_dict().keys()
    blip2 = tmp_path / "blip2"
    blip2.mkdir()
    source["post_layernorm.weight"] = torch.full((44,), 7.0)
    whole = {f"vision_model.{key}": value for key, value in source.items()}
    save_file(whole | {"qformer.layer.weight": torch.zeros(3)}, blip2 / "model.safetensors")
    (blip2 / "config.json").write_text('{"vision_config": ' + config.to_json_string() + "}")

    outputs = []
    for name, path in (("pth", files["vision_path"]), ("blip2", blip2)):
        output = tmp_path / f"from-{name}"
        report = convert(**(files | {"vision_path": path, "output_dir": output}), vision=SIZES)
        outputs.append(load_file(output / "encoders" / "global" / "model.safetensors"))
    ignored = {row.source: row.note for row in report.rows if row.status == "ignored"}
    assert ignored["qformer.layer.weight"] == "not part of the vision tower"
    assert "not the published" in ignored["vision_model.post_layernorm.weight"]
    assert outputs[0].keys() == outputs[1].keys()
    for key, value in outputs[0].items():
        assert torch.allclose(value, outputs[1][key], atol=1e-6), key


class Malicious:
    """Unpickling would call this function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize("which", ["vision_path", "checkpoint_path"])
def test_objects_in_a_weight_file_are_refused(
    files: dict[str, Path], tmp_path: Path, which: str
) -> None:
    torch.save({"model": {"x": Malicious()}}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="could run code and is refused"):
        convert(**(files | {which: tmp_path / "bad.pth"}), vision=SIZES)


def test_a_plain_pickle_and_a_truncated_file_are_refused(
    files: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "plain.pth").write_bytes(pickle.dumps([1, 2]))
    whole = files["checkpoint_path"].read_bytes()
    (tmp_path / "short.pth").write_bytes(whole[: len(whole) // 2])
    for name in ("plain.pth", "short.pth"):
        with pytest.raises(CheckpointError, match=name):
            convert(**(files | {"checkpoint_path": tmp_path / name}), vision=SIZES)


def test_wrong_paths_are_named(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.pth does not exist"):
        convert(**(files | {"vision_path": tmp_path / "nowhere.pth"}))
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted" / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        convert(**files)
    with pytest.raises(CheckpointError, match=r"holds no \*.safetensors"):
        convert(**(files | {"llama_dir": tmp_path, "output_dir": tmp_path / "new"}))


def test_large_models_are_written_in_shards(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    convert(**files, vision=SIZES)
    monkeypatch.setattr(weight_files_module, "_SHARD_BYTES", 100_000)
    sharded = tmp_path / "sharded"
    convert(**(files | {"output_dir": sharded}), vision=SIZES)
    assert len(list(sharded.glob("model-*-of-*.safetensors"))) > 2
    one = EmotionLlama.from_pretrained(files["output_dir"]).state_dict()
    many = EmotionLlama.from_pretrained(sharded).state_dict()
    assert all(torch.equal(one[key], many[key]) for key in one)


def test_export_names_what_is_missing(files: dict[str, Path], tmp_path: Path) -> None:
    convert(**files, vision=SIZES)
    path = files["output_dir"] / "model.safetensors"
    tensors = load_file(path)
    del tensors["projector.audio_projection.bias"]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="missing: projector.audio_projection.bias"):
        export(files["output_dir"], tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()
