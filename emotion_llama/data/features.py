"""Where the features of a clip come from: a feature store, the published folders, or the encoders.

Knows: which file and which stored name a clip has. Does not know: encoders (it is given functions),
examples. Features that are lacking altogether are an error; nothing is replaced by zeros.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from emotion_llama.config import SourceConfig
from emotion_llama.data.annotated_clips import AnnotatedClip, read_clips
from emotion_llama.data.clip_names import ClipNames
from emotion_llama.feature_store import FeatureStore, PublishedFeatures
from emotion_llama.media.manifest import walk_media
from emotion_llama.records import ENCODER_ROLES, EncoderRole, Features, Modality

logger = logging.getLogger(__name__)

PUBLISHED_FOLDERS: Mapping[EncoderRole, tuple[str, ...]] = {
    "audio": ("HL-UTT", "HL_23_UTT"),
    "local": ("mae_340_UTT", "mae_340_23_UTT", "mae_DFEW_ck16_UTT"),
    "temporal": ("maeV_399_UTT", "maeVideo_399_23_UTT", "maeV_199_UTT"),
}
"""Role -> folders of the published features of MER2023, MER2024 and DFEW."""

MAX_KEPT_BYTES = 512 * 1024**2
"""Encoded features that one process keeps: some 90 clips at the published sizes, and many thousand
of the packaged preset. The published code read and encoded a clip anew at every draw."""

_WORDS_ONLY = "the annotations have words only and name no file"

EncodeFile = Callable[[Path], Features]
EncodePicture = Callable[[NDArray[np.uint8]], Features]


class NoFeaturesError(KeyError):
    """A clip has no features; the message names it and says what to do."""

    def __str__(self) -> str:
        return str(self.args[0])


class FeatureSource(Protocol):
    """What gives features by clip id."""

    def features(self, clip_id: str) -> Features:
        """Give the features of a clip, on the CPU.

        Raises:
            NoFeaturesError: there are none
        """
        ...


class OpenedFeatures(FeatureSource, Protocol):
    """A `FeatureSource` that can tell before training which clips it lacks."""

    def lacking(self, clip_ids: Iterable[str]) -> tuple[str, ...]:
        """Name the clips whose features, or files where they are encoded, are not there.

        Raises:
            ValueError: a clip cannot be told from another one
        """
        ...


def open_features(
    source: SourceConfig,
    encode: EncodeFile | None,
    *,
    encode_picture: EncodePicture | None = None,
) -> OpenedFeatures:
    """Open where the features of a source's clips come from.

    Plain instructions have none. Without ``features`` in the source every clip is encoded when it
    is drawn. With them, only the global feature is encoded, where it is not stored: from the stored
    key frame, else from the clip's file. What was encoded is kept up to `MAX_KEPT_BYTES`.

    Args:
        source: its ``features`` and ``media``
        encode: file -> features; with stored features the global role is enough. ``None``: files
            are not read
        encode_picture: stored key frame, RGB [h x w x 3], -> global features; ``None``: stored key
            frames are not used

    Raises:
        ValueError: the annotations break their form, or there is neither ``features`` nor
            something that encodes
        FileNotFoundError: there is no feature store and none of the published folders
    """
    if source.kind == "instructions":
        return _NoClips()
    clips = read_clips(source)
    files = _ClipFiles(source, clips)
    encoded = None if encode is None else _Encoded(files, encode)
    words = frozenset(clip.clip_id for clip in clips if clip.path is None and clip.transcript)
    if source.features is None:
        if encoded is None and len(words) < len(clips):
            msg = (
                f"source {source.path} names no features, and nothing encodes its clips; set "
                "features to what `emotion-llama extract` wrote, or load encoders"
            )
            raise ValueError(msg)
        return _SourceFeatures(words, None, encoded)
    stored = _open_stored(Path(source.features), encode_picture)
    if not stored.has_pictures and (encoded is None or files.folder is None):
        logger.warning(
            "%s holds no global features and no key frame that could be encoded: the picture of "
            "every clip is missing; extract the global role, or set media",
            source.features,
        )
    return _SourceFeatures(words, stored, encoded)


class _NoClips:
    """Of plain instructions, which have no features and lack none."""

    def features(self, clip_id: str) -> Features:
        return Features()

    def lacking(self, clip_ids: Iterable[str]) -> tuple[str, ...]:
        return ()


class _Stored(Protocol):
    """Stored features, and the picture of a clip if it can still be encoded."""

    where: str
    has_pictures: bool

    def find(self, clip_id: str) -> str | None:
        """Give the stored name of a clip."""
        ...

    def read(self, name: str) -> tuple[Features, bool]:
        """Give the features of a stored name, and whether its picture is still to be encoded."""
        ...


class _SourceFeatures:
    """Words only, stored, or encoded: the features of one source.

    Args:
        words: clips that have no file and need none
        stored: what was extracted before
        encoded: what is encoded when it is asked for
    """

    def __init__(
        self, words: frozenset[str], stored: _Stored | None, encoded: "_Encoded | None"
    ) -> None:
        self._words = words
        self._stored = stored
        self._encoded = encoded

    def features(self, clip_id: str) -> Features:
        """Give the features of a clip.

        Raises:
            NoFeaturesError: there are none
            ValueError: stored features or a file cannot be used
        """
        name = None if self._stored is None else self._stored.find(clip_id)
        if name is None and clip_id in self._words:
            return Features(missing=dict.fromkeys(ENCODER_ROLES, _WORDS_ONLY))
        if self._stored is None:
            assert self._encoded is not None, "refused when it was opened"
            return self._encoded.features(clip_id)
        if name is None:
            msg = (
                f"{self._stored.where} holds no features of clip {clip_id!r}; extract them with "
                "`emotion-llama extract`, or leave the clip out of the annotations"
            )
            raise NoFeaturesError(msg)
        features, wants_picture = self._stored.read(name)
        if wants_picture and self._encoded is not None and self._encoded.is_asked(clip_id):
            return _with_picture(features, self._encoded.features(clip_id))
        return features

    def lacking(self, clip_ids: Iterable[str]) -> tuple[str, ...]:
        """Name the clips that have nothing to take features from."""
        return tuple(name for name in dict.fromkeys(clip_ids) if not self._has(name))

    def _has(self, clip_id: str) -> bool:
        has_file = self._encoded is not None and self._encoded.has(clip_id)
        if self._stored is None or self._stored.find(clip_id) is None:
            return clip_id in self._words or (self._stored is None and has_file)
        needs_file = self._encoded is not None and self._encoded.is_asked(clip_id)
        return self._stored.has_pictures or has_file or not needs_file


class _StoreFeatures:
    """Features of a `FeatureStore`."""

    def __init__(self, folder: Path, encode_picture: EncodePicture | None) -> None:
        self.where = str(folder)
        self._store = FeatureStore(folder)
        self._names = ClipNames(self._store.clip_ids(), self.where)
        self._encode_picture = encode_picture
        self._kept = _Kept()
        roles = set(self._store.rows()["role"].unique().to_pylist())
        self.has_pictures = "global" in roles or (
            "key_frame" in roles and encode_picture is not None
        )

    def find(self, clip_id: str) -> str | None:
        return self._names.find(clip_id)

    def read(self, name: str) -> tuple[Features, bool]:
        features = self._store.clip(name)
        if features.patches is not None:
            return features, False
        stated = {row["role"]: row["missing_reason"] for row in self._store.clip_rows(name)}
        why = stated.get("global") or stated.get("key_frame")
        if why is not None:  # the clip has no picture, whoever reads it again
            missing: dict[Modality, str] = {**features.missing, "global": why}
            return replace(features, missing=missing), False
        if "key_frame" in stated and self._encode_picture is not None:
            return _with_picture(features, self._kept.get(name, self._encode_key_frame)), False
        return features, True

    def _encode_key_frame(self, name: str) -> Features:
        assert self._encode_picture is not None
        frame = self._store.key_frame(name)
        if frame is None:
            why = "the stored key frame is damaged; extract it again"
            return Features(missing={"global": why})
        with Image.open(BytesIO(frame.picture)) as picture:
            return _on_cpu(self._encode_picture(np.array(picture.convert("RGB"))))


class _FolderFeatures:
    """Features in the published folders, which have no global role."""

    has_pictures = False

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._published = PublishedFeatures(folder, _published_names(folder))
        self._names = ClipNames(self._published.clip_ids(), self.where)

    def find(self, clip_id: str) -> str | None:
        return self._names.find(clip_id)

    def read(self, name: str) -> tuple[Features, bool]:
        return self._published.clip(name), True


def _open_stored(folder: Path, encode_picture: EncodePicture | None) -> _Stored:
    if (folder / "index").is_dir():
        return _StoreFeatures(folder, encode_picture)
    return _FolderFeatures(folder)


def _published_names(folder: Path) -> dict[EncoderRole, str]:
    """Find which of the published folders are there, at most one for each role."""
    found: dict[EncoderRole, list[str]] = {
        role: [name for name in names if (folder / name).is_dir()]
        for role, names in PUBLISHED_FOLDERS.items()
    }
    several = next((names for names in found.values() if len(names) > 1), None)
    if several is not None:
        msg = (
            f"{folder} has the folders {' and '.join(several)} for one role, expected one of them; "
            "move the others elsewhere"
        )
        raise ValueError(msg)
    names = {role: candidates[0] for role, candidates in found.items() if candidates}
    if not names:
        expected = "; ".join(f"{r}: {' or '.join(n)}" for r, n in PUBLISHED_FOLDERS.items())
        msg = (
            f"{folder} holds neither a feature store (folders index and shards) nor published "
            f"features ({expected}); name the folder that `emotion-llama extract` wrote, or the "
            "parent of the published folders"
        )
        raise FileNotFoundError(msg)
    for role in sorted(found.keys() - names.keys()):
        logger.warning("%s has no folder of %s features; they are missing", folder, role)
    return names


class _ClipFiles:
    """Finds the file of a clip: below ``media``, else beside the table that names it.

    Args:
        source: its ``media``
        clips: what the annotations say of the files
    """

    def __init__(self, source: SourceConfig, clips: Iterable[AnnotatedClip]) -> None:
        self.paths = {clip.clip_id: clip.path for clip in clips}
        self.folder = None if source.media is None else Path(source.media)
        if self.folder is None and source.kind == "table":
            self.folder = Path(source.path).parent
        self.is_named = source.media is not None
        self._names: ClipNames | None = None

    def find(self, clip_id: str) -> Path | None:
        """Give the file of a clip, ``None`` where it is not there."""
        path = self.paths.get(clip_id)
        if path is None or self.folder is None:
            return None
        if (file := self.folder / path).is_file():
            return file
        name = self._below(self.folder).find(Path(path).as_posix()) if self.is_named else None
        return None if name is None else self.folder / name

    def why_not(self, clip_id: str) -> str:
        """Say why a clip has no file."""
        if self.folder is None:
            return f"clip {clip_id!r} has no file to encode: set media to the folder of the clips"
        return (
            f"{self.folder} holds no file of clip {clip_id!r} (looked for "
            f"{self.paths.get(clip_id)!r}); correct media or the annotations"
        )

    def _below(self, folder: Path) -> ClipNames:
        """List the media folder once; published names have no ending and no folder."""
        if self._names is None:
            names = (path.relative_to(folder).as_posix() for path in walk_media(folder))
            self._names = ClipNames(names, str(folder))
        return self._names


class _Encoded:
    """Encodes files when they are asked for, and keeps what it can."""

    def __init__(self, files: _ClipFiles, encode: EncodeFile) -> None:
        self._files = files
        self._encode = encode
        self._kept = _Kept()

    def has(self, clip_id: str) -> bool:
        """Tell whether there is a file."""
        return self._files.find(clip_id) is not None

    def is_asked(self, clip_id: str) -> bool:
        """Tell whether pictures come from files: media is named, or the file is there anyhow."""
        return self._files.is_named or self.has(clip_id)

    def features(self, clip_id: str) -> Features:
        return self._kept.get(clip_id, self._encode_file)

    def _encode_file(self, clip_id: str) -> Features:
        path = self._files.find(clip_id)
        if path is None:
            raise NoFeaturesError(self._files.why_not(clip_id))
        return _on_cpu(self._encode(path))


class _Kept:
    """Features by name, the longest unused given up first."""

    def __init__(self) -> None:
        self._features: OrderedDict[str, Features] = OrderedDict()
        self._num_bytes = 0

    def get(self, name: str, make: Callable[[str], Features]) -> Features:
        """Give what is kept under a name, else make it."""
        if name in self._features:
            self._features.move_to_end(name)
            return self._features[name]
        made = self._features[name] = make(name)
        self._num_bytes += _num_bytes(made)
        while self._num_bytes > MAX_KEPT_BYTES:
            self._num_bytes -= _num_bytes(self._features.popitem(last=False)[1])
        return made


def _with_picture(features: Features, picture: Features) -> Features:
    """Give stored features with the global ones of another reading."""
    missing: dict[Modality, str] = {m: w for m, w in features.missing.items() if m != "global"}
    if picture.patches is None:
        missing["global"] = picture.missing.get("global", "the encoder gave nothing")
    return replace(
        features, patches=picture.patches, class_token=picture.class_token, missing=missing
    )


def _tensors(features: Features) -> dict[str, torch.Tensor]:
    values: dict[str, Any] = {
        field.name: getattr(features, field.name) for field in fields(Features)
    }
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


def _on_cpu(features: Features) -> Features:
    tensors: dict[str, Any] = {n: v.detach().cpu() for n, v in _tensors(features).items()}
    return replace(features, **tensors)


def _num_bytes(features: Features) -> int:
    return sum(value.numel() * value.element_size() for value in _tensors(features).values())
