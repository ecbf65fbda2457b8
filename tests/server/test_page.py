"""The page in a browser: a clip in, the answer, its reason and what it rests on out.

Needs playwright and a Chromium: its path in ``EMOTION_LLAMA_CHROMIUM``, or one of `NAMES` in PATH.
"""

import gc
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import running, stub_engine, wait_for

from emotion_llama.config import ServeConfig
from emotion_llama.labels import label_set
from emotion_llama.records import Prediction
from emotion_llama.server.api.app import make_app
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.engine import Engine
from emotion_llama.server.engines import Engines
from emotion_llama.server.page.talk import Talk
from emotion_llama.server.service import make_engine

pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
EXAMPLES = Path(__file__).parents[2] / "examples"
SMILE = EXAMPLES / "smile.mp4"
WORDS = "Oh, this is wonderful!"
PHONE = {"width": 390, "height": 844}
ANSWER_MS = 60_000
"""Longest wait for an answer: a machine that runs all tests at once is slow."""


def chromium() -> str:
    """Find a Chromium, or skip the module loudly."""
    named = os.environ.get("EMOTION_LLAMA_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(
            f"NOT CHECKED: no browser is here (looked for {', '.join(NAMES)} in PATH); name one in "
            "EMOTION_LLAMA_CHROMIUM"
        )
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="NOT CHECKED: the page needs playwright: pip install it"
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def engine(browser: Any) -> Engine:
    return make_engine("mini", ServeConfig(num_readers=1))


