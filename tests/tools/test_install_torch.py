"""Which build of torch is asked for, and from where; pip itself is never run."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "install_torch.py"


class Installer:
    """The script with pip and the GPU replaced; ``reachable`` is what the CPU index answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, gpu: bool, reachable: bool) -> None:
        self.names: dict[str, Any] = runpy.run_path(str(SCRIPT))
        self.commands: list[tuple[str, ...]] = []
        replaced = self.names["main"].__globals__
        monkeypatch.setitem(replaced, "has_gpu", lambda: gpu)
        monkeypatch.setitem(replaced, "installed_build", lambda: "cpu")

        def pip(*arguments: str) -> bool:
            self.commands.append(arguments)
            return reachable or self.names["CPU_INDEX"] not in arguments

        monkeypatch.setitem(replaced, "pip", pip)
        self.monkeypatch = monkeypatch

    def run(self, *arguments: str) -> None:
        self.monkeypatch.setattr(sys, "argv", ["install_torch.py", *arguments])
        self.names["main"]()


def test_without_a_gpu_only_the_cpu_index_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installer = Installer(monkeypatch, gpu=False, reachable=True)
    installer.run()
    (command,) = installer.commands
    assert "--no-deps" in command
    assert installer.names["CPU_INDEX"] in command
    assert "no GPU is seen; TORCH=cuda overrides" in capsys.readouterr().out


def test_an_unreachable_cpu_index_falls_back_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installer = Installer(monkeypatch, gpu=False, reachable=False)
    installer.run("auto")
    assert len(installer.commands) == 2
    assert installer.names["CPU_INDEX"] not in installer.commands[1]
    assert "may be the CUDA build" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("gpu", "arguments"), [(True, ()), (False, ("cuda",))])
def test_cuda_comes_from_the_configured_index(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, arguments: tuple[str, ...]
) -> None:
    installer = Installer(monkeypatch, gpu=gpu, reachable=True)
    installer.run(*arguments)
    assert installer.commands[-1] == ("install", installer.names["torch_requirement"]())


@pytest.mark.parametrize(("wanted", "removed"), [("cpu", False), ("cuda", True), ("auto", False)])
def test_the_other_build_goes_only_on_request(
    monkeypatch: pytest.MonkeyPatch, wanted: str, removed: bool
) -> None:
    installer = Installer(monkeypatch, gpu=True, reachable=True)
    installer.run(wanted)
    assert (("uninstall", "--yes", "torch") in installer.commands) is removed


def test_the_version_bound_is_the_one_of_the_project() -> None:
    requirement = runpy.run_path(str(SCRIPT))["torch_requirement"]()
    pyproject = (SCRIPT.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert requirement.startswith("torch>=")
    assert f'"{requirement}"' in pyproject


def test_an_unknown_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installer = Installer(monkeypatch, gpu=False, reachable=True)
    with pytest.raises(SystemExit, match="TORCH=rocm is no build"):
        installer.run("rocm")
    assert installer.commands == []
