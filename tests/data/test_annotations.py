"""Clips to examples: tasks, labels, splits, and people who must not be in both."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emotion_llama.config import SourceConfig
from emotion_llama.data import (
    Example,
    read_examples,
    read_source,
    require_disjoint_people,
    require_offered,
)

ROWS = (
    "path,label,text,caption,speaker,split\n"
    "1.wav,Happiness,Hi,She smiles.,anna,train\n"
    "2.wav,sad,,,ben,train\n"
    "3.wav,disgust,Ugh,He frowns.,cleo,dev\n"
)
EXAMPLE = Example("1.wav", "emotion", "sad", "sad", None, "anna", "mine", None)


@pytest.fixture
def source(tmp_path: Path) -> Any:
    path = tmp_path / "my.csv"

    def make(text: str = ROWS, **settings: Any) -> SourceConfig:
        path.write_text(text, "utf-8")
        return SourceConfig(kind="table", path=str(path), **settings)

    return make


def test_an_example_for_each_task(source: Any) -> None:
    reading = read_source(source(split=None))
    assert [(e.clip_id, e.task, e.answer, e.label) for e in reading.examples] == [
        ("1.wav", "emotion", "happy", "happy"),
        ("1.wav", "reason", "She smiles.", "happy"),
        ("2.wav", "emotion", "sad", "sad"),
        ("3.wav", "emotion", "disgust", "disgust"),
        ("3.wav", "reason", "He frowns.", "disgust"),
    ]
    assert reading.counts == {
        "no transcript": 1,
        "no caption, so no example of 'reason'": 1,
    }


def test_only_the_split_counts(source: Any) -> None:
    assert {e.clip_id for e in read_examples(source())} == {"1.wav", "2.wav"}
    reading = read_source(source(split="dev"))
    assert {e.clip_id for e in reading.examples} == {"3.wav"}
    assert reading.counts["not in the split 'dev'"] == 2


def test_a_table_without_splits_is_taken_whole(source: Any) -> None:
    assert len(read_examples(source("path,label\n1.wav,sad\n2.wav,sad\n"))) == 2


def test_a_split_that_is_not_there_is_named(source: Any) -> None:
    message = r"no example among 3 clips \(3 not in the split 'valid'; splits: dev, train; labels: "
    with pytest.raises(ValueError, match=message):
        read_examples(source(split="valid"))


def test_tasks_and_labels_choose(source: Any) -> None:
    reading = read_source(source(split=None, tasks=("emotion",), labels=("happy", "sad")))
    assert [e.answer for e in reading.examples] == ["happy", "sad"]
    assert reading.counts["label is not among labels"] == 1


def test_no_caption_at_all(source: Any) -> None:
    message = r"1 no caption, so no example of 'reason'.*change tasks, labels or split"
    with pytest.raises(ValueError, match=message):
        read_examples(source("path,label\n1.wav,sad\n", tasks=("reason",)))


def test_labels_are_written_as_they_are_offered(source: Any) -> None:
    offered = ("happiness", "sad", "disgust")
    examples = read_examples(source(split=None, tasks=("emotion",), offered=offered))
    assert [e.answer for e in examples] == ["happiness", "sad", "disgust"]
    assert {e.offered for e in examples} == {offered}


def test_a_label_that_is_not_offered_names_its_row(source: Any) -> None:
    message = (
        r"row 3: found the label 'disgust', expected one that is offered \(happy, sad\); add it"
    )
    with pytest.raises(ValueError, match=message):
        read_examples(source(split=None, offered=("happy", "sad")))


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("path,label\n1.wav,not: sure\n", {}, "row 1: found 'not: sure' in label.* as 'not sure'"),
        (ROWS, {"offered": ("Happy", "sad")}, "found 'Happy' in offered.* write as 'happy'"),
    ],
)
def test_labels_that_answers_would_change(
    source: Any, text: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_examples(source(text, **settings))


def test_the_checkpoint_must_offer_every_answer() -> None:
    require_offered([EXAMPLE], ["sad"])
    require_offered([replace(EXAMPLE, offered=("sad",))], ["happy"])
    require_offered([replace(EXAMPLE, task="reason", answer="He cries.")], ["happy"])
    message = "source mine, clip '1.wav': found the label 'sad', expected one that is offered"
    with pytest.raises(ValueError, match=message):
        require_offered([EXAMPLE], ["happy"])


def test_nobody_is_in_training_and_validation() -> None:
    require_disjoint_people([EXAMPLE], [replace(EXAMPLE, person="ben")])
    with pytest.raises(ValueError, match="found 'anna' in the training and in the validation"):
        require_disjoint_people([EXAMPLE], [replace(EXAMPLE, clip_id="2.wav")])


def test_where_nobody_is_stated_no_clip_is_in_both() -> None:
    unknown = replace(EXAMPLE, person=None)
    require_disjoint_people([unknown], [replace(unknown, clip_id="2.wav")])
    for one, other in ((unknown, unknown), (EXAMPLE, unknown), (unknown, EXAMPLE)):
        with pytest.raises(ValueError, match=r"found clip '1.wav' in the training and in"):
            require_disjoint_people([one], [other])


def test_instructions_are_examples_without_clips(tmp_path: Path) -> None:
    path = tmp_path / "plain.json"
    path.write_text('[{"instruction": "Hi", "output": "Ho!"}]', "utf-8")
    source = SourceConfig(kind="instructions", path=str(path), weight=0.1)
    (example,) = read_examples(source)
    assert (example.task, example.instruction, example.answer) == ("instruction", "Hi", "Ho!")
    assert (example.label, example.person, example.source) == (None, None, "plain")
    require_offered([example], [])
    path.write_text('[{"instruction": "Hi", "output": "Ho!", "image": "a.jpg"}]', "utf-8")
    with pytest.raises(
        ValueError, match=r"no instruction \(1: row speaks of a picture\), expected"
    ):
        read_examples(source)


def test_a_source_of_instructions_has_no_settings_of_clips() -> None:
    with pytest.raises(ValueError, match=r"found labels, media in a source of instructions"):
        SourceConfig(kind="instructions", path="plain.json", labels=("sad",), media="clips")


def test_votes_are_shares_of_the_labels_that_are_offered(source: Any) -> None:
    text = (
        "path,label,votes_Joy,votes_happiness,votes_sad,caption\n"
        "1.wav,,1,2,1,She smiles.\n"
        "2.wav,sad,1,,1,\n"
        "3.wav,sad,,,,\n"
        "4.wav,,1,,1,\n"
    )
    first, reason, second, third, fourth = read_examples(source(text))
    assert (first.votes, first.label) == ({"happy": 0.75, "sad": 0.25}, "happy")
    assert (reason.task, reason.votes, reason.label) == ("reason", None, "happy")
    assert (second.votes, second.label) == ({"happy": 0.5, "sad": 0.5}, "sad"), "the one given"
    assert (third.votes, third.answer) == (None, "sad")
    assert fourth.answer == "happy", "of equals the first"


def test_every_label_with_votes_has_to_be_offered(source: Any) -> None:
    text = "path,label,votes_sad,votes_fear\n1.wav,sad,3,1\n"
    with pytest.raises(ValueError, match="row 1: found the label 'fear', expected one that is off"):
        read_examples(source(text, offered=("happy", "sad")))
    with pytest.raises(ValueError, match="clip '1.wav': found the label 'fear', expected one"):
        require_offered(read_examples(source(text)), ["happy", "sad"])
