"""What the page keeps of one visitor's clip between two clicks.

Knows: the records. Does not know: where they are kept, how they are shown. Sound, crops and the
file are not among them: what is kept is small, and no picture but the key frame.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.labels import LabelSet
from emotion_llama.modalities import Part
from emotion_llama.prompt import Turn
from emotion_llama.records import Prediction
from emotion_llama.server.page.measures import Measures


@dataclass(frozen=True)
class Piece:
    """A clip, or one segment of a long one, and what is shown of it."""

    encoded: EncodedClip
    prediction: Prediction
    measures: Measures
    span: tuple[float, float] | None = None
    """``None``: the whole clip"""
    without: Mapping[Part, Prediction] | None = None
    """part -> the answer with that part left out; ``None``: not asked yet"""


@dataclass(frozen=True)
class Talk:
    """A clip that was answered, and what was said about it."""

    pieces: tuple[Piece, ...]
    labels: LabelSet
    with_reason: bool
    sha256: str | None = None
    """of the file; ``None`` for words alone"""
    notes: tuple[str, ...] = ()
    """what is to be known of how it was answered, besides the warnings of the answers"""
    chosen: int = 0
    """position of the piece that is shown and talked about"""
    turns: tuple[Turn, ...] = ()

    @property
    def piece(self) -> Piece:
        """The piece that is shown."""
        return self.pieces[self.chosen]

    @property
    def preset(self) -> str:
        """Name of the preset that answered, which questions are put to."""
        return self.piece.prediction.preset

    def with_piece(self, piece: Piece) -> "Talk":
        """Put another piece in place of the one that is shown."""
        before, after = self.pieces[: self.chosen], self.pieces[self.chosen + 1 :]
        return replace(self, pieces=(*before, piece, *after))

    def with_last(self, piece: Piece) -> "Talk":
        """Put another piece in place of the last one."""
        return replace(self, pieces=(*self.pieces[:-1], piece))


def lean(encoded: EncodedClip) -> EncodedClip:
    """Leave out what no later question about a clip needs: sound, crops, frames."""
    if encoded.clip is None:
        return encoded
    faces = encoded.clip.faces
    if faces is not None:
        faces = replace(faces, crops=faces.crops[:1], points=None)
    clip = replace(encoded.clip, waveform=None, frames=None, key_frame=None, faces=faces)
    return replace(encoded, clip=clip)
