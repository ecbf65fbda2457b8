"""The audio role: emotional speech of the training speakers as log-mel pictures, augmented.

Knows: the manifest's speech rows, sampling and augmentation. Never reads a test row.
"""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from mini_reasons import clue_vocabulary
from torch import Tensor, nn
from torch.nn import functional
from training_loop import Batch, Schedule, cross_entropy

from emotion_llama.encoders import save_encoder
from emotion_llama.encoders.mini_audio_encoder import (
    SEGMENT_FRAMES,
    MelAudioEncoder,
    cut_segments,
    trim_silence,
)
from emotion_llama.labels import MINI

from .scores import summarize

LABELS = tuple(label for label in MINI.labels if label != "contempt")
"""No speech set here has acted contempt."""
SPOKEN_AS = {"calm": "neutral", "boredom": "neutral"}
SHARES = {"ravdess": 0.4, "nemo": 0.4, "emodb": 0.2}
"""Share of each data set in what is drawn; inside a set the labels are drawn equally often."""
MOST_SPEED_CHANGE = 0.16
LONGEST_CROP = math.ceil(SEGMENT_FRAMES * (1.0 + MOST_SPEED_CHANGE))


def _rows(data_dir: Path, split: str) -> list[dict[str, str]]:
    with (data_dir / "manifest.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["dataset"] in SHARES and r["split"] == split]
    labelled = [{**r, "label": SPOKEN_AS.get(r["label"], r["label"])} for r in rows]
    return [r for r in labelled if r["label"] in LABELS]


def _read(path: Path) -> Tensor:
    samples, rate = soundfile.read(path, dtype="float32")
    if rate != MelAudioEncoder.sample_rate_hz or samples.ndim != 1:
        msg = f"{path.name} has {rate} Hz and shape {samples.shape}; expected 16000 Hz mono"
        raise ValueError(msg)
    return torch.from_numpy(samples)


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def warp(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Change speed by up to 16 % and stretch (7 %) and shift (3 bands) the frequency axis.

    Args:
        crops: log-mel crops with some frames to spare, [b x 64 x `LONGEST_CROP`]
        generator: source of the random factors

    Returns:
        [b x 64 x `SEGMENT_FRAMES`]
    """
    count = len(crops)
    speed = _uniform(count, 1.0 - MOST_SPEED_CHANGE, 1.0 + MOST_SPEED_CHANGE, generator)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = speed * SEGMENT_FRAMES / LONGEST_CROP
    theta[:, 1, 1] = _uniform(count, 0.93, 1.07, generator)
    theta[:, 1, 2] = _uniform(count, -0.09, 0.09, generator)
    grid = functional.affine_grid(theta, [count, 1, 64, SEGMENT_FRAMES], align_corners=False)
    warped = functional.grid_sample(
        crops[:, None], grid, padding_mode="border", align_corners=False
    )
    return warped[:, 0]


def add_noise(log_mel: Tensor, generator: torch.Generator) -> Tensor:
    """Add steady coloured noise to 35 % of the crops, 8 to 40 dB under the peak."""
    count = len(log_mel)
    bands = torch.linspace(-1.0, 1.0, log_mel.shape[1])
    peak = log_mel.amax(dim=(1, 2))
    level = peak - _uniform(count, 8.0, 40.0, generator) * math.log(10.0) / 10.0 - 2.0
    tilt = _uniform(count, -2.5, 1.0, generator)
    noise = level[:, None, None] + (tilt[:, None] * bands)[:, :, None]
    noise = noise + 0.4 * torch.randn(log_mel.shape, generator=generator)
    chosen = torch.rand(count, generator=generator) < 0.35
    return torch.where(chosen[:, None, None], torch.logaddexp(log_mel, noise), log_mel)


def equalize(log_mel: Tensor, generator: torch.Generator) -> Tensor:
    """Add a smooth random curve over frequency: another microphone, another room."""
    count, bands, _ = log_mel.shape
    position = torch.linspace(0.0, math.pi, bands)
    curve = torch.zeros(count, bands)
    for order in (1, 2, 3):
        strength = 0.5 * torch.randn(count, 1, generator=generator) / order
        curve = curve + strength * torch.cos(order * position)
    return log_mel + curve[:, :, None]


def mask(log_mel: Tensor, generator: torch.Generator) -> Tensor:
    """Set one band range (up to 9) and one time range (up to 40 frames) to the crop's mean."""
    count, bands, frames = log_mel.shape
    hidden = torch.zeros(log_mel.shape, dtype=torch.bool)
    for length, most, view in ((bands, 9, (-1, bands, 1)), (frames, 40, (-1, 1, frames))):
        size = torch.randint(0, most + 1, (count,), generator=generator)
        start = torch.rand(count, generator=generator) * (length - size)
        index = torch.arange(length)
        inside = (index >= start[:, None]) & (index < (start + size)[:, None])
        hidden |= inside.view(view)
    return torch.where(hidden, log_mel.mean(dim=(1, 2), keepdim=True), log_mel)


class AudioRole:
    """Speech emotion from RAVDESS, nEMO and EmoDB training speakers."""

    name = "audio"

    def __init__(self, data_dir: Path, cache_dir: Path) -> None:
        self.schedule = Schedule(
            epochs=20,
            steps_per_epoch=64,
            batch_size=64,
            peak_learning_rate=4e-3,
            weight_decay=0.02,
            ema_decay=0.995,
            label_smoothing=0.05,
        )
        encoder = MelAudioEncoder(clues=clue_vocabulary()["audio"])
        width = encoder.embedding_norm.num_features
        head = nn.Sequential(nn.Dropout(0.4), nn.Linear(width, len(LABELS)))
        self.network = nn.ModuleDict({"encoder": encoder, "head": head})
        self._train_rows = _rows(data_dir, "train")
        self._dev_rows = _rows(data_dir, "dev")
        self._train_mels = self._load(data_dir, cache_dir / "audio_train.pt", self._train_rows)
        self._dev_mels = self._load_segments(data_dir, self._dev_rows)
        self._weights = self._draw_weights()

    def _load(self, data_dir: Path, cache_path: Path, rows: list[dict[str, str]]) -> list[Tensor]:
        if cache_path.exists():
            kept = torch.load(cache_path, weights_only=True)
            if kept["paths"] == [row["path"] for row in rows]:
                mels: list[Tensor] = kept["mels"]
                return mels
        encoder: Any = self.network["encoder"]
        mels = []
        for row in rows:
            sound = trim_silence(_read(data_dir / row["path"]))
            mels.append(encoder.log_mel(sound[None])[0].half())
        cache_path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"paths": [row["path"] for row in rows], "mels": mels}, cache_path)
        return mels

    def _load_segments(self, data_dir: Path, rows: list[dict[str, str]]) -> list[Tensor]:
        encoder: Any = self.network["encoder"]
        segments = [cut_segments(trim_silence(_read(data_dir / row["path"]))) for row in rows]
        return [encoder.log_mel(part) for part in segments]

    def _draw_weights(self) -> Tensor:
        groups = [(row["dataset"], row["label"]) for row in self._train_rows]
        sizes = {group: groups.count(group) for group in set(groups)}
        labels_of = {name: sum(1 for group in sizes if group[0] == name) for name in SHARES}
        return torch.tensor(
            [SHARES[name] / labels_of[name] / sizes[(name, label)] for name, label in groups]
        )

    def _crop(self, index: int, generator: torch.Generator) -> Tensor:
        mel = self._train_mels[index].float()
        if mel.shape[1] < LONGEST_CROP:
            mel = mel.repeat(1, -(-LONGEST_CROP // mel.shape[1]))
        start = int(torch.randint(0, mel.shape[1] - LONGEST_CROP + 1, (), generator=generator))
        return mel[:, start : start + LONGEST_CROP]

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Give one augmented batch: log-mels [b x 64 x t] and targets [b x 7]."""
        count = self.schedule.batch_size
        chosen = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        crops = torch.stack([self._crop(int(i), generator) for i in chosen])
        log_mel = equalize(add_noise(warp(crops, generator), generator), generator)
        log_mel = mask(log_mel, generator)
        labels = torch.tensor([LABELS.index(self._train_rows[int(i)]["label"]) for i in chosen])
        targets = functional.one_hot(labels, len(LABELS)).float()
        if float(torch.rand((), generator=generator)) < 0.15:
            share = float(_uniform(1, 0.5, 1.0, generator))
            order = torch.randperm(count, generator=generator)
            log_mel = share * log_mel + (1.0 - share) * log_mel[order]
            targets = share * targets + (1.0 - share) * targets[order]
        return log_mel, targets

    def loss(self, network: nn.ModuleDict, batch: Batch) -> Tensor:
        """Give the cross-entropy of a batch of inputs and targets."""
        inputs, targets = batch
        return cross_entropy(self.logits(network, inputs), targets, self.schedule.label_smoothing)

    def save(self, network: nn.ModuleDict, folder: Path) -> None:
        """Write the encoder; the head stays in the checkpoint."""
        save_encoder(network["encoder"], folder / "encoders" / self.name, torch.float16)

    def logits(self, network: nn.ModuleDict, inputs: Tensor) -> Tensor:
        """Score one segment per row, [b x 7]."""
        scores: Tensor = network["head"](network["encoder"](inputs))
        return scores

    @torch.inference_mode()
    def evaluate(self, network: nn.ModuleDict, num_resamples: int) -> dict[str, Any]:
        """Give accuracy and UAR on the development speakers of each data set."""
        embeddings = network["encoder"](torch.cat(self._dev_mels))
        per_clip = embeddings.split([len(part) for part in self._dev_mels])
        clips = torch.stack([part.mean(dim=0) for part in per_clip])
        scores = network["head"](clips)
        truth = np.array([LABELS.index(row["label"]) for row in self._dev_rows])
        result: dict[str, Any] = {}
        for name in SHARES:
            rows = np.array([row["dataset"] == name for row in self._dev_rows])
            seen = sorted(set(truth[rows]))
            guess = np.array(seen)[scores[torch.from_numpy(rows)][:, seen].argmax(dim=1).numpy()]
            result[name] = summarize(truth[rows], guess, num_resamples)
        return result
