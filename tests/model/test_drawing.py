"""Continuations drawn at random: alone and together, shared beginnings, noise, ends."""

from typing import Any

import pytest
import torch
from transformers import TopKLogitsWarper

from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.drawing import PLAUSIBLE, DrawRules, _grown, _noise, draw
from emotion_llama.records import Features, Sample

SAMPLES = [Sample("reason", "Hello, we have won the game!"), Sample("reason")]


def rules(processor: EmotionLlamaProcessor, **changes: Any) -> DrawRules:
    settings: dict[str, Any] = {"count": 6, "temperature": 0.9, "max_new_tokens": 7, "top_k": 20}
    return DrawRules(
        **{
            **settings,
            "eos_token_id": processor.tokenizer.eos_token_id,
            "pad_token_id": processor.placeholder_id,
            **changes,
        }
    )


def seeds(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in numbers]


def test_where_one_token_is_drawn_continuations_are_the_greedy_answer(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    inputs = processor(SAMPLES, [whole, whole])
    greedy = tiny_model.generate(**inputs, max_new_tokens=7)
    drawn = draw(tiny_model, seeds(0, 1), rules(processor, top_k=1), **inputs)
    for row, expected in enumerate(greedy.tolist()):
        assert drawn[row].tolist() == [expected[: drawn.shape[-1]]] * 6


def test_prompts_drawn_together_and_alone_get_the_same(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    how = rules(processor)
    together = draw(tiny_model, seeds(3, 4), how, **processor(SAMPLES, [whole, whole]))
    for row, sample in enumerate(SAMPLES):
        alone = draw(tiny_model, seeds(3 + row), how, **processor([sample], [whole]))[0]
        assert together[row, :, : alone.shape[-1]].tolist() == alone.tolist()
    assert together[0].tolist() != together[1].tolist()


def test_draws_are_those_of_a_plain_loop_without_cache(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    how = rules(processor, max_new_tokens=5, count=4)
    inputs = processor(SAMPLES[:1], [whole])
    drawn = draw(tiny_model, seeds(7), how, **inputs, ruled_out=[[5, 9]])[0]
    generator = seeds(7)[0]
    rows: list[list[int]] = [[] for _ in range(4)]
    over = [False] * 4
    warper: Any = TopKLogitsWarper(how.top_k)
    while not all(over) and len(rows[0]) < 5:
        shares = []
        for row in rows:
            asked = processor(SAMPLES[:1], [whole], beginnings=[row])
            scores = tiny_model(**asked).logits[:, -1]
            scores[:, [5, 9]] = -torch.inf
            shares.append(warper(None, scores / how.temperature).softmax(-1))
        together = torch.cat(shares)
        noise = -torch.rand(together.shape, generator=generator).log()
        tokens = (together / noise).argmax(-1).tolist()
        for number, token in enumerate(tokens):
            rows[number].append(how.pad_token_id if over[number] else token)
            over[number] |= token == how.eos_token_id
    assert drawn.tolist() == rows


def test_the_largest_share_over_noise_is_a_draw_from_the_shares() -> None:
    shares = torch.tensor([0.6, 0.3, 0.1, 0.0])
    like = shares.expand(1, 20_000, 4)
    noise = _noise(seeds(0), torch.ones(1, 20_000, dtype=torch.bool), like)
    counts = (like / noise).argmax(-1).flatten().bincount(minlength=4)
    assert (counts / 20_000).tolist() == pytest.approx(shares.tolist(), abs=0.012)
    assert counts[3] == 0


def test_a_prompt_leans_away_from_its_other(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    """Greedy draws are those of a plain loop over both; the loop has no cache."""
    strength, rows = 2.0, []
    for _ in range(4):
        both = processor(SAMPLES, [whole, whole], beginnings=[rows, rows])
        own, other = tiny_model(**both).logits[:, -1].log_softmax(-1)
        is_plausible = own >= own.max() + torch.log(torch.tensor(PLAUSIBLE))
        scores = ((1 + strength) * own - strength * other).where(is_plausible, -torch.inf)
        rows.append(int(scores.argmax()))
    drawn = draw(
        tiny_model,
        seeds(0),
        rules(processor, top_k=1, max_new_tokens=4),
        **processor(SAMPLES, [whole, whole]),
        contrast=torch.tensor([strength]),
    )
    assert drawn.tolist() == [[rows] * 6]


def test_a_prompt_beside_one_that_leans_gets_what_it_gets_alone(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    how = rules(processor)
    four = processor([*SAMPLES, SAMPLES[1], SAMPLES[1]], [whole] * 4)
    beside = draw(tiny_model, seeds(3, 4), how, **four, contrast=torch.tensor([2.0, 0.0]))
    alone = draw(tiny_model, seeds(3, 4), how, **processor(SAMPLES, [whole, whole]))
    assert beside[1, :, : alone.shape[-1]].tolist() == alone[1, :, : beside.shape[-1]].tolist()
    assert beside[0].tolist() != alone[0].tolist()


def test_what_is_over_is_drawn_no_further(
    tiny_model: EmotionLlama, processor: EmotionLlamaProcessor, whole: Features
) -> None:
    asked: list[int] = []

    def is_over(prompt: int, tokens: Any) -> bool:
        asked.append(prompt)
        return len(tokens) == (2 if prompt == 0 else 4)

    how = rules(processor)
    drawn = draw(
        tiny_model, seeds(0, 1), how, **processor(SAMPLES, [whole, whole]), is_over=is_over
    )
    assert drawn.shape == (2, 6, 4)
    assert (drawn[0, :, 2:] == how.pad_token_id).all()
    assert set(asked) == {0, 1}


@pytest.mark.parametrize("share", [True, False])
def test_continuations_that_agree_share_a_node(share: bool) -> None:
    node = torch.tensor([[0, 0, 1], [0, 0, 0]])
    tokens = torch.tensor([[5, 5, 5], [8, 8 if share else 9, 7]])
    live = torch.tensor([[True, True, True], [True, True, False]])
    parents, ids, new = _grown(node, tokens, live)
    assert new[0].tolist() == [0, 0, 1]
    assert parents[0].tolist() == [0, 1]
    assert ids[0].tolist() == [5, 5]
    assert new[1].tolist() == ([0, 0, 0] if share else [0, 1, 0])
    assert ids[1].tolist() == ([8, 8] if share else [8, 9])
