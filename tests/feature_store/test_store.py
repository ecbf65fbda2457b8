"""The feature store: what is served, what is a miss, and what survives a killed or full machine."""

import errno
import hashlib
import os
import pickle
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from emotion_llama.feature_store import stored_feature
from emotion_llama.feature_store import writer as feature_writer
from emotion_llama.feature_store.reader import FeatureStore
from emotion_llama.feature_store.stored_feature import (
    AmbiguousFeatureError,
    ChangedWhileReadError,
    DamagedStoreWarning,
    EncoderIdentity,
    FeatureKey,
    Media,
    StoreFullError,
    media_hash,
    settings_hash,
)
from emotion_llama.feature_store.writer import FeatureWriter, compact

AUDIO = EncoderIdentity("audio", "hubert", "1", "w1", settings_hash({"rate": 16000}))
LOCAL = EncoderIdentity("local", "mae", "1", "w2", settings_hash({"frames": 16}))
GLOBAL = EncoderIdentity("global", "eva", "1", "w3", settings_hash({}))
KEY_FRAME = EncoderIdentity("key_frame", "peak", "1", "", settings_hash({"policy": "peak"}))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(50))


def media(name: str, content: str | None = None) -> Media:
    data = (content or name).encode()
    return Media(name, name, hashlib.sha256(data).hexdigest(), len(data))


def embedding(number: int, width: int = 8) -> dict[str, torch.Tensor]:
    return {"embedding": torch.randn(width, generator=torch.Generator().manual_seed(number))}


def key(name: str, encoder: EncoderIdentity = AUDIO) -> FeatureKey:
    return FeatureKey(media(name).sha256, encoder)


def write(folder: Path, numbers: range, shard_rows: int = 3) -> int:
    """Store what is lacking of some clips, as an extraction does; give how many were computed."""
    computed = 0
    with FeatureWriter(folder, shard_rows=shard_rows) as writer:
        for number in numbers:
            if not writer.reuse(media(f"{number}.wav"), AUDIO):
                writer.add(media(f"{number}.wav"), AUDIO, embedding(number))
                computed += 1
    return computed


def check(store: FeatureStore, numbers: range) -> None:
    """Every clip that is served has exactly what was computed for it."""
    names = {f"{number}.wav": number for number in numbers}
    for clip_id in store.clip_ids():
        assert torch.equal(store.clip(clip_id).audio, embedding(names[clip_id])["embedding"])


def open_damaged(folder: Path, match: str) -> FeatureStore:
    with pytest.warns(DamagedStoreWarning, match=match):
        return FeatureStore(folder)


def files(folder: Path, kind: str) -> list[Path]:
    return sorted((folder / kind).iterdir())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_stored_feature_is_what_was_given(tmp_path: Path, dtype: torch.dtype) -> None:
    given = {"patches": torch.randn(4, 6), "class_token": torch.randn(6)}
    with FeatureWriter(tmp_path, dtype=dtype) as writer:
        assert writer.add(
            media("a.mp4"), GLOBAL, given, times_s=[0.5, 1], face_coverage=0.25, approximate=True
        )
        assert writer.add(media("a.mp4"), AUDIO, embedding(1))
    store = FeatureStore(tmp_path)
    stored = store.get(key("a.mp4", GLOBAL))
    assert stored is not None
    for name, tensor in given.items():
        assert stored.tensors[name].dtype == dtype
        assert torch.equal(stored.tensors[name], tensor.to(dtype))
    assert (stored.times_s, stored.face_coverage, stored.approximate) == ((0.5, 1.0), 0.25, True)
    assert (stored.clip_id, stored.key, stored.missing) == ("a.mp4", key("a.mp4", GLOBAL), None)
    features = store.clip("a.mp4")
    assert features.present == ("global", "audio")
    assert torch.equal(features.patches, given["patches"].to(dtype))
    (facts,) = (row["tensors"] for row in store.rows().to_pylist() if row["role"] == "audio")
    assert facts[0]["dtype"] == str(dtype).removeprefix("torch.")
    assert facts[0]["shape"] == [8]


