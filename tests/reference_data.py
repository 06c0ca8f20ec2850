"""Slow oracles of data/."""

import math
from collections.abc import Sequence

import numpy as np

from unitdisc.data.alignment import Interval
from unitdisc.data.resample import BETA, CUTOFF, ZEROS


def resample(samples: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """Sum windowed sincs, one output sample after the other, in float64."""
    narrow = min(1.0, rate_out / rate_in)  # the lower Nyquist frequency, relative to the input's
    reach = ZEROS / narrow  # input samples
    count = math.ceil(len(samples) * rate_out / rate_in)
    phases = np.arange(len(samples))
    out = np.zeros(count)
    for n in range(count):
        distance = phases - n * rate_in / rate_out
        near = np.abs(distance) <= reach
        x = distance[near]
        window = np.i0(BETA * np.sqrt(np.maximum(0, 1 - (x / reach) ** 2))) / np.i0(BETA)
        out[n] = np.sum(samples[near] * window * np.sinc(x * narrow * CUTOFF)) * narrow * CUTOFF
    return out


def frame_labels(intervals: Sequence[Interval], frames: int, period: float, offset: float, silence: str) -> list[str]:
    """Ask every interval about every frame."""
    labels = []
    for i in range(frames):
        centre = offset + (i + 0.5) * period
        inside = [label for start, end, label in intervals if start - 1e-9 <= centre < end - 1e-9]
        labels.append(inside[-1] if inside else silence)
    return labels
