"""Fingerprints of clips -> which clip is another one again: same file, or the same take re-encoded.

Knows: hashes of pictures, the course of loudness, limits measured on real clips. Does not know:
files, decoding. It does not see crops, mirror images, other speeds, or cuts longer than `REACH_S`.
"""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emotion_llama.merr.records import Source

How = Literal["same file", "picture and sound", "sound", "picture"]
"""What was found alike. ``sound`` or ``picture``: the other is missing in one of the two clips."""

NUM_PICTURES = 8
"""Frames of a film that are hashed: the middles of as many equal parts. A still has one."""
HASH_ROWS, HASH_COLUMNS = 8, 9
"""Grid of the difference hash: 8 x 8 comparisons of neighbours, 64 bits."""
HASH_STEP = 2.0
"""Levels of 255 by which the left neighbour must be brighter: noise of a plain wall is not hashed,
and the same wall gives the same bits after it was encoded again."""
MIN_HASH_BITS = 4
"""A hash with fewer set bits is of a plain picture (black, a title card) and says nothing."""

ENVELOPE_HZ = 50
"""Values of each band's envelope a second."""
WINDOW_S = 0.064
"""Length of the window (Hann) of one value. Windows overlap, so a shift by half a step matters
little."""
BAND_EDGES_HZ = (80, 500, 1000, 2000, 4000)
"""Limits of the bands: octaves that every speech codec keeps. One band for all does not tell the
takes of an actor apart who says a sentence several times."""
NUM_BANDS = len(BAND_EDGES_HZ) - 1
FLOOR_DB = 40
"""Lowest level, below the loudest of the band: what lies deeper is room and coding noise."""
SILENCE = 1e-9
"""Mean square of a waveform below which it is silent (-90 dBFS)."""
RISE = 5
"""Levels are compared by their change over this many steps (0.1 s). Levels themselves correlate
between any two recordings that are speech in the middle and silence around it."""

REACH_S = 0.4
"""Shift up to which two sounds are tried, and most by which durations may differ: recordings that
were trimmed."""
MIN_SOUND_S = 1.0
"""Less sound than this is not compared: short courses of loudness are alike by chance."""
MAX_SOUND_S = 60.0
"""Sound after this is not looked at: a minute tells two clips apart."""

PICTURE_LIMIT = 6.0
"""Most differing bits of 64, mean over the frames, where sound is compared too."""
SOUND_LIMIT = 0.85
"""Least correlation where pictures are compared too."""
PICTURE_ALONE = 0.25
"""The picture limit where sound cannot be compared: one person in one room is near 1 anyhow."""
SAME_LENGTH_S = 0.05
"""By how much durations may differ then: about a frame. A trimmed silent film is not found."""
SOUND_ALONE = 0.965
"""The sound limit where pictures cannot be compared: two takes of a sentence reach 0.96."""

