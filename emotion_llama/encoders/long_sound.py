"""Long recordings with bounded memory: convolutions in pieces, transformers in windows.

Knows: receptive fields, and the normalisation over time of one family of convolutions.
Does not know: files, pooling, or which model it serves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ReceptiveField:
    """Which samples a frame of a stack of unpadded convolutions depends on.

    Frame i depends on ``samples`` samples, from i x ``stride`` on.
    """

    samples: int
    stride: int

    @classmethod
    def of(cls, kernels: Sequence[int], strides: Sequence[int]) -> "ReceptiveField":
        """Combine the kernels and strides of the convolutions, first to last."""
        samples, stride = 1, 1
        for kernel, step in zip(kernels, strides, strict=True):
            samples += (kernel - 1) * stride
            stride *= step
        return cls(samples, stride)

    def num_frames(self, num_samples: int) -> int:
        """Count the frames of a sound; 0 where it is shorter than one."""
        return max(0, (num_samples - self.samples) // self.stride + 1)

    def cut(self, waveform: Tensor, first: int, last: int) -> Tensor:
        """Cut out the samples, [w], that frames ``first`` to ``last - 1`` depend on."""
        return waveform[first * self.stride : (last - 1) * self.stride + self.samples]


def convolve(extractor: Any, waveform: Tensor, field: ReceptiveField, piece_frames: int) -> Tensor:
    """Run the convolutions of HuBERT, wav2vec 2.0 or WavLM over a sound, a piece at a time.

    Large models normalise each frame by itself, so pieces that overlap by the receptive field give
    the frames of the whole. Base models normalise the first layer over time: its means and
    variances are taken of the whole sound first, and the pieces are normalised with those.

    Args:
        extractor: the library's stack of convolutions
        waveform: mono sound, [w]
        field: the stack's receptive field
        piece_frames: longest piece in frames; a shorter sound is run as it is

    Returns:
        frame features, [t x channels]
    """
    num_frames = field.num_frames(len(waveform))
    if num_frames <= piece_frames:
        whole: Tensor = extractor(waveform[None])[0].T
        return whole
    over_time = isinstance(getattr(extractor.conv_layers[0], "layer_norm", None), nn.GroupNorm)
    piece_samples = piece_frames * field.stride
    moments = (
        _moments(extractor.conv_layers[0].conv, waveform, piece_samples) if over_time else None
    )
    pieces = []
    for first in range(0, num_frames, piece_frames):
        piece = field.cut(waveform, first, min(first + piece_frames, num_frames))
        pieces.append(_run(extractor.conv_layers, piece, moments))
    return torch.cat(pieces)


def _run(layers: Any, piece: Tensor, moments: tuple[Tensor, Tensor] | None) -> Tensor:
    """Run one piece, [w], with the given means and variances of the first layer, if any."""
    first, *rest = layers
    hidden: Tensor = piece[None, None]  # [1 x 1 x w]
    if moments is None:
        hidden = first(hidden)
    else:
        norm, (mean, variance) = first.layer_norm, moments
        hidden = (first.conv(hidden) - mean[:, None]) / (variance + norm.eps).sqrt()[:, None]
        hidden = first.activation(hidden * norm.weight[:, None] + norm.bias[:, None])
    for layer in rest:
        hidden = layer(hidden)
    return hidden[0].T  # [t x channels]


def _moments(convolution: nn.Conv1d, waveform: Tensor, piece_samples: int) -> tuple[Tensor, Tensor]:
    """Give mean and variance over time of every channel of a convolution, [channels] each."""
    field = ReceptiveField(convolution.kernel_size[0], convolution.stride[0])
    num_frames = field.num_frames(len(waveform))
    step = max(1, piece_samples // field.stride)
    total = torch.zeros(convolution.out_channels, dtype=torch.float64, device=waveform.device)
    squares = torch.zeros_like(total)
    for first in range(0, num_frames, step):
        piece = field.cut(waveform, first, min(first + step, num_frames))
        output = convolution(piece[None, None])[0].double()  # [channels x t]
        total += output.sum(dim=1)
        squares += output.square().sum(dim=1)
    mean = total / num_frames
    variance = (squares / num_frames - mean.square()).clamp(min=0.0)
    return mean.to(waveform.dtype), variance.to(waveform.dtype)


def in_windows(frames: Tensor, window: int, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """Transform overlapping windows and average each frame over them.

    Windows start every half window; the last one ends with the sound. A frame's weight falls
    linearly from the middle of a window to its ends, where the context is cut off.

    Args:
        frames: [t x channels], more than one window of them
        window: frames in a window
        transform: maps [window x channels] to [window x e]

    Returns:
        [t x e]
    """
    num_frames = len(frames)
    starts = list(range(0, num_frames - window + 1, max(1, window // 2)))
    if starts[-1] + window < num_frames:
        starts.append(num_frames - window)
    rising = torch.arange(1, window + 1, device=frames.device)
    weight = torch.minimum(rising, rising.flip(0)).to(torch.float32)[:, None]  # [window x 1]
    total: Tensor | None = None
    mass = torch.zeros(num_frames, 1, device=frames.device)
    for start in starts:
        output = transform(frames[start : start + window])
        if total is None:
            total = torch.zeros(num_frames, output.shape[1], device=frames.device)
        total[start : start + window] += weight * output
        mass[start : start + window] += weight
    assert total is not None
    return (total / mass).to(output.dtype)
