"""Units to the samples of a waveform."""

import torch
from torch import Tensor

from unitdisc.decoders.autoregressive import AutoregressiveDecoder
from unitdisc.decoders.base import Fit, Streams, Voicing
from unitdisc.decoders.configs import WAVE, WaveformDecoderConfig


class WaveformDecoder(AutoregressiveDecoder):
    """A WaveNet over samples.

    Buffers: mean and std [1], 0 and 1, as checkpoints have always had.
    """

    def __init__(self, config: WaveformDecoderConfig, fit: Fit) -> None:
        super().__init__(config.wavenet, config.output, config.streams(fit.targets), fit)
        self.hold = fit.stride * fit.grid.hop
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))

    def sound(self, said: Streams, voicing: Voicing) -> Tensor:
        """Return the waveform [S]."""
        return said[WAVE]
