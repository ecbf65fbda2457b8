"""Clips as the files of a data set state them -> those that can be asked, and why others cannot.

Knows: which truth a protocol needs, how words become labels. Does not know: the form of any file.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.readers.files import first_file, missing
from emotion_llama.evaluation.samples import EvalSample, Reading, Truth, require_own_ids
from emotion_llama.labels import ALIASES

NO_FILE = "no file of the clip"
"""Reason for a clip that the annotations name and the folder lacks."""


@dataclass(frozen=True)
class Found:
    """A clip that the annotations name."""

    sample: EvalSample
    places: tuple[Path, ...] = ()
    """where its file may lie, the first that exists counts; none: it has words only, or its path
    is known to exist"""


def gather(
    clips: Iterable[Found],
    protocol: Protocol,
    where: Path,
    left_out: Mapping[str, int] | None = None,
) -> Reading:
    """Keep the clips that have a truth and a file; count the others by the reason.

    Args:
        clips: in the order of the annotations
        protocol: says which truth is needed
        where: the annotations, for errors
        left_out: reason -> rows that the reader has left out itself

    Raises:
        MissingDataError: no clip has a file
        ValueError: two clips of one id, or no clip is left
    """
    counts: Counter[str] = Counter(left_out or {})
    samples: list[EvalSample] = []
    for clip in clips:
        reason = _lacking(clip.sample.truth, protocol)
        sample = clip.sample
        if reason is None and clip.places:
            sample = replace(sample, path=first_file(clip.places))
            if sample.path is None:
                reason, example = NO_FILE, clip.places[0]
        if reason is None:
            samples.append(sample)
        else:
            counts[reason] += 1
    if not samples and counts[NO_FILE]:
        what = f"file of any of the {counts[NO_FILE]} clips, such as {example}"
        raise missing(what, protocol)
    if not samples:
        why = "; ".join(f"{count}: {reason}" for reason, count in counts.items()) or "it has none"
        msg = f"{where}: found no clip to ask about ({why}), expected at least one"
        raise ValueError(msg)
    require_own_ids(samples, where)
    return Reading(tuple(samples), {reason: counts[reason] for reason in sorted(counts)})


def label_form(written: str, protocol: Protocol) -> str:
    """Give a label in the form that the protocol scores: lower case, ``joy`` as ``happy``.

    What the protocol does not score keeps its own form.
    """
    label = " ".join(written.lower().split())
    other = ALIASES.get(label)
    return other if label not in protocol.labels and other in protocol.labels else label


def vote_shares(counts: Mapping[str, float], protocol: Protocol) -> Mapping[str, float] | None:
    """Give the shares of the votes for labels that are scored; other votes are not counted.

    Returns:
        label -> share, adding up to 1; ``None`` where no scored label has a vote
    """
    scored = {label: float(counts.get(label, 0)) for label in protocol.labels}
    total = sum(scored.values())
    return {label: count / total for label, count in scored.items()} if total else None


def known(**groups: str | None) -> dict[str, str]:
    """Give the groups that are known."""
    return {name: which for name, which in groups.items() if which}


def _lacking(truth: Truth, protocol: Protocol) -> str | None:
    """Say what a truth lacks to be scored."""
    if protocol.kind == "labels":
        if not truth.label:
            return "no label"
        return None if truth.label in protocol.labels else f"label {truth.label} is not scored"
    if protocol.kind == "sentiment":
        return "no value" if truth.value is None else None
    if protocol.kind == "words":
        return None if truth.words else "no emotion words"
    return None if truth.description else "no description"
