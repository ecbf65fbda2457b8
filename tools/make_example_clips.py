"""Make ``examples/smile.mp4`` and ``examples/frown.mp4`` from one public-domain photograph.

Run: ``python tools/make_example_clips.py`` (needs scikit-image, scipy and the program espeak-ng).
Knows: landmarks of this one photograph, set by hand. Does not know: the package, any model.
A face is moved by warping; the mouth follows the loudness of synthesised speech.
"""

import argparse
import io
import shutil
import subprocess
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from skimage import data

Points = Mapping[str, tuple[float, float]]

FRAMES_PER_SECOND = 25
SIZE_PX = 320
OVERSAMPLING = 2
"""Pixels drawn per pixel kept and direction, against jagged edges where the mouth closes."""

VIEW = (120.0, 8.0, 208.0)
"""Left, top and side of the part of the photograph that is shown, in its pixels."""

LEAD_S, TAIL_S = 0.3, 0.35
"""Silence before and after the words."""

HEAD_CENTRE = (224.0, 125.0)
HEAD_RADII = (62.0, 95.0)
"""Ellipse that moves as one; outside it the motion fades, so that shoulders and wall stay."""

LANDMARKS: Points = {
    "left lip corner": (203.0, 140.0),
    "right lip corner": (246.0, 139.0),
    "upper lip left": (213.0, 142.0),
    "upper lip": (223.5, 143.5),
    "upper lip right": (235.0, 142.0),
    "left fold": (198.0, 134.0),
    "right fold": (249.0, 134.0),
    "left cheek": (195.0, 121.0),
    "right cheek": (254.0, 122.0),
    "nose": (224.0, 127.0),
    "left nostril": (212.0, 128.0),
    "right nostril": (237.0, 128.0),
    "left brow outer": (190.0, 90.0),
    "left brow": (201.0, 88.5),
    "left brow inner": (213.0, 92.5),
    "right brow inner": (238.0, 93.5),
    "right brow": (251.0, 92.0),
    "right brow outer": (262.0, 96.0),
    "left eye outer": (192.0, 101.0),
    "left eye inner": (212.0, 103.0),
    "left upper lid": (202.0, 97.0),
    "left lower lid": (203.0, 105.0),
    "right eye inner": (236.0, 104.0),
    "right eye outer": (258.5, 103.0),
    "right upper lid": (246.5, 99.5),
    "right lower lid": (246.5, 107.0),
    "chin": (224.0, 177.0),
    "left jaw": (190.0, 160.0),
    "right jaw": (259.0, 160.0),
    "hair": (224.0, 78.0),
    "left temple": (182.0, 105.0),
    "right temple": (270.0, 105.0),
    "left edge": (182.0, 130.0),
    "right edge": (268.0, 132.0),
}
"""Points of the photograph as it is (the person smiles), in its pixels."""

UPPER_LIP_EDGE = (
    (202, 139.6), (209, 141.5), (216, 143.2), (223, 143.8),
    (231, 143.0), (239, 141.4), (247, 139.0),
)  # fmt: skip
LOWER_LIP_EDGE = (
    (202, 139.6), (206, 144.5), (211, 148.2), (217, 150.0), (223, 150.3), (230, 149.8),
    (237, 147.0), (242, 143.5), (247, 139.0),
)  # fmt: skip
"""Where the lips' red ends and the teeth begin, in pixels of the photograph."""

NEUTRAL: Points = {
    "left lip corner": (3.0, 4.0),
    "right lip corner": (-3.0, 4.5),
    "upper lip left": (1.5, 1.2),
    "upper lip": (0.0, -0.8),
    "upper lip right": (-1.5, 1.2),
    "left fold": (1.0, 1.5),
    "right fold": (-1.0, 1.5),
    "left cheek": (0.3, 1.2),
    "right cheek": (-0.3, 1.2),
}
"""Motion in pixels that takes the photograph's smile away."""

