"""Each thing that may be wrong with a data set is found, and nothing is wrong with a good one."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from exported_record import make_record
from pyarrow import parquet

from emotion_llama.merr.export.arrow import record_schema, to_row
from emotion_llama.merr.record_file import RECORDS_FILE, REJECTED_FILE, to_line
from emotion_llama.merr.records import Clue, FineCaption, LabelReading, MerrRecord, Origin
from emotion_llama.merr.validation import Fault, validate

ORIGIN = Origin("emotion_llama test", "1", "ab12", "cd34")
FIELDS = ("label", "verdict", "face", "scene", "voice", "clues", "coarse_caption", "fine_caption")
MEDIA = b"a clip"


def whole(clip_id: str = "anna/01.mp4", **changes: Any) -> MerrRecord:
    """Make a record that has no fault."""
    clues = (
        Clue("facial", "AU12", "clear", "the lip corners are clearly pulled up", 3.1, 0.28, 0.28),
        Clue("voice", "pitch", "clearly high", "the pitch is clearly high", 1.2, 0.0, 2.5),
        Clue("words", "quote", "Well, that is good.", 'the person says "Well, that is good."'),
    )
    caption = FineCaption(
        'The lip corners are clearly pulled up, and the person says "Well, that is good."',
        "This speaks for happy.",
        False,
        ("AU12",),
    )
    known = {
        "media_sha256": hashlib.sha256(MEDIA).hexdigest(),
        "clues": clues,
        "coarse_caption": "The lip corners are clearly pulled up.",
        "fine_caption": caption,
        "missing": {"scene": "no picture was looked at"},
        "lineage": dict.fromkeys(FIELDS, ORIGIN),
    }
    return make_record(clip_id, **(known | changes))


def write(folder: Path, *records: MerrRecord, table: bool = True) -> Path:
    """Write a data set as a build does, in the order given."""
    folder.mkdir(exist_ok=True)
    kept = [one for one in records if one.status == "kept"]
    rejected = [one for one in records if one.status == "rejected"]
    for name, members in ((RECORDS_FILE, kept), (REJECTED_FILE, rejected)):
        (folder / name).write_text("".join(f"{to_line(one)}\n" for one in members), "utf-8")
    (folder / "producers.json").write_text('{"ab12": {}}')
    if table:
        rows = pyarrow.Table.from_pylist([to_row(one) for one in kept], record_schema())
        parquet.write_table(rows, folder / "records.parquet")
    return folder


def out(record: MerrRecord, **changes: Any) -> MerrRecord:
    return replace(record, status="rejected", reasons=("snr_db: too low",), **changes)


def rules(faults: list[Fault]) -> list[str]:
    return [fault.rule for fault in faults]


def test_a_good_data_set_has_no_fault(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", whole("a"), whole("b"), out(whole("c")))
    assert [str(fault) for fault in validate(folder)] == []


def with_face(record: MerrRecord, **changes: Any) -> MerrRecord:
    assert record.face is not None
    return replace(record, face=replace(record.face, **changes))


def with_clue(statement: str, feature: str = "AU12", value: float = 3.1) -> MerrRecord:
    record = whole()
    clue = Clue("facial", feature, "clear", statement, value)
    return replace(record, clues=(clue, *record.clues[1:]))


def with_caption(evidence: str, conclusion: str = "This speaks for happy.") -> MerrRecord:
    return whole(fine_caption=FineCaption(evidence, conclusion, False))


EVIDENCE = "The lip corners are clearly pulled up, which everybody can see in the picture."
BROKEN: dict[str, tuple[MerrRecord, str, str]] = {
    "absolute path": (whole(path="/data/films/01.mp4"), "path", "/data/films/01.mp4"),
    "path of Windows": (whole(path="C:\\films\\01.mp4"), "path", "from the folder"),
    "path above the folder": (whole(path="../01.mp4"), "path", "../01.mp4"),
    "path in a note": (whole(notes=("read from /data/films/01.mp4",)), "path", "notes"),
    "label": (whole(label="sad"), "label", "found label 'sad', expected 'happy'"),
    "order of labels": (
        whole(labels=(LabelReading("happy", "model", "m", "1"),
                      LabelReading("happy", "human", "t", "1"))),
        "label", "model, human",
    ),
    "reason of a kept record": (whole(reasons=("x: y",)), "status", "kept record with the reason"),
    "rejected without a reason": (whole(status="rejected"), "status", "without a reason"),
    "probabilities": (
        whole(labels=(LabelReading("happy", "human", "m", "1", {"happy": 0.9}),)),
        "sum", "adding up to 0.9",
    ),
    "coverage": (with_face(whole(), coverage=1.5), "scale", "face.coverage 1.5"),
    "another unit in words": (
        with_clue("the lip corners are clearly drawn down"), "clue", "names AU15",
    ),
    "no unit in words": (with_clue("something moves"), "clue", "no unit"),
    "a unit that is not there": (
        with_clue("the brows are clearly drawn together and down", "AU04", 0.2),
        "clue", "AU04, which is not present",
    ),
    "another value": (with_clue("the lip corners are clearly pulled up", value=2.9), "clue", "2.9"),
    "value beyond the scale": (
        with_clue("the lip corners are clearly pulled up", value=7), "scale", "clue AU12 7",
    ),
    "missing what is there": (
        whole(missing={"scene": "none", "facial": "no face"}), "missing", "facial in missing",
    ),
    "missing something unknown": (
        whole(missing={"scene": "none", "smell": "no nose"}), "missing", "'smell'",
    ),
    "no clue and no reason": (whole(missing={}), "missing", "no scene clue and no reason"),
    "no lineage": (
        whole(lineage=dict.fromkeys(FIELDS[1:], ORIGIN)), "lineage", "label without lineage",
    ),
    "unknown settings": (
        whole(lineage={**dict.fromkeys(FIELDS, ORIGIN), "face": replace(ORIGIN, settings="ff")}),
        "producers", "settings ff of face",
    ),
    "label in the evidence": (
        with_caption(f"{EVIDENCE} He looks happy."), "caption", "label leak",
    ),
    "another conclusion": (
        with_caption(EVIDENCE, "This speaks for sad."), "caption", "contradiction",
    ),
    "a refusal": (
        with_caption(f"{EVIDENCE} I cannot tell more of it."), "caption", "refusal",
    ),
    "an invention": (
        with_caption(f"{EVIDENCE} The brows are strongly drawn together and down."),
        "caption", "invented clue",
    ),
    "a coarse refusal": (
        whole(coarse_caption="As an AI, I see nothing."), "caption", "coarse caption",
    ),
    "a weighed clue that is not there": (
        whole(fine_caption=replace(whole().fine_caption, supports=("AU01",))),
        "caption", "weighs 'AU01'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_found_with_its_place(tmp_path: Path, name: str) -> None:
    record, rule, words = BROKEN[name]
    faults = validate(write(tmp_path / "set", record))
    named = [fault for fault in faults if fault.rule == rule and words in str(fault)]
    assert named, [str(fault) for fault in faults]
    assert (named[0].line, named[0].clip_id) == (1, record.clip_id)


def test_a_label_inside_a_quote_is_no_leak(tmp_path: Path) -> None:
    said = whole()
    quote = replace(said.clues[2], reading="I am happy.", statement='the person says "I am happy."')
    told = with_caption(
        'The lip corners are clearly pulled up, and the person says "I am happy."'
    ).fine_caption
    record = replace(
        said, transcript="I am happy.", clues=(*said.clues[:2], quote), fine_caption=told
    )
    assert [str(fault) for fault in validate(write(tmp_path / "set", record))] == []


def test_a_line_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", whole("a"), whole("b"), table=False)
    good = (folder / RECORDS_FILE).read_bytes()
    unknown = json.dumps({**json.loads(good.splitlines()[0]), "colour": 1}).encode()
    (folder / RECORDS_FILE).write_bytes(b"\xff{\n" + unknown + b"\n" + good)
    faults = validate(folder)
    assert [(fault.line, fault.rule) for fault in faults] == [(1, "schema"), (2, "schema")]
    assert "colour" in str(faults[1])


def test_other_bytes_for_the_same_record_are_found(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", whole("a"))
    loose = json.dumps(json.loads((folder / RECORDS_FILE).read_text("utf-8")))
    (folder / RECORDS_FILE).write_text(f"{loose}\n", "utf-8")
    assert rules(validate(folder)) == ["canonical form"]


def test_ids_come_once_and_in_order(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", whole("b"), whole("a"), out(whole("b")))
    found = {fault.rule: str(fault) for fault in validate(folder)}
    assert "'a' after 'b'" in found["order"]
    assert f"after {RECORDS_FILE}, line 1" in found["unique id"]
    assert found["unique id"].startswith(f"{REJECTED_FILE}, line 1")


def test_a_speaker_in_two_splits_is_found(tmp_path: Path) -> None:
    torn = whole("b", split="test")
    faults = validate(write(tmp_path / "set", whole("a"), torn))
    assert rules(faults) == ["split"]
    assert "speaker 'anna' in test, and in train with clip a" in str(faults[0])
    elsewhere = replace(torn, source=replace(torn.source, name="films"))
    assert validate(write(tmp_path / "set", whole("a"), elsewhere)) == []


def test_a_table_that_says_something_else_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", whole("a"), whole("b"))
    write(tmp_path / "other", whole("a"), whole("b", duration_s=2.6), whole("c"))
    (tmp_path / "other" / "records.parquet").replace(folder / "records.parquet")
    faults = validate(folder)
    assert rules(faults) == ["parquet", "parquet"]
    assert (faults[0].clip_id, faults[1].found) == ("b", "3 rows")
    (folder / "records.parquet").write_bytes(b"no table")
    assert "cannot be read" in str(validate(folder)[0])


def test_numbers_of_the_build_are_held_against_the_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", whole("a"))
    (folder / "build.json").write_text('{"kept": 2, "rejected": 0}')
    (fault,) = validate(folder)
    assert str(fault) == "build.json: counts: found 1 kept records, expected 2, as built"


def change(path: Path) -> None:
    path.write_bytes(b"another clip")


@pytest.mark.parametrize(
    ("harm", "words"),
    [(Path.unlink, "no file 'anna/01.mp4'"), (change, "a file of sha256")],
)
def test_clips_are_held_against_their_records(
    tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    media = tmp_path / "media" / "anna" / "01.mp4"
    media.parent.mkdir(parents=True)
    media.write_bytes(MEDIA)
    folder = write(tmp_path / "set", whole())
    assert validate(folder, tmp_path / "media") == []
    harm(media)
    (fault,) = validate(folder, tmp_path / "media")
    assert fault.rule == "media" and words in fault.found


def test_no_data_set_is_no_fault_but_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found no records\.jsonl, expected the folder"):
        validate(tmp_path)
