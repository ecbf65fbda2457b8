"""Measure how well the measures of the voice hold, and make the packaged norms.

    python tools/calibrate_voice.py --data DIR [--per-cell 30] [--norms FILE]

Norms and limits come from training speakers, the shares and directions are given for both training
and development speakers; test speakers are not opened. Prints Markdown tables. Needs the extra
``train``. Knows: recordings, tables. Does not know: how a measure is taken or scored.
"""

import argparse
import csv
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.progress import track

from emotion_llama.voice import (
    LOW_VOICE_BELOW,
    MEASURES,
    Prosody,
    choose_norms,
    grade,
    measure_without_limits,
    norm_of,
    packaged_norm,
    score,
    within_limits,
)

DATASETS = ("ravdess", "emodb", "nemo")
SPLITS = ("train", "dev")
SEED = 20
NUM_RESAMPLES = 500
NUM_PROBES = 150
"""Training recordings that noise is added to and that are cut short."""
NOISE_LEVELS_DB = (30, 25, 20, 15, 10, 5, 0)
VOICED_PIECES_S = (0.4, 0.6, 0.8, 1.0, 1.25)
CONTRASTS = (
    ("angry", "sad"),
    ("happy", "sad"),
    ("fear", "sad"),
    ("angry", "neutral"),
    ("sad", "neutral"),
)
NORM_DECIMALS = 3


@dataclass(frozen=True)
class Recording:
    """One recording and what was measured of it without limits."""

    row: dict[str, str]
    prosody: Prosody
    limited: Prosody

    @property
    def split(self) -> str:
        """``train`` or ``dev``."""
        return self.row["split"]


def chosen_rows(data: Path, per_cell: int) -> list[dict[str, str]]:
    """List recordings: all of RAVDESS and EmoDB, ``per_cell`` of each speaker and label of nEMO."""
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["dataset"] in DATASETS and row["modality"] == "audio" and row["split"] in SPLITS
        ]
    cells: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        cells[row["speaker"], row["label"]].append(row)
    drawn = np.random.default_rng(SEED)
    chosen: list[dict[str, str]] = []
    for cell in cells.values():
        few = per_cell if cell[0]["dataset"] == "nemo" else len(cell)
        chosen += [cell[i] for i in sorted(drawn.permutation(len(cell))[:few])]
    return chosen


def read_sound(data: Path, row: dict[str, str]) -> NDArray[np.float32]:
    """Read a recording, [w]."""
    waveform, _ = soundfile.read(data / row["path"], dtype="float32")
    return np.asarray(waveform)


def measure_all(data: Path, rows: Sequence[dict[str, str]]) -> list[Recording]:
    """Measure every recording, with and without limits."""
    found = []
    for row in track(rows, "measuring"):
        prosody = measure_without_limits(read_sound(data, row), 16_000)
        found.append(Recording(row, prosody, within_limits(prosody)))
    return found


