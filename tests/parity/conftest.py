"""Golden outputs of the published architecture at toy size, and the model converted from its files.

``EMOTION_LLAMA_GOLDEN`` names another recording of the same form (the folder with cases.json).
"""

import json
import os
from pathlib import Path

import pytest
import torch
from parity.recording import Converted, Golden
from safetensors.torch import load_file

from emotion_llama.encoders.global_encoder import EvaGlobalEncoder
from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.checkpoint import VisionSizes, convert
from emotion_llama.records import Features


@pytest.fixture(scope="session")
def golden() -> Golden:
    folder = Path(os.environ.get("EMOTION_LLAMA_GOLDEN", Path(__file__).parent / "golden"))
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    return Golden(folder, cases, load_file(folder / "cases.safetensors"))


@pytest.fixture(scope="session")
def converted(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    folder = tmp_path_factory.mktemp("converted") / "model"
    report = convert(
        golden.folder / "llama",
        golden.folder / "eva_vit_g.pth",
        golden.folder / "emotion_llama.pth",
        folder,
        reason_tag=golden.reason_tag,
        vision=VisionSizes(
            num_layers=golden.sizes["vit_depth"],
            num_heads=golden.sizes["vit_heads"],
            image_size=golden.sizes["image_size"],
        ),
    )
    return Converted(
        folder,
        report,
        EmotionLlama.from_pretrained(folder, dtype=torch.float32).eval(),
        EmotionLlamaProcessor.from_pretrained(folder),
        EvaGlobalEncoder.from_pretrained(folder / "encoders" / "global"),
    )


@pytest.fixture(scope="session")
def features(golden: Golden, converted: Converted) -> list[Features]:
    patches, class_tokens = converted.encoder.encode_pixels(golden.tensors["image"])
    return [
        Features(
            patches=patches[row],
            class_token=class_tokens[row],
            local=vectors[0],
            temporal=vectors[1],
            audio=vectors[2],
        )
        for row, vectors in enumerate(golden.tensors["features"])
    ]
