"""What runs inside one reading process: a file -> a clip, or why there is none, in bytes.

Knows: limits of this process, reading. Does not know: who asks (`readers`), other processes.
Tasks come through standard input and answers leave through standard output, each as its length
(8 bytes) and its bytes. The first task is a pickle of what makes the reader, from the parent.
"""

import ctypes
import gc
import json
import logging
import os
import pickle
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from emotion_llama.media import MediaError, MediaLimitError, check_limits, probe
from emotion_llama.media.probe import MediaFacts, check_length
from emotion_llama.media.segments import counted_duration_s
from emotion_llama.records import Clip
from emotion_llama.server.reading.clip_message import to_message

if TYPE_CHECKING:
    from emotion_llama.clip_reader import ClipReader
    from emotion_llama.server.reading.readers import ReadLimits

LENGTH_BYTES = 8
"""Of the length in front of a task or an answer."""

READY, CLIP, LENGTH, ERROR = b"R", b"C", b"L", b"E"
"""First byte of an answer: waiting for tasks; a clip; a length; an error, both as JSON."""

MAX_TEXT = 4000
"""Characters of one part of an error."""

OUT_OF_MEMORY = ("allocate memory", "insufficient memory", "bad alloc", "start new thread")
"""What torch, OpenCV, C++ and Python write; a thread needs memory for its stack."""

MAX_OPEN_FILES = 64
"""Pipes, the file that is read and a module that is imported late need about ten."""

BYTES_PER_PIXEL = 16
"""A still is held up to four times while it is turned upright, at 4 bytes a pixel."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
"""Of Linux, ``prctl(2)``."""


def main() -> None:
    """Read files for the parent until it closes the pipe."""
    inbox, outbox = _take_pipes()
    _bind_to_parent()
    logging.disable()  # what is to be known is part of the answers
    try:
        make_reader, limits = pickle.loads(receive(inbox))
        reader = make_reader()
        _limit_this_process(limits)
    except Exception as error:
        send(outbox, ERROR + _in_json(**_why(error)))
        return
    _silence(2)  # a log file could not grow any more
    send(outbox, READY)
    gc.freeze()  # what is there now stays, and need not be looked at after every clip
    while task := receive(inbox):
        send(outbox, answer(reader, json.loads(task), limits))
        gc.collect()  # decoders and their threads, which PyAV's objects keep in circles


def receive(inbox: BinaryIO) -> bytes:
    """Wait for the next task; nothing when the parent is gone."""
    length = int.from_bytes(inbox.read(LENGTH_BYTES))
    return inbox.read(length)


def send(outbox: BinaryIO, message: bytes) -> None:
    """Send an answer."""
    outbox.write(len(message).to_bytes(LENGTH_BYTES))
    outbox.write(message)
    outbox.flush()


def answer(reader: "ClipReader", task: dict[str, Any], limits: "ReadLimits") -> bytes:
    """Read a file and give the clip without its frames, or the error, as bytes.

    Args:
        reader: what reads files
        task: ``path`` (``None`` for text alone), ``name`` (what the user calls the file), ``text``
            and ``span``; or ``only_length``, which gives the length alone
        limits: what may be read
    """
    path, name = task["path"], task["name"]
    try:
        if path is None:
            return CLIP + to_message(reader.read(None, task["text"]))
        if task.get("only_length"):
            return LENGTH + json.dumps(_length_s(Path(path), limits)).encode()
        clip = _read(reader, Path(path), task["text"], task["span"], limits)
        return CLIP + to_message(_named(clip, path, name))
    except Exception as error:
        why = _why(error)
        return ERROR + _in_json(**{k: part.replace(path or name, name) for k, part in why.items()})


def _why(error: Exception) -> dict[str, str]:
    """Give the kind of an error and its parts in words, the server's own path still in them."""
    if _is_out_of_memory(error):
        return {"kind": "memory"}
    if isinstance(error, MediaError):
        kind = "limit" if isinstance(error, MediaLimitError) else "media"
        parts = {"found": error.found, "expected": error.expected, "next_step": error.next_step}
        return {"kind": kind, **parts}
    if isinstance(error, ValueError):
        return {"kind": "value", "message": str(error)}
    trace = "".join(traceback.format_exception(error))[-MAX_TEXT:]
    return {"kind": "failed", "message": f"{type(error).__name__}: {error}", "trace": trace}


