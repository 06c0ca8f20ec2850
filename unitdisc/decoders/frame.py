"""Units to log-mel frames, and these to sound by source and filter, or by Griffin-Lim."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from unitdisc.decoders.autoregressive import AutoregressiveDecoder
from unitdisc.decoders.base import (
    LOG_MEL,
    DecoderSettings,
    Fit,
    Stream,
    Streams,
    Voicing,
    set_statistics_,
    voiced_sound,
)
from unitdisc.errors import ConfigError
from unitdisc.features.configs import LogMelConfig
from unitdisc.networks.jitter import drop_frames
from unitdisc.networks.outputs import FramesConfig
from unitdisc.networks.wavenet import WaveNetConfig


def _frame_wavenet() -> WaveNetConfig:
    return WaveNetConfig(layers=6, cycles=1, residual=128, gate=256, skip=128, hidden=256)


@dataclass(frozen=True)
class FrameDecoderConfig(DecoderSettings):
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

    def streams(self, targets: LogMelConfig) -> tuple[Stream, ...]:
        """Return log-mel."""
        return (Stream(LOG_MEL, targets, "targets"),)


class FrameDecoder(AutoregressiveDecoder):
    """A WaveNet over frames.

    Buffers: mean and std [M] of the log-mel targets.
    """

    needs_pitch = True

    def __init__(self, config: FrameDecoderConfig, fit: Fit) -> None:
        super().__init__(config.wavenet, config.output, config.streams(fit.targets), fit, bins=fit.targets.mels)
        self._config, self._targets = config, fit.targets
        self.hold = fit.stride
        self.says_means = self.blind
        self.register_buffer("mean", torch.zeros(fit.targets.mels))
        self.register_buffer("std", torch.ones(fit.targets.mels))

    def set_normalisation_(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and deviation [M] of the log-mel targets."""
        set_statistics_(self.mean, self.std, mean, std, "the log-mel targets")

    def normalise(self, targets: Tensor) -> Tensor:
        """Return log-mel targets [B, T, M] with mean 0 and deviation 1 over the training data."""
        return (targets - self.mean) / self.std

    def denormalise(self, targets: Tensor) -> Tensor:
        """Undo `normalise`."""
        return targets * self.std + self.mean

    def hide(self, past: Tensor, seeds: Tensor) -> Tensor:
        """Hide some past frames, and the whole past of some rows."""
        return drop_frames(past, self._config.dropout, self._config.blind, seeds)

    def sound(self, said: Streams, voicing: Voicing) -> Tensor:
        """Return the waveform [S] of log-mel [T, M], with the pitch that is wanted."""
        return voiced_sound(said[LOG_MEL], self._targets, voicing)
