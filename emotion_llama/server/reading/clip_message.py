"""Clip <-> bytes that hold data only: what a process that read an untrusted file may send back.

Knows: the fields of a clip, the shapes and number types that its arrays may have. Does not know:
processes, files. A message is the length of a header (4 bytes), the header (JSON) and the arrays
(plain bytes) in the header's order. Nothing in it is ever executed, as a pickle would be.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from emotion_llama.face.skin_motion import VIEW_PX
from emotion_llama.records import Clip, Evidence, FaceTrack, Modality

MAX_HEADER_BYTES = 8 * 2**20
"""All that is not an array: a transcript of a whole day of speech has less than 2 MB."""

MAX_MESSAGE_BYTES = 512 * 2**20
"""An hour of sound has 230 MB, 64 frames of 1280 x 1280 pixels have 315 MB."""

_LENGTH_BYTES = 4


@dataclass(frozen=True)
class _Form:
    """What an array may look like."""

    dtype: str
    axes: tuple[int | str, ...]
    """a size, or a letter for one that all arrays of the record have in common"""


_CLIP_ARRAYS: Mapping[str, _Form] = {
    "waveform": _Form("float32", ("w",)),
    "frames": _Form("uint8", ("t", "frame h", "frame w", 3)),
    "frame_times_s": _Form("float64", ("t",)),
    "key_frame": _Form("uint8", ("h", "w of picture", 3)),
}
_FACE_ARRAYS: Mapping[str, _Form] = {
    "crops": _Form("uint8", ("t", "h", "w", 3)),
    "times_s": _Form("float64", ("t",)),
    "boxes": _Form("float32", ("t", 4)),
    "missing_s": _Form("float64", ("missing t",)),
    "scores": _Form("float32", ("t",)),
    "points": _Form("float32", ("t", 70, 3)),
    "pose_deg": _Form("float32", ("t", 3)),
    "visible": _Form("float32", ("t", 3)),
    "views": _Form("uint8", ("t", VIEW_PX, VIEW_PX)),
}
"""Shapes and types as `emotion_llama.records` states them."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


_Size = Annotated[int, Field(ge=0, le=MAX_MESSAGE_BYTES)]
_Shapes = dict[str, tuple[_Size, ...]]


class _FaceRow(_Row):
    """A `FaceTrack` without its arrays."""

    coverage: float
    producer: str
    person: int
    prominence: float
    is_aligned: bool


class _ClipRow(_Row):
    """A `Clip` without its arrays and its face."""

    clip_id: str
    kind: Literal["video", "image", "audio", "text"]
    path: str | None
    duration_s: float | None
    sample_rate_hz: int
    key_frame_s: float | None
    transcript: str | None
    evidence: tuple[Evidence, ...] | None
    missing: dict[Modality, str]
    warnings: tuple[str, ...]


class _Header(_Row):
    clip: _ClipRow
    face: _FaceRow | None
    clip_arrays: _Shapes
    face_arrays: _Shapes


def to_message(clip: Clip) -> bytes:
    """Write a clip as bytes; `from_message` gives the same clip.

    Raises:
        ValueError: an array has another type or shape than `emotion_llama.records` states, or the
            clip is too large
    """
    plain, clip_arrays = _parted(replace(clip, faces=None), _CLIP_ARRAYS)
    face, face_arrays = (None, {}) if clip.faces is None else _parted(clip.faces, _FACE_ARRAYS)
    plain.pop("faces")
    plain["path"] = None if clip.path is None else str(clip.path)
    header = _Header(
        clip=_ClipRow(**plain),
        face=None if face is None else _FaceRow(**face),
        clip_arrays={name: array.shape for name, array in clip_arrays.items()},
        face_arrays={name: array.shape for name, array in face_arrays.items()},
    )
    head = header.model_dump_json().encode()
    _check_size(len(head), MAX_HEADER_BYTES, "everything that is not an array")
    arrays = [array.tobytes() for array in (*clip_arrays.values(), *face_arrays.values())]
    _check_size(sum(map(len, arrays)), MAX_MESSAGE_BYTES, "the arrays")
    return b"".join([len(head).to_bytes(_LENGTH_BYTES), head, *arrays])


