"""What a preset and an installation lack, and where the missing parts come from.

Knows: the parts of a preset's folder, public sources of the published ones, what is installed.
Does not know: whether weights are any good; nothing is loaded, and no server is asked.
"""

import json
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from emotion_llama.version import __version__

_DISTRIBUTION = "emotion-llama"
_PRESETS = Path(__file__).parent / "presets"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model")
_WEIGHTS = "*.safetensors"
_INDEX = "model.safetensors.index.json"
_CORE = ("torch", "transformers", "peft", "numpy", "av")

_REINSTALL = "is part of the package: install it again"
_SOURCES: Mapping[str, str] = {
    "configuration": "written by `emotion-llama convert`",
    "language model": (
        "meta-llama/Llama-2-7b-chat-hf on the Hugging Face hub (access is granted by Meta) and an "
        "Emotion-LLaMA checkpoint of the authors' release: `emotion-llama convert --llama DIR "
        "--checkpoint FILE.pth ...`"
    ),
    "tokenizer": "comes with meta-llama/Llama-2-7b-chat-hf",
    "global encoder": (
        "eva_vit_g.pth of BLIP-2's public release, or a BLIP-2 folder: `convert --vision`"
    ),
    "audio encoder": (
        "TencentGameMate/chinese-hubert-large on the Hugging Face hub: `convert --audio-encoder`"
    ),
    "local encoder": (
        "the authors' MAE ViT-L/16 trained on faces, published with their features (else "
        "facebook/vit-mae-large, which was not trained on faces): `convert --local-encoder`"
    ),
    "temporal encoder": (
        "the authors' VideoMAE ViT-L trained on faces, published with their features (else "
        "MCG-NJU/videomae-large, which was not): `convert --temporal-encoder`"
    ),
}
"""Parts of the published preset -> where the public files are."""

_ROLES = ("global", "audio", "local", "temporal")


@dataclass(frozen=True)
class Finding:
    """One part, and whether it is there."""

    part: str
    present: bool
    detail: str
    """what was found, or where it comes from"""
    required: bool = True


def examine_preset(preset: str) -> list[Finding]:
    """Look for the parts of a preset, without loading them.

    Args:
        preset: ``mini``, ``7b`` (which is not packaged: every part is missing), or a folder

    Returns:
        one row for each part

    Raises:
        FileNotFoundError: it is neither of the two, and no folder
    """
    if preset not in ("mini", "7b") and not Path(preset).is_dir():
        msg = f"{preset} is no folder; give mini, 7b, or the folder of a preset"
        raise FileNotFoundError(msg)
    packaged = preset == "mini"
    folder = _PRESETS / preset if preset in ("mini", "7b") else Path(preset)
    found = {
        "configuration": _file(folder, ("config.json",)),
        "language model": _weights(folder),
        "tokenizer": _file(folder, _TOKENIZERS),
        **{f"{role} encoder": _encoder(folder / "encoders" / role) for role in _ROLES},
    }
    return [
        Finding(part, bool(detail), detail or (_REINSTALL if packaged else _SOURCES[part]))
        for part, detail in found.items()
    ]


def examine_installation() -> list[Finding]:
    """Look for the packages, the optional ones, and a GPU."""
    libraries = [_installed(name, required=True) for name in _CORE]
    python = Finding("python", True, platform.python_version())
    own = Finding(_DISTRIBUTION, True, __version__)
    return [own, python, *libraries, _gpu(), *_extras()]


def is_complete(findings: Iterable[Finding]) -> bool:
    """Tell whether every required part is there."""
    return all(finding.present for finding in findings if finding.required)


def _file(folder: Path, names: Iterable[str]) -> str:
    return next((name for name in names if (folder / name).is_file()), "")


def _weights(folder: Path) -> str:
    """Name the weight files of a folder; empty where one is missing."""
    index = folder / _INDEX
    if index.is_file():
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return f"{len(named)} files" if all((folder / name).is_file() for name in named) else ""
    files = sorted(folder.glob(_WEIGHTS)) if folder.is_dir() else []
    return ", ".join(path.name for path in files)


def _encoder(folder: Path) -> str:
    """Name the type of the encoder in a folder; empty where there is none."""
    if not _file(folder, ("config.json",)) or not _weights(folder):
        return ""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return str(config.get("encoder_type") or "of no stated type")


def _installed(name: str, *, required: bool) -> Finding:
    try:
        return Finding(name, True, version(name), required)
    except PackageNotFoundError:
        return Finding(name, False, f"`pip install {name}`", required)


def _gpu() -> Finding:
    try:
        import torch

        seen = torch.cuda.is_available()
        detail = torch.cuda.get_device_name() if seen else "none seen; answers come from the CPU"
    except (ImportError, OSError, RuntimeError) as error:
        seen, detail = False, f"not known: {error}"
    return Finding("GPU", seen, detail, required=False)


def _extras() -> list[Finding]:
    """Look for the optional packages, as the installed metadata lists them."""
    try:
        lines = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    packages: dict[str, list[str]] = {}
    for line in lines:
        match = re.match(r"""([\w.-]+).*;.*extra\s*==\s*['"]([\w-]+)['"]""", line)
        if match and match[1] != _DISTRIBUTION and match[2] not in ("all", "dev"):
            packages.setdefault(match[2], []).append(match[1])
    return [_extra(name, needed) for name, needed in packages.items()]


def _extra(name: str, packages: Iterable[str]) -> Finding:
    absent = [p for p in packages if not _installed(p, required=False).present]
    advice = f'lacks {", ".join(absent)}: `pip install "{_DISTRIBUTION}[{name}]"`'
    detail = advice if absent else ", ".join(packages)
    return Finding(f"extra {name}", not absent, detail, required=False)
