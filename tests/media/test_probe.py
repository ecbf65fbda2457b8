"""What headers state, read without decoding, and what is refused by them."""

import re
import time
import tracemalloc
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hostile_files import NO_MEDIA, PLAYLISTS, matroska, mp4_that_states, png, wav
from PIL import Image

from emotion_llama.media import MediaError, MediaFacts, MediaLimitError, check_limits, probe

LIMITS: dict[str, Any] = {
    "max_duration_s": 60,
    "max_side_px": 4000,
    "max_pixels": 9_000_000,
    "max_streams": 8,
}


@pytest.fixture
def save(tmp_path):
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def refused(path: Path) -> str:
    """Give the message with which a file is refused."""
    with pytest.raises(MediaError) as caught:
        check_limits(probe(path), path, **LIMITS)
    return str(caught.value)


def test_a_film_is_described_by_its_headers(talking_film):
    facts = probe(talking_film)
    assert (facts.kind, facts.num_streams) == ("video", 2)
    assert (facts.width, facts.height) == (96, 64)
    assert facts.duration_s == pytest.approx(1.0, abs=0.1)
    assert "mp4" in facts.format_name
    check_limits(facts, talking_film, **LIMITS)


def test_a_sound_has_no_size(make_film, one_second_tone):
    facts = probe(make_film("a.m4a", sounds=[one_second_tone]))
    assert (facts.kind, facts.width, facts.height) == ("audio", None, None)


def test_a_picture_has_no_length(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg")
    assert probe(tmp_path / "a.jpg") == MediaFacts("image", "jpeg", 1, 30, 20, None)


@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_a_moving_picture_is_a_film(tmp_path, frames_25, name):
    images = [Image.fromarray(frame) for frame in frames_25]
    images[0].save(tmp_path / name, save_all=True, append_images=images[1:])
    facts = probe(tmp_path / name)
    assert (facts.kind, facts.width, facts.height) == ("video", 96, 64)


def test_an_animated_webp_is_a_picture_because_its_first_frame_is_read(tmp_path, frames_25):
    images = [Image.fromarray(frame) for frame in frames_25[:3]]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:])
    assert probe(tmp_path / "a.webp").kind == "image"


def test_a_cover_counts_as_a_track_and_not_as_the_picture(make_film, one_second_tone, tmp_path):
    path = tmp_path / "song.mp3"
    cover = png(300, 300, np.zeros((300, 901), np.uint8).tobytes())
    with av.open(str(path), "w") as song:
        tune = song.add_stream("libmp3lame", rate=16000, layout="mono")
        picture = song.add_stream("png", rate=1)
        picture.width = picture.height = 300
        picture.pix_fmt = "rgb24"
        picture.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover)
        packet.stream, packet.pts, packet.dts = picture, 0, 0
        song.start_encoding()
        song.mux(packet)
        frame = av.AudioFrame.from_ndarray(one_second_tone[None], format="fltp", layout="mono")
        frame.sample_rate = 16000
        song.mux(tune.encode(frame))
        song.mux(tune.encode(None))
    facts = probe(path)
    assert (facts.kind, facts.num_streams, facts.width) == ("audio", 2, None)


def test_the_longest_length_counts(save, talking_film):
    film = mp4_that_states(talking_film.read_bytes(), 100_000)
    assert probe(save("long.mp4", film)).duration_s == pytest.approx(100_000, rel=0.01)
    assert probe(save("long.mkv", matroska(duration_s=100_000))).duration_s == 100_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"duration_s": 61.5}, "a length of 61.5 s; expected at most 60 s; cut it shorter"),
        ({"width": 4001}, "4001 x 20 pixels; expected at most 4000 a side"),
        ({"height": 4001}, "30 x 4001 pixels; expected at most 4000 a side"),
        ({"width": 3001, "height": 3000}, "3001 x 3000 pixels; expected .* 9000000 in all"),
        ({"num_streams": 9}, "9 tracks; expected at most 8; export it with one"),
    ],
)
def test_each_limit_is_named_with_what_was_found_and_what_to_do(changes, words):
    fine = {"num_streams": 8, "width": 30, "height": 20, "duration_s": 60.0}
    path = Path("mine.mp4")
    check_limits(MediaFacts("video", "mp4", **fine), path, **LIMITS)
    with pytest.raises(MediaLimitError, match=rf"mine\.mp4: found .*{words}"):
        check_limits(MediaFacts("video", "mp4", **(fine | changes)), path, **LIMITS)


def test_a_length_that_nothing_states_passes():
    check_limits(MediaFacts("video", "webm", 1, 30, 20, None), Path("a.webm"), **LIMITS)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("huge.png", png(65535, 65535), "too large to open .*4294836225 pixels"),
        ("large.png", png(13000, 13000), "13000 x 13000 pixels"),
        ("bomb.png", png(9000, 9000, bytes(9000 * 27001)), "9000 x 9000 pixels"),
        ("ten_hours.wav", wav(36_000, 3600), "a length of 3600 s"),
        ("long.mkv", matroska(duration_s=1e9), "a length of 1e[+]09 s"),
        ("wide.mkv", matroska(width=16_000), "16000 x 64 pixels"),
        ("tracks.mkv", matroska(num_tracks=10_000), "1000 tracks"),
    ],
)
def test_what_claims_too_much_is_refused_quickly_and_without_memory(save, name, content, words):
    path = save(name, content)
    tracemalloc.start()
    start = time.perf_counter()
    message = refused(path)
    assert time.perf_counter() - start < 20
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert re.search(words, message), message


def test_a_size_that_ffmpeg_itself_refuses_is_not_stated(save):
    facts = probe(save("huge.mkv", matroska(width=2**31 - 1)))
    assert facts.width is None


@pytest.mark.parametrize("name", PLAYLISTS)
def test_texts_that_name_other_files_are_no_media(save, name):
    message = refused(save(name, PLAYLISTS[name]))
    assert "passwd" not in message
    assert "x:0:0" not in message


@pytest.mark.parametrize("name", ["random.mp4", "phone.heic", "empty.mp4"])
def test_what_is_no_medium_is_refused(save, name):
    refused(save(name, NO_MEDIA[name]))


def test_heif_pictures_are_named(save):
    assert "HEIF picture" in refused(save("phone.heic", NO_MEDIA["phone.heic"]))


def test_a_film_without_its_end_is_refused_or_described(save, talking_film):
    film = talking_film.read_bytes()
    assert "no demuxer reads" in refused(save("half.mp4", film[: len(film) // 2]))


def test_subtitles_alone_are_neither_picture_nor_sound(save):
    message = refused(save("a.mkv", matroska(codec="S_TEXT/UTF8")))
    assert "neither picture nor sound (matroska" in message


def test_a_damaged_picture_header_is_refused(save, tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    assert refused(save("cut.png", content[:20]))
