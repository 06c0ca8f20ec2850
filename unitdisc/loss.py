"""The loss of a batch: what each part of a model adds to it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from unitdisc import dist
from unitdisc.decoders.base import Randomness
from unitdisc.devices import sent
from unitdisc.errors import DataError
from unitdisc.networks.draws import RandomStream, draw_seeds, row_uniforms
from unitdisc.networks.heads import HeadLoss
from unitdisc.networks.padding import ceil_divide, masked, padding_mask
from unitdisc.quantizers.base import Quantized

if TYPE_CHECKING:
    from unitdisc.model import UnitModel

# What a training is at: all of the model at once, the encoder by its prediction alone, or all but the encoder.
Learner = Literal["all", "encoder", "codebook"]


class TrainingBatch(Protocol):
    """What the loss reads of a batch."""

    frames: Tensor  # [B, T, D]
    heard: Tensor | None  # [B, T, D] what the encoder reads in their place
    lengths: Tensor  # [B], best on the CPU: what the host knows it need not wait for
    speakers: Tensor  # [B]
    targets: Tensor | None
    target_lengths: Tensor | None
    told: Tensor | None  # [B, T, D] what the decoder is told of each frame
    phones: Tensor | None
    phone_lengths: Tensor | None
    frame_phones: Tensor | None
    labels: Tensor | None  # [B, T', S] clusters, for the prediction


class Loss(NamedTuple):
    """The loss of a batch: a mean over its valid frames.

    Parts of a global batch (processes, accumulated steps) add up exactly if each part's total is multiplied by its
    weight over the weight of all *before* its backward pass, and the gradients are then summed.
    """

    total: Tensor  # scalar: the parts times their config's weights
    parts: dict[str, Tensor]  # scalars, detached, named as in LossWeights
    quantized: Quantized
    lengths: Tensor  # [B] units
    weight: Tensor  # scalar: valid frames
    stats: dict[str, Tensor]  # scalars, detached: shares that a log should show


class _Pass(NamedTuple):
    """A batch on its way through a model."""

    model: "UnitModel"
    batch: TrainingBatch
    frames: Tensor  # [B, T, D] normalised, as they were before anything was changed or hidden
    frame_lengths: Tensor  # [B]
    y: Tensor  # [B, T', C] the encoder's outputs
    lengths: Tensor  # [B] units
    seeds: Tensor | None  # [B]


def batch_loss(model: "UnitModel", batch: TrainingBatch, generator: Randomness, learner: Learner) -> Loss:
    """Return the loss of a batch; see `UnitModel.loss`."""
    seeds = _seeds(model, batch.frames, generator)
    frames = model.normalise(batch.frames)
    heard = batch.frames if batch.heard is None else batch.heard
    heard = model.normalise(model.perturbation(heard, seeds) if model.perturbation is not None else heard)
    hidden: Tensor | None = None
    if model.prediction is not None and model.training and seeds is not None and learner != "codebook":
        heard, hidden = model.prediction.hide(heard, seeds)
    y, lengths = model.encoder(heard, batch.lengths, seeds)
    weight = batch.lengths.sum()
    count = weight.clamp(min=1)
    there = sent(batch.lengths, y.device)
    parts: dict[str, Tensor] = {}
    stats: dict[str, Tensor] = {}
    if model.prediction is not None and batch.labels is not None and learner != "codebook":
        predicted = model.prediction.loss(y, batch.labels, there, hidden)
        parts["prediction"] = predicted.total * model.stride / count
        stats["predicted"] = predicted.right
    if learner == "encoder":
        no_units = there.new_full((*y.shape[:2], len(model.quantizer.codes)), -1)
        quantized = Quantized(y, no_units, y.new_zeros(()), {})
    else:
        quantized = model.quantizer(y, padding_mask(lengths, y.shape[1]))
        parts["quantizer"] = quantized.loss * _units_in_mean(model, lengths) * model.stride / count
        passed = _Pass(model, batch, frames, there, y, ceil_divide(there, model.stride), seeds)
        parts.update(_value_losses(passed, quantized.values, stats))
    total = sum((parts[name] * getattr(model.config.weights, name) for name in parts), weight.new_zeros(()).float())
    return Loss(total, {k: v.detach() for k, v in parts.items()}, quantized, lengths, weight, stats)


def _seeds(model: "UnitModel", frames: Tensor, generator: Randomness) -> Tensor | None:
    if isinstance(generator, Tensor):
        return generator.to(frames.device)
    return draw_seeds(frames.shape[0], generator, frames.device) if model.training else None


def _units_in_mean(model: "UnitModel", lengths: Tensor) -> Tensor:
    """Return the number of units that the quantiser divided its loss by: over processes, the mean of theirs."""
    units = lengths.sum()
    if not model.training or dist.world_size() == 1:
        return units
    return dist.all_reduce_(sent(units.float(), model.mean.device)) / dist.world_size()


def _value_losses(passed: _Pass, values: Tensor, stats: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the losses of what is made of quantised values [B, T', D], per frame; fill in statistics."""
    model, count, parts = passed.model, passed.batch.lengths.sum().clamp(min=1), {}
    if model.decoder is not None and model.config.weights.reconstruction > 0:
        parts["reconstruction"] = _reconstruction(passed, _partly_vectors(passed, values)) / count
    if model.input_reconstruction is not None:
        total = model.input_reconstruction.loss(values, passed.frames, passed.frame_lengths)
        parts["input_reconstruction"] = total / count
    for name, head in _head_losses(passed, values):
        scale = model.stride if name == "framewise" else 1
        parts[name] = head.total * scale / count
        stats[f"{name}_left_out"] = head.left_out / (head.used + head.left_out).clamp(min=1)
    return parts


