"""API key -> the name of who holds it; how often each may ask.

Knows: the file of keys, hashes, the rate. Does not know: HTTP.
Keys are random numbers of 256 bits: nobody can try them all, so that a plain SHA-256 keeps them as
safe as a slow hash would; those are for passwords, which people choose.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

KEY_PREFIX = "el_"
"""Starts every key, so that people and scanners for leaked secrets know one."""

KEY_BYTES = 32

MAX_BUCKETS = 10_000
"""Clients whose rate is remembered; beyond, who has not asked for longest is forgotten."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


def new_key() -> tuple[str, str]:
    """Make a key.

    Returns:
        the key, which its holder is given and nobody keeps, and its hash for the file
    """
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return key, hash_of(key)


def hash_of(key: str) -> str:
    """Give the SHA-256 of a key, 64 hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def add_key(path: Path, name: str) -> str:
    """Make a key and add its hash to a file, which is made where there is none.

    Returns:
        the key, which is nowhere else

    Raises:
        ValueError: the name is unusable or there already, or the file is broken
        OSError: the file cannot be written
    """
    if not _NAME.fullmatch(name):
        msg = (
            f"found the name {name!r}, expected 1 to 64 letters, digits, '.', '_' or '-', the "
            "first of them a letter or digit"
        )
        raise ValueError(msg)
    known = path.read_text("utf-8") if path.exists() else ""
    if name in _read_hashes(known, path):
        msg = f"{path}: found the name {name} already; take another, or remove its line first"
        raise ValueError(msg)
    key, digest = new_key()
    path.touch(0o600)
    with path.open("a", encoding="utf-8") as out:
        line_end = "" if known.endswith("\n") or not known else "\n"
        out.write(f"{line_end}{name} {digest}\n")
    return key


class KeyRing:
    """The keys that are accepted.

    Args:
        hashes: name of the holder -> hash of the key
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = dict(hashes)

    @classmethod
    def from_file(cls, path: Path) -> "KeyRing":
        """Read a file with a line ``name hash`` for each key; ``#`` starts a comment.

        Raises:
            ValueError: a line is of another form, a name or key stands there twice, or there is no
                key; the message never shows what stands in the place of a hash
            OSError: it cannot be read
        """
        hashes = _read_hashes(path.read_text("utf-8"), path)
        if not hashes:
            msg = f"{path}: found no key, expected at least one line with a name and a hash"
            raise ValueError(msg)
        return cls(hashes)

    def check(self, key: str) -> str | None:
        """Give the name of who holds a key; ``None``: nobody does.

        All hashes are compared, each in the same time, so that time tells nothing.
        """
        given = hash_of(key)
        same = [name for name, known in self._hashes.items() if hmac.compare_digest(given, known)]
        return same[0] if same else None


class RateLimit:
    """How often each client may ask: so many at once, and as many again in each minute.

    Args:
        per_minute: requests
        clock: gives seconds
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._most = float(per_minute)
        self._per_s = per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Count a request.

        Returns:
            0 if it may be answered, else the seconds after which the client may ask again; what is
            refused is not counted
        """
        now = self._clock()
        left, since = self._buckets.pop(client, (self._most, now))
        left = min(self._most, left + (now - since) * self._per_s)
        is_allowed = left >= 1
        self._buckets[client] = (left - is_allowed, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0 if is_allowed else (1 - left) / self._per_s


def _read_hashes(text: str, path: Path) -> dict[str, str]:
    """Read the lines of a file of keys.

    Raises:
        ValueError: see `KeyRing.from_file`
    """
    hashes: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not _NAME.fullmatch(words[0]) or not _HASH.fullmatch(words[1]):
            msg = (
                f"{path}:{number}: found no key, expected a name of letters, digits, '.', '_' "
                "or '-' and the SHA-256 of a key in 64 small hexadecimal digits"
            )
            raise ValueError(msg)
        name, digest = words
        if name in hashes or digest in hashes.values():
            msg = f"{path}:{number}: found the name {name} or its key again; remove one line"
            raise ValueError(msg)
        hashes[name] = digest
    return hashes
