"""Records -> the files of a data set, each there in full or not at all, the same bytes every time.

Knows: names and forms of the files. Does not know: how records are made.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_llama.merr.export.arrow import record_schema, to_row
from emotion_llama.merr.export.card import Card, render_card
from emotion_llama.merr.record_file import (
    RECORDS_FILE,
    REJECTED_FILE,
    canonical_json,
    json_schema,
    write_records,
)
from emotion_llama.merr.records import SCHEMA_VERSION, MerrRecord
from emotion_llama.version import __version__

PARQUET_FILE = "records.parquet"
PRODUCERS_FILE = "producers.json"
SCHEMA_FILE = "schema.json"
BUILD_FILE = "build.json"
ERRORS_FILE = "errors.jsonl"
CARD_FILE = "README.md"

_ROWS_A_GROUP = 1000
"""Records of a row group: some MB in memory while it is written."""


def write_dataset(
    out_dir: Path,
    records: Sequence[MerrRecord],
    failures: Mapping[str, str],
    producers: Mapping[str, Mapping[str, Any]],
    made: Mapping[str, Any],
) -> None:
    """Write all files of a data set.

    Args:
        out_dir: its folder
        records: kept and rejected, in order of their ids
        failures: clip id -> why there is no record of it
        producers: hash of settings -> who made something with them, and the settings in full; only
            those are written that a record names
        made: how the data set came about; plain values, and no time or path of one machine, so
            that another run writes the same

    Raises:
        OSError: there is no room
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    kept = [record for record in records if record.status == "kept"]
    rejected = [record for record in records if record.status == "rejected"]
    write_records(out_dir / RECORDS_FILE, kept)
    write_records(out_dir / REJECTED_FILE, rejected)
    _write_parquet(out_dir / PARQUET_FILE, kept)
    used = {origin.settings for r in records for origin in r.lineage.values()}
    named = {key: value for key, value in producers.items() if key in used}
    _write(out_dir / PRODUCERS_FILE, _pretty(named))
    _write(out_dir / SCHEMA_FILE, _pretty(json_schema()))
    errors = [canonical_json({"clip_id": name, "error": why}) for name, why in failures.items()]
    _write(out_dir / ERRORS_FILE, "".join(f"{line}\n" for line in errors))
    built = {
        "schema_version": SCHEMA_VERSION,
        "package_version": __version__,
        **made,
        "kept": len(kept),
        "rejected": len(rejected),
        "failed": len(failures),
    }
    _write(out_dir / BUILD_FILE, _pretty(built))
    _write(out_dir / CARD_FILE, _card(kept, rejected))


def _write_parquet(path: Path, records: Sequence[MerrRecord]) -> None:
    """Write records as one table, all fields as columns of their own type."""
    import pyarrow
    from pyarrow import parquet

    part = path.with_name(f".{path.name}.part")
    with parquet.ParquetWriter(part, record_schema(), compression="zstd") as file:
        for start in range(0, len(records), _ROWS_A_GROUP):
            rows = [to_row(record) for record in records[start : start + _ROWS_A_GROUP]]
            file.write_table(pyarrow.Table.from_pylist(rows, record_schema()))
    part.replace(path)


def _card(kept: Sequence[MerrRecord], rejected: Sequence[MerrRecord]) -> str:
    """Write what the folder holds and on what terms."""
    why = Counter(reason.partition(":")[0] for record in rejected for reason in record.reasons)
    card = Card(
        title="An annotated data set of emotions and the reasons for them",
        form="One JSON object a clip; `schema.json` has every field, `build.json` the settings.",
        files={
            RECORDS_FILE: "clips that were kept, a line each",
            PARQUET_FILE: "the same as a table",
            REJECTED_FILE: "clips that were not kept, with the reasons",
            ERRORS_FILE: "clips that could not be read or captioned",
            PRODUCERS_FILE: "the settings behind the hashes in `lineage`",
        },
    )
    return render_card(card, kept, dict(sorted(why.items())), own_use=True)


def _pretty(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)
