"""Cut the portraits in ``tests/face/portraits`` from the photographs that two packages carry.

Run: ``python tools/make_portraits.py --collins astronaut.png --hopper grace_hopper.jpg``.
Knows: which part of each photograph is kept. Does not know: landmarks, the package.
"""

import argparse
from pathlib import Path

from PIL import Image

SIZE_PX = 400
JPEG_QUALITY = 92

VIEWS = {
    "collins": (64.0, 0.0, 320.0),
    "hopper": (0.0, 0.0, 512.0),
}
"""Portrait -> left, top and side of the square that is kept, in pixels of the photograph."""


def cut(photograph: Image.Image, view: tuple[float, float, float]) -> Image.Image:
    """Give the square part of a photograph, SIZE_PX wide, without its metadata."""
    left, top, side = view
    right, bottom = left + side, top + side
    if left < 0 or top < 0 or right > photograph.width or bottom > photograph.height:
        msg = (
            f"found a photograph of {photograph.width} x {photograph.height} pixels, too small for "
            f"the part from ({left:g}, {top:g}) to ({right:g}, {bottom:g}); give the file that "
            "tests/face/portraits/README.md names"
        )
        raise SystemExit(msg)
    box = (left, top, right, bottom)
    return photograph.convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS, box)


def main() -> None:
    """Write one JPEG file per photograph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in VIEWS:
        parser.add_argument(f"--{name}", type=Path, required=True, help="path of the photograph")
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--output", type=Path, default=root / "tests" / "face" / "portraits")
    arguments = parser.parse_args()
    for name, view in VIEWS.items():
        path = arguments.output / f"{name}.jpg"
        with Image.open(getattr(arguments, name)) as photograph:
            cut(photograph, view).save(path, quality=JPEG_QUALITY, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
