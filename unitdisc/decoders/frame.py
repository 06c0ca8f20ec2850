"""Units to log-mel frames, and these to sound by source and filter, or by Griffin-Lim."""

import torch
from torch import Tensor

from unitdisc.decoders.autoregressive import AutoregressiveDecoder
from unitdisc.decoders.base import Fit, Streams, Voicing, set_statistics_, voiced_sound
from unitdisc.decoders.configs import LOG_MEL, FrameDecoderConfig
from unitdisc.networks.jitter import drop_frames


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
