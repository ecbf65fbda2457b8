"""The whole construction on the packaged clips: what stays, what is rejected and why, resuming."""

import json
import socket
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotion_llama.config import PUBLISHED_BUILD, BuildConfig
from emotion_llama.merr import clip_work
from emotion_llama.merr.build import BuildPlan, BuildReport, build
from emotion_llama.merr.record_file import read_records
from emotion_llama.merr.records import MerrRecord, Source
from emotion_llama.merr.sources import SourceClip

EXAMPLES = Path(__file__).parents[2] / "examples"
WORDS = {name: (EXAMPLES / f"{name}.txt").read_text("utf-8").strip() for name in ("smile", "frown")}


@dataclass(frozen=True)
class Done:
    row: Any
    result: Any
    error: str | None


class Runner:
    """Works here, and counts what it was given."""

    def __init__(self) -> None:
        self.num_rows: list[int] = []

    def __call__(self, make: Callable[[], Any], rows: Sequence[Any]) -> Iterator[Done]:
        self.num_rows.append(len(rows))
        worker = make()
        for row in rows:
            try:
                yield Done(row, worker.run(row), None)
            except (ValueError, OSError) as error:
                yield Done(row, None, str(error))


@dataclass(frozen=True)
class FixedLabel:
    """Labels every clip alike."""

    label: str = "happy"
    version: str = "1"
    name: str = "a fixed label"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"label": self.label}

    def load(self) -> Callable[[Path, str | None], tuple[str, Mapping[str, float]]]:
        return lambda _path, _text: (self.label, {self.label: 0.75, "other": 0.25})


def clip(path: Path, **changes: Any) -> SourceClip:
    known = {"transcript": WORDS.get(path.stem), "source": Source("examples", "own", path.stem)}
    return SourceClip(path.name, path, path.name, **(known | changes))


def plan(out: Path, **changes: Any) -> BuildPlan:
    clips = [clip(EXAMPLES / "smile.mp4"), clip(EXAMPLES / "frown.mp4")]
    known = {
        "config": BuildConfig(keep="all"),
        "given_labels": {"smile.mp4": "happy", "frown.mp4": "angry"},
        "labels_name": "labels.csv",
    }
    return BuildPlan(**({"clips": clips, "out_dir": out} | known | changes))


def records(out: Path) -> dict[str, MerrRecord]:
    every = [*read_records(out), *read_records(out / "rejected.jsonl")]
    return {record.clip_id: record for record in every}


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, BuildReport]]:
    """Build once for the tests that only look; no socket can be opened meanwhile."""
    out = tmp_path_factory.mktemp("built") / "set"
    patch = pytest.MonkeyPatch()
    patch.setattr(socket, "socket", None)
    patch.setattr(socket, "create_connection", None)
    try:
        report = build(plan(out), Runner())
    finally:
        patch.undo()
    yield out, report


def test_every_clip_gets_clues_and_captions_without_a_network(
    built: tuple[Path, BuildReport],
) -> None:
    out, report = built
    assert (report.num_kept, report.num_rejected, report.failures) == (2, 0, {})
    smile = records(out)["smile.mp4"]
    assert {clue.kind for clue in smile.clues} == {"facial", "scene", "voice", "words"}
    assert any(clue.feature == "AU12" for clue in smile.clues)
    assert smile.fine_caption is not None
    assert "happy" not in smile.fine_caption.evidence.replace(WORDS["smile"], "")
    assert "happy" in smile.fine_caption.conclusion
    assert smile.coarse_caption is not None and WORDS["smile"] in smile.coarse_caption


def test_human_model_and_rule_labels_are_kept_apart(tmp_path: Path) -> None:
    one = plan(tmp_path, clips=[clip(EXAMPLES / "smile.mp4")], label_maker=FixedLabel("sad"))
    build(one, Runner())
    smile = records(tmp_path)["smile.mp4"]
    assert [(label.kind, label.label) for label in smile.labels[:2]] == [
        ("human", "happy"),
        ("model", "sad"),
    ]
    assert smile.label == "happy"
    assert [label.kind for label in smile.labels[2:]] in ([], ["rule"])


