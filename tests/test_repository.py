"""What holds for the repository as a whole: layers, the tree in the README, paths, file sizes."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "emotion_llama"

GROUND = {"version", "labels", "records", "config"}
INPUT = {"media", "face", "voice", "prompt", "encoders", "model", "data", "merr"}
MEASURES = {"evaluation.metrics", "evaluation.wheel"}

LAYERS: dict[str, set[str]] = {
    "version": set(),
    "labels": set(),
    "records": {"labels"},
    "config": {"labels", "records"},
    "prompt": GROUND,
    "evaluation.metrics": GROUND,
    "evaluation.wheel": GROUND,
    "media": GROUND,
    "face": GROUND | {"device"},
    "voice": GROUND,
    "encoders": GROUND,
    "feature_store": GROUND,
    "model": GROUND,
    "model.processor": GROUND | {"prompt"},
    "data": GROUND | (INPUT - {"encoders"}) | MEASURES | {"feature_store"},
    "merr": GROUND | (INPUT - {"data"}) | MEASURES | {"clip_faces"},
    "training": GROUND | {"data", "model", "preset", "prompt"} | MEASURES,
    "config_file": set(),
    "preset": GROUND,
    "clip_reader": GROUND | {"clip_words", "media", "face"},
    "clip_words": GROUND | {"language", "media"},
    "clip_faces": GROUND | {"media", "face"},
    "device": set(),
    "pseudo_label": GROUND | {"preset", "predict"},
    "evidence": GROUND | {"face", "voice", "merr"},
    "reason_conclusion": GROUND | {"merr"},
    "reason_choice": GROUND | {"merr", "reason_conclusion"},
    "encoded_clip": GROUND | {"reason_choice", "reason_conclusion"},
    "modalities": GROUND | {"encoded_clip"},
    "reason_writing": GROUND | {"model", "reason_choice", "reason_conclusion"},
    "predict": GROUND
    | INPUT
    | MEASURES
    | {
        "preset",
        "clip_reader",
        "clip_words",
        "device",
        "encoded_clip",
        "evidence",
        "language",
        "modalities",
        "reason_choice",
        "reason_conclusion",
        "reason_writing",
    },
    "timeline": GROUND | {"media", "predict"},
    "train": GROUND
    | INPUT
    | MEASURES
    | {"training", "clip_reader", "evidence", "preset", "device"},
    "bulk": set(),
    "bulk_ray": {"bulk"},
    "extract": GROUND
    | {
        "bulk",
        "bulk_ray",
        "clip_reader",
        "encoders",
        "evidence",
        "feature_store",
        "media",
        "preset",
    },
    "markup": GROUND,
    "language": set(),
    "evaluation": GROUND
    | INPUT
    | MEASURES
    | {
        "predict",
        "preset",
        "clip_reader",
        "encoded_clip",
        "evidence",
        "modalities",
        "markup",
        "config_file",
        "bulk",
        "bulk_ray",
    },
    "server": GROUND
    | {"media", "face", "voice", "prompt", "merr"}
    | {"predict", "clip_reader", "encoded_clip", "evidence", "modalities", "markup", "terminal"}
    | {"clip_words", "language"},
    "terminal": GROUND,
    "doctor": GROUND,
    "face_report": GROUND | {"media", "face", "clip_faces", "terminal"},
    "cli": GROUND
    | INPUT
    | MEASURES
    | {
        "terminal",
        "doctor",
        "face_report",
        "preset",
        "clip_reader",
        "clip_words",
        "clip_faces",
        "modalities",
        "timeline",
        "pseudo_label",
        "server",
        "bulk_ray",
        "config_file",
        "device",
        "feature_store",
        "extract",
        "predict",
        "train",
        "training",
        "bulk",
    }
    | {"evaluation"},
    "__main__": {"cli"},
}
"""Module or sub-package -> what it may import of the package; the longest name counts.

