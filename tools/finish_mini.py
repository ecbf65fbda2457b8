"""Turn a trained model into the packaged `mini` preset: temperatures, late fusion, fp16.

    python tools/finish_mini.py --model runs/mini/stage2/model --data runs/mini/data --out PRESET

The temperatures make probabilities as sure as the answers are right on development people; they do
not change which label is the most probable. What is seen and heard is asked about apart, see
`emotion_llama.model.late_fusion`. No test row is read.
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
from emotion_llama.evaluation.trust import fit_temperature
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
        sets = {one: scored(model, processor, arguments.data, one) for one in sources}
        found = {one: fit_temperature(*of_set).temperature for one, of_set in sets.items()}
        # new recordings are taken to be like the set on which the answers are too sure
        fitted[name] = round(max(found.values()), 4)
        for one, temperature in found.items():
            print(f"{name}, {one}: temperature {temperature:.3f}, {len(sets[one][1])} items")
    model.config.evidence_temperatures = fitted
    # what rests on several has no development people of its own but too few: the most careful one
    model.config.label_temperature = max(fitted.values())
    # nor did it learn from clips with a face and a voice of one person
    model.config.late_fusion = True
    write(model, processor, arguments.model, arguments.out)


@torch.inference_mode()
def scored(
    model: EmotionLlama, processor: EmotionLlamaProcessor, data_dir: Path, source: str
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Score development items over the labels that their set has.

    Returns:
        logarithms of the probabilities at temperature 1 [n x a], right labels [n], labels [a]
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
    logs = torch.cat(rows).double().clamp(min=1e-30).log().numpy()
    return logs, [str(example.label) for example in examples], labels


def _single(features: Features) -> Features:
    values: dict[str, Any] = {
        name: None if value is None else value.float()
        for name in ("patches", "class_token", "local", "temporal", "audio")
        for value in [getattr(features, name)]
    }
    return replace(features, **values)


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