@pytest.fixture(scope="module")
def address(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY"):
            patch.setenv(name, "")  # set for the whole process when a page is mounted
        app = make_app(
            Engines(engine),
            engine.settings,
            keys=None,
            uploads=UploadFolder(folder, 10**7),
            database=None,
            examples=[SMILE],
        )
        with running(app) as address:
            yield address


@pytest.fixture(scope="module")
def expected(engine: Engine) -> Prediction:
    """What the command line and Python say of the same clip."""
    return engine.predictor(SMILE, WORDS)


@pytest.fixture
def foreign() -> list[str]:
    """Addresses elsewhere that a page asked for."""
    return []


@pytest.fixture
def page(browser: Any, address: str, foreign: list[str]) -> Iterator[Any]:
    yield from opened(browser, address, foreign)


def opened(browser: Any, address: str, foreign: list[str], **context: Any) -> Iterator[Any]:
    """Open the page, and write down what it asks for elsewhere."""
    with browser.new_context(viewport={"width": 1200, "height": 900}, **context) as around:
        page = around.new_page()
        own = (address, "data:", "blob:")
        page.on(
            "request",
            lambda request: (
                foreign.append(request.url) if not request.url.startswith(own) else None
            ),
        )
        page.goto(address)
        page.wait_for_selector("#el-go")
        yield page


def give(page: Any, path: Path, text: str = "") -> None:
    page.set_input_files("input[type=file]", path)
    page.wait_for_selector(".el-player > *")
    page.get_by_label("What is said").fill(text)
    page.click("#el-go")


def answered(page: Any) -> None:
    give(page, SMILE, WORDS)
    page.wait_for_selector(".el-links a", timeout=ANSWER_MS)


def saved(page: Any, words: str) -> bytes:
    with page.expect_download() as waiting:
        page.click(f"text={words}")
    return Path(waiting.value.path()).read_bytes()


def talks() -> list[Talk]:
    """Find all that this process keeps of visitors' clips."""
    gc.collect()
    # not isinstance, which asks every object for its class, and some warn then
    return [one for one in gc.get_objects() if type(one) is Talk]


def test_a_clip_is_answered_as_python_answers_it(page: Any, expected: Prediction) -> None:
    answered(page)
    assert page.inner_text(".el-label") == expected.label
    assert page.inner_text(".el-reason") == expected.reason
    record = json.loads(saved(page, "Save as JSON"))
    assert record.pop("sha256") == hashlib.sha256(SMILE.read_bytes()).hexdigest()
    told = json.loads(json.dumps(expected.to_dict()))
    for name in ("clip", "timings_s"):
        del record[name], told[name]
    assert record == told


def test_the_answer_shows_what_it_rests_on(page: Any, expected: Prediction) -> None:
    answered(page)
    assert page.locator(".el-answer .el-bars li").count() == len(expected.probabilities)
    rows = page.locator(".el-row-name").all_inner_texts()
    assert rows[0] == "sound" and "pitch" in rows[1] and any("AU12" in row for row in rows)
    assert "el-peak-mark" in page.inner_html(".el-curves")
    assert page.locator(".el-panel img").get_attribute("alt").endswith("the face marked")
    shown = page.inner_text(".el-evidence")
    assert all(one.statement in shown for one in expected.evidence)
    for part in ("without the voice", "without the picture", "without the words"):
        assert part in shown
    assert saved(page, "Save as picture").startswith(b"\x89PNG")


def test_a_talk_goes_on_with_all_that_was_said(page: Any) -> None:
    answered(page)
    for number, question in enumerate(("Why?", "And the voice?"), 1):
        page.get_by_label("Question").fill(question)
        page.click("#el-send")
        page.wait_for_selector("#el-chat .bot >> nth=" + str(number - 1), timeout=ANSWER_MS)
        page.wait_for_selector("text=Replied.", timeout=ANSWER_MS)
    turns = max((talk.turns for talk in talks()), key=len)
    assert [turn.question for turn in turns] == ["Why?", "And the voice?"]
    shown = page.inner_text("#el-chat")
    assert all(turn.answer and turn.answer in shown for turn in turns)


def test_a_broken_file_is_one_sentence_in_the_page(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no film" * 100)
    give(page, path)
    page.wait_for_selector(".el-problem", timeout=ANSWER_MS)
    said = page.inner_text(".el-problem")
    assert said.startswith("No answer. broken.mp4: found") and str(tmp_path) not in said
    assert "Traceback" not in page.content() and page.is_visible("#el-go")


def test_an_example_fills_in_clip_and_words(page: Any) -> None:
    page.click("text=smile")
    page.wait_for_selector(".el-player video")
    spoken = SMILE.with_suffix(".txt").read_text(encoding="utf-8").strip()
    assert page.get_by_label("What is said").input_value() == spoken


def test_the_chosen_preset_answers_with_its_own_labels(
    browser: Any, foreign: list[str], tmp_path: Path
) -> None:
    small, large = stub_engine(preset="small"), stub_engine(preset="large")
    terms: Any = "For research only."
    large.predictor.notice = terms
    own = label_set("calm, tense")
    large.predictor.offered = lambda labels=None: own  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY"):
            patch.setenv(name, "")
        uploads = UploadFolder(tmp_path, 10**7)
        engines = Engines(small, large)
        app = make_app(engines, engines.settings, keys=None, uploads=uploads, database=None)
        with running(app) as address:
            for page in opened(browser, address, foreign):
                assert terms not in page.inner_text(".el-header")
                page.click("text=Labels and task")
                page.get_by_label("Preset").click()
                page.get_by_role("option", name="large").click()
                page.wait_for_selector(f"text={terms}")
                labels = page.get_by_label("Labels to offer")
                assert labels.input_value() == "of the preset: calm, tense"
                page.click("text=Words only")
                page.get_by_label("What is said").fill("I am so glad")
                page.click("#el-go")
                page.wait_for_selector(".el-links a", timeout=ANSWER_MS)
                assert page.inner_text(".el-label") == "calm"
                assert "preset large" in page.inner_text(".el-times")
                page.get_by_label("Question").fill("Why?")
                page.click("#el-send")
                page.wait_for_selector("text=Replied.", timeout=ANSWER_MS)
    assert (len(small.predictor.talks), len(large.predictor.talks)) == (0, 1)  # type: ignore[attr-defined]


def test_one_preset_is_no_choice(page: Any) -> None:
    page.click("text=Labels and task")
    page.wait_for_selector("text=Labels to offer")
    assert page.get_by_label("Preset").count() == 0


def test_the_page_is_read_on_a_phone_without_moving_sideways(page: Any) -> None:
    page.set_viewport_size(PHONE)
    answered(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    # the answer, which comes below the form there, was brought into view
    assert 0 <= page.locator(".el-label").bounding_box()["y"] < PHONE["height"] / 2


def luminance(page: Any, selector: str, what: str) -> float:
    """Give the relative luminance of a colour of an element, 0 to 1 (WCAG 2, 1.4.3)."""
    script = """([selector, what]) => {
        let element = document.querySelector(selector);
        let colour = getComputedStyle(element)[what];
        while (what === 'backgroundColor' && /0\\)$/.test(colour) && colour.startsWith('rgba')) {
            element = element.parentElement;
            colour = getComputedStyle(element)[what];
        }
        const context = document.createElement('canvas').getContext('2d');
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    }"""
    shares = [value / 255 for value in page.evaluate(script, [selector, what])]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(
        weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_on_light_and_on_dark(browser: Any, address: str, scheme: str) -> None:
    for page in opened(browser, address, [], color_scheme=scheme):
        answered(page)
        assert (luminance(page, ".gradio-container", "backgroundColor") < 0.2) == (scheme == "dark")
        for selector in (".el-label", ".el-reason", ".el-status", ".el-small", "#el-go",
                         ".el-panel td", ".el-row-name small"):  # fmt: skip
            pair = [luminance(page, selector, what) for what in ("color", "backgroundColor")]
            contrast = (max(pair) + 0.05) / (min(pair) + 0.05)
            assert contrast >= 4.5, (selector, contrast)


def test_nothing_is_asked_for_elsewhere(page: Any, foreign: list[str]) -> None:
    answered(page)
    page.click("text=Microphone")
    page.click("text=Camera")
    page.wait_for_selector("text=Click to Access Webcam")
    assert foreign == []


def test_the_page_is_used_by_keyboard_alone(page: Any) -> None:
    assert page.get_attribute("html", "lang") == "en"
    page.focus("input[value='Words only']")
    page.keyboard.press("Space")
    page.wait_for_selector(".el-file", state="hidden")
    names = []
    for _ in range(15):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.tagName + document.activeElement.id"))
        if names[-1] == "TEXTAREA":
            page.keyboard.type("I am so happy")
        if names[-1] == "BUTTONel-go":
            break
    assert names[-1] == "BUTTONel-go" and "TEXTAREA" in names
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    page.keyboard.press("Enter")
    page.wait_for_selector(".el-links a", timeout=ANSWER_MS)
    assert "words (text)" in page.inner_text(".el-modalities")


def test_every_field_has_a_name(page: Any) -> None:
    page.click("text=Labels and task")
    script = """[...document.querySelectorAll('input, textarea')]
        .filter(one => one.offsetParent && one.type !== 'file')
        .filter(one => !one.labels?.length && !one.ariaLabel)
        .map(one => one.outerHTML)"""
    assert page.evaluate(script) == []


def test_what_was_answered_is_forgotten_when_the_visitor_leaves(page: Any) -> None:
    answered(page)
    assert talks()
    page.close()
    wait_for(lambda: not talks())
