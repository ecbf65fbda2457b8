"""What the facial action units are called.

Knows: names. Does not know: how a unit is measured, what it means.
Source: Ekman, Friesen & Hager 2002, Facial Action Coding System.
"""

UNIT_NAMES = {
    "AU01": "inner brow raiser",
    "AU02": "outer brow raiser",
    "AU04": "brow lowerer",
    "AU05": "upper lid raiser",
    "AU06": "cheek raiser",
    "AU07": "lid tightener",
    "AU09": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU12": "lip corner puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU17": "chin raiser",
    "AU20": "lip stretcher",
    "AU23": "lip tightener",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU27": "mouth stretch",
    "AU28": "lip suck",
    "AU43": "eyes closed",
    "AU45": "blink",
}
"""Action unit -> its name in the manual."""

GRADES = "-ABCDE"
"""Letters of the intensities 0 to 5."""


def titled(unit: str) -> str:
    """Give a unit with its name, as in ``AU12 lip corner puller``."""
    return f"{unit} {UNIT_NAMES.get(unit, '')}".rstrip()


def grade(intensity: float) -> str:
    """Give the letter nearest to an intensity on the 0-5 scale; ``-`` is absent."""
    return GRADES[int(min(max(intensity, 0.0), 5.0) + 0.5)]
