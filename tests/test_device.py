"""Which device and which number type, where nobody names one."""

import pytest
import torch

from emotion_llama.device import choose_device, choose_dtype


def test_a_named_device_is_taken() -> None:
    assert choose_device("cuda:1") == "cuda:1"
    assert choose_device(None) == ("cuda" if torch.cuda.is_available() else "cpu")


def test_attention_that_differs_from_time_to_time_is_left_out_on_a_gpu() -> None:
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        torch.backends.cuda.enable_cudnn_sdp(True)
        choose_device("cpu")
        assert torch.backends.cuda.cudnn_sdp_enabled(), "nothing to do with a CPU"
        choose_device("cuda:1")
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_the_type_fits_the_device() -> None:
    assert choose_dtype(None, "cpu") == torch.float32
    assert choose_dtype(None, "cuda:0") == torch.float16
    assert choose_dtype("bfloat16", "cpu") == torch.bfloat16
    with pytest.raises(ValueError, match=r"dtype is 'int3', expected one of float32"):
        choose_dtype("int3", "cpu")
