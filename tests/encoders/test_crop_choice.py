"""Which crops of a track are read: fixed places, and the draw."""

import pytest

from emotion_llama.encoders.crop_choice import choose_crops, draw_crops

LENGTHS = [1, 2, 5, 8, 15, 16, 17, 80]


@pytest.mark.parametrize("length", LENGTHS)
def test_two_crops_come_from_each_eighth(length: int) -> None:
    for places in (choose_crops(length), draw_crops(length, 0)):
        assert len(places) == 16
        assert places == sorted(places) and places[0] >= 0 and places[-1] < length
        for part in range(8):
            low, high = int(part * length / 8), (part + 1) * length / 8
            assert all(low <= place <= high for place in places[2 * part : 2 * part + 2])
        if length >= 16:
            assert len(set(places)) == 16


def test_sixteen_crops_are_read_as_they_are() -> None:
    assert choose_crops(16) == draw_crops(16, 5) == list(range(16))


def test_the_draw_depends_on_the_seed_alone() -> None:
    assert draw_crops(80, 1) == draw_crops(80, 1)
    assert len({tuple(draw_crops(80, seed)) for seed in range(20)}) == 20


def test_every_crop_of_a_long_track_can_be_drawn() -> None:
    drawn = {place for seed in range(200) for place in draw_crops(40, seed)}
    assert drawn == set(range(40))
