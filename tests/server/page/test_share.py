"""What is taken along: the record as the command line writes it, and a picture."""

import asyncio
import io
import json
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
from page_engine import ActingEngine, a_clip
from PIL import Image

from emotion_llama.labels import label_set
from emotion_llama.server.page import share
from emotion_llama.server.page.measures import measure
from emotion_llama.server.page.talk import Piece, Talk


async def answered() -> Talk:
    engine = ActingEngine()
    encoded = await engine.encode(Path("my clip.mp4"), "Well", name="my clip.mp4")
    prediction = await engine.answer(encoded, labels=label_set("happy, sad"))
    clip = a_clip(Path("my clip.mp4"), "Well", 2.0)
    # a picture of one colour would look like none
    frame = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    measures = measure(replace(clip, key_frame=frame))
    return Talk((Piece(encoded, prediction, measures),), label_set("happy, sad"), True, "ab12")


def talk() -> Talk:
    return asyncio.run(answered())


def test_the_record_is_that_of_predict_with_the_hash_of_the_file() -> None:
    one = talk()
    written = json.loads(share.record(one))
    assert written.pop("sha256") == "ab12"
    assert written == json.loads(json.dumps(one.piece.prediction.to_dict()))


def test_the_record_of_a_segment_says_which_one_it_is() -> None:
    one = talk()
    part = one.with_piece(replace(one.piece, span=(1.0, 2.5)))
    assert json.loads(share.record(part))["span_s"] == [1.0, 2.5]


def test_the_picture_is_the_same_every_time_and_of_the_size_that_is_said() -> None:
    drawn = share.picture(talk().piece, with_face=False)
    assert drawn == share.picture(talk().piece, with_face=False)
    assert Image.open(io.BytesIO(drawn)).size == (share.WIDTH, share.HEIGHT)


def test_the_face_is_in_the_picture_only_on_request() -> None:
    piece = talk().piece
    without = share.picture(piece, with_face=False)
    nothing = replace(piece, measures=replace(piece.measures, plain_frame=None))
    assert without == share.picture(nothing, with_face=True)
    assert without != share.picture(piece, with_face=True)


def test_a_long_reason_ends_in_dots() -> None:
    piece = talk().piece

    def drawn(number: int) -> bytes:
        prediction = replace(piece.prediction, reason="word " * number)
        return share.picture(replace(piece, prediction=prediction), with_face=True)

    assert drawn(400) == drawn(500) != drawn(20)


def test_the_links_hold_their_files() -> None:
    shown = share.links(talk(), with_face=False)
    assert re.findall(r'download="([^"]+)"', shown) == ["my clip.json", "my clip.png"]
    (data,) = re.findall(r'href="data:application/json;base64,([^"]+)"', shown)
    assert json.loads(b64decode(data))["label"] == "happy"
