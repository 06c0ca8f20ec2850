"""Residual vector quantisation: each codebook quantises what those before it left over."""

from typing import Any

import torch
from torch import Tensor, nn

from unitdisc.quantizers.clustering import kmeans
from unitdisc.quantizers.codebook import CodebookQuantizer, Looked
from unitdisc.quantizers.configs import ResidualVQConfig
from unitdisc.quantizers.search import nearest_units
from unitdisc.quantizers.vq import StraightThrough, loss_count, xavier_codebooks


class Straight(torch.autograd.Function):
    """Values in the forward pass, x in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class ResidualVQ(CodebookQuantizer):
    """Sum of one codeword from each codebook; units [.., g] refine those before them."""

    codebook: nn.Parameter

    def __init__(self, dim_in: int, config: ResidualVQConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(dim_in, config.dim, config.codes, config.codebooks, config.norm, config.schedule, generator)
        self.config = config
        books = [xavier_codebooks(1, config.codes, self.dim, generator) for _ in range(config.codebooks)]
        self.codebook = nn.Parameter(torch.cat(books))

    @property
    def learning_rate_factor(self) -> float:
        """Return the codebooks' learning rate over the model's."""
        return self.config.learning_rate_factor

    def codebook_parameters(self) -> list[nn.Parameter]:
        """Return the codebooks."""
        return [self.codebook]

    def units_of(self, vectors: Tensor) -> Tensor:
        """Return the units [N, G] of projected vectors [N, D]."""
        rest, units = vectors.detach(), []
        for words in self.codebook.detach():
            units.append(nearest_units(rest, words))
            rest = rest - words[units[-1]]
        return torch.stack(units, 1)

    def values_of(self, units: Tensor) -> Tensor:
        """Return the values [N, D] of units [N, G]."""
        values = self.codebook[0].index_select(0, units[:, 0])
        for group in range(1, units.shape[1]):
            values = values + self.codebook[group].index_select(0, units[:, group])
        return values

    def _look_up_and_learn(self, vectors: Tensor) -> Looked:
        count = loss_count(vectors, self.config.loss, self.training)
        rest, loss, all_units = vectors, vectors.new_zeros(()), []
        for words in self.codebook:
            units = nearest_units(rest, words)
            values, part = StraightThrough.apply(rest, words, units, self.config.commitment, 1.0, count)
            rest, loss = rest - values.detach(), loss + part
            all_units.append(units)
        units = torch.stack(all_units, 1)
        return Looked(Straight.apply(vectors, self.values_of(units).detach()), units, loss)

    def _fit_(self, vectors: Tensor, generator: torch.Generator) -> None:
        rest = vectors
        for words in self.codebook.data:
            words.copy_(kmeans(rest, len(words), generator).centres)
            rest = rest - words[nearest_units(rest, words)]
