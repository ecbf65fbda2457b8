"""What a language model wrote -> the rules it breaks, each with a reason.

Knows: patterns of failed answers, label words, what was measured. Does not know: models, prompts
(their text is given), records. Sources of the rules: failures left in the published data set
(refusals, failed choices, leaked labels) and the requirements of docs/merr.md.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from emotion_llama.labels import ALIASES, MERR, VALENCE, LabelSet, parse_label
from emotion_llama.merr.faithfulness import Measured, read_clues
from emotion_llama.merr.records import ClueKind
from emotion_llama.merr.words import hide_quotes

MIN_WORDS = 12
"""Shortest caption of the published fine set."""
MAX_WORDS = 130
"""The longest published one has 79; a quoted transcript may add some fifty."""
LEAK_WORDS = 8
"""As many words in a row that are also in the instructions were copied from there."""
LOOP_WORDS = 5
"""Length in words of a run that is looked for again."""
LOOP_TIMES = 3
"""Times that a run may not be met: twice can be style, three times is a loop."""

CHAT_TOKENS = re.compile(
    r"<\|?/?[a-z_]+\|?>|</?s>|\[/?INST\]|<</?SYS>>|^\s*#{2,}\s|```"
    r"|^\s*(?:system|user|assistant|human)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
REFUSALS = re.compile(
    r"\bas an? (?:ai|artificial|language model|assistant)\b"
    r"|\bI(?:'m| am)? (?:sorry|apologi[sz]e|unable|not able|not sure)\b"
    r"|\bI (?:cannot|can't|can not|could not|couldn't|do not|don't|won't|will not)\b"
    r"|\b(?:unable|impossible|not possible|difficult) to (?:determine|tell|infer|say|conclude"
    r"|analy[sz]e|identify|provide)\b"
    r"|\b(?:cannot|can't|could not|couldn't) be (?:determined|inferred|concluded|identified|told)\b"
    r"|\bthere (?:is|are|was|were) (?:no|not enough|insufficient|nothing)\b"
    r"|\b(?:not enough|insufficient|no) (?:information|evidence|context|details?|data|clues?)\b"
    r"|\bplease (?:provide|give|share|note)\b",
    re.IGNORECASE,
)
ABSENCE = re.compile(r"there\b", re.IGNORECASE)
"""How those refusals begin that may as well say what a picture does not show."""
NO_CHOICE = re.compile(
    r"\b(?:none|neither|not any|no one|without any) of (?:the|these|those) (?:\w+ ){0,3}"
    r"(?:emotions?|labels?|options?|choices?|categor(?:y|ies)|tones?)\b"
    r"|\b(?:does|do|did|is|are)(?: not|n't) (?:\w+ ){0,3}any of the (?:\w+ ){0,3}"
    r"(?:emotions?|labels?|options?|choices?|categor(?:y|ies)|tones?)\b"
    r"|\bno (?:\w+ )?(?:listed|given|offered|specific|particular|clear|obvious) "
    r"(?:emotions?|labels?|tones?)\b"
    r"|\bnone of (?:them|the above|the listed)\b",
    re.IGNORECASE,
)
SPOKEN_OF: Mapping[ClueKind, re.Pattern[str]] = {
    "facial": re.compile(
        r"\b(?:eye)?brows?\b|\beye-?lids?\b|\blips?\b|\bcheeks?\b|\bchin\b|\bjaw\b|\bmouth\b"
        r"|\bforehead\b|\bfrown\w*|\bsmil\w*|\bgrin\w*|\bfacial\b|\bexpression on\b",
        re.IGNORECASE,
    ),
    "voice": re.compile(
        r"\bvoices?\b|\bvocal\w*|\bpitch\b|\bintonation\b|\bprosod\w*|\bloud\w*|\btone of\b"
        r"|\b(?:speaking|speech) (?:rate|tempo)\b|\b(?:speaks?|talks?) "
        r"(?:fast|slowly|softly|quickly|quietly|in an?)\b|\bwhisper\w*|\bshout\w*",
        re.IGNORECASE,
    ),
    "words": re.compile(
        r"\b(?:he|she|they|who|person|speaker|man|woman) says?\b|\bsaying\b|\bsaid\b"
        r"|\btranscript\b|\bsubtitles?\b|\bspoken words?\b|\bthe words\b|\butter\w*"
        r"|\bphrases?\b|\bsentences?\b",
        re.IGNORECASE,
    ),
}
"""Words that speak of a kind of clue. The scene has none: a model is told of no picture that it
could invent a word for, and stated facts of it are read back."""

MORE_FORMS = (
    "happily", "unhappy", "unhappily", "joyous", "joyfully", "angrily", "sadly", "saddened",
    "neutrally", "neutrality", "surprising", "surprisingly", "surprises", "fears", "feared",
    "fearfully", "frightened", "frightening", "worries", "worrying", "worrisome", "worriedly",
    "doubts", "doubting", "doubtfully", "disgusting", "contemptuously",
)  # fmt: skip
"""Forms of the known labels that no prompt offers, but which give a label away as well."""


@dataclass(frozen=True)
class Draft:
    """What a model wrote, and what it is held against."""

    evidence: str
    conclusion: str
    label: str
    """the given label, which the model was not told"""
    labels: LabelSet
    """the labels that it could choose from"""
    measured: Measured
    """what can truly be said of the clip"""
    instructions: str = ""
    """text of the prompt without the clues"""
    described: frozenset[ClueKind] = field(default_factory=frozenset)
    """kinds that the model was told of in free words"""

    @property
    def text(self) -> str:
        """The whole caption."""
        return f"{self.evidence} {self.conclusion}".strip()


@dataclass(frozen=True)
class CaptionRule:
    """One rule of rejection."""

    name: str
    meaning: str
    """what is rejected, in words"""
    find: Callable[[Draft], str | None]
    """the reason for which a draft breaks it, or ``None``"""


@dataclass(frozen=True)
class BrokenRule:
    """A rule that a draft breaks."""

    name: str
    reason: str


def broken_rules(draft: Draft) -> tuple[BrokenRule, ...]:
    """Hold a draft against every rule.

    Returns:
        the broken ones, in the order of `CAPTION_RULES`; empty where the caption is accepted
    """
    if reason := find_empty(draft):
        # nothing else can be said of a caption that is not there
        return (BrokenRule("empty", reason),)
    found = ((rule.name, rule.find(draft)) for rule in CAPTION_RULES)
    return tuple(BrokenRule(name, reason) for name, reason in found if reason)


def find_empty(draft: Draft) -> str | None:
    """Find a part without a word."""
    for name, text in (("evidence", draft.evidence), ("conclusion", draft.conclusion)):
        if not re.search(r"\w", text):
            return f"the {name} is empty"
    return None


def find_length(draft: Draft) -> str | None:
    """Find a caption that is too short or too long."""
    count = len(draft.text.split())
    if MIN_WORDS <= count <= MAX_WORDS:
        return None
    return f"{count} words, expected {MIN_WORDS} to {MAX_WORDS}"


def find_refusal(draft: Draft) -> str | None:
    """Find words of refusal outside quotes."""
    return _matched(REFUSALS, hide_quotes(draft.text))


def find_no_choice(draft: Draft) -> str | None:
    """Find the statement that none of the offered labels is shown."""
    return _matched(NO_CHOICE, hide_quotes(draft.text))


def find_chat_token(draft: Draft) -> str | None:
    """Find marks of a chat template or of formatting."""
    return _matched(CHAT_TOKENS, draft.text)


def find_prompt_leak(draft: Draft) -> str | None:
    """Find a run of `LEAK_WORDS` words that is also in the instructions."""
    told = _runs(draft.instructions, LEAK_WORDS)
    copied = next((run for run in _runs(hide_quotes(draft.text), LEAK_WORDS) if run in told), None)
    return f"copied from the instructions: {' '.join(copied)!r}" if copied else None


def find_label_leak(draft: Draft) -> str | None:
    """Find a label in the evidence, in any of its forms, outside quotes."""
    return _matched(_label_pattern(label_forms(draft.labels)), hide_quotes(draft.evidence))


def find_no_conclusion(draft: Draft) -> str | None:
    """Find a conclusion that names none of the offered labels, or several."""
    if parse_label(hide_quotes(draft.conclusion), draft.labels) is None:
        return f"names none or several of {', '.join(draft.labels)}: {draft.conclusion!r:.120}"
    return None


def find_contradiction(draft: Draft) -> str | None:
    """Find a conclusion other than the given label."""
    concluded = parse_label(hide_quotes(draft.conclusion), draft.labels)
    if concluded is None or concluded == canonical(draft.label, draft.labels):
        return None
    return f"concludes {concluded}, the given label is {draft.label}"


def find_invention(draft: Draft) -> str | None:
    """Find a stated clue that was not measured, or not so."""
    for clue in read_clues(draft.text):
        answer = draft.measured.answer(clue)
        if answer == "unmeasured" and clue.kind in draft.described and clue.kind != "words":
            # it may come from a model's description, which no measure can check
            continue
        if answer != "agrees":
            fault = "was not measured" if answer == "unmeasured" else "is not what was measured"
            return f"{clue.words!r} ({clue.feature} {clue.reading or 'present'}) {fault}"
    return None


def find_missing_modality(draft: Draft) -> str | None:
    """Find words about a kind of clue of which nothing is known."""
    text = hide_quotes(draft.text)
    for kind, pattern in SPOKEN_OF.items():
        if kind not in draft.measured.kinds | draft.described and (found := pattern.search(text)):
            return f"speaks of {found.group()!r}, but there is no clue of the kind {kind}"
    return None


def find_loop(draft: Draft) -> str | None:
    """Find a sentence that comes twice, or a run of words that comes three times."""
    text = hide_quotes(draft.text)
    sentences = Counter(
        " ".join(_words(one)) for one in re.split(r"[.!?]+", text) if len(_words(one)) > 2
    )
    # clues of one voice end in the same words ("than usual among many speakers"): of each that is
    # told, one mention is no repetition
    for number, clue in enumerate(read_clues(draft.text)):
        text = text.replace(clue.words, f" clue{number} ", 1)
    runs = Counter(_runs(text, LOOP_WORDS))
    for sentence, times in sentences.items():
        if times > 1:
            return f"says {times} times: {sentence!r:.80}"
    for run, times in runs.items():
        if times >= LOOP_TIMES:
            return f"says {times} times: {' '.join(run)!r}"
    return None


CAPTION_RULES: tuple[CaptionRule, ...] = (
    CaptionRule("empty", "the evidence or the conclusion has no word", find_empty),
    CaptionRule("length", f"fewer than {MIN_WORDS} or more than {MAX_WORDS} words", find_length),
    CaptionRule("refusal", "the model refuses or says that it cannot tell", find_refusal),
    CaptionRule("no choice", "it says that none of the offered labels is shown", find_no_choice),
    CaptionRule("chat token", "marks of a chat template or of formatting", find_chat_token),
    CaptionRule("prompt leak", f"{LEAK_WORDS} words of the instructions", find_prompt_leak),
    CaptionRule("label leak", "a label in the evidence, outside quotes", find_label_leak),
    CaptionRule("no conclusion", "no label, or several, in the conclusion", find_no_conclusion),
    CaptionRule("contradiction", "another label than the given one", find_contradiction),
    CaptionRule("invented clue", "a clue that was not measured, or not so", find_invention),
    CaptionRule(
        "missing modality", "words about a face, voice or words not there", find_missing_modality
    ),
    CaptionRule("loop", "the same sentence twice, or words three times", find_loop),
)
"""All rules that a draft is held against, in the order in which they are told."""

NO_ANSWER, FORM = "no answer", "form"
RULE_MEANINGS: Mapping[str, str] = {
    NO_ANSWER: "the model gives no usable answer",
    FORM: "the answer has not the asked form of evidence and conclusion",
    **{rule.name: rule.meaning for rule in CAPTION_RULES},
}
"""Name -> meaning of everything for which an answer is rejected; the first two are found before
there is a draft."""


def failed_answer(text: str) -> str | None:
    """Find what a model writes where it has no answer: a refusal, no choice, marks of a chat.

    Args:
        text: a description, or a caption that holds one; "there is no window" may be part of it
    """
    spoken = hide_quotes(text)
    refusals = [one for one in REFUSALS.finditer(spoken) if not ABSENCE.match(one.group())]
    if refusals:
        return f"found {refusals[0].group().strip()!r}"
    return _matched(NO_CHOICE, spoken) or _matched(CHAT_TOKENS, text)


def unfit_description(text: str) -> str | None:
    """Find why a description of a picture or of a voice is no observation.

    Returns:
        the reason: a failed answer, or a named feeling, which would be taken for a measure later;
        ``None`` where it can stay
    """
    return failed_answer(text) or _matched(_label_pattern(label_forms(MERR)), hide_quotes(text))


def label_forms(labels: LabelSet) -> tuple[str, ...]:
    """Give every form of the offered and of the known labels, longest first."""
    forms = {*labels.labels, *labels.aliases, *VALENCE, *ALIASES, *MORE_FORMS}
    return tuple(sorted((form.lower() for form in forms), key=lambda form: (-len(form), form)))


def canonical(label: str, labels: LabelSet) -> str:
    """Give the offered label that a label is a form of, or the label itself."""
    return parse_label(label, labels) or label


@cache
def _label_pattern(forms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, forms))})(?!\w)", re.IGNORECASE)


def _matched(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return f"found {found.group().strip()!r}" if found else None


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'%]+", text.lower())


def _runs(text: str, length: int) -> list[tuple[str, ...]]:
    words = _words(text)
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]
