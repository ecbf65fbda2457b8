"""Clip -> the same clip with worse sound, picture or words, to see how far answers hold.

A clip is disturbed as its file gives it; the face is looked for, and all is measured, afterwards.
Knows: the disturbances, what each needs, what cannot be disturbed. Does not know: models, figures.
"""

import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import soxr
from numpy.typing import NDArray

from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import MediaConfig
from emotion_llama.evaluation.sample_clip import decode_sample
from emotion_llama.evaluation.samples import EvalSample
from emotion_llama.media import MediaError, Span, read_waveform
from emotion_llama.media.audio import mix_down
from emotion_llama.records import Clip

Sense = Literal["audio", "vision", "text"]
"""Part of a clip that can be disturbed: its sound, its picture, its words."""

Kind = Sense | Literal["audio and vision"]
"""What a disturbance changes of a clip."""

Wave = NDArray[np.float32]
Pictures = NDArray[np.uint8]

SNRS_DB = (20, 15, 10, 5, 0)
"""Levels of speech over noise. MER-NOISE draws from 5 to 10 (Lian et al. 2023); 20 is hardly heard,
at 0 both are equally loud."""

BABBLE_VOICES, FEWEST_VOICES = 5, 3
"""Voices that are mixed, and fewest: below three, single words of a voice can be understood."""

OPUS_BIT_RATES = (12_000, 6_000)
"""Bits a second: a poor call, and the least that Opus knows (RFC 6716, section 2.1.1)."""
_OPUS_HZ = 48_000
"""The clock of every Opus stream; how much of the band is kept follows from the bit rate."""

BLUR_FACTORS = (2, 4)
"""How many times smaller the picture is before it is enlarged again, as in MER-NOISE."""

MER_NOISE_SNRS_DB = (5, 6, 7, 8, 9, 10)
MER_NOISE_FACTORS = (1, 2, 4)
"""What the NOISE tracks of MER2023 and MER2024 draw from for each clip, all equally often: a whole
ratio of voice over another voice, and a factor of the blur, of which 1 leaves the picture as it is
(Lian et al. 2023, section on MER-NOISE, and the public recipe)."""

JPEG_QUALITY = 10
"""Of 100: blocks of 8 pixels are seen with the naked eye."""

DROPPED_SHARES = (0.5, 0.8)
WORD_ERROR_SHARES = (0.1, 0.3, 0.5)

FACE_PARTS = {"eyes": (0.12, 0.38), "mouth": (0.56, 0.86)}
"""Upper and lower edge of the bar, as shares of the height of the face's box. In the boxes of the
packaged network the eyes lie at 0.20 to 0.30, the lips at 0.60 to 0.78; the rest is for heads that
are tilted and mouths that open."""
BAR_GREY = 128

_WORD_SOURCES = 20
"""Other clips whose words stand in for misheard ones; enough for a choice, few enough to be fast
with thousands of clips."""

_SCRIPT = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_SCRIPT}][^\w\s]*|[^\s{_SCRIPT}]+")
"""A word, or one character of Chinese and Japanese, which put no spaces between words."""


class LeftOutError(ValueError):
    """A clip cannot be disturbed in this way.

    The text says why, without anything of this one clip, so that clips can be counted by it.
    """


@dataclass(frozen=True)
class Material:
    """One clip of a run, and what can disturb it."""

    sample: EvalSample
    reader: ClipReader
    decoded: Clip
    """as the file gives it; no face was looked for"""
    seen: Clip
    """the same with the face; ``reader.finish`` makes the undisturbed clip of it"""
    others: Sequence[EvalSample] = ()
    """clips of the run whose voices and words may be taken; the sample itself is never drawn"""


Apply = Callable[[Material, np.random.Generator], Clip]
Draw = Callable[[np.random.Generator], Mapping[str, int]]


