"""What keeps padding from changing anything: masks, and batch normalisation that sees valid frames only."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc import dist


def padding_mask(lengths: Tensor, frames: int) -> Tensor | None:
    """Return [B, T] that is True on valid frames, or None when every row is full.

    On a GPU, and while a graph is compiled, the mask always comes: looking would make the host wait.
    """
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling() and bool((lengths >= frames).all()):
        return None
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def masked(x: Tensor, mask: Tensor | None, time: int = 1) -> Tensor:
    """Zero x [B, ...] where mask [B, T] is False; `time` is x's time dimension, and mask None leaves x alone."""
    if mask is None:
        return x
    shape = [mask.shape[0]] + [1] * (x.dim() - 1)
    shape[time] = mask.shape[1]
    return x.masked_fill(~mask.view(shape), 0.0)


def ceil_divide(lengths: Tensor, stride: int) -> Tensor:
    """Return how many units of a stride cover so many frames."""
    return -(-lengths // stride)


class _SumOverProcesses(torch.autograd.Function):
    """Add up a tensor over all processes; the gradient of such a sum is the sum of the gradients."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return dist.all_reduce_(x.clone())

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return dist.all_reduce_(gradient.contiguous().clone())


class MaskedBatchNorm(nn.Module):
    """Batch normalisation of x [B, C, T, ...] per channel, over valid frames and over all processes.

    Buffers: running mean and (unbiased) variance, as torch's own.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise; mask [B, T] is True on frames that count."""
        if mask is None and (not self.training or dist.world_size() == 1):
            return F.batch_norm(
                x, self.mean, self.variance, self.weight, self.bias, self.training, self.momentum, self.epsilon
            )
        mean, variance = self._statistics(x, mask) if self.training else (self.mean, self.variance)
        scale = self.weight * (variance + self.epsilon).rsqrt()
        shape = [1, -1] + [1] * (x.dim() - 2)
        return x * scale.view(shape) + (self.bias - mean * scale).view(shape)

    def _statistics(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        x = masked(x.float() if x.dtype in (torch.float16, torch.bfloat16) else x, mask, time=2)
        over = [d for d in range(x.dim()) if d != 1]
        valid = x.new_tensor(x.shape[0] * x.shape[2]) if mask is None else mask.sum().to(x.dtype)
        count = valid * (x[0, 0].numel() // x.shape[2])
        # Two passes: one pass of sums of squares loses digits where the mean is large.
        total = _all_sum(torch.cat([x.sum(over), count[None]]))
        count = total[-1].detach().clamp(min=1.0)
        mean = total[:-1] / count
        centred = masked(x - mean.view([1, -1] + [1] * (x.dim() - 2)), mask, time=2)
        variance = _all_sum(centred.square().sum(over)) / count
        with torch.no_grad():
            unbiased = variance * (count / (count - 1).clamp(min=1.0))
            self.mean.lerp_(mean, self.momentum)
            self.variance.lerp_(unbiased, self.momentum)
        return mean, variance


def _all_sum(x: Tensor) -> Tensor:
    return _SumOverProcesses.apply(x) if dist.world_size() > 1 else x
