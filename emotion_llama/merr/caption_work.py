"""What is done for the fine caption of one clip: composed from the clues, or asked of a model.

Knows: which of the two, what a kept answer depends on. Does not know: how captions are composed,
asked for or checked; which clips get one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from emotion_llama.config import BuildConfig
from emotion_llama.labels import LabelSet
from emotion_llama.merr import compose as composer
from emotion_llama.merr.caption_rules import NO_ANSWER
from emotion_llama.merr.describers import text_model
from emotion_llama.merr.faithfulness import measured
from emotion_llama.merr.fine import Rejection, prompt_hash, write_fine
from emotion_llama.merr.records import FineCaption, MerrRecord
from emotion_llama.merr.rules import RuleTable
from emotion_llama.merr.stage_cache import StageCache, key_of
from emotion_llama.version import __version__

COMPOSER = "emotion_llama composer"


@dataclass(frozen=True)
class CaptionJob:
    """One clip that is to get a fine caption."""

    record: MerrRecord
    labels: tuple[str, ...]
    """what a model may conclude"""
    described_by_model: bool
    """whether ``voice_description`` is a model's own words, which no measure can check"""


@dataclass(frozen=True)
class FineResult:
    """A fine caption, or why there is none, and what wrote it."""

    caption: FineCaption | None
    reasons: tuple[str, ...]
    """what was wrong with each answer"""
    producer: str
    version: str
    settings: Mapping[str, Any]
    reused: bool = False


@cache
def _caption() -> TypeAdapter[FineCaption]:
    return TypeAdapter(FineCaption)


class CaptionWorker:
    """Writes fine captions, one after the other.

    Args:
        config: which model, how many tries, the seed
        table: the rules that action units are held against
        cache_dir: where answers of a model are kept
    """

    def __init__(self, config: BuildConfig, table: RuleTable, cache_dir: Path) -> None:
        self._config = config
        self._table = table
        self._cache = StageCache(cache_dir)
        self._model = text_model(config.text_model, allow_remote=config.allow_remote)

    def run(self, row: CaptionJob) -> FineResult:
        """Write one caption; an answer that is kept already is not asked for again."""
        record = row.record
        assert record.label is not None, "clips without a label get no fine caption"
        if self._model is None:
            caption = composer.compose(
                record.clues, record.label, self._table, record.clip_id, self._config.seed
            )
            settings = {
                "rules": [self._table.name, self._table.version],
                "seed": self._config.seed,
            }
            return FineResult(caption, (), COMPOSER, __version__, settings)
        return self._asked(row)

    def save(self) -> None:
        """Nothing waits: every answer is kept as it comes."""

    def _asked(self, row: CaptionJob) -> FineResult:
        model, record = self._model, row.record
        assert model is not None and record.label is not None
        settings = {
            "model": model.settings,
            "prompt": prompt_hash(),
            "package": __version__,
            "tries": self._config.fine_tries,
            "seed": self._config.seed,
            "labels": list(row.labels),
            "rules": [self._table.name, self._table.version],
        }
        key = key_of(
            {
                "clip": record.clip_id,
                "clues": [asdict(clue) for clue in record.clues],
                "transcript": record.transcript,
                "label": record.label,
                "descriptions": [record.scene_description, record.voice_description],
                "model": [model.name, model.version],
                "settings": settings,
            }
        )
        kept = self._cache.get("fine", key)
        reused = kept is not None
        if kept is None:
            kept = self._ask(row)
            if kept["is_answered"]:
                self._cache.put("fine", key, kept)
        caption = kept["caption"]
        return FineResult(
            None if caption is None else _caption().validate_python(caption),
            tuple(kept["reasons"]),
            model.name,
            model.version,
            settings,
            reused,
        )

    def _ask(self, row: CaptionJob) -> Mapping[str, Any]:
        model, record = self._model, row.record
        assert model is not None and record.label is not None
        written = write_fine(
            record.clues,
            record.transcript,
            record.label,
            LabelSet("offered", row.labels),
            model,
            clip_id=record.clip_id,
            tries=self._config.fine_tries,
            seed=self._config.seed,
            table=self._table,
            scene_description=record.scene_description,
            voice_description=record.voice_description if row.described_by_model else None,
            measured=measured(record),
        )
        if isinstance(written, Rejection):
            # a request that the server refuses says nothing of the clip: it is asked again
            broken = [rule.name for attempt in written.attempts for rule in attempt.broken]
            answered = NO_ANSWER not in broken
            return {"caption": None, "reasons": list(written.reasons), "is_answered": answered}
        return {"caption": asdict(written), "reasons": [], "is_answered": True}
