"""Whether two people who take turns in a clip are kept apart, and one person is not taken for two.

Knows: clips cut together from two actors, or from two of one; pictures of named people. Does not
know: how people are told apart.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
from face_networks import identity_metric
from numpy.typing import NDArray

from emotion_llama.records import FaceTrack

from . import figures
from .figures import Cell, Table
from .sources import Pixels, Sampled, Sources, acted_clips, sampled, tracks_of

FRAMES_PER_SECOND = 10
TURN_FRAMES = 10
"""Frames of one person before the other's turn: a second."""
SENTENCES, EMOTIONS = 4, 6
WHOLE_FRAMES_PER_SECOND = 5


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
    """Measure on pairs of actors, on single actors, and on pairs of pictures."""
    return [_two_people(sources), _one_person(sources), _pictures(sources)]


def _two_people(sources: Sources) -> Table:
    path_of = {clip.path.stem: clip.path for clip in acted_clips(sources.data_dir)}
    names, num_people, shares, seen = [], [], [], []
    for one, other, what in pairs(sources):
        paths = [path_of[f"{actor}-{what}"] for actor in (one, other)]
        tracks, owners = _tracks_of_turns(*paths)
        rows = [np.rint(track.times_s * FRAMES_PER_SECOND).astype(int) for track in tracks]
        names.append(f"{one}-{other}-{what}")
        num_people.append(len(tracks))
        shares.append(purity([owners[own] for own in rows]))
        seen.append(sum(len(own) for own in rows) / len(owners))
    return _table(names, np.array(num_people), np.array(shares), np.array(seen))


def _tracks_of_turns(one: Path, other: Path) -> tuple[tuple[FaceTrack, ...], NDArray[np.int64]]:
    """Cut two clips together; give the tracks and whose each frame is, [t]."""
    films = [sampled(path, FRAMES_PER_SECOND).frames for path in (one, other)]
    frames, owners = alternated(*films)
    return tracks_of(frames, np.arange(len(frames)) / FRAMES_PER_SECOND), owners


def _one_person(sources: Sources) -> Table:
    clips = acted_clips(sources.data_dir)
    whole = [tracks_of(film.frames, film.times_s) for film in _films(sources)]
    path_of = {clip.path.stem: clip.path for clip in clips}
    names, cut = [], []
    for stem, path in path_of.items():
        scene, emotion = stem.rsplit("-", 1)
        if int(emotion) % 2 == 0:
            names.append(stem)
            before = path_of[f"{scene}-{int(emotion) - 1:02d}"]
            cut.append(len(_tracks_of_turns(before, path)[0]) == 1)
    is_one = [len(tracks) == 1 for tracks in whole]
    rows: list[tuple[Cell, ...]] = [
        ("uncut clips with exactly one person", figures.mean(is_one, [c.path.stem for c in clips])),
        ("clips of two expressions in turn with exactly one person", figures.mean(cut, names)),
    ]
    note = (
        f"Uncut clips at {WHOLE_FRAMES_PER_SECOND:g} frames a second; clips cut together from two "
        "expressions of one actor and one sentence as above. Intervals draw clips; the actors are "
        "three."
    )
    return Table("One person in a clip", ("what", "share"), rows, note)


def _films(sources: Sources) -> Iterator[Sampled]:
    """Give the development clips, one after the other."""
    for clip in acted_clips(sources.data_dir):
        yield sampled(clip.path, WHOLE_FRAMES_PER_SECOND)


def _pictures(sources: Sources) -> Table:
    people = identity_metric.portraits(sources.data_dir, "test")
    compared = identity_metric.compare(people, np.random.default_rng(0))
    least = identity_metric.threshold(compared)
    one = compared.is_one
    missed = figures.mean(compared.likeness[one] < least, compared.people[one])
    rows: list[tuple[Cell, ...]] = [
        (
            "area under the curve, pairs of one person against pairs of two",
            figures.area_figure(one, compared.likeness.astype(np.float64), compared.people),
        ),
        (
            "pairs of one person below the likeness that "
            f"{identity_metric.FALSE_ACCEPTS:.0%} of the pairs of two reach",
            missed,
        ),
    ]
    note = (
        "Pictures of LFW test people from other days and cameras: one person is harder to know "
        "than in shots of one clip, two are easier to tell apart. Intervals draw people."
    )
    return Table("Two pictures of one person or of two", ("what", "value"), rows, note)


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
        f"{FRAMES_PER_SECOND} frames a second. n is small, the people are three, and the tracker's "
        "thresholds were set on their clips. Intervals draw clips."
    )
    return Table("Two people who take turns", ("what", "share"), rows, note)
