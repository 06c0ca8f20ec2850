"""From times to frames: the grid that the edges of units lie on, given or found."""

import math
from collections.abc import Sequence

import numpy as np

from unitdisc.data.foreign.base import Utterance, check_length
from unitdisc.errors import DataError

TICK = 1e-4  # s: what CTM files and TextGrids write times to
LEAST = 10  # ticks of a period that is found; less comes of times that are on no grid
LOOSE = 0.25  # share of a period by which an edge may lie beside its frame's


def period_of(utterances: Sequence[Utterance]) -> float | None:
    """Return the largest period that all inner edges are whole multiples of apart; None: there is none."""
    found = 0
    for utterance in utterances:
        edges = np.rint(_inner(utterance) / TICK).astype(np.int64)
        found = math.gcd(found, *np.diff(edges).tolist())
    return found * TICK if found >= LEAST else None


def offset_of(utterances: Sequence[Utterance], period: float) -> float:
    """Return where the first frame begins, between 0 and a period, by the inner edges; 0 where there are none."""
    edges = np.concatenate([np.zeros(0), *(_inner(utterance) for utterance in utterances)])
    if not len(edges):
        return 0.0
    middle = edges[0]
    beside = edges - middle
    shift = float(np.median(beside - np.rint(beside / period) * period))
    offset = (middle + shift) % period
    return 0.0 if min(offset, period - offset) < 2 * TICK else round(float(offset), 6)


def _inner(utterance: Utterance) -> np.ndarray:
    """Return the edges between units: the first may be cut at 0, the last at the end of the audio."""
    return np.zeros(0) if utterance.times is None else utterance.times[1:, 0]


def frames_of(utterance: Utterance, period: float, offset: float) -> np.ndarray:
    """Return a unit for each frame, [T]; units must follow each other without a gap, on the grid."""
    times = utterance.times
    if times is None:
        return utterance.units
    if not len(times):
        return np.zeros(0, np.int64)
    gaps = np.flatnonzero(np.abs(times[1:, 0] - times[:-1, 1]) > LOOSE * period)
    if len(gaps) or times[0, 0] > offset + LOOSE * period:
        start, end = (times[gaps[0], 1], times[gaps[0] + 1, 0]) if len(gaps) else (0.0, times[0, 0])
        raise DataError(f"{utterance.where}: expected units without a gap, got none from {start:g} to {end:g} s")
    places = (np.r_[times[:, 0], times[-1, 1]] - offset) / period
    check_length(float(np.abs(places).max()), utterance.where)
    edges = np.rint(places).astype(np.int64)
    edges[0], edges[-1] = 0, math.floor(places[-1] + 0.6)  # half a frame may be cut at the end of the audio
    beside = np.abs(places - edges)[1:-1]
    durations = np.diff(edges)
    if (beside > LOOSE).any() or (durations < 1).any():
        worst = int(beside.argmax()) + 1 if (beside > LOOSE).any() else int(durations.argmin())
        raise DataError(
            f"{utterance.where}: expected units on frames of {period:g} s, got one from {times[worst, 0]:g} to "
            f"{times[worst, 1]:g} s; is the period right (--period), and the same everywhere?"
        )
    return np.repeat(utterance.units, durations)