def _read(
    reader: "ClipReader",
    path: Path,
    text: str | None,
    span: tuple[float, float] | None,
    limits: "ReadLimits",
) -> Clip:
    """Read a file whose headers and whose length, as it turns out, are within the limits."""
    _check(path, limits)
    # a reader need not know spans where nobody asks for one
    part: dict[str, Any] = {} if span is None else {"span": tuple(span)}
    clip = reader.read(path, text, **part)
    check_length(clip.duration_s, path, limits.max_duration_s)
    return clip


def _length_s(path: Path, limits: "ReadLimits") -> float | None:
    """Give the length of a film or sound within the limits; ``None``: it has none."""
    facts = _check(path, limits)
    if facts.kind == "image":
        return None
    length_s = facts.duration_s or counted_duration_s(path)
    check_length(length_s, path, limits.max_duration_s)
    return length_s


def _check(path: Path, limits: "ReadLimits") -> MediaFacts:
    """Give what the headers of a file state, if that is within the limits."""
    facts = probe(path)
    check_limits(
        facts,
        path,
        max_duration_s=limits.max_duration_s,
        max_side_px=limits.max_side_px,
        max_pixels=limits.memory_mb * 2**20 // BYTES_PER_PIXEL,
        max_streams=limits.max_streams,
    )
    return facts


def _named(clip: Clip, path: str, name: str) -> Clip:
    """Leave out the frames, which no encoder reads, and the path, which is the server's own."""
    return replace(
        clip,
        frames=None,
        path=None,
        missing={modality: why.replace(path, name) for modality, why in clip.missing.items()},
        warnings=tuple(warning.replace(path, name) for warning in clip.warnings),
    )


def _in_json(**parts: str) -> bytes:
    return json.dumps({key: part[:MAX_TEXT] for key, part in parts.items()}).encode()


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that memory ran out; torch and OpenCV have no type for it."""
    if isinstance(error, RuntimeError) or type(error).__module__ == "cv2":
        return any(sign in str(error).lower() for sign in OUT_OF_MEMORY)
    # FFmpeg calls a thread that cannot start a thing that would block
    kinds = MemoryError, BlockingIOError
    return isinstance(error, kinds) or isinstance(error.__cause__, kinds)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep standard input and output for tasks and answers; whatever prints, prints nowhere."""
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _silence(0)
    _silence(1)
    return inbox, outbox


def _silence(stream: int) -> None:
    """Let a standard stream, by its number, read nothing and write nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, stream)
    os.close(nowhere)


def _bind_to_parent() -> None:
    """On Linux: die with the parent's thread that runs the loop, even amid a read; gain no rights.

    Elsewhere a process ends after the read at hand, when it finds the pipe closed.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit_this_process(limits: "ReadLimits") -> None:
    """Limit memory beyond what is taken already, files and their size; Windows has no such limits.

    Only Linux tells how much is taken, so only there memory is limited.
    """
    try:
        import resource
    except ImportError:
        return
    statm = Path("/proc/self/statm")
    bounds = {
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
    }
    if statm.exists():
        taken = int(statm.read_text().split()[0]) * resource.getpagesize()
        bounds[resource.RLIMIT_AS] = taken + limits.memory_mb * 2**20
    for which, bound in bounds.items():
        _, most = resource.getrlimit(which)
        bound = bound if most == resource.RLIM_INFINITY else min(bound, most)
        resource.setrlimit(which, (bound, bound))
