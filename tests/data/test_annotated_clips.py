"""Every form of annotations, and what is said where one is broken."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from exported_record import make_record

from emotion_llama.config import SourceConfig
from emotion_llama.data.annotated_clips import read_clips
from emotion_llama.data.instructions import read_instructions
from emotion_llama.merr.record_file import write_records
from emotion_llama.merr.records import LabelReading, Source
from emotion_llama.merr.review.overlay import Edits, Review, append_review, record_hash

COARSE: dict[str, Any] = {
    "AU_list": ["AU12"],
    "visual_prior_list": ["Lip corners up"],
    "audio_prior_list": "speaks in a quick tone.",
    "peak_index": "3",
    "peak_AU_list": ["AU12"],
    "pseu_emotion": "happy",
    "caption": "This person in the video is indoors.",
}
FINE = {k: v for k, v in COARSE.items() if k != "caption"} | {
    "text": "Really? ",
    "smp_reason_caption": "In the video, a woman smiles.",
}


def table(folder: Path, text: str, name: str = "my.csv", **settings: Any) -> SourceConfig:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return SourceConfig(kind="table", path=str(path), **settings)


def test_a_table(tmp_path: Path) -> None:
    text = (
        "path,label,text,speaker,split,other\n"
        "a/1.wav,happy,We  won! ,anna,train,x\n"
        "a/2.wav, Sad ,,,dev,y\n"
    )
    first, second = read_clips(table(tmp_path, text))
    assert (first.clip_id, first.path, first.label) == ("a/1.wav", "a/1.wav", "happy")
    assert (first.transcript, first.person, first.split) == ("We won!", "anna", "train")
    assert (second.transcript, second.person, second.caption) == (None, None, None)
    assert second.where.endswith("my.csv, row 2")


def test_people_of_a_table_are_told_apart_by_its_source(tmp_path: Path) -> None:
    text = "path,emotion,speaker,dataset\n1.wav,sad,01,nemo\n2.wav,sad,01,emodb\n"
    clips = read_clips(table(tmp_path, text))
    assert [c.person for c in clips] == ["nemo/01", "emodb/01"]
    assert [c.source for c in clips] == ["nemo", "emodb"]


def test_numbers_are_names(tmp_path: Path) -> None:
    lines = [{"clip_id": 7, "path": "7.mp4", "label": "sad", "speaker": 3}]
    source = table(tmp_path, json.dumps(lines[0]), "my.jsonl")
    assert (read_clips(source)[0].clip_id, read_clips(source)[0].person) == ("7", "3")


def test_rows_of_words_alone_have_names_of_their_own(tmp_path: Path) -> None:
    one = read_clips(table(tmp_path, "label,text\nsad,Okay.\nsad,Okay.\n"))
    other = read_clips(table(tmp_path, "label,text\nhappy,Okay.\n"))
    assert len({clip.clip_id for clip in (*one, *other)}) == 3
    assert [clip.path for clip in one] == [None, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,lable\n1.wav,sad\n", r"row 1: found no label \(columns path, lable\); expected one"),
        ("path,label\n1.wav,sad\n2.wav,\n", "row 2: found no label"),
        ("path,label\n,sad\n", "row 1: found neither path, clip_id nor text"),
        ("path,label\n1.wav,sad\n1.wav,sad\n", "found clip '1.wav' 2 times, expected each once"),
    ],
)
def test_a_broken_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_clips(table(tmp_path, text))


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.csv: found no file, expected a table"):
        read_clips(SourceConfig(kind="table", path=str(tmp_path / "none.csv")))


def test_labels_are_not_needed_for_reasons_alone(tmp_path: Path) -> None:
    source = table(tmp_path, "path,reason\n1.wav,She smiles.\n", tasks=("reason",))
    assert read_clips(source)[0].caption == "She smiles."


@pytest.mark.parametrize(
    ("kind", "entry", "caption", "transcript"),
    [
        ("merr-coarse", COARSE, "This person in the video is indoors.", "From the table."),
        ("merr-fine", FINE, "In the video, a woman smiles.", "Really?"),
    ],
)
def test_the_published_files(
    tmp_path: Path, kind: Any, entry: dict[str, Any], caption: str, transcript: str
) -> None:
    (tmp_path / "merr.json").write_text(json.dumps({"sample_00000001": entry}), "utf-8")
    (tmp_path / "words.csv").write_text(
        "name,sentence\nsample_00000001,From the  table.\nsample_00000002,Another\n", "utf-8"
    )
    source = SourceConfig(
        kind=kind, path=str(tmp_path / "merr.json"), transcripts=str(tmp_path / "words.csv")
    )
    (clip,) = read_clips(source)
    assert (clip.label, clip.caption, clip.transcript) == ("happy", caption, transcript)


@pytest.mark.parametrize(
    ("kind", "entry", "other"), [("merr-fine", COARSE, "coarse"), ("merr-coarse", FINE, "fine")]
)
def test_the_other_grain_is_named(
    tmp_path: Path, kind: Any, entry: dict[str, Any], other: str
) -> None:
    (tmp_path / "merr.json").write_text(json.dumps({"s1": entry}), "utf-8")
    found = "caption" if other == "coarse" else "smp_reason_caption"
    message = rf"clip 's1': found '{found}', expected '\w+'; set kind to 'merr-{other}'"
    with pytest.raises(ValueError, match=message):
        read_clips(SourceConfig(kind=kind, path=str(tmp_path / "merr.json")))


def test_the_list_of_mer2023(tmp_path: Path) -> None:
    path = tmp_path / "relative_train_NCEV.txt"
    path.write_text("sample_00000023 35 angry -1.174107\nsample_00000024 40 worried\n", "utf-8")
    clips = read_clips(SourceConfig(kind="mer2023", path=str(path)))
    assert [(c.clip_id, c.label) for c in clips] == [
        ("sample_00000023", "angry"),
        ("sample_00000024", "worried"),
    ]
    assert {c.source for c in clips} == {"relative_train_NCEV"}


def test_transcripts_of_other_clips_are_refused(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("name,sentence\nelse,Hello\n", "utf-8")
    source = table(tmp_path, "path,label\n1.wav,sad\n", transcripts=str(tmp_path / "words.csv"))
    message = r"none of its names is a clip \(found 'else', expected such as '1.wav'\)"
    with pytest.raises(ValueError, match=message):
        read_clips(source)


def test_a_data_set(tmp_path: Path) -> None:
    coarse_only = make_record("b.mp4", fine_caption=None, source=Source("talks", None))
    write_records(tmp_path / "records.jsonl", [make_record(), coarse_only])
    fine, coarse = read_clips(SourceConfig(kind="dataset", path=str(tmp_path)))
    assert fine.caption == "The lip corners are clearly pulled up. This speaks for happy."
    assert coarse.caption == "One person is seen. The lip corners are clearly pulled up."
    assert (fine.person, coarse.person) == ("talks/anna", None)
    assert (fine.source, fine.split, fine.label) == ("talks", "train", "happy")


def test_reviewers_have_the_last_word(tmp_path: Path) -> None:
    records = [make_record("a.mp4"), make_record("b.mp4")]
    back = make_record("c.mp4", status="rejected", reasons=("no face",))
    write_records(tmp_path / "records.jsonl", records)
    write_records(tmp_path / "rejected.jsonl", [back])
    decisions: list[tuple[Any, Any, Edits]] = [
        (records[0], "reject", Edits()),
        (records[1], "edit", Edits(label="neutral", conclusion="This speaks for neutral.")),
        (back, "accept", Edits()),
    ]
    for record, decision, edits in decisions:
        append_review(
            tmp_path / "reviews.jsonl",
            Review(
                record.clip_id,
                record_hash(record),
                "kim",
                "2025-01-31T12:00:00Z",
                decision,
                edits,
                comment="wrong" if decision == "reject" else "",
            ),
        )
    clips = read_clips(SourceConfig(kind="dataset", path=str(tmp_path)))
    assert {c.clip_id: c.label for c in clips} == {"b.mp4": "neutral", "c.mp4": "happy"}


def said(*texts: str, **row: Any) -> dict[str, Any]:
    sides = ("human", "gpt") * len(texts)
    turns = [{"from": side, "value": text} for side, text in zip(sides, texts, strict=False)]
    return {"id": "7", "conversations": turns, **row}


@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_instructions_of_both_forms(tmp_path: Path, ending: str) -> None:
    rows = [
        {"instruction": "Name a colour.", "input": "", "output": " Blue.\u2028"},
        {"instruction": "Add:", "input": "2, 3", "output": "5", "other": 1},
        said("Hi?", "Hello.", "And now?", "Bye."),
        said("<image>\nWhat is this?", "A cat.", image="cat.jpg"),
    ]
    path = tmp_path / f"plain{ending}"
    lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(json.dumps(rows) if ending == ".json" else lines, "utf-8")
    pairs, counts = read_instructions(path)
    assert [(pair.instruction, pair.answer) for pair in pairs] == [
        ("Name a colour.", "Blue."),
        ("Add:\n\n2, 3", "5"),
        ("Hi?", "Hello."),
    ]
    assert re.fullmatch("plain [0-9a-f]{8} row 1", pairs[0].name)
    assert counts == {
        "row speaks of a picture": 1,
        "conversation goes on; only its first answer is taken": 1,
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"instruction": "Hi"}, "row 2: found no answer, expected instruction and output"),
        ({"output": "Hi"}, "row 2: found no question, expected instruction and output"),
        (
            said("Hi"),
            r"row 2: found a conversation that begins with \['human'\], expected human, t",
        ),
        (said(), "row 2: found a conversation that begins with"),
        ({"conversations": [{"from": "bot", "value": "Hi"}]}, r"row 2, conv.*: found 'bot', exp"),
        ({"instruction": 3, "output": "4"}, "row 2, instruction: found 3, expected instruction"),
        (["Hi"], r"row 2, the row: found \['Hi'\], expected instruction and output"),
        (
            {"instruction": "<VideoHere>?", "output": "4"},
            "row 2: the instruction contains the mark",
        ),
    ],
)
def test_broken_instructions_are_named(tmp_path: Path, row: Any, message: str) -> None:
    path = tmp_path / "plain.json"
    path.write_text(json.dumps([{"instruction": "Hi", "output": "Ho"}, row]), "utf-8")
    with pytest.raises(ValueError, match=f"plain.json, {message}"):
        read_instructions(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.json", None, "gone.json: found no file, expected a .json or .jsonl"),
        ("plain.csv", "a,b", "plain.csv: found the ending '.csv', expected a .json"),
        ("plain.json", "{}", "plain.json: found dict, expected a list of rows"),
        ("plain.jsonl", '\n{"a"', "plain.jsonl, row 2: found '{\"a\"', expected JSON"),
    ],
)
def test_files_that_hold_no_instructions(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        read_instructions(tmp_path / name)


def test_votes_in_either_form(tmp_path: Path) -> None:
    one = 'path,label,votes\n1.wav,sad,"{""sad"": 7, ""happy"": 3, ""fear"": 0}"\n2.wav,sad,\n'
    first, second = read_clips(table(tmp_path, one))
    assert (first.votes, second.votes) == ({"sad": 7, "happy": 3}, None)
    each = "path,votes_sad,votes_happy\n1.wav,7,3\n2.wav,,2\n"
    assert [c.votes for c in read_clips(table(tmp_path, each))] == [
        {"sad": 7, "happy": 3},
        {"happy": 2},
    ]
    typed = json.dumps({"path": "1.wav", "votes": {"sad": 0.7, "happy": None}})
    (clip,) = read_clips(table(tmp_path, typed, "my.jsonl"))
    assert (clip.votes, clip.label) == ({"sad": 0.7}, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,votes\n1.wav,7\n", "row 1, column votes: .*found 7"),
        ("path,votes\n1.wav,sad\n", "row 1, column votes: .*no json such as .*found 'sad'"),
        ('path,votes\n1.wav,"{""sad"": -1}"\n', "row 1, column votes: .*counts of at least 0"),
        ("path,votes_sad\n1.wav,0\n", "row 1, column votes: .*not all of them 0"),
        ("path,votes_sad\n1.wav,many\n", "row 1, column votes.sad: .*number.*found 'many'"),
        ('path,votes,votes_sad\n1.wav,"{""sad"": 1}",1\n', "row 1: found votes and votes_sad, exp"),
        ("path,votes_sad\n1.wav,\n", "row 1: found no label .*expected one, or votes"),
    ],
)
def test_votes_that_cannot_be_counted(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_clips(table(tmp_path, text))


def test_only_people_vote_in_a_data_set(tmp_path: Path) -> None:
    shares = {"happy": 0.7, "neutral": 0.3}
    people = (LabelReading("happy", "human", "raters.csv", "1", shares),)
    model = (LabelReading("happy", "model", "some model", "1", shares),)
    records = [make_record("a.mp4", labels=people), make_record("b.mp4", labels=model)]
    write_records(tmp_path / "records.jsonl", [*records, make_record("c.mp4")])
    clips = read_clips(SourceConfig(kind="dataset", path=str(tmp_path)))
    assert [clip.votes for clip in clips] == [shares, None, None]
