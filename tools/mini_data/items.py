"""Voices, faces and words of the data folder -> encoded items with what was measured of each.

Knows: how rows of the data sets become `Clip`s. Does not know: prompts, how items are put together.
Test rows are never read. Files go through `ClipReader`, `measured_clues` and `FeatureExtractor`, as
in use.
"""

import csv
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mini_corpus import read_goemotions, read_meld
from mini_encoders import aligned_faces, face_data, global_role, local_role, temporal_role
from mini_encoders.audio_role import SHARES as SPEECH_SETS
from mini_encoders.audio_role import SPOKEN_AS
from numpy.typing import NDArray
from rich.progress import track

from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import MediaConfig
from emotion_llama.encoders import FeatureExtractor
from emotion_llama.evidence import measured_clues, state
from emotion_llama.labels import MINI
from emotion_llama.merr.records import Clue
from emotion_llama.records import Clip, FaceTrack, Features

CHUNK = 100
"""Items of one piece of work."""
PRODUCER = "data set"
FRAMES_PER_SECOND = 5.0
LOCAL_STEP = 4
"""The local encoder reads every so many crops of a made track."""


@dataclass(frozen=True)
class Item:
    """One voice, face or utterance."""

    source: str
    votes: tuple[float, ...]
    """probability of each label of `MINI`: one where one label stands for all"""
    features: Features
    clues: tuple[Clue, ...]
    text: str | None = None
    person: str | None = None

    @property
    def label(self) -> str:
        """The most probable label."""
        return MINI.labels[int(np.argmax(self.votes))]


@dataclass(frozen=True)
class Piece:
    """Some rows of one set: the work of one process at one time."""

    kind: str
    """``voice`` or ``face``"""
    source: str
    split: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """Where a process reads."""

    data_dir: Path
    encoders_dir: Path
    cache_dir: Path
    """of the encoders' training: aligned faces"""


def one_vote(label: str) -> tuple[float, ...]:
    """Give all votes to one label."""
    return tuple(float(name == label) for name in MINI.labels)


def word_items(data_dir: Path, split: str, sources: Sequence[str], most_words: int) -> list[Item]:
    """Give the utterances with exactly one label and at most so many words."""
    readers = {"meld": read_meld, "goemotions": read_goemotions}
    return [
        Item(
            utterance.source,
            one_vote(utterance.label),
            Features(),
            (),
            utterance.text,
        )
        for source in sources
        for utterance in readers[source](data_dir, split)
        if utterance.label is not None and len(utterance.text.split()) <= most_words
    ]


@cache
def speech_rows(data_dir: Path, source: str, split: str) -> list[dict[str, str]]:
    """Read the manifest's rows of a set of recordings."""
    with (data_dir / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return [
            row for row in csv.DictReader(file) if (row["dataset"], row["split"]) == (source, split)
        ]


def encoded(pieces: Sequence[Piece], place: Place, cache_path: Path, workers: int) -> list[Item]:
    """Encode pieces in several processes, or read what an earlier run kept.

    Args:
        pieces: what to encode
        place: where the data and the encoders are
        cache_path: folder that keeps the items of each piece
        workers: processes
    """
    cache_path.mkdir(parents=True, exist_ok=True)
    paths = [cache_path / f"{p.kind}_{p.source}_{p.split}_{p.rows[0]}.pt" for p in pieces]
    todo = [(p, path) for p, path in zip(pieces, paths, strict=True) if not path.exists()]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_encode, piece, place, path) for piece, path in todo]
        for job in track(jobs, "encoding"):
            job.result()
    return [item for path in paths for item in torch.load(path, weights_only=False)]


def voice_pieces(data_dir: Path, split: str) -> list[Piece]:
    """Divide the recordings of a split."""
    return [
        piece
        for source in SPEECH_SETS
        for piece in _divided(
            "voice", source, split, range(len(speech_rows(data_dir, source, split)))
        )
    ]


def face_pieces(place: Place, split: str, most_of_a_label: int) -> list[Piece]:
    """Divide the faces of a split, at most so many of a label and set."""
    pieces = []
    for source, read in local_role.SETS.items():
        labels = read(place.data_dir, split).labels
        order = np.random.default_rng(0).permutation(len(labels))
        chosen = [
            row
            for index in range(len(MINI))
            for row in order[labels[order] == index][:most_of_a_label]
        ]
        pieces += _divided("face", source, split, sorted(int(row) for row in chosen))
    return pieces


