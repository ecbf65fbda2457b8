"""The page itself: what stands where, and which event follows which click.

Knows: Gradio's components. Does not know: what an event does (events.py), the engine, answers. All
events are private: programs use the API of the server, not the page's.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from emotion_llama.markup import Html
from emotion_llama.server.page import events, panels, words
from emotion_llama.server.page.events import (
    CAMERA,
    FILE,
    LABEL_ONLY,
    MICROPHONE,
    WITH_REASON,
    WORDS,
    Form,
    Page,
)
from emotion_llama.server.page.steps import Service

KEPT_S = 600
"""Seconds for which files are kept after they came, and answers after the last click."""
SWEPT_S = 60
"""Seconds between two looks for files to delete."""
MOST_SESSIONS = 1000
"""Visitors whose answers are kept at a time; of more, the one who came first is asked to start
again."""

MEDIA = ["video", "audio", "image", ".mkv", ".mxf", ".ts", ".flv", ".wmv", ".amr", ".caf", ".opus"]
"""What may be chosen: the endings are those that browsers do not know for media."""

SHOW_ANSWER = """() => {
    const status = document.querySelector("#el-status");
    if (status.getBoundingClientRect().top > innerHeight / 2) status.scrollIntoView();
}"""
"""Where the answer comes below the form, as on a phone, it is brought to the top."""


def make_page(service: Service, examples: Sequence[Path] = ()) -> gr.Blocks:
    """Lay out the page and connect it with its steps.

    Args:
        service: what the steps work with
        examples: clips that can be tried; a ``.txt`` beside one holds its words
    """
    predictor = service.engines.default.predictor
    blocks = gr.Blocks(title=words.TITLE, analytics_enabled=False, delete_cache=(SWEPT_S, KEPT_S))
    blocks.state_session_capacity = MOST_SESSIONS
    with blocks:
        header = gr.HTML(panels.header(predictor.preset, predictor.notice))
        with gr.Row(elem_classes="el-main"):
            with gr.Column(scale=5, min_width=280):
                form, button = _make_form(service, examples)
            with gr.Column(scale=6, min_width=280):
                status = gr.HTML(panels.status(words.START), elem_id="el-status")
                answered, reason = gr.HTML(panels.welcome()), gr.HTML()
        page = _make_result(service, status, answered, reason)
        gr.HTML(panels.footer(KEPT_S // 60))
        _connect(service, form, button, page)
        _on(
            form.preset.change,
            partial(events.show_preset, service),
            [form.preset, form.labels],
            [header, form.labels],
        )
        blocks.unload(events.forgetting(blocks))
    blocks.queue(api_open=False, default_concurrency_limit=None)
    return blocks


def _connect(service: Service, form: Form, button: gr.Button, page: Page) -> None:
    """Let every click have its event."""
    clicks = events.Clicks(service, page)
    chosen = [page.talk, page.segment, page.with_face]
    asked = [page.talk, page.question]
    _on(button.click, clicks.answer, [page.with_face, *form.parts], page.parts)
    button.click(None, js=SHOW_ANSWER, api_visibility="private")
    _on(page.segment.input, clicks.choose, chosen, page.parts)
    _on(page.send.click, clicks.ask, asked, page.parts)
    _on(page.question.submit, clicks.ask, asked, page.parts)
    _on(page.chat.clear, events.forget_turns, [page.talk], [page.talk])
    _on(page.with_face.input, events.show_links, [page.talk, page.with_face], [page.links])


def _on(
    event: Callable[..., Any], step: Callable[..., Any], inputs: list[Any], outputs: list[Any]
) -> None:
    """Let an event start a step; nobody waits for another visitor here, but in the engine."""
    event(
        step,
        inputs,
        outputs,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="once",
        concurrency_limit=None,
    )


def _make_form(service: Service, examples: Sequence[Path]) -> tuple[Form, gr.Button]:
    source = gr.Radio(
        [FILE, CAMERA, MICROPHONE, WORDS], value=FILE, label="Clip from", elem_classes="el-source"
    )
    file = gr.File(label="Video, sound or picture", file_types=MEDIA, elem_classes="el-file")
    camera = gr.Video(
        sources=["webcam"],
        label="Record with the camera",
        webcam_options=gr.WebcamOptions(mirror=False),  # a mirrored clip would be encoded again
        include_audio=True,
        visible=False,
    )
    sound = gr.Audio(
        sources=["microphone"], type="filepath", label="Record with the microphone", visible=False
    )
    player = gr.HTML()
    buttons = _make_examples(examples)
    default = service.engines.default
    english_only = default.predictor.model.config.reads_english_only
    text = gr.Textbox(
        label="What is said (optional)",
        info=words.transcript_help(default.words, english_only=english_only),
        lines=1,
        max_lines=6,
        max_length=service.settings.max_text_chars,
    )
    preset, labels, own_labels, task = _make_options(service)
    button = gr.Button("Name the emotion", variant="primary", elem_id="el-go")
    form = Form(preset, source, file, camera, sound, text, labels, own_labels, task)
    _on(source.change, events.show_source, [source], [file, camera, sound, player])
    _on(file.change, events.show_player, [file], [player])
    for path, example in zip(examples, buttons, strict=True):
        _on(example.click, partial(events.give_example, path), [], [source, file, text])
    return form, button


def _make_options(service: Service) -> tuple[gr.Dropdown, gr.Dropdown, gr.Textbox, gr.Radio]:
    names = service.engines.names
    with gr.Accordion("Labels and task", open=False):
        preset = gr.Dropdown(
            list(names), value=names[0], label="Preset", visible=len(names) > 1, elem_id="el-preset"
        )
        labels = gr.Dropdown(events.label_choices(service), value="", label="Labels to offer")
        own_labels = gr.Textbox(
            label="My labels",
            info="At least two, in this order, with commas between.",
            visible=False,
        )
        task = gr.Radio([WITH_REASON, LABEL_ONLY], value=WITH_REASON, label="Task")
    _on(labels.change, events.show_own_labels, [labels], [own_labels])
    return preset, labels, own_labels, task


def _make_examples(examples: Sequence[Path]) -> list[gr.Button]:
    """Offer clips to try."""
    if not examples:
        return []
    with gr.Row(elem_classes="el-examples"):
        gr.HTML(Html("<span>Or try:</span>"))
        return [gr.Button(path.stem, size="sm", min_width=60) for path in examples]


def _make_result(service: Service, status: gr.HTML, answered: gr.HTML, reason: gr.HTML) -> Page:
    """Make what is shown below form and answer; most of it is hidden until there is an answer."""
    timeline = gr.HTML()
    segment = gr.Radio([], label="Segment in detail", visible=False)
    evidence = gr.HTML()
    with gr.Column(visible=False) as details:
        talk_help = gr.HTML(events.show_help(service.engines.names[0]))
        chat = gr.Chatbot(
            label="Questions and replies",
            visible=False,
            height=None,
            max_height=420,
            render_markdown=False,
            allow_tags=False,
            feedback_options=None,
            buttons=["copy"],
            elem_id="el-chat",
        )
        said = gr.HTML()
        with gr.Row(elem_classes="el-ask"):
            question = gr.Textbox(
                label="Question",
                scale=5,
                min_width=200,
                max_length=service.settings.max_text_chars,
                elem_id="el-question",
            )
            send = gr.Button("Ask", scale=1, min_width=80, elem_id="el-send")
        gr.HTML(panels.heading("Take it along", words.SHARE))
        with_face = gr.Checkbox(label="Show the key frame in the picture", elem_id="el-face")
        links = gr.HTML()
    return Page(
        status=status,
        answer=answered,
        reason=reason,
        timeline=timeline,
        segment=segment,
        evidence=evidence,
        details=details,
        help=talk_help,
        chat=chat,
        said=said,
        question=question,
        send=send,
        with_face=with_face,
        links=links,
        talk=gr.State(None, time_to_live=KEPT_S),
    )