def test_what_a_feature_depends_on_is_its_address(tmp_path: Path) -> None:
    write(tmp_path, range(1))
    store = FeatureStore(tmp_path)
    stored = key("0.wav")
    assert stored in store
    others = [
        replace(stored, media_sha256=media("other").sha256),
        *(
            replace(stored, encoder=replace(AUDIO, **{field: "other"}))
            for field in ("name", "version", "weights_hash", "settings_hash")
        ),
        replace(stored, encoder=replace(AUDIO, role="temporal")),
    ]
    for other in others:
        assert other not in store
        assert store.get(other) is None


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    assert write(tmp_path, range(5)) == 5
    assert write(tmp_path, range(7)) == 2
    assert len(FeatureStore(tmp_path)) == 7
    with FeatureWriter(tmp_path) as writer:
        assert not writer.add(media("3.wav"), AUDIO, embedding(99))
    check(FeatureStore(tmp_path), range(7))


def test_a_missing_modality_is_a_result(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path) as writer:
        assert writer.add_missing(media("a.mp4"), LOCAL, "no face was found", face_coverage=0.0)
        writer.add(media("a.mp4"), AUDIO, embedding(1))
    with FeatureWriter(tmp_path) as writer:
        assert writer.reuse(media("a.mp4"), LOCAL)
    store = FeatureStore(tmp_path)
    stored = store.get(key("a.mp4", LOCAL))
    assert stored is not None
    assert (stored.missing, stored.tensors, stored.face_coverage) == ("no face was found", {}, 0.0)
    features = store.clip("a.mp4")
    assert features.present == ("audio",)
    assert features.missing["local"] == "no face was found"
    assert "holds no temporal feature" in features.missing["temporal"]
    states = {row["role"]: row["state"] for row in store.rows().to_pylist()}
    assert states == {"local": "missing", "audio": "present"}


@pytest.mark.parametrize("flush", [True, False])
def test_the_same_content_under_two_names_is_stored_once(tmp_path: Path, flush: bool) -> None:
    first, second = media("a/x.wav", "same"), media("b/x.wav", "same")
    with FeatureWriter(tmp_path) as writer:
        writer.add(first, AUDIO, embedding(1))
        if flush:
            writer.flush()
        assert writer.reuse(second, AUDIO)
        writer.add(media("c/x.wav", "other"), AUDIO, embedding(2))
    store = FeatureStore(tmp_path)
    assert store.clip_ids() == ("a/x.wav", "b/x.wav", "c/x.wav")
    assert torch.equal(store.clip("a/x.wav").audio, store.clip("b/x.wav").audio)
    assert not torch.equal(store.clip("a/x.wav").audio, store.clip("c/x.wav").audio)
    places = [(row["shard"], row["tensors"][0]["tensor_key"]) for row in store.rows().to_pylist()]
    assert places[0] == places[1] != places[2]


def test_a_changed_clip_is_never_mixed_with_what_it_was(tmp_path: Path) -> None:
    old, new = media("a.mp4", "old"), media("a.mp4", "new")
    with FeatureWriter(tmp_path) as writer:
        writer.add(old, AUDIO, embedding(1))
        writer.add(old, LOCAL, embedding(2))
    with FeatureWriter(tmp_path) as writer:
        assert not writer.reuse(new, AUDIO)
        writer.add(new, AUDIO, embedding(3))
    features = FeatureStore(tmp_path).clip("a.mp4")
    assert torch.equal(features.audio, embedding(3)["embedding"])
    assert features.local is None
    with FeatureWriter(tmp_path) as writer:  # the old file is put back
        assert writer.reuse(old, AUDIO)
        assert writer.reuse(old, LOCAL)
    for _ in range(2):
        features = FeatureStore(tmp_path).clip("a.mp4")
        assert torch.equal(features.audio, embedding(1)["embedding"])
        assert torch.equal(features.local, embedding(2)["embedding"])
        compact(tmp_path)


