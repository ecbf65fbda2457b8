"""Annotations of others -> records, and back without a change."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from exported_record import make_record

from emotion_llama.merr.export import write_published
from emotion_llama.merr.importing import read_mer_factory, read_published

FINE: dict[str, dict[str, Any]] = {
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
    "samplenew_00000002": {
        "AU_list": ["AU15"],
        "visual_prior_list": ["Lip corners down"],
        "audio_prior_list": "speaks in a low tone.",
        "peak_index": "0",
        "peak_AU_list": ["AU04", "AU14"],
        "pseu_emotion": "sad",
        "text": "我不知道。",
        "smp_reason_caption": "In the video, a man looks down.",
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
FINE_LIST = (
    "sample_00000001 31 surprise 0.318206\n"
    "samplenew_00000002 77 sad -1.174107\n"
    "samplenew_00000003 405 neutral 0.0\n"
)


def coarse() -> dict[str, dict[str, Any]]:
    entries = {}
    for name, fine in FINE.items():
        entry = {key: value for key, value in fine.items() if key != "text"}
        entry["caption"] = entry.pop("smp_reason_caption")
        entries[name] = entry
    return entries


def write(folder: Path, content: Any, lines: str | None = None) -> tuple[Path, Path | None]:
    folder.mkdir(exist_ok=True)
    (folder / "merr.json").write_text(json.dumps(content), encoding="utf-8")
    if lines is None:
        return folder / "merr.json", None
    (folder / "merr.txt").write_text(lines, encoding="utf-8")
    return folder / "merr.json", folder / "merr.txt"


@pytest.mark.parametrize("grain", ["fine", "coarse"])
def test_published_files_come_back_without_a_change(tmp_path: Path, grain: Any) -> None:
    content = FINE if grain == "fine" else coarse()
    records = read_published(*write(tmp_path / "in", content, FINE_LIST), licence="MER2023-EULA")
    with pytest.raises(ValueError, match=r"3 of 3 records may not be passed on.*MER2023-EULA"):
        write_published(records, tmp_path / "out", grain=grain)
    write_published(records, tmp_path / "out", grain=grain, own_use=True)
    stem = tmp_path / "out" / f"MERR_{grain}_grained"
    written = json.loads(stem.with_suffix(".json").read_text("utf-8"), object_pairs_hook=list)
    expected = json.loads(json.dumps(content), object_pairs_hook=list)
    assert written == expected, "same fields in the same order"
    assert stem.with_suffix(".txt").read_text() == FINE_LIST


def test_what_is_known_of_a_published_record(tmp_path: Path) -> None:
    first, *_ = read_published(*write(tmp_path / "in", FINE, FINE_LIST))
    assert first.face
    assert first.verdict
    assert first.fine_caption
    assert first.face.scale is None
    assert [(u.unit, u.intensity, u.is_present) for u in first.face.units] == [
        ("AU05", None, True),
        ("AU20", None, True),
        ("AU26", None, True),
    ]
    assert (first.face.peak_frame, first.face.num_frames) == (1, 31)
    assert (first.label, first.labels[0].kind) == ("surprise", "model")
    assert first.verdict.agreement == "abstains", "no rule was tested"
    assert first.fine_caption.label_conditioned
    assert (first.voice, "voice" in first.missing) == (None, True)
    assert first.source.licence is None, "nobody stated one"


def test_a_phrase_of_another_unit_is_kept_and_noted(tmp_path: Path) -> None:
    records = {r.clip_id: r for r in read_published(write(tmp_path / "in", FINE)[0])}
    quirk = records["samplenew_00000002"]
    assert [(clue.feature, clue.statement) for clue in quirk.clues] == [
        ("AU15", "Lip corners down")
    ]
    (note,) = quirk.notes
    assert "AU15, which is not among the units of the peak (the peak has AU14" in note
    assert records["sample_00000001"].notes == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, r"clip 'sample_00000001', field 'colour': extra inputs"),
        ({"peak_index": 1}, r"field 'peak_index': input should be a valid string, found 1"),
        ({"peak_index": "01"}, r"field 'peak_index': found '01', expected a whole number"),
        ({"AU_list": ["AU05"]}, r"field 'visual_prior_list': found 2 statements, expected 1"),
        ({"peak_AU_list": ["5"]}, r"field 'peak_AU_list': found '5', expected names such as"),
        ({"smp_reason_caption": ""}, r"field 'smp_reason_caption': string should have at least"),
    ],
)
def test_a_wrong_field_is_named_with_its_clip(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    entry = {**FINE["sample_00000001"], **change}
    with pytest.raises(ValueError, match=message):
        read_published(write(tmp_path / "in", {"sample_00000001": entry})[0])


@pytest.mark.parametrize("field", list(FINE["sample_00000001"]))
def test_a_missing_field_is_named_with_its_clip(tmp_path: Path, field: str) -> None:
    entry = {key: value for key, value in FINE["sample_00000001"].items() if key != field}
    with pytest.raises(ValueError, match=rf"clip 'x', field '{field}': field required, found none"):
        read_published(write(tmp_path / "in", {"x": entry})[0])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (FINE_LIST.replace("31 surprise", "31 happy"), r"'happy' in merr\.txt and 'surprise' in"),
        (FINE_LIST + "other 3 sad\n", r"merr\.txt has clip 'other', which merr\.json lacks"),
        ("sample_00000001 31 surprise\n", r"merr\.json has clip 'samplenew_00000002', which"),
        ("sample_00000001 surprise\n", r"merr\.txt, line 1: found 'sample_00000001 surprise'"),
        (FINE_LIST.replace("0.0", "none"), r"line 3: found valence 'none', expected a number"),
    ],
)
def test_a_list_that_does_not_fit_is_an_error(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_published(*write(tmp_path / "in", FINE, lines))


def test_a_list_of_three_columns_gives_the_frames(tmp_path: Path) -> None:
    lines = "".join(line.rsplit(" ", 1)[0] + "\n" for line in FINE_LIST.splitlines())
    records = read_published(*write(tmp_path / "in", FINE, lines))
    assert [r.face.num_frames for r in records if r.face] == [31, 77, 405]
    assert not any("valence" in note for record in records for note in record.notes)


def test_own_exports_come_back_under_their_ids(tmp_path: Path) -> None:
    clips = ["a/01.mp4", "b/01.mp4", "my clips/x.mp4"]
    write_published([make_record(c) for c in clips], tmp_path / "out", grain="fine")
    stem = tmp_path / "out" / "MERR_fine_grained"
    read = read_published(stem.with_suffix(".json"), stem.with_suffix(".txt"), licence="CC0-1.0")
    assert [(r.clip_id, r.path) for r in read] == [(c, c) for c in clips]
    write_published(read, tmp_path / "again", grain="fine")
    for name in (".json", ".txt"):
        again = (tmp_path / "again" / stem.name).with_suffix(name)
        assert again.read_bytes() == stem.with_suffix(name).read_bytes()


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


def put(folder: Path, name: str, content: Any) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_mer_factory_is_read_with_its_scale_and_without_its_paths(tmp_path: Path) -> None:
    put(tmp_path, "anna/01/01_merr.json", analysis(ground_truth_label="Happy"))
    put(tmp_path, "anna/01/01_au.json", {"frames": []})
    (record,) = read_mer_factory(tmp_path, licence="CC0-1.0")
    assert record.clip_id == "anna/01/01_merr"
    assert record.face
    assert record.fine_caption
    assert (record.face.scale, record.face.peak_frame, record.face.peak_s) == ("0-5", 30, 1.2)
    assert [(u.unit, u.intensity, u.is_present) for u in record.face.units] == [
        ("AU06", 0.4, False),
        ("AU12", 2.5, True),
    ]
    assert (record.label, record.labels[0].kind) == ("happy", "human")
    assert record.fine_caption.label_conditioned
    assert record.scene_description == "A woman in a kitchen."
    assert "OpenFace" in record.lineage["face"].producer
    assert "/data" not in str(record)


def test_equal_file_names_stay_different_clips(tmp_path: Path) -> None:
    put(tmp_path, "a/01.json", analysis())
    put(tmp_path, "b/01.json", analysis(source_path="/data/clips/bert/01.mp4"))
    assert [r.clip_id for r in read_mer_factory(tmp_path)] == ["a/01", "b/01"]
    below = read_mer_factory(tmp_path, media_dir="/data/clips")
    assert [(r.clip_id, r.path) for r in below] == [
        ("anna/01.mp4", "anna/01.mp4"),
        ("bert/01.mp4", "bert/01.mp4"),
    ]
    put(tmp_path, "c/01.json", analysis())
    with pytest.raises(ValueError, match=r"c/01\.json and a/01\.json are both of clip 'anna/01"):
        read_mer_factory(tmp_path, media_dir="/data/clips")


def test_rejected_action_units_are_missing_and_no_evidence(tmp_path: Path) -> None:
    said = {**analysis()["coarse_descriptions_at_peak"], "audio_analysis": ""}
    said["visual_expression"] = "neutral (AU rejected)"
    put(tmp_path, "01.json", analysis(coarse_descriptions_at_peak=said))
    (record,) = read_mer_factory(tmp_path)
    assert record.face is None
    assert "rejected the action units" in record.missing["face"]
    assert record.missing["voice_description"] == "MER-Factory left it empty"
    assert (record.label, record.labels) == (None, ())
    assert "neutral" not in str((record.clues, record.notes, record.scene_description))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, r"01\.json, field 'colour': extra inputs"),
        (
            {"overall_peak_frame_info": {"top_aus_intensities": {"AU12_r": 7.0}}},
            r"01\.json, field 'top_aus_intensities': found 'AU12_r': 7\.0, expected a unit",
        ),
    ],
)
def test_a_wrong_field_of_mer_factory_is_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    put(tmp_path, "01.json", analysis(**change))
    with pytest.raises(ValueError, match=message):
        read_mer_factory(tmp_path)


def test_a_folder_without_analyses_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "01_au.json", {"frames": []})
    with pytest.raises(ValueError, match="output folder of MER-Factory"):
        read_mer_factory(tmp_path)


def test_the_transcripts_of_an_export_are_a_table(tmp_path: Path) -> None:
    write_published([make_record()], tmp_path / "out", grain="fine")
    with (tmp_path / "out" / "transcription_en_all.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"name": "anna/01", "sentence": "Well, that is good."}
        ]
