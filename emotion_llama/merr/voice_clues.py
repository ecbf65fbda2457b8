"""Prosody and a norm -> measures of the voice -> statements about it, and statements back.

Knows: which scores are said and how many. Does not know: sound, how a norm was chosen, wording
(`emotion_llama.voice.wording` has it for both directions), what a voice may mean.
"""

from emotion_llama.merr.records import Clue, StatedClue, VoiceMeasures
from emotion_llama.voice import (
    MEASURES,
    USUAL,
    VOICE,
    Prosody,
    VoiceNorm,
    grade,
    read,
    score,
    word,
    word_usual,
)

MAX_CLUES = 4
"""Most measures that are said of one voice: more are a list, not a description."""


def voice_measures(prosody: Prosody, norm: VoiceNorm | None) -> VoiceMeasures:
    """Hold a voice against a norm.

    Args:
        prosody: what was measured
        norm: what is usual; ``None`` leaves every score out, so that nothing is said
    """
    return VoiceMeasures(
        values=dict(prosody.values),
        scores=dict.fromkeys(MEASURES) if norm is None else dict(score(prosody, norm)),
        scope=None if norm is None else norm.scope,
        num_recordings=0 if norm is None else norm.num_recordings,
        voiced_s=prosody.voiced_s,
        speech_share=prosody.speech_share,
        snr_db=prosody.snr_db,
        start_s=prosody.speech_start_s,
        end_s=prosody.speech_end_s,
    )


def voice_clues(voice: VoiceMeasures) -> tuple[Clue, ...]:
    """Say what is unusual about a voice, the most unusual first.

    Args:
        voice: measures with scores

    Returns:
        at most `MAX_CLUES`; where everything that was scored is usual, one clue that says so;
        none without scores
    """
    clues = unusual_clues(voice)
    scored = [name for name in MEASURES if voice.scores.get(name) is not None]
    if clues or not scored or voice.scope is None:
        return clues[:MAX_CLUES]
    return (
        Clue(
            kind="voice",
            feature=VOICE,
            reading=USUAL,
            statement=word_usual(scored, voice.scope),
            start_s=voice.start_s,
            end_s=voice.end_s,
        ),
    )


def unusual_clues(voice: VoiceMeasures) -> tuple[Clue, ...]:
    """Say everything that is unusual about a voice, the most unusual first.

    Args:
        voice: measures with scores
    """
    if voice.scope is None:
        return ()
    scores = {name: found for name in MEASURES if (found := voice.scores.get(name)) is not None}
    ordered = sorted(scores, key=lambda name: -abs(scores[name]))  # equal ones as in MEASURES
    return tuple(
        Clue(
            kind="voice",
            feature=name,
            reading=reading,
            statement=word(name, reading, voice.scope),
            value=voice.values.get(name),
            start_s=voice.start_s,
            end_s=voice.end_s,
        )
        for name in ordered
        if (reading := grade(scores[name])) is not None
    )


def read_voice(text: str) -> tuple[StatedClue, ...]:
    """Read back what a text says of the voice, in the order of the text.

    Statements of `voice_clues` come back exactly. Of descriptions by others the direction is
    understood, ``high`` or ``low``, as far as `emotion_llama.voice.wording` lists them. What is
    denied, and words in double quotes, which are somebody's speech, are passed over.
    """
    return tuple(StatedClue("voice", one.feature, one.reading, one.words) for one in read(text))
