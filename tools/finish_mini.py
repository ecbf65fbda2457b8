"""Turn a trained model into the packaged `mini` preset: fit its temperatures, write it in fp16.

    python tools/finish_mini.py --model runs/mini/stage2/model --data runs/mini/data --out PRESET

The temperatures make probabilities as sure as the answers are right on development people; they do
not change which label is the most probable. No test row is read.
"""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emotion_llama.config import SourceConfig
from emotion_llama.data import open_features, read_source
from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.scoring import label_probabilities
from emotion_llama.preset import save_preset_media
from emotion_llama.records import Features, Sample

SETS: Mapping[str, Sequence[str]] = {
    "voice": ("ravdess", "nemo", "emodb"),
    "face": ("ferplus",),
    "words": ("meld",),
}
"""What an answer rests on -> development sets that its temperature is fitted on."""
MOST = 600
"""Items of a set that are scored."""
ROWS = 64
TEMPERATURES = np.geomspace(0.2, 5.0, 200)
CARD_FILES = ("README.md", "LICENSE")


def main() -> None:
    """Fit, write, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="folder of `emotion-llama train`")
    parser.add_argument("--data", type=Path, required=True, help="folder of make_mini_data.py")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    model = EmotionLlama.from_pretrained(arguments.model).eval()
    processor = EmotionLlamaProcessor.from_pretrained(arguments.model)
    model.config.label_temperature, model.config.evidence_temperatures = 1.0, {}
    fitted = {}
    for name, sources in SETS.items():
        sets = [scored(model, processor, arguments.data, source) for source in sources]
        fitted[name] = fit_temperature(sets)
        print(f"{name}: temperature {fitted[name]:.3f}, {sum(len(t) for _, t in sets)} items")
    model.config.evidence_temperatures = fitted
    # what rests on several has no development people of its own but too few: the most careful one
    model.config.label_temperature = max(fitted.values())
    write(model, processor, arguments.model, arguments.out)


@torch.inference_mode()
def scored(
    model: EmotionLlama, processor: EmotionLlamaProcessor, data_dir: Path, source: str
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Score development items over the labels that their set has.

    Returns:
        logarithms of the probabilities at temperature 1 [n x a], and the index of the label [n]
    """
    config = SourceConfig(
        kind="table",
        path=str(data_dir / f"dev_{source}.jsonl"),
        features=str(data_dir / "features"),
        split="dev",
        tasks=("emotion",),
    )
    examples = read_source(config).examples
    stored = open_features(config, None)
    step = max(1, len(examples) // MOST)
    examples = examples[::step]
    labels = [label for label in model.config.labels if any(e.label == label for e in examples)]
    rows = []
    for start in range(0, len(examples), ROWS):
        part = examples[start : start + ROWS]
        samples = [Sample("emotion", e.transcript, labels=tuple(labels)) for e in part]
        features = [_single(stored.features(e.clip_id)) for e in part]
        rows.append(label_probabilities(model, processor, samples, features, labels))
    truth = np.array([labels.index(str(e.label)) for e in examples])
    return torch.cat(rows).double().clamp(min=1e-30).log().numpy(), truth


def _single(features: Features) -> Features:
    values: dict[str, Any] = {
        name: None if value is None else value.float()
        for name in ("patches", "class_token", "local", "temporal", "audio")
        for value in [getattr(features, name)]
    }
    return replace(features, **values)


def fit_temperature(
    sets: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]],
) -> float:
    """Find the temperature with the least cross-entropy, every set counting the same.

    Args:
        sets: logarithms of probabilities [n x a] and label indices [n]
    """

    def cross_entropy(temperature: float) -> float:
        losses = []
        for logs, truth in sets:
            scaled = logs / temperature
            norm = np.logaddexp.reduce(scaled, axis=1)
            losses.append(float(np.mean(norm - scaled[np.arange(len(truth)), truth])))
        return float(np.mean(losses))

    losses = [cross_entropy(float(temperature)) for temperature in TEMPERATURES]
    return round(float(TEMPERATURES[int(np.argmin(losses))]), 4)


def write(
    model: EmotionLlama, processor: EmotionLlamaProcessor, source: Path, target: Path
) -> None:
    """Write the preset in half precision; card and licence of the target stay."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(target.iterdir()):
        if path.name not in CARD_FILES:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(source / "encoders", target / "encoders")
    save_preset_media(target, {"align_whole_frames": True})
    processor.config = model.config
    processor.save_pretrained(target)
    model.to(torch.float16).save_pretrained(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(json.dumps({"bytes": size, "folder": str(target)}))


if __name__ == "__main__":
    main()