def scores_of(prosodies: Sequence[Prosody], rows: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Score every recording against its speaker's others."""
    norms = choose_norms(
        prosodies, [row["speaker"] for row in rows], [row["language"] for row in rows]
    )
    return [
        dict.fromkeys(MEASURES) if norm is None else dict(score(prosody, norm))
        for prosody, norm in zip(prosodies, norms, strict=True)
    ]


# --- the packaged norms ---------------------------------------------------------------------------


def weighted_quantile(
    values: NDArray[np.float64], weights: NDArray[np.float64], share: float
) -> float:
    """Give the value below which that share of the weight lies."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, share)), len(values) - 1)])


def weighted(recordings: Sequence[Recording], name: str) -> tuple[Any, Any]:
    """Give values and weights in which every speaker counts alike, and all labels of a speaker."""
    known = [one for one in recordings if one.limited.values[name] is not None]
    cells = Counter((one.row["speaker"], one.row["label"]) for one in known)
    labels = Counter(speaker for speaker, _ in cells)
    values = [one.limited.values[name] for one in known]
    weights = [
        1 / cells[one.row["speaker"], one.row["label"]] / labels[one.row["speaker"]]
        for one in known
    ]
    return np.array(values, dtype=float), np.array(weights)


def middle_and_spread(recordings: Sequence[Recording], names: Iterable[str]) -> dict[str, Any]:
    """Take the median of neutral recordings, and how far all lie from it."""
    neutral = [one for one in recordings if one.row["label"] == "neutral"]
    middle: dict[str, float] = {}
    spread: dict[str, float] = {}
    for name in names:
        middle[name] = weighted_quantile(*weighted(neutral, name), 0.5)
        values, weights = weighted(recordings, name)
        size = 1.4826 * weighted_quantile(np.abs(values - middle[name]), weights, 0.5)
        spread[name] = round(max(size, MEASURES[name].least_spread), NORM_DECIMALS)
        middle[name] = round(middle[name], NORM_DECIMALS)
    return {
        "num_recordings": len(recordings),
        "num_speakers": len({one.row["speaker"] for one in recordings}),
        "middle": middle,
        "spread": spread,
    }


def make_norms(recordings: Sequence[Recording]) -> dict[str, Any]:
    """Make the packaged norms from training speakers."""
    known = [one for one in recordings if one.split == "train"]
    general = [
        name
        for name, measure in MEASURES.items()
        if measure.is_packaged and not measure.needs_same_channel and name != "pitch"
    ]
    bases: dict[str, list[float]] = defaultdict(list)
    for one in known:
        if one.row["label"] == "neutral" and one.prosody.pitch_base is not None:
            bases[one.row["speaker"]].append(one.prosody.pitch_base)
    low = {speaker for speaker, own in bases.items() if np.median(own) < LOW_VOICE_BELOW}
    codes = sorted({one.row["language"] for one in known})
    languages = {
        code: middle_and_spread([one for one in known if one.row["language"] == code], general)
        for code in codes
    }
    languages["any"] = middle_and_spread(known, [name for name in general if name != "rate"])
    return {
        "made_by": "tools/calibrate_voice.py",
        "from": "training speakers of RAVDESS, EmoDB and nEMO: middle of their neutral recordings,"
        " spread of all",
        "voices": {
            "low": middle_and_spread(
                [one for one in known if one.row["speaker"] in low], ["pitch"]
            ),
            "high": middle_and_spread(
                [one for one in known if one.row["speaker"] not in low], ["pitch"]
            ),
        },
        "languages": languages,
    }


# --- tables ---------------------------------------------------------------------------------------


def area(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Probability that a value of the first group is above one of the second; ties count half."""
    below = np.searchsorted(np.sort(second), first, side="left")
    upto = np.searchsorted(np.sort(second), first, side="right")
    return float((below + upto).mean() / 2 / len(second))


def area_with_interval(groups: Sequence[list[tuple[str, float]]], by_speaker: bool) -> str:
    """Write the area with its 95 % interval: resampled speakers, or recordings."""
    values = [np.array([value for _, value in group]) for group in groups]
    if min(map(len, values)) < 5:
        return "-"
    drawn = np.random.default_rng(SEED)
    speakers = sorted({speaker for group in groups for speaker, _ in group})
    found = []
    for _ in range(NUM_RESAMPLES):
        if by_speaker:
            picked = drawn.choice(speakers, len(speakers))
            parts = [
                np.concatenate([[value for who, value in group if who == name] for name in picked])
                for group in groups
            ]
        else:
            parts = [drawn.choice(part, len(part)) for part in values]
        if min(map(len, parts)):
            found.append(area(parts[0], parts[1]))
    low, high = np.percentile(found, (2.5, 97.5))
    sizes = "/".join(str(len(part)) for part in values)
    return f"{area(values[0], values[1]):.2f} [{low:.2f}, {high:.2f}] {sizes}"


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def print_availability(recordings: Sequence[Recording]) -> None:
    """Print how many recordings each limit takes out."""
    rows = []
    for dataset in DATASETS:
        own = [one for one in recordings if one.row["dataset"] == dataset]
        voiced = np.percentile([one.prosody.voiced_s for one in own], (5, 50, 95))
        ratio = [one.prosody.snr_db for one in own if one.prosody.snr_db is not None]
        rows.append(
            (
                dataset,
                len(own),
                " / ".join(f"{value:.2f}" for value in voiced),
                " / ".join(f"{value:.0f}" for value in np.percentile(ratio, (5, 50, 95))),
                f"{1 - len(ratio) / len(own):.1%}",
                f"{np.mean([one.limited.values['pitch'] is None for one in own]):.1%}",
            )
        )
    head = ("set", "n", "voiced s, 5/50/95 %", "SNR dB, 5/50/95 %", "no pause", "no pitch")
    print_table("What recordings have", head, rows)


def print_grades(
    recordings: Sequence[Recording], scores: Sequence[dict[str, Any]], title: str
) -> None:
    """Print the share of each grade for neutral and for other recordings of dev speakers."""
    rows = []
    for name in MEASURES:
        for group, is_neutral in (("neutral", True), ("other", False)):
            values = [
                value[name]
                for one, value in zip(recordings, scores, strict=True)
                if one.split == "dev"
                and (one.row["label"] == "neutral") == is_neutral
                and value[name] is not None
            ]
            if values:
                counts = Counter((grade(value) or "usual").split()[0] for value in values)
                shares = [
                    f"{counts[key] / len(values):.0%}"
                    for key in ("usual", "slightly", "clearly", "very")
                ]
                rows.append((name, group, len(values), *shares, f"{np.median(values):+.2f}"))
    head = ("measure", "label", "n", "usual", "slightly", "clearly", "very", "median score")
    print_table(title, head, rows)


def print_directions(recordings: Sequence[Recording], scores: Sequence[dict[str, Any]]) -> None:
    """Print how well scores part labels; loudness also for the set whose gain was kept."""
    kept = [(name, DATASETS) for name in MEASURES] + [("loudness", ("ravdess",))]
    for split in SPLITS:
        rows = []
        for name, datasets in kept:
            cells = []
            for pair in CONTRASTS:
                groups: list[list[tuple[str, float]]] = [
                    [
                        (one.row["speaker"], value[name])
                        for one, value in zip(recordings, scores, strict=True)
                        if one.split == split
                        and one.row["label"] == label
                        and one.row["dataset"] in datasets
                        and value[name] is not None
                    ]
                    for label in pair
                ]
                cells.append(area_with_interval(groups, by_speaker=split == "train"))
            rows.append((name if datasets == DATASETS else f"{name}, RAVDESS", *cells))
        head = ("measure", *(f"{first} > {second}" for first, second in CONTRASTS))
        print_table(f"Directions, {split} speakers", head, rows)


def ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give ranks; equal values share theirs."""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, values) + np.searchsorted(ordered, values, "right")) / 2


def repetitions(recordings: Sequence[Recording]) -> list[tuple[int, int]]:
    """Pair the two times that a RAVDESS actor says the same in the same way."""
    pairs: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, one in enumerate(recordings):
        if one.row["dataset"] == "ravdess":
            parts = Path(one.row["path"]).stem.split("-")
            pairs[(*parts[:5], *parts[6:])].append(place)
    return [(both[0], both[1]) for both in pairs.values() if len(both) == 2]


def print_repetition(recordings: Sequence[Recording], scores: Sequence[dict[str, Any]]) -> None:
    """Print how far a second time agrees with the first, and whether it has the same sign."""
    pairs = repetitions(recordings)
    rows = []
    for name in MEASURES:
        for split in SPLITS:
            both = np.array(
                [
                    (scores[a][name], scores[b][name])
                    for first, second in pairs
                    for a, b in ((first, second), (second, first))
                    if recordings[first].split == split
                    and scores[first][name] is not None
                    and scores[second][name] is not None
                ],
                dtype=float,
            )
            if len(both) < 20:
                continue
            ranks = np.stack([ranked(column) for column in both.T])
            cells = []
            for least, most in ((0.5, 1.0), (1.0, 2.0), (2.0, np.inf)):
                said = both[(np.abs(both[:, 0]) >= least) & (np.abs(both[:, 0]) < most)]
                same = np.mean(said[:, 0] * said[:, 1] > 0) if len(said) else np.nan
                cells.append(f"{same:.0%} ({len(said)})")
            correlation = np.corrcoef(ranks)[0, 1]
            rows.append((name, split, len(both) // 2, f"{correlation:.2f}", *cells))
    head = (
        "measure",
        "split",
        "pairs",
        "rank correlation",
        "same sign: slightly",
        "clearly",
        "very",
    )
    print_table("The same sentence said again", head, rows)


def speech_noise(sound: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Make noise with the long-term spectrum of a recording, [w]."""
    spectrum = np.fft.rfft(sound.astype(np.float64))
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(spectrum))
    smooth = np.sqrt(np.convolve(np.abs(spectrum) ** 2, np.ones(201) / 201, "same"))
    noise = np.fft.irfft(smooth * np.exp(1j * phases), len(sound))
    return noise / np.sqrt(np.mean(noise**2))


