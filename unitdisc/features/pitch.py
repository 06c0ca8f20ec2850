"""Pitch of speech: the fundamental frequency of every frame, 0 where there is none.

Normalised cross-correlation of a low-passed signal with itself, lag by lag, and the cheapest path through lags and
"unvoiced" (Talkin's RAPT, in one stage). Both stretches that are compared lie around the frame's centre.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unitdisc.data.timing import FrameGrid, centre

Array = NDArray[np.float64]

RATE = 8000  # Hz, about: what the correlation is computed at
BAND = 1200.0  # Hz: what lies above does not help to find the pitch
STRETCH = 0.025  # s that are compared with as many a lag later


@dataclass(frozen=True)
class PitchOptions:
    """What the tracker looks for, and what it takes for voiced; costs are in units of correlation."""

    fmin: float = 60.0  # Hz
    fmax: float = 450.0  # Hz
    unvoiced: float = 0.55  # correlation under which a frame is better called unvoiced
    change: float = 0.25  # cost of a change between voiced and unvoiced
    jump: float = 3.0  # cost of a change of pitch by a factor e
    shortest: float = 0.25  # how much less the longest lag counts than none: of two periods, one
    quiet: float = 0.01  # of the signal's loud level: what is far below it does not correlate


def pitch(wave: NDArray[np.floating], grid: FrameGrid, options: PitchOptions | None = None) -> Array:
    """Return the fundamental frequency in Hz of each frame [T], 0 where the frame is unvoiced."""
    options = options or PitchOptions()
    count = grid.frames(len(wave))
    if not count:
        return np.zeros(0)
    factor = max(1, round(grid.sample_rate / RATE))
    rate = grid.sample_rate / factor
    signal = _low_passed(np.asarray(wave, dtype=np.float64), factor, rate)
    lags = np.arange(max(2, math.floor(rate / options.fmax)), math.ceil(rate / options.fmin) + 1)
    centres = np.array([centre(n, grid.hop / grid.sample_rate, grid.offset) for n in range(count)]) * rate
    correlation = correlations(signal, centres, lags, int(STRETCH * rate), options.quiet)
    path = _cheapest_path(correlation, lags, options)
    voiced = path >= 0
    frequency = np.zeros(count)
    frequency[voiced] = rate / _refined(correlation[voiced], lags, path[voiced])
    return frequency


def _low_passed(wave: Array, factor: int, rate: float) -> Array:
    """Return a signal of 1 / factor of the samples, without what lies above BAND."""
    from scipy.signal import firwin, resample_poly  # takes a second to import, which most verbs can spare

    down = resample_poly(wave, 1, factor) if factor > 1 else wave
    taps = firwin(int(rate / 200) | 1, min(BAND, 0.45 * rate), fs=rate)
    return np.convolve(down - down.mean(), taps, mode="same")


def correlations(signal: Array, centres: Array, lags: NDArray[np.int64], stretch: int, quiet: float) -> Array:
    """Return [T, L]: how alike a stretch and the one a lag later are, which lie evenly around each centre."""
    margin = stretch + int(lags[-1])
    padded = np.pad(signal, margin)
    squares = np.concatenate([[0.0], np.cumsum(np.square(padded))])
    loud = float(np.square(signal).mean()) if len(signal) else 0.0
    ballast = quiet * loud * stretch + 1e-10
    out = np.empty((len(centres), len(lags)))
    for column, lag in enumerate(lags):
        products = np.append(padded[:-lag] * padded[lag:], 0.0)  # one more, where the last stretch may end
        first = np.rint(centres - (stretch + lag) / 2).astype(np.int64) + margin
        first = first.clip(0, len(padded) - lag - stretch)
        last = first + stretch
        energy = (squares[last] - squares[first]) * (squares[last + lag] - squares[first + lag])
        # The sums from each first to its last; those from a last to the next first are of no use.
        sums = np.add.reduceat(products, np.stack([first, last], 1).ravel())[::2]
        out[:, column] = sums / (np.sqrt(np.maximum(energy, 0.0)) + ballast)
    return out


def _cheapest_path(correlation: Array, lags: NDArray[np.int64], options: PitchOptions) -> NDArray[np.int64]:
    """Return the place of each frame's lag [T], -1 for unvoiced."""
    weight = 1.0 - options.shortest * lags / lags[-1]
    cost = 1.0 - correlation.clip(0.0) * weight
    unvoiced = 1.0 - options.unvoiced + (correlation.max(axis=1) - options.unvoiced).clip(0.0)
    steps = options.jump * np.abs(np.log(lags[:, None] / lags[None]))  # from one lag to another, or back
    states = len(lags)
    best = np.empty((len(cost), states + 1))
    best[0] = np.append(cost[0], unvoiced[0])
    for frame in range(1, len(cost)):
        voiced, silent = best[frame - 1, :states], best[frame - 1, states]
        # Where each came from is found on the way back, for one lag a frame and not for all: a minimum is faster.
        came = (steps + voiced[:, None]).min(axis=0)
        best[frame, :states] = np.minimum(came, silent + options.change) + cost[frame]
        best[frame, states] = min(silent, voiced.min() + options.change) + unvoiced[frame]
    path = np.empty(len(cost), dtype=np.int64)
    path[-1] = best[-1].argmin()
    for frame in range(len(cost) - 1, 0, -1):
        here, voiced, silent = path[frame], best[frame - 1, :states], best[frame - 1, states]
        ways = voiced + (options.change if here == states else steps[here])
        stay = silent if here == states else silent + options.change
        nearest = int(ways.argmin())
        cheaper = stay <= ways[nearest] if here == states else stay < ways[nearest]
        path[frame - 1] = states if cheaper else nearest
    return np.where(path == states, -1, path)


def _refined(correlation: Array, lags: NDArray[np.int64], path: NDArray[np.int64]) -> Array:
    """Return lags [T] between the samples: the top of a parabola through each place and its neighbours."""
    rows = np.arange(len(path))
    inner = path.clip(1, len(lags) - 2)
    before, here, after = (correlation[rows, inner + step] for step in (-1, 0, 1))
    curve = before - 2 * here + after
    shift = np.where(curve < 0, 0.5 * (before - after) / np.where(curve < 0, curve, 1.0), 0.0).clip(-1.0, 1.0)
    return np.where(path == inner, lags[path] + shift, lags[path])