Nothing imports ``cli``, ``terminal``, ``face_report`` or ``server`` but the entry points and one
another as the table has it.
"""

NO_TORCH = MEASURES | {
    "version",
    "labels",
    "records",
    "config",
    "prompt",
    "bulk",
    "media.manifest",
    "terminal",
    "cli",
    "__main__",
}
"""Modules, and packages with all in them, that load without torch and transformers; inside a
function they may import them."""

MACHINE_PATH = re.compile(
    r"(?<![\w.:/])/(?:home|Users|root|mnt|media|scratch|work)/[\w.-]"
    r"|[A-Z]:\\+Users|--data \.\./"
)
"""Folders that exist on somebody's machine only, and a data folder beside the checkout."""

MAX_BYTES = 250_000
LARGE_FILES = ("emotion_llama/presets/", "examples/", "docs/", "tests/parity/")


@cache
def tracked() -> list[str]:
    """Name the files under version control, or skip where there is no version control."""
    try:
        listing = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"NOT CHECKED: git names no tracked files here ({error})")
    return [name for name in listing.stdout.decode().split("\0") if (ROOT / name).is_file()]


def modules() -> dict[str, ast.Module]:
    """Parse every module of the package, by its dotted name without the package's own."""
    parsed = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        parsed[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return parsed


def row(name: str, table: dict[str, set[str]]) -> str | None:
    """Find the longest entry of a table that is the module or a package around it."""
    parts = name.split(".")
    prefixes = (".".join(parts[:size]) for size in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in table), None)


