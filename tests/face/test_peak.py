"""The frame of the strongest expression in tables whose peak is known, and the running median."""

import dataclasses

import numpy as np
import pytest

from emotion_llama.face import peak_frame, smoothed
from emotion_llama.face.peak import summed
from emotion_llama.records import ActionUnitTable

NAN = np.nan


def table(times_s=None, **units):
    """A table of sure values, ten frames a second."""
    size = len(next(iter(units.values())))
    values = {name: np.array(value, np.float32) for name, value in units.items()}
    return ActionUnitTable(
        times_s=np.arange(size) / 10 if times_s is None else np.array(times_s, np.float64),
        frames=np.arange(size),
        intensity=values,
        presence={},
        confidence={name: np.ones(size, np.float32) for name in units},
        tracked=np.ones(size, bool),
        scale="0-5",
        scope="clip",
        producer="test",
        version="1",
    )


def test_peak_is_the_largest_sum_without_blinks_and_speech():
    units = table(AU06=[0, 1, 2], AU12=[0, 3, 1], AU25=[0, 0, 5], AU26=[0, 0, 5], AU45=[5, 0, 5])
    peak = peak_frame(units)
    assert (peak.row, peak.score, peak.units) == (1, 4.0, ("AU06", "AU12"))
    assert peak_frame(units, speech_counts=True).row == 2


def test_frequent_reading_sums_only_what_occurs_often():
    units = table(AU12=[2, 2, 3, 2], AU04=[0, 5, 0, 0])
    assert peak_frame(units, "all").row == 1
    frequent = peak_frame(units, "frequent")
    assert (frequent.row, frequent.units) == (2, ("AU12",))


def test_untracked_and_doubtful_frames_are_no_peak():
    units = table(AU12=[1, 5, 4, 2])
    tracked = np.array([True, False, True, True])
    doubt = {"AU12": np.array([1, 1, 0.2, 1], np.float32)}
    assert peak_frame(dataclasses.replace(units, tracked=tracked, confidence=doubt)).row == 3


def test_what_can_hardly_be_measured_decides_little():
    units = table(AU12=[1, 4, 1], AU23=[5, 0, 0])
    doubt = {"AU12": np.full(3, 0.8, np.float32), "AU23": np.full(3, 0.1, np.float32)}
    doubtful = dataclasses.replace(units, confidence=doubt)
    assert peak_frame(doubtful).row == 1
    assert peak_frame(doubtful, weighs=False).row == 0
    assert peak_frame(units).score == peak_frame(units, weighs=False).score == 6.0


def test_a_unit_without_a_value_neither_rewards_nor_punishes_its_frame():
    units = table(AU12=[1, 1, 3, 1], AU15=[2, 2, NAN, 2.5])
    sure = {"AU12": np.ones(4, np.float32), "AU15": np.array([1, 1, 0, 1], np.float32)}
    peak = peak_frame(dataclasses.replace(units, confidence=sure))
    assert (peak.row, peak.score) == (2, 5.0)


def test_the_peak_is_the_largest_of_the_sums_that_are_shown():
    units = table(AU12=[1, 4, 1, 9], AU23=[5, 0, NAN, 0])
    tracked = np.array([True, True, True, False])
    units = dataclasses.replace(units, tracked=tracked)
    peak = peak_frame(units)
    sums = summed(units, peak.units)
    assert (np.nanargmax(sums), sums[peak.row]) == (peak.row, peak.score)
    assert np.isnan(sums[3])


def test_no_frame_no_peak():
    units = table(AU12=[1, 2])
    assert peak_frame(dataclasses.replace(units, tracked=np.zeros(2, bool))) is None
    assert peak_frame(table(AU45=[1, 2])) is None


