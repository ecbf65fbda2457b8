"""Prompts -> several continuations of each, drawn at random, rows of all prompts together.

Knows: sampling, the key-value cache, when a row is over. Does not know: texts, clips, what a
continuation is for. The library's own sampling has one stream of random numbers for a batch; here
each prompt has its own, so that what it gets does not depend on what it is drawn together with.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from emotion_llama.model.emotion_llama import EmotionLlama, token_positions

TOP_K = 50
"""Only so many most probable tokens are drawn, the usual setting of ``transformers``."""
PLAUSIBLE = 0.02
"""Where a prompt leans away from another, only tokens are drawn that it finds at least so probable
by itself, as a share of its most probable one (the plausibility constraint of Li et al. 2023,
"Contrastive decoding", who have .1)."""


@dataclass(frozen=True)
class DrawRules:
    """How continuations are drawn."""

    count: int
    """continuations of each prompt, n"""
    temperature: float
    """divides the scores"""
    max_new_tokens: int
    """of each continuation"""
    eos_token_id: int
    """ends a continuation"""
    pad_token_id: int
    """stands behind what is over"""
    top_k: int = TOP_K


def _never(_prompt: int, _tokens: Sequence[int]) -> bool:
    return False


@torch.no_grad()
def draw(
    model: EmotionLlama,
    generators: Sequence[torch.Generator],
    rules: DrawRules,
    *,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    ruled_out: Sequence[Sequence[int]] = (),
    is_over: Callable[[int, Sequence[int]], bool] = _never,
    contrast: torch.Tensor | None = None,
    **inputs: torch.Tensor,
) -> torch.Tensor:
    """Continue each prompt several times.

    Each prompt runs once, and so does what continuations have in common: they are a tree behind it,
    whose nodes see their own path only. Prompts drawn together and alone differ by rounding only.

    With ``contrast`` a prompt leans away from another one: logits are (1 + c) own - c other (Shi et
    al. 2024, "Trusting your evidence: hallucinate less with context-aware decoding").

    Args:
        model: in evaluation mode, with an attention that takes a mask (sdpa or eager)
        generators: random numbers of each prompt, b of them; on the CPU, so that every device draws
            the same ones
        rules: how is drawn
        input_ids: prompts, left-padded, [b x s]; with ``contrast`` the others behind them, [2b x s]
        attention_mask: 1 for tokens, 0 for padding, as large
        ruled_out: ids of tokens that the continuations of each prompt may not hold
        is_over: given the prompt's number and the new tokens of a continuation: whether they do
        contrast: how far each prompt leans away from its other, c, [b]; 0 not at all
        **inputs: the other arguments of `EmotionLlama.embed`

    Returns:
        ids of the new tokens only, [b x n x m]
    """
    language_model = model.language_model
    prefill = language_model(
        inputs_embeds=model.embed(input_ids, **inputs),
        attention_mask=attention_mask,
        position_ids=token_positions(attention_mask),
        use_cache=True,
        logits_to_keep=1,
    )
    cache, logits = prefill.cache, _leaning(prefill.logits, contrast)  # [b x 1 x v]
    first = attention_mask.sum(-1, keepdim=True)  # position of the next token, [b or 2b x 1]
    seen = attention_mask.bool().unsqueeze(1)  # by each node, [b or 2b x 1 x s]
    node = input_ids.new_zeros(len(generators), rules.count)  # of each continuation, [b x n]
    live = torch.ones_like(node, dtype=torch.bool)
    drawn = input_ids.new_full((*node.shape, rules.max_new_tokens), rules.pad_token_id)
    for step in range(rules.max_new_tokens):
        shares = _narrowed(logits, ruled_out, rules).softmax(-1)  # [b x m x v]
        shares = shares.take_along_dim(node.unsqueeze(-1), 1)  # [b x n x v]
        tokens = (shares / _noise(generators, live, shares)).argmax(-1)
        drawn[:, :, step] = tokens.where(live, rules.pad_token_id)
        live = live & ~_over(drawn[:, :, : step + 1], live, rules.eos_token_id, is_over)
        if not live.any():
            return drawn[:, :, : step + 1]
        parents, new_ids, node = _grown(node, drawn[:, :, step], live)
        if contrast is not None:  # the others go the same way
            parents, new_ids = parents.repeat(2, 1), new_ids.repeat(2, 1)
        own = torch.eye(parents.shape[1], dtype=torch.bool, device=seen.device)
        seen = torch.cat(
            [
                seen.take_along_dim(parents.unsqueeze(-1), 1),
                own.expand(len(seen), -1, -1),
            ],
            -1,
        )
        grown = language_model(
            input_ids=new_ids,
            attention_mask=_additive(seen, logits.dtype),
            position_ids=(first + step).expand_as(parents),
            cache=cache,
        )
        logits = _leaning(grown.logits, contrast)
    return drawn


def _leaning(logits: torch.Tensor, contrast: torch.Tensor | None) -> torch.Tensor:
    """Let prompts lean away from others, [2b x m x v] -> [b x m x v]; without, as they are."""
    if contrast is None:
        return logits
    own, other = logits.float().log_softmax(-1).chunk(2)
    c = contrast.to(own).view(-1, 1, 1)
    least = own.amax(-1, keepdim=True) + math.log(PLAUSIBLE)
    return ((1 + c) * own - c * other).masked_fill((own < least) & (c > 0), -torch.inf)


def _grown(
    node: torch.Tensor, tokens: torch.Tensor, live: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give each continuation that goes on a node behind its own; those that agree share one.

    Args:
        node: of each continuation, [b x n]
        tokens: that they go on with, [b x n]
        live: which go on, [b x n]

    Returns:
        the node behind which each new one stands and its token, [b x m], and the new node of each
        continuation [b x n]; prompts with fewer nodes than others repeat their first
    """
    found: list[dict[tuple[int, int], int]] = [{} for _ in node]
    new = torch.zeros_like(node)
    places, words = node.tolist(), tokens.tolist()
    for prompt, number in live.nonzero().tolist():
        key = (places[prompt][number], words[prompt][number])
        new[prompt, number] = found[prompt].setdefault(key, len(found[prompt]))
    most = max(len(nodes) for nodes in found)
    rows = [[*nodes, *[next(iter(nodes), (0, 0))] * (most - len(nodes))] for nodes in found]
    parents, ids = node.new_tensor(rows).unbind(-1)
    return parents, ids, new


