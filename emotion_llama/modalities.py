"""What is shown of a clip: its voice, its pictures, its words, or some of them.

Knows: which fields of a clip and of its features belong to which part. Does not know: models.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal

from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.records import Clip, Features, Modality

Part = Literal["audio", "vision", "text"]

PARTS: tuple[Part, ...] = ("audio", "vision", "text")
"""Parts of a clip as benchmarks drop them (A, V, T)."""

OF_PART: Mapping[Part, tuple[Modality, ...]] = {
    "audio": ("audio",),
    "vision": ("global", "local", "temporal"),
    "text": ("text",),
}
LEFT_OUT = "left out on request"

_CLIP_FIELDS: Mapping[Part, tuple[str, ...]] = {
    "audio": ("waveform",),
    "vision": ("frames", "frame_times_s", "key_frame", "key_frame_s", "faces"),
    "text": ("transcript",),
}
_FEATURE_FIELDS: Mapping[Part, tuple[str, ...]] = {
    "audio": ("audio",),
    "vision": ("patches", "class_token", "local", "temporal"),
    "text": (),
}


def parts_of(text: str) -> tuple[Part, ...]:
    """Read a list of parts, ``audio,text``, in the order of `PARTS`.

    Raises:
        ValueError: a name that is no part, or none
    """
    named = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(named - set(PARTS))
    if unknown or not named:
        msg = f"found {text!r}, expected one or more of {', '.join(PARTS)}, joined by commas"
        raise ValueError(msg)
    return tuple(part for part in PARTS if part in named)


def parts_in(clip: Clip) -> tuple[Part, ...]:
    """Name the parts that a clip has."""
    there = {
        "audio": clip.waveform is not None,
        "vision": clip.frames is not None or clip.key_frame is not None,
        "text": bool(clip.transcript),
    }
    return tuple(part for part in PARTS if there[part])


def keep(clip: Clip, parts: Collection[Part]) -> Clip:
    """Take everything but these parts out of a clip; what is gone is stated as missing."""
    changes: dict[str, Any] = {}
    missing = {**clip.missing}
    for part in _others(parts):
        changes |= dict.fromkeys(_CLIP_FIELDS[part])
        missing |= {modality: missing.get(modality, LEFT_OUT) for modality in OF_PART[part]}
    kept = {modality for part in parts for modality in OF_PART[part]}
    if clip.evidence is not None:
        changes["evidence"] = tuple(one for one in clip.evidence if one.modality in kept)
    return replace(clip, **changes, missing=missing)


def keep_encoded(encoded: EncodedClip, parts: Collection[Part]) -> EncodedClip:
    """Take everything but these parts out of an encoded clip, which needs no new encoding."""
    features = encoded.features
    missing = {**features.missing}
    for part in _others(parts):
        missing |= {modality: missing.get(modality, LEFT_OUT) for modality in OF_PART[part]}
    return replace(
        encoded,
        features=_features(features, parts, missing),
        transcript=encoded.transcript if "text" in parts else None,
        clip=None if encoded.clip is None else keep(encoded.clip, parts),
    )


def _features(
    features: Features, parts: Collection[Part], missing: Mapping[Modality, str]
) -> Features:
    gone = [name for part in _others(parts) for name in _FEATURE_FIELDS[part]]
    kept = {modality for part in parts for modality in OF_PART[part]}
    return replace(
        features,
        **dict.fromkeys(gone),
        missing=missing,
        approximate=tuple(one for one in features.approximate if one in kept),
    )


def _others(parts: Collection[Part]) -> tuple[Part, ...]:
    return tuple(part for part in PARTS if part not in parts)
