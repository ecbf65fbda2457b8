"""A caption -> the clues it states, held against the measures of its clip and of other clips.

Knows: how a text is read back and when a stated clue agrees with a measure. Does not know: who
wrote the text; the clues stored in a record are not looked at, only its measures.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emotion_llama.merr.facial import ABSENT, facial_clues, grade, read_facial, stillness
from emotion_llama.merr.lexicon import FACE
from emotion_llama.merr.lexicon import PRESENT_READING as PRESENT
from emotion_llama.merr.records import (
    CLUE_KINDS,
    Clue,
    ClueKind,
    FaceMeasures,
    MerrRecord,
    SceneMeasures,
    StatedClue,
    VoiceMeasures,
)
from emotion_llama.merr.scene import read_scene, scene_clues
from emotion_llama.merr.voice_clues import read_voice, voice_clues
from emotion_llama.merr.words import hide_quotes, read_words, word_clues, words_agree
from emotion_llama.voice.wording import VOICE
from emotion_llama.voice.wording import grade as score_grade

Answer = Literal["agrees", "disagrees", "unmeasured"]
"""What measures say to a stated clue; ``unmeasured`` where they cannot tell."""

_ANSWERS: Mapping[bool | None, Answer] = {True: "agrees", False: "disagrees", None: "unmeasured"}

Feature = tuple[ClueKind, str]

TELLING_SHARE = 0.2
"""A clue tells clips apart if it is false for at least this share of the others."""
NUM_DRAWS = 2000
"""Bootstrap samples: enough for two stable digits of a 95 % interval."""
MEASURE_FIELDS: Mapping[str, str] = {
    "people": "num_people",
    "face_size": "face_share",
    "brightness": "brightness",
    "motion": "motion",
    "cuts": "num_cuts",
}
"""Feature of the scene -> the field of `SceneMeasures` behind it."""


@dataclass(frozen=True)
class Measured:
    """What is known of a clip, in the form in which texts are read back."""

    readings: Mapping[Feature, frozenset[str]]
    """what can truly be said of a feature"""
    known: frozenset[Feature]
    """features that were measured, whether or not anything is said of them"""
    kinds: frozenset[ClueKind]
    """kinds of which there are clues"""
    transcript: str | None = None
    language: str | None = None

    def answer(self, stated: StatedClue) -> Answer:
        """Hold a stated clue against the measures; of alternatives (``A|B``) one is enough."""
        if stated.kind == "words":
            return _ANSWERS[words_agree(stated, self.transcript, self.language)]
        answers = {
            self._answer((stated.kind, feature), stated.reading)
            for feature in stated.feature.split("|")
        }
        if "agrees" in answers:
            return "agrees"
        return "unmeasured" if "unmeasured" in answers else "disagrees"

    def _answer(self, feature: Feature, reading: str | None) -> Answer:
        true = self.readings.get(feature)
        if true is None:
            if feature not in self.known:
                return "unmeasured"
            return "agrees" if reading == ABSENT else "disagrees"
        if reading is None or any(_is_same(feature, reading, one) for one in true):
            return "agrees"
        if feature[0] != "facial" or reading == ABSENT:
            return "disagrees"
        if reading == PRESENT:
            return "agrees"
        return "unmeasured" if true == {PRESENT} else "disagrees"


@dataclass(frozen=True)
class Faithfulness:
    """How the clues of one text stand to the measures of a clip."""

    stated: int
    agreeing: int
    disagreeing: tuple[StatedClue, ...]
    unmeasured: tuple[StatedClue, ...]

    @property
    def share(self) -> float | None:
        """Share of the stated clues that agree; ``None`` where nothing is stated."""
        return self.agreeing / self.stated if self.stated else None


def read_clues(text: str) -> tuple[StatedClue, ...]:
    """Read a text back into the clues it states, each once; quoted words state only themselves."""
    observed = hide_quotes(text)
    stated = (
        *read_scene(observed),
        *read_facial(observed),
        *read_voice(observed),
        *read_words(text),
    )
    return tuple({(clue.kind, clue.feature, clue.reading): clue for clue in stated}.values())


def measured(record: MerrRecord) -> Measured:
    """Compute from a record's measures what can truly be said of its clip.

    That is more than its clues: every unit that is present, also one of talking, and every measure
    of the voice, also where there were too many to be said.
    """
    voice = voice_clues(record.voice) if record.voice is not None else ()
    scene = scene_clues(record.scene) if record.scene is not None else ()
    face = facial_clues(record.face, record.clip_id) if record.face is not None else ()
    words = word_clues(record.transcript, record.source.language, record.clip_id)
    clues = measured_from_clues((*face, *scene, *voice, *words), record.transcript)
    # without a clue the voice was too short, too noisy or without a norm
    heard = record.voice if voice else None
    readings = {**clues.readings, **_present_units(record.face), **_graded_scores(heard)}
    known = {*readings, *_known_units(record.face), *_known_facts(record.scene)}
    known |= _known_scores(heard) if heard is not None else set()
    language = record.source.language
    return Measured(readings, frozenset(known), clues.kinds, record.transcript, language)


def measured_from_clues(clues: Iterable[Clue], transcript: str | None = None) -> Measured:
    """Take clues, and the words, for all that is known of a clip."""
    readings: dict[Feature, set[str]] = {}
    for clue in clues:
        readings.setdefault((clue.kind, clue.feature), set()).add(clue.reading)
    kinds: set[ClueKind] = {kind for kind, _ in readings}
    if transcript:
        kinds.add("words")
    return Measured(
        readings={feature: frozenset(said) for feature, said in readings.items()},
        known=frozenset(readings),
        kinds=frozenset(kinds),
        transcript=transcript,
    )


def _present_units(face: FaceMeasures | None) -> dict[Feature, frozenset[str]]:
    if face is None:
        return {}
    return {
        ("facial", one.unit): frozenset({grade(one, face.scale)})
        for one in face.units
        if one.is_present
    }


def _known_units(face: FaceMeasures | None) -> set[Feature]:
    if face is None:
        return set()
    known: set[Feature] = {("facial", one.unit) for one in face.units if one.is_present is not None}
    return known if stillness(face) is None else {*known, ("facial", FACE)}


def _known_facts(scene: SceneMeasures | None) -> set[Feature]:
    if scene is None:
        return set()
    return {
        ("scene", feature)
        for feature, name in MEASURE_FIELDS.items()
        if getattr(scene, name) is not None
    }


def _graded_scores(voice: VoiceMeasures | None) -> dict[Feature, frozenset[str]]:
    scores = {} if voice is None else voice.scores
    graded = {name: score_grade(score) for name, score in scores.items() if score is not None}
    return {("voice", name): frozenset({reading}) for name, reading in graded.items() if reading}


def _known_scores(voice: VoiceMeasures) -> set[Feature]:
    scored = (name for name, score in voice.scores.items() if score is not None)
    return {("voice", VOICE), *(("voice", name) for name in scored)}


def agreement(caption: str, record: MerrRecord) -> Faithfulness:
    """Hold the clues that a caption states against the measures of a record."""
    return hold_against(read_clues(caption), measured(record))


def hold_against(stated: Sequence[StatedClue], measures: Measured) -> Faithfulness:
    """Count which stated clues agree with measures."""
    answers = [(clue, measures.answer(clue)) for clue in stated]
    return Faithfulness(
        stated=len(stated),
        agreeing=sum(answer == "agrees" for _, answer in answers),
        disagreeing=tuple(clue for clue, answer in answers if answer == "disagrees"),
        unmeasured=tuple(clue for clue, answer in answers if answer == "unmeasured"),
    )


def _is_same(feature: Feature, stated: str, true: str) -> bool:
    """Tell whether two readings say the same; a direction of the voice may lack its degree."""
    return stated == true or (feature[0] == "voice" and true.endswith(f" {stated}"))


@dataclass(frozen=True)
class Share:
    """A share with the 95 % interval of a bootstrap over clips."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class KindCount:
    """Stated clues of one kind."""

    stated: int
    agreeing: int
    other_compared: int
    """of them, what the other clip's measures can tell"""
    other_agreeing: int


