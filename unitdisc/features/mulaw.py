"""Mu-law companding: waveforms in -1..1 to a few levels that are dense around 0, and back."""

import math

import torch
from torch import Tensor


def mulaw_encode(waves: Tensor, levels: int = 256) -> Tensor:
    """Return the level [...] int64 in 0..levels-1 of each sample in -1..1; what lies beyond is clipped."""
    mu = levels - 1.0
    waves = waves.to(torch.float32).clamp(-1.0, 1.0)
    compressed = waves.sign() * torch.log1p(mu * waves.abs()) / math.log1p(mu)
    return ((compressed + 1.0) / 2.0 * mu + 0.5).to(torch.int64)


def mulaw_decode(units: Tensor, levels: int = 256) -> Tensor:
    """Return the sample [...] float32 in -1..1 that a level stands for."""
    mu = levels - 1.0
    compressed = units.to(torch.float32) / mu * 2.0 - 1.0
    return compressed.sign() * torch.expm1(compressed.abs() * math.log1p(mu)) / mu
