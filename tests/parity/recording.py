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
        form = re.compile(r".*?says: (?P<said>.*)\.  \[(?P<task>\w+)\] (?P<question>.*) ")
        found = [form.fullmatch(text) for text in self.cases["instructions"]]
        return [
            Sample(task=m["task"], transcript=m["said"], question=m["question"])  # type: ignore[arg-type,index]
            for m in found
        ]


@dataclass(frozen=True)
class Converted:
    """The recording's weights after conversion."""

    folder: Path
    report: CoverageReport
    model: EmotionLlama
    processor: EmotionLlamaProcessor
    encoder: EvaGlobalEncoder
