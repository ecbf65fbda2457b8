"""The decision rule: which offered label a model finds most probable, and what it writes.

Knows: how probabilities come from the model's scores. Does not know: files, clips, training. Both
inference and validation during training ask here, so that they cannot decide differently.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

from emotion_llama.model.emotion_llama import EmotionLlama
from emotion_llama.model.processor import EmotionLlamaProcessor, Prompted
from emotion_llama.records import Features, Sample

_BREADTH = 0.9
"""Temperature of continuations: they have to differ; at 1.2 the small preset writes nonsense."""

LABEL_TOKENS = 16
"""Longest written answer to the emotion task; a label and the end of sequence fit well."""


def label_probabilities(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    samples: Sequence[Prompted],
    features: Sequence[Features],
    labels: Sequence[str],
) -> torch.Tensor:
    """Give the probability of each label as the answer to each sample, on the CPU, [b x a].

    Softmax over the length-normalised log-likelihoods divided by the checkpoint's temperature for
    what the answer rests on.

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
    scores = model.score_answers(ids, **model_inputs(model, processor, samples, features))
    usual, own = model.config.label_temperature, model.config.evidence_temperatures
    rests = (evidence_of(s, f) for s, f in zip(samples, features, strict=True))
    temperatures = torch.tensor([[own.get(name, usual)] for name in rests]).to(scores)
    probabilities: torch.Tensor = (scores / temperatures).softmax(-1)
    return probabilities.cpu()


def evidence_of(sample: Prompted, features: Features) -> str:
    """Say what an answer rests on: ``face``, ``voice``, ``words``, or several joined by ``+``."""
    there = {
        "face": features.local is not None or features.temporal is not None,
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
    **settings: Any,
) -> list[str]:
    """Let the model write; greedy unless the settings say otherwise.

    Args:
        model: in evaluation mode
        processor: prompts and token layout
        samples: questions
        features: encoder outputs, one of each sample
        ruled_out: words that each answer may not hold; only those that are one token can be kept
            out
        **settings: arguments of ``GenerationMixin.generate``

    Raises:
        ValueError: a feature has a wrong shape, or a prompt is too long
    """
    if any(ruled_out):
        settings["logits_processor"] = [_RuledOut(processor, ruled_out)]
    generated = model.generate(
        **model_inputs(model, processor, samples, features),
        eos_token_id=processor.tokenizer.eos_token_id,
        pad_token_id=processor.placeholder_id,
        **settings,
    )
    return [processor.decode(row) for row in generated]


def continue_answer(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    sample: Prompted,
    features: Features,
    beginning: str,
    *,
    is_over: Callable[[str], bool],
    ruled_out: Sequence[str] = (),
    count: int,
    max_new_tokens: int,
) -> list[tuple[str, bool]]:
    """Let the model go on with an answer several times, drawn at random.

    Args:
        model: in evaluation mode
        processor: prompts and token layout
        sample: the question
        features: encoder outputs
        beginning: of the answer
        is_over: whether what was written behind the beginning is long enough
        ruled_out: words that the answer may not hold
        count: of continuations
        max_new_tokens: of each

    Returns:
        what was written behind the beginning, and whether the answer ended there
    """
    inputs = model_inputs(model, processor, [sample], [features])
    del inputs["attention_mask"]  # one row has no padding
    ids = processor.tokenizer(beginning, add_special_tokens=False)["input_ids"] if beginning else []
    behind = torch.tensor([ids], dtype=torch.long, device=inputs["input_ids"].device)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], behind], dim=1)
    text_kinds = torch.zeros_like(behind)
    inputs["token_kinds"] = torch.cat([inputs["token_kinds"], text_kinds], dim=1)
    head = processor.tokenizer.decode(ids, skip_special_tokens=True)

    def written(row: Sequence[int]) -> str:
        whole: str = processor.tokenizer.decode([*ids, *row], skip_special_tokens=True)
        return whole[len(head) :]

    eos = processor.tokenizer.eos_token_id
    generated = model.draw(
        count,
        **inputs,
        eos_token_id=eos,
        pad_token_id=processor.placeholder_id,
        temperature=_BREADTH,
        max_new_tokens=max_new_tokens,
        logits_processor=[_RuledOut(processor, [ruled_out] * count)],
        stopping_criteria=[_Over(inputs["input_ids"].shape[1], written, is_over)],
    )
    return [(written(row), eos in row) for row in generated.tolist()]


class _Over(StoppingCriteria):
    """Ends each row by its text.

    Args:
        start: tokens before the new ones
        written: gives the text of new tokens
        is_over: whether a text is long enough
    """

    def __init__(
        self, start: int, written: Callable[[Sequence[int]], str], is_over: Callable[[str], bool]
    ) -> None:
        self._start, self._written, self._is_over = start, written, is_over

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: Any) -> Any:
        rows = input_ids[:, self._start :].tolist()
        over = [self._is_over(self._written(row)) for row in rows]
        return torch.tensor(over, device=input_ids.device)


class _RuledOut(LogitsProcessor):
    """Gives words that a row may not hold no chance.

    Args:
        processor: its tokenizer
        words: of each row
    """

    def __init__(self, processor: EmotionLlamaProcessor, words: Sequence[Sequence[str]]) -> None:
        self._tokens: list[list[int]] = []
        for row in words:
            pieces = [processor.tokenizer(w, add_special_tokens=False)["input_ids"] for w in row]
            self._tokens.append([ids[0] for ids in pieces if len(ids) == 1])

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
) -> dict[str, torch.Tensor]:
    """Build a batch as `EmotionLlamaProcessor` does, on the device of the model.

    Raises:
        ValueError: a feature has a wrong shape, or a prompt is too long
    """
    device = model.get_input_embeddings().weight.device
    batch = processor(samples, features, answers)
    return {name: value.to(device) for name, value in batch.items()}
