"""What a stage made is found again, only under the very key, and never half-written."""

from pathlib import Path

import pytest

from emotion_llama.merr.stage_cache import StageCache, key_of


def test_what_was_put_is_found_in_another_process_view(tmp_path: Path) -> None:
    StageCache(tmp_path).put("measures", key_of({"media": "a"}), {"value": 1.5})
    assert StageCache(tmp_path).get("measures", key_of({"media": "a"})) == {"value": 1.5}


@pytest.mark.parametrize("other", [{"media": "b"}, {"media": "a", "prompt": "x"}, ["a"]])
def test_anything_else_in_the_key_is_another_result(tmp_path: Path, other: object) -> None:
    cache = StageCache(tmp_path)
    cache.put("measures", key_of({"media": "a"}), {})
    assert cache.get("measures", key_of(other)) is None
    assert cache.get("labels", key_of({"media": "a"})) is None


def test_the_order_of_names_in_a_key_does_not_matter() -> None:
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})


@pytest.mark.parametrize("content", [b"", b'{"value": 1', b"[1]", b"\xff\xfe"])
def test_a_damaged_file_is_made_again(tmp_path: Path, content: bytes) -> None:
    cache, key = StageCache(tmp_path), key_of("a")
    cache.put("measures", key, {"value": 1})
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(content)
    assert cache.get("measures", key) is None
    cache.put("measures", key, {"value": 2})
    assert cache.get("measures", key) == {"value": 2}


def test_a_value_that_json_cannot_hold_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        StageCache(tmp_path).put("measures", key_of("a"), {"value": float("nan")})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
