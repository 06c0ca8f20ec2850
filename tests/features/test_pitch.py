"""The pitch tracker: tones within 1 %, the same pitch as WORLD's where that is installed, and no pitch of noise."""

import numpy as np
import pytest
import torch
from reference_features import pitch_correlation, pitch_path

from unitdisc.data.timing import FrameGrid
from unitdisc.errors import ConfigError
from unitdisc.features.aperiodicity import BANDS, EDGES, aperiodicity
from unitdisc.features.build import build_raw_features
from unitdisc.features.configs import ExcitationConfig
from unitdisc.features.excitation import NOWHERE, Excitation, analyse, log_contour
from unitdisc.features.pitch import PitchOptions, _cheapest_path, correlations, pitch

GRIDS = [
    FrameGrid(16000, 160, 400),
    FrameGrid(8000, 80, 200),
    FrameGrid(22050, 256, 1024),
    FrameGrid(16000, 160, 400, True),
]


def voice(frequency: np.ndarray, rate: int, harmonics: int = 20) -> np.ndarray:
    """Return harmonics of a pitch given for each sample, weaker the higher they are."""
    phase = 2 * np.pi * np.cumsum(frequency / rate)
    return sum(
        np.sin(k * phase + 0.7 * k * k) / k * (k * frequency < 0.45 * rate) for k in range(1, harmonics + 1)
    ) * np.full(len(frequency), 0.1)  # fmt: skip


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("frequency", [72.0, 110.0, 187.3, 263.0, 401.0])
def test_a_tone_has_its_pitch_within_a_percent(grid: FrameGrid, frequency: float):
    wave = voice(np.full(grid.sample_rate, frequency), grid.sample_rate)
    heard = pitch(wave, grid)
    assert len(heard) == grid.frames(len(wave))
    inside = heard[5:-5]
    np.testing.assert_allclose(inside, frequency, rtol=0.01)


def test_a_gliding_pitch_is_followed_in_time():
    grid, seconds = GRIDS[0], 2
    at = np.arange(seconds * 16000) / 16000
    contour = 160 * np.exp(0.35 * np.sin(2 * np.pi * 1.5 * at))
    heard = pitch(voice(contour, 16000), grid)
    wanted = contour[80::160]
    assert (heard[5:-5] > 0).all()
    assert np.median(np.abs(heard / wanted - 1)[5:-5]) < 0.01
    assert np.abs(heard / wanted - 1)[5:-5].max() < 0.05


def test_voiced_and_unvoiced_stretches_are_told_apart():
    random = np.random.default_rng(0)
    noise = 0.03 * random.standard_normal(8000)
    wave = np.concatenate([noise, voice(np.full(8000, 140.0), 16000), noise, np.zeros(8000)])
    heard = pitch(wave, GRIDS[0])
    voiced = heard > 0
    assert voiced[53:97].all()
    assert voiced[:47].mean() < 0.1
    assert voiced[103:].mean() < 0.05


@pytest.mark.parametrize("samples", [0, 10, 80, 159, 800])
def test_what_is_short_or_silent_has_no_pitch(samples: int):
    for wave in (np.zeros(samples), np.full(samples, 0.3), 1e-4 * np.random.default_rng(1).standard_normal(samples)):
        excitation = analyse(wave, GRIDS[0])
        assert len(excitation.frequency) == GRIDS[0].frames(samples)
        assert not excitation.frequency[: 0 if samples == 800 else None].any()
        assert excitation.aperiodicity.shape == (GRIDS[0].frames(samples), BANDS)
        assert torch.isfinite(excitation.to_frames()).all()


def test_noise_in_a_band_is_its_aperiodicity():
    random, rate = np.random.default_rng(2), 16000
    wave = voice(np.full(rate, 120.0), rate, 60)
    spectrum = np.fft.rfft(random.standard_normal(rate))
    bins = np.fft.rfftfreq(rate, 1 / rate)
    spectrum[(bins < EDGES[2]) | (bins > EDGES[3])] = 0
    noise = np.fft.irfft(spectrum)
    clean = aperiodicity(wave, np.full(100, 120.0), GRIDS[0])[10:-10].mean(0)
    noisy = aperiodicity(wave + 0.2 * noise / noise.std(), np.full(100, 120.0), GRIDS[0])[10:-10].mean(0)
    assert (clean < 0.1).all()
    assert noisy[2] > 0.7
    assert (noisy[[0, 1, 3, 4]] < 0.3).all()