@dataclass(frozen=True)
class Disturbance:
    """One way to make a clip worse, at one level."""

    name: str
    """the same for all levels of it: ``white noise``"""
    kind: Kind
    level: str
    """``10 dB``"""
    needs: tuple[Sense, ...]
    """what a clip must have"""
    apply: Apply = field(repr=False)
    draw: Draw | None = field(default=None, repr=False)
    """draws the levels of one clip, first of all; ``None``: they are those of ``level``"""

    @property
    def title(self) -> str:
        """Name and level; no two of `SUITE` share it."""
        return f"{self.name}, {self.level}"


def read_material(
    reader: ClipReader, sample: EvalSample, others: Sequence[EvalSample] = ()
) -> Material:
    """Read a clip once for all its disturbances.

    Raises:
        MediaError: the file gives nothing
        ValueError: there is neither a file nor text
    """
    decoded = decode_sample(reader, sample)
    return Material(sample, reader, decoded, reader.find_face(decoded), others)


def disturbed_clip(material: Material, disturbance: Disturbance, seed: int = 0) -> Clip:
    """Disturb a clip and complete it as its reader completes every clip.

    The draws depend on seed, clip and name of the disturbance: all levels of it use the same noise,
    the same voices, and more of the same words and frames.

    Raises:
        LeftOutError: the clip lacks what is disturbed, or there is nothing to disturb it with
    """
    _require(material.decoded, disturbance.needs)
    changed = disturbance.apply(material, _draws(disturbance, material.sample.sample_id, seed))
    if "vision" in disturbance.needs:
        changed = material.reader.find_face(changed)
    note = f"disturbed on purpose: {disturbance.title}"
    noted = replace(changed, warnings=(*changed.warnings, note))
    return material.reader.finish(noted, material.sample.span)


def drawn_levels(disturbance: Disturbance, sample_id: str, seed: int = 0) -> Mapping[str, int]:
    """Give the levels that `disturbed_clip` draws for a clip; none where nothing is drawn."""
    draw = disturbance.draw
    return {} if draw is None else draw(_draws(disturbance, sample_id, seed))


def _draws(disturbance: Disturbance, sample_id: str, seed: int) -> np.random.Generator:
    place = zlib.crc32(f"{disturbance.name}/{sample_id}".encode())
    return np.random.default_rng([seed, place])


def disturbed_clips(
    material: Material, suite: Sequence[Disturbance], seed: int = 0
) -> Iterator[tuple[Disturbance, Clip | LeftOutError]]:
    """Give every disturbance of a clip, in order; where it has none, the reason to be counted."""
    for disturbance in suite:
        try:
            yield disturbance, disturbed_clip(material, disturbance, seed)
        except LeftOutError as reason:
            yield disturbance, reason


def mixed(speech: Wave, noise: Wave, snr_db: float) -> Wave:
    """Add noise at a signal-to-noise ratio.

    The ratio is 20 log10 of the root mean squares, both over the whole clip with its pauses, as in
    MER-NOISE. A sum over full scale is turned down as a whole: cutting it would change the ratio.

    Args:
        speech: mono sound in [-1, 1], [w]
        noise: of any level, [w]
        snr_db: ratio in decibels

    Raises:
        LeftOutError: one of them is silent, so that there is no ratio
    """
    wanted = _rms(speech) * 10 ** (-snr_db / 20)
    level = _rms(noise)
    if wanted == 0 or level == 0:
        msg = f"the {'noise' if wanted else 'sound'} is silence, which has no ratio to the other"
        raise LeftOutError(msg)
    total = speech + noise * (wanted / level)  # [w]
    return (total / max(1.0, float(np.abs(total).max()))).astype(np.float32)


def babble(voices: Sequence[Wave], num_samples: int, rng: np.random.Generator) -> Wave:
    """Let several voices talk at once, equally loud, each in a loop from a drawn place.

    Args:
        voices: mono sounds of one sample rate, none silent, each [w] of its own length
        num_samples: length of the result
        rng: draws the places

    Returns:
        sum of the voices, of no particular level, [w]

    Raises:
        LeftOutError: fewer than `FEWEST_VOICES` voices
    """
    if len(voices) < FEWEST_VOICES:
        msg = f"fewer than {FEWEST_VOICES} other clips have a voice for babble"
        raise LeftOutError(msg)
    total = np.zeros(num_samples)
    for voice in voices:
        start = int(rng.integers(len(voice)))
        total += np.resize(np.roll(voice, -start), num_samples) / _rms(voice)
    return total.astype(np.float32)


