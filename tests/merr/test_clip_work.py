"""The work on one clip: what models are shown and when, what is kept, what is missing and why."""

import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build_samples import openface_table, tone
from numpy.typing import NDArray

from emotion_llama.config import BuildConfig
from emotion_llama.media import FilmWriter, Speech
from emotion_llama.merr import clip_work
from emotion_llama.merr.clip_work import ClipWorker, Described, WorkedClip, WorkSettings
from emotion_llama.merr.measure import ClipMeter
from emotion_llama.merr.records import Source
from emotion_llama.merr.sources import SourceClip


@dataclass
class Describer:
    """Notes what it is shown, and says what it is told to."""

    said: str = "A grey wall."
    error: Exception | None = None
    name: str = "describer"
    version: str = "1"
    prompt: str = "What is there?"
    shown: list[Any] = field(default_factory=list)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"prompt": self.prompt}

    def describe(self, seen: NDArray[Any], sample_rate_hz: int = 0) -> str:
        self.shown.append((seen, sample_rate_hz))
        if self.error is not None:
            raise self.error
        return self.said

    def transcribe(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> Speech:
        return Speech(self.describe(waveform, sample_rate_hz), "de")


@dataclass
class Labeller:
    """Labels every clip alike; ``None``: it cannot answer."""

    label: str | None = "happy"
    version: str = "1"
    name: str = "labeller"
    num_loaded: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {}

    def load(self) -> Callable[[Path, str | None], tuple[str, Mapping[str, float]]]:
        self.num_loaded += 1

        def answer(path: Path, text: str | None) -> tuple[str, Mapping[str, float]]:
            self.asked.append((path.name, text))
            if self.label is None:
                msg = f"{path}: found nothing\nto answer from"
                raise ValueError(msg)
            return self.label, {self.label: 1 / 3, "sad": 2 / 3}

        return answer


@pytest.fixture
def film(tmp_path: Path) -> SourceClip:
    """A film without sound that gets brighter; by its table the face moves most at 1.2 s."""
    with FilmWriter(tmp_path / "film.mp4") as writer:
        for number in range(50):
            writer.add(np.full((64, 96, 3), 40 + 4 * number, np.uint8), number / 25)
    values = [0.0] * 30 + [4.0] * 20
    table = openface_table(tmp_path / "film.csv", {12: values})
    return source(tmp_path / "film.mp4", action_units=table)


@pytest.fixture
def sound(tmp_path: Path) -> SourceClip:
    return source(tone(tmp_path / "sound.wav", 200))


def source(path: Path, **known: Any) -> SourceClip:
    return SourceClip(path.name, path, path.name, Source("set", None), **known)


@pytest.fixture
def describer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Describer]:
    """Put a describer in the place of those that are named."""
    made = Describer()

    def find(spec: str, *, allow_remote: bool) -> Describer | None:
        return None if spec == "offline" else made

    monkeypatch.setattr(clip_work, "picture_describer", find)
    monkeypatch.setattr(clip_work, "voice_describer", find)
    yield made


def work(row: SourceClip, folder: Path, *, more: Mapping[str, Any] | None = None) -> WorkedClip:
    """Do all stages of one clip, as a process that has just begun."""
    given = {"config": BuildConfig(frames_per_second=25, peak_smoothing_s=0)} | dict(more or {})
    return ClipWorker(WorkSettings(cache_dir=folder / "stages", **given)).run(row)


def looking(**models: str) -> Mapping[str, Any]:
    return {"config": BuildConfig(frames_per_second=25, peak_smoothing_s=0, **models)}


SEEING, HEARING = looking(picture_model="hf:some"), looking(voice_model="hf:some")


# ---- descriptions --------------------------------------------------------------------------------


def test_the_peak_frame_is_described(
    film: SourceClip, describer: Describer, tmp_path: Path
) -> None:
    worked = work(film, tmp_path, more=SEEING)
    assert worked.scene == Described("A grey wall.", "describer", "1", describer.settings)
    assert worked.measures.face is not None and worked.measures.face.peak_frame == 30
    ((picture, _),) = describer.shown
    assert float(np.median(picture)) == pytest.approx(40 + 4 * 30, abs=3)


