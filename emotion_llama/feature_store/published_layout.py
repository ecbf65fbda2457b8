"""The layout in which the published features come: a folder per role, a ``.npy`` file per clip.

Knows: folder names, shapes, file names. Does not know: how the features were computed.
"""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emotion_llama.records import ENCODER_ROLES, EncoderRole, Features

PUBLISHED_NAMES: Mapping[EncoderRole, str] = {
    "audio": "HL-UTT",
    "local": "mae_340_UTT",
    "temporal": "maeV_399_UTT",
}
"""Role -> folder, as with the published features of MER2023."""

PUBLISHED_WIDTH = 1024
_MEDIA_SUFFIX = re.compile(r"(?<=.)\.(?=[0-9]*[A-Za-z])[A-Za-z0-9]{2,5}$")
"""An ending with a letter in it, such as ``.mp4`` and ``.3gp``, but not the ``.01`` of a take."""


class FeatureSource(Protocol):
    """What has features by clip id: a `FeatureStore`, or `PublishedFeatures`."""

    def clip_ids(self) -> Sequence[str]:
        """Name all clips."""
        ...

    def clip(self, clip_id: str) -> Features:
        """Give all roles of one clip."""
        ...


def file_stem(clip_id: str) -> str:
    """Give the name that a clip has in the layout: no folder, no media ending."""
    return _MEDIA_SUFFIX.sub("", PurePosixPath(clip_id).name)


class PublishedFeatures:
    """Read such folders as if they were a store."""

    def __init__(
        self,
        folder: str | Path,
        names: Mapping[EncoderRole, str] = PUBLISHED_NAMES,
        width: int = PUBLISHED_WIDTH,
    ) -> None:
        """Open the folders.

        Args:
            folder: holds one folder per role
            names: role -> folder; a role that is left out is missing for every clip
            width: numbers in a feature

        Raises:
            FileNotFoundError: a named folder is not there
            ValueError: the global role is named, which the layout does not have
        """
        _check_names(names)
        self.folder = Path(folder)
        self.names = dict(names)
        self.width = width
        for role, name in self.names.items():
            if not (self.folder / name).is_dir():
                msg = (
                    f"{self.folder / name} is not there; expected the folder of the {role} "
                    "features: give its name in names, or leave the role out"
                )
                raise FileNotFoundError(msg)
        self._asked: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.clip_ids())

    def clip_ids(self) -> tuple[str, ...]:
        """Name every clip that has a file in at least one folder; the names have no folder."""
        folders = (self.folder / name for name in self.names.values())
        return tuple(sorted({path.stem for folder in folders for path in folder.glob("*.npy")}))

    def clip(self, clip_id: str) -> Features:
        """Read all roles of one clip.

        Args:
            clip_id: a clip's path or bare name; the file is called after its last part

        Returns:
            fp32 tensors [e]; a role without a file is missing, and the reason names the file

        Raises:
            ValueError: a file that cannot be read or has another shape, or another clip with the
                same file name was asked for before
        """
        stem = self._claim(clip_id)
        values: dict[str, Any] = {}
        missing: dict[Any, str] = {}
        for role in ENCODER_ROLES:
            if role not in self.names:
                missing[role] = f"no folder of {role} features is named for {self.folder}"
                continue
            path = self.folder / self.names[role] / f"{stem}.npy"
            if path.exists():
                values[role] = _read_vector(path, self.width)
            else:
                missing[role] = f"there is no file {path}"
        return Features(missing=missing, **values)

    def _claim(self, clip_id: str) -> str:
        """Give the clip's file name, but not to two clips: they cannot be told apart here."""
        name = PurePosixPath(clip_id).name
        folders = (self.folder / folder for folder in self.names.values())
        if any((folder / f"{name}.npy").exists() for folder in folders):
            stem = name
        else:
            stem = file_stem(clip_id)
        if clip_id != stem:  # the bare name asks for the file, whichever clip it is of
            first = self._asked.setdefault(stem, clip_id)
            if PurePosixPath(first).parent != PurePosixPath(clip_id).parent:
                raise ValueError(_same_stem(stem, first, clip_id))
        return stem


