"""Extraction: what is stored is what an answer sees, once, and for as long as it holds."""

import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emotion_llama import extract as extraction
from emotion_llama.bulk import Done, StopRunError
from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import MediaConfig, SourceConfig
from emotion_llama.extract import (
    ClipExtractor,
    Encoded,
    Extracted,
    ExtractSettings,
    Prepared,
    extract,
    input_settings,
)
from emotion_llama.feature_store import FeatureStore, FeatureWriter, StoreFullError
from emotion_llama.media.manifest import ClipFile, list_clips
from emotion_llama.preset import find_preset

SMILE = Path(__file__).parent.parent / "examples" / "smile.mp4"
ALL = ("audio", "global", "local", "temporal")


@pytest.fixture
def clips(tmp_path: Path) -> list[ClipFile]:
    folder = tmp_path / "clips"
    for place in ("one", "two"):
        (folder / place).mkdir(parents=True)
    shutil.copy(SMILE, folder / "one" / "clip.mp4")
    shutil.copy(SMILE.with_name("frown.mp4"), folder / "two" / "clip.mp4")
    (folder / "two" / "text.mp4").write_text("no film")
    return list_clips(folder)


@pytest.fixture
def settings(tmp_path: Path) -> ExtractSettings:
    return ExtractSettings(find_preset("mini"), tmp_path / "store", MediaConfig(), roles=ALL)


TENSORS = ("audio", "local", "temporal", "patches", "class_token")


def assert_same(one: FeatureStore, other: FeatureStore, clips: list[ClipFile]) -> None:
    """Compare all tensors of some clips of two stores."""
    for clip in clips:
        for name in TENSORS:
            torch.testing.assert_close(
                getattr(one.clip(clip.clip_id), name), getattr(other.clip(clip.clip_id), name)
            )


def test_stored_features_are_those_of_an_answer(
    clips: list[ClipFile], settings: ExtractSettings
) -> None:
    from emotion_llama import Predictor

    done = {one.row.clip_id: one for one in extract(clips, settings)}
    assert list(done) == ["one/clip.mp4", "two/clip.mp4", "two/text.mp4"]
    assert "two/text.mp4" in str(done["two/text.mp4"].error)
    store = FeatureStore(settings.store_dir)
    predictor = Predictor.from_pretrained("mini", device="cpu")
    for clip in clips[:2]:
        stored, seen = store.clip(clip.clip_id), predictor.embeddings(clip.path)
        assert stored.present == seen.present == ALL[1:] + ALL[:1]
        for name in TENSORS:
            assert torch.equal(getattr(stored, name), getattr(seen, name)), name


def test_training_draws_the_features_of_an_answer(
    clips: list[ClipFile], settings: ExtractSettings, tmp_path: Path
) -> None:
    from emotion_llama import Predictor
    from emotion_llama.train import _Encoders, _sources

    list(extract(clips, settings))
    table = tmp_path / "clips.csv"
    rows = [f"{clip.path},happy" for clip in clips[:2]]
    table.write_text("\n".join(["path,label", *rows]) + "\n", "utf-8")
    online = SourceConfig(kind="table", path=str(table), tasks=("emotion",))
    stored = online.model_copy(
        update={"features": str(settings.store_dir), "media": str(tmp_path / "clips")}
    )
    drawn, _ = _sources((online, stored), _Encoders(find_preset("mini")))
    predictor = Predictor.from_pretrained("mini", device="cpu")
    for source in drawn:
        for clip, example in zip(clips, source.examples, strict=False):
            given = source.features.features(example.clip_id)
            seen = predictor.embeddings(clip.path)
            for name in TENSORS:
                assert torch.equal(getattr(given, name), getattr(seen, name)), name


def test_an_answer_from_the_store_is_the_answer_from_the_file(
    clips: list[ClipFile], settings: ExtractSettings
) -> None:
    from emotion_llama import Predictor

    settings = replace(settings, roles=extraction.DEFAULT_ROLES)
    list(extract(clips[:1], settings))
    store = FeatureStore(settings.store_dir)
    features, kept = store.clip("one/clip.mp4"), store.key_frame("one/clip.mp4")
    assert features.patches is None
    assert kept is not None
    predictor = Predictor.from_pretrained("mini", device="cpu")
    whole = predictor.extractor.with_global(features, kept.pixels())
    stored = predictor.from_features(whole, with_reason=False)
    assert stored.probabilities == predictor(clips[0].path, with_reason=False).probabilities
    assert stored.missing.keys() == {"text"}


