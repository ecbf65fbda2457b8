"""Captions read back: against their own measures, against other clips', what tells them apart."""

import math
from dataclasses import replace

import pytest

from emotion_llama.merr.compose import compose
from emotion_llama.merr.facial import facial_clues
from emotion_llama.merr.faithfulness import (
    agreement,
    corpus_faithfulness,
    measured,
    measured_from_clues,
    other_clips,
    read_clues,
    render,
)
from emotion_llama.merr.records import (
    Clue,
    FaceMeasures,
    FineCaption,
    MerrRecord,
    SceneMeasures,
    Source,
    StatedClue,
    UnitReading,
    VoiceMeasures,
)
from emotion_llama.merr.rules import load_rules
from emotion_llama.merr.scene import scene_clues
from emotion_llama.merr.voice_clues import voice_clues
from emotion_llama.merr.words import word_clues

TABLE = load_rules("merr")
WORDS = ("house", "street", "tree", "river", "cup", "book", "door", "field", "town", "boat")
UNITS = tuple(f"AU{n:02}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26))


def face(**intensities: float) -> FaceMeasures:
    units = [
        UnitReading(unit, value, value >= 1, 1.0)
        for unit in UNITS
        for value in [intensities.get(unit, 0.0)]
    ]
    return FaceMeasures(
        units=tuple(units),
        scale="0-5",
        scope="clip",
        peak_frame=3,
        peak_s=0.1,
        peak_score=1.0,
        peak_reading="all",
        num_frames=50,
        coverage=1.0,
        score=0.9,
        talking=True,
    )


def voice(**scores: float) -> VoiceMeasures:
    every = {"pitch": 0.0, "pitch_range": 0.0, "loudness": 0.0, "rate": 0.0} | scores
    return VoiceMeasures(
        values={name: 10.0 for name in every},
        scores=every,
        scope="speaker",
        num_recordings=20,
        voiced_s=3.0,
        speech_share=0.8,
        snr_db=35.0,
    )


def record(clip_id: str = "clip", speaker: str | None = None, **parts: object) -> MerrRecord:
    every = {
        "face": face(AU12=2.5),
        "scene": SceneMeasures(640, 480, 1, 0.12, 0.1, 0.02, 0),
        "voice": voice(pitch=2.5),
        "transcript": "You did it!",
    } | parts
    return MerrRecord(
        clip_id=clip_id,
        path=f"{clip_id}.mp4",
        media_sha256=None,
        duration_s=4.0,
        source=Source("made", "CC0-1.0", speaker, "en"),
        split=None,
        labels=(),
        label="happy",
        verdict=None,
        clues=(),
        scene_description=None,
        voice_description=None,
        coarse_caption=None,
        fine_caption=None,
        gates=(),
        status="kept",
        reasons=(),
        missing={},
        lineage={},
        **every,
    )


def clues_of(one: MerrRecord) -> tuple[Clue, ...]:
    clues: list[Clue] = []
    clues += facial_clues(one.face, one.clip_id) if one.face else ()
    clues += scene_clues(one.scene) if one.scene else ()
    clues += voice_clues(one.voice) if one.voice else ()
    return (*clues, *word_clues(one.transcript, "en", one.clip_id))


def with_caption(one: MerrRecord, text: str | None = None) -> MerrRecord:
    if text is not None:
        return replace(one, fine_caption=FineCaption(text, "", label_conditioned=False))
    return replace(one, fine_caption=compose(clues_of(one), "happy", TABLE, one.clip_id))


def varied(count: int, num_speakers: int = 7) -> list[MerrRecord]:
    """Clips that differ in every kind of measure."""
    units = ("AU12", "AU04", "AU15", "AU01", "AU20")
    return [
        record(
            f"clip{n:03}",
            f"speaker{n % num_speakers}",
            face=face(**{units[n % 5]: 1.2 + n % 3 * 1.2}),
            scene=SceneMeasures(640, 480, 1 + n % 2, 0.02 + n % 8 * 0.05, n % 9 / 9, 0.02, 0),
            voice=voice(**{("pitch", "loudness", "rate")[n % 3]: (1 + n % 2) * (-1) ** n * 0.9}),
            transcript=f"I found it in the {WORDS[n % 10]} {WORDS[n // 10 % 10]}.",
        )
        for n in range(count)
    ]


def stated(kind: str, feature: str, reading: str | None) -> StatedClue:
    return StatedClue(kind, feature, reading, "words")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("feature", "reading", "expected"),
    [
        ("AU12", "clear", "agrees"),
        ("AU12", "strong", "disagrees"),
        ("AU12", None, "agrees"),
        ("AU12", "present", "agrees"),
        ("AU12", "absent", "disagrees"),
        ("AU04", None, "disagrees"),
        ("AU04", "absent", "agrees"),
        ("AU04|AU12", None, "agrees"),
        ("AU04|AU01", None, "disagrees"),
        ("AU28", None, "unmeasured"),
        ("AU28", "absent", "unmeasured"),
        ("AU28|AU04", None, "unmeasured"),
        ("face", "still", "disagrees"),
    ],
)
def test_a_unit_is_held_against_what_was_measured(
    feature: str, reading: str | None, expected: str
) -> None:
    assert measured(record()).answer(stated("facial", feature, reading)) == expected


