"""Slow oracles of features: Kaldi's definitions, one frame and one sample at a time, in float64."""

import itertools
import math

import numpy as np


def mirrored(wave, index):
    """Return a sample of the signal continued by its mirror image at both ends."""
    while not 0 <= index < len(wave):
        index = -index - 1 if index < 0 else 2 * len(wave) - 1 - index
    return wave[index]


def kaldi_frames(wave, hop, window, snip_edges):
    """Return [T, window], the raw windows."""
    if snip_edges:
        count = 0 if len(wave) < window else 1 + (len(wave) - window) // hop
        starts = [t * hop for t in range(count)]
    else:
        starts = [t * hop + hop // 2 - window // 2 for t in range((len(wave) + hop // 2) // hop)]
    rows = [[mirrored(wave, start + n) for n in range(window)] for start in starts]
    return np.array(rows, dtype=np.float64).reshape(len(starts), window)


def kaldi_fbank(wave, config):
    """Return [T, mels], with the log energy in front if the config says so."""
    n_fft = 2 ** math.ceil(math.log2(config.window))
    taps = {
        "povey": lambda c: (0.5 - 0.5 * c) ** 0.85,
        "hanning": lambda c: 0.5 - 0.5 * c,
        "hamming": lambda c: 0.54 - 0.46 * c,
        "rectangular": lambda c: 1.0,
    }[config.window_type]
    window = np.array([taps(math.cos(2 * math.pi * n / (config.window - 1))) for n in range(config.window)])
    high = config.fmax if config.fmax > 0 else config.sample_rate / 2 + config.fmax
    rows = []
    for frame in kaldi_frames(np.asarray(wave, dtype=np.float64) * 32768, config.hop, config.window, config.snip_edges):
        frame = frame - frame.mean()
        energy = math.log(max((frame**2).sum(), np.finfo(np.float32).eps))
        emphasised = frame - config.preemphasis * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(emphasised * window, n_fft)) ** 2
        row = []
        for m in range(config.mels):
            width = (mel(high) - mel(config.fmin)) / (config.mels + 1)
            left = mel(config.fmin) + m * width
            total = 0.0
            for k in range(n_fft // 2):
                at = mel(k * config.sample_rate / n_fft)
                if left < at < left + 2 * width:
                    total += power[k] * (at - left if at <= left + width else left + 2 * width - at) / width
            row.append(math.log(max(total, np.finfo(np.float32).eps)))
        rows.append([energy, *row] if config.energy else row)
    return np.array(rows)


def mel(hertz):
    return 1127.0 * math.log(1 + hertz / 700.0)


def kaldi_deltas(frames, orders, window):
    """Return [T, (1 + orders) * D]: each order's filter on the frames, which go on as their first and last."""
    taps, blocks = np.ones(1), [frames]
    slope = np.arange(-window, window + 1) / sum(n * n for n in range(-window, window + 1))
    for _ in range(orders):
        taps = np.convolve(taps, slope)
        reach = len(taps) // 2
        block = np.zeros_like(frames)
        for t in range(len(frames)):
            for n in range(-reach, reach + 1):
                block[t] += taps[n + reach] * frames[min(max(t + n, 0), len(frames) - 1)]
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def log_mel(wave, config, banks):
    """Return [T, mels] of magnitudes through banks [n_fft / 2 + 1, mels]."""
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / config.window) for n in range(config.window)])
    frames = kaldi_frames(wave, config.hop, config.window, config.snip_edges)
    return np.log(np.maximum(np.abs(np.fft.rfft(frames * window, config.n_fft)) @ banks, config.floor))


def pitch_correlation(signal, centre, lag, stretch, quiet):
    """Return how alike two stretches of a signal are, the second a lag later, evenly around a place in it."""
    first = int(np.rint(centre - (stretch + lag) / 2))
    one, other = (
        np.array([signal[n] if 0 <= n < len(signal) else 0.0 for n in range(start, start + stretch)])
        for start in (first, first + lag)
    )
    return one @ other / (math.sqrt(one @ one) * math.sqrt(other @ other) + quiet * np.mean(signal**2) * stretch)


def pitch_path(correlation, lags, options):
    """Try all paths through lags and -1, which is unvoiced; return the cheapest one."""

    def cost(path):
        total = 0.0
        for frame, place in enumerate(path):
            row = correlation[frame]
            if place < 0:
                total += 1 - options.unvoiced + max(row.max() - options.unvoiced, 0)
            else:
                total += 1 - max(row[place], 0) * (1 - options.shortest * lags[place] / lags[-1])
            if frame and (before := path[frame - 1]) != place:
                voiced = min(before, place) >= 0
                total += options.jump * abs(math.log(lags[place] / lags[before])) if voiced else options.change
        return total

    return min(itertools.product(range(-1, len(lags)), repeat=len(correlation)), key=cost)
