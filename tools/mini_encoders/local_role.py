"""The local role: the expression of single faces, soft labels.

Knows: FER+ and LFW stills. Does not know: tracks, scenes.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from training_loop import Batch, Schedule, cross_entropy

from emotion_llama.encoders import save_encoder
from emotion_llama.encoders.mini_local_encoder import CROP_SIZE, FaceLocalEncoder
from emotion_llama.labels import MINI

from . import face_data
from .scores import summarize


class LocalRole:
    """Expression of FER+ and LFW training faces."""

    name = "local"

    def __init__(self, data_dir: Path, cache_dir: Path) -> None:
        self.schedule = Schedule(
            epochs=6,
            steps_per_epoch=265,
            batch_size=128,
            peak_learning_rate=3e-3,
            weight_decay=0.02,
            ema_decay=0.996,
        )
        encoder = FaceLocalEncoder()
        head = nn.Sequential(nn.Dropout(0.3), nn.Linear(encoder.output_dim, len(MINI)))
        self.network = nn.ModuleDict({"encoder": encoder, "head": head})
        self._train = face_data.both(data_dir, "train", CROP_SIZE)
        self._weights = face_data.draw_weights(self._train)
        self._dev = {
            "ferplus": face_data.ferplus(data_dir, "dev"),
            "lfw": face_data.resize(face_data.lfw(data_dir, "dev"), CROP_SIZE),
        }

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Give one augmented batch: faces [b x 1 x 48 x 48] and targets [b x 8]."""
        count = self.schedule.batch_size
        chosen = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        pixels = self._train.pixels[chosen][:, None].float()
        theta = face_data.random_affine(count, generator)
        pixels = face_data.warp(pixels, theta, CROP_SIZE)
        pixels = face_data.erase(face_data.relight(pixels, generator), generator)
        return pixels, self._train.targets[chosen]

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
            result[name] = summarize(faces.labels, guess, num_resamples)
        return result
