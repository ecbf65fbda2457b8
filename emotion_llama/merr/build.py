"""Clips -> an annotated data set: all stages in order, resumable, the same bytes every time.

Knows: the order of the stages, what each field comes from, which clips stay. Does not know: how
any stage works, processes, models; the runner and what labels are given to it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

from emotion_llama.config import BuildConfig
from emotion_llama.media import SpeechRecognizer
from emotion_llama.merr.agreement import AgreementTable, agreement_table
from emotion_llama.merr.caption_work import CaptionJob, CaptionWorker, FineResult
from emotion_llama.merr.clip_work import ClipWorker, LabelMaker, WorkedClip, WorkSettings
from emotion_llama.merr.coarse import coarse_caption
from emotion_llama.merr.dataset_files import write_dataset
from emotion_llama.merr.describers import require_model_spec
from emotion_llama.merr.draw import draw_number
from emotion_llama.merr.duplicates import Duplicate, find_duplicates, transcript_hash
from emotion_llama.merr.facial import facial_clues
from emotion_llama.merr.gates import GateInputs, quality_gates, word_agreement
from emotion_llama.merr.lineage import Lineage
from emotion_llama.merr.records import (
    Clue,
    GateResult,
    LabelReading,
    MerrRecord,
    RuleVerdict,
    VoiceMeasures,
)
from emotion_llama.merr.rules import RuleTable, judge, load_rules
from emotion_llama.merr.scene import scene_clues
from emotion_llama.merr.sources import SourceClip
from emotion_llama.merr.splits import assign_splits, split_report
from emotion_llama.merr.stage_cache import key_of
from emotion_llama.merr.voice_clues import voice_clues, voice_measures
from emotion_llama.merr.weigh import contradiction, weigh
from emotion_llama.merr.words import word_clues
from emotion_llama.voice import choose_norms

STAGES_DIR = "stages"
"""Folder of a data set with what each stage made of each clip; it may be deleted."""


class DoneRow(Protocol):
    """What became of one row, as a runner tells."""

    @property
    def row(self) -> Any:
        """What was worked on."""

    @property
    def result(self) -> Any:
        """What came of it, or ``None``."""

    @property
    def error(self) -> str | None:
        """Why there is no result."""


Runner = Callable[[Callable[[], Any], Sequence[Any]], Iterator[Any]]
"""What works on many rows: a function that makes a worker, and the rows -> what became of each
(`emotion_llama.bulk.run_bulk` with its number of processes, or the same on Ray)."""


@dataclass(frozen=True)
class BuildPlan:
    """What is built, from what, to where."""

    clips: Sequence[SourceClip]
    out_dir: Path
    config: BuildConfig = field(default_factory=BuildConfig)
    given_labels: Mapping[str, str] | None = None
    """clip id -> label of a table; ``None``: there is no table"""
    labels_name: str = "table of labels"
    """name of the table, as records show it"""
    label_maker: LabelMaker | None = None
    """what labels clips; beside a table its labels are only compared"""
    load_recognizer: Callable[[], SpeechRecognizer] | None = None
    trust_names: bool = False

    @cached_property
    def labels_version(self) -> str:
        """Hash of the labels that the table gives to the clips."""
        return key_of(dict(sorted((self.given_labels or {}).items())))[:16]


@dataclass(frozen=True)
class BuildReport:
    """What came of a run."""

    num_clips: int
    num_kept: int
    num_rejected: int
    failures: Mapping[str, str]
    """clip id -> why it could not be read or captioned; the next run tries it again"""
    reused: Mapping[str, int]
    """stage -> clips whose result was there already"""
    reasons: Mapping[str, int]
    """why clips were rejected -> how many; one clip may have several reasons"""
    agreement: AgreementTable
    """what the rule table says to each label, and how many were kept"""
    notes: tuple[str, ...]


Watch = Callable[[str, int, int], None]
"""Told of progress: stage, clips done, clips in all."""


def build(
    plan: BuildPlan, runner: Runner, watch: Watch = lambda _stage, _done, _all: None
) -> BuildReport:
    """Build a data set.

    1. Measure, describe and label every clip by itself. 2. Hold voices against other recordings,
    find copies, split by person. 3. Judge labels by the rule table, word the clues, caption.
    4. Let gates and rules decide what stays, write everything.

    Args:
        plan: what is built
        runner: what works on many rows
        watch: told of progress

    Raises:
        ValueError: unusable settings, or neither a table of labels nor anything that labels
    """
    if plan.given_labels is None and plan.label_maker is None:
        msg = "found neither a table of labels nor a preset that labels; give one of them"
        raise ValueError(msg)
    table = require_usable(plan.config)
    lineage = Lineage()
    worked, unread = _work(plan, runner, watch)
    drafts = [
        _draft(one, others, plan, table, lineage)
        for one, others in zip(worked, _among_others(worked, plan), strict=True)
    ]
    drafts = _balanced([_decided(draft, plan.config) for draft in drafts], plan.config)
    captioned, unwritten = _captioned(drafts, plan, table, runner, watch, lineage)
    failures = dict(sorted({**unread, **unwritten}.items()))
    records = sorted((draft.record for draft in captioned), key=lambda record: record.clip_id)
    built = {
        "settings": shown_settings(plan.config),
        "rules": {"table": table.name, "version": table.version},
    }
    write_dataset(plan.out_dir, records, failures, lineage.producers, built)
    kept = [record for record in records if record.status == "kept"]
    return BuildReport(
        num_clips=len(plan.clips),
        num_kept=len(kept),
        num_rejected=len(records) - len(kept),
        failures=failures,
        reused=Counter(stage for draft in captioned for stage in draft.reused),
        reasons=Counter(name for record in records for name in _named(record.reasons)),
        agreement=agreement_table(records),
        notes=_notes(worked, records, plan),
    )


def require_usable(config: BuildConfig) -> RuleTable:
    """Refuse settings that would fail only after everything was measured.

    Returns:
        the rule table

    Raises:
        ValueError: an unknown or unusable table, model or endpoint, or shares of splits that do not
            add up to 1
    """
    assign_splits((), config.split_shares)
    for spec in (config.text_model, config.picture_model, config.voice_model):
        parsed = require_model_spec(spec, allow_remote=config.allow_remote)
        if parsed is not None and parsed.kind == "endpoint":
            from emotion_llama.merr.endpoint import Endpoint

            Endpoint(parsed)  # it needs its client library, and a way for its key
    return load_rules(config.rules)


def shown_settings(config: BuildConfig) -> Mapping[str, Any]:
    """Give the settings of a build without the part of a path that only this machine has."""
    shown = config.model_dump(mode="json")
    shown["rules"] = Path(config.rules).name
    for name in ("text_model", "picture_model", "voice_model"):
        kind, colon, target = shown[name].partition(":")
        if kind == "hf" and Path(target).is_dir():
            shown[name] = f"{kind}{colon}{Path(target).resolve().name}"
    return shown


@dataclass(frozen=True)
class _Others:
    """What only the whole data set can tell of a clip."""

    voice: VoiceMeasures | None
    duplicate: Duplicate | None
    split: str | None


@dataclass(frozen=True)
class _Draft:
    """A record that is being written."""

    record: MerrRecord
    reused: tuple[str, ...]
    worked: WorkedClip


def _work(
    plan: BuildPlan, runner: Runner, watch: Watch
) -> tuple[list[WorkedClip], Mapping[str, str]]:
    """Do what can be done for every clip by itself; in order of the clip ids."""
    settings = WorkSettings(
        config=plan.config,
        cache_dir=plan.out_dir / STAGES_DIR,
        label_maker=plan.label_maker,
        load_recognizer=plan.load_recognizer,
        trust_names=plan.trust_names,
    )
    worked: list[WorkedClip] = []
    failures: dict[str, str] = {}
    for count, done in enumerate(runner(partial(ClipWorker, settings), plan.clips), start=1):
        if done.result is None:
            failures[done.row.clip_id] = _shown_error(str(done.error), done.row)
        else:
            worked.append(done.result)
        watch("measuring", count, len(plan.clips))
    worked.sort(key=lambda one: one.clip.clip_id)
    return worked, dict(sorted(failures.items()))


def _shown_error(error: str, clip: SourceClip) -> str:
    """Take out of an error what only this machine has of a path."""
    error = error.replace(str(clip.path), clip.shown_path)
    table = clip.action_units
    return error if table is None else error.replace(str(table), table.name)


def _among_others(worked: Sequence[WorkedClip], plan: BuildPlan) -> list[_Others]:
    """Hold voices against other recordings, find copies, split by person."""
    names = [one.clip.clip_id for one in worked]
    norms = choose_norms(
        [one.measures.prosody for one in worked],
        [_speaker(one.clip) for one in worked],
        [one.clip.source.language for one in worked],
    )
    voices = [
        None if one.measures.prosody is None else voice_measures(one.measures.prosody, norm)
        for one, norm in zip(worked, norms, strict=True)
    ]
    prints = {
        one.clip.clip_id: replace(
            one.measures.fingerprint, transcript=transcript_hash(one.clip.transcript)
        )
        for one in worked
    }
    sources = {one.clip.clip_id: one.clip.source for one in worked}
    copies = find_duplicates(prints, sources)
    splits = assign_splits(
        list(sources.items()),
        plan.config.split_shares,
        plan.config.seed,
        {name: copy.of for name, copy in copies.items()},
    )
    return [
        _Others(voice, copies.get(name), splits.get(name))
        for name, voice in zip(names, voices, strict=True)
    ]


def _speaker(clip: SourceClip) -> str | None:
    """Name the person across sources: two sources may both call somebody ``1``."""
    speaker = clip.source.speaker
    return None if speaker is None else f"{clip.source.name}\x1f{speaker}"


def _draft(
    worked: WorkedClip, others: _Others, plan: BuildPlan, table: RuleTable, lineage: Lineage
) -> _Draft:
    """Put together what is known of a clip before anybody decides on it."""
    clip, measures = worked.clip, worked.measures
    heard = worked.recognised.text if worked.recognised else None
    transcript = clip.transcript or heard
    given = _given_labels(worked, plan)
    label = given[0].label if given else None
    verdict = judge(measures.face, table, label)
    clues = _clues(worked, others.voice, transcript)
    missing = _missing(worked, clues, label, transcript, plan)
    voice_words = ", and ".join(clue.statement for clue in clues if clue.kind == "voice")
    tone = worked.voice.text if worked.voice else (voice_words or None)
    agreement = word_agreement(clip.transcript, heard)
    against = None if label is None else contradiction(weigh(clues, label, table))
    record = MerrRecord(
        clip_id=clip.clip_id,
        path=clip.shown_path,
        media_sha256=worked.media_sha256,
        duration_s=measures.duration_s,
        source=clip.source,
        split=others.split,
        transcript=transcript,
        labels=(*given, *_rule_label(verdict)),
        label=label,
        verdict=verdict,
        face=measures.face,
        scene=measures.scene,
        voice=others.voice,
        clues=clues,
        scene_description=worked.scene.text if worked.scene else None,
        voice_description=tone,
        coarse_caption=None,
        fine_caption=None,
        gates=_gates(worked, others, agreement, against, plan.config),
        status="kept",
        reasons=(),
        missing=missing,
        lineage={},
        notes=measures.notes,
    )
    caption = coarse_caption(
        clues,
        transcript,
        record.scene_description,
        worked.voice.text if worked.voice else None,
        clip.clip_id,
        plan.config.seed,
    )
    record = replace(record, coarse_caption=caption or None)
    record = replace(record, lineage=lineage.of(record, worked, plan.config, table))
    return _Draft(record, worked.reused, worked)


def _given_labels(worked: WorkedClip, plan: BuildPlan) -> tuple[LabelReading, ...]:
    """List the labels of a table and of a model, in this order."""
    labels: list[LabelReading] = []
    table = plan.given_labels
    if table is not None and worked.clip.clip_id in table:
        label = table[worked.clip.clip_id]
        labels.append(LabelReading(label, "human", plan.labels_name, plan.labels_version))
    if worked.label is not None and (table is None or labels):
        labels.append(worked.label)
    return tuple(labels)


def _rule_label(verdict: RuleVerdict) -> tuple[LabelReading, ...]:
    if verdict.abstains or not verdict.distribution:
        return ()
    best = max(verdict.distribution, key=verdict.distribution.__getitem__)
    return (LabelReading(best, "rule", verdict.table, verdict.version, dict(verdict.distribution)),)


def _clues(
    worked: WorkedClip, voice: VoiceMeasures | None, transcript: str | None
) -> tuple[Clue, ...]:
    measures, clip = worked.measures, worked.clip
    clues: list[Clue] = []
    if measures.face is not None:
        clues += facial_clues(measures.face, clip.clip_id)
    if measures.scene is not None:
        clues += scene_clues(measures.scene)
    if voice is not None:
        clues += voice_clues(voice)
    clues += word_clues(transcript, clip.source.language, clip.clip_id)
    return tuple(clues)


def _missing(
    worked: WorkedClip,
    clues: Sequence[Clue],
    label: str | None,
    transcript: str | None,
    plan: BuildPlan,
) -> Mapping[str, str]:
    """Name every kind of clue and every field that is not there, with the reason."""
    missing = {**worked.measures.missing, **worked.missing}
    said = {clue.kind for clue in clues}
    if transcript is None:
        missing["words"] = "no transcript was given"
        if worked.recognised is None and plan.load_recognizer is not None:
            missing["words"] = missing.get("voice", "no words were recognised")
    if "facial" not in said:
        missing.setdefault("facial", "no unit that counts is present, or too few were measured")
    if "voice" not in said and worked.measures.prosody is not None:
        # the measures want more or less of a voice; the first reason is that of the modest ones
        reasons = worked.measures.prosody.missing.values()
        missing["voice"] = next(iter(reasons), "there is nothing to hold the voice against")
    if worked.scene is None:
        missing.setdefault("scene_description", "no model described the picture")
    if plan.given_labels is not None and label is None:
        missing["label"] = f"{plan.labels_name} has no row for the clip"
    elif label is not None:
        missing.pop("label", None)  # of a model beside the table
    return dict(sorted(missing.items()))


def _gates(
    worked: WorkedClip,
    others: _Others,
    agreement: float | None,
    contradiction: float | None,
    config: BuildConfig,
) -> tuple[GateResult, ...]:
    measures = worked.measures
    given = GateInputs(
        face=measures.face,
        prosody=measures.prosody,
        missing=measures.missing,
        transcript_agreement=agreement,
        contradiction=contradiction,
        duplicate=others.duplicate,
        licence=worked.clip.source.licence,
    )
    return quality_gates(given, config)


def _decided(draft: _Draft, config: BuildConfig) -> _Draft:
    """Reject what a gate, the rule table or a missing label rules out."""
    record = draft.record
    reasons = [f"{gate.name}: {gate.why}" for gate in record.gates if gate.outcome == "failed"]
    if record.label is None:
        reasons.append(f"label: {record.missing['label']}")
    elif record.verdict is not None and not _stays(record.verdict, config):
        reasons.append(f"rules {record.verdict.agreement}: {_why_not(record)}")
    if all(clue.kind == "scene" for clue in record.clues):
        reasons.append("clues: nothing was measured of a face, a voice or words")
    return replace(draft, record=_rejected(record, reasons))


def _balanced(drafts: Sequence[_Draft], config: BuildConfig) -> list[_Draft]:
    """Let no label have more clips than asked for; who goes is drawn by hash."""
    most = config.max_per_label
    if most is None:
        return list(drafts)
    of_label: defaultdict[str | None, list[str]] = defaultdict(list)
    for draft in drafts:
        if draft.record.status == "kept":
            of_label[draft.record.label].append(draft.record.clip_id)
    surplus = {
        name: len(names)
        for names in of_label.values()
        for name in sorted(names, key=lambda name: draw_number(name, config.seed, "balance"))[most:]
    }
    return [
        replace(
            draft,
            record=_rejected(
                draft.record,
                [f"balance: {surplus[draft.record.clip_id]} clips of the label, at most {most}"],
            ),
        )
        if draft.record.clip_id in surplus
        else draft
        for draft in drafts
    ]


def _stays(verdict: RuleVerdict, config: BuildConfig) -> bool:
    if config.keep == "agreeing":
        return verdict.agreement == "agrees"
    return config.keep == "all" or verdict.agreement != "disagrees"


def _why_not(record: MerrRecord) -> str:
    verdict = record.verdict
    assert verdict is not None
    if verdict.agreement == "unmapped":
        return f"the table {verdict.table} has no rule for {record.label}"
    fired = ", ".join(verdict.fired) or "no rule"
    why = verdict.why or f"the units fit {fired}"
    return f"label {record.label}; {why}"


def _named(reasons: Iterable[str]) -> set[str]:
    """Name reasons without what is particular to a clip."""
    return {reason.partition(":")[0] for reason in reasons}


def _rejected(record: MerrRecord, reasons: Iterable[str]) -> MerrRecord:
    every = (*record.reasons, *reasons)
    return replace(record, status="rejected" if every else "kept", reasons=every)


def _captioned(
    drafts: Sequence[_Draft],
    plan: BuildPlan,
    table: RuleTable,
    runner: Runner,
    watch: Watch,
    lineage: Lineage,
) -> tuple[list[_Draft], Mapping[str, str]]:
    """Write the fine captions of what stays; without one a clip does not stay.

    Returns:
        the drafts, and which clips could not be decided on with the reason: a model that cannot be
        reached says nothing of a clip
    """
    offered = _offered(drafts, table)
    rows = [
        CaptionJob(draft.record, offered, described_by_model=draft.worked.voice is not None)
        for draft in drafts
        if draft.record.status == "kept"
    ]
    make = partial(CaptionWorker, plan.config, table, plan.out_dir / STAGES_DIR)
    work = runner if plan.config.text_model != "offline" else _one_by_one
    results: dict[str, FineResult] = {}
    errors: dict[str, str] = {}
    for count, done in enumerate(work(make, rows), start=1):
        if done.result is None:
            errors[done.row.record.clip_id] = f"no fine caption: {done.error}"
        else:
            results[done.row.record.clip_id] = done.result
        watch("captioning", count, len(rows))
    decided = [draft for draft in drafts if draft.record.clip_id not in errors]
    return [_with_caption(draft, results, lineage) for draft in decided], errors


@dataclass(frozen=True)
class _Row:
    row: Any
    result: Any
    error: str | None = None


def _one_by_one(make: Callable[[], Any], rows: Sequence[Any]) -> Iterator[_Row]:
    """Work here: composing takes less time than sending a row to another process."""
    worker = make()
    for row in rows:
        yield _Row(row, worker.run(row))


def _offered(drafts: Sequence[_Draft], table: RuleTable) -> tuple[str, ...]:
    """List the labels that a text model may conclude: those of the table and of the clips."""
    seen = sorted({draft.record.label for draft in drafts if draft.record.label})
    return tuple(dict.fromkeys([*table.labels, *seen]))


def _with_caption(draft: _Draft, results: Mapping[str, FineResult], lineage: Lineage) -> _Draft:
    record = draft.record
    if record.status == "rejected":
        missing = {**record.missing, "fine_caption": "the clip was rejected before"}
        return replace(draft, record=replace(record, missing=dict(sorted(missing.items()))))
    result = results[record.clip_id]
    reused = (*draft.reused, *(["fine"] if result.reused else []))
    if result.caption is None:
        missing = {**record.missing, "fine_caption": "; ".join(result.reasons)}
        record = replace(record, missing=dict(sorted(missing.items())))
        tries = enumerate(result.reasons, start=1)
        reasons = [f"fine caption: try {number}: {reason}" for number, reason in tries]
        return replace(draft, record=_rejected(record, reasons), reused=reused)
    origin = lineage.origin(result.producer, result.version, result.settings, record.clues)
    record = replace(
        record,
        fine_caption=result.caption,
        lineage=dict(sorted({**record.lineage, "fine_caption": origin}.items())),
    )
    return replace(draft, record=record, reused=reused)


def _notes(
    worked: Sequence[WorkedClip], records: Sequence[MerrRecord], plan: BuildPlan
) -> tuple[str, ...]:
    """Say what a person should know of the whole run."""
    sources = [(record.clip_id, record.source) for record in records]
    splits = {record.clip_id: record.split for record in records if record.split}
    notes = list(split_report(sources, splits, plan.config.split_shares).notes)
    unknown = sum(one.clip.source.speaker is None for one in worked)
    if unknown:
        notes.append(
            f"{unknown} of {len(worked)} clips have no speaker: their voices are not held against "
            "their speakers' own"
        )
    if any(one.clip.source.licence is None for one in worked):
        notes.append("no licence is stated for some clips: exports will refuse them (--licence)")
    table = plan.given_labels
    if table is not None:
        without = sum(clip.clip_id not in table for clip in plan.clips)
        if without:
            notes.append(f"{without} clips have no row in {plan.labels_name}")
    return tuple(notes)
