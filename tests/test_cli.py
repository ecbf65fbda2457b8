"""The command line over a stub predictor: streams, forms, files and exit codes."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from emotion_llama import terminal
from emotion_llama.cli import app
from emotion_llama.cli.predict import FULL_ANSWERS
from emotion_llama.clip_words import WordReader
from emotion_llama.labels import LabelSet
from emotion_llama.model.checkpoint import CheckpointError, CoverageReport, VisionSizes
from emotion_llama.predict import ClipFailure
from emotion_llama.records import Evidence, Prediction
from emotion_llama.timeline import Segment

BROKEN = "broken"
NOTICE = "The weights of stub may be used by tests only."


def make_prediction(clip: str, **changes: object) -> Prediction:
    """Give an answer with one value of every kind."""
    values: dict[str, object] = {
        "clip": clip,
        "label": "happy",
        "probabilities": {"neutral": 0.25, "happy": 0.7, "sad": 0.05},
        "reason": "The corners of the mouth rise, and the voice is bright.",
        "modalities": ("global", "local", "audio"),
        "missing": {"temporal": "one frame only", "text": "no transcript was given"},
        "confidence": 0.7,
        "unsure": False,
        "unsure_rule": "confidence below 0.5",
        "valence": 0.65,
        "key_frame_s": 0.52,
        "evidence": (Evidence("audio", "the voice is high", 231.5, 0.0, 1.2, "prosody 1"),),
        "warnings": ("the sound ends early",),
        "timings_s": {"read": 0.12, "answer": 0.34},
        "preset": "stub",
    }
    return Prediction(**{**values, **changes})  # type: ignore[arg-type]


class StubPredictor:
    """Answers every clip alike, fails for names with ``broken``, and notes what it was asked."""

    notice: str | None = NOTICE

    def __init__(self) -> None:
        self.settings: dict[str, object] = {}
        self.asked: list[tuple[str | None, str | None]] = []
        self.labels: LabelSet | None = None
        self.stop_after: int | None = None
        self.reader = SimpleNamespace(words=WordReader(english_only=True))

    def load(self, preset: str, **settings: object) -> "StubPredictor":
        """Stand in for ``Predictor.from_pretrained``."""
        self.settings = {"preset": preset, **settings}
        if preset == "absent":
            msg = "no preset 'absent'"
            raise ValueError(msg)
        return self

    def __call__(
        self,
        path: Path | None,
        text: str | None = None,
        labels: LabelSet | None = None,
        with_reason: bool = True,
    ) -> Prediction:
        """Answer one clip."""
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked.append((None if path is None else path.name, text))
        self.labels = labels
        if path is not None and BROKEN in path.name:
            msg = f"{path}: found noise; expected a picture;\nrecord it again"
            raise ValueError(msg)
        words = {} if with_reason else {"reason": ""}
        return make_prediction("text" if path is None else str(path), **words)

    def batch(
        self,
        paths: Sequence[Path],
        texts: Iterable[str | None] | None = None,
        labels: LabelSet | None = None,
        with_reason: bool = True,
    ) -> Iterator[Prediction | ClipFailure]:
        """Answer many clips."""
        for path, text in zip(paths, texts or [None] * len(paths), strict=True):
            try:
                yield self(path, text=text, labels=labels, with_reason=with_reason)
            except ValueError as error:
                yield ClipFailure(str(path), str(error))


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StubPredictor:
    """Put a stub in the place of the predictor."""
    predictor = StubPredictor()
    monkeypatch.setattr("emotion_llama.predict.Predictor.from_pretrained", predictor.load)
    return predictor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with three clips, one of them broken, among other files."""
    root = tmp_path / "clips"
    (root / "deep").mkdir(parents=True)
    for name in ("b.MP4", "deep/a.wav", "deep/broken.mkv", "notes.txt", ".hidden.mp4"):
        (root / name).write_bytes(b"x")
    return root


