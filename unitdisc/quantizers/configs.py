"""What can be asked for of each quantiser; nothing here loads torch."""

import math
from dataclasses import dataclass, field
from typing import Literal

from unitdisc.errors import ConfigError
from unitdisc.quantizers.schedule import ScheduleConfig

Norm = Literal["before-projection", "before-vq", "each-codebook", "none"]

LossKind = Literal["element-mean", "vector-sum"]


@dataclass(frozen=True)
class VQConfig:
    """A gradient codebook. All defaults together are robust training; see docs/method.md."""

    kind: Literal["vq"] = "vq"
    codes: int = 256  # of each codebook
    codebooks: int = 1  # side by side, each for its share of the dimensions
    dim: int | None = 64  # of the values; none: no projection, the encoder's own
    norm: Norm = "before-projection"
    commitment: float = 0.25
    loss: LossKind = "element-mean"  # or the sum over dimensions, mean over vectors
    learning_rate_factor: float = 10.0
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_codebooks(self.codes, self.codebooks, self.dim)


@dataclass(frozen=True)
class EMAConfig:
    """A codebook of moving averages."""

    kind: Literal["ema"] = "ema"
    codes: int = 256
    codebooks: int = 1
    dim: int | None = 64
    norm: Norm = "before-projection"
    commitment: float = 0.25
    loss: LossKind = "element-mean"
    decay: float = 0.99
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_codebooks(self.codes, self.codebooks, self.dim)


@dataclass(frozen=True)
class ResidualVQConfig:
    """Several codebooks of the whole dimension, one after another."""

    kind: Literal["rvq"] = "rvq"
    codes: int = 256  # of each codebook
    codebooks: int = 4
    dim: int | None = 64
    norm: Norm = "before-projection"
    commitment: float = 0.25
    loss: LossKind = "element-mean"  # of each codebook; they are added
    learning_rate_factor: float = 10.0
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_codebooks(self.codes, self.codebooks, None)


@dataclass(frozen=True)
class FSQConfig:
    """Levels of each dimension: 8 x 5 x 5 x 5 make 1000 codes."""

    kind: Literal["fsq"] = "fsq"
    levels: tuple[int, ...] = (8, 5, 5, 5)
    norm: Norm = "before-projection"

    def __post_init__(self) -> None:
        """Check the levels."""
        if not self.levels or min(self.levels) < 3 or math.prod(self.levels) >= 2**31:
            raise ConfigError(f"quantizer: levels must be 3 or more, their product below 2^31, got {self.levels}")


@dataclass(frozen=True)
class KMeansConfig:
    """k-means of the encoder's vectors, fitted once and never trained."""

    kind: Literal["kmeans"] = "kmeans"
    codes: int = 256

    def __post_init__(self) -> None:
        """Check the number of codes."""
        if self.codes < 1:
            raise ConfigError(f"quantizer: codes must be at least 1, got {self.codes}")


@dataclass(frozen=True)
class IdentityConfig:
    """No bottleneck."""

    kind: Literal["none"] = "none"


QuantizerConfig = VQConfig | EMAConfig | ResidualVQConfig | FSQConfig | KMeansConfig | IdentityConfig


@dataclass(frozen=True)
class LdaConfig:
    """Unsupervised LDA: the classes are clusters of the frames, and those of the directions found before."""

    passes: int = 2  # clusterings that directions are taken from; 0: no directions, frames as they are
    splice: int = 6  # frames to each side that are taken in
    dim: int = 32  # directions that are kept
    classes: int = 200  # clusters that are told apart
    sample: int = 60_000  # vectors that are clustered; the others are given the nearest cluster

    def __post_init__(self) -> None:
        if min(self.sample, self.dim) < 1 or self.classes < 2 or min(self.passes, self.splice) < 0:
            raise ConfigError(
                "LDA: sample and dim must be above 0, classes above 1, passes and splice not below 0, "
                f"got {self.sample}, {self.dim}, {self.classes}, {self.passes}, {self.splice}"
            )


def check_codebooks(codes: int, codebooks: int, dim: int | None) -> None:
    """Refuse numbers of codes and codebooks that cannot be."""
    if codes < 1 or codebooks < 1 or (dim is not None and (dim < 1 or dim % codebooks)):
        raise ConfigError(
            f"quantizer: codes and codebooks must be at least 1 and divide dim, got {codes}, {codebooks} and {dim}"
        )