def test_smoothing_takes_a_spike_away_and_leaves_a_step():
    calm = smoothed(table(AU15=[0, 0, 0, 5, 0, 0, 0], AU12=[1, 1, 1, 1, 4, 4, 4]), 0.4)
    assert calm.intensity["AU15"].tolist() == [0] * 7
    assert calm.intensity["AU12"].tolist() == [1, 1, 1, 1, 4, 4, 4]
    assert calm.intensity["AU12"].dtype == np.float32


def test_smoothing_bridges_what_is_not_measured_for_a_moment_and_no_more():
    few = [2, NAN, 2, 2, NAN, NAN, NAN, NAN, NAN, NAN, 3]
    calm = smoothed(table(AU20=few, AU23=[NAN] * 11), 0.4)
    wanted = [2, 2, 2, 2, 2, 2, NAN, NAN, 3, 3, 3]
    np.testing.assert_array_equal(calm.intensity["AU20"], np.float32(wanted))
    assert np.isnan(calm.intensity["AU23"]).all(), "never measured stays without a value"


def test_a_value_bridged_from_few_frames_is_not_relied_on():
    units = table(AU20=[2, NAN, NAN, NAN, NAN])
    sure = {"AU20": np.array([0.8, 0, 0, 0, 0], np.float32)}
    calm = smoothed(dataclasses.replace(units, confidence=sure), 0.4)
    assert (calm.intensity["AU20"][1], calm.confidence["AU20"][1]) == (2, 0)


def test_confidence_is_smoothed_along():
    units = table(AU12=[1] * 5)
    doubt = {"AU12": np.array([1, 1, 0.2, 1, 1], np.float32)}
    assert smoothed(dataclasses.replace(units, confidence=doubt), 0.4).confidence["AU12"][2] == 1


@pytest.mark.parametrize("window_s", [0.0, 0.04, 0.1])
def test_a_window_of_a_frame_leaves_the_table_as_it_is(window_s):
    units = table(AU12=[0, 5, 0])
    assert smoothed(units, window_s) is units


def test_a_single_frame_is_left_as_it_is():
    units = table(AU12=[5])
    assert smoothed(units, 0.4) is units


def test_a_negative_window_is_refused():
    with pytest.raises(ValueError, match=r"window_s: found -0\.1, expected .* from 0"):
        smoothed(table(AU12=[1, 2]), -0.1)


def test_smoothing_leaves_clock_frames_and_the_table_that_was_given():
    units = dataclasses.replace(table(AU12=[0, 5, 0]), frames=np.array([4, 6, 8]))
    calm = smoothed(units, 0.4)
    assert calm.times_s.tolist() == units.times_s.tolist()
    assert calm.frames.tolist() == [4, 6, 8]
    assert (calm.producer, calm.scale, calm.scope) == ("test", "0-5", "clip")
    assert units.intensity["AU12"].tolist() == [0, 5, 0]


def test_an_untracked_row_stays_without_values():
    units = table(AU12=[1, 1, NAN, 1, 1])
    tracked = np.array([True, True, False, True, True])
    calm = smoothed(dataclasses.replace(units, tracked=tracked), 0.4)
    np.testing.assert_array_equal(calm.intensity["AU12"], units.intensity["AU12"])


def test_rows_on_both_sides_of_a_gap_are_no_neighbours():
    units = table(times_s=[0, 0.1, 0.2, 5, 5.1, 5.2, 5.3], AU12=[0, 0, 3, 5, 5, 5, 5])
    calm = smoothed(units, 0.4)
    assert calm.intensity["AU12"].tolist() == [0, 0, 0, 5, 5, 5, 5]


def test_the_peak_of_a_smoothed_table_is_what_lasts():
    units = table(AU15=[0, 5, 0, 0, 0, 0, 0, 0], AU12=[0, 0, 0, 3, 3, 3, 3, 3])
    assert peak_frame(units).row == 1
    peak = peak_frame(smoothed(units, 0.4))
    assert (peak.row, peak.frame, peak.score) == (3, 3, 3.0)
    assert peak.time_s == pytest.approx(0.3)
