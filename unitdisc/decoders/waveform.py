"""Units to the samples of a waveform."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from unitdisc.decoders.autoregressive import AutoregressiveDecoder
from unitdisc.decoders.base import WAVE, DecoderSettings, Fit, Stream, Streams, Voicing, excitation_stream
from unitdisc.features.configs import LogMelConfig
from unitdisc.networks.outputs import MixtureConfig, SoftmaxConfig
from unitdisc.networks.wavenet import WaveNetConfig


@dataclass(frozen=True)
class WaveformDecoderConfig(DecoderSettings):
    """Autoregressive over the samples of the waveform."""

    kind: Literal["waveform"] = "waveform"
    wavenet: WaveNetConfig = field(default_factory=WaveNetConfig)
    output: SoftmaxConfig | MixtureConfig = field(default_factory=SoftmaxConfig)
    pitch: bool = False  # told log F0 in the voice's own range, voicing and aperiodicity; without, it makes its own

    def streams(self, targets: LogMelConfig) -> tuple[Stream, ...]:
        """Return the audio itself."""
        return (Stream(WAVE, None),)

    def told(self, targets: LogMelConfig) -> tuple[Stream, ...]:
        """Return the excitation, if the pitch comes from outside."""
        return (excitation_stream(targets),) if self.pitch else ()


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
