"""Boundary scores: where units change against where phones change, matched one to one within a tolerance."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import Aligned, AlignedUnits
from unitdisc.evaluate.mapping import NOTHING, UnitMapping
from unitdisc.evaluate.scores import Groups, Score, bootstrap_many

TOLERANCE = 0.02  # s
SLACK = 1e-6  # s; so that a distance of the tolerance itself matches, whatever the rounding
MEASURES = ("precision", "recall", "f1", "os", "r-value")


class Hits(NamedTuple):
    """How many of the found and of the true boundaries match."""

    found: int
    true: int


def _maximum(found: list[float], true: list[float], tolerance: float) -> int:
    """Match sorted points one to one as often as possible: the earliest free pair first, in one pass."""
    i = j = hits = 0
    while i < len(found) and j < len(true):
        if found[i] < true[j] - tolerance:
            i += 1
        elif true[j] < found[i] - tolerance:
            j += 1
        else:
            hits, i, j = hits + 1, i + 1, j + 1
    return hits


def maximum_matching(found: np.ndarray, true: np.ndarray, tolerance: float = TOLERANCE) -> Hits:
    """Match as many pairs as any one-to-one matching can; points are sorted, in seconds."""
    hits = _maximum(found.tolist(), true.tolist(), tolerance + SLACK)
    return Hits(hits, hits)


def rasanen_matching(found: np.ndarray, true: np.ndarray, tolerance: float = TOLERANCE) -> Hits:
    """Count true boundaries with a found one in their search region, +-tolerance cut at the middle to the next."""
    if not len(found) or not len(true):
        return Hits(0, 0)
    middles = (true[1:] + true[:-1]) / 2
    left = np.maximum(true - tolerance - SLACK, np.r_[-np.inf, middles])
    right = np.minimum(true + tolerance + SLACK, np.r_[middles, np.inf])
    # A point right on a middle belongs to the region on its right.
    last = np.where(
        right < true + tolerance, np.searchsorted(found, right, "left"), np.searchsorted(found, right, "right")
    )
    hits = int((last > np.searchsorted(found, left, "left")).sum())
    return Hits(hits, hits)


def _greedy(found: list[float], true: list[float], tolerance: float) -> int:
    free = [True] * len(true)
    hits = first = 0
    for point in found:
        while first < len(true) and true[first] < point - tolerance:
            first += 1
        best = -1
        j = first
        while j < len(true) and true[j] <= point + tolerance:
            if free[j] and (best < 0 or abs(true[j] - point) < abs(true[best] - point)):
                best = j
            j += 1
        if best >= 0:
            free[best] = False
            hits += 1
    return hits


def greedy_matching(found: np.ndarray, true: np.ndarray, tolerance: float = TOLERANCE) -> Hits:
    """Let each found boundary, in order of time, take the nearest true one that is free."""
    hits = _greedy(found.tolist(), true.tolist(), tolerance + SLACK)
    return Hits(hits, hits)


MATCHINGS: dict[str, Callable[[np.ndarray, np.ndarray, float], Hits]] = {
    "maximum": maximum_matching,
    "rasanen": rasanen_matching,
    "greedy": greedy_matching,
}


def measures(sums: np.ndarray) -> np.ndarray:
    """Return MEASURES [R, 5] of sums [R, 4]: matched found, matched true, found, true boundaries."""
    hit_found, hit_true, found, true = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(found > 0, hit_found / found, 0.0)
        recall = np.where(true > 0, hit_true / true, np.nan)
        f1 = np.where(precision + recall > 0, 2 * precision * recall / (precision + recall), 0.0)
        over = np.where(true > 0, found / true, np.nan) - 1  # R / P - 1, and defined when nothing matches
    return np.stack([precision, recall, f1, over, r_value(recall, over)], axis=1)


def r_value(recall: np.ndarray, over: np.ndarray) -> np.ndarray:
    """Return the R-value of recall and over-segmentation (1 at recall 1 and over-segmentation 0)."""
    one = np.sqrt((1 - recall) ** 2 + over**2)
    other = (recall - 1 - over) / np.sqrt(2)
    return 1 - (np.abs(one) + np.abs(other)) / 2


class Boundaries(NamedTuple):
    """The boundaries of one utterance, seconds, sorted, without its ends."""

    found: np.ndarray
    true: np.ndarray


def unit_boundaries(pair: Aligned, period: float, offset: float) -> np.ndarray:
    """Return the seconds at which a new unit begins."""
    return offset + np.cumsum(pair.line.durations)[:-1] * period


def mapped_boundaries(pair: Aligned, period: float, offset: float, mapping: UnitMapping) -> np.ndarray:
    """Return the seconds at which the phone that the units stand for changes; units without a phone are skipped."""
    phones = mapping(pair.line.frames)
    places = np.flatnonzero(phones != NOTHING)
    change = np.flatnonzero(phones[places[1:]] != phones[places[:-1]]) + 1
    return offset + places[change] * period


def boundary_scores(
    pairs: AlignedUnits,
    mapping: UnitMapping | None = None,
    *,
    tolerance: float = TOLERANCE,
    match: str = "maximum",
    name: str = "units",
    seed: int = 0,
    resamples: int = 1000,
) -> list[Score]:
    """Score where units change, or with a mapping where the phone that they stand for does.

    Boundaries within the tolerance of an utterance's ends are left out on both sides. `name` goes into the definition.
    """
    if match not in MATCHINGS:
        raise DataError(f"boundaries are matched by {', '.join(MATCHINGS)}, got {match!r}")
    if not tolerance >= 0:
        raise DataError(f"the tolerance of boundaries must be 0 s or more, got {tolerance}")
    rows = Groups()
    for utt, (found, true) in _all_boundaries(pairs, mapping, tolerance):
        hits = MATCHINGS[match](found, true, tolerance)
        rows.add(utt, [hits.found, hits.true, len(found), len(true)])
    table = rows.table()
    whole = table.sum(axis=0)
    if not whole[3]:
        raise DataError(f"{pairs.labeller.where}: no boundary lies within the utterances of {pairs.path}")
    about: dict[str, Any] = {
        "options": {"tolerance": tolerance, "match": match, "ends": "excluded"},
        "counts": pairs.counts,
        "period": pairs.header.period,
        "hashes": pairs.hashes,
        "parts": dict(zip(("matched", "matched true", "found", "true"), map(int, whole), strict=True)),
    }
    intervals = bootstrap_many(table, measures, values=len(MEASURES), seed=seed, resamples=resamples)
    suffix = f"{name}-{1000 * tolerance:g}ms" + ("" if match == "maximum" else f"-{match}")
    return [
        Score(measure, float(value), f"boundary-{measure}-{suffix}", interval=interval, **about)
        for measure, value, interval in zip(MEASURES, measures(whole[None])[0], intervals, strict=True)
    ]


def _all_boundaries(
    pairs: AlignedUnits, mapping: UnitMapping | None, tolerance: float
) -> Iterable[tuple[str, Boundaries]]:
    period, offset = pairs.header.period, pairs.header.offset
    for pair in pairs:
        if mapping is None:
            found = unit_boundaries(pair, period, offset)
        else:
            found = mapped_boundaries(pair, period, offset, mapping)
        end = offset + len(pair.labels.frames) * period
        yield pair.line.utt, Boundaries(*(_inner(points, end, tolerance) for points in (found, pair.labels.edges)))


def _inner(points: np.ndarray, end: float, tolerance: float) -> np.ndarray:
    points = np.unique(points)
    return points[(points > tolerance + SLACK) & (points < end - tolerance - SLACK)]
