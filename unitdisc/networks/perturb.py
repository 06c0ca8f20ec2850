"""Voices that were never recorded: the encoder's input is changed while training, its target is not.

What tells speakers apart within a phone is above all the length of the vocal tract, which stretches the frequency axis,
and the tilt of voice and microphone. An encoder that hears each stretch of speech stretched and tilted at random, while
the decoder knows the speaker, has no use for either in its units.
"""

import math

import torch
from torch import Tensor, nn

from unitdisc.networks.configs import PerturbationConfig
from unitdisc.networks.draws import RandomStream, row_uniforms

TILTS = 5  # cosines that make up a tilt


class Perturbation(nn.Module):
    """Stretch and tilt log mel filter banks, each row by its own seed; only while training."""

    centres: Tensor  # [M] Hz

    def __init__(self, config: PerturbationConfig, centres: Tensor) -> None:
        """Build for filter banks with these centre frequencies [M]."""
        super().__init__()
        self.config = config
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, frames: Tensor, seeds: Tensor | None) -> Tensor:
        """Perturb frames [B, T, n * M]: M banks, then their differences of each order."""
        if not (self.training and self.config.on and seeds is not None):
            return frames
        banks = len(self.centres)
        uniforms = row_uniforms(seeds, 1 + TILTS, RandomStream.PERTURBATION)  # [B, 1 + TILTS]
        parts = frames.unflatten(2, (-1, banks))
        if self.config.warp:
            factors = (2 * uniforms[:, 0] - 1).mul(math.log1p(self.config.warp)).exp()
            parts = torch.einsum("btnm,bom->btno", parts, self.stretches(factors))
        if self.config.tilt:
            tilts = self.tilts((uniforms[:, 1:] - 0.5) * math.sqrt(12))
            parts = torch.cat([parts[:, :, :1] + tilts[:, None, None], parts[:, :, 1:]], 2)
        return parts.flatten(2)

    def stretches(self, factors: Tensor) -> Tensor:
        """Return matrices [B, M, M] that read each bank at its frequency times a factor [B], between two banks."""
        centres = self.centres
        wanted = (factors[:, None] * centres).clamp(centres[0], centres[-1])
        above = torch.searchsorted(centres, wanted).clamp(1, len(centres) - 1)
        share = (wanted - centres[above - 1]) / (centres[above] - centres[above - 1])
        matrices = torch.zeros(len(factors), len(centres), len(centres), device=centres.device)
        matrices.scatter_(2, (above - 1)[..., None], (1 - share)[..., None])
        return matrices.scatter_add_(2, above[..., None], share[..., None])

    def tilts(self, draws: Tensor) -> Tensor:
        """Return smooth curves [B, M] of draws [B, TILTS] with deviation 1, the slower ones larger."""
        order = torch.arange(1, TILTS + 1, device=draws.device)
        place = torch.arange(len(self.centres), device=draws.device) / len(self.centres)
        curves = torch.cos(math.pi * order[:, None] * place)  # [TILTS, M]
        size = self.config.tilt / order.sqrt()
        return (draws * size) @ curves
