"""What is learned from one clip: one question about it, and the answer to it.

Knows: the record. Does not know: where it was read from, features, prompts, tokens.
"""

from dataclasses import dataclass

from emotion_llama.records import Task


@dataclass(frozen=True)
class Example:
    """One task on one clip, with its answer."""

    clip_id: str
    """what the clip is called in its annotations; features are looked up by it"""
    task: Task
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
