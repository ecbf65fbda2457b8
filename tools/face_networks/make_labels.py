"""Label face pictures with a strong existing landmarker: 478 points a face, for training only.

Runs in an environment of its own (``pip install mediapipe==0.10.21 pillow``), because mediapipe's
pins contradict the package's; nothing of it is needed at run time. Knows: the picture archives of
docs/data.md and mediapipe's face mesh. Does not know: what the points are used for.
"""

import argparse
import io
from pathlib import Path

import mediapipe as mp  # type: ignore[import-not-found]
import numpy as np
from numpy.typing import NDArray
from PIL import Image

WORK_PX = 240
"""Side that small faces are enlarged to: the mesh network sees 192 px of a face."""
MARGIN = 0.25
"""Share of the side that is added around a tight crop, edge pixels repeated: the mesh's detector
expects some head around the face."""

SETS = {"ferplus": "webp", "lfw_emotion": "jpg"}


def enlarged(picture: Image.Image) -> tuple[NDArray[np.uint8], float, int]:
    """Give RGB pixels with a margin, the factor of enlargement, and the margin in pixels."""
    factor = WORK_PX / max(picture.size)
    size = tuple(max(1, round(side * factor)) for side in picture.size)
    pixels = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    margin = round(MARGIN * WORK_PX)
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded), factor, margin


def main() -> None:
    """Write points [n x 478 x 3] in pixels of each picture, and its row in the archive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of docs/data.md")
    parser.add_argument("--set", choices=SETS, required=True)
    parser.add_argument("--splits", nargs="+", default=["train", "valid", "dev"])
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    with np.load(options.data / "faces" / f"{options.set}.npz", allow_pickle=False) as file:
        data, offsets, splits = file[SETS[options.set]], file["offset"], file["split"]
    rows = np.flatnonzero(np.isin(splits, options.splits))
    mesher = mp.solutions.face_mesh.FaceMesh(
        static_image_mode=True,
        max_num_faces=1,
        refine_landmarks=True,
        min_detection_confidence=0.3,
    )
    kept, points = [], []
    for count, row in enumerate(rows):
        picture = Image.open(io.BytesIO(data[offsets[row] : offsets[row + 1]].tobytes()))
        pixels, factor, margin = enlarged(picture)
        found = mesher.process(pixels).multi_face_landmarks
        if found:
            height, width = pixels.shape[:2]
            mesh = np.array([(p.x * width, p.y * height, p.z * width) for p in found[0].landmark])
            mesh[:, :2] -= margin
            kept.append(row)
            points.append((mesh / factor).astype(np.float32))
        if count % 2000 == 0:
            print(f"{count}/{len(rows)} looked at, {len(kept)} faces", flush=True)
    np.savez(options.output, row=np.array(kept), points=np.stack(points))
    print(f"{options.output}: {len(kept)} faces of {len(rows)} pictures")


if __name__ == "__main__":
    main()
