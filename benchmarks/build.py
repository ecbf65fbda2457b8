"""How long the construction of a data set takes, beside reading the files alone.

    python benchmarks/build.py                      # clips cut out of the packaged examples
    python benchmarks/build.py --clips FOLDER       # yours

One table: every frame and sound read and thrown away (the baseline), the construction with a table
of labels in one and in several processes, with the mini preset as labeller, and the same again,
when every stage is kept already.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from extract import make_clips

from emotion_llama.bulk import num_usable_cpus, run_bulk
from emotion_llama.cli.build import run_here
from emotion_llama.cli.extract import quiet_loading
from emotion_llama.config import BuildConfig, MediaConfig
from emotion_llama.media import read_waveform, stream_frames
from emotion_llama.merr.build import BuildPlan, build
from emotion_llama.merr.sources import SourceClip, list_sources
from emotion_llama.pseudo_label import PresetLabelMaker

BASELINE = "read every frame and the sound, 1 process"


@dataclass(frozen=True)
class Reader:
    """Reads a clip and throws it away."""

    def run(self, row: SourceClip) -> int:
        """Count what was read."""
        waveform = read_waveform(row.path, MediaConfig()).waveform
        frames = sum(1 for _ in stream_frames(row.path, BuildConfig().frames_per_second))
        return frames + (0 if waveform is None else len(waveform))

    def save(self) -> None:
        """Nothing is kept."""


def timed(work: Callable[[], object]) -> float:
    """Give the seconds that something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rows(clips: Sequence[SourceClip], folder: Path, num_workers: int) -> list[tuple[str, float]]:
    """Time every row of the table: what was done, seconds."""
    labels = {clip.clip_id: "happy" for clip in clips}
    plan = BuildPlan(
        clips, folder / "one", BuildConfig(keep="all"), given_labels=labels, labels_name="a table"
    )
    several = replace(plan, out_dir=folder / "several")
    labelled = replace(
        plan, out_dir=folder / "mini", given_labels=None, label_maker=PresetLabelMaker("mini")
    )
    here, crew = partial(run_here, 0), partial(run_here, num_workers)
    name = f"{num_workers} processes"
    return [
        (BASELINE, timed(lambda: list(run_bulk(Reader, clips, 0)))),
        ("build, labels of a table, 1 process", timed(lambda: build(plan, here))),
        (f"build, labels of a table, {name}", timed(lambda: build(several, crew))),
        (f"build, labels of mini, {name}", timed(lambda: build(labelled, crew))),
        (f"the same again, {name}", timed(lambda: build(labelled, crew))),
    ]


def table(times: Sequence[tuple[str, float]], num_clips: int) -> str:
    """Render seconds, clips a second and the ratio to the baseline in Markdown."""
    baseline = dict(times)[BASELINE]
    lines = ["| what | s | clips a second | of the baseline |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {seconds:.1f} | {num_clips / seconds:.1f} | {seconds / baseline:.2f} |"
        for name, seconds in times
    ]
    return "\n".join(lines)


def main() -> None:
    """Make or list the clips, time everything, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=Path, help="folder of clips; default: cut from examples")
    parser.add_argument("--number", type=int, default=100, help="clips that are cut")
    parser.add_argument("--workers", type=int, default=num_usable_cpus())
    arguments = parser.parse_args()
    quiet_loading()
    folder = Path(tempfile.mkdtemp(prefix="build-benchmark-"))
    try:
        if arguments.clips is None:
            make_clips(folder / "clips", arguments.number)
        clips = list_sources(arguments.clips or folder / "clips", name="benchmark", licence="own")
        times = rows(clips, folder, arguments.workers)
        seconds = [f"{len(clips)} clips, {arguments.workers} processes at most"]
        print("\n\n".join([*seconds, table(times, len(clips))]))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
