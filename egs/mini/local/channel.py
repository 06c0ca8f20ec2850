"""Rooms and microphones, seeded: what happens to a voice on its way into a file, without moving it in time."""

from dataclasses import dataclass

import numpy as np
from scipy import signal

ROOM_SECONDS = 0.35


@dataclass(frozen=True)
class Channel:
    """One speaker's room and microphone."""

    room: np.ndarray  # impulse response [N]; the direct sound is sample 0
    equaliser: np.ndarray  # second-order sections [S, 6], minimum phase
    noise: float  # dB below the speech
    colour: float  # of the noise: 0 white, towards 1 more bass


def draw_channel(generator: np.random.Generator, rate: int) -> Channel:
    """Draw one speaker's channel."""
    sections = [
        _peak(generator.uniform(-6, 6), generator.uniform(150, 700), 0.7, rate),
        _peak(generator.uniform(-7, 7), generator.uniform(700, 2500), 0.8, rate),
        _peak(generator.uniform(-7, 7), generator.uniform(2500, 6000), 0.7, rate),
        *signal.butter(2, generator.uniform(50, 180), "highpass", fs=rate, output="sos"),
        *signal.butter(2, generator.uniform(5000, 7800), "lowpass", fs=rate, output="sos"),
    ]
    room = _room(generator, generator.uniform(0.12, 0.4), generator.uniform(3, 14), rate)
    return Channel(room, np.stack(sections), generator.uniform(20, 34), generator.uniform(0.2, 0.9))


def _peak(gain: float, centre: float, quality: float, rate: int) -> np.ndarray:
    """Return the section of a bell of so many dB around a frequency (the usual audio-EQ bell)."""
    amplitude, angle = 10 ** (gain / 40), 2 * np.pi * centre / rate
    alpha = np.sin(angle) / (2 * quality)
    above = np.array([1 + alpha * amplitude, -2 * np.cos(angle), 1 - alpha * amplitude])
    below = np.array([1 + alpha / amplitude, -2 * np.cos(angle), 1 - alpha / amplitude])
    return np.concatenate([above, below]) / below[0]


def _room(generator: np.random.Generator, decay: float, direct: float, rate: int) -> np.ndarray:
    """Return a room whose sound decays by 60 dB in so many seconds, `direct` dB weaker than the direct sound."""
    count = int(ROOM_SECONDS * rate)
    tail = generator.standard_normal(count) * 10 ** (-3 * np.arange(count) / (decay * rate))
    tail[: int(0.002 * rate)] = 0
    tail *= 10 ** (-direct / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1
    return tail


def apply_channel(samples: np.ndarray, channel: Channel, generator: np.random.Generator) -> np.ndarray:
    """Return the samples as the microphone hears them, as many as came, within -1..1."""
    heard = signal.oaconvolve(samples, channel.room)[: len(samples)]
    heard = signal.sosfilt(channel.equaliser, heard)
    level = np.sqrt((heard**2).mean())
    noise = signal.lfilter([1], [1, -channel.colour], generator.standard_normal(len(heard)))
    decibels = channel.noise + generator.uniform(-3, 3)
    heard = heard + noise * level / np.sqrt((noise**2).mean()) * 10 ** (-decibels / 20)
    heard *= 10 ** (generator.uniform(-30, -20) / 20) / level
    return heard * min(1.0, 0.98 / np.abs(heard).max())
