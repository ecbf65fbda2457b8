"""What a voice is held against, and the scores that come of it."""

import numpy as np
import pytest

from emotion_llama.voice import (
    LOW_VOICE_BELOW,
    MEASURES,
    MIN_RECORDINGS,
    Prosody,
    VoiceNorm,
    choose_norm,
    choose_norms,
    norm_of,
    packaged_norm,
    score,
)
from emotion_llama.voice.norms import leave_one_out

HIGH = LOW_VOICE_BELOW + 4
LOW = LOW_VOICE_BELOW - 4


def prosody(pitch: float | None = 34.0, *, base: float | None = HIGH, **values: float) -> Prosody:
    known: dict[str, float | None] = dict.fromkeys(MEASURES)
    known |= {"pitch": pitch, **values}
    return Prosody(
        values=known,
        missing={},
        voiced_s=2.0,
        speech_share=0.8,
        snr_db=30.0,
        duration_s=3.0,
        speech_start_s=0.2,
        speech_end_s=2.8,
        pitch_base=base,
        peak_db=values.get("peak", -6.0),
    )


def several(num: int, seed: int = 0, base: float = HIGH) -> list[Prosody]:
    drawn = np.random.default_rng(seed)
    return [
        Prosody(
            values={name: float(drawn.normal(base + 3, 2)) for name in MEASURES},
            missing={},
            voiced_s=2.0,
            speech_share=0.8,
            snr_db=30.0,
            duration_s=3.0,
            speech_start_s=0.2,
            speech_end_s=2.8,
            pitch_base=base,
            peak_db=float(drawn.normal(-10, 4)),
        )
        for _ in range(num)
    ]


@pytest.mark.parametrize("num", [2, 3, 4, 9, 10, 51])
def test_leaving_each_out_is_the_same_as_taking_the_others(num: int) -> None:
    values = np.round(np.random.default_rng(num).normal(size=num), 1)  # with ties
    middles, spreads = leave_one_out(values)
    for place in range(num):
        others = np.delete(values, place)
        middle = np.median(others)
        assert middles[place] == pytest.approx(middle)
        assert spreads[place] == pytest.approx(1.4826 * np.median(np.abs(others - middle)))


def test_a_score_is_the_distance_from_the_median_in_spreads() -> None:
    norm = VoiceNorm("speaker", 9, {"pitch": 30.0, "rate": 4.0}, {"pitch": 2.0, "rate": 0.5})
    scores = score(prosody(33.0), norm)
    assert scores["pitch"] == 1.5
    assert scores["rate"] is None, "no value"
    assert scores["hnr"] is None, "no norm"


def test_a_norm_needs_recordings_enough_of_each_measure() -> None:
    least = MIN_RECORDINGS["speaker"]
    mixed = [*several(least)[: least - 1], prosody(34.0)]
    norm = norm_of(mixed, "speaker")
    assert set(norm.middle) == {"pitch"}
    assert norm.num_recordings == least


def test_what_is_hardly_heard_is_not_unusual() -> None:
    alike = [prosody(34.0 + 0.01 * step) for step in range(9)]
    norm = norm_of(alike, "speaker")
    assert norm.spread["pitch"] == MEASURES["pitch"].least_spread


def test_loudness_is_not_judged_where_recordings_were_brought_to_one_level() -> None:
    def peaks(spread: float) -> VoiceNorm:
        some = [prosody(34.0, loudness=-20.0 - step, peak=-1 - spread * step) for step in range(10)]
        return norm_of(some, "speaker")

    assert "loudness" not in peaks(0.1).middle
    assert "loudness" in peaks(2.0).middle


def test_the_speakers_own_recordings_come_first_without_the_one_itself() -> None:
    own = several(9)
    others = several(60, seed=1)
    every = [*own, *others]
    speakers = ["a"] * 9 + [None] * 60
    norms = choose_norms(every, speakers, ["en"] * 69)
    for place in range(9):
        assert norms[place] == norm_of(own[:place] + own[place + 1 :], "speaker")


def test_others_of_the_data_set_come_next() -> None:
    every = several(60)
    norms = choose_norms(every, [None] * 60, ["en"] * 60)
    expected = norm_of(every[1:], "corpus")
    found = norms[0]
    assert found is not None
    assert found.scope == "corpus"
    assert found.num_recordings == 59
    for name in set(MEASURES) - {"pitch"}:
        assert found.middle[name] == expected.middle[name]
        assert found.spread[name] == expected.spread[name]


def test_languages_and_low_and_high_voices_are_not_mixed() -> None:
    every = [*several(60), *several(60, base=LOW), *several(60, seed=3)]
    norms = choose_norms(every, [None] * 180, ["en"] * 120 + ["pl"] * 60)
    assert {norm.num_recordings for norm in norms if norm} == {59}


def test_a_speaker_is_low_or_high_by_all_recordings() -> None:
    raised = several(1, seed=5, base=HIGH)
    every = [*several(4, base=LOW), *raised, *several(60, seed=6, base=LOW)]
    norm = choose_norm(4, every, ["a"] * 5 + [None] * 60, ["en"] * 65)
    assert norm is not None
    assert norm.num_recordings == 64, "held against the low voices"


def test_without_others_the_packaged_norm_is_used_and_without_voice_none() -> None:
    norms = choose_norms([*several(2), None, prosody(None, base=None)], [None] * 4, ["en"] * 4)
    assert [norm and norm.scope for norm in norms] == ["packaged", "packaged", None, None]


def test_seven_other_recordings_of_a_speaker_are_too_few() -> None:
    scopes = []
    for num in (8, 9):
        norm = choose_norms(several(num), ["a"] * num, ["en"] * num)[0]
        assert norm is not None
        scopes.append(norm.scope)
    assert scopes == ["packaged", "speaker"]


def test_a_high_voice_is_not_called_low_by_a_norm_that_does_not_know_the_speaker() -> None:
    middle = packaged_norm(prosody(45.0), "en")
    assert middle is not None
    high_middle = middle.middle["pitch"]
    below = packaged_norm(prosody(high_middle - 3), "en")
    assert below is not None
    assert "pitch" not in below.middle
    low = packaged_norm(prosody(high_middle - 3, base=LOW), "en")
    assert low is not None
    assert "pitch" not in low.middle, "and a low voice not high"
    deep = packaged_norm(prosody(18.0, base=15.0), "en")
    assert deep is not None
    found = score(prosody(18.0, base=15.0), deep)["pitch"]
    assert found is not None
    assert found < -0.5


def test_the_packaged_norm_says_nothing_that_hangs_on_the_recording() -> None:
    norm = packaged_norm(prosody(45.0), "en-GB")
    assert norm is not None
    assert set(norm.middle) == {"pitch", "pitch_range", "pitch_slope", "rate"}
    assert norm.num_recordings > 100


def test_tempo_is_not_judged_in_a_language_that_was_not_measured() -> None:
    for language in ("zh", None):
        norm = packaged_norm(prosody(45.0), language)
        assert norm is not None
        assert "rate" not in norm.middle
        assert "pitch_range" in norm.middle


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="found 2 recordings, 1 speakers and 2 languages"):
        choose_norms(several(2), ["a"], ["en", "en"])
