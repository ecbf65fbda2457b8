"""What is counted, what is in no denominator, and how it looks in a terminal."""

import json
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from exported_record import make_record
from rich.console import Console

from emotion_llama.merr.records import (
    GateResult,
    LabelReading,
    MerrRecord,
    RuleVerdict,
    Source,
    UnitReading,
)
from emotion_llama.merr.statistics import (
    MAX_REASONS,
    OTHER_REASONS,
    Statistics,
    common_units,
    statistics,
    statistics_report,
)


def labelled(
    clip: str, human: str | None, model: str | None = None, **changes: object
) -> MerrRecord:
    labels = [LabelReading(human, "human", "t", "1")] if human else []
    labels += [LabelReading(model, "model", "m", "1")] if model else []
    first = labels[0].label if labels else None
    return make_record(clip, labels=tuple(labels), label=first, **changes)


def facing(clip: str, label: str, **units: bool | None) -> MerrRecord:
    """Make a record in which it is stated which units are present."""
    record = labelled(clip, label)
    assert record.face is not None
    read = tuple(UnitReading(unit, None, present, 1.0) for unit, present in units.items())
    return replace(record, face=replace(record.face, units=read))


def verdict(agreement: str, **shares: float) -> RuleVerdict:
    margin = max(shares.values()) if shares else None
    return RuleVerdict("merr", "1", shares, margin, not shares, None, {}, (), agreement)  # type: ignore[arg-type]


def test_rejected_records_count_by_reason_and_nowhere_else() -> None:
    reasons = ("snr_db: 3 dB, below 6", "rules disagrees: label sad", "snr_db: again")
    stats = statistics(
        [
            labelled("a", "happy"),
            labelled("b", "sad", status="rejected", reasons=reasons),
        ]
    )
    assert (stats.num_kept, stats.num_rejected) == (1, 1)
    assert stats.reasons == {"rules disagrees": 1, "snr_db": 1}
    assert stats.labels == {"happy": 1}


def test_classes_are_counted_by_split_and_by_who_said_so() -> None:
    stats = statistics(
        [
            labelled("a", "happy", "sad"),
            labelled("b", "happy", split="test"),
            labelled("c", None, split=None),
            labelled("d", None, "sad"),
        ]
    )
    assert stats.labels_by_split == {"test": {"happy": 1}, "train": {"happy": 1, "sad": 1}}
    assert stats.labels_by_kind == {"human": {"happy": 2}, "model": {"sad": 2}, "rule": {}}
    assert stats.num_unlabelled == 1
    assert stats.splits == {"(no split)": 1, "test": 1, "train": 2}


def test_speakers_of_two_sources_are_two_people() -> None:
    sources = [Source("x", None, "1"), Source("x", None, "1"), Source("y", None, "1"),
               Source("y", "CC0-1.0")]  # fmt: skip
    stats = statistics(make_record(str(i), source=one) for i, one in enumerate(sources))
    assert (stats.num_speakers, stats.num_without_speaker) == (2, 1)
    assert stats.licences == {"(not stated)": 3, "CC0-1.0": 1}


def test_coverage_counts_records_with_a_clue_of_a_kind() -> None:
    whole = make_record()
    stats = statistics([whole, replace(whole, clues=whole.clues[:1]), replace(whole, clues=())])
    assert stats.clue_records == {"facial": 2, "scene": 0, "voice": 1, "words": 0}
    assert stats.clue_share("facial") == pytest.approx(2 / 3)
    spread = stats.clue_numbers["all"]
    assert spread is not None and (spread.minimum, spread.median, spread.maximum) == (0, 1, 3)


def test_lengths_have_the_quantiles_of_the_list() -> None:
    lengths = np.random.default_rng(0).integers(5, 80, 200)
    stats = statistics(make_record(str(i), coarse_caption="w " * n) for i, n in enumerate(lengths))
    spread = stats.lengths["coarse"]
    assert spread is not None
    expected = [*np.quantile(lengths, [0.05, 0.5, 0.95]), lengths.mean()]
    assert [spread.p5, spread.median, spread.p95, spread.mean] == pytest.approx(expected)
    assert statistics([make_record(coarse_caption=None)]).lengths["coarse"] is None


def test_a_unit_that_was_not_measured_is_in_no_denominator() -> None:
    stats = statistics(
        [
            facing("a", "happy", AU04=False, AU12=True),
            facing("b", "happy", AU04=False, AU12=None),
            facing("c", "sad", AU04=False, AU12=False),
        ]
    )
    happy, sad = stats.units["happy"]["AU12"], stats.units["sad"]["AU12"]
    assert (happy.present, happy.known, happy.share, happy.lift) == (1, 1, 1.0, 2.0)
    assert (sad.present, sad.share, sad.lift) == (0, 0.0, 0.0)
    assert stats.units["happy"]["AU04"].lift is None, "it is never present"
    assert common_units(stats) == ("AU12",)


