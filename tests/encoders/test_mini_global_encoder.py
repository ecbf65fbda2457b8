"""The small tower: shapes, batches, the order of its patches."""

import numpy as np
import torch
from numpy.typing import NDArray

from emotion_llama.encoders.mini_global_encoder import SceneGlobalEncoder


def tiny_scene(seed: int = 0) -> SceneGlobalEncoder:
    torch.manual_seed(seed)
    return SceneGlobalEncoder(widths=(2, 3, 4), patch_dim=8).eval()


def frame(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_scene_shapes_and_batch_equal_single() -> None:
    encoder = tiny_scene()
    frames = [frame(40, 90), frame(96, 96, 1), frame(200, 130, 2)]
    patches, class_token = encoder.encode(frames)
    assert patches.shape == (3, encoder.num_patches, encoder.patch_dim) == (3, 16, 8)
    assert class_token.shape == (3, 8)
    again, _ = encoder.encode(frames)
    assert torch.equal(patches, again)
    for row, picture in enumerate(frames):
        one_patches, one_class = encoder.encode([picture])
        torch.testing.assert_close(one_patches[0], patches[row], atol=1e-5, rtol=0)
        torch.testing.assert_close(one_class[0], class_token[row], atol=1e-5, rtol=0)


def test_scene_patches_are_in_raster_order() -> None:
    encoder = tiny_scene()
    flat = np.full((96, 96, 3), 128, np.uint8)
    marked = flat.copy()
    marked[4:20, 76:92] = 255
    grids = []
    for picture in (flat, marked):
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255.0
        features = encoder.convolutions((pixels - 0.5) * 4.0)
        grids.append(encoder.patch_projection(features).flatten(2)[0])
    change = (grids[1] - grids[0]).abs().sum(dim=0)
    assert int(change.argmax()) == 3, "top right is the fourth patch"
