"""Clip -> what was measured of its face, voice and words, as statements beside an answer.

Knows: which measures of one clip can be worded. Does not know: models, answers, labels. The words
are those of data sets (`emotion_llama.merr`); the voice is held against packaged norms, because one
clip says nothing of what is usual for its speaker.
"""

from collections.abc import Iterable

import numpy as np

from emotion_llama.config import PEAK_SMOOTHING_S
from emotion_llama.face import action_units as measured_by
from emotion_llama.face import is_talking, measure_action_units, peak_frame, smoothed
from emotion_llama.merr.facial import face_measures, facial_clues
from emotion_llama.merr.records import Clue, ClueKind, FaceMeasures, VoiceMeasures
from emotion_llama.merr.voice_clues import voice_clues, voice_measures
from emotion_llama.merr.words import word_clues
from emotion_llama.records import ActionUnitTable, Clip, Evidence, Modality
from emotion_llama.version import __version__
from emotion_llama.voice import measure_prosody, packaged_norm
from emotion_llama.voice.frames import SAMPLE_RATE_HZ

VERSION = f"2, {measured_by.PRODUCER} {measured_by.VERSION}"
"""Changes when the same clip gives other evidence: stored features of encoders that read it do not
fit then."""

MOST_OF_A_KIND = 3
"""Statements of a face, of a voice and of words that are given, the surest first."""

_SIGNED = ("positive word", "negative word", "open word")

_MODALITIES: dict[ClueKind, Modality] = {"facial": "local", "voice": "audio", "words": "text"}
_PRODUCERS: dict[ClueKind, str] = {
    "facial": f"{measured_by.PRODUCER} {measured_by.VERSION}",
    "voice": f"prosody {__version__}",
    "words": f"words {__version__}",
}


def measured_evidence(clip: Clip) -> tuple[Evidence, ...]:
    """Say what was measured: action units at the peak, the voice, words that carry a sign.

    Args:
        clip: as `emotion_llama.clip_reader.ClipReader` reads it

    Returns:
        face, voice, words, as far as they could be measured; the words of the transcript itself
        are not repeated
    """
    return state(measured_clues(clip))


def state(clues: Iterable[Clue]) -> tuple[Evidence, ...]:
    """Give clues in the form that answers carry."""
    return tuple(
        Evidence(
            modality=_MODALITIES[clue.kind],
            statement=clue.statement,
            value=clue.value,
            start_s=clue.start_s,
            end_s=clue.end_s,
            producer=_PRODUCERS[clue.kind],
            feature=clue.feature,
            reading=clue.reading,
        )
        for clue in clues
    )


def measured_clues(clip: Clip) -> tuple[Clue, ...]:
    """Give the clues behind `measured_evidence`: face, voice, words, the surest of each first."""
    return (*_face(clip), *_voice(clip), *_words(clip))


def measured_units(clip: Clip) -> ActionUnitTable | None:
    """Measure the action units of a clip over time; ``None`` where no points were found."""
    if clip.faces is None or clip.faces.points is None:
        return None
    return smoothed(measure_action_units(clip.faces), PEAK_SMOOTHING_S)


def measured_face(clip: Clip) -> FaceMeasures | None:
    """Measure the face of a clip at its peak; ``None`` where no points were found."""
    track, table = clip.faces, measured_units(clip)
    if track is None or track.scores is None or table is None:
        return None
    talking = is_talking(track, has_sound=clip.waveform is not None)
    return face_measures(
        table,
        peak_frame(table, speech_counts=not talking),
        num_frames=None if clip.frames is None else len(clip.frames),
        coverage=track.coverage,
        score=float(np.mean(track.scores)),
        talking=talking,
    )


def measured_voice(clip: Clip) -> VoiceMeasures | None:
    """Measure the voice of a clip against many speakers; ``None`` where there is none."""
    if clip.waveform is None or clip.sample_rate_hz != SAMPLE_RATE_HZ:
        return None
    prosody = measure_prosody(clip.waveform, clip.sample_rate_hz)
    return voice_measures(prosody, packaged_norm(prosody, None))


def _face(clip: Clip) -> tuple[Clue, ...]:
    measures = measured_face(clip)
    # what was measured draws the wordings: a clip under another name says the same
    return () if measures is None else facial_clues(measures, repr(measures))[:MOST_OF_A_KIND]


def _voice(clip: Clip) -> tuple[Clue, ...]:
    measures = measured_voice(clip)
    return () if measures is None else voice_clues(measures)[:MOST_OF_A_KIND]


def _words(clip: Clip) -> tuple[Clue, ...]:
    clues = word_clues(clip.transcript, None, str(clip.transcript))
    return tuple(clue for clue in clues if clue.feature in _SIGNED)[:MOST_OF_A_KIND]
