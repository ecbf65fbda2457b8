"""The one path from a file to an answer, with a tiny preset of random weights."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from emotion_llama import EmotionLlama, Predictor
from emotion_llama.clip_words import WordReader
from emotion_llama.config import MediaConfig
from emotion_llama.media import MediaError, Speech
from emotion_llama.model.scoring import LabelScores, score_labels
from emotion_llama.predict import ClipFailure, EncodedClip, PresetError
from emotion_llama.prompt import Turn
from emotion_llama.records import Features, Prediction

TOLERANCE = 1e-4
WHOLE_FRAME = MediaConfig(face_source="whole-frame")


@pytest.fixture(scope="module")
def preset(tiny_preset: Path) -> Path:
    return tiny_preset


@pytest.fixture(scope="module")
def predictor(preset: Path) -> Predictor:
    return Predictor.from_pretrained(preset, device="cpu", media=WHOLE_FRAME)


def close(one: Prediction, other: Prediction) -> bool:
    assert list(one.probabilities) == list(other.probabilities)
    pairs = zip(one.probabilities.values(), other.probabilities.values(), strict=True)
    return all(abs(a - b) < TOLERANCE for a, b in pairs) and one.reason == other.reason


def test_lora_is_merged_in_full_precision_and_left_apart_in_half(
    preset: Path, predictor: Predictor, talking_film: Path, tmp_path: Path
) -> None:
    model: Any = EmotionLlama.from_pretrained(preset, dtype=torch.float32)
    adapters = {name for name, _ in model.named_parameters() if ".lora_" in name}
    for name in adapters:  # what training leaves behind; at first LoRA does nothing
        torch.nn.init.normal_(model.get_parameter(name), std=0.3)
    folder = shutil.copytree(preset, tmp_path / "trained")
    model.save_pretrained(folder)
    merged = Predictor.from_pretrained(folder, device="cpu", media=WHOLE_FRAME)
    assert not any(".lora_" in name for name, _ in merged.model.named_parameters())
    half = Predictor.from_pretrained(folder, device="cpu", dtype="bfloat16", media=WHOLE_FRAME)
    assert {name for name, _ in half.model.named_parameters() if ".lora_" in name} == adapters
    apart = Predictor(
        model, merged.processor, merged.extractor, preset="apart", reader=merged.reader
    )
    answer = apart(talking_film, "We won!")
    assert close(merged(talking_film, "We won!"), answer)
    assert not close(predictor(talking_film, "We won!"), answer), "LoRA makes a difference"


def test_an_answer_states_everything(predictor: Predictor, talking_film: Path) -> None:
    answer = predictor(talking_film, text="We won!")
    assert list(answer.probabilities) == predictor.model.config.labels
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.label == max(answer.probabilities, key=answer.probabilities.__getitem__)
    assert answer.confidence == max(answer.probabilities.values())
    assert answer.unsure == (answer.confidence < 0.5)
    assert "below 0.5" in answer.unsure_rule
    assert answer.modalities == ("global", "local", "temporal", "audio", "text")
    assert answer.missing == {}
    assert answer.key_frame_s is not None
    assert {"read", "encode", "label", "reason", "total"} == set(answer.timings_s)
    assert answer.clip == str(talking_film)
    assert answer.preset == "tiny"
    assert predictor.notice == "for tests only"
    json.dumps(answer.to_dict())


def test_offered_labels_and_order_are_the_callers(predictor: Predictor, talking_film: Path) -> None:
    answer = predictor(talking_film, labels=("sad", "happy"))
    assert list(answer.probabilities) == ["sad", "happy"]
    assert list(predictor(talking_film, labels="mer2023").probabilities)[0] == "neutral"


def test_each_kind_of_input_states_what_is_missing(
    predictor: Predictor,
    make_film: Callable[..., Path],
    frames_25: NDArray[np.uint8],
    one_second_tone: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    Image.fromarray(frames_25[0]).save(tmp_path / "still.png")
    cases = {
        make_film("silent.mp4", frames=frames_25): {"audio", "text"},
        make_film("sound.m4a", sounds=[one_second_tone]): {"global", "local", "temporal", "text"},
        tmp_path / "still.png": {"temporal", "audio", "text"},
    }
    for path, missing in cases.items():
        answer = predictor(path)
        assert set(answer.missing) == missing, path
        assert all(answer.missing.values())
        assert not set(answer.modalities) & missing
    words = predictor(None, text="I am so happy")
    assert words.modalities == ("text",)
    assert set(words.missing) == {"global", "local", "temporal", "audio"}


def test_without_a_face_the_picture_still_counts(preset: Path, talking_film: Path) -> None:
    answer = Predictor.from_pretrained(preset, device="cpu")(talking_film)
    assert answer.modalities == ("global", "audio")
    assert "no face was found" in answer.missing["local"]


@pytest.mark.parametrize(
    ("reason", "about"),
    [
        ("the face looks happy", "face"),
        ("His eyebrows are raised", "face"),
        ("the expression is sad, and the voice is high", "face voice"),
        ("the tone is loud", "voice"),
        ("he speaks slowly", "voice"),
        ("the word great sounds happy", ""),
        ("the surface is pale and the invoice is lost", ""),
    ],
)
def test_what_a_reason_says_of_an_absent_face_or_voice_is_called_a_guess(
    preset: Path,
    talking_film: Path,
    make_film: Callable[..., Path],
    frames_25: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
    about: str,
) -> None:
    whole_frame = Predictor.from_pretrained(preset, device="cpu", media=WHOLE_FRAME)
    searching = Predictor.from_pretrained(preset, device="cpu")
    silent = make_film("silent.mp4", frames=frames_25)

    def guessed(predictor: Predictor, path: Path | None, text: str | None = None) -> set[str]:
        monkeypatch.setattr(predictor.processor, "decode", lambda _: reason)
        warnings = predictor(path, text).warnings
        return {word for word in ("face", "voice") if f"about a {word} is a guess" in str(warnings)}

    spoken_of = set(about.split())
    assert guessed(whole_frame, talking_film) == set()
    assert guessed(whole_frame, silent) == spoken_of & {"voice"}
    assert guessed(searching, talking_film) == spoken_of & {"face"}
    assert guessed(searching, silent) == spoken_of
    assert guessed(searching, None, "We won!") == spoken_of
    monkeypatch.setattr(searching.processor, "decode", lambda _: reason)
    heard = replace(searching.embeddings(talking_film), patches=None, class_token=None)
    warnings = searching.from_features(heard).warnings
    assert any("about a face" in one for one in warnings) == ("face" in spoken_of)
    assert searching(silent, with_reason=False).warnings == ()


def test_a_picture_without_a_face_is_never_sure(
    preset: Path, make_film: Callable[..., Path], frames_25: NDArray[np.uint8]
) -> None:
    predictor = Predictor.from_pretrained(preset, device="cpu")
    predictor.model.config.unsure_below = 0.0
    answer = predictor(make_film("silent.mp4", frames=frames_25))
    assert answer.modalities == ("global",)
    assert answer.unsure
    assert "neither face, voice nor words" in answer.unsure_rule


def test_a_batch_equals_single_answers_and_keeps_failures_in_place(
    predictor: Predictor,
    make_film: Callable[..., Path],
    frames_25: NDArray[np.uint8],
    one_second_tone: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    (tmp_path / "broken.mp4").write_text("no film")
    paths = [
        make_film("both.mp4", frames=frames_25, sounds=[one_second_tone]),
        tmp_path / "broken.mp4",
        make_film("silent.mp4", frames=frames_25[::-1]),
        tmp_path / "absent.mp4",
        make_film("sound.m4a", sounds=[one_second_tone]),
    ]
    texts = ["We won!", None, None, None, "Oh no"]
    results = list(predictor.batch(paths, texts, batch_size=4))
    for path, text, result in zip(paths, texts, results, strict=True):
        if path.stem in ("broken", "absent"):
            assert isinstance(result, ClipFailure)
            assert result.clip == str(path)
            assert path.name in result.error
        else:
            assert isinstance(result, Prediction)
            assert result.clip == str(path)
            alone = predictor(path, text)
            assert result.probabilities == alone.probabilities, "to the last digit on a CPU"
            assert result.reason == alone.reason


def test_a_clip_that_leaves_nothing_fails_alone(
    preset: Path, make_film: Callable[..., Path], one_second_tone: NDArray[np.float32]
) -> None:
    deaf = Predictor.from_pretrained(preset, device="cpu")
    deaf.extractor.audio = None
    sound = make_film("sound.m4a", sounds=[one_second_tone])
    failure, answer = deaf.batch([sound, sound], [None, "Hello"])
    assert isinstance(failure, ClipFailure)
    assert failure.clip == str(sound)
    assert "this preset has no audio encoder" in failure.error
    assert isinstance(answer, Prediction)
    assert answer.modalities == ("text",)


def test_a_transcript_that_is_too_long_fails_alone(
    predictor: Predictor, talking_film: Path
) -> None:
    failure, answer = predictor.batch([talking_film] * 2, ["word " * 5000, "Hello"])
    assert isinstance(failure, ClipFailure)
    assert "give a shorter transcript" in failure.error
    assert isinstance(answer, Prediction)
    assert close(answer, predictor(talking_film, "Hello"))


def test_texts_must_match_the_files(predictor: Predictor, talking_film: Path) -> None:
    with pytest.raises(ValueError, match="shorter|longer"):
        list(predictor.batch([talking_film], texts=["one", "two"]))


def test_features_give_the_same_answer_as_their_file(
    predictor: Predictor, talking_film: Path
) -> None:
    features = predictor.embeddings(talking_film)
    from_features = predictor.from_features(features, text="We won!")
    assert close(from_features, predictor(talking_film, text="We won!"))


def test_every_modality_counts(predictor: Predictor) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = {"patches": (16, 8), "class_token": (8,)}
    shapes |= dict.fromkeys(("local", "temporal", "audio"), (8,))
    features = Features(**{n: torch.randn(s, generator=generator) for n, s in shapes.items()})
    whole = predictor.from_features(features, text="We won!")
    dropped = {
        "global": replace(features, patches=None, class_token=None),
        "local": replace(features, local=None),
        "temporal": replace(features, temporal=None),
        "audio": replace(features, audio=None),
    }
    for name, rest in dropped.items():
        answer = predictor.from_features(rest, text="We won!")
        assert name not in answer.modalities
        assert name in answer.missing, "an absent modality is always named"
        assert not close(answer, whole), name
    assert not close(predictor.from_features(features), whole)


def test_reasons_are_left_out_on_request(predictor: Predictor, talking_film: Path) -> None:
    whole, label_only = predictor(talking_film), predictor(talking_film, with_reason=False)
    assert label_only.reason is None
    assert "reason" not in label_only.timings_s
    assert label_only.probabilities == whole.probabilities


def test_a_reason_for_another_label_is_a_warning(
    predictor: Predictor, talking_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = predictor(talking_film).label
    assert label is not None
    other = next(x for x in predictor.model.config.labels if x != label)
    for reason, expected in ((other, 1), (label, 0), ("no label at all", 0)):
        monkeypatch.setattr(predictor.processor, "decode", lambda _, text=reason: f"so {text}")
        warnings = [w for w in predictor(talking_film).warnings if "argues for" in w]
        assert len(warnings) == expected, reason


class Listener:
    """A recogniser that always hears the same."""

    name, version = "listener", "7"

    def __init__(self, words: str) -> None:
        self.words = words

    def transcribe(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> Speech:
        assert sample_rate_hz == 16000
        assert waveform.ndim == 1
        return Speech(self.words, "en")


def test_recognised_words_are_used_and_said(preset: Path, talking_film: Path) -> None:
    predictor = Predictor.from_pretrained(preset, device="cpu", media=WHOLE_FRAME)
    given = predictor(talking_film, "We won!")
    assert predictor.reader.words == WordReader(english_only=True), "as the preset states"
    predictor.reader.words = WordReader(Listener(" We won! "), english_only=True)
    heard = predictor(talking_film)
    assert close(heard, given)
    assert heard.warnings == ("the words were recognised by listener (7), English: 'We won!'",)
    assert predictor(talking_film, "We won!").warnings == (), "given words are not overridden"
    predictor.reader.words = WordReader(Listener(""), english_only=True)
    assert predictor(talking_film).missing["text"] == "listener heard no words"


def test_nothing_to_answer_from(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="gives neither a feature nor text"):
        predictor.from_features(Features())
    with pytest.raises(ValueError, match="at least one word"):
        predictor(None)


def test_a_greedy_answer_that_names_no_label_is_none(preset: Path, talking_film: Path) -> None:
    greedy = Predictor.from_pretrained(preset, device="cpu", decision="greedy")
    answer = greedy(talking_film)
    assert answer.label is None, "random weights write no label"
    assert answer.unsure
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_what_is_encoded_once_is_asked_as_often_as_wanted(
    predictor: Predictor, talking_film: Path
) -> None:
    clip = predictor.read(talking_film, "Hello there.")
    silent = replace(clip, waveform=None, missing={"audio": "left out"})
    nothing = replace(clip, waveform=None, frames=None, key_frame=None, faces=None, transcript=None)
    encoded = predictor.encode([clip, nothing, silent])
    whole, failure, mute = predictor.answer(encoded, with_reason=False)
    assert isinstance(failure, ClipFailure)
    assert isinstance(whole, Prediction)
    assert isinstance(mute, Prediction)
    assert close(whole, predictor(talking_film, "Hello there.", with_reason=False))
    assert whole.answer is None
    assert mute.missing["audio"] == "left out"
    assert whole.probabilities != mute.probabilities
    reworded = predictor.answer(encoded[:1], question="Who is sad?", with_reason=False)[0]
    assert isinstance(reworded, Prediction)
    assert whole.probabilities != reworded.probabilities


def test_a_free_answer_stands_beside_the_scored_label(
    preset: Path, predictor: Predictor, talking_film: Path
) -> None:
    encoded = predictor.encode([predictor.read(talking_film)])
    scored = predictor.answer(encoded, with_reason=False, with_answer=True)[0]
    greedy = Predictor.from_pretrained(preset, device="cpu", decision="greedy", media=WHOLE_FRAME)
    parsed = greedy(talking_film, with_reason=False)
    assert isinstance(scored, Prediction)
    assert scored.answer == parsed.answer
    assert scored.answer
    assert scored.label == max(scored.probabilities, key=scored.probabilities.__getitem__)


def test_temperature_sharpens_or_flattens(predictor: Predictor, talking_film: Path) -> None:
    config = predictor.model.config
    before = predictor(talking_film)
    config.label_temperature = 10.0
    flat = predictor(talking_film)
    config.label_temperature = 1.0
    assert flat.label == before.label
    assert flat.confidence < before.confidence


def test_published_layout_is_another_answer_from_the_same_features(
    preset: Path, predictor: Predictor, talking_film: Path
) -> None:
    published = Predictor.from_pretrained(
        preset, device="cpu", media=WHOLE_FRAME, prompt_mode="published-eval"
    )
    assert not close(published(talking_film), predictor(talking_film))


def test_a_broken_file_is_one_clear_error(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(MediaError, match=r"empty\.mp4"):
        predictor(tmp_path / "empty.mp4")


def test_presets_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PresetError, match="emotion-llama convert"):
        Predictor.from_pretrained("7b")
    with pytest.raises(PresetError, match=r"holds no config\.json"):
        Predictor.from_pretrained(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PresetError, match="no packaged preset .* and the hub did not give it"):
        Predictor.from_pretrained("nobody/nothing")


def test_a_preset_with_a_missing_tensor_is_named(preset: Path, tmp_path: Path) -> None:
    from shutil import copytree

    from safetensors.torch import load_file, save_file

    broken = copytree(preset, tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    del tensors["projector.audio_projection.weight"]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PresetError, match=r"missing_keys: projector\.audio_projection\.weight"):
        Predictor.from_pretrained(broken)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_precision_on_a_cpu(preset: Path, talking_film: Path, dtype: str) -> None:
    answer = Predictor.from_pretrained(preset, device="cpu", dtype=dtype)(talking_film)
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=0.01)


def test_unknown_dtype(preset: Path) -> None:
    with pytest.raises(ValueError, match="'int3', expected one of float32"):
        Predictor.from_pretrained(preset, dtype="int3")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_precision_on_a_gpu(preset: Path, talking_film: Path, dtype: str) -> None:
    answer = Predictor.from_pretrained(preset, device="cuda", dtype=dtype)(talking_film)
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=0.01)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT CHECKED: needs a GPU")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("float16", 0.02)])
@pytest.mark.parametrize("name", ["smile", "frown"])
def test_the_packaged_preset_answers_on_a_gpu_as_on_a_cpu(
    name: str, dtype: str, tolerance: float
) -> None:
    clip = Path(__file__).parents[1] / "examples" / f"{name}.mp4"
    here, there = (
        Predictor.from_pretrained("mini", device=device, dtype=kind)(clip, with_reason=False)
        for device, kind in (("cpu", "float32"), ("cuda", dtype))
    )
    assert there.label == here.label
    assert there.probabilities == pytest.approx(here.probabilities, abs=tolerance)


def test_another_reading_of_files_leaves_the_preset_as_it_is(predictor: Predictor) -> None:
    other = predictor.changed(decision="greedy", face_source="detect", person=2)
    assert (other.reader.media.face_source, other.reader.media.person) == ("detect", 2)
    assert other.decision == "greedy"
    assert other.model is predictor.model
    assert predictor.reader.media == WHOLE_FRAME
    assert predictor.decision == "scored"
    with pytest.raises(ValueError, match="face_sauce"):
        predictor.changed(face_sauce="detect")


def test_a_reason_is_shown_while_it_grows(predictor: Predictor, talking_film: Path) -> None:
    encoded = predictor.encode([predictor.read(talking_film)])
    shown: list[tuple[int, str]] = []

    def watch(row: int, text: str) -> bool:
        shown.append((row, text))
        return True

    text = EncodedClip("text", Features(), "We won!")
    answers = predictor.answer([EncodedClip("none", Features(), None), *encoded, text], watch=watch)
    assert isinstance(answers[0], ClipFailure)
    for row in (1, 2):
        answer = answers[row]
        assert isinstance(answer, Prediction)
        mine = [text for number, text in shown if number == row]
        assert mine[-1] == str(answer.reason).rstrip("\ufffd"), "half a character is held back"
        assert all(str(answer.reason).startswith(text) for text in mine)
    assert {row for row, _ in shown} == {1, 2}


def test_a_talk_goes_on_from_all_that_was_said(predictor: Predictor, talking_film: Path) -> None:
    encoded = predictor.encode([predictor.read(talking_film)])[0]
    asked = Turn("[emotion]")
    first = predictor.reply([(encoded, [asked])])[0]
    assert isinstance(first, str)
    begun: list[list[int]] = []

    def spy(*given: Any, beginnings: list[list[int]], **_: Any) -> list[str]:
        begun.extend(beginnings)
        return ["so"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emotion_llama.predict.write_answers", spy)
        turns = [replace(asked, answer="happy"), Turn("And why?", "He smiles"), Turn("Does he?")]
        assert predictor.reply([(encoded, turns)]) == ["so"]
    text = predictor.processor.tokenizer.decode(begun[0])
    assert text.replace(" ", "") == (
        "happy</s><s>[INST]Andwhy?[/INST]Hesmiles</s><s>[INST]Doeshe?[/INST]"
    )
    wrong = predictor.reply([(encoded, [asked, Turn("And why?")]), (encoded, [asked])])
    assert isinstance(wrong[0], ClipFailure)
    assert "expected one of each turn but the last" in wrong[0].error
    assert wrong[1] == first
    endless = [replace(asked, answer="happy") for _ in range(400)]
    long = predictor.reply([(encoded, [*endless, asked])])[0]
    assert isinstance(long, ClipFailure)
    assert "a shorter transcript, question or talk" in long.error


def test_words_in_another_language_are_warned_of(predictor: Predictor) -> None:
    warnings = predictor(None, text="\u6211\u4eca\u5929\u5f88\u9ad8\u5174").warnings
    assert any("the words are not English" in warning for warning in warnings)
    assert not predictor(None, text="I am so happy today").warnings


def test_on_a_gpu_labels_of_a_few_clips_are_scored_at_once(
    predictor: Predictor, talking_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = predictor.encode([predictor.read(talking_film)]) * 6
    alone = predictor.answer(encoded, with_reason=False)
    asked: list[int] = []
    score = score_labels

    def count(model: Any, processor: Any, samples: Any, *rest: Any) -> LabelScores:
        asked.append(len(samples))
        return score(model, processor, samples, *rest)

    monkeypatch.setattr("emotion_llama.predict.score_labels", count)
    monkeypatch.setattr(Predictor, "_is_exact", False)
    together = predictor.answer(encoded, with_reason=False)
    assert asked == [4, 2]
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, Prediction)
        assert isinstance(other, Prediction)
        assert close(one, other)
