"""The encoders together: files, strictness, missing modalities, batches."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders.towers import crops, mae_tower, sound, speech_tower, videomae_tower
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Blip2VisionConfig

from emotion_llama.encoders import (
    EvaGlobalEncoder,
    FaceLocalEncoder,
    FaceTemporalEncoder,
    FeatureExtractor,
    HubertAudioEncoder,
    MaeLocalEncoder,
    MelAudioEncoder,
    SceneGlobalEncoder,
    VideoMaeTemporalEncoder,
    global_picture_px,
)
from emotion_llama.encoders.encoder_files import load_encoder, save_encoder
from emotion_llama.records import Clip, FaceTrack, Features

TENSORS = ("patches", "class_token", "local", "temporal", "audio")


def tiny_encoders() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "audio": MelAudioEncoder(channels=(2, 3, 4, 5), frame_width=6, output_dim=7),
        "global": SceneGlobalEncoder(widths=(2, 3, 4), patch_dim=8),
        "local": FaceLocalEncoder(widths=(2, 3, 4)),
        "temporal": FaceTemporalEncoder(widths=(2, 3, 4), frame_width=5, output_dim=6),
    }


def tiny_extractor() -> FeatureExtractor:
    encoders = tiny_encoders()
    return FeatureExtractor(
        audio=encoders["audio"],  # type: ignore[arg-type]
        global_=encoders["global"],  # type: ignore[arg-type]
        local=encoders["local"],  # type: ignore[arg-type]
        temporal=encoders["temporal"],  # type: ignore[arg-type]
    )


def face_track(length: int, seed: int) -> FaceTrack:
    rng = np.random.default_rng(seed)
    crops = rng.integers(0, 256, (length, 50, 50, 3)).astype(np.uint8)
    times = np.arange(length, dtype=np.float64)
    return FaceTrack(crops, times, np.zeros((length, 4), np.float32), 1.0, "test")


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (60, 80, 3)).astype(np.uint8)


def full_clip(seed: int = 0) -> Clip:
    sound = np.random.default_rng(seed).standard_normal(20000 + 30000 * seed) * 0.1
    return Clip(
        clip_id=f"clip {seed}",
        kind="video",
        waveform=sound.astype(np.float32),
        key_frame=picture(seed),
        faces=face_track(3 + seed, seed),
        missing={"text": "no transcript was given"},
    )


def assert_same(first: Features, second: Features, tolerance: float) -> None:
    assert first.missing == second.missing
    for name in TENSORS:
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


def test_a_full_clip_gives_every_feature_and_keeps_the_missing_text() -> None:
    features = tiny_extractor().extract(full_clip())
    shapes = [tuple(getattr(features, name).shape) for name in TENSORS]
    assert shapes == [(16, 8), (8,), (4,), (6,), (7,)]
    assert features.missing == {"text": "no transcript was given"}
    assert features.present == ("global", "local", "temporal", "audio")


def test_batch_equals_single_and_repeats_exactly() -> None:
    extractor = tiny_extractor()
    no_face = Clip("no face", "video", key_frame=picture(4), missing={"audio": "no sound track"})
    clips = [full_clip(0), no_face, full_clip(1), Clip("words", "text")]
    together = extractor.extract_batch(clips)
    for one, again in zip(together, extractor.extract_batch(clips), strict=True):
        assert_same(one, again, 0.0)
    for clip, features in zip(clips, together, strict=True):
        assert_same(extractor.extract(clip), features, 1e-5)


def test_reasons_of_the_clip_come_first() -> None:
    clip = Clip("x", "image", key_frame=picture(0), missing={"audio": "a picture has no sound"})
    features = tiny_extractor().extract(clip)
    assert features.missing == {
        "audio": "a picture has no sound",
        "local": "no face was found",
        "temporal": "no face was found",
    }
    assert features.present == ("global",)


def test_one_face_crop_has_no_motion() -> None:
    clip = Clip("x", "image", key_frame=picture(0), faces=face_track(1, 0))
    features = tiny_extractor().extract(clip)
    assert features.local is not None and features.temporal is None
    assert features.missing["temporal"] == "the face was found in 1 frame; motion needs 2"


def test_what_the_clip_calls_missing_is_not_encoded() -> None:
    clip = Clip("x", "audio", waveform=np.zeros(16000, np.float32), missing={"audio": "silence"})
    features = tiny_extractor().extract(clip)
    assert features.audio is None and features.missing["audio"] == "silence"


def test_a_role_without_an_encoder_is_missing_and_says_so() -> None:
    extractor = FeatureExtractor(local=FaceLocalEncoder(widths=(2, 3, 4)))
    features = extractor.extract(full_clip())
    assert features.present == ("local",)
    for role in ("audio", "global", "temporal"):
        assert features.missing[role] == f"this preset has no {role} encoder"  # type: ignore[index]


def test_sound_at_another_rate_is_refused() -> None:
    clip = Clip("x", "audio", waveform=np.zeros(100, np.float32), sample_rate_hz=8000)
    with pytest.raises(ValueError, match="8000 Hz.*16000 Hz"):
        tiny_extractor().extract(clip)


def test_save_and_load_keep_every_output(tmp_path: Path) -> None:
    extractor = tiny_extractor()
    before = extractor.extract(full_clip())
    extractor.save_pretrained(tmp_path)
    assert_same(FeatureExtractor.from_pretrained(tmp_path).extract(full_clip()), before, 0.0)


def test_half_precision_files_are_loaded_to_full_precision(tmp_path: Path) -> None:
    extractor = tiny_extractor()
    before = extractor.extract(full_clip())
    extractor.save_pretrained(tmp_path, torch.float16)
    stored = load_file(tmp_path / "encoders" / "local" / "model.safetensors")
    assert stored["stem.0.weight"].dtype == torch.float16
    again = FeatureExtractor.from_pretrained(tmp_path)
    parameters = list(again.local.parameters())  # type: ignore[union-attr]
    assert {p.dtype for p in parameters} == {torch.float32}
    assert not any(p.requires_grad for p in parameters)
    assert_same(again.extract(full_clip()), before, 0.02)


def test_dtype_is_respected(tmp_path: Path) -> None:
    tiny_extractor().save_pretrained(tmp_path)
    extractor = FeatureExtractor.from_pretrained(tmp_path, dtype=torch.bfloat16)
    features = extractor.extract(full_clip())
    assert {getattr(features, name).dtype for name in TENSORS} == {torch.bfloat16}


def test_a_hub_style_load_reads_the_same_folder(tmp_path: Path) -> None:
    tiny_extractor().save_pretrained(tmp_path)
    encoder = FaceLocalEncoder.from_pretrained(tmp_path / "encoders" / "local")
    crops = face_track(2, 0).crops
    expected = load_encoder(tmp_path / "encoders" / "local").encode([crops])  # type: ignore[operator]
    torch.testing.assert_close(encoder.encode([crops]), expected, atol=0, rtol=0)


@pytest.mark.parametrize("role", ["audio", "global", "local", "temporal"])
@pytest.mark.parametrize("change", ["missing", "unexpected", "wrong shape"])
def test_a_wrong_tensor_is_named(tmp_path: Path, role: str, change: str) -> None:
    save_encoder(tiny_encoders()[role], tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    key = sorted(tensors)[0]
    if change == "missing":
        del tensors[key]
    elif change == "unexpected":
        key = "head.weight"
        tensors[key] = torch.zeros(1)
    else:
        tensors[key] = torch.zeros(9, 9, 9)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=f"{change}: {key}"):
        load_encoder(tmp_path)


def test_the_published_tower_goes_through_the_same_folder(tmp_path: Path) -> None:
    config = Blip2VisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=7,
        initializer_range=0.2,
    )
    extractor = FeatureExtractor(global_=EvaGlobalEncoder(config))
    before = extractor.extract(full_clip())
    extractor.save_pretrained(tmp_path)
    assert_same(FeatureExtractor.from_pretrained(tmp_path).extract(full_clip()), before, 0.0)


def test_unknown_types_wrong_roles_and_empty_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="found no encoder"):
        FeatureExtractor.from_pretrained(tmp_path)
    tiny_extractor().save_pretrained(tmp_path)
    encoders_dir = tmp_path / "encoders"
    (encoders_dir / "temporal").rename(tmp_path / "kept")
    (encoders_dir / "local").rename(encoders_dir / "temporal")
    with pytest.raises(ValueError, match="temporal holds 'face_local', a local encoder"):
        FeatureExtractor.from_pretrained(tmp_path)
    config_path = encoders_dir / "temporal" / "config.json"
    config_path.write_text(json.dumps({"encoder_type": "nobody"}))
    with pytest.raises(ValueError, match="'nobody'; expected one of"):
        FeatureExtractor.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="Linear"):
        save_encoder(nn.Linear(1, 1), tmp_path / "x")


def published_encoders() -> dict[str, nn.Module]:
    return {
        "audio": HubertAudioEncoder(speech_tower(), reading="sum_of_last_four"),
        "local": MaeLocalEncoder(mae_tower(), reading="mean"),
        "temporal": VideoMaeTemporalEncoder(videomae_tower(), seed=4),
    }


@pytest.mark.parametrize("role", ["audio", "local", "temporal"])
def test_a_published_encoder_goes_through_a_folder(role: str, tmp_path: Path) -> None:
    encoder = published_encoders()[role]
    save_encoder(encoder, tmp_path)
    kinds = {"audio": "hubert_audio", "local": "mae_local", "temporal": "videomae_temporal"}
    assert json.loads((tmp_path / "config.json").read_text())["encoder_type"] == kinds[role]
    again = load_encoder(tmp_path)
    assert type(again) is type(encoder) and again.settings == encoder.settings
    batch = [sound(5000)] if role == "audio" else [crops(20, 32)]
    assert torch.equal(again.encode(batch), encoder.encode(batch))  # type: ignore[operator]
    assert not any(parameter.requires_grad for parameter in again.parameters())
    save_encoder(encoder, tmp_path, torch.float16)
    stored = load_file(tmp_path / "model.safetensors").values()
    assert {tensor.dtype for tensor in stored} == {torch.float16}
    half = load_encoder(tmp_path)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float32}
    torch.testing.assert_close(
        half.encode(batch),  # type: ignore[operator]
        encoder.encode(batch),  # type: ignore[operator]
        atol=0.05,
        rtol=0.01,
    )


@pytest.mark.parametrize("role", ["audio", "local", "temporal"])
def test_a_published_encoder_under_another_role_is_refused(role: str, tmp_path: Path) -> None:
    others = {"audio": "local", "local": "temporal", "temporal": "audio"}
    save_encoder(published_encoders()[role], tmp_path / "encoders" / others[role])
    with pytest.raises(ValueError, match=f"{others[role]} holds .*, a {role} encoder"):
        FeatureExtractor.from_pretrained(tmp_path)


def test_the_published_encoders_together() -> None:
    extractor = FeatureExtractor(**published_encoders())  # type: ignore[arg-type]
    clips = [full_clip(0), full_clip(1)]
    together = extractor.extract_batch(clips)
    assert together[0].present == ("local", "temporal", "audio")
    for clip, features in zip(clips, together, strict=True):
        assert_same(extractor.extract(clip), features, 0.0)


@pytest.mark.parametrize("published", [True, False])
def test_digital_silence_is_a_missing_sound(published: bool) -> None:
    encoder = published_encoders()["audio"] if published else tiny_encoders()["audio"]
    extractor = FeatureExtractor(audio=encoder)  # type: ignore[arg-type]
    dither = np.random.default_rng(0).choice([-3e-5, 0.0, 3e-5], 16000).astype(np.float32)
    for waveform in (np.zeros(16000, np.float32), dither):
        features = extractor.extract(Clip("x", "audio", waveform=waveform))
        assert features.audio is None and features.missing["audio"] == "the sound is silent"
    audible = dither.copy()
    audible[8000] = -2e-4
    assert extractor.extract(Clip("x", "audio", waveform=audible)).audio is not None


def test_sound_shorter_than_a_frame_is_missing_with_both_lengths() -> None:
    extractor = FeatureExtractor(audio=HubertAudioEncoder(speech_tower()))
    features = extractor.extract(Clip("x", "audio", waveform=sound(399)))
    assert features.audio is None
    expected = "the sound is 24.9375 ms long; the audio encoder needs 25 ms"
    assert features.missing["audio"] == expected
    assert extractor.extract(Clip("x", "audio", waveform=sound(400))).audio is not None


def test_autocast_computes_in_half_precision_and_gives_full(tmp_path: Path) -> None:
    extractor = FeatureExtractor(**published_encoders())  # type: ignore[arg-type]
    exact = extractor.extract(full_clip())
    extractor.save_pretrained(tmp_path)
    cast = FeatureExtractor.from_pretrained(tmp_path, autocast_dtype=torch.bfloat16)
    features = cast.extract(full_clip())
    for name in ("local", "temporal", "audio"):
        value, expected = getattr(features, name), getattr(exact, name)
        assert value.dtype == torch.float32
        assert 0 < (value - expected).abs().max() < 0.1 * expected.abs().max()


def test_the_size_of_the_picture_is_known_without_loading_weights(tmp_path: Path) -> None:
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    encoders = {
        "mini": SceneGlobalEncoder(widths=(2, 3, 4), patch_dim=8),
        "published": EvaGlobalEncoder(
            Blip2VisionConfig(**sizes, num_attention_heads=2, image_size=28, patch_size=7)
        ),
    }
    for name, encoder in encoders.items():
        FeatureExtractor(global_=encoder).save_pretrained(tmp_path / name)
        (tmp_path / name / "encoders" / "global" / "model.safetensors").unlink()
        assert global_picture_px(tmp_path / name) == encoder.image_size
    assert global_picture_px(tmp_path / "absent") is None
