"""The decision rule: which offered label a model finds most probable, and what it writes.

Knows: how probabilities come from the model's scores. Does not know: files, clips, training. Both
inference and validation during training ask here, so that they cannot decide differently.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

from emotion_llama.model.drawing import DrawRules, draw
from emotion_llama.model.emotion_llama import EmotionLlama
from emotion_llama.model.late_fusion import Apart, OneAnswer, ask_apart
from emotion_llama.model.processor import EmotionLlamaProcessor, Prompted
from emotion_llama.records import Features, Sample, View

_BREADTH = 0.9
"""Temperature of continuations: they have to differ; at 1.2 the small preset writes nonsense."""
_CONTRAST = 2.0
"""How far an answer leans away from what it would be of a barer clip: with 4 the same is stated."""

Watch = Callable[[int, str], bool]
"""Told the number of a row and its text so far; gives whether anybody still waits for it."""

LABEL_TOKENS = 16
"""Longest written answer to the emotion task; a label and the end of sequence fit well."""


@dataclass(frozen=True)
class LabelScores:
    """How probable each label is as the answer to each question, on the CPU."""

    probabilities: torch.Tensor
    """[b x a]"""
    alone: Sequence[Mapping[View, torch.Tensor]]
    """of each question that was asked apart, what its views would say by themselves, [a] each"""


def label_probabilities(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    samples: Sequence[Prompted],
    features: Sequence[Features],
    labels: Sequence[str],
) -> torch.Tensor:
    """Give the probabilities of `score_labels` alone, [b x a]."""
    return score_labels(model, processor, samples, features, labels).probabilities


def score_labels(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    samples: Sequence[Prompted],
    features: Sequence[Features],
    labels: Sequence[str],
) -> LabelScores:
    """Say how probable each label is as the answer to each sample.

    Softmax over the length-normalised log-likelihoods divided by the checkpoint's temperature for
    what the answer rests on. With late fusion those of what is seen and of what is heard are added.

    Args:
        model: in evaluation mode
        processor: prompts and token layout
        samples: questions of the emotion task, which say what they offer, b of them
        features: encoder outputs, one of each sample
        labels: answers that are compared, a of them

    Raises:
        ValueError: a feature has a wrong shape, or a prompt is too long
    """
    ids = [processor.encode_answer(label) for label in labels]
    apart = ask_apart(samples, features, late_fusion=model.config.late_fusion)
    inputs = model_inputs(model, processor, apart.samples, apart.features)
    scores = model.score_answers(ids, **inputs)
    temperatures = _temperatures(model, samples, features).to(scores)
    own = scores / _temperatures(model, apart.samples, apart.features).to(scores)
    alone: list[dict[View, torch.Tensor]] = [{} for _ in samples]
    for number, view, row in zip(apart.question, apart.view, own.softmax(-1).cpu(), strict=True):
        if view is not None:
            alone[number][view] = row
    probabilities = (apart.summed(scores) / temperatures).softmax(-1)
    return LabelScores(probabilities.cpu(), alone)


def _temperatures(
    model: EmotionLlama, samples: Sequence[Prompted], features: Sequence[Features]
) -> torch.Tensor:
    """Give the temperature of what each answer rests on, [b x 1]."""
    usual, own = model.config.label_temperature, model.config.evidence_temperatures
    rests = (evidence_of(s, f) for s, f in zip(samples, features, strict=True))
    return torch.tensor([[own.get(name, usual)] for name in rests])


def evidence_of(sample: Prompted, features: Features) -> str:
    """Say what an answer rests on: ``face``, ``voice``, ``words``, or several joined by ``+``.

    A face that moves is ``face+motion``: how sure to be of it cannot be learned from stills.
    """
    there = {
        "face": features.has_face,
        "motion": features.temporal is not None,
        "voice": features.audio is not None,
        "words": isinstance(sample, Sample) and bool(sample.transcript),
    }
    return "+".join(name for name, is_there in there.items() if is_there)


def write_answers(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    samples: Sequence[Prompted],
    features: Sequence[Features],
    *,
    ruled_out: Sequence[Sequence[str]] = (),
    beginnings: Sequence[Sequence[int]] | None = None,
    watch: Watch | None = None,
    **settings: Any,
) -> list[str]:
    """Let the model write, greedily; an emotion by the same late fusion as its probabilities.

    Args:
        model: in evaluation mode
        processor: prompts and token layout
        samples: questions
        features: encoder outputs, one of each sample
        ruled_out: words that each answer may not hold; only those that are one token can be kept
            out
        beginnings: token ids behind each prompt that it goes on from
        watch: told what has been written so far; a row for which nobody waits is left as it is
        **settings: arguments of ``GenerationMixin.generate``

    Raises:
        ValueError: a feature has a wrong shape, or a prompt is too long
    """
    apart = ask_apart(samples, features, late_fusion=model.config.late_fusion)
    rules: list[LogitsProcessor] = [OneAnswer(apart)] if apart.is_any_apart else []
    if any(ruled_out):
        rules.append(_RuledOut(processor, apart.spread(ruled_out)))
    if watch is not None:
        settings["stopping_criteria"] = [_Watched(processor, watch, apart)]
    beginnings = None if beginnings is None else apart.spread(beginnings)
    generated = model.generate(
        **model_inputs(model, processor, apart.samples, apart.features, beginnings=beginnings),
        eos_token_id=processor.tokenizer.eos_token_id,
        pad_token_id=processor.placeholder_id,
        logits_processor=rules,
        **settings,
    )
    return [processor.decode(row) for row in generated[apart.first_rows]]


@dataclass(frozen=True)
class Begun:
    """An answer that has begun, and is to go on."""

    sample: Prompted
    features: Features
    beginning: str
    """of the answer"""
    ruled_out: Sequence[str]
    """words that it may not hold; only those that are one token can be kept out"""
    generator: torch.Generator
    """random numbers that are its alone"""
    bare: Features | None = None
    """the same without what is to be brought out: the answer leans away from what this would say"""


def continue_answers(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    begun: Sequence[Begun],
    *,
    is_over: Callable[[str], bool],
    count: int,
    max_new_tokens: int,
) -> list[list[tuple[str, bool]]]:
    """Let the model go on with each answer several times, drawn at random.

    Args:
        model: in evaluation mode
        processor: prompts and token layout
        begun: the answers so far, b of them
        is_over: whether what was written behind a beginning is long enough
        count: of continuations of each
        max_new_tokens: of each continuation

    Returns:
        of each answer: what was written behind the beginning, and whether the answer ended there
    """
    ids = [processor.text_ids(one.beginning) for one in begun]
    heads = [processor.tokenizer.decode(row, skip_special_tokens=True) for row in ids]

    def written(number: int, tokens: Sequence[int]) -> str:
        whole: str = processor.tokenizer.decode([*ids[number], *tokens], skip_special_tokens=True)
        return whole[len(heads[number]) :]

    eos = processor.tokenizer.eos_token_id
    rules = DrawRules(
        count=count,
        temperature=_BREADTH,
        max_new_tokens=max_new_tokens,
        eos_token_id=eos,
        pad_token_id=processor.placeholder_id,
    )
    samples = [one.sample for one in begun]
    features = [one.features for one in begun]
    beginnings, contrast = ids, None
    if any(one.bare is not None for one in begun):
        contrast = torch.tensor([0.0 if one.bare is None else _CONTRAST for one in begun])
        samples, beginnings = 2 * samples, 2 * ids
        features += [one.bare or one.features for one in begun]
    drawn = draw(
        model,
        [one.generator for one in begun],
        rules,
        **model_inputs(model, processor, samples, features, beginnings=beginnings),
        contrast=contrast,
        ruled_out=[_single_tokens(processor, one.ruled_out) for one in begun],
        is_over=lambda number, tokens: is_over(written(number, tokens)),
    )
    return [
        [(written(number, tokens), eos in tokens) for tokens in rows]
        for number, rows in enumerate(drawn.tolist())
    ]


def _single_tokens(processor: EmotionLlamaProcessor, words: Sequence[str]) -> list[int]:
    """Give the ids of those words that are one token."""
    pieces = [processor.text_ids(word) for word in words]
    return [ids[0] for ids in pieces if len(ids) == 1]


class _Watched(StoppingCriteria):
    """Shows each row as it grows, and ends those for which nobody waits.

    Args:
        processor: gives the text of new tokens
        watch: told of each answer
        apart: which rows belong together
    """

    def __init__(self, processor: EmotionLlamaProcessor, watch: Watch, apart: Apart) -> None:
        self._processor, self._watch, self._apart = processor, watch, apart

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: Any) -> Any:
        # half a character at the end of a row becomes another one with the next token
        rows = input_ids[self._apart.first_rows]
        texts = [self._processor.decode(row).rstrip("\ufffd") for row in rows]
        alone = [not self._watch(number, text) for number, text in enumerate(texts)]
        return torch.tensor(self._apart.spread(alone), device=input_ids.device)


class _RuledOut(LogitsProcessor):
    """Gives words that a row may not hold no chance.

    Args:
        processor: its tokenizer
        words: of each row
    """

    def __init__(self, processor: EmotionLlamaProcessor, words: Sequence[Sequence[str]]) -> None:
        self._tokens = [_single_tokens(processor, row) for row in words]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        for row, tokens in enumerate(self._tokens):
            scores[row, tokens] = -torch.inf
        return scores


def model_inputs(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    samples: Sequence[Prompted],
    features: Sequence[Features],
    answers: Sequence[str] | None = None,
    *,
    beginnings: Sequence[Sequence[int]] | None = None,
) -> dict[str, torch.Tensor]:
    """Build a batch as `EmotionLlamaProcessor` does, on the device of the model.

    Raises:
        ValueError: a feature has a wrong shape, or a prompt is too long
    """
    device = model.get_input_embeddings().weight.device
    batch = processor(samples, features, answers, beginnings=beginnings)
    return {name: value.to(device) for name, value in batch.items()}
