"""Cut the portraits in ``tests/face/portraits`` from the photographs that three packages carry.

Run: ``python tools/make_portraits.py --barkla Charles_Barkla.jpg --collins astronaut.png --hopper
grace_hopper.jpg``.
Knows: which part of each photograph is kept. Does not know: landmarks, the package.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

SIZE_PX = 400
JPEG_QUALITY = 92


class Part(NamedTuple):
    """The square of a photograph that is kept, in its pixels."""

    size: tuple[int, int]
    """width and height of the whole photograph"""
    left: float
    top: float
    side: float


PARTS = {
    "barkla": Part((2802, 3684), left=-441.0, top=0.0, side=3684.0),
    "collins": Part((512, 512), left=64.0, top=0.0, side=320.0),
    "hopper": Part((512, 600), left=0.0, top=0.0, side=512.0),
}


def cut(photograph: Image.Image, name: str) -> Image.Image:
    """Give the square part of a photograph, SIZE_PX wide, without its metadata.

    Where the part leaves the photograph, its edge pixels are repeated.
    """
    part = PARTS[name]
    if photograph.size != part.size:
        width, height = part.size
        msg = (
            f"found a photograph of {photograph.width} x {photograph.height} pixels for {name!r}, "
            f"expected {width} x {height}; give the file that tests/face/portraits/README.md names"
        )
        raise SystemExit(msg)
    margin = max(0, round(-part.left), round(part.left + part.side - photograph.width))
    padded = np.pad(
        np.asarray(photograph.convert("RGB")), ((0, 0), (margin, margin), (0, 0)), mode="edge"
    )
    left = part.left + margin
    box = (left, part.top, left + part.side, part.top + part.side)
    return Image.fromarray(padded).resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS, box)


def main() -> None:
    """Write one JPEG file per photograph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in PARTS:
        parser.add_argument(f"--{name}", type=Path, required=True, help="path of the photograph")
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--output", type=Path, default=root / "tests" / "face" / "portraits")
    arguments = parser.parse_args()
    for name in PARTS:
        path = arguments.output / f"{name}.jpg"
        with Image.open(getattr(arguments, name)) as photograph:
            cut(photograph, name).save(path, quality=JPEG_QUALITY, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
