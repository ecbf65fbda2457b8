"""The published layout: what is read, what is refused, and the way there and back."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from emotion_llama.feature_store.published_layout import (
    PUBLISHED_NAMES,
    PublishedFeatures,
    export_published,
    file_stem,
)
from emotion_llama.feature_store.reader import FeatureStore
from emotion_llama.feature_store.stored_feature import EncoderIdentity, Media
from emotion_llama.feature_store.writer import FeatureWriter
from emotion_llama.records import EncoderRole


def vector(number: int, width: int = 1024) -> np.ndarray:
    return np.random.default_rng(number).standard_normal(width).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One clip in the three published folders, in both shapes."""
    for number, name in enumerate(PUBLISHED_NAMES.values()):
        (tmp_path / name).mkdir()
        array = vector(number) if number else vector(number)[None]
        np.save(tmp_path / name / "sample_00000001.npy", array)
    return tmp_path


def store(folder: Path, *clip_ids: str, width: int = 1024) -> FeatureStore:
    """A store with audio and local features of some clips, and no face in the last one."""
    with FeatureWriter(folder, dtype=torch.float16) as writer:
        for number, clip_id in enumerate(clip_ids):
            digest = hashlib.sha256(clip_id.encode()).hexdigest()
            media = Media(clip_id, clip_id, digest, 1)
            roles: tuple[EncoderRole, ...] = ("audio", "local")
            for role in roles:
                encoder = EncoderIdentity(role, "some", "1", "", "")
                if role == "local" and clip_id == clip_ids[-1]:
                    writer.add_missing(media, encoder, "no face was found")
                else:
                    value = torch.from_numpy(vector(number, width))
                    writer.add(media, encoder, {"embedding": value})
    return FeatureStore(folder)


def test_both_shapes_are_read_as_one(folder: Path) -> None:
    published = PublishedFeatures(folder)
    assert published.clip_ids() == ("sample_00000001",)
    assert len(published) == 1
    features = published.clip("train/sample_00000001.avi")
    for number, role in enumerate(PUBLISHED_NAMES):
        value = getattr(features, role)
        assert value.dtype == torch.float32
        assert torch.equal(value, torch.from_numpy(vector(number)))
    assert features.present == ("local", "temporal", "audio")
    assert "no folder of global features" in features.missing["global"]


def test_a_missing_file_is_named(folder: Path) -> None:
    path = folder / "mae_340_UTT" / "sample_00000001.npy"
    path.unlink()
    features = PublishedFeatures(folder).clip("sample_00000001")
    assert features.local is None
    assert features.missing["local"] == f"there is no file {path}"


def test_every_name_that_is_listed_can_be_read(folder: Path) -> None:
    path = folder / "HL-UTT" / "sample_00000001.npy"
    path.rename(path.with_name("sample.avi.npy"))
    published = PublishedFeatures(folder)
    assert published.clip_ids() == ("sample.avi", "sample_00000001")
    assert published.clip("sample.avi").present == ("audio",)


