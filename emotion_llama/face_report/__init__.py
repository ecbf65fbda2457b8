"""A clip's faces as the command line reports them: in words, as a plot, drawn on the frames."""

from emotion_llama.face_report.overlay import require_overlay_name, write_overlay
from emotion_llama.face_report.plot import require_matplotlib, require_plot_name, write_plot
from emotion_llama.face_report.summary import faceless, summary

__all__ = [
    "faceless",
    "require_matplotlib",
    "require_overlay_name",
    "require_plot_name",
    "summary",
    "write_overlay",
    "write_plot",
]