def run(*arguments: object) -> Result:
    """Run the command line in this process."""
    environment = {"COLUMNS": "200", "NO_COLOR": "1"}
    return CliRunner(env=environment).invoke(app, [str(a) for a in arguments])


def make_clip(folder: Path, name: str = "smile.mp4") -> Path:
    path = folder / name
    path.write_bytes(b"x")
    return path


def test_text_answer_names_label_bars_reason_and_absent_modalities(
    stub: StubPredictor, tmp_path: Path
) -> None:
    result = run("predict", make_clip(tmp_path))
    assert result.exit_code == 0, result.output
    for words in ("HAPPY", "70%", "valence +0.65", "25.0 %", "corners of the mouth"):
        assert words in result.stdout
    assert "movement (temporal): one frame only" in result.stdout
    assert "the sound ends early" in result.stdout
    assert "the voice is high, 0.0 to 1.2 s" in result.stdout
    assert "key frame at 0.52 s | read 0.12 s | answer 0.34 s" in result.stdout
    assert "unsure" not in result.stdout
    assert "\x1b" not in result.stdout + result.stderr
    assert result.stdout.index("70.0 %") < result.stdout.index("25.0 %"), "most probable first"


def test_settings_reach_the_predictor_and_the_notice_is_said_once(
    stub: StubPredictor, tmp_path: Path
) -> None:
    clips = (make_clip(tmp_path), make_clip(tmp_path, "frown.mp4"))
    flags = ("--device", "cpu", "--dtype", "bfloat16", "--decision", "greedy")
    modes = ("--prompt-mode", "published-eval", "--face-source", "whole-frame", "--json")
    result = run("predict", *clips, "--preset", "other", *flags, *modes, "--labels", "sad,happy")
    assert result.exit_code == 0, result.output
    media = stub.settings.pop("media")
    assert media == {"face_source": "whole-frame"}
    assert stub.settings == {
        "preset": "other",
        "quantize_bits": None,
        "device": "cpu",
        "dtype": "bfloat16",
        "decision": "greedy",
        "prompt_mode": "published-eval",
    }
    assert stub.labels is not None
    assert stub.labels.labels == ("sad", "happy")
    assert result.stderr.count(NOTICE) == 1
    assert NOTICE not in result.stdout


