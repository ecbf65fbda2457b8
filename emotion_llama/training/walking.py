"""Walks through all modules of a model, which the library makes at every step: once, then by list.

Knows: modules, parameters. Does not know: losses, steps. The published model has a thousand
modules in many layers, and Python takes some milliseconds for each walk.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def walked_once(model: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Let ``train`` and ``zero_grad`` of a model go through lists, until the end of the context.

    They do what they did; no module may be added or replaced meanwhile, and no parameter may begin
    to learn.

    Args:
        model: what is trained, with what wraps it

    Yields:
        the parameters that learn, in the order of the model
    """
    modules = list(model.modules())
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def train(mode: bool = True) -> nn.Module:
        for module in modules:
            if module.training != mode:
                module.training = mode
        return model

    def zero_grad(set_to_none: bool = True) -> None:
        for parameter in learning:
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.detach_().zero_()

    model.train, model.zero_grad = train, zero_grad  # type: ignore[method-assign]
    try:
        yield learning
    finally:
        del model.train, model.zero_grad