def test_without_a_peak_the_middle_is_described(
    film: SourceClip, describer: Describer, tmp_path: Path
) -> None:
    work(replace(film, action_units=None), tmp_path, more=SEEING)
    ((picture, _),) = describer.shown
    assert float(np.median(picture)) == pytest.approx(40 + 4 * 25, abs=6)


def test_a_description_is_kept_under_the_settings_of_its_describer(
    film: SourceClip, describer: Describer, tmp_path: Path
) -> None:
    assert "scene" not in work(film, tmp_path, more=SEEING).reused
    again = work(film, tmp_path, more=SEEING)
    assert again.reused == ("measures", "scene")
    assert len(describer.shown) == 1
    for change in ({"prompt": "What else?"}, {"version": "2"}, {"name": "another"}):
        for name, value in change.items():
            setattr(describer, name, value)
        assert work(film, tmp_path, more=SEEING).reused == ("measures",), change
    assert len(describer.shown) == 4


def test_a_voice_is_described_where_there_is_one(
    film: SourceClip, sound: SourceClip, describer: Describer, tmp_path: Path
) -> None:
    describer.said = "  A low\nvoice. "
    heard = work(sound, tmp_path, more=HEARING)
    assert heard.voice is not None and heard.voice.text == "A low voice."
    ((waveform, rate),) = describer.shown
    assert (waveform.ndim, rate) == (1, 16000)
    assert work(film, tmp_path, more=HEARING).voice is None
    assert len(describer.shown) == 1, "the film has no sound"
    assert work(sound, tmp_path, more=HEARING).reused == ("measures", "tone")


def test_a_sound_has_no_picture_to_describe(
    sound: SourceClip, describer: Describer, tmp_path: Path
) -> None:
    assert work(sound, tmp_path, more=SEEING).scene is None
    assert describer.shown == []


@pytest.mark.parametrize("kind", ["scene", "voice"])
def test_a_describer_without_an_answer_leaves_the_clip_and_is_asked_again(
    film: SourceClip, sound: SourceClip, describer: Describer, tmp_path: Path, kind: str
) -> None:
    row, more = (film, SEEING) if kind == "scene" else (sound, HEARING)
    describer.error = ValueError("too large")
    worked = work(row, tmp_path, more=more)
    assert getattr(worked, kind) is None
    assert worked.missing == {f"{kind}_description": "describer gave none: too large"}
    describer.error = None
    assert getattr(work(row, tmp_path, more=more), kind) is not None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("I'm sorry, but I cannot help with that.", 'found "I\'m sorry"'),
        ("The man shows none of these emotions.", "found 'none of these emotions'"),
        ("<|assistant|> A wall.", "found '<|assistant|>'"),
        ("A happy man at a wall.", "found 'happy'"),
    ],
)
def test_what_is_no_observation_is_no_description(
    film: SourceClip, describer: Describer, tmp_path: Path, said: str, why: str
) -> None:
    describer.said = said
    worked = work(film, tmp_path, more=SEEING)
    assert worked.scene is None
    assert worked.missing["scene_description"].endswith(f"said is no observation: {why}")
    work(film, tmp_path, more=SEEING)
    assert len(describer.shown) == 1, "it would say the same again"


def test_what_a_picture_does_not_show_may_be_said(
    film: SourceClip, describer: Describer, tmp_path: Path
) -> None:
    describer.said = "There are no people at the wall, and there is nothing on it."
    worked = work(film, tmp_path, more=SEEING)
    assert worked.scene is not None and worked.scene.text == describer.said


def test_a_model_that_cannot_be_reached_is_the_clip_s_failure_and_measures_stay(
    film: SourceClip, describer: Describer, tmp_path: Path
) -> None:
    describer.error = ConnectionError("nobody there")
    with pytest.raises(ConnectionError, match="nobody there"):
        work(film, tmp_path, more=SEEING)
    describer.error = None
    assert work(film, tmp_path, more=SEEING).reused == ("measures",)


