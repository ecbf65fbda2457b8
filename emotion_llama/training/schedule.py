"""The learning rate of the published training, step by step.

Knows: the published formula. Does not know: models, data, other schedules (those of
``transformers``). Source: docs/published-model.md, "Training".
"""

import math
from dataclasses import dataclass

import torch
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class PublishedSchedule:
    """Linear warm-up, then a cosine that counts from step 0 and not from the end of the warm-up.

    The rate therefore jumps at the end of the warm-up, down from ``learning_rate`` to where the
    cosine is by then. The published code counts the warm-up anew in every epoch where the warm-up
    is longer than an epoch; that is a fault and not done here: steps count through the whole run.
    """

    learning_rate: float
    """rate that the warm-up leads to and the cosine starts from"""
    min_learning_rate: float
    """rate that the cosine falls to at the last step"""
    warmup_learning_rate: float
    """rate of step 0, where there is a warm-up"""
    warmup_steps: int

    def rate(self, step: int, num_steps: int) -> float:
        """Give the rate with which a step is made.

        Args:
            step: number of the step in the run, from 0
            num_steps: steps of the run: epochs x steps of an epoch
        """
        if step < self.warmup_steps:
            share = step / self.warmup_steps
            rise = self.learning_rate - self.warmup_learning_rate
            return self.warmup_learning_rate + rise * share
        fall = 0.5 * (1 + math.cos(math.pi * step / num_steps))
        return self.min_learning_rate + (self.learning_rate - self.min_learning_rate) * fall

    def attach(self, optimizer: torch.optim.Optimizer, num_steps: int) -> LambdaLR:
        """Let an optimiser follow the schedule; its groups have to be at ``learning_rate``."""
        return LambdaLR(optimizer, lambda step: self.rate(step, num_steps) / self.learning_rate)
