"""Train the small Llama of the `mini` preset, and its tokenizer, on short English text.

    python tools/train_mini_language_model.py --data DIR --out DIR

Knows: what the language model reads. Does not know: encoders, projections, LoRA. It first reads
utterances (MELD and GoEmotions train splits), prompts and reasons of `mini_reasons`; then it
learns to answer. Continues where it stopped; the dev splits only measure it.
"""

import argparse
import copy
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from mini_corpus import Utterance, read_goemotions, read_meld, vary_spelling
from mini_reasons import KINDS, clue_vocabulary, compose_reason
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer

from emotion_llama.labels import MERR, MINI
from emotion_llama.merr.lexicon import FACE, load_lexicon
from emotion_llama.merr.records import Clue
from emotion_llama.merr.rules import RuleTable, load_rules
from emotion_llama.prompt import (
    FEATURE_MARK,
    REASON_QUESTIONS,
    VIDEO_MARK,
    render,
    split_at_marks,
)
from emotion_llama.records import Sample
from emotion_llama.voice import VOICE, word

VOCABULARY_SIZE = 2048
SPECIAL_PIECES = ("<unk>", "<s>", "</s>", "<pad>")
CONTEXT = 256
BATCH = 16
PEAK_LEARNING_RATE = 3e-3
WARMUP_STEPS = 50
SHORT_ROWS, FULL_ROWS, REASON_ROWS = 96, 14, 7
"""Utterances with only the ends of a prompt, with a whole prompt, and with a reason: rows of a
length stand in one batch."""
MOST_WORDS = 25
"""Longer utterances are read, not answered: one of them makes a whole batch long."""
ANSWER_PEAK_LEARNING_RATE = 2e-3
REASON_WEIGHT = 0.3
REVIEW_ROWS, REVIEW_WEIGHT = 2, 0.3
"""Reading goes on beside answering: without it the model forgets how to write anything else."""
SHORT_QUESTIONS = (
    "Which emotion is it?",
    "What does the person feel?",
    "Name the emotion.",
    "Which emotion label fits?",
)


FREQUENCY_POWER = 0.8
"""A label's share of what is drawn goes with its frequency to this power: rare labels come more
often, but words that say little still mean neutral."""
FORGOTTEN = 0.1
"""Share of the tokens of an utterance that are hidden in training."""
AVERAGE_DECAY = 0.995
"""Of the moving average of the weights, which is what is kept."""


def balanced(utterances: Sequence[Utterance], count: int, rng: random.Random) -> list[Utterance]:
    """Draw utterances with a label, by `FREQUENCY_POWER`."""
    by_label: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        if utterance.label is not None:
            by_label.setdefault(utterance.label, []).append(utterance)
    labels = sorted(by_label)
    weights = [len(by_label[label]) ** FREQUENCY_POWER for label in labels]
    return [rng.choice(by_label[label]) for label in rng.choices(labels, weights, k=count)]


def offered_labels(label: str, rng: random.Random) -> tuple[str, ...]:
    """Draw a list of labels to offer, the true one among them, in random order."""
    others = [other for other in (*MINI.labels, "worried", "doubt") if other != label]
    offered = [label, *rng.sample(others, rng.randint(2, 7))]
    rng.shuffle(offered)
    return tuple(offered)


def prompt_of(sample: Sample) -> str:
    """Render a prompt with the defaults of the preset."""
    return render(sample, labels=MINI.labels, reason_tag="reason")


def emotion_document(utterance: Utterance, rng: random.Random) -> tuple[str, str]:
    """Write prompt and answer that name the emotion of an utterance."""
    assert utterance.label is not None
    draw = rng.random()
    wording = rng.choice(SHORT_QUESTIONS) if draw < 0.6 else None
    offered = offered_labels(utterance.label, rng) if 0.6 <= draw < 0.8 else None
    text = vary_spelling(utterance.text, rng)
    return prompt_of(Sample("emotion", text, wording, offered)), utterance.label


def reason_document(utterance: Utterance, rng: random.Random) -> tuple[str, str]:
    """Write prompt and answer that explain the emotion of an utterance by its words."""
    assert utterance.label is not None
    text = vary_spelling(utterance.text, rng)
    answer = compose_reason((), ("words",), utterance.label, rules())
    wording = rng.choice((*REASON_QUESTIONS, None, None))
    return prompt_of(Sample("reason", text, wording)), answer


@cache
def rules() -> RuleTable:
    """Give the rules that reasons are weighed by, the published ones."""
    return load_rules("merr")