def _partly_vectors(passed: _Pass, values: Tensor) -> Tensor:
    """Replace the values of some rows by what was quantised, through which nothing is learnt by the encoder."""
    model, y, seeds = passed.model, passed.y, passed.seeds
    if not model.config.vectors or not model.training or seeds is None:
        return values
    with model.inference(y.device, exact=False):  # statistics see a batch once
        vectors = model.quantizer.project(y.float(), padding_mask(passed.lengths, y.shape[1]))
    chosen = row_uniforms(seeds, 1, RandomStream.VECTORS) < model.config.vectors
    return torch.where(chosen[:, :, None], vectors.to(values.dtype), values)


def _reconstruction(passed: _Pass, values: Tensor) -> Tensor:
    """Return the decoder's loss per target frame, summed over frames."""
    model, batch, lengths = passed.model, passed.batch, passed.lengths
    assert model.decoder is not None
    assert model.conditioning is not None
    if batch.targets is None:
        raise DataError("the batch has no targets for the decoder; make them with `unitdisc features`")
    content = model.conditioning.content(model.jitter(values, lengths, passed.seeds), lengths)
    if model.conditioning.reference is not None:
        speaker: Tensor | None = model.conditioning.reference(passed.frames, passed.frame_lengths)
    else:
        speaker = model.conditioning.speaker_vectors(batch.speakers, strict=False)
    condition = model.with_told(model.conditioning(content, speaker), batch.told)
    losses = model.decoder.loss(batch.targets, condition, passed.seeds, lengths)
    per_frame = model.decoder.hold // model.stride
    known = passed.frame_lengths * per_frame if batch.target_lengths is None else batch.target_lengths
    # A waveform may end up to half a frame before or after its frames do: those samples are left out.
    known = torch.minimum(known, passed.frame_lengths * per_frame)
    return masked(losses, padding_mask(known, losses.shape[1])).sum() / per_frame


def _head_losses(passed: _Pass, values: Tensor) -> Iterator[tuple[str, HeadLoss]]:
    model, batch = passed.model, passed.batch
    if model.ctc is not None:
        if batch.phones is None or batch.phone_lengths is None:
            raise DataError("the batch has no phone sequences for the CTC head; give an alignment or text")
        yield "ctc", model.ctc.loss(values, passed.lengths, batch.phones, batch.phone_lengths)
    if model.framewise is not None:
        if batch.frame_phones is None:
            raise DataError("the batch has no phone of every unit for the framewise head; give an alignment")
        yield "framewise", model.framewise.loss(values, passed.lengths, batch.frame_phones)
