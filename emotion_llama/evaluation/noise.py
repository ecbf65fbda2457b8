"""Samples made worse on purpose -> the labels that a preset still gives.

Knows: that every disturbance is asked of every clip, beside the clean one. Does not know: how a
clip is disturbed (`disturbance`), figures.
"""

from collections.abc import Iterator, Sequence

from emotion_llama.evaluation.blocks import Row
from emotion_llama.evaluation.disturbance import SUITE, LeftOutError, disturbed_clips, read_material
from emotion_llama.evaluation.examiner import Rows, variant_row
from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.samples import EvalSample
from emotion_llama.modalities import Part, keep
from emotion_llama.predict import Predictor
from emotion_llama.records import Clip

NOISE, CLEAN = "noise.jsonl", "clean"


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
        self._suite = tuple(one for one in SUITE if one.kind in parts)

    def run(self, block: tuple[int, Sequence[EvalSample]]) -> Rows:
        """Answer for the clips of one numbered block, each in every condition."""
        return {NOISE: [row for sample in block[1] for row in self._rows(sample)]}

    def save(self) -> None:
        """Do nothing: the run writes what blocks come to."""

    def _rows(self, sample: EvalSample) -> Iterator[Row]:
        """Ask about one clip in every condition; say where a condition cannot be made."""
        try:
            material = read_material(self.predictor.reader, sample, self.others)
        except (ValueError, OSError) as error:
            yield _failed(sample, str(error))
            return
        clips: dict[str, Clip] = {CLEAN: self.predictor.reader.finish(material.seen)}
        for disturbance, made in disturbed_clips(material, self._suite):
            if isinstance(made, LeftOutError):
                yield {
                    "sample_id": sample.sample_id,
                    "variant": disturbance.title,
                    "left_out": str(made),
                }
            else:
                clips[disturbance.title] = made
        yield from self._answers(sample, clips)

    def _answers(self, sample: EvalSample, clips: dict[str, Clip]) -> Iterator[Row]:
        encoded = self.predictor.encode([keep(clip, self.parts) for clip in clips.values()])
        labels = self.protocol.asked or None
        answers = self.predictor.answer(encoded, labels, with_reason=False)
        for name, answer in zip(clips, answers, strict=True):
            yield variant_row(sample.sample_id, name, answer, self.protocol)


def failed_noise(samples: Sequence[EvalSample], error: str) -> Rows:
    """Say of every sample of a block that was lost why it was not disturbed."""
    return {NOISE: [_failed(sample, error) for sample in samples]}


def _failed(sample: EvalSample, error: str) -> Row:
    return {"sample_id": sample.sample_id, "variant": CLEAN, "error": error}