def shown_moves(moves: Sequence[float]) -> str:
    """Write the median size and, in brackets, the median of changes."""
    return f"{np.median(np.abs(moves)):.2f} ({np.median(moves):+.2f})" if moves else "-"


def print_probe(
    title: str,
    data: Path,
    recordings: Sequence[Recording],
    settings: Sequence[float],
    change: Callable[[NDArray[np.float32], Recording, float, int], NDArray[np.float32] | None],
) -> None:
    """Print how far scores move when recordings are changed: median size, in spreads."""
    places = [
        place
        for place, one in enumerate(recordings)
        if one.split == "train" and one.prosody.speech_start_s is not None
    ]
    drawn = np.random.default_rng(SEED).permutation(places)[:NUM_PROBES]
    by_speaker: dict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(recordings):
        by_speaker[one.row["speaker"]].append(place)
    moves: dict[tuple[str, float], list[float]] = defaultdict(list)
    counts: Counter[float] = Counter()
    for place in track(drawn.tolist(), title):
        one = recordings[place]
        others = [recordings[i].prosody for i in by_speaker[one.row["speaker"]] if i != place]
        norm = norm_of(others, "speaker")
        before = score(one.prosody, norm)
        sound = read_sound(data, one.row)
        for setting in settings:
            changed = change(sound, one, setting, place)
            if changed is None:
                continue
            counts[setting] += 1
            after = score(measure_without_limits(changed, 16_000), norm)
            for name in MEASURES:
                first, second = before[name], after[name]
                if first is not None and second is not None:
                    moves[name, setting].append(second - first)
    head = ("measure", *(f"{setting:g} (n {counts[setting]})" for setting in settings))
    rows = [
        (name, *(shown_moves(moves[name, setting]) for setting in settings)) for name in MEASURES
    ]
    print_table(title, head, rows)


