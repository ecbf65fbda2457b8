"""The command that extracts features: what is stored, said and failed, on tiny clips."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from emotion_llama import extract as extraction
from emotion_llama.bulk import Done, StopRunError, num_usable_cpus
from emotion_llama.cli import app
from emotion_llama.extract import ClipExtractor, Extracted, ExtractSettings
from emotion_llama.feature_store import FeatureStore, FeatureWriter, Media, StoreFullError
from emotion_llama.media import FilmWriter, stream_frames
from emotion_llama.media.manifest import ClipFile
from emotion_llama.preset import find_preset

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SMILE = EXAMPLES / "smile.mp4"
GOOD = ("a/clip.mp4", "b/clip.mp4", "silent.mp4")


def run(*arguments: object) -> Result:
    """Run the command in this process."""
    environment = {"COLUMNS": "200", "NO_COLOR": "1"}
    return CliRunner(env=environment).invoke(app, ["extract", *map(str, arguments)])


def words_of(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of one name in two folders, one without sound, and a text that is called a film."""
    folder = tmp_path_factory.mktemp("clips")
    for place, name in (("a", "smile"), ("b", "frown")):
        (folder / place).mkdir()
        shutil.copy(EXAMPLES / f"{name}.mp4", folder / place / "clip.mp4")
    with FilmWriter(folder / "silent.mp4") as film:
        for number, (_, frame) in enumerate(stream_frames(SMILE, 5.0)):
            if number < 4:
                film.add(frame, number / 5)
    (folder / "text.mp4").write_text("no film at all")
    return folder


