"""How often labels and rule table agree: counts per label, first labels, the text."""

from collections.abc import Mapping
from typing import Literal

from emotion_llama.merr.agreement import (
    NO_RULE,
    TIE,
    agreement_table,
    first_label,
    render_agreement,
)
from emotion_llama.merr.records import Agreement, MerrRecord, RuleVerdict, Source


def verdict(agreement: Agreement | None, shares: Mapping[str, float] | None = None) -> RuleVerdict:
    shares = shares or {}
    return RuleVerdict("merr", "1-abc", shares, None, not shares, None, {}, (), agreement=agreement)


def record(
    label: str | None,
    says: RuleVerdict | None,
    status: Literal["kept", "rejected"] = "kept",
) -> MerrRecord:
    return MerrRecord(
        clip_id="a",
        path="a.mp4",
        media_sha256=None,
        duration_s=None,
        source=Source("somewhere", None),
        split=None,
        transcript=None,
        labels=(),
        label=label,
        verdict=says,
        face=None,
        scene=None,
        voice=None,
        clues=(),
        scene_description=None,
        voice_description=None,
        coarse_caption=None,
        fine_caption=None,
        gates=(),
        status=status,
        reasons=(),
        missing={},
        lineage={},
    )


RECORDS = [
    record("happy", verdict("agrees", {"happy": 0.7, "sad": 0.3})),
    record("happy", verdict("disagrees", {"sad": 1.0}), "rejected"),
    record("happy", verdict("abstains")),
    record("disgust", verdict("unmapped", {"sad": 0.5, "happy": 0.5}), "rejected"),
    record("sad", None),
    record(None, verdict(None, {"happy": 1.0})),
]


def test_every_record_is_in_one_count_and_kept_is_apart() -> None:
    table = agreement_table(RECORDS)
    happy = next(row for row in table.rows if row.label == "happy")
    assert (happy.agrees, happy.disagrees, happy.abstains, happy.unmapped) == (1, 1, 1, 0)
    assert (happy.total, happy.kept) == (3, 2)
    assert [row.label for row in table.rows] == ["disgust", "happy", "sad"]
    assert table.totals.total == 5
    assert table.totals.kept == 3
    assert (table.totals.unmapped, table.totals.unjudged) == (1, 1)
    assert table.num_unlabelled == 1


def test_labels_meet_the_first_label_of_the_rules() -> None:
    table = agreement_table(RECORDS)
    assert table.first_labels == {
        "disgust": {TIE: 1},
        "happy": {NO_RULE: 1, "happy": 1, "sad": 1},
    }
    assert first_label(verdict("agrees", {"fear": 0.4, "sad": 0.6})) == "sad"


def test_the_text_holds_every_count_and_the_table_that_was_asked() -> None:
    text = render_agreement(agreement_table(RECORDS))
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["rule", "table:", "merr", "1-abc"]
    header = next(line for line in lines if line[0] == "label")
    happy = next(line for line in lines if line[0] == "happy")
    assert dict(zip(header, happy, strict=True)) == {
        "label": "happy",
        "agrees": "1",
        "disagrees": "1",
        "abstains": "1",
        "unmapped": "0",
        "unjudged": "0",
        "total": "3",
        "kept": "2",
    }
    assert any(line[0] == "all" for line in lines)
    assert "without a label: 1" in text


def test_no_records_make_an_empty_table() -> None:
    table = agreement_table([])
    assert table.rows == ()
    assert table.totals.total == 0
    assert render_agreement(table).startswith("rule table: none")