def with_noise(
    sound: NDArray[np.float32], one: Recording, ratio_db: float, seed: int
) -> NDArray[np.float32] | None:
    """Add noise of the spectrum of speech at a ratio to the level of speech."""
    level = one.prosody.values["loudness"]
    if level is None or (one.prosody.snr_db is not None and one.prosody.snr_db < 30):
        return None
    noise = speech_noise(sound, seed) * 10 ** ((level - ratio_db) / 20)
    return np.asarray(sound + noise, dtype=np.float32)


def first_voiced(
    sound: NDArray[np.float32], one: Recording, voiced_s: float, _: int
) -> NDArray[np.float32] | None:
    """Cut a recording where that much voice was heard; those with 1.5 s and more only."""
    start = one.prosody.speech_start_s
    if one.prosody.voiced_s < 1.5 or start is None:
        return None
    low, high = int(start * 16_000), len(sound)
    while high - low > 160:
        half = (low + high) // 2
        piece = measure_without_limits(sound[:half], 16_000)
        low, high = (half, high) if piece.voiced_s < voiced_s else (low, half)
    return sound[:high]


def count_vowels(text: str, language: str) -> int:
    """Count the syllables of a transcript by its vowels."""
    text = text.lower()
    if language == "en":  # the two sentences of RAVDESS have seven syllables each
        return 7
    if language == "de":
        return len(re.findall("ei|ie|eu|äu|au|aa|ee|oo|[aeiouyäöü]", text))
    text = re.sub("i(?=[aeouyąęó])", "", text)
    return len(re.findall("au|eu|[aeiouyąęó]", text))


