"""Features on disk, read: safetensors shards and a Parquet index, addressed by content.

Knows: which rows of a store can be served, and how a clip's features are put together.
Does not know: encoders, how a clip is read, what becomes of the features.
"""

import hashlib
import warnings
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open
from torch import Tensor

from emotion_llama.records import ENCODER_ROLES, Features, Modality

from .stored_feature import (
    SCHEMA,
    SCHEMA_VERSION,
    AmbiguousFeatureError,
    DamagedStoreWarning,
    EncoderIdentity,
    FeatureKey,
    KeyFrame,
    Problem,
    StoredFeature,
    StoredRole,
    checksum,
    image_format,
    media_hash,
)


class FeatureStore:
    """Read a store: every finished part that was there when it was opened or refreshed.

    A row is served only if its index part and its shard are whole; each tensor is checked when it
    is read. What fails is warned about, listed in `problems`, and absent.
    Can be pickled: the copy opens the folder again.
    """

    def __init__(
        self,
        folder: str | Path,
        encoders: Sequence[EncoderIdentity] | None = None,
        max_open_shards: int = 128,
    ) -> None:
        """Open a store.

        Args:
            folder: holds ``index`` and ``shards``
            encoders: whose features `clip` serves; ``None`` takes what is there as long as each
                role of a clip has one
            max_open_shards: more are closed, the longest unused first

        Raises:
            FileNotFoundError: there is no store
            ValueError: it was written in a form that this version does not read
        """
        self.folder = Path(folder)
        self.encoders = None if encoders is None else tuple(encoders)
        self.max_open_shards = max_open_shards
        if not (self.folder / "index").is_dir():
            msg = f"{self.folder} holds no feature store; expected the folders index and shards"
            raise FileNotFoundError(msg)
        self._lock = RLock()
        self._parts: dict[str, pa.Table | Problem] = {}
        self._distrusted: dict[str, str] = {}
        self._told: set[Problem] = set()
        self._open: OrderedDict[str, Any] = OrderedDict()
        self.refresh()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder, self.encoders, self.max_open_shards)

    def __len__(self) -> int:
        return sum(map(len, self._by_clip.values()))

    def __contains__(self, key: FeatureKey) -> bool:
        return key.digest in self._by_key

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Index parts and shards that cannot be used."""
        return tuple(self._problems.values())

    def clip_ids(self) -> tuple[str, ...]:
        """Name all clips, in the order in which they were first stored."""
        return tuple(self._by_clip)

    def rows(self) -> pa.Table:
        """Give the index: one row per clip and key, columns as in `SCHEMA`."""
        numbers = sorted(n for rows in self._by_clip.values() for n in rows.values())
        tables = [SCHEMA.empty_table()]
        for start, table in zip(self._starts, self._tables, strict=True):
            first, end = (bisect_left(numbers, n) for n in (start, start + len(table)))
            inside = [number - start for number in numbers[first:end]]
            tables.append(table.take(pa.array(inside, pa.int64())))
        return pa.concat_tables(tables).unify_dictionaries()

    def refresh(self) -> None:
        """See what was written or removed since."""
        with self._lock:
            self._close_shards()
            while True:
                names = self._part_names()
                try:
                    self._parts = {n: self._parts.get(n) or self._read_part(n) for n in names}
                except FileNotFoundError:
                    continue  # merged into another part meanwhile: list again
                self._build_index()
                if set(names) <= set(self._part_names()):
                    return

    def get(self, key: FeatureKey) -> StoredFeature | None:
        """Read what is stored under a key; ``None`` where it has to be computed."""
        with self._lock:
            while (number := self._by_key.get(key.digest)) is not None:
                row = self._row(number)
                tensors = self._tensors(row)
                if tensors is not None:
                    return _to_feature(row, tensors)
        return None

    def clip(self, clip_id: str) -> Features:
        """Put together all roles of one clip, for its newest content.

        Args:
            clip_id: as it was stored

        Returns:
            tensors in the type they are stored in; every absent role is named with the reason

        Raises:
            KeyError: nothing is stored for this clip
            AmbiguousFeatureError: a role has more than one, and ``encoders`` chooses none
        """
        with self._lock:
            while True:
                rows = self.clip_rows(clip_id)
                if not rows:
                    msg = f"{self.folder} holds nothing of clip {clip_id!r}; extract it first"
                    raise KeyError(msg)
                features = self._assemble(clip_id, rows)
                if features is not None:
                    return features

    def key_frame(self, clip_id: str) -> KeyFrame | None:
        """Read the stored picture of a clip, if there is one."""
        with self._lock:
            while (row := self._choose(clip_id, self.clip_rows(clip_id), "key_frame")) is not None:
                tensors = self._tensors(row)
                if tensors is not None:
                    picture = tensors["picture"].numpy().tobytes()
                    return KeyFrame(picture, image_format(picture), row["times_s"][0])
        return None

    def verify(self, *, set_aside: bool = False) -> tuple[Problem, ...]:
        """Compare every byte of every shard with its checksum.

        Args:
            set_aside: rename damaged shards to ``*.damaged``, so that every later opening takes
                their rows for absent, writers included

        Returns:
            all problems, those found on opening included
        """
        with self._lock:
            self.refresh()
            for shard, expected in sorted(self.whole_shards().items()):
                try:
                    found = media_hash(self.folder / "shards" / shard)
                except OSError as error:
                    self._distrust(shard, f"cannot be read ({error})")
                else:
                    if found != expected:
                        self._distrust(shard, f"has the SHA-256 {found}; expected {expected}")
            if set_aside:
                for shard in self._distrusted:
                    path = self.folder / "shards" / shard
                    if path.exists():
                        path.replace(path.with_name(f"{shard}.damaged"))
                        self._distrusted[shard] += "; it was set aside"
                self._build_index()
            return self.problems

    def clip_rows(self, clip_id: str) -> list[dict[str, Any]]:
        """Give the rows of the content that was stored last under a clip's name."""
        with self._lock:
            rows = [self._row(number) for number in self._by_clip.get(clip_id, {}).values()]
            content = self.content_of(clip_id)
            return [row for row in rows if row["media_sha256"] == content]

    def find_row(self, digest: str) -> dict[str, Any] | None:
        """Give a row of the index with this key, columns as in `SCHEMA`."""
        number = self._by_key.get(digest)
        return None if number is None else self._row(number)

    def holds(self, clip_id: str, digest: str) -> bool:
        """Say whether this key is stored under this clip's name."""
        return digest in self._by_clip.get(clip_id, ())

    def knows(self, clip_id: str, num_bytes: int, encoders: Sequence[EncoderIdentity]) -> bool:
        """Say whether the content stored last under a name has this size and every result."""
        sha256 = self.content_of(clip_id)
        if sha256 is None:
            return False
        digests = [FeatureKey(sha256, encoder).digest for encoder in encoders]
        if not all(self.holds(clip_id, digest) for digest in digests):
            return False
        sizes = {self._row(self._by_clip[clip_id][digest])["media_bytes"] for digest in digests}
        return sizes == {num_bytes}

    def content_of(self, clip_id: str) -> str | None:
        """Give the SHA-256 of the content that was stored last under a clip's name."""
        newest = self._newest_content.get(clip_id)
        return None if newest is None else newest[1]

    def whole_parts(self) -> tuple[str, ...]:
        """Name the index parts that can be read."""
        return tuple(n for n, part in self._parts.items() if not isinstance(part, Problem))

    def whole_shards(self) -> dict[str, str]:
        """Name the shards of all rows, with the checksum that each should have."""
        rows = self.rows().select(["shard", "shard_sha256"]).to_pylist()
        return {row["shard"]: row["shard_sha256"] for row in rows if row["shard"] is not None}

    def add_part(self, name: str, table: pa.Table) -> None:
        """Take in a part that was just written, without reading the others again."""
        with self._lock:
            self._parts[name] = table
            self._index_part(table)

    def read_tensors(self, row: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """Read and check a row's tensors; ``None`` if they are lost, then the index lacks it."""
        with self._lock:
            return self._tensors(row)

    def close(self) -> None:
        """Close the shards that are open; they open again when they are read."""
        with self._lock:
            self._close_shards()

    def _part_names(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "index").glob("*.parquet"))

    def _read_part(self, name: str) -> pa.Table | Problem:
        """Read one index part; its name ends in the first digits of its own checksum."""
        path = self.folder / "index" / name
        data = path.read_bytes()
        if not name.endswith(f"-{hashlib.sha256(data).hexdigest()[:16]}.parquet"):
            return Problem(path, f"is torn or changed ({len(data):,} bytes)")
        table = pq.read_table(pa.BufferReader(data), use_threads=False)
        versions = set(table["schema_version"].to_pylist())
        if versions != {SCHEMA_VERSION}:
            msg = (
                f"{path} has schema version {', '.join(map(str, sorted(versions)))}; this version "
                f"of emotion_llama reads {SCHEMA_VERSION}: install the one that wrote it"
            )
            raise ValueError(msg)
        return table

    def _build_index(self) -> None:
        self._problems: dict[Path, Problem] = {}
        self._faults: dict[str, str | None] = {}
        self._tables: list[pa.Table] = []
        self._starts: list[int] = []
        self._by_key: dict[str, int] = {}
        self._by_clip: dict[str, dict[str, int]] = {}
        self._newest_content: dict[str, tuple[int, str]] = {}
        for name in sorted(self._parts):
            part = self._parts[name]
            if isinstance(part, Problem):
                self._report(part)
            else:
                self._index_part(part)

    def _index_part(self, table: pa.Table) -> None:
        start = self._starts[-1] + len(self._tables[-1]) if self._tables else 0
        self._tables.append(table)
        self._starts.append(start)
        names = ("clip_id", "key", "media_sha256", "written_ns", "shard", "shard_bytes")
        columns = zip(*(table[name].to_pylist() for name in names), strict=True)
        for number, (clip_id, key, media, time_ns, shard, size) in enumerate(columns, start):
            # also from rows that are lost: older content is stale, even if nothing newer is left
            written = (time_ns, media)
            self._newest_content[clip_id] = max(self._newest_content.get(clip_id, written), written)
            if shard is not None and self._fault(shard, size) is not None:
                continue
            self._by_key[key] = number
            rows = self._by_clip.setdefault(clip_id, {})
            if key not in rows or self._written_ns(rows[key]) <= time_ns:
                rows[key] = number

    def _fault(self, shard: str, expected_bytes: int) -> str | None:
        """Say what is wrong with a shard, looking once per index."""
        if shard not in self._faults:
            path = self.folder / "shards" / shard
            fault = self._distrusted.get(shard) or _size_fault(path, expected_bytes)
            self._faults[shard] = fault
            if fault is not None:
                self._report(Problem(path, fault))
        return self._faults[shard]

    def _report(self, problem: Problem) -> None:
        self._problems[problem.path] = problem
        if problem not in self._told:
            self._told.add(problem)
            msg = f"{problem.path} {problem.what}; its rows count as absent"
            warnings.warn(msg, DamagedStoreWarning, stacklevel=2)

    def _distrust(self, shard: str, fault: str) -> None:
        self._distrusted[shard] = fault
        self._build_index()

    def _row(self, number: int) -> dict[str, Any]:
        part = bisect_right(self._starts, number) - 1
        row: dict[str, Any] = (
            self._tables[part].slice(number - self._starts[part], 1).to_pylist()[0]
        )
        return row

    def _written_ns(self, number: int) -> int:
        part = bisect_right(self._starts, number) - 1
        time_ns: int = self._tables[part]["written_ns"][number - self._starts[part]].as_py()
        return time_ns

    def _choose(
        self, clip_id: str, rows: Sequence[Mapping[str, Any]], role: StoredRole
    ) -> Mapping[str, Any] | None:
        found = {_identity(row): row for row in rows if row["role"] == role}
        chosen = [e for e in self.encoders or () if e.role == role]
        if chosen:
            found = {identity: row for identity, row in found.items() if identity in chosen}
        if len(found) > 1:
            named = "; ".join(map(str, found))
            msg = (
                f"clip {clip_id!r} has {len(found)} {role} features: {named}; name one in encoders"
            )
            raise AmbiguousFeatureError(msg)
        return next(iter(found.values()), None)

    def _assemble(self, clip_id: str, rows: Sequence[Mapping[str, Any]]) -> Features | None:
        """Read all roles; ``None`` where a shard turned out damaged, and the index was renewed."""
        values: dict[str, Any] = {}
        missing: dict[Modality, str] = {}
        approximate: list[Modality] = []
        for role in ENCODER_ROLES:
            row = self._choose(clip_id, rows, role)
            if row is None:
                missing[role] = f"the store holds no {role} feature of this clip"
            elif row["missing_reason"] is not None:
                missing[role] = row["missing_reason"]
            else:
                tensors = self._tensors(row)
                if tensors is None:
                    return None
                values |= tensors if role == "global" else {role: tensors["embedding"]}
                if row["approximate"]:
                    approximate.append(role)
        return Features(missing=missing, approximate=tuple(approximate), **values)

    def _tensors(self, row: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """Read and check a row's tensors; ``None`` if it cannot be, and the index is renewed."""
        shard = row["shard"]
        tensors: dict[str, Tensor] = {}
        try:
            for fact in row["tensors"]:
                tensor = self._shard(shard).get_tensor(fact["tensor_key"]).clone()
                if checksum(tensor) != fact["crc32"]:
                    self._distrust(shard, f"has changed bytes in {fact['tensor_key']}")
                    return None
                tensors[fact["name"]] = tensor
        except FileNotFoundError:
            self.refresh()  # merged into another shard, or lost
            return None
        except SafetensorError as error:
            self._distrust(shard, f"cannot be read ({error})")
            return None
        return tensors

    def _shard(self, name: str) -> Any:
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        while self._open and len(self._open) >= self.max_open_shards:
            self._open.popitem(last=False)[1].__exit__(None, None, None)
        handle = safe_open(self.folder / "shards" / name, framework="pt")
        self._open[name] = handle
        return handle

    def _close_shards(self) -> None:
        while self._open:
            self._open.popitem()[1].__exit__(None, None, None)


def _size_fault(path: Path, expected_bytes: int) -> str | None:
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        return "is not there"
    if found == expected_bytes:
        return None
    return f"is torn: found {found:,} bytes; expected {expected_bytes:,}"


def _identity(row: Mapping[str, Any]) -> EncoderIdentity:
    return EncoderIdentity(
        role=row["role"],
        name=row["encoder_name"],
        version=row["encoder_version"],
        weights_hash=row["weights_hash"],
        settings_hash=row["settings_hash"],
    )


def _to_feature(row: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> StoredFeature:
    return StoredFeature(
        clip_id=row["clip_id"],
        key=FeatureKey(row["media_sha256"], _identity(row)),
        tensors=tensors,
        missing=row["missing_reason"],
        times_s=tuple(row["times_s"]),
        face_coverage=row["face_coverage"],
        approximate=row["approximate"],
    )
