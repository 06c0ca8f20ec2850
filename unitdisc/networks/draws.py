"""Random numbers that follow from a row's own seed: each use has a stream of its own, and all streams stand here.

A number depends on the seed, the stream and the time alone. So neither padding, nor the batch that a row is in, nor
the process that trains on it changes it. Two uses of one stream would be one random decision with two effects.
"""

from enum import IntEnum, unique

import torch
from torch import Tensor

_STEP = -7046029254386353131  # the multipliers of splitmix64, as signed numbers
_FIRST = -4658895280553007687
_SECOND = -7723592293110705685


@unique
class RandomStream(IntEnum):
    """What random numbers are for. A number stays as it is, so that old trainings repeat; a new use takes a new one."""

    TIME_JITTER = 1
    FRAME_DROPOUT = 2
    ROW_DROPOUT = 3
    PERTURBATION = 4
    PREDICTION = 5  # which spans are hidden
    LAYER_DROPOUT = 6  # by row_dropout alone
    VECTORS = 7  # which rows a decoder hears before they are quantised
    OUTPUT = 16  # and the numbers above: an output that needs n numbers for each step takes 16 to 16 + n - 1


def draw_seeds(rows: int, generator: torch.Generator | None = None, device: torch.device | None = None) -> Tensor:
    """Draw one seed for each row, [B] int64."""
    source = generator.device if generator is not None else torch.device("cpu")
    return torch.randint(2**62, (rows,), generator=generator, device=source).to(device or source)


def row_uniforms(seeds: Tensor, count: int, stream: RandomStream) -> Tensor:
    """Return numbers in [0, 1), [B, count] float32, of a stream: one for each time."""
    return _hashed(seeds, count, int(stream))


def output_uniforms(seeds: Tensor, steps: int, draws: int) -> Tensor:
    """Return numbers in [0, 1), [B, steps, draws] float32, to draw an output's steps by."""
    return torch.stack([_hashed(seeds, steps, RandomStream.OUTPUT + draw) for draw in range(draws)], 2)


def row_dropout(x: Tensor, probability: float, seeds: Tensor, layer: int) -> Tensor:
    """Zero numbers of x [B, T, D] with a probability, in steps of 1/65536, and scale the others up."""
    batch, frames, dim = x.shape
    places = _hash(seeds, frames, RandomStream.LAYER_DROPOUT)[:, :, None]
    # One hash makes the draws of four channels, of 16 bits each.
    bits = _mixed(places + (torch.arange(-(-dim // 4), device=x.device) + layer * 2**32) * _STEP)
    draws = bits.view(torch.int16).view(batch, frames, -1)[:, :, :dim]
    return x.masked_fill(draws < round(probability * 2**16) - 2**15, 0.0) / (1 - probability)


def _hashed(seeds: Tensor, count: int, stream: int) -> Tensor:
    return _shift(_hash(seeds, count, stream), 40).to(torch.float32) * 2.0**-24


def _hash(seeds: Tensor, count: int, stream: int) -> Tensor:
    """Hash seeds [B] int64 with the time and the stream, [B, count] int64, by splitmix64."""
    return _mixed(seeds[:, None] + (torch.arange(1, count + 1, device=seeds.device) + stream * 2**32) * _STEP)


def _mixed(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift int64 right and fill with zeros, as unsigned numbers are."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