def random_reason(rng: random.Random) -> str:
    """Write a reason with clues and a label drawn at random: the language of reasons."""
    kinds = [kind for kind in KINDS if rng.random() < 0.6] or [rng.choice(KINDS)]
    clues = []
    vocabulary = clue_vocabulary()
    for name in rng.sample(vocabulary["local"][:-1], 2) + rng.sample(vocabulary["audio"][:-1], 2):
        if rng.random() < 0.8:
            feature, reading = name.split(" ", 1)
            clues.append(_clue(feature, reading, rng))
    return compose_reason(clues, kinds, rng.choice(MINI.labels), rules())


def _clue(feature: str, reading: str, rng: random.Random) -> Clue:
    assert feature not in (FACE, VOICE)
    if feature.startswith("AU"):
        statement = rng.choice(load_lexicon().word(feature, reading))
        return Clue("facial", feature, reading, statement)
    return Clue("voice", feature, reading, word(feature, reading, "packaged"))


def documents(
    utterances: Sequence[Utterance], rng: random.Random
) -> Iterator[tuple[str | None, str]]:
    """Give one epoch of (prompt, answer) pairs, unshuffled; plain text has no prompt."""
    meld = [u for u in utterances if u.source == "meld"]
    for utterance in utterances:
        yield None, vary_spelling(utterance.text, rng)
    for utterance in balanced(utterances, 22_000, rng) + balanced(meld, 14_000, rng):
        yield emotion_document(utterance, rng)
    for utterance in balanced(utterances, 8_000, rng):
        yield reason_document(utterance, rng)
    for _ in range(15_000):
        yield None, random_reason(rng)


def train_tokenizer(texts: Sequence[str]) -> LlamaTokenizer:
    """Learn a Llama tokenizer: byte-pair merges inside words, bytes for unknown characters.

    The pieces are learned on words, each with its leading space as U+2581, so that no piece spans
    two words; every label is then required to be one piece.

    Raises:
        ValueError: a label takes more than one piece; the texts hold it too rarely
    """
    learner = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True))
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False),
            pre_tokenizers.Split(
                Regex("▁?[A-Za-z]+|▁?[0-9]|▁?[^A-Za-z0-9▁]+|▁"), behavior="removed", invert=True
            ),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[*SPECIAL_PIECES, *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=100,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    learned = json.loads(learner.to_str())["model"]
    tokenizer = LlamaTokenizer(
        vocab=learned["vocab"],
        merges=[tuple(pair) for pair in learned["merges"]],
        pad_token="<pad>",
    )
    for label in {*MINI.labels}:
        pieces = tokenizer.tokenize(label)
        if pieces != [f"▁{label}"]:
            msg = f"label {label!r} takes the pieces {pieces}; give it more weight in the texts"
            raise ValueError(msg)
    return tokenizer


def encode_prompt(tokenizer: LlamaTokenizer, prompt: str) -> list[int]:
    """Give the ids of a prompt without feature tokens, its text pieces tokenised one by one."""
    pieces = [
        piece
        for piece in split_at_marks(prompt, "trained")
        if piece not in (VIDEO_MARK, FEATURE_MARK)
    ]
    encoded = tokenizer(pieces, add_special_tokens=False)["input_ids"]
    return [token for ids in encoded for token in ids]


def encode(tokenizer: LlamaTokenizer, prompt: str | None, answer: str) -> list[int]:
    """Give the ids of one document with ``<s>`` and ``</s>`` around it."""
    start = [] if prompt is None else encode_prompt(tokenizer, prompt)
    end = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return [tokenizer.bos_token_id, *start, *end, tokenizer.eos_token_id]


def token_stream(
    tokenizer: LlamaTokenizer, utterances: Sequence[Utterance], count: int, seed: int
) -> NDArray[np.int16]:
    """Give `count` ids of shuffled documents, as many epochs as that takes."""
    rng = random.Random(seed)
    stream: list[int] = []
    while len(stream) < count:
        epoch = list(documents(utterances, rng))
        rng.shuffle(epoch)
        for prompt, answer in epoch:
            stream.extend(encode(tokenizer, prompt, answer))
    return np.array(stream[:count], dtype=np.int16)


def build_model(tokenizer: LlamaTokenizer) -> LlamaForCausalLM:
    """Build the language model: four layers of width 192, 2.2 million parameters."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=6,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Give the rate of a step: linear warm-up, then half a cosine down to a twentieth."""
    if step < WARMUP_STEPS:
        return peak * (step + 1) / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))


StepLoss = Callable[[int], torch.Tensor]


