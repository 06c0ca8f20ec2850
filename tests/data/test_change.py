"""Changed audio has the physics it claims, and is the same each time."""

import numpy as np
import pytest

from unitdisc.data.change import CHANGES, changed, coloured_noise, equalise
from unitdisc.errors import DataError

RATE = 16000
TONE = (0.1 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).astype(np.float32)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seeded_finite_and_per_utterance(change):
    one = changed(TONE, RATE, change, "a")
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert np.array_equal(one, changed(TONE, RATE, change, "a"))
    assert changed(TONE[:0], RATE, change).shape == (0,)
    assert np.isfinite(changed(np.zeros(800, np.float32), RATE, change)).all()
    if change.startswith(("noise", "rev")):
        assert not np.array_equal(one, changed(TONE, RATE, change, "b"))
        assert not np.array_equal(one, changed(TONE, RATE, change, "a", seed=1))


@pytest.mark.parametrize("decibels", [20, 10, 0])
def test_noise_has_its_level(decibels):
    noise = changed(TONE, RATE, f"noise-{decibels}") - TONE
    assert 10 * np.log10(np.mean(TONE**2) / np.mean(noise**2)) == pytest.approx(decibels, abs=0.2)


@pytest.mark.parametrize(("change", "hertz"), [("speed-90", 900), ("speed-110", 1100)])
def test_speed_moves_length_and_pitch(change, hertz):
    faster = changed(TONE, RATE, change)
    assert len(faster) == pytest.approx(RATE * 1000 / hertz, abs=1)
    peak = np.argmax(np.abs(np.fft.rfft(faster))) * RATE / len(faster)
    assert peak == pytest.approx(hertz, abs=2)


def test_gain_and_band():
    assert np.abs(changed(TONE, RATE, "gain-up")).max() == pytest.approx(0.1 * 10**0.3, rel=1e-3)
    assert np.abs(changed(9 * TONE, RATE, "gain-up")).max() == 1.0
    high = (0.1 * np.sin(2 * np.pi * 6000 * np.arange(RATE) / RATE)).astype(np.float32)
    assert np.abs(changed(high, RATE, "band-limit")[2000:]).max() < 1e-3
    assert np.abs(changed(TONE, RATE, "band-limit")[2000:]).max() == pytest.approx(0.1, rel=0.05)


def test_a_room_has_a_tail_and_keeps_the_level():
    click = np.zeros(RATE, np.float32)
    click[0] = 0.5
    wet = changed(click, RATE, "reverberation")
    early, late = (np.mean(wet[int(a * RATE) : int(b * RATE)] ** 2) for a, b in ((0.05, 0.1), (0.25, 0.3)))
    assert 10 * np.log10(early / late) == pytest.approx(24, abs=2)  # 60 dB in 0.5 s
    assert np.mean(wet**2) == pytest.approx(np.mean(click**2), rel=1e-3)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("count", [1, 100_003, 131_072])
def test_coloured_noise_falls_as_it_says(slope, count):
    noise = coloured_noise(count, np.random.default_rng(0), slope)
    assert noise.shape == (count,)
    assert np.isfinite(noise).all()
    if count > 1:
        power = np.abs(np.fft.rfft(noise)) ** 2
        low, high = power[500:1000].mean(), power[8000:16000].mean()  # four octaves apart
        assert np.log2(low / high) / 4 == pytest.approx(slope, abs=0.05)


@pytest.mark.parametrize("count", [100_003, 131_072])
def test_a_microphone_has_the_curve_that_was_drawn(count):
    tone = np.sin(2 * np.pi * 0.2 * np.arange(count)).astype(np.float32)  # 2 of the 5 stretches between points
    heard = equalise(tone, RATE, np.random.default_rng(3), 4.0)
    decibels = np.random.default_rng(3).normal(0, 4.0, 6)[2]
    assert heard.dtype == np.float32
    level = np.sqrt(2 * np.mean(heard[5000:-5000] ** 2))
    assert level == pytest.approx(10 ** (decibels / 20), rel=0.01)


def test_an_unknown_change_names_the_known():
    with pytest.raises(DataError, match="known are noise-20"):
        changed(TONE, RATE, "rain")
