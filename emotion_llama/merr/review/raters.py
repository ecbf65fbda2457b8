"""How far people who judged the same things agree, beyond what chance would give.

Knows: Cohen's kappa, Krippendorff's alpha for names. Does not know: what is judged, files. Where a
measure is undefined it is ``None`` with the reason.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from emotion_llama.merr.review.overlay import Review

Ratings = Mapping[str, Mapping[str, str]]
"""item -> rater -> answer; a rater who did not judge an item has no entry there."""


@dataclass(frozen=True)
class RaterAgreement:
    """One measure of agreement."""

    value: float | None
    """1: always; 0: as often as chance; below: less often than that"""
    why: str | None
    """why there is no value"""
    num_items: int
    """items that at least two raters judged"""
    num_raters: int
    """raters of those items"""
    observed: float | None
    """share of pairs of answers to one item that are equal"""


def cohen_kappa(first: Sequence[str | None], second: Sequence[str | None]) -> RaterAgreement:
    """Measure how far two raters agree: (p_o - p_e) / (1 - p_e).

    p_o is the share of items with equal answers, p_e the sum over answers of the product of both
    raters' shares. Source: Cohen 1960, A coefficient of agreement for nominal scales, equation 1.

    Args:
        first: one rater's answer to each item; ``None``: none
        second: the other's, to the same items in the same order

    Raises:
        ValueError: the two are not of one length
    """
    if len(first) != len(second):
        msg = (
            f"found {len(first)} answers of one rater and {len(second)} of the other; expected the "
            "same items, with None where one has no answer"
        )
        raise ValueError(msg)
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    num = len(pairs)
    if num == 0:
        return RaterAgreement(None, "no item was judged by both", 0, 0, None)
    observed = Fraction(sum(a == b for a, b in pairs), num)
    of_first, of_second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    expected = Fraction(sum(n * of_second[name] for name, n in of_first.items()), num * num)
    if expected == 1:
        why = f"both always answered {pairs[0][0]!r}, so chance would agree as well"
        return RaterAgreement(None, why, num, 2, float(observed))
    return RaterAgreement(
        float((observed - expected) / (1 - expected)), None, num, 2, float(observed)
    )


def krippendorff_alpha(ratings: Ratings) -> RaterAgreement:
    """Measure how far any number of raters agree who need not have judged every item.

    alpha = 1 - D_o / D_e for names, with D_o = sum over items of the unequal ordered pairs of
    answers / (m - 1), m being the answers to the item, and D_e = the unequal ordered pairs of all
    answers to such items / (n - 1), n being their number. Items with one answer do not count.
    Source: Krippendorff 2011, Computing Krippendorff's alpha-reliability, section C.

    Args:
        ratings: answers by item and rater
    """
    items = {item: answers for item, answers in ratings.items() if len(answers) > 1}
    raters = {rater for answers in items.values() for rater in answers}
    if not items:
        return RaterAgreement(None, "no item was judged by two raters", 0, 0, None)
    unequal = Fraction(0)
    num_pairs = num_equal = 0
    totals: Counter[str] = Counter()
    for answers in items.values():
        counts = Counter(answers.values())
        totals += counts
        size = counts.total()
        equal = sum(n * (n - 1) for n in counts.values())
        unequal += Fraction(size * (size - 1) - equal, size - 1)
        num_pairs += size * (size - 1)
        num_equal += equal
    observed = num_equal / num_pairs
    size = totals.total()
    by_chance = Fraction(size * size - sum(n * n for n in totals.values()), size - 1)
    if by_chance == 0:
        why = f"every answer is {next(iter(totals))!r}, so chance would agree as well"
        return RaterAgreement(None, why, len(items), len(raters), observed)
    return RaterAgreement(float(1 - unequal / by_chance), None, len(items), len(raters), observed)


def kept_ratings(reviews: Sequence[Review]) -> Ratings:
    """Give each reviewer's answer to whether a record belongs in the data set.

    Args:
        reviews: in the order in which they were made; the last of a reviewer counts, each state of
            a record is an item of its own
    """
    return _ratings(reviews, lambda review: "reject" if review.decision == "reject" else "keep")


def label_ratings(reviews: Sequence[Review], labels: Mapping[str, str | None]) -> Ratings:
    """Give the label that each reviewer left a record with; a rejection says none.

    Args:
        reviews: as for `kept_ratings`
        labels: hash of a record -> its label as it was built
    """
    return _ratings(
        reviews,
        lambda review: (
            None
            if review.decision == "reject"
            else review.edits.label or labels.get(review.record_sha256)
        ),
    )


def _ratings(reviews: Sequence[Review], answer: Callable[[Review], str | None]) -> Ratings:
    last: dict[tuple[str, str], Review] = {}
    for review in reviews:
        last[f"{review.clip_id}\n{review.record_sha256}", review.reviewer] = review
    ratings: dict[str, dict[str, str]] = {}
    for (item, reviewer), review in last.items():
        given = None if review.decision == "withdraw" else answer(review)
        if given is not None:
            ratings.setdefault(item, {})[reviewer] = given
    return ratings
