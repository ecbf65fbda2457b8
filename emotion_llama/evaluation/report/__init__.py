"""Folder of a run -> one HTML page that shows figures, baselines, limits and wrong answers."""

from emotion_llama.evaluation.report.answers import KEY_FRAMES, key_frame_name
from emotion_llama.evaluation.report.html import REPORT_FILE, write_report

__all__ = ["KEY_FRAMES", "REPORT_FILE", "key_frame_name", "write_report"]
