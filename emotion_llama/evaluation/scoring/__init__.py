"""The answers of a run -> its figures, as plain values for ``metrics.json``."""

from emotion_llama.evaluation.scoring.compared import compare
from emotion_llama.evaluation.scoring.labels import score_labels, with_reasons
from emotion_llama.evaluation.scoring.table import FIGURES, Section, Table, figure
from emotion_llama.evaluation.scoring.texts import (
    score_hits,
    score_reasons,
    score_sentiment,
    score_words,
)
from emotion_llama.evaluation.scoring.variants import score_noise, score_subsets, score_variants

__all__ = [
    "FIGURES",
    "Section",
    "Table",
    "compare",
    "figure",
    "score_hits",
    "score_labels",
    "score_noise",
    "score_reasons",
    "score_sentiment",
    "score_subsets",
    "score_variants",
    "score_words",
    "with_reasons",
]
