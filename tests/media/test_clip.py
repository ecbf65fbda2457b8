import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion_llama.config import MediaConfig
from emotion_llama.media import MediaError, container, read_clip, text_clip

PICTURE = {"global", "local", "temporal"}


def test_talking_film_misses_only_the_transcript(talking_film):
    clip = read_clip(talking_film)
    assert (clip.kind, clip.clip_id, clip.path) == ("video", "clip", talking_film)
    assert clip.missing == {"text": "no transcript was given"}
    assert clip.duration_s == pytest.approx(1.0, abs=0.05)
    assert clip.frames.shape == (5, 64, 96, 3)
    assert clip.frame_times_s.shape == (5,)
    assert clip.key_frame.shape == (64, 96, 3)
    assert clip.key_frame_s == pytest.approx(0.48)
    assert clip.waveform.dtype == np.float32
    assert clip.warnings == ()


def test_text_is_the_transcript(talking_film):
    clip = read_clip(talking_film, text="  so   happy\nto see you ")
    assert (clip.transcript, clip.missing) == ("so happy to see you", {})


def test_blank_text_is_a_missing_transcript(talking_film):
    assert read_clip(talking_film, text=" \n").missing == {"text": "the transcript is empty"}


def test_sound_file(make_film, tone):
    clip = read_clip(make_film("a.wav", sounds=[tone(1.0, 16000)], sound_codec="pcm_s16le"))
    assert clip.kind == "audio"
    assert set(clip.missing) == PICTURE | {"text"}
    assert clip.missing["global"] == "the file has no picture"


def test_cover_of_a_sound_file_is_no_film(tmp_path, make_film, tone, corners):
    import av

    sound = make_film("sound.mp3", sounds=[tone(1.0, 16000)], sound_codec="libmp3lame")
    Image.fromarray(corners[0]).save(tmp_path / "cover.png")
    path = tmp_path / "song.mp3"
    with (
        av.open(str(sound)) as source,
        av.open(str(tmp_path / "cover.png")) as cover,
        av.open(str(path), "w") as target,
    ):
        tracks = [target.add_stream_from_template(file.streams[0]) for file in (source, cover)]
        tracks[1].disposition = av.stream.Disposition.attached_pic.value
        for file, track in ((cover, tracks[1]), (source, tracks[0])):
            for packet in file.demux(file.streams[0]):
                if packet.size:
                    packet.stream = track
                    target.mux(packet)
    with av.open(str(path)) as written:
        assert written.streams.video
    assert read_clip(path).kind == "audio"


def test_silent_film_keeps_its_picture(make_film, frames_25):
    clip = read_clip(make_film(frames=frames_25))
    assert clip.missing["audio"] == "the file has no sound"
    assert clip.waveform is None
    assert clip.frames is not None


def test_still_picture(tmp_path, corners):
    Image.fromarray(corners[0]).save(tmp_path / "face.png")
    clip = read_clip(tmp_path / "face.png")
    assert (clip.kind, clip.clip_id, clip.duration_s) == ("image", "face", None)
    assert "at least 2 frames" in clip.missing["temporal"]
    assert clip.missing["audio"] == "a still picture has no sound"


def test_film_of_one_frame_has_no_motion(make_film, frames_25):
    clip = read_clip(make_film(frames=frames_25[:1]))
    assert clip.missing["temporal"] == "the clip has one frame; motion needs at least 2 frames"
    assert clip.key_frame is not None


def test_film_without_frames_is_heard(make_film, frames_25, one_second_tone):
    clip = read_clip(make_film("a.mkv", frames=frames_25[:0], sounds=[one_second_tone]))
    assert clip.kind == "audio"
    assert clip.missing["temporal"] == "the picture track has no frame"
    assert clip.waveform is not None


def test_every_missing_modality_is_named_and_none_else(talking_film, tmp_path, corners):
    Image.fromarray(corners[0]).save(tmp_path / "a.png")
    for clip in (read_clip(talking_film), read_clip(tmp_path / "a.png"), text_clip("yes")):
        assert (clip.waveform is None) == ("audio" in clip.missing)
        assert (clip.key_frame is None) == ("global" in clip.missing)
        assert (clip.transcript is None) == ("text" in clip.missing)


def test_text_alone():
    clip = text_clip("I am glad")
    assert (clip.kind, clip.transcript) == ("text", "I am glad")
    assert set(clip.missing) == PICTURE | {"audio"}
    with pytest.raises(ValueError, match="at least one word"):
        text_clip("  ")


@pytest.mark.parametrize("name", ["a b.mp4", "ü 笑 é.mp4", "http:x.mp4", "%03d.mp4", "-i.mp4"])
def test_names_are_only_names(talking_film, name):
    path = talking_film.with_name(name)
    shutil.copy(talking_film, path)
    assert read_clip(path).clip_id == path.stem


def test_path_as_a_string(talking_film):
    assert read_clip(str(talking_film)).path == talking_film


