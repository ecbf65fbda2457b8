"""An answer -> what a visitor can take along: its JSON record, and one picture.

Knows: the form of both. Does not know: pages, how an answer came about. Both are links that hold
their file, so that none lies on the server. The picture has the face in it only on request.
"""

import io
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from emotion_llama.markup import Html, tag
from emotion_llama.server.page import words
from emotion_llama.server.page.talk import Piece, Talk
from emotion_llama.terminal import colour, percent

WIDTH, HEIGHT, MARGIN = 1200, 675, 56
INK, GREY, PALE, PAPER = "#1b1f24", "#5d6670", "#e6e9ed", "#ffffff"
MOST_BARS = 8
MOST_LINES = 5
"""Lines of a reason; a longer one ends in dots, and is whole in the JSON record."""
FACE_PX = 250


def record(talk: Talk) -> str:
    """Write the answer that is shown as ``emotion-llama predict --json`` writes it, and more.

    Returns:
        one line of JSON: the fields of `Prediction`, ``sha256`` of the file, and for a segment
        ``span_s``
    """
    more: dict[str, object] = {"sha256": talk.sha256}
    if talk.piece.span is not None:
        more["span_s"] = list(talk.piece.span)
    return json.dumps({**talk.piece.prediction.to_dict(), **more}, ensure_ascii=False)


def links(talk: Talk, *, with_face: bool) -> Html:
    """Give links from which a browser saves record and picture."""
    stem = Path(talk.piece.prediction.clip).stem or "answer"
    files = (
        ("Save as JSON", f"{stem}.json", "application/json", record(talk).encode()),
        ("Save as picture", f"{stem}.png", "image/png", picture(talk.piece, with_face=with_face)),
    )
    items = [
        tag("a", said, href=_data(kind, content), download=name, _class="el-button")
        for said, name, kind, content in files
    ]
    return tag("p", *items, _class="el-links")


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"


def picture(piece: Piece, *, with_face: bool) -> bytes:
    """Draw an answer as one picture.

    Args:
        piece: what was answered
        with_face: also show the key frame, which is personal data

    Returns:
        PNG of `WIDTH` x `HEIGHT` pixels
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    drawing = ImageDraw.Draw(image)
    prediction = piece.prediction
    drawing.rectangle((0, 0, 14, HEIGHT), fill=colour(prediction.label))
    sure = f"{percent(prediction.confidence)} confidence{', unsure' * prediction.unsure}"
    _write(drawing, (MARGIN, 44), prediction.clip[:60], 22, GREY)
    _write(drawing, (MARGIN, 74), prediction.label or "no label", 80, INK)
    _write(drawing, (MARGIN, 176), sure, 30, INK)
    _draw_bars(drawing, piece, top=236)
    right = WIDTH // 2 + 20
    top = MARGIN - 10
    if with_face and piece.measures.plain_frame is not None:
        frame = Image.open(io.BytesIO(piece.measures.plain_frame))
        frame.thumbnail((2 * FACE_PX, FACE_PX))
        image.paste(frame, (right, top))
        top += FACE_PX + 20
    for number, line in enumerate(_lines(drawing, prediction.reason or "", WIDTH - right - MARGIN)):
        _write(drawing, (right, top + 38 * number), line, 26, INK)
    foot = f"{words.TITLE}, preset {prediction.preset}. {words.NOT_FOR_SHORT}"
    drawing.line((MARGIN, HEIGHT - 62, WIDTH - MARGIN, HEIGHT - 62), fill=PALE, width=2)
    _write(drawing, (MARGIN, HEIGHT - 48), foot, 20, GREY)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _draw_bars(drawing: ImageDraw.ImageDraw, piece: Piece, top: int) -> None:
    rows = sorted(piece.prediction.probabilities.items(), key=lambda item: -item[1])[:MOST_BARS]
    left, width = MARGIN + 130, 300
    for number, (label, share) in enumerate(rows):
        y = top + 44 * number
        _write(drawing, (MARGIN, y), label[:12], 22, INK)
        drawing.rectangle((left, y + 5, left + width, y + 23), fill=PALE)
        drawing.rectangle((left, y + 5, left + round(width * share), y + 23), fill=colour(label))
        _write(drawing, (left + width + 16, y), percent(share), 22, INK)


def _lines(drawing: ImageDraw.ImageDraw, text: str, width: int) -> Iterator[str]:
    """Break a text into lines of at most ``width`` pixels."""
    font = ImageFont.load_default(26)
    line, number = "", 0
    for word in text.split():
        longer = f"{line} {word}".strip()
        if drawing.textlength(longer, font) <= width:
            line = longer
            continue
        number += 1
        if number == MOST_LINES:
            yield f"{line} ..."
            return
        yield line
        line = word
    if line:
        yield line


def _write(
    drawing: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, ink: str
) -> None:
    drawing.text(place, text, fill=ink, font=ImageFont.load_default(size))
