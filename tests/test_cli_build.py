"""The command that builds a data set: what it writes and says, how it is stopped and goes on."""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from build_samples import (
    EXAMPLES,
    LENIENT,
    WORDS,
    all_bytes,
    asked,
    caption_for,
    contents,
    label_table,
    model_server,
    observations,
    openface_table,
    records,
    run,
    tone,
    words_of,
)
from typer.testing import Result

from emotion_llama.bulk import num_usable_cpus
from emotion_llama.cli import build as command
from emotion_llama.config import BuildConfig
from emotion_llama.labels import MERR
from emotion_llama.merr import build as building
from emotion_llama.merr import clip_work, endpoint, fine
from emotion_llama.merr.record_file import read_records
from emotion_llama.merr.rules import load_rules
from emotion_llama.merr.validation import validate

SOON_S = 120.0
"""Longest wait for another process on a busy machine."""


def build(*arguments: object) -> Result:
    return run("build", *arguments)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of three tones of two people, and what is said in them."""
    folder = tmp_path_factory.mktemp("tones")
    rows = []
    for number, speaker in enumerate(("ann", "ann", "ben")):
        tone(folder / f"{number}.wav", 120.0 + 60 * number)
        rows.append(f"{number}.wav,I told you number {number}.,{speaker},en,CC0-1.0")
    table = folder / "clips.csv"
    table.write_text("\n".join(("path,text,speaker,language,licence", *rows)), "utf-8")
    label_table(folder / "labels.csv", {"0": "happy", "1": "sad", "2": "angry"})
    label_table(folder / "all_happy.csv", {"0": "happy", "1": "happy", "2": "happy"})
    return table


def of_tones(tones: Path, out: Path, *more: object, labels: str = "labels.csv") -> Result:
    flags = ("--labels", tones.with_name(labels), *LENIENT, "--workers", 0)
    return build(tones, "--out", out, *flags, *more)


@pytest.fixture(scope="module")
def first(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Build of the tones once, for the tests that only look; no socket can be opened meanwhile."""
    out = tmp_path_factory.mktemp("first") / "set"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", None)
        patch.setattr(socket, "create_connection", None)
        result = of_tones(tones, out)
    return out, result


# ---- what is written and said --------------------------------------------------------------------


def test_a_table_of_labels_makes_a_data_set(first: tuple[Path, Result]) -> None:
    out, result = first
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "kept 3, rejected 0, failed 0 of 3 clips" in result.stderr
    assert f"data set: {out}; look at it with: emotion-llama merr stats {out}" in result.stderr
    found = records(out)
    assert {name: record.label for name, record in found.items()} == {
        "0.wav": "happy",
        "1.wav": "sad",
        "2.wav": "angry",
    }
    assert {record.labels[0].producer for record in found.values()} == {"labels.csv"}
    assert all(record.fine_caption and record.coarse_caption for record in found.values())
    assert found["0.wav"].split == found["1.wav"].split, "one person is in one split"
    assert validate(out) == []


def test_nothing_that_is_written_names_a_path_or_a_time(
    first: tuple[Path, Result], tones: Path
) -> None:
    out, _ = first
    files = all_bytes(out)
    assert len(files) > 8
    stamp = re.compile(rb"20\d\d-\d\d-\d\dT|\b1[78]\d{8}\b")
    for name, content in files.items():
        if name.endswith(".parquet"):  # compressed: it is the same as the lines
            continue
        assert str(tones.parent).encode() not in content, name
        assert str(out.parent).encode() not in content, name
        assert not stamp.search(content), name