def test_unvoiced_frames_are_all_noise_and_their_contour_is_a_line():
    frequency = np.array([0.0, 100.0, 0.0, 0.0, 200.0, 0.0])
    log, voiced = log_contour(frequency)
    np.testing.assert_allclose(np.exp(log), [100, 100, 2 ** (1 / 3) * 100, 2 ** (2 / 3) * 100, 200, 200])
    assert voiced.tolist() == [0, 1, 0, 0, 1, 0]
    log, voiced = log_contour(np.zeros(3))
    np.testing.assert_allclose(np.exp(log), NOWHERE)
    assert not voiced.any()
    wave = voice(np.full(16000, 130.0), 16000)
    assert (aperiodicity(wave, np.zeros(100), GRIDS[0]) == 1).all()


def test_frames_of_an_archive_are_the_excitation():
    wave = np.concatenate([voice(np.full(8000, 130.0), 16000), np.zeros(4000)])
    ours = analyse(wave, GRIDS[0])
    again = Excitation.of_frames(ours.to_frames())
    torch.testing.assert_close(again.frequency, ours.frequency, rtol=1e-5, atol=0)
    torch.testing.assert_close(again.aperiodicity.double(), ours.aperiodicity, rtol=1e-5, atol=1e-6)


def test_excitation_is_a_feature_like_any_other():
    config = ExcitationConfig()
    module = build_raw_features(config)
    long, short = voice(np.full(16000, 130.0), 16000), voice(np.full(4000, 220.0), 16000)
    waves = torch.zeros(2, 16000)
    waves[0], waves[1, :4000] = torch.from_numpy(long), torch.from_numpy(short)
    frames, lengths = module(waves, torch.tensor([16000, 4000]))
    assert frames.shape == (2, 100, int(str(module.dim)))
    assert lengths.tolist() == [100, 25]
    torch.testing.assert_close(frames[1, :25], analyse(waves[1, :4000].double().numpy(), config.grid).to_frames())
    assert not frames[1, 25:].any()
    with pytest.raises(ConfigError, match="fmin < fmax"):
        ExcitationConfig(fmin=300.0, fmax=200.0)


def test_correlations_are_those_of_the_stretches():
    signal, lags = np.random.default_rng(4).standard_normal(900), np.arange(17, 60, 7)
    centres = np.arange(0.0, 900.0, 33.3)  # some stretches lie beyond the ends
    wanted = [[pitch_correlation(signal, centre, int(lag), 40, 0.01) for lag in lags] for centre in centres]
    np.testing.assert_allclose(correlations(signal, centres, lags, 40, 0.01), wanted, atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_the_path_is_the_cheapest_of_all(seed: int):
    random, lags = np.random.default_rng(seed), np.array([18, 25, 60])
    correlation = random.uniform(-0.2, 1.0, (6, 3))
    options = PitchOptions(change=random.uniform(0.02, 0.3), jump=random.uniform(0.1, 1.0))
    assert tuple(_cheapest_path(correlation, lags, options)) == pitch_path(correlation, lags, options)


def test_the_pitch_is_that_of_another_tracker():
    """WORLD's Harvest, on vowel-like sounds with a moving pitch in some noise."""
    world = pytest.importorskip("pyworld")
    random = np.random.default_rng(3)
    at = np.arange(3 * 16000) / 16000
    for base in (95.0, 150.0, 240.0):
        contour = base * np.exp(0.2 * np.sin(2 * np.pi * 2.1 * at) + 0.1 * np.sin(2 * np.pi * 5 * at))
        wave = voice(contour, 16000) + 0.005 * random.standard_normal(len(at))
        heard = pitch(wave, GRIDS[0])
        theirs, _ = world.harvest(wave, 16000, frame_period=5.0)
        theirs = theirs[1::2][: len(heard)]  # at 5, 15, ... ms, where our frames are centred
        both = (heard > 0) & (theirs > 0)
        assert both.mean() > 0.95
        assert np.median(np.abs(np.log(heard / theirs)[both])) < 0.01
        assert (np.abs(np.log(heard / theirs)[both]) > 0.1).mean() < 0.02
