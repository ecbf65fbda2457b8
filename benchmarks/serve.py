"""Whether a service with many clients loses nothing, and what its small batches gain.

    python benchmarks/serve.py                    # all three tables, on a free machine
    python benchmarks/serve.py --only stages      # encoders, scores and reasons, together or not

No data is needed: clips are cut out of the two examples and encoded again, each with its own
content; every fourth is sound or a picture only. The baseline is `Predictor`, clip by clip, in the
same run. An answer of the service counts as right where its hash is that of the file that was sent,
and all else but the times is what `Predictor` gives for it.
"""

import argparse
import asyncio
import hashlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import psutil
from extract import make_clips

from emotion_llama import Predictor
from emotion_llama.config import ServeConfig

STAGES_CLIPS = 32
"""Clips of the first table."""
LOAD_CLIPS = 200
"""Uploads at once of the second."""
MANY = 2000
"""Requests of the third."""
EARLY = 400
"""Requests after which memory is read first: by then every batch size was seen."""
AT_ONCE = 16
"""Clients of the third table."""
OWN_FIELDS = ("clip", "timings_s", "sha256", "request_id", "evidence")
"""Fields of an answer that are a request's own, or that were not asked for."""


@dataclass(frozen=True)
class Answered:
    """What became of one request."""

    seconds: float
    answer: dict[str, Any]
    sha256: str


def mixed_clips(folder: Path, count: int) -> list[Path]:
    """Make clips: films, and in every fourth place their sound or a picture of them."""
    paths: list[Path] = []
    for number, clip in enumerate(make_clips(folder, count)):
        path = Path(clip.path)
        if number % 8 == 3:
            path = _sound_of(path)
        elif number % 8 == 7:
            path = _picture_of(path)
        paths.append(path)
    return paths


def _sound_of(path: Path) -> Path:
    out = path.with_suffix(".wav")
    with av.open(str(path)) as film, av.open(str(out), "w") as file:
        track = file.add_stream("pcm_s16le", rate=16000, layout="mono")
        resampler = av.AudioResampler("s16", "mono", 16000)
        for frame in film.decode(audio=0):
            for piece in resampler.resample(frame):
                file.mux(track.encode(piece))
        file.mux(track.encode())
    return out


def _picture_of(path: Path) -> Path:
    out = path.with_suffix(".png")
    with av.open(str(path)) as film:
        next(film.decode(video=0)).to_image().save(out)
    return out


def measure_stages(folder: Path) -> None:
    """Time encoders, scores and reasons of clips that are read already, alone and together."""
    predictor = Predictor.from_pretrained("mini", device="cpu")
    paths = mixed_clips(folder, STAGES_CLIPS)
    clips = [predictor.read(path) for path in paths]
    size = ServeConfig().batch_size
    predictor.answer(predictor.encode(clips[:size]))
    alone, together = _stage_times(predictor, clips, 1), _stage_times(predictor, clips, size)
    print(f"\nmini on this CPU, {len(clips)} clips of 1 s that are read already\n")
    print(f"| stage | clip by clip, s a clip | in batches of {size} | times as many |")
    print("| --- | --- | --- | --- |")
    for stage in (*alone, "all"):
        one = alone.get(stage, sum(alone.values()))
        many = together.get(stage, sum(together.values()))
        print(f"| {stage} | {one:.4f} | {many:.4f} | {one / many:.2f} |")


def _stage_times(predictor: Predictor, clips: Sequence[Any], size: int) -> dict[str, float]:
    """Give seconds a clip of each stage."""
    times = {"encode": 0.0, "label": 0.0, "reason": 0.0}
    for start in range(0, len(clips), size):
        for answer in predictor.answer(predictor.encode(clips[start : start + size])):
            for stage in times:
                times[stage] += answer.timings_s[stage] / len(clips)  # type: ignore[union-attr]
    return times


@contextmanager
def service(**settings: Any) -> Iterator[tuple[str, psutil.Process]]:
    """Start the command in a process of its own.

    Yields:
        its address and its process
    """
    changes = [f"{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "emotion_llama", "serve", "--port", "0", "--no-page"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([*command, *changes], stderr=log, text=True)
        try:
            yield _address(process, log), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def _address(process: "subprocess.Popen[str]", log: Any) -> str:
    for _ in range(600):
        log.seek(0)
        found = re.search(r"http://[\d.]+:\d+", log.read())
        if found:
            return found[0]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    log.seek(0)
    sys.exit(f"the service did not start: {log.read()}")


async def ask(client: httpx.AsyncClient, path: Path, **fields: str) -> Answered:
    """Send one clip; as long as the service is full, come back when it says."""
    content = path.read_bytes()
    start = time.perf_counter()
    while True:
        response = await client.post(
            "/v1/predict", files={"file": (path.name, content)}, data=fields
        )
        if response.status_code != 429:
            break
        await asyncio.sleep(float(response.headers["Retry-After"]))
    response.raise_for_status()
    seconds = time.perf_counter() - start
    return Answered(seconds, response.json(), hashlib.sha256(content).hexdigest())


async def ask_all(
    address: str, paths: Sequence[Path], at_once: int, **fields: str
) -> list[Answered]:
    """Send clips, so many at once."""
    places = asyncio.Semaphore(at_once)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=None, limits=limits) as client:

        async def one(path: Path) -> Answered:
            async with places:
                return await ask(client, path, **fields)

        return await asyncio.gather(*map(one, paths))