def test_nothing_is_computed_twice_and_nothing_stale_is_served(
    clips: list[ClipFile], settings: ExtractSettings
) -> None:
    two = clips[:2]
    assert [one.result.reused for one in extract(two, settings)] == [False, False]
    assert [one.result.reused for one in extract(two, settings)] == [True, True]
    larger = replace(settings, media=MediaConfig(face_crop_size=96))
    assert not next(iter(extract(two[:1], larger))).result.reused, "another setting is a miss"
    copy = ClipFile("copy.mp4", two[0].path)
    assert next(iter(extract([copy], settings))).result.reused, "the same content has one result"
    assert FeatureStore(settings.store_dir).clip("copy.mp4").audio is not None
    shutil.copy(two[1].path, two[0].path)
    changed = next(iter(extract(two[:1], settings)))
    assert changed.result.reused, "the other clip's content is known"
    store = FeatureStore(settings.store_dir)
    assert torch.equal(store.clip("one/clip.mp4").audio, store.clip("two/clip.mp4").audio)


def test_a_role_that_is_added_later_is_all_that_is_computed(
    clips: list[ClipFile], settings: ExtractSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emotion_llama.encoders import FaceLocalEncoder, MelAudioEncoder

    first = replace(settings, roles=("local",))
    list(extract(clips[:1], first))
    monkeypatch.setattr(FaceLocalEncoder, "encode", None)
    more = replace(settings, roles=("local", "audio"))
    assert next(iter(extract(clips[:1], more))).error is None
    monkeypatch.setattr(MelAudioEncoder, "encode", None)
    assert next(iter(extract(clips[:1], more))).result.reused
    assert FeatureStore(settings.store_dir).clip("one/clip.mp4").present == ("local", "audio")


def test_only_what_a_role_reads_decides_whether_it_is_computed_again() -> None:
    base = MediaConfig()

    def seen(role: str, **changes: object) -> bool:
        changed = MediaConfig(**{**base.model_dump(), **changes})
        one, other = (input_settings(role, ClipReader(media)) for media in (base, changed))
        return one != other

    assert seen("audio", max_duration_s=3.0) and not seen("audio", frames_per_second=2.0)
    assert seen("local", face_crop_size=64) and not seen("global", face_crop_size=64)
    assert seen("global", key_frame="first") and not seen("local", key_frame="first")
    assert seen("local", key_frame="uniform:4"), "it samples other frames"
    one, other = (
        input_settings("global", ClipReader(MediaConfig(key_frame="peak", person=person)))
        for person in (1, 2)
    )
    assert one != other, "the peak is that of the person"


def test_names_may_be_trusted(
    clips: list[ClipFile], settings: ExtractSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(extract(clips[:1], settings))
    trusting = replace(settings, trust_names=True)
    monkeypatch.setattr(extraction.Media, "read", None)
    assert next(iter(extract(clips[:1], trusting))).result.reused
    with clips[0].path.open("ab") as file:
        file.write(b"more")
    assert next(iter(extract(clips[:1], trusting))).error, "another size is read again"


def test_a_missing_modality_is_stored_with_its_reason(
    tmp_path: Path, settings: ExtractSettings
) -> None:
    from PIL import Image

    grey = tmp_path / "grey.png"
    Image.new("RGB", (64, 64), "grey").save(grey)
    result = next(iter(extract([ClipFile("grey.png", grey)], settings))).result
    assert set(result.missing) == {"audio", "local", "temporal"}
    store = FeatureStore(settings.store_dir)
    assert "no face was found" in store.clip("grey.png").missing["local"]
    assert next(iter(extract([ClipFile("grey.png", grey)], settings))).result.reused


def test_a_file_that_changes_meanwhile_is_not_stored(
    clips: list[ClipFile], settings: ExtractSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = ClipReader.complete

    def touch_too(self: ClipReader, clip: object) -> object:
        os.utime(clips[0].path, ns=(1, 1))
        return complete(self, clip)

    monkeypatch.setattr(ClipReader, "complete", touch_too)
    done = next(iter(extract(clips[:1], settings)))
    assert "changed while it was read" in str(done.error)
    assert FeatureStore(settings.store_dir).clip_ids() == ()


def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(
    clips: list[ClipFile], settings: ExtractSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:

        def fail(writer: FeatureWriter) -> None:
            raise StoreFullError(writer.folder, 1000)

        full.setattr(FeatureWriter, "flush", fail)
        with pytest.raises(StopRunError, match="no room"):
            list(extract(clips[:2], settings))
    assert [one.result.reused for one in extract(clips[:2], settings)] == [False, False]


def test_an_encoder_that_is_not_there_is_named(settings: ExtractSettings, tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    shutil.copytree(settings.preset_dir / "encoders" / "audio", partial / "encoders" / "audio")
    with pytest.raises(ValueError, match=r"no global and no local and no temporal encoder"):
        next(iter(extract([], replace(settings, preset_dir=partial))))


def test_readers_and_encoder_apart_store_the_same(
    clips: list[ClipFile], settings: ExtractSettings, tmp_path: Path
) -> None:
    """What a GPU run does, on the CPU: processes read, this one encodes in groups."""
    list(extract(clips, settings))
    apart = replace(settings, store_dir=tmp_path / "apart")
    encoders = extraction.load_extractor(apart)
    named = extraction.identities(encoders, ClipReader(apart.media), apart)
    encoding = ClipExtractor(apart, named, extractor=encoders)
    read = extraction.run_bulk(extraction.partial(extraction.ClipPreparer, apart, named), clips, 1)
    done = {one.row.clip_id: one for one in extraction.encode_groups(read, encoding, 2)}
    encoding.save()
    assert sorted(done) == sorted(clip.clip_id for clip in clips)
    assert done["two/text.mp4"].error
    one, other = FeatureStore(settings.store_dir), FeatureStore(apart.store_dir)
    assert_same(one, other, clips[:2])


class Watched(ClipExtractor):
    """Says when a second group is encoded; stores what it is let store."""

    def __init__(self, settings: ExtractSettings) -> None:
        encoders = extraction.load_extractor(settings)
        named = extraction.identities(encoders, ClipReader(settings.media), settings)
        super().__init__(settings, named, extractor=encoders)
        self.groups: list[int] = []
        self.second = threading.Event()
        self.waits = False
        self.refused = ""

    def encode(self, group: Sequence[Prepared]) -> Encoded:
        self.groups.append(len(group))
        if len(self.groups) == 2:
            self.second.set()
        return super().encode(group)

    def store(self, group: Sequence[Prepared], encoded: Encoded) -> list[Extracted]:
        if self.waits:
            assert self.second.wait(20), "the next group was not encoded meanwhile"
        if self.refused in [prepared.media.clip_id for prepared in group]:
            msg = "not to be stored"
            raise ValueError(msg)
        return super().store(group, encoded)


def in_groups(encoding: Watched, clips: list[ClipFile], size: int) -> dict[str, str | None]:
    read = (Done(clip, encoding.prepare(clip), None) for clip in clips)
    errors = {
        done.row.clip_id: done.error for done in extraction.encode_groups(read, encoding, size)
    }
    encoding.save()
    return errors


def test_a_group_is_stored_while_the_next_is_encoded(
    clips: list[ClipFile], settings: ExtractSettings
) -> None:
    encoding = Watched(settings)
    encoding.waits = True
    errors = in_groups(encoding, clips[:2], 1)
    assert errors == {"one/clip.mp4": None, "two/clip.mp4": None}
    store = FeatureStore(settings.store_dir)
    assert store.clip("two/clip.mp4").present == ALL[1:] + ALL[:1]


def test_a_clip_that_cannot_be_stored_fails_alone(
    clips: list[ClipFile], settings: ExtractSettings
) -> None:
    encoding = Watched(settings)
    encoding.refused = "two/clip.mp4"
    errors = in_groups(encoding, clips[:2], 2)
    assert errors == {"one/clip.mp4": None, "two/clip.mp4": "not to be stored"}
    assert encoding.groups == [2, 1, 1]
    assert FeatureStore(settings.store_dir).clip("one/clip.mp4").present == ALL[1:] + ALL[:1]


def test_the_kept_picture_is_made_where_the_clip_is_read(
    clips: list[ClipFile], settings: ExtractSettings
) -> None:
    prepared = Watched(settings).prepare(clips[0])
    assert isinstance(prepared, Prepared)
    assert (prepared.picture or b"").startswith(b"\x89PNG")
    without = Watched(replace(settings, keep_key_frame=False)).prepare(clips[0])
    assert isinstance(without, Prepared)
    assert without.picture is None


def test_another_type_of_matrix_products_is_another_feature(
    clips: list[ClipFile], settings: ExtractSettings
) -> None:
    settings = replace(settings, roles=("local",), keep_key_frame=False)
    list(extract(clips[:1], settings))
    cast = replace(settings, autocast_dtype=torch.bfloat16, store_dir=settings.store_dir / "cast")
    list(extract(clips[:1], cast))
    one, other = (FeatureStore(s.store_dir).clip("one/clip.mp4").local for s in (settings, cast))
    assert not torch.equal(one, other)
    torch.testing.assert_close(one, other, rtol=0.1, atol=0.1)
    again = replace(cast, store_dir=settings.store_dir)
    assert not next(iter(extract(clips[:1], again))).result.reused, "it is a miss, not served"


@pytest.mark.slow
def test_ray_stores_the_same(
    clips: list[ClipFile], settings: ExtractSettings, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="NOT CHECKED: Ray is not installed")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("NOT CHECKED: Ray needs a second processor")
    import ray

    from emotion_llama.extract import extract_on_ray

    list(extract(clips, settings))
    elsewhere = replace(settings, store_dir=tmp_path / "elsewhere")
    try:
        done = {one.row.clip_id: one for one in extract_on_ray(clips, elsewhere)}
        assert done["two/text.mp4"].error
        with pytest.raises(ValueError, match="leave one processor free"):
            list(extract_on_ray(clips, elsewhere, num_workers=1000))
    finally:
        ray.shutdown()
    one, other = FeatureStore(settings.store_dir), FeatureStore(elsewhere.store_dir)
    assert_same(one, other, clips[:2])


def test_published_kinds_of_encoders_go_the_same_way(clips: list[ClipFile], tmp_path: Path) -> None:
    """The encoders of the 7b preset at toy size: stored as a direct call of each gives them."""
    from encoders.towers import mae_tower, speech_tower, videomae_tower

    from emotion_llama.config import PUBLISHED_MEDIA
    from emotion_llama.encoders import (
        FeatureExtractor,
        HubertAudioEncoder,
        MaeLocalEncoder,
        VideoMaeTemporalEncoder,
    )

    audio = HubertAudioEncoder(speech_tower())
    local = MaeLocalEncoder(mae_tower())
    temporal = VideoMaeTemporalEncoder(videomae_tower())
    FeatureExtractor(audio=audio, local=local, temporal=temporal).save_pretrained(tmp_path / "toy")
    media = MediaConfig(**PUBLISHED_MEDIA)
    settings = ExtractSettings(tmp_path / "toy", tmp_path / "store", media)
    assert [one.result.missing for one in extract(clips[:1], settings)] == [{}]
    stored = FeatureStore(settings.store_dir).clip("one/clip.mp4")
    clip = ClipReader(media).read(clips[0].path)
    assert clip.faces is not None
    assert clip.faces.crops.shape[1:] == (224, 224, 3)
    assert len(clip.faces.crops) > 40, "every frame is read, not five a second"
    assert torch.equal(stored.audio, audio.encode([clip.waveform])[0])
    assert torch.equal(stored.local, local.encode([clip.faces.crops])[0])
    assert torch.equal(stored.temporal, temporal.encode([clip.faces.crops])[0])
    row = next(
        row
        for row in FeatureStore(settings.store_dir).rows().to_pylist()
        if row["role"] == "temporal"
    )
    assert len(row["times_s"]) == 16
