"""Emotion words of an open vocabulary, true and answered -> how well they agree.

Knows: which words mean about the same and where they lie on emotion wheels (`Lexicon`), set
measures over them. Does not know: models, data sets, judges.
A word that the lexicon does not know is left out of both sets and counted; a clip without an answer
is scored 0.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emotion_llama.evaluation.metrics import LEVEL, NUM_RESAMPLES, Interval, bootstrap

OWN_LEXICON = Path(__file__).parent / "wheel_lexicon.yaml"
"""The packaged lexicon; its words and wheels are this project's own."""

CONSTANT_WORDS = ("angry", "sad", "worried", "happy", "surprised")
"""A constant answer that beats many published models on F_s: five words, whatever the clip shows.
It is the baseline to print beside a figure."""

_NEGATOR = re.compile(
    r".+n't|not|never|cannot|hardly|barely|scarcely|non|none|no|without|neither|nor"
    r"|lack(s|ed|ing)?|absence"
)
_LIST_NEGATOR = re.compile(r"no|without|neither|nor|lack(s|ed|ing)?|absence")
"""Those that negate a whole list: "no anger, fear and disgust"."""
_RESTORING = re.compile(
    r"only|just|merely|simply|help|hiding|doubt|wonder|(hide|conceal|contain|suppress|control|stop)\w*"
)
"""What states the word after a negator: "not only sad", "cannot hide her anger", "no doubt sad"."""
_STOP = re.compile(
    r"[^a-z]|and|but|yet|though|although|while|whereas|however|instead|rather|because|since|why|how"
    r"|what|when|which|who"
)
"""What begins a new clause; a negation does not reach over it."""
_JOINERS = frozenset((",", "or", "nor", "and"))
_REACH = 5
"""Words before an emotion word in which a negator is looked for: "not show any sign of fear"."""

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|[^\w\s'’-]|(?<=\s)-(?=\s)")

Words = Sequence[str]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Wheel:
    """Words in rings: few wide classes inside, more and finer ones around them."""

    name: str
    level1: Mapping[str, str]
    """word of the wheel -> class of the inner ring"""
    level2: Mapping[str, str]
    """word of the wheel -> class of the second ring"""


@dataclass(frozen=True)
class Lexicon:
    """What is known of emotion words (OV-MER, Lian et al., ICML 2025: the maps M1, M2 and M3)."""

    name: str
    """stands beside every figure: those of two lexicons are not comparable"""
    bases: Mapping[str, tuple[str, ...]]
    """written form -> base words (M1)"""
    synonyms: Mapping[str, tuple[str, ...]]
    """base word -> words of the wheels that mean about the same (M2)"""
    wheels: tuple[Wheel, ...]
    listed_only: frozenset[str] = frozenset()
    """forms that are not looked for in running text"""

    def wheel_words(self, word: str) -> tuple[str, ...]:
        """Give all words of the wheels that a word leads to, sorted; none: it is unknown."""
        form = fold(word)
        bases = self.bases.get(form, (form,))
        found = {name for base in bases for name in self.synonyms.get(base, ())}
        return tuple(sorted(found | (self._on_wheels & set(bases))))

    @cached_property
    def _on_wheels(self) -> frozenset[str]:
        return frozenset(word for wheel in self.wheels for word in wheel.level1)

    @cached_property
    def _phrases(self) -> Mapping[tuple[str, ...], str]:
        """Give the words of a form -> the form, for all that are looked for in text."""
        return {tuple(_tokens(form)): form for form in self.bases if form not in self.listed_only}


@dataclass(frozen=True)
class WheelScore:
    """Set measures on one wheel, over the clips whose truth has a class there."""

    wheel: str
    level: int
    precision: float | None
    recall: float | None
    f1: float | None
    """harmonic mean of the two means, not a mean over clips; 0 where both are 0"""
    num_clips: int


@dataclass(frozen=True)
class WheelFigures:
    """The EW metric (OV-MER and AffectGPT, both ICML 2025); ``None``: a wheel has no clip."""

    wheel_f1: float | None
    """F_s at level 1, as in MER-UniBench and MER2026"""
    wheel_f1_level2: float | None
    wheel_f1_mean: float | None
    """mean of the two levels, as in MER2025"""
    precision: float | None
    """P_s at level 1: mean over wheels"""
    recall: float | None
    """R_s at level 1: mean over wheels"""
    wheels: tuple[WheelScore, ...]
    lexicon: str
    num_clips: int
    """all, scored or not; how many each wheel scores stands in ``wheels``"""
    num_unparsed: int
    """answers without words to read; they score 0"""
    words_per_truth: float
    words_per_answer: float
    """different words a clip; many raise the recall for nothing"""
    unknown_in_truths: Mapping[str, int]
    """word that the lexicon does not know -> clips that it was left out of"""
    unknown_in_answers: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class HitScore:
    """Hits on one wheel at level 1, over the clips whose truth has a class there."""

    wheel: str
    hit_rate: float | None
    mscore: float | None
    num_clips: int


@dataclass(frozen=True)
class HitFigures:
    """Is the true label among the answered words? ``None``: a wheel has no clip."""

    hit_rate: float | None
    """mean over wheels (AffectGPT, ICML 2025); an answer of all labels has 1"""
    mscore: float | None
    """the same, with a hit divided by the number of the data set's classes that are answered: an
    answer of all labels has 1 / classes. Never show the hit rate without it"""
    words_per_answer: float
    """different words a clip"""
    wheels: tuple[HitScore, ...]
    lexicon: str
    num_clips: int
    """all, scored or not"""
    num_unparsed: int
    """answers without words to read; they are no hit"""
    unscored: Mapping[str, int]
    """truth that lies on no wheel, such as neutral -> clips that no figure here speaks of"""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LexiconSetFigures:
    """MER2024's open-vocabulary measures, with words grouped by a lexicon.

    The challenge groups by GPT-3.5; its figures and these are not comparable. ``None``: no clip has
    a true word.
    """

    lexicon_set_accuracy: float | None
    """mean share of the answered groups that are true"""
    lexicon_set_recall: float | None
    """mean share of the true groups that are answered"""
    lexicon_set_average: float | None
    """mean of the two"""
    lexicon: str
    num_clips: int
    """with at least one true word"""
    num_skipped: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


def fold(word: str) -> str:
    """Give a word as the lexicon has it: lower case, one space between words, none outside."""
    return " ".join(word.lower().split())


def listed_words(text: str) -> tuple[str, ...]:
    """Read a written list such as ``['sad', 'let down']`` or ``sad, let down``; each word once."""
    parts = re.split(r"[,;\"“”\n]|(?<!\w)['’]|['’](?!\w)", text.strip().strip("[]"))
    return tuple(dict.fromkeys(word for part in parts if (word := fold(part).rstrip("."))))


def synonym_class(word: str, lexicon: Lexicon) -> str | None:
    """Give the first wheel word that a word leads to, or ``None`` where it is unknown."""
    return next(iter(lexicon.wheel_words(word)), None)


def wheel_class(word: str, wheel: Wheel, lexicon: Lexicon, level: Literal[1, 2] = 1) -> str | None:
    """Give the class of a word on a wheel, or ``None`` where it has none.

    A word may lead to several words of the wheel; the first in the alphabet that lies on it counts.
    """
    ring = wheel.level1 if level == 1 else wheel.level2
    return next((ring[name] for name in lexicon.wheel_words(word) if name in ring), None)


def emotion_words(text: str, lexicon: Lexicon) -> tuple[str, ...]:
    """Find the lexicon's words in running English text, in lower case, each once, in order.

    A negated word ("not happy", "without fear", "no anger or worry") is left out.
    """
    tokens = _tokens(text)
    found = []
    last_end, last_negator = 0, ""
    for start, end, form in _hits(tokens, lexicon._phrases):
        negator = _negator(tokens, start)
        joiners = set(tokens[last_end:start])
        if not negator and last_negator and joiners and joiners <= _JOINERS:
            spreads = _LIST_NEGATOR.fullmatch(last_negator) or joiners & {"or", "nor"}
            negator = last_negator if spreads else ""
        if not negator:
            found.append(form)
        last_end, last_negator = end, negator
    return tuple(dict.fromkeys(found))


def wheel_figures(
    truths: Sequence[Words], answers: Sequence[Words | None], lexicon: Lexicon
) -> WheelFigures:
    """Give the EW metric of answered words.

    Args:
        truths: emotion words of each clip
        answers: words answered, in the same order; ``None`` where none could be read
        lexicon: what is known of the words

    Raises:
        ValueError: no clip, or another number of answers
    """
    shares = _share_table(truths, answers, lexicon)
    precision, recall = _clip_means(shares)  # [2 x k] each: level, wheel
    level1, level2 = _harmonic(precision, recall).mean(1)
    return WheelFigures(
        wheel_f1=_stated(level1),
        wheel_f1_level2=_stated(level2),
        wheel_f1_mean=_stated((level1 + level2) / 2),
        precision=_stated(precision[0].mean()),
        recall=_stated(recall[0].mean()),
        wheels=_wheel_scores(shares, lexicon),
        lexicon=lexicon.name,
        num_clips=len(truths),
        num_unparsed=sum(answer is None for answer in answers),
        words_per_truth=_words_per_clip(truths),
        words_per_answer=_words_per_clip(answers),
        unknown_in_truths=_unknown(truths, lexicon),
        unknown_in_answers=_unknown(answers, lexicon),
    )


def wheel_intervals(
    truths: Sequence[Words],
    answers: Sequence[Words | None],
    lexicon: Lexicon,
    *,
    groups: Sequence[str] | None = None,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Give the interval of each F1 of `WheelFigures`, by the name of its field.

    Where so few clips lie on a wheel that a draw may hold none of them, there is no interval.

    Args:
        truths: as in `wheel_figures`
        answers: as in `wheel_figures`
        lexicon: as in `wheel_figures`
        groups: as in `emotion_llama.evaluation.metrics.bootstrap`, like the settings that follow
        num_resamples: how often is drawn
        level: share of the resamples inside the interval
        seed: of the draws

    Raises:
        ValueError: as `wheel_figures` and `bootstrap`
    """
    shares = _share_table(truths, answers, lexicon)
    names = ("wheel_f1", "wheel_f1_level2", "wheel_f1_mean")

    def figures(rows: NDArray[np.int64]) -> list[float]:
        level1, level2 = _harmonic(*_clip_means(shares[..., rows])).mean(1)
        return [level1, level2, (level1 + level2) / 2]

    intervals = bootstrap(
        figures, len(truths), groups=groups, num_resamples=num_resamples, level=level, seed=seed
    )
    return {
        name: interval
        for name, interval in zip(names, intervals, strict=True)
        if np.isfinite(interval.low)
    }


def constant_wheel_figures(
    truths: Sequence[Words], lexicon: Lexicon, words: Words = CONSTANT_WORDS
) -> WheelFigures:
    """Give the EW metric of the same words for every clip."""
    return wheel_figures(truths, [words] * len(truths), lexicon)


def hit_figures(
    truths: Sequence[str],
    answers: Sequence[Words | None],
    labels: Sequence[str],
    lexicon: Lexicon,
) -> HitFigures:
    """Give hit rate and mscore, at level 1.

    Args:
        truths: right label of each clip
        answers: words answered, in the same order; ``None`` where none could be read
        labels: all labels of the data set
        lexicon: what is known of the words

    Raises:
        ValueError: no clip, or another number of answers
    """
    _require_same_number(truths, answers)
    hits = np.array(
        [
            [_hit(*pair, labels, wheel, lexicon) for pair in zip(truths, answers, strict=True)]
            for wheel in lexicon.wheels
        ]
    )  # [k x n x 2]
    rates, mscores = _clip_means(np.moveaxis(hits, -1, 0))
    counts = (~np.isnan(hits[..., 0])).sum(1)
    return HitFigures(
        hit_rate=_stated(rates.mean()),
        mscore=_stated(mscores.mean()),
        words_per_answer=_words_per_clip(answers),
        wheels=tuple(
            HitScore(wheel.name, _stated(rates[k]), _stated(mscores[k]), int(counts[k]))
            for k, wheel in enumerate(lexicon.wheels)
        ),
        lexicon=lexicon.name,
        num_clips=len(truths),
        num_unparsed=sum(answer is None for answer in answers),
        unscored=_unknown([[truth] for truth in truths], lexicon),
    )


def constant_hit_figures(
    truths: Sequence[str], labels: Sequence[str], lexicon: Lexicon, words: Words | None = None
) -> HitFigures:
    """Give the figures of the same words for every clip; ``None``: all labels of the data set."""
    constant = labels if words is None else words
    return hit_figures(truths, [constant] * len(truths), labels, lexicon)


def lexicon_set_figures(
    truths: Sequence[Words], answers: Sequence[Words | None], lexicon: Lexicon
) -> LexiconSetFigures:
    """Give MER2024's set accuracy and recall, with the lexicon's synonyms as groups.

    A word that the lexicon does not know is a group of its own. Clips without a true word are
    skipped; a clip without an answer scores 0.

    Raises:
        ValueError: no clip, or another number of answers
    """
    _require_same_number(truths, answers)

    def groups(words: Words | None) -> set[str]:
        return {synonym_class(word, lexicon) or fold(word) for word in words or ()}

    pairs = zip(truths, answers, strict=True)
    rows = np.array([_set_shares(groups(truth), groups(answer)) for truth, answer in pairs])
    accuracy, recall = _clip_means(rows.T)
    num_clips = int((~np.isnan(rows[:, 0])).sum())
    return LexiconSetFigures(
        lexicon_set_accuracy=_stated(accuracy),
        lexicon_set_recall=_stated(recall),
        lexicon_set_average=_stated((accuracy + recall) / 2),
        lexicon=lexicon.name,
        num_clips=num_clips,
        num_skipped=len(truths) - num_clips,
    )


def load_lexicon(path: Path | None = None) -> Lexicon:
    """Load a lexicon: the packaged one, one of the same form (YAML), or a folder of tables.

    The folder is the user's copy of the lexicon that the MER challenges publish, each sheet saved
    as a comma-separated table in UTF-8 (``.xlsx`` is not read). The first line of a table is a
    heading and may say anything; the columns count:

    - ``format.csv``: base word; then its forms, as a written list or one a column;
    - ``synonym.csv``: word of a wheel; then base words that mean about the same, likewise;
    - ``wheel1.csv``, ``wheel2.csv`` ...: class of level 1, class of level 2, word outside; an empty
      cell repeats the one above it.

    Raises:
        ValueError: a file is missing, or breaks the form
    """
    if path is not None and path.is_dir():
        return _read_tables(path)
    return _read_yaml(path or OWN_LEXICON)


class _LexiconFile(BaseModel):
    """A lexicon as its YAML file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    words: Mapping[str, Mapping[str, tuple[str, ...]]]
    listed_only: frozenset[str]
    wheels: Mapping[str, Mapping[str, Mapping[str, tuple[str, ...]]]] = Field(min_length=1)

    @model_validator(mode="after")
    def _wheels_hold_classes(self) -> "_LexiconFile":
        words = {word for rings in self.wheels.values() for path in _paths(rings) for word in path}
        strangers = sorted(words - set(self.words))
        if strangers:
            msg = f"the wheels hold {strangers}, expected classes of words"
            raise ValueError(msg)
        return self

    def to_record(self) -> Lexicon:
        entries = [(c, base, fs) for c, bases in self.words.items() for base, fs in bases.items()]
        return Lexicon(
            name=self.name,
            bases=_grouped((form, base) for _, base, fs in entries for form in (base, *fs)),
            synonyms=_grouped((base, name) for name, base, _ in entries),
            wheels=tuple(_wheel(name, _paths(rings)) for name, rings in self.wheels.items()),
            listed_only=self.listed_only,
        )


def _read_yaml(path: Path) -> Lexicon:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _LexiconFile.model_validate(values).to_record()
    except OSError as error:
        msg = f"{path}: found no lexicon that can be read ({error.strerror}); check the name"
        raise ValueError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path}: found no YAML ({' '.join(str(error).split())}); give a folder for tables"
        raise ValueError(msg) from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the whole"
        msg = f"lexicon {path}, {place}: {fault['msg']}; found {fault['input']!r}"[:400]
        raise ValueError(msg) from error


def _paths(rings: Mapping[str, Mapping[str, tuple[str, ...]]]) -> Iterator[tuple[str, ...]]:
    """Give every way from the middle of a wheel outwards."""
    for inner, around in rings.items():
        for outer, words in around.items():
            yield inner, outer
            yield from ((inner, outer, word) for word in words)


def _wheel(name: str, paths: Iterable[tuple[str, ...]]) -> Wheel:
    """Build a wheel; a word in several classes belongs to the first in the alphabet."""
    ways = [tuple(map(fold, path)) for path in paths]
    level1 = {word: {path[0] for path in ways if word in path} for path in ways for word in path}
    # a word of the inner ring lies in all its children, so in the first of them
    level2 = {word: {path[1] for path in ways if word in path} for word in level1}
    return Wheel(
        name,
        {word: word if word in classes else min(classes) for word, classes in level1.items()},
        {word: word if word in classes else min(classes) for word, classes in level2.items()},
    )


def _read_tables(folder: Path) -> Lexicon:
    wheels = sorted(folder.glob("wheel*.csv"), key=lambda path: (len(path.name), path.name))
    needed = [folder / "format.csv", folder / "synonym.csv", *(wheels or [folder / "wheel1.csv"])]
    missing = [path.name for path in needed if not path.is_file()]
    if missing:
        msg = (
            f"{folder}: found no {', '.join(missing)}, expected format.csv, synonym.csv and "
            "wheel1.csv, wheel2.csv ...; save each sheet of an .xlsx file as CSV"
        )
        raise ValueError(msg)
    forms = [(base, form) for base, words in _lists(needed[0]) for form in (base, *words)]
    return Lexicon(
        name=folder.name,
        bases=_grouped((form, base) for base, form in forms),
        synonyms=_grouped((base, name) for name, words in _lists(needed[1]) for base in words),
        wheels=tuple(_wheel(path.stem, _table_paths(path)) for path in wheels),
    )


def _lists(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give the first cell of each row, and the words of the others."""
    for first, *cells in _rows(path):
        if fold(first):
            yield fold(first), tuple(word for cell in cells for word in listed_words(cell))


def _table_paths(path: Path) -> Iterator[tuple[str, ...]]:
    """Give the rows of a wheel's table, with cells filled from above."""
    above: list[str] = []
    for number, row in enumerate(_rows(path), start=2):
        cells = [fold(cell) for cell in row]
        last = max((k for k, cell in enumerate(cells) if cell), default=-1)
        if last < 0:
            continue
        filled = [cell or (above[k] if k < len(above) else "") for k, cell in enumerate(cells)]
        above = filled[: last + 1]
        if len(above) < 2 or not all(above):
            msg = f"{path}, row {number}: found {row}, expected classes of level 1 and level 2"
            raise ValueError(msg)
        yield tuple(above)


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, strict=True)][1:]
    except (csv.Error, UnicodeDecodeError) as error:
        msg = f"{path}: found no comma-separated table in UTF-8 ({error}); save it as one"
        raise ValueError(msg) from error
    if not any(len(row) > 1 for row in rows):
        msg = f"{path}: found no row of two columns below the heading, expected at least one"
        raise ValueError(msg)
    return [row for row in rows if row]


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Give key -> its values, sorted, each once."""
    groups: dict[str, set[str]] = {}
    for key, value in pairs:
        groups.setdefault(fold(key), set()).add(fold(value))
    return {key: tuple(sorted(values)) for key, values in groups.items()}


def _tokens(text: str) -> list[str]:
    """Split text into words, in lower case without a genitive's end, and punctuation."""
    found = (token.replace("’", "'") for token in _TOKEN.findall(text.lower()))
    return [token.removesuffix("'s") for token in found]


