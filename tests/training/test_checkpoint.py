from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from training.tiny_run import Draws, collator, tiny_config, tiny_model, tiny_processor, weights
from transformers import AutoModelForCausalLM

from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.checkpoint import CheckpointError, export
from emotion_llama.model.weight_files import read_pth
from emotion_llama.training import (
    load_adapter,
    newest_checkpoint,
    save_adapter,
    saved_config,
    write_model,
)
from emotion_llama.training.checkpoint import mark_complete, prune_checkpoints


@pytest.fixture
def trained() -> EmotionLlama:
    model = tiny_model()
    with torch.no_grad():
        for parameter in model.trainable_parameters().values():
            parameter.normal_(std=0.3)
    return model.eval()


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    draws = Draws(4)
    return collator()([draws[i] for i in range(4)])


def test_save_and_load_are_equal(
    trained: EmotionLlama, batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_adapter(trained, tmp_path)
    other = tiny_model().eval()
    assert not torch.equal(other(**batch).logits, trained(**batch).logits)
    load_adapter(other, tmp_path)
    assert torch.equal(other(**batch).logits, trained(**batch).logits)
    assert saved_config(tmp_path).to_dict() == trained.config.to_dict()


def test_projections_are_saved_where_there_is_no_lora(tmp_path: Path) -> None:
    save_adapter(tiny_model(lora_rank=0), tmp_path)
    assert not list(tmp_path.glob("adapter*"))
    other = tiny_model(lora_rank=0)
    with torch.no_grad():
        other.projector.audio_projection.weight.zero_()
    load_adapter(other, tmp_path)
    assert other.projector.audio_projection.weight.any()


def test_a_checkpoint_holds_nothing_frozen_and_is_the_same_every_time(
    trained: EmotionLlama, tmp_path: Path
) -> None:
    save_adapter(trained, tmp_path / "a")
    save_adapter(trained, tmp_path / "b")
    saved = [load_file(path) for path in (tmp_path / "a").glob("*.safetensors")]
    total = sum(tensor.numel() for tensors in saved for tensor in tensors.values())
    assert total == sum(p.numel() for p in trained.trainable_parameters().values())
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert "config.json" not in files  # it would claim to be a whole model
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_peft_reads_the_lora(trained: EmotionLlama, tmp_path: Path) -> None:
    save_adapter(trained, tmp_path / "adapter")
    torch.manual_seed(0)  # as in tiny_model, so that the frozen weights are not the same by chance
    plain = AutoModelForCausalLM.from_config(tiny_config().text_config)
    frozen = {
        k.replace(".base_layer", ""): v for k, v in trained.language_model.state_dict().items()
    }
    plain.load_state_dict({k: v for k, v in frozen.items() if ".lora_" not in k})
    ids = torch.arange(3, 20).unsqueeze(0)
    before = plain(input_ids=ids).logits
    read = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    expected = trained.language_model(input_ids=ids).logits
    assert torch.allclose(read(input_ids=ids).logits, expected, atol=1e-6)
    assert not torch.allclose(before, expected, atol=1e-2)


def test_a_checkpoint_of_other_sizes_is_refused(trained: EmotionLlama, tmp_path: Path) -> None:
    save_adapter(trained, tmp_path)
    with pytest.raises(CheckpointError, match=r"lora_A.weight is \[2, 32\], expected \[4, 32\]"):
        load_adapter(tiny_model(lora_rank=4), tmp_path)


def test_a_missing_tensor_is_named_and_nothing_is_loaded(
    trained: EmotionLlama, tmp_path: Path
) -> None:
    save_adapter(trained, tmp_path)
    tensors = load_file(tmp_path / "projector.safetensors")
    tensors["old.weight"] = tensors.pop("audio_projection.bias")
    save_file(tensors, tmp_path / "projector.safetensors")
    other = tiny_model()
    before = weights(other)
    with pytest.raises(CheckpointError, match=r"missing: audio_projection.bias; .*old.weight"):
        load_adapter(other, tmp_path)
    assert all(torch.equal(before[k], v) for k, v in weights(other).items())


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="lacks adapter_model.safetensors, projector"):
        load_adapter(tiny_model(), tmp_path)
    with pytest.raises(FileNotFoundError, match="emotion_llama.json"):
        saved_config(tmp_path)


@pytest.mark.parametrize("merge", [False, True])
def test_a_whole_model_folder_answers_as_the_trained_model(
    trained: EmotionLlama, batch: dict[str, torch.Tensor], tmp_path: Path, merge: bool
) -> None:
    start = tmp_path / "start"
    (start / "encoders" / "audio").mkdir(parents=True)
    for name in ("encoders/audio/config.json", "media.json", "LICENSE", "figures.json"):
        (start / name).write_text("{}", encoding="utf-8")
    expected = trained(**batch).logits
    whole = tmp_path / "whole"
    write_model(trained, tiny_processor(), whole, encoders=start, merge=merge)
    read = EmotionLlama.from_pretrained(whole).eval()
    assert torch.allclose(read(**batch).logits, expected, atol=1e-5)
    assert any(".lora_" in name for name, _ in read.named_parameters()) is not merge
    assert EmotionLlamaProcessor.from_pretrained(whole).tokenizer.vocab_size > 0
    assert (whole / "encoders" / "audio" / "config.json").is_file()
    assert (whole / "media.json").is_file()
    assert (whole / "LICENSE").is_file()
    assert not (whole / "figures.json").exists()  # the figures of other weights


def test_a_whole_model_folder_becomes_a_published_file(
    trained: EmotionLlama, tmp_path: Path
) -> None:
    write_model(trained, tiny_processor(), tmp_path / "whole")
    export(tmp_path / "whole", tmp_path / "model.pth")
    tensors = read_pth(tmp_path / "model.pth")["model"]
    assert torch.equal(tensors["feats_llama_proj3.bias"], trained.projector.audio_projection.bias)
    key = "model.layers.1.self_attn.v_proj.lora_B"
    ours = trained.trainable_parameters()[f"language_model.{key}.default.weight"]
    assert torch.equal(tensors[f"llama_model.base_model.model.{key}.weight"], ours)


def test_a_folder_with_something_in_it_is_not_overwritten(
    trained: EmotionLlama, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        write_model(trained, tiny_processor(), tmp_path)


def checkpoints(output: Path, *steps: int, incomplete: tuple[int, ...] = ()) -> None:
    for step in (*steps, *incomplete):
        (output / f"checkpoint-{step}").mkdir()
        if step not in incomplete:
            mark_complete(output / f"checkpoint-{step}")


def test_the_newest_complete_checkpoint_counts_by_number(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "nowhere") is None
    checkpoints(tmp_path, incomplete=(200,))
    assert newest_checkpoint(tmp_path) is None
    checkpoints(tmp_path, 90, 100)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-100"


def test_the_latest_and_the_best_stay(tmp_path: Path) -> None:
    checkpoints(tmp_path, 10, 20, 30, 40, incomplete=(25, 50))
    prune_checkpoints(tmp_path, keep=2, best=tmp_path / "checkpoint-10")
    left = sorted(path.name for path in tmp_path.iterdir())
    # 50 may be one that another process is still writing
    assert left == ["checkpoint-10", "checkpoint-30", "checkpoint-40", "checkpoint-50"]
