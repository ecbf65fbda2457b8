"""The fine caption of one clip: composed or asked for, and what a kept answer depends on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from exported_record import make_record

from emotion_llama.config import BuildConfig
from emotion_llama.merr import caption_work, fine
from emotion_llama.merr.caption_work import COMPOSER, CaptionJob, CaptionWorker, FineResult
from emotion_llama.merr.compose import compose
from emotion_llama.merr.describers import Message
from emotion_llama.merr.records import Clue, MerrRecord
from emotion_llama.merr.rules import load_rules
from emotion_llama.version import __version__

TABLE = load_rules("merr")
LABELS = ("happy", "sad", "neutral")
GOOD = (
    "Evidence: The lip corners are clearly pulled up and the pitch is clearly high.\n"
    "Conclusion: Both of these observations together speak for happy."
)


@dataclass
class Model:
    """Answers in turn with what it is told to; the last answer again and again."""

    answers: list[str | Exception] = field(default_factory=lambda: [GOOD])
    name: str = "model"
    version: str = "1"
    temperature: float = 0.0
    asked: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"temperature": self.temperature}

    def answer(self, messages: Sequence[Message], *, seed: int) -> str:
        self.asked.append(messages[-1].content)
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """Put a model in the place of those that are named."""
    made = Model()
    monkeypatch.setattr(
        caption_work, "text_model", lambda spec, **_: None if spec == "offline" else made
    )
    return made


def record(**changes: Any) -> MerrRecord:
    clues = (
        Clue("facial", "AU12", "clear", "the lip corners are clearly pulled up", 3.1, 0.28, 0.28),
        Clue("voice", "pitch", "clearly high", "the pitch is clearly high", 1.2, 0.0, 2.5),
    )
    return make_record(**({"clues": clues, "transcript": None} | changes))


def write(
    folder: Path,
    row: MerrRecord | None = None,
    *,
    labels: tuple[str, ...] = LABELS,
    described: bool = False,
    rules: str = "merr",
    **settings: Any,
) -> FineResult:
    """Write one caption, as a process that has just begun."""
    config = BuildConfig(**({"text_model": "hf:some"} | settings))
    worker = CaptionWorker(config, load_rules(rules), folder)
    return worker.run(CaptionJob(row or record(), labels, described))


def test_offline_captions_are_composed_and_nothing_is_kept(tmp_path: Path) -> None:
    one = record()
    result = write(tmp_path, one, text_model="offline", seed=4)
    assert result.caption == compose(one.clues, "happy", TABLE, one.clip_id, 4)
    assert (result.producer, result.version) == (COMPOSER, __version__)
    assert result.settings == {"rules": [TABLE.name, TABLE.version], "seed": 4}
    assert list(tmp_path.iterdir()) == []


def test_an_answer_is_kept_and_comes_back_the_same(tmp_path: Path, model: Model) -> None:
    first = write(tmp_path)
    assert first.caption is not None
    assert "AU12" in first.caption.supports
    assert (first.producer, first.version, first.reused) == ("model", "1", False)
    again = write(tmp_path)
    assert again == replace(first, reused=True)
    assert len(model.asked) == 1
    assert json.dumps(dict(first.settings)), "they stand among the producers"
    assert first.settings["prompt"] == fine.prompt_hash()


CHANGES: dict[str, dict[str, Any]] = {
    "clip": {"row": record(clip_id="other.mp4")},
    "clues": {"row": record(clues=record().clues[:1])},
    "words": {"row": record(transcript="Well.")},
    "label": {"row": record(label="sad")},
    "scene": {"row": record(scene_description="A wall.")},
    "offered labels": {"labels": (*LABELS, "fear")},
    "tries": {"fine_tries": 1},
    "seed": {"seed": 1},
    "rules": {"rules": "facs"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_an_answer_depends_on_asks_again(
    tmp_path: Path, model: Model, change: str
) -> None:
    write(tmp_path)
    asked = len(model.asked)
    assert not write(tmp_path, **CHANGES[change]).reused
    assert len(model.asked) > asked


@pytest.mark.parametrize(
    ("name", "value"), [("name", "other"), ("version", "2"), ("temperature", 0.7)]
)
def test_another_model_is_asked(tmp_path: Path, model: Model, name: str, value: Any) -> None:
    write(tmp_path)
    setattr(model, name, value)
    assert not write(tmp_path).reused


def test_another_prompt_is_asked(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setattr(fine, "SYSTEM_PROMPT", "Be brief.")
    assert not write(tmp_path).reused
    assert len(model.asked) == 2


def test_what_is_not_read_of_a_record_asks_nobody(tmp_path: Path, model: Model) -> None:
    write(tmp_path)
    other = record(split="test", notes=(), coarse_caption="Another.")
    assert write(tmp_path, other, min_snr_db=3.0).reused


def test_a_rejection_is_kept_with_the_reason_of_every_try(tmp_path: Path, model: Model) -> None:
    model.answers = ["", "As an AI, I cannot tell.", GOOD.replace("happy", "sad")]
    result = write(tmp_path)
    assert result.caption is None
    assert [reason.partition(":")[0] for reason in result.reasons] == [
        "empty",
        "form",
        "contradiction",
    ]
    assert write(tmp_path) == replace(result, reused=True)
    assert len(model.asked) == 3


def test_a_try_without_an_answer_is_not_the_clip_s_fault_and_not_kept(
    tmp_path: Path, model: Model
) -> None:
    model.answers = [ValueError("wrong key"), ""]
    result = write(tmp_path, fine_tries=2)
    assert result.reasons[0] == "no answer: wrong key"
    model.answers = [GOOD]
    again = write(tmp_path, fine_tries=2)
    assert (again.caption is not None, again.reused) == (True, False)


def test_a_good_answer_after_none_is_kept(tmp_path: Path, model: Model) -> None:
    model.answers = [ValueError("busy"), GOOD]
    first = write(tmp_path)
    assert first.caption is not None and first.caption.num_attempts == 2
    assert write(tmp_path).reused


def test_a_lost_connection_is_an_error(tmp_path: Path, model: Model) -> None:
    model.answers = [ConnectionError("nobody there")]
    with pytest.raises(ConnectionError):
        write(tmp_path)


def test_only_a_model_s_own_words_of_the_voice_are_told_beside_the_clues(
    tmp_path: Path, model: Model
) -> None:
    row = record(voice_description="A hoarse voice.")
    write(tmp_path, row)
    assert "hoarse" not in model.asked[-1]
    write(tmp_path / "other", row, described=True)
    assert "- voice: a hoarse voice" in model.asked[-1]
