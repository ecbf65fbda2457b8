"""Label archive of MERBench (``.npz`` of pickled dicts) -> clip and label, without running code.

Knows: the archive's form. Does not know: which clips are asked about.
"""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from pydantic import BaseModel

from emotion_llama.evaluation.readers.files import ROW, checked_row

_RECONSTRUCT = np.empty(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
"""Names of one module before and since numpy 2."""

_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{(module, "_reconstruct"): _RECONSTRUCT for module in _ARRAY_MODULES},
    **{(module, "scalar"): _SCALAR for module in _ARRAY_MODULES},
}
"""All that an archive of dicts, texts and numbers needs when it is opened; a pickle may name any
function of any module, and opening it would call that."""


class CorpusRow(BaseModel):
    """What an archive states of one clip."""

    model_config = ROW

    emo: str
    val: float | None = None


class _DataUnpickler(pickle.Unpickler):
    """Opens dicts, lists, texts, numbers and numpy arrays, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Give one of the few allowed names."""
        if (module, name) not in _ALLOWED:
            msg = f"{module}.{name}"
            raise pickle.UnpicklingError(msg)
        return _ALLOWED[module, name]


def read_corpus(path: Path, part: str) -> dict[str, CorpusRow]:
    """Read one part of a label archive.

    Args:
        path: ``.npz`` file with arrays such as ``test1_corpus``, each a dict of
            clip -> ``{'emo': label, 'val': number}``
        part: name of the array

    Raises:
        ValueError: it has no such part, needs more than plain data to be opened, or breaks its form
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = [name.removesuffix(".npy") for name in archive.namelist()]
            if part not in parts:
                msg = f"{path}: found the parts {', '.join(parts)}, expected {part}"
                raise ValueError(msg)
            with archive.open(f"{part}.npy") as file:
                values = _plain(_opened(file, f"{path}, {part}"))
    except zipfile.BadZipFile as error:
        msg = f"{path}: found no numpy archive ({error}); get the file again"
        raise ValueError(msg) from error
    if not isinstance(values, dict):
        msg = f"{path}, {part}: found {type(values).__name__}, expected a dict clip -> label"
        raise ValueError(msg)
    return {
        str(clip): checked_row(
            row if isinstance(row, dict) else {"value": row}, CorpusRow, path, repr(clip)
        )
        for clip, row in values.items()
    }


def _opened(file: Any, where: str) -> Any:
    """Open the object of an array file."""
    try:
        version = npy_format.read_magic(file)
        header = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        kind = header(file)[2]
        if not kind.hasobject:
            msg = f"{where}: found an array of {kind}, expected a dict clip -> label"
            raise ValueError(msg)
        return _DataUnpickler(file).load()
    except pickle.UnpicklingError as error:
        msg = (
            f"{where}: found a pickle that asks for {error}, expected only dicts, texts and "
            "numbers; opening it could run code, so it is not opened. Get the file again from its "
            "source, or save the labels as CSV with the columns name,discrete"
        )
        raise ValueError(msg) from error


def _plain(value: Any) -> Any:
    """Turn numpy's arrays of one object and numbers into Python's, dict by dict."""
    if isinstance(value, np.ndarray) and value.size == 1 or isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
