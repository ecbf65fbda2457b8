"""Answers and measures -> pieces of the page as HTML; every text is escaped.

Knows: what stands where, in which words. Does not know: Gradio, events, how anything was computed.
Nothing is told by colour alone: every bar has its number, every mark its word.
"""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from emotion_llama.face.movements import FULL
from emotion_llama.face.unit_names import grade, titled
from emotion_llama.markup import Html, joined, tag
from emotion_llama.modalities import OF_PART, PARTS, Part
from emotion_llama.records import Evidence, Prediction
from emotion_llama.server.page import words
from emotion_llama.server.page.measures import FoundUnit, Measures
from emotion_llama.server.page.plots import curves
from emotion_llama.server.page.talk import Piece, Talk
from emotion_llama.terminal import MODALITY_WORDS, alone_words, colour, evidence_words, percent

NOTHING = Html("")


def status(text: str, *, is_busy: bool = False) -> Html:
    """Say what happens now; screen readers read it out."""
    spinner = tag("span", _class="el-spin", aria_hidden="true") if is_busy else NOTHING
    return tag("p", spinner, text, _class="el-status", role="status")


def problem(text: str) -> Html:
    """Say what went wrong and what to do."""
    return tag("p", tag("strong", "No answer. "), text, _class="el-problem", role="alert")


def header(preset: str, notice: str | None) -> Html:
    """Give the top of the page."""
    parts = [
        tag("h1", words.TITLE),
        tag("p", words.PURPOSE),
        tag("p", "Preset ", tag("b", preset), f". {notice}" if notice else ".", _class="el-small"),
    ]
    return tag("div", *parts, _class="el-header")


def welcome() -> Html:
    """Give what stands in the place of an answer before there is one."""
    limits = tag("ul", *[tag("li", one) for one in words.NOT_FOR])
    return tag("div", tag("h2", "What this is not for"), limits, _class="el-welcome")


def heading(title: str, text: str) -> Html:
    """Begin a part of the page."""
    return tag("div", tag("h2", title), tag("p", text, _class="el-small"), _class="el-heading")


def footer(minutes: int) -> Html:
    """Say at the end of the page what no answer is for, and what happens to clips."""
    parts = (tag("p", f"{words.NOT_FOR_SHORT} {words.CONSENT}"), tag("p", words.kept(minutes)))
    return tag("div", *parts, _class="el-footer el-small")


def answer(piece: Piece) -> Html:
    """Show the label large, how sure it is, and a bar for every label."""
    prediction = piece.prediction
    where = "" if piece.span is None else f", {_range(piece.span)}"
    name = prediction.label or "no label"
    head = [
        tag("p", f"{prediction.clip}{where}", _class="el-kicker"),
        tag("h2", name, _class="el-label", style=f"--el-c:{colour(prediction.label)}"),
        tag("p", *_sureness(prediction), _class="el-sure"),
    ]
    if prediction.unsure:
        why = f"{prediction.unsure_rule}."
        head.append(tag("p", tag("b", "Unsure: "), why, _class="el-unsure"))
    said = alone_words(prediction.alone)
    alone = tag("p", said, _class="el-alone el-small") if said else NOTHING
    return tag("div", *head, bars(prediction), alone, _class="el-answer")


def _sureness(prediction: Prediction) -> list[object]:
    if prediction.label is None:
        return ["the answer names none, or more than one, of the offered labels"]
    share = prediction.probabilities.get(prediction.label, prediction.confidence)
    parts: list[object] = [tag("b", percent(share)), " confidence"]
    if prediction.valence is not None:
        parts.append(tag("span", f"valence {prediction.valence:+.2f}", _class="el-dim"))
    return parts


def bars(prediction: Prediction) -> Html:
    """Draw a bar for every offered label, the most probable first."""
    rows = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    items = [
        tag(
            "li",
            tag("span", label, _class="el-name"),
            _bar(share, colour(label)),
            tag("span", percent(share), _class="el-value"),
        )
        for label, share in rows
    ]
    return tag("ol", *items, _class="el-bars", aria_label="Probability of every offered label")


def _bar(share: float, shade: str) -> Html:
    inner = tag("span", style=f"width:{100 * min(max(share, 0), 1):.2f}%;background:{shade}")
    return tag("span", inner, _class="el-bar", aria_hidden="true")