def print_tempo(recordings: Sequence[Recording]) -> None:
    """Print how counted syllables follow those of the transcripts."""
    rows = []
    for dataset in DATASETS:
        for split in SPLITS:
            by_speaker: dict[str, list[tuple[float, float]]] = defaultdict(list)
            for one in recordings:
                rate, own = one.limited.values["rate"], one.row
                if rate is not None and own["dataset"] == dataset and own["split"] == split:
                    seconds = one.prosody.speech_share * one.prosody.duration_s
                    truth = count_vowels(own["transcript"], own["language"]) / seconds
                    by_speaker[own["speaker"]].append((rate, truth))
            pairs = [np.array(values) for values in by_speaker.values()]
            centred = np.concatenate([values - values.mean(axis=0) for values in pairs])
            every = np.concatenate(pairs)
            rows.append(
                (
                    dataset,
                    split,
                    len(every),
                    f"{np.corrcoef(centred.T)[0, 1]:.2f}",
                    f"{np.median(every[:, 0] / every[:, 1]):.2f}",
                )
            )
    head = ("set", "split", "n", "correlation within speakers", "counted / true")
    print_table("Syllables a second against the transcripts", head, rows)


def print_other_scopes(recordings: Sequence[Recording], scores: Sequence[dict[str, Any]]) -> None:
    """Print what norms say that do not know the speaker, against those that do."""
    rows = [one.row for one in recordings]
    limited = [one.limited for one in recordings]
    languages = [row["language"] for row in rows]
    found: dict[str, list[dict[str, Any]]] = {}
    for scope in ("corpus", "packaged"):
        norms = (
            choose_norms(limited, [None] * len(rows), languages)
            if scope == "corpus"
            else [packaged_norm(*both) for both in zip(limited, languages, strict=True)]
        )
        found[scope] = [
            dict.fromkeys(MEASURES) if norm is None else dict(score(prosody, norm))
            for prosody, norm in zip(limited, norms, strict=True)
        ]
    print_grades(recordings, found["packaged"], "Grades by the packaged norms, dev speakers")
    table = []
    for scope, others in found.items():
        for name in MEASURES:
            cells: list[str] = []
            for split in SPLITS:
                said = [
                    other[name] * own[name] > 0
                    for one, other, own in zip(recordings, others, scores, strict=True)
                    if one.split == split
                    and other[name] is not None
                    and own[name] is not None
                    and abs(other[name]) >= 1
                ]
                cells.append(f"{np.mean(said):.0%} ({len(said)})" if said else "-")
            if cells != ["-", "-"]:
                table.append((scope, name, *cells))
    head = ("norm", "measure", "train", "dev")
    print_table("Clearly or very, and of the same sign for the speaker", head, table)
    thresholds = (27.0, 28.0, LOW_VOICE_BELOW, 30.0, 31.0)
    table = [
        (
            split,
            *(
                f"{np.mean([(base >= limit) == is_female for base, is_female in known]):.1%}"
                for limit in thresholds
            ),
            len(known),
        )
        for split in SPLITS
        if (
            known := [
                (one.prosody.pitch_base, "gender=F" in one.row["note"])
                for one in recordings
                if one.split == split and one.prosody.pitch_base is not None
            ]
        )
    ]
    head = ("split", *(f"{limit:g}" for limit in thresholds), "n")
    print_table(
        "Low or high voice, by the limit in semitones, as the sex of the speaker", head, table
    )


def main() -> None:
    """Measure, write the norms, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument(
        "--per-cell", type=int, default=30, help="recordings of nEMO a speaker and label"
    )
    parser.add_argument(
        "--norms",
        type=Path,
        default=Path(__file__).parent.parent / "emotion_llama" / "voice" / "norms.json",
    )
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("found no data folder; give --data DIR or set EMOTION_LLAMA_DATA")
    data = Path(arguments.data)
    recordings = measure_all(data, chosen_rows(data, arguments.per_cell))
    norms = json.dumps(make_norms(recordings), indent=1) + "\n"
    arguments.norms.write_text(norms, encoding="utf-8")
    rows = [one.row for one in recordings]
    scores = scores_of([one.limited for one in recordings], rows)
    print_availability(recordings)
    print_tempo(recordings)
    print_repetition(recordings, scores)
    print_probe("Noise: SNR in dB", data, recordings, NOISE_LEVELS_DB, with_noise)
    print_probe("Short recordings: s of voice", data, recordings, VOICED_PIECES_S, first_voiced)
    print_grades(recordings, scores, "Grades against the speaker's own, dev speakers")
    print_directions(recordings, scores)
    print_other_scopes(recordings, scores)


if __name__ == "__main__":
    main()
