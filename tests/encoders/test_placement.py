"""Published encoders into a preset's folder: all of them, or none."""

import json
from pathlib import Path

import pytest
import torch
from encoders.test_published_weights import mae_state
from encoders.towers import crops, mae_tower, sound, speech_tower, videomae_tower

from emotion_llama.encoders import (
    FeatureExtractor,
    HubertAudioEncoder,
    MaeLocalEncoder,
    VideoMaeTemporalEncoder,
)
from emotion_llama.encoders.placement import open_published, placed_encoders
from emotion_llama.records import Modality

WIDTHS = {"audio_dim": 32, "local_dim": 64, "temporal_dim": 64}


@pytest.fixture
def sources(tmp_path: Path) -> dict[Modality, str | None]:
    """Give a folder of the library for sound and motion, and MAE's own file for faces."""
    speech_tower().save_pretrained(tmp_path / "hubert")
    videomae_tower().save_pretrained(tmp_path / "videomae")
    torch.save({"model": mae_state()}, tmp_path / "mae.pth")
    return {
        "audio": str(tmp_path / "hubert"),
        "local": str(tmp_path / "mae.pth"),
        "temporal": str(tmp_path / "videomae"),
    }


def write_preset(folder: Path, **widths: int) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**WIDTHS, **widths}))


def test_the_three_stand_under_their_roles(
    sources: dict[Modality, str | None], tmp_path: Path
) -> None:
    preset = tmp_path / "preset"
    with placed_encoders(sources, preset) as notes:
        write_preset(preset)
    extractor = FeatureExtractor.from_pretrained(preset)
    assert isinstance(extractor.audio, HubertAudioEncoder)
    assert isinstance(extractor.local, MaeLocalEncoder)
    assert isinstance(extractor.temporal, VideoMaeTemporalEncoder)
    track = crops(16, 32)
    expected = MaeLocalEncoder(mae_tower()).encode([track])
    assert torch.equal(extractor.local.encode([track]), expected)
    expected = HubertAudioEncoder(speech_tower()).encode([sound(4000)])
    assert torch.equal(extractor.audio.encode([sound(4000)]), expected)
    assert "3 of another part ignored (decoder_blocks, decoder_embed, mask_token)" in notes[1]
    assert sorted(path.name for path in preset.iterdir()) == ["config.json", "encoders"]
    assert not list(tmp_path.glob("*.partial"))


def test_nothing_is_placed_when_the_preset_fails(
    sources: dict[Modality, str | None], tmp_path: Path
) -> None:
    preset = tmp_path / "preset"
    with pytest.raises(KeyError), placed_encoders(sources, preset):
        write_preset(preset)
        raise KeyError
    assert not (preset / "encoders").exists() and not list(tmp_path.glob("*.partial"))


def test_the_preset_is_not_begun_when_an_encoder_is_wrong(tmp_path: Path) -> None:
    mae_tower().save_pretrained(tmp_path / "mae")
    begun = False
    with (
        pytest.raises(ValueError, match="type 'vit_mae', expected videomae"),
        placed_encoders({"temporal": str(tmp_path / "mae")}, tmp_path / "preset"),
    ):
        begun = True
    assert not begun and not list(tmp_path.glob("*.partial"))


def test_a_width_that_the_preset_does_not_project_is_refused(
    sources: dict[Modality, str | None], tmp_path: Path
) -> None:
    preset = tmp_path / "preset"
    with (
        pytest.raises(ValueError, match="audio features 1024 wide, the encoder gives 32"),
        placed_encoders(sources, preset),
    ):
        write_preset(preset, audio_dim=1024)
    assert not (preset / "encoders").exists()


def test_without_encoders_nothing_happens(tmp_path: Path) -> None:
    with placed_encoders({"audio": None}, tmp_path / "preset") as notes:
        pass
    assert notes == [] and not list(tmp_path.iterdir())


def test_sound_has_no_single_file_and_absent_sources_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folder or hub id of a HuBERT"):
        open_published("audio", str(tmp_path / "hubert.pth"))
    with pytest.raises(FileNotFoundError):
        open_published("local", str(tmp_path / "absent.pth"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match=r"config\.json"):
        open_published("local", str(tmp_path / "empty"))
