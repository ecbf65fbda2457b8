"""Whether the reason follows what is changed in a clip: pitch and tempo of a voice, a planted face.

Knows: how recordings are changed and portraits moved. Does not know: models, how a text is read.
"""

import wave
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from face_networks.planted_people import people, planted
from numpy.typing import NDArray

from emotion_llama.evaluation.measured import face_of
from emotion_llama.evidence import measured_voice
from emotion_llama.media.film_writer import FilmWriter
from emotion_llama.merr.facial import ABSENT, read_facial
from emotion_llama.merr.voice_clues import read_voice
from emotion_llama.voice import grade

from .bench import Bench
from .language import joined
from .rows import Row, mean_row

Sound = NDArray[np.float32]

RECORDINGS = 40
FACTORS: Mapping[str, float] = {"raised": 1.25, "lowered": 0.8}
"""Times as fast and as high; 1.25 is four semitones."""
FEATURES = ("pitch", "rate")
PEOPLE = 8
MOTIONS = ("lip_corners_up", "brows_down", "brows_up")
FRAMES_PER_SECOND = 12.5
_SIZES = {"slightly": 1, "clearly": 2, "very": 3}


def measure(bench: Bench) -> dict[str, list[Row]]:
    """Change voices and faces, and read the reasons."""
    return {"voice": measure_voices(bench), "face": measure_faces(bench)}


def measure_voices(bench: Bench) -> list[Row]:
    """Raise and lower recordings; say how often the reason, and the measures, move along."""
    if not bench.speech:
        return []
    most = min(RECORDINGS, bench.limit or RECORDINGS)
    chosen = joined("voices", bench.speech, -(-most // len(bench.speech))).items[:most]
    heard: dict[str, list[Heard]] = {"as it was": [], **{name: [] for name in FACTORS}}
    for number, item in enumerate(chosen):
        sound = bench.predictor.read(item.path).waveform
        if sound is None:
            continue
        for name in heard:
            path = bench.scratch / f"voice_{number}_{name.split()[0]}.wav"
            write_sound(path, resampled(sound, FACTORS.get(name, 1.0)))
            heard[name].append(listen(bench, path, item.person))
    usual = heard.pop("as it was")
    return [
        row
        for name, changed in heard.items()
        for row in moves(name, 1 if FACTORS[name] > 1 else -1, usual, changed)
    ]


def moves(
    name: str, direction: int, usual: Sequence["Heard"], changed: Sequence["Heard"]
) -> list[Row]:
    """Say how often reasons and measures move with a change.

    Args:
        name: of the change
        direction: 1 where it raises, -1 where it lowers
        usual: recordings as they were
        changed: the same ones, changed
    """
    pairs = list(zip(usual, changed, strict=True))
    people = [one.person for one in usual]
    told = [direction * (after.stated - before.stated) for before, after in pairs]
    found = [direction * (after.measured - before.measured) for before, after in pairs]
    audible = [row for row, step in enumerate(found) if step > 0]
    return [
        {
            "name": f"voice {name}, reason",
            "moves_along": mean_row([step > 0 for step in told], people),
            "moves_against": mean_row([step < 0 for step in told], people),
            "moves_along_where_measures_do": mean_row(
                [told[row] > 0 for row in audible], [people[row] for row in audible]
            ),
            "reasons_changed": mean_row([a.reason != b.reason for a, b in pairs], people),
        },
        {
            "name": f"voice {name}, measures",
            "moves_along": mean_row([step > 0 for step in found], people),
            "moves_against": mean_row([step < 0 for step in found], people),
        },
    ]


class Heard:
    """What is said and measured of one recording.

    Args:
        reason: the text
        scores: measured, by measure
        person: who speaks
    """

    def __init__(self, reason: str, scores: Mapping[str, float | None], person: str | None) -> None:
        self.reason = reason
        self.person = person
        self.stated = stated_height(reason)
        graded = [grade(scores[name] or 0.0) for name in FEATURES if name in scores]
        self.measured = sum(size(reading) for reading in graded)


def listen(bench: Bench, path: Path, person: str | None) -> Heard:
    """Ask for the reason of a recording, and measure it."""
    voice = measured_voice(bench.predictor.read(path))
    return Heard(bench.predictor(path).reason or "", {} if voice is None else voice.scores, person)


def stated_height(text: str) -> int:
    """Add up how high the pitch and how fast the speech are said to be; unsaid counts as usual."""
    return sum(size(one.reading) for one in read_voice(text) if one.feature in FEATURES)


def size(reading: str | None) -> int:
    """Give a reading as a number: ``clearly low`` is -2; a direction without degree counts 2."""
    words = (reading or "").split()
    direction = {"high": 1, "low": -1}.get(words[-1], 0) if words else 0
    return direction * (_SIZES.get(words[0], 2) if len(words) > 1 else 2)


def resampled(waveform: Sound, factor: float) -> Sound:
    """Play a sound [w] so many times as fast: pitch and tempo change together."""
    places = np.arange(0, len(waveform) - 1, factor)
    return np.interp(places, np.arange(len(waveform)), waveform).astype(np.float32)


def write_sound(path: Path, waveform: Sound, sample_rate_hz: int = 16_000) -> None:
    """Write mono sound [w] in [-1, 1] as a WAV file of 16 bits."""
    samples = np.rint(np.clip(waveform, -1.0, 1.0) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(samples.tobytes())


def measure_faces(bench: Bench) -> list[Row]:
    """Move portraits; say how often the planted unit is stated, and how often without it."""
    count = min(PEOPLE, bench.limit or PEOPLE)
    portraits = people(bench.data_dir, count, bench.split)
    told: dict[str | None, list[tuple[str, set[str]]]] = {}
    for motion in (None, *MOTIONS):
        paths = [film(bench.scratch, portrait, motion) for portrait in portraits]
        told[motion] = [look(bench, path) for path in paths]
    names: list[str | None] = [portrait.name for portrait in portraits]
    rows = []
    for motion in MOTIONS:
        units = planted.MOTIONS[motion].units
        row: Row = {"name": motion, "units": list(units)}
        for field, source in (("planted", motion), ("at_rest", None)):
            pairs = told[source]
            row[f"stated_{field}"] = mean_row([states(text, units) for text, _ in pairs], names)
            row[f"measured_{field}"] = mean_row(
                [bool(found & set(units)) for _, found in pairs], names
            )
        rows.append(row)
    return rows


def film(folder: Path, portrait: planted.Portrait, motion: str | None) -> Path:
    """Write the film of a portrait that moves, or rests."""
    path = folder / f"{portrait.name}_{motion or 'rest'}.mp4"
    frames, moments, _ = planted.clip(portrait, motion, frames_per_second=FRAMES_PER_SECOND)
    with FilmWriter(path) as writer:
        for frame, moment in zip(frames, moments, strict=True):
            writer.add(frame, float(moment))
    return path


def look(bench: Bench, path: Path) -> tuple[str, set[str]]:
    """Give the reason of a film, and the units that were measured in it."""
    answer = bench.predictor(path)
    face = face_of(bench.predictor.reader, bench.predictor.read(path))
    units = () if face is None else face.units
    return answer.reason or "", {one.unit for one in units if one.is_present}


def states(text: str, units: Sequence[str]) -> bool:
    """Tell whether a text says that at least one of the units is there."""
    return any(
        clue.reading != ABSENT and set(clue.feature.split("|")) & set(units)
        for clue in read_facial(text)
    )
