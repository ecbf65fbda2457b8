"""Where every field of a record came from: producer, version, settings and inputs.

Knows: which stage makes which field, hashes. Does not know: how a stage works.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from emotion_llama.config import BuildConfig
from emotion_llama.merr.clip_work import Described, WorkedClip
from emotion_llama.merr.records import MerrRecord, Origin
from emotion_llama.merr.rules import RuleTable
from emotion_llama.merr.stage_cache import key_of
from emotion_llama.version import __version__

_HASH_DIGITS = 16
PACKAGE = "emotion_llama"


class Lineage:
    """Gives origins, and remembers the settings behind their hashes."""

    def __init__(self) -> None:
        self.producers: dict[str, Mapping[str, Any]] = {}
        """hash of settings -> producer, version and settings in full"""

    def origin(
        self, producer: str, version: str, settings: Mapping[str, Any], inputs: Any
    ) -> Origin:
        """Give the origin of one field.

        Args:
            producer: what made it
            version: of the producer
            settings: what its result depends on beside the inputs; plain values
            inputs: what it was made from; plain values or records
        """
        full = {"producer": producer, "version": version, "settings": dict(settings)}
        digest = key_of(full)[:_HASH_DIGITS]
        self.producers.setdefault(digest, full)
        return Origin(producer, version, digest, key_of(_plain(inputs))[:_HASH_DIGITS])

    def of(
        self, record: MerrRecord, worked: WorkedClip, config: BuildConfig, table: RuleTable
    ) -> Mapping[str, Origin]:
        """Give the origins of all fields that a record has before its fine caption."""
        every = {
            **self._measured(record, worked, config, table),
            **self._said(record, worked),
            **self._made(record, config),
        }
        return {name: every[name] for name in sorted(every) if getattr(record, name)}

    def _measured(
        self, record: MerrRecord, worked: WorkedClip, config: BuildConfig, table: RuleTable
    ) -> dict[str, Origin]:
        """Of what was measured of the file, and what the rules make of it."""
        media = record.media_sha256
        settings = {
            "frames_per_second": config.frames_per_second,
            "peak_reading": config.peak_reading,
            "peak_speech": config.peak_speech,
            "peak_weights": config.peak_weights,
            "peak_smoothing_s": config.peak_smoothing_s,
        }
        name, version = worked.measures.face_producer or ("", "")
        scope = {} if record.voice is None else {"norm": record.voice.scope}
        return {
            "face": self.origin(name, version, settings, media),
            "verdict": self.origin(f"rule table {table.name}", table.version, {}, record.face),
            "scene": self._own("scene", {}, media),
            "voice": self._own("voice", scope, media),
        }

    def _said(self, record: MerrRecord, worked: WorkedClip) -> dict[str, Origin]:
        """Of what people or models said: labels, words, descriptions."""
        media, recognised = record.media_sha256, worked.recognised
        origins = {"transcript": self.origin("given transcript", "1", {}, record.transcript)}
        if worked.clip.transcript is None and recognised is not None:
            origins["transcript"] = self._described(recognised, media)
        if record.label is not None:
            first = record.labels[0]
            origins["label"] = self.origin(first.producer, first.version, {}, media)
        for name, described in (
            ("scene_description", worked.scene),
            ("voice_description", worked.voice),
        ):
            if described is not None:
                origins[name] = self._described(described, media)
            else:
                origins[name] = self._own("voice clues", {}, record.voice)
        return origins

    def _made(self, record: MerrRecord, config: BuildConfig) -> dict[str, Origin]:
        """Of what this package put together."""
        measures = [record.face, record.scene, record.voice, record.transcript]
        split = {"seed": config.seed, "shares": dict(config.split_shares)}
        return {
            "clues": self._own("clues", {}, measures),
            "coarse_caption": self._own("coarse caption", {"seed": config.seed}, record.clues),
            "gates": self._own("gates", gate_limits(config), measures),
            "split": self._own("split", split, record.source),
        }

    def _own(self, stage: str, settings: Mapping[str, Any], inputs: Any) -> Origin:
        return self.origin(f"{PACKAGE} {stage}", __version__, settings, inputs)

    def _described(self, described: Described, media: str | None) -> Origin:
        return self.origin(described.producer, described.version, described.settings, media)


def gate_limits(config: BuildConfig) -> Mapping[str, Any]:
    """Give the settings of a build that the gates depend on."""
    names = ("drop_duplicates", "max_contradiction", *_limits("min_"))
    return {name: getattr(config, name) for name in names}


def _limits(prefix: str) -> Sequence[str]:
    return [name for name in BuildConfig.model_fields if name.startswith(prefix)]


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