def test_the_newest_content_is_the_one_that_was_computed_last(tmp_path: Path) -> None:
    slow, fast = FeatureWriter(tmp_path), FeatureWriter(tmp_path)
    slow.add(media("a.mp4", "old"), AUDIO, embedding(1))
    fast.add(media("a.mp4", "new"), AUDIO, embedding(2))
    fast.close()
    slow.close()
    features = FeatureStore(tmp_path).clip("a.mp4")
    assert torch.equal(features.audio, embedding(2)["embedding"])


@pytest.mark.parametrize("merged", [True, False])
def test_a_lost_new_content_does_not_bring_the_old_one_back(tmp_path: Path, merged: bool) -> None:
    for content in ("old", "new"):
        with FeatureWriter(tmp_path) as writer:
            writer.add(media("a.mp4", content), AUDIO, embedding(1))
    files(tmp_path, "shards")[1].unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedStoreWarning)
        if merged:
            compact(tmp_path)
        with pytest.raises(KeyError, match=r"holds nothing of clip 'a.mp4'"):
            FeatureStore(tmp_path).clip("a.mp4")


def test_of_two_encoders_one_has_to_be_chosen(tmp_path: Path) -> None:
    newer = replace(AUDIO, version="2")
    with FeatureWriter(tmp_path) as writer:
        writer.add(media("a.wav"), AUDIO, embedding(1))
        writer.add(media("a.wav"), newer, embedding(2))
    with pytest.raises(AmbiguousFeatureError, match="2 audio features.*hubert"):
        FeatureStore(tmp_path).clip("a.wav")
    chosen = FeatureStore(tmp_path, encoders=[newer]).clip("a.wav")
    assert torch.equal(chosen.audio, embedding(2)["embedding"])
    other = FeatureStore(tmp_path, encoders=[replace(AUDIO, version="3")]).clip("a.wav")
    assert "holds no audio feature" in other.missing["audio"]


def test_a_key_frame_comes_back_byte_for_byte(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path, dtype=torch.float16) as writer:
        assert writer.add_key_frame(media("a.mp4"), KEY_FRAME, PNG, 1.25)
        with pytest.raises(ValueError, match="expected a PNG, WebP or JPEG"):
            writer.add_key_frame(media("b.mp4"), KEY_FRAME, b"no picture", 0)
        with pytest.raises(ValueError, match="under the role key_frame"):
            writer.add_key_frame(media("b.mp4"), AUDIO, PNG, 0)
    store = FeatureStore(tmp_path)
    found = store.key_frame("a.mp4")
    assert found is not None
    assert (found.picture, found.image_format, found.time_s) == (PNG, "png", 1.25)
    assert store.key_frame("b.mp4") is None
    assert store.clip("a.mp4").present == ()


@pytest.mark.parametrize(
    ("encoder", "tensors", "message"),
    [
        (AUDIO, {"embedding": torch.zeros(1, 8)}, r"'embedding': 2.*expected.*'embedding': 1"),
        (AUDIO, {"patches": torch.zeros(8)}, "expected"),
        (GLOBAL, {"patches": torch.zeros(4, 8)}, "class_token"),
        (AUDIO, {"embedding": torch.tensor([float("nan")])}, "not finite as float16"),
        (AUDIO, {"embedding": torch.tensor([1e6])}, "not finite as float16"),
    ],
)
def test_what_cannot_be_a_feature_is_refused(
    tmp_path: Path, encoder: EncoderIdentity, tensors: dict[str, torch.Tensor], message: str
) -> None:
    with (
        FeatureWriter(tmp_path, dtype=torch.float16) as writer,
        pytest.raises(ValueError, match=message),
    ):
        writer.add(media("a.mp4"), encoder, tensors)
    assert len(FeatureStore(tmp_path)) == 0


def test_a_folder_without_a_store_and_a_store_of_tomorrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match="holds no feature store"):
        FeatureStore(tmp_path)
    monkeypatch.setattr(feature_writer, "SCHEMA_VERSION", 2)
    with FeatureWriter(tmp_path) as writer:
        writer.add(media("a.wav"), AUDIO, embedding(1))
    with pytest.raises(ValueError, match="schema version 2; this version .* reads 1"):
        FeatureStore(tmp_path)


