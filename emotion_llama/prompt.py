"""The one prompt builder: marks, task tags, questions, and the two published layouts.

Knows: every string of a prompt and where feature tokens go. Does not know: tokenizers, how many
tokens a mark stands for, which modalities a clip has. Training, evaluation, page and API call
`render`; nobody else writes a prompt. Source of all strings: docs/published-model.md, "Prompts".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from emotion_llama.records import Sample, Task

VIDEO_MARK = "<VideoHere>"
"""Stands for the image tokens of the key frame."""

FEATURE_MARK = "<FeatureHere>"
"""Stands for the local, temporal, audio and class tokens."""

PromptMode = Literal["trained", "published-eval"]
"""Where the feature tokens go.

``trained``: image tokens at `VIDEO_MARK`, the others at `FEATURE_MARK`, one beginning-of-sequence
token, as the weights were trained. ``published-eval``: all tokens at `VIDEO_MARK`, the text of
`FEATURE_MARK` left in the prompt, two beginning-of-sequence tokens, as the published evaluation
code does it; its scores are the published ones.
"""

PROMPT_MODES: tuple[PromptMode, ...] = ("trained", "published-eval")

_TEMPLATE = "[INST] {instruction} [/INST]"
_INSTRUCTION = (
    f"<video>{VIDEO_MARK}</video> <feature>{FEATURE_MARK}</feature> "
    "{character_line} [{tag}] {question} "
)

EMOTION_QUESTION = "Please determine which emotion label in the video represents: {labels}."

REASON_QUESTIONS: tuple[str, ...] = (
    "Please analyze all the clues in the video and reason out the emotional label of the person "
    "in the video.",
    "What is the emotional state of the person in the video? Please tell me the reason.",
    "What are the facial expressions and vocal tone used in the video? What is the intended "
    "meaning behind his words? Which emotion does this reflect?",
    "Please integrate information from various modalities to infer the emotional category of the "
    "person in the video.",
    "Could you describe the emotion-related features of the individual in the video? What "
    "emotional category do they fall into?",
)
"""The published pool; training draws from it, inference takes the second, which asks for both
the state and the reason."""

DEFAULT_REASON_QUESTION = REASON_QUESTIONS[1]

_ANSWER_MAX_WORDS = 200
"""Longest training target, in words (docs/published-model.md, "Answers")."""


@dataclass(frozen=True)
class Instruction:
    """A request to the language model alone: there is no clip, and no feature goes with it."""

    text: str
    name: str | None = None


@dataclass(frozen=True)
class Turn:
    """A question of a talk about a clip, with its answer where it has one already."""

    question: str
    """the first of a talk may begin with ``[emotion]`` or ``[reason]``; without, it is the latter;
    a tag alone takes the task's default wording"""
    answer: str | None = None


def question(task: Task, labels: Sequence[str]) -> str:
    """Give the default wording of a task's question, offering the labels in the given order."""
    if task == "emotion":
        return EMOTION_QUESTION.format(labels=", ".join(labels))
    return DEFAULT_REASON_QUESTION


def character_line(transcript: str) -> str:
    """Give the sentence that quotes the transcript.

    A full stop and a space always follow, also after punctuation: the weights were trained so.
    """
    return f"The person in video says: {transcript}. "


def render(sample: Sample, *, labels: Sequence[str], reason_tag: str) -> str:
    """Write the prompt of a sample, marks included, without beginning-of-sequence tokens.

    Args:
        sample: task, transcript, and optionally its own wording and labels
        labels: labels to offer where the sample names none, in this order
        reason_tag: the tag that the checkpoint was trained with for the reasoning task

    Returns:
        ``[INST] <video><VideoHere></video> <feature><FeatureHere></feature> ... [/INST]``; without
        a transcript the character line is left out

    Raises:
        ValueError: transcript or question contains a mark, which would move the feature tokens
    """
    wording = sample.question or question(sample.task, sample.labels or labels)
    spoken = sample.transcript.strip() if sample.transcript else ""
    for name, text in (("transcript", spoken), ("question", wording)):
        _refuse_marks(name, text)
    instruction = _INSTRUCTION.format(
        character_line=character_line(spoken) if spoken else "",
        tag=reason_tag if sample.task == "reason" else sample.task,
        question=wording,
    )
    return _TEMPLATE.format(instruction=instruction)


def first_question(text: str) -> tuple[Task, str | None]:
    """Tell the task of the first question of a talk, and its wording; ``None``: the default one."""
    tagged = re.fullmatch(r"\s*\[(emotion|reason)\]\s*(.*)", text, re.DOTALL)
    task, wording = (tagged[1], tagged[2]) if tagged else ("reason", text)
    return ("emotion" if task == "emotion" else "reason"), wording.strip() or None


def render_instruction(instruction: Instruction) -> str:
    """Write the prompt of an instruction as chat models of the Llama 2 family were trained on it.

    Returns:
        ``[INST] ... [/INST]``, without beginning-of-sequence token

    Raises:
        ValueError: the text contains a mark
    """
    _refuse_marks("instruction", instruction.text)
    return _TEMPLATE.format(instruction=instruction.text)


def instruction_text(request: str, material: str = "") -> str:
    """Put a request, and the material that it is about, into one text."""
    return "\n\n".join(part.strip() for part in (request, material) if part.strip())


def split_at_marks(prompt: str, mode: PromptMode) -> list[str]:
    """Cut a rendered prompt into text pieces and the marks that stand between them.

    Returns:
        pieces in order; those equal to `VIDEO_MARK` or `FEATURE_MARK` stand for feature tokens. In
        ``published-eval`` mode `FEATURE_MARK` is ordinary text and not split off.
    """
    if mode == "trained":
        return re.split(f"({re.escape(VIDEO_MARK)}|{re.escape(FEATURE_MARK)})", prompt)
    return re.split(f"({re.escape(VIDEO_MARK)})", prompt)


def normalize_answer(text: str) -> str:
    """Bring a training target into the form that the published model learned.

    Lower case; each of ``. ! " ( ) * # : ; ~`` becomes a space; runs of white space become one
    space; trailing newlines, then outer spaces go; the first 200 words stay.
    """
    lowered = re.sub(r"[.!\"()*#:;~]", " ", text.lower())
    folded = re.sub(r"\s{2,}", " ", lowered).rstrip("\n").strip(" ")
    return " ".join(folded.split(" ")[:_ANSWER_MAX_WORDS])


def training_target(
    prompted: Sample | Instruction, answer: str, *, as_written: bool = False
) -> str:
    """Give an answer in the form in which it is learned.

    Answers about clips are normalised as published. Those to plain instructions are not: they are
    there so that the language model goes on writing as it did.

    Args:
        prompted: what is answered
        answer: as its annotations word it
        as_written: keep capitals and punctuation of every answer
    """
    plain = as_written or isinstance(prompted, Instruction)
    return answer.strip() if plain else normalize_answer(answer)


def _refuse_marks(name: str, text: str) -> None:
    for mark in (VIDEO_MARK, FEATURE_MARK):
        if mark in text:
            msg = f"the {name} contains the mark {mark}, which is reserved; remove it: {text!r}"
            raise ValueError(msg)
