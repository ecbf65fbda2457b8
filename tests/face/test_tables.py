import re
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emotion_llama.face.tables import read_action_units, write_action_units
from emotion_llama.records import ActionUnitTable

NAN = float("nan")

OPENFACE = """\
frame, face_id, timestamp, confidence, success, pose_Tx, x_0, X_0, AU01_r, AU12_r, AU12_c, AU28_c
1, 0, 0.000, 0.98, 1, -nan(ind), 1, 2, 0.36, 4.10, 1.0, 0.0
2, 0, 0.033, 0.02, 0, 3, 1, 2, 0.70, -nan(ind), 1.0, 1.0
4, 0, 0.100, 0.88, 1, 3, 1, 2, 0.00, 5.00, 0.0, 1.0
"""

TWO_FACES = """\
frame, face_id, timestamp, confidence, success, AU12_r
1, 0, 0.000, 0.9, 1, 1.0
1, 1, 0.000, 0.8, 1, 2.0
2, 0, 0.040, 0.9, 1, 3.0
2, 10, 0.040, 0.7, 1, 4.0
"""

STILL = """\
face, confidence, gaze_0_x, AU06_r, AU06_c
0, 0.925, 0.1, 1.50, 1.0
1, 0.000, 0.1, 0.20, 0.0
"""

PYFEAT = """\
FaceRectX,FaceRectY,FaceScore,x_0,AU01,AU43,anger,Identity_1,input,frame,approx_time,Identity
331.0,213.0,0.9999895,363.9,0.25,0.75,0.1,,C:\\clip.mp4,0.0,00:59,Person_0
,,0.0,,,,,,C:\\clip.mp4,30.0,01:00,
332.0,216.0,0.5,366.4,nan,1.0,0.1,,C:\\clip.mp4,60.0,01:01,Person_0
"""

LIBREFACE = """\
frame_idx,frame_time_in_ms,pitch,yaw,roll,lm_mp_0_x,au_1,au_7,au_1_intensity,au_26_intensity,\
facial_expression,gaze_yaw
0,0.0,1.5,2.5,3.5,0.5,1,0,2.25,0.0,Happiness,1.5
3,0.12,1.5,2.5,3.5,0.5,0,1,0.003,5.0,Neutral,1.5
4,0.16,1.5,2.5,3.5,0.5,,,,,,
"""

OWN = """\
# producer: drawn: by hand
# version: 3
# scale: 0-1
# scope: clip
frame,time_s,tracked,AU12_intensity,AU12_presence,AU12_confidence
0,0.5,1,0.25,,1
1,0.75,0,,,0
"""


@pytest.fixture
def read(tmp_path):
    def read(text, **settings):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_action_units(path, **settings)

    return read


@pytest.fixture
def refuse(read):
    def refuse(text, *words, **settings):
        with pytest.raises(ValueError, match=re.escape("table.csv")) as raised:
            read(text, **settings)
        for word in words:
            assert word in str(raised.value)

    return refuse


def same(values, expected):
    np.testing.assert_array_equal(values, np.array(expected, np.float32))
    assert values.dtype == np.float32


def test_openface_video(read):
    table = read(OPENFACE)
    assert (table.producer, table.version, table.scale, table.scope) == (
        "OpenFace",
        "2.x",
        "0-5",
        "producer",
    )
    assert table.frames.tolist() == [0, 1, 3]
    assert table.frames.dtype == np.int64
    assert table.times_s.tolist() == [0, 0.033, 0.1]
    assert table.tracked.tolist() == [True, False, True]
    same(table.intensity["AU01"], [0.36, NAN, 0])
    same(table.intensity["AU12"], [4.1, NAN, 5])
    same(table.presence["AU12"], [1, NAN, 0])
    same(table.confidence["AU01"], [0.98, 0, 0.88])


def test_openface_decides_au28_without_measuring_it(read):
    table = read(OPENFACE)
    assert set(table.intensity) == {"AU01", "AU12"}
    same(table.presence["AU28"], [0, NAN, 1])
    assert set(table.confidence) == {"AU01", "AU12", "AU28"}


