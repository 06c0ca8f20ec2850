"""Waveforms to frames: fbank and MFCC equal to Kaldi's, and log-mel targets for decoders.

Input is float samples in -1..1; fbank and MFCC scale them to 16-bit numbers, as Kaldi reads them.
"""

import math
import zlib

import torch
from torch import Tensor, nn

from unitdisc.data.timing import FrameGrid
from unitdisc.errors import ConfigError
from unitdisc.features.base import FeatureModule, Features
from unitdisc.features.configs import FbankConfig, LogMelConfig, MfccConfig
from unitdisc.features.deltas import Deltas
from unitdisc.features.framing import frame_counts, laid_out, window_sums

CHUNK = 512  # frames at once: what they need stays in the processor's cache
FULL_SCALE = 32768.0
# Slaney's mel scale: linear up to the bend, LINEAR Hz a mel, and from there a factor of 6.4 in 27 mels.
BEND, LINEAR, LOG_STEP = 1000.0, 200 / 3, math.log(6.4) / 27
EPSILON = torch.finfo(torch.float32).eps  # Kaldi's floor under every logarithm


class _Spectral(FeatureModule):
    """Frames by way of a windowed Fourier transform."""

    n_fft: int
    window: Tensor  # [window], the signal's scale included
    banks: Tensor  # [n_fft / 2, M rounded up to a multiple of 8]

    def __init__(self, grid: FrameGrid, n_fft: int) -> None:
        super().__init__()
        self.grid, self.n_fft = grid, n_fft

    def _set_banks(self, banks: Tensor) -> None:
        """Keep filters [n_fft / 2 + 1, M]; none reaches the last bin, and products are far faster in eights."""
        self._constant("banks", nn.functional.pad(banks[:-1], (0, -banks.shape[1] % 8)))

    @torch.no_grad()
    def forward(self, waves: Tensor, samples: Tensor) -> Features:
        """Turn waves [B, S], each with its number of samples [B], into frames."""
        lengths = frame_counts(samples, self.grid)
        frames = self._frames(laid_out(waves.to(torch.float32), samples, self.grid), lengths)
        real = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        return Features(frames.masked_fill_(~real[:, :, None], 0.0), lengths)

    def _frames(self, signal: Tensor, lengths: Tensor) -> Tensor:
        raise NotImplementedError

    def _power(self, windows: Tensor) -> Tensor:
        """Return the power spectra [B, T, n_fft / 2] of windows that are scaled already."""
        spectra = torch.fft.rfft(windows, self.n_fft)[:, :, : self.n_fft // 2]
        return spectra.real.square().addcmul_(spectra.imag, spectra.imag)


class KaldiFeatures(_Spectral):
    """Kaldi's fbank or MFCC, and its add-deltas."""

    cepstra: Tensor  # [M rounded up to a multiple of 8, ceps]

    def __init__(self, config: FbankConfig | MfccConfig, warp: float = 1.0) -> None:
        super().__init__(config.grid, 1 << (config.window - 1).bit_length())
        self.config = config
        self._constant("window", _window(config.window_type, config.window) * FULL_SCALE)
        self._set_banks(kaldi_banks(config, self.n_fft, warp))
        static = config.mels + config.energy
        if isinstance(config, MfccConfig):
            self._constant("cepstra", nn.functional.pad(_cepstra(config), (0, 0, 0, -config.mels % 8)))
            static = config.ceps
        self.deltas = Deltas(config.deltas, config.delta_window)
        self.dim = static * (1 + config.deltas)

    @torch.no_grad()
    def forward(self, waves: Tensor, samples: Tensor) -> Features:
        """Turn waves [B, S], each with its number of samples [B], into frames."""
        return super().forward(dithered(waves, samples, self.config.dither), samples)

    def _frames(self, signal: Tensor, lengths: Tensor) -> Tensor:
        batch, grid, kept = len(signal), self.grid, 1 - self.config.preemphasis
        is_mfcc = isinstance(self.config, MfccConfig)
        if signal.shape[1] == 0:
            return signal.new_zeros(batch, 0, self.dim)
        # Pre-emphasis of a window is that of the signal, except for its first sample: Kaldi takes it for its own past.
        means = window_sums(signal, grid)[:, :, None] / grid.window
        starts = (signal[:, :: grid.hop][:, : means.shape[1], None] - means) * (kept * self.window[0])
        emphasised = torch.sub(signal[:, 1:], signal[:, :-1], alpha=self.config.preemphasis)
        windows = emphasised.unfold(1, grid.window - 1, grid.hop) if grid.window > 1 else emphasised[:, :0, None]
        rest = self.window[1:]
        buffer = signal.new_zeros(batch, min(CHUNK, means.shape[1]), self.n_fft)
        pieces = []
        for first in range(0, means.shape[1], CHUNK):
            here = slice(first, first + CHUNK)
            scaled = buffer[:, : means[:, here].shape[1]]
            scaled[:, :, :1] = starts[:, here]
            inner = scaled[:, :, 1 : grid.window]
            torch.mul(windows[:, here], rest, out=inner)
            inner.addcmul_(means[:, here], rest, value=-kept)
            pieces.append(self._power(scaled) @ self.banks)
        floor = self._floor(pieces, lengths)
        for place, energies in enumerate(pieces):
            mels = torch.maximum(energies, floor, out=energies).log_()
            pieces[place] = mels @ self.cepstra if is_mfcc else mels[:, :, : self.config.mels]
        frames = torch.cat(pieces, dim=1)
        if self.config.energy:
            frames = self._with_energy(frames, signal, means)
        return self.deltas(frames, lengths)

    def _floor(self, pieces: list[Tensor], lengths: Tensor) -> Tensor:
        """Return [B, 1, 1]: the lowest energy of a filter; the pieces [B, frames, M] hold all energies, in order."""
        lowest = pieces[0].new_full((len(lengths), 1, 1), max(self.config.floor, EPSILON))
        if self.config.floor_db == 0:
            return lowest
        total, first = torch.zeros(len(lengths), dtype=torch.float64, device=lowest.device), 0
        for energies in pieces:
            places = torch.arange(first, first + energies.shape[1], device=lowest.device)
            sums = energies[:, :, : self.config.mels].sum(2, dtype=torch.float64)
            total += sums.masked_fill(places >= lengths[:, None], 0).sum(1)
            first += energies.shape[1]
        mean = total / (lengths.clamp(min=1) * self.config.mels)
        return torch.maximum(lowest, (mean * 10 ** (-self.config.floor_db / 10)).to(lowest.dtype)[:, None, None])

    def _with_energy(self, frames: Tensor, signal: Tensor, means: Tensor) -> Tensor:
        squares = window_sums(signal.double().square(), self.grid)[:, :, None]
        energy = (squares - self.grid.window * means.double().square()) * FULL_SCALE**2
        energy = energy.clamp(min=EPSILON).log().to(torch.float32)
        return torch.cat([energy, frames[:, :, 1:] if isinstance(self.config, MfccConfig) else frames], dim=2)


def dithered(waves: Tensor, samples: Tensor, dither: float) -> Tensor:
    """Return waves [B, S] with noise of this deviation in 16-bit numbers; equal samples [B] get equal noise."""
    if dither == 0:
        return waves
    noise = torch.zeros(waves.shape)
    for row, wave, count in zip(noise, waves.cpu(), samples.tolist(), strict=True):
        seed = zlib.crc32(wave[:count].contiguous().numpy().tobytes())
        row[:count] = torch.randn(count, generator=torch.Generator().manual_seed(seed))
    return waves + noise.to(waves.device) * (dither / FULL_SCALE)


class LogMel(_Spectral):
    """Log mel magnitudes on the same frames as the encoder's input."""

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__(config.grid, config.n_fft)
        self.config, self.dim = config, config.mels
        self._constant("window", torch.hann_window(config.window, dtype=torch.float64))
        self._set_banks(slaney_banks(config))

    def _frames(self, signal: Tensor, lengths: Tensor) -> Tensor:
        batch, grid = len(signal), self.grid
        if signal.shape[1] == 0:
            return signal.new_zeros(batch, 0, self.dim)
        windows = signal.unfold(1, grid.window, grid.hop)
        pieces = []
        for first in range(0, windows.shape[1], CHUNK):
            power = self._power(windows[:, first : first + CHUNK] * self.window)
            mels = (power.sqrt_() @ self.banks).clamp_(min=self.config.floor).log_()
            pieces.append(mels[:, :, : self.dim])
        return torch.cat(pieces, dim=1)


def _window(kind: str, length: int) -> Tensor:
    cosine = torch.cos(2 * math.pi * torch.arange(length, dtype=torch.float64) / max(length - 1, 1))
    if kind == "povey":
        return (0.5 - 0.5 * cosine).pow(0.85)
    if kind == "hanning":
        return 0.5 - 0.5 * cosine
    if kind == "hamming":
        return 0.54 - 0.46 * cosine
    return torch.ones(length, dtype=torch.float64)


def _mel(hertz: Tensor) -> Tensor:
    return 1127.0 * torch.log1p(hertz / 700.0)


def kaldi_banks(config: FbankConfig | MfccConfig, n_fft: int, warp: float = 1.0) -> Tensor:
    """Return [n_fft / 2 + 1, M]: Kaldi's triangles, equally wide in mel unless warped, for power spectra."""
    fmax = config.fmax if config.fmax > 0 else config.sample_rate / 2 + config.fmax
    low, high = _mel(torch.tensor([config.fmin, fmax], dtype=torch.float64))
    edges = torch.linspace(float(low), float(high), config.mels + 2, dtype=torch.float64)
    if warp != 1.0:
        edges = _mel(warped(700 * torch.expm1(edges / 1127), config.fmin, fmax, warp))
    bins = _mel(torch.arange(n_fft // 2 + 1, dtype=torch.float64) * config.sample_rate / n_fft)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    banks = torch.minimum(rising, falling).clamp(min=0)
    banks[-1] = 0  # Kaldi leaves out the bin at half the sample rate
    return _without_gaps(banks, config.mels, n_fft)


def warped(hertz: Tensor, low: float, high: float, warp: float) -> Tensor:
    """Return frequencies divided by a warp; towards the ends of the band, which stay, lines make up for it.

    Kaldi's vocal tract length normalisation: the lines end 80 Hz over the band's lower end and 500 Hz below its upper.
    """
    first, last = (low + 80) * max(1.0, warp), (high - 500) * min(1.0, warp)
    if not low < first < last < high:
        raise ConfigError(
            f"a warp of {warp:g} needs a wider band than {low:g} to {high:g} Hz; raise fmax or lower fmin"
        )
    below = low + (hertz - low) * (first / warp - low) / (first - low)
    above = high + (hertz - high) * (high - last / warp) / (high - last)
    inside = torch.where(hertz < first, below, torch.where(hertz < last, hertz / warp, above))
    return torch.where((hertz < low) | (hertz > high), hertz, inside)


def centre_frequencies(config: FbankConfig | MfccConfig) -> Tensor:
    """Return the peak of each filter [M], Hz."""
    fmax = config.fmax if config.fmax > 0 else config.sample_rate / 2 + config.fmax
    low, high = _mel(torch.tensor([config.fmin, fmax], dtype=torch.float64))
    peaks = torch.linspace(float(low), float(high), config.mels + 2, dtype=torch.float64)[1:-1]
    return (700 * torch.expm1(peaks / 1127)).float()


def slaney_banks(config: LogMelConfig) -> Tensor:
    """Return [n_fft / 2 + 1, M]: Slaney's triangles of area one, for magnitudes."""
    low, high = (_slaney_mel(hertz) for hertz in (config.fmin, config.fmax))
    edges = _slaney_hertz(torch.linspace(low, high, config.mels + 2))
    bins = torch.linspace(0, config.sample_rate // 2, config.n_fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    banks = torch.minimum(rising, falling).clamp(min=0) * (2 / (edges[2:] - edges[:-2]))
    return _without_gaps(banks, config.mels, config.n_fft)


def _slaney_mel(hertz: float) -> float:
    return hertz / LINEAR if hertz < BEND else BEND / LINEAR + math.log(hertz / BEND) / LOG_STEP


def _slaney_hertz(mel: Tensor) -> Tensor:
    bend = BEND / LINEAR
    return torch.where(mel < bend, LINEAR * mel, BEND * (LOG_STEP * (mel - bend)).exp())


def _without_gaps(banks: Tensor, mels: int, n_fft: int) -> Tensor:
    empty = (banks.sum(0) == 0).nonzero().flatten().tolist()
    if empty:
        raise ConfigError(f"mels = {mels}: filter {empty[0]} covers no bin of {n_fft}; lower mels or raise window")
    return banks


def _cepstra(config: MfccConfig) -> Tensor:
    """Return [M, ceps]: the orthonormal cosine transform and the lifter in one matrix."""
    order = torch.arange(config.ceps, dtype=torch.float64)
    middles = torch.arange(config.mels, dtype=torch.float64)[:, None] + 0.5
    matrix = torch.cos(math.pi / config.mels * middles * order) * math.sqrt(2 / config.mels)
    matrix[:, 0] = math.sqrt(1 / config.mels)
    if config.lifter == 0:
        return matrix
    return matrix * (1 + 0.5 * config.lifter * torch.sin(math.pi * order / config.lifter))
