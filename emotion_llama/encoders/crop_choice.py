"""Which crops of a face track a temporal encoder reads: two of each of eight equal parts.

Knows: positions in a track. Does not know: pictures, networks, files.
"""

import numpy as np

NUM_PARTS, CROPS_PER_PART = 8, 2
NUM_CROPS = NUM_PARTS * CROPS_PER_PART


def choose_crops(length: int) -> list[int]:
    """Choose crops of a track: eight equal parts, at a quarter and three quarters of each.

    Args:
        length: number of crops in the track; a short track repeats some

    Returns:
        16 positions in ascending order
    """
    return [length * (2 * place + 1) // (2 * NUM_CROPS) for place in range(NUM_CROPS)]


def draw_crops(length: int, seed: int) -> list[int]:
    """Draw crops of a track: two at random of each of eight equal parts, as published.

    Args:
        length: number of crops in the track; a part of fewer than two crops repeats its crop, and
            an empty one the crop where it would begin
        seed: the same seed and length give the same crops

    Returns:
        16 positions in ascending order
    """
    generator = np.random.default_rng(seed)
    drawn: list[int] = []
    for part in range(NUM_PARTS):
        first, end = length * part // NUM_PARTS, length * (part + 1) // NUM_PARTS
        inside = max(end - first, 1)
        places = generator.choice(inside, CROPS_PER_PART, replace=inside < CROPS_PER_PART)
        drawn.extend(first + place for place in sorted(places.tolist()))
    return drawn
