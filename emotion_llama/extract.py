"""Files -> stored features: the encoders of a preset over any number of clips, each once.

Knows: the order hash, read, encode, store, and what a stored feature depends on. Does not know:
how files are read, how encoders and the store work, processes.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from emotion_llama.bulk import SAVE_EVERY, Done, StopRunError, describe, run_bulk
from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import MediaConfig, parse_frame_policy
from emotion_llama.encoders import (
    FeatureExtractor,
    clue_names,
    global_picture_px,
    reads_clues,
    weights_hash,
)
from emotion_llama.encoders.frame_pixels import square
from emotion_llama.encoders.transfer import Queued
from emotion_llama.evidence import VERSION as EVIDENCE_VERSION
from emotion_llama.evidence import measured_evidence
from emotion_llama.feature_store import (
    ChangedWhileReadError,
    EncoderIdentity,
    FeatureWriter,
    Media,
    StoreFullError,
    settings_hash,
)
from emotion_llama.media.manifest import ClipFile
from emotion_llama.records import Clip, EncoderRole, Features

DEFAULT_ROLES: tuple[EncoderRole, ...] = ("audio", "local", "temporal")
"""What is stored unless more is asked for: the patches of the published global encoder are 5.8 MB a
clip in fp32, so the picture that it reads is kept in their place, and it runs when it is needed."""

KEY_FRAME = "key-frame", "1"
"""Name and version of the kept picture: the key frame as the global encoder sees it, PNG."""

GROUPS_WAITING = 4
"""Groups that may wait for being stored: a shard takes as long to write as some to encode."""

_SOUND = ("sample_rate_hz", "min_audio_s", "max_duration_s")
_PICTURE = ("frames_per_second", "max_frames", "max_frame_px")
_FACE = ("face_source", "person", "face_crop_size")
"""Media settings that a role's input depends on; others may change and what is stored stays."""


@dataclass(frozen=True)
class ExtractSettings:
    """What is extracted, with which weights, to where; can be sent to other processes."""

    preset_dir: Path
    """folder with ``encoders``"""
    store_dir: Path
    media: MediaConfig
    roles: tuple[EncoderRole, ...] = DEFAULT_ROLES
    keep_key_frame: bool = True
    device: str = "cpu"
    dtype: torch.dtype | None = None
    """type of the weights in memory and of the stored features; ``None`` is fp32"""
    autocast_dtype: torch.dtype | None = None
    """type of matrix products where it is not that of the weights; part of what features depend on
    """
    trust_names: bool = False
    """skip clips that are stored under their name with the same size, without reading them"""

    def reader(self) -> ClipReader:
        """Give what reads the files; it measures only where an encoder reads what was measured."""
        measures = reads_clues(self.preset_dir)
        return ClipReader(self.media, measure=measured_evidence if measures else None)


@dataclass(frozen=True)
class Extracted:
    """What was done for one clip."""

    reused: bool
    """everything was stored already"""
    missing: Mapping[str, str]
    """role -> why it has no feature"""
    approximate: tuple[str, ...]
    wall_s: Mapping[str, float]
    """stage -> seconds"""
    cpu_s: Mapping[str, float]
    """stage -> seconds of processor time, of all threads"""


@dataclass
class Prepared:
    """A clip that was read and waits for its encoders."""

    media: Media
    clip: Clip
    wanted: tuple[EncoderIdentity, ...]
    """what is not stored yet"""
    picture: bytes | None = None
    """the key frame as it is kept, where that is wanted"""
    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Encoded:
    """What the encoders gave for clips; a GPU may still be at it."""

    features: Sequence[Features]
    queued: Queued
    wall_s: Mapping[str, float]
    cpu_s: Mapping[str, float]


def identities(
    extractor: FeatureExtractor, reader: ClipReader, settings: ExtractSettings
) -> tuple[EncoderIdentity, ...]:
    """Say what the features of these encoders depend on, one identity for each thing stored.

    Raises:
        ValueError: a role is asked for that the preset has no encoder for
    """
    encoders: dict[str, Any] = {
        "audio": extractor.audio,
        "global": extractor.global_,
        "local": extractor.local,
        "temporal": extractor.temporal,
    }
    absent = [role for role in settings.roles if encoders[role] is None]
    if absent:
        found = ", ".join(role for role, encoder in encoders.items() if encoder is not None)
        msg = (
            f"{settings.preset_dir} has no {' and no '.join(absent)} encoder (found {found}); "
            "place it with `emotion-llama convert`, or choose with --encoders"
        )
        raise ValueError(msg)
    named = []
    for role in settings.roles:
        encoder = encoders[role]
        depends = {"input": input_settings(role, reader), "encoder": encoder.settings}
        if clue_names(encoder):
            depends["evidence"] = {"version": EVIDENCE_VERSION}
        if settings.autocast_dtype is not None:
            depends["autocast"] = {"dtype": str(settings.autocast_dtype)}
        named.append(
            EncoderIdentity(
                role, encoder.name, encoder.version, weights_hash(encoder), settings_hash(depends)
            )
        )
    size = global_picture_px(settings.preset_dir) if settings.keep_key_frame else None
    if size is not None:
        depends = {"input": input_settings("global", reader), "size": size}
        named.append(EncoderIdentity("key_frame", *KEY_FRAME, "", settings_hash(depends)))
    return tuple(named)


