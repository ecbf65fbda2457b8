"""Turn samples and features into token ids, feature placeholders, masks and labels.

Knows: the tokenizer, how many tokens a mark stands for, what a missing modality does to the
sequence, which tokens carry loss. Does not know: media, encoders, the language model's weights.
"""

import logging
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from emotion_llama.model.configuration import EmotionLlamaConfig
from emotion_llama.model.projector import FEATURE_ORDER, TOKEN_KINDS
from emotion_llama.prompt import (
    FEATURE_MARK,
    PROMPT_MODES,
    VIDEO_MARK,
    Instruction,
    PromptMode,
    Turn,
    render,
    render_instruction,
    split_at_marks,
    training_target,
)
from emotion_llama.records import Features, Sample

logger = logging.getLogger(__name__)

IGNORED_LABEL = -100
"""Label of a token that carries no loss (the convention of ``torch.nn.CrossEntropyLoss``)."""

_TEXT = 0

Prompted = Sample | Instruction
"""What a row of a batch asks: something of a clip, or of the language model alone."""


class EmotionLlamaProcessor(ProcessorMixin):
    """Tokenizer plus the layout rules of a checkpoint's configuration.

    Args:
        tokenizer: tokenizer of the language model
        config: sizes, task tag, labels and the rule for missing modalities
        prompt_mode: where the feature tokens go, see `emotion_llama.prompt.PromptMode`

    Raises:
        ValueError: an unknown prompt mode
    """

    attributes = ["tokenizer"]  # noqa: RUF012
    tokenizer_class = "AutoTokenizer"

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: EmotionLlamaConfig,
        prompt_mode: PromptMode = "trained",
    ) -> None:
        if prompt_mode not in PROMPT_MODES:
            msg = f"prompt_mode is {prompt_mode!r}, expected one of {', '.join(PROMPT_MODES)}"
            raise ValueError(msg)
        self.tokenizer = tokenizer
        self.config = config
        self.prompt_mode = prompt_mode
        self.chat_template = None

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, prompt_mode: PromptMode = "trained", **kwargs: Any
    ) -> "EmotionLlamaProcessor":
        """Load tokenizer and configuration from a folder or a hub id."""
        return cls(
            AutoTokenizer.from_pretrained(folder, **kwargs),
            EmotionLlamaConfig.from_pretrained(folder, **kwargs),
            prompt_mode,
        )

    def save_pretrained(self, folder: str | Path, **kwargs: Any) -> None:
        """Write tokenizer and configuration; nothing else belongs to the processor."""
        self.tokenizer.save_pretrained(folder, **kwargs)
        self.config.save_pretrained(folder, **kwargs)

    def __call__(
        self,
        samples: Sequence[Prompted],
        features: Sequence[Features],
        answers: Sequence[str] | None = None,
        padding_side: Literal["left", "right"] | None = None,
        beginnings: Sequence[Sequence[int]] | None = None,
    ) -> BatchFeature:
        """Build a batch.

        Args:
            samples: what is asked, one per row
            features: encoder outputs, one per row; those of an instruction are not read
            answers: training targets, one per row; without them no labels are made
            padding_side: default is right with answers (training) and left without (generation)
            beginnings: token ids behind each prompt that an answer goes on from, one per row

        Returns:
            ``input_ids``, ``attention_mask``, ``token_kinds`` [b x s] (0 text, else 1 + index in
            `TOKEN_KINDS`), ``feature_mask`` [b x 5] (which kinds a row has), the features that at
            least one row has (``patches`` [b x p x e], others [b x e]) and, with answers,
            ``labels`` [b x s]

        Raises:
            ValueError: lengths differ, a feature has a wrong shape, or a prompt is too long
        """
        _require_same_length(
            samples=samples, features=features, answers=answers, beginnings=beginnings
        )
        given = [
            {} if isinstance(sample, Instruction) else self._available(row)
            for sample, row in zip(samples, features, strict=True)
        ]
        prompts = [self.encode_prompt(s, f) for s, f in zip(samples, given, strict=True)]
        for (ids, kinds), more in zip(prompts, beginnings or [[]] * len(prompts), strict=True):
            ids += more
            kinds += [_TEXT] * len(more)
            self._require_room(ids, "a shorter transcript, question or talk")
        targets = [self.encode_answer(a) for a in answers] if answers is not None else None
        rows = [
            _Row.join(prompt, targets[i] if targets is not None else None)
            for i, prompt in enumerate(prompts)
        ]
        side = padding_side or ("left" if answers is None else "right")
        batch = self._pad(rows, side)
        if answers is None:
            del batch["labels"]
        return BatchFeature(batch | self._stack(given))

    def encode_prompt(
        self, sample: Prompted, features: dict[str, torch.Tensor]
    ) -> tuple[list[int], list[int]]:
        """Tokenise a prompt and put placeholders where its marks stand.

        Args:
            sample: what is asked
            features: the features this row has, by name of `TOKEN_KINDS`

        Returns:
            token ids and token kinds, both of length s; a placeholder's id is never read

        Raises:
            ValueError: more tokens than ``max_context_tokens``
        """
        prompt = self._render(sample)
        ids: list[int] = []
        kinds: list[int] = []
        pieces = split_at_marks(prompt, self.prompt_mode)
        for index, piece in enumerate(pieces):
            if piece in (VIDEO_MARK, FEATURE_MARK) and index % 2:
                new_kinds = self._placeholders(piece, features)
                new_ids = [self.placeholder_id] * len(new_kinds)
            else:
                new_ids = self._tokenize(piece, is_first=index == 0)
                new_kinds = [_TEXT] * len(new_ids)
            ids += new_ids
            kinds += new_kinds
        self._require_room(ids, "a shorter transcript or question")
        return ids, kinds

    def _require_room(self, ids: Sequence[int], shorter: str) -> None:
        most = self.config.max_context_tokens
        if len(ids) > most:
            msg = f"the prompt has {len(ids)} tokens, expected at most {most}; give {shorter}"
            raise ValueError(msg)

    def encode_talk(self, turns: Sequence[Turn]) -> list[int]:
        """Tokenise what follows the first question of a talk: its answer, and every later turn.

        Turns follow each other as chat models of the Llama 2 family were trained on them: each has
        its own beginning and end of sequence.

        Args:
            turns: the first question stands in the prompt; each but the last has its answer

        Returns:
            ids to go on from, `beginnings` of a call

        Raises:
            ValueError: no turn, a turn but the last without answer, or a last one with it
        """
        if not turns or turns[-1].answer is not None or any(t.answer is None for t in turns[:-1]):
            msg = (
                f"found the answers {[turn.answer for turn in turns]}, expected one of each turn "
                "but the last; give the questions in order"
            )
            raise ValueError(msg)
        ids: list[int] = []
        bos = self.tokenizer.bos_token_id
        for earlier, later in pairwise(turns):
            ids += self.encode_answer(str(earlier.answer))
            ids += [] if bos is None else [bos]
            ids += self.text_ids(render_instruction(Instruction(later.question)))
        return ids

    def training_target(self, prompted: Prompted, answer: str) -> str:
        """Give an answer in the form in which this checkpoint learns it."""
        return training_target(prompted, answer, as_written=self.config.answers_as_written)

    def encode_answer(self, answer: str) -> list[int]:
        """Tokenise an answer and its end-of-sequence token, cut to ``max_answer_tokens``."""
        ids = self.text_ids(f"{answer}{self.tokenizer.eos_token}")
        if len(ids) > self.config.max_answer_tokens:
            logger.warning(
                "an answer of %d tokens was cut to %d", len(ids), self.config.max_answer_tokens
            )
        return ids[: self.config.max_answer_tokens]

    def decode(self, token_ids: torch.Tensor | Iterable[int], **kwargs: Any) -> str:
        """Give the text of one generated row, without special tokens and outer spaces."""
        text: str = self.tokenizer.decode(token_ids, skip_special_tokens=True, **kwargs)
        return text.strip()

    @property
    def placeholder_id(self) -> int:
        """Id that fills padding and feature positions: the pad token, else end of sequence."""
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.tokenizer.eos_token_id)

    def _render(self, sample: Prompted) -> str:
        if isinstance(sample, Instruction):
            return render_instruction(sample)
        return render(sample, labels=self.config.labels, reason_tag=self.config.reason_tag)

    def text_ids(self, text: str) -> list[int]:
        """Tokenise text by itself, without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _tokenize(self, piece: str, *, is_first: bool) -> list[int]:
        """Tokenise one text piece by itself; the first one carries beginning-of-sequence."""
        bos = self.tokenizer.bos_token_id
        if not is_first or bos is None:
            return self.text_ids(piece)
        if self.prompt_mode == "trained":
            return [bos, *self.text_ids(piece)]
        # The published evaluation writes the token into the text and has it added once more.
        return [bos, *self.text_ids(f"{self.tokenizer.bos_token}{piece}")]

    def _placeholders(self, mark: str, features: dict[str, torch.Tensor]) -> list[int]:
        """Give the kinds of the feature tokens that stand at a mark."""
        image = [1 + TOKEN_KINDS.index("patches")] * self.config.num_image_tokens
        single = [1 + TOKEN_KINDS.index(name) for name in FEATURE_ORDER if name in features]
        at_video = image if "patches" in features else []
        if self.prompt_mode == "published-eval":
            return at_video + single
        return at_video if mark == VIDEO_MARK else single

    def _available(self, features: Features) -> dict[str, torch.Tensor]:
        """Collect the features that become tokens: those present or, on request, zeros."""
        widths = self.config.feature_widths
        available = {}
        for name in TOKEN_KINDS:
            shape = (
                (self.config.num_patches, widths[name]) if name == "patches" else (widths[name],)
            )
            value = getattr(features, name)
            if value is None and self.config.missing_modality == "zeros":
                value = torch.zeros(shape)
            if value is None:
                continue
            if tuple(value.shape) != shape:
                msg = (
                    f"feature {name!r} has shape {tuple(value.shape)}, expected {shape}; "
                    "use the encoders that belong to this model"
                )
                raise ValueError(msg)
            available[name] = value
        return available

    def _pad(self, rows: "Sequence[_Row]", side: str) -> dict[str, torch.Tensor]:
        longest = max(len(row.ids) for row in rows)

        def padded(values: list[int], fill: int) -> list[int]:
            gap = [fill] * (longest - len(values))
            return gap + values if side == "left" else values + gap

        return {
            "input_ids": torch.tensor([padded(r.ids, self.placeholder_id) for r in rows]),
            "attention_mask": torch.tensor([padded([1] * len(r.ids), 0) for r in rows]),
            "token_kinds": torch.tensor([padded(r.kinds, _TEXT) for r in rows]),
            "labels": torch.tensor([padded(r.labels, IGNORED_LABEL) for r in rows]),
        }

    def _stack(self, given: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Stack each feature over the rows; rows without it are never read."""
        stacked = {}
        for name in TOKEN_KINDS:
            present = [row[name] for row in given if name in row]
            if present:
                blank = torch.zeros_like(present[0])
                stacked[name] = torch.stack([row.get(name, blank) for row in given])
        stacked["feature_mask"] = torch.tensor(
            [[name in row for name in TOKEN_KINDS] for row in given]
        )
        return stacked


class _Row:
    """Ids, kinds and labels of one sequence."""

    def __init__(self, ids: list[int], kinds: list[int], labels: list[int]) -> None:
        self.ids, self.kinds, self.labels = ids, kinds, labels

    @classmethod
    def join(cls, prompt: tuple[list[int], list[int]], answer: list[int] | None) -> "_Row":
        """Put an answer behind its prompt; only the answer carries loss."""
        ids, kinds = prompt
        answer = answer or []
        return cls(
            ids + answer,
            kinds + [_TEXT] * len(answer),
            [IGNORED_LABEL] * len(ids) + answer,
        )


def _require_same_length(**columns: Sequence[Any] | None) -> None:
    lengths = {name: len(values) for name, values in columns.items() if values is not None}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        msg = f"expected at least one row and equally many of each, found {lengths}"
        raise ValueError(msg)
