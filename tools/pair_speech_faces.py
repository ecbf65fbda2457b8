"""Join recordings of speech with photographs of the same expression: clips to try `build` on.

Voice and face are of different people who were given the same label, so the clips show whether a
data set can be built, not how people are. No file of a test split is used.

    python tools/pair_speech_faces.py --data DIR --out CLIPS
    emotion-llama build CLIPS/clips.csv --labels CLIPS/labels.csv --out DATASET --keep all
"""

import argparse
import csv
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from emotion_llama.media import FilmWriter
from emotion_llama.merr.draw import draw_number

CANVAS_PX = 384
"""Side of the picture; the photograph is put in its middle on grey, because it is cut close."""
FACE_PX = 256
GREY = 128
TERMS = "research-only"
"""Terms of the pairs: LFW's photographs are of third parties."""

Row = Mapping[str, str]


def main() -> None:
    """Write the clips, their manifest and their labels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=500)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the data folder with --data or EMOTION_LLAMA_DATA")
    pairs = choose_pairs(read_rows(arguments.data), arguments.number)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with ZipFile(arguments.data / "faces" / "lfw_full.zip") as photographs:
        names = {Path(name).stem: name for name in photographs.namelist()}
        for speech, face in track(pairs, "writing"):
            picture = canvas(photographs.read(names[photograph(face)]))
            target = arguments.out / clip_name(speech)
            with FilmWriter(target, arguments.data / speech["path"]) as film:
                film.add(picture, 0.0)
    write_tables(arguments.out, [speech for speech, _ in pairs])


def read_rows(data: Path) -> list[Row]:
    """Read the rows of the manifest that no test split holds."""
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in ("train", "dev")]
    with ZipFile(data / "faces" / "lfw_full.zip") as photographs:
        there = {Path(name).stem for name in photographs.namelist()}
    return [
        row
        for row in rows
        if row["modality"] == "audio"
        or (row["dataset"] == "lfw_emotion" and photograph(row) in there)
    ]


def photograph(face: Row) -> str:
    """Name the photograph of a row of LFW, without ending."""
    return Path(face["note"]).stem


def choose_pairs(rows: Sequence[Row], number: int) -> list[tuple[Row, Row]]:
    """Pair recordings and photographs of one label, the labels in turn, each file once."""
    speech: dict[str, list[Row]] = defaultdict(list)
    faces: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: draw_number(row["path"], row["note"])):
        (speech if row["modality"] == "audio" else faces)[row["label"]].append(row)
    labels = sorted(set(speech) & set(faces))
    pairs: list[tuple[Row, Row]] = []
    while len(pairs) < number and labels:
        for label in list(labels):
            if not speech[label] or not faces[label]:
                labels.remove(label)
            elif len(pairs) < number:
                pairs.append((speech[label].pop(), faces[label].pop()))
    return pairs


def canvas(photo: bytes) -> NDArray[np.uint8]:
    """Put a photograph in the middle of a grey picture, RGB [h x w x 3]."""
    face = np.asarray(Image.open(BytesIO(photo)).convert("RGB"))
    scale = FACE_PX / max(face.shape[:2])
    size = (round(face.shape[1] * scale), round(face.shape[0] * scale))
    small = cv2.resize(face, size, interpolation=cv2.INTER_CUBIC)
    picture = np.full((CANVAS_PX, CANVAS_PX, 3), GREY, np.uint8)
    top, left = (CANVAS_PX - size[1]) // 2, (CANVAS_PX - size[0]) // 2
    picture[top : top + size[1], left : left + size[0]] = small
    return picture


def clip_name(speech: Row) -> str:
    """Name the clip of a recording."""
    return f"{speech['dataset']}-{Path(speech['path']).stem}.mp4"


def write_tables(out: Path, speech: Sequence[Row]) -> None:
    """Write what is known of the clips, and their labels."""
    clips, labels = ["path", "text", "speaker", "language", "source", "licence"], ["name", "label"]
    with (out / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(clips)
        for row in speech:
            known = [row["transcript"], row["speaker"], row["language"], row["dataset"], TERMS]
            table.writerow([clip_name(row), *known])
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(labels)
        table.writerows([[clip_name(row), row["label"]] for row in speech])


if __name__ == "__main__":
    main()
