"""Read weight files as data, account for every tensor, and write safetensors shards.

Knows: file formats. Does not know: what a tensor means. A file that holds anything but plain data
is refused; tensors stay on disk until they are written out.
"""

import json
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

Status = Literal["loaded", "ignored", "initialised", "set"]

_SHARD_BYTES = 2 * 1024**3
"""Tensors held in memory before a shard is written; bounds the memory of a conversion."""


class CheckpointError(ValueError):
    """A weight file cannot be read as data, or its tensors do not fit."""


@dataclass(frozen=True)
class CoverageRow:
    """What became of one tensor."""

    source: str
    destination: str
    shape: tuple[int, ...]
    status: Status
    note: str = ""


@dataclass(frozen=True)
class CoverageGroup:
    """Tensors that differ only in a layer's number."""

    source: str
    destination: str
    count: int
    status: Status
    note: str


@dataclass
class CoverageReport:
    """What became of every tensor of a conversion."""

    rows: list[CoverageRow] = field(default_factory=list)

    def add(
        self,
        source: str,
        destination: str,
        shape: tuple[int, ...],
        status: Status,
        note: str = "",
    ) -> None:
        """Append one row."""
        self.rows.append(CoverageRow(source, destination, tuple(shape), status, note))

    def count(self, status: Status) -> int:
        """Count the tensors with a status."""
        return sum(row.status == status for row in self.rows)

    def groups(self) -> list[CoverageGroup]:
        """Fold rows that differ only in layer numbers, for a table that fits on a screen."""
        counts: dict[tuple[str, str, Status, str], int] = {}
        for row in self.rows:
            source, destination = (
                re.sub(r"\.\d+(?=\.)", ".*", name) for name in (row.source, row.destination)
            )
            key = (source, destination, row.status, row.note)
            counts[key] = counts.get(key, 0) + 1
        return [CoverageGroup(s, d, n, status, note) for (s, d, status, note), n in counts.items()]


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is read when it is written out."""

    source: str
    shape: tuple[int, ...]
    read: Callable[[], torch.Tensor]

    @classmethod
    def of(cls, source: str, tensor: torch.Tensor) -> "LazyTensor":
        """Wrap a tensor that is in memory or memory-mapped."""
        return cls(source, tuple(tensor.shape), lambda: tensor)


Tensors = dict[str, LazyTensor]


def read_pth(path: Path) -> dict[str, Any]:
    """Read a ``.pth`` file as data; its tensors stay on disk where the format allows.

    Raises:
        CheckpointError: it is damaged, holds objects that are not plain data, or is no dict
    """
    try:
        mapped = zipfile.is_zipfile(path)  # the legacy format cannot be memory-mapped
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        msg = (
            f"{path} cannot be read as plain tensors ({reason}); expected a file written by "
            "torch.save that holds tensors, numbers, text, lists and dicts only. A file with other "
            "objects could run code and is refused: save it again as a state dict"
        )
        raise CheckpointError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path} holds a {type(content).__name__}, expected a dict of tensors"
        raise CheckpointError(msg)
    return content


def as_tensors(path: Path, state: Any) -> Tensors:
    """Wrap a state dict.

    Raises:
        CheckpointError: it is no dict of tensors
    """
    if not isinstance(state, Mapping):
        msg = f"{path}: the state dict is a {type(state).__name__}, expected a dict of tensors"
        raise CheckpointError(msg)
    others = [str(key) for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        msg = f"{path}: expected only tensors in the state dict, found other values at {others[:5]}"
        raise CheckpointError(msg)
    return {key: LazyTensor.of(key, value) for key, value in state.items()}


def open_safetensors(path: Path, stack: ExitStack) -> Tensors:
    """Open a safetensors file until the stack closes.

    Raises:
        CheckpointError: it is damaged or incomplete
    """
    try:
        file = stack.enter_context(safe_open(path, framework="pt"))
    except (SafetensorError, OSError) as error:
        msg = f"{path} is no complete safetensors file ({error}); download it again"
        raise CheckpointError(msg) from error

    def lazy(key: str) -> LazyTensor:
        return LazyTensor(key, tuple(file.get_slice(key).get_shape()), lambda: file.get_tensor(key))

    return {key: lazy(key) for key in list(file.keys())}


def open_folder(folder: Path, stack: ExitStack) -> Tensors:
    """Open all weight files of a Hugging Face folder: safetensors, else ``pytorch_model*.bin``.

    Raises:
        CheckpointError: the folder has neither, or a file is damaged
    """
    tensors: Tensors = {}
    safe = sorted(folder.glob("*.safetensors"))
    for path in safe:
        tensors |= open_safetensors(path, stack)
    for path in [] if safe else sorted(folder.glob("pytorch_model*.bin")):
        tensors |= as_tensors(path, read_pth(path))
    if not tensors:
        found = sorted(p.name for p in folder.iterdir())
        msg = (
            f"{folder} holds no *.safetensors and no pytorch_model*.bin, found {found}; "
            "give the folder of a downloaded model"
        )
        raise CheckpointError(msg)
    return tensors


def require_complete(
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, LazyTensor],
    *,
    where: str,
    name_of: Callable[[str], str] = str,
    hint: str = "",
) -> None:
    """Refuse missing, unexpected and misshaped tensors, all named.

    Args:
        expected: shape of every tensor the model has
        found: what the files hold; keys outside ``expected`` are unexpected
        where: the files, in words
        name_of: the name by which the user knows a tensor
        hint: the next step

    Raises:
        CheckpointError: naming every tensor that does not fit
    """
    problems = {
        "missing": [name_of(key) for key in expected if key not in found],
        "unexpected": [tensor.source for key, tensor in found.items() if key not in expected],
        "wrong shape": [
            f"{name_of(key)} is {list(found[key].shape)}, expected {list(shape)}"
            for key, shape in expected.items()
            if key in found and found[key].shape != shape
        ],
    }
    texts = [f"{kind}: {', '.join(names)}" for kind, names in problems.items() if names]
    if texts:
        msg = "; ".join(
            [f"{where} do not make a complete model", *texts, *([hint] if hint else [])]
        )
        raise CheckpointError(msg)


def write_shards(folder: Path, tensors: Tensors) -> None:
    """Write ``model*.safetensors`` and, for more than one shard, their index."""
    paths: list[Path] = []
    shard_of: dict[str, int] = {}
    total = 0
    for number, shard in enumerate(_shards(tensors)):
        paths.append(folder / f"model-{number:05d}.safetensors.partial")
        save_file(shard, paths[-1], metadata={"format": "pt"})
        shard_of |= dict.fromkeys(shard, number)
        total += sum(tensor.nbytes for tensor in shard.values())
    if len(paths) == 1:
        paths[0].rename(folder / "model.safetensors")
        return
    names = [f"model-{n:05d}-of-{len(paths):05d}.safetensors" for n in range(1, len(paths) + 1)]
    for path, name in zip(paths, names, strict=True):
        path.rename(folder / name)
    index = {
        "metadata": {"total_size": total},
        "weight_map": {key: names[number] for key, number in shard_of.items()},
    }
    text = json.dumps(index, indent=2) + "\n"
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def _shards(tensors: Tensors) -> Iterator[dict[str, torch.Tensor]]:
    """Read tensors in groups of bounded size."""
    shard: dict[str, torch.Tensor] = {}
    size = 0
    for key, lazy in tensors.items():
        # a copy, because safetensors refuses tensors that share memory
        tensor = lazy.read().detach().clone(memory_format=torch.contiguous_format)
        if shard and size + tensor.nbytes > _SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard[key] = tensor
        size += tensor.nbytes
    yield shard
