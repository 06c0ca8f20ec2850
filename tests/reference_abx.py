"""A slow oracle of ABX: loops over A, B and X, in float64, straight from the definition."""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

Frame = np.ndarray


def angular(x: Frame, y: Frame) -> float:
    x, y = ((v if np.any(v) else np.ones_like(v)).astype(np.float64) for v in (x, y))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    # Half angle: arccos of the cosine loses half of the digits near 0.
    return 2 * math.atan2(np.linalg.norm(x - y), np.linalg.norm(x + y)) / math.pi


def euclidean(x: Frame, y: Frame) -> float:
    return float(np.linalg.norm(x.astype(np.float64) - y.astype(np.float64)))


def kl(x: Frame, y: Frame) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    p, q = np.log(x + 1e-6), np.log(y + 1e-6)
    p, q = p - p.mean(), q - q.mean()
    return float(((x - y) * (p - q)).sum() / 2)


def identical(x: Frame, y: Frame) -> float:
    return float(x[0] != y[0])


FRAME_DISTANCES: dict[str, Callable[[Frame, Frame], float]] = {
    "angular": angular,
    "euclidean": euclidean,
    "kl": kl,
    "identical": identical,
}


def exact(value: float) -> float:
    """Round so that sums are exact in any order: equal paths must tie."""
    return round(value * 2**30) / 2**30


def warped(x: np.ndarray, y: np.ndarray, distance: Callable[[Frame, Frame], float]) -> float:
    """Align X (rows) with Y and walk back: diagonal before left before up."""
    n, m = len(x), len(y)
    cost = np.zeros((n, m))
    for i, j in itertools.product(range(n), range(m)):
        ways = [cost[a, b] for a, b in ((i - 1, j - 1), (i, j - 1), (i - 1, j)) if a >= 0 and b >= 0]
        cost[i, j] = exact(distance(x[i], y[j])) + min(ways, default=0.0)
    i, j, steps = n - 1, m - 1, 1
    while i or j:
        if i and j and cost[i - 1, j - 1] <= min(cost[i, j - 1], cost[i - 1, j]):
            i, j = i - 1, j - 1
        elif j and (not i or cost[i, j - 1] <= cost[i - 1, j]):
            j -= 1
        else:
            i -= 1
        steps += 1
    return cost[-1, -1] / steps


def levenshtein(x: Sequence[int], y: Sequence[int]) -> int:
    table = np.zeros((len(x) + 1, len(y) + 1), int)
    table[:, 0], table[0] = range(len(x) + 1), range(len(y) + 1)
    for i, j in itertools.product(range(len(x)), range(len(y))):
        table[i + 1, j + 1] = min(table[i, j] + (x[i] != y[j]), table[i, j + 1] + 1, table[i + 1, j] + 1)
    return int(table[-1, -1])


def edit(x: np.ndarray, y: np.ndarray) -> float:
    one, two = ([unit for unit, _ in itertools.groupby(v[:, 0].tolist())] for v in (x, y))
    return levenshtein(one, two) / max(len(one), len(two))


def sequence_distance(x: np.ndarray, y: np.ndarray, distance: str) -> float:
    return edit(x, y) if distance == "edit" else warped(x, y, FRAME_DISTANCES[distance])


def sliced(frames: np.ndarray, onset: float, offset: float, period: float) -> np.ndarray:
    """Keep the frames whose centre lies in [onset, offset], by exact decimals."""
    first, last, step = (Fraction(str(v)) for v in (onset, offset, period))
    return frames[[i for i in range(len(frames)) if first <= (i + Fraction(1, 2)) * step <= last]]


def abx(
    rows: Sequence[tuple[str, float, float, str, str, str, str]],
    features: dict[str, np.ndarray],
    period: float,
    speaker: str,
    context: str,
    distance: str,
) -> float:
    """Score (file, onset, offset, phone, before, after, speaker) rows without drawing any."""
    pieces = [sliced(features[row[0]], row[1], row[2], period) for row in rows]
    apart: dict[tuple[int, int], float] = {}

    def between(x: int, y: int) -> float:
        if (x, y) not in apart:
            apart[x, y] = sequence_distance(pieces[x], pieces[y], distance)
        return apart[x, y]

    groups = defaultdict(list)
    for place, (_, _, _, phone, before, after, who) in enumerate(rows):
        groups[phone, (before, after) if context == "within" else None, who].append(place)
    levels: dict = defaultdict(lambda: defaultdict(list))  # pair of phones -> speaker of A and B -> errors of cells
    for (p, ctx, s), group_a in groups.items():
        for (q, ctx_b, s_b), group_b in groups.items():
            if q == p or ctx_b != ctx or s_b != s:
                continue
            for (p_x, ctx_x, t), group_x in groups.items():
                if p_x != p or ctx_x != ctx or (t == s) != (speaker == "within"):
                    continue
                errors = [
                    float(np.heaviside(between(x, a) - between(x, b), 0.5))
                    for a, b, x in itertools.product(group_a, group_b, group_x)
                    if a != x
                ]
                if errors:
                    levels[p, q][s].append(np.mean(errors))
    if context == "within":
        pairs = [np.mean([np.mean(cells) for cells in by_speaker.values()]) for by_speaker in levels.values()]
    else:
        pairs = [np.mean([e for cells in by_speaker.values() for e in cells]) for by_speaker in levels.values()]
    return float(np.mean(pairs)) if pairs else math.nan
