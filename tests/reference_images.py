"""Slow oracles for the recipes of images."""

import math

import numpy as np


def bits_of(odds: np.ndarray, levels: np.ndarray) -> float:
    """Return the bits of levels [..] under a softmax over the first axis of odds [K, ..], pixel by pixel."""
    total = 0.0
    for place in np.ndindex(levels.shape):
        scores = [float(s) for s in odds[(slice(None), *place)]]
        highest = max(scores)
        total += highest + math.log(sum(math.exp(s - highest) for s in scores)) - scores[int(levels[place])]
    return total / math.log(2)


def code_counts(units: np.ndarray, codes: int) -> np.ndarray:
    """Count how often each code of each codebook occurs in units [N, T, G], as [G, K]."""
    counts = np.zeros((units.shape[2], codes))
    for row in units.reshape(-1, units.shape[2]):
        for group, unit in enumerate(row):
            counts[group, unit] += 1
    return counts
