"""What is taken out of a clip is gone everywhere, and stated."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emotion_llama.modalities import (
    LEFT_OUT,
    PARTS,
    keep,
    keep_encoded,
    parts_in,
    parts_of,
)
from emotion_llama.predict import EncodedClip
from emotion_llama.records import Clip, Evidence, Features


def evidence(modality: str) -> Evidence:
    return Evidence(modality, "x", None, None, None, "test")  # type: ignore[arg-type]


CLIP = Clip(
    "clip",
    "video",
    waveform=np.zeros(8, np.float32),
    frames=np.zeros((1, 2, 2, 3), np.uint8),
    frame_times_s=np.zeros(1),
    key_frame=np.zeros((2, 2, 3), np.uint8),
    key_frame_s=0.0,
    transcript="Hello",
    evidence=(evidence("local"), evidence("audio"), evidence("text")),
    missing={"local": "no face was found", "temporal": "no face was found"},
)


def test_only_the_voice_is_kept() -> None:
    kept = keep(CLIP, ("audio",))
    assert parts_in(CLIP) == PARTS
    assert parts_in(kept) == ("audio",)
    assert kept.missing["text"] == LEFT_OUT
    assert kept.missing["local"] == "no face was found", "the first reason stays"
    assert kept.evidence is not None
    assert [one.modality for one in kept.evidence] == ["audio"]
    assert keep(CLIP, PARTS) == replace(CLIP)


def test_features_go_with_the_parts() -> None:
    vector = torch.ones(2)
    features = Features(vector[None], vector, vector, vector, vector, approximate=("audio",))
    seen = keep_encoded(EncodedClip("clip", features, "Hello", CLIP), ("vision", "text"))
    assert seen.features.audio is None
    assert seen.features.local is not None
    assert seen.features.missing == {"audio": LEFT_OUT}
    assert seen.features.approximate == ()
    assert seen.transcript == "Hello"
    heard = keep_encoded(EncodedClip("clip", features, "Hello"), ("audio",))
    assert heard.features.present == ("audio",)
    assert heard.transcript is None
    assert heard.clip is None


def test_parts_are_read_in_their_order() -> None:
    assert parts_of("text, audio") == ("audio", "text")
    with pytest.raises(ValueError, match="'sound'.*audio, vision, text"):
        parts_of("sound")