SMILE: Points = {
    "left lip corner": (-3.2, -3.6),
    "right lip corner": (3.2, -3.2),
    "upper lip left": (-0.6, -0.6),
    "upper lip": (0.0, 1.0),
    "upper lip right": (0.6, -0.6),
    "left fold": (-1.8, -2.2),
    "right fold": (1.8, -2.0),
    "left cheek": (-0.8, -2.8),
    "right cheek": (0.8, -2.8),
    "left brow": (0.0, -1.2),
    "left brow inner": (0.0, -0.8),
    "right brow inner": (0.0, -0.8),
    "right brow": (0.0, -1.2),
    "left lower lid": (0.0, -1.5),
    "right lower lid": (0.0, -1.5),
    "left upper lid": (0.0, 0.3),
    "right upper lid": (0.0, 0.3),
}
"""Lip corners up and out, cheeks up, lower lids up: action units 12 and 6."""

FROWN: Points = {
    "left lip corner": (4.0, 7.6),
    "right lip corner": (-4.0, 8.2),
    "upper lip left": (1.6, 2.6),
    "upper lip": (0.0, -0.6),
    "upper lip right": (-1.6, 2.6),
    "left fold": (1.5, 3.5),
    "right fold": (-1.5, 3.5),
    "left cheek": (0.5, 2.0),
    "right cheek": (-0.5, 2.0),
    "left nostril": (0.3, -0.8),
    "right nostril": (-0.3, -0.8),
    "left brow outer": (1.0, 0.5),
    "left brow": (2.0, 4.0),
    "left brow inner": (4.0, 5.5),
    "right brow inner": (-4.0, 5.5),
    "right brow": (-2.0, 4.2),
    "right brow outer": (-1.0, 0.5),
    "left upper lid": (0.3, 1.6),
    "left lower lid": (0.0, -1.2),
    "right upper lid": (-0.3, 1.6),
    "right lower lid": (0.0, -1.2),
}
"""Brows down and together, lids tense, lip corners down: action units 4, 7 and 15."""


BROWS = (
    ("left brow outer", "left brow", "left brow inner"),
    ("right brow inner", "right brow", "right brow outer"),
)

FOLDS = (
    ((209.5, 124.0), (205.0, 129.5), (200.0, 133.0), (197.0, 137.5)),
    ((242.0, 127.5), (246.5, 132.0), (249.5, 136.5), (250.0, 141.0)),
)
"""The folds from nose to lip corners that the photograph's smile makes, in its pixels."""
FOLD_WIDTH_PX = 5


@dataclass(frozen=True)
class Scene:
    """One clip: what is said, how, and which expression grows from neutral."""

    name: str
    sentence: str
    espeak_options: tuple[str, ...]
    """espeak-ng: voice, pitch 0 to 99, words a minute, loudness 0 to 200"""
    prosody: str
    """attributes of the SSML element ``prosody``"""
    expression: Points
    frown: float
    """depth of the painted shade between and on the brows, 0 to 1"""
    folds: float
    """how much of the smile's folds the full expression shows, 0 to 1"""
    mouth_rest: float
    """mouth opening in silence at the full expression; 1 is the photograph's own"""
    mouth_speech: float
    """opening that the loudest speech adds"""


SCENES = (
    Scene(
        name="smile",
        sentence="Oh, this is wonderful! I am so happy that you are here!",
        espeak_options=("-v", "en-us+f3", "-p", "75", "-s", "180", "-a", "120"),
        prosody='range="x-high"',
        expression=SMILE,
        frown=0.0,
        folds=1.0,
        mouth_rest=0.75,
        mouth_speech=0.45,
    ),
    Scene(
        name="frown",
        sentence="No! I am furious with you. Get out of here!",
        espeak_options=("-v", "en-us+f2", "-p", "20", "-s", "170", "-a", "200", "-k", "20"),
        prosody='range="low" volume="x-loud"',
        expression=FROWN,
        frown=1.0,
        folds=0.0,
        mouth_rest=0.0,
        mouth_speech=0.6,
    ),
)


