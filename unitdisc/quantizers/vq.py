"""Vector quantisation with a codebook that learns by gradient."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from unitdisc import dist
from unitdisc.quantizers.codebook import CodebookQuantizer, Looked
from unitdisc.quantizers.configs import LossKind, VQConfig, check_codebooks
from unitdisc.quantizers.search import nearest_units


class StraightThrough(torch.autograd.Function):
    """Values and loss of chosen codewords, with the gradients of both in closed form.

    loss = (follow sum |sg(x) - w|^2 + commitment sum |x - sg(w)|^2) / count; values = w, whose gradient goes to x
    unchanged. `follow` is 1 for a codebook that learns by gradient, and 0 for one that does not.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, words: Tensor, units: Tensor, commitment: float, follow: float, count: float | Tensor
    ) -> Any:
        values = words.index_select(0, units)
        difference = x - values
        loss = difference.square().sum() * _over(follow + commitment, count, x)
        ctx.save_for_backward(difference, units)
        ctx.numbers = (commitment, follow, count, len(words))
        return values, loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        grad_values, grad_loss = grads
        difference, units = ctx.saved_tensors
        commitment, follow, count, codes = ctx.numbers
        pull = difference * (grad_loss * _over(2, count, difference))
        grad_words = None
        if ctx.needs_input_grad[1]:
            grad_words = pull.new_zeros(codes, pull.shape[1]).index_add_(0, units, pull, alpha=-follow)
        grad_x = torch.add(grad_values, pull, alpha=commitment) if ctx.needs_input_grad[0] else None
        return grad_x, grad_words, None, None, None, None


def _over(number: float, count: float | Tensor, like: Tensor) -> float | Tensor:
    """Return number / count, rounded as a number is when it meets vectors."""
    ratio = number / count
    return ratio.to(like.dtype) if isinstance(ratio, Tensor) else ratio


class VQ(CodebookQuantizer):
    """Nearest codeword, straight-through gradient, ordinary codebook and commitment loss."""

    codebook: nn.Parameter

    def __init__(self, dim_in: int, config: VQConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(dim_in, config.dim, config.codes, config.codebooks, config.norm, config.schedule, generator)
        check_codebooks(config.codes, config.codebooks, self.dim)
        self.config = config
        self.codebook = nn.Parameter(xavier_codebooks(config.codebooks, config.codes, self.dim, generator))

    @property
    def learning_rate_factor(self) -> float:
        """Return the codebook's learning rate over the model's."""
        return self.config.learning_rate_factor

    def codebook_parameters(self) -> list[nn.Parameter]:
        """Return the codebook."""
        return [self.codebook]

    def units_of(self, vectors: Tensor) -> Tensor:
        """Return the units [N, G] of projected vectors [N, D]."""
        return units_side_by_side(self._parts(vectors), self.codebook)

    def values_of(self, units: Tensor) -> Tensor:
        """Return the values [N, D] of units [N, G]."""
        return values_side_by_side(units, self.codebook)

    def _look_up_and_learn(self, vectors: Tensor) -> Looked:
        units = self.units_of(vectors)
        count = loss_count(vectors, self.config.loss, self.training)
        values, loss = StraightThrough.apply(
            vectors.reshape(-1, self.codebook.shape[2]),
            self.codebook.flatten(0, 1),
            flat_units(units, self.codes[0]),
            self.config.commitment,
            1.0,
            count,
        )
        return Looked(values.view_as(vectors), units, loss)

    def remedies(self) -> str:
        """Say what to change when the codebook dies."""
        tip = super().remedies()
        if self.config.learning_rate_factor < 10:
            tip += f", raise learning_rate_factor (now {self.config.learning_rate_factor:g}) to 10"
        return tip


def xavier_codebooks(codebooks: int, codes: int, dim: int, generator: torch.Generator | None) -> Tensor:
    """Return Xavier-uniform codebooks [G, K, d]."""
    inner = dim // codebooks
    bound = math.sqrt(6 / (codes + inner))
    return torch.empty(codebooks, codes, inner).uniform_(-bound, bound, generator=generator)


def units_side_by_side(parts: Tensor, codebook: Tensor) -> Tensor:
    """Return the units [N, G] of vectors [N, G, d] in codebooks [G, K, d]."""
    found = [nearest_units(parts[:, group], words) for group, words in enumerate(codebook)]
    return torch.stack(found, 1)


def flat_units(units: Tensor, codes: int) -> Tensor:
    """Return units [N, G] as rows [N * G] of the codebooks laid one under another."""
    if units.shape[1] == 1:
        return units.reshape(-1)
    return (units + torch.arange(units.shape[1], device=units.device) * codes).reshape(-1)


def values_side_by_side(units: Tensor, codebook: Tensor) -> Tensor:
    """Return the values [N, G * d] of units [N, G] in codebooks [G, K, d]."""
    words = codebook.flatten(0, 1).index_select(0, flat_units(units, codebook.shape[1]))
    return words.view(len(units), codebook.shape[0] * codebook.shape[2])


def loss_count(vectors: Tensor, loss: LossKind, training: bool) -> float | Tensor:
    """Return what sums over vectors [N, D] are divided by, so that the mean over processes is that over all vectors."""
    width = vectors.shape[1] if loss == "element-mean" else 1
    if training and dist.world_size() > 1:
        total = torch.full((), len(vectors), dtype=torch.float64, device=vectors.device)
        return (dist.all_reduce_(total) / dist.world_size()).clamp(min=1e-9) * width
    return max(float(len(vectors)), 1e-9) * width
