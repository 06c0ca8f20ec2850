"""What changes while a model trains, how its learning rate falls, and the options of a training."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from unitdisc import dist
from unitdisc.checkpoint import Polyak
from unitdisc.errors import ConfigError
from unitdisc.features.augment import AugmentConfig
from unitdisc.model import Learner, UnitModel
from unitdisc.quantizers.kmeans import KMeans
from unitdisc.spikes import Norms
from unitdisc.targets import Made, TargetsConfig


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
class TrainConfig:
    """How to train; what is trained stands in ModelConfig."""

    steps: int = 2000
    batch: int = 32  # chunks or utterances per step, over all processes and accumulated parts
    chunk: int = 128  # frames; 0 for whole utterances
    # Utterances that lie together, from which chunks are drawn before others are: a shuffle buffer, for data
    # that no memory holds and disks that read best in order. 0: all.
    window: int = 0
    accumulate: int = 1  # parts of a process's share that are run one after the other
    learning_rate: float = 4e-4
    warmup: int = 100  # steps of linear rise
    schedule: Halving | Plateau | Linear = field(default_factory=Halving)
    optimizer: AdamConfig | AdamWConfig = field(default_factory=AdamConfig)
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
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False  # encoder and WaveNet by torch.compile: slow first steps, and again where shapes change
    recompute: bool = False  # the WaveNet's activations, when gradients need them: less memory, more time
    tensorboard: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "validate_every", "save_every", "keep", "log_every"):
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


class State:
    """All that changes while a model trains."""

    def __init__(self, model: UnitModel, config: TrainConfig) -> None:
        self.model = model
        self.config = config
        self.optimizer = _optimizer(model, config)
        self.base_rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.average = Polyak(model, config.average) if config.average else None
        self.step = 0  # steps done
        self.reestimated_at = -1
        self.warned = False  # of a dying codebook
        self.norms = Norms(self.device)  # of the gradients of the last steps
        self.scale, self.best, self.stale = 1.0, math.inf, 0  # of the plateau schedule
        self.targets: Made | None = None  # of weights.prediction
        self.predicts = getattr(model, "prediction", None) is not None  # models of images have none

    def tree(self) -> dict[str, Any]:
        """Return everything a checkpoint holds of this state."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "reestimated_at": self.reestimated_at,
            "norms": self.norms.tolist(),
            "plateau": [self.scale, self.best, self.stale],
            "targets": self.targets and self.targets._asdict(),
        }

    def load_tree(self, tree: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        self.model.load_state_dict(tree["model"])
        # How the optimiser is computed is this machine's affair, not that of the one that wrote the checkpoint.
        ways = [
            {**theirs, "fused": ours["fused"]}
            for theirs, ours in zip(tree["optimizer"]["param_groups"], self.optimizer.param_groups, strict=True)
        ]
        self.optimizer.load_state_dict({**tree["optimizer"], "param_groups": ways})
        if self.average and tree["average"]:
            self.average.load_state_dict(tree["average"], self.model)
        self.step, self.reestimated_at = tree["step"], tree["reestimated_at"]
        self.norms = Norms(self.device, tree["norms"])
        self.scale, self.best, self.stale = tree["plateau"]
        self.targets = Made(**tree["targets"]) if tree.get("targets") else None

    @property
    def device(self) -> torch.device:
        """Return where the model is."""
        return next(self.model.parameters()).device

    def learner(self, step: int) -> Learner:
        """Return which part of the model learns at a step."""
        if not self.config.freezes:
            return "all"
        if step >= self.config.frozen_at:
            return "codebook"
        return "encoder" if self.predicts else "all"

    @property
    def quantises(self) -> bool:
        """Tell whether vectors are quantised at this step, or the codebook waits for the encoder to have learnt."""
        late = isinstance(self.model.quantizer, KMeans) or (self.config.freezes and self.predicts)
        return not late or self.step >= self.config.frozen_at

    def set_rates_(self) -> float:
        """Set this step's learning rates; return the model's."""
        schedule = self.config.schedule
        factor = min(1.0, (self.step + 1) / max(self.config.warmup, 1))
        if isinstance(schedule, Halving):
            factor *= schedule.factor ** sum(self.step >= at for at in schedule.at)
        elif isinstance(schedule, Linear):
            first, last = self._stage()
            factor *= schedule.factor(self.step - first, last - first)
        else:
            factor *= self.scale
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        return self.config.learning_rate * factor

    def _stage(self) -> tuple[int, int]:
        """Return the steps between which the same targets are learnt."""
        starts = self.config.targets.starts(self.config.steps) if self.predicts else [0]
        starts = sorted({*(start for start in starts if start < self.config.frozen_at), self.config.frozen_at})
        return (
            max(start for start in starts if start <= self.step),
            min((start for start in starts if start > self.step), default=self.config.steps),
        )

    def note_dev_loss_(self, loss: float) -> None:
        """Let the plateau schedule see a validation: that of the first process, in all of them."""
        loss = float(dist.broadcast_(torch.tensor(loss, dtype=torch.float64, device=self.device)))
        schedule = self.config.schedule
        if loss < self.best:
            self.best, self.stale = loss, 0
            return
        self.stale += 1
        if isinstance(schedule, Plateau) and self.stale > schedule.patience:
            self.scale, self.stale = self.scale * schedule.factor, 0

    def after_reestimation_(self) -> None:
        """Forget what was learnt about the codebook that has just been replaced."""
        self.reestimated_at = self.step
        for parameter in self.model.quantizer.codebook_parameters():
            self.optimizer.state.pop(parameter, None)
        if self.average:
            self.average.restart_(self.model, "quantizer.")

    def settle_(self) -> None:
        """Take the averaged weights for the model's own."""
        if self.average:
            self.average.give_(self.model)

    def after_new_targets_(self, made: Made) -> None:
        """Begin with heads for new targets, as at the start: the encoder alone stays."""
        self.targets = made
        assert self.model.prediction is not None
        self.model.prediction.renew_(self.config.seed * 1_000_003 + self.step)
        self.optimizer.state.clear()
        self.norms = Norms(self.device)
        if self.average:
            self.average.restart_(self.model, "prediction.")

    def after_new_codebook_(self) -> None:
        """Note that units mean something else from here on; all but the encoder begins as at the start."""
        self.reestimated_at = self.step
        self.optimizer.state.clear()
        self.norms = Norms(self.device)
        if self.average:
            self.average.restart_(self.model, "")


def _optimizer(model: UnitModel, config: TrainConfig) -> torch.optim.Optimizer:
    options, groups = config.optimizer, model.parameter_groups(config.learning_rate)
    # On a GPU one kernel does it all, and leaves a step out without asking the host (see `optimise_`).
    fused = True if next(model.parameters()).device.type == "cuda" else None
    if isinstance(options, AdamWConfig):
        return torch.optim.AdamW(groups, config.learning_rate, options.betas, weight_decay=options.decay, fused=fused)
    return torch.optim.Adam(groups, config.learning_rate, options.betas, fused=fused)
