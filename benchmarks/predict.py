"""Time of an answer with its reason, with LoRA in the weights and apart from them.

    python benchmarks/predict.py [--preset mini] [--runs 10] [--threads 2]

The clips are the packaged examples; they are read and encoded once, outside of the times. The rows
take turns, so that what else the machine does weighs on both alike.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from emotion_llama import EmotionLlama, Predictor
from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.preset import find_preset

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
APART, MERGED = "LoRA apart", "LoRA in the weights"


def main() -> None:
    """Answer in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    merged = Predictor.from_pretrained(arguments.preset, device="cpu")
    ways = {APART: with_lora_apart(merged, arguments.preset), MERGED: merged}
    clips = encoded_examples(merged)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(arguments.runs + 1):
        for name, predictor in ways.items():
            seconds = [time_of(predictor, clip) for clip in clips]
            if run > 0:  # the first turn warms up
                times[name].append(statistics.mean(seconds))
    print(table(times, len(clips), arguments.threads))


def with_lora_apart(merged: Predictor, preset: str) -> Predictor:
    """Give the same preset as its files have it."""
    model = EmotionLlama.from_pretrained(find_preset(preset), dtype=torch.float32)
    return Predictor(model, merged.processor, merged.extractor, preset="apart")


def encoded_examples(predictor: Predictor) -> list[EncodedClip]:
    """Read and encode the packaged clips, each with its words where it has some."""
    clips = []
    for path in sorted(EXAMPLES.glob("*.mp4")):
        words = path.with_suffix(".txt")
        text = words.read_text(encoding="utf-8") if words.exists() else None
        clips.append(predictor.read(path, text))
    return predictor.encode(clips)


def time_of(predictor: Predictor, clip: EncodedClip) -> float:
    """Give the seconds of one answer."""
    start = time.perf_counter()
    predictor.answer([clip])
    return time.perf_counter() - start


def table(times: dict[str, list[float]], num_clips: int, num_threads: int) -> str:
    """Lay the medians out beside the baseline, which is LoRA apart."""
    base = statistics.median(times[APART])
    lines = [
        f"label and reason of an encoded clip, mean of {num_clips}, {num_threads} thread(s), "
        f"median of {len(times[APART])} turns",
        "",
        "| way | ms | of the time apart |",
        "| --- | --- | --- |",
    ]
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        lines.append(f"| {name} | {1000 * middle:.0f} | {middle / base:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
