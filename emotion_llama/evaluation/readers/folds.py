"""Option ``fold`` -> the numbers of the folds to read.

Knows: that there are five. Does not know: any data set.
"""

from typing import Literal

Fold = Literal[1, 2, 3, 4, 5, "all"]
"""One of five test sets, or all, in which each clip occurs once."""


def fold_numbers(fold: Fold) -> tuple[int, ...]:
    """Give the folds to read."""
    return (1, 2, 3, 4, 5) if fold == "all" else (fold,)
