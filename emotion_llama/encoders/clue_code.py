"""What was measured of a clip, as numbers that an encoder adds to what it has learned.

A language model can only state what reaches it: a learned embedding tells emotions apart and
forgets how high the voice was or which brow moved. Knows: names of clues. Does not know: how they
were measured or worded. An encoder that reads clues lists their names in its settings, so that a
list and the weights behind it cannot part.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from emotion_llama.records import Clip, Modality

CLUE_SIZE = 8.0
"""Value of a clue that was measured. The learned part of a feature has some 200 places of unit
variance; two clues of size 1 would drown in it, and were not stated by a model trained so."""

TOLD = 2
"""Clues of one modality that are handed on, the surest first: as many as a reason can tell."""


def clue_names(encoder: object) -> tuple[str, ...]:
    """Name the clues that an encoder reads, ``AU12 clear`` for instance; none of most encoders."""
    return tuple(getattr(encoder, "clues", ()))


def clue_code(clip: Clip, modality: Modality, names: Sequence[str]) -> Tensor:
    """Mark the clues that were measured.

    Args:
        clip: with evidence
        modality: whose clues
        names: feature and reading of each place

    Returns:
        `CLUE_SIZE` where the clue is among the `TOLD` surest of its modality, else 0, [k]

    Raises:
        ValueError: nothing was measured of the clip
    """
    if clip.evidence is None:
        msg = (
            f"clip {clip.clip_id!r} has no evidence, and its {modality} encoder reads "
            f"{len(names)} clues; read it with ClipReader(measure=measured_evidence)"
        )
        raise ValueError(msg)
    of_one = [one for one in clip.evidence if one.modality == modality][:TOLD]
    found = {f"{one.feature} {one.reading}" for one in of_one}
    return torch.tensor([CLUE_SIZE * (name in found) for name in names])
