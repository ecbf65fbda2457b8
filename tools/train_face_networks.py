"""Train the two small networks of the face, or one of them.

    python tools/train_face_networks.py --data DIR --labels DIR --out DIR [--only landmarks]

LABELS holds what face_networks/make_labels.py and make_scene_labels.py wrote (``ferplus.npz``,
``lfw_emotion.npz``, ``scenes.csv``). Writes OUT/detector.safetensors and
OUT/landmarks.safetensors (fp16), checkpoints under OUT/checkpoints/ and development figures under
OUT/dev/. No test row is read.
"""

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from face_networks.detector_role import DetectorRole
from face_networks.landmark_role import LandmarkRole
from training_loop import Role, train

from emotion_llama.face.networks import load_weights

ROLES: Mapping[str, Callable[[Path, Path], Role]] = {
    "detector": DetectorRole,
    "landmarks": LandmarkRole,
}


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=tuple(ROLES), action="append")
    parser.add_argument("--resume", action="store_true", help="continue from OUT/checkpoints")
    parser.add_argument("--start", type=Path, help="folder of weights to start from, not random")
    parser.add_argument("--epochs", type=int, help="another length than the role's own")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("found no data folder; give --data DIR or set EMOTION_LLAMA_DATA")
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.only or ROLES:
        role = ROLES[name](Path(arguments.data), arguments.labels)
        if arguments.start is not None:
            load_weights(role.network[name], arguments.start / f"{name}.safetensors")
            role.network.requires_grad_(True)
        if arguments.epochs is not None:
            role.schedule = dataclasses.replace(role.schedule, epochs=arguments.epochs)
        train(role, arguments.out, arguments.resume)


if __name__ == "__main__":
    main()
