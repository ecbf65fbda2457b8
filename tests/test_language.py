"""Which words are plainly not English."""

import pytest

from emotion_llama.language import not_english

ENGLISH = (
    "Oh, this is wonderful! I am so happy that you are here!",
    "No! I am furious with you. Get out of here!",
    "Stop! Stop! Help!",
    "",
    "42 !!",
    "Well I\N{RIGHT SINGLE QUOTATION MARK}m not sure whether the garden gate was left open again",
    "She said that my brother José would bring his café friends along to the party tonight",
)
OTHER = {
    "Cyrillic": "Я очень рад тебя видеть",
    "Cjk": "我很高兴见到你",
    "Arabic": "أنا سعيد جدا",
    "Greek": "είμαι πολύ χαρούμενος",
    "different words": "Ich bin heute wirklich sehr traurig, weil mein alter Hund gestern Abend "
    "plötzlich gestorben ist und niemand helfen konnte",
}


SHORT = {
    "ich": "Ich bin traurig",
    "je": "Je suis content",
    "estoy": "Estoy muy feliz",
    "molto": "Sono molto felice",
    "muito": "Estou muito triste",
    "niet": "Dat is niet leuk",
    "jestem": "Jestem smutny",
    "çok": "Bu çok güzel",
    "aku": "Aku seneng",
    "chodz\u0119": "Chodz\u0119 do szko\u0142y",
}
"""Word that gives it away -> a short text in another language of the Latin script."""


@pytest.mark.parametrize("word", SHORT)
def test_a_short_text_is_told_by_a_word_of_another_language(word: str) -> None:
    why = not_english(SHORT[word])
    assert why is not None and repr(word) in why
    assert not_english(f"He said '{word}' to me and then he left the house") is None


@pytest.mark.parametrize("text", ENGLISH)
def test_english_and_what_is_too_short_to_tell_pass(text: str) -> None:
    assert not_english(text) is None


@pytest.mark.parametrize("sign", OTHER)
def test_another_script_or_no_frequent_word_is_named(sign: str) -> None:
    why = not_english(OTHER[sign])
    assert why is not None and sign in why


def test_a_few_foreign_letters_do_not_make_a_text_foreign() -> None:
    assert not_english("He said привет to me and then he left the house") is None
