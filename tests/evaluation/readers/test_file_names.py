"""Sets whose file names state everything."""

from pathlib import Path

import pytest
from evaluation.readers.published_form import read, truths, write

from emotion_llama.evaluation.samples import MissingDataError

VOTES = (
    '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"\n'
    '"100001",0,0,0,1,9,0,"1001_IEO_NEU_XX",10,0.9,"N"\n'
    '"300001",5,0,0,0,3,2,"1001_IEO_NEU_XX",10,0.5,"A"\n'
)
ACTORS = (
    '"ActorID","Age","Sex","Race","Ethnicity"\n'
    '1001,51,"Male","Caucasian","Not Hispanic"\n1002,21,"Female","Asian","Not Hispanic"\n'
)


def test_ravdess(tmp_path: Path) -> None:
    names = ["01-01-01-01-01-01-01.mp4", "01-01-06-02-02-01-24.mp4", "01-01-02-01-01-01-02.mp4"]
    others = ["02-01-03-01-01-01-01.mp4", "03-01-03-01-01-01-01.wav", "01-02-03-01-01-01-01.mp4"]
    write(tmp_path, {}, [f"Actor_{n[-6:-4]}/{n}" for n in names + others] + ["trailer.mp4"])
    reading = read("ravdess", tmp_path)
    first, second = reading.samples
    assert [s.truth.label for s in reading.samples] == ["neutral", "fear"]
    assert first.path == tmp_path / "Actor_01" / names[0]
    assert first.transcript == "Kids are talking by the door"
    assert second.groups == {"speaker": "actor24", "sex": "female", "language": "en"}
    assert first.groups["sex"] == "male"
    assert reading.left_out == {
        "label calm is not scored": 1,
        "face alone, spoken": 1,
        "voice alone, spoken": 1,
        "face and voice, sung": 1,
        "file name of another form": 1,
    }
    assert truths(read("ravdess", tmp_path, modality="03")) == {"03-01-03-01-01-01-01": "happy"}


def test_a_wrong_name_is_told(tmp_path: Path) -> None:
    write(tmp_path, {}, ["01-01-09-01-01-01-01.mp4"])
    with pytest.raises(ValueError, match=r"01-01-01-01\.mp4: found the emotion '09' in the name"):
        read("ravdess", tmp_path)


def test_only_another_modality_is_missing_data(tmp_path: Path) -> None:
    write(tmp_path, {}, ["03-01-01-01-01-01-01.wav"])
    with pytest.raises(MissingDataError, match="found no RAVDESS speech of face and voice"):
        read("ravdess", tmp_path)


def test_a_copy_in_another_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {}, [f"{place}/01-01-01-01-01-01-01.mp4" for place in "ab"])
    with pytest.raises(ValueError, match="01-01-01-01-01-01-01 more than once"):
        read("ravdess", tmp_path)


def crema(folder: Path) -> Path:
    tables = {"VideoDemographics.csv": ACTORS, "processedResults/tabulatedVotes.csv": VOTES}
    media = ["VideoFlash/1001_IEO_NEU_XX.flv", "VideoFlash/1002_TIE_ANG_HI.flv"]
    return write(folder, tables, [*media, "AudioWAV/1001_IEO_NEU_XX.wav"])


def test_crema_d(tmp_path: Path) -> None:
    reading = read("crema-d", crema(tmp_path))
    first, second = reading.samples
    assert truths(reading) == {"1001_IEO_NEU_XX": "neutral", "1002_TIE_ANG_HI": "angry"}
    assert first.transcript == "It's eleven o'clock"
    assert first.truth.votes is not None and second.truth.votes is None
    assert first.truth.votes["angry"] == 0.5, "votes of raters who were given face and voice"
    assert sum(first.truth.votes.values()) == pytest.approx(1)
    assert second.groups == {
        "speaker": "1002",
        "language": "en",
        "sex": "female",
        "age": "20-29",
        "race": "Asian",
        "ethnicity": "Not Hispanic",
    }
    assert reading.left_out == {"voice alone": 1}


def test_crema_d_by_voice_has_the_votes_for_the_voice(tmp_path: Path) -> None:
    (sample,) = read("crema-d", crema(tmp_path), given="voice").samples
    assert sample.path is not None and sample.path.suffix == ".wav"
    assert sample.truth.votes is not None and sample.truth.votes["neutral"] == 0.9


def test_crema_d_without_its_tables(tmp_path: Path) -> None:
    write(tmp_path, {}, ["1001_IEO_HAP_LO.flv"])
    (sample,) = read("crema-d", tmp_path).samples
    assert (sample.truth.label, sample.truth.votes) == ("happy", None)
    assert sample.groups == {"speaker": "1001", "language": "en"}


def test_a_wrong_row_of_crema_d_is_named(tmp_path: Path) -> None:
    write(crema(tmp_path), {"VideoDemographics.csv": ACTORS + '1003,old,"Male","x","y"\n'})
    with pytest.raises(ValueError, match=r"VideoDemographics\.csv, row 3, Age: .*found 'old'"):
        read("crema-d", tmp_path)
