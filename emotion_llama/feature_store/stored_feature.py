"""What a stored feature is: its key, its row in the index, its tensors, and what can go wrong.

Knows: what a feature depends on, and the columns of the index. Does not know: encoders, how
stored features are read and written.
"""

import hashlib
import io
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from emotion_llama.records import EncoderRole

StoredRole = EncoderRole | Literal["key_frame"]
"""The four encoder roles, and the picture that the global encoder can be run on later."""

TENSOR_DIMS: Mapping[StoredRole, Mapping[str, int]] = {
    "audio": {"embedding": 1},
    "global": {"patches": 2, "class_token": 1},
    "local": {"embedding": 1},
    "temporal": {"embedding": 1},
    "key_frame": {"picture": 1},
}
"""Role -> the tensors of one stored feature and the number of dimensions of each."""

SCHEMA_VERSION = 1
"""Version of the index; it changes when a column or its meaning does."""

PICTURE_STARTS: Mapping[str, bytes] = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff",
    "webp": b"RIFF",
}

_WORD = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("source", pa.string()),
        ("media_sha256", pa.string()),
        ("media_bytes", pa.int64()),
        ("role", _WORD),
        ("encoder_name", _WORD),
        ("encoder_version", _WORD),
        ("weights_hash", _WORD),
        ("settings_hash", _WORD),
        ("key", pa.string()),
        ("state", _WORD),
        ("missing_reason", _WORD),
        ("approximate", pa.bool_()),
        ("times_s", pa.list_(pa.float64())),
        ("face_coverage", pa.float64()),
        ("shard", _WORD),
        ("shard_bytes", pa.int64()),
        ("shard_sha256", _WORD),
        (
            "tensors",
            pa.list_(
                pa.struct(
                    [
                        ("name", pa.string()),
                        ("tensor_key", pa.string()),
                        ("dtype", pa.string()),
                        ("shape", pa.list_(pa.int64())),
                        ("crc32", pa.uint32()),
                    ]
                )
            ),
        ),
        ("written_ns", pa.int64()),
        ("schema_version", pa.int16()),
    ]
)
"""One row per clip and key; a row names its shard with size and checksum, so it stands alone."""


class ChangedWhileReadError(RuntimeError):
    """A file was written to while it was hashed."""


class StoreFullError(OSError):
    """There was no room for a shard; what was written before can be read and added to."""

    def __init__(self, folder: Path, needed_bytes: int) -> None:
        try:
            free = f"{shutil.disk_usage(folder).free:,} free"
        except OSError:
            free = "free space unknown"
        super().__init__(
            f"no room in {folder} for {needed_bytes:,} bytes ({free}, a quota may be lower); what "
            "was stored before is intact: make room, then run the same again, it continues there"
        )
        self.folder = folder
        self.needed_bytes = needed_bytes


class AmbiguousFeatureError(ValueError):
    """A clip has a role's feature from more than one encoder or setting, and none was chosen."""


class DamagedStoreWarning(UserWarning):
    """A part of a store cannot be used; its rows count as absent and will be computed again."""


@dataclass(frozen=True)
class Problem:
    """One file of a store that cannot be used."""

    path: Path
    what: str


@dataclass(frozen=True)
class Media:
    """Which file, and what was in it."""

    clip_id: str
    """name of the clip in the store: its path in the media folder, with ``/``"""
    source: str
    """path as it was given, relative to the media folder where it lies in it"""
    sha256: str
    num_bytes: int

    @classmethod
    def read(cls, path: Path, root: Path | None = None, clip_id: str | None = None) -> Self:
        """Hash a file and name it.

        Args:
            path: the file
            root: the media folder; ``None`` leaves the path as it is
            clip_id: ``None`` takes the path, relative to the root where it lies in it

        Raises:
            ChangedWhileReadError: the file was written to meanwhile
        """
        sha256, num_bytes = _hash_file(path)
        inside = root is not None and path.is_relative_to(root)
        source = PurePath(path.relative_to(root) if root is not None and inside else path)
        return cls(clip_id or source.as_posix(), source.as_posix(), sha256, num_bytes)


@dataclass(frozen=True)
class EncoderIdentity:
    """Everything besides the media that a stored feature depends on."""

    role: StoredRole
    name: str
    version: str
    weights_hash: str
    """as `emotion_llama.encoders.weights_hash` gives it; empty where there are no weights"""
    settings_hash: str
    """of everything set on the way from the file to the tensor (`settings_hash`): which frames,
    which face finder, sample rate, pooling"""

    def __post_init__(self) -> None:
        if self.role not in TENSOR_DIMS:
            msg = f"role should be one of {', '.join(TENSOR_DIMS)} but found {self.role!r}"
            raise ValueError(msg)


@dataclass(frozen=True)
class FeatureKey:
    """The address of a stored feature: it is the same only if all of this is."""

    media_sha256: str
    encoder: EncoderIdentity

    @cached_property
    def digest(self) -> str:
        """The key as 32 hexadecimal digits."""
        return settings_hash({"media": self.media_sha256, **asdict(self.encoder)})[:32]


@dataclass(frozen=True)
class StoredFeature:
    """One stored result: tensors, or the reason why there are none."""

    clip_id: str
    key: FeatureKey
    tensors: Mapping[str, Tensor]
    """named as in `TENSOR_DIMS`, in the type they are stored in; empty where the modality is
    missing"""
    missing: str | None
    times_s: tuple[float, ...]
    """presentation times of the frames that were used, in seconds"""
    face_coverage: float | None
    approximate: bool
    """computed by windows that were put together, not in one pass"""


@dataclass(frozen=True)
class KeyFrame:
    """An encoded picture of a clip and when it is shown."""

    picture: bytes
    image_format: str
    time_s: float

    def pixels(self) -> NDArray[np.uint8]:
        """Decode the picture, RGB [h x w x 3]."""
        with Image.open(io.BytesIO(self.picture)) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)


def media_hash(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, read piece by piece.

    Raises:
        ChangedWhileReadError: the file was written to or replaced meanwhile
    """
    return _hash_file(path)[0]


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Give the SHA-256 of settings, whatever their order.

    Args:
        settings: values that JSON can hold
    """
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_file(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    after = path.stat()
    if any(
        getattr(before, fact) != getattr(after, fact)
        for fact in ("st_ino", "st_size", "st_mtime_ns")
    ):
        msg = (
            f"{path} changed while it was read: {before.st_size:,} bytes before, "
            f"{after.st_size:,} after; wait until it is complete, then run again"
        )
        raise ChangedWhileReadError(msg)
    return digest, before.st_size


def checksum(tensor: Tensor) -> int:
    """Give the CRC-32 of a tensor's bytes."""
    data: NDArray[np.uint8] = tensor.reshape(-1).view(torch.uint8).numpy()
    return zlib.crc32(data.data)


def image_format(picture: bytes) -> str:
    """Name the format of an encoded picture: png, webp or jpeg.

    Raises:
        ValueError: it is none of these
    """
    for name, start in PICTURE_STARTS.items():
        if picture.startswith(start) and (name != "webp" or picture[8:12] == b"WEBP"):
            return name
    msg = f"a key frame begins with {picture[:12]!r}; expected a PNG, WebP or JPEG file"
    raise ValueError(msg)
