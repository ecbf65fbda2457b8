"""Where fields came from: who made them, with what settings, from what."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exported_record import make_record

from emotion_llama.config import BuildConfig
from emotion_llama.merr.clip_work import Described, WorkedClip
from emotion_llama.merr.duplicates import Fingerprint
from emotion_llama.merr.lineage import Lineage, gate_limits
from emotion_llama.merr.measure import ClipMeasures
from emotion_llama.merr.records import MerrRecord, Origin, Source
from emotion_llama.merr.rules import load_rules
from emotion_llama.merr.sources import SourceClip
from emotion_llama.version import __version__

TABLE = load_rules("merr")
HEARD = Described("Well, that is good.", "recogniser", "w1", {"beams": 1})
SEEN = Described("A wall.", "describer", "d1", {"prompt": "What is there?"})
SOUNDS = Described("A high voice.", "listener", "l1", {"prompt": "How is it?"})


def worked(**known: Any) -> WorkedClip:
    measures = ClipMeasures(
        2.5, None, ("OpenFace", "2.x"), None, None, Fingerprint("ab"), missing={}
    )
    clip = SourceClip("a.mp4", Path("a.mp4"), "a.mp4", Source("set", None), "Given words.")
    nothing = {"label": None, "scene": None, "voice": None, "recognised": None, "missing": {}}
    return WorkedClip(
        **({"clip": clip, "media_sha256": "ab", "measures": measures} | nothing | known)
    )


def origins(
    record: MerrRecord, clip: WorkedClip, **settings: Any
) -> tuple[dict[str, Origin], Lineage]:
    lineage = Lineage()
    return dict(lineage.of(record, clip, BuildConfig(**settings), TABLE)), lineage


def test_what_is_there_has_an_origin_and_what_is_not_has_none() -> None:
    found, lineage = origins(make_record(media_sha256="ab"), worked())
    assert [*found] == sorted(found)
    assert {"face", "verdict", "voice", "scene", "clues", "label", "transcript"} <= {*found}
    assert "scene_description" not in found, "nobody described it"
    empty = make_record(face=None, voice=None, clues=(), transcript=None, voice_description=None)
    fewer, _ = origins(empty, worked())
    assert {*found} - {*fewer} == {"face", "voice", "clues", "transcript", "voice_description"}
    assert {origin.settings for origin in found.values()} <= {*lineage.producers}


def test_settings_can_be_looked_up_in_full_under_their_hash() -> None:
    lineage = Lineage()
    one = lineage.origin("tool", "1", {"rate": 5}, "input")
    assert lineage.producers[one.settings] == {
        "producer": "tool",
        "version": "1",
        "settings": {"rate": 5},
    }
    assert lineage.origin("tool", "1", {"rate": 5}, "input") == one
    for other in (
        lineage.origin("tool", "1", {"rate": 6}, "input"),
        lineage.origin("tool", "2", {"rate": 5}, "input"),
        lineage.origin("other tool", "1", {"rate": 5}, "input"),
    ):
        assert other.settings != one.settings
        assert other.inputs == one.inputs
    assert lineage.origin("tool", "1", {"rate": 5}, "other input").inputs != one.inputs
    assert json.dumps(lineage.producers)


def test_models_that_described_or_heard_are_named_with_their_settings() -> None:
    clip = worked(scene=SEEN, voice=SOUNDS, recognised=HEARD)
    record = make_record(scene_description=SEEN.text, voice_description=SOUNDS.text)
    found, lineage = origins(record, replace(clip, clip=replace(clip.clip, transcript=None)))
    for name, described in (
        ("scene_description", SEEN),
        ("voice_description", SOUNDS),
        ("transcript", HEARD),
    ):
        assert (found[name].producer, found[name].version) == (
            described.producer,
            described.version,
        )
        assert lineage.producers[found[name].settings]["settings"] == described.settings


def test_given_words_are_not_those_of_the_recogniser() -> None:
    found, _ = origins(make_record(), worked(recognised=HEARD))
    assert found["transcript"].producer == "given transcript"


def test_a_worded_voice_is_this_package_s_and_measures_are_their_producer_s() -> None:
    found, _ = origins(make_record(), worked())
    assert found["voice_description"].producer == "emotion_llama voice clues"
    assert found["face"].producer == "OpenFace"
    assert (found["verdict"].producer, found["verdict"].version) == (
        "rule table merr",
        TABLE.version,
    )
    assert (found["label"].producer, found["label"].version) == ("labels.csv", "1")
    assert found["coarse_caption"].version == __version__


@pytest.mark.parametrize(
    ("setting", "value", "fields"),
    [
        ("frames_per_second", 5.0, {"face"}),
        ("peak_smoothing_s", 0.0, {"face"}),
        ("min_snr_db", 12.0, {"gates"}),
        ("drop_duplicates", False, {"gates"}),
        ("seed", 3, {"coarse_caption", "split"}),
        ("split_shares", {"train": 1.0}, {"split"}),
        ("text_model", "hf:some", set()),
    ],
)
def test_a_setting_changes_the_fields_that_depend_on_it(
    setting: str, value: Any, fields: set[str]
) -> None:
    before, _ = origins(make_record(), worked())
    after, _ = origins(make_record(), worked(), **{setting: value})
    assert {name for name in before if before[name] != after[name]} == fields


def test_other_inputs_are_seen() -> None:
    record = make_record(media_sha256="ab")
    before, _ = origins(record, worked())
    after, _ = origins(replace(record, media_sha256="cd"), worked())
    changed = {name for name in before if before[name].inputs != after[name].inputs}
    assert changed == {"face", "label", "scene", "voice"}


def test_every_limit_of_a_gate_is_among_the_settings_of_the_gates() -> None:
    names = {name for name in BuildConfig.model_fields if name.startswith("min_")}
    assert {*gate_limits(BuildConfig())} == names | {"drop_duplicates", "max_contradiction"}