def test_folders_have_the_names_that_are_given(folder: Path) -> None:
    (folder / "HL-UTT").rename(folder / "HL_23_UTT")
    with pytest.raises(FileNotFoundError, match=r"HL-UTT is not there.*give its name in names"):
        PublishedFeatures(folder)
    published = PublishedFeatures(folder, names={"audio": "HL_23_UTT"})
    assert published.clip("sample_00000001").present == ("audio",)
    with pytest.raises(ValueError, match="no global features"):
        PublishedFeatures(folder, names={"global": "HL_23_UTT"})


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 1024), np.float32), r"shape \[2, 1024\].*expected.*\[1024\] or \[1, 1024\]"),
        (np.zeros(768, np.float32), r"shape \[768\]"),
        (np.zeros((1024, 1), np.float32), r"shape \[1024, 1\]"),
        (np.zeros(1024, np.int64), "type int64"),
        (np.full(1024, np.nan), "not finite"),
        (np.array([{}]), "cannot be read"),
    ],
)
def test_another_shape_is_refused_by_name(folder: Path, array: np.ndarray, message: str) -> None:
    np.save(folder / "HL-UTT" / "sample_00000001.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=f"sample_00000001.npy.*{message}"):
        PublishedFeatures(folder).clip("sample_00000001")


def test_a_torn_file_is_refused_by_name(folder: Path) -> None:
    path = folder / "HL-UTT" / "sample_00000001.npy"
    for size in (0, 40, 300):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(ValueError, match=r"sample_00000001.npy cannot be read"):
            PublishedFeatures(folder).clip("sample_00000001")


def test_one_file_is_not_given_to_two_clips(folder: Path) -> None:
    published = PublishedFeatures(folder)
    published.clip("train/sample_00000001.mp4")
    published.clip("train/sample_00000001.avi")
    published.clip("sample_00000001")
    with pytest.raises(ValueError, match=r"'train/sample_00000001.mp4' and 'test/sample_00000001"):
        published.clip("test/sample_00000001.mp4")


def test_what_is_exported_reads_back(tmp_path: Path) -> None:
    source = store(tmp_path / "store", "a/x.mp4", "a/y.take.01.mp4", "a/z.mp4")
    names: dict[EncoderRole, str] = {"audio": "HL-UTT", "local": "mae_340_UTT"}
    out = tmp_path / "out"
    assert export_published(source, out, names) == {"audio": 3, "local": 2}
    array = np.load(out / "HL-UTT" / "y.take.01.npy")
    assert (array.shape, array.dtype) == ((1024,), np.float32)
    published = PublishedFeatures(out, names)
    assert published.clip_ids() == ("x", "y.take.01", "z")
    for clip_id in source.clip_ids():
        stored, read = source.clip(clip_id), published.clip(clip_id)
        assert torch.equal(read.audio, stored.audio.float())
        assert (read.local is None) == (stored.local is None)
    again = tmp_path / "again"
    export_published(published, again, names)
    for path in out.rglob("*.npy"):
        assert (again / path.relative_to(out)).read_bytes() == path.read_bytes()


def test_files_are_replaced_only_when_that_is_wanted(tmp_path: Path) -> None:
    source = store(tmp_path / "store", "x.mp4", "y.mp4")
    names: dict[EncoderRole, str] = {"audio": "HL-UTT"}
    present = tmp_path / "out" / "HL-UTT" / "y.npy"
    present.parent.mkdir(parents=True)
    present.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"y.npy exists"):
        export_published(source, tmp_path / "out", names)
    assert [path.name for path in present.parent.iterdir()] == ["y.npy"]
    assert present.read_bytes() == b"mine"
    export_published(source, tmp_path / "out", names, overwrite=True)
    assert np.load(present).shape == (1024,)


def test_clips_that_would_share_a_file_are_both_named(tmp_path: Path) -> None:
    source = store(tmp_path / "store", "a/x.mp4", "b/x.avi")
    with pytest.raises(ValueError, match=r"'a/x.mp4' and 'b/x.avi' would share the file x.npy"):
        export_published(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_width_has_to_be_asked_for(tmp_path: Path) -> None:
    source = store(tmp_path / "store", "x.mp4", width=8)
    names: dict[EncoderRole, str] = {"audio": "sound"}
    with pytest.raises(ValueError, match=r"audio feature of clip 'x.mp4' has shape \[8\]"):
        export_published(source, tmp_path / "out", names)
    export_published(source, tmp_path / "out", names, width=8)
    features = PublishedFeatures(tmp_path / "out", names, width=8).clip("x")
    assert torch.equal(features.audio, source.clip("x.mp4").audio.float())


@pytest.mark.parametrize(
    ("clip_id", "stem"),
    [
        ("sample_00000001", "sample_00000001"),
        ("test3/sample_00000001.avi", "sample_00000001"),
        ("x.3gp", "x"),
        ("take.01", "take.01"),
        ("take.01.mp4", "take.01"),
        (".mp4", ".mp4"),
    ],
)
def test_the_file_is_called_after_the_clip(clip_id: str, stem: str) -> None:
    assert file_stem(clip_id) == stem
