"""Records <-> a folder that `datasets.load_dataset` reads: Parquet, a split a group of shards.

Knows: names of shards, the front matter that says which belongs to which split. Does not know:
the network; nothing is uploaded.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_llama.merr.export.arrow import from_row, record_schema, to_row
from emotion_llama.merr.export.card import UNSPLIT, Card, write_card
from emotion_llama.merr.export.folder import files_below, whole_folder
from emotion_llama.merr.export.selection import ExportReport, Selection
from emotion_llama.merr.records import MerrRecord

DATA_FOLDER = "data"
DEFAULT_SHARD_ROWS = 10_000
"""Records of a shard: some 50 MB with all clues and lineage."""


def write_hugging_face(
    records: Iterable[MerrRecord],
    out_dir: Path,
    *,
    own_use: bool = False,
    kept_only: bool = True,
    shard_rows: int = DEFAULT_SHARD_ROWS,
    citations: Sequence[str] = (),
) -> ExportReport:
    """Write ``data/SPLIT-00000-of-00001.parquet`` and a card that names the splits.

    All fields of the records are columns of their own type; mappings are lists of key and value.
    Records without a split are in ``unsplit``.

    Args:
        records: of a data set
        out_dir: a new or an empty folder
        own_use: the export is not passed on, so records whose terms forbid that may be in it
        kept_only: leave out what the build rejected
        shard_rows: most records of a shard
        citations: further works that the card names

    Raises:
        ValueError: terms forbid the export, nothing is left, or the folder is not empty
    """
    if shard_rows < 1:
        msg = f"shard_rows: found {shard_rows}, expected at least 1"
        raise ValueError(msg)
    chosen = Selection(records, kept_only=kept_only)
    chosen.require_terms(own_use=own_use)
    splits = _by_split(chosen)
    with whole_folder(out_dir) as folder:
        (folder / DATA_FOLDER).mkdir()
        for split, members in splits.items():
            shards = [members[i : i + shard_rows] for i in range(0, len(members), shard_rows)]
            for number, shard in enumerate(shards):
                name = f"{split}-{number:05d}-of-{len(shards):05d}.parquet"
                _write_shard(folder / DATA_FOLDER / name, shard)
        card = _card([*splits], citations)
        write_card(folder, card, list(chosen), chosen.left_out, own_use=own_use)
        files = files_below(folder)
    return ExportReport(len(chosen), chosen.left_out, files)


def read_hugging_face(folder: Path) -> list[MerrRecord]:
    """Read the records of a folder that `write_hugging_face` wrote, split by split.

    Raises:
        ValueError: there is no shard, one is missing, or a row breaks the schema
    """
    from pyarrow import parquet

    shards = sorted((folder / DATA_FOLDER).glob("*-*-of-*.parquet"))
    _require_all(folder, shards)
    records = []
    for shard in shards:
        # a file, not a path: a path would be taken for a partitioned data set
        with shard.open("rb") as file:
            rows: list[Mapping[str, Any]] = parquet.read_table(file).to_pylist()
        for number, row in enumerate(rows, start=1):
            records.append(from_row(row, f"{shard.name}, row {number}"))
    return records


def _by_split(records: Iterable[MerrRecord]) -> dict[str, list[MerrRecord]]:
    splits: defaultdict[str, list[MerrRecord]] = defaultdict(list)
    for record in records:
        splits[record.split or UNSPLIT].append(record)
    return dict(sorted(splits.items()))


def _write_shard(path: Path, records: Sequence[MerrRecord]) -> None:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist([to_row(r) for r in records], schema=record_schema())
    parquet.write_table(table, path, compression="zstd")


def _require_all(folder: Path, shards: Sequence[Path]) -> None:
    if not shards:
        msg = (
            f"{folder}: found no {DATA_FOLDER}/*-of-*.parquet; give a folder written by the "
            "export for Hugging Face"
        )
        raise ValueError(msg)
    groups: defaultdict[tuple[str, str], int] = defaultdict(int)
    for shard in shards:
        split, _, _, total = shard.stem.rsplit("-", 3)
        groups[split, total] += 1
    for (split, total), count in groups.items():
        if int(total) != count:
            msg = (
                f"{folder}: found {count} of {int(total)} shards of {split!r}; copy the missing "
                "ones, or export again"
            )
            raise ValueError(msg)


def _card(splits: Sequence[str], citations: Sequence[str]) -> Card:
    data_files = [{"split": s, "path": f"{DATA_FOLDER}/{s}-*.parquet"} for s in splits]
    return Card(
        title="MERR annotations",
        form="Records in Parquet; `datasets.load_dataset` reads the folder. No clips are in it.",
        files={f"{DATA_FOLDER}/{s}-*.parquet": f"records of {s}" for s in splits},
        configs=[{"config_name": "default", "data_files": data_files}],
        citations=citations,
    )
