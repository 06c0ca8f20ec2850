"""Prediction of clusters: from an utterance that is changed and partly hidden, which cluster each unit belongs to.

The clusters are those of the whole, unchanged utterance (targets.py), of several clusterings at once. What is hidden
can only be told from what stands around it, and what the changes took away, such as the voice, is of no use.
"""

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.networks.configs import PredictionConfig
from unitdisc.networks.draws import RandomStream, row_uniforms
from unitdisc.networks.padding import ceil_divide


class Predicted(NamedTuple):
    """How well clusters were predicted."""

    total: Tensor  # scalar: the loss, summed over clusterings and over units, each hidden or not counting 1 on average
    right: Tensor  # scalar: share of the labels that were predicted, detached


class Prediction(nn.Module):
    """A vector that stands for what is hidden, and one linear head a clustering."""

    def __init__(self, config: PredictionConfig, dim: int, dim_in: int, stride: int, period: float) -> None:
        """Build for vectors of width dim, frames of width dim_in, stride frames a unit, and seconds a unit."""
        super().__init__()
        self.config, self.stride = config, stride
        self.span = max(round(config.span / period), 1)  # units
        self.blank = nn.Parameter(0.1 * torch.randn(dim_in))
        self.heads = nn.ModuleList(nn.Linear(dim, clusters) for clusters in config.clusters)

    def renew_(self, seed: int) -> None:
        """Draw new heads, for new clusterings."""
        generator = torch.Generator().manual_seed(seed)
        for head in cast("Iterable[nn.Linear]", self.heads):
            bound = head.in_features**-0.5
            for parameter in head.parameters():
                values = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
                parameter.data.copy_(values)

    def hide(self, frames: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Replace spans of frames [B, T, C] by the rows' seeds; return them, and which units are hidden [B, T']."""
        units = -(-frames.shape[1] // self.stride)
        # A unit is heard if none of the spans that would reach it has begun.
        begin = 1 - (1 - self.config.hidden) ** (1 / self.span)
        starts = row_uniforms(seeds, units + self.span - 1, RandomStream.PREDICTION) < begin
        hidden = F.max_pool1d(starts.float(), self.span, 1) > 0
        places = hidden.repeat_interleave(self.stride, 1)[:, : frames.shape[1], None]
        return torch.where(places, self.blank.to(frames.dtype), frames), hidden

    def loss(self, vectors: Tensor, labels: Tensor, lengths: Tensor, hidden: Tensor | None = None) -> Predicted:
        """Compare what vectors [B, T', D] of frame lengths [B] predict with labels [B, T', S]; -1 is not compared."""
        counts = labels >= 0
        below = torch.arange(vectors.shape[1], device=lengths.device) < ceil_divide(lengths, self.stride)[:, None]
        counts &= below[:, :, None]
        weights = counts[:, :, 0].to(vectors.dtype)
        if hidden is not None:
            share, heard = self.config.hidden, self.config.heard
            weights = weights * torch.where(hidden, 1.0, heard) / (share + (1 - share) * heard)
        total = right = torch.zeros((), device=vectors.device)
        for number, head in enumerate(self.heads):
            scores, wanted = head(vectors).float(), labels[:, :, number].clamp(min=0)
            errors = F.cross_entropy(scores.flatten(0, 1), wanted.flatten(), reduction="none").view_as(wanted)
            total = total + (errors * weights).sum()
            right = right + ((scores.detach().argmax(-1) == wanted) & counts[:, :, number]).sum()
        return Predicted(total, right / counts.sum().clamp(min=1))
