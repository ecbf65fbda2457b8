"""A recording of the published architecture, and the model converted from its files."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from emotion_llama.encoders.global_encoder import EvaGlobalEncoder
from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.checkpoint import CoverageReport
from emotion_llama.records import Sample


@dataclass(frozen=True)
class Golden:
    """The recording."""

    folder: Path
    cases: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    @property
    def sizes(self) -> dict[str, int]:
        return self.cases["config"]

    @property
    def samples(self) -> list[Sample]:
        """Read transcript, task and question back out of the recorded instructions."""
        return [
            Sample(
                task="emotion" if found["tag"] == "emotion" else "reason",
                transcript=found["said"],
                question=found["question"],
            )
            for found in self._instructions
        ]

    @property
    def reason_tag(self) -> str:
        """The tag that the recording writes for the reasoning task."""
        return next((m["tag"] for m in self._instructions if m["tag"] != "emotion"), "reason")

    @property
    def _instructions(self) -> list[re.Match[str]]:
        form = re.compile(
            r".*?</feature> (?:The person in video says: (?P<said>.*)\. )? "
            r"\[(?P<tag>\w+)\] (?P<question>.*) ",
            re.DOTALL,
        )
        found = [form.fullmatch(text) for text in self.cases["instructions"]]
        return [match for match in found if match is not None]


@dataclass(frozen=True)
class Converted:
    """The recording's weights after conversion."""

    folder: Path
    report: CoverageReport
    model: EmotionLlama
    processor: EmotionLlamaProcessor
    encoder: EvaGlobalEncoder
