"""Agreement of raters, against examples from the literature and worked by hand."""

from fractions import Fraction

import pytest
from review_samples import review, sample

from emotion_llama.merr.review.overlay import record_hash
from emotion_llama.merr.review.raters import (
    cohen_kappa,
    kept_ratings,
    krippendorff_alpha,
    label_ratings,
)


def by_item(*raters: str) -> dict[str, dict[str, str]]:
    """Give ratings from one string a rater, one letter an item; ``.`` is none."""
    return {
        str(item): {
            str(rater): answers[item]
            for rater, answers in enumerate(raters)
            if answers[item] != "."
        }
        for item in range(len(raters[0]))
    }


def test_kappa_of_a_table_worked_by_hand() -> None:
    # both yes 20, only the first 5, only the second 10, both no 15:
    # p_o = 35/50 = .7, p_e = (25 * 30 + 25 * 20) / 2500 = .5, kappa = .2 / .5
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen_kappa(first, second)
    assert found.value == pytest.approx(0.4, abs=1e-15)
    assert (found.observed, found.num_items, found.num_raters) == (0.7, 50, 2)


def test_kappa_of_three_names_worked_by_hand() -> None:
    # p_o = 5/6; a, b, c are 3, 2, 1 and 2, 2, 2 of 6: p_e = (6 + 4 + 2) / 36 = 1/3
    found = cohen_kappa(list("aaabbc"), list("aacbbc"))
    assert found.observed == pytest.approx(5 / 6)
    # kappa is what is over chance, 3/6, of what could be, 4/6
    assert found.value == pytest.approx(0.75, abs=1e-15)


def test_kappa_below_chance_and_perfect() -> None:
    assert cohen_kappa(list("abab"), list("baba")).value == -1.0
    assert cohen_kappa(list("abc"), list("abc")).value == 1.0


def test_kappa_leaves_out_what_one_did_not_judge() -> None:
    whole = cohen_kappa(list("aabb"), list("abbb"))
    assert cohen_kappa([*"aabb", "a", None], [*"abbb", None, "b"]) == whole


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ([], [], "no item was judged by both"),
        (["a", None], [None, "a"], "no item was judged by both"),
        (["a", "a"], ["a", "a"], "both always answered 'a'"),
    ],
)
def test_undefined_kappa_has_a_reason(
    first: list[str | None], second: list[str | None], why: str
) -> None:
    found = cohen_kappa(first, second)
    assert found.value is None
    assert why in str(found.why)


def test_kappa_of_lists_of_two_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="found 2 answers of one rater and 1 of the other"):
        cohen_kappa(["a", "b"], ["a"])


def test_alpha_of_two_raters_as_published() -> None:
    # Krippendorff 2011, example B: alpha = .692
    found = krippendorff_alpha(by_item("aabbdcccedda", "babbbccceddd"))
    assert found.value == pytest.approx(0.692, abs=5e-4)
    assert (found.num_items, found.num_raters) == (12, 2)


def test_alpha_of_four_raters_with_missing_answers_as_published() -> None:
    # Krippendorff 2011, example C: alpha = .743 for names; unit 12 has one answer and is left out
    found = krippendorff_alpha(
        by_item("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    )
    assert found.value == pytest.approx(0.743, abs=5e-4)
    assert (found.num_items, found.num_raters) == (11, 4)


def test_alpha_worked_by_hand() -> None:
    # answers aab, bb, ab: D_o = 4/2 + 0 + 2/1 = 4; a 3, b 4 of n = 7: D_e = (49 - 9 - 16) / 6 = 4
    found = krippendorff_alpha(by_item("aba", "abb", "b.."))
    assert found.value == 0.0
    # equal ordered pairs: 2 of 6, 2 of 2, 0 of 2
    assert found.observed == pytest.approx(4 / 10)


def test_alpha_of_two_raters_is_scotts_pi_corrected_for_few_items() -> None:
    # alpha = 1 - (1 - pi) (n - 1) / n with n answers (Krippendorff 2011, section on related ones)
    first, second = "aabbabcc", "aabbbbca"
    num = 2 * len(first)
    shares = [Fraction((first + second).count(name), num) for name in "abc"]
    expected = sum(share * share for share in shares)
    observed = Fraction(sum(a == b for a, b in zip(first, second, strict=True)), len(first))
    pi = (observed - expected) / (1 - expected)
    wanted = 1 - (1 - pi) * Fraction(num - 1, num)
    assert krippendorff_alpha(by_item(first, second)).value == pytest.approx(float(wanted))


def test_alpha_does_not_depend_on_order() -> None:
    ratings = by_item("aabbc", "abbbc", "a.bac")
    turned = {item: dict(reversed(answers.items())) for item, answers in reversed(ratings.items())}
    assert krippendorff_alpha(ratings) == krippendorff_alpha(turned)


@pytest.mark.parametrize(
    ("raters", "why"),
    [
        (("ab.", "..c"), "no item was judged by two raters"),
        (("aaa", "aaa"), "every answer is 'a'"),
    ],
)
def test_undefined_alpha_has_a_reason(raters: tuple[str, ...], why: str) -> None:
    found = krippendorff_alpha(by_item(*raters))
    assert found.value is None
    assert why in str(found.why)


def test_decisions_become_ratings_of_records_as_they_were() -> None:
    old, new = sample(transcript="x"), sample()
    made = [
        review(old, "reject", "ann"),
        review(new, "accept", "ann"),
        review(new, "reject", "bob"),
        review(new, "edit", "bob", label="sad", conclusion="sad"),
        review(new, "reject", "cem"),
        review(new, "accept", "dan"),
        review(new, "withdraw", "dan"),
    ]
    kept = {frozenset(answers.items()) for answers in kept_ratings(made).values()}
    assert kept == {
        frozenset({("ann", "reject")}),
        frozenset({("ann", "keep"), ("bob", "keep"), ("cem", "reject")}),
    }
    labels = label_ratings(made, {record_hash(new): "happy", record_hash(old): "happy"})
    assert list(labels.values()) == [{"ann": "happy", "bob": "sad"}]
