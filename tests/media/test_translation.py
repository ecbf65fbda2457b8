"""The adapter is run with an untrained model of the smallest size: its words mean nothing."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from emotion_llama.media import MarianTranslator, Translator, load_translator

WORDS = "ich du er sie es wir ihr haben gewonnen heute morgen gestern immer nie gern I you we won"


@pytest.fixture(scope="module")
def marian_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import sentencepiece
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    folder = tmp_path_factory.mktemp("marian")
    (folder / "words.txt").write_text("\n".join([WORDS] * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "words.txt"),
        model_prefix=str(folder / "pieces"),
        vocab_size=60,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "pieces.model"))
    names = ["</s>", "<unk>", *(pieces.id_to_piece(n) for n in range(3, len(pieces))), "<pad>"]
    vocabulary = folder / "words.json"
    vocabulary.write_text(json.dumps({name: n for n, name in enumerate(names)}))
    MarianTokenizer(
        source_spm=str(folder / "pieces.model"),
        target_spm=str(folder / "pieces.model"),
        vocab=str(vocabulary),
        source_lang="mul",
        target_lang="en",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    size = len(names)
    config = MarianConfig(
        vocab_size=size,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=24,
        max_length=12,
        pad_token_id=size - 1,
        eos_token_id=0,
        decoder_start_token_id=size - 1,
    )
    MarianMTModel(config).save_pretrained(folder)
    return folder


def test_it_says_what_it_is(marian_dir: Path) -> None:
    translator = load_translator(str(marian_dir))
    assert isinstance(translator, MarianTranslator)
    assert (translator.name, translator.version) == (marian_dir.name, "local")


def test_sentences_go_one_by_one_and_come_out_in_order(
    marian_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = MarianTranslator(marian_dir)
    two = translator.to_english("wir haben gewonnen. ich du er!")
    assert two == translator.to_english("wir haben gewonnen. ich du er!"), "no chance in it"
    alone = [translator.to_english(one) for one in ("wir haben gewonnen.", "ich du er!")]
    assert two == " ".join(" ".join(alone).split())
    assert "<pad>" not in two


def test_a_sentence_that_is_too_long_is_refused_whole(marian_dir: Path) -> None:
    with pytest.raises(ValueError, match="at most 24.*put full stops into the words"):
        MarianTranslator(marian_dir).to_english("wir haben gewonnen " * 20)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path}: found no Marian model"):
        load_translator(str(tmp_path))


class Own:
    """A translator of a user's own."""

    name, version = "own", "1"

    def to_english(self, text: str) -> str:
        return text.upper()


def test_a_translator_of_ones_own_is_named_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_words")
    module.Own = Own  # type: ignore[attr-defined]
    module.Other = dict  # type: ignore[attr-defined]
    module.broken = lambda needed: needed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_words", module)
    found = load_translator("my_words:Own")
    assert isinstance(found, Translator)
    assert found.to_english("ja") == "JA"
    with pytest.raises(ValueError, match="found a dict, expected what has name, version"):
        load_translator("my_words:Other")
    for wrong in ("my_words:broken", "my_words:Missing", "no_such_module:Own"):
        with pytest.raises(ValueError, match="gives no translator"):
            load_translator(wrong)
