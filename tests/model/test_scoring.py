"""What an answer rests on, its temperature, and words that an answer may not hold."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.scoring import (
    Begun,
    _RuledOut,
    continue_answers,
    evidence_of,
    label_probabilities,
    write_answers,
)
from emotion_llama.prompt import Instruction
from emotion_llama.records import Features, Sample

FACE, VOICE = torch.ones(2), torch.ones(3)


@pytest.mark.parametrize(
    ("sample", "features", "expected"),
    [
        (Sample("emotion"), Features(local=FACE), "face"),
        (Sample("emotion"), Features(temporal=FACE), "face+motion"),
        (Sample("emotion"), Features(local=FACE, temporal=FACE), "face+motion"),
        (Sample("emotion"), Features(audio=VOICE), "voice"),
        (Sample("emotion", "Hello"), Features(), "words"),
        (Sample("emotion", "Hello"), Features(local=FACE, audio=VOICE), "face+voice+words"),
        (Sample("emotion"), Features(patches=FACE[None], class_token=FACE), ""),
        (Instruction("Hello"), Features(), ""),
    ],
)
def test_what_an_answer_rests_on(sample: Any, features: Features, expected: str) -> None:
    assert evidence_of(sample, features) == expected


class Fake:
    """Scores every label by its place."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(
            label_temperature=2.0,
            evidence_temperatures={"voice": 0.5, "words": 1.0},
            late_fusion=False,
        )

    def get_input_embeddings(self) -> Any:
        return SimpleNamespace(weight=torch.zeros(1))

    def score_answers(self, answers: list[list[int]], **inputs: Any) -> torch.Tensor:
        return torch.tensor([[0.0, 1.0]]).expand(3, 2)


class FakeProcessor:
    """Words are one token each, but for long ones."""

    tokenizer = staticmethod(
        lambda word, add_special_tokens: {"input_ids": [len(word)] * (1 + (len(word) > 5))}
    )

    def text_ids(self, word: str) -> list[int]:
        return [len(word)] * (1 + (len(word) > 5))

    def __call__(self, *arguments: Any, **_: Any) -> dict[str, torch.Tensor]:
        return {}

    def encode_answer(self, answer: str) -> list[int]:
        return [1]


def test_each_row_has_the_temperature_of_what_it_rests_on() -> None:
    model, processor = Fake(), FakeProcessor()
    samples = [Sample("emotion"), Sample("emotion", "Hello"), Sample("emotion", "Hello")]
    features = [Features(audio=VOICE), Features(), Features(audio=VOICE)]
    rows = label_probabilities(model, processor, samples, features, ["a", "b"])  # type: ignore[arg-type]
    expected = torch.sigmoid(torch.tensor([1 / 0.5, 1 / 1.0, 1 / 2.0]))
    torch.testing.assert_close(rows[:, 1], expected)


def test_ruled_out_words_have_no_chance_in_their_row_alone() -> None:
    processor: Any = FakeProcessor()
    rule = _RuledOut(processor, [["sad", "surprise"], []])
    scores = rule(torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 10))  # type: ignore[arg-type]
    assert scores[0].tolist() == [0, 0, 0, -torch.inf, 0, 0, 0, 0, 0, 0]
    assert scores[1].tolist() == [0.0] * 10


def test_an_answer_goes_on_until_it_is_over(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    asked: list[str] = []

    def is_over(text: str) -> bool:
        asked.append(text)
        return len(text) > 8

    begun = [
        Begun(Sample("reason", text), whole, "The face", (), torch.Generator().manual_seed(seed))
        for seed, text in enumerate(("Hello", None))
    ]
    found = continue_answers(
        tiny_model, processor, begun, is_over=is_over, count=3, max_new_tokens=40
    )
    assert [len(rows) for rows in found] == [3, 3]
    for text, ended in (one for rows in found for one in rows):
        assert len(text) > 8 or ended
        assert any(text.startswith(beginning) for beginning in asked)
        assert len(text) < 60, "it stops long before 40 tokens"


def test_who_is_not_waited_for_is_written_no_further(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    shown: dict[int, list[str]] = {0: [], 1: []}

    def watch(row: int, text: str) -> bool:
        shown[row].append(text)
        return row == 1 or len(shown[row]) < 3

    samples = [Sample("reason", "Hello"), Sample("reason")]
    settings: dict[str, Any] = {"max_new_tokens": 12, "min_new_tokens": 12}
    texts = write_answers(tiny_model, processor, samples, [whole, whole], watch=watch, **settings)
    whole_texts = write_answers(tiny_model, processor, samples, [whole, whole], **settings)
    assert texts[1] == whole_texts[1] == shown[1][-1]
    assert texts[0] != whole_texts[0]
    assert whole_texts[0].startswith(texts[0])
