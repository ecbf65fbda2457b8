"""Records -> the published files, and which records cannot go there."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from exported_record import make_record

from emotion_llama.merr.export.published import NO_VOICE, write_published
from emotion_llama.merr.records import Clue, Source

FINE_FIELDS = [
    "AU_list",
    "visual_prior_list",
    "audio_prior_list",
    "peak_index",
    "peak_AU_list",
    "pseu_emotion",
    "text",
    "smp_reason_caption",
]


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_the_fine_form_has_the_published_fields_in_their_order(tmp_path: Path) -> None:
    report = write_published([make_record()], tmp_path / "out", grain="fine")
    text = (tmp_path / "out" / "MERR_fine_grained.json").read_text()
    assert json.loads(text, object_pairs_hook=list) == [
        (
            "anna/01",
            [
                ("AU_list", ["AU12"]),
                ("visual_prior_list", ["the lip corners are clearly pulled up"]),
                ("audio_prior_list", "The pitch is clearly high."),
                ("peak_index", "7"),
                ("peak_AU_list", ["AU12", "AU25"]),
                ("pseu_emotion", "happy"),
                ("text", "Well, that is good."),
                (
                    "smp_reason_caption",
                    "The lip corners are clearly pulled up. This speaks for happy.",
                ),
            ],
        )
    ]
    assert (tmp_path / "out" / "MERR_fine_grained.txt").read_text() == "anna/01 50 happy 1.0\n"
    assert report.num_written == 1
    assert report.files == (
        "MERR_fine_grained.json",
        "MERR_fine_grained.txt",
        "README.md",
        "names.csv",
        "transcription_en_all.csv",
    )


def test_the_coarse_form_has_a_caption_and_no_text(tmp_path: Path) -> None:
    write_published([make_record(transcript=None)], tmp_path / "out", grain="coarse")
    (entry,) = json.loads((tmp_path / "out" / "MERR_coarse_grained.json").read_text()).values()
    assert list(entry) == [*FINE_FIELDS[:6], "caption"]
    assert entry["caption"] == make_record().coarse_caption


def test_a_label_without_a_sign_has_the_valence_of_the_unknown(tmp_path: Path) -> None:
    write_published([make_record(label="bored")], tmp_path / "out", grain="coarse")
    assert (tmp_path / "out" / "MERR_coarse_grained.txt").read_text() == "anna/01 50 bored -10\n"


def test_equal_stems_stay_apart_and_names_hold_no_blank(tmp_path: Path) -> None:
    clips = ["a/01.mp4", "b/01.mp4", "b/01.wav", "my clips/x y.mp4", "my%20clips/x%20y.mp4"]
    write_published([make_record(c) for c in clips], tmp_path / "out", grain="fine")
    lines = (tmp_path / "out" / "MERR_fine_grained.txt").read_text().splitlines()
    names = [line.split(" ")[0] for line in lines]
    assert names == ["a/01", "b/01.mp4", "b/01.wav", "my%20clips/x%20y", "my%2520clips/x%2520y"]
    assert all(len(line.split(" ")) == 4 for line in lines)
    table = (tmp_path / "out" / "names.csv").read_text().splitlines()
    assert table[4] == "my%20clips/x%20y,my clips/x y.mp4,my clips/x y.mp4"


def test_each_record_that_lacks_something_is_counted(tmp_path: Path) -> None:
    whole = make_record()
    assert whole.face
    assert whole.verdict
    records = [
        whole,
        make_record("1", label=None),
        make_record("2", face=None),
        make_record("3", face=replace(whole.face, peak_frame=None)),
        make_record("4", face=replace(whole.face, num_frames=None)),
        make_record("5", voice_description=None),
        make_record("6", transcript=None),
        make_record("7", fine_caption=None),
        make_record("8", clues=whole.clues[1:]),
        make_record("9", status="rejected", reasons=("too dark",)),
        make_record("10", label="very happy"),
    ]
    report = write_published(records, tmp_path / "out", grain="fine")
    assert report.num_written == 1
    assert report.left_out == {
        "label with a blank": 1,
        "no face": 1,
        "no fine caption": 1,
        "no label": 1,
        "no peak frame": 1,
        "no unit of the rule is worded": 1,
        "no transcript": 1,
        "no voice description": 1,
        "number of frames not known": 1,
        "rejected by the build": 1,
    }
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| no face | 1 |" in card


def test_a_missing_voice_is_said_and_never_empty(tmp_path: Path) -> None:
    silent = make_record(voice_description=None)
    write_published([silent], tmp_path / "out", grain="fine", allow_missing_voice=True)
    (entry,) = json.loads((tmp_path / "out" / "MERR_fine_grained.json").read_text()).values()
    assert entry["audio_prior_list"] == NO_VOICE


def test_units_and_statements_are_as_many_also_where_no_rule_fired(tmp_path: Path) -> None:
    calm = make_record(label="neutral", clues=(Clue("facial", "AU25", "slight", "lips part"),))
    write_published([calm], tmp_path / "out", grain="coarse")
    (entry,) = json.loads((tmp_path / "out" / "MERR_coarse_grained.json").read_text()).values()
    assert (entry["AU_list"], entry["visual_prior_list"]) == ([], [])
    assert entry["peak_AU_list"] == ["AU12", "AU25"], "what is present is told all the same"


def test_a_unit_of_the_rule_that_is_not_worded_is_only_in_the_peak(tmp_path: Path) -> None:
    verdict = make_record().verdict
    assert verdict
    two = replace(verdict, fired={"happy": ("AU04", "AU12")})
    write_published([make_record(verdict=two)], tmp_path / "out", grain="fine")
    (entry,) = json.loads((tmp_path / "out" / "MERR_fine_grained.json").read_text()).values()
    assert entry["AU_list"] == ["AU12"]
    assert len(entry["visual_prior_list"]) == 1


def test_what_may_not_be_passed_on_is_refused(tmp_path: Path) -> None:
    secret = make_record("b.mp4", source=Source("challenge", "MER2023-EULA"))
    message = (
        r"1 of 2 records may not be passed on: source under MER2023-EULA.*--licence.*--own-use"
    )
    with pytest.raises(ValueError, match=message):
        write_published([make_record(), secret], tmp_path / "out", grain="fine")
    assert list(tmp_path.iterdir()) == []
    write_published([make_record(), secret], tmp_path / "out", grain="fine", own_use=True)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "**Not to be passed on.** The annotations of 1 of 2 records" in card
    assert "license: other" in card


def test_the_card_has_terms_counts_and_whom_to_name(tmp_path: Path) -> None:
    records = [make_record(), make_record("b.mp4", label="sad", split="test", verdict=None)]
    write_published(records, tmp_path / "out", grain="coarse", citations=["A. Author: Talks."])
    card = (tmp_path / "out" / "README.md").read_text()
    for part in (
        "license: cc-by-4.0",
        "language:\n- en",
        "| label | test | train | all |",
        "| happy | 0 | 1 | 1 |",
        "| talks | CC-BY-4.0 | Creative Commons Attribution 4.0 International.",
        "Cheng",
        "- A. Author: Talks.",
        "| face | face program | 1 | ab12 | 2 |",
        "Schema version of the records: 1",
    ):
        assert part in card


def test_a_tool_narrows_the_licence_of_the_card(tmp_path: Path) -> None:
    origin = replace(make_record().lineage["face"], producer="OpenFace 2.2")
    write_published([make_record(lineage={"face": origin})], tmp_path / "out", grain="fine")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: other" in card
    assert "forbidden for 1" in card


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "/data/clips/01.mp4"},
        {"path": "C:\\clips\\01.mp4"},
        {"path": "../01.mp4"},
        {"notes": ("could not read /data/clips/01.mp4",)},
        {"missing": {"scene": "no model in C:\\models"}},
    ],
)
def test_no_path_of_one_machine_goes_out(tmp_path: Path, changes: dict[str, object]) -> None:
    records = [make_record("b.mp4"), make_record(**changes)]
    report = write_published(records, tmp_path / "out", grain="fine")
    assert report.left_out == {"names a path of one machine": 1}


def test_texts_with_strokes_and_addresses_are_no_paths(tmp_path: Path) -> None:
    notes = ("and/or", "asked http://localhost:8000/v1/chat", "2 / 3 frames", "merr/rules")
    report = write_published([make_record(notes=notes)], tmp_path / "out", grain="fine")
    assert report.left_out == {}


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_published([make_record()], tmp_path / name, grain="fine")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_a_folder_with_files_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"found 1 files in it, expected a new or an empty folder"):
        write_published([make_record()], tmp_path, grain="fine")
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        msg = "disk full"
        raise OSError(msg)

    monkeypatch.setattr("emotion_llama.merr.export.published.write_card", fail)
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError, match="disk full"):
        write_published([make_record()], tmp_path / "out", grain="fine")
    assert [p.name for p in tmp_path.rglob("*")] == ["out"]


def test_nothing_to_write_is_said_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no record to write.*no face \(1\)"):
        write_published([make_record(face=None)], tmp_path / "out", grain="fine")


def test_two_records_of_one_clip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"two records of clip 'anna/01\.mp4'"):
        write_published([make_record(), make_record()], tmp_path / "out", grain="fine")
