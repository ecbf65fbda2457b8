"""Finding presets, and what they say about reading files."""

import json

import pytest
from pydantic import ValidationError

from emotion_llama.config import PUBLISHED_MEDIA, MediaConfig
from emotion_llama.preset import (
    PresetError,
    find_preset,
    packaged_presets,
    preset_media,
    save_preset_media,
)


def test_packaged_presets_are_found_by_name():
    assert "mini" in packaged_presets()
    assert (find_preset("mini") / "config.json").is_file()


def test_a_preset_says_how_files_are_read(tmp_path):
    assert preset_media(tmp_path) == MediaConfig()
    (tmp_path / "media.json").write_text(json.dumps({"key_frame": "peak", "face_crop_size": 224}))
    own = preset_media(tmp_path)
    assert (own.key_frame, own.face_crop_size) == ("peak", 224)
    changed = preset_media(tmp_path, key_frame="first")
    assert (changed.key_frame, changed.face_crop_size) == ("first", 224)


@pytest.mark.parametrize("content", ['{"frames": 3}', '{"face_crop_size": "wide"}', "[1]"])
def test_unusable_settings_name_their_file(tmp_path, content):
    (tmp_path / "media.json").write_text(content)
    with pytest.raises(PresetError, match=r"media\.json"):
        preset_media(tmp_path)


def test_what_is_saved_is_read_again(tmp_path):
    save_preset_media(tmp_path, PUBLISHED_MEDIA)
    assert preset_media(tmp_path) == MediaConfig(**PUBLISHED_MEDIA)
    with pytest.raises(ValidationError):
        save_preset_media(tmp_path, {"frames": 3})
