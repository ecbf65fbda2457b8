"""Events of the page -> which of its parts becomes what, as the answer grows.

Knows: the parts of the page, sessions. Does not know: where a part stands (layout.py), how a clip
is answered (steps.py), how an answer looks (panels.py).
"""

import asyncio
import mimetypes
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from emotion_llama.labels import LABEL_SETS
from emotion_llama.markup import Html
from emotion_llama.prompt import Turn
from emotion_llama.server.page import panels, share, words
from emotion_llama.server.page.steps import (
    Given,
    Service,
    View,
    Views,
    answer,
    choose,
    paced,
    reply,
)
from emotion_llama.server.page.talk import Talk

FILE, CAMERA, MICROPHONE, WORDS = "File", "Camera", "Microphone", "Words only"
"""Where a clip comes from."""
SET_NAMES = {"mer2023": "MER2023", "dfew": "DFEW", "merr": "MERR"}
OWN_LABELS = "own"
"""Stands for a list of the visitor's own; the others are names of sets, empty for the preset's."""
NO_LABELS = ","
"""A list of labels that has none, so that the visitor is told."""
WITH_REASON, LABEL_ONLY = "Emotion and reason", "Emotion only"

Shown = dict[Any, Any]
"""Component -> what becomes of it."""


@dataclass(frozen=True)
class Form:
    """What a visitor fills in."""

    preset: gr.Dropdown
    source: gr.Radio
    file: gr.File
    camera: gr.Video
    sound: gr.Audio
    text: gr.Textbox
    labels: gr.Dropdown
    own_labels: gr.Textbox
    task: gr.Radio

    @property
    def parts(self) -> list[Any]:
        """All of it, as inputs of an event."""
        return [getattr(self, one.name) for one in fields(self)]


@dataclass(frozen=True)
class Page:
    """What is shown of an answer."""

    status: gr.HTML
    answer: gr.HTML
    reason: gr.HTML
    timeline: gr.HTML
    segment: gr.Radio
    evidence: gr.HTML
    details: gr.Column
    """what there is only with an answer: all below"""
    help: gr.HTML
    """what can be asked"""
    chat: gr.Chatbot
    said: gr.HTML
    """how a reply comes along"""
    question: gr.Textbox
    send: gr.Button
    with_face: gr.Checkbox
    links: gr.HTML
    talk: gr.State

    @property
    def parts(self) -> list[Any]:
        """All of it, as outputs of an event."""
        return [getattr(self, one.name) for one in fields(self)]


def show_source(chosen: str) -> list[Any]:
    """Show where the chosen kind of clip is given: file, camera, microphone, and the player."""
    return [gr.update(visible=chosen == one) for one in (FILE, CAMERA, MICROPHONE, FILE)]


def show_preset(service: Service, chosen: str, labels: str) -> tuple[Html, Any]:
    """Show the terms and the labels of the chosen preset; which labels are chosen stays."""
    predictor = service.engines.named(chosen).predictor
    header = panels.header(predictor.preset, predictor.notice)
    return header, gr.update(choices=label_choices(service, chosen), value=labels)


def label_choices(service: Service, preset: str | None = None) -> list[tuple[str, str]]:
    """List the labels that can be offered, the preset's own first."""
    own = ", ".join(service.engines.named(preset).predictor.offered(None).labels)
    sets = [(f"{said}: {', '.join(LABEL_SETS[name])}", name) for name, said in SET_NAMES.items()]
    return [(f"of the preset: {own}", ""), *sets, ("my own list", OWN_LABELS)]


def show_help(preset: str) -> Html:
    """Say what a preset can be asked."""
    return panels.heading("Ask about the clip", words.talk_help(is_mini=preset == "mini"))


def show_own_labels(chosen: str) -> Any:
    """Show the field for labels of one's own where they are asked for."""
    return gr.update(visible=chosen == OWN_LABELS)


def give_example(path: Path) -> tuple[str, str, str]:
    """Fill in a clip to try, and its words where a ``.txt`` beside it has them."""
    beside = path.with_suffix(".txt")
    spoken = beside.read_text(encoding="utf-8").strip() if beside.is_file() else ""
    return FILE, str(path), spoken


def show_player(path: str | None) -> Html:
    """Show the file that was chosen."""
    if path is None:
        return panels.NOTHING
    kind = (mimetypes.guess_type(path)[0] or "video").split("/")[0]
    # no slash in front: the page may be served below another path
    return panels.player(
        f"gradio_api/file={quote(path)}", kind if kind in ("audio", "image") else "video"
    )


