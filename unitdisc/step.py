"""One step of a training: forward and backward, the gradients of all processes, the optimiser, and what is left out."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from unitdisc import dist
from unitdisc.data.batches import share
from unitdisc.errors import UnitdiscError
from unitdisc.model import UnitModel
from unitdisc.runlog import Gradient, Meter, RunLog
from unitdisc.state import State, precision_of


def train_step(state: State, batch: Any, meter: Meter, log: RunLog, device: torch.device) -> None:
    """Do one step: forward and backward over the parts of a batch, then the optimiser."""
    options, model, learner = state.config, state.model, state.learner(state.step)
    still = learner == "codebook" and options.thaw == 0
    model.train()
    model.encoder.train(not still)
    model.encoder.requires_grad_(not still)
    if options.units_of:
        model.quantizer.eval().requires_grad_(False)
    state.optimizer.zero_grad(set_to_none=True)
    torch.manual_seed(options.seed * 1_000_003 + state.step)  # for layers that draw by themselves
    dtype = precision_of(options, device)
    autocast = nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)
    weight = 0.0
    parts = list(_parts(batch, options.accumulate))
    for part in parts:
        with autocast:
            loss = model.loss(part, part.seeds, learner)
        # Parts and processes hold different numbers of frames; weighted so, they add up to the global batch's mean.
        (loss.total * loss.weight).backward()
        weight += float(loss.weight)
        losses = {"loss": loss.total.detach(), **loss.parts}
        meter.add(float(loss.weight), losses, {**loss.quantized.stats, **loss.stats}, 1 / len(parts))
    norm = sync_gradients_(model, weight, options.clip)
    spike = state.norms.spike_(norm, options.skip_above)
    meter.add_gradient(Gradient(state.step, batch.utts[:8], norm, spike))
    if device.type == "cpu":  # where looking costs nothing
        note_skipped(meter, log)
    slowed = (
        [(p, p.detach().clone()) for p in model.encoder.parameters()] if learner == "codebook" and not still else []
    )
    if not optimise_(state.optimizer, spike):
        return
    with torch.no_grad():
        for parameter, before in slowed:
            parameter.copy_(before.lerp(parameter, options.thaw))
    if state.average:
        state.average.update_(model)


def optimise_(optimizer: torch.optim.Optimizer, spike: Tensor) -> bool:
    """Do the optimiser's step unless the gradient is a spike; return False if it is known to be one.

    A GPU decides by itself, so that the host can go on: its kernel changes nothing then. (A running average counts the
    step all the same, and moves towards weights that have not changed.)
    """
    if spike.device.type != "cpu":
        optimizer.found_inf = spike.float()  # type: ignore[attr-defined]
    elif spike:
        return False
    optimizer.step()
    return True


def note_skipped(meter: Meter, log: RunLog) -> None:
    """Log the steps that were left out since the last call, and end a training that does nothing else."""
    for step, utts, norm, _ in meter.read():
        log.metrics(step, "skipped", {"norm": norm if math.isfinite(norm) else None, "utts": utts})
        if meter.skipped > 10:
            raise UnitdiscError(
                f"step {step}: the gradient exploded or was not a number in over 10 steps of one log interval "
                f"(last norm {norm:.3g}; utterances {' '.join(utts[:4])} ...); lower train.learning_rate, "
                "or look for silent or broken recordings with `unitdisc check`"
            )


def _parts(batch: Any, count: int) -> Iterator[Any]:
    if count == 1:
        yield batch
        return
    rows = list(range(len(batch.utts)))
    for part in range(count):
        own = share(rows, part, count)
        if own:
            yield batch.rows(own[0], own[-1] + 1)


def sync_gradients_(model: UnitModel, weight: float, clip: float) -> Tensor:
    """Make gradients the mean over all processes' frames, clip them, and return their norm before clipping."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    frames: float | Tensor = weight
    if dist.world_size() > 1:
        packed = torch.cat([g.flatten() for g in gradients] + [gradients[0].new_full((1,), weight)])
        dist.all_reduce_(packed)
        frames = packed[-1]
        for gradient, part in zip(gradients, packed[:-1].split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
    torch._foreach_div_(gradients, frames)
    norm = torch.nn.utils.get_total_norm(gradients)
    if clip:
        torch._foreach_mul_(gradients, torch.where(norm > clip, clip / norm.double(), 1.0).to(norm.dtype))
    return norm
