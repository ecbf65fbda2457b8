"""Training examples: what a reason mentions is there, and the right label is on offer."""

import random

import pytest
import torch

from emotion_llama.labels import MINI
from emotion_llama.records import Features

pytest.importorskip("soundfile", reason="the training scripts need the train extra")
examples = pytest.importorskip("mini_examples")
items = pytest.importorskip("mini_items")
measures = pytest.importorskip("mini_measures")
sentences = pytest.importorskip("mini_sentences")


def face(label: str) -> "items.Item":
    features = Features(
        patches=torch.randn(16, 8),
        class_token=torch.randn(8),
        local=torch.randn(6),
        temporal=torch.randn(4),
    )
    return items.Item("ferplus", label, features, sentences.FaceEvidence(label, 0.7))


def voice(label: str) -> "items.Item":
    features = Features(audio=torch.randn(5))
    return items.Item("ravdess", label, features, sentences.VoiceEvidence(("loud",)))


def words(label: str) -> "items.Item":
    return items.Item("meld", label, Features(), sentences.WordsEvidence(label), f"It is {label}.")


@pytest.fixture
def pool() -> "examples.ExamplePool":
    spoken = [label for label in MINI.labels if label != "contempt"]
    by_kind = {
        "face": [face(label) for label in MINI.labels for _ in range(30)],
        "voice": [voice(label) for label in spoken for _ in range(30)],
        "words": [words(label) for label in spoken for _ in range(3)],
    }
    return examples.ExamplePool(by_kind, [], noise=1.0)


def test_a_reason_mentions_the_modalities_that_the_row_has(pool: "examples.ExamplePool") -> None:
    rng = random.Random(0)
    for _ in range(200):
        example = pool.draw("reason", rng)
        given = {
            "face": any(m in example.features.present for m in ("global", "local", "temporal")),
            "voice": "audio" in example.features.present,
            "words": example.sample.transcript is not None,
        }
        for kind, pattern in measures.MENTIONS.items():
            assert bool(pattern.search(example.answer)) == given[kind], example


def test_the_answer_is_always_offered(pool: "examples.ExamplePool") -> None:
    rng = random.Random(1)
    for _ in range(200):
        example = pool.draw("emotion", rng)
        assert example.answer in (example.sample.labels or MINI.labels)


def test_the_same_seed_gives_the_same_example(pool: "examples.ExamplePool") -> None:
    one, two = (pool.draw("emotion", random.Random(5)) for _ in range(2))
    assert one.answer == two.answer
    assert one.sample == two.sample
    assert one.features.present == two.features.present


def test_temperature_is_the_one_that_made_the_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20000, 4, generator=generator)
    truth = torch.multinomial((scores / 0.5).softmax(dim=1), 1, generator=generator)[:, 0]
    # 20,000 draws: the fitted value scatters by about 0.01
    assert measures.fit_temperature([scores], [truth.numpy()]) == pytest.approx(0.5, abs=0.03)
