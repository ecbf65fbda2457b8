"""The command line: emotion-llama predict | extract | face | convert | export | doctor.

One file for each command. Nothing here imports torch when it is loaded: --help answers at once.
"""

from emotion_llama.cli.program import app, main

__all__ = ["app", "main"]
