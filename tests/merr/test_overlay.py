"""Decisions of reviewers: stored one a line, laid over the records that they were made for."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from review_samples import review, sample, write_dataset

from emotion_llama.merr.record_file import from_line, to_line
from emotion_llama.merr.records import MerrRecord
from emotion_llama.merr.review import overlay
from emotion_llama.merr.review.desk import (
    ChangedRecordError,
    QueueFilter,
    RefusedReviewError,
    ReviewDesk,
)
from emotion_llama.merr.review.need import need_of
from emotion_llama.merr.review.overlay import (
    REVIEWS_FILE,
    Edits,
    Review,
    append_review,
    apply,
    counting,
    faults_of,
    read_reviews,
    record_hash,
    stale,
)

SAD = {"label": "sad", "conclusion": "This speaks for the label sad."}


def after(record: MerrRecord, *reviews: Review) -> MerrRecord:
    return apply([record], reviews).records[0]


# ---- the file


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    made = [
        review(sample("ü/日本.mp4"), "edit", coarse_caption="line one line two \u2028 three"),
        review(sample(), "reject", "bob", comment='a "quoted" reason'),
    ]
    for one in made:
        append_review(tmp_path, one)
    read = read_reviews(tmp_path)
    assert read.reviews == tuple(made)
    assert read.notices == ()
    assert (tmp_path / REVIEWS_FILE).read_bytes().count(b"\n") == 2


def test_no_file_is_no_review(tmp_path: Path) -> None:
    assert read_reviews(tmp_path).reviews == ()


@pytest.mark.parametrize("torn", [b'{"clip_id":"a', b'{"clip_id":"\xe2\x80', b"\0\0\0\0"])
def test_a_torn_last_line_is_left_out_with_a_notice_and_later_ones_count(
    tmp_path: Path, torn: bytes
) -> None:
    first, second = review(sample()), review(sample(), "reject", "bob")
    append_review(tmp_path, first)
    with (tmp_path / REVIEWS_FILE).open("ab") as file:
        file.write(torn)
    before = (tmp_path / REVIEWS_FILE).read_bytes()
    assert read_reviews(tmp_path).reviews == (first,)
    append_review(tmp_path, second)
    read = read_reviews(tmp_path)
    assert read.reviews == (first, second)
    assert len(read.notices) == 1
    assert "not written to its end" in read.notices[0]
    assert (tmp_path / REVIEWS_FILE).read_bytes().startswith(before), "nothing is ever taken out"


def test_a_whole_last_line_without_its_end_counts_before_and_after_the_next(tmp_path: Path) -> None:
    first, second = review(sample()), review(sample(), reviewer="bob")
    append_review(tmp_path, first)
    file = tmp_path / REVIEWS_FILE
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    assert read_reviews(tmp_path).reviews == (first,)
    append_review(tmp_path, second)
    assert read_reviews(tmp_path).reviews == (first, second)


def test_every_decision_that_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    script = (
        "import sys\nfrom pathlib import Path\nfrom dataclasses import replace\n"
        "from review_samples import review, sample\n"
        "from emotion_llama.merr.review.overlay import append_review\n"
        "one = review(sample())\n"
        "for number in range(10_000):\n"
        "    append_review(Path(sys.argv[1]), replace(one, comment=str(number)))\n"
        "    print(number, flush=True)\n"
    )
    path = os.pathsep.join([str(root), str(root / "tests")])
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as writer:
        assert writer.stdout is not None
        seen = [writer.stdout.readline() for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        seen += writer.stdout.readlines()
    acknowledged = [line.strip() for line in seen if line.endswith("\n")]
    found = [one.comment for one in read_reviews(tmp_path).reviews]
    assert found[: len(acknowledged)] == acknowledged
    assert len(acknowledged) >= 20


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        ('"decision":"accept"', '"decision":"maybe"', "decision: input should be 'accept'"),
        ('"reviewer":"ann"', '"reviewer":""', "reviewer"),
        ('"time":"2025-01-31T12:00:00Z"', '"time":"yesterday"', "time"),
        ('"comment":""', '"comment":"","stars":5', "stars"),
        ('"review_version":"1"', '"review_version":"9"', "version 1"),
    ],
)
def test_a_line_that_is_no_review_is_an_error_that_names_it(
    tmp_path: Path, found: str, expected: str, message: str
) -> None:
    append_review(tmp_path, review(sample()))
    file = tmp_path / REVIEWS_FILE
    text = file.read_text("utf-8")
    assert found in text
    file.write_text(text.replace(found, expected), "utf-8")
    with pytest.raises(ValueError, match=f"(?s)byte 0.*{message}"):
        read_reviews(tmp_path)


def test_reading_goes_on_where_it_ended(tmp_path: Path) -> None:
    append_review(tmp_path, review(sample()))
    first = read_reviews(tmp_path)
    append_review(tmp_path, review(sample(), reviewer="bob"))
    assert [one.reviewer for one in read_reviews(tmp_path, first.num_bytes).reviews] == ["bob"]


def test_a_full_disk_is_told_and_leaves_earlier_decisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_review(tmp_path, review(sample()))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(overlay.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append_review(tmp_path, review(sample(), reviewer="bob"))
    assert read_reviews(tmp_path).reviews[0].reviewer == "ann"


# ---- which decisions count


def test_the_last_decision_of_each_reviewer_counts() -> None:
    record = sample()
    made = [review(record, "reject"), review(record, "accept", "bob"), review(record, "accept")]
    assert counting(made, record_hash(record)) == (made[1], made[2])


def test_a_withdrawn_decision_does_not_count() -> None:
    record = sample()
    made = [review(record, "reject"), review(record, "withdraw")]
    assert counting(made, record_hash(record)) == ()
    assert after(record, *made) == record


def test_a_review_of_an_earlier_state_is_listed_and_never_applied() -> None:
    old = sample(transcript="Oh.")
    new = sample()
    made = review(old, "reject")
    applied = apply([new], [made])
    assert applied.records == (new,)
    assert applied.stale == (made,)
    assert apply([old], [made]).records[0].status == "rejected"
    again = review(new, "accept")
    assert stale([made, again], record_hash(new)) == (), "who looked again is not stale"


def test_reviews_of_clips_that_are_gone_are_listed() -> None:
    assert apply([sample("b.mp4")], [review(sample("a.mp4"))]).unknown_clips == ("a.mp4",)


# ---- what a decision does


def test_accepting_changes_nothing_but_the_lineage() -> None:
    record = sample()
    done = after(record, review(record))
    origin = done.lineage["review"]
    assert (origin.producer, origin.version) == ("ann", "2025-01-31T12:00:00Z")
    assert origin.settings == "review"
    assert origin.inputs == record_hash(record)
    assert replace(done, lineage=record.lineage) == record


def test_an_edit_changes_its_fields_their_lineage_and_nothing_else() -> None:
    record = sample()
    done = after(record, review(record, "edit", coarse_caption="The lip corners are pulled up."))
    assert done.coarse_caption == "The lip corners are pulled up."
    assert done.lineage["coarse_caption"].producer == "ann"
    assert done.lineage["label"] == record.lineage["label"]
    assert done.fine_caption == record.fine_caption
    assert from_line(to_line(done)) == done


def test_a_new_label_is_a_persons_and_the_first_of_all() -> None:
    record = sample()
    done = after(record, review(record, "edit", **SAD))
    assert done.label == "sad"
    assert [(one.label, one.kind, one.producer) for one in done.labels] == [
        ("sad", "human", "ann"),
        ("happy", "model", "mini"),
    ]
    assert done.lineage["label"].settings == done.lineage["labels"].settings == "review"
    assert done.fine_caption is not None
    assert done.fine_caption.supports == (), "what spoke for the old label was not weighed anew"


@pytest.mark.parametrize(
    ("label", "agreement"), [("surprise", "agrees"), ("worried", "abstains"), ("sad", None)]
)
def test_the_verdict_says_of_a_new_label_only_what_it_tells(
    label: str, agreement: str | None
) -> None:
    record = sample()
    edit = review(record, "edit", label=label, conclusion=f"This speaks for the label {label}.")
    done = after(record, edit)
    assert done.verdict is not None
    assert done.verdict.agreement == agreement


def test_a_new_label_is_judged_where_the_table_is_given() -> None:
    record = sample()
    assert record.verdict is not None
    verdict = replace(record.verdict, agreement="disagrees")
    done = apply([record], [review(record, "edit", **SAD)], judge=lambda _: verdict).records[0]
    assert done.verdict == verdict


def test_evidence_that_a_person_wrote_was_written_with_the_label_known() -> None:
    record = sample()
    done = after(record, review(record, "edit", evidence="The mouth is open."))
    assert done.fine_caption is not None
    assert done.fine_caption.label_conditioned
    assert done.fine_caption.conclusion == "This speaks for the label happy."


def test_rejecting_gives_the_comment_as_reason() -> None:
    record = sample()
    done = after(record, review(record, "reject", comment="two people at once"))
    assert done.status == "rejected"
    assert done.reasons == ("review by ann: two people at once",)
    assert {"review", "status", "reasons"} <= set(done.lineage)


def test_accepting_a_rejected_record_keeps_it_and_notes_against_what() -> None:
    record = sample(status="rejected", reasons=("face_coverage: .2 is below .5",))
    done = after(record, review(record))
    assert (done.status, done.reasons) == ("kept", ())
    assert "face_coverage: .2 is below .5" in done.notes[0]
    assert done.lineage["status"].producer == "ann"


def test_a_caption_that_was_missing_is_missing_no_more() -> None:
    record = sample(fine_caption=None, missing={"fine_caption": "no model", "voice": "no sound"})
    done = after(
        record,
        review(record, "edit", evidence="The mouth is open.", conclusion="This is happy."),
    )
    assert done.fine_caption is not None
    assert done.missing == {"voice": "no sound"}


def test_what_was_given_is_not_changed() -> None:
    record = sample()
    line = to_line(record)
    after(record, review(record, "edit", **SAD), review(record, "reject", "bob"))
    assert to_line(record) == line


def test_applying_counts_and_keeps_the_order() -> None:
    records = [sample(f"{number}.mp4") for number in range(4)]
    made = [
        review(records[2], "reject"),
        review(records[0], "accept"),
        review(records[1], "edit", coarse_caption="Shorter."),
    ]
    applied = apply(records, made)
    assert [record.clip_id for record in applied.records] == [one.clip_id for one in records]
    assert (applied.num_accepted, applied.num_edited, applied.num_rejected) == (1, 1, 1)


# ---- several reviewers


def test_the_majority_decides_and_is_the_producer() -> None:
    record = sample()
    made = [review(record, "reject", name) for name in ("ann", "cem")]
    done = after(record, made[0], review(record, "accept", "bob"), made[1])
    assert done.status == "rejected"
    assert done.lineage["review"].producer == "ann, cem"


@pytest.mark.parametrize(
    ("second", "question"),
    [
        ({"decision": "reject"}, "whether to keep it"),
        ({"decision": "edit", **SAD}, "the label"),
        ({"decision": "edit", "coarse_caption": "Shorter."}, "the wording"),
    ],
)
def test_a_tie_leaves_the_record_and_is_listed(second: dict[str, str], question: str) -> None:
    record = sample()
    applied = apply([record], [review(record), review(record, reviewer="bob", **second)])
    assert applied.records == (record,)
    assert applied.unsettled == {"a.mp4": f"no majority on {question} among ann, bob"}


def test_a_label_is_not_changed_where_its_wording_is_open() -> None:
    record = sample()
    made = [
        review(record, "edit", "ann", label="sad", conclusion="This speaks for sad."),
        review(record, "edit", "bob", label="sad", conclusion="All in all sad."),
    ]
    applied = apply([record], made)
    assert applied.records == (record,)
    assert "the wording" in applied.unsettled["a.mp4"]
    assert apply([record], [*made, replace(made[0], reviewer="cem")]).records[0].label == "sad"


def test_the_last_decision_of_all_decides_on_request() -> None:
    record = sample()
    made = [review(record, "reject", "ann"), review(record, "accept", "bob")]
    applied = apply([record], made, policy="last")
    assert applied.records[0].status == "kept"
    assert applied.unsettled == {}


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="found policy 'best', expected 'majority' or 'last'"):
        apply([], [], policy="best")  # type: ignore[arg-type]


# ---- what is refused


@pytest.mark.parametrize(
    ("decision", "changes", "message"),
    [
        ("reject", {"comment": "  "}, "needs a comment"),
        ("edit", {}, "changes nothing"),
        ("accept", {"coarse_caption": "x"}, "only 'edit' has them"),
        ("edit", {"coarse_caption": " ... "}, "coarse_caption has no word"),
        ("edit", {"evidence": "A sad face."}, "evidence names a label"),
        ("edit", {"evidence": "The face of a joyful person."}, "evidence names a label"),
        ("edit", {"conclusion": "The clues are strong."}, "conclusion must name"),
        ("edit", {"label": "sad"}, "conclusion must name the label 'sad'"),
    ],
)
def test_a_decision_that_breaks_a_rule_says_which(
    decision: str, changes: dict[str, str], message: str
) -> None:
    record = sample()
    faults = faults_of(record, review(record, decision, **changes))
    assert len(faults) == 1
    assert message in faults[0]
    applied = apply([record], [review(record, decision, **changes)])
    assert applied.records == (record,)
    assert applied.refused == {"a.mp4": faults}


def test_a_label_word_inside_a_quotation_is_evidence() -> None:
    record = sample()
    edit = review(record, "edit", evidence='The person says "I am so happy".')
    assert faults_of(record, edit) == ()


def test_a_fault_of_the_built_text_is_not_held_against_another_edit() -> None:
    record = sample()
    assert record.fine_caption is not None
    leaky = replace(record, fine_caption=replace(record.fine_caption, evidence="A happy face."))
    assert faults_of(leaky, review(leaky, "edit", coarse_caption="Shorter.")) == ()
    assert faults_of(leaky, review(leaky, "edit", **SAD)) != ()


def test_half_a_fine_caption_is_refused_where_there_is_none() -> None:
    record = sample(fine_caption=None)
    assert "both" in faults_of(record, review(record, "edit", evidence="The mouth is open."))[0]


# ---- the desk


def test_the_queue_follows_the_stated_order(tmp_path: Path) -> None:
    base = sample()
    assert base.verdict is not None
    close = replace(base.verdict, margin=0.05)
    unknown = replace(base.gates[0], outcome="unknown", value=None)
    records = [
        sample("calm"),
        sample("gate", gates=(unknown,)),
        sample("gates", gates=(unknown, replace(unknown, name="snr_db"))),
        sample("closer", verdict=replace(close, margin=0.01)),
        sample("close", verdict=close),
        sample("differing", labels=(*base.labels, replace(base.labels[0], label="sad"))),
        sample("disagreeing", verdict=replace(base.verdict, agreement="disagrees")),
        sample("no verdict", verdict=None),
    ]
    queue = ReviewDesk(write_dataset(tmp_path, *records)).queue(QueueFilter(), "ann")
    assert [item.clip_id for item in queue] == [
        "disagreeing",
        "differing",
        "closer",
        "close",
        "gates",
        "gate",
        "calm",
        "no verdict",
    ]
    assert queue[4].why == ("gates not measured: face_coverage, snr_db",)
    assert need_of(records[0]).why == ()


def test_the_queue_is_filtered(tmp_path: Path) -> None:
    kept, sad = sample("kept.mp4"), sample("sad.mp4", label="sad")
    out = sample("out.mp4", status="rejected", reasons=("dark",))
    disputed = sample("disputed.mp4")
    desk = ReviewDesk(write_dataset(tmp_path, kept, sad, out, disputed))
    append_review(tmp_path, review(replace(sad, transcript="x"), "accept"))
    for made in (
        review(kept, "accept"),
        review(disputed, "accept"),
        review(disputed, "reject", "bob"),
    ):
        desk.decide(made)

    def names(**wanted: str) -> set[str]:
        items = desk.queue(QueueFilter(**wanted), "ann")  # type: ignore[arg-type]
        return {item.clip_id.removesuffix(".mp4") for item in items}

    assert names() == {"kept", "sad", "out", "disputed"}
    assert names(status="rejected") == {"out"}
    assert names(label="sad") == {"sad"}
    assert names(text="ISP") == {"disputed"}
    assert names(state="open") == {"sad", "out"}
    assert names(state="done") == {"kept", "disputed"}
    assert names(state="stale") == {"sad"}
    assert names(state="disputed") == {"disputed"}
    progress = desk.progress("bob")
    assert (progress["records"], progress["by_reviewer"], progress["by_anybody"]) == (4, 1, 2)


def test_the_desk_stores_tidied_edits_and_nothing_that_repeats_the_record(tmp_path: Path) -> None:
    record = sample()
    desk = ReviewDesk(write_dataset(tmp_path, record))
    stored = desk.decide(
        review(record, "edit", coarse_caption="  Two\n lines. ", label="happy", comment=" ok ")
    )
    assert stored.edits == Edits(coarse_caption="Two lines.")
    assert stored.comment == "ok"
    assert read_reviews(tmp_path).reviews == (stored,)


def test_the_desk_refuses_what_breaks_a_rule_and_stores_nothing(tmp_path: Path) -> None:
    record = sample()
    desk = ReviewDesk(write_dataset(tmp_path, record))
    with pytest.raises(RefusedReviewError, match="label is 'hapy', expected one of angry"):
        desk.decide(review(record, "edit", label="hapy", conclusion="This is hapy."))
    with pytest.raises(RefusedReviewError, match="needs a comment"):
        desk.decide(review(record, "reject", comment=""))
    with pytest.raises(KeyError):
        desk.decide(review(sample("b.mp4")))
    assert not (tmp_path / REVIEWS_FILE).exists()


def test_a_rebuilt_data_set_is_noticed_while_it_is_reviewed(tmp_path: Path) -> None:
    old = sample()
    desk = ReviewDesk(write_dataset(tmp_path, old))
    desk.decide(review(old, "accept"))
    new = sample(transcript="Something else entirely.")
    write_dataset(tmp_path, new, sample("b.mp4"))
    with pytest.raises(ChangedRecordError, match="look at it again"):
        desk.decide(review(old, "accept"))
    assert desk.record("a.mp4") == (new, record_hash(new))
    current, outdated = desk.reviews_of("a.mp4")
    assert current == ()
    assert [one.reviewer for one in outdated] == ["ann"]
    item = next(one for one in desk.queue(QueueFilter(), "ann") if one.clip_id == "a.mp4")
    assert item.is_stale
    assert item.decision is None


def test_two_desks_see_each_others_decisions(tmp_path: Path) -> None:
    record = sample()
    first, second = (ReviewDesk(write_dataset(tmp_path, record)) for _ in range(2))
    first.decide(review(record, "accept", "ann"))
    second.decide(review(record, "accept", "bob"))
    assert {one.reviewer for one in first.reviews_of("a.mp4")[0]} == {"ann", "bob"}
    assert first.agreement()["keep"].num_items == 1


def test_a_clip_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'a.mp4' a second time"):
        ReviewDesk(write_dataset(tmp_path, sample(), sample()))


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the records of a data set"):
        ReviewDesk(tmp_path)
