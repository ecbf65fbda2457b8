"""Samples and a preset -> a folder with every answer, their figures and a report.

Knows: the order of the steps, what a run's folder holds, when a run may be gone on with. Does not
know: how anything is asked (`examiner`), scored (`scoring`) or drawn (`report`).
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from emotion_llama.bulk import Done, run_bulk
from emotion_llama.evaluation.batches import MOST
from emotion_llama.evaluation.blocks import BlockFiles, Item, in_blocks, in_order
from emotion_llama.evaluation.examiner import Asked, Examiner, Rows, failed_answers
from emotion_llama.evaluation.noise import NoiseExaminer, failed_noise
from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.samples import EvalSample, Reading
from emotion_llama.evaluation.sensitivity import PHRASINGS, label_orders
from emotion_llama.modalities import PARTS, Part
from emotion_llama.predict import Predictor
from emotion_llama.preset import find_preset
from emotion_llama.prompt import PromptMode
from emotion_llama.version import package_versions

RUN_FILE = "run.json"
BATCH_SIZE = 16
"""On a CPU, where clips are encoded and scored one by one and a larger batch gains nothing."""
ANALYSED = 300
"""Samples that are explained and asked in other ways too: an interval of 6 points."""
DISTURBED = 60
"""Samples that each disturbance is tried on: reading and tracking them takes most of a run."""

Analysis = Literal["reasons", "subsets", "orders", "phrasings", "noise"]
ANALYSES: tuple[Analysis, ...] = ("reasons", "subsets", "orders", "phrasings", "noise")

_PACKAGES = ("emotion-llama", "torch", "transformers", "numpy")

Block = tuple[int, tuple[EvalSample, ...]]


class RunSettings(BaseModel):
    """What decides the answers of a run; another run of these gives the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    preset: str
    preset_sha256: str | None = None
    """of its files; ``None``: it was handed over loaded"""
    prompt_mode: PromptMode = "trained"
    parts: tuple[Part, ...] = PARTS
    """what is shown of a clip"""
    analyses: tuple[Analysis, ...] = ANALYSES
    limit: float | None = None
    """samples to ask about: a number of at least 1, or a share below 1; ``None``: all"""
    analysed: int = ANALYSED
    """samples with a reason, and those asked in other ways too"""
    disturbed: int = DISTURBED
    """of these, samples that every disturbance is tried on"""
    batch_size: int | Literal["auto"] = BATCH_SIZE
    """samples that are answered together; ``auto``: as many as fit into a GPU's memory, which may
    be others in another run and move the last digits of probabilities"""
    seed: int = 0
    """of the choice of samples"""

    @property
    def block_size(self) -> int:
        """Samples that are written down together."""
        return MOST if self.batch_size == "auto" else self.batch_size


@dataclass(frozen=True)
class Workers:
    """Who does the work."""

    make: Callable[[], Predictor]
    """loads the preset; picklable where there are several processes"""
    count: int = 0
    """processes; 0 works in this one"""
    on_ray: bool = False


@dataclass
class Progress:
    """How far a run is; replaced by something that is seen."""

    show: Callable[[str, int, int], None] = field(default=lambda name, done, total: None)
    """name of the part, samples done, samples in all"""


def settings_of(predictor: Predictor, preset: str, **changes: Any) -> RunSettings:
    """Give the settings of a run of a loaded preset; on a CPU, batches are of `BATCH_SIZE`.

    Args:
        predictor: as loaded from ``preset``
        preset: name, folder or hub id
        **changes: other fields of `RunSettings`
    """
    if changes.get("batch_size") == "auto" and predictor.model.device.type != "cuda":
        changes["batch_size"] = BATCH_SIZE
    return RunSettings(
        preset=predictor.preset,
        preset_sha256=folder_hash(find_preset(preset)),
        prompt_mode=predictor.processor.prompt_mode,
        **changes,
    )


