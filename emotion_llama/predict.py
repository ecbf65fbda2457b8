"""File in, answer out: the one inference path behind command line, evaluation, page and API.

Knows: the order of the stages and what the answer states. Does not know: how any stage works.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from emotion_llama.clip_reader import ClipReader
from emotion_llama.clip_words import WordReader
from emotion_llama.config import MediaConfig
from emotion_llama.device import choose_device, choose_dtype, one_thread
from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.encoders import FeatureExtractor
from emotion_llama.evidence import measured_evidence
from emotion_llama.labels import LabelSet, label_set, parse_label, valence
from emotion_llama.language import not_english
from emotion_llama.modalities import OF_PART, PARTS, keep_encoded
from emotion_llama.modalities import Part as ClipPart
from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor, quantization_config
from emotion_llama.model.scoring import (
    LABEL_TOKENS,
    LabelScores,
    Watch,
    score_labels,
    write_answers,
)
from emotion_llama.preset import PresetError, find_preset, preset_media
from emotion_llama.prompt import PromptMode, Turn, first_question
from emotion_llama.reason_choice import SPEAKS_OF, is_true, not_measured, statements
from emotion_llama.reason_conclusion import Part, conclusion_of, follows
from emotion_llama.reason_writing import Draft, true_reasons, views_of
from emotion_llama.records import (
    MODALITIES,
    Clip,
    Evidence,
    Features,
    Modality,
    Prediction,
    Sample,
    Task,
)

Decision = Literal["scored", "greedy"]
"""How the label is decided: by the likelihood of each offered label, or read out of a greedy
answer as published (an unparsed answer is ``None``)."""

_SHARED_FROM = 512
"""Width of a language model from which threads share its products; those of `mini` are so small
that waiting for each other costs more: two threads that do not spin take 1.6 times as long."""

_SHOWN_AS: Mapping[Part, ClipPart] = {"face": "vision", "voice": "audio", "words": "text"}
"""What a reason calls a part of a clip -> what shows it."""

_SCORED_TOGETHER = 4
"""Clips whose labels are scored at once on a GPU: each holds the keys and values of its prompt once
for every label, 1.5 GiB at the published sizes, and a card of 24 GiB has 7 beside the model."""

Labels = str | LabelSet | Sequence[str] | None

_UNSURE_RULE = "neither face, voice nor words to go on, no readable label, or a probability below"
_NO_FACE = "no face was found; what the reason says about a face is a guess"
_NOT_BORNE_OUT = (
    "the tables of action units and voice say otherwise of what speaks for and against the label"
)
_BY_WINDOWS = "too long for one pass; the feature is put together from windows, an approximation"
_NO_VOICE = "no voice was heard; what the reason says about a voice is a guess"


@dataclass(frozen=True)
class ClipFailure:
    """A clip that gave no answer, and why."""

    clip: str
    error: str


@dataclass(frozen=True)
class _Question:
    """What is asked about each clip."""

    offered: LabelSet
    with_reason: bool
    with_answer: bool = False
    wording: str | None = None
    watch: Watch | None = None


class Predictor:
    """A loaded preset that answers for clips.

    Args:
        model: the language model with its projections
        processor: prompts and token layout
        extractor: the encoders
        preset: name that answers carry
        reader: how files become clips
        decision: how the label is decided
    """

    def __init__(
        self,
        model: EmotionLlama,
        processor: EmotionLlamaProcessor,
        extractor: FeatureExtractor,
        *,
        preset: str,
        reader: ClipReader | None = None,
        decision: Decision = "scored",
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        self.extractor = extractor
        self.preset = preset
        self.reader = reader or ClipReader(measure=measured_evidence)
        self.decision = decision

    @classmethod
    def from_pretrained(
        cls,
        preset: str | Path,
        *,
        device: str | None = None,
        dtype: str | None = None,
        quantize_bits: Literal[4, 8] | None = None,
        media: MediaConfig | Mapping[str, Any] | None = None,
        prompt_mode: PromptMode = "trained",
        decision: Decision = "scored",
    ) -> "Predictor":
        """Load a packaged preset, a folder, or a repository of the Hugging Face hub.

        Args:
            preset: ``mini``, a folder written by ``emotion-llama convert`` or by training, or a
                hub id ``owner/name``
            device: ``cpu``, ``cuda``, ...; default is a GPU if there is one
            dtype: ``float32``, ``bfloat16`` or ``float16``; default is float32 on a CPU and
                float16, as published, on a GPU
            quantize_bits: load the language model in 4 or 8 bits (needs ``bitsandbytes``)
            media: how files are read; a mapping changes only what it names of the preset's own
                settings, see `emotion_llama.preset.preset_media`
            prompt_mode: where feature tokens go, see `emotion_llama.prompt.PromptMode`
            decision: how the label is decided

        Raises:
            PresetError: there is no such preset, or its files do not fit together
        """
        folder = find_preset(str(preset))
        device = choose_device(device)
        kind = choose_dtype(dtype, device)
        loading: dict[str, Any] = {"dtype": kind, "device_map": device}
        if quantize_bits is not None:
            loading["quantization_config"] = quantization_config(quantize_bits)
        try:
            model = EmotionLlama.from_pretrained(folder, **loading)
            processor = EmotionLlamaProcessor.from_pretrained(folder, prompt_mode)
            extractor = FeatureExtractor.from_pretrained(folder, device=device, dtype=kind)
        except (OSError, ValueError) as error:
            msg = f"preset {str(preset)!r} cannot be loaded from {folder}: {error}"
            raise PresetError(msg) from error
        if kind == torch.float32 and quantize_bits is None:
            model.merge_lora()  # in half precision it would round the published weights
        return cls(
            model,
            processor,
            extractor,
            # of a folder its name: where it lies is nobody's business who reads an answer
            preset=model.config.preset or (folder.name if Path(preset).exists() else str(preset)),
            reader=ClipReader(
                media if isinstance(media, MediaConfig) else preset_media(folder, **(media or {})),
                words=WordReader(english_only=model.config.reads_english_only),
                measure=measured_evidence,
            ),
            decision=decision,
        )

    def changed(self, *, decision: Decision | None = None, **media: Any) -> "Predictor":
        """Give the same preset with another decision, or that reads files otherwise.

        Args:
            decision: how the label is decided; ``None``: as here
            **media: fields of `MediaConfig` to change
        """
        reader = copy(self.reader)
        reader.media = MediaConfig(**{**reader.media.model_dump(), **media})
        return Predictor(
            self.model,
            self.processor,
            self.extractor,
            preset=self.preset,
            reader=reader,
            decision=decision or self.decision,
        )

    @property
    def notice(self) -> str | None:
        """Terms of the preset's weights in one sentence, to be shown once."""
        notice: str | None = self.model.config.notice
        return notice

    def __call__(
        self,
        path: str | Path | None,
        text: str | None = None,
        labels: Labels = None,
        *,
        with_reason: bool = True,
    ) -> Prediction:
        """Answer for one file, or for text alone.

        Args:
            path: video, sound or picture; ``None`` for text alone
            text: what is said in the clip
            labels: labels to offer, in this order; default is the preset's list
            with_reason: also write the reason, which takes most of the time, and say what was
                measured

        Raises:
            MediaError: the file gives nothing to answer from
            ValueError: the labels or the text are unusable
        """
        asked = _Question(self.offered(labels), with_reason)
        return self._answer([self._prepare_one(path, text)], asked)[0]

    def batch(
        self,
        paths: Iterable[str | Path],
        texts: Iterable[str | None] | None = None,
        labels: Labels = None,
        *,
        batch_size: int = 8,
        with_reason: bool = True,
    ) -> Iterator[Prediction | ClipFailure]:
        """Answer for many files, in order; a file that fails does not stop the others.

        Args:
            paths: the files
            texts: what is said in each, in the same order
            labels: labels to offer, in this order; default is the preset's list
            batch_size: clips that are encoded and answered together
            with_reason: also write the reasons, which takes most of the time

        Yields:
            an answer or the failure of each clip; the stages' times are the batch's, divided

        Raises:
            ValueError: the labels are unusable, or there are more or fewer texts than files
        """
        asked = _Question(self.offered(labels), with_reason)
        paths = list(paths)
        spoken = list(texts) if texts is not None else [None] * len(paths)
        rows = list(zip(paths, spoken, strict=True))
        for start in range(0, len(rows), batch_size):
            group = rows[start : start + batch_size]
            yield from self._answer_group(group, asked)

    def encode(self, clips: Sequence[Clip]) -> list[EncodedClip]:
        """Encode clips together, so that they can be asked about several times.

        Args:
            clips: as `read` gives them, or with modalities taken out of them
        """
        shared: dict[str, float] = {}
        with _timed(shared, "encode"):
            features = self._encoded(clips)
        times = {"encode": shared["encode"] / max(1, len(clips))}
        return [
            EncodedClip(clip.clip_id, row, clip.transcript, clip, times)
            for clip, row in zip(clips, features, strict=True)
        ]

    def answer(
        self,
        encoded: Sequence[EncodedClip],
        labels: Labels = None,
        *,
        question: str | None = None,
        with_reason: bool = True,
        with_answer: bool = False,
        watch: Watch | None = None,
    ) -> list[Prediction | ClipFailure]:
        """Answer for encoded clips together, in order; one that cannot be answered fails alone.

        Args:
            encoded: the clips
            labels: labels to offer, in this order; default is the preset's list
            question: wording of the emotion task; default is that of `emotion_llama.prompt`
            with_reason: also write the reasons, which takes most of the time
            with_answer: also let the model write freely which emotion it is, see
                `Prediction.answer`
            watch: told the number of a clip and its reason so far, each time that it has grown;
                gives whether anybody still waits for it. What has been shown is written anew
                where a whole reason turns out not to keep to what was measured

        Raises:
            ValueError: the labels are unusable
        """
        asked = _Question(self.offered(labels), with_reason, with_answer, question)
        rows = [row for row, one in enumerate(encoded) if not one.nothing]
        if watch is not None:
            asked = replace(asked, watch=_of_rows(watch, rows))
        answers = iter(self._answer_each([encoded[row] for row in rows], asked))
        return [
            ClipFailure(one.name, one.nothing) if one.nothing else next(answers) for one in encoded
        ]

    def reply(
        self, talks: Sequence[tuple[EncodedClip, Sequence[Turn]]], *, watch: Watch | None = None
    ) -> list[str | ClipFailure]:
        """Reply to the last question of each talk.

        A preset that holds its reasons against what was measured (`mini`) knows two questions and
        no talk: it gives the reason by that part of the clip, face, voice or words, that the
        question speaks of. Any other is asked with all that was said before.

        Args:
            talks: clips, each with earlier questions and their answers, then the question
            watch: told the number of a talk and the reply so far, each time that it has grown;
                gives whether anybody still waits for it

        Returns:
            the model's own words, or why there is no reply
        """
        reply = self._measured_reply if self._keeps_to_measures else self._free_reply
        replies: list[str | ClipFailure] = []
        for row, (encoded, turns) in enumerate(talks):
            heard = watch and _of_rows(watch, [row])
            try:
                if encoded.nothing:
                    raise ValueError(encoded.nothing)
                replies.append(reply(encoded, turns, heard))
            except ValueError as error:
                replies.append(ClipFailure(encoded.name, str(error)))
        return replies

    def from_features(
        self,
        features: Features,
        text: str | None = None,
        labels: Labels = None,
        *,
        name: str = "features",
        with_reason: bool = True,
    ) -> Prediction:
        """Answer from encoder outputs that exist already.

        Raises:
            ValueError: there is neither a feature nor text, or a feature has a wrong shape
        """
        request = EncodedClip(name, features, text or None)
        return self._answer([request], _Question(self.offered(labels), with_reason))[0]

    def embeddings(self, path: str | Path) -> Features:
        """Give the encoder outputs of a file; absent modalities are ``None`` and named.

        Raises:
            MediaError: the file gives nothing
        """
        return self.extractor.extract(self.read(path))

    def read(
        self,
        path: str | Path | None,
        text: str | None = None,
        span: tuple[float, float] | None = None,
    ) -> Clip:
        """Read a file, a part of it, or text alone, as `ClipReader` does.

        Raises:
            MediaError: the file gives nothing
            ValueError: neither file nor text
        """
        return self.reader.read(path, text, span)

    def _threads(self) -> AbstractContextManager[None]:
        """Let a small language model work in one thread."""
        is_small = self.model.config.text_config.hidden_size < _SHARED_FROM
        return one_thread() if is_small else nullcontext()

    @property
    def _keeps_to_measures(self) -> bool:
        """Whether reasons are held against what was measured, and written on where they differ."""
        return int(self.model.config.reason_candidates) >= 2

    @property
    def _is_exact(self) -> bool:
        """Whether an answer has the same digits, whatever it is given together with.

        On a CPU rows gain little from each other, so encoders and scores take them one by one.
        """
        device: torch.device = self.model.get_input_embeddings().weight.device
        return device.type == "cpu"

    def _encoded(self, clips: Sequence[Clip]) -> list[Features]:
        if self._is_exact:
            return [self.extractor.extract(clip) for clip in clips]
        return list(self.extractor.extract_batch(clips)) if clips else []

    def offered(self, labels: Labels = None) -> LabelSet:
        """Give the labels that are offered: those named, else the preset's list.

        Raises:
            ValueError: they are unusable
        """
        return label_set(self.model.config.labels if labels is None else labels)

    def _prepare_one(self, path: str | Path | None, text: str | None) -> EncodedClip:
        timings: dict[str, float] = {}
        with _timed(timings, "read"):
            clip = self.read(path, text)
        with _timed(timings, "encode"):
            features = self.extractor.extract(clip)
        return EncodedClip(str(path or clip.clip_id), features, clip.transcript, clip, timings)

    def _answer_group(
        self, rows: Sequence[tuple[str | Path, str | None]], asked: _Question
    ) -> Iterator[Prediction | ClipFailure]:
        """Read, encode and answer a group together; failures keep their place."""
        results: list[Prediction | ClipFailure | None] = []
        clips: list[Clip] = []
        timings: list[dict[str, float]] = []
        for path, text in rows:
            times: dict[str, float] = {}
            try:
                with _timed(times, "read"):
                    clips.append(self.read(path, text))
                timings.append(times)
                results.append(None)
            except (ValueError, OSError) as error:  # MediaError is a ValueError
                results.append(ClipFailure(str(path), str(error)))
        encoded = [
            replace(one, timings_s={**times, **one.timings_s})
            for one, times in zip(self.encode(clips), timings, strict=True)
        ]
        answers = iter(self.answer(encoded, asked.offered, with_reason=asked.with_reason))
        for row, result in zip(rows, results, strict=True):
            yield result or replace(next(answers), clip=str(row[0]))

    def _answer_each(
        self, requests: Sequence[EncodedClip], asked: _Question
    ) -> Sequence[Prediction | ClipFailure]:
        """Answer together; where one clip cannot be (a transcript too long), answer one by one."""
        try:
            return self._answer(requests, asked) if requests else []
        except ValueError as error:
            if len(requests) == 1:
                return [ClipFailure(requests[0].name, str(error))]
        return [
            self._answer_each(
                [one], replace(asked, watch=asked.watch and _of_rows(asked.watch, [row]))
            )[0]
            for row, one in enumerate(requests)
        ]

    def _free_reply(self, encoded: EncodedClip, turns: Sequence[Turn], watch: Watch | None) -> str:
        """Let the model go on with a talk."""
        begun = self.processor.encode_talk(turns)
        task, wording = first_question(turns[0].question)
        sample = Sample(task, encoded.transcript, wording, name=encoded.name)
        with self._threads():
            return write_answers(
                self.model,
                self.processor,
                [sample],
                [encoded.features],
                beginnings=[begun],
                watch=watch,
            )[0]

    def _measured_reply(
        self, encoded: EncodedClip, turns: Sequence[Turn], watch: Watch | None
    ) -> str:
        """Give the reason by the parts that a question speaks of; a first one may name none."""
        self.processor.encode_talk(turns)  # checks their order
        asked = turns[-1].question
        named = [part for part, speaks in SPEAKS_OF.items() if speaks.search(asked)]
        if not named and len(turns) > 1:
            msg = (
                f"found the question {asked!r}, expected one about the face, the voice or the "
                f"words: {self.preset} was trained to name an emotion and to give its reasons, "
                "and knows no other talk"
            )
            raise ValueError(msg)
        absent = [part for part in named if part in encoded.ground.absent]
        if named and len(absent) == len(named):
            why = ", ".join(
                self._missing(encoded).get(OF_PART[_SHOWN_AS[p]][-1], "") for p in absent
            )
            msg = f"the clip gives no {' and no '.join(absent)} to speak of ({why})"
            raise ValueError(msg)
        parts = [_SHOWN_AS[part] for part in named] or PARTS
        question = _Question(self.offered(), with_reason=True, watch=watch)
        return str(self._answer([keep_encoded(encoded, parts)], question)[0].reason)

    def _answer(self, requests: Sequence[EncodedClip], asked: _Question) -> list[Prediction]:
        """Score the labels and, if asked, write the reason for encoded clips."""
        for request in requests:
            if request.nothing:
                raise ValueError(request.nothing)
        shared: dict[str, float] = {}
        offered = asked.offered
        with self._threads(), _timed(shared, "label"):
            scores = self._score(requests, asked)
            written = self._written(requests, asked)
        rows = [_by_label(offered, row) for row in scores.probabilities]
        alone = [
            {view: _by_label(offered, row) for view, row in views.items()} for views in scores.alone
        ]
        labels: list[str | None] = [max(row, key=row.__getitem__) for row in rows]
        if self.decision == "greedy":
            labels = [parse_label(str(answer), offered) for answer in written]
        reasons: Sequence[str | None] = [None] * len(requests)
        if asked.with_reason:
            with self._threads(), _timed(shared, "reason"):
                reasons = self._reasons(requests, labels, rows, asked)
        parts = {name: seconds / len(requests) for name, seconds in shared.items()}
        predictions = []
        for index, request in enumerate(requests):
            clip = request.clip
            measured = (clip.evidence or ()) if asked.with_reason and clip is not None else ()
            prediction = self._prediction(
                request, labels[index], rows[index], reasons[index], measured, parts
            )
            answered = replace(prediction, answer=written[index], alone=alone[index])
            predictions.append(_with_doubt(answered, offered))
        return predictions

    def _reasons(
        self,
        requests: Sequence[EncodedClip],
        labels: Sequence[str | None],
        probabilities: Sequence[Mapping[str, float]],
        asked: _Question,
    ) -> list[str]:
        """Write a reason for each clip; one that states what was not measured is written on."""
        offered, watch = asked.offered, asked.watch
        ruled_out = [self._other_labels(label, offered) for label in labels]
        is_last = not self._keeps_to_measures
        # a reason that may be written anew is not shown before it is known to stay
        shown = watch if is_last or watch is None else _in_silence(watch)
        reasons = self._generate(requests, "reason", offered, ruled_out=ruled_out, watch=shown)
        if is_last:
            return reasons
        threshold = self.model.config.unsure_below
        grounds = [
            replace(
                request.ground,
                label=str(label),
                is_unsure=max(chances.values()) < threshold,
            )
            for request, label, chances in zip(requests, labels, probabilities, strict=True)
        ]
        rows = [
            row
            for row, request in enumerate(requests)
            if request.clip is not None
            and labels[row] is not None
            and not is_true(reasons[row], grounds[row])
        ]
        samples, features = self._questions([requests[row] for row in rows], "reason", offered)
        drafts = [
            Draft(
                views_of(sample, feature, *self.extractor.part_clues(feature)),
                grounds[row],
                reasons[row],
                ruled_out[row],
            )
            for row, sample, feature in zip(rows, samples, features, strict=True)
        ]
        listening = {} if watch is None else {"watch": _of_rows(watch, rows)}
        written_on = true_reasons(self.model, self.processor, drafts, **listening)
        for row, reason in zip(rows, written_on, strict=True):
            reasons[row] = reason
        return reasons

    def _other_labels(self, label: str | None, offered: LabelSet) -> list[str]:
        """Name the labels that a reason may not name, where the checkpoint asks for that."""
        if label is None or not self.model.config.reason_keeps_label:
            return []
        return [other for other in {*self.model.config.labels, *offered.labels} if other != label]

    def _score(self, requests: Sequence[EncodedClip], asked: _Question) -> LabelScores:
        """Score the offered labels."""
        names = asked.offered.labels
        samples, features = self._questions(requests, "emotion", asked.offered, asked.wording)
        most = 1 if self._is_exact else _SCORED_TOGETHER
        groups = [
            range(len(samples))[start : start + most] for start in range(0, len(samples), most)
        ]
        scores = [
            score_labels(
                self.model,
                self.processor,
                [samples[row] for row in rows],
                [features[row] for row in rows],
                names,
            )
            for rows in groups
        ]
        return LabelScores(
            torch.cat([one.probabilities for one in scores]),
            [views for one in scores for views in one.alone],
        )

    def _written(self, requests: Sequence[EncodedClip], asked: _Question) -> Sequence[str | None]:
        """Let the model write the emotion freely, where that is asked for or decides."""
        if self.decision == "scored" and not asked.with_answer:
            return [None] * len(requests)
        samples, features = self._questions(requests, "emotion", asked.offered, asked.wording)
        return write_answers(
            self.model, self.processor, samples, features, max_new_tokens=LABEL_TOKENS
        )

    def _generate(
        self, requests: Sequence[EncodedClip], task: Task, offered: LabelSet, **settings: Any
    ) -> list[str]:
        samples, features = self._questions(requests, task, offered)
        return write_answers(self.model, self.processor, samples, features, **settings)

    @staticmethod
    def _questions(
        requests: Sequence[EncodedClip], task: Task, offered: LabelSet, wording: str | None = None
    ) -> tuple[list[Sample], list[Features]]:
        samples = [
            Sample(task, request.transcript, wording, offered.labels, name=request.name)
            for request in requests
        ]
        return samples, [request.features for request in requests]

    def _prediction(
        self,
        request: EncodedClip,
        label: str | None,
        probabilities: dict[str, float],
        reason: str | None,
        evidence: tuple[Evidence, ...],
        parts: dict[str, float],
    ) -> Prediction:
        clip = request.clip
        confidence = max(probabilities.values())
        threshold = self.model.config.unsure_below
        missing = self._missing(request)
        faceless = not {"local", "audio", "text"} - set(missing)
        timings = {**request.timings_s, **parts}
        return Prediction(
            clip=request.name,
            label=label,
            probabilities=probabilities,
            reason=reason,
            modalities=tuple(m for m in MODALITIES if m not in missing),
            missing=missing,
            confidence=confidence,
            unsure=confidence < threshold or label is None or faceless,
            unsure_rule=f"{_UNSURE_RULE} {threshold:g}",
            valence=valence(probabilities),
            key_frame_s=clip.key_frame_s if clip else None,
            evidence=evidence,
            warnings=(
                *(clip.warnings if clip else ()),
                *self._foreign(request.transcript),
                *(f"{role}: {_BY_WINDOWS}" for role in request.features.approximate),
                *_guesses(reason, clip, missing),
                *self._untrue(reason, clip, label),
            ),
            timings_s=timings | {"total": sum(timings.values())},
            preset=self.preset,
        )

    def _untrue(self, reason: str | None, clip: Clip | None, label: str | None) -> Iterator[str]:
        """Warn of what was not measured or does not follow, where reasons are chosen by that."""
        if reason is None or clip is None or not self._keeps_to_measures:
            return
        for words in not_measured(reason, clip.evidence or ()):
            yield f"the reason says {words!r}, which was not measured"
        conclusion = conclusion_of(reason)
        if conclusion and label and not follows(conclusion, statements(reason), label):
            yield _NOT_BORNE_OUT

    def _foreign(self, transcript: str | None) -> Iterator[str]:
        """Warn of words in a language that the model does not read."""
        why = not_english(transcript or "") if self.model.config.reads_english_only else None
        if why is not None:
            yield f"the words are not English, the only language that {self.preset} reads: {why}"

    def _missing(self, request: EncodedClip) -> dict[Modality, str]:
        """Name every modality that the answer does not use, with the reason."""
        known = {**(request.clip.missing if request.clip else {}), **request.features.missing}
        used = request.features.present + (("text",) if request.transcript else ())
        why = {m: known.get(m, "it was not given") for m in MODALITIES if m not in used}
        if self.model.config.missing_modality == "omit":
            return why
        # the published behaviour: a zero vector still becomes a token through the layer's bias
        filled = {m: f"{reason}; zeros stand in for it" for m, reason in why.items() if m != "text"}
        return why | filled


