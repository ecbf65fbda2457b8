"""Train the four small encoders of the ``mini`` preset, or some of them.

    python tools/train_mini_encoders.py --data DIR --out DIR [--only audio|local|temporal|global]

Writes fp16 safetensors under OUT/encoders/<role>/ (what ``FeatureExtractor.from_pretrained(OUT)``
reads), checkpoints with the training-only heads under OUT/checkpoints/ and development figures
under OUT/dev/. No test row is read.
"""

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from mini_encoders.audio_role import AudioRole
from mini_encoders.global_role import GlobalRole
from mini_encoders.local_role import LocalRole
from mini_encoders.temporal_role import TemporalRole
from training_loop import Role, train

ROLES: Mapping[str, Callable[[Path, Path], Role]] = {
    "audio": AudioRole,
    "local": LocalRole,
    "temporal": TemporalRole,
    "global": GlobalRole,
}


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=tuple(ROLES), action="append")
    parser.add_argument("--resume", action="store_true", help="continue from OUT/checkpoints")
    parser.add_argument("--share", type=float, default=1.0, help="share of each role's own epochs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("found no data folder; give --data DIR or set EMOTION_LLAMA_DATA")
    torch.set_num_threads(arguments.threads)
    for name in arguments.only or ROLES:
        torch.manual_seed(arguments.seed)  # the first weights are drawn when the role is made
        role = ROLES[name](Path(arguments.data), arguments.out / "cache")
        epochs = max(1, round(arguments.share * role.schedule.epochs))
        role.schedule = dataclasses.replace(role.schedule, seed=arguments.seed, epochs=epochs)
        train(role, arguments.out, arguments.resume)


if __name__ == "__main__":
    main()
