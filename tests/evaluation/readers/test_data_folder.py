"""The data folder of docs/data.md."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation.readers.published_form import files, read, truths, write
from PIL import Image

HEADER = "path,dataset,modality,label,speaker,language,split,transcript,note\n"
ROWS = (
    "audio/r/1.opus,ravdess,audio,happy,rv21,en,test,Kids are talking,intensity=01;gender=M\n"
    "audio/r/2.opus,ravdess,audio,calm,rv21,en,test,Kids are talking,intensity=01;gender=M\n"
    "audio/r/3.opus,ravdess,audio,happy,rv19,en,dev,Kids are talking,intensity=01;gender=F\n"
    "av/j/1.mp4,javanese,av,sad,,jv,dev,,sentence=01\n"
)
MEDIA = [f"audio/r/{n}.opus" for n in (1, 2, 3)] + ["av/j/1.mp4"]
ORDER = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")


def test_a_set_of_the_manifest(tmp_path: Path) -> None:
    reading = read("data-ravdess", write(tmp_path, {"manifest.csv": HEADER + ROWS}, MEDIA))
    (sample,) = reading.samples
    assert files(reading, tmp_path) == ["audio/r/1.opus"]
    assert sample.groups == {
        "speaker": "rv21",
        "sex": "male",
        "language": "en",
        "source": "ravdess",
    }
    assert sample.transcript is None, "actors say the same words in every emotion"
    assert reading.left_out == {"label calm is not scored": 1}
    (sample,) = read("data-ravdess", tmp_path, split="dev", with_transcript=True).samples
    assert (sample.split, sample.transcript) == ("dev", "Kids are talking")
    assert sample.groups["sex"] == "female"


def test_what_is_not_known_is_no_group(tmp_path: Path) -> None:
    write(tmp_path, {"manifest.csv": HEADER + ROWS}, MEDIA)
    (sample,) = read("data-javanese", tmp_path).samples
    assert sample.groups == {"language": "jv", "source": "javanese"}


def test_a_split_without_rows_tells_which_there_are(tmp_path: Path) -> None:
    write(tmp_path, {"manifest.csv": HEADER + ROWS}, MEDIA)
    with pytest.raises(ValueError, match=r"javanese in the split test, .* it has \{'dev': 1\}"):
        read("data-javanese", tmp_path, split="test")
    with pytest.raises(ValueError, match="urdu .* it has none at all"):
        read("data-urdu", tmp_path)


def test_a_wrong_row_is_named(tmp_path: Path) -> None:
    wrong = "x.opus,ravdess,audio,sad,,en,later,,\n"
    write(tmp_path, {"manifest.csv": HEADER + ROWS + wrong}, MEDIA)
    with pytest.raises(ValueError, match=r"manifest\.csv, row 5, split: .*found 'later'"):
        read("data-ravdess", tmp_path)


def ferplus(folder: Path, **arrays: Any) -> Path:
    """Four faces of one grey each: happy, disgust, unknown; the last is not of the test."""
    pictures = []
    for grey in (10, 90, 170, 250):
        file = io.BytesIO()
        Image.new("L", (48, 48), grey).save(file, format="WEBP", lossless=True)
        pictures.append(np.frombuffer(file.getvalue(), dtype=np.uint8))
    votes = np.zeros((4, 10), dtype=np.uint8)
    votes[0, [1, 2]] = 6, 2
    votes[1, [5, 4]] = 7, 3
    votes[2, 8] = 10
    votes[3, 0] = 10
    values: dict[str, Any] = {
        "webp": np.concatenate(pictures),
        "offset": np.cumsum([0, *map(len, pictures)]),
        "votes": votes,
        "vote_order": np.array([*ORDER, "unknown", "NF"]),
        "split": np.array(["test", "test", "test", "valid"]),
    } | arrays
    (folder / "faces").mkdir(exist_ok=True)
    kept = {name: value for name, value in values.items() if value is not None}
    np.savez(folder / "faces" / "ferplus.npz", **kept)
    return folder


def test_pictures_are_written_and_votes_are_shares(tmp_path: Path) -> None:
    work = tmp_path / "work"
    reading = read("data-ferplus", ferplus(tmp_path), work)
    first, second = reading.samples
    assert truths(reading) == {"ferplus/0": "happy", "ferplus/1": "disgust"}
    assert reading.left_out == {"label unknown is not scored": 1}
    assert first.truth.votes is not None
    assert (first.truth.votes["happy"], first.truth.votes["surprise"]) == (0.75, 0.25)
    assert second.path is not None
    with Image.open(second.path) as picture:
        assert (picture.format, picture.size) == ("PNG", (48, 48))
        assert picture.getpixel((5, 5)) == (90, 90, 90)
    assert sorted(path.name for path in work.rglob("*.*")) == ["0.png", "1.png"]


def test_six_labels_leave_the_other_pictures_out(tmp_path: Path) -> None:
    reading = read("data-ferplus-6", ferplus(tmp_path))
    assert truths(reading) == {"ferplus/0": "happy"}
    assert reading.left_out["label disgust is not scored"] == 1


def test_the_dev_split_is_the_published_valid(tmp_path: Path) -> None:
    reading = read("data-ferplus", ferplus(tmp_path), split="dev")
    assert truths(reading) == {"ferplus/3": "neutral"}


def test_a_lacking_array_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ferplus\.npz: found the arrays .* expected votes too"):
        read("data-ferplus", ferplus(tmp_path, votes=None))
