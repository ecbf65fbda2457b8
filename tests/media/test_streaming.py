"""Frames that come one at a time, and films that are written one frame at a time."""

import weakref

import av
import numpy as np
import pytest
from PIL import Image

from emotion_llama.config import MediaConfig
from emotion_llama.media import (
    FilmWriter,
    MediaError,
    expected_frames,
    is_still,
    read_waveform,
    stream_frames,
    video,
)


def level(frame):
    """Position in the film of a frame of `frames_25`, from its brightness."""
    return round((float(frame[8:-8, 8:-8].mean()) - 20) / 8)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_every_frame_comes_once_with_its_time(make_film, frames_25, name):
    path = make_film(name, frames=frames_25, codec="mpeg4" if name == "a.avi" else "libx264")
    streamed = [(time_s, level(frame)) for time_s, frame in stream_frames(path)]
    assert [number for _, number in streamed] == list(range(25))
    assert [time_s for time_s, _ in streamed] == pytest.approx(np.arange(25) / 25, abs=0.005)


def test_only_frames_that_are_used_are_held(make_film, frames_25, monkeypatch):
    alive = weakref.WeakSet()
    most = 0
    upright = video.upright

    class Watched(np.ndarray):
        pass

    def watched(*arguments):
        picture = upright(*arguments).view(Watched)
        alive.add(picture.base if isinstance(picture.base, Watched) else picture)
        return picture

    monkeypatch.setattr(Watched, "__hash__", object.__hash__)
    monkeypatch.setattr(Watched, "__eq__", object.__eq__)
    monkeypatch.setattr(video, "upright", watched)
    for _, frame in stream_frames(make_film(frames=frames_25)):
        del frame
        most = max(most, len(alive))
    assert most <= 2


def test_reading_stops_when_nobody_asks_for_more(make_film, frames_25):
    frames = stream_frames(make_film(frames=frames_25))
    assert level(next(frames)[1]) == 0
    frames.close()


@pytest.mark.parametrize(("rate", "expected"), [(25, 25), (12.5, 13), (5, 5), (1, 1), (100, 25)])
def test_a_lower_rate_leaves_frames_out_evenly(make_film, frames_25, rate, expected):
    times_s = [time_s for time_s, _ in stream_frames(make_film(frames=frames_25), rate)]
    assert len(times_s) == expected
    if expected > 1:
        steps = np.diff(times_s)
        assert steps.max() - steps.min() < 0.045


def test_fifty_frames_a_second_become_thirty(make_film):
    frames = np.full((100, 16, 16, 3), 90, np.uint8)
    path = make_film(frames=frames, times_s=np.arange(100) / 50)
    assert len(list(stream_frames(path))) == pytest.approx(60, abs=1)
    assert expected_frames(path) == pytest.approx(60, abs=1)


def test_clocks_that_round_to_milliseconds_lose_no_frame(make_film):
    frames = np.full((60, 16, 16, 3), 90, np.uint8)
    path = make_film("a.mkv", frames=frames, times_s=np.round(np.arange(60) / 29.97, 3))
    assert len(list(stream_frames(path))) == 60


@pytest.mark.parametrize(("angle", "quarter_turns"), [(90, 1), (180, 2), (-90, 3)], ids=str)
def test_rotation_is_applied(make_film, corners, angle, quarter_turns):
    streamed = list(stream_frames(make_film(frames=corners, rotation=angle)))
    expected = np.rot90(corners[0], quarter_turns)
    assert len(streamed) == 10
    assert streamed[0][1].shape == expected.shape
    assert np.abs(streamed[0][1].astype(int) - expected).mean() < 20


def test_large_frames_are_shrunk(make_film):
    path = make_film(frames=np.full((2, 120, 200, 3), 90, np.uint8))
    assert next(stream_frames(path, max_frame_px=100))[1].shape == (60, 100, 3)


def test_a_still_picture_is_one_frame(tmp_path):
    path = tmp_path / "a.png"
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(picture).save(path)
    [(time_s, frame)] = stream_frames(path)
    assert time_s == 0.0
    assert np.array_equal(frame, picture)
    assert is_still(path)
    assert expected_frames(path) <= 1


def test_a_film_is_no_still_and_promises_its_frames(make_film, frames_25):
    path = make_film(frames=frames_25)
    assert not is_still(path)
    assert expected_frames(path) == 25
    assert expected_frames(path, 5) == 5


def test_a_file_without_picture_is_refused(make_film, one_second_tone):
    path = make_film(sounds=[one_second_tone])
    assert expected_frames(path) == 0
    with pytest.raises(MediaError, match="no picture in it"):
        list(stream_frames(path))


def test_a_rate_of_zero_is_refused(talking_film):
    with pytest.raises(ValueError, match="frames_per_second=0"):
        next(stream_frames(talking_film, 0))


def test_damage_is_noted_and_the_rest_comes(noise_film):
    content = bytearray(noise_film.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    noise_film.write_bytes(bytes(content))
    notes: list[str] = []
    times_s = [time_s for time_s, _ in stream_frames(noise_film, notes=notes)]
    assert times_s[-1] > 1.5
    assert "could not be decoded" in notes[0]


def test_a_written_film_has_frames_times_and_sound(talking_film, tmp_path):
    path = tmp_path / "out.mp4"
    with FilmWriter(path, talking_film) as film:
        for time_s, frame in stream_frames(talking_film):
            film.add(frame, time_s)
    streamed = list(stream_frames(path))
    assert [level(frame) for _, frame in streamed] == list(range(25))
    assert [time_s for time_s, _ in streamed] == pytest.approx(np.arange(25) / 25, abs=1e-4)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    sound = read_waveform(path, MediaConfig()).waveform
    assert sound is not None
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.argmax(spectrum) * 16000 / len(sound) == pytest.approx(440, abs=3)
    assert len(sound) / 16000 == pytest.approx(1.0, abs=0.15)


def test_odd_sizes_become_even(tmp_path):
    path = tmp_path / "out.mp4"
    frame = np.full((33, 47, 3), 90, np.uint8)
    with FilmWriter(path) as film:
        film.add(frame, 0.0)
        film.add(frame, 0.04)
    assert [f.shape for _, f in stream_frames(path)] == [(34, 48, 3)] * 2


def test_an_error_leaves_no_file_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), FilmWriter(path) as film:
        film.add(np.zeros((32, 32, 3), np.uint8), 0.0)
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert path.read_bytes() == b"old"
