"""The published architecture, recorded at toy size, against ours: tokens, logits, losses, answers.

Measured worst cases (fp32, CPU): visual tokens 1e-6, logits 4e-6, losses 1e-6, gradients 2e-6
relative. Token ids must be equal.
"""

from collections.abc import Callable

import pytest
import torch
from parity.recording import Converted, Golden

from emotion_llama.model import TOKEN_KINDS, EmotionLlamaProcessor
from emotion_llama.model.checkpoint import _our_name, export
from emotion_llama.prompt import FEATURE_MARK, VIDEO_MARK, render, split_at_marks
from emotion_llama.records import Features

TOLERANCE = 1e-5

Record = Callable[[str, object], None]
"""pytest's record_property; the property "parity" becomes a row of the table printed at the end."""


def worst(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max())


def test_visual_tokens(
    golden: Golden, converted: Converted, features: list[Features], record_property: Record
) -> None:
    stacked = {name: torch.stack([getattr(f, name) for f in features]) for name in TOKEN_KINDS}
    with torch.no_grad():
        tokens = converted.model.projector(stacked)
    found = torch.cat([tokens[name] for name in TOKEN_KINDS], dim=1)
    difference = worst(found, golden.tensors["visual_tokens"])
    record_property("parity", ("visual tokens, absolute", difference))
    assert difference <= TOLERANCE


def test_prompt_and_answer_ids(golden: Golden, converted: Converted) -> None:
    processor = converted.processor
    assert len(golden.samples) == len(golden.cases["instructions"])
    for row, sample in enumerate(golden.samples):
        prompt = render(sample, labels=converted.model.config.labels, reason_tag=golden.reason_tag)
        assert prompt == f"[INST] {golden.cases['instructions'][row]} [/INST]"
        pieces = [
            p for p in split_at_marks(prompt, "trained") if p not in (VIDEO_MARK, FEATURE_MARK)
        ]
        ids = [processor.tokenizer(p, add_special_tokens=False)["input_ids"] for p in pieces]
        assert ids == golden.cases["prompt_segment_token_ids"][row]
        answer = golden.cases["answers"][row]
        assert processor.encode_answer(answer) == golden.cases["tokenized_answers"][row]


def test_input_lengths(golden: Golden, converted: Converted, features: list[Features]) -> None:
    batch = converted.processor(golden.samples, features)
    # the recording counts without the beginning-of-sequence token
    assert (batch["attention_mask"].sum(-1) - 1).tolist() == golden.cases["input_lengths"]


def test_logits_and_losses(
    golden: Golden, converted: Converted, features: list[Features], record_property: Record
) -> None:
    batch = converted.processor(golden.samples, features, golden.cases["answers"])
    with torch.no_grad():
        output = converted.model(**batch)
    expected_mask = golden.tensors["attention_mask"].bool()
    found_mask = batch["attention_mask"].bool()
    assert found_mask.sum(-1).tolist() == expected_mask.sum(-1).tolist()
    difference = worst(output.logits[found_mask], golden.tensors["logits"][expected_mask])
    record_property("parity", ("training-layout logits, absolute", difference))
    assert difference <= TOLERANCE
    loss_difference = abs(float(output.loss) - golden.cases["loss_batch"])
    for row in range(len(features)):
        single = converted.processor(
            golden.samples[row : row + 1],
            features[row : row + 1],
            golden.cases["answers"][row : row + 1],
        )
        with torch.no_grad():
            loss = float(converted.model(**single).loss)
        loss_difference = max(loss_difference, abs(loss - golden.cases["loss_each"][row]))
    record_property("parity", ("losses, batch and each, absolute", loss_difference))
    assert loss_difference <= TOLERANCE


def test_gradient_norms(
    golden: Golden, converted: Converted, features: list[Features], record_property: Record
) -> None:
    model = converted.model
    batch = converted.processor(golden.samples, features, golden.cases["answers"])
    model.zero_grad()
    model(**batch).loss.backward()
    parameters = model.trainable_parameters()
    recorded = {
        key.removeprefix("grad_norm/"): float(value)
        for key, value in golden.tensors.items()
        if key.startswith("grad_norm/")
    }
    assert recorded
    differences = [
        abs(float(parameters[_our_name(name)].grad.norm()) - norm) / norm
        for name, norm in recorded.items()
    ]
    model.zero_grad()
    record_property("parity", ("gradient norms, relative", max(differences)))
    assert max(differences) <= TOLERANCE


@pytest.mark.parametrize("batched", [False, True], ids=["single", "left-padded"])
def test_greedy_ids_in_the_training_layout(
    golden: Golden, converted: Converted, features: list[Features], batched: bool
) -> None:
    recorded = golden.cases["generated_training_layout_token_ids"]
    # the old library prepends the beginning-of-sequence id
    expected = [ids[1:] for ids in recorded]
    found = _generate(converted.processor, golden, converted, features, batched)
    assert [_until_end(ids) for ids in found] == [_until_end(ids) for ids in expected]


@pytest.mark.parametrize("batched", [False, True], ids=["single", "left-padded"])
def test_published_evaluation_layout(
    golden: Golden,
    converted: Converted,
    features: list[Features],
    batched: bool,
    record_property: Record,
) -> None:
    processor = EmotionLlamaProcessor(
        converted.processor.tokenizer, converted.model.config, "published-eval"
    )
    differences = []
    for row, (sample, feature) in enumerate(zip(golden.samples, features, strict=True)):
        batch = processor([sample], [feature])
        batch.pop("attention_mask")
        with torch.no_grad():
            embeddings = converted.model.embed(**batch)[0]
        differences.append(worst(embeddings, golden.tensors[f"generation_context_{row}"]))
    record_property("parity", ("published-evaluation input embeddings, absolute", max(differences)))
    assert max(differences) <= TOLERANCE
    found = _generate(processor, golden, converted, features, batched)
    texts = [processor.tokenizer.decode(ids, skip_special_tokens=False) for ids in found]
    cut = [text.split("</s>")[0].replace("<s>", "").strip() for text in texts]
    assert cut == golden.cases["generated_reference_layout"]


def test_export_gives_back_every_tensor(
    golden: Golden, converted: Converted, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("export") / "published.pth"
    export(converted.folder, path)
    original = torch.load(golden.folder / "emotion_llama.pth", weights_only=True)
    exported = torch.load(path, weights_only=True)
    assert set(exported) == set(original)
    expected = {
        key: value
        for key, value in original["model"].items()
        if not key.startswith("attention.") and not key.endswith("inv_freq")
    }
    assert list(sorted(exported["model"])) == sorted(expected)
    for key, value in expected.items():
        assert exported["model"][key].dtype == value.dtype, key
        assert torch.equal(exported["model"][key], value), key


def _generate(
    processor: EmotionLlamaProcessor,
    golden: Golden,
    converted: Converted,
    features: list[Features],
    batched: bool,
) -> list[list[int]]:
    longest = max(map(len, golden.cases["generated_training_layout_token_ids"])) - 1
    groups = [range(len(features))] if batched else [[row] for row in range(len(features))]
    found = []
    for rows in groups:
        batch = processor([golden.samples[r] for r in rows], [features[r] for r in rows])
        found += converted.model.generate(**batch, max_new_tokens=longest).tolist()
    return found


def _until_end(ids: list[int]) -> list[int]:
    return ids[: ids.index(2)] if 2 in ids else ids
