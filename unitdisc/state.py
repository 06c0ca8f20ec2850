"""What changes while a model trains, how its learning rate falls, and the options of a training."""

import math
from typing import Any

import torch

from unitdisc import dist
from unitdisc.checkpoint import Polyak
from unitdisc.loss import Learner
from unitdisc.model import UnitModel
from unitdisc.muon import Muon
from unitdisc.quantizers.kmeans import KMeans
from unitdisc.spikes import Norms
from unitdisc.targets import MadeTargets
from unitdisc.train_config import AdamWConfig, Halving, Linear, MuonConfig, Plateau, TrainConfig


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
        self.warned_of_phones = False
        self.norms = Norms(self.device)  # of the gradients of the last steps
        self.scale, self.best, self.stale = 1.0, math.inf, 0  # of the plateau schedule
        self.targets: MadeTargets | None = None  # of weights.prediction
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
        # Its settings are those of this configuration and this machine, not of those that wrote the checkpoint.
        ways = [
            {**theirs, **{name: value for name, value in ours.items() if name != "params"}}
            for theirs, ours in zip(tree["optimizer"]["param_groups"], self.optimizer.param_groups, strict=True)
        ]
        self.optimizer.load_state_dict({**tree["optimizer"], "param_groups": ways})
        if self.average and tree["average"]:
            self.average.load_state_dict(tree["average"], self.model)
        elif self.average:  # that checkpoint was trained without one
            self.average.restart_(self.model, "")
        self.step, self.reestimated_at = tree["step"], tree["reestimated_at"]
        self.norms = Norms(self.device, tree["norms"])
        self.scale, self.best, self.stale = tree["plateau"]
        self.targets = MadeTargets(**tree["targets"]) if tree.get("targets") else None

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
        self._forget_losses_()
        for parameter in self.model.quantizer.codebook_parameters():
            self.optimizer.state.pop(parameter, None)
        if self.average:
            self.average.restart_(self.model, "quantizer.")

    def settle_(self) -> None:
        """Take the averaged weights for the model's own."""
        if self.average:
            self.average.give_(self.model)

    def after_new_targets_(self, made: MadeTargets) -> None:
        """Begin with heads for new targets, as at the start: the encoder alone stays."""
        self.targets = made
        self._forget_losses_()
        assert self.model.prediction is not None
        self.model.prediction.renew_(self.config.seed * 1_000_003 + self.step)
        self.optimizer.state.clear()
        self.norms = Norms(self.device)
        if self.average:
            self.average.restart_(self.model, "prediction.")

    def after_new_codebook_(self) -> None:
        """Note that units mean something else from here on; all but the encoder begins as at the start."""
        self.reestimated_at = self.step
        self._forget_losses_()
        self.optimizer.state.clear()
        self.norms = Norms(self.device)
        if self.average:
            self.average.restart_(self.model, "")

    def _forget_losses_(self) -> None:
        """Begin to compare losses anew: those of before were of something else."""
        self.best, self.stale = math.inf, 0


def _optimizer(model: UnitModel, config: TrainConfig) -> torch.optim.Optimizer:
    options, groups = config.optimizer, model.parameter_groups(config.learning_rate)
    # fused: one kernel does it all; on a GPU it leaves a step out without asking the host (see step.py).
    if isinstance(options, MuonConfig):
        matrices = [p for p in model.encoder.parameters() if p.ndim > 1]
        return Muon(
            groups, matrices, config.learning_rate, options.betas, options.decay, options.factor, options.momentum,
            precision_of(config, next(model.parameters()).device),
        )  # fmt: skip
    if isinstance(options, AdamWConfig):
        return torch.optim.AdamW(groups, config.learning_rate, options.betas, weight_decay=options.decay, fused=True)
    return torch.optim.Adam(groups, config.learning_rate, options.betas, fused=True)


def precision_of(options: TrainConfig, device: torch.device) -> torch.dtype:
    """Return what products are computed in: where nothing is asked for, bfloat16 on a device that is made for it."""
    if options.precision != "auto":
        return torch.bfloat16 if options.precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # older versions of PyTorch have not all of them
    known = [getattr(torch.cpu, name) for name in names if hasattr(torch.cpu, name)]
    return torch.bfloat16 if any(supported() for supported in known) else torch.float32
