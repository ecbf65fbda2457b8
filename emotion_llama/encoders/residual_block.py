"""The residual convolution block (He et al., 2016) that the small picture encoders share.

Knows: two convolutions and a shortcut. Does not know: what the pictures show.
"""

import torch
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut; the first may halve the picture."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, picture: Tensor) -> Tensor:
        """Map [b x channels x h x w] to [b x outputs x h / stride x w / stride]."""
        return torch.relu(self.body(picture) + self.shortcut(picture))
