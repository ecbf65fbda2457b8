"""Features to feature tokens."""

import pytest
import torch

from emotion_llama.model import FEATURE_ORDER, ModalityProjector


@pytest.fixture
def projector() -> ModalityProjector:
    torch.manual_seed(0)
    return ModalityProjector(
        patch_dim=2, local_dim=3, temporal_dim=4, audio_dim=5, hidden_size=7, patches_per_token=4
    )


def test_order_is_the_published_one() -> None:
    assert FEATURE_ORDER == ("local", "temporal", "audio", "class_token")


def test_four_consecutive_patches_share_a_token(projector: ModalityProjector) -> None:
    patches = torch.arange(16.0).view(1, 8, 2)
    tokens = projector({"patches": patches})["patches"]
    expected = projector.patch_projection(torch.arange(8.0, 16.0))
    assert tokens.shape == (1, 2, 7)
    torch.testing.assert_close(tokens[0, 1], expected)


def test_only_given_features_become_tokens(projector: ModalityProjector) -> None:
    assert list(projector({"audio": torch.zeros(2, 5)})) == ["audio"]


def test_wrong_width_is_named(projector: ModalityProjector) -> None:
    with pytest.raises(ValueError, match="feature 'local' has width 4, expected 3"):
        projector({"local": torch.zeros(1, 4)})


def test_patches_that_do_not_divide_are_refused(projector: ModalityProjector) -> None:
    with pytest.raises(ValueError, match="found 6 patches, expected a multiple of 4"):
        projector({"patches": torch.zeros(1, 6, 2)})
