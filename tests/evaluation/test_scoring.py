"""Sections of metrics.json from rows that are written by hand."""

import pytest

from emotion_llama.evaluation.protocol import Protocol, load_protocol
from emotion_llama.evaluation.scoring import (
    compare,
    score_hits,
    score_labels,
    score_noise,
    score_sentiment,
    score_subsets,
    score_variants,
    score_words,
)

LABELS = ("neutral", "happy", "sad")


@pytest.fixture
def protocol() -> Protocol:
    return load_protocol("manifest").model_copy(update={"labels": LABELS})


def row(
    sample_id: str, target: str, label: str | None, sure: float = 0.8, **more: object
) -> dict[str, object]:
    """One line of the answers; without a label, a clip that failed."""
    base = {
        "sample_id": sample_id,
        "target": target,
        "truth": {"label": target, "votes": None, "value": None, "words": None},
        "groups": {},
        "fold": None,
        "error": "no file" if label is None else None,
    }
    if label is not None:
        others = (1 - sure) / 2
        base |= {
            "label": label,
            "scored_label": label,
            "written_label": label,
            "answer": label,
            "parse_status": "ok",
            "probabilities": {name: sure if name == label else others for name in LABELS},
            "reason": f"The face looks {label}.",
        }
    return {**base, **more}


def test_a_failure_is_wrong_for_labels_and_left_out_of_probabilities(protocol: Protocol) -> None:
    rows = [row("a", "happy", "happy"), row("b", "sad", None), row("c", "sad", "sad")]
    found = score_labels(protocol, rows)
    assert found["labels"]["scored"]["figures"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert found["labels"]["scored"]["confusion"]["unparsed"] == [0, 0, 1]
    assert found["calibration"]["num_clips"] == 2
    assert found["calibration"]["ece"] is None, "fewer than 1,000 clips"
    assert found["risk_coverage"]["answered_at_80"] == 1


def test_baselines_answer_without_looking(protocol: Protocol) -> None:
    rows = [row(str(n), "happy" if n else "sad", "sad") for n in range(4)]
    found = score_labels(protocol, rows)["baselines"]
    assert found["majority"]["label"] == "happy"
    assert found["majority"]["figures"]["accuracy"]["value"] == 0.75
    assert found["constant"]["sad"]["accuracy"] == 0.25
    assert found["constant"]["neutral"]["uar"] == 0


def test_folds_have_a_mean_and_a_deviation(protocol: Protocol) -> None:
    rows = [
        row("a", "happy", "happy", fold="1"),
        row("b", "sad", "happy", fold="2"),
        row("c", "sad", "sad", fold="2"),
    ]
    found = score_labels(protocol, rows)["folds"]
    assert found["1"] == {"num_clips": 1, "figures": found["1"]["figures"]}
    assert found["mean"]["accuracy"] == 0.75
    assert found["sd"]["accuracy"] == pytest.approx(0.5 / 2**0.5)
    assert "folds" in score_labels(protocol, rows[1:])["absent"], "one fold is none"


def test_intervals_draw_people_where_enough_are_known(protocol: Protocol) -> None:
    by_speaker = protocol.model_copy(update={"group_by": "speaker"})
    rows = [
        row(f"{who}{n}", "happy", "happy" if who % 2 else "sad", groups={"speaker": str(who)})
        for who in range(10)
        for n in range(5)
    ]
    wide = score_labels(by_speaker, rows)["labels"]["scored"]["figures"]["accuracy"]
    narrow = score_labels(protocol, rows)["labels"]["scored"]["figures"]["accuracy"]
    assert (wide["over"], narrow["over"]) == ("speaker", "clips")
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]
    few = score_labels(by_speaker, rows[:45])["labels"]["scored"]["figures"]["accuracy"]
    assert few["over"] == "clips", "nine people are too few to draw"


def test_votes_are_used_where_all_clips_have_them(protocol: Protocol) -> None:
    truth = {"label": "happy", "votes": {"happy": 0.7, "sad": 0.3}, "value": None, "words": None}
    rows = [row("a", "happy", "happy", truth=truth), row("b", "happy", "sad", truth=truth)]
    assert score_labels(protocol, rows)["soft_labels"]["human_ceiling"] == pytest.approx(0.7)
    assert "soft_labels" in score_labels(protocol, [*rows, row("c", "sad", "sad")])["absent"]


def test_valence_gives_the_combined_figure(protocol: Protocol) -> None:
    truth = {"label": "happy", "votes": None, "value": 4.0, "words": None}
    found = score_labels(
        protocol, [row("a", "happy", "happy", truth=truth), row("b", "sad", "sad")]
    )
    expected = 5 * (0.8 - 0.1)  # happy minus sad, neutral counts nothing
    assert found["valence"]["valence_mse"] == pytest.approx((expected - 4) ** 2)
    assert found["valence"]["num_without_truth"] == 1


def variants(name: str, **answers: str | None) -> list[dict[str, object]]:
    return [
        {"sample_id": one, "variant": name, "scored_label": label, "error": None}
        for one, label in answers.items()
    ]


