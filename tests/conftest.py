"""Clips made at test time: small films, sounds and pictures with known content."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

# how fast examples come is the machine's, and says nothing of the code
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

FilmMaker = Callable[..., Path]


def sine(
    seconds: float, rate: int, hertz: float = 440.0, amplitude: float = 0.5
) -> NDArray[np.float32]:
    """A sine wave, [w]."""
    time_s = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * time_s)).astype(np.float32)


@pytest.fixture
def tone() -> Callable[..., NDArray[np.float32]]:
    """Make a sine wave: ``tone(seconds, rate, hertz=440, amplitude=0.5) -> [w]``."""
    return sine


@pytest.fixture
def one_second_tone() -> NDArray[np.float32]:
    """440 Hz at half of full scale and 16 kHz, [w]."""
    return sine(1.0, 16000)


@pytest.fixture
def frames_25() -> NDArray[np.uint8]:
    """Frames whose brightness gives their position: frame i has the level 20 + 8 i."""
    levels = (20 + 8 * np.arange(25)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (25, 64, 96, 3)).copy()


@pytest.fixture
def corners() -> NDArray[np.uint8]:
    """Ten equal frames with a red, a green, a blue and a white corner."""
    frames = np.zeros((10, 64, 96, 3), np.uint8)
    frames[:, :32, :48, 0] = 255
    frames[:, :32, 48:, 1] = 255
    frames[:, 32:, :48, 2] = 255
    frames[:, 32:, 48:] = 255
    return frames


def _sound_track(container: Any, channels: int, rate: int, codec: str) -> Any:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    return container.add_stream(codec, rate=rate, layout=layout)


def _write_sound(container: Any, track: Any, waveform: NDArray[np.float32]) -> None:
    """Write [w] or [channels x w] as one track."""
    channels = np.atleast_2d(waveform)
    layout = track.layout.name
    resampler = av.AudioResampler(format=track.format.name, layout=layout, rate=track.rate)
    for start in range(0, channels.shape[1], 1024):
        piece = np.ascontiguousarray(channels[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
        frame.sample_rate = track.rate
        frame.pts = start
        frame.time_base = Fraction(1, track.rate)
        for converted in resampler.resample(frame):
            container.mux(track.encode(converted))
    if channels.shape[1]:
        for converted in resampler.resample(None):
            container.mux(track.encode(converted))
    container.mux(track.encode(None))


def _picture_track(
    container: Any,
    size: tuple[int, int],
    codec: str,
    rotation: float | None,
    options: dict[str, str],
) -> Any:
    track = container.add_stream(codec, rate=25, options=options)
    track.height, track.width = size
    track.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
    track.codec_context.time_base = Fraction(1, 1000)
    if rotation is not None:
        if not hasattr(type(track), "set_display_rotation"):
            pytest.skip(f"PyAV {av.__version__} reads a display matrix but cannot write one")
        track.set_display_rotation(rotation)
    return track


def _write_picture(
    container: Any, track: Any, frames: NDArray[np.uint8], times_s: Sequence[float]
) -> None:
    for picture, time_s in zip(frames, times_s, strict=True):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = round(time_s * 1000)
        frame.time_base = Fraction(1, 1000)
        container.mux(track.encode(frame))
    container.mux(track.encode(None))


@pytest.fixture
def make_film(tmp_path: Path) -> FilmMaker:
    """Write a film: ``make_film(name, frames=..., times_s=..., sounds=[...], ...) -> path``."""

    def make(
        name: str = "clip.mp4",
        *,
        frames: NDArray[np.uint8] | None = None,
        times_s: Sequence[float] | None = None,
        num_films: int = 1,
        sounds: Sequence[NDArray[np.float32]] = (),
        rate: int = 16000,
        codec: str = "libx264",
        sound_codec: str = "aac",
        rotation: float | None = None,
        codec_options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        films = [] if frames is None else [frames] * num_films
        times_s = (
            [i / 25 for i in range(0 if frames is None else len(frames))]
            if times_s is None
            else times_s
        )
        with av.open(str(path), "w", options=container_options or {}) as container:
            picture_tracks = [
                _picture_track(container, film.shape[1:3], codec, rotation, codec_options or {})
                for film in films
            ]
            sound_tracks = [
                _sound_track(container, len(np.atleast_2d(sound)), rate, sound_codec)
                for sound in sounds
            ]
            container.start_encoding()
            for track, film in zip(picture_tracks, films, strict=True):
                _write_picture(container, track, film, times_s)
            for track, sound in zip(sound_tracks, sounds, strict=True):
                _write_sound(container, track, sound)
        return path

    return make


@pytest.fixture
def talking_film(
    make_film: FilmMaker, frames_25: NDArray[np.uint8], one_second_tone: NDArray[np.float32]
) -> Path:
    """One second, 25 frames of known brightness, a 440 Hz tone."""
    return make_film(frames=frames_25, sounds=[one_second_tone])


@pytest.fixture
def noise_film(make_film: FilmMaker) -> Path:
    """Two seconds of noise with a tone, its index in front: half of the file still opens."""
    frames = np.random.default_rng(0).integers(0, 255, (50, 64, 96, 3), dtype=np.uint8)
    return make_film(
        "noise.mp4",
        frames=frames,
        sounds=[sine(2.0, 16000)],
        container_options={"movflags": "faststart"},
    )


@pytest.fixture(scope="session")
def tiny_preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of a preset, with random weights."""
    from tiny_preset import write_tiny_preset

    folder = tmp_path_factory.mktemp("preset")
    write_tiny_preset(folder)
    return folder


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the worst case of every parity measure, from all processes of the run."""
    rows = dict.fromkeys(
        tuple(value)
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, value in report.user_properties
        if name == "parity"
    )
    if rows:
        terminalreporter.section("parity with the published architecture (fp32, held to 1e-5)")
        for measure, worst in rows:
            terminalreporter.write_line(f"{measure:<55} worst {worst:.1e}")
