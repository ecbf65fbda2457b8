"""File -> one upright RGB picture, for still images.

Knows: picture formats, EXIF orientation, transparency. Does not know: films, sound, faces.
"""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from emotion_llama.config import MediaConfig
from emotion_llama.media.container import require_file
from emotion_llama.media.error import MediaError
from emotion_llama.media.video import PictureReading, display_size

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Pillow formats that are opened as pictures; everything else goes to the film reader."""

FILM_FORMATS = ("GIF", "PNG")
"""Formats whose animated files the film reader decodes."""

HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
"""Major brands of HEIF pictures (ISO/IEC 23008-12), whose tiles a film reader takes for films."""


def read_still(path: Path, spec: MediaConfig) -> PictureReading | None:
    """Read a still picture; ``None`` when the file is no still picture.

    Raises:
        MediaError: a picture that is damaged, too large or of a format that is not supported
    """
    require_file(path)
    formats = [name for name in FORMATS if name in available_formats()]
    try:
        with (
            warnings.catch_warnings(record=True, action="always") as noted,
            Image.open(path, formats=formats) as image,
        ):
            num_frames = getattr(image, "n_frames", 1)
            if num_frames > 1 and image.format in FILM_FORMATS:
                return None
            is_animated = num_frames > 1 and image.format == "WEBP"
            picture = _shrunk(_upright_rgb(image), spec.max_frame_px)  # [h x w x 3]
    except UnidentifiedImageError:
        refuse_heif(path)
        return None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise MediaError(
            path,
            found=f"a picture that does not decode ({error})",
            expected="a whole picture of ordinary size",
            next_step="copy or export it again",
        ) from error
    remarks = [f"animated picture: used the first of {num_frames} frames"] if is_animated else []
    remarks += sorted({f"the picture is damaged or unusual: {note.message}" for note in noted})
    return PictureReading(
        frames=picture[None],  # [1 x h x w x 3]
        times_s=np.zeros(1),
        key_frame=picture,
        key_frame_s=0.0,
        warnings=tuple(remarks),
    )


def available_formats() -> set[str]:
    """Name the formats that Pillow can open here."""
    Image.init()
    return set(Image.OPEN)


def refuse_heif(path: Path) -> None:
    """Refuse a HEIF picture, whose tiles a film reader takes for films.

    Raises:
        MediaError: it is one
    """
    with path.open("rb") as stream:
        head = stream.read(12)
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        raise MediaError(
            path,
            found="a HEIF picture",
            expected="a JPEG, PNG, WebP, AVIF, BMP, GIF, TIFF or PNM picture, or a film",
            next_step="export it as JPEG",
        )


def _upright_rgb(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation and give RGB; what is transparent is seen on white."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        # 16-bit grey, in 16 or 32 bits per pixel: a plain conversion would clip at 255
        levels = np.clip(np.asarray(upright) >> 8, 0, 255).astype(np.uint8)
        upright = Image.fromarray(levels)
    if upright.has_transparency_data:
        seen = Image.new("RGBA", upright.size, "white")
        seen.alpha_composite(upright.convert("RGBA"))
        upright = seen
    return upright.convert("RGB")


def _shrunk(image: Image.Image, max_frame_px: int) -> NDArray[np.uint8]:
    height, width = display_size(image.height, image.width, max_frame_px)
    if (height, width) != (image.height, image.width):
        image = image.resize((width, height), Image.Resampling.BOX)
    return np.array(image, dtype=np.uint8)
