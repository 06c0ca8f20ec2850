"""Slow oracles of the scores: written for reading, by the definitions alone."""

import itertools
from collections.abc import Sequence

import numpy as np


def levenshtein(a: Sequence[int], b: Sequence[int]) -> int:
    """Return the edit distance by recursion over prefixes."""
    table = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
        table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
    return table[len(a), len(b)]


def maximum_matching(a: Sequence[float], b: Sequence[float], tolerance: float) -> int:
    """Return the size of a maximum bipartite matching by augmenting paths (Kuhn)."""
    partner: dict[int, int] = {}

    def augment(i: int, seen: set[int]) -> bool:
        for j in range(len(b)):
            if abs(a[i] - b[j]) <= tolerance + 1e-6 and j not in seen:
                seen.add(j)
                if j not in partner or augment(partner[j], seen):
                    partner[j] = i
                    return True
        return False

    return sum(augment(i, set()) for i in range(len(a)))


def best_segmentation(distances: np.ndarray, penalty: float) -> float:
    """Return the least cost of splitting frames [T, K] into segments of one code, by trying every split."""
    frames = len(distances)
    if not frames:
        return 0.0
    best = np.inf
    for cuts in itertools.product([False, True], repeat=frames - 1):
        edges = [0, *(t + 1 for t, cut in enumerate(cuts) if cut), frames]
        cost = sum(distances[a:b].sum(axis=0).min() + penalty for a, b in itertools.pairwise(edges))
        best = min(best, cost)
    return float(best)


def segmentation_by_segments(distances: np.ndarray, penalty: float) -> tuple[float, int]:
    """Return the least cost, and the fewest segments that reach it, by dynamic programming over segment ends."""
    best = [(0.0, 0)]
    for end in range(1, len(distances) + 1):
        options = [
            (best[start][0] + distances[start:end].sum(axis=0).min() + penalty, best[start][1] + 1)
            for start in range(end)
        ]
        least = min(cost for cost, _ in options)
        best.append(min((o for o in options if o[0] <= least + 1e-9), key=lambda o: o[1]))
    return best[-1]
