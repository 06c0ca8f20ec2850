"""What every decoder is: it says from units what it has learned to say, and turns that into sound.

A new decoder is a file of its own here, its configuration in configs.py, and a line in build.py. The configuration says
which streams it learns from the training data, before it is built; nobody else asks which kind of decoder a model has.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.data.timing import FrameGrid
from unitdisc.decoders.configs import Stream
from unitdisc.errors import ConfigError, DataError
from unitdisc.features.configs import LogMelConfig
from unitdisc.features.excitation import Excitation
from unitdisc.features.invert import griffin_lim
from unitdisc.synthesis.source_filter import speak

Streams = dict[str, Tensor]  # [B, T, D] each, or a waveform [B, S]
Randomness = torch.Generator | Tensor | None  # a tensor [B] int64 holds a seed for each row


class Fit(NamedTuple):
    """What a decoder has to fit to."""

    targets: LogMelConfig
    grid: FrameGrid  # of the encoder's input
    stride: int  # frames per unit
    dim: int  # of the condition, with what the decoder is told of the frames of a unit


class Voicing(NamedTuple):
    """How something is to sound, as far as a decoder leaves that open."""

    excitation: Excitation | None = None  # pitch and voicing of each frame; None: a whisper
    seed: int = 0
    iterations: int = 60  # of Griffin-Lim


class Decoder(nn.Module, ABC):
    """Conditions [B, T', dim], one for each unit, to streams."""

    hold: int  # steps per unit: frames, or samples of a waveform
    streams: tuple[Stream, ...]
    needs_pitch: bool = False  # whether `sound` takes the pitch from outside
    emphasis: float = 0.0  # see SpeechModel.say: how far its voices are moved on from the mean of all
    says_means: bool = False  # whether its log-mel are means, which move less than speech does

    @abstractmethod
    def loss(
        self, targets: Tensor, condition: Tensor, seeds: Tensor | None = None, units: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each step [B, T' * hold] of targets, given condition [B, T', dim].

        Targets [B, S] or [B, T, D], streams side by side, are cut or padded to T' * hold steps; the caller leaves out
        what is padding. Seeds [B] int64 draw what is random while training. Who looks ahead must not see what lies
        behind a row's units [B]; None: all rows are as long as the longest.
        """

    @abstractmethod
    def say(self, condition: Tensor, units: Tensor, generator: Randomness = None, temperature: float = 1.0) -> Streams:
        """Return each stream, [B, T' * hold, ...], of conditions [B, T', dim] for so many units [B] of each row.

        What lies on padding has no meaning. Seeds [B] in place of a generator make each row depend on its own alone.
        """

    def say_by_piece(
        self, condition: Tensor, units: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Iterator[Streams]:
        """Yield what `say` returns piece by piece, as it is ready; in one piece, if the decoder knows no better."""
        yield self.say(condition, units, generator, temperature)

    @abstractmethod
    def sound(self, said: Streams, voicing: Voicing) -> Tensor:
        """Return the waveform [S] of one utterance's streams, [T, D] each."""

    def set_normalisation_(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and deviation [D] of the targets, streams side by side."""
        raise ConfigError("only a frame decoder has targets to normalise")

    def recompute_(self) -> None:
        """Spare memory while training: compute activations again when gradients need them."""
        raise ConfigError(
            "train.recompute: only a WaveNet (decoder.kind frame or waveform) can compute its layers again"
        )

    def compile_networks_(self) -> None:
        """Compile the networks that take the time, where they stand: checkpoints do not change."""
        for network in self.children():
            network.compile()


def voiced_sound(log_mel: Tensor, config: LogMelConfig, voicing: Voicing) -> Tensor:
    """Return the waveform [S] of log-mel [T, M]: spoken with an excitation, or whispered without one."""
    if voicing.excitation is None:
        return griffin_lim(log_mel, config, voicing.iterations, voicing.seed)
    return speak(log_mel, voicing.excitation, config, voicing.seed)


def fit_steps(x: Tensor, steps: int) -> Tensor:
    """Cut or pad x [B, T, ...] to [B, steps, ...]."""
    missing = steps - x.shape[1]
    if missing <= 0:
        return x[:, :steps]
    return F.pad(x, (0, missing) if x.dim() == 2 else (0, 0, 0, missing))


def set_statistics_(mean: Tensor, std: Tensor, new_mean: Tensor, new_std: Tensor, what: str) -> None:
    """Fill two buffers [D] with a mean and deviation, refusing what cannot be one."""
    if new_mean.shape != mean.shape or new_std.shape != std.shape:
        raise ConfigError(
            f"normalisation of {what}: expected {tuple(mean.shape)} values, got {tuple(new_mean.shape)} and "
            f"{tuple(new_std.shape)}; the features on disk are not those of the config"
        )
    if not bool(torch.isfinite(new_mean).all()) or not bool((new_std > 0).all()):
        raise DataError(f"normalisation of {what}: a mean is not finite or a deviation not above 0")
    mean.copy_(new_mean)
    std.copy_(new_std)
