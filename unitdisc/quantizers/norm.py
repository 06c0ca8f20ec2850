"""What stands before a codebook: batch normalisation that padding and processes do not change, and a projection."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from unitdisc import dist

Norm = Literal["before-projection", "before-vq", "none"]


class _Normalise(torch.autograd.Function):
    """(x - mean) / std with the statistics of all processes' vectors, and its gradient through them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, scale: Tensor, count: Tensor) -> Tensor:
        y = (x - mean) * scale
        ctx.save_for_backward(y, scale, count)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,) = grads
        y, scale, count = ctx.saved_tensors
        sums = dist.all_reduce_(torch.stack([grad.sum(0), (grad * y).sum(0)])) / count
        return (grad - sums[0] - y * sums[1]) * scale, None, None, None


class MaskedBatchNorm(nn.Module):
    """Batch normalisation of vectors [N, D] that count: exact over processes, and defined for a single vector.

    With fewer than two vectors there is no variance: the running statistics stand in, as in evaluation.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [N, D]; in training also move the running statistics."""
        if not self.training:
            return self._with_running(x)
        if dist.world_size() > 1:
            return self._over_processes(x)
        if len(x) < 2:
            return self._with_running(x)
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, True, self.momentum, self.eps
        )

    def _with_running(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return (x - self.running_mean) * scale + self.bias

    def _over_processes(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            first = dist.all_reduce_(torch.cat([x.double().sum(0), x.new_tensor([len(x)], dtype=torch.float64)]))
            count = first[-1]
            if count < 2:
                return self._with_running(x)
            mean = first[:-1] / count
            variance = dist.all_reduce_((x.double() - mean).square().sum(0)) / count
            self.running_mean.lerp_(mean.float(), self.momentum)
            self.running_var.lerp_((variance * count / (count - 1)).float(), self.momentum)
            scale = (variance + self.eps).rsqrt().float()
        return _Normalise.apply(x, mean.float(), scale, count.float()) * self.weight + self.bias


class Front(nn.Module):
    """Normalisation and projection, in either order: vectors [N, dim_in] to what the codewords are compared with."""

    def __init__(self, dim_in: int, dim: int, norm: Norm, projection: bool, generator: torch.Generator | None) -> None:
        super().__init__()
        self.norm_first = norm == "before-projection"
        self.norm = None if norm == "none" else MaskedBatchNorm(dim_in if self.norm_first else dim)
        self.projection: nn.Linear | None = None
        if projection:
            self.projection = nn.Linear(dim_in, dim)
            nn.init.xavier_uniform_(self.projection.weight, generator=generator)
            nn.init.zeros_(self.projection.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, dim]."""
        if self.norm is not None and self.norm_first:
            x = self.norm(x)
        if self.projection is not None:
            x = self.projection(x)
        if self.norm is not None and not self.norm_first:
            x = self.norm(x)
        return x
