"""Face -> a description by which one person of a clip is told from another.

Knows: the texture of the aligned face and the directions in which it differs between people more
than within one. Does not know: names, other clips: it tells the few people of one clip apart and is
no face recognition.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.alignment import align_face
from emotion_llama.face.shape import population

SIZE_PX = 64
"""Side of the aligned face that is described."""

_GRADIENTS = cv2.HOGDescriptor((SIZE_PX, SIZE_PX), (16, 16), (8, 8), (8, 8), 9)
_BLOCKS = 7
"""Blocks of gradients along a side; they overlap by half."""
_CELLS, _CELL_PX = 6, 10
"""Cells along a side in which patterns are counted; two pixels at each edge belong to none."""
_NUM_PATTERNS = 59
_RING = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
"""Rows and columns of the eight pixels around the middle of 3 x 3, in turn; a bit each."""


def _pattern_numbers() -> NDArray[np.int64]:
    """Number the 58 rings with at most two changes in turn; all others share the last number.

    Returns:
        the number of each ring, and of its mirror image, [2 x 256]
    """
    rings = np.arange(256)
    bits = rings[:, None] >> np.arange(8) & 1  # [256 x 8]
    is_even = (bits != np.roll(bits, 1, axis=1)).sum(axis=1) <= 2
    numbers = np.where(is_even, np.cumsum(is_even) - 1, _NUM_PATTERNS - 1)
    opposite = [_RING.index((row, 2 - column)) for row, column in _RING]
    return np.stack([numbers, numbers[bits[:, opposite] @ (1 << np.arange(8))]])


def _pattern_places() -> NDArray[np.int64]:
    """Say where to count each pixel's ring: the right half of the face as mirrored left half.

    Returns:
        index into [2 x 256] numbers without the ring, and first index of the cell, [2 x 60 x 60]
    """
    rows, columns = np.indices((_CELLS * _CELL_PX,) * 2) // _CELL_PX
    is_right = columns >= _CELLS // 2
    cells = rows * (_CELLS // 2) + np.where(is_right, _CELLS - 1 - columns, columns)
    return np.stack([is_right * 256, cells * _NUM_PATTERNS])


_NUMBER_OF_RING = _pattern_numbers().ravel()
_TABLE_OF_PIXEL, _CELL_OF_PIXEL = _pattern_places()


def describe(grey: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Describe a face; the scalar product of two descriptions is the likeness of the faces.

    Args:
        grey: frame, [h x w]
        points: of the face in it, [70 x 3]

    Returns:
        unit vector, [160]
    """
    return project(*measure(align_face(grey, points, SIZE_PX)))


def measure(crop: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure the texture of an aligned grey crop [64 x 64] and of its mirror image together.

    Half of the values say everything then, and what a turn of the head or light from one side gives
    to one half and takes from the other cancels in part.

    Returns:
        oriented gradients (Dalal & Triggs 2005) of the blocks of the left half, [28 x 36]; roots of
        the shares of local binary patterns (Ojala, Pietikainen & Maenpaa 2002) in its cells,
        [18 x 59]
    """
    mirrored = np.ascontiguousarray(crop[:, ::-1])
    return (gradients_of(crop) + gradients_of(mirrored)) / np.float32(2), raw_patterns(crop)


def gradients_of(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give the oriented gradients of the blocks of the left half and the middle, [28 x 36]."""
    values = np.asarray(_GRADIENTS.compute(crop), dtype=np.float32)
    # OpenCV counts blocks down the columns
    return values.reshape(_BLOCKS**2, -1)[: _BLOCKS * (_BLOCKS // 2 + 1)]


def raw_patterns(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give the root of each pattern's share of each cell, both halves together, [18 x 59]."""
    smooth = cv2.GaussianBlur(crop, (0, 0), 0.8)[1:-1, 1:-1]
    side = _CELLS * _CELL_PX
    middle = smooth[1:-1, 1:-1]
    rings = np.zeros((side, side), dtype=np.uint8)
    for bit, (row, column) in enumerate(_RING):
        is_brighter = smooth[row : row + side, column : column + side] >= middle
        rings |= is_brighter.view(np.uint8) << np.uint8(bit)
    places = _CELL_OF_PIXEL + _NUMBER_OF_RING[_TABLE_OF_PIXEL + rings]
    num_cells = _CELLS * _CELLS // 2
    counts = np.bincount(places.ravel(), minlength=num_cells * _NUM_PATTERNS)
    shares = counts.reshape(num_cells, _NUM_PATTERNS) / (2 * _CELL_PX**2)
    return np.sqrt(shares).astype(np.float32)


def project(gradients: NDArray[np.float32], patterns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn the measures of a face into its description.

    1. Keep the main components of each block and of each cell. 2. Map them to the directions that
    tell people apart.

    Args:
        gradients: [28 x 36]
        patterns: [18 x 59]

    Returns:
        unit vector, [160]
    """
    known = population()
    values = reduced(gradients, patterns, known)
    weights = known["identity_weights"].astype(np.float32)  # [160 x 496]
    return unit(weights @ values * known["identity_scale"] - known["identity_bias"])


def reduced(
    gradients: NDArray[np.float32],
    patterns: NDArray[np.float32],
    known: Mapping[str, NDArray[np.floating]],
) -> NDArray[np.float32]:
    """Keep the main components of blocks [... 28 x 36] and cells [... 18 x 59], [... 496]."""
    parts = (
        gradients @ known["identity_gradients"].astype(np.float32),  # [... 28 x 10]
        patterns @ known["identity_patterns"].astype(np.float32),  # [... 18 x 12]
    )
    return np.concatenate([part.reshape(*part.shape[:-2], -1) for part in parts], axis=-1)


def same_people(
    described: NDArray[np.float32], together: NDArray[np.bool_], threshold: float
) -> list[list[int]]:
    """Group sets of faces by person: the most alike first, while any two are alike enough.

    Args:
        described: sum of the descriptions of each set, [n x 160]; joined sets are added up, so that
            every face counts alike
        together: which sets are seen side by side and are never joined, [n x n]
        threshold: likeness of the mean descriptions from which two sets show one person

    Returns:
        numbers of the sets of each person, in the order of its first one
    """
    groups = [[number] for number in range(len(described))]
    sums = described.astype(np.float64)
    means = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    likeness = means @ means.T
    apart = together | np.eye(len(described), dtype=bool)
    likeness[apart] = -np.inf
    while len(described) > 1:
        one, other = sorted(divmod(int(likeness.argmax()), len(described)))
        if likeness[one, other] < threshold:
            break
        groups[one] += groups[other]
        groups[other] = []
        sums[one] += sums[other]
        means[one] = sums[one] / np.linalg.norm(sums[one])
        apart[one] |= apart[other]
        apart[other] = True
        apart[:, one], apart[:, other] = apart[one], apart[other]
        likeness[one] = np.where(apart[one], -np.inf, means @ means[one])
        likeness[:, one] = likeness[one]
        likeness[other] = likeness[:, other] = -np.inf
    return [sorted(group) for group in groups if group]


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale a vector to length 1; a zero vector stays."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
