"""A preset as the one that labels: what it is called, what its labels depend on."""

import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emotion_llama.predict import Predictor
from emotion_llama.preset import PresetError, find_preset
from emotion_llama.pseudo_label import PresetLabelMaker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The smallest thing that passes for a preset."""
    made = tmp_path / "own preset"
    (made / "encoders").mkdir(parents=True)
    (made / "config.json").write_text("{}")
    (made / "encoders" / "weights.bin").write_bytes(b"1234")
    return made


def test_a_preset_is_called_without_its_place(folder: Path, tmp_path: Path) -> None:
    assert PresetLabelMaker("mini").name == "preset mini"
    maker = PresetLabelMaker(str(folder))
    assert maker.name == "preset own preset"
    assert str(tmp_path) not in repr([maker.name, maker.version, dict(maker.settings)])


def test_the_version_follows_content_names_and_number_of_files(folder: Path) -> None:
    versions = [PresetLabelMaker(str(folder)).version]
    (folder / "encoders" / "weights.bin").write_bytes(b"1235")
    versions.append(PresetLabelMaker(str(folder)).version)
    (folder / "encoders" / "weights.bin").rename(folder / "encoders" / "other.bin")
    versions.append(PresetLabelMaker(str(folder)).version)
    (folder / "media.json").write_text("{}")
    versions.append(PresetLabelMaker(str(folder)).version)
    assert len({*versions}) == 4
    assert all(len(version) == 16 for version in versions)


def test_a_copy_of_a_preset_has_its_version(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert PresetLabelMaker(str(copy)).version == PresetLabelMaker(str(folder)).version


def test_the_packaged_preset_has_a_version() -> None:
    assert PresetLabelMaker("mini").version == PresetLabelMaker(str(find_preset("mini"))).version


def test_settings_that_change_labels_are_named_and_the_device_is_not() -> None:
    base = PresetLabelMaker("mini").settings
    assert PresetLabelMaker("mini", device="cpu").settings == base
    assert PresetLabelMaker("mini", dtype="bfloat16").settings != base
    assert PresetLabelMaker("mini", labels="mer2023").settings != base


def test_a_maker_is_sent_to_other_processes_with_what_it_knows(folder: Path) -> None:
    maker = PresetLabelMaker(str(folder), "cpu")
    version = maker.version
    sent = pickle.loads(pickle.dumps(maker))
    shutil.rmtree(folder)
    assert sent == maker
    assert sent.version == version, "not hashed again by every process"


def test_a_preset_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="holds no config"):
        _ = PresetLabelMaker(str(tmp_path)).version


def test_a_scored_answer_becomes_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def predictor(*given: Any, **more: Any) -> SimpleNamespace:
        asked.append((given, more))
        return SimpleNamespace(label="happy", probabilities={"happy": 0.7, "sad": 0.3})

    def load(preset: str, **more: Any) -> Any:
        asked.append((preset, more))
        return predictor

    monkeypatch.setattr(Predictor, "from_pretrained", load)
    label = PresetLabelMaker("mini", "cpu", "float32", "happy,sad").load()
    assert label(Path("a.mp4"), "Well.") == ("happy", {"happy": 0.7, "sad": 0.3})
    assert asked == [
        ("mini", {"device": "cpu", "dtype": "float32"}),
        ((Path("a.mp4"), "Well.", "happy,sad"), {"with_reason": False}),
    ]
