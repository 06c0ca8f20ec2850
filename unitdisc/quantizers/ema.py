"""Vector quantisation with a codebook that follows the mean of its vectors (exponential moving averages)."""

from typing import ClassVar

import torch
from torch import Tensor

from unitdisc import dist
from unitdisc.quantizers.codebook import CodebookQuantizer, Looked
from unitdisc.quantizers.configs import EMAConfig, check_codebooks
from unitdisc.quantizers.health import count_units
from unitdisc.quantizers.vq import (
    StraightThrough,
    flat_units,
    loss_count,
    units_side_by_side,
    values_side_by_side,
    xavier_codebooks,
)


class EMA(CodebookQuantizer):
    """Codewords move towards the mean of their vectors by (1 - decay) n_i / N_i, N_i the moving average of usage n_i.

    This is the usual pair of averages, of usage N_i and of sums N_i w_i, without storing the second: a codeword
    that nobody uses stays where it is, however small N_i becomes, and a re-estimation leaves no stale sums behind.
    """

    averaged_buffers: ClassVar = ("codebook",)
    usage_average: Tensor  # [G, K]; N_i, 1 at first

    def __init__(self, dim_in: int, config: EMAConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(dim_in, config.dim, config.codes, config.codebooks, config.norm, config.schedule, generator)
        check_codebooks(config.codes, config.codebooks, self.dim)
        self.config = config
        self.register_buffer("codebook", xavier_codebooks(config.codebooks, config.codes, self.dim, generator))
        self.register_buffer("usage_average", torch.ones(config.codebooks, config.codes))

    def units_of(self, vectors: Tensor) -> Tensor:
        """Return the units [N, G] of projected vectors [N, D]."""
        return units_side_by_side(self._parts(vectors), self.codebook)

    def values_of(self, units: Tensor) -> Tensor:
        """Return the values [N, D] of units [N, G]."""
        return values_side_by_side(units, self.codebook)

    def _look_up_and_learn(self, vectors: Tensor) -> Looked:
        units = self.units_of(vectors)
        rows = flat_units(units, self.codes[0])
        parts = vectors.reshape(-1, self.codebook.shape[2])
        count = loss_count(vectors, self.config.loss, self.training)
        words = self.codebook.flatten(0, 1)
        values, loss = StraightThrough.apply(parts, words, rows, self.config.commitment, 0.0, count)
        if self.training:
            self._follow_(parts.detach(), rows, units)
        return Looked(values.view_as(vectors), units, loss)

    @torch.no_grad()
    def _follow_(self, parts: Tensor, rows: Tensor, units: Tensor) -> None:
        counts = dist.all_reduce_(count_units(units, self.codes[0]).to(parts.dtype))
        words = self.codebook.flatten(0, 1)
        # Sums of differences, not of vectors: the step is exact also where the vectors lie far from the origin.
        pulls = torch.zeros_like(words).index_add_(0, rows, parts - words.index_select(0, rows))
        dist.all_reduce_(pulls)
        self.usage_average.lerp_(counts, 1 - self.config.decay).clamp_(min=1e-30)
        step = ((1 - self.config.decay) / self.usage_average).flatten()[:, None]
        self.codebook += (pulls * step).view_as(self.codebook)

    def _fit_(self, vectors: Tensor, generator: torch.Generator) -> None:
        super()._fit_(vectors, generator)
        steps = max(1, self.step - self._collected_since)
        counts = count_units(self.units_of(vectors), self.codes[0])
        # How many vectors a step has is known from a reservoir that has seen some; else the mean is 1, as at first.
        seen = self.reservoir is not None and self.reservoir.seen
        per_step = seen / steps if seen else self.codes[0]
        self.usage_average.copy_(counts * (per_step / len(vectors))).clamp_(min=1e-3)

    def _fitted(self) -> list[Tensor]:
        return [*super()._fitted(), self.usage_average]

    def _zero_loss(self) -> Tensor:
        return self.codebook.new_zeros(())
