"""Sources of annotations -> examples; nobody of the validation may be in the training.

Knows: tasks, labels, splits, people. Does not know: forms of files (`annotated_clips`), features.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emotion_llama.config import SourceConfig
from emotion_llama.data.annotated_clips import AnnotatedClip, read_clips
from emotion_llama.data.examples import Example
from emotion_llama.data.instructions import read_instructions
from emotion_llama.labels import ALIASES
from emotion_llama.prompt import normalize_answer
from emotion_llama.records import Task

logger = logging.getLogger(__name__)

_NAMED = 3
"""Names that an error lists before it counts the rest."""

_ANSWER_OF: Mapping[Task, str] = {"emotion": "label", "reason": "caption"}


@dataclass(frozen=True)
class Reading:
    """What a source came to."""

    examples: tuple[Example, ...]
    counts: Mapping[str, int]
    """what clips or rows lack, or why they are left out -> how many"""


def read_examples(source: SourceConfig) -> list[Example]:
    """Read what is learned from a source; as `read_source`, without the counts."""
    return list(read_source(source).examples)


def read_source(source: SourceConfig) -> Reading:
    """Read a source and make an example of each clip and task that it has the answer to.

    Labels are written in lower case and in the form of `emotion_llama.labels`, unless ``labels`` or
    ``offered`` of the source name the other form. Where at least one clip states a split, only
    those of ``split`` count. A clip without caption gives no ``reason`` example and is counted.
    Where people's votes are known, ``emotion`` has their shares, and the label is the one given,
    else that with most votes, of equals the first.
    Plain instructions are an example each.

    Args:
        source: which annotations, and what of them

    Returns:
        examples in the order of the file, those of one clip together, and what is lacking

    Raises:
        ValueError: the file breaks its form, a label is not among those offered, or there is no
            example; names file, row and what is expected
    """
    if source.kind == "instructions":
        return _read_instructions(source)
    _require_learnable(source)
    examples: list[Example] = []
    counts: Counter[str] = Counter()
    clips = read_clips(source)
    splits = {clip.split for clip in clips}
    for clip in clips:
        if source.split is not None and splits != {None} and clip.split != source.split:
            counts[f"not in the split {source.split!r}"] += 1
            continue
        votes = _shares(clip, source)
        label = _label(clip, source, votes)
        if source.labels is not None and label not in source.labels:
            counts["label is not among labels"] += 1
            continue
        if clip.transcript is None:
            counts["no transcript"] += 1
        for task in dict.fromkeys(source.tasks):
            answer = label if task == "emotion" else clip.caption
            if answer is None or not normalize_answer(answer):
                counts[f"no {_ANSWER_OF[task]}, so no example of {task!r}"] += 1
                continue
            asked = votes if task == "emotion" else None
            examples.append(_example(clip, task, answer, label, asked, source))
    if not examples:
        raise ValueError(_nothing(source, clips, counts))
    for what, count in counts.items():
        logger.info("%s: %d of %d clips: %s", source.path, count, len(clips), what)
    return Reading(tuple(examples), dict(counts))


def _read_instructions(source: SourceConfig) -> Reading:
    path = Path(source.path)
    pairs, counts = read_instructions(path)
    if not pairs:
        why = "; ".join(f"{count}: {what}" for what, count in counts.items()) or "it has no row"
        msg = f"{path}: found no instruction ({why}), expected at least one row of text alone"
        raise ValueError(msg)
    examples = (
        Example(
            clip_id=pair.name,
            task="instruction",
            answer=pair.answer,
            label=None,
            transcript=None,
            person=None,
            source=path.stem,
            offered=None,
            instruction=pair.instruction,
        )
        for pair in pairs
    )
    return Reading(tuple(examples), dict(counts))


def require_disjoint_people(training: Sequence[Example], validation: Sequence[Example]) -> None:
    """Refuse a validation with people of the training, or with its clips where nobody is stated.

    Raises:
        ValueError: somebody, or a clip, is in both; names them
    """
    people = {e.person for e in training} & {e.person for e in validation} - {None}
    if people:
        named = _list(sorted(filter(None, people)))
        msg = (
            f"found {named} in the training and in the validation, expected other people; choose "
            "splits by person, or tell equal names apart by a column source"
        )
        raise ValueError(msg)
    clips = _clips(training) & _clips(validation)
    unknown = _clips(e for e in (*training, *validation) if e.person is None)
    if clips & unknown:
        msg = (
            f"found clip {_list(sorted(clips & unknown))} in the training and in the validation, "
            "expected other clips; choose another split, or remove them from one of the two"
        )
        raise ValueError(msg)


def require_offered(examples: Iterable[Example], labels: Sequence[str]) -> None:
    """Refuse answers to ``emotion`` that the question does not offer.

    Args:
        examples: of any task
        labels: what is offered where an example does not say it: the checkpoint's

    Raises:
        ValueError: names the first such clip
    """
    for example in examples:
        if example.task == "emotion":
            where = f"source {example.source}, clip {example.clip_id!r}"
            _require_all_offered(where, example, example.offered or tuple(labels))


def _example(
    clip: AnnotatedClip,
    task: Task,
    answer: str,
    label: str | None,
    votes: Mapping[str, float] | None,
    source: SourceConfig,
) -> Example:
    example = Example(
        clip_id=clip.clip_id,
        task=task,
        answer=answer,
        label=label,
        transcript=clip.transcript,
        person=clip.person,
        source=clip.source,
        offered=source.offered if task == "emotion" else None,
        votes=votes,
    )
    if example.offered is not None:
        _require_all_offered(clip.where, example, example.offered)
    return example


def _require_all_offered(where: str, example: Example, offered: Sequence[str]) -> None:
    for label in (example.answer, *(example.votes or ())):
        if label not in offered:
            raise ValueError(_not_offered(where, label, offered))


def _label(
    clip: AnnotatedClip, source: SourceConfig, votes: Mapping[str, float] | None
) -> str | None:
    """Give a clip's label, else the one with most votes, in the form that is offered."""
    if clip.label is not None:
        return _offered_form(clip.label, clip, source)
    return max(votes, key=votes.__getitem__) if votes else None


