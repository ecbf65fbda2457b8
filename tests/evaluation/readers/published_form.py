"""Small folders in the form that data sets are published in."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from emotion_llama.evaluation.protocol import Protocol, load_protocol
from emotion_llama.evaluation.readers import READERS
from emotion_llama.evaluation.samples import Reading


def write(folder: Path, texts: Mapping[str, str], media: Iterable[str] = ()) -> Path:
    """Write text files and empty media files."""
    for name, text in {**texts, **dict.fromkeys(media, "")}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def read(name: str, folder: Path, work: Path | None = None, **options: Any) -> Reading:
    """Read a folder by a packaged protocol, with some other options."""
    protocol = with_options(load_protocol(name), **options)
    return READERS[protocol.reader](folder, protocol, work or folder / "work")


def with_options(protocol: Protocol, **options: Any) -> Protocol:
    return protocol.model_copy(update={"options": {**protocol.options, **options}})


def truths(reading: Reading) -> dict[str, str | None]:
    return {sample.sample_id: sample.truth.label for sample in reading.samples}


def files(reading: Reading, folder: Path) -> list[str]:
    """Paths below the folder."""
    return [str(s.path.relative_to(folder).as_posix()) for s in reading.samples if s.path]
