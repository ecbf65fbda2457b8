"""Show the page: docs/page.png, docs/page-phone.png, docs/page-dark.png, from examples/smile.mp4.

    python tools/page_screenshots.py

Needs ``pip install .[serve] playwright`` and a Chromium: its path in ``EMOTION_LLAMA_CHROMIUM``, or
one in PATH. The times in the pictures are those of the machine; all else is the same every time.
"""

import os
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.app import make_app
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.engines import Engines
from emotion_llama.server.service import make_engine

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = [ROOT / "examples" / "smile.mp4", ROOT / "examples" / "frown.mp4"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDE, PHONE = 1200, 390
PICTURES = {"page": (WIDE, "light"), "page-phone": (PHONE, "light"), "page-dark": (WIDE, "dark")}
"""Name -> width in pixels, colours."""
COLOURS = 256


def main() -> None:
    """Serve the page, answer for the clip in three windows, and save what is seen."""
    settings = ServeConfig(num_readers=1)
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as opened:
        engines = Engines(make_engine("mini", settings))
        uploads = UploadFolder(Path(folder), 10**7)
        app = make_app(
            engines, settings, keys=None, uploads=uploads, database=None, examples=EXAMPLES
        )
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=lambda: server.run(sockets=[opened]))
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.1)
        try:
            take_pictures(f"http://127.0.0.1:{opened.getsockname()[1]}")
        finally:  # without a browser it would be served for ever
            server.should_exit = True
            thread.join()


def take_pictures(address: str) -> None:
    """Save all pictures into docs/."""
    browser_path = os.environ.get("EMOTION_LLAMA_CHROMIUM") or next(
        filter(None, map(shutil.which, NAMES))
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--hide-scrollbars"]
        )
        for name, (width, scheme) in PICTURES.items():
            page = browser.new_page(
                viewport={"width": width, "height": 900}, color_scheme=scheme, device_scale_factor=1
            )
            page.goto(address)
            path = ROOT / "docs" / f"{name}.png"
            answer(page)
            page.screenshot(path=path, full_page=True, clip=part_of(page))
            shrink(path)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")
            page.close()
        browser.close()


def answer(page: Any) -> None:
    """Answer for the first example, ask a question, and bring the clip to the smile."""
    page.click("text=smile")
    page.wait_for_selector(".el-player video")
    page.click("#el-go")
    page.wait_for_selector(".el-links a", timeout=60_000)
    page.get_by_label("Question").fill("What does the voice say?")
    page.click("#el-send")
    page.wait_for_selector("text=Replied.", timeout=60_000)
    page.evaluate("document.querySelector('.el-player video').currentTime = 2.4")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)


def part_of(page: Any) -> dict[str, float]:
    """Give what is shown of a page: its beginning, where it is too long for a picture."""
    width = page.viewport_size["width"]
    height = page.evaluate("document.documentElement.scrollHeight")
    return {"x": 0, "y": 0, "width": width, "height": min(height, 7 * width)}


def shrink(path: Path) -> None:
    """Save a picture with fewer colours, chosen so that thin bars keep theirs."""
    picture = Image.open(path).convert("RGB")
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=4)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
