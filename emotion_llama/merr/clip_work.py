"""What is done for one clip inside one process: measure, describe, label, each kept by its key.

Knows: what each result depends on. Does not know: other clips, rules, captions, processes.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from emotion_llama.config import BuildConfig, MediaConfig
from emotion_llama.media import SpeechRecognizer, read_waveform
from emotion_llama.merr.caption_rules import unfit_description
from emotion_llama.merr.describers import (
    PictureDescriber,
    VoiceDescriber,
    picture_describer,
    voice_describer,
)
from emotion_llama.merr.measure import ClipMeasures, ClipMeter, picture_at
from emotion_llama.merr.records import LabelReading
from emotion_llama.merr.sources import SourceClip
from emotion_llama.merr.stage_cache import StageCache, key_of


class LabelMaker(Protocol):
    """What gives clips their labels; it is sent to the processes that do the work."""

    @property
    def name(self) -> str:
        """What labels."""
        ...

    @property
    def version(self) -> str:
        """Its version, with the hash of its weights."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What else its labels depend on."""
        ...

    def load(self) -> Callable[[Path, str | None], tuple[str, Mapping[str, float]]]:
        """Make it ready: file and words -> label and the probability of each offered label."""
        ...


@dataclass(frozen=True)
class WorkSettings:
    """What is done for every clip; can be sent to other processes."""

    config: BuildConfig
    cache_dir: Path
    label_maker: LabelMaker | None = None
    """``None``: labels come from a table"""
    load_recognizer: Callable[[], SpeechRecognizer] | None = None
    """what reads the words; ``None``: nobody"""
    trust_names: bool = False
    """take a file for the one of this name, size and time that was read before"""


@dataclass(frozen=True)
class Described:
    """A sentence by a model."""

    text: str
    producer: str
    version: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class WorkedClip:
    """All that is known of one clip by itself."""

    clip: SourceClip
    media_sha256: str
    measures: ClipMeasures
    label: LabelReading | None
    scene: Described | None
    voice: Described | None
    recognised: Described | None
    """the words as a recogniser heard them"""
    missing: Mapping[str, str]
    """``label``, ``scene_description``, ... -> why it is not there"""
    reused: tuple[str, ...] = ()
    """stages whose result was there already"""