@dataclass(frozen=True)
class CorpusFaithfulness:
    """How the captions of a data set stand to their own clips' measures and to other clips'."""

    num_captions: int
    num_stated: int
    own: Share | None
    """share of all stated clues that agree with the own clip's measures; what was not measured
    does not agree"""
    other: Share | None
    """the same against another clip, of the clues that its measures can tell"""
    drop_points: Share | None
    """own minus other, in percentage points"""
    kinds: Mapping[ClueKind, KindCount]
    telling: float | None
    """share of captions that state, of each kind that was measured, a true clue which is false for
    at least `TELLING_SHARE` of the other clips"""
    not_telling: Mapping[str, tuple[ClueKind, ...]]
    """clip -> kinds of which its caption states no such clue"""
    untrue: tuple[tuple[str, StatedClue, Answer], ...]
    """clip, clue and answer for each stated clue that does not agree"""


def corpus_faithfulness(records: Iterable[MerrRecord], *, seed: int = 0) -> CorpusFaithfulness:
    """Hold the fine captions of a data set against the measures of their own and of other clips.

    Clips are taken in the order of their names. The other clip is the next one by another speaker,
    or the next one where there is only one speaker. Where another clip's measures cannot tell, a
    clue is left out of that comparison, so that missing measures do not pass for a difference.

    Args:
        records: those without a fine caption are left out
        seed: of the bootstrap over clips
    """
    captioned = sorted(
        (record for record in records if record.fine_caption is not None),
        key=lambda record: record.clip_id,
    )
    stated = [read_clues(record.fine_caption.text) for record in captioned if record.fine_caption]
    measures = [measured(record) for record in captioned]
    own = [[one.answer(clue) for clue in said] for one, said in zip(measures, stated, strict=True)]
    others = other_clips(captioned)
    other = [
        [measures[index].answer(clue) for clue in said] if index is not None else []
        for index, said in zip(others, stated, strict=True)
    ]
    not_telling = _not_telling(captioned, stated, measures)
    own_counts = _count(own, all_count=True)
    other_counts = _count(other, all_count=False)
    weights = _weights(len(captioned), seed)
    own_share, other_share = _ratio(own_counts.sum(axis=0)), _ratio(other_counts.sum(axis=0))
    own_drawn, other_drawn = _ratio(weights @ own_counts), _ratio(weights @ other_counts)
    return CorpusFaithfulness(
        num_captions=len(captioned),
        num_stated=sum(map(len, stated)),
        own=_with_interval(own_share, own_drawn),
        other=_with_interval(other_share, other_drawn),
        drop_points=_with_interval(own_share - other_share, own_drawn - other_drawn, 100),
        kinds={kind: _count_kind(kind, stated, own, other) for kind in CLUE_KINDS},
        telling=1 - len(not_telling) / len(captioned) if len(captioned) > 1 else None,
        not_telling=not_telling,
        untrue=tuple(
            (record.clip_id, clue, answer)
            for record, said, answers in zip(captioned, stated, own, strict=True)
            for clue, answer in zip(said, answers, strict=True)
            if answer != "agrees"
        ),
    )


