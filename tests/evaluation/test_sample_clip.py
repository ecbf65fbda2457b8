"""Parts of long films, and halves of their pictures."""

from pathlib import Path

import numpy as np
import pytest

from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import MediaConfig
from emotion_llama.evaluation.sample_clip import decode_sample, read_sample
from emotion_llama.evaluation.samples import EvalSample, Truth
from emotion_llama.media import FilmWriter, MediaError

WIDTH, HEIGHT = 96, 48


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds: black on the left, white on the right; grey on both from the second on."""
    path = tmp_path_factory.mktemp("film") / "two.mp4"
    with FilmWriter(path) as writer:
        for number in range(20):
            picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
            if number < 10:
                picture[:, : WIDTH // 2], picture[:, WIDTH // 2 :] = 0, 255
            writer.add(picture, number / 10)
    return path


@pytest.fixture(scope="module")
def reader() -> ClipReader:
    return ClipReader(MediaConfig(frames_per_second=5.0, face_source="whole-frame"))


@pytest.mark.parametrize(("side", "brightness"), [("left", 0), ("right", 255)])
def test_the_half_of_the_picture_is_that_of_the_person(
    film: Path, reader: ClipReader, side: str, brightness: int
) -> None:
    asked = EvalSample("a", film, None, Truth(), span=(0.0, 0.9), side=side)  # type: ignore[arg-type]
    clip = read_sample(reader, asked)
    assert clip.frames is not None and clip.key_frame is not None and clip.faces is not None
    assert clip.frames.shape[1:] == clip.key_frame.shape == (HEIGHT, WIDTH // 2, 3)
    # the codec smears over the edge in the middle
    inner = clip.frames[:, :, 8:-8]
    assert inner.mean() == pytest.approx(brightness, abs=6)
    assert clip.key_frame[:, 8:-8].mean() == pytest.approx(brightness, abs=6)


def test_only_the_part_is_read(film: Path, reader: ClipReader) -> None:
    whole = decode_sample(reader, EvalSample("a", film, None, Truth()))
    part = decode_sample(reader, EvalSample("a", film, None, Truth(), span=(1.2, 1.8)))
    assert whole.frames is not None and part.frames is not None
    assert part.frame_times_s is not None and part.frame_times_s.min() >= 1.2
    assert len(part.frames) < len(whole.frames)
    assert part.frames.mean() == pytest.approx(128, abs=6)
    with pytest.raises(MediaError, match="9.00 to 10.00 s"):
        read_sample(reader, EvalSample("a", film, None, Truth(), span=(9.0, 10.0)))


def test_words_alone_are_a_clip(reader: ClipReader) -> None:
    words = EvalSample("a", None, "It is late.", Truth())
    assert read_sample(reader, words).transcript == "It is late."
    assert decode_sample(reader, words).kind == "text"
    with pytest.raises(ValueError, match="at least one word"):
        read_sample(reader, EvalSample("a", None, None, Truth()))


def test_a_sound_has_no_half(tmp_path: Path, reader: ClipReader) -> None:
    import wave

    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        noise = np.random.default_rng(0).normal(0, 3000, 16000)
        file.writeframes(noise.astype("<i2").tobytes())
    clip = read_sample(reader, EvalSample("a", path, None, Truth(), side="left"))
    assert clip.frames is None and clip.waveform is not None
