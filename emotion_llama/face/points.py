"""The scheme of facial points: 68 of the iBUG mark-up and both pupils.

Knows: which number is which place, and what mirrors what. Does not know: pictures, networks.
Source of the numbering: Sagonas et al. 2013, "300 Faces in-the-Wild Challenge", figure 1, counted
from 0. Right and left are the person's own; in an unmirrored picture the right side is on the left.
"""

import numpy as np

JAW = tuple(range(17))
"""along the jaw from the right ear to the left; 8 is the chin"""
RIGHT_BROW, LEFT_BROW = tuple(range(17, 22)), tuple(range(22, 27))
"""right: outer to inner end; left: inner to outer end"""
NOSE_BRIDGE, NOSE_BASE = tuple(range(27, 31)), tuple(range(31, 36))
"""bridge: root to tip; base: right to left, 33 under the tip"""
RIGHT_EYE, LEFT_EYE = tuple(range(36, 42)), tuple(range(42, 48))
"""outer corner (36, 45), inner corner (39, 42), upper lid (37, 38, 43, 44), lower lid (40, 41, 46,
47)"""
OUTER_LIPS, INNER_LIPS = tuple(range(48, 60)), tuple(range(60, 68))
"""outer: right corner 48, over the upper lip to the left corner 54, back over the lower; inner the
same from 60 to 64"""
RIGHT_PUPIL, LEFT_PUPIL = 68, 69

REGION_POINTS = {
    "eyes": (*RIGHT_BROW, *LEFT_BROW, *RIGHT_EYE, *LEFT_EYE, RIGHT_PUPIL, LEFT_PUPIL),
    "nose": (*NOSE_BRIDGE, *NOSE_BASE),
    "mouth": (*OUTER_LIPS, *INNER_LIPS),
}
"""What makes up the parts whose visibility is stated."""

MIRRORED = np.array(
    [
        *reversed(JAW),
        *reversed(LEFT_BROW),
        *reversed(RIGHT_BROW),
        *NOSE_BRIDGE,
        *reversed(NOSE_BASE),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
        *(LEFT_PUPIL, RIGHT_PUPIL),
    ]
)
"""Number of the point on the other side: in a mirrored picture, point i is seen at MIRRORED[i]."""
