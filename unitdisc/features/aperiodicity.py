"""How much of each band of a voiced frame is noise, from how alike neighbouring periods are."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from unitdisc.data.timing import FrameGrid, centre

Array = NDArray[np.float64]

EDGES = (0.0, 1000.0, 2000.0, 4000.0, 6000.0, 8000.0)  # Hz, of the bands
BANDS = len(EDGES) - 1
PERIODS = 2.0  # that are compared with as many later
ENVELOPE = 0.1  # less that a band's envelope counts than the band itself: envelopes are all somewhat alike
LIVELY = 0.2  # share that differs between periods of a voice without noise, since it moves


def aperiodicity(wave: NDArray[np.floating], frequency: Array, grid: FrameGrid) -> Array:
    """Return the noise's share of the power in each band [T, BANDS]: 1 in unvoiced frames.

    Frequency [T] in Hz, 0 where unvoiced. Bands above half the sample rate are all noise.
    """
    share = np.ones((len(frequency), BANDS))
    voiced = np.flatnonzero(frequency > 0)
    if not len(voiced):
        return share
    rate = grid.sample_rate
    centres = np.array([centre(int(n), grid.hop / rate, grid.offset) for n in voiced]) * rate
    from scipy.fft import next_fast_len  # slow to import

    size = next_fast_len(len(wave) + rate // 50)
    spectrum, bins = np.fft.rfft(wave, size), np.fft.rfftfreq(size, 1 / rate)
    for band, (low, high) in enumerate(pairwise(EDGES)):
        if low >= rate / 2:
            continue
        analytic = np.zeros(size, dtype=np.complex128)
        inside = (bins >= low) & (bins < high)
        analytic[: len(bins)][inside] = 2 * spectrum[inside]
        analytic = np.fft.ifft(analytic)
        alike = _alike(analytic.real, centres, rate / frequency[voiced])
        if low > 0:
            envelope = np.abs(analytic)
            alike = np.maximum(alike, _alike(envelope, centres, rate / frequency[voiced], flat=True) - ENVELOPE)
        share[voiced, band] = ((1.0 - alike.clip(0.0, 1.0) - LIVELY) / (1.0 - LIVELY)).clip(0.0)
    return share


def _alike(signal: Array, centres: Array, periods: Array, flat: bool = False) -> Array:
    """Return the correlation [N] of stretches around the centres with those a period later, the best within 3 %.

    Flat: means are taken off.
    """
    longest = int(np.ceil(PERIODS * periods.max()))
    margin = 2 * longest + 2
    padded = np.pad(signal, margin)
    steps = np.arange(longest)
    inside = steps < (PERIODS * periods)[:, None]  # [N, longest]
    best = np.full(len(centres), -1.0)
    for stretch in (0.97, 0.985, 1.0, 1.015, 1.03):
        lag = np.rint(periods * stretch).astype(np.int64)
        first = np.rint(centres - (PERIODS * periods + lag) / 2).astype(np.int64) + margin
        places = (first[:, None] + steps).clip(0, len(padded) - 1)
        one = np.where(inside, padded[places], 0.0)
        other = np.where(inside, padded[(places + lag[:, None]).clip(0, len(padded) - 1)], 0.0)
        if flat:
            count = inside.sum(axis=1, keepdims=True)
            one = np.where(inside, one - one.sum(axis=1, keepdims=True) / count, 0.0)
            other = np.where(inside, other - other.sum(axis=1, keepdims=True) / count, 0.0)
        power = np.sqrt(np.square(one).sum(axis=1) * np.square(other).sum(axis=1))
        best = np.maximum(best, (one * other).sum(axis=1) / (power + 1e-10))
    return best