def other_clips(records: Sequence[MerrRecord]) -> tuple[int | None, ...]:
    """Give for each clip the index of the next one by another speaker, else of the next one.

    A clip without a known speaker counts as a speaker of its own. ``None``: there is no other clip.
    """
    speakers = [record.source.speaker or f"?{record.clip_id}" for record in records]
    count = len(records)
    found: list[int | None] = []
    for index in range(count):
        following = [(index + step) % count for step in range(1, count)]
        by_another = (one for one in following if speakers[one] != speakers[index])
        found.append(next(by_another, following[0] if following else None))
    return tuple(found)


def _count(answers: Sequence[Sequence[Answer]], *, all_count: bool) -> NDArray[np.float64]:
    """Count per clip what agrees and what it is a share of, [clips x 2]."""
    rows = [
        (
            sum(answer == "agrees" for answer in said),
            sum(all_count or answer != "unmeasured" for answer in said),
        )
        for said in answers
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _weights(num_clips: int, seed: int) -> NDArray[np.float64]:
    """Draw how often each clip is in each bootstrap sample, [draws x clips]."""
    if not num_clips:
        return np.zeros((NUM_DRAWS, 0))
    chances = np.full(num_clips, 1 / num_clips)
    drawn = np.random.default_rng(seed).multinomial(num_clips, chances, size=NUM_DRAWS)
    return drawn.astype(np.float64)


def _ratio(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, NaN where there is nothing to divide by: [... x 2] -> [...]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: NDArray[np.float64] = counts[..., 0] / counts[..., 1]
    return shares


def _with_interval(
    value: NDArray[np.float64], drawn: NDArray[np.float64], scale: float = 1.0
) -> Share | None:
    """Put a value and the middle 95 % of its bootstrap together; ``None`` where there is none."""
    usable = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not usable.size:
        return None
    low, high = np.quantile(usable, (0.025, 0.975))
    return Share(float(value) * scale, float(low) * scale, float(high) * scale)


def _count_kind(
    kind: ClueKind,
    stated: Sequence[Sequence[StatedClue]],
    own: Sequence[Sequence[Answer]],
    other: Sequence[Sequence[Answer]],
) -> KindCount:
    """Count the clues of one kind over all captions."""
    own_answers = _of_kind(kind, stated, own)
    other_answers = _of_kind(kind, stated, other)
    return KindCount(
        stated=len(own_answers),
        agreeing=own_answers.count("agrees"),
        other_compared=len(other_answers) - other_answers.count("unmeasured"),
        other_agreeing=other_answers.count("agrees"),
    )


def _of_kind(
    kind: ClueKind,
    stated: Sequence[Sequence[StatedClue]],
    answers: Sequence[Sequence[Answer]],
) -> list[Answer]:
    # where there is no other clip there are no answers, so that lengths may differ
    return [
        answer
        for said, answered in zip(stated, answers, strict=True)
        for clue, answer in zip(said, answered, strict=False)
        if clue.kind == kind
    ]


def _not_telling(
    records: Sequence[MerrRecord],
    stated: Sequence[Sequence[StatedClue]],
    measures: Sequence[Measured],
) -> dict[str, tuple[ClueKind, ...]]:
    """Name for each clip the measured kinds of which its caption states nothing telling."""
    known: dict[tuple[ClueKind, str, str | None], bool] = {}

    def is_telling(clue: StatedClue) -> bool:
        key = (clue.kind, clue.feature, clue.reading)
        if key not in known:
            known[key] = _is_telling(clue, measures)
        return known[key]

    found: dict[str, tuple[ClueKind, ...]] = {}
    for record, said, own in zip(records, stated, measures, strict=True):
        told = {clue.kind for clue in said if own.answer(clue) == "agrees" and is_telling(clue)}
        lacking = tuple(kind for kind in CLUE_KINDS if kind in own.kinds and kind not in told)
        if lacking:
            found[record.clip_id] = lacking
    return found


def _is_telling(clue: StatedClue, measures: Sequence[Measured]) -> bool:
    """Say whether a clue is false for `TELLING_SHARE` of the other clips, of those that can tell.

    The clue is true for its own clip, which is counted out.
    """
    num_false, num_compared = 0, -1
    for one in measures:
        answer = one.answer(clue)
        num_compared += answer != "unmeasured"
        num_false += answer == "disagrees"
        if num_false and num_false >= TELLING_SHARE * (len(measures) - 1):
            # whatever the rest can tell; a quote need not be looked for in every transcript
            return True
    return bool(num_false) and num_false >= TELLING_SHARE * num_compared


def render(report: CorpusFaithfulness, max_untrue: int = 5) -> str:
    """Write the report as lines of text.

    Args:
        report: of a data set
        max_untrue: stated clues without agreement that are named before the rest is counted
    """
    lines = [
        f"captions                       {report.num_captions}",
        f"clues stated                   {report.num_stated}",
        f"agree with the own clip        {_in_percent(report.own)}",
        f"agree with another clip        {_in_percent(report.other)}",
        f"difference in points           {_in_points(report.drop_points)}",
        f"telling in every measured kind {_percent(report.telling)}",
        "",
        "kind     stated      own    other",
    ]
    for kind, count in report.kinds.items():
        own = count.agreeing / count.stated if count.stated else None
        other = count.other_agreeing / count.other_compared if count.other_compared else None
        lines.append(f"{kind:<8} {count.stated:>6} {_percent(own):>8} {_percent(other):>8}")
    for clip_id, clue, answer in report.untrue[:max_untrue]:
        lines.append(f"{clip_id}: {clue.words!r} ({clue.feature} {clue.reading}) {answer}")
    if len(report.untrue) > max_untrue:
        lines.append(f"and {len(report.untrue) - max_untrue} more that do not agree")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _in_percent(share: Share | None) -> str:
    if share is None:
        return "-"
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"


def _in_points(share: Share | None) -> str:
    return "-" if share is None else f"{share.value:.1f} ({share.low:.1f} to {share.high:.1f})"
