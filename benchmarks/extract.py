"""Whether bulk extraction keeps the processors busy with work, and its memory in bounds.

    python benchmarks/extract.py                     # mini on this CPU, 2,000 clips
    python benchmarks/extract.py --only mid          # encoders that take most of the time
    python benchmarks/extract.py --only gpu          # full sizes, random weights, on a GPU

No data is needed: clips are cut out of the two examples and encoded again, each with its own
content. Three tables: `mini` against the processor time that its stages need; a mid-size random
preset against its encoders alone on clips that are read already; full-size random weights on a GPU,
encoder by encoder, as a share of the card's matrix products.
"""

import argparse
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from emotion_llama.bulk import run_bulk
from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import MediaConfig
from emotion_llama.encoders import FeatureExtractor
from emotion_llama.extract import ExtractSettings, extract, load_extractor
from emotion_llama.media.manifest import ClipFile, list_clips
from emotion_llama.preset import find_preset

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SECONDS = 1.0
"""Length of each cut clip."""
EARLY, LATE = 100, 2000
"""Clips after which memory is read."""
NUM_CORES = len(os.sched_getaffinity(0))
MID = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
MID_MLP = {"intermediate_size": 1536}
FULL = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
FULL_MLP = {"intermediate_size": 4096}


def make_clips(folder: Path, count: int) -> list[ClipFile]:
    """Cut clips out of the examples, each from another moment and of another quality."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = [_decoded(EXAMPLES / name) for name in ("smile.mp4", "frown.mp4")]
    paths = [folder / f"{number:05d}.mp4" for number in range(count)]
    with ThreadPoolExecutor(NUM_CORES) as pool:
        written = [
            pool.submit(_write, path, *sources[number % 2], number // 2)
            for number, path in enumerate(paths)
            if not path.exists()
        ]
        for one in written:
            one.result()
    return list_clips(folder)[:count]


def _decoded(path: Path) -> tuple[list[Any], Any, float]:
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        rate = float(file.streams.video[0].average_rate)
    from emotion_llama.media import read_waveform

    waveform = read_waveform(path, MediaConfig()).waveform
    assert waveform is not None
    return frames, waveform, rate


def _write(path: Path, frames: list[Any], waveform: Any, rate: float, number: int) -> None:
    """Write `SECONDS` of film from the number's own moment on; noise makes the content its own."""
    length = round(SECONDS * rate)
    first = number % max(1, len(frames) - length)
    start = int(first / rate * 16000)
    noise = np.random.default_rng(number)
    with av.open(str(path.with_suffix(".part")), "w", format="mp4") as file:
        video = file.add_stream("libx264", rate=round(rate), options={"preset": "ultrafast"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        sound = file.add_stream("aac", rate=16000, layout="mono")
        for frame in frames[first : first + length]:
            picture = frame.copy()
            picture[:2, :2] = noise.integers(0, 255)
            file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(video.encode())
        part = waveform[start : start + int(SECONDS * 16000)]
        part = (part + noise.normal(0, 1e-4, len(part))).astype(np.float32)
        for piece in np.split(part, range(1024, len(part), 1024)):
            block = av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono")
            block.sample_rate = 16000
            file.mux(sound.encode(block))
        file.mux(sound.encode())
    path.with_suffix(".part").rename(path)


def save_random_preset(
    folder: Path,
    sizes: dict[str, int],
    mlp: dict[str, int],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Save the published kinds of encoders with random weights, the global one left out."""
    # imported here: processes that are started load this file too, and need none of it for mini
    from transformers import (
        HubertConfig,
        HubertModel,
        VideoMAEConfig,
        VideoMAEModel,
        ViTMAEConfig,
        ViTMAEModel,
    )

    from emotion_llama.encoders import (
        HubertAudioEncoder,
        MaeLocalEncoder,
        VideoMaeTemporalEncoder,
    )

    torch.manual_seed(0)
    hubert = HubertConfig(
        **sizes, **mlp, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True
    )
    FeatureExtractor(
        audio=HubertAudioEncoder(HubertModel(hubert)),
        local=MaeLocalEncoder(ViTMAEModel(ViTMAEConfig(**sizes, **mlp))),
        temporal=VideoMaeTemporalEncoder(
            VideoMAEModel(VideoMAEConfig(**sizes, **mlp, use_mean_pooling=False))
        ),
    ).save_pretrained(folder, dtype)


def save_full_preset(folder: Path) -> None:
    """Save full-size encoders of all four roles, drawn on the GPU, in fp16."""
    from transformers import Blip2VisionConfig

    from emotion_llama.encoders import EvaGlobalEncoder

    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        save_random_preset(folder, FULL, FULL_MLP, torch.float16)
        eva = EvaGlobalEncoder(Blip2VisionConfig(image_size=448, num_hidden_layers=39))
        FeatureExtractor(global_=eva).save_pretrained(folder, torch.float16)


class Memory:
    """Largest resident memory of this process and those it started, sampled while it runs."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._largest = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def take(self) -> float:
        """Give the largest since the last call, in MB."""
        largest, self._largest = self._largest, 0
        return largest / 1e6

    def stop(self) -> None:
        """Stop sampling."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            self._largest = max(self._largest, _resident_bytes())


def _resident_bytes() -> int:
    """Add up the resident memory of this process and its children, from /proc."""
    total = 0
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    for process in (str(os.getpid()), *children):
        try:
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


def measure_mini(folder: Path, count: int) -> None:
    """Compare wall time with the processor time of all stages, and memory early and late."""
    clips = make_clips(folder / "clips", count)
    settings = ExtractSettings(find_preset("mini"), folder / "mini-store", MediaConfig())
    memory = Memory()
    early = late = float("nan")
    cpu_s: dict[str, float] = defaultdict(float)
    start = time.perf_counter()
    for number, done in enumerate(extract(clips, settings, num_workers=NUM_CORES), start=1):
        assert done.result is not None, done.error
        for stage, seconds in done.result.cpu_s.items():
            cpu_s[stage] += seconds
        if number == min(EARLY, count // 2):
            memory.take()  # what starting took
        if number == 2 * min(EARLY, count // 2):
            early = memory.take()
        if number == count - min(EARLY, count // 2):
            memory.take()
    wall = time.perf_counter() - start
    late = memory.take()
    memory.stop()
    total = sum(cpu_s.values())
    print(f"\nmini, {count} clips of {SECONDS:g} s, {NUM_CORES} processes\n")
    print("| stage | processor seconds | share |\n| --- | --- | --- |")
    for stage, seconds in cpu_s.items():
        print(f"| {stage} | {seconds:.1f} | {seconds / total:.1%} |")
    ratio = wall * NUM_CORES / total
    print(f"| all | {total:.1f} | |\n\nwall {wall:.1f} s = {ratio:.3f} x (all / {NUM_CORES})")
    print(
        f"clips per second: {count / wall:.1f}, of which real time: {SECONDS * count / wall:.0f} x"
    )
    print(f"memory of all processes: clips 100-200 {early:.0f} MB, last 100 {late:.0f} MB, "
          f"ratio {late / early:.3f}")  # fmt: skip


class EncodersAlone:
    """The baseline: clips that were read before the clock starts, then the encoders only."""

    def __init__(self, settings: ExtractSettings, clips: Sequence[ClipFile]) -> None:
        self._extractor = load_extractor(settings)
        reader = ClipReader(settings.media)
        self._clips = {clip.clip_id: reader.read(clip.path) for clip in clips}

    def run(self, row: ClipFile) -> None:
        """Encode a clip that is in memory."""
        self._extractor.extract(self._clips[row.clip_id])

    def save(self) -> None:
        """Nothing is kept."""


def _steady_rate(run: Iterator[Any], skip: int) -> float:
    """Give rows per second after the first few, which wait for processes to start."""
    start, count = 0.0, 0
    for number, done in enumerate(run, start=1):
        assert getattr(done, "error", None) is None, done.error
        if number == skip:
            start = time.perf_counter()
        count = number
    return (count - skip) / (time.perf_counter() - start)


def measure_mid(folder: Path, count: int) -> None:
    """Compare the pipeline with its encoders alone, in as many processes, in the same run."""
    clips = make_clips(folder / "clips", count)
    preset = folder / "mid"
    save_random_preset(preset, MID, MID_MLP)
    settings = ExtractSettings(
        preset, folder / "mid-store", MediaConfig(face_crop_size=224), keep_key_frame=False
    )
    skip = 2 * NUM_CORES
    alone = _steady_rate(run_bulk(partial(EncodersAlone, settings, clips), clips, NUM_CORES), skip)
    cpu_s: dict[str, float] = defaultdict(float)

    def counted() -> Iterator[Any]:
        for done in extract(clips, settings, num_workers=NUM_CORES):
            for stage, seconds in (done.result.cpu_s if done.result else {}).items():
                cpu_s[stage] += seconds
            yield done

    whole = _steady_rate(counted(), skip)
    share = cpu_s["encode"] / sum(cpu_s.values())
    print(f"\nmid-size random weights ({MID}), {count} clips of {SECONDS:g} s, fp32, CPU\n")
    print("| what | clips per second | ratio |\n| --- | --- | --- |")
    print(f"| encoders alone, clips read before | {alone:.3f} | 1 |")
    print(f"| hash, read, face, encode, store | {whole:.3f} | {whole / alone:.3f} |")
    print(f"\nencoders take {share:.1%} of the processor time of the whole")


def measure_gpu(folder: Path, count: int) -> None:
    """Time each full-size encoder and the pipeline on a GPU; share of the card's fp16 products."""
    if not torch.cuda.is_available():
        print("\nNOT MEASURED: no GPU here")
        return
    clips = make_clips(folder / "clips", count)
    preset = folder / "full"
    if not (preset / "encoders" / "global" / "config.json").exists():
        save_full_preset(preset)
    settings = ExtractSettings(
        preset,
        folder / "full-store",
        MediaConfig(face_crop_size=224),
        roles=("audio", "global", "local", "temporal"),
        device="cuda",
        dtype=torch.float16,
    )
    extractor = load_extractor(settings)
    reader = ClipReader(settings.media)
    read = [reader.read(clip.path) for clip in clips[:16]]
    peak = _matrix_peak()
    print(f"\nfull-size random weights, fp16, {torch.cuda.get_device_name()}\n")
    print("| encoder | clips per second | share of matrix peak |\n| --- | --- | --- |")
    for role in ("audio", "global", "local", "temporal"):
        name = "global_" if role == "global" else role
        alone = FeatureExtractor(**{name: getattr(extractor, name)})
        rate, flops = _rate_and_flops(alone, read)
        print(f"| {role} | {rate:.1f} | {rate * flops / peak:.1%} |")
    rate, _ = _rate_and_flops(extractor, read)
    whole = _steady_rate(extract(clips, settings, num_workers=NUM_CORES - 1), 8 * 2)
    print(f"| all four, clips read before | {rate:.1f} | |")
    print(f"| the whole pipeline | {whole:.1f} | ratio {whole / rate:.3f} |")


def _rate_and_flops(extractor: FeatureExtractor, clips: Sequence[Any]) -> tuple[float, float]:
    """Give clips per second, and floating-point operations a clip as PyTorch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    extractor.extract_batch(clips)
    with FlopCounterMode(display=False) as counter:
        extractor.extract_batch(clips)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(3):
        extractor.extract_batch(clips)
    torch.cuda.synchronize()
    rate = 3 * len(clips) / (time.perf_counter() - start)
    return rate, counter.get_total_flops() / len(clips)


def _matrix_peak() -> float:
    """Measure the card's fp16 matrix products, in operations per second."""
    size = 8192
    one = torch.randn(size, size, device="cuda", dtype=torch.float16)
    for _ in range(5):
        one @ one
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        one @ one
    torch.cuda.synchronize()
    return 20 * 2 * size**3 / (time.perf_counter() - start)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=("mini", "mid", "gpu"))
    parser.add_argument("--clips", type=int, help="number of clips; default 2000, mid and gpu 64")
    parser.add_argument("--folder", type=Path, help="where clips and stores go; default: removed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if arguments.only in (None, "mini"):
            measure_mini(folder, arguments.clips or LATE)
        if arguments.only in (None, "mid"):
            measure_mid(folder, arguments.clips or 64)
        if arguments.only in (None, "gpu"):
            measure_gpu(folder, arguments.clips or 256)


if __name__ == "__main__":
    main()
