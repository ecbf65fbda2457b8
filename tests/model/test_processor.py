"""Samples and features to batches: what stands where, in both prompt modes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoProcessor

from emotion_llama.model import TOKEN_KINDS, EmotionLlamaConfig, EmotionLlamaProcessor
from emotion_llama.model.processor import IGNORED_LABEL
from emotion_llama.prompt import PROMPT_MODES, PromptMode
from emotion_llama.records import Features, Sample

EMOTION = Sample("emotion", transcript="We won!")
IMAGE = ["patches", "patches"]
NO_PICTURE = {"patches": None, "class_token": None}
CASES = {
    "whole": ({}, IMAGE, ["local", "temporal", "audio", "class_token"]),
    "no picture": (NO_PICTURE, [], ["local", "temporal", "audio"]),
    "no sound": ({"audio": None}, IMAGE, ["local", "temporal", "class_token"]),
    "no face": ({"local": None, "temporal": None}, IMAGE, ["audio", "class_token"]),
    "still": ({"temporal": None}, IMAGE, ["local", "audio", "class_token"]),
    "sound only": (NO_PICTURE | {"local": None, "temporal": None}, [], ["audio"]),
    "nothing": (NO_PICTURE | {"local": None, "temporal": None, "audio": None}, [], []),
}


def layout(processor: EmotionLlamaProcessor, batch: dict[str, torch.Tensor], row: int) -> list[str]:
    """Text pieces and feature names of a row, padding left out."""
    pieces: list[str] = []
    words: list[int] = []
    for token, kind, kept in zip(
        batch["input_ids"][row].tolist(),
        batch["token_kinds"][row].tolist(),
        batch["attention_mask"][row].tolist(),
        strict=True,
    ):
        if kind == 0 and kept:
            words.append(token)
        elif kept:
            if words:
                pieces.append(processor.tokenizer.decode(words))
            words = []
            pieces.append(TOKEN_KINDS[kind - 1])
    return [*pieces, processor.tokenizer.decode(words)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", PROMPT_MODES)
def test_marks_expand_to_what_is_there(
    processor: EmotionLlamaProcessor, whole: Features, mode: PromptMode, case: str
) -> None:
    changes, image, single = CASES[case]
    processor.prompt_mode = mode
    batch = processor([EMOTION], [replace(whole, **changes)])
    kinds = [TOKEN_KINDS[k - 1] for k in batch["token_kinds"][0].tolist() if k]
    assert kinds == image + single
    text = processor.tokenizer.decode(batch["input_ids"][0][batch["token_kinds"][0] == 0])
    assert ("<FeatureHere>" in text) == (mode == "published-eval")
    assert "<VideoHere>" not in text
    beginnings = batch["input_ids"][0][:3].tolist().count(processor.tokenizer.bos_token_id)
    assert beginnings == (2 if mode == "published-eval" else 1)


def test_features_stand_at_their_marks(processor: EmotionLlamaProcessor, whole: Features) -> None:
    pieces = layout(processor, processor([EMOTION], [whole]), 0)
    assert pieces[0].endswith("<video>")
    assert pieces[1:3] == IMAGE
    assert pieces[3] == "</video> <feature>"
    assert pieces[4:8] == ["local", "temporal", "audio", "class_token"]
    assert pieces[8].startswith("</feature>")


def test_published_mode_puts_all_tokens_at_the_video_mark(
    processor: EmotionLlamaProcessor, whole: Features
) -> None:
    processor.prompt_mode = "published-eval"
    pieces = layout(processor, processor([EMOTION], [whole]), 0)
    assert pieces[1:7] == [*IMAGE, "local", "temporal", "audio", "class_token"]
    assert pieces[7].startswith("</video> <feature><FeatureHere></feature>")


@pytest.mark.parametrize("mode", PROMPT_MODES)
def test_without_transcript_the_character_line_goes(
    processor: EmotionLlamaProcessor, whole: Features, mode: PromptMode
) -> None:
    processor.prompt_mode = mode
    batch = processor([replace(EMOTION, transcript=None), EMOTION], [whole, whole])
    texts = [layout(processor, batch, row)[-1] for row in range(2)]
    assert "person in video says" not in texts[0]
    assert "person in video says: We won!." in texts[1]


@pytest.mark.parametrize("mode", PROMPT_MODES)
def test_zeros_reproduce_the_published_behaviour(
    processor: EmotionLlamaProcessor, mode: PromptMode
) -> None:
    config = EmotionLlamaConfig(**(processor.config.to_dict() | {"missing_modality": "zeros"}))
    published = EmotionLlamaProcessor(processor.tokenizer, config, mode)
    batch = published([EMOTION], [Features()])
    kinds = [TOKEN_KINDS[k - 1] for k in batch["token_kinds"][0].tolist() if k]
    assert kinds == [*IMAGE, "local", "temporal", "audio", "class_token"]
    assert batch["feature_mask"].all()
    assert not any(batch[name].any() for name in TOKEN_KINDS)


def test_rows_of_a_batch_keep_their_own_modalities(
    processor: EmotionLlamaProcessor, whole: Features
) -> None:
    batch = processor([EMOTION, EMOTION], [whole, Features(audio=whole.audio)])
    assert batch["feature_mask"].tolist() == [[True] * 5, [False, False, False, True, False]]
    assert batch["audio"].shape == (2, 3)


def test_only_the_answer_carries_loss(processor: EmotionLlamaProcessor, whole: Features) -> None:
    batch = processor([EMOTION] * 2, [whole] * 2, ["happy", "happy because we won"])
    for row, answer in enumerate(("happy", "happy because we won")):
        labels = batch["labels"][row]
        assert labels[labels != IGNORED_LABEL].tolist() == processor.encode_answer(answer)
        assert not (labels[batch["attention_mask"][row] == 0] != IGNORED_LABEL).any()
    assert batch["attention_mask"][0, -1] == 0, "training batches are padded on the right"


def test_prompts_for_generation_are_padded_on_the_left(
    processor: EmotionLlamaProcessor, whole: Features
) -> None:
    batch = processor([EMOTION, replace(EMOTION, transcript=None)], [whole, whole])
    assert batch["attention_mask"][1, 0] == 0
    assert batch["attention_mask"][:, -1].all()
    assert "labels" not in batch


def test_long_answers_are_cut(
    processor: EmotionLlamaProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    processor.config = EmotionLlamaConfig(max_answer_tokens=5)
    assert len(processor.encode_answer("happy " * 20)) == 5
    assert "was cut to 5" in caplog.text


def test_too_long_a_prompt_is_an_error(processor: EmotionLlamaProcessor, whole: Features) -> None:
    processor.config = EmotionLlamaConfig(
        **(processor.config.to_dict() | {"max_context_tokens": 50})
    )
    with pytest.raises(ValueError, match=r"tokens, expected at most 50; give a shorter transcript"):
        processor([EMOTION], [whole])


def test_a_feature_of_another_preset_is_named(
    processor: EmotionLlamaProcessor, whole: Features
) -> None:
    with pytest.raises(ValueError, match=r"feature 'audio' has shape \(9,\), expected \(3,\)"):
        processor([EMOTION], [replace(whole, audio=torch.zeros(9))])


def test_unequal_lengths_are_an_error(processor: EmotionLlamaProcessor, whole: Features) -> None:
    with pytest.raises(ValueError, match="'samples': 1, 'features': 2"):
        processor([EMOTION], [whole, whole])


def test_unknown_mode_is_an_error(processor: EmotionLlamaProcessor) -> None:
    with pytest.raises(ValueError, match="'demo', expected one of trained, published-eval"):
        EmotionLlamaProcessor(processor.tokenizer, processor.config, "demo")  # type: ignore[arg-type]


def test_save_and_load(processor: EmotionLlamaProcessor, whole: Features, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded, EmotionLlamaProcessor)
    expected = processor([EMOTION], [whole])["input_ids"]
    assert torch.equal(loaded([EMOTION], [whole])["input_ids"], expected)
