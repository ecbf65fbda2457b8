"""Draw the answer for a clip, as the terminal shows it, into an SVG file for the README.

    python tools/draw_answer.py CLIP OUT.svg [--text TEXT|FILE] [--preset NAME]

The picture is of a real answer: nothing in it can be set by hand.
"""

import argparse
import io
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from emotion_llama import terminal
from emotion_llama.cli.predict import transcript_source
from emotion_llama.media import read_transcript
from emotion_llama.predict import Predictor

COLUMNS = 92


def main() -> None:
    """Answer for the clip on the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--text", help="a sentence or a transcript file")
    parser.add_argument("--preset", default="mini")
    arguments = parser.parse_args()
    source = transcript_source(arguments.text)
    spoken = None if source is None else read_transcript(source, arguments.clip.stem)
    prediction = Predictor.from_pretrained(arguments.preset)(arguments.clip, text=spoken)
    words = f" --text {arguments.text}" if arguments.text else ""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    console.print(f"$ emotion-llama predict {arguments.clip}{words}", markup=False)
    console.print(terminal.answer(prediction))
    console.save_svg(str(arguments.out), title="emotion-llama", theme=MONOKAI)


if __name__ == "__main__":
    main()
