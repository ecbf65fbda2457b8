"""Cut the portraits in ``tests/face/portraits`` from the photographs that three packages carry.

Run: ``python tools/make_portraits.py --barkla Charles_Barkla.jpg --collins astronaut.png --hopper
grace_hopper.jpg``.
Knows: which part of each photograph is kept. Does not know: landmarks, the package.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

SIZE_PX = 400
JPEG_QUALITY = 92

VIEWS = {
    "barkla": (-441.0, 0.0, 3684.0),
    "collins": (64.0, 0.0, 320.0),
    "hopper": (0.0, 0.0, 512.0),
}
"""Portrait -> left, top and side of the square that is kept, in pixels of the photograph."""
SIZES = {"barkla": (2802, 3684), "collins": (512, 512), "hopper": (512, 600)}
"""Portrait -> width and height of the photograph in pixels."""


def cut(photograph: Image.Image, name: str) -> Image.Image:
    """Give the square part of a photograph, SIZE_PX wide, without its metadata.

    Where the part leaves the photograph, its edge pixels are repeated.
    """
    if photograph.size != SIZES[name]:
        width, height = SIZES[name]
        msg = (
            f"found a photograph of {photograph.width} x {photograph.height} pixels for {name!r}, "
            f"expected {width} x {height}; give the file that tests/face/portraits/README.md names"
        )
        raise SystemExit(msg)
    left, top, side = VIEWS[name]
    margin = max(0, round(-left), round(left + side - photograph.width))
    padded = np.pad(
        np.asarray(photograph.convert("RGB")), ((0, 0), (margin, margin), (0, 0)), mode="edge"
    )
    box = (left + margin, top, left + margin + side, top + side)
    return Image.fromarray(padded).resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS, box)


def main() -> None:
    """Write one JPEG file per photograph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in VIEWS:
        parser.add_argument(f"--{name}", type=Path, required=True, help="path of the photograph")
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--output", type=Path, default=root / "tests" / "face" / "portraits")
    arguments = parser.parse_args()
    for name in VIEWS:
        path = arguments.output / f"{name}.jpg"
        with Image.open(getattr(arguments, name)) as photograph:
            cut(photograph, name).save(path, quality=JPEG_QUALITY, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
