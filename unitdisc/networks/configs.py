"""What can be asked for of each network around encoder and quantiser; nothing here loads torch."""

from dataclasses import dataclass
from typing import Literal

from unitdisc.errors import ConfigError


@dataclass(frozen=True)
class PerturbationConfig:
    """How much the encoder's input, log mel filter banks, is changed while training."""

    warp: float = 0.0  # frequencies are multiplied by up to 1 + warp, or divided
    tilt: float = 0.0  # deviation of what is added to the banks, in their own unit

    def __post_init__(self) -> None:
        if not 0 <= self.warp < 1 or self.tilt < 0:
            raise ConfigError(f"perturbation: warp must lie in 0..1, tilt be 0 or more, got {self.warp}, {self.tilt}")

    @property
    def on(self) -> bool:
        """Tell whether anything is changed."""
        return self.warp > 0 or self.tilt > 0


@dataclass(frozen=True)
class ConditioningConfig:
    """Width of the convolution over the units' values, and where the voice comes from."""

    channels: int = 128
    kernel: int = 3  # units
    # table: an embedding for each speaker of the training data, which knows nobody else; reference: a vector computed
    # from any stretch of speech; none: the decoder must find the voice in the units.
    speaker: Literal["table", "reference", "none"] = "table"
    speaker_dim: int = 64
    reference_channels: int = 128

    def __post_init__(self) -> None:
        if min(self.channels, self.kernel, self.speaker_dim, self.reference_channels) < 1 or self.kernel % 2 == 0:
            raise ConfigError("conditioning: widths must be above 0 and the kernel odd")


@dataclass(frozen=True)
class HeadConfig:
    """The convolutions between the quantiser's values and a head's linear layer."""

    channels: int = 64
    layers: int = 2
    kernel: int = 3  # units

    def __post_init__(self) -> None:
        if min(self.channels, self.kernel) < 1 or self.layers < 0 or self.kernel % 2 == 0:
            raise ConfigError("heads: channels must be above 0, layers 0 or more, and the kernel odd")


@dataclass(frozen=True)
class InputReconstructionConfig:
    """How far it reaches, and one hidden layer."""

    context: int = 3  # units to each side whose frames a unit says, too
    hidden: int = 256

    def __post_init__(self) -> None:
        if self.context < 0 or self.hidden < 1:
            raise ConfigError(
                "input_reconstruction: context must be 0 or more and hidden above 0, "
                f"got {self.context} and {self.hidden}"
            )


@dataclass(frozen=True)
class PredictionConfig:
    """What is predicted, and from how much."""

    clusters: tuple[int, ...] = (100, 200, 500)  # of each clustering
    hidden: float = 0.4  # share of the units that are hidden while training
    span: float = 0.1  # seconds that are hidden at once
    heard: float = 0.5  # what a unit counts that is not hidden; hidden ones count 1

    def __post_init__(self) -> None:
        if not self.clusters or min(self.clusters) < 2 or max(self.clusters) > 1 << 16:
            raise ConfigError(f"prediction.clusters must be numbers between 2 and 65536, got {self.clusters}")
        if not 0 <= self.hidden < 1 or self.span <= 0 or self.heard < 0 or self.hidden + self.heard == 0:
            raise ConfigError(
                "prediction: hidden must lie in 0..1, span above 0, heard not below 0, "
                f"got {self.hidden}, {self.span}, {self.heard}"
            )


@dataclass(frozen=True)
class WaveNetConfig:
    """Layers and widths; the defaults are a waveform decoder that one CPU core samples in real time."""

    layers: int = 20  # in all; each cycle has layers / cycles of them, with dilations 1, 2, 4, ...
    cycles: int = 2
    residual: int = 64
    gate: int = 128  # tanh and sigmoid halves together
    skip: int = 64
    hidden: int = 128  # between the two output layers
    kernel: int = 2  # taps of every layer and of the input convolution

    def __post_init__(self) -> None:
        for name in ("layers", "cycles", "residual", "gate", "skip", "hidden", "kernel"):
            if getattr(self, name) < 1:
                raise ConfigError(f"WaveNet: {name} must be at least 1, got {getattr(self, name)}")
        if self.layers % self.cycles:
            raise ConfigError(f"WaveNet: {self.layers} layers do not divide into {self.cycles} cycles")
        if self.gate % 2:
            raise ConfigError(f"WaveNet: gate counts the tanh and the sigmoid half, so it is even; got {self.gate}")

    @property
    def dilations(self) -> tuple[int, ...]:
        """Return the distance between taps, layer by layer."""
        return tuple(2 ** (layer % (self.layers // self.cycles)) for layer in range(self.layers))

    @property
    def receptive_field(self) -> int:
        """Return how many inputs, the newest included, an output depends on."""
        return 1 + (self.kernel - 1) * (1 + sum(self.dilations))


@dataclass(frozen=True)
class SoftmaxConfig:
    """A choice among mu-law classes."""

    kind: Literal["softmax"] = "softmax"
    classes: int = 256

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ConfigError(f"softmax: classes must be at least 2, got {self.classes}")


@dataclass(frozen=True)
class MixtureConfig:
    """A discretised mixture of logistics over linear levels."""

    kind: Literal["mixture"] = "mixture"
    components: int = 10
    levels: int = 65536

    def __post_init__(self) -> None:
        if self.components < 1 or self.levels < 2:
            raise ConfigError(f"mixture: needs 1 component and 2 levels, got {self.components} and {self.levels}")


@dataclass(frozen=True)
class FramesConfig:
    """Real-valued frames: l1 and l2 are drawn as their mean; laplace and gaussian learn a scale and are drawn."""

    kind: Literal["frames"] = "frames"
    loss: Literal["l1", "l2", "laplace", "gaussian"] = "l1"


OutputConfig = SoftmaxConfig | MixtureConfig | FramesConfig
