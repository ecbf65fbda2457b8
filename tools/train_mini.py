"""Train projections and LoRA of the `mini` preset, fit its temperature, and write its folder.

    python tools/train_mini.py --data DIR --encoders DIR --language-model DIR --out DIR

Encoders and language model stay frozen. Faces, voices and words of an example come from different
people and share only the label (`mini_examples`). The dev splits choose the step and the
temperature; test rows are never read. Continues where it stopped.
"""

import argparse
import json
import math
import os
import random
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mini_examples import ExamplePool
from mini_items import (
    Item,
    cached,
    dev_faces,
    encoder_digest,
    keep_audible_words,
    scene_items,
    train_faces,
    voice_items,
    word_items,
)
from mini_measures import (
    DevSet,
    check_greedy,
    check_influence,
    check_reasons,
    describe_set,
    dev_sets,
    fit_temperature,
    score,
    score_set,
    selection_score,
    thinned,
)
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from emotion_llama.encoders.feature_extractor import FeatureExtractor
from emotion_llama.labels import MINI
from emotion_llama.model import EmotionLlama, EmotionLlamaConfig, EmotionLlamaProcessor
from emotion_llama.model.composition import put_language_model
from emotion_llama.records import Sample, Task

ROWS: Mapping[Task, tuple[int, int]] = {"emotion": (40, 28), "reason": (20, 44)}
"""Rows of a step for each task, before and after `LABELS_FIRST` of the steps."""
REASON_WEIGHT = (0.5, 1.0)
LABELS_FIRST = 0.45
"""Share of the steps that are mostly about labels; the rest is mostly about reasons, and only
there a step may be chosen."""
PEAK_LEARNING_RATE = 2e-3
WARMUP_STEPS = 40
EVALUATE_EVERY = 125
MOST_WORDS = 25
"""Longer training utterances are left out: one of them makes a whole batch long."""
MOST_DEV_ITEMS = 3600
"""Items of a dev set that are scored: all but some of GoEmotions."""
SELECTION_ITEMS = 160
"""Items of each dev set that choose the best step; the final figures use all."""
NOTICE = (
    "The weights of mini are for non-commercial research only: CC BY-NC-SA 4.0, see "
    "emotion_llama/presets/mini/LICENSE."
)


def build_model(extractor: FeatureExtractor, language_model: LlamaForCausalLM) -> EmotionLlama:
    """Put the frozen language model into a fresh `EmotionLlama` of the encoders' widths."""
    if not (extractor.global_ and extractor.local and extractor.temporal and extractor.audio):
        msg = "the preset has four encoders and some are missing; run train_mini_encoders.py"
        raise ValueError(msg)
    config = EmotionLlamaConfig(
        text_config=language_model.config,
        patch_dim=extractor.global_.patch_dim,
        num_patches=extractor.global_.num_patches,
        local_dim=extractor.local.output_dim,
        temporal_dim=extractor.temporal.output_dim,
        audio_dim=extractor.audio.output_dim,
        lora_rank=32,
        lora_alpha=32,
        lora_dropout=0.0,
        lora_target_modules=(
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ),
        labels=MINI.labels,
        max_context_tokens=900,
        max_answer_tokens=100,
        max_new_tokens=60,
        preset="mini",
        notice=NOTICE,
    )
    model = EmotionLlama(config)
    put_language_model(model, language_model)
    return model


def learning_rate(step: int, steps: int) -> float:
    """Give the rate of a step: linear warm-up, then half a cosine down to zero."""
    if step < WARMUP_STEPS:
        return PEAK_LEARNING_RATE * (step + 1) / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return PEAK_LEARNING_RATE * 0.5 * (1.0 + math.cos(math.pi * progress))


