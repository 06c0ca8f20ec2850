"""What can be asked for of each encoder; nothing here loads torch."""

from dataclasses import dataclass
from typing import Literal

from unitdisc.errors import ConfigError


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
        check_strides(self.strides)


@dataclass(frozen=True)
class GatedEncoderConfig:
    """One strided convolution, then residual blocks at the rate of units."""

    kind: Literal["gated"] = "gated"
    channels: int = 192
    stride: int = 2
    dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2)  # one block each
    dropout: float = 0.1  # of what each block adds

    def __post_init__(self) -> None:
        if self.channels < 1 or self.stride < 1 or any(d < 1 for d in self.dilations):
            raise ConfigError("a gated encoder needs channels, stride and all dilations above 0")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must lie in 0..1, got {self.dropout}")


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
        check_strides(self.time_strides)
        check_strides(self.band_strides)
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
class LinearEncoderConfig:
    """For k-means: frames with their neighbours, in the directions that LDA found, averaged over each unit."""

    kind: Literal["linear"] = "linear"
    splice: int = 0  # frames to each side that stand beside each
    dim: int = 0  # directions that are kept; 0: all, as they are
    stride: int = 1  # frames per unit, whose mean is taken

    def __post_init__(self) -> None:
        if min(self.splice, self.dim) < 0 or self.stride < 1:
            raise ConfigError(
                "encoder: splice and dim must be 0 or more, stride 1 or more, "
                f"got {self.splice}, {self.dim}, {self.stride}"
            )


@dataclass(frozen=True)
class NoEncoderConfig:
    """The frames themselves: for k-means on features."""

    kind: Literal["none"] = "none"


EncoderConfig = ConvEncoderConfig | GatedEncoderConfig | ConvLSTMEncoderConfig | LinearEncoderConfig | NoEncoderConfig


def check_strides(strides: tuple[int, ...]) -> None:
    """Refuse strides below 1."""
    if any(s < 1 for s in strides):
        raise ConfigError(f"strides must be 1 or more, got {strides}")
