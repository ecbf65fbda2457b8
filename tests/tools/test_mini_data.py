"""Examples put together from items: which modalities, labels and clues they carry."""

import json
import random
from pathlib import Path

import pytest
import torch

from emotion_llama.feature_store import FeatureStore, FeatureWriter
from emotion_llama.labels import MINI
from emotion_llama.merr.records import Clue
from emotion_llama.merr.rules import load_rules
from emotion_llama.records import Features

items = pytest.importorskip("mini_data.items")
examples = pytest.importorskip("mini_data.examples")
make = pytest.importorskip("make_mini_data")

CLUES = {"local": 2, "audio": 1}
LABELS = MINI.labels[:4]


def face(label: str) -> object:
    features = Features(
        patches=torch.ones(2, 3),
        class_token=torch.ones(3),
        local=torch.tensor([1.0, 2.0, 1.0, 0.0]),
        temporal=torch.ones(3),
    )
    clue = Clue("facial", "AU04", "clear", "the brows are clearly lowered and drawn together")
    return items.Item("ferplus", items.one_vote(label), features, (clue,))


def voice(label: str) -> object:
    features = Features(audio=torch.tensor([3.0, 4.0, 1.0]))
    clue = Clue("voice", "pitch", "very high", "the pitch is much higher than usual")
    return items.Item("ravdess", items.one_vote(label), features, (clue,), person="01")


def words(label: str) -> object:
    return items.Item("meld", items.one_vote(label), Features(), (), f"It is {label}.")


def pool() -> object:
    found = {
        kind: [make_one(label) for label in LABELS for _ in range(15)]
        for kind, make_one in (("facial", face), ("voice", voice), ("words", words))
    }
    return examples.ExamplePool(found, [], CLUES, load_rules("merr"))


@pytest.mark.parametrize("recipe", [examples.RECOGNITION, examples.EXPLANATION])
def test_an_example_has_what_its_reason_speaks_of(recipe: object) -> None:
    drawn = [pool().draw(recipe, random.Random(seed)) for seed in range(200)]
    assert 0.2 < sum(one.caption is None for one in drawn) / len(drawn) < 0.4
    for one in (one for one in drawn if one.caption is not None):
        assert ("brows" in one.caption) == (one.features.local is not None)
        assert ("pitch" in one.caption) == (one.features.audio is not None)
        assert ("word" in one.caption) == (one.text is not None)
        assert one.label in one.caption
        assert one.label in LABELS
    kinds = {(o.features.local is None, o.features.audio is None, o.text is None) for o in drawn}
    assert len(kinds) == 7


def test_clues_are_kept_as_they_are_or_hidden() -> None:
    source = pool()
    for seed in range(50):
        one = source.draw(examples.RECOGNITION, random.Random(seed))
        shown = float(one.caption is not None)
        if one.features.local is not None:
            assert one.features.local[-2:].tolist() == [shown, 0.0]
        if one.features.audio is not None:
            assert one.features.audio[-1].item() == shown


def test_a_face_alone_has_the_label_of_one_of_its_voters() -> None:
    split = items.Item("ferplus", (0.5, 0.5, *[0.0] * 6), face("happy").features, ())
    found = {"facial": [split] * 20, "voice": [voice("happy")] * 20, "words": [words("happy")]}
    own = examples.ExamplePool(found, [], CLUES, load_rules("merr"))
    recipe = examples.Recipe({("facial",): 1.0}, noise=0.0)
    labels = [own.draw(recipe, random.Random(seed)).label for seed in range(200)]
    assert set(labels) == {"neutral", "happy"}
    assert 70 < labels.count("happy") < 130


def test_tables_and_store_are_what_training_reads(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "features", dtype=torch.float16) as store:
        rows = make.made_rows("stage1", pool(), examples.RECOGNITION, 12, 0, store)
        make.write_table(tmp_path / "stage1.jsonl", rows)
    lines = [json.loads(line) for line in (tmp_path / "stage1.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    stored = FeatureStore(tmp_path / "features")
    for line in lines:
        features = stored.clip(line["clip_id"])
        if line["caption"] is not None:
            assert ("pitch" in line["caption"]) == (features.audio is not None)
        assert features.audio is not None or "no audio feature" in features.missing["audio"]


def test_faces_alone_come_as_often_as_their_label_occurs() -> None:
    found = {
        kind: [make_one(label) for label in LABELS for _ in range(15)]
        for kind, make_one in (("facial", face), ("voice", voice), ("words", words))
    }
    counts = {"facial": dict.fromkeys(LABELS, 1) | {"happy": 10000}}
    own = examples.ExamplePool(found, [], CLUES, load_rules("merr"), counts)
    recipe = examples.Recipe({("facial",): 1.0}, noise=0.0)
    labels = [own.draw(recipe, random.Random(seed)).label for seed in range(50)]
    assert labels.count("happy") > 45