def face_frequencies(data_dir: Path) -> dict[str, int]:
    """Count the labels of all training faces; the encoded ones are at most so many of a label."""
    labels = np.concatenate([read(data_dir, "train").labels for read in local_role.SETS.values()])
    counts = np.bincount(labels, minlength=len(MINI))
    return dict(zip(MINI.labels, counts.tolist(), strict=True))


def _divided(kind: str, source: str, split: str, rows: Sequence[int]) -> list[Piece]:
    starts = range(0, len(rows), CHUNK)
    return [Piece(kind, source, split, tuple(rows[start : start + CHUNK])) for start in starts]


def _encode(piece: Piece, place: Place, path: Path) -> None:
    if path.exists():  # another run on the same folder was faster
        return
    torch.set_num_threads(1)
    make: Callable[[Piece, Place], list[Item]] = _voices if piece.kind == "voice" else _faces
    torch.save(make(piece, place), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


@cache
def _extractor(place: Place) -> FeatureExtractor:
    return FeatureExtractor.from_pretrained(place.encoders_dir)


def _voices(piece: Piece, place: Place) -> list[Item]:
    """Encode recordings; of training ones a disturbed copy too."""
    rows = [speech_rows(place.data_dir, piece.source, piece.split)[row] for row in piece.rows]
    rng = np.random.default_rng(piece.rows[0])
    reader = ClipReader()
    clips, whose = [], []
    for row in rows:
        clip = reader.read(place.data_dir / row["path"])
        assert clip.waveform is not None, row["path"]
        copies = [clip]
        if piece.split == "train":
            copies.append(replace(clip, waveform=disturb(clip.waveform, rng)))
        clips += copies
        whose += [row] * len(copies)
    clues = [measured_clues(clip) for clip in clips]
    features = _extract(clips, clues, place)
    return [
        Item(
            source=row["dataset"],
            votes=one_vote(SPOKEN_AS.get(row["label"], row["label"])),
            features=one,
            clues=found,
            person=row["speaker"],
        )
        for row, one, found in zip(whose, features, clues, strict=True)
    ]


def disturb(waveform: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change speed by up to 12 %, level by up to 8 dB, and add noise 12 to 35 dB below the voice.

    The noise is smoothed by a random amount, so that it is white to brownish.
    """
    length = round(len(waveform) / rng.uniform(0.88, 1.12))
    places = np.linspace(0, len(waveform) - 1, length)
    sound = np.interp(places, np.arange(len(waveform)), waveform) * 10 ** rng.uniform(-0.4, 0.4)
    noise = np.convolve(rng.standard_normal(length), np.ones(rng.integers(1, 9)), "same")
    level = np.sqrt(np.mean(sound**2) / np.mean(noise**2)) * 10 ** (-rng.uniform(12, 35) / 20)
    disturbed: NDArray[np.float32] = (sound + level * noise).clip(-1, 1).astype(np.float32)
    return disturbed


def _faces(piece: Piece, place: Place) -> list[Item]:
    """Encode faces as they are; training ones also in motion, half of them in a photograph."""
    faces = _set(place.data_dir, piece.source, piece.split)
    rows = torch.tensor(piece.rows)
    stills = [_still(picture) for picture in faces.pixels[rows]]
    clues = [measured_clues(clip) for clip in stills]
    features = _extract(stills, clues, place)
    if piece.split == "train":
        tracks, key_frames = _in_motion(piece, place, rows)
        moving = [
            Clip("item", "video", key_frame=key_frame, faces=_track(crops))
            for crops, key_frame in zip(tracks, key_frames, strict=True)
        ]
        features += _extract_moving(moving, clues, place)
        clues, rows = clues * 2, torch.cat([rows, rows])
    votes = faces.targets[rows]
    return [
        Item(piece.source, tuple(row.tolist()), one, found)
        for row, one, found in zip(votes, features, clues, strict=True)
    ]


@cache
def _set(data_dir: Path, source: str, split: str) -> face_data.Faces:
    return local_role.SETS[source](data_dir, split)


@cache
def _whole_frame_reader() -> ClipReader:
    return ClipReader(MediaConfig(face_source="whole-frame", align_whole_frames=True))


def _still(picture: torch.Tensor) -> Clip:
    """Read a grey picture [h x w] that a face fills, as a file with it is read."""
    pixels = _rgb(picture[None])
    clip = Clip(
        "item",
        "image",
        frames=pixels,
        frame_times_s=np.zeros(1),
        key_frame=pixels[0],
        key_frame_s=0.0,
    )
    return _whole_frame_reader().complete(clip)


def _in_motion(
    piece: Piece, place: Place, rows: torch.Tensor
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Animate stills, and give each a key frame: its middle crop, or a photograph with the face."""
    generator = torch.Generator().manual_seed(piece.rows[0])
    aligned, neutral, scenes = _material(place, piece.source)
    other = torch.randint(0, len(neutral), (len(rows),), generator=generator)
    crops = temporal_role.animate(
        aligned.rows(rows), neutral[other], generator, temporal_role.SOURCE_SIZE
    )
    tracks = [_rgb(one) for one in crops]
    middle = crops[:, crops.shape[1] // 2].clamp(0, 255).to(torch.uint8)
    small = face_data.resize(
        face_data.Faces(middle, aligned.targets[rows]), global_role.FACE_SIZE
    ).pixels
    composed, present, _ = global_role.compose(small, scenes, generator)
    wide = composed.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    in_scene = present & (torch.rand(len(rows), generator=generator) < 0.5)
    key_frames = [
        wide[i] if in_scene[i] else tracks[i][len(tracks[i]) // 2] for i in range(len(rows))
    ]
    return tracks, key_frames


@cache
def _material(
    place: Place, source: str
) -> tuple[aligned_faces.AlignedFaces, torch.Tensor, torch.Tensor]:
    """Give aligned training faces of a set, neutral ones to blend with, and photographs."""
    aligned, _ = local_role.aligned_sets(place.data_dir, place.cache_dir, "train", (source,))
    return aligned, temporal_role.neutral_faces(aligned), scenes_of(place.data_dir)


def scenes_of(data_dir: Path) -> torch.Tensor:
    """Give training photographs without a face, [m x 3 x h x w]."""
    return global_role.read_scenes(data_dir, "train")


def scene_items(place: Place) -> list[Features]:
    """Encode photographs without a face: key frames that say nothing."""
    pictures = scenes_of(place.data_dir).permute(0, 2, 3, 1).numpy()
    clips = [Clip(str(i), "image", key_frame=picture) for i, picture in enumerate(pictures)]
    return _extract(clips, [()] * len(clips), place)


def _track(crops: NDArray[np.uint8]) -> FaceTrack:
    height, width = crops.shape[1:3]
    boxes = np.tile(np.array([0, 0, width, height], np.float32), (len(crops), 1))
    return FaceTrack(crops, np.arange(len(crops)) / FRAMES_PER_SECOND, boxes, 1.0, PRODUCER)


def _rgb(grey: torch.Tensor) -> NDArray[np.uint8]:
    """Give grey levels [n x h x w] as RGB bytes [n x h x w x 3]."""
    levels = grey.clamp(0, 255).to(torch.uint8).numpy()
    return np.repeat(levels[..., None], 3, axis=-1)


def _extract(
    clips: Sequence[Clip], clues: Sequence[tuple[Clue, ...]], place: Place
) -> list[Features]:
    """Encode clips with their clues; features are kept in half precision."""
    stated = [replace(c, evidence=state(found)) for c, found in zip(clips, clues, strict=True)]
    return [_halved(features) for features in _extractor(place).extract_batch(stated)]


def _extract_moving(
    clips: Sequence[Clip], clues: Sequence[tuple[Clue, ...]], place: Place
) -> list[Features]:
    """Encode tracks; the local encoder, which is the slowest, sees every `LOCAL_STEP`-th crop."""
    tracks = [clip.faces for clip in clips]
    few = [
        replace(clip, key_frame=None, faces=replace(t, crops=t.crops[::LOCAL_STEP]))
        for clip, t in zip(clips, tracks, strict=True)
        if t is not None
    ]
    extractor = _extractor(place)
    stated = [replace(c, evidence=state(found)) for c, found in zip(few, clues, strict=True)]
    local = extractor.only(("local",)).extract_batch(stated)
    others = extractor.only(("global", "temporal")).extract_batch(clips)
    return [
        _halved(replace(one, local=seen.local)) for one, seen in zip(others, local, strict=True)
    ]


def _halved(features: Features) -> Features:
    values: dict[str, Any] = {
        name: None if value is None else value.half().clone()
        for name in ("patches", "class_token", "local", "temporal", "audio")
        for value in [getattr(features, name)]
    }
    return Features(**values)
