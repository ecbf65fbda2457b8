"""File or text -> Clip: pictures, sound and transcript brought together.

Knows: which modalities a file gives and why others are absent. Does not know: how frames and
samples are decoded, faces, models.
"""

from pathlib import Path
from typing import Literal

from emotion_llama.config import MediaConfig
from emotion_llama.media.audio import SoundReading, read_waveform
from emotion_llama.media.error import MediaError
from emotion_llama.media.segments import file_duration_s
from emotion_llama.media.span import checked_span
from emotion_llama.media.still import read_still
from emotion_llama.media.video import PictureReading, read_frames
from emotion_llama.records import Clip, Modality

Kind = Literal["video", "image", "audio", "text"]

DEFAULT = MediaConfig()
"""Settings of a reading that states none."""


def read_clip(
    path: Path | str,
    spec: MediaConfig = DEFAULT,
    text: str | None = None,
    span: tuple[float, float] | None = None,
) -> Clip:
    """Read one video, sound or picture file; what it does not hold is named in ``missing``.

    Args:
        path: the file; its name without the ending becomes the clip id
        spec: sampling and key-frame settings
        text: what is said in the clip, where that is known
        span: start and end in seconds of the part to read, as if it were a file of its own; frames
            keep their times of the whole file, and the waveform begins at the start of the part,
            or where the sound begins (`emotion_llama.media.audio.sound_start_s`)

    Raises:
        MediaError: the file cannot be opened, or holds nothing usable and no text was given; or
            the span is no part of the file
    """
    path = Path(path)
    part, cut = (None, ()) if span is None else checked_span(path, span, file_duration_s(path))
    still = read_still(path, spec)
    kind: Kind = "image"
    if still is None:
        picture = read_frames(path, spec, part)
        sound = read_waveform(path, spec, part)
        kind = _kind(picture, sound)
    else:
        picture = still
        if part is not None:
            raise MediaError(
                path,
                found=f"a still picture, and the span {part}",
                expected="a film or sound",
                next_step="read the picture without a span",
            )
        sound = SoundReading(None, "a still picture has no sound", 0.0)
    transcript, without_text = _transcript(text)
    if picture.frames is None and sound.waveform is None and transcript is None:
        raise MediaError(
            path,
            found=f"nothing usable: {picture.absence}; {sound.absence}",
            expected="a picture, audible sound or a transcript",
            next_step="check that the file plays",
        )
    durations = [d for d in (picture.duration_s, sound.duration_s) if d]
    return Clip(
        clip_id=path.stem,
        kind=kind,
        path=path,
        duration_s=max(durations, default=None) if part is None else part.length_s,
        waveform=sound.waveform,
        sample_rate_hz=spec.sample_rate_hz,
        frames=picture.frames,
        frame_times_s=picture.times_s,
        key_frame=picture.key_frame,
        key_frame_s=picture.key_frame_s,
        transcript=transcript,
        missing=_without_picture(picture, kind) | _without_sound(sound) | without_text,
        warnings=cut + picture.warnings + sound.warnings,
    )


def text_clip(text: str, clip_id: str = "text") -> Clip:
    """Give a clip that is only a transcript.

    Raises:
        ValueError: the text is empty
    """
    transcript, _ = _transcript(text)
    if transcript is None:
        msg = f"found the text {text!r}, expected at least one word; give what was said"
        raise ValueError(msg)
    why = "only text was given"
    missing: dict[Modality, str] = {"global": why, "local": why, "temporal": why, "audio": why}
    return Clip(clip_id=clip_id, kind="text", transcript=transcript, missing=missing)


def _kind(picture: PictureReading, sound: SoundReading) -> Kind:
    if picture.frames is not None:
        return "video"
    return "text" if sound.waveform is None else "audio"


def _transcript(text: str | None) -> tuple[str | None, dict[Modality, str]]:
    """Give the text in one line, or ``None`` and why there is none."""
    if text is None:
        return None, {"text": "no transcript was given"}
    words = " ".join(text.split())
    return (words, {}) if words else (None, {"text": "the transcript is empty"})


def _without_picture(picture: PictureReading, kind: Kind) -> dict[Modality, str]:
    if picture.absence is not None:
        why = picture.absence
        return {"global": why, "local": why, "temporal": why}
    if picture.frames is not None and len(picture.frames) < 2:
        what = "a still picture" if kind == "image" else "the clip"
        return {"temporal": f"{what} has one frame; motion needs at least 2 frames"}
    return {}


def _without_sound(sound: SoundReading) -> dict[Modality, str]:
    return {} if sound.absence is None else {"audio": sound.absence}
