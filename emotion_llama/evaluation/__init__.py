"""How good answers are: pure functions over labels and probabilities."""

from emotion_llama.evaluation.metrics import (
    Calibration,
    Confusion,
    Interval,
    LabelFigures,
    answered_share,
    bootstrap,
    calibration,
    confusion,
    label_figures,
    label_intervals,
    perfect_calibration_error,
    top_k_accuracy,
)

__all__ = [
    "Calibration",
    "Confusion",
    "Interval",
    "LabelFigures",
    "answered_share",
    "bootstrap",
    "calibration",
    "confusion",
    "label_figures",
    "label_intervals",
    "perfect_calibration_error",
    "top_k_accuracy",
]
