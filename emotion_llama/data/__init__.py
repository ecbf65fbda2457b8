"""Annotations and features -> what training draws: examples, their features, batches."""

from emotion_llama.data.annotations import (
    Reading,
    read_examples,
    read_source,
    require_disjoint_people,
    require_offered,
)
from emotion_llama.data.dataset import (
    Collator,
    Draw,
    DrawSource,
    ExampleDraws,
    as_instruction,
)
from emotion_llama.data.examples import Example
from emotion_llama.data.features import (
    FeatureSource,
    NoFeaturesError,
    OpenedFeatures,
    open_features,
)

__all__ = [
    "Collator",
    "Draw",
    "DrawSource",
    "Example",
    "ExampleDraws",
    "FeatureSource",
    "NoFeaturesError",
    "OpenedFeatures",
    "Reading",
    "as_instruction",
    "open_features",
    "read_examples",
    "read_source",
    "require_disjoint_people",
    "require_offered",
]
