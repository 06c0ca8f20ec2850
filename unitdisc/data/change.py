"""Changes of audio that leave the words alone: noise, a room, speed, gain, a telephone's band; seeded by utterance."""

import zlib
from collections.abc import Callable

import numpy as np

from unitdisc.errors import DataError

Change = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def add_noise(
    samples: np.ndarray, rate: int, rng: np.random.Generator, decibels: float, noise: np.ndarray | None = None
) -> np.ndarray:
    """Add noise, white unless given, at a signal-to-noise ratio over the whole utterance; silence stays silent."""
    power = float(np.mean(np.square(samples)))
    noise = rng.standard_normal(len(samples)) if noise is None else noise / max(_level(noise), 1e-12)
    return samples + noise * np.sqrt(power / 10 ** (decibels / 10))


def coloured_noise(count: int, rng: np.random.Generator, slope: float) -> np.ndarray:
    """Return [count] float32 samples of noise whose power falls with frequency to this power: 0 white, 2 brown."""
    from scipy import fft

    size = fft.next_fast_len(count, real=True)
    bins = size // 2 + 1
    spectrum = rng.standard_normal(2 * bins, dtype=np.float32).view(np.complex64)
    return fft.irfft(spectrum * np.arange(1, bins + 1, dtype=np.float32) ** (-slope / 2), size)[:count]


def equalise(samples: np.ndarray, rate: int, rng: np.random.Generator, decibels: float) -> np.ndarray:
    """Filter as an unknown microphone: a smooth curve over the band, of this deviation at six of its points."""
    from scipy import fft

    size = fft.next_fast_len(len(samples), real=True)
    spectrum = fft.rfft(samples, size)
    places = np.linspace(0, 5, len(spectrum))
    curve = np.interp(places, np.arange(6), rng.normal(0, decibels, 6) * (np.log(10) / 20))
    return fft.irfft(spectrum * np.exp(curve, dtype=samples.dtype), size)[: len(samples)]


def reverberate(
    samples: np.ndarray, rate: int, rng: np.random.Generator, seconds: float = 0.5, decibels: float = 0.0
) -> np.ndarray:
    """Add a room: direct sound and, so many dB below it, a tail of noise that falls by 60 dB in so many seconds."""
    times = np.arange(max(int(seconds * rate), 1)) / rate
    tail = rng.standard_normal(len(times), dtype=samples.dtype)
    tail *= np.exp(-3 * np.log(10) * times / seconds, dtype=samples.dtype)
    tail[: int(0.003 * rate)] = 0.0  # the first reflections come 3 ms, about a metre, after the direct sound
    tail /= max(float(np.sqrt(np.sum(tail**2))), 1e-12) * 10 ** (decibels / 20)
    tail[0] += 1.0
    from scipy import signal  # takes a second to import, as below

    wet = signal.fftconvolve(samples, tail)[: len(samples)]
    return wet * _level(samples) / max(_level(wet), 1e-12)


def change_speed(samples: np.ndarray, rate: int, rng: np.random.Generator, percent: int) -> np.ndarray:
    """Play at so many percent of the speed: length and pitch change together."""
    from scipy import signal

    return signal.resample_poly(samples, 100, percent)


def change_gain(samples: np.ndarray, rate: int, rng: np.random.Generator, decibels: float) -> np.ndarray:
    """Make louder or softer; what leaves -1..1 is clipped, as in a recording."""
    return np.clip(samples * 10 ** (decibels / 20), -1.0, 1.0)


def limit_band(
    samples: np.ndarray, rate: int, rng: np.random.Generator, low: float = 300.0, high: float = 3400.0
) -> np.ndarray:
    """Keep a telephone's band."""
    band = [low, min(high, 0.45 * rate)]
    from scipy import signal

    return signal.sosfilt(signal.butter(6, band, "bandpass", fs=rate, output="sos"), samples)


def _level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


CHANGES: dict[str, Change] = {
    "noise-20": lambda x, rate, rng: add_noise(x, rate, rng, 20),
    "noise-10": lambda x, rate, rng: add_noise(x, rate, rng, 10),
    "noise-0": lambda x, rate, rng: add_noise(x, rate, rng, 0),
    "reverberation": reverberate,
    "speed-90": lambda x, rate, rng: change_speed(x, rate, rng, 90),
    "speed-110": lambda x, rate, rng: change_speed(x, rate, rng, 110),
    "gain-up": lambda x, rate, rng: change_gain(x, rate, rng, 6),
    "gain-down": lambda x, rate, rng: change_gain(x, rate, rng, -6),
    "band-limit": limit_band,
}


def check_change(change: str) -> None:
    """Refuse a name of no change; the empty one means none."""
    if change and change not in CHANGES:
        raise DataError(f"unknown change of audio {change!r}; known are {', '.join(CHANGES)}")


def changed(samples: np.ndarray, rate: int, change: str, utt: str = "", seed: int = 0) -> np.ndarray:
    """Return changed audio [S'] float32 of samples [S]; the same for an utterance whatever is changed beside it."""
    if not change:
        raise DataError("expected the name of a change of audio, got none")
    check_change(change)
    if not len(samples):
        return np.zeros(0, np.float32)
    rng = np.random.default_rng([seed, zlib.crc32(utt.encode())])
    return np.asarray(CHANGES[change](np.asarray(samples, dtype=np.float64), rate, rng), dtype=np.float32)
