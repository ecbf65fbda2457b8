"""Still-face encoder and its pixels: shapes, means over a track, batches, odd input."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from emotion_llama.encoders.face_pixels import grey_crops, standardize
from emotion_llama.encoders.mini_local_encoder import FaceLocalEncoder


def tiny_local(seed: int = 0) -> FaceLocalEncoder:
    torch.manual_seed(seed)
    return FaceLocalEncoder(widths=(2, 3, 4)).eval()


def crops(length: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (length, size, size, 3)).astype(np.uint8)


def test_grey_weights_are_those_of_pillow() -> None:
    picture = crops(1, 48)
    expected = np.asarray(Image.fromarray(picture[0]).convert("L"), dtype=np.float32)
    assert np.abs(grey_crops(picture, 48)[0, 0].numpy() - expected).max() <= 1.0


def test_crops_are_resized_without_moving_the_picture() -> None:
    picture = np.zeros((1, 96, 96, 3), np.uint8)
    picture[:, :48] = 200
    grey = grey_crops(picture, 48)[0, 0]
    assert grey[:22].min() > 199 and grey[26:].max() < 1


def test_standardized_faces_do_not_depend_on_brightness_and_contrast() -> None:
    grey = grey_crops(crops(3, 48), 48)
    torch.testing.assert_close(
        standardize(grey, (1, 2, 3)), standardize(grey * 0.5 + 40.0, (1, 2, 3)), atol=1e-4, rtol=0
    )
    assert torch.isfinite(standardize(torch.full((1, 1, 4, 4), 9.0), (1, 2, 3))).all()


def test_a_track_is_the_mean_of_its_faces() -> None:
    encoder, track = tiny_local(), crops(3, 60)
    single = torch.cat([encoder.encode([track[i : i + 1]]) for i in range(3)])
    torch.testing.assert_close(encoder.encode([track])[0], single.mean(dim=0), atol=1e-5, rtol=0)


def test_batch_equals_single_for_tracks_of_any_length_and_size() -> None:
    encoder = tiny_local()
    tracks = [crops(1, 20), crops(5, 112, 1), crops(2, 48, 2)]
    together = encoder.encode(tracks)
    assert together.shape == (3, encoder.output_dim) == (3, 4)
    assert torch.equal(together, encoder.encode(tracks))
    for row, one in enumerate(tracks):
        torch.testing.assert_close(encoder.encode([one])[0], together[row], atol=1e-5, rtol=0)


def test_crops_that_are_not_rgb_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"float64.*RGB uint8"):
        tiny_local().encode([np.zeros((1, 48, 48, 3))])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one RGB"):
        tiny_local().encode([crops(0, 48)])
    with pytest.raises(ValueError, match="found no face track"):
        tiny_local().encode([])
