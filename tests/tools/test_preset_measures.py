"""How the figures of a preset's card are counted, with values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from preset_measures import (
    baselines,
    calibration,
    closed_labels,
    faithful,
    following,
    influence,
    items,
    rows,
    speed,
)
from preset_measures.bench import Answered, answered
from preset_measures.items import Item, ItemSet

from emotion_llama.clip_reader import ClipReader
from emotion_llama.media import text_clip
from emotion_llama.predict import ClipFailure
from emotion_llama.records import Features

LABELS = ("neutral", "happy", "sad")


def item_set(*labels: str, people: tuple[str, ...] | None = None) -> ItemSet:
    names = people or (None,) * len(labels)
    pairs = zip(labels, names, strict=True)
    return ItemSet("set", tuple(Item(None, "text", label, name) for label, name in pairs), LABELS)


def result(chosen: ItemSet, *probabilities: tuple[float, ...]) -> Answered:
    return Answered(chosen, np.array(probabilities), np.ones(len(chosen), dtype=bool))


def test_people_are_drawn_where_ten_are_known() -> None:
    ten = [f"person {number}" for number in range(10)]
    assert rows.drawn_groups(ten) == ten
    assert rows.drawn_groups(ten[:9]) is None
    assert rows.drawn_groups([*ten, None]) is None
    assert rows.num_people([*ten, None]) is None


def test_an_interval_over_people_takes_all_items_of_each() -> None:
    people = [f"{number // 5}" for number in range(50)]
    values = [float(number // 25) for number in range(50)]  # five people wrong, five right
    over_people = rows.mean_row(values, people)
    over_items = rows.mean_row(values, [None] * 50)
    assert over_people["value"] == over_items["value"] == 0.5
    assert (over_people["over"], over_items["over"]) == ("people", "items")
    width = [row["interval_95"][1] - row["interval_95"][0] for row in (over_people, over_items)]
    assert width[0] > 2 * width[1] * 0.9  # five times the items a draw: sqrt(5) times the width


def test_nothing_to_count_has_no_value() -> None:
    assert rows.mean_row([], [])["value"] is None
    assert rows.mean_row([1.0], [None])["interval_95"] is None


def test_labels_are_scored_by_hand() -> None:
    truths = ["happy", "happy", "sad", "neutral"]
    row = rows.label_row("x", truths, ["happy", "sad", "sad", None], LABELS, [None] * 4, failures=1)
    assert row["accuracy"] == 0.5
    assert row["uar"] == 0.5  # (1/2 + 1 + 0) / 3
    assert row["weighted_f1"] == 0.5  # happy 2/3 x 2/4, sad 2/3 x 1/4
    assert row["recalls"] == {"neutral": 0.0, "happy": 0.5, "sad": 1.0}
    assert row["counts"] == {"neutral": 1, "happy": 2, "sad": 1}
    assert (row["groups"], row["resampled"], row["failures"]) == (None, "items", 1)


def test_a_clip_that_failed_is_wrong() -> None:
    chosen = item_set("neutral", "neutral")
    one = answered(chosen, [ClipFailure("a", "broken"), ClipFailure("b", "broken")])
    assert one.labels == [None, None]
    assert one.failures == 2
    assert closed_labels.top_two(one, np.arange(2)) == (0.0,)


def test_the_truth_is_among_the_top_two() -> None:
    chosen = item_set("sad", "sad", "neutral", "happy")
    one = result(chosen, (0.5, 0.2, 0.3), (0.4, 0.5, 0.1), (0.1, 0.2, 0.7), (0.0, 1.0, 0.0))
    assert closed_labels.top_two(one, np.arange(4)) == (0.5,)
    assert closed_labels.top_two(one, np.array([0, 3])) == (1.0,)


def test_valence_is_decided_by_the_sign_of_the_answer() -> None:
    assert closed_labels.valence_is_right("angry", "sad")
    assert closed_labels.valence_is_right("neutral", "neutral")
    assert not closed_labels.valence_is_right("angry", "happy")
    assert not closed_labels.valence_is_right("happy", None)
    chosen = item_set("sad", "happy", "neutral")
    one = result(chosen, (0.1, 0.8, 0.1), (0.1, 0.8, 0.1), (0.8, 0.1, 0.1))
    row = closed_labels.score_clips(one, "face alone")
    assert row["name"] == "set, face alone"
    assert row["valence"]["value"] == pytest.approx(2 / 3, abs=1e-4)


def test_calibration_is_counted_by_hand() -> None:
    """1000 clips with a confidence of 0.8, of which 700 are right, are 0.1 too sure."""
    chosen = item_set(*["neutral"] * 700, *["happy"] * 300)
    one = result(chosen, *[(0.8, 0.1, 0.1)] * 1000)
    row = calibration.score("x", [one])
    assert row["ece"] == pytest.approx(0.1)
    assert 0.005 < row["perfect_ece"] < 0.015  # sqrt(2 / pi x 0.8 x 0.2 / 1000) = 0.010
    assert row["nll"] == pytest.approx(-0.7 * np.log(0.8) - 0.3 * np.log(0.1), abs=1e-4)
    assert row["brier"] == pytest.approx(0.7 * 0.06 + 0.3 * 1.46, abs=1e-4)
    assert row["answered_at_80"] == 0.0


def test_few_clips_have_no_calibration_error() -> None:
    surer = result(item_set("sad", "happy"), (0.0, 0.1, 0.9), (0.0, 0.6, 0.4))
    wrong = result(item_set("sad", "sad", "sad"), *[(0.5, 0.4, 0.1)] * 3)
    row = calibration.score("x", [surer, wrong])
    assert row["ece"] is row["ece_95"] is row["perfect_ece"] is None
    assert row["answered_at_80"] == 0.4  # the two most confident of five, both right
    assert row["n"] == 5


def test_a_donor_is_another_person() -> None:
    assert influence.swapped_order(["a", "a", "b", "b"]) == [2, 3, 0, 1]
    assert influence.swapped_order(["a", "b", "a", "a"]) == [1, 3, 1, 1]
    assert influence.swapped_order(["a", "a"]) == [1, 0]


def test_fields_are_left_out_or_swapped() -> None:
    own, other = Features(audio=torch.zeros(2)), Features(audio=torch.ones(2))
    assert influence.changed(own, other, ("audio",), "left out").audio is None
    swapped = influence.changed(own, other, ("audio",), "swapped").audio
    assert swapped is not None
    assert swapped.tolist() == [1, 1]


def test_probabilities_move() -> None:
    before, after = {"happy": 0.7, "sad": 0.3}, {"happy": 0.4, "sad": 0.6}
    assert influence.distance(before, after) == pytest.approx(0.3)
    assert influence.is_towards(before, after, "sad")
    assert not influence.is_towards(before, after, "happy")


@pytest.mark.parametrize(
    ("reading", "expected"),
    [("clearly low", -2), ("very high", 3), ("slightly high", 1), ("low", -2), ("usual", 0)],
)
def test_a_reading_has_a_size(reading: str, expected: int) -> None:
    assert following.size(reading) == expected


def test_pitch_and_tempo_of_a_text_are_added() -> None:
    text = "The pitch is much higher than usual among many speakers. She speaks slowly."
    assert following.stated_height(text) == 1
    assert following.stated_height("The lip corners are slightly pulled up.") == 0


def test_moves_are_counted_in_the_direction_of_the_change() -> None:
    def heard(stated: int, measured: int) -> following.Heard:
        one = following.Heard("", {}, None)
        one.stated, one.measured = stated, measured
        return one

    usual = [heard(0, 0), heard(0, 0), heard(1, 1), heard(0, 0)]
    lowered = [heard(-1, -1), heard(0, -2), heard(2, 0), heard(0, 0)]
    reason, measures = following.moves("lowered", -1, usual, lowered)
    assert reason["moves_along"]["value"] == 0.25
    assert reason["moves_against"]["value"] == 0.25
    assert measures["moves_along"]["value"] == 0.75
    assert reason["moves_along_where_measures_do"]["value"] == pytest.approx(1 / 3, abs=1e-4)


def test_a_sound_played_faster_is_higher_and_shorter(tmp_path: Path) -> None:
    moments = np.arange(16_000) / 16_000
    faster = following.resampled(np.sin(2 * np.pi * 200 * moments).astype(np.float32), 1.25)
    assert len(faster) == 12_800
    spectrum = np.abs(np.fft.rfft(faster))
    assert spectrum.argmax() * 16_000 / len(faster) == pytest.approx(250)
    path = tmp_path / "sound.wav"
    following.write_sound(path, faster)
    assert path.stat().st_size == 44 + 2 * 12_800


def test_a_planted_unit_is_stated_or_denied() -> None:
    assert following.states("The lip corners are clearly pulled up.", ("AU12",))
    assert not following.states("The lip corners are not pulled up.", ("AU12",))
    assert not following.states("The face looks happy.", ("AU04",))


def test_reasons_are_held_against_their_own_clip_and_the_next() -> None:
    told = [
        faithful.Told(
            text_clip("That is a wonderful day for all of us"),
            'Positive wording is used: "wonderful". This suggests happiness.',
            "a",
        ),
        faithful.Told(
            text_clip("You are an idiot and I hate this"),
            'Positive wording is used: "lovely". This suggests anger.',
            "b",
        ),
    ]
    reader = ClipReader()
    records = [faithful.record_of(n, one, reader) for n, one in enumerate(told)]
    row = faithful.score(records)
    assert row["stated"] == 2
    assert row["own"]["value"] == 0.5
    assert row["other"]["value"] == 0.0
    assert row["drop_points"]["value"] == 50.0
    assert row["telling"]["value"] == 0.5


def test_cepstra_are_orthonormal() -> None:
    transform = baselines.cosines()
    np.testing.assert_allclose(transform @ transform.T, np.eye(25), atol=1e-12)


def test_functionals_have_their_number_whatever_the_sound() -> None:
    moments = np.arange(16_000) / 16_000
    buzz = sum(np.sin(2 * np.pi * 120 * k * moments) for k in range(1, 10)) / 20
    noise = np.random.default_rng(0).normal(0, 0.1, 4_000)
    click = np.zeros(600)
    click[300] = 0.5
    for sound in (buzz, noise, click):
        values = baselines.functionals(np.asarray(sound, dtype=np.float32))
        assert values.shape == (baselines.NUM_FUNCTIONALS,)
        assert np.isfinite(values).all()
    # the mean pitch, after 24 means, 24 deviations and 12 deviations of changes
    pitch = baselines.functionals(np.asarray(buzz, dtype=np.float32))[60]
    assert pitch == pytest.approx(12 * np.log2(120 / 27.5), abs=0.2)


def test_baselines_learn_what_can_be_told_apart() -> None:
    random = np.random.default_rng(0)
    truths = np.array(["happy", "sad"] * 20)
    inputs = random.normal(size=(40, 3)) + 6 * (truths == "sad")[:, None]
    assert list(baselines.fit_machine(inputs, truths).predict(inputs)) == list(truths)
    texts = ["so glad", "so sorry"] * 10
    assert list(baselines.fit_words(texts, truths[:20]).predict(texts[:2])) == ["happy", "sad"]


def test_a_manifest_is_read_by_split_and_label(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "path,dataset,label,speaker,split\n"
        "a.opus,nemo,happy,p1,dev\nb.opus,nemo,calm,p1,dev\nc.opus,nemo,sad,,train\n"
    )
    own = items.read_manifest(tmp_path, "nemo", "dev", ("happy", "sad"))
    assert own == (Item(tmp_path / "a.opus", None, "happy", "p1"),)
    assert items.read_manifest(tmp_path, "nemo", "train", ("sad",))[0].person is None


def test_a_trial_draws_the_same_items_in_order() -> None:
    chosen = ItemSet("x", tuple(Item(None, str(n), "sad", None) for n in range(100)), LABELS)
    drawn = [int(item.text or "") for item in items.thinned(chosen, 10).items]
    assert drawn == sorted(drawn)
    assert len(drawn) == 10
    assert items.thinned(chosen, 10) == items.thinned(chosen, 10)
    assert items.thinned(chosen, None) is chosen


def test_files_are_listed_with_their_sum(tmp_path: Path) -> None:
    (tmp_path / "encoders").mkdir()
    (tmp_path / "encoders" / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"12")
    assert speed.file_sizes(tmp_path) == {"b": 2, "encoders/a": 5, "total": 7}