def test_subsets_compare_the_same_clips(protocol: Protocol) -> None:
    rows = [row("a", "happy", "happy"), row("b", "sad", "sad"), row("mute", "sad", "sad")]
    found = score_subsets(
        protocol,
        rows,
        [
            *variants("audio", a="happy", b="happy"),
            *variants("vision", a="sad", b="sad", mute="sad"),
            *variants("audio+vision", a="happy", b="sad"),
        ],
    )
    of_parts = {tuple(one["modalities"]): one for one in found["rows"]}
    assert of_parts["vision",]["num_clips"] == 2, "the mute clip has no voice to compare with"
    assert of_parts["audio", "vision"]["value"] == 1
    assert found["drop"] == {"audio": 0.5, "vision": 0.5}
    assert sum(found["shapley"].values()) == pytest.approx(1 - 0.5)


def test_order_and_noise_hold_clips_against_themselves(protocol: Protocol) -> None:
    rows = [row("a", "happy", "happy"), row("b", "sad", "sad")]
    asked = [*variants("default", a="happy", b="sad"), *variants("reversed", a="sad", b="sad")]
    assert score_variants(protocol, rows, asked)["consistency"] == 0.5
    noise = [
        *variants("clean", a="happy", b="sad"),
        *variants("white noise, 0 dB", a="sad"),
        {"sample_id": "b", "variant": "white noise, 0 dB", "left_out": "the clip has no sound"},
    ]
    found = score_noise(protocol, rows, noise)
    assert [
        (one["name"], one["num_clips"], one["clean"], one["drop"]) for one in found["rows"]
    ] == [("white noise", 1, 1.0, 1.0)]
    assert found["left_out"] == {"white noise, 0 dB: the clip has no sound": 1}


def test_sentiment_leaves_true_zeros_out_of_its_leading_figure() -> None:
    rules = load_protocol("cmu-mosi")
    truths = {"a": 2.0, "b": -2.0, "c": 0.0}
    rows = [
        row(one, "x", "happy" if one == "a" else "sad", truth={"value": value, "label": None})
        for one, value in truths.items()
    ]
    found = score_sentiment(rules, rows)["sentiment"]
    assert found["weighted_f1"]["value"] == 1
    assert found["weighted_f1"]["num_clips"] == 2
    assert found["num_clips"] == 3


def test_sentiment_of_few_clips_has_no_interval_and_of_zeros_no_leading_figure() -> None:
    rules = load_protocol("manifest-sentiment")
    one = [row("a", "x", "happy", truth={"value": 2.0, "label": None})]
    found = score_sentiment(rules, one)["sentiment"]
    assert (found["weighted_f1"]["value"], found["weighted_f1"]["low"]) == (1, None)
    assert found["acc7"] is not None
    zero = [row("a", "x", "happy", truth={"value": 0.0, "label": None})]
    assert score_sentiment(rules, zero)["sentiment"]["weighted_f1"]["value"] is None


def test_words_of_label_and_reason_are_scored() -> None:
    rules = load_protocol("mer2024-ov")
    truth = {"label": None, "votes": None, "value": None, "words": ["joyful", "surprised"]}
    rows = [row("a", "x", "happy", truth=truth), row("b", "x", None, truth=truth)]
    found = score_words(rules, rows)
    assert found["open_words"]["precision"] == 0.5, "a clip without an answer scores 0"
    assert found["open_words"]["num_unparsed"] == 1
    assert next(iter(found["baselines"])).startswith("always ")


def test_hits_are_counted_over_reasons_and_padding_costs() -> None:
    rules = load_protocol("mer2023-multi")
    rows = [
        row("a", "happy", "happy", reason="A smile: she looks joyful."),
        row("b", "sad", "happy", reason="He is sad, angry, happy, worried and surprised."),
        row("c", "sad", "sad", reason="Nothing is told."),
        row("d", "angry", None),
        row("e", "neutral", "neutral", reason="A calm face."),
    ]
    found = score_hits(rules, rows)
    assert found is not None
    assert found["set"].startswith("MER2023 (MULTI")
    own, both = found["reason"], found["label_and_reason"]
    assert own["hit_rate"] == pytest.approx(2 / 4), "c has no word and d no answer"
    assert both["hit_rate"] == pytest.approx(3 / 4)
    assert own["mscore"] < own["hit_rate"]
    assert own["unscored"] == {"neutral": 1}
    assert own["num_unparsed"] == 1
    assert found["always_all_labels"]["hit_rate"] == 1


def test_hits_are_for_basic_sets_with_reasons_alone() -> None:
    rows = [row("a", "happy", "happy")]
    assert score_hits(load_protocol("mer2023-semi"), rows) is None
    bare = [{**one, "reason": None} for one in rows]
    assert score_hits(load_protocol("meld"), bare) is None


def test_runs_are_compared_by_id(protocol: Protocol) -> None:
    rows = [row("a", "happy", "happy"), row("b", "sad", "sad")]
    others = [row("b", "sad", "happy"), row("a", "happy", "happy")]
    found = compare(protocol, rows, others, "other")
    assert found["table"] == {"both": 1, "only_this": 1, "only_other": 0, "neither": 0}
    assert found["figures"]["accuracy"]["difference"] == 0.5
    with pytest.raises(ValueError, match="c"):
        compare(protocol, rows, [*others, row("c", "sad", "sad")], "other")
