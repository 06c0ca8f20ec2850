"""Where spectra end: found where a filter cut them, and not found where none did."""

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from made_data import put_audio, put_tables

from unitdisc.data.audio import save_audio
from unitdisc.data.band import band_end, long_term_spectrum
from unitdisc.data.check import check_data_dir


def noise(tilt: float, seed: int = 0, samples: int = 48000) -> np.ndarray:
    """Return noise at 16 kHz whose power falls by `tilt` dB per octave, in bursts, over a faint hiss."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal(samples))
    spectrum *= np.maximum(np.arange(len(spectrum)) / 300, 1) ** (-tilt / 6)
    burst = (np.sin(np.arange(samples) / 2000) > 0).astype(float)
    wave = np.fft.irfft(spectrum) * burst + 1e-3 * random.standard_normal(samples)
    return 0.1 * wave / np.abs(wave).max()


@pytest.mark.parametrize("tilt", [0.0, 6.0, 12.0])
@pytest.mark.parametrize("cut", [3400.0, 5000.0, 7000.0])
def test_the_end_of_a_filtered_spectrum_is_found(cut: float, tilt: float):
    taps = scipy.signal.firwin(511, cut, fs=16000, window=("kaiser", 10.0))
    wave = scipy.signal.lfilter(taps, 1, noise(tilt))
    assert band_end(long_term_spectrum([wave]), 16000) == pytest.approx(cut, abs=250)


@pytest.mark.parametrize("tilt", [0.0, 6.0, 12.0])
def test_a_spectrum_that_falls_smoothly_has_no_end(tilt: float):
    assert band_end(long_term_spectrum([noise(tilt)]), 16000) is None
    assert band_end(long_term_spectrum([np.zeros(16000)]), 16000) is None
    assert band_end(long_term_spectrum([]), 16000) is None


def test_check_says_where_the_recordings_end_and_what_to_set(tmp_path: Path):
    taps = scipy.signal.firwin(511, 4000.0, fs=16000, window=("kaiser", 10.0))
    save_audio(tmp_path / "a.wav", scipy.signal.lfilter(taps, 1, noise(6.0)), 16000)
    put_tables(tmp_path, {"wav.scp": "a a.wav\n", "utt2spk": "a a\n"})
    (message,) = [line for line in check_data_dir(tmp_path).warnings if "kHz" in line]
    assert "nothing above 4.0 kHz of their 8 kHz" in message or "nothing above 3.9 kHz" in message
    assert "features.floor_db to 25" in message
    put_audio(tmp_path / "a.wav")
    assert not [line for line in check_data_dir(tmp_path).warnings if "kHz" in line]