def test_openface_writes_a_missing_value_in_its_own_way_on_windows(read):
    same(read(OPENFACE.replace("0.36", "-nan(ind)")).intensity["AU01"], [NAN, NAN, 0])


def test_openface_needs_no_face_id(read):
    text = re.sub(r"^([^,]*), [^,]*", r"\1", OPENFACE, flags=re.MULTILINE)
    assert text.startswith("frame, timestamp")
    assert read(text).frames.tolist() == [0, 1, 3]


def test_openface_with_several_faces(read, refuse):
    refuse(TWO_FACES, "the faces 0, 1, 10", "pass person")
    refuse(TWO_FACES, "the faces 0, 1, 10", "person=2", person=2)
    same(read(TWO_FACES, person=0).intensity["AU12"], [1, 3])
    table = read(TWO_FACES, person=10)
    assert table.frames.tolist() == [1]
    same(table.confidence["AU12"], [0.7])


def test_openface_still(read, refuse):
    refuse(STILL, "the faces 0, 1")
    table = read(STILL, person=0)
    assert (table.frames.tolist(), table.times_s.tolist()) == ([0], [0])
    assert table.tracked.tolist() == [True]
    same(table.confidence["AU06"], [0.925])
    untracked = read(STILL, person=1)
    assert untracked.tracked.tolist() == [False]
    same(untracked.intensity["AU06"], [NAN])


def test_openface_without_the_last_step_is_refused(refuse):
    # OpenFace moves intensities into 0-5 at the very end of a run
    refuse(OPENFACE.replace("4.10", "-0.21"), "'-0.21' in line 2, column 'AU12_r'", "from 0 to 5")
    refuse(OPENFACE.replace("4.10", "5.01"), "'5.01' in line 2")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("0.36", "a lot", ["'a lot' in line 2, column 'AU01_r'", "a number from 0 to 5"]),
        ("0.36", "0_36", ["'0_36'"]),
        ("0.36", "inf", ["'inf'"]),
        ("0.36", "1e999", ["'1e999'"]),
        ("4.10, 1.0", "4.10, 0.5", ["'0.5' in line 2, column 'AU12_c'", "0 or 1"]),
        ("0.98", "1.98", ["'1.98' in line 2, column 'confidence'", "from 0 to 1"]),
        ("0.02, 0", "0.02, 2", ["'2' in line 3, column 'success'", "0 or 1"]),
        ("0.02, 0", "0.02, ", ["'' in line 3, column 'success'"]),
        ("0.033", "", ["'' in line 3, column 'timestamp'", "a time in seconds"]),
        ("0.033", "1e999", ["'1e999' in line 3, column 'timestamp'"]),
        ("\n1, 0", "\n0, 0", ["'0' in line 2, column 'frame'", "a whole number from 1"]),
        ("\n1, 0", "\n1.5, 0", ["'1.5' in line 2, column 'frame'"]),
        ("\n4, 0", "\n2, 0", ["'2' in line 4, column 'frame'", "a later frame"]),
    ],
)
def test_a_wrong_cell_is_named(refuse, old, new, words):
    assert old in OPENFACE
    refuse(OPENFACE.replace(old, new, 1), *words)


def test_pyfeat_video(read):
    table = read(PYFEAT)
    assert (table.producer, table.version, table.scale, table.scope) == (
        "py-feat",
        "unknown",
        "probability",
        "producer",
    )
    assert table.units == ("AU01", "AU43")
    assert table.frames.tolist() == [0, 30, 60]
    assert table.times_s.tolist() == [59, 60, 61]
    assert table.tracked.tolist() == [True, False, True]
    same(table.intensity["AU01"], [0.25, NAN, NAN])
    same(table.intensity["AU43"], [0.75, NAN, 1])
    same(table.confidence["AU43"], [0.9999895, 0, 0.5])
    assert table.presence == {}


def test_pyfeat_scores_no_face_with_0_where_it_made_numbers_up(read):
    table = read(PYFEAT.replace(",,0.0,,,,", ",,0.0,,0.3,0.3,"))
    assert not table.tracked[1]
    same(table.intensity["AU01"], [0.25, NAN, NAN])


