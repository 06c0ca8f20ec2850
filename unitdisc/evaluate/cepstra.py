"""Mel cepstra of the mel-cepstral distance."""

import math
from functools import lru_cache

import numpy as np
from scipy.fft import dct

RATE = 16000
CEPSTRA = 13  # c0 left out
MELS, WINDOW, HOP, N_FFT = 40, 400, 160, 512


def mel_cepstra(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mel cepstra c1..c13 [T, 13] of the log magnitude, and the level in dB [T], of samples at RATE."""
    if len(wave) < WINDOW:
        wave = np.pad(wave, (0, WINDOW - len(wave)))
    starts = np.arange(0, len(wave) - WINDOW + 1, HOP)
    frames = np.asarray(wave, dtype=np.float64)[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, N_FFT)) ** 2
    bands = np.log(np.maximum(power @ triangles(), 1e-10)) / 2
    # One-sided, log |X| = sum of c_m cos(m w): the distance is then the root mean square of log spectra in dB.
    cepstra = dct(bands, type=2, axis=1) / MELS
    return cepstra[:, 1 : CEPSTRA + 1], 10 * np.log10(np.maximum(power.sum(axis=1), 1e-10))


@lru_cache(maxsize=1)
def triangles() -> np.ndarray:
    """Return [N_FFT / 2 + 1, MELS]: triangles of height one on Slaney's mel scale, from 0 Hz to half the rate.

    The scale is linear up to 1000 Hz, 15 mels, and from there a factor of 6.4 in 27 mels.
    """
    mels = np.linspace(0, 15 + 27 * math.log(RATE / 2 / 1000) / math.log(6.4), MELS + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    bins = np.linspace(0, RATE / 2, N_FFT // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0)
