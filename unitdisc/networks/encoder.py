"""Encoders: frames to vectors at the rate of units.

Every encoder of stride s makes ceil(T / s) units of T frames, and unit j is centred on the frames [j * s, (j + 1) * s):
strided convolutions get a kernel as much longer than their stride on the left as on the right. Padding never changes a
result: it is zeroed before each layer that would look at it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from unitdisc.batch_norm import BatchNorm
from unitdisc.errors import ConfigError
from unitdisc.networks.encoder_base import Encoder
from unitdisc.networks.gated import GatedEncoder, GatedEncoderConfig
from unitdisc.networks.padding import ceil_divide, masked, padding_mask


@dataclass(frozen=True)
class ConvEncoderConfig:
    """The convolutional encoder of the speech VQ-VAE; 768 channels in the original.

    From frames at 100 Hz, strides (2,), (3,), (2, 2) and (2, 2, 2) give units at 50, 33.3, 25 and 12.5 Hz.
    """

    kind: Literal["conv"] = "conv"
    channels: int = 256
    strides: tuple[int, ...] = (2,)
    before: int = 2  # convolutions of width 3 at frame rate, all but the first residual
    after: int = 2  # residual convolutions of width 3 at unit rate
    pointwise: int = 4  # residual layers of width 1 at unit rate

    def __post_init__(self) -> None:
        if self.channels < 1 or self.before < 1 or min(self.after, self.pointwise) < 0:
            raise ConfigError("a conv encoder needs channels and before above 0, after and pointwise not below 0")
        _check_strides(self.strides)


@dataclass(frozen=True)
class ConvLSTMEncoderConfig:
    """Two-dimensional convolutions, then bidirectional LSTMs whose directions are summed; 33.3 Hz by default."""

    kind: Literal["conv-lstm"] = "conv-lstm"
    planes: int = 3  # the input is so many planes side by side: statics, deltas, delta-deltas
    channels: int = 32
    kernel: int = 7  # of both directions; one shorter in time where that centres the units
    time_strides: tuple[int, ...] = (1, 3)
    band_strides: tuple[int, ...] = (2, 1)
    clip: float = 20.0  # of the clipped ReLU
    cells: int = 320
    layers: int = 4

    def __post_init__(self) -> None:
        _check_strides(self.time_strides)
        _check_strides(self.band_strides)
        if len(self.time_strides) != len(self.band_strides):
            raise ConfigError(
                f"time_strides {self.time_strides} and band_strides {self.band_strides} need one value for each "
                "convolution: give both the same length"
            )
        if min(self.planes, self.channels, self.cells, self.layers) < 1 or self.kernel <= max(self.time_strides):
            raise ConfigError(
                "a conv-lstm encoder needs planes, channels, cells and layers above 0, and a kernel above every stride"
            )


@dataclass(frozen=True)
class NoEncoderConfig:
    """The frames themselves: for k-means on features."""

    kind: Literal["none"] = "none"


EncoderConfig = ConvEncoderConfig | GatedEncoderConfig | ConvLSTMEncoderConfig | NoEncoderConfig


def _check_strides(strides: tuple[int, ...]) -> None:
    if any(s < 1 for s in strides):
        raise ConfigError(f"strides must be 1 or more, got {strides}")


def build_encoder(config: EncoderConfig, dim_in: int) -> Encoder:
    """Return the encoder that a config asks for."""
    if isinstance(config, GatedEncoderConfig):
        return GatedEncoder(config, dim_in)
    if isinstance(config, ConvLSTMEncoderConfig):
        return ConvLSTMEncoder(config, dim_in)
    if isinstance(config, NoEncoderConfig):
        return NoEncoder(dim_in)
    return ConvEncoder(config, dim_in)


class NoEncoder(Encoder):
    """Passes frames on as they are."""

    stride, receptive_field = 1, 1

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.dim_in = self.dim = dim_in

    def forward(self, x: Tensor, lengths: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return x [B, T, D], zero on padding, and its lengths."""
        return masked(x, padding_mask(lengths, x.shape[1])), lengths


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
        mask = padding_mask(lengths, x.shape[1])
        y = masked(x, mask).transpose(1, 2)
        for layer in cast("Iterable[_ConvLayer]", self.layers):
            if layer.stride > 1:
                lengths = ceil_divide(lengths, layer.stride)
                mask = padding_mask(lengths, -(-y.shape[2] // layer.stride))
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
        mask = padding_mask(lengths, frames)
        y = masked(x, mask).view(batch, frames, self.planes, -1).transpose(1, 2)  # [B, planes, T, bands]
        for conv, norm in zip(cast("Iterable[_PlaneConv]", self.convs), self.norms, strict=True):
            lengths = ceil_divide(lengths, conv.stride)
            y = conv(y)
            mask = padding_mask(lengths, y.shape[2])
            y = masked(norm(y, mask).clamp(0.0, self.clip), mask, time=2)
        z = y.transpose(1, 2).flatten(2)  # [B, T', channels * bands]
        for lstm in self.lstms:
            z = _run_packed(lstm, z, lengths, mask)
        return masked(z, mask), lengths


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
        wanted = -(-bands // self.band_stride)
        band_right = (wanted - 1) * self.band_stride + kernel - bands - self.band_side
        missing = -x.shape[2] % self.stride
        return self.conv(F.pad(x, (self.band_side, max(band_right, 0), self.side, self.side + missing)))


def _run_packed(lstm: Callable, x: Tensor, lengths: Tensor, mask: Tensor | None) -> Tensor:
    """Run a bidirectional LSTM over x [B, T, D] without its padding; return the sum of both directions."""
    if mask is None:
        both, _ = lstm(x)
        return both.unflatten(-1, (2, -1)).sum(-2)
    # A row without frames cannot be packed; one frame of it is run, and masked afterwards.
    packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    both, _ = lstm(packed)
    summed = PackedSequence(
        both.data.unflatten(-1, (2, -1)).sum(-2), both.batch_sizes, both.sorted_indices, both.unsorted_indices
    )
    return pad_packed_sequence(summed, batch_first=True, total_length=x.shape[1])[0]