@dataclass(frozen=True)
class Clicks:
    """What is done for the buttons that ask; methods, for Gradio tells only those who asks."""

    service: Service
    page: Page

    async def answer(
        self, request: gr.Request, with_face: bool, *filled: Any
    ) -> AsyncGenerator[Shown, None]:
        """Answer for what was given, and show it as it comes."""
        page = self.page
        cleared: Shown = {
            part: panels.NOTHING for part in (page.reason, page.timeline, page.evidence)
        }
        cleared |= {page.segment: gr.update(visible=False), page.details: gr.update(visible=False)}
        cleared |= {page.chat: gr.update(value=[], visible=False)}
        cleared |= {page.said: panels.NOTHING, page.talk: None}
        asked = self._paced(request, answer(self.service, _given(*filled)))
        async with aclosing(_shown(page, asked, with_face)) as views:
            async for shown in views:
                yield cleared | shown
                cleared = {}

    async def choose(
        self, request: gr.Request, talk: Talk | None, place: int, with_face: bool
    ) -> AsyncGenerator[Shown, None]:
        """Show another segment."""
        page = self.page
        cleared: Shown = {page.evidence: panels.NOTHING, page.said: panels.NOTHING}
        cleared |= {page.chat: gr.update(value=[], visible=False)}
        asked = self._paced(request, choose(self.service, talk, place))
        async with aclosing(_shown(page, asked, with_face)) as views:
            async for shown in views:
                yield cleared | shown
                cleared = {}

    async def ask(
        self, request: gr.Request, talk: Talk | None, question: str
    ) -> AsyncGenerator[Shown, None]:
        """Reply to a question, and show the reply as it is written."""
        page = self.page
        async with aclosing(self._paced(request, reply(self.service, talk, question))) as views:
            async for view in views:
                if view.stage == "failed" or view.talk is None:
                    yield {page.said: panels.problem(view.said)}
                    continue
                messages = _messages(view.talk.turns, view.growing)
                shown: Shown = {page.chat: gr.update(value=messages, visible=True)}
                if view.stage == "busy":
                    shown |= {page.question: "", page.said: panels.status(view.said, is_busy=True)}
                if view.stage == "done":
                    shown |= {page.talk: view.talk, page.said: panels.status(view.said)}
                yield shown

    def _paced(self, request: gr.Request, views: Views) -> Views:
        client = request.client
        return paced(self.service, "" if client is None else str(client.host), views)


def _given(
    preset: str,
    source: str,
    file: str | None,
    camera: str | None,
    sound: str | None,
    text: str | None,
    labels: str,
    own_labels: str | None,
    task: str,
) -> Given:
    """Read the form; values come in the order of `Form`."""
    path = {FILE: file, CAMERA: camera, MICROPHONE: sound}.get(source)
    return Given(
        path=Path(path) if path else None,
        text=text or "",
        labels=(own_labels or NO_LABELS) if labels == OWN_LABELS else labels,
        with_reason=task == WITH_REASON,
        preset=preset,
    )


async def _shown(page: Page, views: Views, with_face: bool) -> AsyncGenerator[Shown, None]:
    """Say for every view which part of the page becomes what; parts that stay are left out."""
    last = ""
    async with aclosing(views):
        async for view in views:
            shown: Shown = {}
            if view.said != last:
                shown[page.status] = panels.status(view.said, is_busy=view.stage != "done")
            last = view.said
            if view.stage == "failed":
                shown |= {page.status: panels.NOTHING, page.answer: panels.problem(view.said)}
                shown |= {page.reason: panels.NOTHING, page.evidence: panels.NOTHING}
            elif view.talk is not None:
                shown |= _of_talk(page, view, view.talk)
                if view.stage == "done":
                    shown[page.links] = await asyncio.to_thread(show_links, view.talk, with_face)
            yield shown


def _of_talk(page: Page, view: View, talk: Talk) -> Shown:
    """Show the answers so far."""
    if view.stage == "growing" and view.growing:
        return {page.reason: panels.reason(view.growing, is_growing=True)}
    prediction = talk.piece.prediction
    warnings = (*talk.notes, *prediction.warnings)
    shown: Shown = {
        page.answer: panels.answer(talk.piece),
        page.reason: panels.reason(prediction.reason, warnings, is_growing=view.stage == "growing"),
        page.timeline: panels.timeline(talk),
        page.talk: talk,
    }
    if view.stage == "done":
        shown |= {page.evidence: panels.evidence(talk.piece), page.details: gr.update(visible=True)}
        shown[page.help] = show_help(talk.preset)
        if len(talk.pieces) > 1:
            shown[page.segment] = gr.update(
                choices=panels.segment_choices(talk), value=talk.chosen, visible=True
            )
    return shown


def _messages(turns: Sequence[Turn], growing: str) -> list[dict[str, str]]:
    """Give a talk as a chat; the last reply may still be growing."""
    messages = []
    for turn in turns:
        messages.append({"role": "user", "content": turn.question})
        text = growing if turn.answer is None else turn.answer
        if text:
            messages.append({"role": "assistant", "content": text})
    return messages


def forget_turns(talk: Talk | None) -> Talk | None:
    """Begin to talk about a clip anew."""
    return None if talk is None else replace(talk, turns=())


def show_links(talk: Talk | None, with_face: bool) -> Html:
    """Give links to what can be taken along."""
    if talk is None or not talk.pieces:
        return panels.NOTHING
    return share.links(talk, with_face=with_face)


def forgetting(blocks: gr.Blocks) -> Callable[[gr.Request], None]:
    """Give what drops all that was kept of a visitor who left."""

    def forget(request: gr.Request) -> None:
        if request.session_hash is not None:
            blocks.state_holder.delete_state(request.session_hash)

    return forget
