"""Samples to overlapping windows, Kaldi's way, for padded batches."""

import math

import torch
from torch import Tensor

from unitdisc.data.timing import FrameGrid


def laid_out(waves: Tensor, samples: Tensor, grid: FrameGrid) -> Tensor:
    """Return [B, (T - 1) * hop + window]: the signal that `unfold(1, window, hop)` cuts into the grid's T frames.

    Without snip_edges each row is mirrored at its own ends, so what lies behind `samples` never matters.
    """
    longest = int(samples.max()) if len(samples) else 0
    count = grid.frames(longest)
    length = (count - 1) * grid.hop + grid.window if count else 0
    if grid.snip_edges or not count:
        return waves[:, :length]
    first = grid.hop // 2 - grid.window // 2
    lead = max(0, -first)
    if len(waves) == 1 and longest >= grid.window + grid.hop:  # the same with fewer operations
        body = waves[:, max(0, first) : longest][:, : length - lead]
        missing = length - lead - body.shape[1]
        return torch.cat([waves[:, :lead].flip(1), body, waves[:, longest - missing : longest].flip(1)], dim=1)
    body = waves[:, max(0, first) :][:, : length - lead]
    out = waves.new_empty(len(waves), length)  # what is not filled in belongs to frames that no row has
    out[:, lead : lead + body.shape[1]] = body
    # No frame reaches further than half a window and a hop over the end.
    reach = torch.arange(grid.window + grid.hop, device=waves.device)
    ends = (samples - first)[:, None] + reach
    places = torch.cat([torch.arange(lead, device=waves.device).expand(len(waves), lead), ends], dim=1)
    places = places.clamp(0, length - 1)
    at_least_one = samples.clamp(min=1)[:, None]
    source = torch.remainder(places + first, 2 * at_least_one)
    source = torch.where(source < at_least_one, source, 2 * at_least_one - 1 - source)
    return out.scatter_(1, places, waves.gather(1, source))


def window_sums(signal: Tensor, grid: FrameGrid) -> Tensor:
    """Return [B, T], the sum over each window, by way of blocks that windows share."""
    block = math.gcd(grid.hop, grid.window)
    blocks = signal.unfold(1, block, block).sum(-1)
    return blocks.unfold(1, grid.window // block, grid.hop // block).sum(-1)


def frame_counts(samples: Tensor, grid: FrameGrid) -> Tensor:
    """Return [B] int64, the frames of each row."""
    return torch.tensor([grid.frames(count) for count in samples.tolist()], dtype=torch.int64, device=samples.device)
