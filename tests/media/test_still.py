import numpy as np
import pytest
from PIL import Image

from emotion_llama.config import MediaConfig
from emotion_llama.media import MediaError
from emotion_llama.media.still import read_still


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "tiff", "ppm", "jp2", "gif"])
def test_formats(tmp_path, corners, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(corners[0]).save(path)
    picture = read_still(path, MediaConfig())
    assert picture.frames.shape == (1, 64, 96, 3)
    assert np.abs(picture.key_frame.astype(int) - corners[0]).mean() < 15


def test_content_counts_and_not_the_ending(tmp_path, corners):
    path = tmp_path / "a.mp4"
    Image.fromarray(corners[0]).save(path, format="PNG")
    assert np.array_equal(read_still(path, MediaConfig()).key_frame, corners[0])


@pytest.mark.parametrize(
    ("orientation", "quarter_turns"), [(1, 0), (3, 2), (6, 3), (8, 1)], ids=str
)
def test_exif_orientation(tmp_path, corners, orientation, quarter_turns):
    image = Image.fromarray(corners[0])
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    picture = read_still(tmp_path / "a.png", MediaConfig())
    assert np.array_equal(picture.key_frame, np.rot90(corners[0], quarter_turns))


def test_transparent_parts_are_white(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, 4:, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = read_still(tmp_path / "a.png", MediaConfig()).key_frame
    assert (picture[:, :4] == 255).all()
    assert (picture[:, 4:] == 0).all()


def test_grey_of_16_bits_keeps_its_levels(tmp_path):
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    picture = read_still(tmp_path / "a.png", MediaConfig()).key_frame
    assert np.array_equal(picture[..., 0], levels >> 8)


def test_large_picture_is_shrunk(tmp_path, corners):
    Image.fromarray(corners[0]).save(tmp_path / "a.png")
    picture = read_still(tmp_path / "a.png", MediaConfig(max_frame_px=48))
    assert picture.key_frame.shape == (32, 48, 3)


def test_damaged_picture(tmp_path, corners):
    path = tmp_path / "a.jpg"
    Image.fromarray(corners[0]).save(path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(MediaError, match="a picture that does not decode"):
        read_still(path, MediaConfig())


def test_picture_too_large_to_hold(tmp_path, corners, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.fromarray(corners[0]).save(tmp_path / "a.png")
    with pytest.raises(MediaError, match="ordinary size"):
        read_still(tmp_path / "a.png", MediaConfig())


def test_what_the_picture_reader_remarks_is_kept_with_the_picture(tmp_path, corners, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    Image.fromarray(corners[0]).save(tmp_path / "a.png")
    picture = read_still(tmp_path / "a.png", MediaConfig())
    assert len(picture.warnings) == 1
    assert "6144 pixels" in picture.warnings[0]


def test_heif_is_refused_and_not_read_as_a_film(tmp_path):
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(MediaError, match="HEIF picture.*export it as JPEG"):
        read_still(path, MediaConfig())


def test_animated_webp_says_that_one_frame_was_used(tmp_path, frames_25):
    images = [Image.fromarray(frame) for frame in frames_25[:3]]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], lossless=True)
    picture = read_still(tmp_path / "a.webp", MediaConfig())
    assert picture.warnings == ("animated picture: used the first of 3 frames",)


def test_films_are_left_to_the_film_reader(talking_film):
    assert read_still(talking_film, MediaConfig()) is None
