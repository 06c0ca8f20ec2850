"""From log-mel targets back to sound: least squares for the spectrum, Griffin-Lim for the phase."""

from typing import Any

import torch
from torch import Tensor

from unitdisc.features.acoustic import slaney_banks
from unitdisc.features.configs import LogMelConfig

MOMENTUM = 0.99  # of the fast Griffin-Lim algorithm
EMPTY, FULL = 2.0, 4.0  # times the floor: as near to it as a decoder comes, and what is surely more than the floor


def griffin_lim(log_mel: Tensor, config: LogMelConfig, iterations: int = 60, seed: int = 0) -> Tensor:
    """Return the waveform [T * hop] of log-mel frames [T, M]."""
    if not len(log_mel):
        return log_mel.new_zeros(0)
    # One frame more on each side, since frame i is centred at (i + 1/2) * hop and torch centres its own at i * hop.
    padded = torch.cat([log_mel[:1], log_mel, log_mel[-1:]])
    spectrum = linear_spectrum(padded, config)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        phases = torch.rand(spectrum.T.shape, dtype=torch.complex64, device=spectrum.device)
    wave = _with_phases(spectrum.T, phases, config, iterations)
    first = config.hop // 2
    return wave[first : first + len(log_mel) * config.hop]


def _with_phases(spectrum: Tensor, phases: Tensor, config: LogMelConfig, iterations: int) -> Tensor:
    """Return the waveform [(T - 1) * hop] of magnitudes [F, T] from first phases [F, T], by fast Griffin-Lim."""
    how: dict[str, Any] = {
        "n_fft": config.n_fft,
        "hop_length": config.hop,
        "win_length": config.window,
        "window": torch.hann_window(config.window, device=spectrum.device),
    }
    length = (spectrum.shape[1] - 1) * config.hop
    past = torch.zeros_like(phases)
    for _ in range(iterations):
        wave = torch.istft(spectrum * phases, **how, length=length)
        rebuilt = torch.stft(wave, **how, pad_mode="reflect", return_complex=True)
        ahead = rebuilt - past * (MOMENTUM / (1 + MOMENTUM))
        phases, past = ahead / (ahead.abs() + 1e-16), rebuilt
    return torch.istft(spectrum * phases, **how, length=length)


def linear_spectrum(log_mel: Tensor, config: LogMelConfig, iterations: int = 30) -> Tensor:
    """Return magnitudes [T, n_fft / 2 + 1], none below 0, whose mel bands come near those of log-mel frames [T, M].

    Multiplicative updates of the least-squares error, which keep magnitudes from changing sign, from the transposed
    filters. A band at the floor is empty: whatever was below was raised to it, as all that an MP3 leaves out is.
    """
    banks = slaney_banks(config).to(log_mel)  # [n_fft / 2 + 1, M]
    mel = log_mel.exp()
    mel = mel * ((mel / config.floor - EMPTY) / (FULL - EMPTY)).clamp(0.0, 1.0)
    spectrum = mel @ (banks / banks.sum(0).clamp(min=1e-8)).T + 1e-8
    wanted = mel @ banks.T
    product = banks @ banks.T
    for _ in range(iterations):
        spectrum = spectrum * wanted / (spectrum @ product).clamp(min=1e-10)
    return spectrum
