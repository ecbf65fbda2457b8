import pytest
from pydantic import ValidationError

from emotion_llama.config import FramePolicy, MediaConfig, parse_frame_policy


def test_defaults_are_those_of_the_speech_encoders_and_the_key_frame_is_the_middle():
    spec = MediaConfig()
    assert (spec.sample_rate_hz, spec.min_audio_s, spec.key_frame) == (16000, 0.025, "middle")


def test_unknown_setting_is_named():
    with pytest.raises(ValidationError, match="frames_per_minute"):
        MediaConfig(frames_per_minute=3)


def test_settings_cannot_change_after_the_check():
    with pytest.raises(ValidationError, match="frozen"):
        MediaConfig().max_frames = 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate_hz", 0),
        ("frames_per_second", 0),
        ("frames_per_second", float("inf")),
        ("max_frames", 0),
        ("min_audio_s", -1),
        ("max_duration_s", 0),
        ("face_source", "guess"),
        ("face_crop_size", 0),
        ("key_frame", "last"),
        ("key_frame", "uniform"),
        ("key_frame", "uniform:0"),
        ("key_frame", "uniform:-2"),
    ],
)
def test_value_out_of_range_is_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        MediaConfig(**{name: value})


def test_unknown_policy_says_which_there_are():
    with pytest.raises(ValidationError, match=r"choose 'first', 'middle', 'peak'"):
        MediaConfig(key_frame="strongest")
    assert MediaConfig(key_frame="peak").key_frame == "peak"


def test_policies_are_taken_apart():
    assert parse_frame_policy("first") == FramePolicy("first", 1)
    assert parse_frame_policy("uniform:12") == FramePolicy("uniform", 12)


def test_every_setting_is_described():
    assert all(field.description for field in MediaConfig.model_fields.values())