def input_settings(role: EncoderRole, reader: ClipReader) -> Mapping[str, Any]:
    """Give the settings of reading that decide what an encoder is given."""
    media = reader.media
    policy = parse_frame_policy(media.key_frame)
    names = _SOUND if role == "audio" else _PICTURE
    sees_face = role in ("local", "temporal") or (role == "global" and policy.name == "peak")
    values = {name: getattr(media, name) for name in names + _FACE * sees_face}
    if role == "global" or (sees_face and policy.name == "uniform"):
        values["key_frame"] = media.key_frame
    if sees_face:
        values["finders"] = reader.finders
        if media.align_whole_frames:  # named only where it is set: what was stored before stays
            values["align_whole_frames"] = True
    return values


def extract(
    clips: Sequence[ClipFile],
    settings: ExtractSettings,
    *,
    num_workers: int = 0,
    batch_size: int = 8,
    clip_limit_s: float | None = None,
) -> Generator[Done[ClipFile, Extracted], None, None]:
    """Extract and store the features of many clips; give what became of each, as it is done.

    On a CPU every process does all of the work on its clips. Where the encoders have a device of
    their own, the processes read and this one encodes groups of clips meanwhile.

    Args:
        clips: what to extract; their ids name them in the store
        settings: what is extracted
        num_workers: processes; 0 works in this one
        batch_size: clips that go through the encoders together, where these have their own device
        clip_limit_s: seconds after which a clip is given up

    Raises:
        ValueError: the preset lacks an encoder that is asked for, or its files do not fit
        StopRunError: there is no room for the features; what is done is stored
    """
    extractor = load_extractor(settings)
    named = identities(extractor, settings.reader(), settings)
    if num_workers == 0:
        here = partial(ClipExtractor, settings, named, extractor=extractor)
        yield from run_bulk(here, clips, num_workers)
        return
    if settings.device == "cpu":
        del extractor  # every process has its own
        make = partial(ClipExtractor, settings, named)
        yield from run_bulk(make, clips, num_workers, row_limit_s=clip_limit_s)
        return
    encoding = ClipExtractor(settings, named, extractor=extractor)
    reading = partial(ClipPreparer, settings, named)
    read = run_bulk(reading, clips, num_workers, row_limit_s=clip_limit_s)
    try:
        yield from encode_groups(read, encoding, batch_size)
    finally:
        encoding.save()


def extract_on_ray(
    clips: Sequence[ClipFile],
    settings: ExtractSettings,
    *,
    num_workers: int = 1,
    num_encoders: int = 1,
) -> Generator[Done[ClipFile, Extracted], None, None]:
    """Do what `extract` does on a Ray cluster whose machines see the same files.

    Args:
        clips: what to extract
        settings: what is extracted; a device other than ``cpu`` gives the encoders actors of their
            own, with a GPU each
        num_workers: actors that read; on a CPU these encode too
        num_encoders: actors with a GPU

    Raises:
        ImportError: Ray is not installed
        ValueError: the preset lacks an encoder that is asked for, or too many actors
        StopRunError: there is no room for the features; what is done is stored
    """
    from emotion_llama.bulk_ray import Stage, run_on_ray

    named = identities(load_extractor(settings), settings.reader(), settings)
    if settings.device == "cpu":
        stages = [Stage(partial(ClipExtractor, settings, named), num_workers)]
    else:
        stages = [
            Stage(partial(ClipPreparer, settings, named), num_workers),
            Stage(partial(ClipFinisher, settings, named), num_encoders, num_gpus=1.0),
        ]
    yield from run_on_ray(stages, clips)


