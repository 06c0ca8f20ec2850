"""What can be asked for of each decoder, and which streams it learns to say; nothing here loads torch."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

from unitdisc.errors import ConfigError
from unitdisc.features.configs import ExcitationConfig, LogMelConfig
from unitdisc.networks.configs import FramesConfig, MixtureConfig, SoftmaxConfig, WaveNetConfig

LOG_MEL, EXCITATION, WAVE = "log_mel", "excitation", "wave"  # names of streams


class Stream(NamedTuple):
    """Something that a decoder learns to say."""

    name: str
    features: LogMelConfig | ExcitationConfig | None  # how it is made of audio; None: it is the audio itself
    archive: str = ""  # what a data directory calls its archive: `targets` is targets.scp and targets.ark


def excitation_stream(targets: LogMelConfig) -> Stream:
    """Return the stream of pitch, voicing and aperiodicity of the frames of log-mel."""
    excitation = ExcitationConfig(
        sample_rate=targets.sample_rate, hop=targets.hop, window=targets.window, snip_edges=targets.snip_edges
    )
    return Stream(EXCITATION, excitation, "excitation")


class DecoderSettings:
    """What a decoder's configuration says before the decoder is built."""

    speaks: ClassVar[bool] = True  # False: there is no decoder

    def streams(self, targets: LogMelConfig) -> tuple[Stream, ...]:
        """Return what the decoder learns to say, in the order in which targets [B, T, D] hold it side by side."""
        raise NotImplementedError

    def told(self, targets: LogMelConfig) -> tuple[Stream, ...]:
        """Return what the decoder is told of each frame beside units and speaker, side by side; always of frames."""
        return ()

    def archives(self, targets: LogMelConfig) -> dict[str, LogMelConfig | ExcitationConfig]:
        """Return what has to be made of the training data, by the name of its archive."""
        streams = (*self.streams(targets), *self.told(targets))
        return {stream.archive: stream.features for stream in streams if stream.features is not None}


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


@dataclass(frozen=True)
class VoiceDecoderConfig(DecoderSettings):
    """Log-mel, log F0 in the voice's own range, voicing and aperiodicity of each frame, from units to both sides."""

    kind: Literal["voice"] = "voice"
    channels: int = 192
    units: tuple[int, ...] = (1, 2, 4, 1)  # dilations, in units, of the blocks at their rate
    frames: tuple[int, ...] = (1, 2)  # dilations, in frames, of the blocks after them
    kernel: int = 7  # units, or frames
    hidden: int = 384  # of each block
    pitch: float = 0.3  # weight of log F0 in voiced frames, beside that of log-mel
    voicing: float = 0.2  # weight of the cross entropy of voicing
    aperiodicity: float = 0.3  # weight, in voiced frames

    def __post_init__(self) -> None:
        if min(self.channels, self.kernel, self.hidden, *self.units, *self.frames) < 1 or self.kernel % 2 == 0:
            raise ConfigError("decoder: channels, hidden and all dilations must be above 0, and the kernel odd")
        if min(self.pitch, self.voicing, self.aperiodicity) < 0:
            raise ConfigError("decoder: weights must be 0 or more")

    def streams(self, targets: LogMelConfig) -> tuple[Stream, ...]:
        """Return log-mel, and the excitation of the same frames."""
        return (Stream(LOG_MEL, targets, "targets"), excitation_stream(targets))


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


@dataclass(frozen=True)
class NoDecoderConfig(DecoderSettings):
    """No reconstruction: the units are learned through a prediction or supervised heads alone."""

    kind: Literal["none"] = "none"

    speaks: ClassVar[bool] = False

    def streams(self, targets: LogMelConfig) -> tuple[Stream, ...]:
        """Return nothing."""
        return ()


DecoderConfig = FrameDecoderConfig | VoiceDecoderConfig | WaveformDecoderConfig | NoDecoderConfig
