"""How a model is named, and what is asked of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from emotion_llama.labels import ALIASES, MERR, MINI
from emotion_llama.merr.describers import (
    PICTURE_PROMPT,
    VOICE_PROMPT,
    clean_answer,
    picture_describer,
    require_model_spec,
    text_model,
    voice_describer,
)


def test_offline_is_no_model() -> None:
    assert (
        text_model("offline") is picture_describer("offline") is voice_describer("offline") is None
    )


def test_names_are_taken_apart() -> None:
    hub = require_model_spec("hf:someone/model")
    assert hub is not None
    assert (hub.kind, hub.target) == ("hf", "someone/model")
    for host in ("127.0.0.1:8000", "localhost:1", "[::1]:80", "127.1.2.3"):
        address = require_model_spec(f"http://{host}/v1#org/model:7b")
        assert address is not None
        assert (address.kind, address.target) == ("endpoint", f"http://{host}/v1")
        assert address.model == "org/model:7b"


@pytest.mark.parametrize("spec", ["", "hf:", "hf: ", "gpt", "ftp://127.0.0.1/v1#m", "Offline"])
def test_other_names_are_refused_with_the_choices(spec: str) -> None:
    with pytest.raises(
        ValueError, match=r"'offline', 'hf:' and .*http://127\.0\.0\.1:8000/v1#MODEL"
    ):
        require_model_spec(spec)


def test_a_folder_that_is_not_there_is_refused_early(tmp_path: Path) -> None:
    assert require_model_spec(f"hf:{tmp_path}") is not None
    for path in (str(tmp_path / "none"), "./none", "~/none", "a/b/c"):
        with pytest.raises(ValueError, match=r"found no folder .*none|found no folder 'a/b/c'"):
            require_model_spec(f"hf:{path}")


@pytest.mark.parametrize("make", [text_model, picture_describer, voice_describer])
@pytest.mark.parametrize(
    "host",
    [
        "192.168.0.7:8000",
        "0.0.0.0:8000",
        "example.org",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "127.0.0.1@example.org",
        "[2001:db8::1]:80",
    ],
)
def test_no_media_leave_the_machine_unasked(make, host: str) -> None:
    with pytest.raises(ValueError, match="allow_remote|expected none"):
        make(f"http://{host}/v1#model")


def test_a_remote_address_with_leave() -> None:
    spec = require_model_spec("https://example.org/v1#model", allow_remote=True)
    assert spec is not None
    assert spec.target == "https://example.org/v1"


def test_an_address_without_a_model_or_with_a_secret_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found no model in .*/v1#MODEL"):
        require_model_spec("http://127.0.0.1:8000/v1")
    for spec in ("http://me:hush@127.0.0.1/v1#m", "http://127.0.0.1/v1?key=hush#m"):
        with pytest.raises(ValueError, match="EMOTION_LLAMA_API_KEY") as caught:
            require_model_spec(spec)
        assert "hush" not in str(caught.value)
    with pytest.raises(ValueError, match="without a usable host and port"):
        require_model_spec("http://127.0.0.1:port/v1#m")


def test_the_prompts_name_no_feeling() -> None:
    for prompt in (PICTURE_PROMPT, VOICE_PROMPT):
        words = prompt.lower().replace(",", " ").replace(".", " ").split()
        assert not {*MERR, *MINI, *ALIASES} & set(words)
        assert "Do not name, guess or hint" in prompt


def test_thoughts_are_no_part_of_an_answer() -> None:
    assert clean_answer("<think>She may be\nsad.</think>\n\nShe nods. ") == "She nods."
    assert clean_answer("<think>without an end") == ""
    assert clean_answer("She says <think>.") == "She says <think>."


def test_the_interfaces_load_without_the_models() -> None:
    command = (
        "import sys, emotion_llama.merr.describers, emotion_llama.merr.endpoint, "
        "emotion_llama.merr.local_models, emotion_llama.merr.words, emotion_llama.merr.scene; "
        "print(*sys.modules)"
    )
    listing = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, check=True, text=True
    )
    assert not {"torch", "transformers", "openai", "cv2", "PIL"} & set(listing.stdout.split())
