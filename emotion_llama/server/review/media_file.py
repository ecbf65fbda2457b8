"""The file of a record: found below one folder, with the type that a browser needs.

Knows: endings and their types, what a path may be. Does not know: HTTP, what is in the file. A path
that leads out of the folder is refused, as is a file that is no medium.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from emotion_llama.merr.records import MerrRecord

MediaKind = Literal["video", "audio", "image"]

MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".avi": "video/x-msvideo",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".wmv": "video/x-ms-wmv",
    ".flv": "video/x-flv",
    ".3gp": "video/3gpp",
    ".mts": "video/mp2t",
    ".m2ts": "video/mp2t",
    ".ogv": "video/ogg",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wma": "audio/x-ms-wma",
    ".aif": "audio/aiff",
    ".aiff": "audio/aiff",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".bmp": "image/bmp",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
"""Ending -> type. A QuickTime file is served as MP4: browsers refuse the one name and play both."""


@dataclass(frozen=True)
class MediaFile:
    """Where the file of a record is, or why it cannot be shown."""

    path: Path | None
    media_type: str | None
    why: str | None
    """why there is nothing to show"""

    @property
    def kind(self) -> MediaKind | None:
        """What shows it."""
        match (self.media_type or "").partition("/")[0]:
            case "video":
                return "video"
            case "audio":
                return "audio"
            case "image":
                return "image"
        return None


def find_media(record: MerrRecord, media_dir: Path | None) -> MediaFile:
    """Find the file that a record names, below the folder of media and nowhere else."""
    if media_dir is None:
        return _missing("no folder of media was given; start with --media DIR")
    named = record.path
    if _leads_out(named):
        return _missing(f"found the path {named!r}, expected one below the folder of media")
    media_type = MEDIA_TYPES.get(PurePosixPath(named).suffix.lower())
    if media_type is None:
        return _missing(f"found {named!r}, expected an ending of a video, a sound or a picture")
    root = media_dir.resolve()
    try:
        path = (root / named).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return _missing(f"found no file {named!r} below {media_dir}; give its folder with --media")
    if not path.is_file():
        return _missing(f"{named!r} is no file")
    if not path.is_relative_to(root) and not is_recorded(record, path):
        return _missing(f"{named!r} is a link out of {media_dir} to a file that was not annotated")
    return MediaFile(path, media_type, None)


def is_recorded(record: MerrRecord, path: Path) -> bool | None:
    """Say whether a file has the bytes that a record was made from; ``None``: it does not say."""
    if record.media_sha256 is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == record.media_sha256


def _leads_out(named: str) -> bool:
    """Say whether a path is absolute, climbs, or means something else on another system."""
    windows = PureWindowsPath(named)
    return (
        not named
        or "\0" in named
        or PurePosixPath(named).is_absolute()
        or bool(windows.drive or windows.root)
        or ".." in windows.parts
    )


def _missing(why: str) -> MediaFile:
    return MediaFile(None, None, why)
