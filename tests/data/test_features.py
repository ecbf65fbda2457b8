"""Where features come from: stores, published folders, encoders; and what is lacking."""

import hashlib
import logging
import pickle
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from emotion_llama.config import SourceConfig
from emotion_llama.data import NoFeaturesError, features, open_features
from emotion_llama.feature_store import EncoderIdentity, FeatureWriter, Media
from emotion_llama.records import Features

AUDIO = EncoderIdentity("audio", "some", "1", "", "")
KEY_FRAME = EncoderIdentity("key_frame", "some", "1", "", "")


class Encoder:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.read: list[Path] = []
        self.pictures: list[Any] = []

    def file(self, path: Path) -> Features:
        self.read.append(path)
        return Features(
            patches=torch.full((8, 6), 2.0), class_token=torch.ones(6), audio=torch.zeros(3)
        )

    def picture(self, picture: Any) -> Features:
        self.pictures.append(picture)
        return Features(patches=torch.full((8, 6), 3.0), class_token=torch.ones(6))


def png(level: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.full((4, 4, 3), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def make_store(folder: Path, *clip_ids: str, key_frames: str | None = None) -> Path:
    """Store an audio feature of each clip; ``key_frames``: a picture each, or why there is none."""
    with FeatureWriter(folder) as writer:
        for number, clip_id in enumerate(clip_ids):
            digest = hashlib.sha256(clip_id.encode()).hexdigest()
            media = Media(clip_id, clip_id, digest, 1)
            writer.add(media, AUDIO, {"embedding": torch.full((3,), float(number))})
            if key_frames == "picture":
                writer.add_key_frame(media, KEY_FRAME, png(100 + number), 0.5)
            elif key_frames is not None:
                writer.add_missing(media, KEY_FRAME, key_frames)
    return folder


def make_source(folder: Path, *paths: str, **settings: Any) -> SourceConfig:
    table = folder / "my.csv"
    table.write_text("path,label\n" + "".join(f"{path},sad\n" for path in paths), "utf-8")
    return SourceConfig(kind="table", path=str(table), **settings)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_stored_features_are_found_under_other_names(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", "anna/1.wav", "ben/1.wav")
    source = make_source(tmp_path, "clips/ben/1.wav", "2.wav", features=str(store))
    opened = open_features(source, None)
    found = opened.features("clips/ben/1.wav").audio
    assert found is not None
    assert found.tolist() == [1, 1, 1]
    assert opened.lacking(["clips/ben/1.wav", "2.wav", "2.wav"]) == ("2.wav",)


def test_a_clip_without_features_is_named(tmp_path: Path) -> None:
    source = make_source(tmp_path, "2.wav", features=str(make_store(tmp_path / "s", "1.wav")))
    with pytest.raises(NoFeaturesError) as caught:
        open_features(source, None).features("2.wav")
    assert str(caught.value).endswith(
        "holds no features of clip '2.wav'; extract them with `emotion-llama extract`, or leave "
        "the clip out of the annotations"
    )
    assert isinstance(caught.value, KeyError)


def test_two_clips_do_not_share_features(tmp_path: Path) -> None:
    source = make_source(
        tmp_path, "a/1.wav", "b/1.wav", features=str(make_store(tmp_path / "s", "1.wav"))
    )
    with pytest.raises(ValueError, match=r"'a/1.wav' and 'b/1.wav' would both be '1.wav'"):
        open_features(source, None).lacking(["a/1.wav", "b/1.wav"])


def test_the_stored_key_frame_is_encoded_once(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", "1.mp4", "2.mp4", key_frames="picture")
    encoder = Encoder()
    opened = open_features(
        make_source(tmp_path, "1.mp4", "2.mp4", features=str(store)),
        None,
        encode_picture=encoder.picture,
    )
    for _ in range(2):
        found = opened.features("2.mp4")
        assert found.present == ("global", "audio")
        assert found.patches is not None
        assert "global" not in found.missing
    assert len(encoder.pictures) == 1
    assert encoder.pictures[0].shape == (4, 4, 3)
    assert encoder.pictures[0].max() == 101


def test_a_clip_without_picture_is_not_read_again(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", "1.wav", key_frames="the clip has no picture")
    touch(tmp_path / "1.wav")
    encoder = Encoder()
    source = make_source(tmp_path, "1.wav", features=str(store), media=str(tmp_path))
    found = open_features(source, encoder.file, encode_picture=encoder.picture).features("1.wav")
    assert found.missing["global"] == "the clip has no picture"
    assert encoder.read == []


def test_what_is_stored_is_not_encoded_again(tmp_path: Path) -> None:
    picture = EncoderIdentity("global", "some", "1", "", "")
    with FeatureWriter(tmp_path / "s") as writer:
        values = {"patches": torch.zeros(8, 6), "class_token": torch.zeros(6)}
        writer.add(Media("1.mp4", "1.mp4", "0" * 64, 1), picture, values)
    touch(tmp_path / "1.mp4")
    encoder = Encoder()
    source = make_source(tmp_path, "1.mp4", features=str(tmp_path / "s"), media=str(tmp_path))
    assert open_features(source, encoder.file).features("1.mp4").present == ("global",)
    assert encoder.read == []


def test_the_file_gives_the_picture_that_is_not_stored(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", "1.mp4", "2.mp4")
    file = touch(tmp_path / "media" / "deep" / "1.mp4")
    encoder = Encoder()
    source = make_source(
        tmp_path, "1.mp4", "2.mp4", features=str(store), media=str(tmp_path / "media")
    )
    opened = open_features(source, encoder.file)
    found = opened.features("1.mp4")
    assert encoder.read == [file]
    assert found.present == ("global", "audio")
    assert opened.lacking(["1.mp4", "2.mp4"]) == ("2.mp4",)
    with pytest.raises(NoFeaturesError, match=r"holds no file of clip '2.mp4' \(looked for"):
        opened.features("2.mp4")


def test_no_picture_at_all_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(tmp_path / "s", "1.mp4")
    with caplog.at_level(logging.WARNING):
        open_features(make_source(tmp_path, "1.mp4", features=str(store)), None)
    assert "the picture of every clip is missing" in caplog.text


def make_published(folder: Path, names: dict[str, str]) -> Path:
    for value, name in enumerate(names.values()):
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "sample_1.npy", np.full(1024, value, np.float32))
    return folder


def test_the_published_folders(tmp_path: Path) -> None:
    names = {"audio": "HL_23_UTT", "local": "mae_340_23_UTT", "temporal": "maeVideo_399_23_UTT"}
    folder = make_published(tmp_path / "f", names)
    (tmp_path / "list.txt").write_text("sample_1 3 sad\nsample_2 3 sad\n", "utf-8")
    touch(tmp_path / "media" / "test3" / "sample_1.avi")
    source = SourceConfig(
        kind="mer2023",
        path=str(tmp_path / "list.txt"),
        features=str(folder),
        media=str(tmp_path / "media"),
    )
    opened = open_features(source, Encoder().file)
    found = opened.features("sample_1")
    assert found.present == ("global", "local", "temporal", "audio")
    assert found.local is not None
    assert found.local[0] == 1, "what is stored is not encoded again"
    assert opened.lacking(["sample_1", "sample_2"]) == ("sample_2",)


def test_a_role_without_folder_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_published(tmp_path / "f", {"audio": "HL-UTT"})
    source = make_source(tmp_path, "sample_1.avi", features=str(folder))
    with caplog.at_level(logging.WARNING):
        assert open_features(source, None).features("sample_1.avi").present == ("audio",)
    assert "no folder of local features" in caplog.text


def test_folders_that_cannot_be_told_apart(tmp_path: Path) -> None:
    folder = make_published(tmp_path / "f", {"audio": "HL-UTT", "local": "HL_23_UTT"})
    with pytest.raises(ValueError, match="HL-UTT and HL_23_UTT for one role, expected one"):
        open_features(make_source(tmp_path, "1.avi", features=str(folder)), None)


def test_no_features_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds neither a feature store .* nor published"):
        open_features(make_source(tmp_path, "1.avi", features=str(tmp_path)), None)


def test_files_beside_their_table_are_encoded_once(tmp_path: Path) -> None:
    file = touch(tmp_path / "a" / "1.mp4")
    encoder = Encoder()
    opened = open_features(make_source(tmp_path, "a/1.mp4", "2.mp4"), encoder.file)
    assert opened.features("a/1.mp4") == opened.features("a/1.mp4")
    assert encoder.read == [file]
    assert opened.lacking(["a/1.mp4", "2.mp4"]) == ("2.mp4",)


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("1.mp4", "2.mp4"):
        touch(tmp_path / name)
    encoder = Encoder()
    one = 4 * (8 * 6 + 6 + 3)
    monkeypatch.setattr(features, "MAX_KEPT_BYTES", one)
    opened = open_features(make_source(tmp_path, "1.mp4", "2.mp4"), encoder.file)
    for name in ("1.mp4", "1.mp4", "2.mp4", "1.mp4"):
        opened.features(name)
    assert [path.name for path in encoder.read] == ["1.mp4", "2.mp4", "1.mp4"]


def test_words_alone_need_neither_file_nor_store(tmp_path: Path) -> None:
    table = tmp_path / "words.csv"
    table.write_text("clip_id,label,text\nw1,sad,Oh no.\n", "utf-8")
    opened = open_features(SourceConfig(kind="table", path=str(table)), None)
    assert opened.features("w1").present == ()
    assert opened.features("w1").missing["audio"].startswith("the annotations have words only")
    assert opened.lacking(["w1"]) == ()


def test_nothing_that_gives_features(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names no features, and nothing encodes its clips; set"):
        open_features(make_source(tmp_path, "1.wav"), None)


def test_lists_need_a_folder_of_media(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("sample_1 3 sad\n", "utf-8")
    source = SourceConfig(kind="mer2023", path=str(tmp_path / "list.txt"))
    with pytest.raises(NoFeaturesError, match="'sample_1' has no file to encode: set media to"):
        open_features(source, Encoder().file).features("sample_1")


def test_worker_processes_can_be_sent_it(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", "1.wav")
    opened = open_features(make_source(tmp_path, "1.wav", features=str(store)), Encoder().file)
    sent = pickle.loads(pickle.dumps(opened))
    here, there = opened.features("1.wav"), sent.features("1.wav")
    assert torch.equal(here.audio, there.audio)
    assert replace(here, audio=None) == replace(there, audio=None)
