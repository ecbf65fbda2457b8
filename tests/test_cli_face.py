"""The command that measures faces: words, files, exit codes, on the packaged example clips."""

import sys
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
from face import planted
from PIL import Image
from typer.testing import CliRunner, Result

from emotion_llama import clip_faces
from emotion_llama.cli import app
from emotion_llama.face import read_action_units
from emotion_llama.media import FilmWriter, stream_frames

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SMILE = EXAMPLES / "smile.mp4"


def run(*arguments: object) -> Result:
    """Run the command line in this process."""
    environment = {"COLUMNS": "200", "NO_COLOR": "1"}
    return CliRunner(env=environment).invoke(app, [str(a) for a in arguments])


def words_of(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Let the command write all three files of the smile."""
    folder = tmp_path_factory.mktemp("smile")
    files = ("--overlay", folder / "a.mp4", "--csv", folder / "a.csv", "--plot", folder / "a.png")
    return folder, run("face", SMILE, *files)


@pytest.fixture
def gap(tmp_path: Path) -> Path:
    """Twelve frames of the smile, four of them in the middle without anybody, no sound."""
    path = tmp_path / "gap.mp4"
    with FilmWriter(path) as film:
        for number, (_, frame) in enumerate(stream_frames(SMILE, 5.0)):
            if number < 12:
                empty = 4 <= number < 8
                film.add(np.full_like(frame, 90) if empty else frame, number / 5)
    return path


@pytest.fixture
def empty_picture(tmp_path: Path) -> Path:
    """A picture of nobody."""
    path = tmp_path / "wall.png"
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(path)
    return path


def test_the_summary_says_what_was_found(written: tuple[Path, Result]) -> None:
    _, result = written
    assert result.exit_code == 0, result.output
    shown = words_of(result.stdout)
    for words in (
        "94 frames, 0.00 to 3.72 s, 25 a second, 320 x 320 px",
        "1: in 100 % of the frames, face",
        "reported here",
        "degrees",
        "relative to this person's own face at rest",
        "AU12 lip corner puller",
        "AU25, AU26 and AU27 (parted lips, dropped jaw), for the clip has audible sound",
        "frames compared",
    ):
        assert words in shown
    assert "\x1b" not in result.output
    assert "nobody" not in shown


def test_the_table_reads_back(written: tuple[Path, Result]) -> None:
    table = read_action_units(written[0] / "a.csv")
    assert len(table.times_s) == 94
    assert table.frames.tolist() == list(range(94))
    assert table.scope == "clip"
    assert "AU12" in table.units


def test_the_overlay_has_every_frame_its_size_and_the_sound(written: tuple[Path, Result]) -> None:
    from emotion_llama.config import MediaConfig
    from emotion_llama.media import read_waveform

    overlay, clip = stream_frames(written[0] / "a.mp4"), stream_frames(SMILE)
    pairs = list(zip(overlay, clip, strict=True))
    assert len(pairs) == 94
    for (drawn_s, drawn), (time_s, frame) in pairs:
        assert drawn_s == pytest.approx(time_s, abs=1e-3)
        assert drawn.shape == frame.shape
    assert read_waveform(written[0] / "a.mp4", MediaConfig()).waveform is not None
    rims = [drawn[100, 0].astype(int) for (_, drawn), _ in pairs]
    yellow = [number for number, (red, _, blue) in enumerate(rims) if red - blue > 100]
    assert len(yellow) == 1, "the peak frame, and only that, has a yellow rim"
    assert f"(frame {yellow[0]})" in written[1].stdout


def test_the_plot_is_a_picture_with_something_in_it(written: tuple[Path, Result]) -> None:
    with Image.open(written[0] / "a.png") as plot:
        assert min(plot.size) > 800
        assert np.asarray(plot.convert("L")).std() > 10
    assert sorted(p.name for p in written[0].iterdir()) == ["a.csv", "a.mp4", "a.png"]


def test_files_are_not_destroyed_without_overwrite(written: tuple[Path, Result]) -> None:
    table = written[0] / "a.csv"
    before = table.read_bytes()
    refused = run("face", SMILE, "--csv", table)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert table.read_bytes() == before


def test_overwrite_replaces(gap: Path, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("old")
    assert run("face", gap, "--csv", table, "--overwrite").exit_code == 0
    assert len(read_action_units(table).times_s) == 8


def test_lips_that_talk_without_sound_are_left_out_and_said(tmp_path: Path) -> None:
    path, hopper = tmp_path / "mute.mp4", planted.load("hopper")
    with FilmWriter(path) as film:
        for number, level in enumerate((0.0, 0.9, 0.2, 0.8, 0.1, 1.0, 0.3, 0.9, 0.0)):
            film.add(planted.render(hopper, "jaw_open", level), number / 5)
    result = run("face", path)
    assert result.exit_code == 0, result.output
    left_out = "AU25, AU26 and AU27 (parted lips, dropped jaw), for the lips are seen to talk"
    assert f"{left_out}, though there is no sound (the file has no sound)" in words_of(
        result.stdout
    )


def test_gaps_are_named_and_drawn(gap: Path, tmp_path: Path) -> None:
    files = ("--overlay", tmp_path / "o.mp4", "--plot", tmp_path / "o.svg")
    result = run("face", gap, *files, "--csv", tmp_path / "o.csv", "--reading", "frequent")
    assert result.exit_code == 0, result.output
    shown = words_of(result.stdout)
    assert "nobody 0.80 to 1.60 s (4 frames)" in shown
    assert "1: in 66 % of the frames" in shown
    assert "AU25, AU26 and AU27 count, for there is no sound (the file has no sound)" in shown
    assert "reading frequent" in shown
    assert read_action_units(tmp_path / "o.csv").frames.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    drawn = [frame for _, frame in stream_frames(tmp_path / "o.mp4")]
    assert len(drawn) == 12
    label = drawn[5][40:90, 100:220].astype(int)
    assert (label[..., 0] - label[..., 2] > 120).any(), "'no face' in orange"
    assert (tmp_path / "o.svg").read_text("utf-8").lstrip().startswith("<?xml")


def test_a_still_picture_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "still.png"
    Image.fromarray(next(stream_frames(SMILE))[1]).save(path)
    opened: list[str] = []

    def noted(package: ModuleType, name: str) -> None:
        real = getattr(package, name)
        monkeypatch.setattr(
            package, name, lambda *given, **named: opened.append(name) or real(*given, **named)
        )

    noted(Image, "open")
    noted(av, "open")
    assert run("face", path).exit_code == 0
    assert opened == ["open"]


def test_a_still_picture(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    frames = [frame for _, frame in stream_frames(SMILE, 2.0)]
    Image.fromarray(frames[-1]).save(path)
    files = ("--overlay", tmp_path / "o.png", "--plot", tmp_path / "p.png")
    result = run("face", path, *files, "--detector", "network")
    assert result.exit_code == 0, result.output
    shown = words_of(result.stdout)
    assert "a still picture of 320 x 320 px" in shown
    assert "relative to the mean face of many people" in shown
    with Image.open(tmp_path / "o.png") as drawn:
        assert drawn.size == (320, 320)
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_fewer_frames_on_request(tmp_path: Path) -> None:
    result = run("face", SMILE, "--fps", "2", "--overlay", tmp_path / "o.mp4")
    assert result.exit_code == 0, result.output
    assert "8 frames, " in result.stdout
    assert len(list(stream_frames(tmp_path / "o.mp4"))) == 8


def test_nobody_is_one_sentence_and_exit_code_1(empty_picture: Path, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    result = run("face", empty_picture, "--csv", table)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{empty_picture}: no face was found in the picture" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not table.exists()


def test_a_broken_file_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no film " * 99)
    for clip in (path, tmp_path / "absent.mp4"):
        result = run("face", clip, "--overlay", tmp_path / "o.mp4")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"error: {clip}: found ")
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "o.mp4").exists()


def test_a_person_who_is_not_there(gap: Path) -> None:
    result = run("face", gap, "--person", "2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "found 1 person, and person 2 was asked for; use --person 1" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--person", "0"), "'--person'"),
        (("--fps", "0"), "'--fps'"),
        (("--detector", "guess"), "guess"),
        (("--csv", "absent/a.csv"), "there is no folder"),
        (("--plot", "a.xlsx"), "expected one of .png, .svg, .pdf"),
        (("--overlay", "a.avi"), "expected one of .mp4, .m4v, .png"),
        (("--overlay", "a.png"), "the clip is a film"),
        (("--csv", "a.png", "--plot", "a.png"), "named twice"),
        (("--overlay", str(SMILE), "--overwrite"), "named twice"),
    ],
)
def test_wrong_commands_exit_2_before_anything_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clip_faces, "look_at", None)
    result = run("face", SMILE, *arguments)
    assert result.exit_code == 2, result.output
    assert said in words_of(result.stderr)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_plot_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("face", SMILE, "--plot", tmp_path / "a.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install 'emotion-llama[plot]'" in result.stderr
