"""Clues -> the fine caption by a language model: asked without the label, then held against it.

Knows: the prompt, how an answer is taken apart, when one is asked again. Does not know: which model
answers, files. The label is compared with what the model concludes; it is never in the prompt.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emotion_llama.labels import LabelSet
from emotion_llama.merr.caption_rules import FORM, NO_ANSWER, BrokenRule, Draft, broken_rules
from emotion_llama.merr.coarse import described, of_kind
from emotion_llama.merr.describers import Message, TextModel
from emotion_llama.merr.draw import draw_number
from emotion_llama.merr.faithfulness import Measured, measured_from_clues
from emotion_llama.merr.records import Clue, ClueKind, FineCaption
from emotion_llama.merr.rules import RuleTable
from emotion_llama.merr.weigh import weigh

SYSTEM_PROMPT = (
    "You read observations of a person in a short video and reason about how the person feels. "
    "You use the observations as they are given and add nothing that is not among them."
)
REQUEST = (
    "Observations:\n{observations}\n\n"
    "First write two or three sentences that put the observations together. Keep their wording, "
    "quote spoken words in full and only in quotation marks, and name no emotion in this part. "
    "Then write one or two sentences that weigh them and decide for exactly one of these: "
    "{labels}.\n"
    "Answer in this form, in plain text:\n"
    "Evidence: ...\n"
    "Conclusion: ..."
)
"""The request; ``observations`` and ``labels`` are filled in. The labels are all that are offered,
in the order of their set, so that none stands out."""

OBSERVED: Mapping[ClueKind, str] = {
    "scene": "scene",
    "facial": "face",
    "voice": "voice",
    "words": "words",
}
"""How the prompt calls each kind of clue, in the order in which they are listed."""

_PARTS = re.compile(
    r"\bevidence[\s*_]*:[\s*_]*(?P<evidence>.*?)"
    r"(?:[\s*_#-]*|\s*\n[\W\d]*)\bconclusion[\s*_]*:[\s*_]*(?P<conclusion>.*)",
    re.IGNORECASE | re.DOTALL,
)
"""Marks of formatting around the two words are passed over; a quotation mark is none of them."""
_MAX_SEED = 2**31 - 1
"""Seeds of language models are 32 bits wide and not negative."""


@dataclass(frozen=True)
class RejectedAttempt:
    """One answer that was not taken."""

    answer: str
    broken: tuple[BrokenRule, ...]

    @property
    def reason(self) -> str:
        """All broken rules in one line."""
        return "; ".join(f"{rule.name}: {rule.reason}" for rule in self.broken)


@dataclass(frozen=True)
class Rejection:
    """No answer was taken."""

    attempts: tuple[RejectedAttempt, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What was wrong, an entry an attempt."""
        return tuple(attempt.reason for attempt in self.attempts)


def write_fine(
    clues: Sequence[Clue],
    transcript: str | None,
    label: str,
    labels: LabelSet,
    model: TextModel,
    *,
    clip_id: str,
    tries: int = 3,
    seed: int = 0,
    table: RuleTable | None = None,
    scene_description: str | None = None,
    voice_description: str | None = None,
    measured: Measured | None = None,
) -> FineCaption | Rejection:
    """Ask a language model for the reason without the label, then hold its answer against it.

    1. Ask for the evidence and for a conclusion of the model's own. 2. Hold the answer against
    `emotion_llama.merr.caption_rules`; one of them is that it concludes the given label.
    3. Ask again with another seed where it breaks one; after ``tries`` answers give up.

    Args:
        clues: of one clip, at least one
        transcript: what is said in the clip
        label: the given label; the model is not told
        labels: what the model may conclude
        model: what answers
        clip_id: draws the seeds, together with ``seed``
        tries: answers that are asked for
        seed: of the data set
        table: the emotion rules; with them the caption names what supports and contradicts the
            label
        scene_description: visual objective by a model
        voice_description: audio tone by a model
        measured: what can truly be said of the clip, by its measures; else by the clues

    Returns:
        the caption, or why there is none

    Raises:
        ValueError: there is no clue, or no try
        ConnectionError: the model cannot be reached
    """
    if not clues or tries < 1:
        msg = (
            f"{clip_id}: found {len(clues)} clues and {tries} tries, expected at least one of each"
        )
        raise ValueError(msg)
    descriptions: dict[ClueKind, str] = {
        "scene": described(scene_description),
        "voice": described(voice_description),
    }
    messages = ask(clues, transcript, labels, descriptions)
    known = measured or measured_from_clues(clues, transcript)
    attempts: list[RejectedAttempt] = []
    for number in range(tries):
        try:
            answer = model.answer(messages, seed=_seed(clip_id, seed, number))
        except ValueError as error:
            attempts.append(RejectedAttempt("", (BrokenRule(NO_ANSWER, str(error)),)))
            continue
        draft = Draft(
            *take_apart(answer),
            label=label,
            labels=labels,
            measured=known,
            instructions=f"{SYSTEM_PROMPT}\n{REQUEST}",
            described=frozenset(kind for kind, text in descriptions.items() if text),
        )
        broken = check(draft, answer)
        if not broken:
            return _accepted(draft, clues, table, number + 1)
        attempts.append(RejectedAttempt(answer, broken))
    return Rejection(tuple(attempts))


