"""What is seen and what is heard, asked apart: which questions, the product rule, one answer."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.late_fusion import ask_apart
from emotion_llama.model.scoring import (
    label_probabilities,
    model_inputs,
    score_labels,
    write_answers,
)
from emotion_llama.prompt import Instruction
from emotion_llama.records import Features, Sample

LABELS = ("happy", "sad", "angry")
CHANGED = ("late_fusion", "label_temperature", "evidence_temperatures")
"""Settings that tests change, of a model that they share."""
ASKED = Sample("emotion", "Hello", labels=LABELS)


@pytest.fixture
def late_model(tiny_model: EmotionLlama) -> Iterator[EmotionLlama]:
    config = tiny_model.config
    known = {name: getattr(config, name) for name in CHANGED}
    config.late_fusion = True
    yield tiny_model
    config.update(known)


def test_what_is_seen_is_asked_without_words_and_what_is_heard_with_them(whole: Features) -> None:
    apart = ask_apart([Sample("emotion"), ASKED], [whole.heard, whole], late_fusion=True)
    assert apart.question == (0, 1, 1)
    assert apart.view == (None, "seen", "heard")
    assert apart.first_rows == [0, 1]
    assert [one.present for one in apart.features] == [
        ("audio",),
        ("global", "local", "temporal"),
        ("audio",),
    ]
    assert apart.samples == (Sample("emotion"), replace(ASKED, transcript=None), ASKED)
    assert apart.spread(["a", "b"]) == ["a", "b", "b"]


@pytest.mark.parametrize("task", ["reason", "reason_v2"])
def test_other_questions_stay_one(whole: Features, task: Any) -> None:
    scene = replace(whole, local=None, temporal=None)
    samples: list[Sample | Instruction] = [
        Sample(task, "Hello"),
        Instruction("Hello"),
        ASKED,
        ASKED,
        ASKED,
    ]
    features = [whole, Features(), whole.seen, scene, Features()]
    apart = ask_apart(samples, features, late_fusion=True)
    assert list(apart.samples) == samples
    assert list(apart.features) == features
    assert not apart.is_any_apart
    assert not ask_apart([ASKED], [whole], late_fusion=False).is_any_apart


def test_no_question_stays_none() -> None:
    assert ask_apart([], [], late_fusion=True).question == ()


def test_probabilities_of_views_multiply(
    late_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    def chances(*asked: tuple[Sample, Features]) -> torch.Tensor:
        samples, features = zip(*asked, strict=True)
        return label_probabilities(late_model, processor, samples, features, LABELS)

    seen, heard = (replace(ASKED, transcript=None), whole.seen), (ASKED, whole.heard)
    product = chances(seen)[0] * chances(heard)[0]
    found = chances(heard, (ASKED, whole), seen)
    torch.testing.assert_close(found[1], product / product.sum(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[0], chances(heard)[0], rtol=1e-4, atol=1e-6)
    late_model.config.late_fusion = False
    assert not torch.allclose(chances((ASKED, whole))[0], found[1])


def test_what_each_view_would_say_alone_has_its_own_temperature(
    late_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    config = late_model.config
    config.label_temperature, config.evidence_temperatures = 4.0, {"face": 0.5}
    seen = (replace(ASKED, transcript=None), whole.seen)
    questions = [(ASKED, whole), seen, (ASKED, whole.heard)]
    samples, features = zip(*questions, strict=True)
    found = score_labels(late_model, processor, samples, features, LABELS)
    assert [set(views) for views in found.alone] == [{"seen", "heard"}, set(), set()]
    torch.testing.assert_close(found.alone[0]["seen"], found.probabilities[1])
    torch.testing.assert_close(found.alone[0]["heard"], found.probabilities[2])


def test_a_clip_with_two_views_has_the_temperature_of_the_whole(
    late_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    config = late_model.config
    sharp = label_probabilities(late_model, processor, [ASKED], [whole], LABELS)
    config.label_temperature, config.evidence_temperatures = 4.0, {"face": 0.1, "voice": 0.1}
    flat = label_probabilities(late_model, processor, [ASKED], [whole], LABELS)
    torch.testing.assert_close((sharp.log() / 4).softmax(-1), flat, rtol=1e-4, atol=1e-6)


def test_the_written_answer_takes_the_token_that_both_views_find_likely(
    late_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    tokens = [token for token in range(5, 600) if processor.decode(torch.tensor([token])).strip()]
    words = [processor.decode(torch.tensor([token])) for token in tokens]

    def first(model: EmotionLlama, features: Features, text: str | None) -> torch.Tensor:
        """Log-likelihood of each word as a first token."""
        inputs = model_inputs(model, processor, [Sample("emotion", text)], [features])
        return model.score_answers([[token] for token in tokens], **inputs)[0]

    both = first(late_model, whole.seen, None) + first(late_model, whole.heard, "Hello")
    samples = [Sample("emotion", "Hello"), Sample("emotion", "Hello")]
    written = write_answers(
        late_model, processor, samples, [whole, whole.seen], max_new_tokens=1, min_new_tokens=1
    )
    alone = first(late_model, whole.seen, "Hello")
    assert written == [words[int(both.argmax())], words[int(alone.argmax())]]


def test_a_watcher_hears_of_each_answer_once(
    late_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    heard: list[int] = []

    def watch(number: int, _text: str) -> bool:
        heard.append(number)
        return number == 1

    samples = [Sample("emotion"), Sample("emotion")]
    features = [whole, whole.heard]
    settings: dict[str, Any] = {"max_new_tokens": 4, "min_new_tokens": 4}
    texts = write_answers(late_model, processor, samples, features, watch=watch, **settings)
    assert len(texts) == 2
    assert heard[:2] == [0, 1]
    assert set(heard) == {0, 1}
    whole_texts = write_answers(late_model, processor, samples, features, **settings)
    assert texts[1] == whole_texts[1]
    assert whole_texts[0].startswith(texts[0])