def reason(text: str | None, warnings: Sequence[str] = (), *, is_growing: bool = False) -> Html:
    """Show the reason, so far or whole, and what is to be said against the answer."""
    parts: list[object] = []
    if text or is_growing:
        caret = tag("span", _class="el-caret", aria_hidden="true") if is_growing else NOTHING
        parts += [tag("h3", "Reason"), tag("p", text or "", caret, _class="el-reason")]
    if warnings:
        items = tag("ul", *[tag("li", one) for one in warnings])
        parts.append(tag("div", tag("h3", "To bear in mind"), items, _class="el-warnings"))
    return tag("div", *parts, _class="el-why") if parts else NOTHING


def timeline(talk: Talk) -> Html:
    """Show one row for each segment, its place in the clip coloured by its label."""
    if len(talk.pieces) < 2:
        return NOTHING
    spans = [piece.span or (0.0, 0.0) for piece in talk.pieces]
    start_s, end_s = spans[0][0], spans[-1][1]
    rows = [
        _segment(piece, start_s, end_s, is_chosen=place == talk.chosen)
        for place, piece in enumerate(talk.pieces)
    ]
    head = tag("h2", "Over the clip")
    said = f"The clip is longer than one answer is for; it was answered in {len(rows)} segments."
    return tag("div", head, tag("p", said), tag("ol", *rows), _class="el-timeline")


def _segment(piece: Piece, start_s: float, end_s: float, *, is_chosen: bool) -> Html:
    span, prediction = piece.span or (start_s, end_s), piece.prediction
    left = 100 * (span[0] - start_s) / (end_s - start_s)
    width = 100 * (span[1] - span[0]) / (end_s - start_s)
    block = tag(
        "span",
        style=f"left:{left:.2f}%;width:{width:.2f}%;background:{colour(prediction.label)};"
        f"opacity:{0.35 + 0.65 * prediction.confidence:.2f}",
    )
    return tag(
        "li",
        tag("span", _range(span), _class="el-when"),
        tag("span", block, _class="el-track", aria_hidden="true"),
        tag("span", segment_words(prediction), _class="el-what"),
        _class="el-chosen" if is_chosen else "",
    )


def segment_words(prediction: Prediction) -> str:
    """Name a segment's answer in a few words."""
    unsure = ", unsure" if prediction.unsure else ""
    return f"{prediction.label or 'no label'} {percent(prediction.confidence)}{unsure}"


def segment_choices(talk: Talk) -> list[tuple[str, int]]:
    """Name the segments of which one can be chosen."""
    return [
        (f"{_range(piece.span or (0.0, 0.0))}: {segment_words(piece.prediction)}", place)
        for place, piece in enumerate(talk.pieces)
    ]


def evidence(piece: Piece) -> Html:
    """Show what was measured, what was used, what each part of the clip adds, and how long it took.

    Args:
        piece: of which the reason, if any, is written
    """
    drawn, prediction = curves(piece.measures), piece.prediction
    parts = [
        _panel("Key frame", _key_frame(piece.measures), "el-frame"),
        _panel("Measured over time", drawn, "el-wide"),
        _panel("What was measured", _statements(prediction), ""),
        _panel("What each part adds", _parts(piece), ""),
        _panel("What was used", joined([_modalities(prediction), _timings(prediction)]), ""),
    ]
    return tag("div", *[one for one in parts if one], _class="el-evidence")


def _panel(title: str, inner: Html, kind: str) -> Html:
    if not inner:
        return NOTHING
    return tag("section", tag("h3", title), inner, _class=f"el-panel {kind}".strip())


def _key_frame(measures: Measures) -> Html:
    frame = measures.marked_frame or measures.plain_frame
    if frame is None:
        return NOTHING
    seen = "the face marked" if measures.marked_frame else "no face was followed in it"
    when = "" if measures.key_frame_s is None else f" at {measures.key_frame_s:.2f} s"
    source = f"data:image/jpeg;base64,{b64encode(frame).decode()}"
    image = _image(source, f"Key frame{when}, {seen}")
    caption = tag("p", f"The frame{when} that stands for the clip; {seen}.", _class="el-small")
    return joined([image, caption, _units(measures.found, has_face=bool(measures.marked_frame))])


