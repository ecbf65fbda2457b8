"""The adapter under a stand-in for lmms-eval: the same interface, a tiny preset, made media."""

import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import emotion_llama
from emotion_llama import EmotionLlama, Predictor
from emotion_llama.model.scoring import write_answers
from emotion_llama.prompt import Instruction
from emotion_llama.records import Clip, Features, Sample

ADAPTER = "emotion_llama.evaluation.lmms_eval_model"
QUESTION = "Which emotion is it? Choose from: happy, sad."
CONTEXTS = (QUESTION, "What does the person feel?", "Is it joy or fear?", "Name it.", "Why so?")


class FakeBase:
    """What ``lmms_eval.api.model.lmms`` gives its models."""

    def __init__(self) -> None:
        self._rank = 0
        self.task_dict: dict[str, Any] = {}

    @property
    def rank(self) -> int:
        return self._rank

    def clean(self) -> None:
        self.cleaned = True


@dataclass(frozen=True)
class FakeManifest:
    """What ``lmms_eval.models.registry_v2.ModelManifest`` holds."""

    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass
class FakeInstance:
    """What a request is: its arguments as one tuple."""

    args: tuple[Any, ...]


@pytest.fixture(scope="module")
def adapter() -> Iterator[Any]:
    """The module, with the stand-in for lmms-eval in its place."""
    names = ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model", "lmms_eval.models")
    fakes = {name: ModuleType(name) for name in (*names, "lmms_eval.models.registry_v2")}
    fakes["lmms_eval.api.model"].lmms = FakeBase  # type: ignore[attr-defined]
    fakes["lmms_eval.models.registry_v2"].ModelManifest = FakeManifest  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        for name, module in fakes.items():
            patch.setitem(sys.modules, name, module)
        patch.delitem(sys.modules, ADAPTER, raising=False)
        yield import_module(ADAPTER)
    sys.modules.pop(ADAPTER, None)