def test_pyfeat_probabilities_have_a_range(refuse):
    refuse(PYFEAT.replace("0.75", "1.75"), "'1.75' in line 2, column 'AU43'", "from 0 to 1")


def test_pyfeat_times_of_whole_seconds_must_tell_frames_apart(read, refuse):
    text = PYFEAT.replace("01:01", "01:00")
    refuse(text, "'01:00' in line 4, column 'approx_time'", "pass frames_per_second")
    assert read(text, frames_per_second=30).times_s.tolist() == [0, 1, 2]
    assert read(PYFEAT.replace("01:01", "61.5")).times_s.tolist() == [59, 60, 61.5]
    refuse(PYFEAT.replace("01:01", "one"), "'one' in line 4, column 'approx_time'", "mm:ss")
    refuse(PYFEAT.replace("01:01", "x:01"), "'x:01' in line 4")


def test_a_table_without_times_needs_the_frame_rate_or_a_single_row(read, refuse):
    text = re.sub(r"^((?:[^,]*,){10})[^,]*,", r"\1", PYFEAT, flags=re.MULTILINE)
    assert "approx_time" not in text
    refuse(text, "no column 'approx_time'", "pass frames_per_second")
    assert read(text, frames_per_second=60).times_s.tolist() == [0, 0.5, 1]
    assert read("".join(text.splitlines(True)[:2])).times_s.tolist() == [0]


def test_the_given_frame_rate_goes_before_the_times_of_the_table(read):
    assert read(OPENFACE, frames_per_second=10).times_s.tolist() == [0, 0.1, 0.3]
    assert read(OWN, frames_per_second=10).times_s.tolist() == [0, 0.1]


@pytest.mark.parametrize("rate", [0, -25, float("inf"), NAN])
def test_a_frame_rate_is_a_number_above_0(read, rate):
    with pytest.raises(ValueError, match="frames_per_second: found"):
        read(PYFEAT, frames_per_second=rate)


def test_pyfeat_without_frame_numbers_counts_rows(read):
    text = PYFEAT.replace(",frame,", ",other,")
    assert read(text).frames.tolist() == [0, 1, 2]


def test_pyfeat_with_several_identities(read, refuse):
    text = PYFEAT.replace("01:01,Person_0", "01:01,Person_1")
    refuse(text, "the faces 0, 1", "pass person")
    table = read(text, person=1)
    assert table.frames.tolist() == [30, 60]  # the row without any face is everyone's
    assert table.tracked.tolist() == [False, True]
    refuse(PYFEAT.replace("01:01,Person_0", "01:01,Unknown"), "the faces 0, Unknown")


def test_pyfeat_faces_without_identities_cannot_be_told_apart(refuse):
    text = PYFEAT.replace("Person_0", "").replace("60.0,", "30.0,")
    refuse(text, "'30.0' in line 4, column 'frame'", "one row a frame")


def test_libreface_video(read):
    table = read(LIBREFACE)
    assert (table.producer, table.version, table.scale, table.scope) == (
        "LibreFace",
        "unknown",
        "0-5",
        "producer",
    )
    assert table.frames.tolist() == [0, 3, 4]
    assert table.tracked.tolist() == [True, True, False]
    assert set(table.intensity) == {"AU01", "AU26"}
    assert set(table.presence) == {"AU01", "AU07"}
    same(table.intensity["AU01"], [2.25, 0.003, NAN])
    same(table.presence["AU07"], [0, 1, NAN])
    same(table.confidence["AU07"], [1, 1, 0])


def test_libreface_calls_seconds_and_milliseconds_by_the_same_name(read):
    assert read(LIBREFACE).times_s.tolist() == pytest.approx([0, 0.12, 0.16])
    milliseconds = LIBREFACE.replace("0.12", "120.0").replace("0.16", "160.0")
    assert read(milliseconds).times_s.tolist() == pytest.approx([0, 0.12, 0.16])


def test_libreface_seconds_far_apart_are_still_seconds(read):
    assert read(LIBREFACE.replace("4,0.16", "103,4.12")).times_s.tolist() == [0, 0.12, 4.12]


