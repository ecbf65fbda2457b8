"""One clip between encoders and language model: what it has, and what can be said of it.

Knows: features, transcript, what was measured. Does not know: models, files, what is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from emotion_llama.reason_choice import Ground
from emotion_llama.reason_conclusion import Part
from emotion_llama.records import Clip, Features


@dataclass(frozen=True)
class EncodedClip:
    """One clip on its way to an answer: asked as often as wanted, encoded once."""

    name: str
    """what the answer is called"""
    features: Features
    transcript: str | None
    clip: Clip | None = None
    """what was read; ``None``: there are features only, of which nothing was measured"""
    timings_s: Mapping[str, float] = field(default_factory=dict)
    """seconds of the stages so far"""

    @property
    def nothing(self) -> str:
        """Why there is nothing to answer from; empty where there is something."""
        if self.features.present or self.transcript:
            return ""
        known = {**(self.clip.missing if self.clip else {}), **self.features.missing}
        reasons = "; ".join(f"{modality}: {why}" for modality, why in known.items())
        return (
            f"{self.name} gives neither a feature nor text{f' ({reasons})' * bool(reasons)}; "
            "give a transcript or another preset"
        )

    @property
    def ground(self) -> Ground:
        """What a reason about it may rest on."""
        there: Mapping[Part, bool] = {
            "face": self.features.has_face,
            "voice": self.features.audio is not None,
            "words": bool(self.transcript),
        }
        evidence = (self.clip.evidence if self.clip else None) or ()
        return Ground(evidence, [part for part, is_there in there.items() if not is_there])
