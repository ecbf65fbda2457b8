"""Long clip -> an answer for each of its parts, and one for the whole out of them.

Knows: how a film is divided, which words belong to which part, how answers are averaged. Does not
know: decoding, models, flags, pages.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emotion_llama.labels import LabelSet, label_set
from emotion_llama.media import (
    MediaError,
    Span,
    file_duration_s,
    is_still,
    read_transcript,
    timed_words,
)
from emotion_llama.media.segments import counted_duration_s, segments
from emotion_llama.media.transcript import TIMED_ENDINGS
from emotion_llama.predict import ClipFailure, Labels, Predictor
from emotion_llama.records import Prediction


@dataclass(frozen=True)
class Segment:
    """A part of a clip and its answer, or why it has none."""

    start_s: float
    end_s: float
    """both 0 for a still picture"""
    prediction: Prediction | None
    error: str | None


@dataclass(frozen=True)
class Summary:
    """One answer for the whole clip, out of those for its parts."""

    label: str | None
    """the most probable label; ``None`` where no part has an answer"""
    probabilities: Mapping[str, float]
    """label -> mean probability"""
    num_answered: int
    num_segments: int
    answered_s: float
    """seconds that the answered parts last together"""


def timeline(
    predictor: Predictor,
    path: str | Path,
    text: str | Path | None = None,
    labels: Labels = None,
    *,
    segment_s: float,
    with_reason: bool = True,
) -> Iterator[Segment]:
    """Answer for a film or sound part by part; a part that cannot be answered says why.

    A clip of one part is answered exactly as `Predictor` answers it.

    Args:
        predictor: what answers
        path: video, sound or picture
        text: what is said: subtitles with times (`Path` to .srt or .vtt), of which each part is
            given those that have their middle in it; other words (`str`, or `Path` to a
            transcript) belong to the whole, and only a clip of one part can have them
        labels: labels to offer, in this order; default is the preset's list
        segment_s: most seconds of a part, see `emotion_llama.media.segments.segments`
        with_reason: also write the reasons, which takes most of the time

    Yields:
        the parts in their order, each as soon as it is answered

    Raises:
        MediaError: the clip or the transcript cannot be read, or nothing says how long the clip is
        ValueError: the labels or ``segment_s`` are unusable, or there are words without times for
            several parts
    """
    path = Path(path)
    offered = None if labels is None else label_set(labels)
    parts = film_parts(path, segment_s)
    texts, note = _words_of(path, text, parts)

    def answer(span: Span | None, words: str | None) -> Prediction | ClipFailure:
        return _answer(predictor, path, words, span, offered, with_reason)

    return _answers(answer, parts, texts, note)


def film_parts(path: Path, segment_s: float) -> list[Span]:
    """Give the parts into which `timeline` divides a clip; a still picture is one from 0 to 0 s.

    Raises:
        MediaError: the clip cannot be read, or nothing says how long it is
        ValueError: ``segment_s`` is no number above 0
    """
    if is_still(path):
        return [Span(0.0, 0.0)]
    duration_s = file_duration_s(path) or counted_duration_s(path)
    if not duration_s:
        raise MediaError(
            path,
            found="a file that does not say how long it is",
            expected="a film or sound with times",
            next_step="answer it as one, or save it as MP4",
        )
    return segments(duration_s, segment_s)


def _words_of(
    path: Path, text: str | Path | None, parts: Sequence[Span]
) -> tuple[Sequence[str | None], str | None]:
    """Give each part its words.

    Returns:
        words in the order of the parts, ``None`` where nothing says them; and what was left out

    Raises:
        MediaError: the transcript cannot be read
        ValueError: words without times for several parts
    """
    if len(parts) > 1 and isinstance(text, Path) and text.suffix.lower() in TIMED_ENDINGS:
        return _cut_words(text, parts)
    whole = None if text is None else read_transcript(text, path.stem)
    if whole and len(parts) > 1:
        msg = (
            f"{path}: found a text without times for {len(parts)} segments, expected subtitles "
            "with times (.srt, .vtt); give those, or leave the text out"
        )
        raise ValueError(msg)
    return [whole] * len(parts), None


def _cut_words(transcript: Path, parts: Sequence[Span]) -> tuple[Sequence[str], str | None]:
    """Give each part the subtitles that have their middle in it, and count those after the end."""
    spoken: list[list[str]] = [[] for _ in parts]
    starts_s = [part.start_s for part in parts]
    num_after = 0
    for cue in timed_words(transcript):
        middle_s = (cue.start_s + cue.end_s) / 2
        if middle_s >= parts[-1].end_s:
            num_after += 1
        else:
            spoken[bisect_right(starts_s, middle_s) - 1].append(cue.words)
    note = f"left out {num_after} subtitle(s) of {transcript.name}: they come after the end"
    return [" ".join(filter(None, words)) for words in spoken], note if num_after else None


def _answers(
    answer: Callable[[Span | None, str | None], Prediction | ClipFailure],
    parts: Sequence[Span],
    texts: Sequence[str | None],
    note: str | None,
) -> Iterator[Segment]:
    """Answer part by part; the last one carries the note."""
    for part, text in zip(parts, texts, strict=True):
        notes = (note,) if note and part is parts[-1] else ()
        result = answer(part if len(parts) > 1 else None, text)
        if isinstance(result, ClipFailure):
            yield Segment(part.start_s, part.end_s, None, "; ".join([result.error, *notes]))
        else:
            noted = replace(result, warnings=(*result.warnings, *notes))
            yield Segment(part.start_s, part.end_s, noted, None)


def _answer(
    predictor: Predictor,
    path: Path,
    text: str | None,
    span: Span | None,
    offered: LabelSet | None,
    with_reason: bool,
) -> Prediction | ClipFailure:
    """Read, encode and answer one part."""
    began = time.perf_counter()
    try:
        clip = predictor.read(path, text, span=span)
        times = {"read": time.perf_counter() - began}
        (encoded,) = predictor.encode([clip])
    except (ValueError, OSError) as error:  # MediaError is a ValueError
        return ClipFailure(str(path), str(error))
    encoded = replace(encoded, name=str(path), timings_s={**times, **encoded.timings_s})
    (answer,) = predictor.answer([encoded], offered, with_reason=with_reason)
    return answer


def summary(answered: Sequence[Segment]) -> Summary:
    """Average the answers of the parts, each weighted by its length.

    With d_i the length in seconds and p_i the probabilities of part i, over the parts that have a
    label (one whose written answer could not be read has none):

        p(label) = sum_i d_i p_i(label) / sum_i d_i

    Args:
        answered: the parts of one clip, all with the same labels offered
    """
    parts = [
        (segment.end_s - segment.start_s, segment.prediction)
        for segment in answered
        if segment.prediction is not None and segment.prediction.label is not None
    ]
    total_s = sum(length_s for length_s, _ in parts)
    # a still picture has no length; it is one part
    weights = [length_s / total_s if total_s else 1.0 / len(parts) for length_s, _ in parts]
    mean: dict[str, float] = {}
    for weight, (_, prediction) in zip(weights, parts, strict=True):
        for label, probability in prediction.probabilities.items():
            mean[label] = mean.get(label, 0.0) + weight * probability
    return Summary(
        label=max(mean, key=mean.__getitem__, default=None),
        probabilities=mean,
        num_answered=len(parts),
        num_segments=len(answered),
        answered_s=total_s,
    )
