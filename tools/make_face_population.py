"""Measure what the face package knows of many people, with the networks that it ships.

    python tools/make_face_population.py --data DIR --out DIR [--only PART]

Writes OUT/population.safetensors: the mean face and how neutral faces spread, what the network
makes of movements, the reading of brows on stills, and what tells people apart. Training rows of
LFW and FER+ only; with ``--only``, the other parts are those of the packaged file, bit by bit.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from face_networks import identity_metric, material
from face_networks.population import brow_reading, mean_face, neutral_statistics, read_faces
from face_networks.responses import responses
from safetensors.numpy import load_file, save_file

from emotion_llama.face import shape

PARTS = ("faces", "movements", "brows", "identity")
SEED = 0


def measure(data_dir: Path, parts: Sequence[str], statistics: dict[str, Any]) -> None:
    """Measure parts with the networks in use and put them among the statistics."""
    if "faces" in parts:
        statistics["mean"] = mean_face(material.lfw(data_dir, "train"))
    # what follows is measured in the frame of this mean face
    shape.use_population(statistics)
    train = read_faces(data_dir, "train") if {"faces", "brows"} & set(parts) else None
    if "faces" in parts and train is not None:
        statistics |= neutral_statistics(train)
    if "movements" in parts:
        statistics |= responses(data_dir, np.random.default_rng(SEED))
    if "brows" in parts and train is not None:
        statistics |= brow_reading(train)
    if "identity" in parts:
        people = identity_metric.portraits(data_dir, "train")
        statistics |= identity_metric.identity_metric(people, np.random.default_rng(SEED))


def report_identity(data_dir: Path, statistics: dict[str, Any]) -> None:
    """Print how well development people are told apart."""
    shape.use_population(statistics)
    people = identity_metric.portraits(data_dir, "dev")
    compared = identity_metric.compare(people, np.random.default_rng(SEED))
    print(identity_metric.summary(compared))


def main() -> None:
    """Measure, write and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=PARTS, action="append", help="may be given again")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("found no data folder; give --data DIR or set EMOTION_LLAMA_DATA")
    data_dir, parts = Path(arguments.data), arguments.only or PARTS
    packaged = shape.PACKAGED_DIR / "population.safetensors"
    statistics: dict[str, Any] = load_file(packaged) if arguments.only else {}
    measure(data_dir, parts, statistics)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "population.safetensors"
    save_file({key: np.ascontiguousarray(value) for key, value in statistics.items()}, path)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    if "identity" in parts:
        report_identity(data_dir, statistics)


if __name__ == "__main__":
    main()
