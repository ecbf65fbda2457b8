"""How figures of the face package are counted: matching, areas, intervals, bins, namings."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from face_measures import detection, figures, identities, planted_motions, points, units
from sklearn.metrics import roc_auc_score

from emotion_llama.face import FaceBox
from emotion_llama.records import ActionUnitTable

ROOT = Path(__file__).resolve().parents[2]


def box(left: float, top: float, side: float, score: float = 1.0) -> FaceBox:
    return FaceBox(left, top, side, side, score)


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("face_benchmark", ROOT / "benchmarks" / "face.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_face_is_found_by_a_box_that_shares_half_of_it() -> None:
    truth = [box(100, 100, 100)]
    assert detection.count([box(110, 110, 100)], truth) == ([True], 0)
    assert detection.count([box(140, 140, 100)], truth) == ([False], 1)
    assert detection.count([], truth) == ([False], 0)


def test_a_second_box_on_a_face_is_false() -> None:
    boxes = [box(100, 100, 100, 0.9), box(105, 105, 100, 0.8)]
    assert detection.count(boxes, [box(100, 100, 100)]) == ([True], 1)


def test_boxes_are_matched_best_score_first_to_the_face_they_cover_most() -> None:
    truth = [box(0, 0, 100), box(20, 0, 100)]
    boxes = [box(0, 0, 100, 0.5), box(19, 0, 100, 0.9)]
    assert detection.count(boxes, truth) == ([True, True], 0)
    assert detection.count(boxes[1:], truth) == ([False, True], 0)


def test_a_small_box_without_a_face_does_not_count() -> None:
    boxes = [box(0, 0, 39), box(100, 100, 40)]
    assert detection.count(boxes, []) == ([], 1)


def test_a_tally_counts_faces_and_pictures() -> None:
    tally = detection.Tally()
    here = detection.Truth(box(0, 0, 100), "ann", 5.0)
    there = detection.Truth(box(200, 0, 50), "bob", 30.0)
    tally.add([box(0, 0, 100), box(400, 0, 60)], [here, there], "0")
    tally.add([], [], "1")
    recall, false = tally.recall(), tally.false_boxes()
    assert (recall.value, recall.n, recall.groups) == (0.5, 2, 2)
    assert (false.value, false.n) == (0.5, 2)
    assert tally.recall(np.array([True, False])).value == 1.0
    assert tally.recall(np.array([False, False])).value is None


def test_the_constant_box_is_the_median_in_any_frame() -> None:
    boxes = [(box(100, 100, 100), (300, 400)), (box(50, 50, 200), (300, 400))] * 2
    constant = detection.constant_box([*boxes, (box(125, 100, 100), (300, 400))])
    (found,) = constant.detect(np.zeros((600, 800, 3), np.uint8))
    assert found == box(200, 200, 200)


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_is_that_of_sklearn(ties: bool) -> None:
    random = np.random.default_rng(3)
    positive = random.random(200) < 0.3
    scores = random.normal(0, 1, 200) + positive
    if ties:
        scores = np.round(scores)
    weights = random.integers(0, 4, 200).astype(float)
    assert figures.area(positive, scores) == pytest.approx(roc_auc_score(positive, scores))
    assert figures.area(positive, scores, weights) == pytest.approx(
        roc_auc_score(positive, scores, sample_weight=weights)
    )


def test_an_area_needs_both_kinds() -> None:
    assert np.isnan(figures.area(np.array([True, True]), np.array([0.1, 0.2])))


def test_the_interval_draws_whole_groups() -> None:
    # ten people with twenty equal rows each: as uncertain as ten rows, not as two hundred
    people = np.repeat(np.arange(10), 20)
    values = np.repeat(np.arange(10) % 2, 20).astype(float)
    by_person = figures.mean(values, people)
    by_row = figures.mean(values, np.arange(200))
    assert by_person.value == by_row.value == 0.5
    assert (by_person.n, by_person.groups) == (200, 10)
    assert by_person.interval_95 is not None
    assert by_row.interval_95 is not None
    low, high = by_person.interval_95
    expected = 1.96 * np.sqrt(0.25 / 10)
    assert high - low == pytest.approx(2 * expected, rel=0.1)
    assert by_row.interval_95[1] - by_row.interval_95[0] < 0.4 * (high - low)
    assert figures.mean(values, people) == by_person


def test_one_persons_rows_give_no_width() -> None:
    assert figures.mean([0.0, 1.0], ["ann", "ann"]).interval_95 == (0.5, 0.5)


def test_every_value_is_in_one_bin() -> None:
    edges = (0.0, 20.0, 40.0, 60.0)
    bins = figures.in_bins([0, 19.9, 20, 40, 60, 61], edges)
    assert np.array(bins).astype(int).tolist() == [
        [1, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0],
    ]
    assert figures.bin_names(edges, "deg") == ["0-20 deg", "20-40 deg", "40-60 deg"]


def test_a_table_shows_value_interval_and_n() -> None:
    cells = (figures.Figure(0.5, (0.25, 0.75), 8, 4), figures.Figure(None, None, 0, 0))
    table = figures.Table("Title", ("what", "share", "none"), [("row", *cells)], "Note.")
    stored = json.loads(json.dumps(table.to_record(), allow_nan=False))
    assert figures.markdown(stored).splitlines() == [
        "**Title**",
        "",
        "| what | share | none |",
        "| --- | --- | --- |",
        "| row | 0.500 [0.250, 0.750], n 8 of 4 | not measured, n 0 |",
        "",
        "Note.",
    ]


def test_errors_are_shares_of_a_distance_of_the_face() -> None:
    truth = np.zeros((70, 3))
    truth[45, 0], truth[69, 0] = 100.0, 50.0
    found = truth + np.array([3.0, 4.0, 99.0])
    found[68:] += 1000  # the pupils do not count
    assert points.error(found, truth, points.OUTER_CORNERS) == pytest.approx(0.05)
    assert points.error(found, truth, points.PUPILS) == pytest.approx(0.1)


def test_a_face_that_was_not_found_is_a_failure_without_an_error() -> None:
    errors = points.Errors(np.array([0.02, np.nan, 0.3]), np.ones(3), np.zeros(3), ("a", "b", "c"))
    failures, mean = errors.failures(), errors.mean(errors.by_corners)
    assert (failures.value, failures.n) == (0.6667, 3)
    assert (mean.value, mean.n) == (0.16, 2)


def test_a_contrast_leaves_out_what_was_not_measured() -> None:
    contrast = units.Contrast(("AU01", "AU02"), "surprise", "neutral")
    measured = {"AU01": np.array([3.0, 2, 1, np.nan, 9]), "AU02": np.array([1.0, 1, 1, 1, 9])}
    labels = np.array(["surprise", "surprise", "neutral", "neutral", "happy"])
    shown, not_shown, missing, area = units.area_row(contrast, contrast.values(measured), labels)
    assert (shown, not_shown, missing) == (2, 1, 1)
    assert isinstance(area, figures.Figure)
    assert (area.value, area.n) == (1.0, 3)


def test_a_planted_unit_has_to_rise_more_than_what_has_no_part_in_it() -> None:
    related = dict.fromkeys(planted_motions.planted.MOTIONS["brows_up"].related, 5.0)
    rise = {"AU01": 2.0, "AU02": 1.5, "AU12": 1.0, "AU27": float("nan"), **related}
    one = planted_motions.judged("ann", "brows_up", rise)
    assert (one.is_right, one.other, one.rise) == (True, "AU12", 1.75)
    assert not planted_motions.judged("ann", "brows_up", rise | {"AU12": 1.6}).is_right
    assert not planted_motions.judged("ann", "brows_up", rise | {"AU02": float("nan")}).is_right


def test_a_rise_is_from_rest_to_the_full_motion() -> None:
    values = np.array([1.0, np.nan, 9.0, 4.0, 3.0], np.float32)
    table = ActionUnitTable(
        times_s=np.arange(5.0),
        frames=np.arange(5),
        intensity={"AU12": values, "AU04": np.full(5, np.nan, np.float32)},
        presence={},
        confidence={"AU12": np.ones(5, np.float32), "AU04": np.zeros(5, np.float32)},
        tracked=np.ones(5, dtype=bool),
        scale="0-5",
        scope="clip",
        producer="test",
        version="1",
    )
    rise = planted_motions.rises(table, np.array([0.0, 0.0, 0.5, 1.0, 1.0]))
    assert rise["AU12"] == 2.5
    assert np.isnan(rise["AU04"])


def test_two_clips_take_turns() -> None:
    one, other = (np.full((t, 2, 2, 3), v, np.uint8) for t, v in ((25, 1), (31, 2)))
    frames, owners = identities.alternated(one, other)
    assert owners.tolist() == [0] * 10 + [1] * 10 + [0] * 5
    assert frames[:, 0, 0, 0].tolist() == (owners + 1).tolist()


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        ([[1, 1, 1], [0, 0]], 1.0),
        ([[0, 0, 1, 1, 1]], 0.6),
        ([[0, 0], [1, 1], [0]], 0.8),
        ([[0, 0, 1], [0, 1, 1]], 4 / 6),
    ],
)
def test_purity_names_each_person_once(owners: list[list[int]], expected: float) -> None:
    assert identities.purity([np.array(rows) for rows in owners]) == pytest.approx(expected)


def test_times_are_shown_beside_the_cascade(benchmark: ModuleType) -> None:
    times = np.array([[10.0, 20.0], [30.0, 20.0], [10.0, 20.0]])
    rows = benchmark.time_table(["network", benchmark.REFERENCE], times).splitlines()
    assert rows[2] == "| network | 10.0 | 10.0 to 29.0 | 0.50 |"


def test_benchmark_frames_hold_the_portraits(benchmark: ModuleType) -> None:
    one, three = benchmark.frame_with(1), benchmark.frame_with(3)
    assert one.shape == three.shape == (480, 640, 3)
    assert not np.array_equal(one, benchmark.frame_with(1, 2))