def test_a_second_run_does_nothing_and_leaves_the_same_bytes(
    first: tuple[Path, Result], tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = first
    before = contents(out)
    monkeypatch.setattr(clip_work.ClipMeter, "measure", None)
    result = of_tones(tones, out)
    assert "done before: measures of 3" in result.stderr
    assert contents(out) == before


def test_resuming_knows_files_by_name_size_and_time(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "set"
    assert of_tones(tones, out, "--resume").exit_code == 0
    before = contents(out)
    monkeypatch.setattr(clip_work, "_sha256", None)
    result = of_tones(tones, out, "--resume")
    assert result.exit_code == 0, result.output
    assert "done before: measures of 3, names of 3" in result.stderr
    assert contents(out) == before


def test_processes_write_the_same_bytes(
    first: tuple[Path, Result], tones: Path, tmp_path: Path
) -> None:
    result = of_tones(tones, tmp_path / "set", "--workers", 2)
    assert result.exit_code == 0, result.output
    assert contents(tmp_path / "set") == contents(first[0])


def test_other_words_are_told_without_measuring_again(
    first: tuple[Path, Result], tones: Path, tmp_path: Path
) -> None:
    shutil.copytree(first[0], tmp_path / "set")
    changed = tones.with_name("changed.csv")
    changed.write_text(tones.read_text("utf-8").replace("number 0", "nothing at all"), "utf-8")
    result = of_tones(changed, tmp_path / "set")
    assert "done before: measures of 3" in result.stderr
    caption = records(tmp_path / "set")["0.wav"].coarse_caption
    assert caption is not None and "I told you nothing at all." in caption


def test_a_limit_a_seed_and_flags_for_what_no_column_says(tones: Path, tmp_path: Path) -> None:
    spoken = tmp_path / "spoken.csv"
    spoken.write_text("name,sentence\n0,Well then.\n", "utf-8")
    flags = ("--limit", 1, "--seed", 7, "--name", "mine", "--licence", "own", "--text", spoken)
    labels = ("--labels", tones.with_name("labels.csv"))
    result = build(tones.parent, "--out", tmp_path / "set", *labels, *LENIENT, *flags)
    assert result.exit_code == 0, result.output
    (record,) = records(tmp_path / "set").values()
    assert (record.source.name, record.source.licence) == ("mine", "own")
    assert record.transcript == "Well then."
    assert json.loads((tmp_path / "set" / "build.json").read_text())["settings"]["seed"] == 7


@pytest.mark.parametrize(("keep", "num_kept"), [("agreeing", 1), ("undisputed", 2), ("all", 3)])
def test_what_stays_follows_what_the_rules_say(tmp_path: Path, keep: str, num_kept: int) -> None:
    for name in ("agrees", "disputed"):
        tone(tmp_path / f"{name}.wav", 200 + len(name) * 20)
        openface_table(tmp_path / f"{name}.csv", {12: [0.0] * 20 + [3.0] * 20})
    tone(tmp_path / "silent on it.wav", 500)
    table = tmp_path / "clips.csv"
    table.write_text(
        "path,action_units\nagrees.wav,agrees.csv\ndisputed.wav,disputed.csv\nsilent on it.wav,\n"
    )
    given = {"agrees": "happy", "disputed": "angry", "silent on it": "sad"}
    labels = label_table(tmp_path / "labels.csv", given)
    flags = ("--labels", labels, *LENIENT, "--keep", keep)
    result = build(table, "--out", tmp_path / "set", *flags, "--workers", 0)
    assert result.exit_code == 0, result.output
    assert f"kept {num_kept}, rejected {3 - num_kept}, failed 0" in result.stderr
    agreement = {
        name: record.verdict.agreement
        for name, record in records(tmp_path / "set").items()
        if record.verdict is not None
    }
    assert agreement == {
        "agrees.wav": "agrees",
        "disputed.wav": "disagrees",
        "silent on it.wav": "abstains",
    }
    if keep == "agreeing":
        assert "rejected for rules abstains: 1" in result.stderr
        assert "rejected for rules disagrees: 1" in result.stderr
    assert validate(tmp_path / "set") == []


def test_own_rules_are_shown_without_their_place(tones: Path, tmp_path: Path) -> None:
    own = tmp_path / "own rules.yaml"
    shutil.copy(Path(command.__file__).parents[1] / "merr" / "tables" / "facs.yaml", own)
    assert of_tones(tones, tmp_path / "set", "--rules", own).exit_code == 0
    built = json.loads((tmp_path / "set" / "build.json").read_text("utf-8"))
    assert built["settings"]["rules"] == "own rules.yaml"
    assert built["rules"]["version"] == load_rules(own).version
    for name, content in all_bytes(tmp_path / "set").items():
        assert str(tmp_path).encode() not in content, name


@pytest.mark.slow
def test_the_preset_labels_where_no_table_does(tmp_path: Path) -> None:
    for name, words in WORDS.items():
        shutil.copy(EXAMPLES / f"{name}.mp4", tmp_path)
        (tmp_path / f"{name}.txt").write_text(words)
    flags = ("--keep", "all", "--workers", 0, "--device", "cpu", "--set", "frames_per_second=5")
    result = build(tmp_path, "--out", tmp_path / "set", *flags)
    assert result.exit_code == 0, result.output
    assert "non-commercial" in result.stderr, "the terms of the preset"
    for record in records(tmp_path / "set").values():
        (reading,) = (label for label in record.labels if label.kind == "model")
        assert reading.producer == "preset mini"
        assert reading.label == record.label
        assert reading.probabilities is not None
        assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert validate(tmp_path / "set", tmp_path) == []


class Unable:
    """A preset that cannot label anything."""

    name, version = "preset unable", "1"
    settings: Mapping[str, Any] = {}

    def load(self) -> Any:
        def label(path: Path, _: str | None) -> Any:
            msg = f"{path}: found nothing to answer from"
            raise ValueError(msg)

        return label


def test_a_preset_beside_a_table_is_only_compared_and_may_fail(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "label_maker", lambda *_: Unable())
    labels = label_table(tmp_path / "labels.csv", {"0": "happy", "1": "sad"})
    flags = ("--labels", labels, "--preset", "mini", *LENIENT, "--workers", 0)
    result = build(tones, "--out", tmp_path / "set", *flags)
    assert result.exit_code == 0, result.output
    assert "note: 1 clips have no row in labels.csv" in result.stderr
    found = records(tmp_path / "set")
    assert (found["0.wav"].label, found["0.wav"].status) == ("happy", "kept")
    assert "label" not in found["0.wav"].missing
    assert found["2.wav"].reasons == ("label: labels.csv has no row for the clip",)
    assert validate(tmp_path / "set") == []
    alone = build(tones, "--out", tmp_path / "set", "--preset", "mini", *LENIENT, "--workers", 0)
    assert "kept 0, rejected 3, failed 0" in alone.stderr
    reason = "label: preset unable gave none: 0.wav: found nothing to answer from"
    assert records(tmp_path / "set")["0.wav"].reasons == (reason,)


def test_folders_of_models_are_shown_without_their_place(tmp_path: Path) -> None:
    config = BuildConfig(text_model=f"hf:{tmp_path}", voice_model="hf:owner/model")
    shown = building.shown_settings(config)
    assert (shown["text_model"], shown["voice_model"]) == (f"hf:{tmp_path.name}", "hf:owner/model")


# ---- wrong commands ------------------------------------------------------------------------------

KNOWN = "found 3; known are allow_remote, drop_duplicates, fine_tries, frames_per_second"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("CLIPS", "--set", "min_snr=3"), f"min_snr: extra inputs are not permitted, {KNOWN}"),
        (("CLIPS", "--set", "min_snr_db=loud"), "min_snr_db: input should be a valid number"),
        (("CLIPS", "--set", "fine_tries=0"), "fine_tries: input should be greater than or"),
        (("CLIPS", "--set", "min_snr_db"), "found 'min_snr_db', expected NAME=VALUE"),
        (("CLIPS", "--set", "min_snr_db=["), "found 'min_snr_db=[', expected a value in the form"),
        (("CLIPS", "--set", "split_shares={train: 0.5}"), "add up to 0.5, expected shares"),
        (("CLIPS", "--rules", "emfacs"), "emfacs: found no such rule table; expected merr, mer-f"),
        (("CLIPS", "--keep", "some"), "'some' is not one of"),
        (("CLIPS", "--llm", "gpt"), "found model 'gpt', expected 'offline', 'hf:'"),
        (("CLIPS", "--picture-model", "http://127.0.0.1:1/v1"), "found no model in"),
        (("CLIPS", "--llm", "https://192.0.2.1/v1#m"), "no media or words leave the machine"),
        (("CLIPS", "--voice-model", "http://example.org/v1#m"), "which is not on this machine"),
        (("CLIPS", "--preset", "nowhere/none here"), "is no packaged preset (mini"),
        (("absent",), "absent: found no file or folder; check the path"),
        (("EMPTY",), "EMPTY holds no media file"),
        (("CLIPS", "--labels", "OTHERS"), "none of its 1 names is a clip"),
        (("CLIPS", "--labels", "absent.csv"), "No such file"),
        (("CLIPS", "--ray", "--workers", "0"), "Ray needs an actor"),
    ],
)  # fmt: skip
def test_wrong_commands_exit_2_and_make_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "EMPTY").mkdir()
    tone(tmp_path / "CLIPS" / "a.wav", 200)
    label_table(tmp_path / "labels.csv", {"a": "happy"})
    label_table(tmp_path / "others.csv", {"b": "happy"})
    given = [argument.replace("OTHERS", "others.csv") for argument in arguments]
    labels = () if {"--labels", "--preset"} & {*given} else ("--labels", "labels.csv")
    result = build(*given, "--out", "set", *labels)
    assert result.exit_code == 2, result.output
    assert said in words_of(result.stderr)
    assert "Traceback" not in result.output
    assert not (tmp_path / "set").exists()


