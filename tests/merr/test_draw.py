"""Choices that depend on names alone, whatever a name is made of."""

from emotion_llama.merr.draw import draw_number


def test_a_name_that_is_no_unicode_is_drawn_for_too() -> None:
    assert draw_number("caf\udce9.mp4") == draw_number("caf\udce9.mp4")
    assert draw_number("caf\udce9.mp4") != draw_number("cafe.mp4")