def folder_hash(folder: Path) -> str:
    """Give the beginning of a SHA-256 over the weights and settings of a preset."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".json", ".safetensors", ".model"):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def chosen(samples: Sequence[Item], limit: float | None, seed: int) -> list[Item]:
    """Draw samples, or their rows, with a seed, and give them in their order.

    Raises:
        ValueError: a limit of 0 or less
    """
    if limit is None:
        return list(samples)
    if limit <= 0:
        msg = f"the limit is {limit:g}; give a number of samples, or a share below 1"
        raise ValueError(msg)
    most = round(limit * len(samples)) if limit < 1 else int(limit)
    if most >= len(samples):
        return list(samples)
    rows = sorted(random.Random(seed).sample(range(len(samples)), max(1, most)))
    return [samples[row] for row in rows]


def answer_samples(
    reading: Reading,
    protocol: Protocol,
    settings: RunSettings,
    workers: Workers,
    out: Path,
    progress: Progress | None = None,
) -> None:
    """Ask about every sample that has no answer in the folder yet.

    Args:
        reading: the samples
        protocol: labels and rules
        settings: what is asked
        workers: who answers
        out: folder of the run
        progress: told of every block

    Raises:
        ValueError: the folder holds a run of other settings
    """
    progress = progress or Progress()
    samples = chosen(reading.samples, settings.limit, settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    _begin(out, protocol, settings, reading, samples)
    # where the reason itself is scored, every sample has one
    most = None if protocol.kind in ("words", "description") else settings.analysed
    analysed = chosen(samples, most, settings.seed)
    asked = _asked(protocol, settings)
    names = frozenset(sample.sample_id for sample in analysed)
    size = None if settings.batch_size == "auto" else settings.batch_size
    make = partial(_examiner, workers.make, protocol, asked, names, size, tuple(samples))
    lost = partial(failed_answers, protocol)
    _ask(out, "answers", samples, settings, workers, make, lost, progress)
    if "noise" in settings.analyses and protocol.kind == "labels":
        noisy = chosen(analysed, settings.disturbed, settings.seed)
        hard = partial(_noise_examiner, workers.make, protocol, settings.parts, tuple(noisy))
        _ask(out, "noise", noisy, settings, workers, hard, failed_noise, progress)


def _asked(protocol: Protocol, settings: RunSettings) -> Asked:
    closed = protocol.kind == "labels"
    several = closed and len(settings.parts) > 1
    return Asked(
        parts=settings.parts,
        with_reason="reasons" in settings.analyses,
        subsets=several and "subsets" in settings.analyses,
        orders=label_orders(protocol.asked) if closed and "orders" in settings.analyses else None,
        phrasings=PHRASINGS if closed and "phrasings" in settings.analyses else None,
    )


def _examiner(
    load: Callable[[], Predictor],
    protocol: Protocol,
    asked: Asked,
    analysed: frozenset[str],
    batch_size: int | None,
    every: tuple[EvalSample, ...],
) -> Examiner:
    return Examiner(load(), protocol, asked, analysed, batch_size, every)


def _noise_examiner(
    load: Callable[[], Predictor],
    protocol: Protocol,
    parts: Sequence[Part],
    samples: tuple[EvalSample, ...],
) -> NoiseExaminer:
    return NoiseExaminer(load(), protocol, parts, samples)


def _ask(
    out: Path,
    name: str,
    samples: Sequence[EvalSample],
    settings: RunSettings,
    workers: Workers,
    make: Callable[[], Any],
    lost: Callable[[Sequence[EvalSample], str], Rows],
    progress: Progress,
) -> None:
    """Work on the blocks that are not done yet, and add what comes of them in their order."""
    files = BlockFiles(out, f"{name}.progress.json")
    blocks: list[Block] = list(enumerate(in_blocks(samples, settings.block_size)))
    total = len(samples)
    progress.show(name, min(total, files.num_done * settings.block_size), total)
    todo = blocks[files.num_done :]
    if not todo:
        return
    results = _results(todo, workers, make, lost)
    for rows in in_order(results, files.num_done):
        files.add(rows)
        progress.show(name, min(total, files.num_done * settings.block_size), total)


def _results(
    blocks: Sequence[Block],
    workers: Workers,
    make: Callable[[], Any],
    lost: Callable[[Sequence[EvalSample], str], Rows],
) -> Iterator[tuple[int, Rows]]:
    """Give the rows of each block with its number, in any order; of a lost one, the reason."""
    done: Iterator[Done[Any, Any]]
    if workers.on_ray:
        from emotion_llama.bulk_ray import Stage, run_on_ray

        done = run_on_ray([Stage(make, max(1, workers.count))], blocks)
    else:
        done = run_bulk(make, blocks, workers.count)
    for one in done:
        number, samples = one.row
        yield number, one.result or lost(samples, str(one.error))


def _begin(
    out: Path,
    protocol: Protocol,
    settings: RunSettings,
    reading: Reading,
    samples: Sequence[EvalSample],
) -> None:
    """Write what the run is, or make sure that the run in the folder is the same."""
    ids = "\n".join(f"{one.sample_id} {one.span or ''}".rstrip() for one in samples)
    content = {
        "protocol": protocol.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "data": {
            "samples": len(samples),
            "sha256": hashlib.sha256(ids.encode()).hexdigest()[:16],
            "left_out": dict(reading.left_out),
        },
        "versions": package_versions(_PACKAGES),
    }
    path = out / RUN_FILE
    if path.is_file():
        _require_same(json.loads(path.read_text("utf-8")), content, out)
        return
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _require_same(found: Mapping[str, Any], wanted: Mapping[str, Any], out: Path) -> None:
    """Refuse to go on with another run.

    Raises:
        ValueError: names the first setting that differs
    """
    for section in ("protocol", "settings", "data"):
        for name, value in json.loads(json.dumps(wanted[section])).items():
            if found[section].get(name) != value:
                msg = (
                    f"{out} holds a run with {section} {name} = {found[section].get(name)!r}, not "
                    f"{value!r}; name another folder, or give the same settings"
                )
                raise ValueError(msg[:600])
