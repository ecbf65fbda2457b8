"""Make what the language model of the `mini` preset is trained on: tables and their features.

    python tools/make_mini_data.py --data DIR --encoders DIR --out DIR

Writes OUT/stage1.jsonl and OUT/stage2.jsonl (clips put together from faces, voices and words that
share a label), OUT/dev_<set>.jsonl (development items as they are) and OUT/features, a feature
store: what `emotion-llama train configs/mini_stage1.yaml` reads. Encoded items are kept in
OUT/items, so that a stopped run goes on. No test row is read.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mini_data.examples import EXPLANATION, RECOGNITION, ExamplePool, Recipe
from mini_data.items import (
    Item,
    Place,
    encoded,
    face_frequencies,
    face_pieces,
    scene_items,
    voice_pieces,
    word_items,
)
from mini_reasons import clue_vocabulary
from rich.progress import track

from emotion_llama.feature_store import EncoderIdentity, FeatureWriter, Media
from emotion_llama.merr.records import ClueKind
from emotion_llama.merr.rules import load_rules
from emotion_llama.records import ENCODER_ROLES, Features

NUM_EXAMPLES: Mapping[str, tuple[Recipe, int]] = {
    "stage1": (RECOGNITION, 20000),
    "stage2": (EXPLANATION, 10000),
}
MOST_FACES_OF_A_LABEL = 1400
MOST_DEV_FACES_OF_A_LABEL = 150
MOST_WORDS = 25
"""Longer training utterances are left out: one of them makes a whole batch long."""
MADE_BY = "make_mini_data"


def main() -> None:
    """Read the arguments, encode, put together, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument("--encoders", type=Path, required=True, help="folder with encoders/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("found no data folder; give --data DIR or set EMOTION_LLAMA_DATA")
    place = Place(Path(arguments.data), arguments.encoders, arguments.encoders / "cache")
    out: Path = arguments.out
    items = read_items(place, "train", out / "items", arguments.workers)
    dev = read_items(place, "dev", out / "items", arguments.workers)
    rules = load_rules("merr")
    num_clues = {role: len(names) for role, names in clue_vocabulary().items()}
    frequencies: dict[ClueKind, dict[str, int]] = {"facial": face_frequencies(place.data_dir)}
    pool = ExamplePool(items, scene_items(place), num_clues, rules, frequencies)
    # examples are named by their number: features of an earlier run would be taken for these
    shutil.rmtree(out / "features", ignore_errors=True)
    with FeatureWriter(out / "features", dtype=torch.float16) as store:
        for name, (recipe, count) in NUM_EXAMPLES.items():
            rows = made_rows(name, pool, recipe, count, arguments.seed, store)
            write_table(out / f"{name}.jsonl", rows)
        for source in sorted({item.source for kind in dev.values() for item in kind}):
            own = [item for kind in dev.values() for item in kind if item.source == source]
            write_table(out / f"dev_{source}.jsonl", dev_rows(source, own, store))


def read_items(place: Place, split: str, cache: Path, workers: int) -> dict[ClueKind, list[Item]]:
    """Give the items of a split by kind."""
    is_train = split == "train"
    most = MOST_FACES_OF_A_LABEL if is_train else MOST_DEV_FACES_OF_A_LABEL
    return {
        "facial": encoded(face_pieces(place, split, most), place, cache, workers),
        "voice": encoded(voice_pieces(place.data_dir, split), place, cache, workers),
        "words": word_items(
            place.data_dir, split, ("meld", "goemotions"), MOST_WORDS if is_train else 1000
        ),
    }


def made_rows(
    name: str, pool: ExamplePool, recipe: Recipe, count: int, seed: int, store: FeatureWriter
) -> Iterator[dict[str, Any]]:
    """Draw examples, store their features and give their rows."""
    rng = random.Random(f"{name} {seed}")
    for number in track(range(count), name):
        example = pool.draw(recipe, rng)
        clip_id = f"{name}/{number:06d}"
        put(store, clip_id, example.features)
        yield {
            "clip_id": clip_id,
            "label": example.label,
            "text": example.text,
            "caption": example.caption,
            "source": "+".join(example.sources),
            "split": "train",
        }


def dev_rows(source: str, items: Iterable[Item], store: FeatureWriter) -> Iterator[dict[str, Any]]:
    """Store the features of development items as they are and give their rows."""
    for number, item in enumerate(items):
        clip_id = f"dev/{source}/{number:05d}"
        put(store, clip_id, item.features)
        yield {
            "clip_id": clip_id,
            "label": item.label,
            "text": item.text,
            "speaker": item.person,
            "source": source,
            "split": "dev",
        }


def put(store: FeatureWriter, clip_id: str, features: Features) -> None:
    """Store the features of one example; what is not there is stated."""
    sha256 = hashlib.sha256(clip_id.encode()).hexdigest()
    media = Media(clip_id, clip_id, sha256, 0)
    for role in ENCODER_ROLES:
        encoder = EncoderIdentity(role, MADE_BY, "1", "", "")
        tensors = tensors_of(features, role)
        if tensors:
            store.add(media, encoder, tensors)
        else:
            store.add_missing(media, encoder, f"the example has no {role} feature")


def tensors_of(features: Features, role: str) -> dict[str, torch.Tensor]:
    """Give the tensors of a role under the store's names; none where there is no feature."""
    if role == "global":
        if features.patches is None or features.class_token is None:
            return {}
        return {"patches": features.patches, "class_token": features.class_token}
    embedding = getattr(features, role)
    return {} if embedding is None else {"embedding": embedding}


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    new.replace(path)


if __name__ == "__main__":
    main()
