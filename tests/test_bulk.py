"""The same work on many rows: failures, deaths, saving, and an end in order."""

from functools import partial
from pathlib import Path

import pytest
from doubler import Doubler, broken

from emotion_llama.bulk import SAVE_EVERY, StopRunError, run_bulk


def saved(folder: Path) -> set[int]:
    return {int(word) for path in folder.glob("*.txt") for word in path.read_text().split()}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_row_has_its_result_and_is_saved(tmp_path: Path, num_workers: int) -> None:
    rows = [1, 2, 13, 4, 5]
    found = {
        done.row: (done.result, done.error)
        for done in run_bulk(partial(Doubler, tmp_path), rows, num_workers)
    }
    assert found == {
        1: (2, None),
        2: (4, None),
        13: (None, "thirteen"),
        4: (8, None),
        5: (10, None),
    }
    assert saved(tmp_path) == {1, 2, 4, 5}


def test_a_row_that_kills_its_process_is_given_up_and_no_other(tmp_path: Path) -> None:
    rows = [*range(10), 66, *range(20, 30)]
    done = list(run_bulk(partial(Doubler, tmp_path), rows, 2))
    assert sorted(one.row for one in done) == sorted(rows), "each row is told of once"
    failed = {one.row: one.error for one in done if one.error}
    assert list(failed) == [66]
    assert "ended 2 times (SIGKILL)" in str(failed[66])
    assert saved(tmp_path) == {*range(10), *range(20, 30)}, "what died unsaved was done again"


def test_a_death_that_does_not_come_again_costs_nothing(tmp_path: Path) -> None:
    done = list(run_bulk(partial(Doubler, tmp_path), [1, 67, 3], 1))
    assert {one.row: one.result for one in done} == {1: 2, 67: 134, 3: 6}
    assert saved(tmp_path) == {1, 67, 3}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_that_cannot_go_on_saves_and_says_why(tmp_path: Path, num_workers: int) -> None:
    seen = []
    with pytest.raises(StopRunError, match="no room"):
        for done in run_bulk(
            partial(Doubler, tmp_path), [1, 2, 3, 99, *range(2000, 42_000)], num_workers
        ):
            seen.append(done.row)
    assert set(seen) <= saved(tmp_path)
    assert len(seen) < 39_000


def test_leaving_early_saves_what_is_done(tmp_path: Path) -> None:
    run = run_bulk(partial(Doubler, tmp_path), range(100, 400), 2)
    seen = [next(run).row for _ in range(5)]
    run.close()
    assert set(seen) <= saved(tmp_path)
    assert len(saved(tmp_path)) < 300


def test_processes_save_from_time_to_time(tmp_path: Path) -> None:
    run = run_bulk(partial(Doubler, tmp_path), range(100, 100 + 3 * SAVE_EVERY), 1)
    for _ in range(2 * SAVE_EVERY):
        next(run)
    assert len(saved(tmp_path)) >= SAVE_EVERY
    run.close()


def test_a_row_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    done = list(run_bulk(partial(Doubler, tmp_path), [1, 1000, 3], 1, row_limit_s=1.5))
    assert {one.row for one in done if one.error is None} == {1, 3}
    assert "SIGKILL" in str(next(one.error for one in done if one.row == 1000))


@pytest.mark.parametrize(("num_workers", "kind"), [(0, ValueError), (2, StopRunError)])
def test_work_that_cannot_begin_says_why(num_workers: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="no weights"):
        list(run_bulk(broken, [1, 2], num_workers))


def test_a_negative_number_of_processes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_workers is -1"):
        list(run_bulk(partial(Doubler, tmp_path), [1], -1))
