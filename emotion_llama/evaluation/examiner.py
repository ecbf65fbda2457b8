"""A loaded preset and samples of a protocol -> rows of answers, block by block.

Knows: what is asked about each sample, and in which form answers are kept. Does not know: files of
runs, figures. Every sample gets its row: one that cannot be answered says why.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.evaluation.batches import MOST, Batches, largest_size
from emotion_llama.evaluation.blocks import Row, in_blocks
from emotion_llama.evaluation.measured import reason_record
from emotion_llama.evaluation.modality_shares import subsets
from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.sample_clip import read_sample
from emotion_llama.evaluation.samples import EvalSample
from emotion_llama.labels import LabelSet, parse_label
from emotion_llama.media import file_duration_s
from emotion_llama.modalities import (
    PARTS,
    Part,
    keep,
    keep_encoded,
    parts_in,
)
from emotion_llama.predict import ClipFailure, Predictor
from emotion_llama.prompt import EMOTION_QUESTION
from emotion_llama.records import Clip, Prediction

ANSWERS, MEASURES = "answers.jsonl", "measures.jsonl"
BATCHES = "batches.jsonl"
LONGEST = 4
"""Longest clips of a run that sizes of batches are tried on."""
SUBSETS, ORDERS, PHRASINGS = "subsets.jsonl", "orders.jsonl", "phrasings.jsonl"
DIGITS = 6
"""Of a probability: rounding hides what another order of additions changes."""

Rows = dict[str, list[Row]]
"""File of a run -> its next rows."""
Answer = Prediction | ClipFailure


@dataclass(frozen=True)
class Asked:
    """What is asked about every sample."""

    parts: tuple[Part, ...] = PARTS
    """what is shown of a clip; the rest is left out and stated as missing"""
    with_reason: bool = True
    subsets: bool = True
    """also answer from every part alone and every pair"""
    orders: Mapping[str, tuple[str, ...]] | None = None
    """name -> the offered labels in another order"""
    phrasings: Mapping[str, str] | None = None
    """name -> another wording of the question, with a place ``{labels}``"""


class Examiner:
    """Asks a preset about blocks of samples; a `emotion_llama.bulk.Worker`.

    Args:
        predictor: the loaded preset
        protocol: labels and how pictures are read
        asked: what is asked
        analysed: ids of the samples that are asked in other ways too; ``None``: all
        batch_size: samples that are answered together; ``None``: as many as fit into memory
        every: all samples of the run, of which the longest are tried to find that number
    """

    def __init__(
        self,
        predictor: Predictor,
        protocol: Protocol,
        asked: Asked,
        analysed: frozenset[str] | None = None,
        batch_size: int | None = MOST,
        every: Sequence[EvalSample] = (),
    ) -> None:
        self.predictor = predictor.changed(face_source=protocol.face_source)
        self.protocol = protocol
        self.asked = asked
        self.analysed = analysed
        self.every = every
        self._batches = None if batch_size is None else Batches(batch_size)
        self._tells_sizes = batch_size is None

    def run(self, block: tuple[int, Sequence[EvalSample]]) -> Rows:
        """Answer for one numbered block."""
        number, samples = block
        if self._batches is None:
            self._batches = Batches(self._fitting_size())
        failed_before = self._batches.num_failed
        rows: Rows = {}
        for part in in_blocks(samples, self._batches.size):
            read = self._read(part)  # once, however often the answers have to be begun anew
            lost = partial(failed_answers, self.protocol)
            for found in self._batches.work(part, partial(self._rows, read), lost):
                for name, lines in found.items():
                    rows.setdefault(name, []).extend(lines)
        failed = self._batches.num_failed - failed_before
        if failed or self._tells_sizes:
            rows[BATCHES] = [batch_row(number, self._batches.size, failed)]
        return rows

    def save(self) -> None:
        """Do nothing: the run writes what blocks come to."""

    def _fitting_size(self) -> int:
        """Try batches of the longest clips, which take most memory."""
        longest = sorted(self.every, key=length_s, reverse=True)[:LONGEST]
        clips = list(self._read(longest)[0].values())
        most = MOST
        while most // 2 >= len(self.every):
            most //= 2
        if not clips:
            return most

        def answer(size: int) -> None:
            encoded = self.predictor.encode([clips[row % len(clips)] for row in range(size)])
            labels, explains = self.protocol.asked or None, self.asked.with_reason
            self.predictor.answer(encoded, labels, with_reason=explains, with_answer=True)

        return largest_size(most, answer)

    def _rows(
        self,
        reading: tuple[Mapping[str, Clip], Mapping[str, Answer]],
        samples: Sequence[EvalSample],
    ) -> Rows:
        """Answer for some of the samples that were read."""
        clips, failures = reading
        read = [sample for sample in samples if sample.sample_id in clips]
        encoded = self.predictor.encode([clips[sample.sample_id] for sample in read])
        by_id = dict(zip([sample.sample_id for sample in read], encoded, strict=True))
        answers = dict(failures) | self._answers(by_id)
        rows: Rows = {ANSWERS: [self._row(one, answers[one.sample_id]) for one in samples]}
        if self.asked.with_reason:
            rows[MEASURES] = list(self._measures(read, clips, answers))
        return rows | self._other_ways(by_id)

    def _read(self, samples: Sequence[EvalSample]) -> tuple[dict[str, Clip], dict[str, Answer]]:
        """Read the files; give the clips, and why others have none."""
        clips: dict[str, Clip] = {}
        failures: dict[str, Answer] = {}
        for sample in samples:
            try:
                clip = read_sample(self.predictor.reader, sample)
                clips[sample.sample_id] = keep(clip, self.asked.parts)
            except (ValueError, OSError) as error:  # MediaError is a ValueError
                failures[sample.sample_id] = ClipFailure(sample.sample_id, str(error))
        return clips, failures

    def _answers(self, encoded: Mapping[str, EncodedClip]) -> dict[str, Answer]:
        """Answer for all, with reasons for those that are analysed: these take most of the time."""
        found: dict[str, Answer] = {}
        for with_reason in (True, False):
            chosen = {n: one for n, one in encoded.items() if self._explains(n) == with_reason}
            answers = self.predictor.answer(
                list(chosen.values()),
                self.protocol.asked or None,
                with_reason=with_reason,
                with_answer=True,
            )
            found |= dict(zip(chosen, answers, strict=True))
        return found

    def _explains(self, sample_id: str) -> bool:
        return self.asked.with_reason and (self.analysed is None or sample_id in self.analysed)

    def _row(self, sample: EvalSample, answer: Answer) -> Row:
        """Put a sample and its answer into a row; names are those of `Prediction`."""
        if isinstance(answer, ClipFailure):
            return sample_row(sample, self.protocol, answer.error)
        fields = answer.to_dict()
        del fields["timings_s"]  # the only thing that another run changes
        fields["clip"] = sample.sample_id
        fields["probabilities"] = rounded(answer.probabilities)
        fields["confidence"] = round(answer.confidence, DIGITS)
        fields["valence"] = None if answer.valence is None else round(answer.valence, DIGITS)
        return {**sample_row(sample, self.protocol, None), **fields, **self._parsed(answer)}

    def _parsed(self, answer: Prediction) -> Row:
        """Say what a free answer came to: ``ok``, ``mapped``, ``invalid`` or ``empty``."""
        offered = LabelSet(self.protocol.name, tuple(answer.probabilities))
        parsed = parse_label(answer.answer or "", offered)
        counted = self.protocol.scored(parsed)
        status = "ok" if parsed == counted else "mapped"
        if parsed is None:
            status = "invalid" if (answer.answer or "").strip() else "empty"
        return {
            "parse_status": status,
            "written_label": counted,
            "scored_label": self.protocol.scored(answer.label),
        }

    def _measures(
        self,
        samples: Sequence[EvalSample],
        clips: Mapping[str, Clip],
        answers: Mapping[str, Answer],
    ) -> Iterator[Row]:
        """Measure the clips that have a reason in full, to hold the reason against."""
        for sample in samples:
            answer = answers[sample.sample_id]
            if isinstance(answer, Prediction) and answer.reason:
                clip = clips[sample.sample_id]
                person = sample.groups.get("speaker")
                reader = self.predictor.reader
                yield asdict(reason_record(sample.sample_id, clip, answer.reason, person, reader))

    def _other_ways(self, encoded: Mapping[str, EncodedClip]) -> Rows:
        """Ask about the same clips with less shown, other orders and other wordings."""
        if self.analysed is not None:
            encoded = {name: one for name, one in encoded.items() if name in self.analysed}
        rows: Rows = {}
        if self.asked.subsets:
            rows[SUBSETS] = list(self._subsets(encoded))
        asked, orders, wordings = self.protocol.asked, self.asked.orders, self.asked.phrasings
        if orders is not None:
            rows[ORDERS] = [
                row
                for name, labels in orders.items()
                for row in self._variant(encoded, name, labels, None)
            ]
        if wordings is not None:
            rows[PHRASINGS] = [
                row
                for name, wording in {"default": EMOTION_QUESTION, **wordings}.items()
                for row in self._variant(encoded, name, asked, wording)
            ]
        return rows

    def _subsets(self, encoded: Mapping[str, EncodedClip]) -> Iterator[Row]:
        for names in subsets(self.asked.parts):
            chosen = [part for part in PARTS if part in names]
            shown = {
                name: keep_encoded(one, chosen)
                for name, one in encoded.items()
                if one.clip is None or set(chosen) <= set(parts_in(one.clip))
            }
            yield from self._variant(shown, "+".join(chosen), self.protocol.asked, None)

    def _variant(
        self,
        encoded: Mapping[str, EncodedClip],
        name: str,
        labels: Sequence[str],
        wording: str | None,
    ) -> Iterator[Row]:
        question = None if wording is None else wording.format(labels=", ".join(labels))
        found = self.predictor.answer(
            list(encoded.values()), labels, question=question, with_reason=False
        )
        for sample_id, answer in zip(encoded, found, strict=True):
            yield variant_row(sample_id, name, answer, self.protocol)


def sample_row(sample: EvalSample, protocol: Protocol, error: str | None) -> Row:
    """Say what was asked about and, where there is no answer, why."""
    return {
        "sample_id": sample.sample_id,
        "dataset": protocol.name,
        "split": sample.split,
        "fold": sample.fold,
        **({} if sample.span is None else {"span_s": list(sample.span)}),
        "groups": dict(sample.groups),
        "target": sample.truth.label,
        "truth": asdict(sample.truth),
        "error": error,
    }


def batch_row(block: int, size: int, failed: int) -> Row:
    """Say how many samples were answered together, and how often memory ran out in a block."""
    return {"block": block, "batch_size": size, "out_of_memory": failed}


def length_s(sample: EvalSample) -> float:
    """Give the length of a sample's clip by its header; 0 where it has none or does not say."""
    if sample.span is not None:
        return sample.span[1] - sample.span[0]
    if sample.path is None:
        return 0.0
    try:
        return file_duration_s(sample.path) or 0.0
    except (ValueError, OSError):  # told where it is read
        return 0.0


def failed_answers(protocol: Protocol, samples: Sequence[EvalSample], error: str) -> Rows:
    """Say of every sample of a block that was lost why it has no answer."""
    return {ANSWERS: [sample_row(sample, protocol, error) for sample in samples]}


def variant_row(sample_id: str, variant: str, answer: Answer, protocol: Protocol) -> Row:
    """Keep of an answer to a changed question what figures need."""
    if isinstance(answer, ClipFailure):
        return {"sample_id": sample_id, "variant": variant, "error": answer.error}
    return {
        "sample_id": sample_id,
        "variant": variant,
        "scored_label": protocol.scored(answer.label),
        "confidence": round(answer.confidence, DIGITS),
        "error": None,
    }


def rounded(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Round probabilities as they are written."""
    return {label: round(value, DIGITS) for label, value in probabilities.items()}
