"""How long a preset takes to load and to answer, and how large its files are.

Knows: a film of five seconds with a face and a voice. Does not know: what is answered.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from emotion_llama import Predictor
from emotion_llama.media.film_writer import FilmWriter
from emotion_llama.preset import find_preset

from .bench import Bench
from .following import planted, write_sound
from .rows import Row

FILM_S = 5.0
FRAMES_PER_SECOND = 25.0
REPEATS = 5
VOICE_HZ = 140.0


def measure(bench: Bench) -> Row:
    """Time loading and answering, and list the files."""
    path = film(bench.scratch)
    bench.predictor(path)  # the first answer also loads the networks of the face
    return {
        "film_s": FILM_S,
        "answer_s": median_s(lambda: bench.predictor(path)),
        "answer_without_reason_s": median_s(lambda: bench.predictor(path, with_reason=False)),
        "load_s": median_s(lambda: Predictor.from_pretrained(bench.preset)),
        "repeats": REPEATS,
        "threads": torch.get_num_threads(),
        "device": str(bench.predictor.model.device),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "files": file_sizes(find_preset(bench.preset)),
    }


def median_s(action: Callable[[], object]) -> float:
    """Give the median duration of several runs in seconds."""
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return round(float(np.median(taken)), 3)


def file_sizes(folder: Path) -> dict[str, int]:
    """Give the bytes of every file of a folder, by its name within, and their sum as ``total``."""
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {**sizes, "total": sum(sizes.values())}


def film(folder: Path) -> Path:
    """Write a smiling portrait of the face tests, with a sound of syllables on one pitch."""
    portrait = planted.load(planted.portraits()[0])
    sound, path = folder / "speed.wav", folder / "speed.mp4"
    moments = np.arange(round(FILM_S * 16_000)) / 16_000
    overtones = sum(np.sin(2 * np.pi * k * VOICE_HZ * moments) / k for k in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 2 * moments), 0, 1)
    write_sound(sound, (0.2 * overtones * syllables).astype(np.float32))
    # few drawn pictures, shown several times: drawing takes longer than answering
    frames, times, _ = planted.clip(portrait, "lip_corners_up", frames_per_second=5, seconds=FILM_S)
    with FilmWriter(path, sound) as writer:
        for frame, moment in zip(frames, times, strict=True):
            for step in range(5):
                writer.add(frame, float(moment) + step / FRAMES_PER_SECOND)
    return path
