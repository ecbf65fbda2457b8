"""Install torch into the environment that runs this script, in the build that suits the machine.

    python tools/install_torch.py [auto|cpu|cuda]

Without a GPU the CPU build is taken from PyTorch's own index: the package index's Linux build
brings several GB of CUDA libraries. The version bound is read from pyproject.toml.
"""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's index of CPU builds (https://pytorch.org/get-started/locally/)."""

PROJECT_DIR = Path(__file__).resolve().parent.parent


def torch_requirement() -> str:
    """Give the requirement on torch that the project states.

    Raises:
        SystemExit: pyproject.toml states none
    """
    project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    for requirement in project["project"]["dependencies"]:
        if re.match(r"torch\s*[<>=!~]", requirement):
            return str(requirement)
    sys.exit("pyproject.toml lists no torch among its dependencies; add it there")


def installed_build() -> str | None:
    """Give ``cpu`` or ``cuda`` for the torch that is installed, ``None`` without one."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None
    return "cpu" if version.endswith("+cpu") else "cuda"


def has_gpu() -> bool:
    """Say whether the NVIDIA driver answers."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    answer = subprocess.run([tool, "-L"], capture_output=True, check=False)
    return answer.returncode == 0 and b"GPU" in answer.stdout


def pip(*arguments: str) -> bool:
    """Run pip and say whether it succeeded."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def install_cpu(requirement: str) -> None:
    """Install the CPU build, or else whatever the configured index has.

    Only torch itself comes from the CPU index (``--no-deps``): what it needs is installed with the
    package, from the configured index.
    """
    quick = ("--retries", "1", "--timeout", "15")
    if pip("install", "--no-deps", *quick, "--index-url", CPU_INDEX, requirement):
        return
    print(
        f"{CPU_INDEX} gave no torch; trying the configured package index. On Linux this may be "
        "the CUDA build, several GB.",
        flush=True,
    )
    if not pip("install", requirement):
        sys.exit("torch could not be installed; check the network and the pip settings above")


def main() -> None:
    """Install the build named on the command line."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else "auto"
    if wanted not in ("auto", "cpu", "cuda"):
        sys.exit(f"TORCH={wanted} is no build of torch; use TORCH=cpu, TORCH=cuda or leave it out")
    requirement = torch_requirement()
    build = wanted if wanted != "auto" else ("cuda" if has_gpu() else "cpu")
    why = "as asked for" if wanted != "auto" else f"{'a' if build == 'cuda' else 'no'} GPU is seen"
    hint = "; TORCH=cuda overrides" if build == "cpu" and wanted == "auto" else ""
    print(f"torch: {build} build, {why}{hint}", flush=True)
    # Only on request: `auto` keeps a build that is there, which somebody may have chosen.
    if wanted != "auto" and installed_build() not in (None, wanted):
        pip("uninstall", "--yes", "torch")
    if build == "cpu":
        install_cpu(requirement)
    elif not pip("install", requirement):
        sys.exit("torch could not be installed; check the network and the pip settings above")


if __name__ == "__main__":
    main()