def imports(name: str, tree: ast.AST, *, at_load: bool = False) -> Iterator[str]:
    """Give the dotted names that a module imports; with ``at_load`` only when it is loaded."""
    is_package = (ROOT / PACKAGE / name.replace(".", "/")).is_dir()
    inside = [PACKAGE, *filter(None, name.split(".")), *([""] if is_package else [])]
    for node in ast.iter_child_nodes(tree):
        if at_load and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if at_load and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from package import module` names a module only together with what is imported
            above = inside[: -node.level] if node.level else []
            source = [*above, node.module]
            yield from (".".join([*filter(None, source), alias.name]) for alias in node.names)
        else:
            yield from imports(name, node, at_load=at_load)


def forbidden(name: str, imported: str) -> bool:
    """Say whether a module may not import something of the package."""
    if imported.split(".")[0] != PACKAGE:
        return False
    target = imported.removeprefix(PACKAGE).removeprefix(".")
    own = row(name, LAYERS)
    assert own is not None, f"{name} has no row in LAYERS; give it one"
    if target.split(".")[0] == own.split(".")[0] and own not in GROUND:
        return False
    allowed = LAYERS[own] | {own}
    return row(target, {entry: set() for entry in allowed}) is None


def test_modules_import_only_what_their_layer_may() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        if name  # the package's own __init__ re-exports
        for imported in imports(name, tree)
        if forbidden(name, imported)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "imported", "expected"),
    [
        ("model.projector", "emotion_llama.media.read_clip", True),
        ("model.projector", "emotion_llama.prompt.render", True),
        ("model.processor", "emotion_llama.prompt.render", False),
        ("model.processor", "emotion_llama.model.projector.Projector", False),
        ("labels", "emotion_llama.records.Clip", True),
        ("train", "emotion_llama.predict.Predictor", True),
        ("predict", "emotion_llama.cli.main", True),
        ("data.dataset", "emotion_llama.encoders.mini_audio_encoder.MelAudioEncoder", True),
        ("data.dataset", "emotion_llama.feature_store.FeatureStore", False),
        ("server.api", "emotion_llama.model.projector.Projector", True),
        ("media.clip", "torch.nn", False),
    ],
)
def test_the_layer_check_sees_what_it_should(name: str, imported: str, expected: bool) -> None:
    assert forbidden(name, imported) is expected


def test_relative_imports_are_resolved() -> None:
    tree = ast.parse("from ..prompt import render\nfrom .projector import Projector\n")
    found = list(imports("model.processor", tree))
    assert found == ["emotion_llama.prompt.render", "emotion_llama.model.projector.Projector"]
    assert list(imports("model", ast.parse("from . import processor"))) == [
        "emotion_llama.model.processor"
    ]


def test_light_modules_load_without_torch() -> None:
    heavy = {"torch", "transformers", "peft"}
    wrong = [
        f"{name} imports {imported} when it is loaded"
        for name, tree in modules().items()
        if row(name, {entry: set() for entry in NO_TORCH})
        for imported in imports(name, tree, at_load=True)
        if imported.split(".")[0] in heavy
    ]
    assert wrong == []


def test_the_command_line_answers_without_loading_what_is_slow() -> None:
    command = "import sys, emotion_llama.cli; print(*sys.modules)"
    listing = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, check=True, text=True
    )
    heavy = {"torch", "transformers", "pyarrow", "cv2", "av", "numpy", "pydantic"}
    assert heavy & set(listing.stdout.split()) == set()


def tree_in_readme(text: str) -> set[str]:
    """Read the paths of the files out of the fenced tree that begins with the package's name."""
    block = re.search(rf"^```\w*\n({PACKAGE}/.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block, f"README.md has no fenced tree that begins with {PACKAGE}/"
    folders: list[str] = []
    files = set()
    for line in block[1].splitlines():
        entry = re.match(r"^([\s│├└─|`+-]*)([\w.-]+/?)", line)
        if entry is None:
            continue
        depth = len(entry[1]) // 4
        folders[depth:] = [entry[2]]
        if not entry[2].endswith("/"):
            files.add("".join(folders))
    return files


def test_the_readme_tree_is_the_real_tree() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("NOT CHECKED: there is no README.md yet")
    written = {name for name in tree_in_readme(readme.read_text("utf-8")) if name.endswith(".py")}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*.py")}
    real = {name for name in files if not name.endswith("__init__.py")}
    assert real - written == set(), "files that the tree lacks"
    inits = files - real
    assert written - real - inits == set(), "files that are only in the tree"


def test_the_readme_tree_is_read_at_every_depth() -> None:
    text = (
        "```\nemotion_llama/\n├── labels.py   names\n│\n├── media/   in\n│   └── deep/\n"
        "│       └── video.py  frames\n└── cli.py\n```\n"
    )
    assert tree_in_readme(text) == {
        "emotion_llama/labels.py",
        "emotion_llama/media/deep/video.py",
        "emotion_llama/cli.py",
    }


def test_no_path_of_one_machine() -> None:
    wrong = []
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" in content or name == "tests/test_repository.py":
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
            if MACHINE_PATH.search(line):
                wrong.append(f"{name}:{number}: {line.strip()[:100]}")
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("path = '/home/someone/clips'", True),
        ("open('/work/main/x')", True),
        ("--data ../data", True),
        ("https://example.org/home/page", False),
        ("`emotion_llama/media/video.py`", False),
        ("#!/usr/bin/env bash", False),
    ],
)
def test_the_path_check_sees_what_it_should(line: str, expected: bool) -> None:
    assert bool(MACHINE_PATH.search(line)) is expected


def test_no_compiled_and_no_large_file_is_tracked() -> None:
    names = tracked()
    assert [name for name in names if name.endswith((".pyc", ".pyo"))] == []
    sizes = {
        name: (ROOT / name).stat().st_size for name in names if not name.startswith(LARGE_FILES)
    }
    assert {name: size for name, size in sizes.items() if size > MAX_BYTES} == {}


def test_remote_code_is_never_trusted() -> None:
    wrong = [
        f"{name}:{node.value.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword)
        and node.arg == "trust_remote_code"
        and not (isinstance(node.value, ast.Constant) and node.value.value is False)
    ]
    assert wrong == []


def test_every_module_says_what_it_is() -> None:
    long = {
        name: len(doc.splitlines())
        for name, tree in modules().items()
        if len((doc := ast.get_docstring(tree) or "").splitlines()) not in range(1, 7)
    }
    assert long == {}, "a module opens with one to six lines on what it knows and does not know"
