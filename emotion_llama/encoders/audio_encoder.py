"""Published audio encoder (HuBERT): a waveform in, the mean of the last layer's frames out.

Knows: the waveform's normalisation, the tower, its readings, and what it does with long sound.
Does not know: how a sound is read or resampled, silence, labels, or what reads the embedding.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModel, Wav2Vec2FeatureExtractor
from transformers.utils import cached_file

from .long_sound import ReceptiveField, convolve, in_windows
from .pretrained_tower import load_tower, save_tower, tower_settings

SAMPLE_RATE_HZ = 16000
MODEL_TYPES = ("hubert", "wav2vec2", "wavlm")
VARIANCE_FLOOR = 1e-7
"""Added to the variance of a waveform, as the library's feature extractor does."""
FRAMES_PER_PIECE = 1000
"""20 s: the convolutions of the published size then need about 0.5 GB."""
LAYERS_OF_SUM = 4

Reading = Literal["last", "sum_of_last_four"]
"""Which layers are read: the last one, as published, or the sum of four, as MERBench does."""

_SETTINGS = (
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "layer_norm_eps",
    "feat_extract_norm",
    "feat_extract_activation",
    "feat_proj_layer_norm",
    "conv_dim",
    "conv_kernel",
    "conv_stride",
    "conv_bias",
    "conv_pos_batch_norm",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "do_stable_layer_norm",
    "num_buckets",
    "max_bucket_distance",
)
_HEADS = r"(lm_head|classifier|projector|quantizer|project_q|project_hid)\..+|layer_weights"
"""Tensors of the library's models with a head on the same tower."""
_MASK_VECTOR = "masked_spec_embed"
"""Read in training only; some published folders lack it."""


