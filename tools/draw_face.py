"""Draw what the face command writes for a clip into one picture for the README.

    python tools/draw_face.py CLIP OUT.jpg

The first and the peak frame of the overlay stand beside the plot, as the command writes them:
nothing in them can be set by hand.
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from emotion_llama.clip_faces import look_at, report_on
from emotion_llama.face import NetworkDetector
from emotion_llama.face_report import write_overlay, write_plot
from emotion_llama.media import stream_frames

HEIGHT_PX, GAP_PX = 900, 12
QUALITY = 85


def main() -> None:
    """Measure the face of the clip on the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    draw(arguments.clip).save(arguments.out, quality=QUALITY, optimize=True)


def draw(clip: Path) -> Image.Image:
    """Put two frames of the overlay and the plot beside one another."""
    report = report_on(look_at(clip, NetworkDetector()))
    if report.peak is None:
        msg = f"found no peak in {clip}, expected a face that can be measured; choose another clip"
        raise ValueError(msg)
    with tempfile.TemporaryDirectory() as folder:
        overlay, plot_path = Path(folder, "overlay.mp4"), Path(folder, "plot.png")
        write_overlay(report, overlay)
        write_plot(report, plot_path)
        frames = [frame for _, frame in stream_frames(overlay)]
        with Image.open(plot_path) as plot:
            right = scaled(plot.convert("RGB"), HEIGHT_PX)
    height = (HEIGHT_PX - GAP_PX) // 2
    left = [scaled(Image.fromarray(frames[i]), height) for i in (0, report.peak.frame)]
    drawn = Image.new("RGB", (left[0].width + GAP_PX + right.width, HEIGHT_PX), "white")
    for row, frame in enumerate(left):
        drawn.paste(frame, (0, row * (height + GAP_PX)))
    drawn.paste(right, (left[0].width + GAP_PX, 0))
    return drawn


def scaled(picture: Image.Image, height: int) -> Image.Image:
    """Give a picture another height."""
    size = (round(picture.width * height / picture.height), height)
    return picture.resize(size, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