def export_published(
    store: FeatureSource,
    out_dir: str | Path,
    names: Mapping[EncoderRole, str] = PUBLISHED_NAMES,
    *,
    width: int = PUBLISHED_WIDTH,
    overwrite: bool = False,
) -> dict[EncoderRole, int]:
    """Write the features of a store in the published layout; nothing for a missing modality.

    Names, shapes and files that exist are checked before the first file is written.

    Args:
        store: where the features come from
        out_dir: made if it is not there
        names: role -> folder
        width: numbers in a feature
        overwrite: replace files that exist

    Returns:
        role -> how many files were written

    Raises:
        ValueError: two clips would share a file, a feature has another width, or the global role
            is named
        FileExistsError: a file exists and may not be replaced
    """
    _check_names(names)
    clips = _stems(store.clip_ids())
    for stem, clip_id in clips.items():
        for role, value in _values(store.clip(clip_id), names).items():
            path = Path(out_dir) / names[role] / f"{stem}.npy"
            if list(value.shape) != [width]:
                msg = (
                    f"the {role} feature of clip {clip_id!r} has shape "
                    f"{list(value.shape)}; expected [{width}], or another width"
                )
                raise ValueError(msg)
            if path.exists() and not overwrite:
                msg = f"{path} exists; choose another folder or allow overwrite"
                raise FileExistsError(msg)
    written = dict.fromkeys(names, 0)
    for role, name in names.items():
        (Path(out_dir) / name).mkdir(parents=True, exist_ok=True)
        for stem, clip_id in clips.items():
            value = _values(store.clip(clip_id), [role]).get(role)
            if value is not None:
                _write_vector(Path(out_dir) / name / f"{stem}.npy", value)
                written[role] += 1
    return written


def _check_names(names: Mapping[EncoderRole, str]) -> None:
    if "global" in names:
        msg = "the published layout has no global features; expected audio, local or temporal"
        raise ValueError(msg)


def _stems(clip_ids: Sequence[str]) -> dict[str, str]:
    stems: dict[str, str] = {}
    for clip_id in clip_ids:
        stem = file_stem(clip_id)
        if stem in stems:
            raise ValueError(_same_stem(stem, stems[stem], clip_id))
        stems[stem] = clip_id
    return stems


def _same_stem(stem: str, first: str, second: str) -> str:
    return (
        f"clips {first!r} and {second!r} would share the file {stem}.npy; the layout has no "
        "folders, so rename one or take the clips of one folder only"
    )


def _values(features: Features, roles: Sequence[EncoderRole] | Mapping[EncoderRole, str]) -> Any:
    found = {role: getattr(features, role) for role in roles}
    return {role: value for role, value in found.items() if value is not None}


def _read_vector(path: Path, width: int) -> Tensor:
    """Read one feature of shape [e] or [1 x e] as [e]."""
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        msg = f"{path} cannot be read as a .npy array ({error}); extract or copy it again"
        raise ValueError(msg) from error
    if array.shape not in ((width,), (1, width)) or array.dtype.kind != "f":
        msg = (
            f"{path} has shape {list(array.shape)} and type {array.dtype}; expected "
            f"floating-point numbers in the shape [{width}] or [1, {width}]"
        )
        raise ValueError(msg)
    if not np.isfinite(array).all():
        msg = f"{path} has values that are not finite; extract it again or remove it"
        raise ValueError(msg)
    return torch.from_numpy(array.reshape(-1).astype(np.float32))


def _write_vector(path: Path, value: Tensor) -> None:
    buffer = io.BytesIO()
    np.save(buffer, value.to(torch.float32).numpy(), allow_pickle=False)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(buffer.getvalue())
    partial.replace(path)
