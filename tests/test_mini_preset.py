"""The packaged preset answers for the example clips, from weights inside the package."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from emotion_llama import Prediction, Predictor
from emotion_llama.labels import MINI
from emotion_llama.merr.facial import read_facial
from emotion_llama.merr.voice_clues import read_voice
from emotion_llama.predict import ClipFailure
from emotion_llama.preset import PACKAGED_PRESETS
from emotion_llama.prompt import Turn

ROOT = Path(__file__).resolve().parents[1]
SMILE, FROWN = (ROOT / "examples" / f"{name}.mp4" for name in ("smile", "frown"))
MAX_BYTES = 12_000_000


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.from_pretrained("mini", device="cpu")


@pytest.fixture(scope="module")
def answers(predictor: Predictor) -> dict[str, Prediction]:
    texts = {path: path.with_suffix(".txt").read_text("utf-8") for path in (SMILE, FROWN)}
    return {path.stem: predictor(path, text) for path, text in texts.items()}


def odds(answer: Prediction, label: str) -> float:
    """Give p / (1 - p), which tells sure answers apart where p itself hardly moves any more."""
    return answer.probabilities[label] / (1 - answer.probabilities[label])


def test_the_preset_is_small_and_carries_its_licence(predictor: Predictor) -> None:
    folder = PACKAGED_PRESETS / "mini"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < MAX_BYTES
    assert "NON-COMMERCIAL" in (folder / "LICENSE").read_text("utf-8")
    assert (folder / "README.md").is_file(), "the model card"
    assert predictor.notice is not None
    assert "non-commercial" in predictor.notice
    assert predictor.preset == "mini"


def test_examples_are_answered_from_every_modality(answers: dict[str, Prediction]) -> None:
    for answer in answers.values():
        assert answer.modalities == ("global", "local", "temporal", "audio", "text")
        assert tuple(answer.probabilities) == MINI.labels


def test_answers_differ_in_the_planted_direction(answers: dict[str, Prediction]) -> None:
    smile, frown = answers["smile"], answers["frown"]
    assert smile.label == "happy"
    assert smile.valence is not None
    assert frown.valence is not None
    assert smile.valence > frown.valence
    assert odds(smile, "happy") > 2 * odds(frown, "happy")
    assert odds(frown, "angry") > 2 * odds(smile, "angry")


@pytest.mark.xfail(strict=True, reason="the frown is warped out of a smile, whose folds stay")
def test_the_frown_is_called_angry(answers: dict[str, Prediction]) -> None:
    assert answers["frown"].label == "angry"


def test_the_picture_alone_points_in_the_planted_direction(predictor: Predictor) -> None:
    happy = []
    for path in (SMILE, FROWN):
        seen = replace(predictor.embeddings(path), audio=None)
        happy.append(predictor.from_features(seen, with_reason=False).probabilities["happy"])
    assert happy[0] > happy[1] + 0.01


def test_the_reason_is_a_sentence_of_this_clip(answers: dict[str, Prediction]) -> None:
    reasons = [answer.reason or "" for answer in answers.values()]
    assert len(set(reasons)) == 2
    for reason in reasons:
        assert 4 <= len(reason.split()) <= 60
        assert any(word in reason for word in ("face", "expression", "voice", "tone", "word"))


def test_the_reason_states_what_was_measured(answers: dict[str, Prediction]) -> None:
    for answer in answers.values():
        reason = answer.reason or ""
        stated = {(c.feature, c.reading) for c in (*read_facial(reason), *read_voice(reason))}
        measured = {(one.feature, one.reading) for one in answer.evidence}
        assert stated, reason
        assert stated <= measured, f"{reason} {measured}"


@pytest.mark.parametrize("fields", [["patches", "class_token"], ["local"], ["temporal"], ["audio"]])
def test_removing_or_swapping_a_modality_changes_the_answer(
    predictor: Predictor, fields: list[str]
) -> None:
    own, other = predictor.embeddings(SMILE), predictor.embeddings(FROWN)
    whole = predictor.from_features(own, with_reason=False).probabilities
    removed = replace(own, **dict.fromkeys(fields))
    swapped = replace(own, **{name: getattr(other, name) for name in fields})
    for changed in (removed, swapped):
        probabilities = predictor.from_features(changed, with_reason=False).probabilities
        moved = max(abs(math.log(probabilities[x] / whole[x])) for x in whole)
        assert moved > 0.01, f"no probability changes by more than a factor of {math.exp(moved)}"


def test_what_is_seen_and_what_is_heard_are_told_apart(
    predictor: Predictor, answers: dict[str, Prediction]
) -> None:
    for path in (SMILE, FROWN):
        answer = answers[path.stem]
        text = path.with_suffix(".txt").read_text("utf-8")
        seen = predictor.from_features(predictor.embeddings(path).seen, with_reason=False)
        heard = predictor.from_features(
            predictor.embeddings(path).heard, text=text, with_reason=False
        )
        assert set(answer.alone) == {"seen", "heard"}
        assert answer.alone["seen"] == pytest.approx(seen.probabilities, abs=1e-4)
        assert answer.alone["heard"] == pytest.approx(heard.probabilities, abs=1e-4)
        assert seen.alone == heard.alone == {}


def test_words_alone_are_answered(predictor: Predictor) -> None:
    glad = predictor(None, "I love it, this is wonderful, thank you so much!")
    cross = predictor(None, "I hate you, you stupid liar, get out!")
    assert glad.label == "happy"
    assert cross.label in ("angry", "disgust")


def test_questions_about_a_part_are_answered_from_that_part(predictor: Predictor) -> None:
    encoded = predictor.encode([predictor.read(SMILE)])[0]
    said = Turn("[reason]", str(predictor(SMILE).reason))

    def reply(question: str) -> str | ClipFailure:
        return predictor.reply([(encoded, [said, Turn(question)])])[0]

    voice, face = reply("And what about her voice?"), reply("What does the face show?")
    assert isinstance(voice, str)
    assert read_voice(voice)
    assert not read_facial(voice)
    assert isinstance(face, str)
    assert read_facial(face)
    assert not read_voice(face)
    words, other = reply("And the words?"), reply("Who is it?")
    assert isinstance(words, ClipFailure)
    assert "no transcript was given" in words.error
    assert isinstance(other, ClipFailure)
    assert "knows no other talk" in other.error


def test_clips_answered_together_have_the_same_reasons_as_alone(
    predictor: Predictor, answers: dict[str, Prediction]
) -> None:
    texts = [path.with_suffix(".txt").read_text("utf-8") for path in (SMILE, FROWN)]
    for found in predictor.batch([SMILE, FROWN], texts):
        assert isinstance(found, Prediction)
        alone = answers[Path(found.clip).stem]
        assert found.reason == alone.reason
        assert found.probabilities == alone.probabilities


def test_the_command_answers_as_json() -> None:
    command = [sys.executable, "-m", "emotion_llama", "predict", str(SMILE), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    content = json.loads(result.stdout)
    assert content["clip"] == str(SMILE)
    assert content["missing"] == {"text": "no transcript was given"}
    assert "non-commercial" in result.stderr
    assert "Traceback" not in result.stderr
