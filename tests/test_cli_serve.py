"""emotion-llama serve: who may be let in, keys, and a service that ends in order."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emotion_llama.cli.program import app
from emotion_llama.cli.serve import is_loopback
from emotion_llama.server.api.keys import KeyRing


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["serve", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_only_this_machine_asks_without_a_key(host: str, is_own: bool) -> None:
    assert is_loopback(host) == is_own


def test_an_address_that_others_reach_needs_keys() -> None:
    code, _, words = run("--host", "0.0.0.0")
    assert code == 2
    assert "0.0.0.0, which other machines can reach, and no keys" in " ".join(words.split())


def test_a_key_is_shown_once_and_its_hash_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    code, key, words = run("--keys", str(file), "--new-key", "ann")
    assert code == 0
    assert key.strip().startswith("el_")
    assert key.strip() not in file.read_text("utf-8")
    assert KeyRing.from_file(file).check(key.strip()) == "ann"
    assert "shown this once" in words
    code, _, words = run("--new-key", "ann")
    assert code == 2
    assert "--new-key without --keys" in words


def test_an_unknown_limit_is_named() -> None:
    code, _, words = run("max_upload=3")
    assert code == 2
    assert "max_upload:" in words
    assert "max_upload_mb" in words


def test_two_presets_of_one_name_are_refused() -> None:
    code, _, words = run("--preset", "mini", "--preset", "mini", "--port", "0", "--no-page")
    assert code == 2
    assert "two presets with the name 'mini'" in " ".join(words.split())


@contextmanager
def service(*arguments: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "emotion_llama", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(r"http://[\d.]+:\d+", line)
            if found:
                yield found[0], process
                break
        else:
            pytest.fail("it did not start")
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_service_answers_and_ends_in_order(tmp_path: Path, how: signal.Signals) -> None:
    data = tmp_path / "data"
    with service("--no-page", "--data", str(data), "num_readers=1") as (address, process):
        for path, expected in (("/readyz", 200), ("/v1/models", 200)):
            with urllib.request.urlopen(f"{address}{path}", timeout=20) as response:
                assert response.status == expected
        request = urllib.request.Request(
            f"{address}/v1/predict", data=b"text=I+am+so+happy", method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            assert json.load(response)["modalities"] == ["text"]
        assert list(data.glob("uploads-*"))
        process.send_signal(how)
        for _ in range(200):
            if process.poll() is not None:
                break
            time.sleep(0.1)
        assert process.returncode == 0
    assert not list(data.glob("uploads-*")), "nobody's files are left"
    assert (data / "batches.sqlite").exists()