class ClipWorker:
    """The work on one clip, inside one process.

    Args:
        settings: what is done
    """

    def __init__(self, settings: WorkSettings) -> None:
        self._settings = settings
        config = settings.config
        self._cache = StageCache(settings.cache_dir)
        self._meter = ClipMeter(config)
        self._label_maker = settings.label_maker
        self._label: Callable[[Path, str | None], tuple[str, Mapping[str, float]]] | None = None
        remote = config.allow_remote
        self._picture: PictureDescriber | None
        self._picture = picture_describer(config.picture_model, allow_remote=remote)
        self._voice: VoiceDescriber | None
        self._voice = voice_describer(config.voice_model, allow_remote=remote)
        self._recognizer = settings.load_recognizer and settings.load_recognizer()

    def run(self, row: SourceClip) -> WorkedClip:
        """Do all stages of one clip, each only where its result is not kept already.

        Raises:
            MediaError: the file gives nothing
            OSError: the file cannot be read, or no room for a result
        """
        reused: list[str] = []
        sha256 = self._hash(row.path, reused)
        recognised = self._recognise(row, sha256, reused)
        measures = self._measures(row, sha256, reused)
        missing: dict[str, str] = {}
        heard = row.transcript or (recognised.text if recognised else None)
        worked = WorkedClip(
            clip=row,
            media_sha256=sha256,
            measures=measures,
            label=self._labelled(row, sha256, heard, missing, reused),
            scene=self._scene(row, sha256, measures, missing, reused),
            voice=self._tone(row, sha256, measures, missing, reused),
            recognised=recognised,
            missing=missing,
        )
        return replace(worked, reused=tuple(reused))

    def save(self) -> None:
        """Nothing waits: every result is kept as it is made."""

    def _kept(
        self,
        stage: str,
        depends: Mapping[str, Any],
        make: Callable[[], Mapping[str, Any]],
        reused: list[str],
    ) -> Mapping[str, Any]:
        """Give the result of a stage: the one that is kept, else made and kept."""
        key = key_of(depends)
        value = self._cache.get(stage, key)
        if value is not None:
            reused.append(stage)
            return value
        value = make()
        self._cache.put(stage, key, value)
        return value

    def _hash(self, path: Path, reused: list[str]) -> str:
        status = path.stat()
        if not self._settings.trust_names:
            return _sha256(path)
        place = {
            "path": str(path.resolve()),
            "bytes": status.st_size,
            "modified_ns": status.st_mtime_ns,
        }
        kept = self._kept("names", place, lambda: {"sha256": _sha256(path)}, reused)
        return str(kept["sha256"])

    def _measures(self, row: SourceClip, sha256: str, reused: list[str]) -> ClipMeasures:
        imported = None if row.action_units is None else _sha256(row.action_units)
        depends = {
            "media": sha256,
            "action_units": imported,
            "settings": self._meter.settings,
        }
        kept = self._kept(
            "measures", depends, lambda: self._meter.measure(row, sha256).to_dict(), reused
        )
        return ClipMeasures.from_dict(kept)

    def _labelled(
        self,
        row: SourceClip,
        sha256: str,
        heard: str | None,
        missing: dict[str, str],
        reused: list[str],
    ) -> LabelReading | None:
        maker = self._label_maker
        if maker is None:
            return None
        depends = {
            "media": sha256,
            "transcript": heard,
            "maker": [maker.name, maker.version, maker.settings],
        }
        kept = self._kept("labels", depends, lambda: self._ask(maker, row.path, heard), reused)
        if "error" in kept:
            missing["label"] = f"{maker.name} gave none: {kept['error']}"
            return None
        return LabelReading(
            kept["label"], "model", maker.name, maker.version, kept["probabilities"]
        )

    def _ask(self, maker: LabelMaker, path: Path, heard: str | None) -> Mapping[str, Any]:
        if self._label is None:
            self._label = maker.load()
        try:
            label, probabilities = self._label(path, heard)
        except ValueError as error:  # nothing to answer from: the clip's own fault, and kept
            return {"error": " ".join(str(error).replace(str(path), path.name).split())}
        return {
            "label": label,
            "probabilities": {name: round(p, 6) for name, p in probabilities.items()},
        }

    def _scene(
        self,
        row: SourceClip,
        sha256: str,
        measures: ClipMeasures,
        missing: dict[str, str],
        reused: list[str],
    ) -> Described | None:
        model = self._picture
        if model is None or measures.scene is None:
            return None
        face = measures.face
        peak_s = face.peak_s if face is not None and face.peak_s is not None else None
        at_s = peak_s if peak_s is not None else (measures.duration_s or 0.0) / 2
        rate = self._settings.config.frames_per_second

        def describe() -> str:
            return model.describe(picture_at(row.path, at_s, rate))

        depends = {"media": sha256, "at_s": at_s, "frames_per_second": rate}
        said = self._described("scene", model, depends, describe, reused)
        return _told(said, "scene_description", missing)

    def _tone(
        self,
        row: SourceClip,
        sha256: str,
        measures: ClipMeasures,
        missing: dict[str, str],
        reused: list[str],
    ) -> Described | None:
        model = self._voice
        if model is None or measures.prosody is None:
            return None

        def describe() -> str:
            sound = read_waveform(row.path, MediaConfig()).waveform
            assert sound is not None, "its voice was measured"
            return model.describe(sound, MediaConfig().sample_rate_hz)

        said = self._described("tone", model, {"media": sha256}, describe, reused)
        return _told(said, "voice_description", missing)

    def _recognise(self, row: SourceClip, sha256: str, reused: list[str]) -> Described | None:
        model = self._recognizer
        if model is None:
            return None

        def transcribe() -> Mapping[str, Any]:
            sound = read_waveform(row.path, MediaConfig()).waveform
            if sound is None:
                return {"text": ""}
            speech = model.transcribe(sound, MediaConfig().sample_rate_hz)
            return {"text": speech.text.strip(), "language": speech.language}

        depends = {"media": sha256, "model": [model.name, model.version]}
        kept = self._kept("words", depends, transcribe, reused)
        text = " ".join(str(kept["text"]).split())
        language = kept.get("language")
        settings = {} if language is None else {"language": language}
        return Described(text, model.name, model.version, settings) if text else None

    def _described(
        self,
        stage: str,
        model: PictureDescriber | VoiceDescriber,
        depends: Mapping[str, Any],
        describe: Callable[[], str],
        reused: list[str],
    ) -> "Described | str":
        """Give what a model says; or why it says nothing, which is not kept and asked again."""
        everything = {**depends, "model": [model.name, model.version, model.settings]}
        try:
            kept = self._kept(stage, everything, lambda: {"text": describe()}, reused)
        except ValueError as error:
            return f"{model.name} gave none: {error}"
        text = " ".join(str(kept["text"]).split())
        if fault := unfit_description(text):
            return f"what {model.name} said is no observation: {fault}"
        return Described(text, model.name, model.version, model.settings)


def _told(said: Described | str, name: str, missing: dict[str, str]) -> Described | None:
    """Give a description; of one that is not there, say why."""
    if isinstance(said, Described):
        return said
    missing[name] = said
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
