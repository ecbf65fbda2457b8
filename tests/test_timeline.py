"""Long clips answered part by part, with a tiny preset of random weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from emotion_llama import Predictor
from emotion_llama.config import MediaConfig
from emotion_llama.media import MediaError
from emotion_llama.records import Clip, Prediction
from emotion_llama.timeline import Segment, film_parts, summary, timeline

FilmMaker = Callable[..., Path]


@pytest.fixture(scope="module")
def predictor(tiny_preset: Path) -> Predictor:
    return Predictor.from_pretrained(
        tiny_preset, device="cpu", media=MediaConfig(face_source="whole-frame")
    )


@pytest.fixture
def film(make_film: FilmMaker, tone: Callable[..., NDArray[np.float32]]) -> Path:
    """Three seconds that grow brighter, with a tone."""
    levels = np.repeat(np.arange(75, dtype=np.uint8) * 3, 48 * 48 * 3)
    return make_film("film.mp4", frames=levels.reshape(75, 48, 48, 3), sounds=[tone(3.0, 16000)])


@pytest.fixture
def read(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[Clip]:
    """Note every clip that is read."""
    clips: list[Clip] = []
    real = predictor.reader.read

    def noted(*arguments: object, **settings: object) -> Clip:
        clips.append(real(*arguments, **settings))  # type: ignore[arg-type]
        return clips[-1]

    monkeypatch.setattr(predictor.reader, "read", noted)
    return clips


def subtitles(folder: Path, *cues: tuple[float, float, str]) -> Path:
    path = folder / "film.srt"
    lines = [f"0:0{a:.3f} --> 0:0{b:.3f}\n{words}\n" for a, b, words in cues]
    path.write_text("\n".join(lines).replace("0:0", "00:00:0"), encoding="utf-8")
    return path


def same(one: Prediction | None, other: Prediction) -> bool:
    assert one is not None
    return replace(one, timings_s={}) == replace(other, timings_s={})


def test_every_part_has_an_answer_of_its_own(
    predictor: Predictor, film: Path, read: list[Clip]
) -> None:
    parts = list(timeline(predictor, film, segment_s=1.0, with_reason=False))
    assert [(part.start_s, part.end_s) for part in parts] == [
        (pytest.approx(start), pytest.approx(start + 1, abs=0.01)) for start in (0, 1, 2)
    ]
    for part, clip in zip(parts, read, strict=True):
        answer = part.prediction
        assert answer is not None and part.error is None
        assert answer.clip == str(film)
        assert answer.reason is None
        assert answer.key_frame_s is not None
        assert part.start_s <= answer.key_frame_s < part.end_s
        assert {"read", "encode", "label", "total"} == set(answer.timings_s)
        (alone,) = predictor.answer(predictor.encode([clip]), with_reason=False)
        assert isinstance(alone, Prediction)
        assert same(answer, replace(alone, clip=str(film)))
    assert len({part.prediction.probabilities["happy"] for part in parts if part.prediction}) == 3


def test_a_clip_of_one_part_is_answered_as_ever(predictor: Predictor, film: Path) -> None:
    (part,) = timeline(predictor, film, "We won!", ("sad", "happy"), segment_s=60)
    assert (part.start_s, part.end_s) == (0.0, pytest.approx(3.0, abs=0.01))
    assert same(part.prediction, predictor(film, "We won!", ("sad", "happy")))


def test_a_still_picture_is_one_part_without_length(predictor: Predictor, tmp_path: Path) -> None:
    Image.fromarray(np.full((48, 48, 3), 90, np.uint8)).save(tmp_path / "a.png")
    parts = list(timeline(predictor, tmp_path / "a.png", segment_s=1, with_reason=False))
    assert [(part.start_s, part.end_s) for part in parts] == [(0, 0)]
    whole = summary(parts)
    assert whole.label is not None and whole.probabilities == parts[0].prediction.probabilities  # type: ignore[union-attr]


def test_subtitles_belong_to_the_part_that_holds_their_middle(
    predictor: Predictor, film: Path, read: list[Clip]
) -> None:
    words = subtitles(
        film.parent,
        (0.1, 0.4, "one"),
        (0.6, 1.2, "two"),
        (0.9, 1.3, "three"),
        (8.0, 9.0, "the end"),
    )
    parts = list(timeline(predictor, film, words, segment_s=1.0, with_reason=False))
    assert [clip.transcript for clip in read] == ["one two", "three", None]
    assert read[2].missing == {"text": "the transcript is empty"}
    notes = [
        [w for w in part.prediction.warnings if "left out" in w]
        for part in parts
        if part.prediction
    ]
    assert notes == [[], [], ["left out 1 subtitle(s) of film.srt: they come after the end"]]


def test_one_part_has_all_subtitles(predictor: Predictor, film: Path, read: list[Clip]) -> None:
    words = subtitles(film.parent, (0.1, 0.4, "one"), (2.6, 2.9, "two"))
    list(timeline(predictor, film, words, segment_s=10, with_reason=False))
    assert read[0].transcript == "one two"


def test_words_without_times_are_refused_for_several_parts(
    predictor: Predictor, film: Path
) -> None:
    (film.parent / "a.txt").write_text("We won!", encoding="utf-8")
    for words in ("We won!", film.parent / "a.txt"):
        with pytest.raises(ValueError, match=r"a text without times for 3 segments, expected sub"):
            timeline(predictor, film, words, segment_s=1.0)
    assert timeline(predictor, film, " ", segment_s=1.0), "no words are no fault"


def test_wrong_questions_are_refused_before_the_first_part(
    predictor: Predictor, film: Path
) -> None:
    with pytest.raises(ValueError, match="above 0"):
        timeline(predictor, film, segment_s=0)
    with pytest.raises(ValueError, match="label"):
        timeline(predictor, film, labels=("happy", "happy"), segment_s=1)
    with pytest.raises(MediaError, match="no file"):
        timeline(predictor, film.with_name("absent.mp4"), segment_s=1)


def test_a_part_with_nothing_in_it_says_why_and_stops_no_other(
    predictor: Predictor, make_film: FilmMaker, tone: Callable[..., NDArray[np.float32]]
) -> None:
    sound = np.concatenate([tone(1, 16000), np.zeros(16000, np.float32), tone(1, 16000)])
    path = make_film("a.wav", sounds=[sound], sound_codec="pcm_s16le")
    parts = list(timeline(predictor, path, segment_s=1.0, with_reason=False))
    assert [part.prediction is None for part in parts] == [False, True, False]
    assert "nothing usable" in str(parts[1].error)
    assert "the sound is silence" in str(parts[1].error)
    whole = summary(parts)
    assert (whole.num_answered, whole.num_segments, whole.answered_s) == (2, 3, 2.0)


def test_a_film_whose_header_does_not_say_its_length(
    predictor: Predictor, make_film: FilmMaker
) -> None:
    frames = np.full((50, 48, 48, 3), 90, np.uint8)
    live = make_film("a.webm", frames=frames, codec="libvpx", container_options={"live": "1"})
    assert [part.length_s for part in film_parts(live, 1)] == pytest.approx([1, 1], abs=0.05)
    raw = make_film("a.h264", frames=frames)
    with pytest.raises(MediaError, match="does not say how long it is"):
        film_parts(raw, 1)


def answered(start_s: float, end_s: float, label: str | None, **probabilities: float) -> Segment:
    prediction = Prediction(
        clip="a",
        label=label,
        probabilities=probabilities,
        reason=None,
        modalities=(),
        missing={},
        confidence=1.0,
        unsure=False,
        unsure_rule="",
        valence=None,
        key_frame_s=None,
        evidence=(),
        warnings=(),
        timings_s={},
        preset="test",
    )
    return Segment(start_s, end_s, prediction, None)


def test_the_whole_is_the_mean_by_length_of_what_is_answered() -> None:
    parts = [
        answered(0, 3, "happy", happy=0.6, sad=0.4),
        answered(3, 4, "sad", happy=0.0, sad=1.0),
        Segment(4, 90, None, "nothing in it"),
        answered(90, 99, None, happy=0.0, sad=1.0),
    ]
    whole = summary(parts)
    assert whole.probabilities == pytest.approx({"happy": 0.45, "sad": 0.55})
    assert whole.label == "sad"
    assert (whole.num_answered, whole.num_segments, whole.answered_s) == (2, 4, 4)


def test_nothing_answered_has_no_label() -> None:
    whole = summary([Segment(0, 1, None, "nothing in it")])
    assert (whole.label, whole.probabilities, whole.answered_s) == (None, {}, 0)
