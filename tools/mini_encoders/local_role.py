"""The local role: the expression of single aligned faces, soft labels.

Knows: FER+ and LFW stills. Does not know: tracks, scenes. Some closed mouths are opened without a
change of the label, so that talking is not taken for surprise.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mini_reasons import clue_vocabulary
from torch import Tensor, nn
from training_loop import Batch, Schedule, cross_entropy

from emotion_llama.encoders import save_encoder
from emotion_llama.encoders.mini_local_encoder import CROP_SIZE, FaceLocalEncoder
from emotion_llama.labels import MINI

from . import aligned_faces, face_data
from .scores import summarize

JITTER = 0.7
"""Share of the usual turns, scales and shifts: the crops are aligned already."""
TALKING = 0.2
"""Share of faces with a closed mouth, surprise apart, whose mouth is opened."""
WIDEST_GAP = 0.14
"""Of an opened mouth, in crop sides."""


COMMON = MINI.labels[:6]
"""The labels but disgust and contempt, which come last and are rare."""
SETS = {"ferplus": face_data.ferplus, "lfw": face_data.lfw}


def aligned_sets(
    data_dir: Path, cache_dir: Path, split: str, names: Sequence[str]
) -> tuple[aligned_faces.AlignedFaces, Tensor]:
    """Read data sets as aligned faces, and how often each face is drawn [n]."""
    sets = {name: SETS[name](data_dir, split) for name in names}
    aligned = [
        aligned_faces.align(faces, CROP_SIZE, cache_dir / f"{name}_{split}.pt")
        for name, faces in sets.items()
    ]
    weights = torch.cat([face_data.draw_weights(faces) for faces in sets.values()])
    return aligned_faces.join(aligned), weights


class LocalRole:
    """Expression of FER+ and LFW training faces."""

    name = "local"

    def __init__(self, data_dir: Path, cache_dir: Path) -> None:
        self.schedule = Schedule(
            epochs=10,
            steps_per_epoch=265,
            batch_size=128,
            peak_learning_rate=3e-3,
            weight_decay=0.02,
            ema_decay=0.996,
        )
        encoder = FaceLocalEncoder(clues=clue_vocabulary()["local"])
        width = encoder.embedding_norm.num_features
        head = nn.Sequential(nn.Dropout(0.3), nn.Linear(width, len(MINI)))
        self.network = nn.ModuleDict({"encoder": encoder, "head": head})
        self._train, self._weights = aligned_sets(data_dir, cache_dir, "train", tuple(SETS))
        self._dev = {name: aligned_sets(data_dir, cache_dir, "dev", (name,))[0] for name in SETS}

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Give one augmented batch: faces [b x 1 x 48 x 48] and targets [b x 8]."""
        count = self.schedule.batch_size
        chosen = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        faces = self._train.rows(chosen)
        chance = TALKING * (1.0 - faces.targets[:, MINI.labels.index("surprise")])
        opening, dark, _ = aligned_faces.talking(faces, chance, WIDEST_GAP, generator)
        pixels = aligned_faces.open_mouths(faces.pixels, faces.points, opening, dark)[:, None]
        theta = face_data.random_affine(count, generator, JITTER)
        pixels = face_data.warp(pixels, theta, CROP_SIZE)
        pixels = face_data.erase(face_data.relight(pixels, generator), generator)
        return pixels, faces.targets

    def loss(self, network: nn.ModuleDict, batch: Batch) -> Tensor:
        """Give the cross-entropy of a batch of inputs and targets."""
        inputs, targets = batch
        return cross_entropy(self.logits(network, inputs), targets, self.schedule.label_smoothing)

    def save(self, network: nn.ModuleDict, folder: Path) -> None:
        """Write the encoder; the head stays in the checkpoint."""
        save_encoder(network["encoder"], folder / "encoders" / self.name, torch.float16)

    def logits(self, network: nn.ModuleDict, inputs: Tensor) -> Tensor:
        """Score one face per row, [b x 8]."""
        scores: Tensor = network["head"](network["encoder"](inputs))
        return scores

    @torch.no_grad()
    def evaluate(self, network: nn.ModuleDict, num_resamples: int) -> dict[str, Any]:
        """Give 8-way accuracy and UAR against the majority label of the development faces."""
        result = {}
        for name, faces in self._dev.items():
            parts = [part[:, None].float() for part in faces.pixels.split(500)]
            scores = torch.cat([self.logits(network, part) for part in parts])
            guess = scores.argmax(dim=1).numpy()
            result[name] = summarize(faces.targets.argmax(dim=1).numpy(), guess, num_resamples)
            common = scores[:, : len(COMMON)].argmax(dim=1)
            labels = faces.targets.argmax(dim=1)
            six = labels < len(COMMON)
            result[f"{name} six"] = summarize(labels[six].numpy(), common[six].numpy(), 0)
        return result
