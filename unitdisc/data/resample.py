"""Resampling from any rate to any rate by one polyphase filter.

Why polyphase: the filter is short and linear in phase, so the number of output samples is a closed formula, any
stretch of the output can be made from the stretch of input beneath it, and that stretch equals the same samples of
the whole. FFT methods have neither property, and libsoxr's results depend on its version.
"""

import math
from functools import lru_cache

import numpy as np

# A sinc of 32 zero crossings to each side under a Kaiser window: flat within 0.01 dB up to 0.87 of the lower Nyquist
# frequency, and whatever lies above 1.01 of it is 70 dB down. The default filters of scipy and torchaudio are three to
# five times shorter, and leave what lies 5 % above Nyquist only some 10 dB down.
ZEROS = 32
BETA = 7.0
CUTOFF = 0.94  # of the lower Nyquist frequency, at half amplitude


def ratio(rate_in: int, rate_out: int) -> tuple[int, int]:
    """Return (up, down) in lowest terms."""
    divisor = math.gcd(rate_in, rate_out)
    return rate_out // divisor, rate_in // divisor


def resampled_count(samples: int, rate_in: int, rate_out: int) -> int:
    """Return how many samples so many become."""
    up, down = ratio(rate_in, rate_out)
    return -(-samples * up // down)


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> np.ndarray:
    widest = max(up, down)
    from scipy.signal import firwin  # takes a second to import, and most audio needs no resampling

    taps = firwin(2 * ZEROS * widest + 1, CUTOFF / widest, window=("kaiser", BETA)).astype(np.float32)
    taps.flags.writeable = False
    return taps


def resample(samples: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """Resample float32 [S] to [resampled_count(S)], as if silence went before and after."""
    if rate_in == rate_out or not len(samples):
        return samples
    up, down = ratio(rate_in, rate_out)
    from scipy.signal import resample_poly

    return resample_poly(samples.astype(np.float32, copy=False), up, down, window=_filter(up, down))


def needed_input(first: int, last: int, samples: int, rate_in: int, rate_out: int) -> tuple[int, int, int]:
    """Return the input [begin, end) that makes the output [first, last), and the output sample that begin becomes."""
    up, down = ratio(rate_in, rate_out)
    if up == down:
        return first, last, first
    reach = ZEROS * max(up, down) // up + 1  # input samples to each side of an output sample
    block = max(0, (first * down // up - reach) // down)  # whole blocks, so that the filter's phase is the same
    return block * down, min(samples, last * down // up + reach + 1), block * up
