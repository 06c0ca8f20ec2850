"""Supervised heads on the quantiser's values: CTC over phone sequences, and a classifier of every unit's phone.

Both return sums, not means: who calls divides by the number of valid frames, so that a batch split over processes or
over accumulated steps gives the same gradient.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.networks.configs import HeadConfig
from unitdisc.networks.padding import masked, padding_mask

BLANK = 0  # of CTC; phone p is class p + 1


class HeadLoss(NamedTuple):
    """A head's loss over a batch, not yet divided by anything."""

    total: Tensor  # scalar, nats
    used: Tensor  # scalar int64: utterances (CTC) or units (framewise) that it is the sum of
    left_out: Tensor  # scalar int64: utterances or units that could not be used


class _Head(nn.Module):
    """Residual ReLU convolutions over values [B, T', D], then a linear layer."""

    def __init__(self, config: HeadConfig, dim_in: int, classes: int) -> None:
        super().__init__()
        sizes = [dim_in] + [config.channels] * config.layers
        self.convs = nn.ModuleList(
            nn.Conv1d(a, b, config.kernel, padding=config.kernel // 2) for a, b in pairwise(sizes)
        )
        self.output = nn.Linear(sizes[-1], classes)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return logits [B, T', classes]."""
        mask = padding_mask(lengths, values.shape[1])
        x = masked(values, mask).transpose(1, 2)
        for conv in self.convs:
            y = F.relu(conv(x))
            x = masked(x + y if x.shape == y.shape else y, mask, time=2)
        return self.output(x.transpose(1, 2))


class CTCHead(_Head):
    """Phone sequences by connectionist temporal classification."""

    def __init__(self, config: HeadConfig, dim_in: int, phones: int) -> None:
        super().__init__(config, dim_in, phones + 1)

    def loss(self, values: Tensor, lengths: Tensor, phones: Tensor, phone_lengths: Tensor) -> HeadLoss:
        """Sum -log p(phones) over utterances; phones [B, N] int64 of phone_lengths [B].

        An utterance with more phones than its units can say has no such probability: it counts as left out.
        """
        log_p = self(values, lengths).float().log_softmax(-1).transpose(0, 1)
        valid = torch.arange(phones.shape[1], device=phones.device) < phone_lengths[:, None]
        repeats = ((phones[:, 1:] == phones[:, :-1]) & valid[:, 1:]).sum(1)  # a blank must stand between equals
        possible = (phone_lengths + repeats <= lengths) & (lengths > 0)
        classes = torch.where(valid, phones + 1, 0)
        sums = F.ctc_loss(log_p, classes, lengths, phone_lengths, BLANK, reduction="none", zero_infinity=True)
        sums = torch.where(possible, sums, 0.0)
        return HeadLoss(sums.sum(), possible.sum(), (~possible).sum())

    @torch.no_grad()
    def decode(self, values: Tensor, lengths: Tensor) -> list[list[int]]:
        """Return each utterance's phones by the best path: equal neighbours merged, blanks left out."""
        best = self(values, lengths).argmax(-1)
        rows = [row[: int(n)].unique_consecutive().tolist() for row, n in zip(best, lengths, strict=True)]
        return [[c - 1 for c in row if c != BLANK] for row in rows]


class FramewiseHead(_Head):
    """The phone of every unit."""

    def loss(self, values: Tensor, lengths: Tensor, labels: Tensor) -> HeadLoss:
        """Sum the cross entropy over units; labels [B, T'] int64, -1 where there is none."""
        logits = self(values, lengths).float()
        labels = _fit(labels, logits.shape[1])
        valid = torch.arange(logits.shape[1], device=labels.device) < lengths[:, None]
        labels = torch.where(valid, labels, -1)
        total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-1, reduction="sum")
        return HeadLoss(total, (labels >= 0).sum(), (valid & (labels < 0)).sum())


def _fit(labels: Tensor, units: int) -> Tensor:
    """Cut or pad labels [B, N] to [B, units]: an alignment may end a little before or after the audio."""
    return F.pad(labels[:, :units], (0, max(units - labels.shape[1], 0)), value=-1)
