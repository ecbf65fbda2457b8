"""Find the small faces of the scene photographs, which their table leaves out below 40 px.

Runs in the environment of make_labels.py. A scene counts as free of faces only where this finds
none: without it a detector would be taught that distant people are background.
"""

import argparse
import csv
import io
import zipfile
from pathlib import Path

import mediapipe as mp  # type: ignore[import-not-found]
import numpy as np
from PIL import Image

ENLARGEMENTS = (1, 2, 4)
TILE_PX = 480
LOWEST_SCORE = 0.75
"""Half of what scores less is texture."""


def main() -> None:
    """Write left, top, width, height of every place that may be a face, in pixels of the scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of docs/data.md")
    parser.add_argument("--output", type=Path, required=True, help="scenes.csv")
    options = parser.parse_args()
    searchers = [
        mp.solutions.face_detection.FaceDetection(
            model_selection=selection, min_detection_confidence=0.5
        )
        for selection in (0, 1)
    ]
    rows = []
    with zipfile.ZipFile(options.data / "faces" / "scenes.zip") as archive:
        for name in archive.namelist():
            picture = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            for factor in ENLARGEMENTS:
                large = picture.resize((picture.width * factor, picture.height * factor))
                pixels = np.asarray(large)
                for top in range(0, max(1, large.height - TILE_PX // 2), TILE_PX // 2):
                    for left in range(0, max(1, large.width - TILE_PX // 2), TILE_PX // 2):
                        tile = np.ascontiguousarray(
                            pixels[top : top + TILE_PX, left : left + TILE_PX]
                        )
                        for searcher in searchers:
                            for face in searcher.process(tile).detections or ():
                                if face.score[0] < LOWEST_SCORE:
                                    continue
                                box = face.location_data.relative_bounding_box
                                x, width = box.xmin * tile.shape[1], box.width * tile.shape[1]
                                y, height = box.ymin * tile.shape[0], box.height * tile.shape[0]
                                place = (left + x, top + y, width, height)
                                rows.append([name, *(round(v / factor, 1) for v in place)])
    with options.output.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "x", "y", "width", "height"])
        writer.writerows(rows)
    print(f"{options.output}: {len(rows)} places in {len({row[0] for row in rows})} scenes")


if __name__ == "__main__":
    main()
