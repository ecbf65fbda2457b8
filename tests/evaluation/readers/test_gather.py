"""What is kept, what is counted, what is refused."""

from pathlib import Path

import pytest

from emotion_llama.evaluation.protocol import load_protocol
from emotion_llama.evaluation.readers.files import clip_places
from emotion_llama.evaluation.readers.gather import (
    NO_FILE,
    Found,
    gather,
    label_form,
    vote_shares,
)
from emotion_llama.evaluation.samples import EvalSample, MissingDataError, Truth
from emotion_llama.evaluation.wheel import listed_words

PROTOCOL = load_protocol("mer2023-semi")


def found(name: str, label: str | None, *places: Path) -> Found:
    return Found(EvalSample(name, None, None, Truth(label=label)), places)


def test_what_cannot_be_asked_is_counted_by_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a.avi").touch()
    clips = [
        found("a", "happy", tmp_path / "a.mp4", tmp_path / "a.avi"),
        found("b", "happy", tmp_path / "b.mp4"),
        found("c", "calm", tmp_path / "c.mp4"),
        found("d", None),
        found("e", "sad"),
    ]
    reading = gather(clips, PROTOCOL, tmp_path, {"of another kind": 2})
    assert [(s.sample_id, s.path) for s in reading.samples] == [
        ("a", tmp_path / "a.avi"),
        ("e", None),
    ]
    assert reading.left_out == {
        NO_FILE: 1,
        "label calm is not scored": 1,
        "no label": 1,
        "of another kind": 2,
    }


def test_no_file_at_all_names_one_that_was_looked_for(tmp_path: Path) -> None:
    clips = [found("a", "happy", tmp_path / "a.mp4"), found("b", "sad", tmp_path / "b.mp4")]
    with pytest.raises(MissingDataError, match=r"any of the 2 clips, such as .*b\.mp4"):
        gather(clips, PROTOCOL, tmp_path)


def test_no_scored_clip_tells_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no clip to ask about .1: label calm is not scored"):
        gather([found("a", "calm")], PROTOCOL, tmp_path)


def test_two_clips_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found a more than once"):
        gather([found("a", "happy"), found("a", "sad")], PROTOCOL, tmp_path)


def test_a_label_gets_the_form_that_is_scored() -> None:
    assert label_form(" Happiness ", PROTOCOL) == "happy"
    assert label_form("worry", PROTOCOL) == "worried"
    assert label_form("Fearful", PROTOCOL) == "fearful", "fear is not scored, so it keeps its form"


def test_words_of_an_open_vocabulary() -> None:
    assert listed_words("['Looking forward to', 'happy', 'happy']") == (
        "looking forward to",
        "happy",
    )
    assert listed_words("['surprised']") == listed_words("surprised") == ("surprised",)
    assert listed_words("[]") == listed_words("") == ()


def test_votes_for_what_is_not_scored_are_no_share() -> None:
    shares = vote_shares({"happy": 3, "sad": 1, "unknown": 6}, PROTOCOL)
    assert shares is not None
    assert (shares["happy"], shares["sad"], sum(shares.values())) == (0.75, 0.25, 1)
    assert vote_shares({"unknown": 6}, PROTOCOL) is None


def test_a_clip_is_looked_for_as_mp4_before_avi(tmp_path: Path) -> None:
    below = ("test3", "video")
    assert [str(p.relative_to(tmp_path)) for p in clip_places(tmp_path, below, "a.b")] == [
        "test3/a.b.mp4",
        "test3/a.b.avi",
        "video/a.b.mp4",
        "video/a.b.avi",
    ]
    assert len(clip_places(tmp_path, below, "a.mp4")) == 2