def compressed(waveform: Wave, sample_rate_hz: int, bits_per_second: int) -> Wave:
    """Send a sound [w] through the Opus codec (RFC 6716) at a constant bit rate, and back [w]."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="ogg") as container:
        options = {"application": "voip", "vbr": "off"}
        track = container.add_stream("libopus", rate=_OPUS_HZ, layout="mono", options=options)
        track.bit_rate = bits_per_second
        upsampled = soxr.resample(waveform, sample_rate_hz, _OPUS_HZ)
        frame = av.AudioFrame.from_ndarray(upsampled[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = _OPUS_HZ, 0
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    stream.seek(0)
    with av.open(stream, "r") as container:
        pieces = [mix_down(frame) for frame in container.decode(audio=0)]
    heard = soxr.resample(np.concatenate(pieces), _OPUS_HZ, sample_rate_hz)[: len(waveform)]
    whole = np.zeros(len(waveform), np.float32)
    whole[: len(heard)] = heard
    return np.clip(whole, -1.0, 1.0)


def blurred(pictures: Pictures, factor: int) -> Pictures:
    """Make pictures [t x h x w x 3] smaller by a power of two and enlarge them again.

    Each halving and doubling smooths with a Gaussian (Burt and Adelson 1983), as in MER-NOISE.
    """
    return np.stack([_through_pyramid(picture, factor) for picture in pictures])


def with_jpeg(pictures: Pictures, quality: int) -> Pictures:
    """Send pictures [t x h x w x 3] through JPEG at a quality of 1 to 100."""
    return np.stack([_through_jpeg(picture, quality) for picture in pictures])


def covered(pictures: Pictures, boxes: NDArray[np.floating], part: tuple[float, float]) -> Pictures:
    """Lay a grey bar over a part of a face, as wide as its box.

    Args:
        pictures: [t x h x w x 3]
        boxes: left, top, width, height of the face in each picture, in pixels, [t x 4]
        part: upper and lower edge as shares of the height of the box
    """
    barred = pictures.copy()
    for picture, (left, top, width, height) in zip(barred, boxes, strict=True):
        above, below = (max(0, round(top + share * height)) for share in part)
        picture[above:below, max(0, round(left)) : max(0, round(left + width))] = BAR_GREY
    return barred


def frames_on_show(num_frames: int, share: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Say which frame is on show where frames are lost: the last one that came, so it freezes.

    The first always comes; ``share`` x t of the others are lost, rounded, at most all of them.

    Returns:
        number of the frame on show at each frame's time, [t]

    Raises:
        LeftOutError: so few frames that none is lost
    """
    positions = np.arange(num_frames)
    lost = 1 + rng.permutation(num_frames - 1)[: round(share * num_frames)]
    if len(lost) == 0:
        msg = "too few frames to lose one"
        raise LeftOutError(msg)
    came = positions.copy()
    came[lost] = 0
    return np.maximum.accumulate(came)


def words_of(text: str) -> list[str]:
    """Split a text at its spaces; a character of Chinese or Japanese is a word of its own."""
    return _WORD.findall(text)


