"""A benchmark's rules: which files, which labels are offered and scored, which figure leads.

Knows: the settings of a protocol and where the packaged ones lie (``protocols/*.yaml``). Does not
know: how files are read (``readers``), models, figures.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from emotion_llama.config_file import load_settings

Kind = Literal["labels", "sentiment", "words", "description"]
"""What the truth is: one label, a number, words of an open vocabulary, or a text."""

PROTOCOLS = Path(__file__).parent / "protocols"


class Protocol(BaseModel):
    """How one data set is asked and scored."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """what it is called on the command line: ``mer2023-semi``"""
    title: str
    kind: Kind
    reader: str
    """name in `emotion_llama.evaluation.readers.READERS`"""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """settings of the reader, such as the split"""
    labels: tuple[str, ...] = ()
    """the closed list that is scored, in the order of the confusion matrix"""
    offered: tuple[str, ...] | None = None
    """labels that the prompt offers, in this order; ``None``: those that are scored"""
    mapping: Mapping[str, str] = Field(default_factory=dict)
    """answered label -> scored label, where another list is offered; a label without an entry and
    not scored itself counts as wrong"""
    value_range: tuple[float, float] | None = None
    """smallest and largest truth of a sentiment protocol"""
    face_source: Literal["detect", "whole-frame"] = "detect"
    """``whole-frame`` where each picture is a face already"""
    noisy: bool = False
    """whether the published clips have noise and blur already, as those of MER-NOISE; such
    noise is not laid over them a second time. ``false`` for a clean copy of the same clips"""
    group_by: str | None = None
    """group that intervals are drawn over (``speaker``); ``None``: clips"""
    metric: str
    """the figure that leads: ``weighted_f1``, ``uar``, ``accuracy``, ``wheel_f1``,
    ``clue_overlap`` ..."""
    published: Mapping[str, float] = Field(default_factory=dict)
    """figures of the paper on this protocol, as shares where they are shares"""
    published_by: str | None = None
    """where those figures stand"""
    hit_rate_set: str | None = None
    """which of MER-UniBench's basic sets, scored by hit rate, the clips are; ``None``: none"""
    layout: str
    """what the folder must hold, for errors and docs"""
    source: str
    """how to get the data"""
    note: str = ""
    """what a reader of the figures must know"""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Protocol":
        if self.kind == "labels" and len(self.labels) < 2:
            msg = f"found {len(self.labels)} labels, expected at least 2 to score"
            raise ValueError(msg)
        if self.kind == "sentiment" and self.value_range is None:
            msg = "found no value_range, expected the smallest and the largest truth"
            raise ValueError(msg)
        if self.value_range and not self.value_range[0] < 0 < self.value_range[1]:
            low, high = self.value_range
            msg = f"found the value_range {low:g} to {high:g}, expected below 0 to above 0"
            raise ValueError(msg)
        strangers = sorted(set(self.mapping.values()) - set(self.labels))
        if strangers:
            msg = f"the mapping leads to {strangers}, expected labels that are scored"
            raise ValueError(msg)
        return self

    @property
    def asked(self) -> tuple[str, ...]:
        """Labels that the prompt offers."""
        return self.offered or self.labels

    def scored(self, answer: str | None) -> str | None:
        """Give the label that an answer counts as; what no mapping knows stays as it is."""
        return None if answer is None else self.mapping.get(answer, answer)


def protocol_names() -> list[str]:
    """Name the packaged protocols."""
    return sorted(path.stem for path in PROTOCOLS.glob("*.yaml"))


def load_protocol(name: str) -> Protocol:
    """Load a packaged protocol by its name, or one from a YAML file.

    Raises:
        ValueError: there is no such protocol, or its file breaks the form
    """
    if name in protocol_names():
        return load_settings(Protocol, PROTOCOLS / f"{name}.yaml")
    if Path(name).suffix in (".yaml", ".yml"):
        return load_settings(Protocol, Path(name))
    msg = (
        f"found no protocol {name!r}, expected one of {', '.join(protocol_names())} or a YAML "
        "file of your own"
    )
    raise ValueError(msg)
