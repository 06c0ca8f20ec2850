"""An encoder of gated, dilated convolutions: wide context from few layers, and fast on a CPU."""

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.networks.draws import row_dropout
from unitdisc.networks.encoders.base import Encoder
from unitdisc.networks.encoders.configs import GatedEncoderConfig
from unitdisc.networks.padding import ceil_divide, masked, padding_mask

WIDTH = 3  # of the dilated convolutions


class GatedEncoder(Encoder):
    """A strided convolution, residual blocks, and a layer normalisation of what comes out."""

    def __init__(self, config: GatedEncoderConfig, dim_in: int) -> None:
        super().__init__()
        self.dim_in, self.dim, self.stride = dim_in, config.channels, config.stride
        self.receptive_field = config.stride + 2 + (WIDTH - 1) * sum(config.dilations) * config.stride
        self.first = nn.Conv1d(dim_in, config.channels, config.stride + 2, config.stride)
        self.blocks = nn.ModuleList(_Block(config.channels, d, config.dropout) for d in config.dilations)
        self.norm = nn.LayerNorm(config.channels)

    def forward(self, x: Tensor, lengths: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode x [B, T, dim_in]; return vectors [B, T', channels] and their lengths."""
        x = masked(x, padding_mask(lengths, x.shape[1], x.device)).transpose(1, 2)
        y = self.first(F.pad(x, (1, 1 + -x.shape[2] % self.stride))).transpose(1, 2)
        lengths = ceil_divide(lengths, self.stride)
        mask = padding_mask(lengths, y.shape[1], y.device)
        for number, block in enumerate(cast("Iterable[_Block]", self.blocks)):
            y = block(y, mask, seeds, number)
        return masked(self.norm(y), mask), lengths

    def between(self, x: Tensor, lengths: Tensor, first: int, last: int) -> Tensor:
        """Return the vectors [B, last - first, dim] of these units: each layer computes what the next ones read."""
        x = masked(x, padding_mask(lengths, x.shape[1], x.device)).transpose(1, 2)
        y = self.first(F.pad(x, (1, 1 + -x.shape[2] % self.stride))).transpose(1, 2)
        blocks = [cast("_Block", block) for block in self.blocks]
        reach = sum(block.side for block in blocks)
        places = torch.arange(first - reach, last + reach)
        there = (places >= 0) & (places < ceil_divide(lengths, self.stride)[:, None])
        y = F.pad(y[:, max(first - reach, 0) : last + reach], (0, 0, max(reach - first, 0), 0))
        y = F.pad(y, (0, 0, 0, len(places) - y.shape[1]))
        for block in blocks:
            mask = None if bool(there.all()) else there
            y, there = block.inner(y, mask), there[:, block.side : there.shape[1] - block.side]
        return self.norm(y)


class _Block(nn.Module):
    """Normalisation, a gated convolution over time, and a linear layer, added to what came in."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm = nn.LayerNorm(channels)
        self.side = dilation * (WIDTH // 2)  # units that it reads on either side of one
        self.conv = nn.Conv1d(channels, 2 * channels, WIDTH, padding=self.side, dilation=dilation)
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None, seeds: Tensor | None, number: int) -> Tensor:
        y = self.conv(masked(self.norm(x), mask).transpose(1, 2))
        y = self.linear(F.glu(y, 1).transpose(1, 2))
        if self.training and seeds is not None and self.dropout:
            y = row_dropout(y, self.dropout, seeds, number)
        return x + y

    def inner(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return what `forward` makes of x [B, T, C] in evaluation, less `side` units at either end."""
        y = masked(self.norm(x), mask).transpose(1, 2)
        if y.device.type == "cpu":
            y = _product(y, self.conv)
        else:
            y = F.conv1d(y, self.conv.weight, self.conv.bias, dilation=self.conv.dilation)
        return x[:, self.side : x.shape[1] - self.side] + self.linear(F.glu(y, 1).transpose(1, 2))


def _product(y: Tensor, conv: nn.Conv1d) -> Tensor:
    """Return a convolution of y [B, C, T] without padding, as one product: on a CPU, two thirds of the time."""
    (width,), (dilation,) = conv.kernel_size, conv.dilation
    y = y.contiguous()
    batch, channels, frames = y.shape
    count = frames - (width - 1) * dilation
    taps = y.as_strided((batch, channels, width, count), (channels * frames, frames, dilation, 1))
    kernel, bias = conv.weight.flatten(1), cast("Tensor", conv.bias)
    return torch.stack([torch.addmm(bias[:, None], kernel, row.reshape(-1, count)) for row in taps])
