"""Encode the faces, voices and words that the `mini` preset learns from, and keep what is known.

Knows: how items of the data folder become `Clip`s, and which evidence each carries. Does not know:
prompts, the language model, how items are paired. Test rows are never read.
"""

import csv
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mini_corpus import Utterance, read_goemotions, read_meld
from mini_encoders import face_data, global_role, temporal_role
from mini_encoders.audio_role import SHARES as SPEECH_SETS
from mini_encoders.audio_role import SPOKEN_AS
from mini_prosody import STANDS_OUT, describe_voices, graded_words, measure_prosody
from mini_sentences import Evidence, FaceEvidence, VoiceEvidence, WordsEvidence
from numpy.typing import NDArray

from emotion_llama.encoders.feature_extractor import FeatureExtractor
from emotion_llama.labels import MINI
from emotion_llama.media import read_clip
from emotion_llama.records import Clip, FaceTrack, Features

CHUNK = 128
"""Clips encoded at once."""
MOST_OF_A_LABEL = {"ferplus": 1200, "lfw": 200}
"""Training faces kept of each label; rarer labels are kept whole."""
PRODUCER = "data set"
RIDGE = 50.0
"""Ridge penalty; the audio feature has about unit variance in each dimension."""
CAN_BE_TOLD = 0.45
"""Estimated score from which a measure is named; estimates are drawn towards 0."""


@dataclass(frozen=True)
class Item:
    """One face, voice or utterance: its features, what it shows, where it comes from."""

    source: str
    label: str
    features: Features
    evidence: Evidence
    transcript: str | None = None
    person: str | None = None
    original_label: str | None = None
    """the data set's own label, where the preset's is coarser"""
    prosody_scores: tuple[float, ...] = ()
    """robust z-scores of loudness, pitch, pitch range and rate; voices only"""


def encoder_digest(folder: Path, roles: Sequence[str]) -> str:
    """Give a digest of encoders' files: cached items of other encoders are not used."""
    digest = hashlib.sha256()
    for role in roles:
        for path in sorted((folder / "encoders" / role).iterdir()):
            digest.update(f"{role}/{path.name}".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def cached(path: Path, digest: str, make: Callable[[], list[Item]]) -> list[Item]:
    """Load items from a file of this process's making, or make and store them."""
    if path.exists():
        stored = torch.load(path, weights_only=False)
        if stored["encoders"] == digest:
            items: list[Item] = stored["items"]
            return items
    items = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"encoders": digest, "items": items}, path)
    return items


def word_items(
    data_dir: Path, split: str, sources: Sequence[str], most_words: int = 1000
) -> list[Item]:
    """Give the utterances with exactly one label and at most so many words."""
    readers = {"meld": read_meld, "goemotions": read_goemotions}
    utterances = [u for source in sources for u in readers[source](data_dir, split)]
    return [
        _word_item(utterance)
        for utterance in utterances
        if utterance.label is not None and len(utterance.text.split()) <= most_words
    ]


def _word_item(utterance: Utterance) -> Item:
    label = str(utterance.label)
    # No cue is named: a language model of this size cannot copy one, and would invent it.
    evidence = WordsEvidence(label)
    return Item(utterance.source, label, Features(), evidence, utterance.text)


