import pytest

from emotion_llama.media import Cue, MediaError, read_transcript, timed_words

SRT = """1
00:00:00,500 --> 00:00:02,000
<i>Well,</i> this is
{\\an8}<font color="#ff0000">a surprise</font>.

2
00:00:02,500 --> 00:00:04,000
1984 was
a good year &amp; more
"""

VTT = """WEBVTT - a title
Kind: captions

NOTE written
by hand

STYLE
::cue { color: red }

greeting
00:01.000 --> 00:02.500 align:start position:10%
<v Anna>Good <00:01.500><c.loud>morning</c></v>

00:00:03.000 --> 00:00:04.000
5 < 6
"""


def written(tmp_path, name, text, encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_string_is_the_text_itself():
    assert read_transcript(" clip.srt \n is said ") == "clip.srt is said"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_srt(tmp_path, encoding, newline):
    path = written(tmp_path, "a.srt", SRT.replace("\n", newline), encoding)
    assert read_transcript(path) == "Well, this is a surprise. 1984 was a good year & more"


def test_vtt(tmp_path):
    assert read_transcript(written(tmp_path, "a.VTT", VTT)) == "Good morning 5 < 6"


def test_subtitles_with_no_words(tmp_path):
    path = written(tmp_path, "a.srt", "1\n00:00:00,500 --> 00:00:02,000\n\n")
    assert read_transcript(path) == ""


def test_words_named_srt(tmp_path):
    with pytest.raises(MediaError, match="no subtitle with times.*rename plain text to .txt"):
        read_transcript(written(tmp_path, "a.srt", "just words"))


def test_txt_with_mark_and_other_scripts(tmp_path):
    assert read_transcript(written(tmp_path, "a.txt", "你好\nwörld\n", "utf-8-sig")) == "你好 wörld"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encoding(tmp_path, encoding):
    with pytest.raises(MediaError, match="not UTF-8.*save it again"):
        read_transcript(written(tmp_path, "a.txt", "wörld", encoding))


def test_binary_content(tmp_path):
    with pytest.raises(MediaError, match="binary"):
        read_transcript(written(tmp_path, "a.txt", "a\0b"))


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("t.csv", 'name,label,sentence\n007,sad,"oh, no"\n7,happy,yes\n'),
        ("t.tsv", "name\tsentence_en\n007\toh, no\n7\tyes\n"),
        ("t.csv", 'name,sentence,sentence_en\n007,"oh, no",other\n7,yes,other\n'),
        ("t.csv", '\ufeff name , sentence\r\n007 ,"oh,\r\nno"\r\n7,yes\r\n'),
    ],
)
def test_table_compares_names_as_written(tmp_path, name, table):
    path = written(tmp_path, name, table)
    assert read_transcript(path, "007") == "oh, no"
    assert read_transcript(path, "7") == "yes"
    with pytest.raises(MediaError, match="0 different sentences for the name '8'"):
        read_transcript(path, "8")


def test_table_with_two_sentences_for_one_name(tmp_path):
    path = written(tmp_path, "t.csv", "name,sentence\na,one\na,two\n")
    with pytest.raises(MediaError, match="2 different sentences for the name 'a'"):
        read_transcript(path, "a")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("clip,words\na,b\n", r"columns \['clip', 'words'\].*rename the columns"),
        ("name,sentence\na\n", "row without a name or sentence"),
        ('name,sentence\na,"b\n', "does not parse"),
    ],
)
def test_table_that_does_not_fit(tmp_path, table, reason):
    with pytest.raises(MediaError, match=reason):
        read_transcript(written(tmp_path, "t.csv", table), "a")


def test_table_needs_a_clip_id(tmp_path):
    with pytest.raises(MediaError, match="give the clip id"):
        read_transcript(written(tmp_path, "t.csv", "name,sentence\na,b\n"))


def test_other_ending_and_missing_file(tmp_path):
    with pytest.raises(MediaError, match="the ending '.docx'"):
        read_transcript(written(tmp_path, "a.docx", "x"))
    with pytest.raises(MediaError, match="found no file"):
        read_transcript(tmp_path / "a.txt")


def test_subtitles_keep_their_times(tmp_path):
    srt = tmp_path / "a.srt"
    srt.write_text(
        "1\n00:00:01,500 --> 00:00:02,000\n<i>so</i>\nhappy\n\n"
        "2\n01:02:03.5 --> 01:02:04,250 X1:0\nto &amp; fro\n\nsecond half\n"
    )
    assert timed_words(srt) == [(1.5, 2.0, "so happy"), (3723.5, 3724.25, "to & fro second half")]
    vtt = tmp_path / "a.vtt"
    vtt.write_text("WEBVTT\n\nNOTE 00:01.000 --> 00:02.000\n\nname\n00:01.000 --> 00:02.000\nyes\n")
    assert timed_words(vtt) == [Cue(1.0, 2.0, "yes")]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.txt", "hello", "found the ending '.txt'; expected words with times"),
        ("a.srt", "hello", "found no subtitle with times"),
        ("a.srt", "00:00:02,000 --> 00:00:01,000\nno", "found a subtitle from 2.000 to 1.000 s"),
    ],
)
def test_words_without_usable_times(tmp_path, name, content, found):
    (tmp_path / name).write_text(content)
    with pytest.raises(MediaError) as caught:
        timed_words(tmp_path / name)
    assert found in str(caught.value)
