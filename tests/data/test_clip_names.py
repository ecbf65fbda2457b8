"""Which names mean one clip."""

import pytest

from emotion_llama.data.clip_names import ClipNames


@pytest.mark.parametrize(
    ("clip_id", "name", "is_found"),
    [
        ("sample_7", "test3/sample_7.avi", True),
        ("clips/anna/7.wav", "anna/7.wav", True),
        ("anna/7", "anna/7.wav", True),
        ("take.01", "take.01.mp4", True),
        ("anna/7.wav", "ben/7.wav", False),
        ("anna/7.wav", "anna/7.mp4", False),
        ("na/7.wav", "anna/7.wav", False),
        ("7", "17.wav", False),
    ],
)
def test_names_of_one_clip(clip_id: str, name: str, is_found: bool) -> None:
    assert ClipNames([name], "the store").find(clip_id) == (name if is_found else None)


def test_the_name_itself_counts_first() -> None:
    names = ClipNames(["7.wav", "anna/7.wav"], "the store")
    assert names.find("7.wav") == "7.wav"
    assert names.find("anna/7.wav") == "anna/7.wav"


def test_a_name_that_could_be_two_clips_is_refused() -> None:
    names = ClipNames(["anna/7.wav", "ben/7.wav"], "the store")
    with pytest.raises(ValueError, match=r"'7' could be 'anna/7.wav' or 'ben/7.wav' in the store"):
        names.find("7")


def test_two_clips_do_not_share_a_name() -> None:
    names = ClipNames(["7"], "words.csv")
    assert names.find("anna/7.wav") == "7"
    assert names.find("anna/7.wav") == "7"
    with pytest.raises(
        ValueError, match=r"'anna/7.wav' and 'ben/7.wav' would both be '7' in words"
    ):
        names.find("ben/7.wav")