def test_every_field_says_where_it_came_from(built: tuple[Path, BuildReport]) -> None:
    out, _ = built
    producers = json.loads((out / "producers.json").read_text("utf-8"))
    for record in records(out).values():
        fields = "label verdict face scene voice clues transcript gates split coarse_caption"
        names = [*fields.split(), "fine_caption", "voice_description"]
        filled = {name for name in names if getattr(record, name)}
        assert filled <= set(record.lineage)
        assert all(origin.settings in producers for origin in record.lineage.values())


def test_nothing_names_a_path_of_this_machine(built: tuple[Path, BuildReport]) -> None:
    out, _ = built
    for name, content in contents(out).items():
        assert str(EXAMPLES.parent).encode() not in content, name
        assert str(out).encode() not in content, name


def test_two_runs_write_the_same_bytes(tmp_path: Path, built: tuple[Path, BuildReport]) -> None:
    other = plan(tmp_path)
    build(replace(other, clips=list(reversed(other.clips))), Runner())
    assert contents(tmp_path) == contents(built[0])


def test_what_was_done_is_not_done_again(
    built: tuple[Path, BuildReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = built
    before = contents(out)
    monkeypatch.setattr(clip_work.ClipMeter, "measure", None)
    report = build(plan(out), Runner())
    assert report.reused["measures"] == 2
    assert contents(out) == before


def test_another_setting_of_the_measures_measures_again_and_another_rule_does_not(
    built: tuple[Path, BuildReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = built
    monkeypatch.setattr(clip_work.ClipMeter, "measure", None)
    other = BuildConfig(keep="all", rules="facs", seed=3)
    assert build(plan(out, config=other), Runner()).reused["measures"] == 2
    changed = BuildConfig(keep="all", frames_per_second=5)
    report = build(plan(out, config=changed), Runner_that_tells_all())
    assert len(report.failures) == 2


class Runner_that_tells_all(Runner):  # noqa: N801
    """Also takes an error of the code for the clip's own."""

    def __call__(self, make: Callable[[], Any], rows: Sequence[Any]) -> Iterator[Done]:
        worker = make()
        for row in rows:
            try:
                yield Done(row, worker.run(row), None)
            except Exception as error:
                yield Done(row, None, str(error))


def test_a_changed_file_and_a_changed_labeller_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    out = tmp_path / "set"
    tone(path, 200.0)
    first = plan(out, clips=[clip(path)], given_labels=None, label_maker=FixedLabel())
    assert build(first, Runner()).reused == {}
    assert build(first, Runner()).reused == {"measures": 1, "labels": 1}
    other = replace(first, label_maker=FixedLabel("sad", version="2"))
    assert build(other, Runner()).reused == {"measures": 1}
    tone(path, 300.0)
    assert build(first, Runner()).reused == {}


def test_names_are_trusted_only_on_request_and_only_with_the_same_size_and_time(
    tmp_path: Path,
) -> None:
    path, out = tmp_path / "tone.wav", tmp_path / "set"
    tone(path, 200.0)
    trusting = plan(out, clips=[clip(path)], given_labels=None, label_maker=FixedLabel())
    trusting = replace(trusting, trust_names=True)
    build(trusting, Runner())
    assert build(trusting, Runner()).reused == {"names": 1, "measures": 1, "labels": 1}
    tone(path, 300.0, seconds=2.5)
    assert build(trusting, Runner()).reused == {}


def test_what_is_missing_is_named_and_never_a_number(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    tone(path, 200.0)
    build(plan(tmp_path / "set", clips=[clip(path)], given_labels={path.name: "sad"}), Runner())
    record = records(tmp_path / "set")["tone.wav"]
    assert (record.face, record.scene) == (None, None)
    assert "no picture" in record.missing["facial"]
    assert record.missing["words"] == "no transcript was given"
    assert {gate.name: gate.outcome for gate in record.gates}["face_coverage"] == "unknown"
    assert record.verdict is not None and record.verdict.agreement == "abstains"


def test_clips_that_the_rules_do_not_agree_with_are_rejected_with_the_reason(
    tmp_path: Path,
) -> None:
    labels = {"smile.mp4": "fear", "frown.mp4": "boredom"}
    report = build(
        plan(tmp_path, given_labels=labels, config=BuildConfig(keep="agreeing")), Runner()
    )
    assert report.num_kept == 0
    found = records(tmp_path)
    assert found["smile.mp4"].reasons[0].startswith("rules disagrees: label fear")
    assert found["frown.mp4"].reasons[0].startswith("rules unmapped: the table merr has no rule")
    assert sum(report.reasons.values()) == 2
    assert found["smile.mp4"].missing["fine_caption"] == "the clip was rejected before"


def test_a_clip_without_a_row_is_not_given_a_label(tmp_path: Path) -> None:
    report = build(plan(tmp_path, given_labels={"smile.mp4": "happy"}), Runner())
    frown = records(tmp_path)["frown.mp4"]
    assert (frown.label, frown.status) == (None, "rejected")
    assert frown.reasons == ("label: labels.csv has no row for the clip",)
    assert "1 clips have no row in labels.csv" in report.notes


def test_files_that_cannot_be_read_do_not_stop_the_others(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a film")
    clips = [clip(broken), clip(EXAMPLES / "smile.mp4")]
    report = build(plan(tmp_path / "set", clips=clips), Runner())
    assert list(report.failures) == ["broken.mp4"]
    line = json.loads((tmp_path / "set" / "errors.jsonl").read_text("utf-8"))
    assert line["clip_id"] == "broken.mp4" and str(tmp_path) not in line["error"]
    assert list(records(tmp_path / "set")) == ["smile.mp4"]


def test_the_same_recording_under_two_names_stays_once(tmp_path: Path) -> None:
    copy = tmp_path / "zcopy.mp4"
    copy.write_bytes((EXAMPLES / "smile.mp4").read_bytes())
    clips = [clip(EXAMPLES / "smile.mp4"), clip(copy)]
    labels = {"smile.mp4": "happy", "zcopy.mp4": "happy"}
    build(plan(tmp_path / "set", clips=clips, given_labels=labels), Runner())
    found = records(tmp_path / "set")
    assert found["smile.mp4"].status == "kept"
    assert found["zcopy.mp4"].reasons == ("duplicate: same file of smile.mp4",)


def test_no_label_has_more_clips_than_asked_for(tmp_path: Path) -> None:
    labels = {"smile.mp4": "happy", "frown.mp4": "happy"}
    config = BuildConfig(keep="all", max_per_label=1)
    report = build(plan(tmp_path, given_labels=labels, config=config), Runner())
    assert (report.num_kept, report.reasons) == (1, {"balance": 1})
    reasons = [record.reasons for record in records(tmp_path).values() if record.reasons]
    assert reasons == [("balance: 2 clips of the label, at most 1",)]


def test_the_published_peak_counts_single_frames_and_open_mouths(tmp_path: Path) -> None:
    out = tmp_path / "own", tmp_path / "published"
    one = [clip(EXAMPLES / "smile.mp4")]
    build(plan(out[0], clips=one), Runner())
    build(
        plan(out[1], clips=one, config=BuildConfig(**{**PUBLISHED_BUILD, "keep": "all"})), Runner()
    )
    own, published = (records(folder)["smile.mp4"].face for folder in out)
    assert own is not None and published is not None
    assert published.peak_frame != own.peak_frame


def test_without_labels_or_labeller_nothing_begins(tmp_path: Path) -> None:
    runner = Runner()
    with pytest.raises(ValueError, match="neither a table of labels nor a preset"):
        build(plan(tmp_path, given_labels=None), runner)
    assert runner.num_rows == []


def tone(path: Path, hertz: float, seconds: float = 2.0) -> None:
    """Write a tone whose level goes up and down."""
    times = np.arange(int(16000 * seconds)) / 16000
    level = 0.3 * np.sin(2 * np.pi * 1.5 * times) ** 2
    samples = level * np.sign(np.sin(2 * np.pi * hertz * times))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