def _hits(
    tokens: Sequence[str], phrases: Mapping[tuple[str, ...], str]
) -> Iterator[tuple[int, int, str]]:
    """Give start, end and form of each phrase, from left to right, the longest at each place."""
    longest = max(map(len, phrases), default=0)
    start = 0
    while start < len(tokens):
        sizes = range(min(longest, len(tokens) - start), 0, -1)
        forms = ((n, phrases.get(tuple(tokens[start : start + n]))) for n in sizes)
        size, form = next(((n, form) for n, form in forms if form), (1, None))
        if form:
            yield start, start + size, form
        start += size


def _negator(tokens: Sequence[str], start: int) -> str:
    """Give the word that negates what begins at a token; empty where none does."""
    between: list[str] = []
    for token in reversed(tokens[max(start - _REACH, 0) : start]):
        if _STOP.fullmatch(token):
            return ""
        if _NEGATOR.fullmatch(token):
            return "" if any(map(_RESTORING.fullmatch, between)) else token
        between.append(token)
    return ""


def _share_table(
    truths: Sequence[Words], answers: Sequence[Words | None], lexicon: Lexicon
) -> Numbers:
    """Give precision and recall of each clip, NaN where the truth has no class, [2 x 2 x k x n].

    Axes: precision and recall, level, wheel, clip.
    """
    _require_same_number(truths, answers)
    rows = [
        [
            [
                _set_shares(_classes(t, w, lexicon, level), _classes(a, w, lexicon, level))
                for t, a in zip(truths, answers, strict=True)
            ]
            for w in lexicon.wheels
        ]
        for level in (1, 2)
    ]
    return np.moveaxis(np.array(rows, dtype=np.float64), -1, 0)


