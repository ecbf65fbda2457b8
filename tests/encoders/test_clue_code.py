from dataclasses import replace

import numpy as np
import pytest
import torch

from emotion_llama.encoders import FaceLocalEncoder, FeatureExtractor, MelAudioEncoder
from emotion_llama.encoders.clue_code import CLUE_SIZE, TOLD, clue_code
from emotion_llama.records import Clip, Evidence, Features, Modality

NAMES = ("AU04 clear", "AU12 clear", "AU12 strong")


def evidence(modality: Modality, feature: str, reading: str) -> Evidence:
    return Evidence(modality, "the brows are lowered", 2.0, 0.0, 0.0, "test 1", feature, reading)


def clip(*found: Evidence) -> Clip:
    return Clip("one", "video", waveform=np.ones(16000, np.float32) * 0.1, evidence=found)


def test_the_surest_clues_of_the_modality_are_marked() -> None:
    seen = clip(
        evidence("audio", "AU04", "clear"),
        evidence("local", "AU12", "strong"),
        evidence("local", "AU99", "clear"),
        evidence("local", "AU04", "clear"),
    )
    assert TOLD == 2
    assert clue_code(seen, "local", NAMES).tolist() == [0.0, 0.0, CLUE_SIZE]
    assert clue_code(seen, "audio", NAMES).tolist() == [CLUE_SIZE, 0.0, 0.0]


def test_a_clip_that_was_not_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"clip 'one' has no evidence.*reads 3 clues.*measure="):
        clue_code(replace(clip(), evidence=None), "local", NAMES)


def test_features_carry_the_clues_beside_what_was_learned() -> None:
    torch.manual_seed(0)
    plain = MelAudioEncoder((4, 4, 4, 4), 8, 8).eval()
    reading = MelAudioEncoder((4, 4, 4, 4), 8, 8, ("pitch clearly high", "pitch clearly low"))
    reading.load_state_dict(plain.state_dict())
    heard = clip(evidence("audio", "pitch", "clearly high"))
    feature = FeatureExtractor(audio=reading.eval()).extract(heard).audio
    without = FeatureExtractor(audio=plain).extract(heard).audio
    assert feature is not None and without is not None
    assert reading.output_dim == len(feature) == 10
    assert torch.equal(feature[:8], without)
    assert feature[8:].tolist() == [CLUE_SIZE, 0.0]
    both = Features(audio=feature, local=feature)
    learned, measured = FeatureExtractor(audio=reading).part_clues(both)
    assert learned.audio is not None and measured.audio is not None
    assert learned.audio.tolist() == [*without.tolist(), 0.0, 0.0]
    assert measured.audio.tolist() == [*[0.0] * 8, CLUE_SIZE, 0.0]
    assert learned.local is feature and measured.local is None, "nobody here reads clues of a face"
    assert FeatureExtractor(audio=plain).part_clues(both)[1].present == ()


def test_an_extractor_says_whether_it_reads_clues() -> None:
    assert not FeatureExtractor(local=FaceLocalEncoder((4, 8))).reads_clues
    assert FeatureExtractor(local=FaceLocalEncoder((4, 8), NAMES)).reads_clues