def train(
    model: LlamaForCausalLM, step_loss: StepLoss, steps: int, peak: float, state_path: Path
) -> None:
    """Minimise the loss of each step, and leave the moving average of the weights.

    Resumes from `state_path` when it exists.
    """
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
    )
    first = 0
    average = copy.deepcopy(model).requires_grad_(False)
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
        print(f"resumed at step {first}", flush=True)
    model.train()
    started, running = time.monotonic(), 0.0
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        loss = step_loss(step)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        # a short memory at first: the start must not weigh in for hundreds of steps
        follow(average, model, min(AVERAGE_DECAY, (1.0 + step) / (10.0 + step)))
        running = loss.item() if step == first else 0.95 * running + 0.05 * loss.item()
        if (step + 1) % 25 == 0:
            minutes = (time.monotonic() - started) / 60
            print(f"step {step + 1}/{steps} loss {running:.3f} {minutes:.1f} min", flush=True)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            state = {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
            }
            torch.save(state, state_path.with_suffix(".new"))
            state_path.with_suffix(".new").replace(state_path)
    model.load_state_dict(average.state_dict())


@torch.no_grad()
def follow(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """Move a moving average towards the weights of a model."""
    for kept, new in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(new, 1.0 - decay)


def reading_loss(model: LlamaForCausalLM, stream: NDArray[np.int16]) -> StepLoss:
    """Give the loss of consecutive windows of the stream, every token counting."""

    def loss_of(step: int) -> torch.Tensor:
        start = step * BATCH * CONTEXT
        window = stream[start : start + BATCH * CONTEXT].astype(np.int64)
        ids = torch.from_numpy(window).view(BATCH, CONTEXT)
        loss: torch.Tensor = model(input_ids=ids, labels=ids).loss
        return loss

    return loss_of


def short_form(utterance: Utterance, rng: random.Random) -> tuple[str, str]:
    """Write an utterance with only the ends of a prompt: the same question in fewer tokens."""
    return f"{vary_spelling(utterance.text, rng)} [emotion]  [/INST]", str(utterance.label)


def answering_loss(
    model: LlamaForCausalLM,
    tokenizer: LlamaTokenizer,
    utterances: Sequence[Utterance],
    stream: NDArray[np.int16],
) -> StepLoss:
    """Give the loss of answers: labels of utterances, a few reasons, and a little reading.

    Reading spreads its loss over all tokens, so that labels are hardly learned from it. A third of
    the utterances of a step come from MELD, whose spoken lines are like the transcripts of use.
    """
    short = [u for u in utterances if len(u.text.split()) <= MOST_WORDS]
    meld = [u for u in short if u.source == "meld"]
    others = [u for u in short if u.source != "meld"]

    def drawn(count: int, rng: random.Random) -> list[Utterance]:
        third = count // 3
        return balanced(meld, third, rng) + balanced(others, count - third, rng)

    def loss_of(step: int) -> torch.Tensor:
        rng = random.Random(step)
        briefly = [short_form(u, rng) for u in drawn(SHORT_ROWS, rng)]
        asked = [emotion_document(u, rng) for u in drawn(FULL_ROWS, rng)]
        explained = [reason_document(u, rng) for u in drawn(REASON_ROWS, rng)]
        brief_loss, full_loss, reason_loss = (
            _answer_loss(model, tokenizer, rows, forgotten, rng)
            for rows, forgotten in ((briefly, FORGOTTEN), (asked, FORGOTTEN), (explained, 0.0))
        )
        labels = SHORT_ROWS * brief_loss + FULL_ROWS * full_loss
        start = step * REVIEW_ROWS * CONTEXT % (len(stream) - REVIEW_ROWS * CONTEXT)
        window = stream[start : start + REVIEW_ROWS * CONTEXT].astype(np.int64)
        ids = torch.from_numpy(window).view(REVIEW_ROWS, CONTEXT)
        review: torch.Tensor = model(input_ids=ids, labels=ids).loss
        return (
            labels / (SHORT_ROWS + FULL_ROWS) + REASON_WEIGHT * reason_loss + REVIEW_WEIGHT * review
        )

    return loss_of


def _answer_loss(
    model: LlamaForCausalLM,
    tokenizer: LlamaTokenizer,
    pairs: Sequence[tuple[str, str]],
    forgotten: float,
    rng: random.Random,
) -> torch.Tensor:
    """Give the mean loss of the answers' tokens; logits are made for these positions only.

    Args:
        model: is trained
        tokenizer: its own
        pairs: prompt and answer
        forgotten: share of the prompts' tokens that are hidden
        rng: chooses them
    """
    starts = [[tokenizer.bos_token_id, *encode_prompt(tokenizer, prompt)] for prompt, _ in pairs]
    rows = [
        [*start, *tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        for start, (_, answer) in zip(starts, pairs, strict=True)
    ]
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
    is_answer = torch.zeros(len(rows), longest, dtype=torch.bool)
    for index, (start, row) in enumerate(zip(starts, rows, strict=True)):
        hidden_ids = [tokenizer.unk_token_id if rng.random() < forgotten else i for i in start]
        ids[index, : len(row)] = torch.tensor([*hidden_ids, *row[len(start) :]])
        is_answer[index, len(start) : len(row)] = True
    # Padding stands on the right, where causal attention never looks at it.
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1][is_answer[:, 1:]]
    return torch.nn.functional.cross_entropy(model.lm_head(hidden), ids[:, 1:][is_answer[:, 1:]])


@torch.no_grad()
def perplexity(
    model: LlamaForCausalLM, tokenizer: LlamaTokenizer, pairs: Sequence[tuple[str | None, str]]
) -> dict[str, float]:
    """Measure how well the answers (or plain texts) are foretold.

    Returns:
        perplexity per token, bits per character, and the number of tokens
    """
    total = tokens = characters = 0.0
    for prompt, answer in pairs:
        ids = torch.tensor(encode(tokenizer, prompt, answer))
        length = 1 if prompt is None else 1 + len(encode_prompt(tokenizer, prompt))
        logits = model(input_ids=ids[None]).logits[0, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")[length - 1 :]
        total += losses.sum().item()
        tokens += len(losses)
        characters += len(answer) + 1
    return {
        "perplexity": math.exp(total / tokens),
        "bits_per_character": total / math.log(2) / characters,
        "tokens": tokens,
    }


@torch.no_grad()
def label_recall(
    model: LlamaForCausalLM, tokenizer: LlamaTokenizer, utterances: Sequence[Utterance]
) -> dict[str, float]:
    """Measure accuracy and mean recall of the most probable of seven labels."""
    labels = [label for label in MINI.labels if label != "contempt"]
    ids = [tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in labels]
    hits: dict[str, list[bool]] = {label: [] for label in labels}
    for utterance in utterances:
        prompt = prompt_of(Sample("emotion", utterance.text, None, tuple(labels)))
        tokens = [tokenizer.bos_token_id, *encode_prompt(tokenizer, prompt)]
        scores = model(input_ids=torch.tensor([tokens])).logits[0, -1, ids]
        hits[str(utterance.label)].append(labels[int(scores.argmax())] == utterance.label)
    everything = [hit for values in hits.values() for hit in values]
    recalls = [np.mean(values) for values in hits.values() if values]
    return {
        "n": len(everything),
        "accuracy": float(np.mean(everything)),
        "mean_recall": float(np.mean(recalls)),
    }


def measure(
    model: LlamaForCausalLM, tokenizer: LlamaTokenizer, data_dir: Path
) -> dict[str, object]:
    """Measure on the dev splits: 800 utterances of each set, drawn with a fixed seed."""
    model.eval()
    rng = random.Random(7)
    figures: dict[str, object] = {}
    for name, read in (("meld", read_meld), ("goemotions", read_goemotions)):
        held_out = [u for u in read(data_dir, "dev") if u.label is not None]
        drawn = rng.sample(held_out, min(800, len(held_out)))
        reasons = [reason_document(u, rng) for u in drawn[:200]]
        figures[name] = {
            "text": perplexity(model, tokenizer, [(None, u.text) for u in drawn]),
            "reason": perplexity(model, tokenizer, reasons),
            "label": label_recall(model, tokenizer, drawn),
        }
    return figures


def main() -> None:
    """Train tokenizer and model, save both, and write what the dev splits say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with text/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument(
        "--steps", type=int, default=700, help="reading: batches of 16 x 256 tokens"
    )
    parser.add_argument("--answer-steps", type=int, default=900, help="answering: batches of rows")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)

    utterances = read_meld(arguments.data, "train") + read_goemotions(arguments.data, "train")
    if (out / "tokenizer.json").exists():
        tokenizer = LlamaTokenizer.from_pretrained(out)
    else:
        rng = random.Random(arguments.seed)
        sample = list(documents(utterances, rng))
        texts = [text for pair in sample for text in pair if text is not None]
        texts += [*MINI.labels, *MERR.labels] * 200
        tokenizer = train_tokenizer(texts)
        tokenizer.save_pretrained(out)
    stream = token_stream(
        tokenizer, utterances, arguments.steps * BATCH * CONTEXT, arguments.seed + 1
    )
    model = build_model(tokenizer)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(stream)} tokens")
    train(
        model,
        reading_loss(model, stream),
        arguments.steps,
        PEAK_LEARNING_RATE,
        out / "reading.pt",
    )
    train(
        model,
        answering_loss(model, tokenizer, utterances, stream),
        arguments.answer_steps,
        ANSWER_PEAK_LEARNING_RATE,
        out / "answering.pt",
    )
    model.save_pretrained(out)
    figures = measure(model, tokenizer, arguments.data)
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
