"""Log-mel frames back to sound, by Griffin and Lim's phases: to listen to what a frame decoder makes."""

import torch
from torch import Tensor

from unitdisc.features.acoustic import slaney_banks
from unitdisc.features.configs import LogMelConfig

MOMENTUM = 0.99  # of the fast variant of Perraudin, Balazs and Sondergaard
UNMIX = 50  # updates by which mel magnitudes are spread over frequencies


@torch.no_grad()
def griffin_lim(
    frames: Tensor, config: LogMelConfig, generator: torch.Generator | None = None, iterations: int = 60
) -> Tensor:
    """Return [samples] of log-mel frames [T, M], with as many samples as make T frames again."""
    count, hop, window = len(frames), config.hop, config.window
    samples = (count - 1) * hop + window if config.snip_edges else count * hop
    if count == 0:
        return frames.new_zeros(0)
    magnitudes = _magnitudes(frames.to(torch.float32).exp(), slaney_banks(config).to(frames.device))
    taps = torch.hann_window(window, device=frames.device)
    # The first and last samples lie under the ends of windows alone, where their weight is next to nothing.
    weight = _overlapped(taps.square().expand(count, window), hop).clamp(min=1e-3)
    turns = torch.rand(magnitudes.shape, generator=generator).to(frames.device)
    phases = torch.polar(torch.ones_like(turns), 2 * torch.pi * turns)
    before = torch.zeros_like(phases)
    for _ in range(iterations):
        signal = _signal(magnitudes * phases, taps, hop, weight, config.n_fft)
        now = torch.fft.rfft(signal.unfold(0, window, hop) * taps, config.n_fft)
        phases = now + MOMENTUM * (now - before)
        phases = phases / phases.abs().clamp(min=1e-8)
        before = now
    signal = _signal(magnitudes * phases, taps, hop, weight, config.n_fft)
    first = 0 if config.snip_edges else hop // 2 - window // 2
    signal = torch.nn.functional.pad(signal[max(0, -first) :], (max(0, first), samples))
    return signal[:samples].clamp(-1.0, 1.0)


def _magnitudes(mels: Tensor, banks: Tensor) -> Tensor:
    """Return [T, n_fft / 2 + 1], not negative, that the filters turn into (nearly) these mel magnitudes [T, M]."""
    spread = (mels @ banks.T).clamp(min=1e-8)
    gram = banks @ banks.T
    above = mels @ banks.T
    for _ in range(UNMIX):
        spread = spread * above / (spread @ gram).clamp(min=1e-10)
    return spread


def _signal(spectra: Tensor, taps: Tensor, hop: int, weight: Tensor, n_fft: int) -> Tensor:
    windows = torch.fft.irfft(spectra, n_fft)[:, : len(taps)] * taps
    return _overlapped(windows, hop) / weight


def _overlapped(windows: Tensor, hop: int) -> Tensor:
    """Add windows [T, W] up, each a hop after the one before: [(T - 1) * hop + W]."""
    count, window = windows.shape
    length = (count - 1) * hop + window
    return torch.nn.functional.fold(windows.T[None], (1, length), (1, window), stride=(1, hop)).flatten()