def _over(
    drawn: torch.Tensor,
    live: torch.Tensor,
    eos_token_id: int,
    is_over: Callable[[int, Sequence[int]], bool],
) -> torch.Tensor:
    """Tell which of the continuations that go on [b x n x m] are over now, [b x n]."""
    over = torch.zeros_like(live)
    known: dict[tuple[int, ...], bool] = {}
    rows = drawn.tolist()
    for prompt, number in live.nonzero().tolist():
        tokens = rows[prompt][number]
        key = (prompt, *tokens)
        if key not in known:
            known[key] = tokens[-1] == eos_token_id or is_over(prompt, tokens)
        over[prompt, number] = known[key]
    return over


def _additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Turn what each node sees [b x m x s] into what is added to attention scores."""
    hidden = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return hidden.masked_fill(~seen, torch.finfo(dtype).min).unsqueeze(1)


def _narrowed(
    logits: torch.Tensor, ruled_out: Sequence[Sequence[int]], rules: DrawRules
) -> torch.Tensor:
    """Leave a chance to the most probable tokens that are not ruled out, [b x m x v]."""
    scores = logits.float()
    for prompt, tokens in enumerate(ruled_out):
        scores[prompt, :, list(tokens)] = -torch.inf
    scores = scores / rules.temperature
    least = scores.topk(min(rules.top_k, scores.shape[-1])).values[..., -1:]
    return scores.masked_fill(scores < least, -torch.inf)


def _noise(
    generators: Sequence[torch.Generator], live: torch.Tensor, like: torch.Tensor
) -> torch.Tensor:
    """Give noise such that the largest p / noise is a draw from p, [b x n x v].

    All continuations of a prompt draw while one of them goes on, so that none's numbers depend on
    which others are over.
    """
    noise = torch.ones(like.shape)
    for prompt in live.any(-1).nonzero()[:, 0].tolist():
        # exponential numbers, in a fifth of the time of ``exponential_``
        noise[prompt].uniform_(generator=generators[prompt]).log_().neg_()
    return noise.to(like.device)
