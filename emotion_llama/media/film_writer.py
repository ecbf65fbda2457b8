"""Frames -> an H.264 film in an MP4 file, with the sound of another file.

Knows: encoders, clocks, interleaving. Does not know: what the frames show, who may replace a file.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import av
import numpy as np
from numpy.typing import NDArray

from emotion_llama.media.container import choose_track, open_container, packets_of

CLOCK_HZ = 90_000
"""Ticks of a second: thirds of a frame at 30 a second and finer are whole."""
QUALITY = {"crf": "18", "preset": "veryfast"}
"""Thin lines and small letters stay sharp."""
SOUND_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Samples a second that AAC players know."""
BT601 = 6
"""Number of the colour matrix in H.264 that the conversion from RGB uses here."""


class FilmWriter:
    """Writes frames as they come; the file appears whole at the end, or not at all.

    Sizes are made even by repeating the last row or column, which H.264 asks for. Sound is decoded
    and encoded again as AAC, at its own rate where AAC has that.

    Args:
        path: the film; it is replaced where it exists
        sound_path: file whose sound goes with the frames; ``None``: none
    """

    def __init__(self, path: Path, sound_path: Path | None = None) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{uuid4().hex}.part")
        self._sound_path = sound_path
        self._opened = ExitStack()
        self._container: Any = None
        self._track: Any = None
        self._sound: Iterator[tuple[float, Any]] = iter(())
        self._next_sound: tuple[float, Any] | None = None

    def __enter__(self) -> "FilmWriter":
        """Begin; nothing is written before the first frame says its size."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the film, or leave nothing behind after an error."""
        try:
            if kind is None and self._container is not None:
                self._mux_sound_until(float("inf"))
                self._container.mux(self._track.encode(None))
            self._opened.close()
            if kind is None and self._container is not None:
                self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)

    def add(self, frame: NDArray[np.uint8], time_s: float) -> None:
        """Add a frame.

        Args:
            frame: RGB, of one size throughout, [h x w x 3]
            time_s: when it is shown, later than the last
        """
        even = _even_sized(frame)
        if self._container is None:
            self._begin(even.shape[0], even.shape[1])
        picture = av.VideoFrame.from_ndarray(even, format="rgb24")
        picture.pts = round(time_s * CLOCK_HZ)
        picture.time_base = Fraction(1, CLOCK_HZ)
        self._mux_sound_until(time_s)
        self._container.mux(self._track.encode(picture))

    def _begin(self, height: int, width: int) -> None:
        self._container = self._opened.enter_context(
            av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
        )
        self._track = self._container.add_stream("libx264", rate=30, options=QUALITY)
        self._track.height, self._track.width = height, width
        self._track.pix_fmt = "yuv420p"
        self._track.codec_context.colorspace = BT601
        self._track.codec_context.time_base = Fraction(1, CLOCK_HZ)
        if self._sound_path is not None:
            source = self._opened.enter_context(open_container(self._sound_path))
            if source.streams.audio:
                self._sound = _encoded_sound(source, self._container)
                self._next_sound = next(self._sound, None)

    def _mux_sound_until(self, time_s: float) -> None:
        """Write the sound up to a time, so that picture and sound lie side by side in the file."""
        while self._next_sound is not None and self._next_sound[0] <= time_s:
            self._container.mux(self._next_sound[1])
            self._next_sound = next(self._sound, None)


def _even_sized(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column [h x w x 3] where their number is odd."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(frame)


def _encoded_sound(source: Any, target: Any) -> Iterator[tuple[float, Any]]:
    """Encode the sound of one container for another, whose track it adds at once.

    Yields:
        times in seconds and packets
    """
    track, _ = choose_track(source.streams.audio, "sound")
    mono = track.codec_context.layout.nb_channels == 1
    layout = "mono" if mono else "stereo"
    rate = track.rate if track.rate in SOUND_RATES else SOUND_RATES[-1]
    encoder = target.add_stream("aac", rate=rate, layout=layout)
    return _encoded_packets(source, track, encoder)


def _encoded_packets(source: Any, track: Any, encoder: Any) -> Iterator[tuple[float, Any]]:
    start_s = 0.0 if source.start_time is None else source.start_time / av.time_base
    tick = Fraction(1, encoder.rate)
    resampler = av.AudioResampler("fltp", encoder.layout.name, encoder.rate)
    clock: int | None = None
    for packet in packets_of(source, track, []):
        try:
            frames = track.decode(packet)
        except av.FFmpegError:
            continue
        for frame in frames:
            if clock is None:
                begins_s = float(frame.pts * track.time_base) - start_s if frame.pts else 0.0
                clock = max(0, round(begins_s * encoder.rate))
            for piece in resampler.resample(frame):
                piece.pts, piece.time_base = clock, tick
                clock += piece.samples
                yield from _timed(encoder.encode(piece))
    yield from _timed(encoder.encode(None))


def _timed(packets: Any) -> Iterator[tuple[float, Any]]:
    for packet in packets:
        yield float((packet.pts or 0) * packet.time_base), packet