def measure_load(folder: Path) -> None:
    """Send many clips at once, and one after the other; compare with `Predictor`."""
    paths = mixed_clips(folder, LOAD_CLIPS)
    predictor = Predictor.from_pretrained("mini", device="cpu")
    predictor(paths[0])
    expected, alone_s = [], []
    for path in paths:
        start = time.perf_counter()
        expected.append(json.loads(json.dumps(predictor(path).to_dict())))
        alone_s.append(time.perf_counter() - start)
    del predictor
    settings = {"requests_per_minute": 1_000_000, "max_waiting": LOAD_CLIPS}
    with service(**settings) as (address, _):
        few = paths[:40]
        one_by_one = asyncio.run(ask_all(address, few, 1))
        start = time.perf_counter()
        answered = asyncio.run(ask_all(address, paths, len(paths)))
        whole_s = time.perf_counter() - start
    wrong = [number for number, one in enumerate(answered) if not _is_right(one, expected[number])]
    print(f"\n{len(paths)} clips of 1 s at once, mini on this CPU\n")
    print("| what | clips per second | p50 s | p95 s |\n| --- | --- | --- | --- |")
    _row("Predictor, clip by clip", alone_s, sum(alone_s), len(paths))
    seconds = [one.seconds for one in one_by_one]
    _row("the service, one client, first 40", seconds, sum(seconds), len(few))
    _row(f"the service, {len(paths)} clients", [a.seconds for a in answered], whole_s, len(paths))
    ratio = sum(alone_s) / whole_s
    single = statistics.median(alone_s[:40]) / statistics.median(seconds)
    print(f"\nthroughput of the last over the first: {ratio:.2f}")
    print(f"a request alone takes 1/{single:.2f} of the time of `Predictor` on the same 40 clips")
    print(f"answers that are lost, mixed up or other than Predictor's: {len(wrong)} {wrong[:5]}")


def _is_right(found: Answered, expected: dict[str, Any]) -> bool:
    same = {name: found.answer[name] for name in expected if name not in OWN_FIELDS}
    return found.answer["sha256"] == found.sha256 and same == {
        name: value for name, value in expected.items() if name not in OWN_FIELDS
    }


def _row(name: str, seconds: Sequence[float], whole_s: float, count: int) -> None:
    cuts = statistics.quantiles(seconds, n=20)
    print(f"| {name} | {count / whole_s:.2f} | {statistics.median(seconds):.2f} | {cuts[18]:.2f} |")


def measure_growth(folder: Path) -> None:
    """Send many requests; read memory and open files of the service and its readers on the way."""
    paths = mixed_clips(folder, LOAD_CLIPS)
    print(f"\n{MANY} requests, {AT_ONCE} clients, every fourth with a reason\n")
    print("| after | memory, MB | open files | processes |\n| --- | --- | --- | --- |")
    settings = {"requests_per_minute": 1_000_000, "max_waiting": 4 * AT_ONCE}
    with service(**settings) as (address, process):
        for number in range(0, MANY, LOAD_CLIPS):
            for with_reason in (True, False):
                part = [p for i, p in enumerate(paths) if (i % 4 == 0) == with_reason]
                asyncio.run(ask_all(address, part, AT_ONCE, reason=str(with_reason).lower()))
            done = number + LOAD_CLIPS
            if done >= EARLY:
                tree = [process, *process.children(recursive=True)]
                memory = sum(one.memory_full_info().uss for one in tree) / 1e6
                files = sum(one.num_fds() for one in tree)
                print(f"| {done} | {memory:.0f} | {files} | {len(tree)} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=("stages", "load", "growth"))
    only = parser.parse_args().only
    tables = {"stages": measure_stages, "load": measure_load, "growth": measure_growth}
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in tables.items():
            if only in (None, name):
                measure(Path(folder) / name)


if __name__ == "__main__":
    main()