def task_loss(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    pool: ExamplePool,
    task: Task,
    rows: int,
    rng: random.Random,
) -> torch.Tensor:
    """Give the loss of one fresh batch of a task."""
    examples = [pool.draw(task, rng) for _ in range(rows)]
    batch = processor(
        [e.sample for e in examples], [e.features for e in examples], [e.answer for e in examples]
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss: torch.Tensor = model(**batch).loss
    return loss


def trainable_state(model: EmotionLlama) -> dict[str, torch.Tensor]:
    """Copy what training changes."""
    return {name: p.detach().clone() for name, p in model.trainable_parameters().items()}


def load_trainable(model: EmotionLlama, state: Mapping[str, torch.Tensor]) -> None:
    """Put back what `trainable_state` copied."""
    for name, parameter in model.trainable_parameters().items():
        parameter.data.copy_(state[name])


def train(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    pool: ExamplePool,
    sets: Sequence[DevSet],
    steps: int,
    state_path: Path,
) -> list[dict[str, float]]:
    """Train, and leave the model at the step that was best on the dev sets.

    Every step draws from a generator seeded by its number, so a resumed run repeats nothing.

    Returns:
        dev figures at every evaluation
    """
    parameters = list(model.trainable_parameters().values())
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_LEARNING_RATE, weight_decay=0.02)
    history: list[dict[str, float]] = []
    best = trainable_state(model)
    first = 0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        load_trainable(model, state["trainable"])
        optimizer.load_state_dict(state["optimizer"])
        first, best, history = state["step"], state["best"], state["history"]
        print(f"resumed at step {first}", flush=True)
    # On a CPU the plain attention is twice as fast as the fused one for short padded rows.
    model.language_model.set_attn_implementation("eager")
    started = time.monotonic()
    running = 0.0
    for step in range(first, steps):
        model.train()
        rng = random.Random(step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        part = int(step >= LABELS_FIRST * steps)
        loss = task_loss(model, processor, pool, "emotion", ROWS["emotion"][part], rng)
        reason_loss = task_loss(model, processor, pool, "reason", ROWS["reason"][part], rng)
        (loss + REASON_WEIGHT[part] * reason_loss).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running = 0.95 * running + 0.05 * loss.item() if step > first else loss.item()
        if (step + 1) % 20 == 0:
            minutes = (time.monotonic() - started) / 60
            losses = f"loss {running:.3f} reason {reason_loss.item():.3f}"
            print(f"step {step + 1}/{steps} {losses} {minutes:.1f} min", flush=True)
        if (step + 1) % EVALUATE_EVERY == 0 or step + 1 == steps:
            figures = selection_score(model, processor, sets)
            history.append({"step": step + 1, **figures})
            print(f"dev recall {json.dumps(figures)}", flush=True)
            late = [entry["mean"] for entry in history if entry["step"] >= LABELS_FIRST * steps]
            if late and figures["mean"] >= max(late):
                best = trainable_state(model)
            state = {
                "trainable": trainable_state(model),
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
                "best": best,
                "history": history,
            }
            torch.save(state, state_path.with_suffix(".new"))
            state_path.with_suffix(".new").replace(state_path)
    load_trainable(model, best)
    model.language_model.set_attn_implementation("sdpa")
    return history


def measure(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    sets: Sequence[DevSet],
    scores: Sequence[torch.Tensor],
) -> dict[str, Any]:
    """Give every dev figure of the finished model."""
    temperature = float(model.config.label_temperature)
    figures: dict[str, Any] = {"temperature": temperature}
    for dev, own in zip(sets, scores, strict=True):
        few = thinned(dev, 200)
        figures[dev.name] = describe_set(dev, own, temperature)
        few_scores = score_set(model, processor, few)
        figures[dev.name]["greedy_is_scored"] = check_greedy(model, processor, few, few_scores)
        samples = [Sample("emotion", item.transcript) for item in few.items]
        features = [item.features for item in few.items]
        full = score(model, processor, samples, features, MINI.labels)
        figures[dev.name]["reasons"] = check_reasons(model, processor, few, full)
        print(dev.name, json.dumps(figures[dev.name], indent=1), flush=True)
    face_only = next(dev for dev in sets if dev.name == "ferplus")
    for name, kept in (("frame", ("patches", "class_token")), ("crop", ("local",))):
        items = [
            replace(item, features=replace(item.features, **_only(kept)))
            for item in face_only.items
        ]
        part = replace(face_only, items=items)
        own = score_set(model, processor, part)
        figures[f"ferplus {name} only"] = describe_set(part, own, temperature)
    by_name = {dev.name: dev for dev in sets}
    figures["influence"] = check_influence(
        model, processor, by_name["ferplus"], by_name["nemo"], by_name["meld"], temperature
    )
    return figures


def _only(kept: Sequence[str]) -> dict[str, Any]:
    names = ("patches", "class_token", "local", "temporal", "audio")
    return {name: None for name in names if name not in kept}


def save(
    model: EmotionLlama,
    tokenizer: PreTrainedTokenizerBase,
    encoders_dir: Path,
    folder: Path,
) -> None:
    """Write weights in half precision, tokenizer, and the encoders beside them."""
    model.to(torch.float16).save_pretrained(folder)
    model.to(torch.float32)
    EmotionLlamaProcessor(tokenizer, model.config).save_pretrained(folder)
    shutil.copytree(encoders_dir / "encoders", folder / "encoders", dirs_exist_ok=True)


def read_items(
    data_dir: Path, encoders_dir: Path, extractor: FeatureExtractor, cache_dir: Path
) -> tuple[dict[str, list[Item]], dict[str, list[Item]]]:
    """Give training and dev items by kind, encoded once and then read from the cache."""
    seen = encoder_digest(encoders_dir, ("global", "local", "temporal"))
    heard = encoder_digest(encoders_dir, ("audio",))

    def voices(split: str) -> list[Item]:
        path = cache_dir / f"{split}_voices.pt"
        return cached(path, heard, lambda: voice_items(data_dir, split, extractor))

    train_items = {
        "voice": keep_audible_words(voices("train")),
        "face": cached(
            cache_dir / "train_faces.pt", seen, lambda: train_faces(data_dir, extractor)
        ),
        "words": word_items(data_dir, "train", ("meld", "goemotions"), MOST_WORDS),
    }
    dev_items = {
        "voice": voices("dev"),
        "face": cached(cache_dir / "dev_faces.pt", seen, lambda: dev_faces(data_dir, extractor)),
        "words": word_items(data_dir, "dev", ("meld", "goemotions")),
    }
    return train_items, dev_items


def main() -> None:
    """Read the arguments, train, fit the temperature, save and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument("--encoders", type=Path, required=True, help="folder with encoders/")
    parser.add_argument("--language-model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=620)
    parser.add_argument("--noise", type=float, default=1.5, help="most noise, in deviations")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("found no data folder; give --data DIR or set EMOTION_LLAMA_DATA")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    data_dir, out = Path(arguments.data), arguments.out
    work_dir = out.with_name(f"{out.name}_work")
    work_dir.mkdir(parents=True, exist_ok=True)

    extractor = FeatureExtractor.from_pretrained(arguments.encoders)
    train_items, dev_items = read_items(data_dir, arguments.encoders, extractor, work_dir / "cache")
    pool = ExamplePool(train_items, scene_items(data_dir, extractor), arguments.noise)
    sets = [thinned(dev, MOST_DEV_ITEMS) for dev in dev_sets(dev_items)]

    tokenizer = AutoTokenizer.from_pretrained(arguments.language_model)
    language_model = LlamaForCausalLM.from_pretrained(arguments.language_model)
    model = build_model(extractor, language_model)
    processor = EmotionLlamaProcessor(tokenizer, model.config)
    trainable = sum(p.numel() for p in model.trainable_parameters().values())
    print(f"{trainable} of {sum(p.numel() for p in model.parameters())} parameters are trained")

    selection = [thinned(dev, SELECTION_ITEMS) for dev in sets]
    history = train(model, processor, pool, selection, arguments.steps, work_dir / "state.pt")

    scores = [score_set(model, processor, dev) for dev in sets]
    model.config.label_temperature = fit_temperature(scores, [dev.truth() for dev in sets])
    save(model, tokenizer, arguments.encoders, out)
    figures = {"history": history, **measure(model, processor, sets, scores)}
    (work_dir / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(json.dumps(figures["influence"], indent=1))
    print(f"{size} bytes in {out}; figures in {work_dir / 'figures.json'}")


if __name__ == "__main__":
    main()