class TestBadInput:
    """Each ends in one `MediaError` that names the file, and says what to do."""

    def refused(self, path, match, **options):
        with pytest.raises(MediaError, match=match) as caught:
            read_clip(path, **options)
        assert str(path) in str(caught.value)
        assert "expected" in str(caught.value)

    def test_missing_file(self, tmp_path):
        self.refused(tmp_path / "a.mp4", "found no file")

    def test_impossible_name(self):
        with pytest.raises(MediaError):
            read_clip("a\0b.mp4")

    def test_name_too_long(self):
        with pytest.raises(MediaError):
            read_clip("a" * 5000)

    def test_directory(self, tmp_path):
        self.refused(tmp_path, "found a directory")

    def test_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "a.mp4")
        self.refused(tmp_path / "a.mp4", "a regular file")

    def test_empty_file(self, tmp_path):
        (tmp_path / "a.mp4").touch()
        self.refused(tmp_path / "a.mp4", "0 bytes")

    def test_no_permission(self, talking_film, monkeypatch):
        def refuse(*_arguments, **_options):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        self.refused(talking_film, r"cannot be read \(Permission denied\)")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
    def test_no_permission_on_disk(self, talking_film):
        talking_film.chmod(0)
        self.refused(talking_film, "cannot be read")

    @pytest.mark.parametrize("name", ["a.mp4", "a.mp3", "a.jpg", "a.txt", "a.srt", "a"])
    def test_text_with_another_name(self, tmp_path, name):
        (tmp_path / name).write_text("there are only words in here\n" * 99)
        self.refused(tmp_path / name, "no demuxer reads|text")

    def test_subtitles_are_no_clip(self, tmp_path):
        path = tmp_path / "a.mp4"
        path.write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n")
        self.refused(path, r"found text \(srt\).*give text as the transcript")

    @pytest.mark.parametrize(
        "playlist",
        [
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nclip.mp4\n#EXT-X-ENDLIST\n",
            "ffconcat version 1.0\nfile clip.mp4\n",
        ],
    )
    @pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.ffconcat"])
    def test_playlist_opens_no_other_file(self, talking_film, playlist, name):
        path = talking_film.with_name(name)
        path.write_text(playlist)
        self.refused(path, "no demuxer reads|text")

    @pytest.mark.parametrize("name", ["a.mp4", "a.mp3", "a.wav", "a.jpg"])
    @pytest.mark.parametrize("content", [bytes(5000), np.random.default_rng(0).bytes(50_000)])
    def test_bytes_without_meaning(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        self.refused(tmp_path / name, "no demuxer reads|no frame of the picture decodes")

    def test_film_cut_off_before_its_index(self, talking_film):
        content = talking_film.read_bytes()
        talking_film.write_bytes(content[: len(content) // 2])
        self.refused(talking_film, "no demuxer reads")

    def test_film_with_an_index_and_no_content(self, noise_film):
        content = noise_film.read_bytes()
        noise_film.write_bytes(content[: content.index(b"mdat") + 8])
        self.refused(noise_film, "nothing usable")

    @pytest.mark.parametrize("name", ["a.y4m", "a.mp4"])
    def test_zero_by_zero(self, tmp_path, name):
        (tmp_path / name).write_text("YUV4MPEG2 W0 H0 F25:1\nFRAME\n")
        self.refused(tmp_path / name, "no demuxer reads|nothing usable")

    def test_zero_by_zero_track_with_sound_is_heard(self, make_film, corners, one_second_tone):
        path = make_film(
            "a.avi", frames=corners, sounds=[one_second_tone], codec="rawvideo", rate=16000
        )
        content = bytearray(path.read_bytes())
        header = content.index(b"strf") + 8
        content[header + 4 : header + 12] = bytes(8)
        path.write_bytes(bytes(content))
        clip = read_clip(path)
        assert clip.kind == "audio"
        assert "global" in clip.missing

    def test_no_frames_and_no_sound(self, make_film, frames_25):
        self.refused(make_film("a.avi", frames=frames_25[:0]), "the picture track has no frame")

    @pytest.mark.parametrize(
        ("samples", "reason"),
        [([0.5], "lasts 6.25e-05 s"), ([], "no samples"), ([0.0] * 9999, "silence")],
    )
    def test_unusable_sound_alone(self, make_film, samples, reason):
        sounds = [np.array(samples, np.float32)]
        path = make_film("a.wav", sounds=sounds, sound_codec="pcm_s16le")
        self.refused(path, reason)
        clip = read_clip(path, text="but words are known")
        assert reason in clip.missing["audio"]
        assert (clip.kind, clip.transcript) == ("text", "but words are known")

    @pytest.mark.parametrize("seed", range(12))
    def test_any_damage_gives_a_clip_or_a_media_error(self, noise_film, seed):
        generator = np.random.default_rng(seed)
        content = bytearray(noise_film.read_bytes())
        for start in generator.integers(0, len(content) if seed % 2 else 2500, 20):
            content[start : start + 4] = generator.bytes(4)
        noise_film.write_bytes(bytes(content))
        try:
            clip = read_clip(noise_film)
        except MediaError:
            return
        assert clip.key_frame is not None or clip.waveform is not None


def test_file_is_checked_before_it_is_decoded(tmp_path):
    with pytest.raises(MediaError, match="check the path"):
        container.require_file(tmp_path / "a")


def test_settings_reach_the_reading(talking_film):
    clip = read_clip(talking_film, MediaConfig(key_frame="uniform:2", max_duration_s=0.25))
    assert (len(clip.frames), len(clip.waveform)) == (2, 4000)
