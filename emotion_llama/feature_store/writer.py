"""Features on disk, written: by any number of processes, whole or not at all, none twice.

Knows: the order in which files have to reach the disk. Does not know: encoders, how stored
features are put together again.
"""

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save
from torch import Tensor

from .reader import FeatureStore
from .stored_feature import (
    SCHEMA,
    SCHEMA_VERSION,
    TENSOR_DIMS,
    EncoderIdentity,
    FeatureKey,
    Media,
    StoreFullError,
    checksum,
    image_format,
)

SHARD_BYTES = 128 * 2**20
SHARD_ROWS = 1024
STALE_S = 24 * 3600.0
"""Age after which a file that no writer finished is taken for left behind."""


class FeatureWriter:
    """Add to a store; any number of processes may do so at once.

    One writer is for one thread. Rows are kept in memory until a shard is full, `flush` is called
    or the block ends. A shard is written under another name, forced to the disk and renamed; then
    its part of the index in the same way. So at any instant a row is there in full or not at all.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        shard_bytes: int = SHARD_BYTES,
        shard_rows: int = SHARD_ROWS,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Open a store for writing.

        Args:
            folder: made if it is not there
            shard_bytes: a shard is written when its tensors reach this size
            shard_rows: ... or when so many rows wait
            dtype: floating-point type of the stored features; it is no part of the key
        """
        self.folder = Path(folder)
        for name in ("shards", "index"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        _remove_stale(self.folder.glob("*/*.partial"))
        self.shard_bytes = shard_bytes
        self.shard_rows = shard_rows
        self.dtype = dtype
        self._store = FeatureStore(self.folder)
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        elif not isinstance(error, StoreFullError):
            try:
                self.close()  # what is finished is right, whatever stopped the rest
            except OSError as second:
                error.add_note(f"the last {len(self._rows)} rows were not stored: {second}")

    def reuse(self, media: Media, encoder: EncoderIdentity) -> bool:
        """Say whether this content is stored already, and record it under this clip's name.

        Call it before computing: where it returns True there is nothing to do.
        """
        digest = FeatureKey(media.sha256, encoder).digest
        row = self._pending.get(digest) or self._store.find_row(digest)
        if row is None:
            return False
        waits = (media.clip_id, digest) in self._pending_pairs
        known = waits or self._store.holds(media.clip_id, digest)
        if not known or self._content_of(media.clip_id) != media.sha256:
            self._append({**row, **_media_columns(media), "written_ns": time.time_ns()}, {})
            self._flush_if_full()
        return True

    def knows(self, clip_id: str, num_bytes: int, encoders: Sequence[EncoderIdentity]) -> bool:
        """Say whether a clip of this name and size has a result of every encoder.

        It believes the size: a file whose content changed and whose size did not is not noticed.
        """
        return self._store.knows(clip_id, num_bytes, encoders)

    def add(
        self,
        media: Media,
        encoder: EncoderIdentity,
        tensors: Mapping[str, Tensor],
        *,
        times_s: Sequence[float] = (),
        face_coverage: float | None = None,
        approximate: bool = False,
    ) -> bool:
        """Store one feature.

        Args:
            media: what it was computed from
            encoder: what computed it
            tensors: named as in `TENSOR_DIMS`: ``embedding`` [e], or ``patches`` [p x e] and
                ``class_token`` [e]
            times_s: presentation times of the frames that were used, in seconds
            face_coverage: share of the looked-at frames in which the face was found
            approximate: computed by windows, not in one pass

        Returns:
            False where it was there already

        Raises:
            ValueError: other names or dimensions, or values that are not finite in ``dtype``
            StoreFullError: no room; the waiting rows are kept, so `flush` can be called again
        """
        expected = TENSOR_DIMS[encoder.role]
        found = {name: tensor.dim() for name, tensor in tensors.items()}
        if found != expected:
            msg = (
                f"{encoder.role} feature of clip {media.clip_id!r}: tensors with dimensions "
                f"{found} found; expected {dict(expected)}"
            )
            raise ValueError(msg)
        if self.reuse(media, encoder):
            return False
        kept = {name: self._convert(media, encoder, tensor) for name, tensor in tensors.items()}
        self._add_row(media, encoder, kept, None, times_s, face_coverage, approximate)
        return True

    def add_missing(
        self,
        media: Media,
        encoder: EncoderIdentity,
        reason: str,
        *,
        times_s: Sequence[float] = (),
        face_coverage: float | None = None,
    ) -> bool:
        """Store that a modality is not in this content, so that nobody looks again.

        Not for failures that may pass: those should be tried again.

        Args:
            media: what was looked at
            encoder: what would have computed the feature
            reason: as `Features.missing` should give it
            times_s: presentation times of the frames that were looked at, in seconds
            face_coverage: share of the looked-at frames in which the face was found

        Returns:
            False where it was there already

        Raises:
            ValueError: no reason
            StoreFullError: as for `add`
        """
        if not reason:
            msg = f"{encoder.role} of clip {media.clip_id!r} is missing; expected a reason"
            raise ValueError(msg)
        if self.reuse(media, encoder):
            return False
        self._add_row(media, encoder, {}, reason, times_s, face_coverage, False)
        return True

    def add_key_frame(
        self, media: Media, encoder: EncoderIdentity, picture: bytes, time_s: float
    ) -> bool:
        """Store the picture that the global encoder can be run on later.

        Args:
            media: the clip it was taken from
            encoder: role ``key_frame``; the settings hash covers how the frame was chosen
            picture: a PNG (best: nothing is lost), WebP or JPEG file
            time_s: when it is shown, in seconds

        Returns:
            False where it was there already

        Raises:
            ValueError: another role, or no such picture
            StoreFullError: as for `add`
        """
        if encoder.role != "key_frame":
            msg = f"a key frame is stored under the role key_frame but found {encoder.role!r}"
            raise ValueError(msg)
        image_format(picture)
        tensor = torch.frombuffer(bytearray(picture), dtype=torch.uint8)
        return self.add(media, encoder, {"picture": tensor}, times_s=(time_s,))

    def flush(self) -> None:
        """Write what waits as one shard and one part of the index.

        Raises:
            StoreFullError: no room; the rows still wait, so this can be called again
        """
        if not self._rows:
            return
        stem = f"{time.time_ns()}-{uuid.uuid4().hex[:12]}"
        facts: dict[str, Any] = {}
        shard_path = self.folder / "shards" / f"{stem}.safetensors"
        if self._tensors:
            data = save(self._tensors, {"schema_version": str(SCHEMA_VERSION)})
            _write_whole(shard_path, data)
            facts["shard"] = shard_path.name
            facts["shard_bytes"] = len(data)
            facts["shard_sha256"] = hashlib.sha256(data).hexdigest()
        rows = [
            {**row, **facts} if row["tensors"] and not row["shard"] else row for row in self._rows
        ]
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        part = buffer.getvalue().to_pybytes()
        name = f"{stem}-{hashlib.sha256(part).hexdigest()[:16]}.parquet"
        try:
            _write_whole(self.folder / "index" / name, part)
        except OSError:
            shard_path.unlink(missing_ok=True)
            raise
        self._store.add_part(name, table)
        self._forget()

    def close(self) -> None:
        """Write what waits and close the shards that were open."""
        self.flush()
        self._store.close()

    def _forget(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._tensors: dict[str, Tensor] = {}
        self._pending: dict[str, dict[str, Any]] = {}
        self._pending_pairs: set[tuple[str, str]] = set()
        self._pending_content: dict[str, str] = {}
        self._num_bytes = 0

    def _content_of(self, clip_id: str) -> str | None:
        """Give the hash of the content that was stored last under a clip's name."""
        if clip_id in self._pending_content:
            return self._pending_content[clip_id]
        return self._store.content_of(clip_id)

    def _convert(self, media: Media, encoder: EncoderIdentity, tensor: Tensor) -> Tensor:
        kept = tensor.detach().to("cpu")
        if kept.is_floating_point():
            kept = kept.to(self.dtype)
            if not bool(torch.isfinite(kept).all()):
                msg = (
                    f"{encoder.role} feature of clip {media.clip_id!r} is not finite as "
                    f"{_dtype_name(self.dtype)}; store a wider type or find out where it comes from"
                )
                raise ValueError(msg)
        return kept.contiguous().clone()

    def _add_row(
        self,
        media: Media,
        encoder: EncoderIdentity,
        tensors: Mapping[str, Tensor],
        missing_reason: str | None,
        times_s: Sequence[float],
        face_coverage: float | None,
        approximate: bool,
    ) -> None:
        digest = FeatureKey(media.sha256, encoder).digest
        row = {
            **_media_columns(media),
            "role": encoder.role,
            "encoder_name": encoder.name,
            "encoder_version": encoder.version,
            "weights_hash": encoder.weights_hash,
            "settings_hash": encoder.settings_hash,
            "key": digest,
            "state": "present" if missing_reason is None else "missing",
            "missing_reason": missing_reason,
            "approximate": approximate,
            "times_s": [float(time_s) for time_s in times_s],
            "face_coverage": face_coverage,
            "shard": None,
            "shard_bytes": None,
            "shard_sha256": None,
            "tensors": [
                {
                    "name": name,
                    "tensor_key": f"{digest}.{name}",
                    "dtype": _dtype_name(tensor.dtype),
                    "shape": list(tensor.shape),
                    "crc32": checksum(tensor),
                }
                for name, tensor in tensors.items()
            ],
            "written_ns": time.time_ns(),
            "schema_version": SCHEMA_VERSION,
        }
        self._append(row, tensors)
        self._flush_if_full()

    def _append(self, row: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Let a row wait; without a shard it refers to tensors that wait as well."""
        self._rows.append(row)
        self._pending[row["key"]] = row
        self._pending_pairs.add((row["clip_id"], row["key"]))
        self._pending_content[row["clip_id"]] = row["media_sha256"]
        for name, tensor in tensors.items():
            self._tensors[f"{row['key']}.{name}"] = tensor
            self._num_bytes += tensor.numel() * tensor.element_size()

    def _flush_if_full(self) -> None:
        if self._num_bytes >= self.shard_bytes or len(self._rows) >= self.shard_rows:
            self.flush()


def compact(
    folder: str | Path, *, shard_bytes: int = SHARD_BYTES, shard_rows: int = 4 * SHARD_ROWS
) -> None:
    """Write a store anew in fewer shards, then remove the old ones and what was left behind.

    Content that was replaced under a clip's name is not written again.
    Safe to be stopped at any instant. A writer at work loses nothing but the sharing of content
    with a shard removed meanwhile: such rows count as absent and are computed again.

    Args:
        folder: the store
        shard_bytes: size of the new shards
        shard_rows: most rows of a new shard

    Raises:
        StoreFullError: no room for the new shards; the old ones are all there
    """
    store = FeatureStore(folder)
    old_parts, old_shards = store.whole_parts(), store.whole_shards()
    writer = FeatureWriter(folder, shard_bytes=shard_bytes, shard_rows=shard_rows)
    for rows, tensors in _by_content(store):
        for row in rows:
            waiting = {**row, "shard": None, "shard_bytes": None, "shard_sha256": None}
            writer._append(waiting, tensors if row is rows[0] else {})
        writer._flush_if_full()
    writer.close()
    for name in old_parts:
        (store.folder / "index" / name).unlink(missing_ok=True)
    merged = FeatureStore(folder)
    used = merged.whole_shards()
    shards = store.folder / "shards"
    for name in old_shards.keys() - used.keys():
        (shards / name).unlink(missing_ok=True)
    _remove_stale(path for path in shards.iterdir() if path.name not in used)
    _remove_stale(store.folder.glob("index/*.partial"))
    _remove_stale(problem.path for problem in merged.problems)


def _by_content(
    store: FeatureStore,
) -> Iterator[tuple[list[dict[str, Any]], dict[str, Tensor]]]:
    """Give the rows of each key together, with its tensors."""
    table = store.rows().combine_chunks()
    numbers: dict[str, list[int]] = {}
    columns = (table[name].to_pylist() for name in ("clip_id", "media_sha256", "key"))
    for number, (clip_id, content, key) in enumerate(zip(*columns, strict=True)):
        if content == store.content_of(clip_id):
            numbers.setdefault(key, []).append(number)
    order = pa.array([number for same in numbers.values() for number in same], pa.int64())
    batches = (table.take(order[at : at + SHARD_ROWS]) for at in range(0, len(order), SHARD_ROWS))
    decoded = (row for batch in batches for row in batch.to_pylist())
    for _, same_key in groupby(decoded, key=itemgetter("key")):
        rows = list(same_key)
        found = (store.read_tensors(row) for row in rows)
        tensors = next((one for one in found if one is not None), None)
        # else damaged, or merged by somebody else, who wrote the rows anew
        if tensors is not None:
            yield rows, tensors


def _remove_stale(paths: Iterable[Path]) -> None:
    """Remove files that nobody has been writing for long."""
    for path in list(paths):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > STALE_S:
                path.unlink()


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there under its name in full or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        if os.name == "posix":  # the new name has to reach the disk as well
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        for left in (partial, path):
            left.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFullError(path.parent.parent, len(data)) from error
        raise


def _media_columns(media: Media) -> dict[str, Any]:
    return {
        "clip_id": media.clip_id,
        "source": media.source,
        "media_sha256": media.sha256,
        "media_bytes": media.num_bytes,
    }


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
