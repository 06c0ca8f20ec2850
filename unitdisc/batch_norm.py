"""Batch normalisation that padding and the number of processes do not change."""

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc import dist
from unitdisc.buffers import RUNNING


class _SumOverProcesses(torch.autograd.Function):
    """Add up a tensor over all processes; the gradient of such a sum is the sum of the gradients."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return dist.all_reduce_(x.clone())

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return dist.all_reduce_(gradient.contiguous().clone())


class BatchNorm(nn.Module):
    """Batch normalisation per channel of x [N, C] or [B, C, T, ...], over what counts and over all processes.

    With fewer than two values there is no variance: the running statistics stand in, as in evaluation.
    Buffers: running mean and (unbiased) variance [C], as torch's own.
    """

    averaged_buffers: ClassVar = RUNNING
    unit_buffers: ClassVar = RUNNING
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise x; mask [B, T] is True on frames that count. In training also move the running statistics."""
        if not self.training:
            return self._scaled(x, self.running_mean, self.running_var)
        if mask is None and dist.world_size() == 1:
            if x.numel() < 2 * x.shape[1]:
                return self._scaled(x, self.running_mean, self.running_var)
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, True, self.momentum, self.epsilon
            )
        return self._scaled(x, *self._statistics_(x, mask))

    def _scaled(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        shape = [1, -1] + [1] * (x.dim() - 2)
        scale = self.weight * (variance + self.epsilon).rsqrt()
        return (x - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)

    def _statistics_(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and variance [C] of what counts in all processes, and move the running ones towards them."""
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        padding = None if mask is None else ~mask.view(mask.shape[0], 1, mask.shape[1], *[1] * (x.dim() - 3))
        over = [dim for dim in range(x.dim()) if dim != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        frames = x.numel() // x.shape[1] if mask is None else mask.sum() * math.prod(x.shape[3:])
        count = torch.as_tensor(frames, dtype=torch.float64, device=x.device)
        # Two passes: one pass of sums of squares loses digits where the mean is large.
        total = _all_sum(torch.cat([_kept(x, padding).sum(over, dtype=torch.float64), count[None]]))
        count = total[-1].detach().clamp(min=1.0)
        mean = (total[:-1] / count).to(x.dtype)
        centred = _kept(x - mean.view(shape), padding)
        variance = (_all_sum(centred.square().sum(over, dtype=torch.float64)) / count).to(x.dtype)
        known = count >= 2  # not looked at here: on a GPU the host would have to wait
        with torch.no_grad():
            momentum = torch.where(known, self.momentum, 0.0).to(x.dtype)
            unbiased = (variance * (count / (count - 1).clamp(min=1.0))).to(self.running_var.dtype)
            before = self.running_mean.clone(), self.running_var.clone()
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum.to(self.running_mean.dtype))
            self.running_var.lerp_(unbiased, momentum.to(self.running_var.dtype))
        return torch.where(known, mean, before[0].to(x.dtype)), torch.where(known, variance, before[1].to(x.dtype))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        for old, new in (("mean", "running_mean"), ("variance", "running_var")):  # as encoders of version 0.1.0 have it
            if prefix + old in state_dict:
                state_dict[prefix + new] = state_dict.pop(prefix + old)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _kept(x: Tensor, padding: Tensor | None) -> Tensor:
    return x if padding is None else x.masked_fill(padding, 0.0)


def _all_sum(x: Tensor) -> Tensor:
    return _SumOverProcesses.apply(x) if dist.world_size() > 1 else x