def with_word_errors(
    text: str, share: float, substitutes: Sequence[str], rng: np.random.Generator
) -> str:
    """Mishear words: each of the drawn ones is left out or becomes another, equally often.

    Args:
        text: what is said
        share: of the words (`words_of`) that are misheard, rounded, below 1
        substitutes: words to take instead
        rng: draws the words and what becomes of them

    Raises:
        LeftOutError: so few words that none is misheard, or no other word to take
    """
    spans = list(_WORD.finditer(text))
    chosen = rng.permutation(len(spans))[: round(share * len(spans))]
    if len(chosen) == 0:
        msg = "too few words to mishear one"
        raise LeftOutError(msg)
    # drawn for all words, so that a larger share keeps the errors of a smaller one
    left_out = rng.random(len(spans)) < 0.5
    picks = rng.random(len(spans))
    heard = [span[0] for span in spans]
    for index in chosen:
        fresh = "" if left_out[index] else _other_word(heard[index], substitutes, picks[index])
        heard[index] = fresh
    ends = [0, *(span.end() for span in spans)]
    gaps = [text[end : span.start()] for end, span in zip(ends, spans, strict=False)]
    pairs = zip(gaps, heard, strict=True)
    return " ".join("".join(gap + word for gap, word in pairs).split())


def _require(clip: Clip, needs: Sequence[Sense]) -> None:
    """Refuse a clip that lacks what is disturbed."""
    absent: dict[Sense, bool] = {
        "audio": clip.waveform is None,
        "vision": clip.frames is None,
        "text": clip.transcript is None,
    }
    for need in needs:
        if absent[need]:
            msg = f"the clip has no {need}"
            raise LeftOutError(msg)


def _require_more(clip: Clip, sense: Sense) -> None:
    """Refuse a clip that is nothing but what would be exchanged: it would be another clip."""
    present = (clip.waveform is not None, clip.frames is not None, clip.transcript is not None)
    if sum(present) < 2:
        msg = f"the clip is nothing but {sense}: it would be exchanged as a whole"
        raise LeftOutError(msg)


def _rms(waveform: Wave) -> float:
    """Give the root mean square of a sound [w]."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def _shuffled_others(material: Material, rng: np.random.Generator) -> Iterator[EvalSample]:
    """Give the other clips of the run in a drawn order."""
    own = material.sample
    for index in rng.permutation(len(material.others)):
        other = material.others[index]
        is_same = other.path is not None and (other.path, other.span) == (own.path, own.span)
        if other.sample_id != own.sample_id and not is_same:
            yield other


@lru_cache(maxsize=16)
def _sound(path: Path, media: MediaConfig, span: tuple[float, float] | None = None) -> Wave | None:
    """Read the sound [w] of another clip; all levels of a disturbance ask for the same ones."""
    try:
        return read_waveform(path, media, span and Span(*span)).waveform
    except MediaError:
        return None  # it cannot lend its voice; as a clip of the run, its reading reports it


def _voices(material: Material, rng: np.random.Generator) -> Iterator[tuple[EvalSample, Wave]]:
    """Give the other clips that can be heard, with their sound, in a drawn order."""
    for other in _shuffled_others(material, rng):
        media = material.reader.media
        sound = None if other.path is None else _sound(other.path, media, other.span)
        if sound is not None:
            yield other, sound


def _heard(material: Material) -> Wave:
    """Give the sound of a clip that is known to have one, [w]."""
    waveform = material.seen.waveform
    assert waveform is not None  # `Disturbance.needs`
    return waveform


def _white_noise(material: Material, rng: np.random.Generator, *, snr_db: float) -> Clip:
    speech = _heard(material)
    noise = rng.standard_normal(len(speech), dtype=np.float32)
    return replace(material.seen, waveform=mixed(speech, noise, snr_db))


def _babble(material: Material, rng: np.random.Generator, *, snr_db: float) -> Clip:
    speech = _heard(material)
    voices = [sound for _, sound in islice(_voices(material, rng), BABBLE_VOICES)]
    noise = babble(voices, len(speech), rng)
    return replace(material.seen, waveform=mixed(speech, noise, snr_db))


def _opus(material: Material, _rng: np.random.Generator, *, bits_per_second: int) -> Clip:
    rate = material.seen.sample_rate_hz
    return replace(material.seen, waveform=compressed(_heard(material), rate, bits_per_second))


def _other_sound(material: Material, rng: np.random.Generator) -> Clip:
    """Take the sound of a clip of another label, up to the end of the picture."""
    clip, label = material.seen, material.sample.truth.label
    _require_more(clip, "audio")
    if label is None:
        msg = "the clip has no label, so that none is another"
        raise LeftOutError(msg)
    room = None if clip.duration_s is None else round(clip.duration_s * clip.sample_rate_hz)
    for other, sound in _voices(material, rng):
        if other.truth.label not in (None, label) and sound[:room].any():
            return replace(clip, waveform=sound[:room].copy())
    msg = "no clip of another label can be heard"
    raise LeftOutError(msg)


def _pictures(material: Material) -> tuple[Pictures, NDArray[np.float64]]:
    """Give the frames with the key frame behind them [t + 1 x h x w x 3], and their times."""
    clip = material.decoded
    assert clip.frames is not None and clip.frame_times_s is not None  # `Disturbance.needs`
    assert clip.key_frame is not None and clip.key_frame_s is not None  # comes with the frames
    pictures = np.concatenate([clip.frames, clip.key_frame[None]])
    return pictures, np.append(clip.frame_times_s, clip.key_frame_s)


def _repainted(material: Material, pictures: Pictures) -> Clip:
    """Put pictures, in the order of `_pictures`, into the clip."""
    return replace(material.decoded, frames=pictures[:-1], key_frame=pictures[-1])


def mer_noise_levels(rng: np.random.Generator) -> Mapping[str, int]:
    """Draw the levels of one clip as the NOISE tracks do."""
    return {
        "snr_db": int(rng.choice(MER_NOISE_SNRS_DB)),
        "blur_factor": int(rng.choice(MER_NOISE_FACTORS)),
    }


def _mer_noise(material: Material, rng: np.random.Generator) -> Clip:
    """Lay another clip's voice over the sound and blur the picture, each at a drawn level."""
    levels = mer_noise_levels(rng)
    speech = _heard(material)
    voice = next((sound for _, sound in _voices(material, rng)), None)
    if voice is None:
        msg = "no other clip has a voice to lay over this one"
        raise LeftOutError(msg)
    start = int(rng.integers(len(voice)))
    noise = np.resize(np.roll(voice, -start), len(speech))
    waveform = mixed(speech, noise, levels["snr_db"])
    pictures = blurred(_pictures(material)[0], levels["blur_factor"])
    return replace(_repainted(material, pictures), waveform=waveform)


