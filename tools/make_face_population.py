"""Measure what the face package knows of many people, with the networks that it ships.

    python tools/make_face_population.py --data DIR --labels DIR --out DIR

Writes OUT/population.safetensors: the mean face, how neutral faces and point errors spread, the
mean gradients, and the reading of brows on stills. Training rows of LFW and FER+ only.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
from face_networks import material
from face_networks.population import (
    brow_reading,
    mean_face,
    mean_gradients,
    neutral_statistics,
    read_faces,
)
from safetensors.numpy import save_file

from emotion_llama.face import shape


def main() -> None:
    """Measure, write and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument("--labels", type=Path, required=True, help="folder of make_labels.py")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("found no data folder; give --data DIR or set EMOTION_LLAMA_DATA")
    data_dir = Path(arguments.data)
    statistics: dict[str, Any] = {"mean": mean_face(material.lfw(data_dir, "train"))}
    arguments.out.mkdir(parents=True, exist_ok=True)
    # what follows is measured in the frame of this mean face
    shape.use_population(statistics)
    train = read_faces(data_dir, "train")
    statistics |= neutral_statistics(train, data_dir, arguments.labels)
    statistics["gradients"] = mean_gradients(train)
    statistics |= brow_reading(train)
    path = arguments.out / "population.safetensors"
    save_file({key: np.ascontiguousarray(value) for key, value in statistics.items()}, path)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