def _wheel_scores(shares: Numbers, lexicon: Lexicon) -> tuple[WheelScore, ...]:
    """Give the score on each wheel, those of level 1 first; shares as of `_share_table`."""
    precision, recall = _clip_means(shares)
    f1 = _harmonic(precision, recall)
    counts = (~np.isnan(shares[0])).sum(-1)
    return tuple(
        WheelScore(
            wheel.name,
            level,
            _stated(precision[level - 1, k]),
            _stated(recall[level - 1, k]),
            _stated(f1[level - 1, k]),
            int(counts[level - 1, k]),
        )
        for level in (1, 2)
        for k, wheel in enumerate(lexicon.wheels)
    )


def _classes(words: Words | None, wheel: Wheel, lexicon: Lexicon, level: Literal[1, 2]) -> set[str]:
    found = (wheel_class(word, wheel, lexicon, level) for word in words or ())
    return {name for name in found if name is not None}


def _set_shares(truth: set[str], answer: set[str]) -> tuple[float, float]:
    """Give precision and recall of one clip; NaN where nothing is true."""
    if not truth:
        return np.nan, np.nan
    both = len(truth & answer)
    return both / max(len(answer), 1), both / len(truth)


def _hit(
    truth: str,
    answer: Words | None,
    labels: Sequence[str],
    wheel: Wheel,
    lexicon: Lexicon,
) -> tuple[float, float]:
    """Give hit and mscore of one clip; NaN where the truth has no class."""
    right = wheel_class(truth, wheel, lexicon)
    if right is None:
        return np.nan, np.nan
    answered = _classes(answer, wheel, lexicon, 1)
    if right not in answered:
        return 0.0, 0.0
    return 1.0, 1 / len(answered & (_classes(labels, wheel, lexicon, 1) | {right}))


