"""Frames -> facts of the picture that need no model, in words, and the words read back.

Knows: brightness, motion and cuts of a stream of frames; limits and statements of the scene clues.
Does not know: faces (it is told their number and size), files, what the picture shows.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emotion_llama.merr.records import Clue, SceneMeasures, StatedClue
from emotion_llama.merr.words import hide_quotes

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in luma; ITU-R BT.709, section 3."""
STEP_S = 0.1
"""Frames nearer than this to the last one looked at are passed over: films of 24 and of 60 frames a
second are then measured alike, and the noise of single frames does not add up."""
_STEP_TOLERANCE_S = 0.001
"""Presentation times are rounded to the time base of the file."""
PICTURE_PX = (64, 48)
"""Width and height of the grey picture that is compared."""
_BLOCKS = 3
"""The picture is compared in 3 x 3 blocks, so that two shots of like light differ."""
_BINS = 16
"""Grades of luma in a block's histogram."""
CUT_DIFFERENCE = 0.25
"""Least mean distance of the blocks' histograms (0 alike, 1 nothing in common) at a cut. Measured:
within shots of speaking people at most .06, a pan by a tenth of the width at most .22, between two
photographs at least .27."""
CUT_LIKENESS = 0.85
"""Largest correlation of the grey pictures at a cut; where only the light changes it is higher.
Between two photographs at most .74."""
CUT_RATIO = 2.0
"""A cut's difference is at least this many times that of the steps before and after it: fades,
shaking and flashes go on for more than one step."""
BLACK_LUMA = 16
"""A picture nowhere brighter is black (video black of BT.709): no shot, so no cut and no motion."""


@dataclass(frozen=True)
class _Picture:
    """One looked-at frame, small."""

    time_s: float
    grey: NDArray[np.uint8]  # [h x w]
    histograms: NDArray[np.float64]  # [blocks x bins]


@dataclass(frozen=True)
class _Change:
    """What changed from one looked-at frame to the next."""

    elapsed_s: float
    luma: float
    difference: float
    likeness: float


@dataclass
class SceneMeter:
    """Measures a clip while its frames go by; it keeps a few numbers of each."""

    _size: tuple[int, int] | None = None
    _seen_s: float = -math.inf
    _luma: NDArray[np.float64] = field(default_factory=lambda: np.zeros(256))
    """how long each luma was shown, pixels x seconds, [256]"""
    _shown: tuple[float, NDArray[np.float64]] | None = None
    """time and luma histogram of the last frame looked at"""
    _last: _Picture | None = None
    """the last one that is not black"""
    _changes: list[_Change] = field(default_factory=list)

    def update(self, time_s: float, frame: NDArray[np.uint8]) -> None:
        """Look at the next frame.

        Args:
            time_s: presentation time in seconds, not before that of the frame before
            frame: RGB [h x w x 3]

        Raises:
            ValueError: another shape or type of frame, or a time that goes back
        """
        _require_frame(frame)
        if time_s < self._seen_s:
            msg = (
                f"found a frame at {time_s:.3f} s after one at {self._seen_s:.3f} s; "
                "give the frames in order of time"
            )
            raise ValueError(msg)
        self._size = self._size or (frame.shape[0], frame.shape[1])
        self._seen_s = time_s
        if self._shown and time_s - self._shown[0] < STEP_S - _STEP_TOLERANCE_S:
            return
        grey = _small_grey(frame)
        self._add_luma(time_s, np.bincount(grey.ravel(), minlength=256).astype(np.float64))
        if grey.max() <= BLACK_LUMA:
            return
        picture = _Picture(time_s, grey, _histograms(grey))
        if self._last is not None:
            self._changes.append(_change(self._last, picture))
        self._last = picture

    def _add_luma(self, time_s: float, histogram: NDArray[np.float64]) -> None:
        """Count a frame for half of the time to either neighbour."""
        if self._shown is not None:
            self._luma += (time_s - self._shown[0]) / 2 * (self._shown[1] + histogram)
        self._shown = (time_s, histogram)

    def finish(self, num_people: int, face_share: float | None) -> SceneMeasures:
        """Give the measures of the clip, rounded to 4 decimals.

        Args:
            num_people: people whose face was followed
            face_share: median area of the main person's face box as a share of the picture

        Raises:
            ValueError: no frame came, or an impossible number or share
        """
        if self._size is None or self._shown is None:
            msg = "found no frame to measure; give `update` at least one"
            raise ValueError(msg)
        if num_people < 0 or (face_share is not None and not 0 <= face_share <= 1):
            msg = (
                f"found {num_people} people and a face share of {face_share}, expected 0 or more "
                "people and a share of 0 to 1, or None; look at what follows the faces"
            )
            raise ValueError(msg)
        shown = self._luma if self._luma.any() else self._shown[1]
        cuts = find_cuts([change.difference for change in self._changes], self._likeness())
        moving = [c for i, c in enumerate(self._changes) if i not in cuts]
        elapsed_s = sum(change.elapsed_s for change in moving)
        motion = sum(change.luma for change in moving) / elapsed_s if moving else None
        return SceneMeasures(
            width=self._size[1],
            height=self._size[0],
            num_people=num_people,
            face_share=None if face_share is None else round(float(face_share), 4),
            brightness=round(_median_luma(shown), 4),
            motion=None if motion is None else round(motion, 4),
            num_cuts=len(cuts) if self._changes else None,
        )

    def _likeness(self) -> list[float]:
        return [change.likeness for change in self._changes]


