"""Whether a motion that was planted in a portrait comes out as its own action units.

Knows: the motions and portraits of tests/face/planted.py, held-out people's portraits. Does not
know: how units are measured.
"""

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from face_networks.planted_people import people, planted

from emotion_llama.face import measure_action_units
from emotion_llama.records import ActionUnitTable

from . import figures
from .figures import Cell, Table
from .sources import Pixels, Sources, tracks_of

NUM_PEOPLE = 20
LEFT_OUT = ("Tony_Blair_0075",)
"""Glasses that would bend."""
FRAMES_PER_SECOND = 12.5
FULL, REST = 0.9, 0.05
"""True strength of the motion above which a frame shows it, and below which it does not."""
ALL = "all motions"


@dataclass(frozen=True)
class Answer:
    """What was measured of one motion of one face."""

    face: str
    motion: str
    rise: float
    """mean rise of the planted units; NaN where one was not measured"""
    other: str
    """the unit that rose most of those that have no part in the motion"""
    is_right: bool
    """whether every planted unit rose more than that one"""
    begins_in_motion: bool = False
    """whether the film was cut so that it begins with the full motion and ends at rest"""


def rises(table: ActionUnitTable, strengths: figures.Floats) -> dict[str, float]:
    """Give how far each unit rises from rest to the full motion.

    Args:
        table: a row a frame that was followed
        strengths: true strength in these frames, [t]
    """
    shown, at_rest = strengths > FULL, strengths < REST
    result = {}
    for unit, values in table.intensity.items():
        high, low = values[shown], values[at_rest]
        high, low = high[~np.isnan(high)], low[~np.isnan(low)]
        measured = len(high) > 0 and len(low) > 0
        result[unit] = float(high.mean() - low.mean()) if measured else float("nan")
    return result


def judged(face: str, motion: str, rise: Mapping[str, float]) -> Answer:
    """Compare the planted units with those that have no part in the motion."""
    plan = planted.MOTIONS[motion]
    own = [rise.get(unit, float("nan")) for unit in plan.units]
    others = {
        unit: value
        for unit, value in rise.items()
        if unit not in plan.units and unit not in plan.related and not np.isnan(value)
    }
    other = max(others, key=lambda unit: others[unit], default="")
    is_right = bool(others) and all(value > others[other] for value in own)
    return Answer(face, motion, float(np.mean(own)), other, is_right)


def films_of(portrait: planted.Portrait, motion: str) -> list[Answer]:
    """Film a motion of a portrait and measure it whole, and without its beginning at rest."""
    frames, times_s, strengths = planted.clip(portrait, motion, frames_per_second=FRAMES_PER_SECOND)
    first_full = int(np.argmax(strengths > FULL))
    return [
        replace(
            _answer(portrait.name, motion, frames[start:], times_s[start:], strengths[start:]),
            begins_in_motion=start > 0,
        )
        for start in (0, first_full)
    ]


def _answer(
    face: str, motion: str, frames: Pixels, times_s: figures.Floats, strengths: figures.Floats
) -> Answer:
    """Measure one film of a face."""
    tracks = tracks_of(frames, times_s)
    if not tracks:
        return Answer(face, motion, float("nan"), "no face", is_right=False)
    table = measure_action_units(tracks[0])
    rows = np.searchsorted(times_s, table.times_s)
    return judged(face, motion, rises(table, strengths[rows]))


def all_answers(portraits: Sequence[planted.Portrait]) -> list[Answer]:
    """Film and measure every motion of every portrait; drawing takes long, so every core draws."""
    films = [(portrait, motion) for portrait in portraits for motion in planted.MOTIONS]
    context = multiprocessing.get_context("spawn")  # networks do not survive a fork
    with ProcessPoolExecutor(mp_context=context, initializer=_use_one_thread) as pool:
        pairs = pool.map(films_of, *zip(*films, strict=True), chunksize=4)
        return [one for pair in pairs for one in pair]


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def measure(sources: Sources) -> list[Table]:
    """Measure on held-out people and on the portraits of the tests."""
    held_out = [p for p in people(sources.data_dir, NUM_PEOPLE) if p.name not in LEFT_OUT]
    shipped = [planted.load(name) for name in planted.portraits()]
    answers = all_answers([*held_out, *shipped])
    names = [portrait.name for portrait in shipped]
    rows = [_row(motion, answers, names) for motion in planted.MOTIONS]
    return [Table(
        "Planted motions found",
        ("motion", "planted", "right", "begins in motion", "mean rise", "instead", *names),
        [*rows, _last_row(answers, names)],
        f"Portraits of {len(held_out)} LFW test people (grey), each moved by a program "
        f"(tests/face/planted.py), {FRAMES_PER_SECOND:g} frames a second. Right: every planted "
        "unit rises more from rest to the full motion than every unit that is neither planted nor "
        "named as related. Begins in motion: the same of films cut so that they begin with the "
        "full motion and end at rest. Rise: grades of 0 to 5. Instead: what rose more, how often. "
        f"The portraits of the tests ({', '.join(names)}) stand apart, with their rise. Intervals "
        "draw persons.",
    )]  # fmt: skip


def _row(motion: str, answers: Sequence[Answer], apart: Sequence[str]) -> tuple[Cell, ...]:
    own = [one for one in answers if one.motion == motion]
    whole = [one for one in own if not one.begins_in_motion]
    held_out = [one for one in whole if one.face not in apart]
    measured = [one for one in held_out if not np.isnan(one.rise)]
    return (
        motion,
        " + ".join(planted.MOTIONS[motion].units),
        *_shares_right(own, apart),
        figures.mean([one.rise for one in measured], [one.face for one in measured]),
        figures.most_common([one.other for one in held_out if not one.is_right]),
        *(_single(one) for name in apart for one in whole if one.face == name),
    )


def _shares_right(answers: Sequence[Answer], apart: Sequence[str]) -> list[Cell]:
    """Give the share that is right of held-out people's whole films, and of the cut ones."""
    held_out = [one for one in answers if one.face not in apart]
    return [
        figures.mean([one.is_right for one in part], [one.face for one in part])
        for part in (
            [one for one in held_out if not one.begins_in_motion],
            [one for one in held_out if one.begins_in_motion],
        )
    ]


def _single(one: Answer) -> str:
    return f"{'right' if one.is_right else f'wrong ({one.other})'}, {one.rise:.1f}"


def _last_row(answers: Sequence[Answer], apart: Sequence[str]) -> tuple[Cell, ...]:
    counts = []
    for name in apart:
        own = [one.is_right for one in answers if one.face == name and not one.begins_in_motion]
        counts.append(f"{sum(own)} of {len(own)}")
    return (ALL, "", *_shares_right(answers, apart), "", "", *counts)