def test_a_remote_model_needs_leave(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = []

    def look(plan: Any, _: Any) -> None:
        plans.append(plan)
        raise typer.Exit

    monkeypatch.setattr(command, "run", look)
    remote = ("--llm", "https://192.0.2.1/v1#m")
    assert of_tones(tones, tmp_path / "set", *remote).exit_code == 2
    assert of_tones(tones, tmp_path / "set", *remote, "--allow-remote").exit_code == 0
    assert [plan.config.text_model for plan in plans] == ["https://192.0.2.1/v1#m"]


def test_a_client_that_is_not_installed_is_noticed_before_anything_is_measured(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.setattr(clip_work.ClipMeter, "measure", None)
    result = of_tones(tones, tmp_path / "set", "--llm", "http://127.0.0.1:9/v1#m")
    assert result.exit_code == 2
    assert "emotion-llama[llm]" in result.stderr


# ---- how a run ends ------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_is_named_and_the_others_are_done(tmp_path: Path, workers: int) -> None:
    tone(tmp_path / "clips" / "a.wav", 200)
    tone(tmp_path / "clips" / "c.wav", 300)
    (tmp_path / "clips" / "b\x1b.mp4").write_bytes(b"not a film")
    (tmp_path / "clips" / "c.csv").write_text("no table\n")
    table = tmp_path / "clips" / "clips.csv"
    table.write_text("path,action_units\na.wav,\nb\x1b.mp4,\nc.wav,c.csv\n")
    labels = label_table(tmp_path / "labels.csv", {"a": "happy", "c": "sad"})
    flags = ("--labels", labels, *LENIENT, "--workers", workers)
    result = build(table, "--out", tmp_path / "set", *flags)
    assert result.exit_code == 1, result.output
    assert "kept 1, rejected 0, failed 2 of 3 clips" in result.stderr
    assert "no demuxer reads" in words_of(result.stderr)
    assert "\x1b" not in result.stderr
    lines = (tmp_path / "set" / "errors.jsonl").read_text("utf-8").splitlines()
    errors = {row["clip_id"]: row["error"] for row in map(json.loads, lines)}
    assert list(errors) == ["b\x1b.mp4", "c.wav"]
    assert errors["c.wav"].startswith("c.csv: ")
    assert str(tmp_path) not in str(errors)
    assert list(records(tmp_path / "set")) == ["a.wav"]
    assert validate(tmp_path / "set") == []


@pytest.mark.parametrize("stage", ["measuring", "captioning"])
def test_ctrl_c_says_what_is_kept_and_the_same_command_continues(
    tones: Path,
    first: tuple[Path, Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    worker = {"measuring": clip_work.ClipWorker, "captioning": building.CaptionWorker}[stage]
    work, count = worker.run, iter(range(9))

    def interrupt(self: Any, row: Any) -> Any:
        if next(count) == 1:
            raise KeyboardInterrupt
        return work(self, row)

    with monkeypatch.context() as patched:
        patched.setattr(worker, "run", interrupt)
        stopped = of_tones(tones, tmp_path / "set")
    assert stopped.exit_code == 130
    assert f"stopped at {stage}, 1 of 3 clips; what is done is kept" in stopped.stderr
    assert not (tmp_path / "set" / "records.jsonl").exists()
    again = of_tones(tones, tmp_path / "set")
    assert again.exit_code == 0, again.output
    assert f"done before: measures of {1 if stage == 'measuring' else 3}" in again.stderr
    assert contents(tmp_path / "set") == contents(first[0])


NUM_MANY = 40


def start(arguments: tuple[object, ...]) -> "subprocess.Popen[str]":
    """Run the command in a process of its own, with the processes that it starts."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, "-m", "emotion_llama", "build", *map(str, arguments)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interruptions,
    )


def heed_interruptions() -> None:
    """Undo what a shell does to commands in the background: they ignore Ctrl-C, and so would it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_measures(process: "subprocess.Popen[str]", out: Path, count: int) -> int:
    """Wait until so many clips are measured."""
    until = time.monotonic() + SOON_S
    while time.monotonic() < until:
        found = len(list(out.glob("stages/measures/*/*.json")))
        if found >= count:
            return found
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.005)
    pytest.fail(f"no {count} clips were measured in {SOON_S:g} s")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="NOT CHECKED: no groups of processes here")
def test_after_ctrl_c_and_kill_9_the_same_command_finishes_with_the_same_bytes(
    tmp_path: Path,
) -> None:
    clips, out = tmp_path / "clips", tmp_path / "set"
    for number in range(NUM_MANY):
        tone(clips / f"{number:02d}.wav", 90 + 8 * number, seconds=6)
    names = [f"{number:02d}" for number in range(NUM_MANY)]
    labels = label_table(tmp_path / "labels.csv", dict.fromkeys(names, "happy"))
    flags = ("--labels", labels, *LENIENT, "--workers")

    stopped = start((clips, "--out", out, *flags, 2))
    wait_for_measures(stopped, out, 2)
    os.killpg(stopped.pid, signal.SIGINT)  # a terminal sends it to all of them
    said = stopped.communicate(timeout=SOON_S)[1]
    assert stopped.returncode == 130, said
    after = len(list(out.glob("stages/measures/*/*.json")))
    assert re.search(rf"stopped at measuring, \d+ of {NUM_MANY} clips; what is done", said)
    assert "Traceback" not in said

    killed = start((clips, "--out", out, *flags, 2))
    wait_for_measures(killed, out, after + 3)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=SOON_S)
    kept = len(list(out.glob("stages/measures/*/*.json")))
    assert 2 < kept < NUM_MANY, "neither at the beginning nor at the end"
    assert not (out / "records.jsonl").exists()

    finished = build(clips, "--out", out, *flags, 0)
    assert finished.exit_code == 0, finished.output
    assert f"done before: measures of {kept}" in finished.stderr
    undisturbed = build(clips, "--out", tmp_path / "other", *flags, 0)
    assert undisturbed.exit_code == 0
    assert "done before" not in undisturbed.stderr
    assert contents(out) == contents(tmp_path / "other")
    assert validate(out, clips) == []


# ---- Ray -----------------------------------------------------------------------------------------


def test_a_cluster_is_given_full_paths_and_leaves_one_processor_free(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def work(num_workers: int, make: Any, rows: Any) -> Any:
        seen.append((num_workers, make, rows))
        return command.run_here(0, make, rows)

    monkeypatch.setattr(command, "run_on_cluster", work)
    monkeypatch.chdir(tones.parent)
    out = os.path.relpath(tmp_path / "set", tones.parent)
    flags = ("--labels", "labels.csv", *LENIENT, "--ray")
    result = build(tones.name, "--out", out, *flags)
    assert result.exit_code == 0, result.output
    ((num_workers, make, rows),) = seen
    assert num_workers == max(1, num_usable_cpus() - 1)
    assert {row.path.parent for row in rows} == {tones.parent.resolve()}
    assert make.args[0].cache_dir == (tmp_path / "set" / "stages").resolve()


@pytest.mark.slow
def test_ray_writes_the_same_bytes(first: tuple[Path, Result], tones: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="NOT CHECKED: Ray is not installed")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("NOT CHECKED: Ray needs a second processor")
    labels = ("--labels", tones.with_name("labels.csv"))
    try:
        result = build(tones, "--out", tmp_path / "set", *labels, *LENIENT, "--ray")
    finally:
        ray.shutdown()
    assert result.exit_code == 0, result.output
    assert contents(tmp_path / "set") == contents(first[0])


# ---- a language model ----------------------------------------------------------------------------

needs_client = pytest.mark.skipif(
    importlib.util.find_spec("openai") is None,
    reason="NOT CHECKED: the extra 'llm' is not installed",
)
OFFERED = re.compile(r"exactly one of these: ([^.]*)\.")


@pytest.fixture
def measured(first: tuple[Path, Result], tmp_path: Path) -> Path:
    """Give a data set of the tones in which everything is measured already."""
    shutil.copytree(first[0] / "stages", tmp_path / "set" / "stages")
    return tmp_path / "set"


@needs_client
def test_a_model_writes_captions_without_being_told_the_label(tones: Path, measured: Path) -> None:
    with model_server(caption_for("happy")) as server:
        result = of_tones(tones, measured, "--llm", server.spec, labels="all_happy.csv")
        assert result.exit_code == 0, result.output
        assert "kept 3, rejected 0" in result.stderr
        blind = server.requests.copy()
        server.requests.clear()
        of_tones(tones, measured, "--llm", server.spec, "--set", "fine_tries=1")
        assert server.requests == blind, "other labels make no other request"
    for request in blind:
        offered = OFFERED.search(asked(request))
        assert offered is not None
        assert offered[1].split(", ") == list(load_rules("merr").labels), "none stands out"
        rest = OFFERED.sub("", asked(request)).lower()
        assert [label for label in MERR.labels if re.search(rf"\b{label}\b", rest)] == []
    told = [observation for request in blind for observation in observations(request)]
    assert [one for one in told if '"I told you number 0."' in one], "the words are no secret"


@needs_client
def test_a_written_caption_is_a_record_like_any_other(tones: Path, measured: Path) -> None:
    with model_server(caption_for("happy")) as server:
        of_tones(tones, measured, "--llm", server.spec, labels="all_happy.csv")
        address = server.spec
    producers = json.loads((measured / "producers.json").read_text("utf-8"))
    for record in read_records(measured):
        assert record.fine_caption is not None
        assert record.fine_caption.label_conditioned is False
        assert record.fine_caption.num_attempts == 1
        origin = record.lineage["fine_caption"]
        assert origin.producer == "tiny"
        assert producers[origin.settings]["settings"]["prompt"] == fine.prompt_hash()
    assert validate(measured) == []
    host = address.partition("#")[0].removeprefix("http://")
    assert host.encode() not in (measured / "records.jsonl").read_bytes()


@needs_client
@pytest.mark.parametrize(
    ("said", "rule"),
    [
        (caption_for("sad"), "contradiction: concludes sad, the given label is happy"),
        (lambda _: "I'm sorry, but as an AI I cannot tell how anybody feels.", "form: "),
        (lambda _: "", "empty: the evidence is empty"),
        (lambda request: caption_for("happy")(request).replace("All", "Happy, for all"), None),
        (
            lambda request: caption_for("happy")(request).replace(
                "Evidence:", "Evidence: Happily,"
            ),
            "label leak: found 'Happily'",
        ),
        (
            lambda request: caption_for("none of the listed emotions")(request),
            "no choice: found 'none of the listed emotions'",
        ),
    ],
    ids=[
        "contradicting",
        "refusing",
        "empty",
        "naming it in the conclusion",
        "leaking",
        "choosing",
    ],
)
def test_answers_that_break_a_rule_never_stay(
    tones: Path, measured: Path, said: Any, rule: str | None
) -> None:
    with model_server(said) as server:
        result = of_tones(tones, measured, "--llm", server.spec, labels="all_happy.csv")
        num_asked = len(server.requests)
        seeds = {request["seed"] for request in server.requests[:3]}
        again = of_tones(tones, measured, "--llm", server.spec, labels="all_happy.csv")
        assert len(server.requests) == num_asked, "an answer that was rejected is kept too"
    assert result.exit_code == 0, result.output
    assert "fine of 3" in again.stderr
    if rule is None:
        assert num_asked == 3
        return
    assert num_asked == 9, "three tries a clip"
    assert len(seeds) == 3, "each with another seed"
    assert "kept 0, rejected 3" in result.stderr
    assert "rejected for fine caption: 3" in result.stderr
    assert (measured / "records.jsonl").read_text() == ""
    rejected = list(read_records(measured / "rejected.jsonl"))
    for record in rejected:
        assert [reason.partition(rule)[0] for reason in record.reasons] == [
            f"fine caption: try {number}: " for number in (1, 2, 3)
        ]
        assert record.fine_caption is None
        assert "fine_caption" not in record.lineage
        assert rule in record.missing["fine_caption"]
    assert validate(measured) == []


@needs_client
def test_models_describe_picture_and_voice_once(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "smile.mp4", tmp_path)
    labels = label_table(tmp_path / "labels.csv", {"smile": "happy"})
    said = {"image_url": "A woman stands at a white wall.", "input_audio": "The voice is clear."}

    def describe(request: dict[str, Any]) -> str:
        return next(said[part["type"]] for part in request["messages"][-1]["content"])

    flags = ("--labels", labels, "--keep", "all", "--set", "frames_per_second=5", "--workers", 0)
    with model_server(describe) as server:
        models = ("--picture-model", server.spec, "--voice-model", server.spec)
        result = build(tmp_path, "--out", tmp_path / "set", *flags, *models)
        assert result.exit_code == 0, result.output
        build(tmp_path, "--out", tmp_path / "set", *flags, *models)
        assert len(server.requests) == 2
    (record,) = records(tmp_path / "set").values()
    assert record.scene_description == said["image_url"]
    assert record.voice_description == said["input_audio"]
    assert record.coarse_caption is not None
    assert "a woman stands at a white wall" in record.coarse_caption.lower()
    assert record.lineage["scene_description"].producer == "tiny"
    assert validate(tmp_path / "set", tmp_path) == []


@needs_client
def test_a_second_try_that_holds_is_counted(tones: Path, measured: Path) -> None:
    good = caption_for("happy")
    with model_server(lambda request: good(request) if request["seed"] else "No.") as server:
        of_tones(tones, measured, "--llm", server.spec, labels="all_happy.csv")
    kept = list(read_records(measured))
    assert [r.fine_caption and r.fine_caption.num_attempts for r in kept] == [2, 2, 2]


@needs_client
def test_kept_answers_are_asked_again_only_after_the_prompt_changes(
    tones: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model_server(caption_for("happy")) as server:
        flags = ("--llm", server.spec)
        of_tones(tones, measured, *flags, labels="all_happy.csv")
        before = contents(measured)
        monkeypatch.setattr(clip_work.ClipMeter, "measure", None)
        again = of_tones(tones, measured, *flags, labels="all_happy.csv")
        assert len(server.requests) == 3
        assert "done before: fine of 3, measures of 3" in again.stderr
        assert contents(measured) == before
        monkeypatch.setattr(fine, "REQUEST", fine.REQUEST.replace("two or three", "three"))
        changed = of_tones(tones, measured, *flags, labels="all_happy.csv")
        assert len(server.requests) == 6
        assert "done before: measures of 3" in changed.stderr
        assert "write three sentences" in asked(server.requests[-1])
    assert contents(measured)["producers.json"] != before["producers.json"]


@needs_client
@pytest.mark.parametrize(("status", "code"), [(503, 1), (401, 0)])
def test_a_server_that_does_not_answer_decides_on_no_clip(
    tones: Path, measured: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: int
) -> None:
    monkeypatch.setattr(endpoint.time, "sleep", lambda _: None)
    with model_server(lambda _: status) as server:
        result = of_tones(tones, measured, "--llm", server.spec, labels="all_happy.csv")
        assert result.exit_code == code, result.output
        assert (measured / "records.jsonl").read_text() == ""
        if status == 503:
            assert "failed 3 of 3" in result.stderr
            assert "0.wav: no fine caption: " in result.stderr
            assert records(measured) == {}, "nobody has decided on them"
        server.reply = caption_for("happy")
        again = of_tones(tones, measured, "--llm", server.spec, labels="all_happy.csv")
    assert again.exit_code == 0
    assert "kept 3, rejected 0, failed 0" in again.stderr
