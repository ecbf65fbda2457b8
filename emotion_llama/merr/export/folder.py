"""A folder that appears whole or not at all.

Knows: temporary names. Does not know: what is written.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(out_dir: Path) -> Iterator[Path]:
    """Give a folder to write into; it takes its place when all is written, and else disappears.

    Args:
        out_dir: its place; new or empty, so that nothing of an earlier export is mixed in

    Raises:
        ValueError: the place is taken
    """
    out_dir = out_dir.absolute()
    _require_free(out_dir)
    part = out_dir.with_name(f".{out_dir.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        _require_free(out_dir)
        if out_dir.exists():
            out_dir.rmdir()
        part.replace(out_dir)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def files_below(folder: Path) -> tuple[str, ...]:
    """Name the files of a folder and below it, by their paths in it."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return tuple(sorted(path.relative_to(folder).as_posix() for path in paths))


def _require_free(out_dir: Path) -> None:
    if not out_dir.exists():
        return
    found = "a file" if out_dir.is_file() else f"{sum(1 for _ in out_dir.iterdir())} files in it"
    if out_dir.is_file() or any(out_dir.iterdir()):
        msg = (
            f"{out_dir}: found {found}, expected a new or an empty folder; name another one or "
            "remove what is there"
        )
        raise ValueError(msg)