def test_agreement_counts_rejected_records_too() -> None:
    stats = statistics(
        [
            labelled("a", "happy", verdict=verdict("agrees", happy=1.0)),
            labelled("b", "happy", verdict=verdict("disagrees", sad=0.75, fear=0.25),
                     status="rejected", reasons=("rules disagrees: x",)),
            labelled("c", "happy", verdict=verdict("abstains")),
            labelled("d", "disgust", verdict=verdict("unmapped", sad=0.5, fear=0.5)),
            labelled("e", "happy", verdict=None),
        ]
    )  # fmt: skip
    assert stats.says["happy"] == {
        "agrees": 1, "disagrees": 1, "abstains": 1, "unmapped": 0, "unjudged": 1
    }  # fmt: skip
    assert stats.says["disgust"]["unmapped"] == 1
    assert stats.first_labels == {
        "disgust": {"(tie)": 1},
        "happy": {"(none)": 1, "happy": 1, "sad": 1},
    }
    assert (stats.num_verdicts, stats.num_abstained) == (4, 1)
    assert stats.margins is not None and stats.margins.count == 3


def test_human_and_model_labels_agree_beyond_chance() -> None:
    pairs = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
    stats = statistics(labelled(str(i), one, other) for i, (one, other) in enumerate(pairs))
    agreement = stats.human_model
    assert agreement.counts == {"a": {"a": 20, "b": 5}, "b": {"a": 10, "b": 15}}
    # the worked example: p_o = .7, p_e = .5
    assert (agreement.accuracy, agreement.kappa) == (0.7, pytest.approx(0.4))
    always = statistics([labelled("x", "a", "a")]).human_model
    assert (always.accuracy, always.kappa) == (1.0, None)
    assert statistics([labelled("x", "a")]).human_model.accuracy is None


def test_gates_and_missing_reasons_are_counted() -> None:
    gates = (GateResult("snr_db", None, 6.0, "unknown", "no sound"),)
    stats = statistics([make_record("a", gates=gates), make_record("b", gates=gates)])
    assert stats.gates == {"snr_db": {"passed": 0, "failed": 0, "unknown": 2}}
    assert stats.missing == {"scene_description": {"no describer was asked for": 2}}


def test_reasons_with_numbers_in_them_do_not_grow_without_end() -> None:
    many = (make_record(str(i), missing={"voice": f"only {i} ms"}) for i in range(MAX_REASONS + 9))
    counts = statistics(many).missing["voice"]
    assert len(counts) == MAX_REASONS + 1
    assert counts[OTHER_REASONS] == 9


def some() -> Iterator[MerrRecord]:
    names = ("neutral", "sad", "angry", "happy", "worried", "surprise", "fear", "doubt", "contempt")
    for index in range(90):
        label = names[index % 9]
        says = ("agrees", "disagrees", "abstains")[index % 3]
        shares = {} if says == "abstains" else {names[index % 7]: 1.0}
        yield replace(
            facing(f"{index:02}", label, AU04=index % 2 == 0, AU12=True),
            labels=(LabelReading(label, "human", "t", "1"),
                    LabelReading(names[index % 5], "model", "m", "1")),
            verdict=verdict(says, **shares),
            status="kept" if says == "agrees" else "rejected",
            reasons=() if says == "agrees" else (f"rules {says}: x",),
        )  # fmt: skip


def test_the_order_of_the_records_does_not_matter_and_all_can_be_written() -> None:
    records = list(some())
    stats = statistics(records)
    text = json.dumps(stats.to_dict(), allow_nan=False)
    assert text == json.dumps(statistics(records[::-1]).to_dict())
    plain = json.loads(text)
    assert plain["units"]["neutral"]["AU12"]["share"] == 1.0
    assert plain["words"]["fine"] == {"11": 30}


def printed(stats: Statistics) -> str:
    text = StringIO()
    Console(file=text, width=100).print(statistics_report(stats))
    return text.getvalue()


def test_the_report_fits_a_terminal() -> None:
    text = printed(statistics(some()))
    assert max(map(len, text.splitlines())) <= 100
    assert "kappa" in text and "contempt" in text
    header = next(line for line in text.splitlines() if "(none)" in line)
    assert "surprise" in header, "no name of a column is broken"


def test_the_report_of_nothing_says_nothing_wrong() -> None:
    text = printed(statistics([]))
    assert "kept" in text and "%" not in text


def test_names_from_files_are_no_markup() -> None:
    text = printed(statistics([labelled("a", "[red]\x1b[31m")]))
    assert "[red]" in text and "\x1b" not in text
