"""A preset as the one that labels clips for a data set.

Knows: how a prediction becomes a pseudo-label, what it depends on. Does not know: data sets, rules.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from emotion_llama.preset import find_preset


@dataclass(frozen=True)
class PresetLabelMaker:
    """Labels clips with a preset; the preset is loaded by the process that labels."""

    preset: str
    """name, folder or hub id"""
    device: str | None = None
    dtype: str | None = None
    labels: str | None = None
    """label set or list to offer; default is the preset's own"""

    @property
    def name(self) -> str:
        """What labels, without a path of this machine."""
        return f"preset {Path(self.preset).name}"

    @cached_property
    def version(self) -> str:
        """Hash of all files of the preset."""
        digest = hashlib.sha256()
        folder = find_preset(self.preset)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(path.relative_to(folder).as_posix().encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]

    @property
    def settings(self) -> Mapping[str, Any]:
        """What else the labels depend on."""
        return {"labels": self.labels, "dtype": self.dtype, "decision": "scored"}

    def load(self) -> Callable[[Path, str | None], tuple[str, Mapping[str, float]]]:
        """Load the preset.

        Raises:
            PresetError: its files do not fit together
        """
        # it warns of a kernel that no preset here uses, as soon as it is imported
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        from emotion_llama.predict import Predictor

        predictor = Predictor.from_pretrained(self.preset, device=self.device, dtype=self.dtype)

        def label(path: Path, text: str | None) -> tuple[str, Mapping[str, float]]:
            answer = predictor(path, text, self.labels, with_reason=False)
            assert answer.label is not None, "a scored answer always names a label"
            return answer.label, answer.probabilities

        return label
