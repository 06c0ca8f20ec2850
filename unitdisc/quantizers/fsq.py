"""Finite scalar quantisation: each dimension is rounded to one of a few levels; there is no codebook to die."""

import math

import torch
from torch import Tensor

from unitdisc.errors import UnitdiscError
from unitdisc.quantizers.base import Quantized, Quantizer
from unitdisc.quantizers.codebook import batch_stats, full_precision
from unitdisc.quantizers.configs import FSQConfig
from unitdisc.quantizers.health import Health, Usage, count_units
from unitdisc.quantizers.norm import Front
from unitdisc.quantizers.residual import Straight
from unitdisc.quantizers.rows import check_finite, pack


class FSQ(Quantizer):
    """Squash by tanh, round to integers, scale to -1..1. One unit in mixed radix, the first dimension fastest."""

    reach: Tensor
    shift: Tensor
    offset: Tensor
    radix: Tensor
    levels: Tensor

    def __init__(self, dim_in: int, config: FSQConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.dim_in, self.dim = dim_in, len(config.levels)
        self.codes = (math.prod(config.levels),)
        self.front = Front(dim_in, self.dim, config.norm, True, generator)
        self.usage = Usage(1, self.codes[0])
        levels = torch.tensor(config.levels)
        # The squashed range is a little wider than the levels, or the outer ones would be hard to reach.
        reach = (levels - 1) * (1 + 1e-3) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0)  # an even number of levels has none at zero
        radix = torch.cat([torch.ones(1, dtype=torch.int64), levels[:-1].cumprod(0)])
        for name, buffer in (("levels", levels), ("reach", reach), ("offset", offset), ("radix", radix)):
            self.register_buffer(name, buffer, persistent=False)
        self.register_buffer("shift", (offset / reach).atanh(), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """Quantise x [B, T, dim_in]; the loss is zero."""
        with full_precision(x):
            rows = pack(x, mask, self.dim_in)
            check_finite(rows.vectors, "encoder output", wait=not self.training)
            bounded = self._bound(self.front(rows.vectors))
            whole = bounded.detach().round()
            units = self._units(whole)
            values = Straight.apply(bounded / (self.levels // 2), whole / (self.levels // 2))
            counts = self.usage.add_(units) if self.training else count_units(units, self.codes[0])
            stats = batch_stats(counts)
            return Quantized(rows.unpack(values).to(x.dtype), rows.unpack(units, -1), values.new_zeros(()), stats)

    def project(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what is rounded, scaled as the values are: [B, T, dim]."""
        with full_precision(x):
            rows = pack(x, mask, self.dim_in)
            check_finite(rows.vectors, "encoder output")
            return rows.unpack(self._bound(self.front(rows.vectors)) / (self.levels // 2)).to(x.dtype)

    @torch.no_grad()
    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the units [B, T, 1] of x [B, T, dim_in]; -1 on padding."""
        with full_precision(x):
            rows = pack(x, mask, self.dim_in)
            check_finite(rows.vectors, "encoder output")
            return rows.unpack(self._units(self._bound(self.front(rows.vectors)).round()), -1)

    def decode(self, units: Tensor) -> Tensor:
        """Return the values [B, T, dim] of units [B, T, 1]; zero for unit -1."""
        if units.shape[-1] != 1 or (units.numel() and units.max() >= self.codes[0]):
            raise UnitdiscError(f"quantiser: expected units -1..{self.codes[0] - 1} of one codebook")
        whole = units.clamp(min=0) // self.radix % self.levels - self.levels // 2
        return (whole / (self.levels // 2)).masked_fill(units < 0, 0)

    def codewords(self) -> list[Tensor]:
        """Return the values of all units, [K, dim]: all combinations of levels."""
        return [self.decode(torch.arange(self.codes[0], device=self.levels.device)[None, :, None])[0]]

    def health(self) -> Health:
        """Tell how the codes were used over the last 100 to 200 training steps."""
        return self.usage.health('try fewer levels, or norm "before-vq"')

    def _bound(self, x: Tensor) -> Tensor:
        return (x + self.shift).tanh() * self.reach - self.offset

    def _units(self, whole: Tensor) -> Tensor:
        return ((whole.long() + self.levels // 2) * self.radix).sum(1, keepdim=True)
