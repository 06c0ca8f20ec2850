"""Everything that can be asked for of a training: a whole configuration file; nothing here loads torch."""

from dataclasses import dataclass, field
from typing import Literal

from unitdisc.errors import ConfigError
from unitdisc.features.configs import AugmentConfig
from unitdisc.model_config import ModelConfig
from unitdisc.quantizers.configs import LdaConfig

WHOLE = ("steps", "batch", "accumulate", "validate_every", "validate_utts", "save_every", "keep", "log_every")


@dataclass(frozen=True)
class Halving:
    """Multiply the learning rate at given steps."""

    kind: Literal["halving"] = "halving"
    at: tuple[int, ...] = ()  # steps
    factor: float = 0.5


@dataclass(frozen=True)
class Plateau:
    """Multiply the learning rate when the dev loss has stopped to fall."""

    kind: Literal["plateau"] = "plateau"
    factor: float = 0.8
    patience: int = 4  # validations without a new best


@dataclass(frozen=True)
class Linear:
    """Rise, hold and fall along straight lines, anew with each new set of targets; shares of the steps between."""

    kind: Literal["linear"] = "linear"
    rise: float = 0.1  # from 0; `warmup` counts beside it
    hold: float = 0.5  # share at which the fall begins
    final: float = 0.02  # of the learning rate, at the end

    def __post_init__(self) -> None:
        if not 0 <= self.rise <= self.hold < 1 or not 0 <= self.final <= 1:
            raise ConfigError(
                "schedule: expected 0 <= rise <= hold < 1 and final in 0..1, "
                f"got {self.rise}, {self.hold}, {self.final}"
            )

    def factor(self, step: int, steps: int) -> float:
        """Return what the learning rate is multiplied by at a step of so many."""
        if step < self.hold * steps:
            return min(1.0, (step + 1) / max(self.rise * steps, 1))
        return max(self.final, 1 - (1 - self.final) * (step - self.hold * steps) / ((1 - self.hold) * steps))


@dataclass(frozen=True)
class AdamConfig:
    """Adam."""

    kind: Literal["adam"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class AdamWConfig:
    """Adam with weights that decay by themselves."""

    kind: Literal["adamw"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.98)
    decay: float = 0.01  # times the learning rate, at each step


@dataclass(frozen=True)
class MuonConfig:
    """Steps of the encoder's matrices in which all directions count the same, and AdamW for the rest (muon.py)."""

    kind: Literal["muon"] = "muon"
    betas: tuple[float, float] = (0.9, 0.98)  # of AdamW
    decay: float = 0.01  # times the learning rate, at each step
    factor: float = 15.0  # that the learning rate of matrices is multiplied by
    momentum: float = 0.95  # of matrices


@dataclass(frozen=True)
class TargetsConfig:
    """When targets are made, and of what."""

    at: tuple[float, ...] = (0.0, 0.25, 0.625)  # shares of all steps; the first targets are always made at step 0
    sample: int = 60_000  # vectors that are clustered; the others are given the nearest cluster
    passes: int = 2  # of LDA, for the first targets
    splice: int = 3  # frames to each side that LDA takes in
    dim: int = 32  # directions that are kept
    classes: int = 200  # clusters that LDA tells apart

    def __post_init__(self) -> None:
        if list(self.at) != sorted(set(self.at)) or not all(0 <= share < 1 for share in self.at) or 0 not in self.at:
            raise ConfigError(f"targets.at must be rising shares of all steps from 0 on, below 1, got {self.at}")
        assert self.lda  # checks its share

    @property
    def lda(self) -> LdaConfig:
        """Return how the directions of the first targets are found."""
        return LdaConfig(self.passes, self.splice, self.dim, self.classes, self.sample)

    def starts(self, steps: int) -> list[int]:
        """Return the steps that begin with new targets."""
        return sorted({round(share * steps) for share in self.at})


@dataclass(frozen=True)
class TrainConfig:
    """How to train; what is trained stands in ModelConfig."""

    steps: int = 2000
    batch: int = 32  # chunks or utterances per step, over all processes and accumulated parts
    chunk: int = 128  # frames; 0 for whole utterances
    # Utterances that lie together, from which chunks are drawn before others are: a shuffle buffer, for data
    # that no memory holds and disks that read best in order. 0: all.
    window: int = 0
    straight: bool = False  # from audio: frames are made as they are read, and no features lie on the disk
    accumulate: int = 1  # parts of a process's share that are run one after the other
    learning_rate: float = 4e-4
    warmup: int = 100  # steps of linear rise
    schedule: Halving | Plateau | Linear = field(default_factory=Halving)
    optimizer: AdamConfig | AdamWConfig | MuonConfig = field(default_factory=AdamConfig)
    targets: TargetsConfig = field(default_factory=TargetsConfig)  # of weights.prediction
    freeze: float = 1.0  # share of all steps after which codebook and decoder learn, and the encoder does not; 1: never
    thaw: float = 0.0  # what the encoder's learning rate is then multiplied by; 0 holds it still
    # A trained model (folder or checkpoint) whose features, encoder and codebook are taken over and held still from the
    # first step, so that all learning is the decoder's, and its unit files can be spoken.
    units_of: str = ""
    augment: AugmentConfig = field(default_factory=AugmentConfig)  # of what the encoder hears
    # Processes that read batches ahead; 0: a thread. By default one where utterances are changed, up to 4 for a GPU.
    workers: int | None = None
    clip: float = 5.0  # of the gradient's norm; 0 for none
    skip_above: float = 20.0  # leave out a step whose gradient is so many times the running median; 0 for never
    average: float = 0.998  # decay of the running average of the weights; 0 for none
    validate_every: int = 500
    validate_utts: int = 200  # spread evenly over the dev set
    save_every: int = 500
    keep: int = 3  # checkpoints
    log_every: int = 50
    seed: int = 0
    device: str = "auto"
    # Of products in a training; units are always made in float32. auto: bfloat16 where the processor has it.
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    compile: bool = False  # encoder and WaveNet by torch.compile: slow first steps, and again where shapes change
    recompute: bool = False  # the WaveNet's activations, when gradients need them: less memory, more time
    tensorboard: bool = True

    def __post_init__(self) -> None:
        for name in WHOLE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.freeze <= 1 or not 0 <= self.thaw <= 1:
            raise ConfigError(f"freeze must lie above 0 and up to 1, thaw in 0..1, got {self.freeze} and {self.thaw}")
        if self.units_of and (self.freeze < 1 or self.thaw):
            raise ConfigError("units_of holds the encoder still from the first step: leave freeze at 1 and thaw at 0")
        if self.window < 0 or (self.window and not self.chunk):
            raise ConfigError(f"window must be 0 or more utterances, and needs chunk above 0, got {self.window}")
        if self.workers is not None and self.workers < 0:
            raise ConfigError(f"workers must be 0 or more, got {self.workers}")
        if not 0 <= self.average < 1:
            raise ConfigError(f"average must lie in 0..1, got {self.average}")

    @property
    def frozen_at(self) -> int:
        """Return the step that begins with an encoder held still; that after the last step if none does."""
        return 0 if self.units_of else max(round(self.freeze * self.steps), 1)

    @property
    def freezes(self) -> bool:
        """Tell whether the encoder is held still at some step."""
        return self.freeze < 1 or bool(self.units_of)


@dataclass(frozen=True)
class Config:
    """A whole configuration file."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
