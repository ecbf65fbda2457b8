"""Splits by person and source: nobody is in two of them."""

from collections import Counter, defaultdict

import pytest

from emotion_llama.merr.records import Source
from emotion_llama.merr.splits import NEAR_ENOUGH, SHARES, assign_splits, split_report


def spoken(source: str, speaker: str | None = None, group: str | None = None) -> Source:
    return Source(source, None, speaker=speaker, group=group)


def films(num_speakers: int, clips_each: int = 5) -> list[tuple[str, Source]]:
    return [
        (f"s{speaker:04}/{clip}", spoken("films", f"s{speaker}"))
        for speaker in range(num_speakers)
        for clip in range(clips_each)
    ]


def test_no_speaker_is_in_two_splits_and_the_shares_are_near() -> None:
    sources = films(60)
    splits = assign_splits(sources)
    of_speaker = defaultdict(set)
    for clip, source in sources:
        of_speaker[source.speaker].add(splits[clip])
    assert all(len(found) == 1 for found in of_speaker.values())
    reached = split_report(sources, splits).shares
    assert (
        sum(abs(reached[split] - share) for split, share in SHARES.items()) / 2
        <= NEAR_ENOUGH + 1e-9
    )


def test_a_speaker_of_two_films_joins_them_and_a_film_joins_its_speakers() -> None:
    chain = [
        ("a", spoken("x", "ann", "film 1")),
        ("b", spoken("x", "bob", "film 1")),
        ("c", spoken("x", "bob", "film 2")),
        ("d", spoken("x", "cas", "film 2")),
        ("e", spoken("x", None, "film 2")),
    ]
    for seed in range(20):
        splits = assign_splits(chain + films(30), seed=seed)
        assert len({splits[clip] for clip in "abcde"}) == 1


def test_speakers_of_two_sources_with_one_name_are_two_people() -> None:
    sources = [("a", spoken("x", "1")), ("b", spoken("y", "1"))]
    report = split_report(sources, assign_splits(sources))
    assert sum(report.num_bundles.values()) == 2


def test_a_clip_of_an_unknown_person_keeps_its_source_together_and_is_told_of() -> None:
    whole = films(8) + [("stray", spoken("films"))]
    splits = assign_splits(whole + [("z", spoken("y", "1")), ("zz", spoken("y", "2"))])
    assert len({splits[clip] for clip, _ in whole}) == 1
    notes = split_report(whole, assign_splits(whole)).notes
    assert any("1 of 41 clips state neither speaker nor group" in note for note in notes)


def test_too_few_people_leave_a_split_empty_instead_of_tearing_one_apart() -> None:
    sources = films(2, clips_each=50)
    splits = assign_splits(sources)
    report = split_report(sources, splits)
    assert sum(count > 0 for count in report.num_clips.values()) == 2
    assert any("found 2 bundles" in note and "expected at least 3" in note for note in report.notes)


def test_three_people_fill_three_splits() -> None:
    for seed in range(10):
        sources = films(3, clips_each=24)
        splits = assign_splits(sources, seed=seed)
        assert sorted(Counter(splits.values()).values()) == [24, 24, 24]
        assert any("could not be reached" in note for note in split_report(sources, splits).notes)


def test_new_speakers_move_no_others_where_there_are_many() -> None:
    before, after = films(200), films(201)
    old, new = assign_splits(before), assign_splits(after)
    assert all(new[clip] == split for clip, split in old.items())


def test_the_order_of_the_clips_does_not_matter_and_the_seed_does() -> None:
    sources = films(40)
    assert assign_splits(sources) == assign_splits(sources[::-1])
    assert assign_splits(sources) != assign_splits(sources, seed=1)


def test_a_clip_stays_with_its_copy() -> None:
    sources = films(40)
    pair = {"s0001/0": "s0002/0", "s0003/1": "not there"}
    for seed in range(10):
        splits = assign_splits(sources, seed=seed, copies=pair)
        assert splits["s0001/4"] == splits["s0002/4"]


def test_a_share_of_nothing_gets_nothing() -> None:
    splits = assign_splits(films(30), {"train": 0.5, "test": 0.5, "dev": 0.0})
    assert set(splits.values()) == {"train", "test"}


def test_unusable_shares_and_repeated_clips_are_named() -> None:
    with pytest.raises(ValueError, match=r"add up to 0\.9, expected shares .* add up to 1"):
        assign_splits(films(3), {"train": 0.9})
    with pytest.raises(ValueError, match="found clip 's0000/0' more than once"):
        assign_splits(films(1) + films(1))


def test_no_clips_give_no_splits() -> None:
    assert assign_splits([]) == {}
