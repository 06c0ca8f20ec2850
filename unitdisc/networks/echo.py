"""An echo: each unit says again the frames that it was made of, from its own vector and nothing else.

A decoder fills in from neighbouring units, past frames and the voice what a unit leaves out. The echo has no such help,
and its targets are the encoder's own input, normalised, so that all of its dimensions count the same.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from unitdisc.errors import ConfigError
from unitdisc.networks.padding import masked, padding_mask


@dataclass(frozen=True)
class EchoConfig:
    """One hidden layer."""

    hidden: int = 256

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ConfigError(f"echo: hidden must be above 0, got {self.hidden}")


class Echo(nn.Module):
    """The frames of each unit, from its value."""

    def __init__(self, config: EchoConfig, dim: int, stride: int, channels: int) -> None:
        """Build for values of width dim, stride frames a unit, and channels a frame."""
        super().__init__()
        self.stride = stride
        self.layers = nn.Sequential(
            nn.Linear(dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, stride * channels)
        )

    def forward(self, values: Tensor) -> Tensor:
        """Return frames [B, T' * stride, C] of values [B, T', dim]."""
        return self.layers(values).unflatten(-1, (self.stride, -1)).flatten(1, 2)

    def loss(self, values: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return the absolute error to frames [B, T, C] of lengths [B], mean over channels, summed over frames."""
        errors = (self(values)[:, : frames.shape[1]] - frames).abs().mean(-1)
        return masked(errors, padding_mask(lengths, frames.shape[1])).sum()
