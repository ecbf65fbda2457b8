"""What the `mini` preset reaches on people and pictures that it was not trained on (dev splits).

Knows: closed label sets of the dev sets, scores, bootstrap intervals, temperature, checks of the
written reasons. Does not know: training. Figures of the test splits come from elsewhere, once.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from mini_encoders.scores import summarize
from mini_items import Item
from mini_prosody import words_agree
from mini_sentences import ADJECTIVES, CONCLUSION, NOUNS, VOICE_WORDS
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from emotion_llama.labels import MINI, LabelSet, parse_label
from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.records import Features, Sample

ROWS = 64
"""Rows scored at once."""
MENTIONS = {
    "face": re.compile(r"\b(?:face|facial|expression)\b"),
    "voice": re.compile(r"\b(?:voice|tone)\b"),
    "words": re.compile(r"\bwords?\b"),
}
"""How a reason mentions a kind of evidence."""
NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class DevSet:
    """Items of one dev set and the labels that are offered for them."""

    name: str
    kind: str
    items: Sequence[Item]
    labels: tuple[str, ...]

    def samples(self) -> list[Sample]:
        """Ask for the emotion of every item."""
        return [Sample("emotion", item.transcript, labels=self.labels) for item in self.items]

    def truth(self) -> NDArray[np.int64]:
        """Index of the right label of every item, [n]."""
        return np.array([self.labels.index(item.label) for item in self.items])


def dev_sets(items: Mapping[str, Sequence[Item]]) -> list[DevSet]:
    """Split the dev items by data set, each with its closed set of labels.

    RAVDESS's calm and EmoDB's boredom, no labels of the preset, are left out.
    """
    sets = []
    for kind, sources in (
        ("voice", ("ravdess", "nemo", "emodb")),
        ("face", ("ferplus", "lfw")),
        ("words", ("meld", "goemotions")),
    ):
        for source in sources:
            own = [
                item
                for item in items[kind]
                if item.source == source and item.original_label not in ("calm", "boredom")
            ]
            present = {item.label for item in own}
            labels = tuple(label for label in MINI.labels if label in present)
            sets.append(DevSet(source, kind, own, labels))
    return sets


def thinned(dev: DevSet, most: int) -> DevSet:
    """Give at most so many items of a set, drawn with a fixed seed."""
    if len(dev.items) <= most:
        return dev
    return replace(dev, items=random.Random(0).sample(list(dev.items), most))


@torch.no_grad()
def score(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    samples: Sequence[Sample],
    features: Sequence[Features],
    labels: Sequence[str],
) -> torch.Tensor:
    """Give the log-likelihood of each label after each prompt, [n x labels]."""
    model.eval()
    answers = [processor.encode_answer(label) for label in labels]
    order = sorted(range(len(samples)), key=lambda row: len(samples[row].transcript or ""))
    scores = torch.zeros(len(samples), len(labels))
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        batch = processor([samples[r] for r in rows], [_full(features[r]) for r in rows])
        scores[rows] = model.score_answers(answers, **batch).float()
    return scores


def score_set(model: EmotionLlama, processor: EmotionLlamaProcessor, dev: DevSet) -> torch.Tensor:
    """Give the log-likelihood of each offered label for each item, [n x labels]."""
    features = [item.features for item in dev.items]
    return score(model, processor, dev.samples(), features, dev.labels)


def _full(features: Features) -> Features:
    """Give features in single precision, as the encoders put them out."""
    names = ("patches", "class_token", "local", "temporal", "audio")
    values = {name: getattr(features, name) for name in names}
    single: dict[str, Any] = {n: None if v is None else v.float() for n, v in values.items()}
    return Features(**single)


def selection_score(
    model: EmotionLlama, processor: EmotionLlamaProcessor, sets: Sequence[DevSet]
) -> dict[str, float]:
    """Give the mean recall of each set, and their mean over the three kinds under ``mean``."""
    figures: dict[str, float] = {}
    by_kind: dict[str, list[float]] = {}
    for dev in sets:
        guess = score_set(model, processor, dev).argmax(dim=1).numpy()
        recall = summarize(dev.truth(), guess, 0)["uar"]
        figures[dev.name] = recall
        by_kind.setdefault(dev.kind, []).append(recall)
    figures["mean"] = float(np.mean([np.mean(values) for values in by_kind.values()]))
    return figures


def fit_temperature(scores: Sequence[torch.Tensor], truths: Sequence[NDArray[np.int64]]) -> float:
    """Find the temperature with the least cross-entropy, every set counting the same.

    Args:
        scores: label log-likelihoods of each set, [n x labels]
        truths: right labels of each set, [n]
    """
    grid = np.geomspace(0.05, 5.0, 200)
    losses = [
        np.mean(
            [
                torch.nn.functional.cross_entropy(s / t, torch.from_numpy(truth)).item()
                for s, truth in zip(scores, truths, strict=True)
            ]
        )
        for t in grid
    ]
    return round(float(grid[int(np.argmin(losses))]), 4)


def calibration_error(scores: torch.Tensor, truth: NDArray[np.int64], temperature: float) -> float:
    """Give the expected calibration error over 15 equal-width bins of confidence."""
    confidence, guess = (scores / temperature).softmax(dim=1).max(dim=1)
    right = (guess.numpy() == truth).astype(float)
    bins = np.minimum((confidence.numpy() * 15).astype(int), 14)
    gaps = [
        abs(right[bins == b].mean() - confidence.numpy()[bins == b].mean()) * np.mean(bins == b)
        for b in np.unique(bins)
    ]
    return round(float(np.sum(gaps)), 4)


def describe_set(dev: DevSet, scores: torch.Tensor, temperature: float) -> dict[str, Any]:
    """Give the figures of one dev set with 95 % intervals."""
    truth, guess = dev.truth(), scores.argmax(dim=1).numpy()
    figures = summarize(truth, guess, NUM_RESAMPLES)
    rng = np.random.default_rng(0)
    resamples = rng.integers(0, len(truth), (NUM_RESAMPLES, len(truth)))
    drawn = [_weighted_f1(truth[rows], guess[rows]) for rows in resamples[:300]]
    low, high = np.percentile(drawn, [2.5, 97.5])
    figures["weighted_f1"] = round(_weighted_f1(truth, guess), 4)
    figures["weighted_f1_95"] = [round(float(low), 4), round(float(high), 4)]
    figures["calibration_error"] = calibration_error(scores, truth, temperature)
    figures["calibration_error_at_1"] = calibration_error(scores, truth, 1.0)
    top_two = scores.topk(2, dim=1).indices.numpy()
    figures["top_2"] = round(float(np.mean((top_two == truth[:, None]).any(axis=1))), 4)
    figures["recall"] = {
        label: round(float(np.mean(guess[truth == index] == index)), 3)
        for index, label in enumerate(dev.labels)
    }
    return figures


def _weighted_f1(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    return float(f1_score(truth, guess, average="weighted", zero_division=0))


@torch.no_grad()
def write(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    samples: Sequence[Sample],
    features: Sequence[Features],
    max_new_tokens: int,
) -> list[str]:
    """Let the model answer greedily."""
    texts = []
    for start in range(0, len(samples), ROWS):
        rows = slice(start, start + ROWS)
        batch = processor(samples[rows], [_full(f) for f in features[rows]])
        generated = model.generate(**batch, max_new_tokens=max_new_tokens)
        texts += [processor.decode(ids) for ids in generated]
    return texts


def check_greedy(
    model: EmotionLlama, processor: EmotionLlamaProcessor, dev: DevSet, scores: torch.Tensor
) -> float:
    """Give the share of greedy answers that name the label with the best score."""
    features = [item.features for item in dev.items]
    texts = write(model, processor, dev.samples(), features, 6)
    labels = LabelSet(dev.name, dev.labels)
    best = [dev.labels[index] for index in scores.argmax(dim=1).tolist()]
    return float(np.mean([parse_label(t, labels) == b for t, b in zip(texts, best, strict=True)]))


def check_reasons(
    model: EmotionLlama, processor: EmotionLlamaProcessor, dev: DevSet, scores: torch.Tensor
) -> dict[str, Any]:
    """Check written reasons: form, modalities, conclusion, and evidence against what is known.

    A reason is well formed when it ends in a conclusion, mentions the modality that it was given
    and no other. ``scores`` are those of the same items and the full label set.
    """
    samples = [Sample("reason", item.transcript) for item in dev.items]
    features = [item.features for item in dev.items]
    texts = write(model, processor, samples, features, 60)
    formed, concluded, agreed, named = [], [], [], []
    for row, (text, item) in enumerate(zip(texts, dev.items, strict=True)):
        end = CONCLUSION.search(text)
        mentioned = {kind for kind, pattern in MENTIONS.items() if pattern.search(text)}
        formed.append(end is not None and mentioned == {dev.kind})
        concluded.append(end is not None and end[1] == MINI.labels[int(scores[row].argmax())])
        agreed += _evidence_is_right(text, item)
        named += [w for pair in VOICE_WORDS for w in pair if dev.kind == "voice" and w in text]
    return {
        "n": len(texts),
        "well_formed": round(float(np.mean(formed)), 4),
        "concludes_scored_label": round(float(np.mean(concluded)), 4),
        "evidence_right": round(float(np.mean(agreed)), 4) if agreed else None,
        "evidence_checked": len(agreed),
        "different_texts": len(set(texts)),
        "voice_words": {word: named.count(word) for word in sorted(set(named))},
        "examples": [
            f"{item.label}: {text}" for item, text in zip(dev.items[:6], texts, strict=False)
        ],
    }


def _evidence_is_right(text: str, item: Item) -> list[bool]:
    """Compare what a reason states with what is known of the item."""
    if item.prosody_scores:
        words = re.findall(r"[a-z]+", text)
        return list(words_agree(words, item.prosody_scores).values())
    if item.transcript is not None:
        quoted = re.search(r"\bthe word (\w+)", text)
        return [quoted[1] in item.transcript.lower()] if quoted else []
    before = re.split(r",? (?:so|which suggests|therefore) ", text)[0]
    stated = {
        label
        for label in MINI.labels
        for form in (*ADJECTIVES[label], NOUNS[label])
        if re.search(rf"\b{form}\b", before)
    }
    return [stated == {item.label}] if stated else []


def check_influence(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    faces: DevSet,
    voices: DevSet,
    words: DevSet,
    temperature: float,
) -> dict[str, Any]:
    """Join faces, voices and words at random, then take one away or swap it.

    Returns:
        for each kind the mean total-variation distance of the probabilities and the share of
        changed labels, once without it and once with another item's
    """
    rng = random.Random(0)
    count = 200
    drawn = {
        dev.kind: [rng.choice(list(dev.items)) for _ in range(2 * count)]
        for dev in (faces, voices, words)
    }

    def probabilities(shift: str | None, drop: str | None) -> torch.Tensor:
        rows = {
            kind: items[count:] if kind == shift else items[:count] for kind, items in drawn.items()
        }
        samples, features = [], []
        for face, voice, word in zip(rows["face"], rows["voice"], rows["words"], strict=True):
            seen = face.features if drop != "face" else Features()
            heard = voice.features.audio if drop != "voice" else None
            said = word.transcript if drop != "words" else None
            samples.append(Sample("emotion", said))
            features.append(replace(seen, audio=heard))
        scores = score(model, processor, samples, features, MINI.labels)
        return (scores / temperature).softmax(dim=1)

    usual = probabilities(None, None)
    result = {}
    for kind in drawn:
        for how, other in (
            ("without", probabilities(None, kind)),
            ("swapped", probabilities(kind, None)),
        ):
            result[f"{kind} {how}"] = {
                "distance": round(float((usual - other).abs().sum(dim=1).mean() / 2), 4),
                "label_changes": round(
                    float((usual.argmax(dim=1) != other.argmax(dim=1)).float().mean()), 4
                ),
            }
    return result
