"""The bulk runs of ``bulk.py`` on Ray Data, for more than one machine.

Knows: Ray's actors and data sets. Does not know: what the work is. Needs the extra ``ray``; every
machine must see the same files and the same store.
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from emotion_llama.bulk import Done, StopRunError, Worker, attempt

ROWS_A_BATCH = 16
"""Rows that one actor is handed at once; it saves after each batch."""


@dataclass(frozen=True)
class Stage:
    """One step of the work and who does it."""

    make_worker: Callable[[], Worker[Any, Any]]
    """called once in every actor; what it makes is given what the stage before it returned"""
    num_actors: int
    num_gpus: float = 0.0
    """of each actor"""


class _Actor:
    """One worker of one stage. Rows travel pickled, because Ray's tables hold no objects."""

    def __init__(self, make_worker: Callable[[], Worker[Any, Any]]) -> None:
        self._worker = make_worker()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Work on a batch; a row that failed or stopped before passes through."""
        items = [self._next(pickle.loads(item)) for item in batch["item"]]
        try:
            self._worker.save()
        except StopRunError as stop:
            items.append(stop)
        return {"item": [pickle.dumps(item) for item in items]}

    def _next(self, item: "Done[Any, Any] | StopRunError") -> "Done[Any, Any] | StopRunError":
        if isinstance(item, StopRunError) or item.error is not None:
            return item
        try:
            return attempt(self._worker, item.row, item.result)
        except StopRunError as stop:
            return stop


def run_on_ray(stages: Sequence[Stage], rows: Iterable[Any]) -> Iterator[Done[Any, Any]]:
    """Work on rows on a Ray cluster, one stage after the other, and give what became of each.

    The cluster named by ``RAY_ADDRESS`` is used; without it, one is started on this machine. Leave
    at least one processor free of actors: reading the rows needs one too.

    Args:
        stages: the first is given the rows, each other what the one before returned
        rows: what to work on; each must be picklable

    Raises:
        ImportError: Ray is not installed
        ValueError: the actors of the cluster's stages need every processor
        StopRunError: as a worker raised it
    """
    ray = _started_ray()
    wanted, there = sum(stage.num_actors for stage in stages), ray.cluster_resources().get("CPU", 0)
    if wanted >= there:
        msg = (
            f"found {wanted} actors for {there:g} processors; leave one processor free, or the run "
            f"never ends: give at most {max(1, int(there) - len(stages))} workers"
        )
        raise ValueError(msg)
    items = [{"item": pickle.dumps(Done(row, row, None))} for row in rows]
    if not items:
        return
    data = ray.data.from_items(items, override_num_blocks=-(-len(items) // ROWS_A_BATCH))
    for stage in stages:
        data = data.map_batches(
            _Actor,
            fn_constructor_args=(stage.make_worker,),
            batch_size=ROWS_A_BATCH,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=stage.num_actors),
            num_cpus=1,
            num_gpus=stage.num_gpus,
        )
    for row in data.iter_rows():
        item = pickle.loads(row["item"])
        if isinstance(item, StopRunError):
            raise item
        yield item


def _started_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        msg = "Ray is not installed; `pip install emotion-llama[ray]`, or leave --ray out"
        raise ImportError(msg) from error
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
        ray.init(
            address=os.environ.get("RAY_ADDRESS"), include_dashboard=False, log_to_driver=False
        )
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray
