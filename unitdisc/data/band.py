"""Where the spectrum of recordings ends: codecs and telephones leave the bands above some frequency empty."""

from collections.abc import Iterable

import numpy as np

WINDOW = 512  # samples
LOWEST = 1500.0  # Hz; an end below is none of a codec, but of what was recorded
DROP = 18.0  # dB by which all that lies above the end is weaker than what lies just below
BELOW, MARGIN = 600.0, 150.0  # Hz: how much below the end is looked at, and what is left out at it


def long_term_spectrum(waves: Iterable[np.ndarray]) -> np.ndarray:
    """Return the mean power spectrum [WINDOW / 2 + 1] in dB of the louder half of all windows of some waves."""
    total, count = np.zeros(WINDOW // 2 + 1), 0
    for wave in waves:
        if len(wave) < WINDOW:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[:: WINDOW // 2] * np.hanning(WINDOW)
        power = np.square(np.abs(np.fft.rfft(windows.astype(np.float64))))
        energy = power.sum(1)
        loud = power[energy >= np.median(energy)]
        total += loud.sum(0)
        count += len(loud)
    return 10 * np.log10(total / max(count, 1) + 1e-20)


def band_end(spectrum: np.ndarray, rate: int) -> float | None:
    """Return the frequency in Hz at which a long-term spectrum in dB ends; None if it reaches half the rate."""
    hertz = np.arange(len(spectrum)) * rate / WINDOW
    for end in hertz[(hertz >= LOWEST) & (hertz <= 0.94 * rate / 2)]:
        below = spectrum[(hertz >= end - BELOW) & (hertz <= end - MARGIN)]
        above = spectrum[hertz >= end + MARGIN]
        if np.median(below) - above.max() > DROP:
            return float(end)
    return None
