"""Requests of lmms-eval -> answers of a preset: the model, as that program calls it.

Knows: the interface of lmms-eval 0.7 (``lmms_eval.api.model.lmms``) and what its tasks hand over.
Does not know: tasks, metrics, how a clip is read or answered. Nothing in the package imports it.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import av
import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image, ImageOps
from transformers.utils.logging import tqdm

from emotion_llama.model.scoring import write_answers
from emotion_llama.predict import Predictor
from emotion_llama.prompt import Instruction
from emotion_llama.records import Clip, Features, Sample, Task

try:
    from lmms_eval.api.model import lmms  # type: ignore[import-not-found,unused-ignore]
except ImportError as cause:
    _NEEDED = f"this module needs lmms-eval ({cause}); run: pip install lmms-eval"
    raise ImportError(_NEEDED) from cause

logger = logging.getLogger(__name__)

MODEL_ID = "emotion_llama"
"""What ``lmms-eval --model`` calls the model."""

_FOLLOWED = ("until", "max_new_tokens")
"""Settings of a request that are followed."""

_TOO_MANY = (
    "found {found}, expected one clip, or a picture and a sound; choose a task that asks about one"
)

_AUDIBLE = ("array", "sampling_rate")
"""What a sound of the ``datasets`` library gives by these names."""


@dataclass(frozen=True)
class _Request:
    """One question of a task, in the order of ``Instance.args`` of lmms-eval."""

    context: str
    settings: Mapping[str, Any]
    doc_to_visual: Callable[[Any], Any]
    """row of the data set -> its media"""
    doc_id: int
    task: str
    split: str

    @property
    def name(self) -> str:
        return f"{self.task}/{self.split}/{self.doc_id}"


@dataclass(frozen=True)
class _Question:
    """A request on its way to the model."""

    request: _Request
    prompted: Sample | Instruction
    features: Features
    nothing: str = ""
    """why there is nothing to answer from, see `EncodedClip.nothing`"""


def manifest() -> Any:
    """Tell lmms-eval what the model is called and where it is (entry point ``lmms_eval.models``).

    Returns:
        a ``ModelManifest``
    """
    from lmms_eval.models.registry_v2 import (  # type: ignore[import-not-found,unused-ignore]
        ModelManifest,
    )

    return ModelManifest(MODEL_ID, simple_class_path=f"{__name__}.{LmmsEvalModel.__name__}")


class LmmsEvalModel(lmms):
    """A preset that answers the tasks of lmms-eval.

    A request is one question about one clip: a film, a picture, a sound, or a picture and a sound.
    The clip is read and encoded as everywhere in this package; the context of the request is the
    wording of the emotion task, with nothing added, and the answer is written greedily. A request
    without media goes to the language model alone; how many did is logged.

    The model was trained to name emotions and to give reasons. What it writes to other questions
    (letters of options, counts, text in a picture) is no measure of it. Nobody hands a transcript
    over: what was said is known only where the context quotes it.

    A request that cannot be answered gets an empty answer and a line in the log. ``failures`` has
    the reasons, and their number is logged at the end of each call.

    Args:
        pretrained: a packaged preset, a folder, or a repository of the Hugging Face hub
        device: ``cpu``, ``cuda``, ...; default is a GPU if there is one. Each process of a
            distributed run takes its own GPU
        dtype: see `Predictor.from_pretrained`
        quantize_bits: see `Predictor.from_pretrained`
        batch_size: requests that are encoded and answered together
        task: ``emotion`` or ``reason``: the tag in front of the context

    Raises:
        PresetError: there is no such preset, or its files do not fit together
        ValueError: an unusable batch size or task
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str = "mini",
        device: str | None = None,
        dtype: str | None = None,
        quantize_bits: Literal[4, 8] | None = None,
        batch_size: int | str = 1,
        task: Task = "emotion",
    ) -> None:
        super().__init__()
        if task not in get_args(Task):
            msg = f"task is {task!r}, expected one of {', '.join(get_args(Task))}"
            raise ValueError(msg)
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            msg = (
                f"batch_size is {batch_size!r}, expected a whole number from 1; it is not searched"
            )
            raise ValueError(msg)
        self.batch_size = int(batch_size)
        self.task = task
        self.failures: list[str] = []
        self.without_media = 0
        self._not_followed: set[str] = set()
        self.predictor = Predictor.from_pretrained(
            pretrained, device=_own_device(device), dtype=dtype, quantize_bits=quantize_bits
        )

    @property
    def device(self) -> torch.device:
        """Where the language model is; lmms-eval asks where there are several processes."""
        weight: torch.Tensor = self.predictor.model.get_input_embeddings().weight
        return weight.device

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer each request, in order.

        Of its settings, ``until`` (the answer ends before the first of these texts) and
        ``max_new_tokens`` (default is the preset's) are followed; others that ask for anything but
        a greedy answer are named in the log.

        Args:
            requests: with ``args`` of context, settings, doc_to_visual, doc_id, task, split
        """
        answers: list[str] = []
        failed, mediumless = len(self.failures), self.without_media
        asked = [_Request(*one.args) for one in requests]
        with tqdm(total=len(asked), desc=MODEL_ID, disable=self.rank != 0) as bar:
            for limit, group in groupby(asked, key=lambda one: one.settings.get("max_new_tokens")):
                rows = list(group)
                for start in range(0, len(rows), self.batch_size):
                    found = self._answer(rows[start : start + self.batch_size], limit)
                    answers += found
                    bar.update(len(found))  # a bar that is switched off counts nothing
        self._report(len(asked), len(self.failures) - failed, self.without_media - mediumless)
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refuse, because a number given here could be read either way round.

        lmms-eval 0.7.3 asks for a log-likelihood, takes the *lowest* as the choice, since its own
        models return losses, and turns the pair into text before it gets there.

        Raises:
            NotImplementedError: always
        """
        msg = (
            "lmms-eval asks for likelihoods but chooses the lowest, so none is given; use tasks "
            "of output_type generate_until, or emotion-llama evaluate, which scores labels"
        )
        raise NotImplementedError(msg)

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse: there is one question about a clip, and one answer.

        Raises:
            NotImplementedError: always
        """
        msg = "the model answers one question about one clip; choose tasks of a single round"
        raise NotImplementedError(msg)

    def clean(self) -> None:
        """Let go of the model, so that lmms-eval can give its memory to a judge."""
        del self.predictor
        super().clean()

    def _answer(self, requests: Sequence[_Request], limit: Any) -> list[str]:
        """Answer a batch; a request whose media cannot be read fails alone."""
        read: dict[int, Clip | None] = {}
        for index, request in enumerate(requests):
            self._note_not_followed(request.settings)
            try:
                read[index] = self._clip(request)
            except (ValueError, OSError) as error:  # MediaError is a ValueError
                self._fail(request, error)
        questions = self._questions([requests[index] for index in read], list(read.values()))
        written = dict(zip(read, self._written_each(questions, limit), strict=True))
        return [written.get(index, "") for index in range(len(requests))]

    def _written_each(self, questions: Sequence[_Question], limit: Any) -> list[str]:
        """Write together; where one cannot be answered (a prompt too long), write one by one."""
        if not questions:
            return []
        try:
            texts = self._written(questions, limit)
            stops = [question.request.settings.get("until") for question in questions]
            return [_cut(text, until) for text, until in zip(texts, stops, strict=True)]
        except ValueError as error:
            if len(questions) == 1:
                self._fail(questions[0].request, error)
                return [""]
        return [self._written_each([question], limit)[0] for question in questions]

    def _written(self, questions: Sequence[_Question], limit: Any) -> list[str]:
        """Write greedy answers.

        Raises:
            ValueError: one of the clips gives nothing, or a prompt is too long
        """
        for question in questions:
            if question.nothing:
                raise ValueError(question.nothing)
        settings: dict[str, Any] = {} if limit is None else {"max_new_tokens": int(limit)}
        return write_answers(
            self.predictor.model,
            self.predictor.processor,
            [question.prompted for question in questions],
            [question.features for question in questions],
            **settings,
        )

    def _questions(
        self, requests: Sequence[_Request], clips: Sequence[Clip | None]
    ) -> list[_Question]:
        """Encode the clips together; a request without one becomes a plain instruction."""
        encoded = iter(self.predictor.encode([clip for clip in clips if clip is not None]))
        questions = []
        for request, clip in zip(requests, clips, strict=True):
            if clip is None:
                plain = Instruction(request.context, request.name)
                questions.append(_Question(request, plain, Features()))
                continue
            one = next(encoded)
            sample = Sample(self.task, one.transcript, request.context, name=request.name)
            questions.append(_Question(request, sample, one.features, one.nothing))
        return questions

    def _clip(self, request: _Request) -> Clip | None:
        """Read the media of a request; ``None``: it has none.

        Raises:
            ValueError: they cannot be read, or are more than one clip
        """
        row = self.task_dict[request.task][request.split][request.doc_id]
        media = _flat(request.doc_to_visual(row))
        if not media:
            self.without_media += 1
            return None
        if len(media) > 2:  # before anything is decoded
            raise ValueError(_TOO_MANY.format(found=f"{len(media)} media"))
        clip = self.predictor.reader.complete(_joined([self._decode(one) for one in media]))
        for note in clip.warnings:
            logger.info("%s: %s", request.name, note)
        return clip

    def _decode(self, medium: Any) -> Clip:
        with _as_file(medium) as path:
            return self.predictor.reader.decode(path)

    def _fail(self, request: _Request, error: Exception) -> None:
        self.failures.append(f"{request.name}: {error}")
        logger.warning("empty answer to %s", self.failures[-1])

    def _report(self, asked: int, failed: int, without_media: int) -> None:
        if failed:
            logger.warning("%d of %d requests got an empty answer", failed, asked)
        if without_media:
            logger.warning(
                "%d of %d requests had no media: answered from words", without_media, asked
            )

    def _note_not_followed(self, settings: Mapping[str, Any]) -> None:
        """Name a setting that is not followed, once."""
        for name, value in settings.items():
            is_greedy = value in (None, 0) or (name == "num_beams" and value == 1)
            note = f"{name}={value}"
            if name not in _FOLLOWED and not is_greedy and note not in self._not_followed:
                self._not_followed.add(note)
                logger.warning("%s is not followed: answers are greedy", note)


def _own_device(device: str | None) -> str | None:
    """Give each process of a distributed run its own GPU, unless one is named."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is None or device not in (None, "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{rank}"


def _cut(text: str, until: str | Sequence[str] | None) -> str:
    """Give the part of an answer before the first of the texts that end it."""
    stops = [until] if isinstance(until, str) else until or []
    for stop in stops:
        if stop:
            text = text.partition(stop)[0]
    return text


def _flat(media: Any) -> list[Any]:
    """Bring one medium, nested lists or nothing into one list."""
    if media is None:
        return []
    if not isinstance(media, list | tuple):
        return [media]
    return [one for part in media for one in _flat(part)]


def _joined(clips: Sequence[Clip]) -> Clip:
    """Make one clip of a picture and a sound; one alone is left as it is.

    Raises:
        ValueError: there are two of a kind
    """
    if len(clips) == 1:
        return clips[0]
    seen = [clip for clip in clips if clip.frames is not None]
    heard = [clip for clip in clips if clip.waveform is not None]
    if len(seen) != 1 or len(heard) != 1 or seen[0] is heard[0]:
        raise ValueError(_TOO_MANY.format(found=" and ".join(clip.kind for clip in clips)))
    return replace(
        seen[0],
        waveform=heard[0].waveform,
        sample_rate_hz=heard[0].sample_rate_hz,
        duration_s=max(clip.duration_s or 0.0 for clip in clips),
        missing={role: why for role, why in seen[0].missing.items() if role != "audio"},
        warnings=seen[0].warnings + heard[0].warnings,
    )


@contextmanager
def _as_file(medium: Any) -> Iterator[Path]:
    """Give a medium as a file, so that all are read in the one way.

    Raises:
        ValueError: it is none of what lmms-eval's tasks hand over for a film, picture or sound
    """
    if isinstance(medium, str | Path):
        yield Path(medium)
        return
    with TemporaryDirectory() as folder:
        if isinstance(medium, Image.Image):
            path = Path(folder) / "picture.tiff"  # takes every kind of pixel
            ImageOps.exif_transpose(medium).save(path)
        else:
            path = Path(folder) / "sound.wav"
            _write_sound(path, *_sound(medium))
        yield path


def _sound(medium: Any) -> tuple[ArrayLike, int]:
    """Give samples and their rate in hertz."""
    try:
        samples, rate_hz = (medium[name] for name in _AUDIBLE)
    except (KeyError, TypeError, IndexError) as error:
        msg = (
            f"found a {type(medium).__name__}, expected a path, a picture, or a sound with "
            f"{' and '.join(_AUDIBLE)}"
        )
        raise ValueError(msg) from error
    return samples, int(rate_hz)


def _write_sound(path: Path, samples: ArrayLike, rate_hz: int) -> None:
    """Write samples in [-1, 1], mono [w], in 32 bits.

    Raises:
        ValueError: none, several channels, or whole numbers, whose full scale nobody states
    """
    waveform = np.asarray(samples)
    is_usable = waveform.ndim == 1 and len(waveform) > 0
    if not is_usable or not np.issubdtype(waveform.dtype, np.floating):
        found = f"a sound of {waveform.dtype} and shape {waveform.shape}"
        msg = f"found {found}, expected mono samples [w] in [-1, 1]; convert them in the task"
        raise ValueError(msg)
    row = waveform[None].astype(np.float32)
    frame = av.AudioFrame.from_ndarray(row, format="flt", layout="mono")
    frame.sample_rate = rate_hz
    with av.open(str(path), "w", format="wav") as container:
        track = container.add_stream("pcm_f32le", rate=rate_hz, layout="mono")
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
