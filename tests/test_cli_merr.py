"""The commands around a data set: counting, checking, reviewing, taking it elsewhere and back."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from build_samples import EXAMPLES, WORDS, all_bytes, contents, label_table, run, words_of
from review_samples import review
from typer.testing import Result

from emotion_llama.merr.export import check_conversations, read_hugging_face, read_webdataset
from emotion_llama.merr.record_file import canonical_json, read_records, to_line
from emotion_llama.merr.records import MerrRecord
from emotion_llama.merr.review import append_review
from emotion_llama.server import review as review_server


def merr(*arguments: object) -> Result:
    return run("merr", *arguments)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged clips, with what is said in them."""
    folder = tmp_path_factory.mktemp("media")
    for name in WORDS:
        shutil.copy(EXAMPLES / f"{name}.mp4", folder)
    (folder / "clips.csv").write_text(
        "path,text,speaker,language\n"
        f'smile.mp4,"{WORDS["smile"]}",ann,en\n'
        f'frown.mp4,"{WORDS["frown"]}",ben,en\n',
        "utf-8",
    )
    label_table(folder / "labels.csv", {"smile": "happy", "frown": "angry"})
    return folder


def built(media: Path, out: Path, *more: object) -> Path:
    flags = ("--labels", media / "labels.csv", "--keep", "all", "--workers", 0)
    result = run("build", media / "clips.csv", "--out", out, *flags, *more)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def made(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build them once, on their owner's terms."""
    return built(media, tmp_path_factory.mktemp("made") / "set", "--licence", "own")


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Path:
    """Give a copy of that data set."""
    return Path(shutil.copytree(made, tmp_path / "set"))


def kept(dataset: Path) -> dict[str, MerrRecord]:
    return {record.clip_id: record for record in read_records(dataset)}


def write_kept(dataset: Path, *records: MerrRecord) -> None:
    lines = "".join(f"{to_line(record)}\n" for record in records)
    (dataset / "records.jsonl").write_text(lines, "utf-8")


# ---- counting ------------------------------------------------------------------------------------


def test_counts_are_written_for_people(made: Path) -> None:
    result = merr("stats", made)
    assert result.exit_code == 0, result.output
    text = words_of(result.stdout)
    for words in ("kept 2 100.0 %", "licence own 2", "happy 1 50.0 %", "facial 2 100.0 %"):
        assert words in text, words
    assert "MERR" in text, "the comparison with other data sets"
    assert "another clip" in text, "faithfulness, against other clips too"
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_counts_are_written_for_programs(made: Path) -> None:
    result = merr("stats", made, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    counted = json.loads(result.stdout)
    assert counted["num_kept"] == 2
    assert counted["num_rejected"] == 0


def test_counts_are_drawn(made: Path, tmp_path: Path) -> None:
    result = merr("stats", made, "--json", "--plots", tmp_path / "plots")
    json.loads(result.stdout)
    drawn = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert {"classes.png", "agreement.png", "lengths.png"} <= {*drawn}
    assert result.stderr.count("wrote ") == len(drawn)


@pytest.mark.parametrize("command", ["stats", "validate", "review"])
def test_a_folder_without_records_is_a_wrong_command(tmp_path: Path, command: str) -> None:
    result = merr(command, tmp_path)
    assert result.exit_code == 2, result.output
    assert "build" in result.stderr, "the next step"
    assert "Traceback" not in result.output


# ---- checking ------------------------------------------------------------------------------------


def test_what_was_built_has_no_fault(made: Path, media: Path) -> None:
    result = merr("validate", made, "--media", media)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert f"{made}: no fault found" in result.stderr


def leak(record: MerrRecord) -> MerrRecord:
    assert record.fine_caption is not None
    evidence = f"{record.fine_caption.evidence} The person is {record.label}."
    return replace(record, fine_caption=replace(record.fine_caption, evidence=evidence))


def another_unit(record: MerrRecord) -> MerrRecord:
    first, *rest = record.clues
    other = replace(first, statement="the brows are clearly drawn together and down")
    return replace(record, clues=(replace(other, feature="AU12"), *rest))


def torn_apart(record: MerrRecord) -> MerrRecord:
    return replace(record, source=replace(record.source, speaker="ben"), split="held out")


def moved(record: MerrRecord) -> MerrRecord:
    return replace(record, path=f"/data/{record.path}")


def forgotten(record: MerrRecord) -> MerrRecord:
    return replace(record, clues=record.clues_of("facial"))


DAMAGES: dict[str, tuple[Callable[[MerrRecord], MerrRecord], str]] = {
    "a label in the evidence": (leak, "caption: found label leak: found 'happy'"),
    "another unit": (another_unit, "words for AU12"),
    "a person in two splits": (torn_apart, "split: found speaker 'ben' in held out, and in"),
    "a path of a machine": (moved, "path: found path '/data/smile.mp4'"),
    "clues that are gone": (forgotten, "missing: found no voice clue and no reason"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_its_clip_is_named(dataset: Path, damage: str) -> None:
    change, said = DAMAGES[damage]
    found = kept(dataset)
    write_kept(dataset, found["frown.mp4"], change(found["smile.mp4"]))
    result = merr("validate", dataset)
    assert result.exit_code == 1, result.output
    lines = [line for line in result.stdout.splitlines() if said in line]
    assert lines, result.stdout
    assert "records.jsonl, line 2, clip smile.mp4: " in lines[0]


def test_lost_and_torn_lines_are_found(dataset: Path) -> None:
    first, second = (dataset / "records.jsonl").read_text("utf-8").splitlines()
    (dataset / "records.jsonl").write_text(f"{first}\n{second[:200]}", "utf-8")
    result = merr("validate", dataset)
    assert result.exit_code == 1
    assert "records.jsonl, line 2: schema: " in result.stdout
    assert "records.parquet: parquet: found 2 rows" in result.stdout
    assert "build.json: counts: found 1 kept records" in result.stdout


def test_another_file_under_the_name_of_a_clip_is_found(
    dataset: Path, media: Path, tmp_path: Path
) -> None:
    (tmp_path / "media").mkdir()
    shutil.copy(media / "frown.mp4", tmp_path / "media" / "smile.mp4")
    result = merr("validate", dataset, "--media", tmp_path / "media")
    assert result.exit_code == 1
    assert "clip frown.mp4: media: found no file 'frown.mp4'" in result.stdout
    assert "clip smile.mp4: media: found a file of sha256" in result.stdout


def test_twenty_faults_are_written_and_all_on_request(dataset: Path) -> None:
    (dataset / "records.jsonl").write_text("?\n" * 30)
    some, every = merr("validate", dataset), merr("validate", dataset, "--all")
    assert len(some.stdout.splitlines()) == 20
    assert "more; --all writes them out" in some.stderr
    assert len(every.stdout.splitlines()) > 30
    assert some.exit_code == every.exit_code == 1


# ---- reviewing -----------------------------------------------------------------------------------


def test_the_page_is_served_for_the_data_set_that_was_named(
    made: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def make(dataset: Path, folder: Path | None, **more: Any) -> str:
        asked.update(more, dataset=dataset, media=folder)
        return "the page"

    def serve(page: str, port: int, announce: Callable[[str], None]) -> None:
        asked.update(page=page, port=port)
        announce("http://127.0.0.1:1/?token=x")

    monkeypatch.setattr(review_server, "make_app", make)
    monkeypatch.setattr(review_server, "serve", serve)
    result = merr("review", made, "--media", media, "--reviewer", "ann", "--port", 0)
    assert result.exit_code == 0, result.output
    assert "open http://127.0.0.1:1/?token=x" in result.stderr
    assert asked == {
        "dataset": made,
        "media": media,
        "reviewer": "ann",
        "page": "the page",
        "port": 0,
    }
    merr("review", made)
    assert (asked["media"], asked["reviewer"], asked["port"]) == (None, None, 8788)


# ---- taking it elsewhere -------------------------------------------------------------------------

FORMS = ("merr-fine", "merr-coarse", "sharegpt", "hf", "webdataset")


def export(dataset: Path, form: str, out: Path, media: Path, *more: object) -> Result:
    files = ("--media", media) if form == "webdataset" else ()
    return merr("export", dataset, "--to", form, "--out", out, *files, *more)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_written_with_a_card_and_the_same_bytes(
    made: Path, media: Path, tmp_path: Path, form: str
) -> None:
    result = export(made, form, tmp_path / "out", media)
    assert result.exit_code == 0, result.output
    number = 4 if form == "sharegpt" else 2
    assert f"wrote {number} entries to {tmp_path / 'out'}" in result.stderr
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "| clips | own |" in card
    assert "Nothing was left out." in card
    export(made, form, tmp_path / "again", media)
    assert all_bytes(tmp_path / "again") == all_bytes(tmp_path / "out")
    for name, content in all_bytes(tmp_path / "out").items():
        assert str(media).encode() not in content, name


def test_forms_hold_the_records(made: Path, media: Path, tmp_path: Path) -> None:
    for form in FORMS:
        assert export(made, form, tmp_path / form, media).exit_code == 0
    records = list(kept(made).values())
    assert list(read_hugging_face(tmp_path / "hf")) == records
    assert list(read_webdataset(tmp_path / "webdataset")) == records
    assert check_conversations(tmp_path / "sharegpt") == ()
    fine = json.loads((tmp_path / "merr-fine" / "MERR_fine_grained.json").read_text("utf-8"))
    assert fine["smile"]["text"] == WORDS["smile"]
    coarse = json.loads((tmp_path / "merr-coarse" / "MERR_coarse_grained.json").read_text("utf-8"))
    assert coarse["smile"]["caption"] == kept(made)["smile.mp4"].coarse_caption


def test_without_stated_terms_nothing_is_passed_on(media: Path, tmp_path: Path) -> None:
    dataset = built(media, tmp_path / "set", "--set", "frames_per_second=5")
    refused = export(dataset, "sharegpt", tmp_path / "out", media)
    assert refused.exit_code == 2, refused.output
    assert "2 of 2 records may not be passed on" in words_of(refused.stderr)
    assert "--own-use" in refused.stderr or "own_use" in refused.stderr, "the next step"
    assert not (tmp_path / "out").exists()
    assert export(dataset, "sharegpt", tmp_path / "out", media, "--own-use").exit_code == 0
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "Not to be passed on" in card


def test_clips_in_an_export_need_their_folder(made: Path, tmp_path: Path) -> None:
    result = merr("export", made, "--to", "webdataset", "--out", tmp_path / "out", "--own-use")
    assert result.exit_code == 2
    assert "name their folder with --media" in result.stderr


def test_what_reviewers_decided_is_applied(dataset: Path, media: Path, tmp_path: Path) -> None:
    found = kept(dataset)
    decisions = (
        review(found["smile.mp4"], "edit", coarse_caption="The lip corners are pulled up."),
        review(found["frown.mp4"], "reject"),
        review(replace(found["frown.mp4"], label="sad"), reviewer="ben"),
        review(replace(found["frown.mp4"], clip_id="gone.mp4")),
    )
    for decision in decisions:
        append_review(dataset / "reviews.jsonl", decision)
    with (dataset / "reviews.jsonl").open("a") as file:
        file.write('{"torn')
    result = export(dataset, "hf", tmp_path / "out", media, "--own-use")
    assert result.exit_code == 0, result.output
    assert "reviews: 0 accepted, 1 edited, 1 rejected" in result.stderr
    assert "reviews not applied, made for an earlier state of the record: 1" in result.stderr
    assert "reviews not applied, of clips that are not here: 1" in result.stderr
    assert "left out a line that was not written to its end" in result.stderr
    (record,) = read_hugging_face(tmp_path / "out")
    assert record.clip_id == "smile.mp4"
    assert record.coarse_caption == "The lip corners are pulled up."
    export(dataset, "hf", tmp_path / "plain", media, "--own-use", "--no-reviews")
    assert len(list(read_hugging_face(tmp_path / "plain"))) == 2


def test_what_a_reviewer_brings_back_is_exported_in_order(media: Path, tmp_path: Path) -> None:
    settings = ("--set", "frames_per_second=5", "--set", "min_snr_db=200")
    dataset = built(media, tmp_path / "set", *settings)
    assert kept(dataset) == {}
    for record in read_records(dataset / "rejected.jsonl"):
        append_review(dataset / "reviews.jsonl", review(record, "accept"))
    result = export(dataset, "hf", tmp_path / "out", media, "--own-use")
    assert result.exit_code == 0, result.output
    names = [record.clip_id for record in read_hugging_face(tmp_path / "out")]
    assert names == ["frown.mp4", "smile.mp4"]


# ---- taking others' ------------------------------------------------------------------------------

PUBLISHED: dict[str, dict[str, Any]] = {
    "sample_00000001": {
        "AU_list": ["AU05", "AU26"],
        "visual_prior_list": ["Upper lids raised", "Jaw dropped"],
        "audio_prior_list": "speaks in a quick tone.",
        "peak_index": "1",
        "peak_AU_list": ["AU05", "AU20", "AU26"],
        "pseu_emotion": "surprise",
        "text": "Really?  You did?",
        "smp_reason_caption": "In the video, a woman lifts her lids. It indicates surprise.",
    },
    "samplenew_00000003": {
        "AU_list": [],
        "visual_prior_list": [],
        "audio_prior_list": "speaks in a calm tone.",
        "peak_index": "403",
        "peak_AU_list": [],
        "pseu_emotion": "neutral",
        "text": "",
        "smp_reason_caption": "In the video, a man talks.",
    },
}
LISTED = "sample_00000001 31 surprise 0.318206\nsamplenew_00000003 405 neutral 0.0\n"


def published(folder: Path, **changes: Any) -> tuple[Path, Path]:
    """Write a published file and its list."""
    first = {**PUBLISHED["sample_00000001"], **changes}
    folder.mkdir()
    (folder / "fine.json").write_text(json.dumps({**PUBLISHED, "sample_00000001": first}))
    (folder / "fine.txt").write_text(LISTED)
    return folder / "fine.json", folder / "fine.txt"


def test_a_published_file_becomes_a_data_set_without_faults(tmp_path: Path) -> None:
    file, table = published(tmp_path / "in")
    flags = ("--list", table, "--licence", "MER2023-EULA")
    result = merr("import", file, *flags, "--out", tmp_path / "set")
    assert result.exit_code == 0, result.output
    assert "took over 2 clips" in result.stderr
    assert [*kept(tmp_path / "set")] == ["sample_00000001", "samplenew_00000003"]
    assert {"records.parquet", "producers.json", "schema.json"} <= {*contents(tmp_path / "set")}
    checked = merr("validate", tmp_path / "set")
    assert checked.exit_code == 0, checked.output
    counted = merr("stats", tmp_path / "set")
    assert counted.exit_code == 0, counted.output
    assert "MER2023-EULA 2 100.0 %" in words_of(counted.stdout)


def test_a_published_file_goes_back_as_it_came(tmp_path: Path) -> None:
    file, table = published(tmp_path / "in")
    merr("import", file, "--list", table, "--licence", "own", "--out", tmp_path / "set")
    out = tmp_path / "out"
    result = merr("export", tmp_path / "set", "--to", "merr-fine", "--out", out, "--own-use")
    assert result.exit_code == 0, result.output
    assert json.loads((out / "MERR_fine_grained.json").read_text("utf-8")) == PUBLISHED
    assert (out / "MERR_fine_grained.txt").read_text() == LISTED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"smp_reason_caption": "I cannot tell how the person feels, as the clip is short."},
            "'I cannot' in the fine caption",
        ),
        (
            {"audio_prior_list": "the speaker shows none of the listed emotions."},
            "'none of the listed emotions' in the voice description",
        ),
        (
            {"AU_list": ["AU15"], "visual_prior_list": ["Lip corners down"]},
            "a clue of AU15, which is not measured",
        ),
        (
            {"AU_list": ["AU05"], "visual_prior_list": ["The lip corners are pulled up"]},
            "which names AU12, expected words for AU05",
        ),
    ],
)
def test_known_faults_of_published_files_are_named(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    file, _ = published(tmp_path / "in", **change)
    assert merr("import", file, "--out", tmp_path / "set").exit_code == 0
    result = merr("validate", tmp_path / "set")
    assert result.exit_code == 1
    assert result.stdout.startswith("records.jsonl, line 1, clip sample_00000001: ")
    assert said in result.stdout
    assert len(result.stdout.splitlines()) == 1


def test_a_data_set_is_not_overwritten_by_an_import(dataset: Path, tmp_path: Path) -> None:
    before = contents(dataset)
    result = merr("import", published(tmp_path / "in")[0], "--out", dataset)
    assert result.exit_code == 2
    assert "holds a data set already; name a new folder" in result.stderr
    assert contents(dataset) == before


def test_an_unusable_file_makes_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "fine.json").write_text('{"x": {"text": "a"}}')
    result = merr("import", tmp_path / "fine.json", "--out", tmp_path / "set")
    assert result.exit_code == 2
    assert "fine.json, clip 'x', field 'AU_list': field required" in words_of(result.stderr)
    assert not (tmp_path / "set").exists()


def analysis(**changes: Any) -> dict[str, Any]:
    return {
        "source_path": "/data/clips/anna/01.mp4",
        "audio_path": "/data/out/01/01.wav",
        "chronological_emotion_peaks": ["happy (slight) at 1.2 s"],
        "overall_peak_frame_info": {
            "frame_number": 30,
            "timestamp": 1.2,
            "top_aus_intensities": {"AU12_r": 2.5, "AU6_r": 0.4},
        },
        "coarse_descriptions_at_peak": {
            "visual_expression": "Lip corner puller (intensity 2.5)",
            "visual_objective": "A woman in a kitchen.",
            "audio_analysis": "She speaks fast.",
            "video_content": "",
        },
        "final_summary": "She smiles and speaks fast, so she may be happy.",
        **changes,
    }


def test_output_of_mer_factory_becomes_a_data_set_without_faults(tmp_path: Path) -> None:
    for place, changes in (("a", {"ground_truth_label": "Happy"}), ("b", {})):
        (tmp_path / "in" / place).mkdir(parents=True)
        (tmp_path / "in" / place / "01.json").write_text(json.dumps(analysis(**changes)))
    flags = ("--from", "mer-factory", "--licence", "own")
    result = merr("import", tmp_path / "in", *flags, "--out", tmp_path / "set")
    assert result.exit_code == 0, result.output
    found = kept(tmp_path / "set")
    assert [*found] == ["a/01", "b/01"], "equal names stay two clips"
    assert (found["a/01"].label, found["b/01"].label) == ("happy", None)
    assert merr("validate", tmp_path / "set").exit_code == 0
    assert merr("stats", tmp_path / "set", "--json").exit_code == 0
    for name, content in contents(tmp_path / "set").items():
        assert b"/data/" not in content, name
    assert canonical_json(asdict(found["a/01"])) in (
        (tmp_path / "set" / "records.jsonl").read_text("utf-8")
    )
