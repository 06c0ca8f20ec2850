"""Units to all that a source and a filter need: log-mel bands, and pitch, voicing and band aperiodicity.

Units are heard from both sides, by blocks of convolutions over time that are not causal: first at the rate of units,
where a wide context costs little, then at that of frames. Nothing is autoregressive, so an utterance is one pass, and
what is said are means: too little movement is given back by the postfilter for the bands, and by the range of the voice
for the pitch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.decoders.base import Decoder, Fit, Randomness, Streams, Voicing, fit_steps, set_statistics_, voiced_sound
from unitdisc.decoders.configs import (
    EXCITATION,
    LOG_MEL,
    VoiceDecoderConfig,
)
from unitdisc.features.excitation import DIM, VOICING
from unitdisc.networks.padding import masked, padding_mask

SHARES = VOICING + 1  # the first column of aperiodicity; log F0 is the first of all


class VoiceDecoder(Decoder):
    """Frames of both streams, all at once.

    Buffers: mean and std [M] of the log-mel targets.
    """

    mean: Tensor
    std: Tensor
    needs_pitch = True
    says_means = True
    emphasis = 0.5  # docs/log.md

    def __init__(self, config: VoiceDecoderConfig, fit: Fit) -> None:
        super().__init__()
        self._config, self._targets, self.hold = config, fit.targets, fit.stride
        self.streams, self.bins = config.streams(fit.targets), fit.targets.mels
        self.input = nn.Linear(fit.dim, config.channels)
        self.place = nn.Parameter(torch.zeros(self.hold, config.channels))  # which of its unit's frames a frame is
        self.units = nn.ModuleList(Block(config, dilation) for dilation in config.units)
        self.frames = nn.ModuleList(Block(config, dilation) for dilation in config.frames)
        self.norm = nn.LayerNorm(config.channels)
        self.output = nn.Linear(config.channels, self.bins + DIM)
        self.register_buffer("mean", torch.zeros(self.bins))
        self.register_buffer("std", torch.ones(self.bins))

    def set_normalisation_(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and deviation of log-mel, the first of so many columns; the excitation has its own scale."""
        set_statistics_(self.mean, self.std, mean[: self.bins], std[: self.bins], "the log-mel targets")

    def _said(self, condition: Tensor, units: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return normalised log-mel [B, F, M]; log F0 and logits of voicing and aperiodicity [B, F, DIM]."""
        x = self.input(condition)
        mask = None if units is None else padding_mask(units, x.shape[1])
        for block in self.units:
            x = block(x, mask)
        x = (x[:, :, None] + self.place).flatten(1, 2)
        mask = None if units is None else padding_mask(units * self.hold, x.shape[1])
        for block in self.frames:
            x = block(x, mask)
        bands, beside = self.output(self.norm(x)).float().split([self.bins, DIM], -1)
        return bands, beside

    def loss(
        self, targets: Tensor, condition: Tensor, seeds: Tensor | None = None, units: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each frame [B, T' * hold] of targets [B, T, M + DIM]."""
        bands, beside = self._said(condition, units)
        log_mel, wanted = fit_steps(targets, bands.shape[1]).split([self.bins, DIM], -1)
        voiced = wanted[..., VOICING]
        loss = (bands - (log_mel - self.mean) / self.std).abs().mean(-1)
        loss = loss + self._config.pitch * voiced * (beside[..., 0] - wanted[..., 0]).abs()
        crossed = F.binary_cross_entropy_with_logits(beside[..., VOICING], voiced, reduction="none")
        shares = (beside[..., SHARES:].sigmoid() - wanted[..., SHARES:]).abs().mean(-1)
        return loss + self._config.voicing * crossed + self._config.aperiodicity * voiced * shares

    @torch.no_grad()
    def say(self, condition: Tensor, units: Tensor, generator: Randomness = None, temperature: float = 1.0) -> Streams:
        """Return log-mel, and log F0 in the voice's range with voicing and aperiodicity between 0 and 1."""
        bands, beside = self._said(condition, units)
        excitation = torch.cat([beside[..., :1], beside[..., VOICING:].sigmoid()], -1)
        return {LOG_MEL: bands * self.std + self.mean, EXCITATION: excitation}

    def sound(self, said: Streams, voicing: Voicing) -> Tensor:
        """Return the waveform [S] of log-mel [T, M], with the pitch that is wanted."""
        return voiced_sound(said[LOG_MEL], self._targets, voicing)


class Block(nn.Module):
    """A convolution of each channel over time, then a network of each frame; what comes in is added."""

    def __init__(self, config: VoiceDecoderConfig, dilation: int) -> None:
        super().__init__()
        reach = dilation * (config.kernel // 2)
        self.conv = nn.Conv1d(
            config.channels, config.channels, config.kernel, padding=reach, dilation=dilation, groups=config.channels
        )
        self.norm = nn.LayerNorm(config.channels)
        self.wide = nn.Linear(config.channels, config.hidden)
        self.back = nn.Linear(config.hidden, config.channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return as many frames [B, T, channels]; padding is the zeros that lie beyond the ends."""
        y = self.conv(masked(x, mask).transpose(1, 2)).transpose(1, 2)
        return x + self.back(F.gelu(self.wide(self.norm(y))))
