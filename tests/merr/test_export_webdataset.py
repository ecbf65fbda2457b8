"""Records with their clips <-> tar shards."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from exported_record import make_record

from emotion_llama.merr.export import read_webdataset, write_webdataset
from emotion_llama.merr.export.webdataset import clip_of_key, key_of_clip
from emotion_llama.merr.records import MerrRecord, Source

CLIPS = ["b/01.mp4", "a/01.mp4", "a/01.wav", "my clips/x.v2 (ü).mp4"]


def make_clips(folder: Path) -> list[MerrRecord]:
    records = []
    for clip in CLIPS:
        path = folder / clip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip.encode() * 100)
        records.append(
            make_record(clip, media_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        )
    return records


def test_records_come_back_equal_with_their_clips(tmp_path: Path) -> None:
    records = make_clips(tmp_path / "clips")
    report = write_webdataset(records, tmp_path / "out", media_dir=tmp_path / "clips")
    assert (
        sorted(read_webdataset(tmp_path / "out"), key=lambda r: CLIPS.index(r.clip_id)) == records
    )
    assert report.files == ("README.md", "train-000000.tar")
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as shard:
        members = shard.getmembers()
    assert [member.name for member in members][:4] == [
        "a/01%2Emp4.json",
        "a/01%2Emp4.mp4",
        "a/01%2Ewav.json",
        "a/01%2Ewav.wav",
    ]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}


def test_the_library_reads_the_shards(tmp_path: Path) -> None:
    library = pytest.importorskip(
        "webdataset", reason="NOT CHECKED: the library webdataset is not installed"
    )
    records = make_clips(tmp_path / "clips")
    write_webdataset(records, tmp_path / "out", media_dir=tmp_path / "clips")
    shard = str(tmp_path / "out" / "train-000000.tar")
    samples = list(library.WebDataset(shard, shardshuffle=False))
    assert [clip_of_key(sample["__key__"]) for sample in samples] == sorted(CLIPS)
    for sample in samples:
        clip_id = json.loads(sample["json"])["clip_id"]
        media = sample["wav" if clip_id.endswith("wav") else "mp4"]
        assert media == (tmp_path / "clips" / clip_id).read_bytes()


@pytest.mark.parametrize("clip", [*CLIPS, "a.b/c.d.mp4", "100%2E.mp4", "样本/一.mp4", "plain"])
def test_keys_have_no_dot_and_go_back(clip: str) -> None:
    key = key_of_clip(clip)
    assert "." not in key
    assert " " not in key
    assert clip_of_key(key) == clip


def test_shards_are_no_larger_than_asked(tmp_path: Path) -> None:
    records = make_clips(tmp_path / "clips")
    limit = 2 * tarfile.RECORDSIZE
    write_webdataset(records, tmp_path / "out", media_dir=tmp_path / "clips", shard_bytes=limit)
    shards = sorted((tmp_path / "out").glob("*.tar"))
    assert [shard.name for shard in shards] == ["train-000000.tar", "train-000001.tar"]
    assert all(shard.stat().st_size <= limit for shard in shards)
    assert len(read_webdataset(tmp_path / "out")) == 4
    write_webdataset(records, tmp_path / "tiny", media_dir=tmp_path / "clips", shard_bytes=1)
    assert len(list((tmp_path / "tiny").glob("*.tar"))) == 4


def test_splits_have_their_own_shards(tmp_path: Path) -> None:
    first, second, *_ = make_clips(tmp_path / "clips")
    records = [first, make_record(second.clip_id, split=None)]
    report = write_webdataset(records, tmp_path / "out", media_dir=tmp_path / "clips")
    assert report.files[1:] == ("train-000000.tar", "unsplit-000000.tar")


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    records = make_clips(tmp_path / "clips")
    write_webdataset(records, tmp_path / "one", media_dir=tmp_path / "clips")
    (tmp_path / "clips" / CLIPS[0]).touch()
    write_webdataset(records[::-1], tmp_path / "two", media_dir=tmp_path / "clips")
    for file in ("README.md", "train-000000.tar"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_clip_that_is_gone_or_changed_is_left_out(tmp_path: Path) -> None:
    records = make_clips(tmp_path / "clips")
    (tmp_path / "clips" / CLIPS[0]).unlink()
    (tmp_path / "clips" / CLIPS[1]).write_bytes(b"another")
    report = write_webdataset(records, tmp_path / "out", media_dir=tmp_path / "clips")
    assert report.left_out == {"media file has changed since the build": 1, "no media file": 1}
    assert report.num_written == 2


def test_a_shard_with_another_clip_is_refused(tmp_path: Path) -> None:
    records = make_clips(tmp_path / "clips")
    write_webdataset(records, tmp_path / "out", media_dir=tmp_path / "clips")
    shard = tmp_path / "out" / "train-000000.tar"
    shard.write_bytes(shard.read_bytes().replace(b"a/01.mp4a/01.mp4", b"a/01.mp4a/02.mp4"))
    with pytest.raises(ValueError, match=r"a/01%2Emp4\.mp4: found SHA-256 .* expected"):
        read_webdataset(tmp_path / "out")


def test_clips_need_terms_that_let_them_be_passed_on(tmp_path: Path) -> None:
    make_clips(tmp_path / "clips")
    record = make_record(CLIPS[0], source=Source("talks", None))
    with pytest.raises(ValueError, match="clips or their annotations of 1 of 1 records may not"):
        write_webdataset([record], tmp_path / "out", media_dir=tmp_path / "clips")
    write_webdataset([record], tmp_path / "out", media_dir=tmp_path / "clips", own_use=True)
    assert len(read_webdataset(tmp_path / "out")) == 1


def test_a_media_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give the folder that the data set was built from"):
        write_webdataset([make_record()], tmp_path / "out", media_dir=tmp_path / "none")
