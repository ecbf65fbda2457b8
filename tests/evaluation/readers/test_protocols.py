"""The packaged protocols."""

import re
from pathlib import Path

import pytest
from evaluation.readers.published_form import read, with_options, write

from emotion_llama.evaluation.protocol import load_protocol, protocol_names
from emotion_llama.evaluation.readers import READERS
from emotion_llama.evaluation.samples import MissingDataError
from emotion_llama.labels import DFEW, MER2023, MERR, MINI

GROUPS = {None, "speaker", "source"}


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_names_itself_and_a_reader(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.name == name
    assert protocol.reader in READERS
    assert protocol.group_by in GROUPS
    assert protocol.note and protocol.layout and protocol.source
    assert bool(protocol.published) == bool(protocol.published_by)


def test_every_reader_is_used() -> None:
    assert {load_protocol(name).reader for name in protocol_names()} == set(READERS)


@pytest.mark.parametrize("name", protocol_names())
def test_an_empty_folder_is_told_with_layout_and_source(name: str, tmp_path: Path) -> None:
    protocol = load_protocol(name)
    with pytest.raises(MissingDataError) as raised:
        read(name, tmp_path)
    message = str(raised.value)
    assert str(tmp_path) in message, "where was looked"
    assert protocol.layout.strip() in message
    assert protocol.source.strip() in message


@pytest.mark.parametrize("name", protocol_names())
def test_an_unknown_option_is_refused(name: str, tmp_path: Path) -> None:
    protocol = with_options(load_protocol(name), speed=3)
    write(tmp_path, {"manifest.csv": "path,label\n"}, ["a/01-01-01-01-01-01-01.mp4"])
    with pytest.raises(ValueError, match="option speed"):
        READERS[protocol.reader](tmp_path, protocol, tmp_path)


def test_labels_are_those_of_the_data_set_in_its_order() -> None:
    assert load_protocol("mer2023-semi").labels == MER2023.labels
    assert load_protocol("data-ferplus").labels == MINI.labels
    assert load_protocol("folder").labels == load_protocol("manifest").labels == MINI.labels
    assert {load_protocol(n).labels for n in protocol_names() if n.startswith("dfew")} == {
        DFEW.labels
    }


def test_the_question_of_nine_labels_for_seven_has_three_stated_answers() -> None:
    own, mapped, strict = (load_protocol(n) for n in ("dfew", "dfew-merr9", "dfew-merr9-strict"))
    assert own.asked == DFEW.labels
    assert mapped.asked == strict.asked == MERR.labels
    answers = ("worried", "contempt", "doubt", "happy")
    assert [mapped.scored(a) for a in answers] == ["fear", "disgust", "doubt", "happy"]
    assert [strict.scored(a) for a in answers] == list(answers)
    assert not own.published and mapped.published == strict.published


def test_the_basic_sets_of_mer_unibench_say_so() -> None:
    sets = {name: load_protocol(name) for name in protocol_names()}
    basic = {name for name, one in sets.items() if one.hit_rate_set}
    assert basic == {"mer2023-multi", "mer2024-semi", "iemocap-4", "meld"}
    assert all("hit_rate" in sets[name].published for name in basic)


def test_only_the_noise_tracks_are_noisy() -> None:
    noisy = {name for name in protocol_names() if load_protocol(name).noisy}
    assert noisy == {"mer2023-noise", "mer2024-noise"}
    assert all("not laid over them again" in " ".join(load_protocol(n).note.split()) for n in noisy)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("emer", "LEAK.*training clips of MER2023"),
        ("mer2024-ov", "LEAK"),
        ("iemocap-4", "1,241.*1,496"),
        ("iemocap-6", "1,241.*1,496"),
        ("dfew", "fold: 1"),
        ("dfew-merr9", "fold: 1"),
        ("mer2023-multi", "hit rate.*neutral"),
        ("meld", "hit rate.*neutral"),
        ("mer2023-semi", "weighted.*macro"),
    ],
)
def test_the_note_warns_of_the_trap(name: str, words: str) -> None:
    assert re.search(words, " ".join(load_protocol(name).note.split()))