def ask(
    clues: Sequence[Clue],
    transcript: str | None,
    labels: LabelSet,
    descriptions: Mapping[ClueKind, str] | None = None,
) -> tuple[Message, ...]:
    """Write the messages to the model; they depend on no label of the clip."""
    listed = []
    for kind, name in OBSERVED.items():
        statements = [clue.statement for clue in of_kind(clues, kind)]
        if kind == "words" and transcript and not any(c.feature == "quote" for c in clues):
            statements.insert(0, f'the person says "{transcript}"')
        statements += [text for text in [(descriptions or {}).get(kind)] if text]
        listed += [f"- {name}: {statement}" for statement in statements]
    request = REQUEST.format(observations="\n".join(listed), labels=", ".join(labels))
    return (Message("system", SYSTEM_PROMPT), Message("user", request))


def take_apart(answer: str) -> tuple[str, str]:
    """Take an answer apart into evidence and conclusion.

    Returns:
        both, with single blanks; empty where the answer has not the asked form
    """
    found = _PARTS.search(answer)
    if found is None:
        return "", ""
    evidence, conclusion = (" ".join(part.strip(" *\n").split()) for part in found.groups())
    ends = not evidence or evidence.endswith((".", "!", "?", '"', "\u201d"))
    return (evidence if ends else f"{evidence}."), conclusion


def check(draft: Draft, answer: str) -> tuple[BrokenRule, ...]:
    """Hold an answer against the rules; one of another form is told apart from one without words.

    An answer of another form is held against the rules as a whole, so that a refusal is called one.
    """
    if draft.evidence or draft.conclusion:
        return broken_rules(draft)
    if not re.search(r"\w", answer):
        return broken_rules(draft)
    whole = Draft(answer, answer, draft.label, draft.labels, draft.measured, draft.instructions)
    told = tuple(
        rule for rule in broken_rules(whole) if rule.name in ("refusal", "no choice", "chat token")
    )
    return (BrokenRule(FORM, f"has no evidence and conclusion: {answer!r:.120}"), *told)


def prompt_hash() -> str:
    """Give the hash of all that is asked, for the settings of what was produced with it."""
    parts = (SYSTEM_PROMPT, REQUEST, *OBSERVED.values())
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _seed(clip_id: str, seed: int, number: int) -> int:
    """Give the seed of an attempt: 0, the likeliest answer, for the first, and drawn ones then."""
    return 1 + draw_number(clip_id, seed, "fine", number) % _MAX_SEED if number else 0


def _accepted(
    draft: Draft, clues: Sequence[Clue], table: RuleTable | None, num_attempts: int
) -> FineCaption:
    weighed = weigh(clues, draft.label, table) if table is not None else ()
    return FineCaption(
        evidence=draft.evidence,
        conclusion=draft.conclusion,
        label_conditioned=False,
        supports=tuple(one.clue.feature for one in weighed if one.stance == "supports"),
        contradicts=tuple(one.clue.feature for one in weighed if one.stance == "contradicts"),
        num_attempts=num_attempts,
    )