def test_what_is_not_said_of_a_face_can_still_be_true() -> None:
    many = face(**{unit: 2.0 + n / 10 for n, unit in enumerate(UNITS)})
    answers = {
        unit: measured(record(face=many)).answer(stated("facial", unit, None)) for unit in UNITS
    }
    assert set(answers.values()) == {"agrees"}, "also units of talking and those past the limit"


def test_a_unit_known_by_presence_only_has_no_degree() -> None:
    flag = replace(face(), scale=None, units=(UnitReading("AU12", None, True, 1.0),))
    measures = measured(record(face=flag))
    assert measures.answer(stated("facial", "AU12", None)) == "agrees"
    assert measures.answer(stated("facial", "AU12", "clear")) == "unmeasured"
    assert measures.answer(stated("facial", "face", "still")) in ("disagrees", "unmeasured")


def test_a_still_face() -> None:
    still = measured(record(face=face()))
    assert still.answer(stated("facial", "face", "still")) == "agrees"
    assert still.answer(stated("facial", "AU12", None)) == "disagrees"


@pytest.mark.parametrize(
    ("feature", "reading", "expected"),
    [
        ("pitch", "very high", "agrees"),
        ("pitch", "high", "agrees"),
        ("pitch", "slightly high", "disagrees"),
        ("pitch", "low", "disagrees"),
        ("rate", "clearly high", "disagrees"),  # measured, and as usual
        ("tension", "clearly high", "unmeasured"),
        ("voice", "usual", "disagrees"),
    ],
)
def test_a_voice_needs_direction_and_degree(feature: str, reading: str, expected: str) -> None:
    assert measured(record()).answer(stated("voice", feature, reading)) == expected


def test_a_voice_without_a_norm_cannot_tell() -> None:
    silent = replace(voice(pitch=2.5), scope=None, scores={"pitch": None})
    one = record(voice=silent)
    assert measured(one).answer(stated("voice", "pitch", "very high")) == "unmeasured"
    assert "voice" not in measured(one).kinds


def test_scene_and_words() -> None:
    measures = measured(record())
    for clue in scene_clues(record().scene):  # type: ignore[arg-type]
        assert measures.answer(stated("scene", clue.feature, clue.reading)) == "agrees"
    assert measures.answer(stated("scene", "people", "two")) == "disagrees"
    assert measures.answer(stated("scene", "cuts", "two")) == "disagrees"
    assert measured(record(scene=None)).answer(stated("scene", "people", "one")) == "unmeasured"
    assert measures.answer(stated("words", "quote", "You did it!")) == "agrees"
    assert measures.answer(stated("words", "quote", "You did not!")) == "disagrees"
    assert measures.answer(stated("words", "exclamation", "present")) == "agrees"
    assert measures.answer(stated("words", "question", "present")) == "disagrees"
    assert measured(record(transcript=None)).answer(stated("words", "quote", "a")) == "unmeasured"


def test_stored_clues_are_not_looked_at() -> None:
    lie = Clue("facial", "AU04", "strong", "the brows are strongly lowered and drawn together")
    result = agreement(f"{lie.statement}.", replace(record(), clues=(lie,)))
    assert result.share == 0
    assert result.disagreeing[0].feature == "AU04"


def test_quoted_words_state_no_observation() -> None:
    clues = read_clues('The words are: "Your lip corners are strongly pulled up in a dark room".')
    assert {clue.kind for clue in clues} == {"words"}


def test_composed_captions_agree_in_full_on_any_measures() -> None:
    for one in varied(60):
        result = agreement(with_caption(one).fine_caption.text, one)  # type: ignore[union-attr]
        assert result.share == 1.0, (result.disagreeing, result.unmeasured)
        assert result.stated >= 4