@pytest.fixture(scope="module")
def preset(tiny_preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny preset with larger weights, so that its answers depend on what is asked."""
    folder = tmp_path_factory.mktemp("lively") / "preset"
    shutil.copytree(tiny_preset, folder)
    model = EmotionLlama.from_pretrained(folder)
    torch.manual_seed(1)
    for name, weight in model.language_model.named_parameters():
        if ".layers." in name and weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def load(adapter: Any, preset: Path) -> Callable[..., Any]:
    """Make the model: ``load(batch_size=1, ...)``."""
    return lambda **settings: adapter.LmmsEvalModel(str(preset), device="cpu", **settings)


@pytest.fixture(scope="module")
def predictor(preset: Path) -> Predictor:
    return Predictor.from_pretrained(preset, device="cpu")


def picture(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def sound(waveform: Any) -> dict[str, Any]:
    return {"array": waveform, "sampling_rate": 16000}


def ask(
    model: Any,
    media: Sequence[Any],
    settings: dict[str, Any] | None = None,
    contexts: Sequence[str] | None = None,
) -> list[FakeInstance]:
    """Make one request of each entry of media, as a task does."""
    model.task_dict["task"] = {"test": [{"visual": one} for one in media]}
    return [
        FakeInstance(
            (
                contexts[row] if contexts else QUESTION,
                dict(settings or {}),
                lambda doc: doc["visual"],
                row,
                "task",
                "test",
            )
        )
        for row in range(len(media))
    ]


def read(model: Any, medium: Any) -> Clip | None:
    """Read one medium as a request's."""
    request = sys.modules[ADAPTER]._Request(*ask(model, [medium])[0].args)
    return model._clip(request)


def written(predictor: Predictor, path: Path, question: str = QUESTION, **settings: Any) -> str:
    """What the model writes by the package's own way."""
    encoded = predictor.encode([predictor.read(path)])[0]
    sample = Sample("emotion", None, question)
    model, processor = predictor.model, predictor.processor
    return write_answers(model, processor, [sample], [encoded.features], **settings)[0]


def test_without_lmms_eval_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmms_eval", None)
    monkeypatch.delitem(sys.modules, ADAPTER, raising=False)
    with pytest.raises(ImportError, match="pip install lmms-eval"):
        import_module(ADAPTER)


def test_nothing_else_of_the_package_imports_the_adapter() -> None:
    root = Path(emotion_llama.__file__).parent
    named = {path.name for path in root.rglob("*.py") if "lmms_eval" in path.read_text("utf-8")}
    assert named <= {"lmms_eval_model.py"}


def test_the_manifest_names_the_class(adapter: Any) -> None:
    found = adapter.manifest()
    assert found == FakeManifest("emotion_llama", f"{ADAPTER}.LmmsEvalModel")
    assert issubclass(adapter.LmmsEvalModel, FakeBase)
    assert adapter.LmmsEvalModel.is_simple


def test_answers_are_those_of_the_package_in_the_order_of_the_requests(
    load: Callable[..., Any], predictor: Predictor, talking_film: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        picture(seed).save(path)
    media = [paths[0], talking_film, paths[1], talking_film, paths[2]]
    model = load(batch_size=2)
    answers = model.generate_until(ask(model, [[str(one)] for one in media], None, CONTEXTS))
    expected = [written(predictor, *row) for row in zip(media, CONTEXTS, strict=True)]
    assert answers == expected
    assert len(set(expected)) == 5, "else the order could not be told"


@pytest.mark.parametrize("batch_size", [1, "3", 8])
def test_batches_hold_at_most_what_was_asked_and_change_no_answer(
    load: Callable[..., Any], batch_size: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(batch_size=batch_size)
    sizes = []
    encode = model.predictor.encode
    monkeypatch.setattr(
        model.predictor, "encode", lambda clips: sizes.append(len(clips)) or encode(clips)
    )
    media = [picture(seed) for seed in range(4)]
    answers = model.generate_until(ask(model, media, None, CONTEXTS))
    assert sizes == {1: [1, 1, 1, 1], "3": [3, 1], 8: [4]}[batch_size]
    for medium, context, answer in zip(media, CONTEXTS, answers, strict=False):
        assert model.generate_until(ask(model, [medium], None, [context])) == [answer]


def test_answers_need_no_bar(load: Callable[..., Any]) -> None:
    """Other parts of the package switch the bars of transformers off for the whole process."""
    from transformers.utils import logging as bars

    was_on = bars.is_progress_bar_enabled()
    model = load(batch_size=1)
    bars.disable_progress_bar()
    try:
        assert len(model.generate_until(ask(model, [picture(0)], None, CONTEXTS[:1]))) == 1
    finally:
        if was_on:
            bars.enable_progress_bar()


def test_a_picture_in_memory_is_read_as_its_file(
    load: Callable[..., Any], predictor: Predictor, tmp_path: Path
) -> None:
    model = load()
    for mode in ("RGB", "L", "CMYK", "P"):
        picture().convert(mode).save(tmp_path / "same.tiff")
        answer = model.generate_until(ask(model, [[picture().convert(mode)]]))
        assert answer == [written(predictor, tmp_path / "same.tiff")]
    assert model.failures == []


def test_a_sound_in_memory_keeps_its_samples(
    load: Callable[..., Any], one_second_tone: Any
) -> None:
    model = load()
    clip = read(model, [sound(one_second_tone)])
    assert clip is not None
    np.testing.assert_array_equal(clip.waveform, one_second_tone)
    assert clip.frames is None


def test_a_picture_and_a_sound_become_one_clip(
    load: Callable[..., Any], one_second_tone: Any
) -> None:
    model = load()
    clip = read(model, [sound(one_second_tone), picture()])
    assert clip is not None
    assert clip.waveform is not None
    assert clip.frames is not None
    assert clip.duration_s == pytest.approx(1.0)
    assert "audio" not in clip.missing
    assert "temporal" in clip.missing


@pytest.mark.parametrize(
    ("pick", "reason"),
    [
        (lambda film, tone: [picture(0), picture(1)], "found image and image"),
        (lambda film, tone: [sound(tone), sound(tone)], "found audio and audio"),
        (lambda film, tone: [film, sound(tone)], "found video and audio"),
        (lambda film, tone: [[picture(0), picture(1)], [picture(2)]], "found 3 media"),
        (lambda film, tone: [np.zeros((2, 8, 8, 3))], "found a ndarray, expected a path"),
        (lambda film, tone: [sound(np.stack([tone, tone]))], "shape (2, 16000), expected mono"),
        (lambda film, tone: [sound((tone * 32767).astype(np.int16))], "a sound of int16"),
        (lambda film, tone: [sound(tone[:0])], "shape (0,), expected mono"),
        (lambda film, tone: ["nowhere.mp4"], "nowhere.mp4"),
    ],
)
def test_media_that_are_not_one_clip_fail_alone_and_say_why(
    load: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    talking_film: Path,
    one_second_tone: Any,
    pick: Callable[..., list[Any]],
    reason: str,
) -> None:
    model = load(batch_size=4)
    media = [picture(5), pick(talking_film, one_second_tone), picture(6)]
    with caplog.at_level(logging.WARNING):
        answers = model.generate_until(ask(model, media))
    assert [bool(answer) for answer in answers] == [True, False, True]
    assert len(model.failures) == 1
    assert model.failures[0].startswith("task/test/1: ")
    assert reason in model.failures[0]
    assert model.failures[0] in caplog.text
    assert "1 of 3 requests got an empty answer" in caplog.text


def test_a_broken_file_and_a_prompt_too_long_fail_alone(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    model = load(batch_size=4)
    model.predictor.processor.config.max_context_tokens = 200
    media = [str(tmp_path / "broken.mp4"), picture(1), picture(2), picture(3)]
    contexts = [QUESTION, QUESTION, "word " * 300, "<FeatureHere>"]
    answers = model.generate_until(ask(model, media, None, contexts))
    assert [bool(answer) for answer in answers] == [False, True, False, False]
    reasons = ("broken.mp4", "expected at most 200", "contains the mark")
    assert all(why in found for why, found in zip(reasons, model.failures, strict=True))


def test_words_alone_go_to_the_language_model_and_are_counted(
    load: Callable[..., Any], predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(batch_size=2)
    with caplog.at_level(logging.WARNING):
        answers = model.generate_until(ask(model, [None, [], picture()]))
    plain = write_answers(
        predictor.model, predictor.processor, [Instruction(QUESTION)], [Features()]
    )
    assert answers[:2] == plain * 2
    assert answers[2] != answers[0]
    assert model.failures == []
    assert "2 of 3 requests had no media" in caplog.text


@pytest.mark.parametrize(
    "until", ["lo", ["lo"], ["not in it", "", "lo"], ["wor", "lo"], ["lo", "wor"]]
)
def test_an_answer_ends_before_the_first_until_string(
    load: Callable[..., Any], adapter: Any, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.setattr(adapter, "write_answers", lambda *_, **__: ["hello world"])
    model = load()
    assert model.generate_until(ask(model, [picture()], {"until": until})) == ["hel"]


def test_without_until_the_answer_is_whole(
    load: Callable[..., Any], adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "write_answers", lambda *_, **__: ["hello world"])
    model = load()
    assert model.generate_until(ask(model, [picture()])) == ["hello world"]


def test_the_token_limit_of_each_request_is_followed(
    load: Callable[..., Any], predictor: Predictor, tmp_path: Path
) -> None:
    picture().save(tmp_path / "same.tiff")
    model = load(batch_size=8)
    requests = ask(model, [picture()] * 3)
    for request, limit in zip(requests, (2, 4, 2), strict=True):
        request.args[1]["max_new_tokens"] = limit
    path = tmp_path / "same.tiff"
    short, long = (written(predictor, path, max_new_tokens=count) for count in (2, 4))
    assert model.generate_until(requests) == [short, long, short]
    assert short != long


def test_settings_that_are_not_followed_are_named_once(
    load: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    model = load()
    settings = {"temperature": 0, "do_sample": True, "num_beams": 1, "top_p": None, "until": "x"}
    with caplog.at_level(logging.WARNING):
        model.generate_until(ask(model, [picture(), picture()], settings))
    notes = [one.message for one in caplog.records if "not followed" in one.message]
    assert notes == ["do_sample=True is not followed: answers are greedy"]


def test_turns_and_likelihoods_are_refused_with_what_to_do_instead(
    load: Callable[..., Any],
) -> None:
    model = load()
    with pytest.raises(NotImplementedError, match="single round"):
        model.generate_until_multi_round([])
    with pytest.raises(NotImplementedError, match="generate_until"):
        model.loglikelihood([])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": "auto"}, "batch_size is 'auto'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"task": "caption"}, "expected one of emotion, reason"),
    ],
)
def test_unusable_settings_are_refused(
    load: Callable[..., Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(**settings)


@pytest.mark.parametrize("task", ["emotion", "reason"])
def test_the_task_sets_the_tag_and_the_context_is_the_wording(
    load: Callable[..., Any], adapter: Any, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        adapter, "write_answers", lambda m, p, samples, f, **_: asked.extend(samples) or ["sad"]
    )
    model = load(task=task)
    model.generate_until(ask(model, [picture()]))
    assert asked == [Sample(task, None, QUESTION, name="task/test/0")]


@pytest.mark.parametrize(
    ("device", "rank", "has_gpu", "expected"),
    [
        (None, "1", True, "cuda:1"),
        ("cuda", "0", True, "cuda:0"),
        ("cuda:3", "1", True, "cuda:3"),
        ("cpu", "1", True, "cpu"),
        (None, "1", False, None),
        (None, None, True, None),
    ],
)
def test_each_process_takes_its_own_gpu(
    adapter: Any,
    monkeypatch: pytest.MonkeyPatch,
    device: str | None,
    rank: str | None,
    has_gpu: bool,
    expected: str | None,
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert adapter._own_device(device) == expected


def test_the_model_is_let_go(load: Callable[..., Any]) -> None:
    model = load()
    assert model.device == torch.device("cpu")
    model.clean()
    assert model.cleaned
    assert not hasattr(model, "predictor")
