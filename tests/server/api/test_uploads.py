"""Uploaded files: private, hashed, limited, gone after any fault; names are labels."""

import asyncio
import hashlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_llama.server.api.uploads import (
    MAX_NAME_CHARS,
    NO_NAME,
    TooLargeError,
    Upload,
    UploadFolder,
    harmless_name,
)


async def _chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def _receive(folder: UploadFolder, *parts: bytes, name: str = "a.mp4") -> Upload:
    return asyncio.run(folder.receive(_chunks(*parts), name))


@pytest.fixture
def folder(tmp_path: Path) -> UploadFolder:
    return UploadFolder(tmp_path / "deep" / "uploads", max_bytes=10)


def test_a_file_is_kept_with_its_hash_and_size(folder: UploadFolder) -> None:
    upload = _receive(folder, b"01234", b"", b"56789")
    assert upload.path.read_bytes() == b"0123456789"
    assert upload.sha256 == hashlib.sha256(b"0123456789").hexdigest()
    assert (upload.num_bytes, upload.name) == (10, "a.mp4")


def test_only_this_user_may_read_it(tmp_path: Path) -> None:
    root = tmp_path / "open"
    root.mkdir(mode=0o777)
    upload = _receive(UploadFolder(root, 10), b"x")
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE(upload.path.stat().st_mode) == 0o600


def test_the_name_of_a_file_on_disk_has_nothing_of_the_clients(folder: UploadFolder) -> None:
    upload = _receive(folder, b"x", name="../../etc/passwd.mp4")
    assert upload.path.parent == folder.root
    assert "passwd" not in upload.path.name
    assert upload.path.suffix == ""
    assert upload.name == "passwd.mp4"


def test_a_byte_too_much_is_refused_and_removed(folder: UploadFolder) -> None:
    with pytest.raises(TooLargeError, match="more than 10 bytes"):
        _receive(folder, b"0123456789", b"x")
    assert list(folder.root.iterdir()) == []


@pytest.mark.parametrize(
    "fault", [ConnectionError(), asyncio.CancelledError(), KeyboardInterrupt()]
)
def test_whatever_goes_wrong_removes_the_file(folder: UploadFolder, fault: BaseException) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        assert len(list(folder.root.iterdir())) == 1
        raise fault

    async def run() -> None:
        with pytest.raises(type(fault)):
            await folder.receive(failing(), "a")

    asyncio.run(run())
    assert list(folder.root.iterdir()) == []


def test_removing_twice_is_no_fault(folder: UploadFolder) -> None:
    upload = _receive(folder, b"x")
    folder.remove(upload)
    folder.remove(upload)
    assert not upload.path.exists()


def test_cleaning_removes_uploads_and_nothing_else(folder: UploadFolder) -> None:
    _receive(folder, b"x")
    other = folder.root / "notes.txt"
    other.write_text("mine")
    folder.clean()
    assert list(folder.root.iterdir()) == [other]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../../etc/passwd", "passwd"),
        ("C:\\films\\ann\\my clip.mp4", "my clip.mp4"),
        ("a\0b\r\nX-Evil: 1.mp4", "abX-Evil: 1.mp4"),
        ("\u202egpj.exe", "gpj.exe"),
        ("büro 会.mp4", "büro 会.mp4"),
        ("", NO_NAME),
        ("..", NO_NAME),
        ("/", NO_NAME),
        ("x" * 300 + ".mp4", "x" * (MAX_NAME_CHARS - 4) + ".mp4"),
    ],
)
def test_names_are_made_harmless(name: str, shown: str) -> None:
    assert harmless_name(name) == shown


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_any_name_can_be_shown_and_is_no_path(name: str) -> None:
    shown = harmless_name(name)
    assert 1 <= len(shown) <= MAX_NAME_CHARS
    assert not set(shown) & set("/\\\0\r\n")
    assert shown.strip(".") != ""
    assert harmless_name(shown) == shown
    shown.encode()