class HubertAudioEncoder(nn.Module):
    """HuBERT-large (published: TencentGameMate/chinese-hubert-large), or any of its family.

    A recording is brought to zero mean and unit variance, run through the tower by itself (nothing
    is padded, so it gives the same numbers alone as in a batch), and its frames, one every 20 ms,
    are averaged.

    Memory for long sound, beyond the weights. The convolutions are exact in pieces of 20 s. The
    transformer sees up to ``max_one_pass_s`` at once: with fused attention that takes about
    t x (10 d + 2 m) x 4 bytes for t frames, 0.4 GB for 120 s (6000 frames) at the published widths
    d = 1024 and m = 4096. WavLM's attention is not fused: 16 x heads x t^2 bytes come on top, 9 GB
    for 120 s, 0.6 GB for 30 s. Longer sound runs in windows of that length that overlap by half,
    and the result is an approximation: see `is_approximate`.

    Args:
        tower: ``HubertModel``, ``Wav2Vec2Model`` or ``WavLMModel``
        reading: which layers are read
        do_normalize: bring each waveform to zero mean and unit variance, as published
        max_one_pass_s: longest sound in seconds that the transformer sees at once

    Raises:
        ValueError: the tower has fewer layers than are read, or an adapter, or cannot run one frame
    """

    name = "hubert"
    version = "1"
    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(
        self,
        tower: Any,
        *,
        reading: Reading = "last",
        do_normalize: bool = True,
        max_one_pass_s: float = 120.0,
    ) -> None:
        super().__init__()
        config = tower.config
        _check_choices(config, reading, max_one_pass_s)
        self.field = ReceptiveField.of(config.conv_kernel, config.conv_stride)
        self.fewest_samples = self.field.samples
        self.output_dim = int(config.hidden_size)
        self.reading, self.do_normalize = reading, do_normalize
        self.max_one_pass_s = float(max_one_pass_s)
        self.max_one_pass_frames = self.field.num_frames(round(max_one_pass_s * SAMPLE_RATE_HZ))
        if self.max_one_pass_frames < 2:
            msg = f"max_one_pass_s is {max_one_pass_s}; give at least two frames, 0.045 s"
            raise ValueError(msg)
        self.ignored_weights: tuple[str, ...] = ()
        self.tower = tower.train(mode=False).requires_grad_(False)

    @property
    def options(self) -> Mapping[str, Any]:
        """How the tower is read: the keyword arguments of the constructor."""
        return {
            "reading": self.reading,
            "do_normalize": self.do_normalize,
            "max_one_pass_s": self.max_one_pass_s,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything besides the weights that changes the numbers."""
        return {**self.options, "tower": tower_settings(self.tower.config, _SETTINGS)}

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device | None = None,
        *,
        local_files_only: bool = False,
        **options: Any,
    ) -> Self:
        """Load a folder or a hub repository of the library, or a folder of `save_pretrained`.

        Args:
            source: folder or hub id
            dtype: type of the weights in memory
            device: where to put it; ``None`` is the CPU
            local_files_only: ask no server
            options: keyword arguments of the constructor; default is what the folder says, where
                ``preprocessor_config.json`` decides ``do_normalize``

        Raises:
            ValueError: another kind of model or rate, or a tensor is missing, unexpected or
                misshapen
            OSError: there is no such folder or repository
        """
        loaded = load_tower(
            AutoModel,
            source,
            model_types=MODEL_TYPES,
            dtype=dtype,
            local_files_only=local_files_only,
            ignored=_HEADS,
            optional=_MASK_VECTOR,
        )
        if loaded.absent:  # left random by the library; zeros keep the hash of the weights stable
            loaded.tower.masked_spec_embed.zero_()
        stated = _stated_preprocessing(source, local_files_only)
        encoder = cls(loaded.tower, **{**stated, **loaded.settings, **options})
        encoder.ignored_weights = loaded.ignored
        return encoder.to(device or "cpu")

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a folder that this class and the library load; ``dtype`` as in `save_tower`."""
        save_tower(self.tower, folder, self.options, dtype)
        preprocessing = Wav2Vec2FeatureExtractor(
            sampling_rate=SAMPLE_RATE_HZ, do_normalize=self.do_normalize
        )
        preprocessing.save_pretrained(folder)

    def is_approximate(self, num_samples: int) -> bool:
        """Tell whether a sound of this many samples is too long for one pass of the transformer."""
        return self.field.num_frames(num_samples) > self.max_one_pass_frames

    @torch.no_grad()
    def encode(self, waveforms: Sequence[NDArray[np.float32] | Tensor]) -> Tensor:
        """Embed recordings of any length.

        Args:
            waveforms: mono sound at 16 kHz, each [w]

        Returns:
            one embedding per recording, [b x e]

        Raises:
            ValueError: no recording, or one that is not one-dimensional or too short for a frame
        """
        if len(waveforms) == 0:
            msg = "found no waveform; give at least one"
            raise ValueError(msg)
        self.train(mode=False)
        return torch.stack([self.encode_frames(sound).mean(dim=0) for sound in waveforms])

    @torch.no_grad()
    def encode_frames(self, waveform: NDArray[np.float32] | Tensor) -> Tensor:
        """Give the frames of one recording before they are averaged.

        1. Normalise. 2. Convolve. 3. Run the transformer, in windows where the sound is long.

        Args:
            waveform: mono sound at 16 kHz, [w]

        Returns:
            one embedding every 20 ms, [t x e]

        Raises:
            ValueError: the sound is not one-dimensional or too short for a frame
        """
        features = convolve(
            self.tower.feature_extractor, self._prepared(waveform), self.field, FRAMES_PER_PIECE
        )  # [t x channels]
        if len(features) <= self.max_one_pass_frames:
            return self._transform(features)
        return in_windows(features, self.max_one_pass_frames, self._transform)

    def _prepared(self, waveform: NDArray[np.float32] | Tensor) -> Tensor:
        """Check and normalise a sound, [w], in numpy as the library's feature extractor does."""
        sound = np.asarray(torch.as_tensor(waveform).cpu(), dtype=np.float32)
        if sound.ndim != 1 or len(sound) < self.fewest_samples:
            msg = (
                f"found a waveform of shape {sound.shape}; give one mono sound of at least "
                f"{self.fewest_samples} samples ({1000 * self.fewest_samples / SAMPLE_RATE_HZ:g} "
                "ms at 16 kHz), [w]"
            )
            raise ValueError(msg)
        if self.do_normalize:
            sound = (sound - sound.mean()) / np.sqrt(sound.var() + VARIANCE_FLOOR)
        parameter = next(self.tower.parameters())
        return torch.from_numpy(sound).to(parameter.device, parameter.dtype)

    def _transform(self, features: Tensor) -> Tensor:
        """Project and run the transformer over [t x channels]; give the read layers, [t x e]."""
        projected = self.tower.feature_projection(features[None])
        hidden = projected[0] if isinstance(projected, tuple) else projected  # [1 x t x e]
        read: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            read.append(output[0] if isinstance(output, tuple) else output)

        # the last of the four is the transformer's own output, which has passed its final norm
        others = self.tower.encoder.layers[-LAYERS_OF_SUM:-1]
        watched = others if self.reading == "sum_of_last_four" else []
        hooks = [layer.register_forward_hook(keep) for layer in watched]
        try:
            read.append(self.tower.encoder(hidden).last_hidden_state)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(read).sum(dim=0)[0]


def _check_choices(config: Any, reading: str, max_one_pass_s: float) -> None:
    if reading not in get_args(Reading):
        msg = f"reading is {reading!r}; expected one of {', '.join(get_args(Reading))}"
        raise ValueError(msg)
    if reading == "sum_of_last_four" and config.num_hidden_layers < LAYERS_OF_SUM:
        msg = (
            f"reading {reading!r} needs {LAYERS_OF_SUM} layers, the tower has "
            f"{config.num_hidden_layers}; read the last one"
        )
        raise ValueError(msg)
    if getattr(config, "add_adapter", False):
        msg = "the tower has an adapter behind its layers, which is not read; load it without"
        raise ValueError(msg)


def _stated_preprocessing(source: str | Path, local_files_only: bool) -> dict[str, Any]:
    """Read ``do_normalize`` from preprocessor_config.json, if there is one.

    Raises:
        ValueError: the tower was trained at another sample rate
    """
    path = cached_file(
        source,
        "preprocessor_config.json",
        local_files_only=local_files_only,
        _raise_exceptions_for_missing_entries=False,
    )
    if path is None:
        return {}
    stated = Wav2Vec2FeatureExtractor.from_json_file(path)
    if stated.sampling_rate != SAMPLE_RATE_HZ:
        msg = (
            f"{source} takes sound at {stated.sampling_rate} Hz, expected {SAMPLE_RATE_HZ} Hz; "
            "give a model for 16 kHz"
        )
        raise ValueError(msg)
    return {"do_normalize": bool(stated.do_normalize)}
