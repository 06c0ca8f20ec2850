"""Convolutions and residual layers."""

from collections.abc import Iterable
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.networks.encoders.base import Encoder
from unitdisc.networks.encoders.configs import ConvEncoderConfig
from unitdisc.networks.padding import ceil_divide, masked, padding_mask


class ConvEncoder(Encoder):
    """Convolutions of width 3, strided ones, and residual ReLU layers of width 1."""

    def __init__(self, config: ConvEncoderConfig, dim_in: int) -> None:
        super().__init__()
        channels = config.channels
        self.dim_in, self.dim, self.stride, self.receptive_field = dim_in, channels, 1, 1
        self.layers = nn.ModuleList()
        for n in range(config.before):
            self._add(dim_in if n == 0 else channels, channels, 3, 1)
        for stride in config.strides:
            self._add(channels, channels, stride + 2, stride)
        for _ in range(config.after):
            self._add(channels, channels, 3, 1)
        for _ in range(config.pointwise):
            self._add(channels, channels, 1, 1)

    def _add(self, dim_in: int, dim_out: int, kernel: int, stride: int) -> None:
        self.layers.append(_ConvLayer(dim_in, dim_out, kernel, stride, residual=len(self.layers) > 0 and stride == 1))
        assert self.receptive_field is not None
        self.receptive_field += (kernel - 1) * self.stride
        self.stride *= stride

    def forward(self, x: Tensor, lengths: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode x [B, T, dim_in]; return vectors [B, T', channels] and their lengths."""
        mask = padding_mask(lengths, x.shape[1], x.device)
        y = masked(x, mask).transpose(1, 2)
        for layer in cast("Iterable[_ConvLayer]", self.layers):
            if layer.stride > 1:
                lengths = ceil_divide(lengths, layer.stride)
                mask = padding_mask(lengths, -(-y.shape[2] // layer.stride), y.device)
            y = masked(layer(y), mask, time=2)
        return y.transpose(1, 2), lengths


class _ConvLayer(nn.Module):
    """One convolution [B, C, T] and its ReLU, added to the input where that is possible."""

    def __init__(self, dim_in: int, dim_out: int, kernel: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.stride, self.residual = stride, residual
        self.side = (kernel - stride) // 2
        self.conv = nn.Conv1d(dim_in, dim_out, kernel, stride)
        nn.init.kaiming_uniform_(self.conv.weight, nonlinearity="relu")
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        missing = -x.shape[2] % self.stride
        padding = self.side
        if missing:
            x, padding = F.pad(x, (self.side, self.side + missing)), 0
        y = F.relu(F.conv1d(x, self.conv.weight, self.conv.bias, self.stride, padding))
        return x + y if self.residual else y
