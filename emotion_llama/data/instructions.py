"""Plain instructions with answers, to be replayed beside clips: files -> records.

Knows: the two forms of such files. Does not know: clips, features, how often one is drawn.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotion_llama.prompt import Instruction, instruction_text, render_instruction


def short_hash(path: Path) -> str:
    """Give eight digits of a file's hash: rows without a name are named by the file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


@dataclass(frozen=True)
class InstructionPair:
    """A plain instruction and the answer to it."""

    name: str
    """file, by name and content, and row"""
    instruction: str
    answer: str


class Turn(BaseModel):
    """What one side says in a conversation of LLaVA's form."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)

    speaker: Literal["human", "gpt"] = Field(validation_alias="from")
    value: str = Field(min_length=1)


class InstructionRow(BaseModel):
    """One row of a file of instructions, in either form; other keys are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)

    instruction: str | None = None
    input: str = ""
    output: str | None = None
    conversations: tuple[Turn, ...] | None = None
    image: Any = None
    """of what the row speaks of; such rows are not taken"""

    def to_record(self, name: str) -> InstructionPair:
        """Give the instruction; of a conversation the first question and its answer.

        Raises:
            ValueError: there is no question with an answer
        """
        if self.conversations is None:
            asked, answer = instruction_text(self.instruction or "", self.input), self.output
        elif [turn.speaker for turn in self.conversations[:2]] == ["human", "gpt"]:
            asked, answer = (turn.value for turn in self.conversations[:2])
        else:
            sides = [turn.speaker for turn in self.conversations[:2]]
            msg = f"found a conversation that begins with {sides}, expected human, then gpt"
            raise ValueError(msg)
        if not asked or not answer:
            msg = (
                f"found {'no answer' if asked else 'no question'}, expected instruction and output "
                "(and input, if there is any), or conversations"
            )
            raise ValueError(msg)
        render_instruction(Instruction(asked))  # what cannot be asked is refused here
        return InstructionPair(name, asked, answer)


def read_instructions(path: Path) -> tuple[list[InstructionPair], Mapping[str, int]]:
    """Read plain instructions: a JSON list, or JSON lines.

    Rows are conversations of LLaVA's form (``conversations``, each with ``from`` and ``value``) or
    have ``instruction``, ``output`` and, if wanted, ``input``. Rows with a picture are left out.

    Returns:
        instructions in the order of the file, and what is left out -> how often

    Raises:
        ValueError: there is no such file, or it breaks its form; names file and row
    """
    pairs: list[InstructionPair] = []
    counts: Counter[str] = Counter()
    content = short_hash(path) if path.is_file() else ""
    for number, written in _json_rows(path):
        where = f"{path}, row {number}"
        row = _instruction_row(written, where)
        if row.image is not None:
            counts["row speaks of a picture"] += 1
            continue
        if len(row.conversations or ()) > 2:
            counts["conversation goes on; only its first answer is taken"] += 1
        try:
            pairs.append(row.to_record(f"{path.stem} {content} row {number}"))
        except ValueError as error:
            msg = f"{where}: {error}; mend or remove the row"
            raise ValueError(msg) from error
    return pairs, counts


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Give the rows of a JSON list, or of JSON lines, by number."""
    if not path.is_file() or path.suffix.lower() not in (".json", ".jsonl"):
        found = f"the ending {path.suffix!r}" if path.is_file() else "no file"
        msg = f"{path}: found {found}, expected a .json or .jsonl file of instructions; check path"
        raise ValueError(msg)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path}: found bytes that are no UTF-8 ({error.reason}); save the file as UTF-8"
        raise ValueError(msg) from error
    if path.suffix.lower() == ".jsonl":
        # not splitlines: an answer may hold one of the rarer line ends
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield number, _parsed(line, f"{path}, row {number}")
        return
    rows = _parsed(text, str(path))
    if not isinstance(rows, list):
        msg = f"{path}: found {type(rows).__name__}, expected a list of rows"
        raise ValueError(msg)
    yield from enumerate(rows, start=1)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        msg = f"{where}: found {text[:60]!r}, expected JSON ({error})"
        raise ValueError(msg) from error


def _instruction_row(content: Any, where: str) -> InstructionRow:
    try:
        return InstructionRow.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the row"
        msg = (
            f"{where}, {place}: found {fault['input']!r:.60}, expected instruction and output, or "
            f"conversations of human and gpt ({fault['msg'].lower()})"
        )
        raise ValueError(msg) from error
