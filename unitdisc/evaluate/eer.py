"""Equal error rates of pairs of utterances, and their intervals, in a few bytes for each pair."""

from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from scipy import sparse

from unitdisc.evaluate.scores import ConfidenceInterval

BINS = 2000  # of cosines, for the interval
MOST_DRAWS = 200  # of speakers, for the interval
MOST_SPEAKERS = 1000  # so that a pair of speakers and a bin are one number of 32 bits


class Pairs(NamedTuple):
    """All pairs of utterances."""

    values: np.ndarray  # [P] float64, how alike they are: a cosine
    one: np.ndarray  # [P] int32, the speaker of the first
    other: np.ndarray  # [P] int32, the speaker of the second

    @property
    def same(self) -> np.ndarray:
        """Return [P], which pairs are of one speaker."""
        return self.one == self.other


def cosine_pairs(vectors: np.ndarray, speakers: np.ndarray) -> Pairs:
    """Return the pairs of utterances of vectors [U, D] float64 and speakers [U], by cosine after centring."""
    vectors = vectors - vectors.mean(axis=0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines, speakers = vectors @ vectors.T, speakers.astype(np.int32)
    count = len(speakers)
    return Pairs(
        np.concatenate([cosines[n, n + 1 :] for n in range(count)]),
        np.repeat(speakers, np.arange(count)[::-1]),
        np.concatenate([speakers[n + 1 :] for n in range(count)]),
    )


def eer(targets: np.ndarray, others: np.ndarray) -> float:
    """Return the rate at which misses and false alarms are equal, interpolated between thresholds; NaN of no values.

    Thresholds are the values themselves, and equal values are accepted together. The higher the threshold, the more
    misses and the fewer false alarms, so the place where they cross is found by halving.
    """
    if not (len(targets) and len(others)):
        return float("nan")
    targets, others = np.sort(targets), np.sort(others)

    def rates(threshold: float) -> tuple[float, float]:
        hits = len(targets) - int(np.searchsorted(targets, threshold))
        alarms = len(others) - int(np.searchsorted(others, threshold))
        return 1 - hits / len(targets), alarms / len(others)

    def misses_more(threshold: float) -> bool:
        miss, alarm = rates(threshold)
        return miss > alarm

    before, after = np.inf, -np.inf  # the thresholds next to the crossing
    for values in (targets, others):
        place = bisect_right(values, False, key=misses_more)
        before = min(before, values[place]) if place < len(values) else before
        after = max(after, values[place - 1]) if place else after
    return float(_crossing(*(np.array([pair]) for pair in zip(rates(before), rates(after), strict=True)))[0])


def _crossing(miss: np.ndarray, alarm: np.ndarray) -> np.ndarray:
    """Return where falling miss [R, N] and rising alarm [R, N] meet, [R]."""
    after = np.maximum((alarm >= miss).argmax(axis=1), 1)
    rows = np.arange(len(miss))
    gap = (miss - alarm)[rows, after - 1]
    step = gap - (miss - alarm)[rows, after]
    share = np.where(step > 0, gap / np.where(step > 0, step, 1.0), 0.0)
    return miss[rows, after - 1] + share * (miss[rows, after] - miss[rows, after - 1])


def _bins(values: np.ndarray) -> np.ndarray:
    """Return the bins [P] int32 of cosines, the highest first."""
    places = 1 - values
    places /= 2
    places *= BINS
    return np.clip(places.astype(np.int32), 0, BINS - 1)


def eer_interval(pairs: Pairs, speakers: int, seed: int, resamples: int) -> ConfidenceInterval | None:
    """Draw speakers; pairs of two drawn speakers count as often as both were drawn. Cosines are binned."""
    if not 3 <= speakers <= MOST_SPEAKERS or resamples < 2:
        return None
    same, bins = pairs.same, _bins(pairs.values)
    own = np.bincount(pairs.one[same] * BINS + bins[same], minlength=speakers * BINS)
    own = own.reshape(speakers, BINS).astype(np.float64)
    # Sparse, since of 200 speakers nearly all cells of bin and pair are empty; dense they would take 640 MB.
    cells = bins
    for number in (pairs.one, pairs.other):
        cells *= speakers
        cells += number
    cells, counts = np.unique(cells[~same], return_counts=True)
    ends = np.searchsorted(cells, np.arange(BINS + 1) * speakers**2)
    pair = sparse.csr_array((counts.astype(np.float64), cells % speakers**2, ends), shape=(BINS, speakers**2))
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(min(resamples, MOST_DRAWS)):
        drawn = rng.multinomial(speakers, np.full(speakers, 1 / speakers)).astype(np.float64)
        targets, others = drawn @ own, pair @ np.outer(drawn, drawn).ravel()
        if targets.sum() and others.sum():
            miss, alarm = 1 - np.cumsum(targets) / targets.sum(), np.cumsum(others) / others.sum()
            found.append(_crossing(np.r_[1.0, miss][None], np.r_[0.0, alarm][None])[0])
    if not found:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return ConfidenceInterval(float(low), float(high), 0.95, "speakers", speakers, len(found), seed)
