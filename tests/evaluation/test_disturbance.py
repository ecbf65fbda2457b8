"""Each disturbance does what its level says, to its own part of a clip and to nothing else."""

import wave
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import MediaConfig
from emotion_llama.evaluation.disturbance import (
    BAR_GREY,
    FACE_PARTS,
    MER_NOISE,
    MER_NOISE_FACTORS,
    MER_NOISE_SNRS_DB,
    SNRS_DB,
    SUITE,
    Disturbance,
    LeftOutError,
    Material,
    babble,
    blurred,
    compressed,
    covered,
    disturbed_clip,
    disturbed_clips,
    drawn_levels,
    frames_on_show,
    mixed,
    read_material,
    with_jpeg,
    with_word_errors,
    words_of,
)
from emotion_llama.evaluation.samples import EvalSample, Truth
from emotion_llama.face.points import LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from emotion_llama.media import FilmWriter
from emotion_llama.records import Clip, Evidence

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RATE = 16000
FRAMES = MediaConfig(frames_per_second=10.0, face_source="whole-frame")
"""Every picture counts as a face, so that no network looks for one."""
TEXT = "one two three four five six seven eight nine ten"


def rms(waveform: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(waveform.astype(np.float64) ** 2)))


def voice(seed: int, seconds: float = 1.0, level: float = 0.1) -> NDArray[np.float32]:
    """Noise with pauses, [w]."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * RATE)) * level
    return (samples * np.repeat(rng.random(10) < 0.7, len(samples) // 10)).astype(np.float32)


def sample(
    name: str, path: Path | None = None, text: str | None = None, label: str | None = "happy"
) -> EvalSample:
    return EvalSample(name, path, text, Truth(label=label))


def named(title: str) -> Disturbance:
    return next(one for one in SUITE if one.title == title)


def outcome(material: Material, title: str) -> Clip | str:
    """The disturbed clip, or why there is none."""
    try:
        return disturbed_clip(material, named(title))
    except LeftOutError as reason:
        return str(reason)


def arrays(clip: Clip) -> dict[str, bytes]:
    """Every array of a clip as bytes."""
    faces = clip.faces
    found = {
        "waveform": clip.waveform,
        "frames": clip.frames,
        "frame_times_s": clip.frame_times_s,
        "key_frame": clip.key_frame,
        "crops": faces.crops if faces else None,
        "boxes": faces.boxes if faces else None,
    }
    return {name: value.tobytes() for name, value in found.items() if value is not None}


def write_sound(path: Path, waveform: NDArray[np.float32]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((waveform * 32767).round().astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[EvalSample]:
    """A film and five sounds, all with words, labelled happy, happy, sad, sad, sad and not."""
    folder = tmp_path_factory.mktemp("run")
    sounds = [write_sound(folder / f"{i}.wav", voice(i, 1.0 + 0.2 * i)) for i in range(6)]
    with FilmWriter(folder / "film.mp4", sounds[0]) as film:
        for i, frame in enumerate(np.random.default_rng(0).integers(0, 255, (10, 48, 64, 3))):
            film.add(frame.astype(np.uint8), i / 10)
    labels = ("happy", "happy", "sad", "sad", "sad", None)
    return [
        sample(f"clip{i}", path, f"{TEXT} clip{i}", label)
        for i, (path, label) in enumerate(
            zip((folder / "film.mp4", *sounds[1:]), labels, strict=True)
        )
    ]


@pytest.fixture(scope="module")
def material(run: list[EvalSample]) -> Material:
    return read_material(ClipReader(FRAMES), run[0], run)


@pytest.fixture(scope="module")
def smile() -> Material:
    """A person who smiles, with the packaged face networks and words of others."""
    path = EXAMPLES / "smile.mp4"
    reader = ClipReader(MediaConfig(frames_per_second=2.0))
    return read_material(reader, sample("smile", path, path.with_suffix(".txt").read_text()))


# --- the suite as a whole


def test_every_disturbance_of_a_whole_clip_changes_its_own_part_and_no_other(
    material: Material,
) -> None:
    before = arrays(material.decoded) | {"seen " + k: v for k, v in arrays(material.seen).items()}
    clean = arrays(material.reader.finish(material.seen))
    parts = {
        "audio": {"waveform"},
        "vision": {"frames", "key_frame", "crops"},
        "text": set[str](),
        "audio and vision": {"waveform", "frames", "key_frame", "crops"},
    }
    for disturbance, clip in disturbed_clips(material, SUITE):
        assert isinstance(clip, Clip), disturbance.title
        found = arrays(clip)
        changed = {name for name in clean if found[name] != clean[name]}
        assert changed <= parts[disturbance.kind], disturbance.title
        assert bool(changed) == (disturbance.kind != "text"), disturbance.title
        assert (clip.transcript != material.decoded.transcript) == (disturbance.kind == "text")
        assert clip.warnings[-1] == f"disturbed on purpose: {disturbance.title}"
    after = arrays(material.decoded) | {"seen " + k: v for k, v in arrays(material.seen).items()}
    assert after == before


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(
    material: Material,
) -> None:
    def all_bytes(seed: int) -> dict[str, tuple[dict[str, bytes], str | None]]:
        return {
            disturbance.title: (arrays(clip), clip.transcript)
            for disturbance, clip in disturbed_clips(material, SUITE, seed)
            if isinstance(clip, Clip)
        }

    first, again, other = all_bytes(1), all_bytes(1), all_bytes(2)
    assert first == again
    for title in ("white noise, 10 dB", "babble, 10 dB", "frame drops, 50 %", "word errors, 50 %"):
        assert first[title] != other[title], title


def test_titles_are_unlike_and_kinds_are_needed() -> None:
    assert len({one.title for one in SUITE}) == len(SUITE) == 25
    assert all(set(one.kind.split(" and ")) == set(one.needs) for one in SUITE)
    assert Counter(one.kind for one in SUITE) == {
        "audio": 13,
        "vision": 7,
        "text": 4,
        "audio and vision": 1,
    }


def test_a_clip_without_a_part_is_left_out_and_counted(run: list[EvalSample]) -> None:
    words_only = read_material(ClipReader(), sample("w", None, TEXT), run)
    reasons = Counter(
        str(clip) for _, clip in disturbed_clips(words_only, SUITE) if isinstance(clip, ValueError)
    )
    assert reasons == {
        "the clip has no audio": 14,
        "the clip has no vision": 7,
        "the clip is nothing but text: it would be exchanged as a whole": 1,
    }


def test_a_sound_alone_is_not_exchanged_for_another(tmp_path: Path, run: list[EvalSample]) -> None:
    path = write_sound(tmp_path / "alone.wav", voice(9))
    alone = read_material(ClipReader(), sample("alone", path), run)
    assert "nothing but audio" in str(outcome(alone, "swapped sound, another label"))
    assert isinstance(outcome(alone, "white noise, 0 dB"), Clip)


def test_silence_is_left_out_and_counted(tmp_path: Path, run: list[EvalSample]) -> None:
    path = write_sound(tmp_path / "silent.wav", np.zeros(RATE, np.float32))
    silent = read_material(ClipReader(), sample("silent", path, TEXT), run)
    noisy = [one for one in SUITE if one.kind == "audio"]
    reasons = Counter(str(clip) for _, clip in disturbed_clips(silent, noisy))
    assert reasons == {"the clip has no audio": 13}


def test_a_sound_that_is_silent_in_memory_is_left_out_too(material: Material) -> None:
    assert material.seen.waveform is not None
    still = replace(material.seen, waveform=np.zeros_like(material.seen.waveform))
    silent = replace(material, seen=still)
    for title in ("white noise, 0 dB", "babble, 20 dB"):
        assert "the sound is silence" in str(outcome(silent, title))


def test_a_disturbed_sound_is_completed_as_the_reader_completes_it(material: Material) -> None:
    def measure(clip: Clip) -> tuple[Evidence, ...]:
        assert clip.waveform is not None
        level = rms(clip.waveform)
        return (Evidence("audio", "level", level, None, None, "test"),)

    reader = ClipReader(material.reader.media, measure=measure)
    clip = disturbed_clip(replace(material, reader=reader), named("white noise, 0 dB"))
    slow = reader.complete(replace(material.decoded, waveform=clip.waveform))
    assert arrays(clip) == arrays(slow)
    assert clip.evidence == slow.evidence
    assert clip.evidence != reader.complete(material.decoded).evidence


# --- sound


@pytest.mark.parametrize("level", [0.01, 0.9])
@pytest.mark.parametrize("snr_db", SNRS_DB)
def test_the_ratio_of_a_mix_is_the_asked_one(snr_db: int, level: float) -> None:
    speech, noise = voice(1, level=level), voice(2, level=3.0)
    mix = mixed(speech, noise, snr_db)
    parts = np.stack([speech, noise], 1).astype(np.float64)
    (of_speech, of_noise), *_ = np.linalg.lstsq(parts, mix.astype(np.float64), rcond=None)
    found = 20 * np.log10(of_speech * rms(speech) / (of_noise * rms(noise)))
    assert found == pytest.approx(snr_db, abs=0.1)
    assert np.abs(mix).max() <= 1.0
    assert np.allclose(parts @ (of_speech, of_noise), mix, atol=1e-5)  # nothing is cut off
    assert of_speech == pytest.approx(1.0) or np.abs(mix).max() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["white noise", "babble"])
def test_noise_in_a_clip_has_the_asked_ratio_and_only_gets_louder(
    material: Material, name: str
) -> None:
    speech = material.decoded.waveform
    assert speech is not None
    noises = []
    for snr_db in (20, 15, 10):  # so quiet that the sum is not turned down
        clip = outcome(material, f"{name}, {snr_db} dB")
        assert isinstance(clip, Clip) and clip.waveform is not None
        noises.append(clip.waveform - speech)
        assert 20 * np.log10(rms(speech) / rms(noises[-1])) == pytest.approx(snr_db, abs=0.1)
    assert np.corrcoef(noises[0], noises[2])[0, 1] > 0.999


@pytest.mark.parametrize(("speech", "noise"), [(0.0, 0.1), (0.1, 0.0)])
def test_silence_has_no_ratio(speech: float, noise: float) -> None:
    with pytest.raises(LeftOutError, match="is silence"):
        mixed(np.full(100, speech, np.float32), np.full(100, noise, np.float32), 10)


def test_babble_holds_every_voice_equally_loud() -> None:
    voices = [voice(i, level=level) for i, level in enumerate((0.01, 0.1, 0.8))]
    total = babble(voices, 3 * RATE, np.random.default_rng(0))
    assert len(total) == 3 * RATE
    for one in voices:
        likeness = np.fft.irfft(np.fft.rfft(total[:RATE]) * np.conj(np.fft.rfft(one)))
        share = likeness.max() / (np.linalg.norm(total[:RATE]) * np.linalg.norm(one))
        assert share == pytest.approx(1 / np.sqrt(3), abs=0.1)


def test_babble_of_fewer_than_three_voices_is_refused(run: list[EvalSample]) -> None:
    with pytest.raises(LeftOutError, match="fewer than 3 other clips"):
        babble([voice(0), voice(1)], RATE, np.random.default_rng(0))
    few = read_material(ClipReader(FRAMES), run[0], run[:3])
    assert "fewer than 3 other clips" in str(outcome(few, "babble, 0 dB"))


def test_babble_never_holds_the_clips_own_voice(run: list[EvalSample]) -> None:
    reader = ClipReader(FRAMES)
    again = replace(run[0], sample_id="the same file again")
    own = [run[0], again, *run[1:3]]
    assert "fewer than 3" in str(outcome(read_material(reader, run[0], own), "babble, 0 dB"))


@pytest.mark.parametrize("seconds", [0.03, 0.5, 1.01])
def test_a_codec_keeps_length_and_place_and_loses_detail(seconds: float) -> None:
    time_s = np.arange(round(seconds * RATE)) / RATE
    tone = (0.3 * np.sin(2 * np.pi * 300 * time_s)).astype(np.float32)
    hiss = voice(3, seconds, 0.02)[: len(tone)]
    hiss = np.pad(hiss, (0, len(tone) - len(hiss)))
    heard = compressed(tone + hiss, RATE, 12_000)
    assert (heard.shape, heard.dtype) == (tone.shape, np.float32)
    assert np.abs(heard).max() <= 1.0
    if seconds > 0.4:  # a codec needs some time to settle
        assert np.corrcoef(heard[2000:], tone[2000:])[0, 1] > 0.9
    errors = [rms(compressed(voice(4), RATE, bits) - voice(4)) for bits in (6_000, 64_000)]
    assert errors[0] > errors[1] > 0


def test_swapped_sound_is_of_another_label_and_ends_with_the_picture(
    material: Material, run: list[EvalSample]
) -> None:
    reader = material.reader
    sad = [reader.decode(one.path).waveform for one in run[2:5] if one.path is not None]
    for seed in range(12):
        clip = disturbed_clip(material, named("swapped sound, another label"), seed)
        assert clip.waveform is not None and clip.duration_s is not None
        assert len(clip.waveform) <= round(clip.duration_s * RATE)
        length = len(clip.waveform)
        assert any(np.array_equal(clip.waveform, one[:length]) for one in sad if one is not None)


def test_sound_is_not_swapped_where_no_other_label_is_known(run: list[EvalSample]) -> None:
    reader = ClipReader(FRAMES)
    title = "swapped sound, another label"
    alike = read_material(reader, run[0], [*run[:2], run[5]])
    assert outcome(alike, title) == "no clip of another label can be heard"
    unlabelled = read_material(reader, run[5], run)
    assert outcome(unlabelled, title) == "the clip has no label, so that none is another"


# --- picture


def detail(pictures: NDArray[np.uint8]) -> float:
    """Power of the upper half of the frequencies."""
    spectrum = np.abs(np.fft.fft2(pictures[..., 0].astype(float), axes=(1, 2))) ** 2
    height, width = pictures.shape[1:3]
    return float(spectrum[:, height // 4 : -height // 4, width // 4 : -width // 4].mean())


@pytest.mark.parametrize("size", [(64, 96), (37, 51), (1, 1)])
def test_blur_keeps_the_size_and_the_brightness_and_lowers_the_detail(
    size: tuple[int, int],
) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (2, *size, 3), dtype=np.uint8)
    twice, four = blurred(pictures, 2), blurred(pictures, 4)
    assert twice.shape == four.shape == pictures.shape
    if size != (1, 1):
        assert detail(pictures) > 4 * detail(twice) > 4 * detail(four)
        assert pictures.mean() == pytest.approx(four.mean(), abs=4)
    flat = np.full((1, *size, 3), 77, np.uint8)
    assert (blurred(flat, 4) == 77).all()


def test_jpeg_keeps_size_and_colours_and_loses_detail() -> None:
    pictures = np.zeros((1, 32, 48, 3), np.uint8)
    pictures[..., 0] = 200  # red: a wrong order of channels makes it blue
    red = with_jpeg(pictures, 10)
    assert red.shape == pictures.shape
    assert np.abs(red.astype(int) - pictures).max() < 30
    slope = np.broadcast_to(np.arange(0, 192, 4, dtype=np.uint8)[:, None], (1, 32, 48, 3)).copy()
    losses = [np.abs(with_jpeg(slope, quality).astype(int) - slope).mean() for quality in (10, 90)]
    assert losses[0] > 2 * losses[1] > 0


@settings(max_examples=50)
@given(num_frames=st.integers(3, 60), share=st.sampled_from([0.5, 0.8]), seed=st.integers(0, 9))
def test_lost_frames_freeze_the_picture(num_frames: int, share: float, seed: int) -> None:
    shown = frames_on_show(num_frames, share, np.random.default_rng(seed))
    positions = np.arange(num_frames)
    num_lost = min(round(share * num_frames), num_frames - 1)
    assert (shown != positions).sum() == num_lost
    assert shown[0] == 0
    assert (np.diff(shown) >= 0).all()
    assert (shown <= positions).all()
    assert set(shown) == set(positions[shown == positions])  # only frames that came are shown


def test_more_loss_keeps_the_losses_of_less() -> None:
    some, more = (frames_on_show(30, share, np.random.default_rng(5)) for share in (0.5, 0.8))
    assert ((some == np.arange(30)) | (more != np.arange(30))).all()


def test_frame_drops_keep_the_times_and_show_frames_that_came(material: Material) -> None:
    clean = material.decoded
    clip = outcome(material, "frame drops, 80 %")
    assert isinstance(clip, Clip)
    assert clip.frames is not None and clean.frames is not None
    assert clip.frame_times_s is not None
    assert np.array_equal(clip.frame_times_s, clean.frame_times_s)
    assert (np.diff(clip.frame_times_s) > 0).all()
    kept = {frame.tobytes() for frame in clip.frames}
    assert len(kept) == len(clean.frames) - round(0.8 * len(clean.frames))


def test_a_key_frame_that_is_lost_freezes_too(material: Material) -> None:
    clean = material.decoded
    assert clean.frames is not None and clean.frame_times_s is not None
    at_key = int(np.searchsorted(clean.frame_times_s, clean.key_frame_s))
    was_lost = set()
    for seed in range(10):
        clip = disturbed_clip(material, named("frame drops, 50 %"), seed)
        assert clip.frames is not None and clip.key_frame_s == clean.key_frame_s
        assert np.array_equal(clip.key_frame, clip.frames[at_key])
        was_lost.add(not np.array_equal(clip.key_frame, clean.frames[at_key]))
    assert was_lost == {True, False}


def test_a_still_has_no_frame_to_lose(run: list[EvalSample], tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(path)
    reader = ClipReader(FRAMES)
    still = read_material(reader, sample("still", path), run)
    assert outcome(still, "frame drops, 80 %") == "too few frames to lose one"
    assert isinstance(outcome(still, "jpeg, quality 10"), Clip)


def test_a_bar_changes_its_region_only() -> None:
    pictures = np.random.default_rng(0).integers(0, 100, (2, 40, 60, 3), dtype=np.uint8)
    boxes = np.array([[10, 5, 20, 20], [-8, -10, 30, 30]], np.float32)
    before = pictures.copy()
    barred = covered(pictures, boxes, (0.5, 0.75))
    assert (pictures == before).all()
    region = np.zeros(pictures.shape[:3], bool)
    region[0, 15:20, 10:30] = True
    region[1, 5:12, 0:22] = True
    assert (barred[region] == BAR_GREY).all()
    assert (barred[~region] == pictures[~region]).all()


@pytest.mark.parametrize("part", FACE_PARTS)
def test_the_bar_lies_over_the_part_it_is_named_after(smile: Material, part: str) -> None:
    clean, clip = smile.decoded, outcome(smile, f"occlusion, {part}")
    assert isinstance(clip, Clip)
    assert clip.frames is not None and clean.frames is not None
    faces = smile.seen.faces
    assert faces is not None and faces.points is not None
    eyes, lips = (*RIGHT_EYE, *LEFT_EYE), OUTER_LIPS
    hidden, free = (eyes, lips) if part == "eyes" else (lips, eyes)
    for old, new, points in zip(clean.frames, clip.frames, faces.points, strict=True):
        x, y = points[:, :2].round().astype(int).T
        assert (new[y[list(hidden)], x[list(hidden)]] == BAR_GREY).all()
        assert (new[y[list(free)], x[list(free)]] == old[y[list(free)], x[list(free)]]).all()
    assert clip.key_frame is not None and clean.key_frame is not None
    assert (clip.key_frame == BAR_GREY).all(-1).sum() > (clean.key_frame == BAR_GREY).all(-1).sum()


def test_where_no_face_is_found_nothing_is_covered(run: list[EvalSample]) -> None:
    noise = read_material(ClipReader(), run[0], run)
    assert outcome(noise, "occlusion, eyes") == "no face was found to cover"


# --- sound and picture at once


def test_the_levels_of_mer_noise_are_drawn_by_the_clips_id_and_all_occur() -> None:
    levels = [drawn_levels(MER_NOISE, f"clip{number}") for number in range(300)]
    assert levels == [drawn_levels(MER_NOISE, f"clip{number}") for number in range(300)]
    assert {one["snr_db"] for one in levels} == set(MER_NOISE_SNRS_DB) == {5, 6, 7, 8, 9, 10}
    assert {one["blur_factor"] for one in levels} == set(MER_NOISE_FACTORS) == {1, 2, 4}
    assert drawn_levels(MER_NOISE, "clip0", seed=1) != drawn_levels(MER_NOISE, "clip0", seed=3)
    assert drawn_levels(named("white noise, 10 dB"), "clip0") == {}


def test_mer_noise_has_the_drawn_ratio_and_the_drawn_blur(run: list[EvalSample]) -> None:
    """Over the ids of many clips, each with its own levels."""
    reader = ClipReader(FRAMES)
    factors = set()
    for number in range(8):
        one = replace(run[0], sample_id=f"id{number}")
        clean = read_material(reader, one, run)
        levels = drawn_levels(MER_NOISE, one.sample_id)
        clip = disturbed_clip(clean, MER_NOISE)
        assert clip.frames is not None and clean.decoded.frames is not None
        assert np.array_equal(clip.frames, blurred(clean.decoded.frames, levels["blur_factor"]))
        assert clip.waveform is not None and clean.decoded.waveform is not None
        speech = clean.decoded.waveform
        noise = clip.waveform - speech  # so quiet that the sum is not turned down
        assert 20 * np.log10(rms(speech) / rms(noise)) == pytest.approx(levels["snr_db"], abs=0.2)
        factors.add(levels["blur_factor"])
    assert len(factors) > 1


def test_mer_noise_needs_sound_picture_and_another_voice(run: list[EvalSample]) -> None:
    reader = ClipReader(FRAMES)
    alone = read_material(reader, run[0], run[:1])
    assert outcome(alone, MER_NOISE.title) == "no other clip has a voice to lay over this one"
    sound = read_material(reader, run[1], run)
    assert outcome(sound, MER_NOISE.title) == "the clip has no vision"


# --- parts of one long film


def test_another_part_of_the_same_film_is_another_clip(run: list[EvalSample]) -> None:
    first = replace(run[0], span=(0.0, 0.5))
    second = replace(run[0], sample_id="later", span=(0.5, 1.0))
    same = replace(run[0], sample_id="same", span=(0.0, 0.5))
    reader = ClipReader(FRAMES)
    heard = outcome(read_material(reader, first, [first, second]), MER_NOISE.title)
    assert isinstance(heard, Clip) and heard.waveform is not None
    assert len(heard.waveform) == pytest.approx(RATE / 2, abs=RATE / 10)
    assert "no other clip has a voice" in str(
        outcome(read_material(reader, first, [first, same]), MER_NOISE.title)
    )


# --- words


@settings(max_examples=50)
@given(
    num_words=st.integers(1, 60), share=st.sampled_from([0.1, 0.3, 0.5]), seed=st.integers(0, 20)
)
def test_the_asked_share_of_words_is_misheard(num_words: int, share: float, seed: int) -> None:
    words = [f"w{i}" for i in range(num_words)]
    wanted = round(share * num_words)
    rng = np.random.default_rng(seed)
    if wanted == 0:
        with pytest.raises(LeftOutError, match="too few words"):
            with_word_errors(" ".join(words), share, ["other"], rng)
        return
    heard = with_word_errors(" ".join(words), share, ["other"], rng).split()
    right = [word for word in heard if word != "other"]
    assert len(right) == num_words - wanted
    assert right == [word for word in words if word in right]  # in their order


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_errors_are_substitutions_and_deletions_and_grow_with_the_share(share: float) -> None:
    words = [f"w{i}" for i in range(40)]
    heard = with_word_errors(" ".join(words), share, ["x", "y"], np.random.default_rng(2)).split()
    num_other = sum(word in "xy" for word in heard)
    num_gone = len(words) - len(heard)
    assert num_other + num_gone == round(share * 40)
    assert num_other > 0 and num_gone > 0
    more = with_word_errors(" ".join(words), 0.5, ["x", "y"], np.random.default_rng(2)).split()
    assert set(more) & set(words) <= set(heard) & set(words)


def test_a_word_never_becomes_itself() -> None:
    for seed in range(20):
        heard = with_word_errors("Yes, yes!", 0.5, ["YES", "-", "no"], np.random.default_rng(seed))
        assert heard in ("Yes,", "yes!", "no yes!", "Yes, no")
    with pytest.raises(LeftOutError, match="no other clip has other words"):
        for seed in range(20):
            with_word_errors("yes yes", 0.5, ["Yes."], np.random.default_rng(seed))


def test_characters_without_spaces_are_words() -> None:
    assert words_of("我很高兴，谢谢 you!") == ["我", "很", "高", "兴，", "谢", "谢", "you!"]
    heard = with_word_errors("我很高兴谢谢你呀", 0.5, ["x"], np.random.default_rng(0))
    assert sum(one in heard for one in "我很高兴你呀") <= 6
    assert len(heard.replace("x", "")) == 4


def test_wrong_words_are_those_of_another_clip(material: Material, run: list[EvalSample]) -> None:
    for seed in range(8):
        clip = disturbed_clip(material, named("wrong words, another clip"), seed)
        assert clip.transcript in {one.transcript for one in run[1:]}
    alike = [run[0], replace(run[1], transcript=f"{TEXT.upper()},  clip0.")]
    same = replace(material, others=alike)
    assert outcome(same, "wrong words, another clip") == "no other clip has other words"
