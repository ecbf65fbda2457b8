"""Transcript -> whether it is plainly not English, and why that is thought.

Knows: scripts, a few frequent words. Does not know: pages, models. The check is simple and meant
to be: it sees another script, and in texts of some length the lack of words that almost every
English sentence has. It does not see short texts in other languages of the Latin script, nor names
of languages, and it takes a mixture for English.
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


def not_english(text: str) -> str | None:
    """Say why a text is plainly not English; ``None``: nothing speaks against it."""
    script = _other_script(text)
    if script is not None:
        return f"most of its letters are {script.capitalize()}"
    words = {word.strip("'") for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", _plain(text))}
    share = len(words & FREQUENT) / max(1, len(words))
    if len(words) >= LONG_TEXT and share < FEWEST:
        return f"{len(words & FREQUENT)} of its {len(words)} different words are common in English"
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
