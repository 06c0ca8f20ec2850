"""What every feature module is: waveforms in, frames out."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from unitdisc.data.timing import FrameGrid


class Features(NamedTuple):
    """What every feature module returns."""

    frames: Tensor  # [B, T, D] float32; 0 on padding
    lengths: Tensor  # [B] int64


class FeatureModule(nn.Module):
    """Turns padded waveforms into frames; it has nothing to train and no state."""

    dim: int
    grid: FrameGrid
    batched: bool = False  # whether rows are made faster together than one by one

    def forward(self, waves: Tensor, samples: Tensor) -> Features:
        """Turn waves [B, S] in -1..1, each with its number of samples [B] int64, into frames."""
        raise NotImplementedError

    def of_layers(self, waves: Tensor, samples: Tensor) -> dict[int, Tensor]:
        """Return the frames [B, T, D] of each layer; what has no layers is layer 0."""
        return {0: self(waves, samples).frames}

    def _constant(self, name: str, value: Tensor) -> None:
        """Keep a tensor that follows from the config: it moves with the module, but is no state."""
        self.register_buffer(name, value.to(torch.float32).contiguous(), persistent=False)
