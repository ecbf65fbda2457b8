"""What may be done with a record: the strictest of its source and its tools."""

from dataclasses import replace
from pathlib import Path

import pytest

from emotion_llama.merr.licences import load_licences, terms
from emotion_llama.merr.records import LabelReading, MerrRecord, Origin, Source


def record(licence: str | None, *producers: str) -> MerrRecord:
    return MerrRecord(
        clip_id="a.mp4",
        path="a.mp4",
        media_sha256=None,
        duration_s=None,
        source=Source("films", licence),
        split=None,
        transcript=None,
        labels=(),
        label=None,
        verdict=None,
        face=None,
        scene=None,
        voice=None,
        clues=(),
        scene_description=None,
        voice_description=None,
        coarse_caption=None,
        fine_caption=None,
        gates=(),
        status="kept",
        reasons=(),
        missing={},
        lineage={f"field {i}": Origin(name, "1", "", "") for i, name in enumerate(producers)},
    )


@pytest.mark.parametrize(
    ("licence", "commercial", "annotations", "clips"),
    [
        ("CC0-1.0", True, True, True),
        ("CC-BY-SA-4.0", True, True, True),
        ("CC BY-NC-SA 4.0", False, True, True),
        ("cc-by-nc-nd-4.0", False, False, False),
        ("MER2023-EULA", False, False, False),
        ("research-only", False, False, False),
        ("GPL-3.0-or-later", True, True, True),
        ("own", True, True, True),
        (None, None, False, False),
        ("some terms of somebody", None, False, False),
    ],
)
def test_the_licence_of_the_source_decides(
    licence: str | None, commercial: bool | None, annotations: bool, clips: bool
) -> None:
    found = terms(record(licence))
    assert (found.commercial_ok, found.redistributable) == (commercial, annotations)
    assert found.media_redistributable is clips
    assert bool(found.why) is (commercial is not True or not annotations), "a limit is named"


def test_an_unknown_licence_is_named_and_permits_nothing() -> None:
    assert "'some terms' of the source is not in the table" in terms(record("some terms")).why[0]
    assert terms(record(None)).why == ("the licence of the source is not stated",)


@pytest.mark.parametrize(
    "producer",
    [
        "face-points movement fit on face-detector 1, face-points 1",
        "preset mini",
        "OpenFace 2.2",
        "openSMILE eGeMAPSv02",
    ],
)
def test_a_tool_limits_what_its_source_permits(producer: str) -> None:
    found = terms(record("CC-BY-4.0", "templates", producer))
    assert found.commercial_ok is False
    assert found.redistributable
    assert "no commercial use" in found.why[0]


def test_the_tool_behind_a_label_counts() -> None:
    given = LabelReading("happy", "model", "mini", "1")
    assert terms(replace(record("CC0-1.0"), labels=(given,))).commercial_ok is False


@pytest.mark.parametrize("producer", ["gpt-4o-mini", "hf:somebody/mini", "minimal", "templates"])
def test_a_tool_of_a_similar_name_is_another(producer: str) -> None:
    assert terms(record("CC-BY-4.0", producer)) == terms(record("CC-BY-4.0"))


def test_no_beats_not_known_and_not_known_beats_yes() -> None:
    assert terms(record("CC0-1.0", "py-feat")).commercial_ok is None
    assert terms(record("CC0-1.0", "py-feat", "OpenFace")).commercial_ok is False
    assert terms(record(None, "OpenFace")).commercial_ok is False


def test_an_own_table_is_read_and_checked(tmp_path: Path) -> None:
    table = tmp_path / "own.yaml"
    row = "commercial_ok: true, redistributable: true, derived_redistributable: true"
    table.write_text(f"licences:\n  house: {{name: House terms, {row}}}\n")
    assert terms(record("House terms"), load_licences(table)).redistributable
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(f"licences:\n  house: {{name: House terms, {row}, colour: red}}\n")
    with pytest.raises(ValueError, match=r"wrong\.yaml: licences\.house\.colour"):
        load_licences(wrong)