def find_cuts(differences: Sequence[float], likeness: Sequence[float]) -> tuple[int, ...]:
    """Give the steps that are hard cuts.

    A step is a cut where the picture differs (`CUT_DIFFERENCE`), not by its light alone
    (`CUT_LIKENESS`), and much more than one step before and after (`CUT_RATIO`). So a fade, a
    flash, and two cuts within two steps are none.

    Args:
        differences: mean distance of the blocks' histograms, 0 to 1, for each step
        likeness: correlation of the grey pictures, for each step
    """
    padded = [0.0, *differences, 0.0]
    return tuple(
        step
        for step, (before, here, after) in enumerate(
            zip(padded[:-2], padded[1:-1], padded[2:], strict=True)
        )
        if here >= CUT_DIFFERENCE
        and likeness[step] <= CUT_LIKENESS
        and here >= CUT_RATIO * max(before, after)
    )


def _require_frame(frame: NDArray[np.uint8]) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
        msg = (
            f"found a frame of shape {frame.shape} and type {frame.dtype}, expected RGB [h x w x 3]"
            " of uint8; convert it first"
        )
        raise ValueError(msg)


def _small_grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the luma of a frame [h x w x 3] at `PICTURE_PX`, [48 x 64]."""
    import cv2

    small = cv2.resize(frame, PICTURE_PX, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.transform(small, np.array([LUMA], np.float32)), np.uint8)


def _histograms(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Give the share of each grade of luma in each block, [blocks x bins]."""
    grades = grey // (256 // _BINS)
    blocks = [
        block
        for rows in np.array_split(grades, _BLOCKS, axis=0)
        for block in np.array_split(rows, _BLOCKS, axis=1)
    ]
    return np.stack([np.bincount(b.ravel(), minlength=_BINS) / b.size for b in blocks])


