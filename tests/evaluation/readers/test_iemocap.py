"""IEMOCAP's texts."""

from pathlib import Path

import pytest
from evaluation.readers.published_form import files, read, truths, write

from emotion_llama.evaluation.samples import MissingDataError

DIALOGUE = "Ses05F_impro01"
HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
CODES = ("hap", "exc", "ang", "xxx", "fru")


def turn(number: int) -> str:
    return f"{DIALOGUE}_{'FM'[number % 2]}{number:03d}"


def lines(codes: tuple[str, ...] = CODES) -> str:
    return HEADER + "".join(
        f"[{n}.2901 - {n}.8257]\t{turn(n)}\t{code}\t[2.5000, 2.5000, 2.5000]\n"
        "C-E2:\tNeutral;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\n\n"
        for n, code in enumerate(codes)
    )


def session(folder: Path, text: str) -> Path:
    spoken = (
        f"{turn(0)} [006.2901-008.2357]: Excuse me.\n{turn(1)} [009.0-010.0]: Yes?\nF: (noise)\n"
    )
    place = "Session5/dialog"
    return write(
        folder,
        {
            f"{place}/EmoEvaluation/{DIALOGUE}.txt": text,
            f"{place}/EmoEvaluation/._{DIALOGUE}.txt": "\1",
            f"{place}/EmoEvaluation/Categorical/{DIALOGUE}_e1_cat.txt": "other form",
            f"{place}/transcriptions/{DIALOGUE}.txt": spoken,
        },
        [f"Session5/sentences/wav/{DIALOGUE}/{turn(n)}.wav" for n in range(5)],
    )


def test_four_labels_count_excited_as_happy(tmp_path: Path) -> None:
    reading = read("iemocap-4", session(tmp_path, lines()))
    assert truths(reading) == {turn(0): "happy", turn(1): "happy", turn(2): "angry"}
    assert reading.left_out == {
        "label frustrated is not scored": 1,
        "label undecided is not scored": 1,
    }
    first, second, third = reading.samples
    assert (first.transcript, second.transcript, third.transcript) == ("Excuse me.", "Yes?", None)
    assert second.groups == {
        "speaker": "Session5-M",
        "sex": "male",
        "session": "5",
        "source": DIALOGUE,
        "language": "en",
        "given": "voice",
    }
    assert (second.span, second.side) == (None, None)
    assert files(reading, tmp_path)[0] == f"Session5/sentences/wav/{DIALOGUE}/{turn(0)}.wav"


FILM = f"Session5/dialog/avi/DivX/{DIALOGUE}.avi"


def test_a_turn_is_the_part_of_the_film_with_the_half_of_the_one_who_speaks(
    tmp_path: Path,
) -> None:
    """The letter in the dialogue's name is F, so that the woman sits on the left."""
    write(session(tmp_path, lines()), {}, [FILM])
    reading = read("iemocap-4", tmp_path)
    assert {one.path for one in reading.samples} == {tmp_path / FILM}
    assert [(one.span, one.side) for one in reading.samples] == [
        ((0.2901, 0.8257), "left"),
        ((1.2901, 1.8257), "right"),
        ((2.2901, 2.8257), "left"),
    ]
    assert {one.groups["given"] for one in reading.samples} == {"film"}
    assert reading.samples[0].transcript == "Excuse me."


def test_the_sound_of_the_sentence_can_be_asked_for(tmp_path: Path) -> None:
    write(session(tmp_path, lines()), {}, [FILM])
    reading = read("iemocap-4", tmp_path, given="voice")
    assert files(reading, tmp_path)[0].endswith(f"{turn(0)}.wav")
    assert {one.span for one in reading.samples} == {None}


def test_a_film_that_is_asked_for_and_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=rf"{DIALOGUE}\.avi"):
        read("iemocap-4", session(tmp_path, lines()), given="film")


def test_six_labels_tell_excited_from_happy(tmp_path: Path) -> None:
    labels = list(truths(read("iemocap-6", session(tmp_path, lines()))).values())
    assert labels == ["happy", "excited", "angry", "frustrated"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"[1 - 2] {turn(1)} ang [1, 2, 3]\n", "row 1: found .* separated by tabs"),
        (f"[1 - 2]\t{turn(1)}\tang2\t[1, 2, 3]\n", "row 1, code: .*found 'ang2'"),
        ("[1 - 2]\tSes05\tang\t[1, 2, 3]\n", "row 1, turn: .*found 'Ses05'"),
        (f"[2 - 2]\t{turn(1)}\tang\t[1, 2, 3]\n", "row 1, .*a turn from 2 to 2 s"),
        (f"[a - 2]\t{turn(1)}\tang\t[1, 2, 3]\n", "row 1: found .* separated by tabs"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{DIALOGUE}\.txt, {message}"):
        read("iemocap-4", session(tmp_path, line))


def test_a_repeated_turn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"found {turn(0)}"):
        read("iemocap-4", session(tmp_path, lines(("ang",)) + lines(("ang",))))
