"""Draws: decided by seed and number alone, every example once before any twice; and batches."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, LlamaConfig

from emotion_llama.data import Collator, Draw, DrawSource, Example, ExampleDraws
from emotion_llama.data.dataset import LEFT_OUT
from emotion_llama.model import EmotionLlamaConfig, EmotionLlamaProcessor
from emotion_llama.prompt import REASON_QUESTIONS, Instruction
from emotion_llama.records import Features, Sample

TOKENIZER = Path(__file__).parents[1] / "parity" / "golden" / "llama"
WHOLE = Features(
    patches=torch.ones(8, 6),
    class_token=torch.ones(6),
    local=torch.ones(5),
    temporal=torch.ones(4),
    audio=torch.ones(3),
)


class Same:
    """The same features for every clip."""

    def __init__(self, features: Features = WHOLE) -> None:
        self.same = features

    def features(self, clip_id: str) -> Features:
        return self.same


def make_source(name: str, count: int, weight: float = 1.0, **changes: Any) -> DrawSource:
    example = Example("", "emotion", "happy", "happy", "We won!", None, name, None)
    examples = [replace(example, clip_id=f"{name}{i}", **changes) for i in range(count)]
    return DrawSource(examples, Same(), weight)


def names(draws: ExampleDraws, numbers: Sequence[int] | None = None) -> list[str]:
    return [draws.example(i).clip_id for i in (range(len(draws)) if numbers is None else numbers)]


def test_every_example_comes_once_before_any_comes_twice() -> None:
    drawn = names(ExampleDraws([make_source("a", 7)], 21))
    passes = [drawn[start : start + 7] for start in (0, 7, 14)]
    assert all(len(set(one)) == 7 for one in passes)
    assert len({tuple(one) for one in passes}) == 3, "each pass has an order of its own"


def test_each_source_keeps_its_own_passes() -> None:
    draws = ExampleDraws([make_source("a", 5), make_source("b", 3, 2.0)], 300, seed=1)
    drawn = names(draws)
    for name, count in (("a", 5), ("b", 3)):
        own = [clip for clip in drawn if clip.startswith(name)]
        whole = len(own) // count
        assert len(own) % count < count
        assert set(Counter(own[: whole * count]).values()) == {whole}


def test_sources_are_drawn_by_weight() -> None:
    draws = ExampleDraws([make_source("a", 5, 1.0), make_source("b", 3, 3.0)], 4000)
    share = draws.num_draws[0] / 4000
    assert abs(share - 0.25) < 0.021, "three standard deviations"
    assert sum(draws.num_draws) == len(draws) == 4000


def test_a_draw_depends_on_seed_and_number_alone() -> None:
    sources = [make_source("a", 5, task="reason"), make_source("b", 9, 2.0)]
    settings: dict[str, Any] = {"seed": 3, "modality_dropout": 0.5}
    forwards = ExampleDraws(sources, 60, **settings)
    longer = ExampleDraws(sources, 90, **settings)
    expected = [(forwards[i].sample, forwards[i].features.present) for i in range(60)]
    for i in reversed(range(60)):
        assert (longer[i].sample, longer[i].features.present) == expected[i]
    other = ExampleDraws(sources, 60, seed=4, modality_dropout=0.5)
    assert [(other[i].sample, other[i].features.present) for i in range(60)] != expected


def test_the_draws_are_the_recorded_ones() -> None:
    draws = ExampleDraws([make_source("a", 3), make_source("b", 4, 2.0)], 10, seed=42)
    recorded = ["a1", "b0", "b2", "a0", "b1", "b3", "b0", "b2", "b3", "b1"]
    assert names(draws) == recorded, "a change here gives every run another order of its data"


def test_worker_processes_give_the_same() -> None:
    draws = ExampleDraws([make_source("a", 5, task="reason")], 8, modality_dropout=0.3)
    loader = DataLoader(draws, batch_size=2, num_workers=2, collate_fn=list)
    loaded = [draw.sample for batch in loader for draw in batch]
    assert loaded == [draws[i].sample for i in range(8)]


def test_reasons_are_asked_for_in_all_published_ways() -> None:
    draws = ExampleDraws([make_source("a", 2, task="reason", answer="She smiles.")], 60)
    asked = {draws[i].sample.question for i in range(60)}
    assert asked == set(REASON_QUESTIONS)


def test_emotion_is_asked_for_with_the_labels_of_its_source() -> None:
    sample = ExampleDraws([make_source("a", 1, offered=("happy", "sad"))], 1)[0].sample
    assert (sample.question, sample.labels, sample.name) == (None, ("happy", "sad"), "a0")


def test_without_dropout_all_is_there() -> None:
    draw = ExampleDraws([make_source("a", 1)], 1)[0]
    assert draw.features is WHOLE
    assert draw.sample.transcript == "We won!"


def test_dropout_leaves_every_modality_out_as_often_as_stated() -> None:
    draws = ExampleDraws([make_source("a", 4)], 600, modality_dropout=0.3)
    left: Counter[str] = Counter()
    for i in range(600):
        draw = draws[i]
        left.update(draw.features.missing.keys())
        left["text"] += draw.sample.transcript is None
        assert (draw.features.patches is None) == (draw.features.class_token is None)
        assert set(draw.features.missing.values()) <= {LEFT_OUT}
    assert set(left) == {"global", "local", "temporal", "audio", "text"}
    assert all(abs(count / 600 - 0.3) < 0.057 for count in left.values()), left


def test_what_is_asked_apart_is_learned_apart() -> None:
    draws = ExampleDraws([make_source("a", 4)], 400, late_fusion=True)
    seen = [draws[i] for i in range(400) if draws[i].features.audio is None]
    heard = [draws[i] for i in range(400) if draws[i].features.local is None]
    assert len(seen) + len(heard) == 400
    assert abs(len(seen) - 200) < 50
    assert all(getattr(one.sample, "transcript", "") is None for one in seen)
    assert {getattr(one.sample, "transcript", "") for one in heard} == {"We won!"}
    assert {one.features.present for one in heard} == {("audio",)}
    reasons = make_source("a", 4, task="reason", answer="She smiles.")
    whole = ExampleDraws([reasons], 8, late_fusion=True)
    assert all(whole[i].features == WHOLE for i in range(8))


@pytest.mark.parametrize("transcript", ["We won!", None])
def test_something_always_stays(transcript: str | None) -> None:
    draws = ExampleDraws([make_source("a", 4, transcript=transcript)], 200, modality_dropout=0.95)
    kept = Counter(
        (*draws[i].features.present, *(["text"] if draws[i].sample.transcript else []))
        for i in range(200)
    )
    assert () not in kept
    alone = {what[0] for what in kept if len(what) == 1}
    assert alone == {"global", "local", "temporal", "audio"} | ({"text"} if transcript else set())


def test_a_clip_with_nothing_is_named() -> None:
    source = make_source("a", 1, transcript=None)
    nothing = replace(source, features=Same(Features(missing={"audio": "no sound"})))
    with pytest.raises(ValueError, match=r"'a0' of a has neither .* \(audio: no sound\); leave"):
        ExampleDraws([nothing], 1)[0]


@pytest.mark.parametrize(
    ("sources", "dropout", "message"),
    [
        ([], 0.0, "found no source to draw from"),
        ([make_source("a", 0)], 0.0, "source 0 has 0 examples and the weight 1.0"),
        ([make_source("a", 1, -1.0)], 0.0, "the weight -1.0; expected"),
        ([make_source("a", 1)], 1.0, "modality_dropout is 1.0, expected at least 0 and below 1"),
    ],
)
def test_unusable_settings(sources: list[DrawSource], dropout: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExampleDraws(sources, 3, modality_dropout=dropout)


def test_the_end_of_the_draws() -> None:
    draws = ExampleDraws([make_source("a", 1)], 3)
    with pytest.raises(IndexError, match="draw 3 is not among the 3"):
        draws[3]


@pytest.fixture(scope="module")
def processor() -> EmotionLlamaProcessor:
    text = LlamaConfig(vocab_size=640, hidden_size=32, num_hidden_layers=1)
    config = EmotionLlamaConfig(
        text_config=text, patch_dim=6, num_patches=8, local_dim=5, temporal_dim=4, audio_dim=3
    )
    return EmotionLlamaProcessor(AutoTokenizer.from_pretrained(TOKENIZER), config)


def test_answers_are_learned_in_the_published_form(processor: EmotionLlamaProcessor) -> None:
    source = make_source("a", 2, task="reason", answer="She smiles: (AU12). Happy!")
    draws = ExampleDraws([source], 2, modality_dropout=0.5)
    batch = Collator(processor)([draws[0], draws[1]])
    labels = batch["labels"][0]
    learned = processor.decode(labels[labels >= 0])
    assert learned == "she smiles au12 happy"
    assert set(batch) >= {"input_ids", "attention_mask", "token_kinds", "feature_mask", "labels"}
    assert all(isinstance(value, torch.Tensor) for value in batch.values())


def test_stored_types_may_differ_in_a_batch(processor: EmotionLlamaProcessor) -> None:
    sample = Sample("emotion", transcript="We won!")
    half = replace(WHOLE, audio=torch.ones(3, dtype=torch.float16))
    batch = Collator(processor)([Draw(sample, half, "sad"), Draw(sample, WHOLE, "sad")])
    assert batch["audio"].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_a_clip_that_does_not_fit_is_named(processor: EmotionLlamaProcessor) -> None:
    draws = [
        Draw(Sample("emotion", name="good.mp4"), WHOLE, "sad"),
        Draw(Sample("emotion", name="bad.mp4"), replace(WHOLE, audio=torch.ones(9)), "sad"),
    ]
    with pytest.raises(ValueError, match=r"clip 'bad.mp4': feature 'audio' has shape \(9,\)"):
        Collator(processor)(draws)


def test_a_caption_keeps_all_that_it_speaks_of() -> None:
    draws = ExampleDraws([make_source("a", 2, task="reason", answer="She smiles.")], 60)
    dropping = ExampleDraws(draws.sources, 60, modality_dropout=0.9)
    assert all(
        dropping[index].features.present == draws[index].features.present for index in range(60)
    )


PLAIN: dict[str, Any] = {
    "task": "instruction",
    "instruction": "Name a colour.",
    "answer": "Blue: the sky.",
    "label": None,
    "transcript": None,
}


def test_instructions_are_drawn_by_weight_and_keep_nothing_of_clips() -> None:
    sources = [make_source("clips", 40, 9.0), make_source("plain", 30, 1.0, **PLAIN)]
    draws = ExampleDraws(sources, 4000, modality_dropout=0.5)
    assert abs(draws.num_draws[1] / 4000 - 0.1) < 0.015, "three standard deviations"
    plain = [i for i in range(400) if draws.example(i).task == "instruction"]
    assert {draws[i].sample.name for i in plain} <= {f"plain{n}" for n in range(30)}
    assert all(draws[i].features.present == () for i in plain)


@pytest.mark.parametrize("missing", ["omit", "zeros"])
def test_only_the_answer_to_an_instruction_carries_loss(
    processor: EmotionLlamaProcessor, missing: str
) -> None:
    changed = EmotionLlamaConfig(**{**processor.config.to_dict(), "missing_modality": missing})
    own = EmotionLlamaProcessor(processor.tokenizer, changed)
    draws = ExampleDraws([make_source("clips", 1), make_source("plain", 1, **PLAIN)], 20)
    chosen = {draws.example(i).task: draws[i] for i in range(20)}
    batch = Collator(own)([chosen["instruction"], chosen["emotion"]])
    row, labels = batch["input_ids"][0], batch["labels"][0]
    prompt = [own.tokenizer.bos_token_id, *own.text_ids("[INST] Name a colour. [/INST]")]
    answer = own.text_ids("Blue: the sky.</s>")
    length = len(prompt) + len(answer)
    assert row[:length].tolist() == prompt + answer
    assert labels[:length].tolist() == [-100] * len(prompt) + answer
    assert set(labels[length:].tolist()) <= {-100}
    assert not batch["feature_mask"][0].any() and batch["feature_mask"][1].all()
    assert isinstance(chosen["instruction"].sample, Instruction)


VOTES = {"happy": 0.7, "sad": 0.2, "fear": 0.1}


def test_each_draw_has_the_label_of_one_vote() -> None:
    draws = ExampleDraws([make_source("a", 3, votes=VOTES), make_source("b", 1)], 6000)
    found: dict[str, Counter[str]] = {}
    for i in range(6000):
        found.setdefault(draws.example(i).clip_id, Counter())[draws[i].answer] += 1
    assert set(found.pop("b0")) == {"happy"}
    for counts in found.values():
        total = sum(counts.values())
        for label, share in VOTES.items():
            assert abs(counts[label] / total - share) < 0.046, "three standard deviations"


def test_the_mean_loss_is_the_cross_entropy_against_the_votes() -> None:
    draws = ExampleDraws([make_source("a", 4, votes=VOTES)], 8000)
    scores = {"happy": 0.5, "sad": 0.3, "fear": 0.2}
    mean = sum(-math.log(scores[draws[i].answer]) for i in range(8000)) / 8000
    expected = sum(-share * math.log(scores[label]) for label, share in VOTES.items())
    assert mean == pytest.approx(expected, abs=0.012), "three standard deviations"


def test_votes_are_drawn_by_seed_and_number_alone() -> None:
    source = make_source("a", 4, votes=VOTES)
    whole = [ExampleDraws([source], 60, seed=3)[i].answer for i in range(60)]
    resumed = ExampleDraws([source], 60, seed=3, modality_dropout=0.3)
    assert [resumed[i].answer for i in range(30, 60)] == whole[30:]
    other = ExampleDraws([source], 60, seed=4)
    assert [other[i].answer for i in range(60)] != whole