def _blur(material: Material, _rng: np.random.Generator, *, factor: int) -> Clip:
    return _repainted(material, blurred(_pictures(material)[0], factor))


def _jpeg(material: Material, _rng: np.random.Generator, *, quality: int) -> Clip:
    return _repainted(material, with_jpeg(_pictures(material)[0], quality))


def _frame_drops(material: Material, rng: np.random.Generator, *, share: float) -> Clip:
    """Freeze the picture where sampled frames are lost; a loss lasts a step of the sampling."""
    pictures, times_s = _pictures(material)
    shown = frames_on_show(len(pictures) - 1, share, rng)
    at_key = max(0, int(np.searchsorted(times_s[:-1], times_s[-1], side="right")) - 1)
    key = len(shown) if shown[at_key] == at_key else shown[at_key]
    return _repainted(material, pictures[[*shown, key]])


def _occlusion(material: Material, _rng: np.random.Generator, *, part: str) -> Clip:
    """Cover a part of the clean clip's face, in frames without it where it was nearest in time."""
    faces = material.seen.faces
    if faces is None:
        msg = "no face was found to cover"
        raise LeftOutError(msg)
    pictures, times_s = _pictures(material)
    nearest = np.abs(times_s[:, None] - faces.times_s).argmin(1)  # [t + 1]
    return _repainted(material, covered(pictures, faces.boxes[nearest], FACE_PARTS[part]))


def _through_pyramid(picture: Pictures, factor: int) -> Pictures:
    sizes = []
    small: Pictures = picture
    for _ in range(factor.bit_length() - 1):
        sizes.append((small.shape[1], small.shape[0]))
        small = np.asarray(cv2.pyrDown(small), dtype=np.uint8)
    for size in reversed(sizes):
        small = np.asarray(cv2.pyrUp(small, dstsize=size), dtype=np.uint8)
    return small


