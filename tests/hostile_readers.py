"""Readers for the tests of reading processes; in a file of its own, which those can import."""

import ctypes
import json
import os
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from emotion_llama.media import MediaError
from emotion_llama.records import Clip


def _sleep(path: Path) -> str:
    time.sleep(60)
    return ""


def _spin(path: Path) -> str:
    while True:
        pass


def _abort(path: Path) -> str:
    os.abort()


def _exit(path: Path) -> str:
    os._exit(3)


def _segfault(path: Path) -> str:
    ctypes.string_at(0)
    return ""


def _forge(path: Path) -> str:
    return _send((5).to_bytes(8) + b"Cfake")


def _boast(path: Path) -> str:
    return _send((2**40).to_bytes(8))


def _eat(path: Path) -> str:
    return str(len(np.ones(2**32)))


def _eat_slowly(path: Path) -> str:
    held = []
    while True:
        held.append(bytearray(b"1" * 2**24))


def _refuse(path: Path) -> str:
    raise MediaError(path, found=f"bad {path}", expected="a film", next_step="send it again")


def _value(path: Path) -> str:
    msg = f"{path}: found a span, expected another"
    raise ValueError(msg)


def _bug(path: Path) -> str:
    msg = f"nobody thought of {path}"
    raise KeyError(msg)


def _write(path: Path) -> str:
    target = path.with_suffix(".written")
    try:
        target.write_text("here")
    except OSError as error:
        return type(error).__name__ + str(target.stat().st_size)
    return "written"


def _open_many(path: Path) -> str:
    files = []
    try:
        for _ in range(1000):
            files.append(path.open("rb"))
    except OSError:
        return str(len(files))
    finally:
        for file in files:
            file.close()
    return "all"


def _print(path: Path) -> str:
    print("\0" * 100, flush=True)  # noqa: T201
    os.write(1, b"noise")
    return sys.stdin.read()


def _state(path: Path) -> str:
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    return json.dumps(
        {
            "environment": dict(os.environ),
            "is_leader": os.getsid(0) == os.getpid(),
            "no_new_privileges": status.get("NoNewPrivs"),
            "open_files": len(list(Path("/proc/self/fd").iterdir())),
        }
    )


def _large(path: Path) -> str:
    return "word " * 10**6


def _send(answer: bytes) -> str:
    """Answer in place of the program, as code in a decoder could that was taken over."""
    for number in range(3, 20):
        with suppress(OSError):
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                os.write(number, answer)
    return ""


ACTS = {name[1:]: act for name, act in list(globals().items()) if name.startswith("_")}


class ActingReader:
    """Does what the text of a clip names; the transcript tells what came of it."""

    def read(
        self, path: Path, text: str | None = None, span: tuple[float, float] | None = None
    ) -> Clip:
        duration_s = None
        if text == "slow":
            time.sleep(0.5)
        elif text == "long":
            duration_s = 99.0
        elif text in ACTS:
            text = ACTS[text](path)
        where = f"read {path}"
        return Clip(
            clip_id=path.stem,
            kind="image",
            path=path,
            duration_s=duration_s,
            frames=np.zeros((2, 4, 4, 3), np.uint8),
            frame_times_s=np.array(span) if span else None,
            transcript=text,
            missing={"audio": where},
            warnings=(where, str(os.getpid())),
        )


class PlainReader:
    """A reader that knows no spans."""

    def read(self, path: Path, text: str | None = None) -> Clip:
        return Clip(clip_id=path.stem, kind="image", transcript=text)


def broken_reader() -> ActingReader:
    msg = "no weights"
    raise OSError(msg)


def dying_reader() -> ActingReader:
    os._exit(7)


def reader_while(marker: Path) -> ActingReader:
    """A reader that can be made as long as a file is there."""
    return ActingReader() if marker.exists() else broken_reader()


def reader_of_mini() -> object:
    """The reader of the packaged preset."""
    from emotion_llama.clip_reader import ClipReader
    from emotion_llama.evidence import measured_evidence
    from emotion_llama.preset import find_preset, preset_media

    return ClipReader(preset_media(find_preset("mini")), measure=measured_evidence)
