"""Copies are found after scaling, noise and trimming; other takes of the same words are not."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emotion_llama.merr.duplicates import (
    ENVELOPE_HZ,
    NUM_BANDS,
    NUM_PICTURES,
    Fingerprint,
    find_duplicates,
    picture_distance,
    picture_hash,
    sound_correlation,
    sound_envelope,
    transcript_hash,
)
from emotion_llama.merr.records import Source

RATE = 16000


def picture(seed: int, size: int = 72) -> np.ndarray:
    """Draw soft blobs, as a scene has, so that scaling keeps them."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3))
    return np.kron(coarse, np.ones((size // 6, size // 6, 1))).astype(np.uint8)


def speech(seed: int, seconds: float = 4.0) -> np.ndarray:
    """Draw noise whose loudness goes up and down like syllables."""
    random = np.random.default_rng(seed)
    syllables = int(seconds * 5)
    loudness = np.repeat(random.uniform(0.01, 1, syllables), int(seconds * RATE / syllables))
    colour = np.convolve(random.normal(size=len(loudness)), [1, random.uniform(-0.9, 0.9)], "same")
    return (0.2 * loudness * colour).astype(np.float32)


def film(seed: int, **changes: object) -> Fingerprint:
    one = Fingerprint(
        sha256=f"file {seed}",
        pictures=tuple(picture_hash(picture(100 * seed + i)) for i in range(NUM_PICTURES)),
        sound=sound_envelope(speech(seed), RATE),
        duration_s=4.0,
    )
    return replace(one, **changes)


def test_equal_files_are_one_and_the_first_is_kept() -> None:
    found = find_duplicates({"b": film(1), "a": film(1), "c": film(2)})
    assert list(found) == ["b"]
    assert (found["b"].of, found["b"].how, found["b"].similarity) == ("a", "same file", 1.0)


def test_a_scaled_picture_and_its_noise_keep_the_hash() -> None:
    whole = picture(3, 144)
    noisy = np.clip(whole + np.random.default_rng(0).normal(0, 4, whole.shape), 0, 255)
    first = picture_hash(whole)
    assert picture_distance([first], [picture_hash(whole[::2, ::2])]) <= 1
    assert picture_distance([first], [picture_hash(noisy.astype(np.uint8))]) <= 1
    assert picture_distance([first], [picture_hash(picture(4))]) > 10


def test_the_bits_of_a_hash_say_which_neighbour_is_brighter() -> None:
    falling = np.repeat(np.linspace(255, 0, 72), 3).reshape(1, 72, 3)
    ramp = np.repeat(falling, 72, axis=0).astype(np.uint8)
    assert picture_hash(ramp) == "f" * 16
    assert picture_hash(ramp[:, ::-1]) == "0" * 16


def test_a_picture_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found a picture of shape \(4, 4, 3\)"):
        picture_hash(np.zeros((4, 4, 3), np.uint8))


def test_a_trimmed_and_softer_recording_is_the_same_sound() -> None:
    whole = speech(1)
    copy = 0.3 * whole[int(0.2 * RATE) :]
    assert sound_correlation(sound_envelope(whole, RATE), sound_envelope(copy, RATE)) > 0.98
    assert sound_correlation(sound_envelope(whole, RATE), sound_envelope(speech(2), RATE)) < 0.6


def test_a_shift_by_half_a_step_costs_little() -> None:
    whole = speech(5)
    half = whole[RATE // ENVELOPE_HZ // 2 :]
    assert sound_correlation(sound_envelope(whole, RATE), sound_envelope(half, RATE)) > 0.97


def test_silence_and_short_sounds_have_no_envelope() -> None:
    assert sound_envelope(np.zeros(4 * RATE, np.float32), RATE) == ()
    assert sound_envelope(speech(1)[: RATE // 2], RATE) == ()
    assert sound_correlation((), sound_envelope(speech(1), RATE)) is None


def test_a_copy_is_found_by_picture_and_sound() -> None:
    copy = film(1, sha256="other", sound=sound_envelope(speech(1)[3200:], RATE), duration_s=3.8)
    found = find_duplicates({"a": film(1), "b": copy, "c": film(3)})
    assert {name: one.of for name, one in found.items()} == {"b": "a"}
    assert found["b"].how == "picture and sound"
    assert 0.9 < found["b"].similarity <= 1


def test_one_modality_alike_is_not_enough_where_both_are_there() -> None:
    dubbed = film(1, sha256="other", sound=film(2).sound)
    other_picture = film(1, sha256="third", pictures=film(2).pictures)
    assert find_duplicates({"a": film(1), "b": dubbed, "c": other_picture}) == {}


def test_a_copy_without_picture_or_sound_must_be_nearer() -> None:
    heard = film(1, sha256="sound", pictures=())
    muted = film(1, sha256="picture", sound=())
    found = find_duplicates({"a": film(1), "b": heard, "c": muted})
    assert (found["b"].how, found["c"].how) == ("sound", "picture")
    changed = ("0f" * 8, *film(1).pictures[1:])
    assert find_duplicates({"a": film(1), "c": replace(muted, pictures=changed)}) == {}
    assert find_duplicates({"a": film(1), "c": replace(muted, duration_s=3.8)}) == {}


def test_black_pictures_say_nothing() -> None:
    black = tuple(picture_hash(np.zeros((9, 9, 3), np.uint8)) for _ in range(NUM_PICTURES))
    silent = {name: Fingerprint(name, black, (), None, 4.0) for name in "ab"}
    assert find_duplicates(silent) == {}


def test_the_same_words_make_no_duplicate() -> None:
    words = transcript_hash("Kids are talking by the door.")
    assert words == transcript_hash("kids are talking\nby the door!")
    assert transcript_hash(" ... ") is None
    said = {"a": film(1, transcript=words), "b": film(2, transcript=words)}
    assert find_duplicates(said) == {}
    copies = find_duplicates({"a": said["a"], "b": film(1, sha256="2", transcript=words)})
    assert copies["b"].same_transcript is True


def test_a_chain_has_one_representative() -> None:
    trimmed = [speech(1, 6.0)[int(cut * RATE) :] for cut in (0.0, 0.3, 0.6)]
    chain = {
        f"{index}": film(
            1, sha256=f"{index}", sound=sound_envelope(one, RATE), duration_s=len(one) / RATE
        )
        for index, one in enumerate(trimmed)
    }
    ends = {"0": chain["0"], "2": chain["2"]}
    assert find_duplicates(ends) == {}, "the ends are too far apart to be compared"
    assert {name: one.of for name, one in find_duplicates(chain).items()} == {"1": "0", "2": "0"}


def test_stated_speakers_of_one_source_are_not_taken_for_each_other() -> None:
    prints = {"a": film(1), "b": film(1, sha256="2")}
    ann, bob = Source("x", None, speaker="ann"), Source("x", None, speaker="bob")
    assert find_duplicates(prints, {"a": ann, "b": bob}) == {}
    elsewhere = find_duplicates(prints, {"a": ann, "b": replace(bob, name="y")})
    assert elsewhere["b"].across_sources
    assert not find_duplicates(prints, {"a": ann, "b": ann})["b"].across_sources


def test_more_hashes_than_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="found 9 picture hashes and 0 levels"):
        Fingerprint("x", ("00" * 8,) * 9)


def test_five_thousand_clips_take_seconds() -> None:
    random = np.random.default_rng(0)
    prints = {}
    for index in range(5000):
        seconds = random.uniform(2, 8)
        levels = random.integers(0, 41, NUM_BANDS * int(seconds * ENVELOPE_HZ))
        hashes = tuple(random.bytes(8).hex() for _ in range(NUM_PICTURES))
        prints[f"{index:04}"] = Fingerprint(
            str(index), hashes, tuple(levels.tolist()), None, seconds
        )
    prints["copy"] = replace(prints["0007"], sha256="copy")
    start = time.process_time()
    found = find_duplicates(prints)
    assert {name: one.of for name, one in found.items()} == {"copy": "0007"}
    assert time.process_time() - start < 3, "about 1 s where nothing else runs"


def test_no_take_of_real_actors_is_taken_for_another() -> None:
    folder = os.environ.get("EMOTION_LLAMA_DATA")
    if not folder:
        pytest.skip("NOT CHECKED: set EMOTION_LLAMA_DATA to the data folder of docs/data.md")
    from emotion_llama.config import MediaConfig
    from emotion_llama.media import read_waveform

    prints = {}
    for path in sorted(Path(folder, "av", "javanese").glob("*.mp4"))[:36]:
        waveform = read_waveform(path, MediaConfig()).waveform
        sound = sound_envelope(waveform, RATE)
        prints[path.stem] = Fingerprint(path.stem, (), sound, None, len(waveform) / RATE)
        trimmed = sound_envelope(waveform[3200:], RATE)
        prints[f"{path.stem} trimmed"] = Fingerprint(
            f"{path.stem} trimmed", (), trimmed, None, len(waveform) / RATE - 0.2
        )
    assert len(prints) == 72
    found = find_duplicates(prints)
    assert {name: one.of for name, one in found.items()} == {
        name: name.removesuffix(" trimmed") for name in prints if name.endswith(" trimmed")
    }