def voice_items(data_dir: Path, split: str, extractor: FeatureExtractor) -> list[Item]:
    """Encode the speech of one split; training speech also in a disturbed copy.

    The graded words of a voice compare it with the other recordings of its speaker.
    """
    with (data_dir / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["dataset"] in SPEECH_SETS and row["split"] == split
        ]
    rng = np.random.default_rng(0)
    features, measures = [], []
    for start in range(0, len(rows), CHUNK):
        clips = [read_clip(data_dir / row["path"]) for row in rows[start : start + CHUNK]]
        for clip, row in zip(clips, rows[start:], strict=False):
            sound = _sound(clip)
            measures.append(measure_prosody(sound, clip.sample_rate_hz, row["transcript"]))
        features += extractor.extract_batch(clips)
        if split == "train":
            disturbed = [replace(c, waveform=disturb(_sound(c), rng)) for c in clips]
            features += extractor.extract_batch(disturbed)
        _progress(f"{split} voices", min(start + CHUNK, len(rows)), len(rows))
    described = describe_voices(measures, [row["speaker"] for row in rows])
    copies = 2 if split == "train" else 1
    order = [
        copy * min(CHUNK, len(rows) - start) + copies * start + index
        for start in range(0, len(rows), CHUNK)
        for index in range(min(CHUNK, len(rows) - start))
        for copy in range(copies)
    ]
    return [
        _voice_item(rows[place // copies], features[index], described[place // copies])
        for place, index in enumerate(order)
    ]


def _voice_item(
    row: dict[str, str], features: Features, described: tuple[VoiceEvidence, tuple[float, ...]]
) -> Item:
    return Item(
        source=row["dataset"],
        label=SPOKEN_AS.get(row["label"], row["label"]),
        features=_halved(features),
        evidence=described[0],
        person=row["speaker"],
        original_label=row["label"],
        prosody_scores=described[1],
    )


def keep_audible_words(items: Sequence[Item]) -> list[Item]:
    """Name of each voice only what stands out, is measured so, and can be told from its feature.

    A ridge regression from the audio feature to the measured scores says what can be told; words
    that cannot would only teach the language model to guess.
    """
    heard = torch.stack([item.features.audio.float() for item in items])  # type: ignore[union-attr]
    measured = torch.tensor([item.prosody_scores for item in items]).float().clamp(-3, 3)
    centre, middle = heard.mean(dim=0), measured.mean(dim=0)
    inputs = heard - centre
    gram = inputs.T @ inputs + RIDGE * torch.eye(inputs.shape[1])
    told = inputs @ torch.linalg.solve(gram, inputs.T @ (measured - middle)) + middle  # [n x 4]
    is_named = (told.abs() >= CAN_BE_TOLD) & (told * measured > 0)
    shown = torch.where(is_named, told.sign() * 2.0 * STANDS_OUT, 0.0)
    return [
        replace(item, evidence=VoiceEvidence(graded_words(row.tolist())))
        for item, row in zip(items, shown, strict=True)
    ]


def _sound(clip: Clip) -> NDArray[np.float32]:
    if clip.waveform is None:
        msg = f"{clip.path} has no sound: {clip.missing.get('audio')}; check the data folder"
        raise ValueError(msg)
    return clip.waveform


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


def train_faces(data_dir: Path, extractor: FeatureExtractor) -> list[Item]:
    """Encode training faces: a moved and relit still, a made motion, and a key frame.

    The key frame is the bare face or the face in a photograph, as the global encoder was trained;
    the motion is the one that the temporal encoder was trained with.
    """
    temporal_encoder = extractor.temporal
    if temporal_encoder is None:
        msg = "the preset has no temporal encoder; run train_mini_encoders.py"
        raise ValueError(msg)
    generator = torch.Generator().manual_seed(0)
    scenes = global_role.read_scenes(data_dir, "train")
    items = []
    for source, faces in (
        ("ferplus", face_data.ferplus(data_dir, "train")),
        ("lfw", face_data.lfw(data_dir, "train")),
    ):
        rows = _capped(faces, MOST_OF_A_LABEL[source], generator)
        is_calm = faces.targets[:, MINI.labels.index("neutral")] > 0.7
        calm = face_data.Faces(faces.pixels[is_calm], faces.targets[is_calm])
        neutral = face_data.resize(calm, temporal_role.SOURCE_SIZE).pixels
        for chunk in torch.split(rows, CHUNK):
            chosen = face_data.Faces(faces.pixels[chunk], faces.targets[chunk])
            clips, moving = _training_clips(chosen, neutral, scenes, generator)
            stills = extractor.extract_batch(clips)
            motions = temporal_encoder.encode(moving)
            for place, (still, motion) in enumerate(zip(stills, motions, strict=True)):
                features = replace(still, temporal=motion, missing={})
                items.append(_face_item(source, chosen.targets[place], features))
        print(f"train faces of {source}: {len(rows)}", flush=True)
    return items


def dev_faces(data_dir: Path, extractor: FeatureExtractor) -> list[Item]:
    """Encode development faces as they are: still pictures that are face crops."""
    items = []
    for source, faces in (
        ("ferplus", face_data.ferplus(data_dir, "dev")),
        ("lfw", face_data.lfw(data_dir, "dev")),
    ):
        for chunk in torch.split(torch.arange(len(faces.pixels)), CHUNK):
            pictures = _rgb(faces.pixels[chunk])
            features = extractor.extract_batch([_still(p, p[None]) for p in pictures])
            items += [
                _face_item(source, faces.targets[row], f)
                for row, f in zip(chunk.tolist(), features, strict=True)
            ]
            _progress(f"dev faces of {source}", int(chunk[-1]) + 1, len(faces.pixels))
    return items


def scene_items(data_dir: Path, extractor: FeatureExtractor) -> list[Features]:
    """Encode training photographs without a face: key frames that say nothing."""
    pictures = global_role.read_scenes(data_dir, "train").permute(0, 2, 3, 1).numpy()
    clips = [Clip(str(i), "image", key_frame=p) for i, p in enumerate(pictures)]
    return [_halved(features) for features in extractor.extract_batch(clips)]


def _training_clips(
    faces: face_data.Faces,
    neutral: torch.Tensor,
    scenes: torch.Tensor,
    generator: torch.Generator,
) -> tuple[list[Clip], list[NDArray[np.uint8]]]:
    """Make one still clip and one track of moving crops [t x h x w x 3] of each face."""
    count, size = len(faces.pixels), faces.pixels.shape[1]
    theta = face_data.random_affine(count, generator)
    moved = face_data.warp(faces.pixels[:, None].float(), theta, size)
    crops = _rgb(face_data.relight(moved, generator)[:, 0])

    small = face_data.resize(faces, global_role.FACE_SIZE).pixels
    composed, present, _ = global_role.compose(small, scenes, generator)
    in_scene = (torch.rand(count, generator=generator) < 0.5) & present
    wide = composed.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()

    source = face_data.resize(faces, temporal_role.SOURCE_SIZE).pixels
    other = torch.randint(0, len(neutral), (count,), generator=generator)
    tracks = temporal_role.animate(source, neutral[other], generator)  # [n x t x h x w]
    stills = [_still(wide[i] if in_scene[i] else crops[i], crops[i : i + 1]) for i in range(count)]
    return stills, [_rgb(track) for track in tracks]


def _still(key_frame: NDArray[np.uint8], crops: NDArray[np.uint8]) -> Clip:
    times = np.arange(len(crops)) / 5.0
    height, width = crops.shape[1:3]
    boxes = np.tile(np.array([0, 0, width, height], np.float32), (len(crops), 1))
    return Clip(
        clip_id="item",
        kind="image",
        key_frame=key_frame,
        faces=FaceTrack(crops, times, boxes, 1.0, PRODUCER),
    )


def _rgb(grey: torch.Tensor) -> NDArray[np.uint8]:
    """Give grey levels [n x h x w] as RGB bytes [n x h x w x 3]."""
    levels = grey.clamp(0, 255).to(torch.uint8).numpy()
    return np.repeat(levels[..., None], 3, axis=-1)


def _face_item(source: str, votes: torch.Tensor, features: Features) -> Item:
    label = MINI.labels[int(votes.argmax())]
    share = float(votes.max()) if source == "ferplus" else None
    return Item(source, label, _halved(features), FaceEvidence(label, share))


def _capped(faces: face_data.Faces, most: int, generator: torch.Generator) -> torch.Tensor:
    """Choose at most so many faces of each label, [n]."""
    order = torch.randperm(len(faces.pixels), generator=generator)
    labels = torch.from_numpy(faces.labels)[order]
    return torch.cat([order[labels == index][:most] for index in range(len(MINI))])


def _halved(features: Features) -> Features:
    """Keep features in half precision: half the memory, as exact as the stored weights."""
    values: dict[str, Any] = {
        name: None if value is None else value.half().clone()
        for name in ("patches", "class_token", "local", "temporal", "audio")
        for value in [getattr(features, name)]
    }
    return Features(**values)


def _progress(what: str, done: int, total: int) -> None:
    print(f"\r{what}: {done}/{total}", end="\n" if done >= total else "", flush=True)