def test_a_speech_model_reads_the_words(
    stub: StubPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emotion_llama.clip_words.WhisperRecognizer", lambda *a, **k: (a, k))
    monkeypatch.setattr("emotion_llama.clip_words.load_translator", lambda *a, **k: (a, k))
    clip = make_clip(tmp_path)
    models = ("--speech-model", "whisper", "--translation-model", "marian")
    assert run("predict", clip, *models, "--device", "cpu").exit_code == 0
    where = {"device": "cpu"}
    assert stub.reader.words == WordReader((("whisper",), where), (("marian",), where), True)


def test_bits_of_the_language_model(stub: StubPredictor, tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    assert run("predict", clip, "--quantize-bits", "4").exit_code == 0
    assert stub.settings["quantize_bits"] == 4
    wrong = run("predict", clip, "--quantize-bits", "5")
    assert wrong.exit_code == 2
    assert "found 5, expected 4 or 8" in " ".join(wrong.stderr.split())


def test_the_key_frame_policy_reaches_the_predictor(stub: StubPredictor, tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    assert run("predict", clip, "--key-frame", "uniform:5").exit_code == 0
    assert stub.settings["media"] == {"face_source": "detect", "key_frame": "uniform:5"}
    assert run("predict", clip, "--key-frame", "peak").exit_code == 0
    assert stub.settings["media"] == {"face_source": "detect", "key_frame": "peak"}
    wrong = run("predict", clip, "--key-frame", "strongest")
    assert wrong.exit_code == 2
    assert "no key-frame policy" in " ".join(wrong.stderr.split())


def make_segments(clip: Path) -> list[Segment]:
    """Give two answered parts and one that is not."""
    sad = make_prediction(
        str(clip),
        label="sad",
        probabilities={"neutral": 0.1, "happy": 0.2, "sad": 0.7},
        reason="The voice is low. It is quiet.",
        unsure=True,
    )
    return [
        Segment(0.0, 10.0, make_prediction(str(clip)), None),
        Segment(10.0, 20.0, None, "found nothing usable: silence"),
        Segment(20.0, 50.0, sad, None),
    ]


@pytest.fixture
def divided(stub: StubPredictor, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Answer every clip in three parts, one with ``broken`` in none, and note what was asked."""
    asked: list[dict[str, object]] = []

    def stub_timeline(
        predictor: StubPredictor, path: Path, **settings: object
    ) -> Iterator[Segment]:
        asked.append({"path": path.name, **settings})
        if stub.stop_after is not None and len(asked) > stub.stop_after:
            yield make_segments(path)[0]
            raise KeyboardInterrupt
        if BROKEN in path.name:
            yield Segment(0.0, 10.0, None, "found noise")
        else:
            yield from make_segments(path)

    monkeypatch.setattr("emotion_llama.timeline.timeline", stub_timeline)
    monkeypatch.setattr("emotion_llama.timeline.film_parts", lambda path, segment_s: [1, 2, 3])
    return asked


def test_segments_are_a_table_and_an_answer_for_the_whole(
    divided: list[dict[str, object]], tmp_path: Path
) -> None:
    result = run("predict", make_clip(tmp_path), "--segment-s", "10")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == [str(tmp_path / "smile.mp4")]
    assert ["0.0", "-", "10.0", "happy"] in [row[:4] for row in rows]
    assert ["10.0", "-", "20.0", "no", "answer"] in [row[:5] for row in rows]
    assert "found nothing usable: silence" in result.stdout
    assert ["20.0", "-", "50.0", "sad", "?"] in [row[:5] for row in rows]
    assert "The voice is low." in result.stdout
    assert "It is quiet" not in result.stdout, "the first sentence is enough"
    assert "2 x missing movement (temporal): one frame only" in result.stdout
    # (10 x 0.05 + 30 x 0.7) / 40
    assert "whole clip: sad 54%, the mean of 2 of 3 segments by length" in result.stdout
    assert divided[0]["segment_s"] == 10
    assert "note:" not in result.stderr


def test_segments_as_json_have_times_and_the_names_of_an_answer(
    divided: list[dict[str, object]], folder: Path, tmp_path: Path
) -> None:
    result = run("predict", folder, "--segment-s", "10", "--json", "--no-reason")
    assert result.exit_code == 1, "one clip has no answer in any part"
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(Path(row["clip"]).name, row["start_s"]) for row in rows] == [
        *[("b.MP4", start) for start in (0, 10, 20)],
        *[("a.wav", start) for start in (0, 10, 20)],
        ("broken.mkv", 0),
    ]
    answer = json.loads(json.dumps(make_prediction(rows[0]["clip"]).to_dict()))
    assert rows[0] == {"start_s": 0.0, "end_s": 10.0, "error": None, **answer}
    assert rows[1] == {
        "clip": rows[0]["clip"],
        "start_s": 10.0,
        "end_s": 20.0,
        "error": "found nothing usable: silence",
    }
    assert "none of 1 segments has an answer: found noise" in result.stderr
    assert [ask["with_reason"] for ask in divided] == [False] * 3


def test_subtitles_go_to_the_segments_with_their_times(
    divided: list[dict[str, object]], tmp_path: Path
) -> None:
    words = tmp_path / "smile.srt"
    words.write_text("00:00:01,000 --> 00:00:02,000\nyes\n", encoding="utf-8")
    result = run("predict", make_clip(tmp_path), "--segment-s", "10", "--text", words)
    assert result.exit_code == 0, result.output
    assert divided[0]["text"] == words


def test_what_does_not_go_with_segments_is_refused(
    divided: list[dict[str, object]], tmp_path: Path
) -> None:
    clip = make_clip(tmp_path)
    for flags in (("--csv",), ("--output", tmp_path / "a.csv")):
        wrong = run("predict", clip, "--segment-s", "10", *flags)
        assert wrong.exit_code == 2
        assert "segments are written as text or JSON" in " ".join(wrong.stderr.split())
    assert run("predict", "--text", "yes", "--segment-s", "10").exit_code == 2
    assert run("predict", clip, "--segment-s", "0").exit_code == 2
    assert divided == []


def test_stopped_segments_keep_what_is_answered(
    stub: StubPredictor, divided: list[dict[str, object]], tmp_path: Path
) -> None:
    stub.stop_after = 1
    clips = (make_clip(tmp_path), make_clip(tmp_path, "frown.mp4"))
    result = run("predict", *clips, "--segment-s", "10")
    assert result.exit_code == 130
    assert "stopped: 1 of 2 clips are done" in result.stderr
    assert "the mean of 1 of 1 segments" in result.stdout


def test_long_films_get_one_hint_at_segments(
    stub: StubPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = {"smile.mp4": 359.6, "frown.mp4": 60.0, "still.jpg": None, "long.mp4": 61.0}
    monkeypatch.setattr("emotion_llama.media.file_duration_s", lambda path: lengths[path.name])
    clips = [make_clip(tmp_path, name) for name in lengths]
    one = run("predict", *clips[:3])
    hint = "is 360 s long and was read as one; --segment-s 20 answers per segment"
    assert f"note: {clips[0]} {hint}" in " ".join(one.stderr.split())
    both = run("predict", *clips, "--json")
    assert both.stderr.count("note:") == 1
    assert "note: 2 clips are longer than 60 s and were read as one" in both.stderr
    assert "note:" not in run("predict", *clips[1:3]).stderr


def test_json_is_one_object_a_line_and_nothing_else(stub: StubPredictor, folder: Path) -> None:
    result = run("predict", folder, "--json")
    assert result.exit_code == 1
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["clip"] for row in rows] == [str(folder / "b.MP4"), str(folder / "deep/a.wav")]
    assert rows[0] == json.loads(json.dumps(make_prediction(rows[0]["clip"]).to_dict()))


def test_failures_are_listed_in_one_line_each(stub: StubPredictor, folder: Path) -> None:
    result = run("predict", folder, folder / "absent.mp4", folder / "notes.txt", "--json")
    assert result.exit_code == 1
    assert "2 of 5 have no answer" in result.stderr
    broken = folder / "deep/broken.mkv"
    assert f"  {broken}: found noise; expected a picture; record it again\n" in result.stderr
    assert f"{folder / 'absent.mp4'}: no such file" in result.stderr
    assert "Traceback" not in result.output


def test_csv_is_a_flat_table(stub: StubPredictor, folder: Path) -> None:
    result = run("predict", folder / "b.MP4", folder / "deep/a.wav", "--csv")
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 2
    columns = "clip label confidence unsure valence reason p_neutral p_happy p_sad missing"
    assert " ".join(rows[0]) == columns
    assert rows[0]["p_happy"] == "0.7"
    assert rows[0]["unsure"] == "false"
    assert rows[0]["missing"] == "temporal: one frame only; text: no transcript was given"


def test_many_clips_get_one_line_each(stub: StubPredictor, tmp_path: Path) -> None:
    folder = tmp_path / ("a long name " * 12)
    folder.mkdir()
    for number in range(FULL_ANSWERS + 1):
        make_clip(folder, f"{number}.mp4")
    result = run("predict", folder)
    lines = result.stdout.splitlines()
    assert len(lines) == FULL_ANSWERS + 1
    assert all("happy" in line and ".mp4" in line for line in lines)


def test_a_loop_of_links_ends_and_each_file_comes_once(stub: StubPredictor, folder: Path) -> None:
    (folder / "deep" / "loop").symlink_to(folder, target_is_directory=True)
    result = run("predict", folder, folder / "b.MP4", "--json")
    assert [name for name, _ in stub.asked] == ["b.MP4", "a.wav", "broken.mkv"]
    assert len(result.stdout.splitlines()) == 2


def test_folder_without_media_and_named_pipe_are_failures(
    stub: StubPredictor, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run("predict", empty, pipe)
    assert result.exit_code == 1
    assert "no media file in this folder" in result.stderr
    assert "not a regular file" in result.stderr
    assert stub.settings == {}, "no weights are loaded when no clip is left"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a clip or a folder"),
        (("CLIP", "--json", "--csv"), "exclude each other"),
        (("CLIP", "--colour"), "No such option"),
        (("CLIP", "--labels", "merrr"), "no label set"),
        (("CLIP", "--labels", "sad,sad"), "repeats"),
        (("CLIP", "--decision", "guess"), "guess"),
        (("CLIP", "--text", "absent.srt"), "there is no file"),
        (("CLIP", "-o", "absent/out.json"), "there is no folder"),
        (("CLIP", "-o", "out.xlsx"), "names no form"),
        (("CLIP", "--preset", "absent"), "no preset 'absent'"),
    ],
)
def test_wrong_commands_exit_2(
    stub: StubPredictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    make_clip(tmp_path, "CLIP")
    monkeypatch.chdir(tmp_path)
    result = run("predict", *arguments)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert stub.asked == []


@pytest.mark.parametrize("name", ["sm íle 😀.mp4", "笑.mp4", "[bold]x.mp4", "a\nb\x1b[31m.mp4"])
def test_names_of_any_kind(stub: StubPredictor, tmp_path: Path, name: str) -> None:
    clip = make_clip(tmp_path, name)
    shown = run("predict", clip)
    assert shown.exit_code == 0, shown.output
    assert terminal.printable(name) in shown.stdout.replace("\n", "")
    assert "\x1b" not in shown.stdout
    exact = run("predict", clip, "--json")
    assert json.loads(exact.stdout)["clip"] == str(clip)


def test_a_name_that_is_no_unicode(stub: StubPredictor, tmp_path: Path) -> None:
    try:
        clip = make_clip(tmp_path, os.fsdecode(b"caf\xe9.mp4"))
    except OSError:
        pytest.skip("this file system takes only unicode names")
    output = tmp_path / "out.jsonl"
    result = run("predict", tmp_path, "-o", output)
    assert result.exit_code == 0, result.output
    assert json.loads(output.read_text("utf-8"))["clip"] == str(clip)


def test_output_file_keeps_its_lines_and_is_not_destroyed(
    stub: StubPredictor, folder: Path
) -> None:
    output = folder.parent / "out.jsonl"
    first = run("predict", folder / "b.MP4", "--output", output)
    assert (first.exit_code, first.stdout) == (0, "")
    assert f"wrote {output}" in first.stderr
    before = output.read_text("utf-8")
    assert json.loads(before)["label"] == "happy"
    second = run("predict", folder / "b.MP4", "--output", output)
    assert second.exit_code == 2
    assert "--overwrite" in second.stderr
    assert output.read_text("utf-8") == before
    third = run("predict", folder / "b.MP4", "--output", output, "--csv", "--overwrite")
    assert third.exit_code == 0
    assert output.read_text("utf-8").startswith("clip,label")


def test_stopping_keeps_what_is_written_and_says_how_much(
    stub: StubPredictor, folder: Path
) -> None:
    stub.stop_after = 1
    output = folder.parent / "out.jsonl"
    result = run("predict", folder, "--output", output)
    assert result.exit_code == 130
    assert "stopped: 1 of 3 clips are done" in result.stderr
    assert len(output.read_text("utf-8").splitlines()) == 1


def test_text_from_subtitles(stub: StubPredictor, tmp_path: Path) -> None:
    subtitles = tmp_path / "talk.srt"
    subtitles.write_text(
        "1\n00:00:00,000 --> 00:00:01,000\nWhat a\n\n2\n00:00:01,000 --> 00:00:02,000\nday!\n"
    )
    result = run("predict", make_clip(tmp_path), "--text", subtitles)
    assert result.exit_code == 0, result.output
    assert stub.asked == [("smile.mp4", "What a day!")]


def test_text_from_a_table_goes_to_its_clip(stub: StubPredictor, folder: Path) -> None:
    table = folder / "said.csv"
    table.write_text("name,sentence\na,Hello.\nb,Go away.\n")
    result = run("predict", folder, "--text", table, "--json")
    assert stub.asked == [("b.MP4", "Go away."), ("a.wav", "Hello.")]
    assert result.exit_code == 1
    assert "'broken'" in result.stderr, "the clip that the table lacks is named"


def test_one_sentence_for_several_clips_is_noted(stub: StubPredictor, folder: Path) -> None:
    result = run("predict", folder / "b.MP4", folder / "deep/a.wav", "--text", "Hello.")
    assert [text for _, text in stub.asked] == ["Hello.", "Hello."]
    assert "the same --text goes with all 2 clips" in result.stderr


def test_text_alone_is_judged(stub: StubPredictor) -> None:
    sentence = "I passed. " * 100  # longer than any file name
    result = run("predict", "--text", sentence, "--json")
    assert result.exit_code == 0, result.output
    assert stub.asked == [(None, sentence.strip())]
    assert json.loads(result.stdout)["clip"] == "text"


@pytest.mark.parametrize("flags", [(), ("--debug",)])
def test_the_reason_can_be_left_out(
    stub: StubPredictor, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    result = run("predict", make_clip(tmp_path), "--no-reason", "--json", *flags)
    assert json.loads(result.stdout)["reason"] == ""


def test_debug_shows_the_traceback(stub: StubPredictor, folder: Path) -> None:
    result = run("predict", folder / "deep/broken.mkv", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_what_is_seen_and_heard_alone_is_one_line_of_an_answer() -> None:
    alone = {"seen": {"happy": 0.25, "sad": 0.75}, "heard": {"happy": 0.9, "sad": 0.1}}

    def shown(**changes: object) -> str:
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(terminal.answer(make_prediction("a", **changes)))
        return console.export_text()

    assert "  seen alone: sad 75 %, heard alone: happy 90 %" in shown(alone=alone)
    assert "alone" not in shown()


def test_unsure_and_unparsed_answers_say_so() -> None:
    unsure = terminal.headline(make_prediction("a", unsure=True)).plain
    assert "unsure: confidence below 0.5" in unsure
    unparsed = terminal.headline(make_prediction("a", label=None)).plain
    assert "NO LABEL" in unparsed


@pytest.mark.parametrize(("share", "cells"), [(0.0, 0), (0.5, 16), (1.0, 32), (7.0, 32), (-1.0, 0)])
def test_bar_length(share: float, cells: int) -> None:
    assert terminal.bar(share) == "█" * cells
    assert terminal.bar(share, ascii_only=True) == "#" * cells


@pytest.fixture
def published(tmp_path: Path) -> list[object]:
    """Give the flags of a conversion whose files exist."""
    (tmp_path / "llama").mkdir()
    vision, checkpoint = make_clip(tmp_path, "eva.pth"), make_clip(tmp_path, "published.pth")
    files = ("--llama", tmp_path / "llama", "--vision", vision, "--checkpoint", checkpoint)
    return [*files, tmp_path / "out"]


def test_convert_shows_what_became_of_every_tensor(
    published: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def convert(*paths: Path, **options: object) -> CoverageReport:
        asked.extend([*paths, options])
        paths[-1].mkdir()
        report = CoverageReport()
        for layer in (0, 1):
            report.add(f"layers.{layer}.weight", f"model.{layer}.weight", (2, 3), "loaded")
        report.add("attention.weight", "", (2, 2), "ignored", "never called")
        return report

    monkeypatch.setattr("emotion_llama.model.checkpoint.convert", convert)
    flags = ("--init-missing", "--reason-tag", "reason_v2", "--vision-layers", 3)
    result = run("convert", *published, *flags)
    assert result.exit_code == 0, result.output
    options = {"init_missing": True, "reason_tag": "reason_v2", "vision": VisionSizes(3, 16)}
    assert asked == [*published[1:6:2], published[6], options]
    assert "layers.*.weight" in result.stdout
    assert "-> model.*.weight" in result.stdout
    assert "ignored: never called" in result.stdout
    assert "2 loaded, 1 ignored" in result.stdout
    assert (tmp_path / "out" / "media.json").is_file()


def test_convert_places_encoders_and_says_so(
    published: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[tuple[dict[str, str | None], Path]] = []
    steps: list[str] = []

    @contextmanager
    def placed_encoders(sources: dict[str, str | None], preset: Path) -> Iterator[list[str]]:
        placed.append((sources, preset))
        steps.append("checked")
        yield ["local: 22 tensors of mae.pth"]
        steps.append("placed")

    def convert(*paths: Path, **options: object) -> CoverageReport:
        steps.append("converted")
        paths[-1].mkdir()
        return CoverageReport()

    monkeypatch.setattr("emotion_llama.encoders.placement.placed_encoders", placed_encoders)
    monkeypatch.setattr("emotion_llama.model.checkpoint.convert", convert)
    result = run("convert", *published, "--audio-encoder", "a/b", "--local-encoder", "mae.pth")
    assert result.exit_code == 0, result.output
    sources = {"audio": "a/b", "local": "mae.pth", "temporal": None}
    assert placed == [(sources, published[6])]
    assert steps == ["checked", "converted", "placed"]
    assert "local: 22 tensors of mae.pth" in result.stderr


def test_convert_with_an_absent_encoder_converts_nothing(
    published: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emotion_llama.model.checkpoint.convert", lambda *_, **__: 1 / 0)
    result = run("convert", *published, "--temporal-encoder", "absent.pth")
    assert result.exit_code == 1
    assert "there is no file absent.pth" in result.stderr


def test_doctor_names_what_is_missing_and_fails_only_for_the_asked_preset(tmp_path: Path) -> None:
    both = run("doctor")
    assert both.exit_code == 0, both.output
    assert "preset mini" in both.stdout and "preset 7b" in both.stdout
    assert "MISSING  audio encoder" in both.stdout
    published = run("doctor", "--preset", "7b")
    assert published.exit_code == 1
    assert "chinese-hubert-large" in published.stdout and "mini" not in published.stdout
    assert run("doctor", "--preset", "mini").exit_code == 0
    assert run("doctor", "--preset", tmp_path).exit_code == 1
    absent = run("doctor", "--preset", tmp_path / "absent")
    assert absent.exit_code == 1 and "is no folder" in absent.stderr


def test_a_refused_conversion_is_one_line(
    published: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(*paths: Path, **options: object) -> CoverageReport:
        msg = "the checkpoint lacks\nllama_proj.weight"
        raise CheckpointError(msg)

    monkeypatch.setattr("emotion_llama.model.checkpoint.convert", convert)
    result = run("convert", *published)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: the checkpoint lacks llama_proj.weight\n"


def test_conversion_of_absent_files_is_a_wrong_command(tmp_path: Path) -> None:
    files = ("--llama", tmp_path, "--vision", tmp_path, "--checkpoint", tmp_path / "absent.pth")
    assert run("convert", *files, tmp_path / "out").exit_code == 2
    assert run("export", tmp_path / "absent", tmp_path / "out.pth").exit_code == 2


def test_export_replaces_no_file_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def export(folder: Path, path: Path) -> CoverageReport:
        written.append(path)
        return CoverageReport()

    monkeypatch.setattr("emotion_llama.model.checkpoint.export", export)
    target = make_clip(tmp_path, "published.pth")
    refused = run("export", tmp_path, target)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert run("export", tmp_path, target, "--overwrite").exit_code == 0
    assert written == [target]


def test_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("emotion-llama ")