_SIEVE_STEP = 3
"""The sieve looks at every third value, which the window has smoothed."""
_SIEVE_S = 4.0
"""Seconds in the middle of a sound that the sieve looks at."""
_SIEVE_LOSS = 0.08
"""By how much a correlation may be lower in the sieve than in full: 99 of 100 copies lose less."""
_BLOCK = 512
"""Clips of a block: the similarities of two blocks are in memory at one time."""
_OVERLAP = 0.8
"""Least share of the shorter sound that must lie over the other at a shift."""


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a clip to know it again."""

    sha256: str
    """of the file"""
    pictures: tuple[str, ...] = ()
    """`picture_hash` of the middles of `NUM_PICTURES` equal parts; of a film with fewer frames all,
    of a still one; empty: none"""
    sound: tuple[int, ...] = ()
    """`sound_envelope`; empty: no sound"""
    transcript: str | None = None
    """hash of the normalised transcript. It is only reported: alone it makes no duplicate, since
    actors say the same sentence many times"""
    duration_s: float | None = None
    """``None`` for a still"""

    def __post_init__(self) -> None:
        if len(self.pictures) > NUM_PICTURES or len(self.sound) % NUM_BANDS:
            msg = (
                f"found {len(self.pictures)} picture hashes and {len(self.sound)} levels of sound, "
                f"expected at most {NUM_PICTURES} hashes and a multiple of {NUM_BANDS} levels; "
                "take them from picture_hash and sound_envelope"
            )
            raise ValueError(msg)


@dataclass(frozen=True)
class Duplicate:
    """A clip that is another one again."""

    of: str
    """id of the clip that is kept: the first of all that are alike, by id"""
    how: How
    """what was found alike with ``of``, or with a clip that is itself like it"""
    similarity: float
    """0 to 1: share of equal bits, correlation, or the smaller of both; 1 for the same file"""
    across_sources: bool
    """whether the kept clip comes from another source"""
    same_transcript: bool | None
    """whether both have the same words; ``None`` where one has none"""


@dataclass(frozen=True)
class _Link:
    how: How
    similarity: float


def picture_hash(frame: NDArray[np.uint8]) -> str:
    """Hash a picture so that scaling and coding change few bits (a difference hash).

    1. Luma. 2. Mean over a grid of 8 x 9 cells. 3. A bit for each cell: brighter than the cell to
    the right of it?

    Args:
        frame: RGB, [h x w x 3]

    Returns:
        64 bits as 16 hexadecimal digits

    Raises:
        ValueError: the picture is no RGB picture of at least 8 x 9 pixels
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape[:2]) < HASH_COLUMNS:
        msg = (
            f"found a picture of shape {frame.shape}, expected [h x w x 3] with at least "
            f"{HASH_COLUMNS} pixels on each side; leave smaller pictures without a hash"
        )
        raise ValueError(msg)
    luma = frame @ np.array([0.299, 0.587, 0.114])  # BT.601, [h x w]
    rows = np.linspace(0, luma.shape[0], HASH_ROWS + 1).round().astype(int)
    columns = np.linspace(0, luma.shape[1], HASH_COLUMNS + 1).round().astype(int)
    sums = np.add.reduceat(np.add.reduceat(luma, rows[:-1], axis=0), columns[:-1], axis=1)
    cells = sums / np.outer(np.diff(rows), np.diff(columns))  # [8 x 9]
    bits = cells[:, :-1] - cells[:, 1:] > HASH_STEP  # [8 x 8]
    return np.packbits(bits).tobytes().hex()


def picture_times(duration_s: float) -> tuple[float, ...]:
    """Give the seconds at which a film's frames are hashed."""
    return tuple((index + 0.5) * duration_s / NUM_PICTURES for index in range(NUM_PICTURES))


