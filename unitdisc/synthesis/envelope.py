"""Spectral envelopes from log-mel bands."""

import math

import torch
from torch import Tensor

from unitdisc.features.acoustic import slaney_banks
from unitdisc.features.configs import LogMelConfig

EMPTY = 2.0  # times the floor: a band this near to it holds nothing
SILENT = 1e-7  # magnitude of a band that is empty


class Envelope:
    """The mean magnitude of the spectrum around each frequency, from log-mel frames [T, M] of a config."""

    def __init__(self, config: LogMelConfig, size: int = 1024) -> None:
        """Prepare for envelopes of size / 2 + 1 frequencies from 0 to half the sample rate."""
        self.config, self.size = config, size
        banks = slaney_banks(config).double()  # [n_fft / 2 + 1, M]
        bins = torch.arange(config.n_fft // 2 + 1, dtype=torch.float64)
        weight = banks.sum(0)
        self.centres = (banks * bins[:, None]).sum(0) / weight * config.sample_rate / config.n_fft
        self.log_weight = weight.log().float()
        frequencies = torch.arange(size // 2 + 1, dtype=torch.float64) * config.sample_rate / size
        self.frequencies = frequencies.float()
        upper = torch.searchsorted(self.centres, frequencies).clamp(1, config.mels - 1)
        low, high = self.centres[upper - 1], self.centres[upper]
        share = ((frequencies - low) / (high - low)).clamp(0.0, 1.0)
        self.upper, self.share = upper, share.float()
        window = torch.hann_window(config.window, dtype=torch.float64)
        # The mean magnitude of white noise of power 1 in a window is Rayleigh's.
        self.noise_scale = float(window.square().sum().sqrt()) * math.sqrt(math.pi) / 2

    def log_magnitudes(self, log_mel: Tensor, frequency: Tensor | None = None) -> Tensor:
        """Return log magnitudes [T, size / 2 + 1] between the bands' centres, smoothed over one harmonic [T] Hz."""
        bands = log_mel - self.log_weight.to(log_mel)
        empty = log_mel <= math.log(EMPTY * self.config.floor)
        bands = torch.where(empty, math.log(SILENT), bands)
        low, high = bands[:, self.upper - 1], bands[:, self.upper]
        log = low + self.share.to(log_mel) * (high - low)
        return log if frequency is None else self._smoothed(log, frequency)

    def _smoothed(self, log: Tensor, frequency: Tensor) -> Tensor:
        """Take the mean over one harmonic's width: bands that are narrower show harmonics, which are the source's."""
        step = self.config.sample_rate / self.size
        magnitudes = log.exp()
        mirrored = torch.cat([magnitudes[:, 1:].flip(1), magnitudes, magnitudes[:, :-1].flip(1)], 1)
        sums = torch.nn.functional.pad(mirrored.double().cumsum(1), (1, 0))  # up to before each bin
        half = (frequency.clamp(min=step) / step / 2).double()[:, None]
        middle = torch.arange(log.shape[1], dtype=torch.float64) + self.size // 2 + 0.5
        total = _between(sums, middle + half) - _between(sums, middle - half)
        return (total / (2 * half)).clamp(min=SILENT * SILENT).log().to(log)


def _between(sums: Tensor, places: Tensor) -> Tensor:
    places = places.clamp(0, sums.shape[1] - 1)
    low = places.floor().long().clamp(max=sums.shape[1] - 2)
    share = places - low
    one, other = sums.gather(1, low), sums.gather(1, low + 1)
    return one + share * (other - one)


def minimum_phase(log_magnitudes: Tensor) -> Tensor:
    """Return the complex log spectra [..., size / 2 + 1] of minimum phase with these log magnitudes."""
    size = 2 * (log_magnitudes.shape[-1] - 1)
    cepstra = torch.fft.irfft(log_magnitudes, size)
    fold = torch.zeros(size, dtype=log_magnitudes.dtype)
    fold[0] = fold[size // 2] = 1.0
    fold[1 : size // 2] = 2.0
    return torch.fft.rfft(cepstra * fold)
