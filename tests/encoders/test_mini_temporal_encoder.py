"""Face-motion encoder: which crops it reads, that order matters, batches."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from emotion_llama.encoders.mini_temporal_encoder import FaceTemporalEncoder


def tiny_temporal(seed: int = 0) -> FaceTemporalEncoder:
    torch.manual_seed(seed)
    return FaceTemporalEncoder(widths=(2, 3, 4), frame_width=5, output_dim=6).eval()


def track(length: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (length, size, size, 3)).astype(np.uint8)


def test_motion_backwards_is_another_motion() -> None:
    encoder, faces = tiny_temporal(), track(16, 32)
    forwards, backwards = encoder.encode([faces, faces[::-1].copy()])
    assert (forwards - backwards).abs().max() > 1e-4


def test_batch_equals_single_and_repeats_exactly() -> None:
    encoder = tiny_temporal()
    tracks = [track(2, 20), track(40, 64, 1), track(16, 32, 2)]
    together = encoder.encode(tracks)
    assert together.shape == (3, encoder.output_dim) == (3, 6)
    assert torch.equal(together, encoder.encode(tracks))
    for row, one in enumerate(tracks):
        torch.testing.assert_close(encoder.encode([one])[0], together[row], atol=1e-5, rtol=0)


def test_no_track_and_no_crop_are_refused() -> None:
    with pytest.raises(ValueError, match="found no face track"):
        tiny_temporal().encode([])
    with pytest.raises(ValueError, match="at least one RGB"):
        tiny_temporal().encode([track(0, 32)])
