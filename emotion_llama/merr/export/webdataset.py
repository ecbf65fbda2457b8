"""Records with their clips <-> tar shards that the library ``webdataset`` reads.

Knows: keys, tar members without time and owner. Does not know: what is in a clip.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote, unquote

from emotion_llama.merr.export.card import UNSPLIT, Card, write_card
from emotion_llama.merr.export.folder import files_below, whole_folder
from emotion_llama.merr.export.selection import ExportReport, Selection
from emotion_llama.merr.record_file import from_line, to_line
from emotion_llama.merr.records import MerrRecord

DEFAULT_SHARD_BYTES = 1_000_000_000
"""Most bytes of a shard, the size that the library's own documentation advises."""

NO_MEDIA = "no media file"
CHANGED_MEDIA = "media file has changed since the build"

_RECORD_ENDING = "json"
_NO_ENDING = "bin"
_CHUNK = 1 << 20


def write_webdataset(
    records: Iterable[MerrRecord],
    out_dir: Path,
    *,
    media_dir: Path,
    own_use: bool = False,
    kept_only: bool = True,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    citations: Sequence[str] = (),
) -> ExportReport:
    """Write ``SPLIT-000000.tar`` with ``key.json`` (the record) and ``key.mp4`` (the clip).

    The key is the clip id with every dot and all else but letters, digits, ``_``, ``-``, ``~`` and
    ``/`` percent-encoded, so two clips never share one. Members are in order of the clip ids and
    carry no time and no owner.

    Args:
        records: of a data set
        out_dir: a new or an empty folder
        media_dir: the folder that was built from
        own_use: the export is not passed on, so clips whose terms forbid that may be in it
        kept_only: leave out what the build rejected
        shard_bytes: most bytes of a shard; a larger clip has one of its own
        citations: further works that the card names

    Raises:
        ValueError: terms forbid the export, nothing is left, or the folder is not empty
    """
    if not media_dir.is_dir():
        msg = f"{media_dir}: found no folder; give the folder that the data set was built from"
        raise ValueError(msg)
    chosen = Selection(records, kept_only=kept_only)
    chosen.require(lambda record: _against(record, media_dir))
    chosen.require_terms(own_use=own_use, with_media=True)
    ordered = sorted(chosen, key=lambda record: (record.split or UNSPLIT, record.clip_id))
    with whole_folder(out_dir) as folder:
        writer = _ShardWriter(folder, shard_bytes)
        with writer:
            for record in ordered:
                writer.add(record, media_dir / record.path)
        card = _card(sorted({record.split or UNSPLIT for record in ordered}), citations)
        write_card(folder, card, ordered, chosen.left_out, own_use=own_use)
        files = files_below(folder)
    return ExportReport(len(ordered), chosen.left_out, files)


def read_webdataset(folder: Path) -> list[MerrRecord]:
    """Read the records of the shards of a folder, and hold every clip to its record.

    Raises:
        ValueError: there is no shard, a record lacks its clip or is under another key, or a clip
            is not the one that was annotated
    """
    shards = sorted(folder.glob("*.tar"))
    if not shards:
        msg = f"{folder}: found no *.tar; give a folder written by the export for WebDataset"
        raise ValueError(msg)
    return [record for shard in shards for record in _read_shard(shard)]


def key_of_clip(clip_id: str) -> str:
    """Give the key of a clip: what the library takes for an ending begins at the first dot."""
    return quote(clip_id, safe="/").replace(".", "%2E")


def clip_of_key(key: str) -> str:
    """Give the clip id of a key."""
    return unquote(key)


class _ShardWriter:
    """Fills one shard after the other."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self._folder = folder
        self._limit = shard_bytes
        self._split: str | None = None
        self._number = 0
        self._shard: tarfile.TarFile | None = None

    def __enter__(self) -> "_ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, record: MerrRecord, media: Path) -> None:
        """Add a record and its clip, in a new shard where they do not fit."""
        line = (to_line(record) + "\n").encode()
        media_bytes = media.stat().st_size
        key = key_of_clip(record.clip_id)
        members = (
            _member(f"{key}.{_RECORD_ENDING}", len(line)),
            _member(f"{key}.{_ending(record.path)}", media_bytes),
        )
        shard = self._shard_for(record.split or UNSPLIT, sum(map(_size_in_shard, members)))
        shard.addfile(members[0], io.BytesIO(line))
        with media.open("rb") as file:
            shard.addfile(members[1], file)

    def _shard_for(self, split: str, size: int) -> tarfile.TarFile:
        if split != self._split:
            self._close()
            self._split, self._number = split, 0
        elif self._shard is not None and _padded(self._shard.offset + size) > self._limit:
            self._close()
        if self._shard is None:
            path = self._folder / f"{split}-{self._number:06d}.tar"
            self._shard = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
            self._number += 1
        return self._shard

    def _close(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)  # time, owner and group of a new member are 0
    member.size = size
    return member


def _size_in_shard(member: tarfile.TarInfo) -> int:
    """Give the bytes of header and content, which fill whole blocks."""
    return (
        len(member.tobuf(tarfile.PAX_FORMAT))
        + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    )


def _padded(size: int) -> int:
    """Give the bytes of the file: two empty blocks end it, and it fills whole tar records."""
    return -(-(size + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def _against(record: MerrRecord, media_dir: Path) -> str | None:
    file = media_dir / record.path
    if not file.is_file():
        return NO_MEDIA
    if record.media_sha256 is None:
        return None
    with file.open("rb") as opened:
        return None if _sha256(opened) == record.media_sha256 else CHANGED_MEDIA


def _ending(path: str) -> str:
    """Give the ending of a clip's file; ``json`` is that of the record."""
    ending = PurePosixPath(path).suffix.lower().removeprefix(".")
    return _NO_ENDING if ending in ("", _RECORD_ENDING) else ending


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _read_shard(path: Path) -> Iterator[MerrRecord]:
    with tarfile.open(path) as shard:
        members = {member.name: member for member in shard.getmembers()}
        keys = [n for n in members if n.endswith(f".{_RECORD_ENDING}")]
        for name in keys:
            record = from_line(_content(shard, members[name]).read(), f"{path.name}, {name}")
            key = name.removesuffix(f".{_RECORD_ENDING}")
            if clip_of_key(key) != record.clip_id:
                msg = f"{path.name}: found the record of {record.clip_id!r} under key {key!r}"
                raise ValueError(msg)
            media = members.get(f"{key}.{_ending(record.path)}")
            if media is None:
                msg = f"{path.name}: found no clip beside {name}; export the data set again"
                raise ValueError(msg)
            found = _sha256(_content(shard, media))
            if record.media_sha256 not in (None, found):
                msg = (
                    f"{path.name}, {media.name}: found SHA-256 {found}, expected "
                    f"{record.media_sha256}; copy or export the shard again"
                )
                raise ValueError(msg)
            yield record


def _content(shard: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    file = shard.extractfile(member)
    if file is None:
        msg = f"found {member.name!r} to be no file; export the data set again"
        raise ValueError(msg)
    return file  # type: ignore[return-value]


def _card(splits: Sequence[str], citations: Sequence[str]) -> Card:
    return Card(
        title="MERR annotations with clips",
        form="Tar shards for WebDataset: `key.json` is the record, the other file the clip.",
        files={f"{split}-*.tar": f"records and clips of {split}" for split in splits},
        citations=citations,
    )
