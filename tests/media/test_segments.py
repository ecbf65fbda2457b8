"""How a film is divided, and what its header says of its length."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from emotion_llama.media import Span, file_duration_s
from emotion_llama.media.segments import LEAST_SHARE, counted_duration_s, segments

lengths = st.floats(min_value=0.5, max_value=500)


@given(lengths, lengths)
def test_parts_follow_each_other_and_are_equal_and_neither_too_long_nor_crumbs(
    duration_s, length_s
):
    parts = segments(duration_s, length_s)
    assert (parts[0].start_s, parts[-1].end_s) == (0.0, duration_s)
    assert all(one.end_s == next_one.start_s for one, next_one in pairwise(parts))
    for part in parts:
        assert part.length_s == pytest.approx(duration_s / len(parts))
        assert part.length_s <= length_s * (1 + 1e-9)
        assert len(parts) == 1 or part.length_s > LEAST_SHARE * length_s
    assert len(parts) == 1 or duration_s / (len(parts) - 1) > length_s, "no more than are needed"


def test_a_clip_that_is_not_longer_is_one_part():
    assert segments(9.9, 10) == [Span(0.0, 9.9)]
    assert segments(10.0, 10) == [(0.0, 10.0)]
    assert segments(10.2, 10) == [(0.0, 5.1), (5.1, 10.2)]


@pytest.mark.parametrize(("duration_s", "length_s"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_lengths_are_numbers_above_0(duration_s, length_s):
    with pytest.raises(ValueError, match="expected a number of seconds above 0"):
        segments(duration_s, length_s)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_the_header_says_how_long_a_film_is(make_film, frames_25, name):
    path = make_film(name, frames=frames_25, codec="mpeg4")
    assert file_duration_s(path) == pytest.approx(1.0, abs=0.05)
    assert counted_duration_s(path) == pytest.approx(1.0, abs=0.05)


def test_the_length_of_a_sound(make_film, tone):
    path = make_film("a.wav", sounds=[tone(2.5, 16000)], sound_codec="pcm_s16le")
    assert file_duration_s(path) == pytest.approx(2.5)


def test_packets_say_it_where_the_header_does_not(make_film, frames_25, tone):
    path = make_film(
        "a.webm",
        frames=frames_25,
        codec="libvpx",
        sounds=[tone(2.0, 48000)],
        rate=48000,
        sound_codec="libopus",
        container_options={"live": "1"},
    )
    assert file_duration_s(path) is None
    assert counted_duration_s(path) == pytest.approx(2.0, abs=0.05)


def test_a_still_picture_has_no_length(tmp_path, corners):
    Image.fromarray(corners[0]).save(tmp_path / "a.png")
    Image.fromarray(corners[0]).save(tmp_path / "a.jpg")
    assert file_duration_s(tmp_path / "a.png") is None
    assert file_duration_s(tmp_path / "a.jpg") is None