def _change(before: _Picture, after: _Picture) -> _Change:
    distance = np.abs(before.histograms - after.histograms).sum(axis=1) / 2  # [blocks]
    first, second = before.grey.astype(np.float64), after.grey.astype(np.float64)
    return _Change(
        elapsed_s=after.time_s - before.time_s,
        luma=float(np.abs(first - second).mean() / 255),
        difference=float(distance.mean()),
        likeness=_correlation(first - first.mean(), second - second.mean()),
    )


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Correlate two centred pictures [h x w]; even ones are like each other and like nothing else.

    An even picture has no pattern to compare: two of them differ by their light alone.
    """
    lengths = math.sqrt(float((first * first).sum())), math.sqrt(float((second * second).sum()))
    if not all(lengths):
        return 1.0 if not any(lengths) else 0.0
    return float((first * second).sum()) / (lengths[0] * lengths[1])


def _median_luma(shown: NDArray[np.float64]) -> float:
    """Give the luma that half of the picture, half of the time, is not brighter than, 0 to 1."""
    total = np.cumsum(shown)
    return float(np.searchsorted(total, total[-1] / 2)) / 255


NUMBERS: tuple[str, ...] = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
"""Numbers in words; higher ones are written in figures."""

SMALL_FACE = 0.01
"""Below this share the face is said to take up less than 1 %."""
LARGE_FACE = 0.1
"""From this share the size is said to 2 %, below it to 1 %: boxes are no more exact."""

_PICTURE = r"(?:picture|scene|image|video|clip|shot|frame|footage|room|setting|lighting|light|view)"
_MOVING = r"(?:picture|scene|image|video|clip|shot|frame|footage|view)"
_IS = (
    r"(?:is|was|looks|appears|seems|remains)"
    r"(?: (?:very|rather|quite|fairly|somewhat|relatively|a bit|a little|slightly))?"
)
_MOVEMENT = r"(?:movement|motion)"


@dataclass(frozen=True)
class Degree:
    """One word for a range of a measure."""

    reading: str
    below: float
    """the measure is below this, and not below that of the degree before"""
    predicate: str
    """what the statement says of the picture"""
    paraphrases: tuple[str, ...]
    """patterns of what others write for it"""


BRIGHTNESS: tuple[Degree, ...] = (
    Degree(
        "dim",
        0.25,
        "is dim",
        (
            rf"\b{_PICTURE} {_IS} (?:dim|dark|dimly lit|darkly lit|underexposed)\b(?! blue| green)",
            rf"\b{_PICTURE} {_IS} (?:poorly|badly) lit\b",
            rf"\b(?:dim|dark|dimly[- ]lit|poorly[- ]lit|low[- ]light|underexposed) {_PICTURE}\b",
        ),
    ),
    Degree(
        "medium",
        0.65,
        "is of medium brightness",
        (
            rf"\b{_PICTURE} {_IS} (?:of )?(?:medium|average|moderate|normal) brightness\b",
            rf"\b{_PICTURE} {_IS} (?:moderately|normally|evenly) lit\b",
            rf"\b{_PICTURE} {_IS} neither (?:dim|dark) nor bright\b",
            rf"\b(?:moderately|normally|evenly)[- ]lit {_PICTURE}\b",
        ),
    ),
    Degree(
        "bright",
        math.inf,
        "is bright",
        (
            rf"\b{_PICTURE} {_IS} (?:bright|brightly lit|overexposed)\b",
            rf"\b(?:bright|brightly[- ]lit|overexposed) {_PICTURE}\b",
        ),
    ),
)
"""Degrees of the median luma. The mid-tone of photography, 18 % grey, has a luma of .41 to .46
(transfer functions of BT.709 and sRGB); a fifth of the range to either side of it is medium."""

MOTION: tuple[Degree, ...] = (
    Degree(
        "hardly",
        0.05,
        "hardly moves",
        (
            rf"\b{_MOVING} (?:barely|scarcely|hardly) (?:moves|changes)\b",
            rf"\b{_MOVING} (?:is|stays|remains) (?:almost |nearly |largely |mostly )?"
            r"(?:still|static|motionless|stationary)\b",
            rf"\b(?:hardly any|almost no|very little|little|no) {_MOVEMENT} in the {_MOVING}\b",
        ),
    ),
    Degree(
        "slowly",
        0.1,
        "moves slowly",
        (
            rf"\b{_MOVING} (?:moves|changes) (?:slowly|gently|slightly|a little|somewhat)\b",
            rf"\b(?:slow|some|slight|gentle) {_MOVEMENT} in the {_MOVING}\b",
        ),
    ),
    Degree(
        "much",
        math.inf,
        "moves much",
        (
            rf"\b{_MOVING} (?:moves|changes) (?:very )?"
            r"(?:much|a lot|a great deal|strongly|considerably|quickly|fast|rapidly)\b",
            rf"\b(?:much|a lot of|strong|fast|rapid) {_MOVEMENT} in the {_MOVING}\b",
        ),
    ),
)
"""Degrees of motion per second. Of 72 clips of people who speak before a resting background, a
quarter lies below .05 and a ninth from .1."""

_NUMBER = r"\d+|" + "|".join(NUMBERS)
_PERSONS = (
    r"(?:persons?|people|individuals?|man|men|woman|women|child|children|boys?|girls?|faces?)"
)
_PEOPLE = re.compile(
    rf"(?P<vague>\b(?:more|fewer|less) than |\bat least |\bat most |\bup to |\bover |\bnot )?"
    rf"\b(?:(?P<count>{_NUMBER}|an? single|an? lone|single|an? couple of)|several|many)"
    rf" (?:[a-z-]+ )?{_PERSONS}\b"
)
_COUPLE = re.compile(
    r"\ban? (?:[a-z-]+ )?(?:man|boy) and an? (?:[a-z-]+ )?(?:woman|girl)\b"
    r"|\ban? (?:[a-z-]+ )?(?:woman|girl) and an? (?:[a-z-]+ )?(?:man|boy)\b"
)
_FACE_SIZE = re.compile(
    r"\b(?:face|head)\b[^.;,]{0,40}?"
    r"\b(?:takes? up|fills?|occup(?:y|ies)|covers?|makes? up|accounts? for) "
    r"(?:(?P<few>less than|under|below) )?(?:(?:only|just|about|around|roughly|approximately|nearly"
    r"|almost|some) )*(?P<number>\d+(?:\.\d+)?) ?(?:%|per ?cent\b)"
)
_CUTS = re.compile(
    rf"\b(?:has|have|contains?|shows?|with|is|are) (?P<count>{_NUMBER}|an?) "
    r"(?:(?:hard|scene|shot) )?cuts?\b(?! (?:on|above|below|over|of|across|in (?:his|her|their)))"
)


def scene_clues(scene: SceneMeasures) -> tuple[Clue, ...]:
    """Say what was measured of a picture: people, face size, brightness, motion, and cuts if any.

    Args:
        scene: what was not measured is not spoken of
    """
    clues = [
        _clue("people", number_word(scene.num_people), _people_statement(scene.num_people), scene),
        _clue("brightness", *_degree_words(scene.brightness, BRIGHTNESS), scene),
    ]
    if scene.face_share is not None and scene.num_people:
        size = face_size(scene.face_share)
        about = "" if size.startswith("less") else "about "
        clues.insert(
            1, _clue("face_size", size, f"the face takes up {about}{size} of the picture", scene)
        )
    if scene.motion is not None:
        clues.append(_clue("motion", *_degree_words(scene.motion, MOTION), scene))
    if scene.num_cuts:
        number = number_word(scene.num_cuts)
        cuts = "cut" if scene.num_cuts == 1 else "cuts"
        clues.append(_clue("cuts", number, f"the picture has {number} {cuts}", scene))
    return tuple(clues)


def _measure(feature: str, scene: SceneMeasures) -> float | None:
    """Give the number behind a feature."""
    return {
        "people": scene.num_people,
        "face_size": scene.face_share if scene.num_people else None,
        "brightness": scene.brightness,
        "motion": scene.motion,
        "cuts": scene.num_cuts,
    }.get(feature)


def _clue(feature: str, reading: str, statement: str, scene: SceneMeasures) -> Clue:
    value = _measure(feature, scene)
    number = None if value is None else float(value)
    return Clue("scene", feature, reading, statement, value=number)


def _people_statement(num_people: int) -> str:
    if num_people == 0:
        return "no face is seen in the picture"
    if num_people == 1:
        return "one person is in the picture"
    return f"{number_word(num_people)} people are in the picture"


def number_word(number: int) -> str:
    """Write a number in words up to twelve, then in figures; 0 is ``no``."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def face_size(share: float) -> str:
    """Round the share of the picture that a face takes up: ``12 %``."""
    if share < SMALL_FACE:
        return "less than 1 %"
    step = _face_step(share)
    return f"{math.floor(100 * share / step + 0.5) * step} %"


