"""Decoders: units' vectors back to log-mel frames or to a waveform, by a WaveNet of either.

A decoder reads one vector per unit and holds it for all steps of the unit: `stride` frames, or `stride * hop` samples.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.errors import ConfigError
from unitdisc.networks.jitter import drop_frames
from unitdisc.networks.outputs import FramesConfig, MixtureConfig, Output, SoftmaxConfig, build_output
from unitdisc.networks.wavenet import WaveNetConfig

WINDOW = 2**15  # steps of all rows together that are computed at once where no gradient is wanted


def _frame_wavenet() -> WaveNetConfig:
    return WaveNetConfig(layers=6, cycles=1, residual=128, gate=256, skip=128, hidden=256)


@dataclass(frozen=True)
class FrameDecoderConfig:
    """Autoregressive over log-mel frames: a CPU trains it in minutes."""

    kind: Literal["frame"] = "frame"
    wavenet: WaveNetConfig = field(default_factory=_frame_wavenet)
    output: FramesConfig = field(default_factory=FramesConfig)
    # Share of past frames that are hidden while training: who sees the last frame hardly needs the units.
    dropout: float = 0.5
    # Share of the rows whose whole past is hidden: with l1 and l2, frames are generated without looking at the past.
    blind: float = 0.15

    def __post_init__(self) -> None:
        if not 0.0 <= min(self.dropout, self.blind) <= max(self.dropout, self.blind) <= 1.0:
            raise ConfigError(
                f"decoder.dropout and decoder.blind are shares between 0 and 1, got {self.dropout}, {self.blind}"
            )


@dataclass(frozen=True)
class WaveformDecoderConfig:
    """Autoregressive over the samples of the waveform."""

    kind: Literal["waveform"] = "waveform"
    wavenet: WaveNetConfig = field(default_factory=WaveNetConfig)
    output: SoftmaxConfig | MixtureConfig = field(default_factory=SoftmaxConfig)


@dataclass(frozen=True)
class NoDecoderConfig:
    """No reconstruction: the units are learned through the supervised heads alone."""

    kind: Literal["none"] = "none"


DecoderConfig = FrameDecoderConfig | WaveformDecoderConfig | NoDecoderConfig


class Decoder(nn.Module):
    """A WaveNet, what its outputs mean, and the targets' normalisation.

    Buffers: mean and std [M] of log-mel targets, ones and zeros for a waveform.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: FrameDecoderConfig | WaveformDecoderConfig, bins: int, dim: int, hold: int) -> None:
        """Build for targets of so many mel bins, conditions of width dim, and units that hold for so many steps."""
        super().__init__()
        self.config, self.hold = config, hold
        self.frames = isinstance(config, FrameDecoderConfig)
        self.output: Output = build_output(config.output, bins)
        self.wavenet = self.output.network(config.wavenet, dim)
        self.register_buffer("mean", torch.zeros(bins if self.frames else 1))
        self.register_buffer("std", torch.ones(bins if self.frames else 1))

    def normalise(self, targets: Tensor) -> Tensor:
        """Return log-mel targets [B, T, M] with mean 0 and deviation 1 over the training data; a waveform as it is."""
        return (targets - self.mean) / self.std if self.frames else targets

    def denormalise(self, targets: Tensor) -> Tensor:
        """Undo `normalise`."""
        return targets * self.std + self.mean if self.frames else targets

    @property
    def blind(self) -> bool:
        """Tell whether steps are generated without their past.

        A mean predicted from means that were predicted from the units knows no more than the units do, and errors fed
        back pile up; densities that are drawn from need what was drawn.
        """
        return self.output.uniforms == 0

    @torch.no_grad()
    def predict(self, condition: Tensor) -> Tensor:
        """Return log-mel frames [B, T' * hold, M] from condition [B, T', dim] alone, in one pass."""
        steps = condition.shape[1] * self.hold
        past = condition.new_zeros(condition.shape[0], steps, self.output.dim_in)
        params = [self._params(past, condition, *window) for window in self._windows(*past.shape[:2])]
        return self.denormalise(torch.cat(params, 1) if params else past)

    def forward(self, targets: Tensor, condition: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Return the loss of each step [B, T' * hold] of targets, given condition [B, T', dim].

        Targets [B, S] or [B, T, M] are cut or padded to T' * hold steps; the caller leaves out what is padding.
        Seeds [B] int64 draw which past frames are hidden while training.
        """
        samples = self.output.encode(_fit(self.normalise(targets), condition.shape[1] * self.hold))
        past = self.output.shifted(samples)
        if self.training and seeds is not None and isinstance(self.config, FrameDecoderConfig):
            past = drop_frames(past, self.config.dropout, self.config.blind, seeds)
        if torch.is_grad_enabled():
            return self.output.nll(self.wavenet(past, condition).float(), samples)
        windows = self._windows(*samples.shape[:2])
        losses = [self.output.nll(self._params(past, condition, *w), samples[:, slice(*w)]) for w in windows]
        return torch.cat(losses, 1) if losses else samples.new_zeros(samples.shape[:2], dtype=torch.float32)

    def _windows(self, batch: int, steps: int) -> list[tuple[int, int]]:
        """Cut the steps into windows of whole units: without gradients, whole utterances need bounded memory only."""
        size = max(WINDOW // max(batch, 1) // self.hold, 1) * self.hold
        return [(first, min(first + size, steps)) for first in range(0, steps, size)]

    def _params(self, past: Tensor, condition: Tensor, first: int, last: int) -> Tensor:
        """Return the outputs at steps first..last, from these and as many before them as the WaveNet looks back."""
        unit = max(first - self.wavenet.receptive_field + 1, 0) // self.hold
        start = unit * self.hold
        return self.wavenet(past[:, start:last], condition[:, unit : -(-last // self.hold)])[:, first - start :].float()


def _fit(x: Tensor, steps: int) -> Tensor:
    """Cut or pad x [B, T, ...] to [B, steps, ...]."""
    missing = steps - x.shape[1]
    if missing <= 0:
        return x[:, :steps]
    return F.pad(x, (0, missing) if x.dim() == 2 else (0, 0, 0, missing))
