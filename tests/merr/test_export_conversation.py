"""Records <-> conversations: placeholders and media lists always fit."""

import json
from pathlib import Path
from typing import Any

import pytest
from exported_record import make_record

from emotion_llama.merr.export import check_conversations, read_conversations, write_conversations
from emotion_llama.prompt import EMOTION_QUESTION, REASON_QUESTIONS

CLIPS = ["a/01.mp4", "b/01.mp4", "b/02.wav", "c/03.png"]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text("utf-8")))


def test_a_row_has_its_question_its_answer_and_its_file(tmp_path: Path) -> None:
    report = write_conversations([make_record("a/01.mp4")], tmp_path / "out")
    emotion, reason = rows_of(tmp_path / "out" / "merr_train.json")
    labels = "happy, sad, neutral, angry, worried, surprise, fear, contempt, doubt"
    assert emotion == {
        "id": "a/01.mp4",
        "task": "emotion",
        "conversations": [
            {
                "from": "human",
                "value": "<video>The person in video says: Well, that is good.. "
                + EMOTION_QUESTION.format(labels=labels),
            },
            {"from": "gpt", "value": "happy"},
        ],
        "videos": ["a/01.mp4"],
    }
    asked = reason["conversations"][0]["value"].split("good.. ")[1]
    assert asked in REASON_QUESTIONS
    assert reason["conversations"][1]["value"].endswith("This speaks for happy.")
    assert report.num_written == 2


@pytest.mark.parametrize("layout", ["conversations", "messages"])
def test_placeholders_are_as_many_as_files(tmp_path: Path, layout: Any) -> None:
    records = [make_record(clip) for clip in CLIPS]
    sounds = {"a/01.mp4": "a/01.wav"}
    write_conversations(records, tmp_path / "out", sounds=sounds, layout=layout)
    rows = rows_of(tmp_path / "out" / "merr_train.json")
    content = "value" if layout == "conversations" else "content"
    for row in rows:
        words = row[layout][0][content]
        for mark, key in (("<video>", "videos"), ("<audio>", "audios"), ("<image>", "images")):
            assert words.count(mark) == len(row[key])
    assert rows[0]["audios"] == ["a/01.wav"]
    (entry,) = json.loads((tmp_path / "out" / "dataset_info.json").read_text()).values()
    assert entry["columns"] == {
        "messages": layout,
        "videos": "videos",
        "audios": "audios",
        "images": "images",
    }
    assert ("tags" in entry) is (layout == "messages")
    assert check_conversations(tmp_path / "out") == ()


@pytest.mark.parametrize("layout", ["conversations", "messages"])
def test_clip_task_and_answer_come_back(tmp_path: Path, layout: Any) -> None:
    records = [make_record(clip) for clip in CLIPS] + [make_record("d.mp4", split="test")]
    write_conversations(records, tmp_path / "out", layout=layout)
    caption = records[0].fine_caption
    assert caption
    assert sorted(
        (one.clip_id, one.task, one.answer) for one in read_conversations(tmp_path / "out")
    ) == sorted(
        (record.clip_id, task, answer)
        for record in records
        for task, answer in (("emotion", "happy"), ("reason", caption.text))
    )


def test_questions_are_drawn_the_same_each_time_and_not_all_alike(tmp_path: Path) -> None:
    records = [make_record(f"{n}.mp4") for n in range(40)]
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        write_conversations(records, tmp_path / name, seed=seed, tasks=["reason"])
    texts = [(tmp_path / n / "merr_train.json").read_bytes() for n in ("one", "two", "three")]
    assert texts[0] == texts[1] != texts[2]
    asked = {row["conversations"][0]["value"] for row in json.loads(texts[0])}
    assert len(asked) == len(REASON_QUESTIONS)


def test_own_questions_are_asked(tmp_path: Path) -> None:
    record = make_record(transcript=None)
    write_conversations(
        [record], tmp_path / "out", tasks=["reason"], questions={"reason": ["Why?"]}
    )
    (row,) = rows_of(tmp_path / "out" / "merr_train.json")
    assert row["conversations"][0]["value"] == "<video>Why?"


def test_rows_that_cannot_be_are_counted(tmp_path: Path) -> None:
    records = [
        make_record("1.mp4", fine_caption=None),
        make_record("2.mp4", label=None),
        make_record("3.mp4", label="bored"),
        make_record("4.xyz"),
        make_record("5.mp4", transcript="he wrote <audio> there"),
    ]
    report = write_conversations(records, tmp_path / "out")
    assert report.num_written == 3
    assert report.left_out == {
        "emotion: file of no known kind": 1,
        "emotion: its text holds a placeholder": 1,
        "emotion: label is not offered": 1,
        "emotion: no label": 1,
        "reason: file of no known kind": 1,
        "reason: its text holds a placeholder": 1,
        "reason: no fine caption": 1,
    }


def row(value: str = "<video>Why?", **changes: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": value}, {"from": "gpt", "value": "happy"}]
    return {"id": "a", "task": "emotion", "conversations": turns, "videos": ["a.mp4"], **changes}


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        (row("<video><audio>Why?"), r"row 1: found 1 x <audio> for 0 files in 'audios'"),
        (row("Why?"), r"row 1: found 0 x <video> for 1 files"),
        (row(videos=["/data/a.mp4"]), r"the path '/data/a\.mp4', expected one below"),
        (row(conversations=[{"from": "gpt", "value": "<video>"}]), r"turns of \['gpt'\]"),
        (row(conversations=[], videos=[]), r"turns of \[\], expected human and gpt"),
        (row("<video>Why?", conversations=None, videos=[]), r"turns of \[\], expected user and"),
    ],
)
def test_faults_of_files_are_found(tmp_path: Path, faulty: dict[str, Any], message: str) -> None:
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps([faulty]))
    assert check_conversations(file)
    with pytest.raises(ValueError, match=message):
        read_conversations(file)


def test_a_list_that_is_not_registered_is_a_fault(tmp_path: Path) -> None:
    write_conversations([make_record()], tmp_path / "out")
    info = tmp_path / "out" / "dataset_info.json"
    content = json.loads(info.read_text())
    del content["merr_train"]["columns"]["videos"]
    info.write_text(json.dumps(content))
    assert "registers no column 'videos'" in check_conversations(tmp_path / "out")[0]


def test_sounds_of_one_machine_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'/data/01\.wav', expected a path below the folder"):
        sounds = {"anna/01.mp4": "/data/01.wav"}
        write_conversations([make_record()], tmp_path / "out", sounds=sounds)


def test_rows_of_others_are_checked_but_not_read_back(tmp_path: Path) -> None:
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps([row(id=None)]))
    assert check_conversations(file) == ()
    with pytest.raises(ValueError, match=r"theirs\.json, row 1: found id None and task 'emotion'"):
        read_conversations(file)


def test_what_may_not_be_passed_on_is_refused(tmp_path: Path) -> None:
    source = make_record().source.__class__("talks", None)
    with pytest.raises(ValueError, match="licence of the source is not stated"):
        write_conversations([make_record(source=source)], tmp_path / "out")
    write_conversations([make_record(source=source)], tmp_path / "out", own_use=True)
