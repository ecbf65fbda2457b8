"""Scores that are asked for once: a judge that is gone for a while costs no score for good."""

import json
from collections import Counter
from pathlib import Path

import pytest

from emotion_llama.evaluation.judged import JUDGED, JudgedFile, judge_section, missing_line
from emotion_llama.evaluation.overlap import TextPair, clue_overlap, label_overlap

PAIRS = [
    TextPair(f"clip{n}", f"She is glad, says reference {n}.", f"She is glad, says {n}.")
    for n in range(6)
]


class FlakyJudge:
    """Scores by the length of the question; gone for some questions."""

    def __init__(self, gone: range = range(0), name: str = "flaky") -> None:
        self.gone = gone
        self.name = name
        self.version = "1"
        self.num_asked = 0
        self.outages: Counter[str] = Counter()

    def ask(self, prompt: str) -> str:
        self.num_asked += 1
        if self.num_asked - 1 in self.gone:
            self.outages["status 429"] += 1
            msg = "gone"
            raise ConnectionError(msg)
        if "<words in" in prompt:
            return '{"words": ["glad"]}'
        return json.dumps({"score": 1 + len(prompt) % 10, "reason": "so"})


def ask_all(judge: FlakyJudge, folder: Path) -> dict[str, object]:
    return judge_section(judge, PAIRS, 3, folder / JUDGED)


def test_a_judge_that_is_gone_for_a_while_ends_nothing_and_the_rest_is_filled_up(
    tmp_path: Path,
) -> None:
    whole_judge = FlakyJudge()
    whole = ask_all(whole_judge, tmp_path / "..")
    (tmp_path / ".." / JUDGED).unlink()
    flaky = FlakyJudge(range(4, 9))
    first = ask_all(flaky, tmp_path)
    assert first["outages"] == {"status 429": 5}
    assert first["missing"] == 5
    assert first["clue_overlap@flaky"]["num_scored"] < 6  # type: ignore[index]
    assert "5 scores of the judge are missing (5 x status 429)" in missing_line(first)
    again = FlakyJudge()
    second = ask_all(again, tmp_path)
    assert again.num_asked == 5, "only what is missing is asked for"
    assert (second["missing"], missing_line(second)) == (0, "")
    assert second == whole
    last = FlakyJudge()
    assert ask_all(last, tmp_path) == whole
    assert last.num_asked == 0
    keys = [json.loads(line)["key"] for line in (tmp_path / JUDGED).read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 6 + 6 + 6  # calibration, clues, labels


def test_another_judge_or_text_is_another_question(tmp_path: Path) -> None:
    path = tmp_path / JUDGED
    JudgedFile(path).ask(clue_overlap, FlakyJudge(), PAIRS[0])
    other = FlakyJudge(name="other")
    found = JudgedFile(path).ask(clue_overlap, other, PAIRS[0])
    assert (other.num_asked, found.judge) == (1, "other")
    changed = FlakyJudge()
    JudgedFile(path).ask(clue_overlap, changed, TextPair("clip0", PAIRS[0].reference, "She cries."))
    JudgedFile(path).ask(label_overlap, changed, PAIRS[0])
    assert changed.num_asked == 1 + 3
    same = FlakyJudge()
    again = JudgedFile(path).ask(clue_overlap, same, TextPair("new name", *_texts(PAIRS[0])))
    assert (same.num_asked, again.sample_id) == (0, "new name")


def _texts(pair: TextPair) -> tuple[str, str]:
    return pair.reference, pair.prediction


def test_a_reply_that_cannot_be_read_is_final_and_a_refusal_is_not(tmp_path: Path) -> None:
    class Odd(FlakyJudge):
        def ask(self, prompt: str) -> str:
            self.num_asked += 1
            if self.name == "refuses":
                msg = "status 401"
                raise ValueError(msg)
            return "8/10"

    for name, asked_again in (("mumbles", 0), ("refuses", 1)):
        path = tmp_path / f"{name}.jsonl"
        assert JudgedFile(path).ask(clue_overlap, Odd(name=name), PAIRS[0]).score is None
        second = Odd(name=name)
        JudgedFile(path).ask(clue_overlap, second, PAIRS[0])
        assert second.num_asked == asked_again


@pytest.mark.parametrize("rest", ['{"key": "ab', "x"])
def test_a_line_that_a_kill_left_half_written_is_asked_for_again(rest: str, tmp_path: Path) -> None:
    path = tmp_path / JUDGED
    JudgedFile(path).ask(clue_overlap, FlakyJudge(), PAIRS[0])
    whole = path.read_text("utf-8")
    path.write_text(whole + rest, "utf-8")
    judge = FlakyJudge()
    JudgedFile(path).ask(clue_overlap, judge, PAIRS[0])
    assert (judge.num_asked, path.read_text("utf-8")) == (0, whole)