def _clip_means(values: Numbers) -> Numbers:
    """Give the mean over the last axis without NaN; NaN where nothing else is there."""
    count = (~np.isnan(values)).sum(-1)
    means: Numbers = np.where(count > 0, np.nansum(values, -1) / np.maximum(count, 1), np.nan)
    return means


def _harmonic(precision: Numbers, recall: Numbers) -> Numbers:
    total = precision + recall
    f1: Numbers = 2 * precision * recall / np.where(total == 0, 1, total)
    return f1


def _stated(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)


def _words_per_clip(sets: Sequence[Words | None]) -> float:
    return sum(len({fold(word) for word in words or ()}) for words in sets) / len(sets)


def _unknown(sets: Sequence[Words | None], lexicon: Lexicon) -> dict[str, int]:
    """Count clips by unknown word, the most frequent first."""
    words = (word for words in sets for word in {fold(word) for word in words or ()})
    counts = Counter(word for word in words if not lexicon.wheel_words(word))
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def _require_same_number(truths: Sequence[Any], answers: Sequence[Any]) -> None:
    if not truths:
        msg = "found no clip to score; expected at least one"
        raise ValueError(msg)
    if len(answers) != len(truths):
        msg = f"found {len(answers)} answers to {len(truths)} clips, expected one each"
        raise ValueError(msg)