def _face_step(share: float) -> int:
    """Give the step of a face size in percent."""
    return 1 if share < LARGE_FACE else 2


def _degree_words(value: float, degrees: Sequence[Degree]) -> tuple[str, str]:
    """Give reading and statement of a measure."""
    degree = _degree(value, degrees)
    return degree.reading, f"the picture {degree.predicate}"


def _degree(value: float, degrees: Sequence[Degree]) -> Degree:
    return next(degree for degree in degrees if value < degree.below or math.isinf(degree.below))


def read_scene(text: str) -> tuple[StatedClue, ...]:
    """Read what a text says of the picture, own statements and the like of others.

    What stands in quotes is speech and is not read. A mention without a count ("a woman") says
    nothing of how many there are.

    Returns:
        the statements in order; of equal ones the first
    """
    plain = " ".join(hide_quotes(text).split()).lower()
    first: dict[tuple[str, str | None], StatedClue] = {}
    for _, stated in sorted(_find(plain), key=lambda place: place[0]):
        first.setdefault((stated.feature, stated.reading), stated)
    return tuple(first.values())


def _find(text: str) -> Iterator[tuple[int, StatedClue]]:
    """Give each statement of a text in lower case with its place."""
    for match in _PEOPLE.finditer(text):
        yield _stated(match, "people", _read_count(match))
    for match in _COUPLE.finditer(text):
        yield _stated(match, "people", "two")
    for match in _FACE_SIZE.finditer(text):
        yield _stated(match, "face_size", _read_size(match))
    for match in _CUTS.finditer(text):
        yield _stated(match, "cuts", _read_count(match))
    for feature, degrees in (("brightness", BRIGHTNESS), ("motion", MOTION)):
        for degree in degrees:
            for pattern in (rf"\b{_MOVING} {degree.predicate}\b", *degree.paraphrases):
                for match in re.finditer(pattern, text):
                    yield _stated(match, feature, degree.reading)