class ClipPreparer:
    """The reading half of the work, in a process of its own."""

    def __init__(self, settings: ExtractSettings, named: Sequence[EncoderIdentity]) -> None:
        self._work = ClipExtractor(settings, named, can_encode=False)

    def run(self, row: ClipFile) -> Prepared | Extracted:
        """Read one clip, unless it is stored already."""
        return self._work.prepare(row)

    def save(self) -> None:
        """Write what waits in memory: names of clips whose content was stored before."""
        self._work.save()


class ClipFinisher:
    """The encoding half of the work, in a process of its own."""

    def __init__(self, settings: ExtractSettings, named: Sequence[EncoderIdentity]) -> None:
        self._work = ClipExtractor(settings, named)

    def run(self, row: Prepared | Extracted) -> Extracted:
        """Encode and store one clip that was read, unless it was stored already."""
        return row if isinstance(row, Extracted) else self._work.finish([row])[0]

    def save(self) -> None:
        """Write what waits in memory."""
        self._work.save()


def encode_groups(
    read: Iterator[Done[ClipFile, Prepared | Extracted]], encoding: "ClipExtractor", size: int
) -> Iterator[Done[ClipFile, Extracted]]:
    """Encode what was read, a group at a time.

    Meanwhile one thread takes in what is read next, and one stores the groups before: a GPU waits
    for neither.

    Args:
        read: clips as they are read; it is closed at the end
        encoding: the encoders and the store
        size: clips in a group

    Raises:
        StopRunError: there is no room, or reading stopped
    """
    arrived: queue.Queue[Done[ClipFile, Prepared | Extracted] | BaseException | None]
    arrived = queue.Queue(maxsize=2 * size)
    stopped = threading.Event()
    thread = threading.Thread(target=_take_in, args=(read, arrived, stopped), daemon=True)
    thread.start()
    group: list[tuple[ClipFile, Prepared]] = []
    try:
        with _Storing(encoding) as storing:
            while (item := arrived.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                if isinstance(item.result, Prepared):
                    group.append((item.row, item.result))
                else:
                    yield Done(item.row, item.result, item.error)
                if len(group) == size:
                    yield from storing.encode(group)
                    group = []
            yield from storing.encode(group)
            yield from storing.settle(0)
    finally:
        stopped.set()
        while thread.is_alive():
            with suppress(queue.Empty):
                arrived.get(timeout=0.1)


def _take_in(read: Any, arrived: "queue.Queue[Any]", stopped: threading.Event) -> None:
    """Put what is read into a queue, its end as ``None``, an error as itself."""
    last: BaseException | None = None
    try:
        for done in read:
            arrived.put(done)
            if stopped.is_set():
                break
    except BaseException as error:
        last = error
    finally:
        read.close()
    arrived.put(last)


Group = Sequence[tuple[ClipFile, Prepared]]


class _Storing:
    """Encodes groups here and stores them in one thread of its own, for a writer is for one.

    Args:
        encoding: the encoders and the store
    """

    def __init__(self, encoding: "ClipExtractor") -> None:
        self._encoding = encoding
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[tuple[Group, Future[list[Extracted]]]] = deque()
        self._since_saved = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def encode(self, group: Group) -> Iterator[Done[ClipFile, Extracted]]:
        """Encode a group and let it be stored; give what became of groups before it."""
        if not group:
            return
        try:
            encoded = self._encoding.encode([prepared for _, prepared in group])
        except Exception as error:
            yield from self.settle(0)
            yield from self._each(group, error)
            return
        stored = self._thread.submit(self._store, [prepared for _, prepared in group], encoded)
        self._waiting.append((group, stored))
        yield from self.settle(GROUPS_WAITING)

    def settle(self, left: int) -> Iterator[Done[ClipFile, Extracted]]:
        """Wait until so many groups are left that are not stored, and give what became of them.

        Raises:
            StopRunError: there is no room
        """
        while len(self._waiting) > left:
            group, stored = self._waiting.popleft()
            try:
                results = stored.result()
            except StopRunError:
                raise
            except Exception as error:
                yield from self.settle(0)
                yield from self._each(group, error)
                continue
            for (row, _), result in zip(group, results, strict=True):
                yield Done(row, result, None)

    def _store(self, group: Sequence[Prepared], encoded: Encoded) -> list[Extracted]:
        results = self._encoding.store(group, encoded)
        self._since_saved += len(group)
        if self._since_saved >= SAVE_EVERY:
            self._encoding.save()
            self._since_saved = 0
        return results

    def _each(self, group: Group, error: Exception) -> Iterator[Done[ClipFile, Extracted]]:
        """Do each clip of a group that failed by itself, so that one fails alone."""
        if len(group) == 1:
            yield Done(group[0][0], None, describe(error))
            return
        for one in group:
            yield from self.encode([one])
            yield from self.settle(0)


class ClipExtractor:
    """The work on one clip, inside one process.

    Args:
        settings: what is extracted
        named: what the stored features depend on, as `identities` gives it
        extractor: the encoders; loaded here where they are not given
        can_encode: whether to load them; a process that only reads needs none
    """

    def __init__(
        self,
        settings: ExtractSettings,
        named: Sequence[EncoderIdentity],
        *,
        extractor: FeatureExtractor | None = None,
        can_encode: bool = True,
    ) -> None:
        self._settings = settings
        self._reader = settings.reader()
        self._extractor = extractor
        if extractor is None and can_encode:
            self._extractor = load_extractor(settings)
        self.named = tuple(named)
        self._picture_px = global_picture_px(settings.preset_dir)
        self._writer = FeatureWriter(settings.store_dir, dtype=settings.dtype or torch.float32)

    def run(self, row: ClipFile) -> Extracted:
        """Read, encode and store one clip.

        Raises:
            MediaError: the file gives nothing
            ChangedWhileReadError: it was written to meanwhile
            StopRunError: there is no room for the features
        """
        prepared = self.prepare(row)
        return prepared if isinstance(prepared, Extracted) else self.finish([prepared])[0]

    def prepare(self, row: ClipFile) -> Prepared | Extracted:
        """Read a clip, unless everything asked for is stored already; raises as `run` does."""
        wall_s: dict[str, float] = {}
        cpu_s: dict[str, float] = {}
        if not row.path.is_file():
            problem = "is not a regular file" if row.path.exists() else "is not there"
            msg = f"{row.path} {problem}; name a file that can be read to its end"
            raise ValueError(msg)
        if self._settings.trust_names and self._is_known(row):
            return Extracted(True, {}, (), wall_s, cpu_s)
        before = row.path.stat()
        with _timed("hash", wall_s, cpu_s):
            media = Media.read(row.path)
            # a name need not be Unicode, what is stored has to be
            source = media.source.encode("utf-8", "backslashreplace").decode("utf-8")
            media = replace(media, clip_id=row.clip_id, source=source)
        with _timed("store", wall_s, cpu_s), _full_disk_stops():
            wanted = tuple(one for one in self.named if not self._writer.reuse(media, one))
        if not wanted:
            return Extracted(True, {}, (), wall_s, cpu_s)
        with _timed("read", wall_s, cpu_s):
            clip = self._reader.decode(row.path)
        with _timed("face", wall_s, cpu_s):
            clip = self._reader.complete(clip)
        after = row.path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            msg = f"{row.path} changed while it was read; wait until it is complete, run again"
            raise ChangedWhileReadError(msg)
        with _timed("store", wall_s, cpu_s):
            picture = self._picture(clip, wanted)
        # the frames have served: what goes on are crops, sound and one picture
        return Prepared(media, replace(clip, frames=None), wanted, picture, wall_s, cpu_s)

    def finish(self, group: Sequence[Prepared]) -> list[Extracted]:
        """Encode and store clips that were read.

        Raises:
            StopRunError: there is no room for the features
        """
        return self.store(group, self.encode(group))

    def encode(self, group: Sequence[Prepared]) -> Encoded:
        """Encode clips that were read; a GPU is not waited for."""
        assert self._extractor is not None, "made without encoders"
        wall_s: dict[str, float] = {}
        cpu_s: dict[str, float] = {}
        roles = {identity.role for prepared in group for identity in prepared.wanted}
        with _timed("encode", wall_s, cpu_s):
            clips = [prepared.clip for prepared in group]
            features = self._extractor.only(roles).extract_batch(clips)
        return Encoded(features, Queued(self._settings.device), wall_s, cpu_s)

    def store(self, group: Sequence[Prepared], encoded: Encoded) -> list[Extracted]:
        """Store what the encoders gave for clips.

        Raises:
            StopRunError: there is no room for the features
        """
        results = []
        for prepared, values in zip(group, encoded.features, strict=True):
            wall_s = prepared.wall_s | {"encode": encoded.wall_s["encode"] / len(group)}
            cpu_s = prepared.cpu_s | {"encode": encoded.cpu_s["encode"] / len(group)}
            with _timed("store", wall_s, cpu_s), _full_disk_stops(), encoded.queued.awaited():
                self._store(prepared, values)
            asked = {identity.role for identity in prepared.wanted}
            missing = {str(m): why for m, why in values.missing.items() if m in asked}
            results.append(Extracted(False, missing, values.approximate, wall_s, cpu_s))
        return results

    def save(self) -> None:
        """Write what waits in memory.

        Raises:
            StopRunError: there is no room
        """
        with _full_disk_stops():
            self._writer.flush()

    def _is_known(self, row: ClipFile) -> bool:
        """Tell whether a clip of this name and size is stored with everything asked for."""
        return self._writer.knows(row.clip_id, row.path.stat().st_size, self.named)

    def _store(self, prepared: Prepared, values: Features) -> None:
        for identity in prepared.wanted:
            if identity.role == "key_frame":
                self._store_key_frame(prepared, identity)
            else:
                self._store_feature(prepared, values, identity, identity.role)

    def _store_feature(
        self, prepared: Prepared, values: Features, identity: EncoderIdentity, role: EncoderRole
    ) -> None:
        tensors = tensors_of(values, role)
        times_s, coverage = self._seen(prepared.clip, role)
        if tensors is None:
            why = values.missing.get(role, "the encoder gave nothing")
            self._writer.add_missing(
                prepared.media, identity, why, times_s=times_s, face_coverage=coverage
            )
            return
        self._writer.add(
            prepared.media,
            identity,
            tensors,
            times_s=times_s,
            face_coverage=coverage,
            approximate=role in values.approximate,
        )

    def _store_key_frame(self, prepared: Prepared, identity: EncoderIdentity) -> None:
        clip = prepared.clip
        if prepared.picture is None or clip.key_frame_s is None:
            why = clip.missing.get("global", "the clip has no picture")
            self._writer.add_missing(prepared.media, identity, why)
            return
        self._writer.add_key_frame(prepared.media, identity, prepared.picture, clip.key_frame_s)

    def _picture(self, clip: Clip, wanted: Sequence[EncoderIdentity]) -> bytes | None:
        """Give the key frame as it is kept; among the reading, which many processes share."""
        is_wanted = any(identity.role == "key_frame" for identity in wanted)
        if not is_wanted or clip.key_frame is None or clip.key_frame_s is None:
            return None
        assert self._picture_px is not None, "no picture is kept without a global encoder"
        picture = BytesIO()
        square(clip.key_frame, self._picture_px).save(picture, "PNG")
        return picture.getvalue()

    def _seen(self, clip: Clip, role: EncoderRole) -> tuple[tuple[float, ...], float | None]:
        """Give the times of the frames that a role read, and the share that showed the face."""
        assert self._extractor is not None
        if role == "audio":
            return (), None
        if role == "global":
            return (() if clip.key_frame_s is None else (clip.key_frame_s,)), None
        encoder = self._extractor.local if role == "local" else self._extractor.temporal
        if clip.faces is None or encoder is None:
            return (), 0.0 if clip.faces is None else clip.faces.coverage
        places = list(encoder.crops_read(len(clip.faces.crops)))
        return tuple(np.unique(clip.faces.times_s[places]).tolist()), clip.faces.coverage


def tensors_of(values: Features, role: EncoderRole) -> Mapping[str, torch.Tensor] | None:
    """Give the tensors of one role, named as the store names them; ``None`` where it is missing."""
    if role == "global":
        if values.patches is None or values.class_token is None:
            return None
        return {"patches": values.patches, "class_token": values.class_token}
    embedding: torch.Tensor | None = getattr(values, role)
    return None if embedding is None else {"embedding": embedding}


def load_extractor(settings: ExtractSettings) -> FeatureExtractor:
    """Load the encoders that are asked for; to keep the picture of the global one takes none.

    Raises:
        ValueError: files that do not fit
        FileNotFoundError: there are no encoders
    """
    return FeatureExtractor.from_pretrained(
        settings.preset_dir,
        device=settings.device,
        dtype=settings.dtype,
        roles=settings.roles,
        autocast_dtype=settings.autocast_dtype,
    )


@contextmanager
def _timed(stage: str, wall_s: dict[str, float], cpu_s: dict[str, float]) -> Iterator[None]:
    """Add the seconds that a block takes to a stage."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall_s[stage] = wall_s.get(stage, 0.0) + time.perf_counter() - wall
    cpu_s[stage] = cpu_s.get(stage, 0.0) + time.process_time() - cpu


@contextmanager
def _full_disk_stops() -> Iterator[None]:
    """End the run where there is no room: no other clip would find any."""
    try:
        yield
    except StoreFullError as error:
        raise StopRunError(str(error)) from error
