import av
import numpy as np
import pytest

from emotion_llama.config import MediaConfig
from emotion_llama.media import MediaError, choose_frames, read_frames, video


def levels(frames):
    """Position in the film of each frame of `grey_frames`, from its brightness."""
    brightness = frames[:, 8:-8, 8:-8].reshape(len(frames), -1).mean(axis=1)
    return np.round((brightness - 20) / 8).astype(int).tolist()


class TestChooseFrames:
    times_s = np.arange(10) / 10

    def test_first_and_middle(self):
        assert choose_frames("first", self.times_s, 1.0).tolist() == [0]
        assert choose_frames("middle", self.times_s, 1.0).tolist() == [5]

    def test_uniform_takes_the_middle_of_equal_parts(self):
        assert choose_frames("uniform:5", self.times_s, 1.0).tolist() == [1, 3, 5, 7, 9]

    def test_counts_time_and_not_frames(self):
        uneven = np.array([0.0, 0.01, 0.02, 0.03, 5.0])
        assert choose_frames("middle", uneven, 10.0).tolist() == [4]
        assert choose_frames("uniform:2", uneven, 10.0).tolist() == [3, 4]

    def test_more_wanted_than_there_are_gives_each_once(self):
        assert choose_frames("uniform:99", self.times_s, 1.0).tolist() == list(range(10))

    def test_one_frame(self):
        for policy in ("first", "middle", "uniform:7"):
            assert choose_frames(policy, np.zeros(1), 0.0).tolist() == [0]

    def test_nothing_to_choose_from(self):
        with pytest.raises(ValueError, match="no frame times"):
            choose_frames("first", np.zeros(0), 0.0)

    def test_unknown_policy(self):
        with pytest.raises(ValueError, match="'best' is no key-frame policy"):
            choose_frames("best", self.times_s, 1.0)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.avi", "mpeg4"),
        ("a.webm", "libvpx"),
        ("a.mov", "mjpeg"),
        ("a.h264", "libx264"),
    ],
)
def test_containers_and_codecs_give_the_same_frames(make_film, frames_25, name, codec):
    path = make_film(name, frames=frames_25, codec=codec)
    picture = read_frames(path, MediaConfig())
    assert levels(picture.frames) == [2, 7, 12, 17, 22]
    assert picture.times_s == pytest.approx([0.08, 0.28, 0.48, 0.68, 0.88], abs=0.05)
    assert levels(picture.key_frame[None]) == [12]
    assert np.isfinite(picture.times_s).all()


def test_the_last_frames_of_a_film_have_their_times(make_film, frames_25):
    picture = read_frames(make_film(frames=frames_25), MediaConfig(frames_per_second=25))
    assert picture.times_s == pytest.approx(np.arange(25) / 25)
    assert levels(picture.frames) == list(range(25))


def test_variable_frame_rate_is_sampled_by_time(make_film, frames_25):
    # twenty frames in the first second, five in the next four
    times_s = [*(np.arange(20) / 20), *(1 + 0.8 * np.arange(5))]
    path = make_film(frames=frames_25, times_s=times_s)
    picture = read_frames(path, MediaConfig(key_frame="uniform:5"))
    # the last frame is shown for one frame of the stated rate: 4.24 s in five parts of 0.848 s
    assert picture.duration_s == pytest.approx(4.24, abs=0.01)
    assert levels(picture.frames) == [8, 20, 21, 22, 23]


def test_uniform_policy_takes_n_frames_and_the_middle_one_as_key(make_film, frames_25):
    picture = read_frames(make_film(frames=frames_25), MediaConfig(key_frame="uniform:3"))
    assert levels(picture.frames) == [4, 12, 20]
    assert levels(picture.key_frame[None]) == [12]


def test_first_policy(make_film, frames_25):
    picture = read_frames(make_film(frames=frames_25), MediaConfig(key_frame="first"))
    assert (levels(picture.key_frame[None]), picture.key_frame_s) == ([0], 0.0)
    assert levels(picture.frames) == [2, 7, 12, 17, 22]


