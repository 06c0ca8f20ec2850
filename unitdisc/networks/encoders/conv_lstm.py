"""Convolutions over time and bands, then LSTMs in both directions."""

from collections.abc import Iterable
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from unitdisc.batch_norm import BatchNorm
from unitdisc.devices import sent
from unitdisc.errors import ConfigError
from unitdisc.networks.encoders.base import Encoder
from unitdisc.networks.encoders.configs import ConvLSTMEncoderConfig
from unitdisc.networks.padding import ceil_divide, masked, padding_mask


class ConvLSTMEncoder(Encoder):
    """Convolutions over time and bands, then bidirectional LSTMs: every vector depends on the whole utterance."""

    receptive_field = None

    def __init__(self, config: ConvLSTMEncoderConfig, dim_in: int) -> None:
        super().__init__()
        if dim_in % config.planes:
            raise ConfigError(
                f"encoder: {dim_in} features cannot be split into {config.planes} planes of as many bands; "
                "set encoder.planes to 3 for features with deltas and delta-deltas, to 1 for those without"
            )
        self.planes, self.clip, self.dim_in, self.dim, self.stride = config.planes, config.clip, dim_in, config.cells, 1
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        channels, bands = config.planes, dim_in // config.planes
        for time, band in zip(config.time_strides, config.band_strides, strict=True):
            self.convs.append(_PlaneConv(channels, config.channels, config.kernel, time, band))
            self.norms.append(BatchNorm(config.channels))
            channels, bands, self.stride = config.channels, -(-bands // band), self.stride * time
        sizes = [channels * bands] + [config.cells] * (config.layers - 1)
        self.lstms = nn.ModuleList(nn.LSTM(n, config.cells, batch_first=True, bidirectional=True) for n in sizes)

    def forward(self, x: Tensor, lengths: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode x [B, T, dim_in]; return vectors [B, T', cells] and their lengths."""
        batch, frames, _ = x.shape
        mask = padding_mask(lengths, frames, x.device)
        y = masked(x, mask).view(batch, frames, self.planes, -1).transpose(1, 2)  # [B, planes, T, bands]
        for conv, norm in zip(cast("Iterable[_PlaneConv]", self.convs), self.norms, strict=True):
            lengths = ceil_divide(lengths, conv.stride)
            y = conv(y)
            mask = padding_mask(lengths, y.shape[2], y.device)
            y = masked(norm(y, mask).clamp(0.0, self.clip), mask, time=2)
        z = y.transpose(1, 2).flatten(2)  # [B, T', channels * bands]
        return masked(_run_packed(cast("Iterable[nn.LSTM]", self.lstms), z, lengths, mask), mask), lengths


class _PlaneConv(nn.Module):
    """A convolution over [B, planes, T, bands] that centres its units in time."""

    def __init__(self, dim_in: int, dim_out: int, kernel: int, stride: int, band_stride: int) -> None:
        super().__init__()
        width = kernel - (kernel - stride) % 2
        self.stride, self.side, self.band_side = stride, (width - stride) // 2, (kernel - 1) // 2
        self.band_stride = band_stride
        self.conv = nn.Conv2d(dim_in, dim_out, (width, kernel), (stride, band_stride))

    def forward(self, x: Tensor) -> Tensor:
        bands, kernel = x.shape[3], self.conv.kernel_size[1]
        wanted = (bands + self.band_stride - 1) // self.band_stride
        band_right = (wanted - 1) * self.band_stride + kernel - bands - self.band_side
        missing = -x.shape[2] % self.stride
        return self.conv(F.pad(x, (self.band_side, max(band_right, 0), self.side, self.side + missing)))


def _run_packed(lstms: Iterable[nn.LSTM], x: Tensor, lengths: Tensor, mask: Tensor | None) -> Tensor:
    """Run bidirectional LSTMs, one after the other, over x [B, T, D] without its padding; each sums its directions."""
    if mask is None:
        for lstm in lstms:
            forwards, backwards = lstm(x)[0].chunk(2, -1)
            x = forwards + backwards
        return x
    # A row without frames cannot be packed; one frame of it is run, and masked afterwards. Rows are sorted here, since
    # torch would send the order to a GPU and wait.
    lengths, order = lengths.clamp(min=1).cpu().sort(descending=True)
    sizes = x.shape[1]
    packed = pack_padded_sequence(x.index_select(0, sent(order, x.device)), lengths, batch_first=True)
    for lstm in lstms:
        both, _ = lstm(packed)
        packed = PackedSequence(both.data.unflatten(-1, (2, -1)).sum(-2), both.batch_sizes)
    z, _ = pad_packed_sequence(packed, batch_first=True, total_length=sizes)
    return z.index_select(0, sent(order.argsort(), x.device))
