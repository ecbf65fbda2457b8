"""Clips that are measured in no time, tables of another program, and a small model server."""

import json
import threading
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner, Result

from emotion_llama.cli import app
from emotion_llama.merr.record_file import read_records
from emotion_llama.merr.records import MerrRecord

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WORDS = {name: (EXAMPLES / f"{name}.txt").read_text("utf-8").strip() for name in ("smile", "frown")}

_SETTINGS = ("min_snr_db=-99", "min_speech_share=0", "drop_duplicates=false")
LENIENT = ("--keep", "all", *(flag for setting in _SETTINGS for flag in ("--set", setting)))
"""Flags with which a tone passes for a voice, and for another one than the next tone."""

OPENFACE_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""Units of which OpenFace gives an intensity; of AU28 it gives a flag only."""


def run(*arguments: object) -> Result:
    """Run the command in this process."""
    environment = {"COLUMNS": "200", "NO_COLOR": "1"}
    return CliRunner(env=environment).invoke(app, [*map(str, arguments)])


def words_of(text: str) -> str:
    """Give what a command said without frames and line ends."""
    return " ".join(text.replace("│", " ").split())


def tone(path: Path, hertz: float, seconds: float = 2.0) -> Path:
    """Write a tone whose level goes up and down."""
    times = np.arange(int(16000 * seconds)) / 16000
    level = 0.3 * np.sin(2 * np.pi * 1.5 * times) ** 2
    samples = level * np.sign(np.sin(2 * np.pi * hertz * times))
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def label_table(path: Path, labels: Mapping[str, str]) -> Path:
    """Write a table of labels."""
    rows = "".join(f"{name},{label}\n" for name, label in labels.items())
    path.write_text(f"name,label\n{rows}", "utf-8")
    return path


def openface_table(
    path: Path,
    intensities: Mapping[int, Sequence[float]],
    *,
    flags: Mapping[int, Sequence[int]] | None = None,
    success: Sequence[int] | None = None,
    confidence: Sequence[float] | None = None,
    frames_per_second: float = 25.0,
) -> Path:
    """Write a table as OpenFace does.

    Args:
        path: where to
        intensities: number of a unit -> its value in each frame; all others are 0
        flags: number of a unit -> whether it is present in each frame; by default from 1 up
        success: whether the face was followed in each frame; by default always
        confidence: of each frame; by default 0.98
        frames_per_second: of the clip
    """
    num_frames = len(next(iter([*intensities.values(), *(flags or {}).values()])))
    zeros = [0.0] * num_frames
    header = ["frame", "face_id", "timestamp", "confidence", "success"]
    header += [f"AU{unit:02d}_r" for unit in OPENFACE_UNITS]
    units = sorted((*OPENFACE_UNITS, 28))
    header += [f"AU{unit:02d}_c" for unit in units]
    lines = [", ".join(header)]
    for row in range(num_frames):
        cells: list[object] = [row + 1, 0, f"{row / frames_per_second:.3f}"]
        cells += [(confidence or [0.98] * num_frames)[row], (success or [1] * num_frames)[row]]
        cells += [f"{intensities.get(unit, zeros)[row]:.2f}" for unit in OPENFACE_UNITS]
        for unit in units:
            by_value = [float(value >= 1) for value in intensities.get(unit, zeros)]
            cells.append((flags or {}).get(unit, by_value)[row])
        lines.append(", ".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def records(dataset: Path) -> dict[str, MerrRecord]:
    """Give all records of a data set, kept and rejected."""
    every = [*read_records(dataset), *read_records(dataset / "rejected.jsonl")]
    return {record.clip_id: record for record in every}


def contents(dataset: Path) -> dict[str, bytes]:
    """Give the files of a data set, without what its stages kept."""
    return {path.name: path.read_bytes() for path in dataset.iterdir() if path.is_file()}


def all_bytes(dataset: Path) -> dict[str, bytes]:
    """Give every file of a data set."""
    files = [path for path in dataset.rglob("*") if path.is_file()]
    return {path.relative_to(dataset).as_posix(): path.read_bytes() for path in files}


Reply = Callable[[dict[str, Any]], "str | int"]
"""Request -> what the model says, or the status with which it is refused."""


class ModelServer:
    """Speaks chat-completions on this machine, and keeps what it was asked."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.requests: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(request)
                said = outer.reply(request)
                status, body = (said, {}) if isinstance(said, int) else (200, _completion(said))
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def spec(self) -> str:
        """What names the model on the command line."""
        return f"http://127.0.0.1:{self._http.server_port}/v1#tiny"

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def model_server(reply: Reply) -> Iterator[ModelServer]:
    """Serve while the block runs."""
    server = ModelServer(reply)
    try:
        yield server
    finally:
        server.close()


def _completion(content: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny"}
    return {**body, "choices": [choice]}


def asked(request: Mapping[str, Any]) -> str:
    """Give the words of a request."""
    return "\n".join(str(message["content"]) for message in request["messages"])


def observations(request: Mapping[str, Any]) -> list[str]:
    """Give the observations of a request for a fine caption."""
    lines = asked(request).splitlines()
    return [line.partition(": ")[2] for line in lines if line.startswith("- ")]


def caption_for(label: str) -> Reply:
    """Write a caption of all that was observed, and conclude a label."""

    def reply(request: dict[str, Any]) -> str:
        said = [f"{one[0].upper()}{one[1:]}." for one in observations(request)]
        conclusion = f"All of these observations together speak for {label}."
        return f"Evidence: {' '.join(said)}\nConclusion: {conclusion}"

    return reply
