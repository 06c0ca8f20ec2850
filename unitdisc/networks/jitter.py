"""Random replacements while training: time jitter of the latents, and dropout of whole frames.

The draws of a row depend on its own seed and on the time alone. So neither padding, nor the batch that a row is
in, nor the process that trains on it changes them.
"""

import torch
from torch import Tensor, nn

_STEP = -7046029254386353131  # the multipliers of splitmix64, as signed numbers
_FIRST = -4658895280553007687
_SECOND = -7723592293110705685


def draw_seeds(rows: int, generator: torch.Generator | None = None, device: torch.device | None = None) -> Tensor:
    """Draw one seed for each row, [B] int64."""
    source = generator.device if generator is not None else torch.device("cpu")
    return torch.randint(2**62, (rows,), generator=generator, device=source).to(device or source)


def row_uniforms(seeds: Tensor, frames: int, stream: int = 0) -> Tensor:
    """Return numbers in [0, 1), [B, T] float32, by hashing seeds [B] int64 with the time and the stream."""
    x = seeds[:, None] + (torch.arange(1, frames + 1, device=seeds.device) + stream * 2**32) * _STEP
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    x = x ^ _shift(x, 31)
    return _shift(x, 40).to(torch.float32) * 2.0**-24


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift int64 right and fill with zeros, as unsigned numbers are."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


class TimeJitter(nn.Module):
    """Replace each vector, with a probability, by its left or its right neighbour; only while training."""

    def __init__(self, probability: float = 0.12) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor, lengths: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Jitter x [B, T, D] by the rows' seeds [B]; the first and last vector have one neighbour only."""
        if not self.training or self.probability == 0.0 or seeds is None:
            return x
        frames = x.shape[1]
        u = row_uniforms(seeds, frames, stream=1)
        step = (u < self.probability / 2).long() - (u >= 1.0 - self.probability / 2).long()
        source = (torch.arange(frames, device=x.device) + step).clamp(min=0)
        source = torch.minimum(source, (lengths - 1).clamp(min=0)[:, None])
        return x.gather(1, source[:, :, None].expand_as(x))


def drop_frames(x: Tensor, probability: float, whole: float, seeds: Tensor) -> Tensor:
    """Zero frames of x [B, T, D] with a probability, and all of a row with another, by the rows' seeds [B]."""
    kept = row_uniforms(seeds, x.shape[1], stream=2) >= probability
    kept &= row_uniforms(seeds, 1, stream=3) >= whole
    return x.masked_fill(~kept[:, :, None], 0.0)
