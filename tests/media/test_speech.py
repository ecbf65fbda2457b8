"""The adapter is run with an untrained model of the smallest size: its words mean nothing."""

import json
import shutil

import numpy as np
import pytest

from emotion_llama.media import SpeechRecognizer, WhisperRecognizer, language_name

LANGUAGES = ["<|de|>", "<|en|>"]


@pytest.fixture(scope="module")
def whisper_dir(tmp_path_factory):
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
    )

    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|notimestamps|>",
        *LANGUAGES,
        "<|transcribe|>",
        "<|translate|>",
    ]
    words = special + sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    folder = tmp_path_factory.mktemp("whisper")
    WhisperProcessor(
        WhisperFeatureExtractor(feature_size=8),
        whisper_tokenizer(PreTrainedTokenizerFast(tokenizer_object=tokenizer), folder, special),
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=len(words),
        num_mel_bins=8,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        decoder_start_token_id=1,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        max_target_positions=40,
    )
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    return folder


def whisper_tokenizer(plain, folder, special):
    import json

    from transformers import WhisperTokenizer

    vocabulary = json.loads(plain.backend_tokenizer.to_str())["model"]["vocab"]
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return WhisperTokenizer(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        unk_token=special[0],
        bos_token=special[0],
        eos_token=special[0],
        additional_special_tokens=special[1:],
    )


@pytest.fixture(scope="module")
def recognizer(whisper_dir) -> SpeechRecognizer:
    return WhisperRecognizer(whisper_dir, max_new_tokens=8)


def test_gives_the_same_text_twice(recognizer, one_second_tone):
    text = recognizer.transcribe(one_second_tone, 16000).text
    assert isinstance(text, str)
    assert text == recognizer.transcribe(one_second_tone, 16000).text


def test_says_what_it_is(recognizer, whisper_dir):
    assert (recognizer.name, recognizer.version) == (whisper_dir.name, "local")


def test_long_sound_goes_in_windows_of_thirty_seconds(recognizer, monkeypatch):
    lengths = []

    def heard(window, **options):
        assert options == {}
        lengths.append(len(window) / 16000)
        return f" word {len(lengths)} "

    monkeypatch.setattr(recognizer, "_window_text", heard)
    speech = recognizer.transcribe(np.zeros(16000 * 70, np.float32), 16000)
    assert speech.text == "word 1 word 2 word 3"
    assert lengths == [30, 30, 10]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_any_dtype(whisper_dir, one_second_tone, dtype):
    recognizer = WhisperRecognizer(whisper_dir, dtype=dtype, max_new_tokens=4)
    assert isinstance(recognizer.transcribe(one_second_tone, 16000).text, str)


def test_other_rate_is_refused(recognizer, one_second_tone):
    with pytest.raises(ValueError, match="8000 Hz, expected 16000 Hz"):
        recognizer.transcribe(one_second_tone, 8000)


def test_words_end_where_the_model_does(multilingual_dir, one_second_tone):
    recognizer = WhisperRecognizer(multilingual_dir, max_new_tokens=1000)
    assert isinstance(recognizer.transcribe(one_second_tone, 16000).text, str)


def test_no_samples(recognizer):
    with pytest.raises(ValueError, match="at least 1 sample"):
        recognizer.transcribe(np.zeros(0, np.float32), 16000)


def test_unknown_dtype(whisper_dir):
    with pytest.raises(ValueError, match="found dtype 'int3'"):
        WhisperRecognizer(whisper_dir, dtype="int3")


def test_folder_without_a_model(tmp_path):
    with pytest.raises(ValueError, match="no Whisper model that loads"):
        WhisperRecognizer(tmp_path)


@pytest.fixture(scope="module")
def multilingual_dir(whisper_dir, tmp_path_factory):
    """The same weights with the generation settings of a multilingual checkpoint."""
    folder = tmp_path_factory.mktemp("multilingual") / "whisper"
    shutil.copytree(whisper_dir, folder)
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text())
    numbers = {"<|de|>": 3, "<|en|>": 4}
    tasks = {"transcribe": 5, "translate": 6}
    more = {"is_multilingual": True, "lang_to_id": numbers, "task_to_id": tasks}
    more |= {"_from_model_config": False, "no_timestamps_token_id": 2}
    path.write_text(json.dumps(settings | more))
    return folder


def test_one_language_is_no_choice(recognizer, one_second_tone):
    speech = recognizer.transcribe(one_second_tone, 16000)
    assert (speech.language, speech.english) == (None, None)


def test_a_multilingual_model_decides_once_and_hears_all_in_that_language(
    multilingual_dir, monkeypatch
):
    import torch

    recognizer = WhisperRecognizer(multilingual_dir, max_new_tokens=4)
    asked, begun = [], []
    decide = recognizer._model.detect_language
    generate = recognizer._model.generate

    def deciding(features):
        asked.append(features.shape)
        language = decide(features)
        assert int(language) in (3, 4), "the library chooses among the languages"
        return torch.tensor([3])

    def generating(**options):
        begun.append((options["language"], options["task"]))
        return generate(**options)

    monkeypatch.setattr(recognizer._model, "detect_language", deciding)
    monkeypatch.setattr(recognizer._model, "generate", generating)
    speech = recognizer.transcribe(np.zeros(16000 * 40, np.float32), 16000)
    assert len(asked) == 1
    assert speech.language == "de"
    assert begun == [("de", "transcribe")] * 2
    assert isinstance(speech.english(), str)
    assert begun[2:] == [("de", "translate")] * 2


def test_a_stated_language_is_not_decided(multilingual_dir, one_second_tone, monkeypatch):
    recognizer = WhisperRecognizer(multilingual_dir, language="en", max_new_tokens=4)
    monkeypatch.setattr(recognizer._model, "detect_language", None)
    assert recognizer.transcribe(one_second_tone, 16000).language == "en"


@pytest.mark.parametrize(("which", "known"), [("multilingual", "de, en"), ("whisper", "not multi")])
def test_a_language_that_it_does_not_know(request, which, known):
    folder = request.getfixturevalue(f"{which}_dir")
    with pytest.raises(ValueError, match=f"found language 'xx'.*{known}"):
        WhisperRecognizer(folder, language="xx")


def test_names_of_languages():
    assert [language_name(code) for code in ("de", "yue", "tlh")] == ["German", "Cantonese", "Tlh"]
