"""Samples made worse on purpose -> the labels that a preset still gives.

Knows: that every disturbance is asked of every clip, beside the clean one. Does not know: how a
clip is disturbed (`disturbance`), figures.
"""

from collections.abc import Iterator, Sequence

from emotion_llama.evaluation.batches import MOST, Batches
from emotion_llama.evaluation.blocks import Row
from emotion_llama.evaluation.disturbance import (
    MER_NOISE,
    SUITE,
    LeftOutError,
    disturbed_clips,
    drawn_levels,
    read_material,
)
from emotion_llama.evaluation.examiner import Rows, batch_row, variant_row
from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.samples import EvalSample
from emotion_llama.modalities import Part, keep
from emotion_llama.predict import Predictor
from emotion_llama.records import Clip

NOISE, CLEAN = "noise.jsonl", "clean"
NOISE_BATCHES = "noise_batches.jsonl"
NOISY_ALREADY = "the data have such noise already"
"""Why clips of a NOISE track are not disturbed as a NOISE track is."""


class NoiseExaminer:
    """Asks a preset about disturbed clips; a `emotion_llama.bulk.Worker`.

    Args:
        predictor: the loaded preset
        protocol: labels and how pictures are read
        parts: what is shown of a clip
        others: clips whose voices and words may be taken
    """

    def __init__(
        self,
        predictor: Predictor,
        protocol: Protocol,
        parts: Sequence[Part],
        others: Sequence[EvalSample],
    ) -> None:
        self.predictor = predictor.changed(face_source=protocol.face_source)
        self.protocol = protocol
        self.parts = parts
        self.others = others
        self._batches = Batches(MOST)  # a clip in all its conditions, unless memory runs out
        self._suite = tuple(one for one in SUITE if set(one.needs) <= set(parts))

    def run(self, block: tuple[int, Sequence[EvalSample]]) -> Rows:
        """Answer for the clips of one numbered block, each in every condition."""
        number, samples = block
        failed_before = self._batches.num_failed
        rows: Rows = {NOISE: [row for sample in samples for row in self._rows(sample)]}
        if failed := self._batches.num_failed - failed_before:
            rows[NOISE_BATCHES] = [batch_row(number, self._batches.size, failed)]
        return rows

    def save(self) -> None:
        """Do nothing: the run writes what blocks come to."""

    def _rows(self, sample: EvalSample) -> Iterator[Row]:
        """Ask about one clip in every condition; say where a condition cannot be made."""
        try:
            material = read_material(self.predictor.reader, sample, self.others)
        except (ValueError, OSError) as error:
            yield _failed(sample, str(error))
            return
        clips: dict[str, Clip] = {CLEAN: self.predictor.reader.finish(material.seen, sample.span)}
        suite = self._suite
        if self.protocol.noisy and MER_NOISE in suite:
            suite = tuple(one for one in suite if one != MER_NOISE)
            yield _left_out(sample, MER_NOISE.title, NOISY_ALREADY)
        for disturbance, made in disturbed_clips(material, suite):
            if isinstance(made, LeftOutError):
                yield _left_out(sample, disturbance.title, str(made))
            else:
                clips[disturbance.title] = made
        levels = {one.title: drawn_levels(one, sample.sample_id) for one in suite if one.draw}
        for row in self._answers(sample, clips):
            yield {**row, "levels": levels[row["variant"]]} if row["variant"] in levels else row

    def _answers(self, sample: EvalSample, clips: dict[str, Clip]) -> Iterator[Row]:
        def answer(names: Sequence[str]) -> list[Row]:
            encoded = self.predictor.encode([keep(clips[name], self.parts) for name in names])
            labels = self.protocol.asked or None
            answers = self.predictor.answer(encoded, labels, with_reason=False)
            return [
                variant_row(sample.sample_id, name, found, self.protocol)
                for name, found in zip(names, answers, strict=True)
            ]

        def lost(names: Sequence[str], error: str) -> list[Row]:
            return [_failed(sample, error, name) for name in names]

        for rows in self._batches.work(list(clips), answer, lost):
            yield from rows


def failed_noise(samples: Sequence[EvalSample], error: str) -> Rows:
    """Say of every sample of a block that was lost why it was not disturbed."""
    return {NOISE: [_failed(sample, error) for sample in samples]}


def _left_out(sample: EvalSample, variant: str, why: str) -> Row:
    return {"sample_id": sample.sample_id, "variant": variant, "left_out": why}


def _failed(sample: EvalSample, error: str, variant: str = CLEAN) -> Row:
    return {"sample_id": sample.sample_id, "variant": variant, "error": error}
