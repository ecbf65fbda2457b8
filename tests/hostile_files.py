"""Files that an upload must survive: headers that lie, and what is no medium at all."""

import struct
import zlib


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A picture that states its size and holds these bytes, whatever size they are."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def wav(stated_s: int, held_s: int) -> bytes:
    """Noise of 8-bit samples at 1 kHz that states one length and holds another."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, 1000, 1000, 1, 8)
    head = b"RIFF" + struct.pack("<I", stated_s * 1000 + 36) + b"WAVEfmt " + form
    return head + b"data" + struct.pack("<I", stated_s * 1000) + bytes(range(250)) * 4 * held_s


def matroska(
    num_tracks: int = 1, duration_s: float = 1.0, width: int = 64, codec: str = "V_VP8"
) -> bytes:
    """A film (or subtitles) with one broken frame, written by hand."""
    head = _element("1A45DFA3", _number("4286", 1), _element("4282", b"webm"))
    length = _element("4489", struct.pack(">d", duration_s * 1000))
    information = _element("1549A966", _number("2AD7B1", 1_000_000), length)
    size = _element("E0", _number("B0", width), _number("BA", 64))
    kind = _number("83", 1 if codec.startswith("V") else 17)
    form = kind + _element("86", codec.encode()) + size
    tracks = [
        _element("AE", _number("D7", n), _number("73C5", n), form) for n in range(1, num_tracks + 1)
    ]
    block = _element("A3", b"\x81\0\0\x80" + bytes(50))
    cluster = _element("1F43B675", _number("E7", 0), block)
    return head + _element("18538067", information, _element("1654AE6B", *tracks), cluster)


def mp4_that_states(film: bytes, duration_s: int) -> bytes:
    """The film with frames shown for so long that each track has another length."""
    changed = bytearray(film)
    scale = 1
    for at in range(len(film)):
        if film[at : at + 4] == b"mdhd":
            (scale,) = struct.unpack_from(">I", film, at + 16)
            struct.pack_into(">I", changed, at + 20, duration_s * scale)
        if film[at : at + 4] == b"edts":
            changed[at : at + 4] = b"free"
        if film[at : at + 4] == b"stts":
            (num_frames,) = struct.unpack_from(">I", film, at + 12)
            struct.pack_into(">I", changed, at + 16, duration_s * scale // num_frames)
    return bytes(changed)


PLAYLISTS = {
    "list.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"
    b"#EXT-X-ENDLIST\n",
    "net.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"
    b"#EXT-X-ENDLIST\n",
    "list.ffconcat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "list.txt": b"file '/etc/passwd'\nfile 'http://127.0.0.1:9/a.mp4'\n",
}
"""Texts that name other files and addresses."""

NO_MEDIA = {
    "random.mp4": bytes((i * i * 31 + 7 * i) % 251 for i in range(5000)),
    "picture.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>',
    "phone.heic": b"\0\0\0\x18ftypheic" + bytes(100),
    "empty.mp4": b"",
}


def _element(name: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes.fromhex(name) + (1 << 56 | len(body)).to_bytes(8) + body


def _number(name: str, value: int) -> bytes:
    return _element(name, value.to_bytes(4))
