"""Training for recipes that bring networks of their own: one flat loop, with all of its state in checkpoints.

A model has `loss(batch) -> Loss`, `quantizer` and `parameter_groups(rate)`; batches are a function of the step alone,
so that a training that was killed and goes on equals one that was not.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from unitdisc import checkpoint
from unitdisc import config as configs
from unitdisc.errors import ConfigError, UnitdiscError
from unitdisc.files import locked
from unitdisc.quantizers import Quantizer
from unitdisc.runlog import Meter, RunLog
from unitdisc.state import State
from unitdisc.train_config import AdamConfig, Halving, Plateau

C = TypeVar("C")


class Loss(NamedTuple):
    """What a model's loss returns."""

    total: Tensor  # scalar
    parts: dict[str, Tensor]  # for the log
    stats: dict[str, Tensor]  # scalars of the quantiser


class QuantizedModel(nn.Module):
    """A model with a quantiser whose codebook trains at its own learning rate."""

    quantizer: Quantizer

    def parameter_groups(self, rate: float) -> list[dict[str, Any]]:
        """Return the optimiser's groups: all but the quantiser, then the quantiser's own."""
        rest = [p for name, p in self.named_parameters() if not name.startswith("quantizer.")]
        return [{"params": rest, "lr": rate}, *self.quantizer.parameter_groups(rate)]


@dataclass(frozen=True)
class TrainConfig:
    """How to train."""

    steps: int = 1000
    batch: int = 128
    learning_rate: float = 5e-4
    warmup: int = 0  # steps of linear rise
    schedule: Halving | Plateau = field(default_factory=Halving)
    optimizer: AdamConfig = field(default_factory=AdamConfig)
    clip: float = 0.0  # of the gradient's norm; 0 for none
    average: float = 0.998  # decay of the running average of the weights; 0 for none
    log_every: int = 50
    validate_every: int = 500
    save_every: int = 500
    keep: int = 2  # checkpoints
    seed: int = 0
    device: str = "auto"


def fit(
    model: QuantizedModel,
    config: Any,
    exp: Path,
    batch_of: Callable[[int], Tensor],
    validate: Callable[[QuantizedModel], dict[str, float]],
) -> None:
    """Train, or go on from the newest whole checkpoint of `exp`; `config` has `model` and `train`."""
    options: TrainConfig = config.train
    device = pick_device(options.device)
    log = RunLog(exp)
    state = State(model.to(device), options)
    with locked(exp, "training in it"):
        _fit(state, config, exp, log, batch_of, validate, device)
    log.close()


def _fit(
    state: State,
    config: Any,
    exp: Path,
    log: RunLog,
    batch_of: Callable[[int], Tensor],
    validate: Callable[[QuantizedModel], dict[str, float]],
    device: torch.device,
) -> None:
    options: TrainConfig = config.train
    seconds = _resume_(state, config, exp, log)
    log.started(configs.dump(config), device=str(device), seed=options.seed, resumed_at=state.step)
    meter, since = Meter(), time.perf_counter()
    while state.step < options.steps:
        event = state.model.quantizer.begin_step_(state.step)
        if event is not None:
            state.after_reestimation_()
            log.metrics(state.step, "reestimation", event._asdict())
        rate = state.set_rates_()
        _step(state, batch_of(state.step).to(device), meter)
        state.step += 1
        last = state.step == options.steps
        if state.step % options.log_every == 0 or last:
            log.metrics(state.step, "train", {**meter.pop(), "learning_rate": rate})
        if state.step % options.validate_every == 0 or last:
            values = _validated(state, validate)
            log.metrics(state.step, "dev", values)
            log.say(f"step {state.step}: dev " + " ".join(f"{name} {value:.4g}" for name, value in values.items()))
        if state.step % options.save_every == 0 or last:
            spent = seconds + time.perf_counter() - since
            tree = {"config": configs.to_tree(config), "seconds": spent, **state.tree()}
            checkpoint.save(exp / "checkpoints" / f"{state.step:08d}.pt", tree)
            checkpoint.prune(exp, options.keep)


def _step(state: State, batch: Tensor, meter: Meter) -> None:
    state.model.train()
    state.optimizer.zero_grad(set_to_none=True)
    loss: Loss = state.model.loss(batch)
    loss.total.backward()
    if not math.isfinite(float(loss.total.detach())):
        raise UnitdiscError(f"step {state.step}: the loss is not a number; lower train.learning_rate")
    if state.config.clip:
        nn.utils.clip_grad_norm_(state.model.parameters(), state.config.clip)
    state.optimizer.step()
    if state.average:
        state.average.update_(state.model)
    meter.add(len(batch), {"loss": loss.total.detach(), **loss.parts}, loss.stats)


def _validated(state: State, validate: Callable[[Any], dict[str, float]]) -> dict[str, float]:
    state.model.eval()
    with torch.no_grad():
        if state.average is None:
            values = validate(state.model)
        else:
            with state.average.swapped(state.model):
                values = validate(state.model)
    state.note_dev_loss_(values["loss"])
    return values


def _resume_(state: State, config: Any, exp: Path, log: RunLog) -> float:
    tree = checkpoint.newest(exp, say=log.say)  # on the CPU, where Adam keeps its counts of steps
    if tree is None:
        log.rewind(-1)
        return 0.0
    if tree["config"]["model"] != configs.to_tree(config.model):
        raise ConfigError(f"{exp}: holds a training of another model; train in another folder, or delete this one")
    state.load_tree(tree)
    log.rewind(state.step)
    log.say(f"{exp}: resumed after step {state.step}")
    return float(tree["seconds"])


class Trained(NamedTuple):
    """A trained model and what is known of its training."""

    model: Any  # in evaluation mode, with averaged weights
    config: Any
    step: int
    seconds: float  # of training


def load_trained(exp: Path, cls: type[C], build: Callable[[C], QuantizedModel]) -> Trained:
    """Load the newest checkpoint of a training."""
    tree = checkpoint.newest(exp)
    if tree is None:
        raise UnitdiscError(f"{exp}: no checkpoint in it; train first (./run.sh --stage train --stop-stage train)")
    config = configs.from_tree(cls, tree["config"], str(exp))
    model = build(config)
    weights = dict(tree["model"])
    if tree["average"]:
        weights.update(tree["average"]["values"])
    model.load_state_dict(weights)
    if getattr(model.quantizer, "warming_up", False):
        raise UnitdiscError(
            f"{exp}: its training ended at step {tree['step']}, before the first unit: the quantiser was still warming "
            "up; raise train.steps above quantizer.schedule.warm_up"
        )
    return Trained(model.eval(), config, tree["step"], tree["seconds"])


@dataclass(frozen=True)
class Shuffled:
    """Batches of places 0..count-1, in a new order each epoch; a function of (seed, step) alone."""

    count: int
    batch: int
    seed: int

    def places(self, step: int) -> np.ndarray:
        """Return the places [batch] of a step; fewer only if there are fewer."""
        epoch, place = divmod(step, max(self.count // self.batch, 1))
        if self._order.get("epoch") != epoch:
            self._order.update(epoch=epoch, order=np.random.default_rng([self.seed, epoch]).permutation(self.count))
        return self._order["order"][place * self.batch : (place + 1) * self.batch]

    @cached_property
    def _order(self) -> dict[str, Any]:
        return {}


def pick_device(name: str) -> torch.device:
    """Return a device by its name; "auto" is the GPU if there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