def _by_label(offered: LabelSet, row: torch.Tensor) -> dict[str, float]:
    return dict(zip(offered.labels, row.tolist(), strict=True))


def _guesses(
    reason: str | None, clip: Clip | None, missing: Mapping[Modality, str]
) -> Iterator[str]:
    """Warn where the reason speaks of a face that was not found, or of a voice not heard."""
    written = reason or ""
    faceless = (
        {"global", "local", "temporal"} <= set(missing) if clip is None else clip.faces is None
    )
    if faceless and SPEAKS_OF["face"].search(written):
        yield _NO_FACE
    if "audio" in missing and SPEAKS_OF["voice"].search(written):
        yield _NO_VOICE


def _with_doubt(prediction: Prediction, offered: LabelSet) -> Prediction:
    """Warn where the reason, which is written apart from the label, argues for another one."""
    argued = parse_label(prediction.reason or "", offered)
    if argued in (None, prediction.label):
        return prediction
    warning = f"the reason argues for {argued!r}, the label is {prediction.label!r}"
    return replace(prediction, warnings=(*prediction.warnings, warning))


def _of_rows(watch: Watch, rows: Sequence[int]) -> Watch:
    """Let a watcher hear of some rows by their numbers among all."""
    return lambda row, text: watch(rows[row], text)


def _in_silence(watch: Watch) -> Watch:
    """Ask a watcher whether anybody waits, and show nothing."""
    return lambda row, _text: watch(row, "")


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Enter the seconds that a block takes."""
    start = time.perf_counter()
    yield
    timings[name] = time.perf_counter() - start
