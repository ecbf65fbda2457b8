"""A sample -> its clip: the part of a file and the half of a picture that belong to it.

Knows: spans of long films, pictures of two people side by side. Does not know: how a file is read
(`ClipReader`), answers.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emotion_llama.clip_reader import ClipReader
from emotion_llama.evaluation.samples import EvalSample, Side
from emotion_llama.media import text_clip
from emotion_llama.records import Clip


def read_sample(reader: ClipReader, sample: EvalSample) -> Clip:
    """Read the clip of a sample whole: with the face, the words and what was measured.

    Raises:
        MediaError: the file gives nothing, or not that span
        ValueError: there is neither a file nor text
    """
    if sample.path is None:
        return reader.read(None, sample.transcript)
    return reader.complete(decode_sample(reader, sample), sample.span)


def decode_sample(reader: ClipReader, sample: EvalSample) -> Clip:
    """Read the clip of a sample as its file gives it; no face is looked for.

    Raises:
        MediaError: the file gives nothing, or not that span
        ValueError: there is neither a file nor text
    """
    if sample.path is None:
        return text_clip(sample.transcript or "", sample.sample_id)
    clip = reader.decode(sample.path, sample.transcript, sample.span)
    return clip if sample.side is None else _half(clip, sample.side)


def _half(clip: Clip, side: Side) -> Clip:
    """Keep one half of every picture."""
    if clip.frames is None or clip.key_frame is None:
        return clip
    middle = clip.frames.shape[2] // 2
    columns = slice(None, middle) if side == "left" else slice(middle, None)

    def cut(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(pictures[..., columns, :])

    return replace(clip, frames=cut(clip.frames), key_frame=cut(clip.key_frame))