def speak(scene: Scene) -> tuple[NDArray[np.float32], int]:
    """Synthesise the sentence with silence around it; give samples [w] and their rate in Hz."""
    program = shutil.which("espeak-ng")
    if program is None:
        msg = "found no program espeak-ng; install it, for example with: apt-get install espeak-ng"
        raise SystemExit(msg)
    marked = f"<speak><prosody {scene.prosody}>{scene.sentence}</prosody></speak>"
    spoken = subprocess.run(
        [program, *scene.espeak_options, "-m", "--stdout", marked], check=True, capture_output=True
    ).stdout
    with wave.open(io.BytesIO(spoken)) as sound:
        rate = sound.getframerate()
        # espeak-ng writes to a pipe and leaves the length in the header open
        samples = np.frombuffer(sound.readframes(1 << 24), dtype="<i2") / 32768.0
    audible = np.flatnonzero(np.abs(samples) > 0.01)
    samples = samples[audible[0] : audible[-1] + 1]
    lead, tail = (np.zeros(round(seconds * rate)) for seconds in (LEAD_S, TAIL_S))
    # one peak for both: loudness is left to the words, not to the recording level
    return np.concatenate([lead, 0.8 * samples / np.abs(samples).max(), tail]).astype("f4"), rate


def loudness(samples: NDArray[np.float32], rate: int, num_frames: int) -> NDArray[np.float64]:
    """Give the smoothed loudness at each frame of the film, 0 to 1, [t]."""
    centres = (np.arange(num_frames) + 0.5) / FRAMES_PER_SECOND * rate
    reach = rate // 40
    levels = [
        float(np.sqrt(np.mean(samples[max(0, int(c) - reach) : int(c) + reach] ** 2)))
        for c in centres
    ]
    smooth = np.convolve(np.pad(levels, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    return np.asarray(np.clip(smooth / np.percentile(smooth, 90), 0.0, 1.0))


def grown(moment_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give how far the expression has grown, 0 to 1: slow start, slow end, done at 0.7 s."""
    part = np.clip((moment_s - 0.05) / 0.65, 0.0, 1.0)
    return np.asarray(part * part * (3.0 - 2.0 * part))


def smooth_motion(
    motion: dict[str, NDArray[np.float64]], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give how far back each seen point comes from, with the landmarks' motion spread smoothly.

    Args:
        motion: landmark -> (x, y) in pixels
        points: seen points in pixels of the photograph, in rows and columns, [h x w x 2]

    Returns:
        shifts to the unmoved photograph, [h x w x 2]
    """
    still = np.array([LANDMARKS[name] for name in LANDMARKS])
    shift = np.array([motion[name] for name in LANDMARKS])
    left, top, side = VIEW
    border = np.array([(left + side * x, top + side * y) for x in (0, 0.5, 1) for y in (0, 0.5, 1)])
    border = border[np.hypot(*(border - HEAD_CENTRE).T) > 60]
    spread = RBFInterpolator(
        np.concatenate([still + shift, border]),
        np.concatenate([-shift, np.zeros_like(border)]),
        kernel="thin_plate_spline",
        smoothing=0.02,
    )
    # the shift is smooth: a quarter of the rows and columns carries it
    coarse = cv2.resize(points, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    shifts = spread(coarse.reshape(-1, 2)).reshape(coarse.shape)
    return np.asarray(cv2.resize(shifts, points.shape[1::-1], interpolation=cv2.INTER_CUBIC))


def mouth_map(
    points: NDArray[np.float64], opening: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Open or close the photograph's mouth column by column.

    Above the upper lip's edge nothing moves; between the lips rows are stretched; below, chin and
    lower lip follow, less and less towards the neck.

    Args:
        points: where each seen point lies, [n x 2]
        opening: 0 is closed, 1 the photograph's own

    Returns:
        points of the photograph [n x 2], and the depth of the shade between the lips [n]
    """
    x, y = points.T
    upper = np.interp(x, *np.array(UPPER_LIP_EDGE).T)
    lower = np.interp(x, *np.array(LOWER_LIP_EDGE).T)
    gap = lower - upper
    shown = np.maximum(opening * gap, 1e-6)
    below = y - upper - shown
    fade = np.clip(1.0 - below / 42.0, 0.0, 1.0) ** 1.5
    between = upper + (y - upper) * gap / shown
    source_y = np.where(y <= upper, y, np.where(below < 0, between, y + (gap - shown) * fade))
    middle = upper + shown / 2
    # lips that nearly meet let no light in: a dark line in place of flattened teeth
    closed = np.clip(1.0 - opening * 2.2, 0.0, 1.0)
    reach = np.maximum(np.abs(y - middle) - shown / 2, 0.0)
    line = 0.45 * closed * np.exp(-((reach / 0.8) ** 2)) * (gap > 0.4)
    return np.stack([x, source_y], axis=1), line


def brow_shade(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the depth of the frown's shade at points of the photograph, [n x 2] -> [n]."""
    x, y = points.T
    shade: NDArray[np.float64] = np.zeros(len(points))
    for names in BROWS:
        line = np.array([LANDMARKS[name] for name in names])
        inside = np.clip(np.minimum(x - line[0, 0], line[-1, 0] - x) / 3.0 + 0.5, 0.0, 1.0)
        height = np.polyval(np.polyfit(line[:, 0], line[:, 1], 2), x)
        shade = np.maximum(shade, 0.20 * inside * np.exp(-(((y - height) / 2.2) ** 2)))
    for foot, lean in ((220.5, -0.12), (229.5, 0.10)):
        furrow = np.exp(-(((x - foot - lean * (y - 92)) / 1.5) ** 2) - ((y - 93.0) / 4.5) ** 2)
        shade = np.maximum(shade, 0.15 * furrow)
    return np.asarray(shade)


def head_motion(points: NDArray[np.float64], moment_s: float, seed: float) -> NDArray[np.float64]:
    """Move the head a little (sway, nod, and tilt of about 2 degrees), [n x 2] -> [n x 2]."""
    turn = np.deg2rad(1.6 * np.sin(2.1 * moment_s + seed) + 0.5 * np.sin(5.3 * moment_s))
    shift = np.array(
        [1.6 * np.sin(1.7 * moment_s + 2 * seed), 1.3 * np.sin(2.9 * moment_s + 1 + seed)]
    )
    away = points - np.array([HEAD_CENTRE[0], 185.0])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = away @ rotation.T - away + shift
    outside = np.hypot(*((points - HEAD_CENTRE) / HEAD_RADII).T) - 1.0
    held = np.clip(1.0 - outside / 0.6, 0.0, 1.0)[:, None] ** 1.5
    return np.asarray(points + moved * held)


def render(
    photograph: NDArray[np.uint8],
    motion: dict[str, NDArray[np.float64]],
    opening: float,
    frown: float,
    moment_s: float,
    seed: float,
) -> NDArray[np.uint8]:
    """Draw one frame [SIZE_PX x SIZE_PX x 3]: head, then expression, then mouth, seen backwards."""
    left, top, side = VIEW
    drawn_px = SIZE_PX * OVERSAMPLING
    steps = (np.arange(drawn_px) + 0.5) * side / drawn_px
    seen = np.stack(np.meshgrid(left + steps, top + steps), axis=-1)
    points = head_motion(seen.reshape(-1, 2), moment_s, seed)
    points += smooth_motion(motion, points.reshape(seen.shape)).reshape(-1, 2)
    shade = frown * brow_shade(points)
    points, line = mouth_map(points, opening)
    source = points.reshape(seen.shape).astype(np.float32) - 0.5
    picture = cv2.remap(
        photograph,
        source[..., 0],
        source[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    light = (1.0 - np.maximum(shade, line)).reshape(drawn_px, drawn_px, 1)
    drawn = np.clip(picture * light, 0, 255).astype(np.float32)
    small = cv2.resize(drawn, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(small).astype(np.uint8))


def without_smile_folds(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill the folds of the smile from the skin around them: a face at rest has none."""
    mask = np.zeros(photograph.shape[:2], np.uint8)
    for fold in FOLDS:
        line = np.rint(np.array(fold)).astype(np.int32)
        cv2.polylines(mask, [line], isClosed=False, color=255, thickness=FOLD_WIDTH_PX)
    filled = cv2.inpaint(photograph, mask, 6, cv2.INPAINT_TELEA)
    soft = cv2.GaussianBlur(filled, (0, 0), 2.5)
    weight = cv2.GaussianBlur(mask, (0, 0), 1.5)[..., None] / 255.0
    return np.asarray(np.rint(filled * (1 - weight) + soft * weight).astype(np.uint8))


def mixed(expression: Points, amount: float) -> dict[str, NDArray[np.float64]]:
    """Give the motion between neutral (0) and the expression (1)."""
    zero = (0.0, 0.0)
    return {
        name: (1 - amount) * np.array(NEUTRAL.get(name, zero))
        + amount * np.array(expression.get(name, zero))
        for name in LANDMARKS
    }


def film(scene: Scene, samples: NDArray[np.float32], rate: int) -> list[NDArray[np.uint8]]:
    """Draw all frames of a clip."""
    smiling = data.astronaut()  # type: ignore[no-untyped-call]
    at_rest = without_smile_folds(smiling)
    num_frames = int(np.ceil(len(samples) / rate * FRAMES_PER_SECOND))
    moments = np.arange(num_frames) / FRAMES_PER_SECOND
    amounts, levels = grown(moments), loudness(samples, rate, num_frames)
    seed = 0.0 if scene.name == "smile" else 1.3
    return [
        render(
            cv2.addWeighted(at_rest, 1 - amount * scene.folds, smiling, amount * scene.folds, 0),
            mixed(scene.expression, amount),
            amount * scene.mouth_rest + scene.mouth_speech * level,
            amount * scene.frown,
            moment,
            seed,
        )
        for moment, amount, level in zip(moments, amounts, levels, strict=True)
    ]


def write_clip(
    path: Path, frames: list[NDArray[np.uint8]], samples: NDArray[np.float32], rate: int
) -> None:
    """Write H.264 and AAC with the index in front."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        picture = container.add_stream(
            "libx264", rate=FRAMES_PER_SECOND, options={"crf": "22", "preset": "slow"}
        )
        picture.width = picture.height = SIZE_PX
        picture.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=rate, layout="mono")
        sound.bit_rate = 64_000
        for position, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = position, Fraction(1, FRAMES_PER_SECOND)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        for start in range(0, len(samples), 1024):
            piece = av.AudioFrame.from_ndarray(
                samples[None, start : start + 1024], format="fltp", layout="mono"
            )
            piece.sample_rate, piece.pts, piece.time_base = rate, start, Fraction(1, rate)
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))


def main() -> None:
    """Write both clips and their transcripts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default_dir = Path(__file__).resolve().parent.parent / "examples"
    parser.add_argument("--output", type=Path, default=default_dir, help="folder for the clips")
    output_dir = parser.parse_args().output
    output_dir.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        samples, rate = speak(scene)
        path = output_dir / f"{scene.name}.mp4"
        write_clip(path, film(scene, samples, rate), samples, rate)
        path.with_suffix(".txt").write_text(scene.sentence + "\n", encoding="utf-8")
        print(f"{path}: {len(samples) / rate:.2f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