def test_a_reader_sees_new_parts_when_it_looks_again(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    store = FeatureStore(tmp_path, max_open_shards=1)
    write(tmp_path, range(9))
    assert len(store) == 3
    store.refresh()
    assert len(store) == 9
    check(store, range(9))
    assert len(store._open) == 1
    check(pickle.loads(pickle.dumps(store)), range(9))


def test_the_index_is_a_table_that_any_tool_reads(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    (part,) = files(tmp_path, "index")
    row = pq.read_table(part).to_pylist()[1]
    shard = tmp_path / "shards" / row["shard"]
    assert (row["clip_id"], row["role"], row["schema_version"]) == ("1.wav", "audio", 1)
    assert row["shard_bytes"] == shard.stat().st_size
    assert row["shard_sha256"] == media_hash(shard)


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_a_torn_shard_is_absent_and_is_done_again(tmp_path: Path, cut: int) -> None:
    write(tmp_path, range(6))
    torn = files(tmp_path, "shards")[0]
    torn.write_bytes(torn.read_bytes()[:cut])
    store = open_damaged(tmp_path, f"{torn.name} is torn")
    assert store.clip_ids() == ("3.wav", "4.wav", "5.wav")
    assert [problem.path for problem in store.problems] == [torn]
    assert store.get(key("0.wav")) is None
    with pytest.warns(DamagedStoreWarning):
        assert write(tmp_path, range(6)) == 3
    check(again := open_damaged(tmp_path, "torn"), range(6))
    assert len(again) == 6


def test_a_shard_that_is_gone_is_absent(tmp_path: Path) -> None:
    write(tmp_path, range(6))
    store = FeatureStore(tmp_path)
    files(tmp_path, "shards")[0].unlink()
    with pytest.warns(DamagedStoreWarning, match="is not there"):
        assert store.get(key("0.wav")) is None
    assert len(store) == 3


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_torn_index_part_is_absent_and_is_done_again(tmp_path: Path, damage: str) -> None:
    write(tmp_path, range(6))
    part = files(tmp_path, "index")[1]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes({"cut": data[:-9], "changed": data, "empty": b""}[damage])
    store = open_damaged(tmp_path, "is torn or changed")
    assert store.clip_ids() == ("0.wav", "1.wav", "2.wav")
    assert [problem.path for problem in store.problems] == [part]
    with pytest.warns(DamagedStoreWarning):
        assert write(tmp_path, range(6)) == 3


def test_changed_bytes_are_never_served(tmp_path: Path) -> None:
    write(tmp_path, range(6))
    shard = files(tmp_path, "shards")[0]
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1  # inside the last tensor: the size is right and the header too
    shard.write_bytes(data)
    store = FeatureStore(tmp_path)
    assert len(store) == 6
    with pytest.warns(DamagedStoreWarning, match="changed bytes"):
        for number in range(3):
            store.get(key(f"{number}.wav"))
    assert store.clip_ids() == ("3.wav", "4.wav", "5.wav")
    with pytest.warns(DamagedStoreWarning, match="SHA-256"):
        (problem,) = FeatureStore(tmp_path).verify(set_aside=True)
    assert problem.path == shard
    with pytest.warns(DamagedStoreWarning, match="is not there"):
        assert write(tmp_path, range(6)) == 3
    with pytest.warns(DamagedStoreWarning):
        compact(tmp_path)
    assert FeatureStore(tmp_path).verify() == ()


def test_a_damaged_header_is_absent(tmp_path: Path) -> None:
    write(tmp_path, range(6))
    shard = files(tmp_path, "shards")[0]
    shard.write_bytes(b"\xff" * shard.stat().st_size)
    store = FeatureStore(tmp_path)
    with pytest.warns(DamagedStoreWarning, match="cannot be read"):
        assert store.get(key("0.wav")) is None
    check(store, range(6))


def test_merging_keeps_every_row_and_removes_what_is_stale(tmp_path: Path) -> None:
    write(tmp_path, range(9))
    with FeatureWriter(tmp_path) as writer:
        writer.reuse(media("again.wav", "0.wav"), AUDIO)
        writer.add_missing(media("0.wav"), LOCAL, "no face was found")
    open_before = FeatureStore(tmp_path)
    young = tmp_path / "shards" / "young.safetensors.partial"
    old = tmp_path / "index" / "old.parquet.partial"
    orphan = tmp_path / "shards" / "orphan.safetensors"
    for path in (young, old, orphan):
        path.write_bytes(b"x")
    for path in (old, orphan):
        os.utime(path, (0, 0))
    compact(tmp_path)
    assert young.exists()
    assert not old.exists()
    assert not orphan.exists()
    young.unlink()
    assert len(files(tmp_path, "shards")) == len(files(tmp_path, "index")) == 1
    for store in (FeatureStore(tmp_path), open_before):
        features = store.clip("again.wav")
        assert torch.equal(features.audio, embedding(0)["embedding"])
        assert store.clip("0.wav").missing["local"] == "no face was found"
        for number in range(9):
            stored = store.get(key(f"{number}.wav"))
            assert stored is not None
            assert torch.equal(stored.tensors["embedding"], embedding(number)["embedding"])
        assert len(store) == 11
        assert store.problems == ()


def test_merging_never_removes_a_shard_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, range(9))
    monkeypatch.setattr(feature_writer, "STALE_S", -1.0)  # everything is old
    compact(tmp_path)
    check(store := FeatureStore(tmp_path), range(9))
    assert len(store) == 9


def test_a_writer_removes_what_was_left_behind(tmp_path: Path) -> None:
    write(tmp_path, range(1))
    left = tmp_path / "shards" / "x.safetensors.partial"
    left.write_bytes(b"x")
    write(tmp_path, range(1))
    assert left.exists()
    os.utime(left, (0, 0))
    assert len(FeatureStore(tmp_path)) == 1
    write(tmp_path, range(1))
    assert not left.exists()


class _Stop(BaseException):
    """Stands for the end of the process: no handler of the writer may run on it."""


def _stops(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the process end in the step to the disk with a given number."""
    steps = iter(range(10_000))

    def step(what: object) -> Iterator[None]:
        def run(*args: object, **options: object) -> object:
            if next(steps) == after:
                raise _Stop
            return what(*args, **options)  # type: ignore[operator]

        return run  # type: ignore[return-value]

    monkeypatch.setattr(os, "fsync", step(os.fsync))
    monkeypatch.setattr(Path, "replace", step(Path.replace))
    monkeypatch.setattr(Path, "unlink", step(Path.unlink))


@pytest.mark.parametrize("after", range(36))
def test_whatever_step_a_run_stops_at_it_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Three shards and a merged one take six steps each, ten removals follow: 34 places to stop."""
    write(tmp_path, range(4))
    with monkeypatch.context() as patch:
        _stops(patch, after)
        writer = FeatureWriter(tmp_path, shard_rows=2)
        try:
            for number in range(10):
                writer.add(media(f"{number}.wav"), AUDIO, embedding(number))
            compact(tmp_path)
        except _Stop:
            pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = FeatureStore(tmp_path)
        assert len(store) >= 4
        check(store, range(10))
        write(tmp_path, range(10))
        check(store := FeatureStore(tmp_path), range(10))
    assert len(store) == 10
    assert store.verify() == ()


@pytest.mark.parametrize("fails_at", [0, 2])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int, number: int
) -> None:
    """The disk is full at the shard, or at its part of the index."""
    write(tmp_path, range(3))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    real, calls = os.fsync, iter(range(100))

    def fsync(descriptor: int) -> None:
        if next(calls) == fails_at:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    writer = FeatureWriter(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        writer.add(media("3.wav"), AUDIO, embedding(3))
        with pytest.raises(StoreFullError, match="no room in .* bytes .* run the same") as caught:
            writer.flush()
    assert caught.value.folder == tmp_path
    assert caught.value.needed_bytes > 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    check(FeatureStore(tmp_path), range(3))
    writer.flush()  # room was made
    check(store := FeatureStore(tmp_path), range(4))
    assert len(store) == 4


def test_what_was_finished_before_an_error_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="the next clip"), FeatureWriter(tmp_path) as writer:
        writer.add(media("0.wav"), AUDIO, embedding(0))
        msg = "the next clip cannot be read"
        raise RuntimeError(msg)
    assert len(FeatureStore(tmp_path)) == 1

    def fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(RuntimeError) as caught, FeatureWriter(tmp_path) as writer:
        writer.add(media("1.wav"), AUDIO, embedding(1))
        raise RuntimeError
    assert "1 rows were not stored" in caught.value.__notes__[0]


SCRIPT = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store import write

both, killed = Path(sys.argv[1]), Path(sys.argv[2])
children = []
for numbers in (range(0, 60), range(30, 90)):
    children.append(os.fork())
    if children[-1] == 0:
        write(both, numbers)
        os._exit(0)
codes = [os.waitpid(child, 0)[1] for child in children]
assert codes == [0, 0], codes
random.seed(0)
longest_s = 0.06
for attempt in range(25):
    child = os.fork()
    if child == 0:
        write(killed, range(10**6), shard_rows=2)
        os._exit(0)
    time.sleep(random.uniform(0.002, longest_s))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if attempt % 5 == 4 and not any(killed.glob("index/*.parquet")):
        longest_s *= 4  # a busy machine: nothing was written before the kill
"""


@pytest.fixture(scope="module")
def written_by_others(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store that two processes wrote at once, and one whose writers were killed."""
    if not hasattr(os, "fork"):
        pytest.skip("NOT CHECKED: processes are not forked on this system")
    folder = tmp_path_factory.mktemp("stores")
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    stores = (folder / "both", folder / "killed")
    subprocess.run([sys.executable, "-c", script, *map(str, stores)], check=True, timeout=120)
    return stores


def test_two_processes_write_at_once(written_by_others: tuple[Path, Path]) -> None:
    store = FeatureStore(written_by_others[0])
    assert len(store) == 90
    check(store, range(90))
    assert store.verify() == ()


def test_killed_writers_leave_a_store_that_can_be_continued(
    written_by_others: tuple[Path, Path],
) -> None:
    folder = written_by_others[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = FeatureStore(folder)
        found = len(store)
        assert found > 0, "every writer was killed before its first row"
        check(store, range(found))
        assert store.verify() == ()
        assert write(folder, range(found + 50), shard_rows=20) == 50
        check(store := FeatureStore(folder), range(found + 50))
    assert len(store) == found + 50


def test_a_file_is_named_by_content_and_place(tmp_path: Path) -> None:
    clip = tmp_path / "train" / "x.wav"
    clip.parent.mkdir()
    clip.write_bytes(b"abc")
    found = Media.read(clip, root=tmp_path)
    assert found == Media("train/x.wav", "train/x.wav", hashlib.sha256(b"abc").hexdigest(), 3)
    assert Media.read(clip, clip_id="x").source == clip.as_posix()
    assert Media.read(clip, root=tmp_path / "elsewhere").clip_id == clip.as_posix()


@pytest.mark.parametrize("how", ["longer", "touched", "replaced"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    clip = tmp_path / "x.wav"
    clip.write_bytes(b"abc")
    real = hashlib.file_digest

    def digest(file: object, name: str) -> object:
        found = real(file, name)  # type: ignore[arg-type]
        if how == "longer":
            clip.write_bytes(b"abcd")
        elif how == "touched":
            os.utime(clip, ns=(time.time_ns(), time.time_ns() + random.randint(1, 9) * 10**9))
        else:
            facts = clip.stat()
            other = tmp_path / "other"
            other.write_bytes(b"xyz")
            os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
            other.replace(clip)
        return found

    assert media_hash(clip) == hashlib.sha256(b"abc").hexdigest()
    monkeypatch.setattr(stored_feature.hashlib, "file_digest", digest)
    with pytest.raises(ChangedWhileReadError, match="changed while it was read"):
        media_hash(clip)


def test_settings_have_one_hash_in_any_order() -> None:
    assert settings_hash({"a": 1, "b": [2]}) == settings_hash({"b": [2], "a": 1})
    assert settings_hash({"a": 1}) != settings_hash({"a": 2})
