"""The records that flow between the stages."""

import json

import pytest
import torch

from emotion_llama.records import Evidence, Features, Prediction


def prediction() -> Prediction:
    return Prediction(
        clip="a b/ü.mp4",
        label="happy",
        probabilities={"happy": 0.9, "sad": 0.1},
        reason="the mouth smiles",
        modalities=("global", "text"),
        missing={"audio": "the file has no sound"},
        confidence=0.9,
        unsure=False,
        unsure_rule="confidence below 0.5",
        valence=0.8,
        key_frame_s=0.5,
        evidence=(Evidence("audio", "a loud voice", 1.5, 0.0, 1.0, "prosody 1"),),
        warnings=(),
        timings_s={"total": 0.1},
        preset="mini",
    )


def test_prediction_becomes_json_with_its_field_names() -> None:
    content = json.loads(json.dumps(prediction().to_dict()))
    assert content["clip"] == "a b/ü.mp4"
    assert content["probabilities"] == {"happy": 0.9, "sad": 0.1}
    assert content["evidence"][0]["statement"] == "a loud voice"
    assert content["schema_version"] == "1"


def test_present_modalities_in_one_order() -> None:
    features = Features(audio=torch.zeros(3), local=torch.zeros(2))
    assert features.present == ("local", "audio")


def test_patches_and_class_token_come_together() -> None:
    with pytest.raises(ValueError, match="only patches"):
        Features(patches=torch.zeros(4, 2))
