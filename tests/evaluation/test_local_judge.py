"""A tiny language model with random weights as a judge: whatever it says, the form holds."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from emotion_llama.evaluation import local_judge
from emotion_llama.evaluation.judge import ScoreResponse, ask_for, load_judge
from emotion_llama.evaluation.local_judge import LocalJudge
from emotion_llama.evaluation.overlap import TextPair, WordsResponse, clue_overlap

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
THINKING = TEMPLATE + "{% if false %}<think></think>{% endif %}"
OPENED = TEMPLATE + "<think>\n"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(local_judge, "REASON_TOKENS", 12)
    monkeypatch.setattr(local_judge, "WORDS_TOKENS", 12)
    monkeypatch.setattr(local_judge, "THINKING_TOKENS", 12)


def save(folder: Path, template: str = TEMPLATE, seed: int = 0, places: int = 2048) -> Path:
    """Save a model with one token a byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({one: n for n, one in enumerate(letters)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")
    made.chat_template = template
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=places,
        bos_token_id=None,
        eos_token_id=256,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


def judge(folder: Path, **options: Any) -> LocalJudge:
    made = load_judge(f"hf:{save(folder, **options)}", device="cpu")
    assert isinstance(made, LocalJudge)
    return made


@pytest.mark.parametrize("template", [TEMPLATE, THINKING, OPENED])
def test_every_score_has_the_form_and_the_same_bytes_each_time(
    template: str, tmp_path: Path
) -> None:
    made = judge(tmp_path / "m", template=template)
    replies = {made.ask_in_form("Score?", ScoreResponse) for _ in range(2)}
    (reply,) = replies
    assert 1 <= ScoreResponse.model_validate_json(reply).score <= 10
    asked = ask_for(made, "Score?", ScoreResponse)
    assert asked.replies == (reply,), "one try is enough"


def test_another_model_or_question_may_have_another_score(tmp_path: Path) -> None:
    found = set()
    for seed in range(3):
        made = judge(tmp_path / str(seed), seed=seed)
        for question in ("a", "Score the overlap of these texts!"):
            found.add(json.loads(made.ask_in_form(question, ScoreResponse))["score"])
    assert len(found) > 1


def test_the_score_is_the_likeliest_whole_number(tmp_path: Path) -> None:
    """Held against a pass over each whole text, without a cache."""
    made = judge(tmp_path / "m")
    begun = made._ids("user: Score?\nassistant: ")
    rows = [made._ids(f'{{"score": {n}, "reason": "') for n in range(1, 11)]
    slow = []
    for row in rows:
        ids = torch.tensor([[*begun, *row]])
        with torch.inference_mode():
            logs = made._model(input_ids=ids).logits[0].log_softmax(-1)
        places = range(len(begun), ids.shape[1])
        slow.append(sum(float(logs[place - 1, ids[0, place]]) for place in places))
    assert made._log_likelihoods(begun, rows) == pytest.approx(slow, abs=1e-4)


def test_a_reason_ends_at_its_quotation_mark_and_a_list_at_its_bracket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = judge(tmp_path / "m")
    monkeypatch.setattr(made, "_write", lambda *a: 'both\nsay "angry", "x": {')
    assert json.loads(made.ask_in_form("Score?", ScoreResponse))["reason"] == "both say"
    monkeypatch.setattr(made, "_write", lambda *a: '"angry", "sad"]} and so on')
    found = WordsResponse.model_validate_json(made.ask_in_form("Words?", WordsResponse))
    assert found.words == ["angry", "sad"]
    monkeypatch.setattr(made, "_write", lambda *a: '"angry", "s')
    asked = ask_for(made, "Words?", WordsResponse)
    assert (asked.answer, asked.fault) == (None, "no JSON object"), "a list without an end is none"


def test_thoughts_come_before_the_score_and_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for template in (THINKING, OPENED):
        made = judge(tmp_path / str(len(template)), template=template)
        monkeypatch.setattr(made, "_write", lambda ids, num, end: "They agree.</think>rest")
        text = made._tokenizer.decode(made._begun("Score?", 10))
        assert text.count("<think>") == text.count("</think>") == 1
        assert "".join(text.split()).endswith("<think>Theyagree.</think>")
        assert made.settings["thinking_tokens"] == 12


def test_a_prompt_without_room_is_left_out(tmp_path: Path) -> None:
    made = judge(tmp_path / "m", places=64)
    asked = ask_for(made, "Score? " * 20, ScoreResponse)
    assert (asked.answer, asked.fault) == (None, "no answer")
    assert "64 places" in asked.detail


def test_it_scores_a_pair_of_texts(tmp_path: Path) -> None:
    made = judge(tmp_path / "tiny", places=8192)
    found = clue_overlap(made, TextPair("a", "He frowns and is angry.", "He is cross."))
    assert found.score is not None
    assert found.judge == "tiny"
    assert made.settings["score"] == "likeliest of 1 to 10"
