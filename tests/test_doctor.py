"""What a preset and an installation lack."""

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from emotion_llama import doctor
from emotion_llama.doctor import examine_installation, examine_preset, is_complete

PARTS = [
    "configuration",
    "language model",
    "tokenizer",
    "global encoder",
    "audio encoder",
    "local encoder",
    "temporal encoder",
]


def write_preset(folder: Path) -> None:
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.model"):
        (folder / name).touch()
    for role in ("global", "audio", "local", "temporal"):
        encoder = folder / "encoders" / role
        encoder.mkdir(parents=True)
        (encoder / "config.json").write_text(json.dumps({"encoder_type": f"some_{role}"}))
        (encoder / "model.safetensors").touch()


def absent(preset: str | Path) -> list[str]:
    return [finding.part for finding in examine_preset(str(preset)) if not finding.present]


def test_the_packaged_preset_is_complete() -> None:
    findings = examine_preset("mini")
    assert [finding.part for finding in findings] == PARTS
    assert is_complete(findings)
    assert "mel_audio" in [finding.detail for finding in findings]


def test_the_published_preset_names_a_public_source_for_every_part() -> None:
    findings = examine_preset("7b")
    assert absent("7b") == PARTS and not is_complete(findings)
    named = " ".join(finding.detail for finding in findings)
    for source in (
        "meta-llama/Llama-2-7b-chat-hf",
        "eva_vit_g.pth",
        "TencentGameMate/chinese-hubert-large",
        "facebook/vit-mae-large",
        "MCG-NJU/videomae-large",
        "Emotion-LLaMA checkpoint",
    ):
        assert source in named


@pytest.mark.parametrize(
    ("removed", "part"),
    [
        ("config.json", "configuration"),
        ("model.safetensors", "language model"),
        ("tokenizer.model", "tokenizer"),
        ("encoders/audio/config.json", "audio encoder"),
        ("encoders/local/model.safetensors", "local encoder"),
    ],
)
def test_a_file_that_is_not_there_is_a_part_that_is_missing(
    removed: str, part: str, tmp_path: Path
) -> None:
    folder = tmp_path / "preset"
    write_preset(folder)
    assert absent(folder) == []
    (folder / removed).unlink()
    assert absent(folder) == [part]


def test_every_shard_must_be_there(tmp_path: Path) -> None:
    folder = tmp_path / "preset"
    write_preset(folder)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert absent(folder) == ["language model"]
    (folder / "model-2.safetensors").touch()
    assert absent(folder) == []


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="give mini, 7b, or the folder"):
        examine_preset(str(tmp_path / "absent"))


def test_the_installation_names_versions_gpu_and_extras() -> None:
    rows = {finding.part: finding for finding in examine_installation()}
    assert rows["torch"].present and rows["torch"].detail[0].isdigit()
    assert not rows["GPU"].required
    assert not any(finding.required for part, finding in rows.items() if part.startswith("extra"))


def test_what_is_not_installed_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("peft", "matplotlib"):
            raise PackageNotFoundError(name)
        return "1.0"

    lines = ["peft>=0.18", 'matplotlib>=3.8; extra == "plot"', "soundfile; extra == 'train'"]
    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(doctor, "requires", lambda _name: lines)
    findings = examine_installation()
    rows = {finding.part: finding for finding in findings}
    assert not rows["peft"].present and rows["peft"].detail == "`pip install peft`"
    assert rows["extra plot"].detail == 'lacks matplotlib: `pip install "emotion-llama[plot]"`'
    assert rows["extra train"].present
    assert not is_complete(findings)
