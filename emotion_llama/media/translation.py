"""Words in another language -> the same in English, by a translation model.

Knows: the interface of a translator, the Marian adapter, how a flag names one of one's own. Does
not know: which words need it, clips. A translation is a guess by a model; a caller that uses one
should say so.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from emotion_llama.media.weights import NamedWeights

_PLUG_IN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026\u3002\uff01\uff1f])\s*")


@runtime_checkable
class Translator(Protocol):
    """What turns words into English."""

    @property
    def name(self) -> str:
        """What translates, such as a model's folder or hub id."""
        ...

    @property
    def version(self) -> str:
        """Version of the weights or the program."""
        ...

    def to_english(self, text: str) -> str:
        """Translate a text.

        Raises:
            ValueError: it cannot be translated
        """
        ...


class MarianTranslator(NamedWeights):
    """A Marian model (such as ``opus-mt-mul-en``) through transformers, sentence by sentence."""

    def __init__(self, checkpoint: str | Path, *, device: str = "cpu") -> None:
        """Load a translator.

        Args:
            checkpoint: local folder or hub id of a Marian model whose target is English
            device: torch device

        Raises:
            ValueError: no Marian model there
        """
        from transformers import MarianMTModel, MarianTokenizer

        try:
            model: Any = MarianMTModel.from_pretrained(str(checkpoint))
            self._tokenizer: Any = MarianTokenizer.from_pretrained(str(checkpoint))
        except (ImportError, OSError, ValueError, KeyError, TypeError) as error:
            msg = (
                f"{checkpoint}: found no Marian model that loads ({error}); expected a local "
                "folder or hub id with weights and tokenizer, or MODULE:NAME of a translator of "
                "your own; check the name"
            )
            raise ValueError(msg) from error
        super().__init__(checkpoint, model.to(device).eval())

    def to_english(self, text: str) -> str:
        """Translate a text, each sentence by itself, by beam search as the model is set.

        Raises:
            ValueError: a sentence is longer than the model reads
        """
        import torch

        sentences = [one for one in _SENTENCE_END.split(text.strip()) if one.strip()]
        longest = int(self._model.config.max_position_embeddings)
        translated = []
        for sentence in sentences:
            tokens = self._tokenizer(sentence, return_tensors="pt")
            count = tokens["input_ids"].shape[1]
            if count > longest:
                msg = (
                    f"found a sentence of {count} tokens ({sentence[:60]!r}...), expected at most "
                    f"{longest} for {self._name}; put full stops into the words, or give English"
                )
                raise ValueError(msg)
            with torch.inference_mode():
                ids = self._model.generate(**tokens.to(self._model.device))
            translated.append(self._tokenizer.batch_decode(ids, skip_special_tokens=True)[0])
        return " ".join(" ".join(translated).split())


def load_translator(name: str, *, device: str = "cpu") -> Translator:
    """Load what a flag names.

    Args:
        name: folder or hub id of a Marian model, or ``MODULE:NAME`` of something that, called
            without anything, gives a `Translator`
        device: torch device of a Marian model

    Raises:
        ValueError: there is no such model, or no such translator
    """
    if not _PLUG_IN.fullmatch(name):
        return MarianTranslator(name, device=device)
    module, _, attribute = name.partition(":")
    try:
        made = getattr(import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        msg = (
            f"found {name!r}, which gives no translator ({error}); expected MODULE:NAME of an "
            "importable class or function without arguments"
        )
        raise ValueError(msg) from error
    if not isinstance(made, Translator):
        msg = (
            f"{name}: found a {type(made).__name__}, expected what has name, version and "
            "to_english(text), see emotion_llama.media.Translator"
        )
        raise ValueError(msg)
    return made