# ---- words ---------------------------------------------------------------------------------------


def test_a_recogniser_is_heard_once_and_tells_the_labeller(
    sound: SourceClip, tmp_path: Path
) -> None:
    recogniser, labeller = Describer("  Well\nthen. "), Labeller()
    more = {"load_recognizer": lambda: recogniser, "label_maker": labeller}
    worked = work(sound, tmp_path, more=more)
    assert worked.recognised == Described("Well then.", "describer", "1", {"language": "de"})
    assert labeller.asked == [("sound.wav", "Well then.")]
    assert work(sound, tmp_path, more=more).reused == ("words", "measures", "labels")
    assert len(recogniser.shown) == 1
    given = replace(sound, transcript="Given words.")
    assert work(given, tmp_path, more=more).recognised is not None, "to be compared"
    assert labeller.asked[1:] == [("sound.wav", "Given words.")]


def test_nothing_recognised_is_no_transcript(
    sound: SourceClip, film: SourceClip, tmp_path: Path
) -> None:
    recogniser = Describer("  ")
    more = {"load_recognizer": lambda: recogniser}
    assert work(sound, tmp_path, more=more).recognised is None
    assert work(film, tmp_path, more=more).recognised is None
    assert len(recogniser.shown) == 1, "the film has no sound"


# ---- labels --------------------------------------------------------------------------------------


def test_a_label_is_kept_under_labeller_and_words(sound: SourceClip, tmp_path: Path) -> None:
    labeller = Labeller()
    more = {"label_maker": labeller}
    reading = work(sound, tmp_path, more=more).label
    assert reading is not None
    assert (reading.label, reading.kind, reading.producer) == ("happy", "model", "labeller")
    assert reading.probabilities == {"happy": 0.333333, "sad": 0.666667}
    assert work(sound, tmp_path, more=more).label == reading
    assert labeller.num_loaded == 1, "not loaded for what is kept"
    work(replace(sound, transcript="Other words."), tmp_path, more=more)
    labeller.version = "2"
    work(sound, tmp_path, more=more)
    assert len(labeller.asked) == 3


def test_a_clip_that_cannot_be_labelled_says_why_without_its_place(
    sound: SourceClip, tmp_path: Path
) -> None:
    more = {"label_maker": Labeller(None)}
    for _ in range(2):
        worked = work(sound, tmp_path, more=more)
        assert worked.label is None
        assert worked.missing == {
            "label": "labeller gave none: sound.wav: found nothing to answer from"
        }
    assert "labels" in worked.reused


# ---- what is kept --------------------------------------------------------------------------------


def test_what_is_kept_can_be_read_and_names_no_place(
    film: SourceClip, describer: Describer, tmp_path: Path
) -> None:
    work(film, tmp_path, more={**SEEING, "label_maker": Labeller(), "trust_names": True})
    kept = sorted((tmp_path / "stages").rglob("*.json"))
    assert {path.relative_to(tmp_path / "stages").parts[0] for path in kept} == {
        "labels",
        "measures",
        "names",
        "scene",
    }
    for path in kept:
        assert isinstance(json.loads(path.read_bytes()), dict)
        assert str(tmp_path).encode() not in path.read_bytes()


def test_another_table_of_action_units_is_measured_again_and_other_words_are_not(
    film: SourceClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(film, tmp_path)
    assert work(replace(film, transcript="Words."), tmp_path).reused == ("measures",)
    other = openface_table(tmp_path / "other.csv", {4: [4.0] * 50})
    worked = work(replace(film, action_units=other), tmp_path)
    assert worked.reused == ()
    assert worked.measures.face is not None
    present = [unit.unit for unit in worked.measures.face.units if unit.is_present]
    assert present == ["AU04"]
    monkeypatch.setattr(ClipMeter, "measure", None)
    assert work(film, tmp_path).reused == ("measures",)


def test_settings_can_be_sent_to_another_process(tmp_path: Path) -> None:
    settings = WorkSettings(BuildConfig(), tmp_path, Labeller())
    assert pickle.loads(pickle.dumps(settings)) == settings
