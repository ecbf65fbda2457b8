"""Lists in place of walks do what the walks do."""

import pytest
import torch
from torch import nn

from emotion_llama.training.walking import walked_once


@pytest.fixture
def model() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1)))
    model[0].requires_grad_(False)
    return model


def test_modes_reach_every_module(model: nn.Module) -> None:
    with walked_once(model):
        assert model.train(False) is model
        assert [one.training for one in model.modules()] == [False] * 5
        model[1].train()  # type: ignore[index]
        model.eval()
        assert [one.training for one in model.modules()] == [False] * 5
        model.train()
        assert [one.training for one in model.modules()] == [True] * 5


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_are_emptied(model: nn.Module, set_to_none: bool) -> None:
    with walked_once(model) as learning:
        assert [id(one) for one in learning] == [id(one) for one in model[1].parameters()]  # type: ignore[index]
        model(torch.ones(4, 2)).sum().backward()
        assert all(one.grad is not None for one in learning)
        model.zero_grad(set_to_none=set_to_none)
        for one in learning:
            assert one.grad is None if set_to_none else not one.grad.any()


def test_nothing_is_left_afterwards(model: nn.Module) -> None:
    with pytest.raises(KeyboardInterrupt), walked_once(model):
        raise KeyboardInterrupt
    assert "train" not in vars(model)
    assert "zero_grad" not in vars(model)
    model.append(nn.Dropout(0.5))  # type: ignore[operator]
    assert not model.eval()[2].training  # type: ignore[index]
