"""Slow, plain twins of what unitdisc.networks does at once."""

import itertools
import math

import torch
from torch import Tensor

MASK = 2**64 - 1


def splitmix(seed: int, time: int, stream: int) -> float:
    """Return what row_uniforms gives, with Python's unbounded integers."""
    x = (seed + (time + 1 + stream * 2**32) * 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    x ^= x >> 31
    return (x >> 40) / 2**24


def ctc_nll(log_p: Tensor, phones: list[int]) -> float:
    """Return -log of the summed probability of all paths over log_p [T, 1 + phones] that read as `phones`."""
    total = 0.0
    for path in itertools.product(range(log_p.shape[1]), repeat=log_p.shape[0]):
        merged = [c for c, _ in itertools.groupby(path)]
        if [c - 1 for c in merged if c > 0] == phones:
            total += math.exp(sum(float(log_p[t, c]) for t, c in enumerate(path)))
    return -math.log(total) if total else math.inf


def jitter_sources(length: int, frames: int, uniforms: list[float], probability: float) -> list[int]:
    """Return which vector stands at each time after the jitter of one utterance."""
    sources = []
    for t in range(frames):
        source = t
        if uniforms[t] < probability / 2:
            source = t + 1
        elif uniforms[t] >= 1 - probability / 2:
            source = t - 1
        sources.append(min(max(source, 0), max(length - 1, 0)))
    return sources


def pooled(x: Tensor) -> Tensor:
    """Return mean and spread over time of x [T, C], as [2 C]."""
    mean = sum(x) / len(x)  # type: ignore[arg-type]
    variance = sum((row - mean) ** 2 for row in x) / len(x)  # type: ignore[misc]
    return torch.cat([mean, (variance + 1e-5).sqrt()])
