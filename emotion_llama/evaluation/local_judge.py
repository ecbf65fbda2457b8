"""A question and a form -> the answer of a language model on this machine, held to that form.

Knows: likelihoods of the few scores there are, beginnings that are written for the model, thoughts
before an answer. Does not know: what is judged, how a model is loaded.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import BaseModel

from emotion_llama.evaluation.judge import HIGHEST, LOWEST, ScoreResponse
from emotion_llama.evaluation.overlap import WordsResponse
from emotion_llama.merr.describers import Message
from emotion_llama.merr.local_models import LocalTextModel

REASON_TOKENS = 80
"""Most tokens of a reason behind a score: the prompts ask for one or two sentences."""
WORDS_TOKENS = 120
"""Most tokens of a list of emotion words: thirty words have fewer."""
THINKING_TOKENS = 2048
"""Most tokens of thoughts; what is not thought to its end then is ended."""
_THINK, _THOUGHT = "<think>", "</think>"


class LocalJudge:
    """A language model that chooses a score and writes its reason behind it.

    A score is chosen by how likely the model finds each of those allowed after
    ``{"score": ``, so that there always is one, and the same one every time. The reason is written
    freely behind it and explains a score that stands already. Of a list of words only the beginning
    is given. A model whose template has thoughts thinks before that.

    Args:
        model: as loaded
    """

    def __init__(self, model: LocalTextModel) -> None:
        self._text_model = model
        self._model: Any = model.model
        self._tokenizer: Any = model.tokenizer
        self._thinks = _THINK in str(self._tokenizer.chat_template or "")
        self.name = model.name
        self.version = model.version
        self.settings: Mapping[str, Any] = {
            **model.settings,
            "score": f"likeliest of {LOWEST} to {HIGHEST}",
            "reason_tokens": REASON_TOKENS,
            "words_tokens": WORDS_TOKENS,
            "thinking_tokens": THINKING_TOKENS if self._thinks else 0,
        }

    def ask(self, prompt: str) -> str:
        """Give the likeliest answer in any form; see `emotion_llama.evaluation.judge.Judge`."""
        return self._text_model.answer([Message("user", prompt)], seed=0)

    def ask_in_form(self, prompt: str, form: type[BaseModel]) -> str:
        """Give the answer as JSON of a form.

        Raises:
            ValueError: the prompt is longer than the model takes
        """
        if form is ScoreResponse:
            return self._scored(self._begun(prompt, REASON_TOKENS))
        if form is WordsResponse:
            return self._listed(self._begun(prompt, WORDS_TOKENS))
        return self.ask(prompt)

    def _scored(self, begun: list[int]) -> str:
        scores = range(LOWEST, HIGHEST + 1)
        rows = [self._ids(f'{{"score": {score}, "reason": "') for score in scores]
        chosen = max(range(len(rows)), key=self._log_likelihoods(begun, rows).__getitem__)
        written = self._write([*begun, *rows[chosen]], REASON_TOKENS, '"').partition('"')[0]
        return json.dumps({"score": scores[chosen], "reason": " ".join(written.split())})

    def _listed(self, begun: list[int]) -> str:
        beginning = '{"words": ['
        written = self._write([*begun, *self._ids(beginning)], WORDS_TOKENS, "]")
        words, is_closed, _ = written.partition("]")
        return f"{beginning}{words}{']}' if is_closed else ''}"

    def _begun(self, prompt: str, num_after: int) -> list[int]:
        """Give the tokens of a prompt and of the thoughts about it, if the model has any."""
        ids: list[int] = self._text_model.encode([Message("user", prompt)])["input_ids"][0].tolist()
        room = self._room(len(ids), num_after)
        if not self._thinks:
            return ids
        if not str(self._tokenizer.decode(ids)).rstrip().endswith(_THINK):
            ids += self._ids(f"{_THINK}\n")
        thoughts = self._write(ids, min(THINKING_TOKENS, room), _THOUGHT).partition(_THOUGHT)[0]
        return [*ids, *self._ids(f"{thoughts.rstrip()}\n{_THOUGHT}\n\n")]

    def _room(self, length: int, num_after: int) -> int:
        """Give the tokens left for thoughts.

        Raises:
            ValueError: not even the answer has room behind the prompt
        """
        places = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        needed = num_after + 4 * len(_THINK)
        if places is None:
            return THINKING_TOKENS
        if length + needed >= places:
            msg = (
                f"{self.name}: found {length} tokens of input, expected fewer than "
                f"{places - needed} (the model has {places} places); take a model with more"
            )
            raise ValueError(msg)
        return int(places - length - needed)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _log_likelihoods(self, begun: list[int], rows: Sequence[list[int]]) -> list[float]:
        """Give the log-likelihood of each row of tokens behind what was begun; whole rows count."""
        found = []
        with torch.inference_mode():
            start = self._model(input_ids=self._tensor(begun), use_cache=True)
            for row in rows:
                # a cache grows in place
                cache = copy.deepcopy(start.cache)
                rest = self._model(input_ids=self._tensor(row), cache=cache).logits[0]
                logits = torch.cat([start.logits[0, -1:], rest[:-1]]).float()  # [s x v]
                chosen = logits.log_softmax(-1).gather(1, self._tensor(row).T)  # [s x 1]
                found.append(float(chosen.sum()))
        return found

    def _write(self, ids: list[int], max_tokens: int, end: str) -> str:
        """Let the model go on with the likeliest tokens until it has written an end."""
        begun = self._tensor(ids)
        with torch.inference_mode():
            written = self._model.generate(
                input_ids=begun,
                attention_mask=torch.ones_like(begun),
                max_new_tokens=max_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                stop_strings=[end],
                tokenizer=self._tokenizer,
                pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
            )
        # the end of thoughts may be a special token
        text: str = self._tokenizer.decode(written[0, len(ids) :], skip_special_tokens=False)
        for mark in {self._tokenizer.eos_token, self._tokenizer.pad_token} - {None}:
            text = text.partition(mark)[0]
        return text

    def _tensor(self, ids: list[int]) -> torch.Tensor:
        """Give tokens as one row, [1 x s]."""
        return torch.tensor([ids], device=self._model.device)
