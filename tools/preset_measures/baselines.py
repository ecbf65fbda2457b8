"""What simple, well-known methods reach on the same splits, fitted on the training splits alone.

Knows: functionals of a recording with a support vector machine, a bag of words with a logistic
regression. Does not know: presets. Nothing is stored.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emotion_llama.config import MediaConfig
from emotion_llama.encoders.mini_audio_encoder import NUM_MELS, SAMPLE_RATE_HZ, MelAudioEncoder
from emotion_llama.media.audio import read_waveform
from emotion_llama.voice.frames import cut_frames
from emotion_llama.voice.pitch import track_pitch

from .bench import Bench
from .items import ItemSet, read_meld, read_speech, thinned
from .rows import Row, label_row

Numbers = NDArray[np.float64]

NUM_CEPSTRA = 24
NUM_DELTAS = 12
NUM_FUNCTIONALS = 76
MARGIN = 10.0
"""Penalty C of the support vector machine; the width of the kernel is scikit-learn's default."""
REFERENCE_HZ = 27.5
"""0 semitones."""
WORD_OR_MARK = r"\w+|[^\w\s]"
"""What counts as a word: without marks, as scikit-learn has it, an exclamation says nothing."""


def measure(bench: Bench) -> list[Row]:
    """Fit and score both baselines."""
    rows = [] if not bench.speech else measure_speech(bench)
    train = thinned(read_meld(bench.data_dir, "train"), _training_limit(bench))
    model = fit_words([item.text or "" for item in train.items], train.truths)
    chosen = bench.lines
    answers = [str(x) for x in model.predict([item.text or "" for item in chosen.items])]
    rows.append(_row(chosen, answers, "bag of words, logistic regression", len(train)))
    return rows


def measure_speech(bench: Bench) -> list[Row]:
    """Fit a machine for the labels of each set, on the training speakers of all sets."""
    # every label of any set; the machine of a set is fitted on the recordings of its own labels
    train = [thinned(one, _training_limit(bench)) for one in read_speech(bench.data_dir, "train")]
    truths = np.array([truth for one in train for truth in one.truths])
    inputs = np.concatenate([read_functionals(one) for one in train])
    rows = []
    for chosen in bench.speech:
        own = np.isin(truths, chosen.labels)
        machine = fit_machine(inputs[own], truths[own])
        answers = [str(label) for label in machine.predict(read_functionals(chosen))]
        rows.append(_row(chosen, answers, "functionals, support vector machine", int(own.sum())))
    return rows


def _training_limit(bench: Bench) -> int | None:
    """Give the most training items of a trial, which must still show every label."""
    return None if bench.limit is None else 10 * bench.limit


def _row(chosen: ItemSet, answers: Sequence[str], method: str, num_training: int) -> Row:
    row = label_row(chosen.name, chosen.truths, answers, chosen.labels, chosen.people)
    return {**row, "method": method, "training_items": num_training}


def fit_machine(inputs: Numbers, truths: NDArray[np.str_]) -> Pipeline:
    """Fit a support vector machine with a radial kernel on standardised inputs [n x f]."""
    machine = SVC(C=MARGIN, class_weight="balanced")
    return make_pipeline(StandardScaler(), machine).fit(inputs, truths)


def fit_words(texts: Sequence[str], truths: Sequence[str]) -> Pipeline:
    """Fit a logistic regression on the words, marks and pairs of both of texts."""
    counts = CountVectorizer(ngram_range=(1, 2), binary=True, min_df=2, token_pattern=WORD_OR_MARK)
    return make_pipeline(counts, LogisticRegression(max_iter=1000)).fit(texts, truths)


def read_functionals(chosen: ItemSet) -> Numbers:
    """Give the functionals of every recording of a set, [n x f]; silence is all zeros."""
    found = []
    for item in chosen.items:
        assert item.path is not None
        sound = read_waveform(item.path, MediaConfig()).waveform
        found.append(np.zeros(NUM_FUNCTIONALS) if sound is None else functionals(sound))
    return np.stack(found)


def functionals(waveform: NDArray[np.float32]) -> Numbers:
    """Describe a recording by numbers that do not depend on its length or level.

    Cepstra (means, deviations, deviations of their changes), pitch, course of the level, balance
    of the spectrum, voicing.

    Args:
        waveform: mono sound at 16 kHz, [w]

    Returns:
        [76]
    """
    log_mel = _encoder().log_mel(torch.from_numpy(waveform)[None])[0].numpy().astype(np.float64)
    levels = log_mel.max(axis=0)  # [t]
    loud = log_mel[:, levels > levels.max() - np.log(10.0) * 3.5]  # within 35 dB
    cepstra = (cosines() @ loud)[1:]  # the first is the level
    deltas = (
        np.diff(cepstra[:NUM_DELTAS], axis=1) if loud.shape[1] > 1 else cepstra[:NUM_DELTAS, :1]
    )
    values = [cepstra.mean(1), cepstra.std(1), deltas.std(1), _pitch(waveform), _course(loud)]
    return np.concatenate(values)


@cache
def _encoder() -> MelAudioEncoder:
    """Give the one home of the log-mel picture; its weights are not used."""
    return MelAudioEncoder()


@cache
def cosines() -> Numbers:
    """Give the orthonormal cosine transform of log-mel energies, [25 x 64]."""
    bands = np.arange(NUM_MELS) + 0.5
    rows = np.cos(np.pi / NUM_MELS * np.arange(NUM_CEPSTRA + 1)[:, None] * bands)
    rows *= np.sqrt(2.0 / NUM_MELS)
    rows[0] /= np.sqrt(2.0)
    return rows


def _pitch(waveform: NDArray[np.float32]) -> Numbers:
    """Describe the pitch in semitones, and the voicing, [9]; without a voice all zeros."""
    track = track_pitch(cut_frames(waveform))
    voiced = ~np.isnan(track.hertz)
    if voiced.sum() < 2:
        return np.zeros(9)
    pitch = 12 * np.log2(track.hertz[voiced] / REFERENCE_HZ)
    slope = np.polyfit(np.flatnonzero(voiced) / 100, pitch, 1)[0]
    return np.array(
        [
            pitch.mean(),
            pitch.std(),
            *np.percentile(pitch, (10, 50, 90)),
            np.abs(np.diff(pitch)).mean(),
            slope,
            voiced.mean(),
            np.nanmean(track.strength),
        ]
    )


def _course(loud: Numbers) -> Numbers:
    """Describe how level and balance of the loud frames [64 x t] change, and their length, [7]."""
    level = loud.max(axis=0)
    power = np.exp(loud - level)
    centroid = (np.arange(NUM_MELS)[:, None] * power).sum(0) / power.sum(0)
    low, middle, high = np.percentile(level - level.max(), (10, 50, 90))
    seconds = loud.shape[1] / (SAMPLE_RATE_HZ / 160)
    return np.array([level.std(), low, middle, high, centroid.mean(), centroid.std(), seconds])
