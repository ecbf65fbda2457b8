"""Whether two people who take turns in a clip are kept apart.

Knows: clips cut together from two actors. Does not know: how people are told apart.
"""

from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from . import figures
from .figures import Cell, Table
from .sources import Pixels, Sources, acted_clips, sampled, tracks_of

FRAMES_PER_SECOND = 10
TURN_FRAMES = 10
"""Frames of one person before the other's turn: a second."""
SENTENCES, EMOTIONS = 4, 6


def alternated(one: Pixels, other: Pixels) -> tuple[Pixels, NDArray[np.int64]]:
    """Cut two clips [t x h x w x 3] together, a second of each in turn.

    Returns:
        frames, as many as the shorter clip has, and whose each is: 0 or 1, [t]
    """
    count = min(len(one), len(other))
    owners = (np.arange(count) // TURN_FRAMES) % 2
    chosen = [(one, other)[owner][number] for number, owner in enumerate(owners)]
    return np.stack(chosen), owners


def purity(owners: Sequence[NDArray[np.int64]]) -> float:
    """Give the share of rows that are their track's person's, under the best naming of tracks.

    Args:
        owners: who is really shown in each row of each track, 0 or 1; a track stands for at most
            one person and a person has at most one track
    """
    total = sum(len(rows) for rows in owners)
    if total == 0:
        return float("nan")
    tracks = [*owners, *([np.array([], dtype=np.int64)] * max(0, 2 - len(owners)))]
    right = (
        sum(int((tracks[track] == person).sum()) for person, track in enumerate(naming))
        for naming in permutations(range(len(tracks)), 2)
    )
    return max(right) / total


def pairs(sources: Sources) -> list[tuple[str, str, str]]:
    """Give two actors and what both perform: every pair and sentence, expressions in turn."""
    actors = sorted({clip.path.stem.split("-")[0] for clip in acted_clips(sources.data_dir)})
    chosen = []
    for one, other in combinations(actors, 2):
        for sentence in range(1, SENTENCES + 1):
            emotion = len(chosen) % EMOTIONS + 1
            chosen.append((one, other, f"{sentence:02d}-{emotion:02d}"))
    return chosen


def measure(sources: Sources) -> list[Table]:
    """Measure on pairs of actors."""
    path_of = {clip.path.stem: clip.path for clip in acted_clips(sources.data_dir)}
    names, num_people, shares, seen = [], [], [], []
    for one, other, what in pairs(sources):
        films = [sampled(path_of[f"{actor}-{what}"], FRAMES_PER_SECOND) for actor in (one, other)]
        frames, owners = alternated(films[0].frames, films[1].frames)
        tracks = tracks_of(frames, np.arange(len(frames)) / FRAMES_PER_SECOND)
        rows = [np.rint(track.times_s * FRAMES_PER_SECOND).astype(int) for track in tracks]
        names.append(f"{one}-{other}-{what}")
        num_people.append(len(tracks))
        shares.append(purity([owners[own] for own in rows]))
        seen.append(sum(len(own) for own in rows) / len(frames))
    return [_table(names, np.array(num_people), np.array(shares), np.array(seen))]


def _table(
    names: Sequence[str],
    num_people: NDArray[np.int64],
    shares: NDArray[np.float64],
    seen: NDArray[np.float64],
) -> Table:
    is_two, is_pure = num_people == 2, shares == 1.0
    rows: list[tuple[Cell, ...]] = [
        ("clips with exactly two people", figures.mean(is_two, names)),
        (
            "clips with two people who keep to their own frames",
            figures.mean(is_two & is_pure, names),
        ),
        ("faces given to the right person", figures.mean(shares, names)),
        ("frames in which a face is followed", figures.mean(seen, names)),
    ]
    for name, count, share in zip(names, num_people, shares, strict=True):
        if count != 2 or share < 1.0:
            rows.append((f"clip {name}: {count} people", f"{share:.3f} right"))
    note = (
        f"{len(names)} clips, each cut together from two actors of the development clips who take "
        f"turns every {TURN_FRAMES / FRAMES_PER_SECOND:g} s (A B A B), in the same framing, "
        f"{FRAMES_PER_SECOND} frames a second. n is small and the people are three. Intervals draw "
        "clips."
    )
    return Table("Two people who take turns", ("what", "share"), rows, note)