def test_a_text_that_states_nothing_has_no_share() -> None:
    assert agreement("", record()).share is None


def test_composed_captions_lose_against_other_clips_and_tell_them_apart() -> None:
    report = corpus_faithfulness([with_caption(one) for one in varied(60)])
    assert report.own and report.other and report.drop_points
    assert report.own.value == 1.0
    assert report.other.low <= report.other.value <= report.other.high < 0.5
    assert report.drop_points.low > 25
    assert math.isclose(report.drop_points.value, 100 * (1 - report.other.value))
    assert report.telling == 1.0
    assert report.untrue == ()
    assert all(count.stated == count.agreeing > 0 for count in report.kinds.values())


def test_safe_captions_do_not_pass() -> None:
    clips = [
        replace(one, scene=SceneMeasures(640, 480, 1, 0.1 + n / 100, 0.5, 0.02, 0))
        for n, one in enumerate(varied(30))
    ]
    safe = [with_caption(one, "One person is in the picture.") for one in clips]
    report = corpus_faithfulness(safe)
    assert report.own and report.own.value == 1.0, "they are true"
    assert report.drop_points and report.drop_points.value == 0, "of every clip"
    assert report.telling == 0.0
    assert report.not_telling["clip000"] == ("facial", "scene", "voice", "words")


def test_empty_captions_do_not_pass() -> None:
    report = corpus_faithfulness([with_caption(one, "It is a video.") for one in varied(10)])
    assert report.num_stated == 0
    assert report.own is report.other is report.drop_points is None
    assert report.telling == 0.0


def test_false_clues_do_not_count_as_telling() -> None:
    text = "The brows are strongly lowered and drawn together."
    report = corpus_faithfulness([with_caption(record(f"clip{n}"), text) for n in range(6)])
    assert report.own and report.own.value == 0.0
    assert "facial" in report.not_telling["clip0"]
    assert report.untrue[0][0] == "clip0"


def test_what_another_clip_cannot_tell_is_left_out_of_the_comparison() -> None:
    bare = record("b", face=None, scene=None, voice=None, transcript="You did it!")
    report = corpus_faithfulness([with_caption(record("a")), with_caption(bare)])
    facial = report.kinds["facial"]
    assert facial.stated == facial.agreeing == 1
    assert facial.other_compared == 0
    assert report.other and report.other.value == 1.0, "only the same words are left to compare"


def test_the_other_clip_is_the_next_one_by_another_speaker() -> None:
    speakers = ["a", "a", "b", None, None]
    clips = [record(f"clip{n}", speaker) for n, speaker in enumerate(speakers)]
    assert other_clips(clips) == (2, 2, 3, 4, 0)
    assert other_clips([record("x", "a"), record("y", "a")]) == (1, 0)
    assert other_clips([record()]) == (None,)


def test_a_single_clip_has_nothing_to_be_compared_with() -> None:
    report = corpus_faithfulness([with_caption(record())])
    assert report.own and report.own.value == 1.0
    assert report.other is None and report.drop_points is None and report.telling is None
    assert corpus_faithfulness([record()]).num_captions == 0


def test_the_report_does_not_depend_on_the_order_and_can_be_read() -> None:
    clips = [with_caption(one) for one in varied(12)]
    report = corpus_faithfulness(clips)
    assert report == corpus_faithfulness(clips[::-1])
    text = render(report)
    assert "agree with the own clip        100.0 % (100.0 to 100.0)" in text
    assert "captions                       12" in text


def test_the_rendered_report_names_what_is_untrue() -> None:
    text = "The brows are strongly lowered and drawn together."
    report = corpus_faithfulness([with_caption(record(f"clip{n}"), text) for n in range(7)])
    lines = render(report, max_untrue=2).splitlines()
    assert lines[-2].startswith("clip1: 'The brows are strongly lowered")
    assert lines[-2].endswith("disagrees")
    assert lines[-1] == "and 5 more that do not agree"


def test_clues_alone_tell_what_they_tell() -> None:
    measures = measured_from_clues(facial_clues(face(AU12=2.5), "x"), "You did it!")
    assert measures.kinds == {"facial", "words"}
    assert measures.answer(stated("facial", "AU12", "clear")) == "agrees"
    assert measures.answer(stated("facial", "AU04", None)) == "unmeasured"
    assert measures.answer(stated("words", "quote", "You did it!")) == "agrees"
