"""Each rule of rejection: what it finds, and what it leaves alone."""

from dataclasses import replace

import pytest

from emotion_llama.labels import MERR, VALENCE
from emotion_llama.merr.caption_rules import CAPTION_RULES, RULE_MEANINGS, Draft, broken_rules
from emotion_llama.merr.faithfulness import measured_from_clues
from emotion_llama.merr.records import Clue

LIPS = Clue("facial", "AU12", "clear", "the lip corners are clearly pulled up")
LIGHT = Clue("scene", "brightness", "dim", "the picture is dim")
GOOD = Draft(
    evidence='The lip corners are clearly pulled up, and the words are: "I am so happy!"',
    conclusion="Raised lip corners and the words suggest that the person is happy.",
    label="happy",
    labels=MERR,
    measured=measured_from_clues([LIPS, LIGHT], "I am so happy!"),
    instructions="Write two or three sentences that put the observations together and stop.",
)


def rules(**changes: object) -> list[str]:
    return [broken.name for broken in broken_rules(replace(GOOD, **changes))]


def test_a_good_caption_breaks_no_rule_and_may_quote_a_label() -> None:
    assert broken_rules(GOOD) == ()


def test_all_rules_are_named_once_and_described() -> None:
    names = [rule.name for rule in CAPTION_RULES]
    assert len(set(names)) == len(names) == 12
    assert all(RULE_MEANINGS[name] for name in names)
    assert len(RULE_MEANINGS) == len(names) + 2, "and what is found before there is a draft"


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ("", ["empty"]),
        (" ... ", ["empty"]),
        ("The picture is dim. " + "The lip corners are clearly pulled up here. " * 1, []),
        ("I cannot see the video, so this is only what the list says.", ["refusal"]),
        ("As an AI, this model sees the lip corners pulled up.", ["refusal"]),
        ("There is no evidence in the list that helps.", ["refusal"]),
        ("It is impossible to determine more from the dim picture.", ["refusal"]),
        ("None of the listed emotions is shown by the picture.", ["no choice"]),
        ("The person does not show any of the given emotions here.", ["no choice"]),
        ("<|im_start|>assistant The picture is dim.", ["chat token"]),
        ("The picture is dim. [/INST] The lip corners are pulled up.", ["chat token"]),
        ("The picture is dim.\nUser: and then?", ["chat token"]),
        (
            "Write two or three sentences that put the observations together: the picture is dim.",
            ["prompt leak"],
        ),
        ("The picture is dim and the person is happy.", ["label leak"]),
        ("The picture is dim and the person smiles with joy.", ["label leak"]),
        ("The picture is dim and the person looks on worriedly.", ["label leak"]),
        ("The lip corners are strongly pulled up in the picture.", ["invented clue"]),
        ("The brows are clearly lowered and drawn together.", ["invented clue"]),
        ("The picture is bright and the lip corners are pulled up.", ["invented clue"]),
        ('The words are: "I am so sad!"', ["invented clue"]),
        ("The picture is dim and a trembling voice is heard.", ["missing modality"]),
        ("The picture is dim. The picture is dim.", ["loop"]),
        ("a dim picture of it " * 4, ["loop"]),
    ],
)
def test_evidence(evidence: str, expected: list[str]) -> None:
    assert rules(evidence=evidence) == expected


@pytest.mark.parametrize(
    ("conclusion", "expected"),
    [
        ("This suggests that the person is sad, going by the list.", ["contradiction"]),
        ("This suggests that the person is joyful, going by the list.", []),
        ("This suggests that the person is happy or sad.", ["no conclusion"]),
        ("This suggests that the person feels something strong.", ["no conclusion"]),
    ],
)
def test_conclusion(conclusion: str, expected: list[str]) -> None:
    assert rules(conclusion=conclusion) == expected


def test_length() -> None:
    assert rules(evidence="The picture is dim.", conclusion="So: happy.") == ["length"]
    long = " ".join(f"word{number}" for number in range(140))
    assert rules(evidence=long) == ["length"]
    assert rules(evidence=" ".join(f"word{number}" for number in range(60))) == []


@pytest.mark.parametrize(
    ("sentence", "clue"),
    [
        ("The lip corners are pulled up and the brows are lowered.", None),
        ("The subtitle and the way it is put say enough of it already.", LIPS),
        ("The person speaks in a low tone of voice all the time.", LIPS),
    ],
)
def test_a_kind_of_which_nothing_is_known_may_not_be_spoken_of(
    sentence: str, clue: Clue | None
) -> None:
    measured = measured_from_clues([clue or LIGHT])
    assert "missing modality" in rules(evidence=sentence, measured=measured)


def test_a_described_voice_may_be_spoken_of() -> None:
    sentence = "The picture is dim and a trembling voice is heard."
    assert rules(evidence=sentence, described=frozenset({"voice"})) == []


def test_the_label_may_be_given_in_another_form() -> None:
    assert rules(label="happiness") == []
    assert rules(label="sadness") == ["contradiction"]


@pytest.mark.parametrize("label", sorted(VALENCE))
def test_every_known_label_counts_as_a_leak(label: str) -> None:
    assert "label leak" in rules(evidence=f"The picture is dim; {label.title()} is written here.")


def test_a_reason_shows_what_was_found() -> None:
    (broken,) = broken_rules(
        replace(GOOD, evidence="The brows are clearly lowered and drawn together.")
    )
    assert "AU04 clear" in broken.reason
    assert "was not measured" in broken.reason
