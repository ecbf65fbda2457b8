"""Weights that a library loaded -> what they are called beside what they give.

Knows: names of folders and hub ids, revisions. Does not know: what the weights are for.
"""

from pathlib import Path
from typing import Any


def shown_name(checkpoint: str | Path) -> str:
    """Give the name of weights for those who read an answer: where a folder lies is not theirs."""
    return Path(checkpoint).absolute().name if Path(checkpoint).is_dir() else str(checkpoint)


class NamedWeights:
    """A model of a library with its name and version.

    Args:
        checkpoint: folder or hub id that it was loaded from
        model: as the library gives it
    """

    def __init__(self, checkpoint: str | Path, model: Any) -> None:
        self._model = model
        self._name = shown_name(checkpoint)

    @property
    def name(self) -> str:
        """The name of the folder, or the hub id."""
        return self._name

    @property
    def version(self) -> str:
        """The hub revision of the weights; ``local`` for a folder, which states none."""
        return getattr(self._model.config, "_commit_hash", None) or "local"
