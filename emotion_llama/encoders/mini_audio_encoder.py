"""Audio encoder of the ``mini`` preset: a waveform in, one pooled speech embedding out.

Knows: silence trimming, the log-mel picture and the network over it.
Does not know: files, labels, class scores, or how the embedding is projected.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from numpy.typing import NDArray
from torch import Tensor, nn

SAMPLE_RATE_HZ = 16000
NUM_MELS = 64
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0
WINDOW_SAMPLES, HOP_SAMPLES, FFT_SAMPLES = 400, 160, 512
"""25 ms windows every 10 ms, the usual speech frame; the FFT is the next power of two."""
TRIM_DB = 35.0
"""Frames this far below the loudest one count as silence at the two ends."""
SEGMENT_SAMPLES = 3 * SAMPLE_RATE_HZ
SEGMENT_HOP_SAMPLES = SEGMENT_SAMPLES // 2
SEGMENT_FRAMES = SEGMENT_SAMPLES // HOP_SAMPLES + 1
FLOOR_NATS = 11.0
"""Log energies further below the segment's peak are raised to this: recorders differ there."""
LOG_MEL_SCALE = 2.5
"""Typical deviation of log-mel energies in nats: the network sees about unit scale."""
SEGMENTS_PER_PASS = 64
"""Segments run through the network at once: bounds memory for long recordings."""


@cache
def mel_filters() -> Tensor:
    """Build triangular mel filters between `LOWEST_HZ` and `HIGHEST_HZ`.

    The scale is 2595 log10(1 + f / 700) (O'Shaughnessy, Speech Communication, 1987).

    Returns:
        one row of weights per mel band, shape [64 x 257]
    """

    def to_mel(hz: Tensor) -> Tensor:
        return 2595.0 * torch.log10(1.0 + hz / 700.0)

    limits = to_mel(torch.tensor([LOWEST_HZ, HIGHEST_HZ], dtype=torch.float64))
    mels = torch.linspace(float(limits[0]), float(limits[1]), NUM_MELS + 2, dtype=torch.float64)
    corners_hz = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins_hz = torch.linspace(0.0, SAMPLE_RATE_HZ / 2, FFT_SAMPLES // 2 + 1, dtype=torch.float64)
    left, middle, right = corners_hz[:-2, None], corners_hz[1:-1, None], corners_hz[2:, None]
    rising = (bins_hz - left) / (middle - left)
    falling = (right - bins_hz) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0.0).float()


def trim_silence(waveform: Tensor) -> Tensor:
    """Cut what is quieter than the loudest 25 ms by `TRIM_DB` or more off both ends.

    Args:
        waveform: mono sound, [w]; all-zero sound is returned whole

    Returns:
        the sound between the first and the last loud frame, [w]
    """
    if waveform.numel() <= WINDOW_SAMPLES:
        return waveform
    power = waveform.unfold(0, WINDOW_SAMPLES, HOP_SAMPLES).square().mean(dim=1)  # [frames]
    loud = torch.nonzero(power > power.max() * 10.0 ** (-TRIM_DB / 10.0))
    if loud.numel() == 0:
        return waveform
    first, last = int(loud[0]), int(loud[-1])
    return waveform[first * HOP_SAMPLES : last * HOP_SAMPLES + WINDOW_SAMPLES]


