"""Twelve ways in which published evaluations of this field go wrong; none may happen here."""

import json
from pathlib import Path

import numpy as np
import pytest

from emotion_llama.evaluation import trust
from emotion_llama.evaluation.blocks import BlockFiles, read_rows
from emotion_llama.evaluation.judge import InvalidReplyError, ScoreResponse, require_answer
from emotion_llama.evaluation.metrics import label_figures
from emotion_llama.evaluation.overlap import PUBLISHED, TextPair, clue_overlap
from emotion_llama.evaluation.protocol import load_protocol, protocol_names
from emotion_llama.evaluation.published import published_figures, published_label
from emotion_llama.evaluation.wheel import hit_figures, load_lexicon, wheel_figures

LABELS = ("neutral", "happy", "sad")


class SameJudge:
    """Gives every question the best score."""

    name = "same"

    def ask(self, prompt: str) -> str:
        return '{"score": 10, "reason": "the same"}'


def test_1_an_answer_that_cannot_be_read_is_never_neutral() -> None:
    own = label_figures(["neutral"], [None], LABELS)
    assert (own.accuracy, own.num_unparsed) == (0, 1)
    assert published_label("I cannot say.", LABELS) == "neutral", (
        "only the published rule does that"
    )
    assert published_figures(["neutral"], ["I cannot say."], LABELS).num_rewarded == 1


def test_2_weighted_and_macro_f1_are_different_figures_with_different_names() -> None:
    figures = label_figures(["happy"] * 9 + ["sad"], ["happy"] * 10, LABELS)
    assert figures.weighted_f1 > 0.8 > 0.5 > figures.macro_f1
    assert load_protocol("mer2023-semi").metric == "weighted_f1"


def test_3_a_hit_rate_stands_beside_what_many_answers_cost_and_says_that_neutral_is_left_out() -> (
    None
):
    everything = ("happy", "sad", "angry", "neutral")
    found = hit_figures(["happy", "neutral"], [everything] * 2, everything, load_lexicon())
    assert found.hit_rate == 1
    assert found.mscore == pytest.approx(1 / 3)
    assert found.unscored == {"neutral": 1}
    assert found.words_per_answer == 4


def test_4_emer_says_that_its_clips_are_training_data_elsewhere() -> None:
    assert "MER2023" in load_protocol("emer").note
    assert "train" in load_protocol("emer").note


def test_5_iemocap_says_which_of_two_counts() -> None:
    note = load_protocol("iemocap-4").note
    assert "1,241" in note
    assert "1,496" in note


@pytest.mark.parametrize(
    "reply", ["8/10", "1. Good: 8", "score: 8", '{"score": 80, "reason": "x"}']
)
def test_6_a_judge_reply_is_parsed_whole_and_not_by_its_first_number(reply: str) -> None:
    with pytest.raises(InvalidReplyError):
        require_answer(reply, ScoreResponse)


def test_6_texts_of_two_languages_are_not_compared_and_a_judge_is_named() -> None:
    pair = TextPair("a", "他的语气很激动，眉头紧锁", "He speaks with excitement and frowns")
    assert clue_overlap(SameJudge(), pair).score is None
    same = clue_overlap(SameJudge(), TextPair("a", "He frowns", "He frowns"))
    assert (same.score, same.judge) == (10, "same")
    assert PUBLISHED["Emotion-LLaMA"] == (7.83, 6.25)


def test_7_dfew_states_folds_and_what_becomes_of_words_that_it_lacks() -> None:
    asked, mapped, strict = map(load_protocol, ("dfew", "dfew-merr9", "dfew-merr9-strict"))
    assert all("fold" in one.note for one in (asked, mapped, strict))
    assert "disgust" in asked.asked
    assert "disgust" not in mapped.asked
    assert mapped.scored("contempt") == "disgust"
    assert strict.scored("contempt") == "contempt", "no label of DFEW, so wrong"
    assert mapped.scored("doubt") not in mapped.labels


def test_8_wheel_levels_have_names() -> None:
    found = wheel_figures([("happy",)], [("joyful",)], load_lexicon()).to_dict()
    assert {"wheel_f1", "wheel_f1_level2", "wheel_f1_mean"} <= set(found)


def test_9_wheel_f1_is_the_harmonic_mean_of_means() -> None:
    lexicon = load_lexicon()
    truths = [("happy",), ("sad", "angry", "afraid")]
    answers = [("happy", "sad", "angry"), ("sad",)]
    found = wheel_figures(truths, answers, lexicon)
    precision, recall = (1 / 3 + 1) / 2, (1 + 1 / 3) / 2
    assert found.wheel_f1 == pytest.approx(2 * precision * recall / (precision + recall))
    of_clips = (2 * (1 / 3) / (4 / 3) + 2 * (1 / 3) / (4 / 3)) / 2
    assert found.wheel_f1 != pytest.approx(of_clips)


def test_10_nothing_right_is_zero_and_no_protocol_knows_a_machine() -> None:
    assert wheel_figures([("happy",)], [("sad",)], load_lexicon()).wheel_f1 == 0
    for name in protocol_names():
        text = json.dumps(load_protocol(name).model_dump(mode="json"))
        assert "/home/" not in text
        assert "/data/" not in text


def test_11_ranking_figures_use_probabilities_and_not_hard_answers() -> None:
    truths = ["happy", "sad", "happy", "sad"]
    sure = np.array([[0, 0.9, 0.1], [0, 0.4, 0.6], [0, 0.8, 0.2], [0, 0.55, 0.45]])
    flat = np.where(sure > 0.5, 0.6, 0.4) * [0, 1, 1]
    ranked = trust.trust_figures(sure, truths, LABELS)
    hard = trust.trust_figures(flat, truths, LABELS)
    assert (ranked.auroc, hard.auroc) == (1.0, 0.5)


def test_12_going_on_with_a_run_repeats_no_line(tmp_path: Path) -> None:
    for number in range(3):
        BlockFiles(tmp_path, "progress.json").add({"answers.jsonl": [{"sample_id": str(number)}]})
    assert [row["sample_id"] for row in read_rows(tmp_path / "answers.jsonl")] == ["0", "1", "2"]
