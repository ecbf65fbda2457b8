"""The model: placement, LoRA, padding, cache, scoring, saving."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from transformers import AutoModel, Qwen2Config

from emotion_llama.model import (
    EmotionLlama,
    EmotionLlamaConfig,
    EmotionLlamaProcessor,
    quantization_config,
)
from emotion_llama.prompt import PROMPT_MODES, PromptMode
from emotion_llama.records import Features, Sample

SAMPLES = (
    Sample("emotion", transcript="We won! Look at that, we really won."),
    Sample("reason"),
    Sample("emotion", transcript="No."),
)
TOLERANCE = 1e-5
"""fp32; the worst case measured over these rows is 2e-6."""


def rows(whole: Features) -> list[Features]:
    """A whole clip, one without sound, and sound alone."""
    return [whole, replace(whole, audio=None), Features(audio=whole.audio)]


@pytest.mark.parametrize("mode", PROMPT_MODES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_gives_each_row_what_it_gives_alone(
    tiny_model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    whole: Features,
    side: str,
    mode: PromptMode,
) -> None:
    processor.prompt_mode = mode
    batch = processor(SAMPLES, rows(whole), padding_side=side)
    with torch.no_grad():
        together = tiny_model(**batch).logits
        for row, feature in enumerate(rows(whole)):
            alone = tiny_model(**processor([SAMPLES[row]], [feature])).logits[0]
            kept = together[row][batch["attention_mask"][row].bool()]
            assert float((kept - alone).abs().max()) < TOLERANCE


def test_padding_does_not_change_the_loss(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    answers = ["happy", "sad because the voice is low and the face is turned away", "fear"]
    losses, counts = [], []
    for row, feature in enumerate(rows(whole)):
        single = processor([SAMPLES[row]], [feature], [answers[row]])
        losses.append(tiny_model(**single).loss.item())
        counts.append(len(processor.encode_answer(answers[row])))
    together = tiny_model(**processor(SAMPLES, rows(whole), answers)).loss.item()
    mean = sum(x * n for x, n in zip(losses, counts, strict=True)) / sum(counts)
    assert together == pytest.approx(mean, abs=TOLERANCE)


def test_every_modality_changes_the_answer(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    with torch.no_grad():
        reference = tiny_model(**processor([SAMPLES[0]], [whole])).logits[0, -1]
        for name in ("local", "temporal", "audio"):
            changed = replace(whole, **{name: getattr(whole, name) + 1})
            logits = tiny_model(**processor([SAMPLES[0]], [changed])).logits[0, -1]
            assert float((logits - reference).abs().max()) > 1e-4, name


def test_features_land_at_their_positions(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    batch = processor(SAMPLES, rows(whole))
    kinds = batch["token_kinds"]
    batch.pop("attention_mask")
    embeddings = tiny_model.embed(**batch)
    audio = tiny_model.projector({"audio": whole.audio[None]})["audio"][0, 0]
    assert torch.allclose(embeddings[2][kinds[2] == 4][0], audio)
    text = tiny_model.get_input_embeddings()(batch["input_ids"])
    assert torch.equal(embeddings[kinds == 0], text[kinds == 0])


def test_a_row_with_a_wrong_count_is_named(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    batch = processor(SAMPLES, rows(whole))
    position = int((batch["token_kinds"][1] == 2).nonzero()[0])
    batch["token_kinds"][1, position] = 0
    with pytest.raises(ValueError, match="row 1 has 0 positions for 'local' but 1 feature"):
        tiny_model(**batch)


def test_positions_without_features_are_an_error(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    batch = processor([SAMPLES[0]], [whole])
    batch.pop("audio")
    with pytest.raises(ValueError, match="'audio' but no feature tokens"):
        tiny_model(**batch)


def test_swapped_rows_are_noticed(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    batch = processor(SAMPLES, rows(whole))
    batch["token_kinds"] = batch["token_kinds"].flip(0)
    with pytest.raises(ValueError, match="row 0 has"):
        tiny_model(**batch)


def test_generation_of_a_batch_equals_one_by_one_and_needs_no_cache(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    together = tiny_model.generate(**processor(SAMPLES, rows(whole)))
    for row, feature in enumerate(rows(whole)):
        single = processor([SAMPLES[row]], [feature])
        alone = tiny_model.generate(**single)[0].tolist()
        uncached = tiny_model.generate(**single, use_cache=False)[0].tolist()
        assert alone == uncached
        assert together[row].tolist()[: len(alone)] == alone


def likelihood(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    sample: Sample,
    features: Features,
    answer: str,
) -> float:
    """Mean log-likelihood from the training loss of the whole sequence."""
    return -model(**processor([sample], [features], [answer])).loss.item()


def test_scores_equal_the_likelihood_of_the_whole_sequence(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    answers = ["happy", "worried", "very surprised and happy", "sad"]
    ids = [processor.encode_answer(answer) for answer in answers]
    assert len({len(i) for i in ids}) > 1
    scores = tiny_model.score_answers(ids, **processor(SAMPLES, rows(whole)))
    for row, feature in enumerate(rows(whole)):
        expected = [
            likelihood(tiny_model, processor, SAMPLES[row], feature, answer) for answer in answers
        ]
        assert scores[row].tolist() == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.filterwarnings("error::FutureWarning")
def test_scoring_uses_no_name_that_transformers_will_drop(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    ids = [processor.encode_answer(answer) for answer in ("happy", "very surprised and happy")]
    assert tiny_model.score_answers(ids, **processor(SAMPLES, rows(whole))).shape == (3, 2)


def test_only_lora_and_projections_are_trained(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    tiny_model.zero_grad()
    tiny_model(**processor([SAMPLES[0]], [whole], ["happy"])).loss.backward()
    with_gradient = {n for n, p in tiny_model.named_parameters() if p.grad is not None}
    tiny_model.zero_grad()
    assert with_gradient == set(tiny_model.trainable_parameters())
    assert all(n.startswith("projector.") or ".lora_" in n for n in with_gradient)
    assert len(with_gradient) == 10 + 2 * 2 * 2


def test_lora_starts_without_effect(tiny_config: EmotionLlamaConfig) -> None:
    model = EmotionLlama(tiny_config)
    second = [p for n, p in model.named_parameters() if "lora_B" in n]
    assert second
    assert not any(p.any() for p in second)


def test_gradient_checkpointing_gives_the_same_gradients(
    tiny_config: EmotionLlamaConfig, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    batch = processor([SAMPLES[0]], [whole], ["happy"])
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = EmotionLlama(tiny_config).train()
        model.config.text_config.use_cache = False
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
            assert model.is_activation_checkpointing
        torch.manual_seed(0)
        model(**batch).loss.backward()
        gradients.append(model.projector.audio_projection.weight.grad)
    assert gradients[0].any()
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_save_and_load_give_the_same_logits(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features, tmp_path: Path
) -> None:
    tiny_model.save_pretrained(tmp_path)
    batch = processor(SAMPLES, rows(whole))
    loaded = AutoModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert isinstance(loaded, EmotionLlama)
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, tiny_model(**batch).logits)


def test_loading_names_what_is_missing(tiny_model: EmotionLlama, tmp_path: Path) -> None:
    state = {k: v for k, v in tiny_model.state_dict().items() if "lora_A" not in k}
    tiny_model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ValueError, match=r"missing_keys: .*layers\.0\.self_attn\.q_proj\.lora_A"):
        EmotionLlama.from_pretrained(tmp_path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_half_precision_and_attention_implementations_on_a_cpu(
    tiny_model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    whole: Features,
    tmp_path: Path,
    dtype: torch.dtype,
    attention: str,
) -> None:
    tiny_model.save_pretrained(tmp_path)
    model = EmotionLlama.from_pretrained(
        tmp_path, dtype=dtype, device_map="cpu", attn_implementation=attention
    )
    assert model.language_model.config._attn_implementation == attention
    batch = processor(SAMPLES, rows(whole))
    found = model(**batch).logits
    assert found.dtype == dtype
    expected = tiny_model(**batch).logits
    mask = batch["attention_mask"].bool()
    assert float((found[mask].float() - expected[mask]).abs().max()) < 0.05
    assert model.generate(**batch).shape[0] == 3


def test_another_language_model_with_tied_embeddings(
    processor: EmotionLlamaProcessor, whole: Features, tmp_path: Path
) -> None:
    text = Qwen2Config(
        vocab_size=640,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    config = EmotionLlamaConfig(**(processor.config.to_dict() | {"text_config": text}))
    model = EmotionLlama(config).eval()
    model.save_pretrained(tmp_path)
    loaded = EmotionLlama.from_pretrained(tmp_path, dtype=torch.float32)
    batch = processor(SAMPLES, rows(whole))
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    answers = [processor.encode_answer("happy")]
    expected = likelihood(loaded, processor, SAMPLES[0], whole, "happy")
    scores: Sequence[float] = loaded.score_answers(answers, **batch)[0].tolist()
    assert scores == pytest.approx([expected], abs=TOLERANCE)


def published_trainable_shapes() -> dict[str, tuple[int, ...]]:
    """Trainable keys and shapes of the published checkpoint, without its dead head."""
    layers = [f"model.layers.{i}.self_attn.{p}_proj" for i in range(32) for p in ("q", "v")]
    prefix = "llama_model.base_model.model."
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        shapes[f"{prefix}{layer}.lora_A.weight"] = (64, 4096)
        shapes[f"{prefix}{layer}.lora_B.weight"] = (4096, 64)
    widths = {"llama_proj": 5632, "cls_tk_llama_proj": 1408}
    widths |= {f"feats_llama_proj{i}": 1024 for i in (1, 2, 3)}
    for name, width in widths.items():
        shapes[f"{name}.weight"] = (4096, width)
        shapes[f"{name}.bias"] = (4096,)
    return shapes


def test_published_sizes_without_weights() -> None:
    from emotion_llama.model.checkpoint import _published_name

    with torch.device("meta"):
        model = EmotionLlama(EmotionLlamaConfig())
    found = {
        _published_name(name): tuple(parameter.shape)
        for name, parameter in model.trainable_parameters().items()
    }
    assert found == published_trainable_shapes()
    assert sum(p.numel() for p in model.trainable_parameters().values()) == 74_993_664
    frozen = [p for p in model.parameters() if not p.requires_grad]
    assert sum(p.numel() for p in frozen) == 6_738_415_616, "Llama-2-7b"


@pytest.mark.parametrize("bits", [8, 4])
def test_language_model_in_few_bits(
    processor: EmotionLlamaProcessor, whole: Features, tmp_path: Path, bits: Literal[4, 8]
) -> None:
    pytest.importorskip("bitsandbytes", reason="few-bit loading needs bitsandbytes")
    sizes = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 32}  # blocks of 64 weights
    text = processor.config.text_config.to_dict() | sizes
    config = EmotionLlamaConfig(**(processor.config.to_dict() | {"text_config": text}))
    torch.manual_seed(0)
    model = EmotionLlama(config).eval()
    model.save_pretrained(tmp_path)
    small = EmotionLlama.from_pretrained(
        tmp_path,
        dtype=torch.float32,
        device_map="cpu",
        quantization_config=quantization_config(bits),
    )
    layer = small.language_model.model.layers[0].self_attn.q_proj
    assert f"{bits}bit" in type(layer.base_layer).__name__
    assert type(layer.lora_A["default"]) is torch.nn.Linear
    assert type(small.projector.audio_projection) is torch.nn.Linear
    batch = processor(SAMPLES, rows(whole))
    mask = batch["attention_mask"].bool()
    with torch.no_grad():
        exact, few = model(**batch).logits[mask], small(**batch).logits[mask]
    agreement = torch.nn.functional.cosine_similarity(exact, few.float(), dim=-1)
    assert float(agreement.min()) > (0.99 if bits == 8 else 0.9)
    assert small.generate(**batch).shape[0] == 3
    small.save_pretrained(tmp_path / "few")
    again = EmotionLlama.from_pretrained(tmp_path / "few", dtype=torch.bfloat16, device_map="cpu")
    kinds = {p.dtype for p in again.parameters() if p.is_floating_point()}
    assert kinds == {torch.bfloat16}
    with torch.no_grad():
        stored = again(**batch).logits[mask]
    agreement = torch.nn.functional.cosine_similarity(few.float(), stored.float(), dim=-1)
    assert float(agreement.min()) > 0.99