def test_two_readings_are_equal(make_film, frames_25):
    path = make_film(frames=frames_25)
    one, two = read_frames(path, MediaConfig()), read_frames(path, MediaConfig())
    assert np.array_equal(one.frames, two.frames)


def test_long_film_keeps_at_most_max_frames_over_its_whole_length(make_film):
    frames = np.full((1500, 16, 16, 3), 90, np.uint8)
    picture = read_frames(make_film(frames=frames), MediaConfig(max_frames=10))
    assert picture.times_s == pytest.approx(np.arange(10) * 6 + 3, abs=0.05)


def test_long_film_decodes_only_intra_frames_where_they_are_dense(make_film, monkeypatch):
    path = make_film(
        frames=np.full((500, 16, 16, 3), 90, np.uint8),
        codec_options={"g": "10", "keyint_min": "10"},
    )
    converted = []
    decoded = video._decoded

    def counted(*arguments):
        for item in decoded(*arguments):
            converted.append(item)
            yield item

    monkeypatch.setattr(video, "_decoded", counted)
    picture = read_frames(path, MediaConfig(max_frames=10))
    assert len(converted) <= 50
    assert picture.times_s == pytest.approx(np.arange(10) * 2 + 1, abs=0.41)


@pytest.mark.parametrize(("angle", "quarter_turns"), [(0, 0), (90, 1), (180, 2), (-90, 3)], ids=str)
def test_rotation_of_the_container_is_applied(make_film, corners, angle, quarter_turns):
    # the stated angle turns counter-clockwise, as np.rot90 does
    picture = read_frames(make_film(frames=corners, rotation=angle), MediaConfig())
    expected = np.rot90(corners[0], quarter_turns)
    assert picture.frames[0].shape == expected.shape
    assert np.abs(picture.frames[0].astype(int) - expected).mean() < 20


def test_mirroring_matrix_is_applied(corners):
    frame = av.VideoFrame.from_ndarray(corners[0], format="rgb24")

    class Mirrored:
        side_data = {"DISPLAYMATRIX": np.array([-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30], "<i4")}
        height, width, sample_aspect_ratio = frame.height, frame.width, None
        to_ndarray = staticmethod(frame.to_ndarray)

    assert np.array_equal(video.upright(Mirrored(), 1000), corners[0][:, ::-1])


def test_large_frames_are_shrunk(make_film):
    frames = np.full((2, 120, 200, 3), 90, np.uint8)
    picture = read_frames(make_film(frames=frames), MediaConfig(max_frame_px=100))
    assert picture.frames.shape[1:] == (60, 100, 3)


def test_film_without_picture(make_film, one_second_tone):
    picture = read_frames(make_film(sounds=[one_second_tone]), MediaConfig())
    assert picture.absence == "the file has no picture"


def test_several_picture_tracks_warn(make_film, frames_25):
    picture = read_frames(make_film("a.mkv", frames=frames_25, num_films=2), MediaConfig())
    assert picture.warnings == ("2 picture tracks: used track 1, the first one",)
    assert len(picture.frames) == 5


def test_zero_frames(make_film, one_second_tone):
    path = make_film("a.mkv", frames=np.zeros((0, 64, 96, 3), np.uint8), sounds=[one_second_tone])
    assert read_frames(path, MediaConfig()).absence == "the picture track has no frame"


def test_film_cut_short_gives_what_decodes_and_a_warning(make_film, noise_film):
    content = noise_film.read_bytes()
    noise_film.write_bytes(content[: len(content) // 2])
    picture = read_frames(noise_film, MediaConfig())
    assert 0.5 < picture.duration_s < 1.5
    assert "the picture is cut short: the file states 2.00 s" in picture.warnings[0]
    assert len(picture.frames) >= 2


def test_damage_in_the_middle_is_a_warning_and_the_rest_is_used(noise_film):
    content = bytearray(noise_film.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    noise_film.write_bytes(bytes(content))
    picture = read_frames(noise_film, MediaConfig())
    assert picture.frames is not None
    assert picture.times_s[-1] > 1.5


def test_file_that_is_no_film(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("only words " * 99)
    with pytest.raises(MediaError, match="no demuxer reads"):
        read_frames(path, MediaConfig())
