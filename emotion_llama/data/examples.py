"""What is learned at once: a question about a clip, or a plain instruction, and the answer.

Knows: the record. Does not know: where it was read from, features, prompts, tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from emotion_llama.records import Task

ExampleTask = Task | Literal["instruction"]
"""What is asked about a clip, or a request to the language model alone."""


@dataclass(frozen=True)
class Example:
    """One task on one clip, or one plain instruction, with its answer."""

    clip_id: str
    """what the clip is called in its annotations; features are looked up by it"""
    task: ExampleTask
    answer: str
    """the label for ``emotion``, the caption for ``reason``, as the annotations word it"""
    label: str | None
    """of the clip, whatever the task; ``None`` where nobody gave one"""
    transcript: str | None
    """what is said; ``None`` where it is not known"""
    person: str | None
    """who is seen or heard, unlike everybody else; ``None`` where it is not stated"""
    source: str
    """name of the data set that the clip comes from"""
    offered: tuple[str, ...] | None
    """labels that the question of ``emotion`` offers; ``None``: the checkpoint's"""
    instruction: str | None = None
    """what is asked for by ``instruction``, where there is no clip"""
    votes: Mapping[str, float] | None = None
    """label -> share of the people who chose it, of ``emotion``; each draw then has the label of
    one of them, in place of ``answer``. ``None``: every draw has ``answer``"""