@pytest.mark.parametrize(
    ("start", "time_s"), [("3,0.12", 0.12), ("3,120.0", 0.12), ("250,10.0", 10), ("0,0.0", 0)]
)
def test_libreface_single_row(read, start, time_s):
    header, _, row, _ = LIBREFACE.splitlines(True)
    assert read(header + row.replace("3,0.12", start)).times_s.tolist() == [time_s]


def test_libreface_still(read):
    table = read(",facial_expression,pitch,au_12,au_12_intensity\n0,Happiness,1.5,1,3.5\n")
    assert (table.frames.tolist(), table.times_s.tolist()) == ([0], [0])
    same(table.intensity["AU12"], [3.5])


def test_libreface_names_no_faces(refuse):
    refuse(LIBREFACE, "no column that tells faces apart", "leave person out", person=0)


def test_own_table(read):
    table = read(OWN)
    assert (table.producer, table.version, table.scale, table.scope) == (
        "drawn: by hand",
        "3",
        "0-1",
        "clip",
    )
    same(table.intensity["AU12"], [0.25, NAN])
    same(table.presence["AU12"], [NAN, NAN])
    same(table.confidence["AU12"], [1, 0])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# producer: drawn: by hand\n", "", ["no producer", "# producer: ..."]),
        ("# scale: 0-1", "# scale: metres", ["scale 'metres'", "0-5, 0-1, probability"]),
        ("# scope: clip", "# scope: all", ["scope 'all'", "clip, population, producer"]),
        ("0.5,1,0.25", "0.5,1,1.25", ["'1.25' in line 6, column 'AU12_intensity'"]),
        ("0.5,1", "0.5,yes", ["'yes' in line 6, column 'tracked'", "0 or 1"]),
        ("\n0,0.5", "\n-1,0.5", ["'-1' in line 6, column 'frame'"]),
        ("0.75,0,", "0.75,0,0.5", ["a value of AU12 in row 1, which is not tracked"]),
        ("AU12_confidence", "note", ["no confidence for AU12"]),
        ("AU12_confidence", "AU13_confidence", ["no confidence for AU12"]),
        ("AU12_presence", "AU012_presence", []),
    ],
)
def test_an_own_table_keeps_its_rules(read, refuse, old, new, words):
    assert old in OWN
    if words:
        refuse(OWN.replace(old, new), *words)
    else:
        assert read(OWN.replace(old, new)).presence == {}


def test_an_unknown_header_is_named(refuse):
    header = ",".join(f"column_{i}" for i in range(20))
    row = ",".join("0" * 20)
    refuse(f"{header}\n{row}\n", "20 columns ('column_0', ", "OpenFace, py-feat, LibreFace", "-aus")
    refuse("frame, timestamp, confidence, success\n1, 0, 1, 1\n", "'timestamp'", "-aus")


def test_semicolons_are_not_guessed(refuse):
    refuse(OPENFACE.replace(",", ";"), "1 columns", "comma-separated")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["an empty file"]),
        ("\n\n", ["an empty file"]),
        (OPENFACE.splitlines()[0], ["a header and no row"]),
        (OPENFACE + "5, 0, 0.1\n", ["3 cells in line 5", "12"]),
        (OPENFACE.replace("AU12_r", "AU01_r"), ["the column 'AU01_r' twice"]),
        (OPENFACE.replace("AU12_r", "AU1_r"), ["'AU01_r' and 'AU1_r'", "intensity of AU01"]),
        (OPENFACE.replace(" 0.36", '"0.36'), ["in line 4", "comma-separated"]),
        (OPENFACE.encode("utf-16"), ["not UTF-8"]),
    ],
)
def test_a_broken_file_is_refused(refuse, text, words):
    refuse(text, *words)


def test_byte_order_mark_blank_lines_and_windows_line_ends(read):
    plain = read(OPENFACE)
    text = OPENFACE.replace("\n4, 0", "\n\n4, 0").replace("\n", "\r\n")
    marked = read(b"\xef\xbb\xbf" + text.encode())
    same(marked.intensity["AU01"], plain.intensity["AU01"])
    assert marked.frames.tolist() == plain.frames.tolist()


