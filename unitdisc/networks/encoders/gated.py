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
        y = y.to(x.dtype)  # for the norms: over many rows, their gradients are no good in half precision
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
        units, there = ceil_divide(lengths, self.stride), None
        if first < reach or bool((units < last + reach).any()):
            places = torch.arange(first - reach, last + reach)
            there = (places >= 0) & (places < units[:, None])
        y = F.pad(y[:, max(first - reach, 0) : last + reach], (0, 0, max(reach - first, 0), 0))
        y = F.pad(y, (0, 0, 0, last - first + 2 * reach - y.shape[1]))
        for block in blocks:
            y = block.inner(y, there)
            there = None if there is None else there[:, block.side : there.shape[1] - block.side]
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
        self._laid_out: tuple[tuple[int, int], Tensor] | None = None

    def forward(self, x: Tensor, mask: Tensor | None, seeds: Tensor | None, number: int) -> Tensor:
        y = self.conv(masked(self.norm(x), mask).transpose(1, 2))
        y = self.linear(F.glu(y, 1).transpose(1, 2))
        if self.training and seeds is not None and self.dropout:
            y = row_dropout(y, self.dropout, seeds, number)
        return x + y

    def inner(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return what `forward` makes of x [B, T, C] in evaluation, less `side` units at either end."""
        y = masked(self.norm(x), mask)
        if y.device.type == "cpu":
            y = F.glu(self._product(y), 2)
        else:
            y = F.conv1d(y.transpose(1, 2), self.conv.weight, self.conv.bias, dilation=self.conv.dilation)
            y = F.glu(y, 1).transpose(1, 2)
        return self.linear(y).add_(x[:, self.side : x.shape[1] - self.side])

    def _product(self, y: Tensor) -> Tensor:
        """Return the convolution of y [B, T, C] without padding, as one product: on a CPU, half of the time."""
        batch, frames, channels = y.shape
        count, dilation = frames - 2 * self.side, self.conv.dilation[0]
        taps = y.contiguous().as_strided(
            (batch, count, WIDTH, channels), (frames * channels, channels, dilation * channels, 1)
        )
        flat = torch.addmm(cast("Tensor", self.conv.bias), taps.reshape(batch * count, -1), self._kernel())
        return flat.view(batch, count, -1)

    def train(self, mode: bool = True) -> "_Block":
        """Forget what follows from the weights: some optimisers change them without a mark."""
        self._laid_out = None if mode else self._laid_out
        return super().train(mode)

    def _kernel(self) -> Tensor:
        """Return the weights of the convolution as [WIDTH * C, 2 * C], laid out again when they have changed."""
        weight = self.conv.weight
        state = (weight.data_ptr(), weight._version)
        if self._laid_out is None or self._laid_out[0] != state:
            self._laid_out = (state, weight.detach().permute(2, 1, 0).reshape(-1, weight.shape[0]).contiguous())
        return self._laid_out[1]
