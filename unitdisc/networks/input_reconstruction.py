"""The units' own reconstruction of the encoder's input: each unit alone says its frames, and those around it.

A decoder fills in what a unit leaves out: it sees the neighbouring units, the past frames and the voice. This network
sees the vector of one unit. Its targets are the encoder's input, normalised, so that all dimensions count the same.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.networks.configs import InputReconstructionConfig
from unitdisc.networks.padding import ceil_divide


class InputReconstruction(nn.Module):
    """The frames in and around each unit, from its value."""

    def __init__(self, config: InputReconstructionConfig, dim: int, stride: int, channels: int) -> None:
        """Build for values of width dim, stride frames a unit, and channels a frame."""
        super().__init__()
        self.context, self.stride = config.context, stride
        out = (2 * config.context + 1) * stride * channels
        self.layers = nn.Sequential(nn.Linear(dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, out))

    def forward(self, values: Tensor) -> Tensor:
        """Return the frames that values [B, T', dim] say of the units around, [B, T', 2 * context + 1, stride, C]."""
        return self.layers(values).unflatten(-1, (2 * self.context + 1, self.stride, -1))

    def loss(self, values: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return the absolute error to frames [B, T, C] of lengths [B], summed over frames.

        Mean over channels, and over the 2 * context + 1 units that speak of a frame; at an utterance's ends there are
        fewer, and what they do not say is no error.
        """
        units = values.shape[1]
        frames = F.pad(frames, (0, 0, 0, units * self.stride - frames.shape[1])).unflatten(1, (units, self.stride))
        real = self._below(lengths, units * self.stride).unflatten(1, (units, self.stride))  # [B, T', stride]
        speaks = self._below(ceil_divide(lengths, self.stride), units)[:, :, None]
        total = values.new_zeros(())
        said = self(values).unbind(2)  # not said[:, :, place]: the gradient of each would be as large as that of all
        for part, offset in zip(said, range(-self.context, self.context + 1), strict=True):
            first, last = max(-offset, 0), units - max(offset, 0)  # the units that have one so far away
            if first < last:
                errors = (part[:, first:last] - frames[:, first + offset : last + offset]).abs().mean(-1)
                total = total + (errors * real[:, first + offset : last + offset] * speaks[:, first:last]).sum()
        return total / (2 * self.context + 1)

    @staticmethod
    def _below(lengths: Tensor, count: int) -> Tensor:
        return torch.arange(count, device=lengths.device) < lengths[:, None]
