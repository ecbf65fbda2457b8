"""Measure the face package on people and pictures that it was not trained on.

    python tools/measure_face.py --data DIR [--labels DIR] [--output figures.json] [--only NAME]

Prints Markdown tables and writes them, with n and 95 % intervals (percentile bootstrap, 2000
resamples), to ``emotion_llama/presets/face/figures.json``. Knows: which measures there are. Does
not know: how each is taken; nothing is chosen by what it finds.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from face_measures import detection, identities, planted_motions, points, units
from face_measures.figures import Table, markdown
from face_measures.sources import Sources

from emotion_llama.face.networks import short_hash
from emotion_llama.face.shape import PACKAGED_DIR

Measure = Callable[[Sources], list[Table]]

MEASURES: Mapping[str, Measure] = {
    "detection": detection.measure_composed,
    "clip-detection": detection.measure_clips,
    "points": points.measure,
    "still-units": units.measure_stills,
    "clip-units": units.measure_clips,
    "planted": planted_motions.measure,
    "identity": identities.measure,
}


def weights_in_use() -> dict[str, str]:
    """Give the beginning of the SHA-256 of every packaged file of numbers."""
    return {path.stem: short_hash(path) for path in sorted(PACKAGED_DIR.glob("*.safetensors"))}


def record(tables: list[Table]) -> dict[str, Any]:
    """Give what is written of one measure, with the weights that it holds for."""
    return {"weights": weights_in_use(), "tables": [table.to_record() for table in tables]}


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument("--labels", type=Path, help="labels of FER+ test faces by make_labels.py")
    parser.add_argument("--output", type=Path, default=PACKAGED_DIR / "figures.json")
    parser.add_argument("--only", choices=tuple(MEASURES), action="append")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("found no data folder; give --data DIR or set EMOTION_LLAMA_DATA")
    sources = Sources(Path(arguments.data), arguments.labels)
    figures: dict[str, Any] = {}
    if arguments.only and arguments.output.is_file():
        figures = json.loads(arguments.output.read_text(encoding="utf-8"))
    for name in arguments.only or MEASURES:
        start = time.perf_counter()
        figures[name] = record(MEASURES[name](sources))
        print(f"## {name} ({time.perf_counter() - start:.0f} s)\n")
        for table in figures[name]["tables"]:
            print(markdown(table) + "\n", flush=True)
        ordered = {key: figures[key] for key in MEASURES if key in figures}
        arguments.output.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
