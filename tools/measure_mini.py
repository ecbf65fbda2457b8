"""Measure a preset on everything that its model card reports, through `Predictor` from files.

    python tools/measure_mini.py --data DIR --preset mini|FOLDER --split dev|test --out figures.json
                                 [--only NAME ...] [--limit N]

Labels are scored over the closed list of each data set. Every figure has its number of items and a
95 % percentile bootstrap interval: over people, each drawn with all items, where at least ten are
known; with fewer, over items, which is too narrow for unseen people and said in the row. Choose on
``dev``; look at ``test`` once. Knows: which parts there are. Does not know: how each is measured.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from preset_measures import (
    baselines,
    calibration,
    closed_labels,
    following,
    influence,
    language,
    speed,
)
from preset_measures.bench import Bench

from emotion_llama import Predictor

PARTS: Mapping[str, tuple[str, Callable[[Bench], Any]]] = {
    "labels": ("figures", closed_labels.measure),
    "clips": ("clips", closed_labels.measure_clips),
    "calibration": ("calibration", calibration.measure),
    "influence": ("modality effects", influence.measure),
    "language": ("language", language.measure),
    "following": ("following", following.measure),
    "speed": ("speed", speed.measure),
    "baselines": ("baselines", baselines.measure),
}
"""Name of a part -> its place in the file, and what measures it."""


def main() -> None:
    """Measure one part after the other; the file is written after each."""
    arguments = _arguments()
    content: dict[str, Any] = {
        "split": arguments.split,
        "preset": Path(arguments.preset).name,
        "limit": arguments.limit,
        "seconds": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(
            Predictor.from_pretrained(arguments.preset),
            arguments.preset,
            Path(arguments.data),
            arguments.split,
            Path(scratch),
            arguments.limit,
        )
        for name in arguments.only or PARTS:
            place, measure = PARTS[name]
            start = time.perf_counter()
            content[place] = measure(bench)
            content["seconds"][name] = round(time.perf_counter() - start, 1)
            arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            print(f"{name}: {content['seconds'][name]} s", flush=True)
            print(json.dumps(content[place], indent=1), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument("--preset", default="mini", help="mini, a folder or a hub id")
    parser.add_argument("--split", choices=("dev", "test"), required=True)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), help="leave the other parts out")
    parser.add_argument("--limit", type=int, help="most items of a set, for a trial")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("found no data folder; give --data DIR or set EMOTION_LLAMA_DATA")
    return arguments


if __name__ == "__main__":
    main()