def from_message(message: bytes) -> Clip:
    """Read a clip out of bytes that nobody vouches for.

    Raises:
        ValueError: they are no such message
    """
    start = _LENGTH_BYTES + int.from_bytes(message[:_LENGTH_BYTES])
    _check_size(start, MAX_HEADER_BYTES, "everything that is not an array")
    header = _Header.model_validate_json(message[_LENGTH_BYTES:start])
    body = memoryview(message)[start:]
    _check_size(len(body), MAX_MESSAGE_BYTES, "the arrays")
    clip_arrays, body = _taken(body, header.clip_arrays, _CLIP_ARRAYS)
    face_arrays, body = _taken(body, header.face_arrays, _FACE_ARRAYS)
    if len(body):
        msg = f"found {len(body)} bytes after the last array, expected none"
        raise ValueError(msg)
    row = header.clip
    return Clip(
        **{name: getattr(row, name) for name in type(row).model_fields if name != "path"},
        path=None if row.path is None else Path(row.path),
        faces=_face(header.face, face_arrays),
        **clip_arrays,
    )


def _parted(
    record: Clip | FaceTrack, forms: Mapping[str, _Form]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Part the fields of a record into plain values and arrays; absent arrays are left out."""
    values = {one.name: getattr(record, one.name) for one in fields(record)}
    arrays = {name: values.pop(name) for name in forms}
    present = {name: array for name, array in arrays.items() if array is not None}
    _check_shapes({name: array.shape for name, array in present.items()}, forms)
    for name, array in present.items():
        if array.dtype != forms[name].dtype:
            msg = f"found {name} of type {array.dtype}, expected {forms[name].dtype}"
            raise ValueError(msg)
    return values, present


def _taken(
    body: memoryview, shapes: _Shapes, forms: Mapping[str, _Form]
) -> tuple[dict[str, Any], memoryview]:
    """Copy arrays from the front of bytes.

    Returns:
        the arrays and the bytes after them
    """
    _check_shapes(shapes, forms)
    arrays = {}
    for name, shape in shapes.items():
        dtype = np.dtype(forms[name].dtype)
        size = math.prod(shape) * dtype.itemsize
        if size > len(body):
            msg = f"found {len(body)} bytes for {name}, expected {size} for the shape {shape}"
            raise ValueError(msg)
        arrays[name] = np.frombuffer(body[:size], dtype).reshape(shape).copy()
        body = body[size:]
    return arrays, body


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], forms: Mapping[str, _Form]) -> None:
    """Refuse arrays that are unknown, or whose shapes do not fit their forms and one another."""
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        axes = forms[name].axes if name in forms else ()
        expected = [
            axis if isinstance(axis, int) else sizes.setdefault(axis, size)
            for axis, size in zip(axes, shape, strict=False)
        ]
        if name not in forms or len(axes) != len(shape) or list(shape) != expected:
            msg = f"found {name} of shape {shape}, expected {list(axes) or 'no such array'}"
            raise ValueError(msg)


def _face(row: _FaceRow | None, arrays: dict[str, Any]) -> FaceTrack | None:
    needed = {"crops", "times_s", "boxes", "missing_s"}
    if row is None and not arrays:
        return None
    if row is None or not needed <= set(arrays):
        msg = f"found a face with the arrays {sorted(arrays)}, expected {sorted(needed)} and more"
        raise ValueError(msg)
    return FaceTrack(**row.model_dump(), **arrays)


def _check_size(size: int, limit: int, what: str) -> None:
    if size > limit:
        msg = f"found a clip too large to send: {what} has {size} bytes, expected at most {limit}"
        raise ValueError(msg)