def test_unit_names_get_two_digits(read):
    assert read(OPENFACE.replace("AU01_r", "AU1_r")).units == ("AU01", "AU12", "AU28")


TABLE = ActionUnitTable(
    times_s=np.array([0.0, 0.1]),
    frames=np.array([0, 3]),
    intensity={"AU12": np.array([0.1, NAN], np.float32)},
    presence={"AU01": np.array([1, NAN], np.float32)},
    confidence={
        "AU12": np.array([0.5, 0], np.float32),
        "AU01": np.array([0.5, NAN], np.float32),
    },
    tracked=np.array([True, False]),
    scale="0-5",
    scope="clip",
    producer="drawn",
    version="1",
)


def test_what_is_written(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    write_action_units(TABLE, path)
    assert path.read_text() == (
        "# producer: drawn\n# version: 1\n# scale: 0-5\n# scope: clip\n"
        "frame,time_s,tracked,AU01_presence,AU01_confidence,AU12_intensity,AU12_confidence\n"
        "0,0.0,1,1,0.5,0.100000001,0.5\n"
        "3,0.1,0,,,,0\n"
    )
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_action_units(replace(TABLE, producer="\ud800"), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"producer": "two\nlines"}, "one line of text"),
        ({"frames": np.array([0, -1])}, "-1 in frames"),
        ({"times_s": np.array([0, NAN])}, "nan in times_s"),
        ({"times_s": np.array([0.0])}, "1 values in times_s, expected 2"),
        ({"tracked": np.array([True])}, "1 values in tracked"),
        ({"intensity": {"AU12": np.array([5.5, NAN], np.float32)}}, "5.5 in AU12_intensity"),
        ({"intensity": {"AU12": np.array([1, 1], np.float32)}}, "row 1, which is not tracked"),
        ({"intensity": {"12": np.array([1, NAN], np.float32)}}, "the unit '12'"),
        ({"intensity": {}}, "a confidence and no value for AU12"),
        ({"confidence": {}}, "no confidence for AU01"),
        ({"frames": np.array([], int)}, "a table without rows"),
    ],
)
def test_a_table_that_could_not_be_read_back_is_not_written(tmp_path, change, words):
    path = tmp_path / "table.csv"
    with pytest.raises(ValueError, match=words):
        write_action_units(replace(TABLE, **change), path)
    assert list(tmp_path.iterdir()) == []


@st.composite
def tables(draw):
    num_rows = draw(st.integers(1, 4))
    scale = draw(st.sampled_from(["0-5", "0-1", "probability"]))
    tracked = draw(arrays(bool, num_rows))

    def column(values, gaps=tracked):
        cells = draw(arrays(np.float32, num_rows, elements=values | st.just(NAN)))
        return np.where(gaps, cells, np.float32(NAN))

    high = 5 if scale == "0-5" else 1
    names = [f"AU{i:02d}" for i in draw(st.lists(st.integers(1, 99), max_size=3, unique=True))]
    split = draw(st.integers(0, len(names)))
    overlap = draw(st.integers(0, split))
    share = st.floats(0, 1, width=32)
    return ActionUnitTable(
        times_s=draw(
            arrays(float, num_rows, elements=st.floats(allow_nan=False, allow_infinity=False))
        ),
        frames=draw(arrays(np.int64, num_rows, elements=st.integers(0, 2**53))),
        intensity={name: column(st.floats(0, high, width=32)) for name in names[:split]},
        presence={name: column(st.sampled_from([0.0, 1.0])) for name in names[overlap:]},
        confidence={name: column(share, gaps=np.ones(num_rows, bool)) for name in names},
        tracked=tracked,
        scale=scale,
        scope=draw(st.sampled_from(["clip", "population", "producer"])),
        producer=draw(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))),
        version=draw(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))),
    )


def bits(value):
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, np.where(np.isnan(value), np.nan, value).tobytes()
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return value


@settings(max_examples=150)
@given(tables())
def test_a_written_table_comes_back_bit_for_bit(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("round") / "table.csv"
    write_action_units(table, path)
    back = read_action_units(path)
    for item in fields(table):
        assert bits(getattr(back, item.name)) == bits(getattr(table, item.name)), item.name
