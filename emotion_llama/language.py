"""Transcript -> whether it is plainly not English, and why that is thought.

Knows: scripts, letters, frequent words. Does not know: pages, models. The check is meant to be
simple: it sees another script, more words and letters of other languages than frequent English
words, and, in longer texts, the lack of these. A few rare words in another language may pass.
"""

import re
import unicodedata
from collections import Counter

LATIN = "LATIN"
MOST = 0.5
"""Share of letters of one other script from which a text is written in it."""

LONG_TEXT = 10
"""Different words from which the lack of frequent words says something."""

FEWEST = 0.1
"""Share of frequent words among the different words of a text, below which it is not English. Of
English sentences it is 0.3 to 0.6; German, French, Spanish and Italian ones stay below."""

_FREQUENT = """the and you i it is to of that my we this are have not with for but be what your
    they she his her at can don't i'm it's just all know like there out about get up how when been
    would from were because them who our him then some very really here why never me do did has had
    will where could should i've you're that's let's please no so if or a"""
FREQUENT = frozenset(re.findall(r"\S+", _FREQUENT))
"""Frequent words of spoken English; those that are as frequent in another language of the Latin
script (German ``was``, Spanish ``he``) are left out, but for the very commonest."""


_ELSEWHERE = """ich nicht und ist das der ein eine wir sie mir mich dich sehr auch aber wie mein
    meine kann habe haben sind wird warum heute immer schon wieder doch
    je tu il nous vous est suis pas tr\u00e8s des une avec mais moi c'est j'ai qui pourquoi toujours
    yo estoy muy que por pero eres soy est\u00e1 porque siempre tengo bien
    io sono che molto \u00e8 perch\u00e9 sempre questo mio
    eu estou muito voc\u00ea n\u00e3o meu minha
    ik niet het een zijn maar jij waarom heel mijn dat
    nie si\u0119 jest jestem bardzo mam dlaczego ja jak mnie
    bir bu \u00e7ok i\u00e7in de\u011fil
    saya tidak yang aku kamu ini itu sangat ora kowe
    jag inte \u00e4r och mycket"""
ELSEWHERE = frozenset(re.findall(r"\S+", _ELSEWHERE))
"""Frequent words of German, French, Spanish, Italian, Portuguese, Dutch, Polish, Turkish,
Indonesian, Javanese and Swedish that are no words of English, nor names that are frequent in it."""


LETTERS = frozenset(
    "\u0105\u0107\u0119\u0142\u0144\u015b\u017a\u017c\u00df\u00e4\u00f6\u00fc\u011f\u015f\u0131\u00e5\u00f8\u00e3\u00f5\u0151\u0171\u010d\u011b\u0159\u0161\u017e\u016f"
)
"""Letters that English has in names only; those of caf\u00e9 and na\u00efve are left out."""


def not_english(text: str) -> str | None:
    """Say why a text is plainly not English; ``None``: nothing speaks against it."""
    script = _other_script(text)
    if script is not None:
        return f"most of its letters are {script.capitalize()}"
    words = {word.strip("'") for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", _plain(text))}
    share = len(words & FREQUENT) / max(1, len(words))
    if len(words) >= LONG_TEXT and share < FEWEST:
        return f"{len(words & FREQUENT)} of its {len(words)} different words are common in English"
    foreign = sorted(word for word in words if word in ELSEWHERE or LETTERS & set(word))
    if len(foreign) > len(words & FREQUENT):
        named = ", ".join(map(repr, foreign[:3]))
        return f"{named} {'belong' if len(foreign) > 1 else 'belongs'} to another language"
    return None


def _plain(text: str) -> str:
    return text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def _other_script(text: str) -> str | None:
    """Name the script other than Latin that most letters are of, as Unicode calls it."""
    scripts = Counter(unicodedata.name(one, "?").split(" ")[0] for one in text if one.isalpha())
    if not scripts:
        return None
    script, number = scripts.most_common(1)[0]
    latin = scripts[LATIN] / scripts.total()
    return script if script != LATIN and (number / scripts.total() > MOST or latin < MOST) else None
