"""Keys: who holds one, what a file of them may hold; how often each may ask."""

import stat
from pathlib import Path

import pytest

from emotion_llama.server.api import keys
from emotion_llama.server.api.keys import KeyRing, RateLimit, add_key, hash_of, new_key


def test_a_key_is_known_by_its_hash() -> None:
    (key, digest), (other, _) = new_key(), new_key()
    ring = KeyRing({"ann": digest, "bob": hash_of("el_bob")})
    assert ring.check(key) == "ann"
    assert ring.check("el_bob") == "bob"
    for unknown in (other, digest, "", key[:-1], key.upper(), "\udcff", "\ud800"):
        assert ring.check(unknown) is None


def test_keys_are_random_and_long() -> None:
    made = {new_key()[0] for _ in range(20)}
    assert len(made) == 20
    assert all(key.startswith("el_") and len(key) == 46 for key in made)


def test_a_key_is_added_to_a_private_file_and_found_there(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    ann, bob = add_key(path, "ann"), add_key(path, "bob")
    path.write_text(f"# who may ask\n\n{path.read_text()}".rstrip("\n"))
    cid = add_key(path, "cid.2")
    ring = KeyRing.from_file(path)
    assert [ring.check(key) for key in (ann, bob, cid)] == ["ann", "bob", "cid.2"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(key in path.read_text() for key in (ann, bob, cid))


@pytest.mark.parametrize("name", ["ann", "", "a b", "a\nb", "-x", "x" * 65, "#"])
def test_a_name_that_is_taken_or_unusable_adds_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / "keys.txt"
    add_key(path, "ann")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="found the name"):
        add_key(path, name)
    assert path.read_bytes() == before


A, B = hash_of("a"), hash_of("b")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", "found no key, expected at least one"),
        ("# only words", "expected at least one"),
        (f"ann {A}\nbob", "keys.txt:2: found no key"),
        (f"ann {A} x", "keys.txt:1"),
        (f"ann {A.upper()}", "keys.txt:1"),
        ("ann el_secret", "keys.txt:1"),
        (f"ann {A}\nann {B}", "keys.txt:2: found the name ann"),
        (f"ann {A}\nbob {A}", "keys.txt:2"),
    ],
)
def test_a_broken_file_names_the_line_and_shows_no_secret(
    tmp_path: Path, lines: str, says: str
) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(lines)
    with pytest.raises(ValueError, match=says) as error:
        KeyRing.from_file(path)
    assert "el_secret" not in str(error.value)


def test_so_many_requests_are_allowed_and_then_as_many_a_minute() -> None:
    now = [0.0]
    limit = RateLimit(3, lambda: now[0])
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 20]
    assert limit.take("b") == 0, "others have their own"
    now[0] = 19
    assert limit.take("a") == pytest.approx(1)
    now[0] = 20
    assert [limit.take("a"), limit.take("a")] == [0, pytest.approx(20)]
    now[0] = 1e6
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 20], "no more is saved up"


def test_only_so_many_clients_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MAX_BUCKETS", 3)
    limit = RateLimit(1, lambda: 0.0)
    for client in "abcd":
        limit.take(client)
    assert limit.take("d") > 0
    assert limit.take("a") == 0
    assert len(limit._buckets) == 3
