"""Every field of a clip survives the way through bytes, and garbled bytes are refused."""

import json
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emotion_llama.records import MODALITIES, Clip, Evidence, FaceTrack
from emotion_llama.server.reading import clip_message
from emotion_llama.server.reading.clip_message import from_message, to_message

NUMBER = st.floats()
WORDS = st.text(max_size=12)


def array(dtype: str, *shape: int) -> Any:
    return arrays(dtype, shape)


def even(t: int, grey: int) -> Any:
    """Views of one brightness: drawn pixel by pixel they would take too long."""
    return np.full((t, 112, 112), grey, np.uint8)


@st.composite
def face_tracks(draw: st.DrawFn) -> FaceTrack:
    t, size, num_missing = (draw(st.integers(1, 3)) for _ in range(3))
    some = {
        name: draw(st.none() | array("float32", t, *rest))
        for name, rest in {
            "scores": (),
            "points": (70, 3),
            "pose_deg": (3,),
            "visible": (3,),
        }.items()
    }
    return FaceTrack(
        crops=draw(array("uint8", t, size, size, 3)),
        times_s=draw(array("float64", t)),
        boxes=draw(array("float32", t, 4)),
        coverage=draw(NUMBER),
        producer=draw(WORDS),
        views=draw(st.none() | st.integers(0, 255).map(lambda grey: even(t, grey))),
        missing_s=draw(array("float64", num_missing - 1)),
        person=draw(st.integers(1, 9)),
        prominence=draw(NUMBER),
        is_aligned=draw(st.booleans()),
        **some,
    )


EVIDENCE = st.builds(
    Evidence,
    modality=st.sampled_from(MODALITIES),
    statement=WORDS,
    value=st.none() | NUMBER,
    start_s=st.none() | NUMBER,
    end_s=st.none() | NUMBER,
    producer=WORDS,
    feature=WORDS,
    reading=WORDS,
)


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    t = draw(st.integers(0, 3))
    return Clip(
        clip_id=draw(WORDS),
        kind=draw(st.sampled_from(["video", "image", "audio", "text"])),
        path=draw(st.none() | st.just(Path("folder") / "a.mp4")),
        duration_s=draw(st.none() | NUMBER),
        waveform=draw(st.none() | array("float32", draw(st.integers(0, 9)))),
        sample_rate_hz=draw(st.integers(1000, 192_000)),
        frames=draw(st.none() | array("uint8", t, 2, 4, 3)),
        frame_times_s=draw(st.none() | array("float64", t)),
        key_frame=draw(st.none() | array("uint8", 5, 3, 3)),
        key_frame_s=draw(st.none() | NUMBER),
        faces=draw(st.none() | face_tracks()),
        transcript=draw(st.none() | WORDS),
        evidence=draw(st.none() | st.lists(EVIDENCE, max_size=2).map(tuple)),
        missing=draw(st.dictionaries(st.sampled_from(MODALITIES), WORDS)),
        warnings=draw(st.lists(WORDS, max_size=2).map(tuple)),
    )


def assert_same(one: Any, other: Any) -> None:
    """Compare type and value of everything in two records, NaN included."""
    assert type(one) is type(other)
    if isinstance(one, Clip | FaceTrack | Evidence):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    else:
        assert one == other or one != one


@settings(max_examples=60)
@given(clips())
def test_every_field_survives(clip: Clip) -> None:
    copy = from_message(to_message(clip))
    assert_same(copy, clip)


def whole_clip() -> Clip:
    """A clip of which every field differs from its default."""
    generator = np.random.default_rng(0)

    def noise(*shape: int) -> Any:
        return generator.random(shape, np.float32)

    def picture(*shape: int) -> Any:
        return generator.integers(0, 255, shape, np.uint8)

    face = FaceTrack(
        crops=picture(2, 8, 8, 3),
        times_s=np.array([0.0, 0.1]),
        boxes=noise(2, 4),
        coverage=0.1 + 0.2,
        producer="a face finder",
        missing_s=np.array([0.2]),
        person=2,
        prominence=0.3,
        is_aligned=False,
        scores=noise(2),
        points=noise(2, 70, 3),
        pose_deg=noise(2, 3),
        visible=noise(2, 3),
        views=picture(2, 112, 112),
    )
    return Clip(
        clip_id="a",
        kind="video",
        path=Path("a.mp4"),
        duration_s=0.3,
        waveform=noise(480),
        sample_rate_hz=8000,
        frames=picture(3, 4, 6, 3),
        frame_times_s=np.array([0.0, 0.1, 0.2]),
        key_frame=picture(4, 6, 3),
        key_frame_s=0.1,
        faces=face,
        transcript="Größe \N{GRINNING FACE}",
        evidence=(Evidence("local", "smiles", 0.7, 0.1, None, "units 1", "AU12", "clear"),),
        missing={"text": "none"},
        warnings=("cut short",),
    )