@pytest.fixture(scope="module")
def first(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Extract them all once."""
    store = tmp_path_factory.mktemp("first") / "made" / "store"
    return store, run(clips, "--store", store, "--workers", 0)


@pytest.fixture
def store(first: tuple[Path, Result], tmp_path: Path) -> Path:
    """Give a copy of that store."""
    copied = tmp_path / "store"
    shutil.copytree(first[0], copied)
    return copied


def test_everything_is_stored_and_what_failed_is_named(first: tuple[Path, Result]) -> None:
    store, result = first
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert "computed 3, reused 0, failed 1: 4 clips in " in result.stderr
    assert "of those computed: 1 without audio" in result.stderr
    assert f"store: {store}" in result.stderr
    assert "1 of 4 clips failed:" in result.stderr
    assert "text.mp4: found content that no demuxer reads" in words_of(result.stderr)
    assert "non-commercial" in result.stderr, "the licence notice of the preset"
    assert FeatureStore(store).clip_ids() == GOOD
    assert FeatureStore(store).key_frame("a/clip.mp4") is not None


def test_the_failures_are_a_file(first: tuple[Path, Result], clips: Path) -> None:
    lines = (first[0] / "errors.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["clip"], row["path"]) for row in rows] == [("text.mp4", str(clips / "text.mp4"))]
    assert "no demuxer reads" in rows[0]["error"]


def test_stored_features_are_those_that_an_answer_is_given(
    first: tuple[Path, Result], clips: Path
) -> None:
    from emotion_llama import Predictor

    store, predictor = FeatureStore(first[0]), Predictor.from_pretrained("mini", device="cpu")
    for name in GOOD:
        stored, seen = store.clip(name), predictor.embeddings(clips / name)
        for role in ("audio", "local", "temporal"):
            one, other = getattr(stored, role), getattr(seen, role)
            assert (one is None) == (other is None)
            assert one is None or torch.equal(one, other)
    assert store.clip("silent.mp4").missing["audio"] == seen.missing["audio"]


def test_a_second_run_computes_nothing(store: Path, clips: Path) -> None:
    (store / "errors.jsonl").write_text("of the run before\n")
    result = run(clips, "--store", store, "--workers", 0)
    assert result.exit_code == 1
    assert "computed 0, reused 3, failed 1" in result.stderr
    assert len((store / "errors.jsonl").read_text("utf-8").splitlines()) == 1, "replaced"


def test_resuming_reads_no_file_that_is_stored(
    store: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def refuse(path: Path) -> Media:
        read.append(path.name)
        msg = "not to be read"
        raise ValueError(msg)

    monkeypatch.setattr(Media, "read", refuse)
    result = run(clips, "--store", store, "--workers", 0, "--resume")
    assert "computed 0, reused 3, failed 1" in result.stderr
    assert read == ["text.mp4"], "what failed is tried again"


def test_a_limit_takes_the_first_and_nothing_failed_leaves_no_list(
    clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "errors.jsonl").write_text("of the run before\n")
    arguments = ("--store", tmp_path, "--limit", 1, "--encoders", "local, audio")
    result = run(clips, *arguments)
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "errors.jsonl").exists()
    rows = FeatureStore(tmp_path).rows()
    assert set(rows["clip_id"].to_pylist()) == {"a/clip.mp4"}
    assert set(rows["role"].to_pylist()) == {"audio", "local", "key_frame"}


def test_processes_store_the_same(first: tuple[Path, Result], clips: Path, tmp_path: Path) -> None:
    result = run(clips, "--store", tmp_path, "--workers", 2, "--clip-limit", 120)
    assert result.exit_code == 1, result.output
    assert "computed 3, reused 0, failed 1" in result.stderr
    one, other = FeatureStore(first[0]), FeatureStore(tmp_path)
    assert sorted(other.clip_ids()) == sorted(GOOD)
    for name in GOOD:
        local = one.clip(name).local
        assert local is not None
        assert torch.allclose(local, other.clip(name).local, atol=1e-5)


def test_a_name_that_is_no_unicode_is_stored_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    try:
        shutil.copy(SMILE, folder / os.fsdecode(b"caf\xe9.mp4"))
    except OSError:
        pytest.skip("this file system takes only unicode names")
    result = run(folder, "--store", tmp_path / "store", "--encoders", "audio")
    assert result.exit_code == 0, result.output
    assert FeatureStore(tmp_path / "store").clip_ids() == ("caf\\udce9.mp4",)


def test_a_manifest_names_its_clips_and_absent_or_odd_files_fail_alone(
    clips: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    table = tmp_path / "list.csv"
    rows = (f"{clips / 'a/clip.mp4'},smile", "absent.mp4,gone", "pipe.mp4,pipe")
    table.write_text("\n".join(("path,clip_id", *rows)))
    store = tmp_path / "store"
    result = run(table, "--store", store, "--workers", 0, "--encoders", "audio")
    assert result.exit_code == 1
    assert FeatureStore(store).clip_ids() == ("smile",)
    failures = [json.loads(line) for line in (store / "errors.jsonl").open(encoding="utf-8")]
    assert [row["clip"] for row in failures] == ["gone", "pipe"]
    assert "is not there" in failures[0]["error"]
    assert "not a regular file" in failures[1]["error"]


# ---- presets -------------------------------------------------------------------------------------


@pytest.fixture
def lone_encoder(tmp_path: Path) -> Path:
    """A folder with an audio encoder and nothing else."""
    folder = tmp_path / "lone"
    shutil.copytree(find_preset("mini") / "encoders" / "audio", folder / "encoders" / "audio")
    return folder


def test_encoders_without_a_language_model_will_do(lone_encoder: Path, tmp_path: Path) -> None:
    (lone_encoder / "media.json").write_text('{"max_duration_s": 1.0}')
    arguments = ("--store", tmp_path / "store", "--preset", lone_encoder)
    result = run(SMILE, *arguments, "--encoders", "audio")
    assert result.exit_code == 0, result.output
    (role,) = FeatureStore(tmp_path / "store").rows()["role"].to_pylist()
    assert role == "audio", "no picture is kept for a global encoder that is not there"


def test_an_encoder_that_the_preset_lacks_is_a_wrong_command(
    lone_encoder: Path, tmp_path: Path
) -> None:
    result = run(SMILE, "--store", tmp_path / "store", "--preset", lone_encoder)
    assert result.exit_code == 2, result.output
    assert "no local and no temporal encoder" in words_of(result.stderr)


def test_unreadable_weights_are_a_wrong_command(lone_encoder: Path, tmp_path: Path) -> None:
    weights = lone_encoder / "encoders" / "audio" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    arguments = ("--preset", lone_encoder, "--encoders", "audio")
    result = run(SMILE, "--store", tmp_path / "store", *arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("CLIP", "--encoders", "audio,face"), "found 'face'; choose of audio, global, local"),
        (("CLIP", "--encoders", ","), "found none; choose of audio, global, local"),
        (("CLIP", "--preset", "EMPTY"), "holds no encoders"),
        (("CLIP", "--dtype", "int3"), "dtype is 'int3'"),
        (("CLIP", "--key-frame", "best"), "no key-frame policy"),
        (("CLIP", "--layout", "published"), "belong together"),
        (("CLIP", "--output", "out"), "belong together"),
        (("CLIP", "--clip-limit", "5", "--workers", "0"), "process of its own"),
        (("CLIP", "--clip-limit", "5", "--ray"), "process of its own"),
        (("CLIP", "--workers", "0", "--ray"), "Ray needs an actor"),
        (("absent", "--limit", "3"), "found no file or folder"),
        (("EMPTY",), "holds no media file"),
        (("CLIP", "--encoders", "global", "--layout", "published", "-o", "out"), "no folder for"),
    ],
)
def test_wrong_commands_exit_2_and_make_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "CLIP").write_bytes(b"x")
    result = run(*arguments, "--store", "store")
    assert result.exit_code == 2, result.output
    assert said in words_of(result.stderr)
    assert "BadParameter" not in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_store_is_asked_for(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "--store" in result.stderr


# ---- how a run ends ------------------------------------------------------------------------------


def test_a_full_disk_ends_the_run_in_one_line(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flush(writer: FeatureWriter) -> None:
        raise StoreFullError(writer.folder, 4096)

    monkeypatch.setattr(FeatureWriter, "flush", flush)
    result = run(clips / "a", "--store", tmp_path, "--workers", 0)
    assert result.exit_code == 1, result.output
    (line,) = [line for line in result.stderr.splitlines() if "no room" in line]
    assert line.startswith("error: no room in")
    assert "make room" in line
    assert "Traceback" not in result.output


def test_stopping_keeps_what_is_done_and_the_same_command_continues(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = ClipExtractor.run

    def interrupt(self: ClipExtractor, row: ClipFile) -> Extracted:
        if row.clip_id == "b/clip.mp4":
            raise KeyboardInterrupt
        return work(self, row)

    command = (clips, "--store", tmp_path, "--workers", 0, "--limit", 2)
    with monkeypatch.context() as patched:
        patched.setattr(ClipExtractor, "run", interrupt)
        stopped = run(*command)
    assert stopped.exit_code == 130
    assert "1 of 2 clips are done" in stopped.stderr
    assert "the same command continues" in stopped.stderr
    assert FeatureStore(tmp_path).clip_ids() == ("a/clip.mp4",)
    again = run(*command)
    assert again.exit_code == 0, again.output
    assert "computed 1, reused 1, failed 0" in again.stderr


# ---- what is asked of the extraction, and what is made of its results ----------------------------


class StubExtraction:
    """Stands in for `extract`: notes what it was asked, and gives what it was told to."""

    def __init__(self) -> None:
        self.clips: Sequence[ClipFile] = ()
        self.settings: ExtractSettings | None = None
        self.asked: dict[str, Any] = {}
        self.results: list[Extracted | str] = []
        self.error: Exception | None = None

    def __call__(
        self, clips: Sequence[ClipFile], settings: ExtractSettings, **asked: Any
    ) -> Iterator[Done[ClipFile, Extracted]]:
        self.clips, self.settings, self.asked = clips, settings, asked
        for clip, result in zip(clips, self.results, strict=False):
            failed = isinstance(result, str)
            yield Done(clip, None if failed else result, result if failed else None)
        if self.error is not None:
            raise self.error


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StubExtraction:
    """Put it in place."""
    stub = StubExtraction()
    monkeypatch.setattr(extraction, "extract", stub)
    return stub


@pytest.fixture
def nine(tmp_path: Path) -> Path:
    """A folder with nine empty files."""
    folder = tmp_path / "nine"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.mp4").touch()
    return folder


def test_flags_reach_the_extraction(stub: StubExtraction, nine: Path, tmp_path: Path) -> None:
    flags = ("--device", "cpu", "--dtype", "bfloat16", "--batch-size", 3, "--clip-limit", 9)
    media = ("--key-frame", "peak", "--face-source", "whole-frame")
    assert run(nine, "--store", tmp_path / "s", *flags, *media, "--resume").exit_code == 0
    assert stub.asked == {"num_workers": num_usable_cpus(), "batch_size": 3, "clip_limit_s": 9.0}
    assert stub.settings is not None
    assert (stub.settings.device, stub.settings.dtype) == ("cpu", torch.bfloat16)
    assert stub.settings.roles == ("audio", "local", "temporal")
    assert stub.settings.trust_names
    assert stub.settings.media.key_frame == "peak"
    assert stub.settings.media.face_source == "whole-frame"


@pytest.mark.parametrize(("flags", "expected"), [((), 0), (("--clip-limit", 5), None)])
def test_one_clip_needs_no_process_but_to_be_given_up(
    stub: StubExtraction, nine: Path, tmp_path: Path, flags: tuple[object, ...], expected: int
) -> None:
    run(nine / "1.mp4", "--store", tmp_path / "s", "--device", "cpu", *flags)
    assert stub.asked["num_workers"] == (num_usable_cpus() if expected is None else expected)
    assert stub.settings is not None
    assert not stub.settings.trust_names


def test_a_cluster_is_given_full_paths(
    stub: StubExtraction, nine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "extract_on_ray", stub)
    monkeypatch.chdir(tmp_path)
    assert run("nine", "--store", "s", "--ray", "--workers", 3).exit_code == 0
    assert stub.asked == {"num_workers": 3}
    assert stub.settings is not None
    assert stub.settings.store_dir == tmp_path / "s"
    assert stub.clips[0] == ClipFile("0.mp4", nine / "0.mp4")


def test_five_failures_are_named_and_the_file_has_all(
    stub: StubExtraction, nine: Path, tmp_path: Path
) -> None:
    stub.results = ["cannot\x1b be read"] * 7 + [
        Extracted(False, {"audio": "no sound"}, ("audio",), {}, {}),
        Extracted(True, {}, (), {}, {}),
    ]
    store = tmp_path / "s"
    result = run(nine, "--store", store)
    assert result.exit_code == 1
    assert "computed 1, reused 1, failed 7" in result.stderr
    assert "1 without audio, 1 with audio put together from windows" in result.stderr
    assert result.stderr.count("be read") == 5
    assert "\x1b" not in result.stderr
    assert f"2 more, and all in {store / 'errors.jsonl'}" in result.stderr
    assert len((store / "errors.jsonl").read_text("utf-8").splitlines()) == 7


@pytest.mark.parametrize(
    ("results", "error", "code"),
    [
        ([], ValueError("no such encoder"), 2),
        ([], StopRunError("no room"), 1),
        (["broken"], OSError("the disk is gone"), 1),
    ],
)
def test_what_ends_a_run_decides_the_exit_code(
    stub: StubExtraction,
    nine: Path,
    tmp_path: Path,
    results: list[Extracted | str],
    error: Exception,
    code: int,
) -> None:
    stub.results, stub.error = results, error
    result = run(nine, "--store", tmp_path / "s")
    assert result.exit_code == code, result.output
    assert f"error: {error}" in result.stderr
    assert result.stderr.count("error:") == 1


# ---- the published layout ------------------------------------------------------------------------


def test_the_published_layout_is_written_too(clips: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text(f"path,clip_id\n{clips / 'a/clip.mp4'},x\n{clips / 'silent.mp4'},y\n")
    out = tmp_path / "out"
    command = (table, "--store", tmp_path / "store", "--workers", 0, "--layout", "published")
    result = run(*command, "--output", out)
    assert result.exit_code == 0, result.output
    assert f"wrote 1 audio, 2 local, 2 temporal features to {out}" in result.stderr
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.npy")}
    local_and_temporal = {f"{f}/{c}.npy" for f in ("mae_340_UTT", "maeV_399_UTT") for c in "xy"}
    assert names == {"HL-UTT/x.npy"} | local_and_temporal
    stored = FeatureStore(tmp_path / "store").clip("x").temporal
    assert stored is not None
    assert np.array_equal(np.load(out / "maeV_399_UTT" / "x.npy"), stored.numpy())
    refused = run(*command, "--output", out)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert run(*command, "--output", out, "--overwrite").exit_code == 0


def test_clips_that_the_layout_cannot_tell_apart_are_refused_before_the_work(
    clips: Path, tmp_path: Path
) -> None:
    arguments = ("--layout", "published", "--output", tmp_path / "out")
    result = run(clips, "--store", tmp_path / "store", *arguments)
    assert result.exit_code == 2
    assert "would share the file clip.npy" in words_of(result.stderr)
    assert not (tmp_path / "store").exists()


def test_of_two_settings_in_one_store_those_of_this_run_are_written(
    store: Path, clips: Path, tmp_path: Path
) -> None:
    arguments = ("--store", store, "--workers", 0, "--encoders", "local,temporal")
    published = ("--face-source", "whole-frame", "--layout", "published", "-o", tmp_path / "out")
    table = tmp_path / "list.csv"
    table.write_text(f"path,clip_id\n{clips / 'a/clip.mp4'},a/clip.mp4\n")
    result = run(table, *arguments, *published)
    assert result.exit_code == 0, result.output
    assert "wrote 1 local, 1 temporal features" in result.stderr
    written = np.load(tmp_path / "out" / "mae_340_UTT" / "clip.npy")
    only = tmp_path / "only"
    assert run(table, "--store", only, *arguments[2:], *published[:2]).exit_code == 0
    assert np.array_equal(written, FeatureStore(only).clip("a/clip.mp4").local)