def _shares(clip: AnnotatedClip, source: SourceConfig) -> Mapping[str, float] | None:
    """Give the share of the votes of each label, in the form that is offered."""
    if clip.votes is None:
        return None
    counts: dict[str, float] = {}
    for written, count in clip.votes.items():
        label = _offered_form(written, clip, source)
        counts[label] = counts.get(label, 0.0) + count
    total = sum(counts.values())
    return {label: count / total for label, count in counts.items() if count}


def _offered_form(written: str, clip: AnnotatedClip, source: SourceConfig) -> str:
    """Give a label in the form that is offered."""
    label = " ".join(written.lower().split())
    if label not in (*(source.labels or ()), *(source.offered or ())):
        label = ALIASES.get(label, label)
    if label != normalize_answer(label):
        msg = f"{clip.where}: {_unlearnable('label', label)}"
        raise ValueError(msg)
    return label


def _require_learnable(source: SourceConfig) -> None:
    """Refuse labels that training would write in another way than they are scored."""
    for name, labels in (("labels", source.labels), ("offered", source.offered)):
        for label in labels or ():
            if label != normalize_answer(label):
                msg = f"source {source.path}: {_unlearnable(name, label)}"
                raise ValueError(msg)


def _unlearnable(name: str, label: str) -> str:
    return (
        f"found {label!r} in {name}, which answers would write as {normalize_answer(label)!r}; "
        "write it so"
    )


def _not_offered(where: str, label: str, offered: Sequence[str]) -> str:
    return (
        f"{where}: found the label {label!r}, expected one that is offered ({', '.join(offered)}); "
        "add it to offered, or leave such clips out by labels"
    )


def _nothing(
    source: SourceConfig, clips: Sequence[AnnotatedClip], counts: Mapping[str, int]
) -> str:
    why = "; ".join(f"{count} {what}" for what, count in counts.items()) or "it has no clip"
    splits = sorted({clip.split for clip in clips if clip.split is not None})
    labels = sorted({clip.label for clip in clips if clip.label is not None})
    return (
        f"{source.path}: found no example among {len(clips)} clips ({why}; splits: "
        f"{', '.join(splits) or 'none'}; labels: {', '.join(labels) or 'none'}); expected at least "
        "one: change tasks, labels or split of the source"
    )


def _clips(examples: Iterable[Example]) -> set[str]:
    return {example.clip_id for example in examples}


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" * (len(names) > _NAMED)
    return f"{', '.join(map(repr, names[:_NAMED]))}{more}"