def test_no_field_is_left_at_its_default() -> None:
    clip = whole_clip()
    copy = from_message(to_message(clip))
    assert_same(copy, clip)
    plain = Clip("", "text")
    same = [f.name for f in fields(Clip) if getattr(copy, f.name) is getattr(plain, f.name)]
    assert same == []
    assert copy.faces is not None
    assert all(getattr(copy.faces, field.name) is not None for field in fields(FaceTrack))


def test_arrays_can_be_written_and_do_not_hold_the_message() -> None:
    copy = from_message(to_message(whole_clip()))
    assert copy.waveform is not None
    assert copy.waveform.flags.writeable
    assert copy.waveform.flags.owndata or copy.waveform.base.flags.owndata


def test_arrays_that_are_views_survive() -> None:
    clip = whole_clip()
    assert clip.key_frame is not None
    turned = replace(clip, key_frame=clip.key_frame[::-1, ::2])
    copy = from_message(to_message(turned)).key_frame
    assert np.array_equal(copy, turned.key_frame)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"waveform": np.zeros(3)}, "waveform of type float64, expected float32"),
        ({"waveform": np.zeros((2, 3), np.float32)}, r"waveform of shape \(2, 3\)"),
        ({"frame_times_s": np.zeros(2)}, r"frame_times_s of shape \(2,\), expected \['t'\]"),
        ({"key_frame": np.zeros((4, 6, 4), np.uint8)}, r"key_frame of shape \(4, 6, 4\)"),
    ],
)
def test_a_clip_that_is_none_is_not_sent(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        to_message(replace(whole_clip(), **changes))


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    message = to_message(whole_clip())
    for name in ("MAX_MESSAGE_BYTES", "MAX_HEADER_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(clip_message, name, 100)
            with pytest.raises(ValueError, match="too large to send: .* at most 100"):
                to_message(whole_clip())
            with pytest.raises(ValueError, match="too large to send: .* at most 100"):
                from_message(message)


def with_header(**changes: Any) -> bytes:
    """The message of a whole clip with other entries in its header."""
    message = to_message(whole_clip())
    length = int.from_bytes(message[:4])
    header = json.loads(message[4 : 4 + length])
    for path, value in changes.items():
        *outer, last = path.split("__")
        part = header
        for name in outer:
            part = part[name]
        part[last] = value
    head = json.dumps(header).encode()
    return len(head).to_bytes(4) + head + message[4 + length :]


def test_an_unchanged_header_is_read() -> None:
    assert_same(from_message(with_header()), whole_clip())


@pytest.mark.parametrize(
    "changes",
    [
        {"clip__kind": "pickle"},
        {"clip__clip_id": None},
        {"clip__unknown": 1},
        {"clip__missing": {"smell": "none"}},
        {"clip__evidence": [{"modality": "local"}]},
        {"face": None},
        {"face__person": "first"},
        {"clip_arrays__waveform": [-1]},
        {"clip_arrays__waveform": [2**70]},
        {"clip_arrays__waveform": [481]},
        {"clip_arrays__waveform": [479]},
        {"clip_arrays__waveform": [10, 48]},
        {"clip_arrays__other": [1]},
        {"clip_arrays": {}},
        {"face_arrays__crops": [2, 8, 8]},
        {"face_arrays__boxes": [1, 8]},
        {"face_arrays": {}},
        {"face_arrays__points": [2**20, 2**20, 2**20]},
    ],
    ids=str,
)
def test_a_changed_header_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_message(with_header(**changes))


@pytest.mark.parametrize(
    "message",
    [b"", b"\0\0\0\2{}", b"\xff\xff\xff\xff", b"\0\0\0\4[[[[", b"\0\1\0\0" + b"[" * 65536, b"abc"],
    ids=range(6),
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_message(message)


@settings(max_examples=200)
@given(st.binary(max_size=60), st.data())
def test_garbled_messages_give_a_clip_or_a_value_error(noise: bytes, data: st.DataObject) -> None:
    message = to_message(whole_clip())
    start = data.draw(st.integers(0, len(message)))
    end = data.draw(st.integers(start, len(message)))
    for garbled in (noise, message[:start], message[:start] + noise + message[end:]):
        with suppress(ValueError):
            assert isinstance(from_message(garbled), Clip)
