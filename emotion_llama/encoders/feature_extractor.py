"""The encoders of a preset together: Clip -> Features, and their files.

Knows: which part of a clip each role reads, and when a modality is missing.
Does not know: how a clip is read, prompts, or what becomes of the features.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emotion_llama.records import ENCODER_ROLES, Clip, Features, Modality

from .clue_code import clue_code, clue_names
from .encoder import AudioEncoder, FaceEncoder, GlobalEncoder
from .encoder_files import TYPES, load_encoder, save_encoder, type_of

FEWEST_CROPS_FOR_MOTION = 2
SILENT_PEAK = 1e-4
"""A sound whose samples all stay below this (-80 dB of full scale) is digital silence: a step of 16
bits is 3e-5, so nothing but its dither is left."""


@dataclass(frozen=True)
class _Rows:
    """Which clips of a batch have an input for a role, and why the others do not."""

    inputs: Mapping[int, NDArray[Any]]
    reasons: Mapping[int, str]


class FeatureExtractor:
    """Up to four encoders; a role without one gives a missing modality.

    Args:
        audio: sound -> embedding
        global_: key frame -> patch tokens and class token
        local: face crops -> embedding
        temporal: face crops -> embedding
        autocast_dtype: run matrix products in this type, ``torch.bfloat16`` for instance, with the
            weights as they are; features are then fp32. ``None`` computes in the weights' type
    """

    def __init__(
        self,
        audio: AudioEncoder | None = None,
        global_: GlobalEncoder | None = None,
        local: FaceEncoder | None = None,
        temporal: FaceEncoder | None = None,
        *,
        autocast_dtype: torch.dtype | None = None,
    ) -> None:
        self.audio = audio
        self.global_ = global_
        self.local = local
        self.temporal = temporal
        self.autocast_dtype = autocast_dtype

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        *,
        roles: Sequence[Modality] = ENCODER_ROLES,
        autocast_dtype: torch.dtype | None = None,
    ) -> Self:
        """Load every role that has a folder under ``folder/encoders``.

        Args:
            folder: a preset's folder
            device: where to put the encoders; ``None`` is the CPU
            dtype: type of the weights in memory; ``None`` is fp32
            roles: leave the others out
            autocast_dtype: as in the constructor

        Raises:
            ValueError: an encoder under the wrong role, or files that do not fit
            FileNotFoundError: no encoder at all, or a file is not there
        """
        encoders_dir = Path(folder) / "encoders"
        present = [role for role in ENCODER_ROLES if (encoders_dir / role / "config.json").exists()]
        if not present:
            msg = (
                f"found no encoder under {encoders_dir}; expected one of {', '.join(ENCODER_ROLES)}"
            )
            raise FileNotFoundError(msg)
        loaded: dict[str, Any] = {}
        for role in (role for role in present if role in roles):
            type_name = type_of(encoders_dir / role) or ""
            if type_name in TYPES and TYPES[type_name].role != role:
                found = f"{type_name!r}, a {TYPES[type_name].role} encoder"
                msg = f"{encoders_dir / role} holds {found}; move it to the folder of its role"
                raise ValueError(msg)
            argument = "global_" if role == "global" else role
            loaded[argument] = load_encoder(encoders_dir / role, device, dtype)
        return cls(**loaded, autocast_dtype=autocast_dtype)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write every encoder under ``folder/encoders/<role>``.

        Args:
            folder: made if it is not there
            dtype: type of the stored weights; ``None`` keeps each tensor's own
        """
        for role, encoder in zip(
            ENCODER_ROLES, (self.audio, self.global_, self.local, self.temporal), strict=True
        ):
            if encoder is not None:
                if not isinstance(encoder, nn.Module):
                    msg = f"the {role} encoder is a {type(encoder).__name__}, no torch module"
                    raise ValueError(msg)
                save_encoder(encoder, Path(folder) / "encoders" / role, dtype)

    def only(self, roles: Collection[str]) -> "FeatureExtractor":
        """Give the same encoders without those of other roles."""
        return FeatureExtractor(
            audio=self.audio if "audio" in roles else None,
            global_=self.global_ if "global" in roles else None,
            local=self.local if "local" in roles else None,
            temporal=self.temporal if "temporal" in roles else None,
            autocast_dtype=self.autocast_dtype,
        )

    def extract(self, clip: Clip) -> Features:
        """Encode one clip."""
        return self.extract_batch([clip])[0]

    @torch.no_grad()
    def extract_batch(self, clips: Sequence[Clip]) -> list[Features]:
        """Encode clips, each role in one pass over the clips that have its input.

        Args:
            clips: what was read; a part may be missing. With evidence where `reads_clues`

        Returns:
            one record per clip; every absent modality is named with the reason
        """
        audio = self._rows(clips, "audio", self.audio, self._waveform)
        pictures = self._rows(clips, "global", self.global_, self._key_frame)
        local = self._rows(clips, "local", self.local, self._crops)
        temporal = self._rows(clips, "temporal", self.temporal, self._moving_crops)
        with self._autocast():
            patches, class_tokens = self._encode_frames(pictures)
            embeddings = {
                "audio": self._embed(self.audio, audio, "audio", clips),
                "local": self._embed(self.local, local, "local", clips),
                "temporal": self._embed(self.temporal, temporal, "temporal", clips),
            }
        found = {"audio": audio, "global": pictures, "local": local, "temporal": temporal}
        return [
            Features(
                patches=patches.get(row),
                class_token=class_tokens.get(row),
                missing={**clip.missing, **_reasons(found, row)},
                approximate=self._approximate(audio.inputs.get(row)),
                **{role: values.get(row) for role, values in embeddings.items()},
            )
            for row, clip in enumerate(clips)
        ]

    @property
    def reads_clues(self) -> bool:
        """Whether an encoder reads what was measured: then clips need evidence."""
        encoders = (self.audio, self.global_, self.local, self.temporal)
        return any(clue_names(encoder) for encoder in encoders)

    def part_clues(self, features: Features) -> tuple[Features, Features]:
        """Part what encoders learned and what was measured; the places of the other are 0.

        Returns:
            all features without clues; and the clues alone, of the encoders that read some, on an
            average clip, for embeddings have a mean of about 0
        """
        learned: dict[str, Any] = {}
        measured: dict[str, Any] = {}
        encoders = {"audio": self.audio, "local": self.local, "temporal": self.temporal}
        for role, encoder in encoders.items():
            value, count = getattr(features, role), len(clue_names(encoder))
            if value is not None and count:
                own, clues = value[:-count], value[-count:]
                learned[role] = torch.cat([own, torch.zeros_like(clues)])
                measured[role] = torch.cat([torch.zeros_like(own), clues])
        return replace(features, **learned), Features(**measured)

    @torch.no_grad()
    def with_global(self, features: Features, key_frame: NDArray[np.uint8]) -> Features:
        """Run the global encoder on a key frame that was kept, beside features that were stored.

        Args:
            features: of the clip, without global ones
            key_frame: RGB, [h x w x 3]

        Raises:
            ValueError: there is no global encoder
        """
        if self.global_ is None:
            msg = "found no global encoder; load a preset that has one under encoders/global"
            raise ValueError(msg)
        with self._autocast():
            patches, class_token = self.global_.encode([key_frame])
        missing = dict(features.missing)
        missing.pop("global", None)
        return replace(
            features,
            patches=self._uncast(patches)[0],
            class_token=self._uncast(class_token)[0],
            missing=missing,
        )

    @staticmethod
    def _rows(clips: Sequence[Clip], role: Modality, encoder: object, read: Any) -> _Rows:
        inputs, reasons = {}, {}
        for row, clip in enumerate(clips):
            value = read(clip)
            if encoder is None:
                reasons[row] = f"this preset has no {role} encoder"
            elif role in clip.missing:
                reasons[row] = clip.missing[role]
            elif isinstance(value, str):
                reasons[row] = value
            else:
                inputs[row] = value
        return _Rows(inputs, reasons)

    def _waveform(self, clip: Clip) -> NDArray[np.float32] | str:
        if clip.waveform is None or clip.waveform.size == 0:
            return "the clip has no sound"
        if self.audio is not None and clip.sample_rate_hz != self.audio.sample_rate_hz:
            msg = (
                f"clip {clip.clip_id!r} has sound at {clip.sample_rate_hz} Hz; the audio encoder "
                f"takes {self.audio.sample_rate_hz} Hz, resample when the clip is read"
            )
            raise ValueError(msg)
        num_samples = clip.waveform.size
        if self.audio is not None and num_samples < self.audio.fewest_samples:
            shown, needed = (
                f"{1000 * count / clip.sample_rate_hz:g} ms"
                for count in (num_samples, self.audio.fewest_samples)
            )
            return f"the sound is {shown} long; the audio encoder needs {needed}"
        if np.abs(clip.waveform).max() < SILENT_PEAK:
            return "the sound is silent"
        return clip.waveform

    @staticmethod
    def _key_frame(clip: Clip) -> NDArray[np.uint8] | str:
        return "the clip has no picture" if clip.key_frame is None else clip.key_frame

    @staticmethod
    def _crops(clip: Clip) -> NDArray[np.uint8] | str:
        if clip.faces is None or len(clip.faces.crops) == 0:
            return "no face was found"
        return clip.faces.crops

    def _moving_crops(self, clip: Clip) -> NDArray[np.uint8] | str:
        crops = self._crops(clip)
        if isinstance(crops, str) or len(crops) >= FEWEST_CROPS_FOR_MOTION:
            return crops
        return f"the face was found in {len(crops)} frame; motion needs {FEWEST_CROPS_FOR_MOTION}"

    def _encode_frames(self, rows: _Rows) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        if self.global_ is None or not rows.inputs:
            return {}, {}
        encoded = self.global_.encode(list(rows.inputs.values()))
        patches, class_tokens = (self._uncast(tensor) for tensor in encoded)
        order = list(rows.inputs)
        return dict(zip(order, patches, strict=True)), dict(zip(order, class_tokens, strict=True))

    def _embed(
        self,
        encoder: AudioEncoder | FaceEncoder | None,
        rows: _Rows,
        role: Modality,
        clips: Sequence[Clip],
    ) -> dict[int, Tensor]:
        """Encode the inputs of a role; of an encoder that reads clues, with what was measured."""
        if encoder is None or not rows.inputs:
            return {}
        embeddings = self._uncast(encoder.encode(list(rows.inputs.values())))
        if names := clue_names(encoder):
            codes = torch.stack([clue_code(clips[row], role, names) for row in rows.inputs])
            embeddings = torch.cat([embeddings, codes.to(embeddings)], dim=1)
        return dict(zip(rows.inputs, embeddings, strict=True))

    def _approximate(self, waveform: NDArray[Any] | None) -> tuple[Modality, ...]:
        if self.audio is None or waveform is None:
            return ()
        return ("audio",) if self.audio.is_approximate(len(waveform)) else ()

    def _autocast(self) -> AbstractContextManager[None]:
        if self.autocast_dtype is None:
            return nullcontext()
        modules: tuple[Any, ...] = (self.audio, self.global_, self.local, self.temporal)
        devices = (next(m.parameters()).device for m in modules if isinstance(m, nn.Module))
        return torch.autocast(next(devices, torch.device("cpu")).type, self.autocast_dtype)

    def _uncast(self, features: Tensor) -> Tensor:
        return features if self.autocast_dtype is None else features.float()


def _reasons(found: Mapping[str, _Rows], row: int) -> dict[Any, str]:
    return {role: rows.reasons[row] for role, rows in found.items() if row in rows.reasons}