def _through_jpeg(picture: Pictures, quality: int) -> Pictures:
    flipped = np.ascontiguousarray(picture[..., ::-1])  # OpenCV's channels begin with blue
    _, coded = cv2.imencode(".jpg", flipped, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return decoded[..., ::-1]


def _other_words(material: Material, rng: np.random.Generator) -> Clip:
    """Take what is said in another clip."""
    clip = material.seen
    _require_more(clip, "text")
    own = _folded(clip.transcript or "")
    for other in _shuffled_others(material, rng):
        if _folded(other.transcript or "") not in ("", own):
            return replace(clip, transcript=" ".join((other.transcript or "").split()))
    msg = "no other clip has other words"
    raise LeftOutError(msg)


def _word_errors(material: Material, rng: np.random.Generator, *, share: float) -> Clip:
    clip = material.seen
    texts = (other.transcript for other in _shuffled_others(material, rng) if other.transcript)
    substitutes = {word for text in islice(texts, _WORD_SOURCES) for word in words_of(text)}
    heard = with_word_errors(clip.transcript or "", share, sorted(substitutes), rng)
    return replace(clip, transcript=heard)


def _other_word(word: str, substitutes: Sequence[str], pick: float) -> str:
    """Choose a word that is another one, by a number from 0 to below 1."""
    options = [one for one in substitutes if _folded(one) not in ("", _folded(word))]
    if not options:
        msg = "no other clip has other words"
        raise LeftOutError(msg)
    return options[int(pick * len(options))]


def _folded(text: str) -> str:
    """Bring a text to its letters: neither case nor punctuation makes another word."""
    return " ".join(re.sub(r"[^\w\s]", "", text.casefold()).split())


def _audio(name: str, level: str, apply: Apply) -> Disturbance:
    return Disturbance(name, "audio", level, ("audio",), apply)


def _vision(name: str, level: str, apply: Apply) -> Disturbance:
    return Disturbance(name, "vision", level, ("vision",), apply)


def _text(name: str, level: str, apply: Apply) -> Disturbance:
    return Disturbance(name, "text", level, ("text",), apply)


MER_NOISE = Disturbance(
    "voice and blur",
    "audio and vision",
    "as in MER-NOISE",
    ("audio", "vision"),
    _mer_noise,
    mer_noise_levels,
)
"""Both disturbances of the NOISE tracks at once. Those take their voices from MUSAN; here it is a
voice of another clip of the run, from a drawn place on and repeated to the end."""

SUITE: tuple[Disturbance, ...] = (
    *(_audio("white noise", f"{snr} dB", partial(_white_noise, snr_db=snr)) for snr in SNRS_DB),
    *(_audio("babble", f"{snr} dB", partial(_babble, snr_db=snr)) for snr in SNRS_DB),
    *(
        _audio("opus codec", f"{bits // 1000} kbit/s", partial(_opus, bits_per_second=bits))
        for bits in OPUS_BIT_RATES
    ),
    _audio("swapped sound", "another label", _other_sound),
    *(_vision("blur", f"factor {by}", partial(_blur, factor=by)) for by in BLUR_FACTORS),
    _vision("jpeg", f"quality {JPEG_QUALITY}", partial(_jpeg, quality=JPEG_QUALITY)),
    *(
        _vision("frame drops", f"{100 * share:.0f} %", partial(_frame_drops, share=share))
        for share in DROPPED_SHARES
    ),
    *(_vision("occlusion", part, partial(_occlusion, part=part)) for part in FACE_PARTS),
    *(
        _text("word errors", f"{100 * share:.0f} %", partial(_word_errors, share=share))
        for share in WORD_ERROR_SHARES
    ),
    _text("wrong words", "another clip", _other_words),
    MER_NOISE,
)
"""Every disturbance, by what it disturbs; of one name, levels in numbers get worse and worse."""