def _image(source: str, said: str) -> Html:
    return Html(f'<img src="{escape(source)}" alt="{escape(said)}">')


def _units(found: Sequence[FoundUnit], *, has_face: bool) -> Html:
    """List the action units of the key frame."""
    if not has_face:
        return NOTHING
    if not found:
        return tag("p", "No action unit is at work in it: the face hardly moves.")
    items = [
        tag(
            "li",
            tag("span", titled(one.unit), _class="el-name"),
            _bar(one.intensity / FULL, "var(--el-accent)"),
            tag("span", f"{one.intensity:.1f} {grade(one.intensity)}", _class="el-value"),
        )
        for one in found
    ]
    return tag("ol", *items, _class="el-bars el-units", aria_label="Action units, 0 to 5")


def _statements(prediction: Prediction) -> Html:
    if not prediction.evidence:
        return tag("p", "Nothing that stands out was measured.")
    rows = [_statement(one) for one in prediction.evidence]
    head = tag("tr", *[tag("th", one, scope="col") for one in ("where", "statement")])
    return tag("table", tag("thead", head), tag("tbody", *rows))


def _statement(item: Evidence) -> Html:
    where = {"local": "face", "audio": "voice", "text": "words"}.get(item.modality, item.modality)
    return tag("tr", tag("td", where), tag("td", evidence_words(item)))


def _modalities(prediction: Prediction) -> Html:
    used = [tag("li", MODALITY_WORDS[one], _class="el-used") for one in prediction.modalities]
    missing = [
        tag("li", tag("b", MODALITY_WORDS[one]), f" missing: {why}", _class="el-missing")
        for one, why in prediction.missing.items()
    ]
    return tag("ul", *used, *missing, _class="el-modalities")


def parts_used(prediction: Prediction) -> tuple[Part, ...]:
    """Name the parts of a clip that an answer used."""
    return tuple(part for part in PARTS if set(OF_PART[part]) & set(prediction.modalities))


def _parts(piece: Piece) -> Html:
    """Show how the label's probability changes where one part is left out."""
    label = piece.prediction.label
    if piece.without is None or label is None:
        return NOTHING
    if not piece.without:
        return tag("p", "Only one part was there, so there is nothing to leave out.")
    whole = piece.prediction.probabilities[label]
    items = [_change(part, label, whole, one) for part, one in piece.without.items()]
    note = f"How likely {label} would be if one part of the clip were left out."
    return joined([tag("p", note, _class="el-small"), tag("ul", *items, _class="el-changes")])


def _change(part: Part, label: str, whole: float, other: Prediction) -> Html:
    share = other.probabilities[label]
    points = 100 * (share - whole)
    turned = f"; the label would be {other.label}" if other.label != label else ""
    said = f"{percent(whole)} to {percent(share)}{turned}"
    sign = "\N{MINUS SIGN}" if points < 0 else "+"
    side = "right" if points < 0 else "left"
    block = tag("span", style=f"{side}:50%;width:{abs(points) / 2:.2f}%")
    return tag(
        "li",
        tag("span", f"without {words.PART_WORDS[part]}", _class="el-name"),
        tag("span", f"{sign}{abs(points):.0f} points", _class="el-value"),
        tag("span", block, _class="el-change", aria_hidden="true"),
        tag("span", said, _class="el-small"),
    )


def _timings(prediction: Prediction) -> Html:
    parts = [f"{stage} {seconds:.2f} s" for stage, seconds in prediction.timings_s.items()]
    said = f"Time: {', '.join(parts)}; preset {prediction.preset}."
    return tag("p", said, _class="el-small el-times")


def _range(span: tuple[float, float]) -> str:
    return f"{span[0]:.1f} to {span[1]:.1f} s"


def player(source: str, kind: str) -> Html:
    """Show a clip that was given, to be looked at while it is answered.

    Args:
        source: address of it on this server
        kind: ``image``, ``audio`` or ``video``
    """
    if kind == "image":
        inner = _image(source, "The picture")
    else:
        inner = tag(kind, src=source, controls="", preload="metadata", aria_label="The clip")
    return tag("div", inner, _class="el-player")