def sound_envelope(waveform: NDArray[np.float32], rate: int) -> tuple[int, ...]:
    """Give the course of loudness in four bands: `ENVELOPE_HZ` levels a second in steps of 1 dB.

    Args:
        waveform: mono sound, [w]
        rate: samples a second

    Returns:
        the four levels of the first step, then of the next, ...: from 0 (`FLOOR_DB` below the
        loudest of the band, or less) to `FLOOR_DB`; empty where there are fewer than `MIN_SOUND_S`
        seconds or all is silent
    """
    steps = min(int(len(waveform) * ENVELOPE_HZ / rate), round(MAX_SOUND_S * ENVELOPE_HZ))
    if steps < MIN_SOUND_S * ENVELOPE_HZ or np.mean(np.square(waveform, dtype=float)) < SILENCE:
        return ()
    width = round(WINDOW_S * rate)
    starts = ((np.arange(steps) + 0.5) * (rate / ENVELOPE_HZ)).astype(int)
    around = np.pad(np.asarray(waveform, float), (width // 2, width))
    pieces = around[starts[:, None] + np.arange(width)]  # [t x w]
    power = np.abs(np.fft.rfft(pieces * np.hanning(width), axis=1)) ** 2
    places = np.searchsorted(np.fft.rfftfreq(width, 1 / rate), BAND_EDGES_HZ)
    bands = [power[:, low:high].sum(axis=1) for low, high in pairwise(places)]
    levels = np.stack([_levels(band) for band in bands], axis=1)  # [t x 4]
    return tuple(levels.ravel().tolist())


def _levels(power: NDArray[np.float64]) -> NDArray[np.intp]:
    """Give levels above the floor of a band, in whole decibels."""
    share = power / max(power.max(), np.finfo(float).tiny)
    decibels = 10 * np.log10(np.maximum(share, 10 ** (-FLOOR_DB / 10)))
    return np.asarray((decibels + FLOOR_DB).round(), np.intp)


def transcript_hash(transcript: str | None) -> str | None:
    """Hash the words of a transcript; case, punctuation and blanks do not count.

    ``None`` where there is no word.
    """
    plain = unicodedata.normalize("NFKC", transcript or "").casefold()
    words = "".join(c if c.isalnum() else " " for c in plain).split()
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16] if words else None


def find_duplicates(
    fingerprints: Mapping[str, Fingerprint], sources: Mapping[str, Source] | None = None
) -> dict[str, Duplicate]:
    """Find the clips that are an earlier one again.

    Two clips are alike where their files are equal, or where picture and sound both lie within the
    limits; where only one of the two can be compared, it must lie within the stricter limit. Clips
    of one source that state different speakers are only alike where the files are equal. What is
    alike through others is one group, of which the first by id is kept.

    Measured on 72 clips of three actors in one room: no clip is taken for another, and all 288
    copies are found (half the size; 80 and 24 kbit/s; trimmed by 0.2 s; all three together).
    Without their sound no clip is taken for another, but only 60 of 72 copies of half the size,
    21 of 72 at low rates and none of the trimmed are found. On 6,856 recordings of speech, most
    of them the same sentences said again: the one pair found is truly one recording; of 1,500
    copies (12 kbit/s; trimmed; both) of 500 of them, 1,490 are found and none is taken for another.
    Of 35,710 pictures of faces 48 pixels wide, 9 groups of different ones share a hash.

    Args:
        fingerprints: clip id -> fingerprint
        sources: clip id -> where it comes from, as far as that is known

    Returns:
        clip id -> what it is again, for every clip that is to be left out, by id
    """
    known = sources or {}
    names = sorted(fingerprints)
    prints = [fingerprints[name] for name in names]
    origins = [known.get(name) for name in names]
    links = dict(_equal_files(prints))
    for first, second in _near_pairs(prints):
        if (first, second) in links or _other_speakers(origins[first], origins[second]):
            continue
        link = _compare(prints[first], prints[second])
        if link is not None:
            links[first, second] = link
    kept = _first_of_group(len(names), links)
    best: dict[int, _Link] = {}
    for pair, link in sorted(links.items()):
        for index in pair:
            if index not in best or _order(link) > _order(best[index]):
                best[index] = link
    return {
        names[index]: Duplicate(
            of=names[first],
            how=best[index].how,
            similarity=best[index].similarity,
            across_sources=_source_name(origins[index]) != _source_name(origins[first]),
            same_transcript=_same_words(prints[index], prints[first]),
        )
        for index, first in enumerate(kept)
        if first != index
    }


def picture_distance(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Give the mean number of differing bits of 64; ``None`` where nothing can be compared."""
    if len(first) != len(second) or not (_says_something(first) and _says_something(second)):
        return None
    return float(np.count_nonzero(_bits(first) != _bits(second)) / len(first))


def sound_correlation(first: Sequence[int], second: Sequence[int]) -> float | None:
    """Give the highest correlation of two courses of loudness at any shift within `REACH_S`.

    The peak is interpolated between shifts. ``None`` where nothing can be compared.
    """
    if min(len(first), len(second)) < NUM_BANDS * MIN_SOUND_S * ENVELOPE_HZ:
        return None
    return _correlation(_rises(first), _rises(second))


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Correlate courses of change [t x 4] at all shifts; means are those of each band."""
    long, short = (first, second) if len(first) >= len(second) else (second, first)
    reach = round(REACH_S * ENVELOPE_HZ)
    least = int(np.ceil(_OVERLAP * len(short)))
    shifts = np.arange(max(-reach, least - len(short)), min(reach, len(long) - least) + 1)
    starts, begins = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    lengths = np.minimum(len(long) - starts, len(short) - begins)[:, None]
    # sums of whole numbers: exact, so the same on every machine
    around = np.pad(long, ((reach, reach), (0, 0)))
    products = np.stack(
        [np.correlate(around[:, band], short[:, band], "valid") for band in range(NUM_BANDS)],
        axis=1,
    )[shifts + reach]  # [shifts x 4]
    sums, squares = _window_sums(long, starts, lengths[:, 0])
    short_sums, short_squares = _window_sums(short, begins, lengths[:, 0])
    together = (lengths * products - sums * short_sums).sum(axis=1)
    spread = (lengths * squares - sums**2).sum(axis=1)
    short_spread = (lengths * short_squares - short_sums**2).sum(axis=1)
    scale = np.sqrt(spread * short_spread)
    return _peak(np.divide(together, scale, out=np.zeros(len(shifts)), where=scale > 0))


def _window_sums(
    values: NDArray[np.float64], starts: NDArray[np.intp], lengths: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the sums of windows of [t x 4] and of their squares, [n x 4]."""
    none = np.zeros((1, values.shape[1]))
    sums = np.concatenate([none, np.cumsum(values, axis=0)])
    squares = np.concatenate([none, np.cumsum(values**2, axis=0)])
    ends = starts + lengths
    return sums[ends] - sums[starts], squares[ends] - squares[starts]


def _peak(values: NDArray[np.float64]) -> float:
    """Give the top of the parabola through the highest value and its neighbours, at most 1."""
    top = int(values.argmax())
    if not 0 < top < len(values) - 1:
        return float(values[top])
    left, middle, right = values[top - 1 : top + 2]
    bend = left - 2 * middle + right
    rise = 0.0 if bend == 0 else -((right - left) ** 2) / (8 * bend)
    return float(min(middle + rise, 1.0))


def _compare(first: Fingerprint, second: Fingerprint) -> _Link | None:
    distance = picture_distance(first.pictures, second.pictures)
    if distance is not None and distance > PICTURE_LIMIT:
        return None
    correlation = sound_correlation(first.sound, second.sound)
    if distance is not None and correlation is not None:
        alike = correlation >= SOUND_LIMIT
        return _Link("picture and sound", min(1 - distance / 64, correlation)) if alike else None
    if correlation is not None:
        return _Link("sound", correlation) if correlation >= SOUND_ALONE else None
    apart = abs((first.duration_s or 0.0) - (second.duration_s or 0.0))
    if distance is None or distance > PICTURE_ALONE or apart > SAME_LENGTH_S:
        return None
    return _Link("picture", 1 - distance / 64)


def _equal_files(prints: Sequence[Fingerprint]) -> Iterator[tuple[tuple[int, int], _Link]]:
    first_with: dict[str, int] = {}
    for index, one in enumerate(prints):
        first = first_with.setdefault(one.sha256, index)
        if first != index:
            yield (first, index), _Link("same file", 1.0)


def _near_pairs(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Give the pairs that are worth a full comparison, the earlier clip first.

    Clips are sorted by length, and blocks of similar length are compared by products of matrices:
    the cost of a pair is the same however alike the clips of a data set look.
    """
    views = [_View.of(one) for one in prints]
    heard = {index: len(one.rises) / ENVELOPE_HZ for index, one in enumerate(views) if one.heard}
    for rows, columns in _blocks(heard, REACH_S):
        alike = _alike_in_sound([views[i] for i in rows], [views[i] for i in columns])
        yield from _pairs(alike, rows, columns, heard, REACH_S)
    seen = {
        index: prints[index].duration_s or 0.0
        for index, one in enumerate(views)
        if one.num_pictures
    }
    for rows, columns in _blocks(seen, SAME_LENGTH_S):
        alike = _alike_in_picture([views[i] for i in rows], [views[i] for i in columns])
        yield from _pairs(alike, rows, columns, seen, SAME_LENGTH_S)


@dataclass(frozen=True)
class _View:
    """A fingerprint as numbers."""

    rises: NDArray[np.float64]
    """change of the level, mean of the bands, [t]"""
    bits: NDArray[np.float32]
    """of all frames, [512]; 0 where there are fewer"""
    num_pictures: int
    """0 where they say nothing"""
    heard: bool

    @staticmethod
    def of(one: Fingerprint) -> "_View":
        count = len(one.pictures) if _says_something(one.pictures) else 0
        bits = np.zeros(NUM_PICTURES * 64, np.float32)
        bits[: count * 64] = _bits(one.pictures[:count]).ravel()
        heard = len(one.sound) >= NUM_BANDS * MIN_SOUND_S * ENVELOPE_HZ
        return _View(_rises(one.sound).mean(axis=1), bits, count, heard)


def _blocks(lengths: Mapping[int, float], apart: float) -> Iterator[tuple[list[int], list[int]]]:
    """Give pairs of blocks of clips whose lengths in seconds may lie within ``apart``."""
    ordered = sorted(lengths, key=lambda index: (lengths[index], index))
    blocks: list[list[int]] = []
    for index in ordered:
        fits = blocks and len(blocks[-1]) < _BLOCK
        if fits and lengths[index] - lengths[blocks[-1][0]] <= apart:
            blocks[-1].append(index)
        else:
            blocks.append([index])
    for place, rows in enumerate(blocks):
        for columns in blocks[place:]:
            if lengths[columns[0]] - lengths[rows[-1]] > apart:
                break
            yield rows, columns


def _alike_in_sound(rows: Sequence[_View], columns: Sequence[_View]) -> NDArray[np.bool_]:
    """Tell which pairs may be alike in sound, and in pictures where both have them, [n x m]."""
    distances = _bit_distances(rows, columns)
    alike: NDArray[np.bool_] = np.isnan(distances) | (distances <= PICTURE_LIMIT)
    left = np.flatnonzero(alike.any(axis=1)).tolist()
    right = np.flatnonzero(alike.any(axis=0)).tolist()
    if not left:
        return alike
    limits = np.where(np.isnan(distances), SOUND_ALONE, SOUND_LIMIT) - _SIEVE_LOSS
    among = np.ix_(left, right)
    found = _found_in([rows[i] for i in left], [columns[i] for i in right])
    alike[among] &= found >= limits[among]
    return alike


def _found_in(rows: Sequence[_View], columns: Sequence[_View]) -> NDArray[np.float32]:
    """Correlate the middle of each row's sound with each place of each column's, [n x m]."""
    shortest = min(len(one.rises) for one in (*rows, *columns))
    reach = min(round(REACH_S * ENVELOPE_HZ), shortest // 4)
    width = min(shortest - 2 * reach, round(_SIEVE_S * ENVELOPE_HZ))
    parts = _unit_rows(_middles(rows, width))  # [n x w]
    wholes = _middles(columns, width + 2 * reach)
    best = np.full((len(rows), len(columns)), -1.0, np.float32)
    values = np.empty_like(best)
    for shift in range(2 * reach + 1):
        np.matmul(parts, _unit_rows(wholes[:, shift : shift + width]).T, out=values)
        np.maximum(best, values, out=best)
    return best


def _alike_in_picture(rows: Sequence[_View], columns: Sequence[_View]) -> NDArray[np.bool_]:
    """Compare pictures of those that have no sound on both sides, [n x m]."""
    # what has sound on both sides was found by it, or is not alike
    both_heard = np.outer([one.heard for one in rows], [one.heard for one in columns])
    return np.asarray(~both_heard & (_bit_distances(rows, columns) <= PICTURE_ALONE))


def _bit_distances(rows: Sequence[_View], columns: Sequence[_View]) -> NDArray[np.float32]:
    """Give the mean number of differing bits of a frame, [n x m]; NaN: they cannot be compared."""
    left, right = (np.stack([one.bits for one in side]) for side in (rows, columns))  # [n x 512]
    # whole numbers below 2 ** 24: exact in single precision
    differing = left.sum(axis=1)[:, None] + right.sum(axis=1) - 2 * left @ right.T
    counts = [np.array([one.num_pictures for one in side]) for side in (rows, columns)]
    comparable = (counts[0][:, None] == counts[1]) & (counts[1] > 0)
    return np.where(comparable, differing / np.maximum(counts[1], 1), np.nan).astype(np.float32)


def _pairs(
    alike: NDArray[np.bool_],
    rows: Sequence[int],
    columns: Sequence[int],
    lengths: Mapping[int, float],
    apart: float,
) -> Iterator[tuple[int, int]]:
    left, right = (np.array([lengths[index] for index in side]) for side in (rows, columns))
    close = np.abs(left[:, None] - right) <= apart
    for row, column in np.argwhere(alike & close).tolist():
        # within one block each pair comes twice
        if rows is not columns or row < column:
            first, second = rows[row], columns[column]
            yield min(first, second), max(first, second)


def _rises(levels: Sequence[int]) -> NDArray[np.float64]:
    """Give how the levels change, [t x 4]."""
    values = np.asarray(levels, np.float64).reshape(-1, NUM_BANDS)
    return values[RISE:] - values[:-RISE]


def _middles(views: Sequence[_View], width: int) -> NDArray[np.float32]:
    """Cut the middle out of each course, [n x w]."""
    starts = [(len(one.rises) - width) // 2 for one in views]
    cut = [one.rises[start : start + width] for one, start in zip(views, starts, strict=True)]
    return np.stack(cut).astype(np.float32)


def _unit_rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Thin rows out, centre them and scale them to length 1, so that products are correlations."""
    thin = values[:, ::_SIEVE_STEP]
    centred = thin - thin.mean(axis=1, keepdims=True)
    size = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(size, 1e-6), np.float32)


def _bits(hashes: Sequence[str]) -> NDArray[np.uint8]:
    """Unpack hashes to [t x 64]."""
    octets = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8)
    return np.unpackbits(octets).reshape(len(hashes), HASH_ROWS * (HASH_COLUMNS - 1))


def _says_something(hashes: Sequence[str]) -> bool:
    """Tell whether at least half of the pictures are more than a plain area."""
    plain = sum(int(one, 16).bit_count() < MIN_HASH_BITS for one in hashes)
    return bool(hashes) and 2 * plain <= len(hashes)


def _other_speakers(first: Source | None, second: Source | None) -> bool:
    if first is None or second is None or first.name != second.name:
        return False
    return None not in (first.speaker, second.speaker) and first.speaker != second.speaker


def _first_of_group(count: int, links: Mapping[tuple[int, int], _Link]) -> list[int]:
    """Give for each clip the first clip that it hangs together with."""
    neighbours: dict[int, list[int]] = defaultdict(list)
    for first, second in links:
        neighbours[first].append(second)
        neighbours[second].append(first)
    kept = [-1] * count
    for start in range(count):
        waiting = [start] if kept[start] < 0 else []
        while waiting:
            index = waiting.pop()
            if kept[index] < 0:
                kept[index] = start
                waiting += neighbours[index]
    return kept


def _order(link: _Link) -> tuple[bool, float]:
    return link.how == "same file", link.similarity


def _source_name(source: Source | None) -> str | None:
    return None if source is None else source.name


def _same_words(first: Fingerprint, second: Fingerprint) -> bool | None:
    if first.transcript is None or second.transcript is None:
        return None
    return first.transcript == second.transcript