def _stated(match: re.Match[str], feature: str, reading: str | None) -> tuple[int, StatedClue]:
    return match.start(), StatedClue("scene", feature, reading, match[0])


def _read_count(match: re.Match[str]) -> str | None:
    """Give the number of a count in words; ``None`` for "several" or "more than two"."""
    groups = match.groupdict()
    count = groups["count"]
    if count is None or groups.get("vague"):
        return None
    if count.isdecimal():
        return number_word(int(count))
    if count in NUMBERS:
        return str(count)
    return "two" if count.endswith("couple of") else "one"


def _read_size(match: re.Match[str]) -> str | None:
    percent = float(match["number"])
    if match["few"]:
        return "less than 1 %" if percent == 1 else None
    return f"{percent:g} %"


def scene_agrees(stated: StatedClue, scene: SceneMeasures) -> bool | None:
    """Hold a statement against the measures, worded anew.

    A face size agrees where the measure lies within half a step of it.

    Returns:
        ``None`` where it cannot be told: not of the picture, without a degree, or not measured
    """
    value = _measure(stated.feature, scene)
    if stated.kind != "scene" or stated.reading is None or value is None:
        return None
    if stated.feature == "face_size":
        return _size_agrees(stated.reading, value)
    if stated.feature in ("people", "cuts"):
        return stated.reading == number_word(int(value))
    degrees = BRIGHTNESS if stated.feature == "brightness" else MOTION
    return stated.reading == _degree(value, degrees).reading


def _size_agrees(reading: str, share: float) -> bool:
    own = face_size(share)
    if reading == own or "less" in (reading + own):
        return reading == own
    return abs(float(reading.removesuffix(" %")) - 100 * share) <= _face_step(share) / 2
