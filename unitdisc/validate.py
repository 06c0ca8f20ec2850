"""Validation: the loss, the use of the codebook, and how far units go with phones, over a whole dev set."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch

from unitdisc.corpus import ALIGNMENT
from unitdisc.data.alignment import Alignment, frame_labels, read_alignment
from unitdisc.data.batches import Batch, Corpus, in_order
from unitdisc.data.phones import SILENCE, SILENCES
from unitdisc.evaluate.clusters import measures
from unitdisc.loss import Learner
from unitdisc.model import UnitModel
from unitdisc.quantizers.health import perplexity


@torch.no_grad()
def validate(
    model: UnitModel,
    dev: Corpus,
    limit: int,
    device: torch.device,
    batch: int = 16,
    label_: Callable[[Batch], Batch] | None = None,
    learner: Learner = "all",
) -> dict[str, float]:
    """Return losses pooled over frames, and the codebook's use and PNMI over all units.

    `label_` adds to a batch what is to be predicted; the losses are those by which a part of the model learns.
    """
    was_training = model.training
    model.eval()
    sums: dict[str, float] = defaultdict(float)
    weight = 0.0
    utts, units = [], []
    for chunks in in_order(dev, batch, limit):
        read = dev.batch(chunks)
        loss = model.loss((read if label_ is None else label_(read)).to(device), learner=learner)
        for name, value in {"loss": loss.total, **loss.parts, **loss.stats}.items():
            sums[name] += float(value) * float(loss.weight)
        weight += float(loss.weight)
        utts += [chunk.utt for chunk in chunks]
        lengths = loss.lengths.tolist()
        units += [row[:n].cpu() for row, n in zip(loss.quantized.units, lengths, strict=True)]
    model.train(was_training)
    values = {name: total / max(weight, 1.0) for name, total in sums.items()}
    quantised = bool(model.quantizer.codes) and all(bool((u >= 0).all()) for u in units)
    return {**values, **(unit_values(model, dev, utts, units) if quantised else {})}


def unit_values(model: UnitModel, dev: Corpus, utts: list[str], units: list[torch.Tensor]) -> dict[str, float]:
    """Return use, perplexity and, if the dev set has an alignment, PNMI of units [T', G]."""
    counts = [
        torch.bincount(torch.cat([u[:, group] for u in units]), minlength=codes)
        for group, codes in enumerate(model.quantizer.codes)
    ]
    values = {
        "perplexity": float(np.mean([float(perplexity(c)) for c in counts])),
        "used_codes": float(np.mean([float((c > 0).double().mean()) for c in counts])),
    }
    path = dev.data.path / ALIGNMENT
    if path.is_file() and len(model.quantizer.codes) == 1:
        values["pnmi"] = _pnmi(model, read_alignment(path), utts, units)
    return values


def _pnmi(model: UnitModel, alignment: Alignment, utts: list[str], units: list[torch.Tensor]) -> float:
    grid, names = model.unit_grid, {SILENCE: 0}
    pairs = []
    for utt, row in zip(utts, units, strict=True):
        if utt not in alignment:
            continue
        labels = frame_labels(alignment[utt], len(row), grid.period, grid.offset, SILENCE)
        labels = [SILENCE if label in SILENCES else label for label in labels]
        numbers = np.array([names.setdefault(label, len(names)) for label in labels])
        pairs.append(np.stack([numbers, row[:, 0].numpy()]))
    if not pairs:
        return float("nan")
    phones, codes = np.concatenate(pairs, axis=1)
    table = np.zeros((len(names), model.quantizer.codes[0]))
    np.add.at(table, (phones, codes), 1)
    return float(measures(table[None], expected=0.0)[0, 0])
