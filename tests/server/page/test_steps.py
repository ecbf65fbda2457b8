"""From a click to what is seen: the order of things, refusals in words, what is kept."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from page_engine import ActingEngine

from emotion_llama.clip_words import WordModels
from emotion_llama.media import MediaError
from emotion_llama.prompt import Turn
from emotion_llama.server.api.keys import RateLimit
from emotion_llama.server.engine import NotServingError
from emotion_llama.server.engines import Engines
from emotion_llama.server.page import words
from emotion_llama.server.page.steps import (
    Given,
    Service,
    View,
    Views,
    answer,
    choose,
    paced,
    reply,
)
from emotion_llama.server.page.talk import Talk

RATE = 3


@pytest.fixture
def engine() -> ActingEngine:
    return ActingEngine()


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"a film")
    return path


def all_of(views: Views) -> list[View]:
    async def gather() -> list[View]:
        return [view async for view in views]

    return asyncio.run(gather())


def service(engine: Any, folder: Path) -> Service:
    return Service(Engines(engine), engine.settings, folder, RateLimit(RATE))


def done(views: Views) -> Talk:
    last = all_of(views)[-1]
    assert last.stage == "done" and last.talk is not None, last
    return last.talk


def test_who_asks_too_often_is_told_so_and_nobody_else(engine: ActingEngine, given: Path) -> None:
    here = service(engine, given.parent)
    for _ in range(RATE):
        assert all_of(paced(here, "one", answer(here, Given(given))))[-1].stage == "done"
    num_asked = len(engine.asked)
    refused = all_of(paced(here, "one", answer(here, Given(given))))
    assert [view.stage for view in refused] == ["failed"]
    assert f"more than {RATE} times in a minute; try again in" in refused[0].said
    assert len(engine.asked) == num_asked
    assert all_of(paced(here, "another", answer(here, Given(given))))[-1].stage == "done"


def test_the_label_is_seen_before_the_reason_is_begun(engine: ActingEngine, given: Path) -> None:
    views = all_of(answer(service(engine, given.parent), Given(given, "What is said here")))
    stages = [view.stage for view in views]
    assert stages[:3] == ["busy", "label", "growing"] and stages[-1] == "done"
    first = next(view.talk for view in views if view.talk is not None)
    assert first.piece.prediction.reason is None
    assert "Because" in [view.growing for view in views]
    assert views[-1].talk is not None
    assert views[-1].talk.piece.prediction.reason == "Because of the face."


def test_the_file_is_named_by_its_hash(engine: ActingEngine, given: Path) -> None:
    talk = done(answer(service(engine, given.parent), Given(given)))
    assert talk.sha256 == hashlib.sha256(b"a film").hexdigest()


def test_every_part_that_was_used_is_left_out_once(engine: ActingEngine, given: Path) -> None:
    talk = done(answer(service(engine, given.parent), Given(given, "What is said here")))
    without = talk.piece.without
    assert without is not None and set(without) == {"audio", "vision", "text"}
    assert all(one.confidence < talk.piece.prediction.confidence for one in without.values())


def test_words_alone_have_nothing_to_leave_out(engine: ActingEngine, tmp_path: Path) -> None:
    talk = done(answer(service(engine, tmp_path), Given(None, "I am glad")))
    assert talk.piece.without == {} and talk.sha256 is None


def test_without_a_reason_none_is_asked_for(engine: ActingEngine, given: Path) -> None:
    talk = done(answer(service(engine, given.parent), Given(given, with_reason=False)))
    assert talk.piece.prediction.reason is None
    assert all(not asked[1] for asked in engine.asked if asked[0] == "answer")


def test_sound_and_faces_are_not_kept(engine: ActingEngine, given: Path) -> None:
    clip = done(answer(service(engine, given.parent), Given(given))).piece.encoded.clip
    assert clip is not None and clip.waveform is None and clip.key_frame is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (MediaError(Path("clip.mp4"), found="noise", expected="a film", next_step="mend it"),
         "clip.mp4: found noise"),
        (NotServingError("the service is draining"), "The service is draining."),
        (RuntimeError("/secret/path"), words.FAULT),
        (TimeoutError(), words.TOO_LATE),
    ],
)  # fmt: skip
def test_every_fault_ends_in_words(
    engine: ActingEngine, given: Path, fault: Exception, said: str
) -> None:
    engine.fault = fault
    last = all_of(answer(service(engine, given.parent), Given(given)))[-1]
    assert last.stage == "failed" and said in last.said and "secret" not in last.said
    assert engine.held == 0


def test_a_full_service_says_when_to_come_back(engine: ActingEngine, given: Path) -> None:
    engine.is_full = True
    last = all_of(answer(service(engine, given.parent), Given(given)))[-1]
    assert last.stage == "failed" and "try again in 7 s" in last.said


def test_a_file_from_elsewhere_is_refused_unread(engine: ActingEngine, tmp_path: Path) -> None:
    for path in (Path("/etc/passwd"), tmp_path / "in" / ".." / ".." / "x"):
        (view,) = all_of(answer(service(engine, tmp_path / "in"), Given(path)))
        assert view.stage == "failed" and "not given on this page" in view.said
    assert engine.asked == []


@pytest.mark.parametrize(
    ("text", "labels", "said"),
    [
        ("", "", "neither a clip nor words"),
        ("x" * 5000, "", "5000 characters"),
        ("Я очень рад", "", "not English"),
        ("I am glad", "happy", "no label set"),
        ("I am glad", ",", "no label set"),
        ("I am glad", ",".join(f"l{n}" for n in range(100)), "100 labels"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(
    engine: ActingEngine, tmp_path: Path, text: str, labels: str, said: str
) -> None:
    last = all_of(answer(service(engine, tmp_path), Given(None, text, labels)))[-1]
    assert last.stage == "failed" and said in last.said
    assert engine.asked == []


@pytest.mark.parametrize("reads_more", [False, True])
def test_other_words_are_taken_where_they_can_be_read_or_translated(
    engine: ActingEngine, tmp_path: Path, reads_more: bool
) -> None:
    if reads_more:
        engine.predictor.model.config.reads_english_only = False
    else:
        engine.words = WordModels(translation="a dictionary")
    done(answer(service(engine, tmp_path), Given(None, "Я рад тебя видеть")))
    assert engine.asked[0] == ("encode", "Я рад тебя видеть", None)


def test_a_long_clip_is_answered_in_segments_without_the_words(given: Path) -> None:
    engine = ActingEngine(length_s=5.0, segment_s=2)
    talk = done(answer(service(engine, given.parent), Given(given, "What is said here")))
    spans = [piece.span for piece in talk.pieces]
    assert len(spans) == 3 and spans[0] == (0.0, pytest.approx(5 / 3))
    assert [asked[1] for asked in engine.asked if asked[0] == "encode"][1:] == [None] * 3
    assert words.TEXT_LEFT_OUT in talk.notes
    reasons = [piece.prediction.reason for piece in talk.pieces]
    assert reasons == ["Because of the face.", None, None]


def test_a_length_that_is_known_saves_reading_the_whole_clip(given: Path) -> None:
    engine = ActingEngine(length_s=5.0, segment_s=3)

    class KnowsLength:
        async def length_s(self, path: Path, name: str) -> float:
            return 5.0

    engine.readers = KnowsLength()  # type: ignore[assignment]
    done(answer(service(engine, given.parent), Given(given)))
    spans = [asked[2] for asked in engine.asked if asked[0] == "encode"]
    assert spans == [(0.0, 2.5), (2.5, 5.0)]


def test_a_chosen_segment_gets_its_reason_once(given: Path) -> None:
    engine = ActingEngine(length_s=5.0, segment_s=3)
    here = service(engine, given.parent)
    talk = done(choose(here, done(answer(here, Given(given))), 1))
    assert talk.chosen == 1 and talk.piece.prediction.reason == "Because of the face."
    num_asked = len(engine.asked)
    back = done(choose(here, talk, 0))
    assert back.chosen == 0 and len(engine.asked) == num_asked


def test_a_talk_goes_on_with_all_that_was_said(engine: ActingEngine, given: Path) -> None:
    here = service(engine, given.parent)
    talk = done(answer(here, Given(given)))
    talk = done(reply(here, talk, " And the voice? "))
    talk = done(reply(here, talk, "And the face?"))
    assert talk.turns == (
        Turn("And the voice?", "It is reply 1."),
        Turn("And the face?", "It is reply 2."),
    )
    assert engine.asked[-1] == (
        "reply",
        [Turn("And the voice?", "It is reply 1."), Turn("And the face?", None)],
    )


def test_another_segment_begins_another_talk(given: Path) -> None:
    engine = ActingEngine(length_s=5.0, segment_s=3)
    here = service(engine, given.parent)
    talk = done(reply(here, done(answer(here, Given(given))), "And the voice?"))
    assert done(choose(here, talk, 1)).turns == ()


def test_what_is_no_longer_kept_is_said_to_be(engine: ActingEngine, tmp_path: Path) -> None:
    here = service(engine, tmp_path)
    for views in (choose(here, None, 0), reply(here, None, "And the voice?")):
        (view,) = all_of(views)
        assert view.stage == "failed" and view.said == words.GONE


def test_a_visitor_who_leaves_gives_the_place_back(engine: ActingEngine, given: Path) -> None:
    async def leave() -> None:
        views = answer(service(engine, given.parent), Given(given))
        async for view in views:
            if view.stage == "growing":
                assert engine.held == 1
                break
        await views.aclose()

    asyncio.run(leave())
    assert engine.held == 0


def test_an_answer_that_takes_too_long_is_given_up(given: Path) -> None:
    engine = ActingEngine(answer_limit_s=0.05)

    async def slow(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(5)

    engine.encode = slow  # type: ignore[method-assign]
    last = all_of(answer(service(engine, given.parent), Given(given)))[-1]
    assert last.said == words.TOO_LATE and engine.held == 0


def pair(folder: Path, **settings: Any) -> tuple[Service, ActingEngine, ActingEngine]:
    small = ActingEngine(preset="mini", **settings)
    large = ActingEngine(preset="large", **settings)
    engines: Any = (small, large)
    return Service(Engines(*engines), small.settings, folder, RateLimit(RATE)), small, large


def test_the_chosen_preset_answers_and_all_later_questions_are_its_own(given: Path) -> None:
    here, small, large = pair(given.parent, length_s=5.0, segment_s=3)
    talk = done(answer(here, Given(given, preset="large")))
    talk = done(choose(here, talk, 1))
    done(reply(here, talk, "And the voice?"))
    assert talk.preset == "large" and talk.piece.without
    assert {asked[0] for asked in large.asked} == {"encode", "answer", "reply"}
    assert small.asked == []


def test_without_a_choice_the_first_preset_answers(given: Path) -> None:
    here, small, large = pair(given.parent)
    assert done(answer(here, Given(given))).preset == "mini"
    assert small.asked and not large.asked


def test_a_preset_that_is_not_served_is_refused_in_words(given: Path) -> None:
    here, *_ = pair(given.parent)
    (view,) = all_of(answer(here, Given(given, preset="gone")))
    assert view.stage == "failed" and "'gone', which is not served" in view.said