def cut_segments(waveform: Tensor) -> Tensor:
    """Cut sound into 3 s segments every 1.5 s; the last one ends with the sound.

    Args:
        waveform: mono sound, [w]; sound shorter than a segment is repeated to fill it

    Returns:
        segments, [segments x 48000]
    """
    length = waveform.numel()
    if length < SEGMENT_SAMPLES:
        repeats = -(-SEGMENT_SAMPLES // length)
        return waveform.repeat(repeats)[None, :SEGMENT_SAMPLES]
    starts = list(range(0, length - SEGMENT_SAMPLES + 1, SEGMENT_HOP_SAMPLES))
    if starts[-1] + SEGMENT_SAMPLES < length:
        starts.append(length - SEGMENT_SAMPLES)
    return torch.stack([waveform[start : start + SEGMENT_SAMPLES] for start in starts])


def normalize_log_mel(log_mel: Tensor) -> Tensor:
    """Raise the floor, take off the level and half of the average spectrum, scale.

    Half of the spectrum's shape stays because it tells bright from dark voices; the other half
    goes because microphones differ there too. The level depends on the recorder alone.

    Args:
        log_mel: natural-log mel energies, [b x 64 x t]

    Returns:
        values of about unit scale, [b x 64 x t]
    """
    peak = log_mel.amax(dim=(1, 2), keepdim=True)
    floored = torch.maximum(log_mel, peak - FLOOR_NATS)
    band_mean = floored.mean(dim=2, keepdim=True)
    level = floored.mean(dim=(1, 2), keepdim=True)
    return (floored - 0.5 * band_mean - 0.5 * level) / LOG_MEL_SCALE


class AttentiveStatistics(nn.Module):
    """Pool frames to weighted means and deviations, one learned weighting per head."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.score = nn.Conv1d(width, num_heads, kernel_size=1)

    def forward(self, frames: Tensor) -> Tensor:
        """Pool over time.

        Args:
            frames: frame features, [b x e x t]

        Returns:
            means then standard deviations of every head, [b x 2 * heads * e]
        """
        weight = self.score(frames).softmax(dim=2)  # [b x heads x t]
        mean = torch.einsum("bht,bet->bhe", weight, frames)
        square = torch.einsum("bht,bet->bhe", weight, frames.square())
        deviation = (square - mean.square()).clamp(min=1e-5).sqrt()
        return torch.cat([mean.flatten(1), deviation.flatten(1)], dim=1)


def _conv_block(inputs: int, outputs: int, stride: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class MelAudioEncoder(nn.Module, PyTorchModelHubMixin):
    """Convolutions over a log-mel picture, attentive statistics, one embedding per recording.

    A recording is trimmed, cut into 3 s segments every 1.5 s, and the segment embeddings are
    averaged. The embedding comes out of a normalisation layer (about zero mean and unit variance
    over the training speech) with nothing non-linear behind it, so that the mean over segments
    keeps its meaning for a linear reader. `FeatureExtractor` adds a place for each of ``clues``.
    """

    name = "mel-audio"
    version = "1"
    sample_rate_hz = SAMPLE_RATE_HZ
    fewest_samples = 1

    def __init__(
        self,
        channels: Sequence[int] = (24, 48, 96, 160),
        frame_width: int = 192,
        output_dim: int = 192,
        clues: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if len(channels) != 4:
            msg = f"channels has {len(channels)} entries; give four, one per convolution"
            raise ValueError(msg)
        self.clues = tuple(clues)
        self.output_dim = output_dim + len(clues)
        self.settings: dict[str, Any] = {
            "channels": list(channels),
            "frame_width": frame_width,
            "output_dim": output_dim,
            "clues": list(clues),
        }
        one, two, three, four = channels
        self.convolutions = nn.Sequential(
            _conv_block(1, one, (2, 2)),
            _conv_block(one, two, (2, 2)),
            _conv_block(two, three, (2, 2)),
            _conv_block(three, four, (2, 1)),
        )
        self.frame_projection = nn.Sequential(
            nn.Conv1d(four * NUM_MELS // 16, frame_width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm1d(frame_width),
            nn.ReLU(),
        )
        self.frame_context = nn.Sequential(
            nn.Conv1d(frame_width, frame_width, kernel_size=5, padding=2, bias=False),
            nn.BatchNorm1d(frame_width),
            nn.ReLU(),
        )
        self.pooling = AttentiveStatistics(frame_width, num_heads=2)
        self.embedding = nn.Linear(4 * frame_width, output_dim, bias=False)
        self.embedding_norm = nn.BatchNorm1d(output_dim)

    def log_mel(self, waveforms: Tensor) -> Tensor:
        """Give natural-log mel energies.

        Args:
            waveforms: sound at 16 kHz, [b x w]

        Returns:
            one column per 10 ms, [b x 64 x t]
        """
        # half-precision FFTs are missing on the CPU, and log energies need the range anyway
        spectrum = torch.stft(
            waveforms.float(),
            n_fft=FFT_SAMPLES,
            hop_length=HOP_SAMPLES,
            win_length=WINDOW_SAMPLES,
            window=torch.hann_window(WINDOW_SAMPLES, device=waveforms.device),
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        # no buffer: a cast of the module to half precision must not round the filters; nor may
        # autocast, and energies need the range
        with torch.autocast(power.device.type, enabled=False):
            return torch.matmul(mel_filters().to(power.device), power).clamp(min=1e-10).log()

    def forward(self, log_mel: Tensor) -> Tensor:
        """Embed segments.

        Args:
            log_mel: natural-log mel energies of each segment, [b x 64 x t]

        Returns:
            one embedding per segment, [b x e]
        """
        picture = normalize_log_mel(log_mel).to(self.embedding.weight.dtype)[:, None]
        features = self.convolutions(picture)  # [b x channels x 4 x t / 8]
        frames = self.frame_projection(features.flatten(1, 2))  # [b x frame width x t / 8]
        frames = frames + self.frame_context(frames)
        embedding: Tensor = self.embedding_norm(self.embedding(self.pooling(frames)))
        return embedding

    def is_approximate(self, num_samples: int) -> bool:
        """Tell whether a sound of this many samples is too long to be encoded exactly: never."""
        del num_samples
        return False

    @torch.no_grad()
    def encode(self, waveforms: Sequence[NDArray[np.float32] | Tensor]) -> Tensor:
        """Embed recordings of any length.

        Args:
            waveforms: mono sound at 16 kHz in [-1, 1], each [w]

        Returns:
            one embedding per recording, [b x e]

        Raises:
            ValueError: no recording, or one that is empty or not one-dimensional
        """
        if len(waveforms) == 0:
            msg = "found no waveform; give at least one"
            raise ValueError(msg)
        self.eval()
        segments = [cut_segments(trim_silence(self._on_device(sound))) for sound in waveforms]
        passes = torch.split(torch.cat(segments), SEGMENTS_PER_PASS)
        embeddings = torch.cat([self(self.log_mel(part)) for part in passes])
        per_clip = torch.split(embeddings, [len(part) for part in segments])
        return torch.stack([part.mean(dim=0) for part in per_clip])

    def _on_device(self, waveform: NDArray[np.float32] | Tensor) -> Tensor:
        sound = torch.as_tensor(waveform, dtype=torch.float32, device=self.embedding.weight.device)
        if sound.ndim != 1 or sound.numel() == 0:
            msg = (
                f"found a waveform of shape {tuple(sound.shape)}; "
                "give at least one mono sample, [w]"
            )
            raise ValueError(msg)
        return sound
