"""A part of a film read as if it were a film of its own."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from PIL import Image

from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import MediaConfig
from emotion_llama.media import (
    MediaError,
    audio,
    container,
    read_clip,
    read_frames,
    read_waveform,
    video,
)
from emotion_llama.media.audio import sound_start_s
from emotion_llama.media.span import Span, checked_span
from emotion_llama.records import Evidence

EVERY_FRAME = MediaConfig(frames_per_second=25, max_frames=1000)
SHORT_GOP = {"g": "12", "keyint_min": "12", "sc_threshold": "0"}


def numbered(number):
    """Frames [t x 64 x 96 x 3] whose two halves give tens and ones of their position."""
    frames = np.zeros((number, 64, 96, 3), np.uint8)
    for i in range(number):
        frames[i, :, :48] = 10 + 20 * (i // 10)
        frames[i, :, 48:] = 10 + 20 * (i % 10)
    return frames


def numbers(frames):
    """Position of each frame of `numbered`."""
    tens = frames[:, 8:-8, 8:40].reshape(len(frames), -1).mean(axis=1)
    ones = frames[:, 8:-8, 56:88].reshape(len(frames), -1).mean(axis=1)
    return (10 * np.round((tens - 10) / 20) + np.round((ones - 10) / 20)).astype(int).tolist()


@pytest.fixture
def chirp():
    """Six seconds of a rising tone at 44.1 kHz, of which no two moments are alike, [w]."""
    time_s = np.arange(6 * 44100) / 44100
    return (0.5 * np.sin(2 * np.pi * (200 + 100 * time_s) * time_s)).astype(np.float32)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.h264"])
def test_every_start_gives_its_own_first_frame(make_film, name):
    path = make_film(name, frames=numbered(60), codec_options=SHORT_GOP)
    for first in range(0, 58):
        picture = read_frames(path, EVERY_FRAME, Span(first / 25 - 0.001, (first + 2) / 25 - 0.001))
        assert numbers(picture.frames) == [first, first + 1], f"from frame {first}"
        assert picture.times_s == pytest.approx([first / 25, (first + 1) / 25], abs=0.001)


@pytest.mark.parametrize("policy", ["first", "middle", "peak", "uniform:5"])
@pytest.mark.parametrize("max_frames", [4, 64])
def test_frames_are_those_of_the_film_cut_to_the_span(make_film, policy, max_frames):
    frames = numbered(75)
    spec = MediaConfig(key_frame=policy, max_frames=max_frames)
    whole = make_film("whole.mp4", frames=frames, codec_options=SHORT_GOP)
    cut = make_film("cut.mp4", frames=frames[24:60], codec_options=SHORT_GOP)
    picture, expected = read_frames(whole, spec, Span(0.96, 2.4)), read_frames(cut, spec)
    assert numbers(picture.frames) == numbers(expected.frames)
    assert picture.times_s == pytest.approx(expected.times_s + 0.96)
    assert picture.key_frame_s == pytest.approx(expected.key_frame_s + 0.96)
    assert numbers(picture.key_frame[None]) == numbers(expected.key_frame[None])
    assert picture.duration_s == pytest.approx(expected.duration_s)


def test_spans_that_follow_each_other_have_every_frame_once(make_film):
    path = make_film(frames=numbered(60), codec_options=SHORT_GOP)
    edges = [0.0, 0.76, 1.6, 2.4]
    pictures = [read_frames(path, EVERY_FRAME, Span(*pair)) for pair in pairwise(edges)]
    assert [i for picture in pictures for i in numbers(picture.frames)] == list(range(60))


def test_a_span_does_not_decode_the_film_before_it(make_film, monkeypatch):
    path = make_film(frames=numbered(75), codec_options=SHORT_GOP)
    decoded, num_decoded = video._decoded, []

    def counted(*arguments):
        for item in decoded(*arguments):
            num_decoded.append(item[0])
            yield item

    monkeypatch.setattr(video, "_decoded", counted)
    picture = read_frames(path, EVERY_FRAME, Span(2.0, 2.4))
    assert numbers(picture.frames) == list(range(50, 60))
    assert min(num_decoded) == pytest.approx(48 / 25), "the codec key frame before it"
    assert len(num_decoded) <= 13


def test_where_a_container_cannot_seek_it_is_read_from_the_start(make_film, chirp, monkeypatch):
    path = make_film(frames=numbered(60), sounds=[chirp], rate=44100, codec_options=SHORT_GOP)
    span = Span(1.2, 1.6)
    seeking = read_clip(path, EVERY_FRAME, span=span)
    monkeypatch.setattr(container, "_enters", lambda *_: False)
    from_the_start = read_clip(path, EVERY_FRAME, span=span)
    assert np.array_equal(seeking.frames, from_the_start.frames)
    assert np.abs(seeking.waveform - from_the_start.waveform).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "codec", "tolerance"),
    [
        ("a.wav", "pcm_s16le", 1e-6),
        ("a.flac", "flac", 1e-6),
        ("a.mp3", "libmp3lame", 1e-5),
        # an AAC decoder makes noise of its own at places, other noise when it starts midway
        ("a.m4a", "aac", 5e-3),
        ("a.mka", "aac", 5e-3),
    ],
)
@pytest.mark.parametrize("span", [Span(0, 0.9), Span(1.7, 3.21), Span(4.99, 6.0)], ids=str)
def test_the_sound_of_a_span_is_that_of_the_whole_there(
    make_film, chirp, name, codec, tolerance, span
):
    path = make_film(name, sounds=[chirp], rate=44100, sound_codec=codec)
    whole = read_waveform(path, MediaConfig()).waveform
    sound = read_waveform(path, MediaConfig(), span)
    expected = whole[round(span.start_s * 16000) : round(span.end_s * 16000)]
    assert sound.warnings == ()
    assert len(sound.waveform) == len(expected) == round(span.length_s * 16000)
    # worst measured: 3e-7, and 3e-3 for AAC
    assert np.abs(sound.waveform - expected).max() < tolerance


def test_a_span_does_not_decode_the_sound_before_it(make_film, chirp, monkeypatch):
    path = make_film("a.m4a", sounds=[np.tile(chirp, 5)], rate=44100)
    timed, times_s = audio._timed_frames, []

    def noted(*arguments):
        for piece in timed(*arguments):
            times_s.append(piece[0])
            yield piece

    monkeypatch.setattr(audio, "_timed_frames", noted)
    monkeypatch.setattr(audio, "sound_start_s", lambda _: 0.0)
    assert len(read_waveform(path, MediaConfig(), Span(24, 25)).waveform) == 16000
    assert 23.4 < min(times_s) <= 23.5
    assert max(times_s) < 25.2


def test_opus_that_starts_midway_comes_to_the_same_sound(make_film, tone):
    path = make_film("a.opus", sounds=[tone(4, 48000)], rate=48000, sound_codec="libopus")
    whole = read_waveform(path, MediaConfig()).waveform
    part = read_waveform(path, MediaConfig(), Span(2, 3)).waveform
    assert np.abs(part - whole[32000:48000]).max() < 1e-3


def test_a_span_keeps_to_the_longest_duration(make_film, chirp):
    path = make_film("a.wav", sounds=[chirp], rate=44100, sound_codec="pcm_s16le")
    sound = read_waveform(path, MediaConfig(max_duration_s=0.5), Span(2, 4))
    whole = read_waveform(path, MediaConfig()).waveform
    assert np.abs(sound.waveform - whole[32000:40000]).max() < 1e-6


@pytest.fixture
def late_sound(make_film, chirp, tmp_path):
    """Three seconds of picture; the sound begins at 1 s."""
    film = make_film("picture.mp4", frames=numbered(75))
    path = tmp_path / "late.mkv"
    sound = np.round(chirp[: 2 * 44100] * 32767).astype(np.int16)
    with av.open(str(film)) as source, av.open(str(path), "w") as target:
        track = target.add_stream_from_template(source.streams.video[0])
        heard = target.add_stream("pcm_s16le", rate=44100, layout="mono")
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = track
                target.mux(packet)
        for start in range(0, len(sound), 4410):
            frame = av.AudioFrame.from_ndarray(
                sound[None, start : start + 4410], format="s16", layout="mono"
            )
            frame.sample_rate, frame.time_base = 44100, Fraction(1, 44100)
            frame.pts = 44100 + start
            target.mux(heard.encode(frame))
        target.mux(heard.encode(None))
    return path


def test_sound_that_begins_late_is_where_the_film_has_it(late_sound):
    whole = read_waveform(late_sound, MediaConfig()).waveform
    assert sound_start_s(late_sound) == pytest.approx(1.0, abs=0.002)
    sound = read_waveform(late_sound, MediaConfig(), Span(0.2, 2))
    assert np.abs(sound.waveform - whole[:16000]).max() < 1e-5
    assert sound.warnings == (), "late is not cut short"
    part = read_waveform(late_sound, MediaConfig(), Span(2, 2.5)).waveform
    assert np.abs(part - whole[16000:24000]).max() < 1e-5
    early = read_clip(late_sound, span=(0, 0.9))
    assert early.missing["audio"] == "the sound track has no samples in 0.00 to 0.90 s"
    assert early.frames is not None


def test_what_is_heard_is_timed_from_the_start_of_the_file(late_sound):
    heard = Evidence("audio", "the voice is loud", 1.0, 0.1, 0.3, "test")
    seen = Evidence("local", "the brows are raised", 1.0, 2.2, 2.2, "test")
    reader = ClipReader(MediaConfig(face_source="whole-frame"), measure=lambda _: (heard, seen))
    times = [
        [(item.start_s, item.end_s) for item in reader.read(late_sound, span=span).evidence]
        for span in (None, (2.0, 3.0), (0.5, 3.0))
    ]
    assert times[0] == [(0.1, 0.3), (2.2, 2.2)]
    assert times[1] == [pytest.approx((2.1, 2.3)), (2.2, 2.2)]
    assert times[2] == [pytest.approx((1.1, 1.3), abs=0.002), (2.2, 2.2)], "from the first sample"


def test_a_clip_of_a_span_keeps_the_times_of_the_film(make_film, chirp):
    path = make_film(frames=numbered(60), sounds=[chirp[:105840]], rate=44100)
    clip = read_clip(path, text="hello", span=(1.2, 2.0))
    assert (clip.clip_id, clip.kind, clip.missing, clip.warnings) == ("clip", "video", {}, ())
    assert clip.duration_s == pytest.approx(0.8)
    assert len(clip.waveform) == 12800
    assert clip.frame_times_s.min() >= 1.2
    assert clip.frame_times_s.max() < 2.0
    assert 1.2 <= clip.key_frame_s < 2.0


def test_a_span_without_picture_or_sound_names_it(make_film, chirp, tone):
    short_picture = make_film("a.mp4", frames=numbered(25), sounds=[chirp], rate=44100)
    clip = read_clip(short_picture, span=(2, 3))
    why = "the picture track has no frame in 2.00 to 3.00 s"
    assert {m: clip.missing[m] for m in ("global", "local", "temporal")} == dict.fromkeys(
        ("global", "local", "temporal"), why
    )
    assert (clip.kind, len(clip.waveform)) == ("audio", 16000)
    short_sound = make_film("b.mp4", frames=numbered(75), sounds=[tone(1, 16000)])
    clip = read_clip(short_sound, span=(2, 3))
    assert clip.missing["audio"] == "the sound track has no samples in 2.00 to 3.00 s"
    assert len(clip.frames) == 5


def test_a_span_of_nothing_is_an_error_and_words_are_enough(make_film, chirp):
    quiet = np.concatenate([chirp[:44100], np.zeros(44100, np.float32)])
    path = make_film("a.wav", sounds=[quiet], rate=44100, sound_codec="pcm_s16le")
    with pytest.raises(MediaError, match=r"no picture; the sound is silence"):
        read_clip(path, span=(1.5, 2))
    assert read_clip(path, text="yes", span=(1.5, 2)).kind == "text"


@pytest.mark.parametrize(
    ("span", "found"),
    [
        ((5, 6), "found the span 5.00 to 6.00 s; expected a start before 2.40 s"),
        ((-1, 1), "found the span -1 to 1 s; expected a start from 0 on"),
        ((1, 1), "found the span 1 to 1 s"),
        ((float("nan"), 1), "found the span nan to 1 s"),
        ((0, float("inf")), "found the span 0 to inf s"),
    ],
)
def test_a_span_that_is_no_part_of_the_file(make_film, span, found):
    with pytest.raises(MediaError) as caught:
        read_clip(make_film(frames=numbered(60)), span=span)
    assert found in str(caught.value)


def test_a_still_picture_has_no_spans(tmp_path, corners):
    Image.fromarray(corners[0]).save(tmp_path / "a.png")
    with pytest.raises(MediaError, match="found a still picture, and the span"):
        read_clip(tmp_path / "a.png", span=(0, 1))


def test_a_span_past_the_end_stops_there_and_says_so(make_film, tmp_path):
    clip = read_clip(make_film(frames=numbered(60)), span=(2, 9))
    assert clip.duration_s == pytest.approx(0.4)
    assert clip.warnings == ("the file ends at 2.40 s: read 2.00 to 2.40 s",)
    assert checked_span(tmp_path, (2, 2.6), 2.4) == (Span(2, 2.4), ()), "headers round"
    assert checked_span(tmp_path, (2, 9), None) == (Span(2, 9), ())


def test_a_film_that_is_cut_short_is_said_where_it_counts(noise_film):
    data = noise_film.read_bytes()
    noise_film.write_bytes(data[: len(data) // 2])
    assert read_frames(noise_film, MediaConfig(), Span(0, 0.5)).warnings == ()
    (warning,) = read_frames(noise_film, MediaConfig(), Span(0.5, 2)).warnings[:1]
    assert "the picture is cut short: the file states 1.50 s for 0.50 to 2.00 s" in warning
