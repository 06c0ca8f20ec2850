"""Sound from a source and a filter: pulses at the pitch and noise, shaped by the envelope of log-mel frames.

A pulse whose spectrum is the envelope, at each period, sums to harmonics whose mean magnitude in a window is the
envelope again; noise is scaled to the same. So loudness follows from log-mel alone, whatever the source. Phases are
those of a filter of minimum phase. The time of a pulse is a function of the pitch before it, and the noise a function
of the seed and of time, so an utterance that comes in pieces makes the same sound as one that comes whole.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unitdisc.features.aperiodicity import EDGES
from unitdisc.features.configs import LogMelConfig
from unitdisc.features.excitation import Excitation
from unitdisc.synthesis.envelope import Envelope, minimum_phase

Array = NDArray[np.float64]
Places = NDArray[np.int64]

RESPONSE = 0.05  # s: how long a pulse may sound, at least
BROAD = 100.0  # Hz: envelopes of unvoiced frames are smoothed over so much
LEAST = 1e-6  # share of power that stands for none
BLOCK = 400  # frames that are computed together


def speak(log_mel: Tensor, excitation: Excitation, config: LogMelConfig, seed: int = 0) -> Tensor:
    """Return the waveform [T * hop] of log-mel frames [T, M] and as many of excitation; log_mel may have a gradient."""
    voice = SourceFilter(config, seed)
    pieces = [voice.push(frames, part) for frames, part in _blocks(log_mel, excitation)]
    return torch.cat([*pieces, voice.finish()])


def _blocks(log_mel: Tensor, excitation: Excitation) -> Iterator[tuple[Tensor, Excitation]]:
    for first in range(0, len(log_mel), BLOCK):
        here = slice(first, first + BLOCK)
        yield log_mel[here], Excitation(*(part[here] for part in excitation))


class SourceFilter:
    """Speaks one utterance as its frames come in."""

    def __init__(self, config: LogMelConfig, seed: int = 0) -> None:
        self.config, self.hop = config, config.hop
        size = max(RESPONSE * config.sample_rate, 4 * config.hop)
        self.size = 1 << math.ceil(math.log2(size))
        self.envelope = Envelope(config, self.size)
        self._shares = _interpolation(self.envelope.frequencies)
        self._seed = seed
        self._restart()

    def _restart(self) -> None:
        self._random = np.random.default_rng(self._seed)
        self._white = torch.zeros(0)  # noise that was drawn for a frame that is still to come
        self._tail = torch.zeros(0)  # sound that was begun and is not given out yet; starts at sample self._given
        self._given = 0
        self._frames = 0
        self._last: tuple[Tensor, float] | None = None  # complex log spectrum of the last frame's pulse, and its pitch
        self._phase = 0.0  # turns; at the last sample that a pitch was known of
        self._on = False  # whether that sample was voiced

    def push(self, log_mel: Tensor, excitation: Excitation) -> Tensor:
        """Take frames [T, M] and their excitation; return the samples that are certain now."""
        if not len(log_mel):
            return log_mel.new_zeros(0)
        known = excitation.frequency > 0
        width = torch.where(known, excitation.frequency, BROAD)
        log = self.envelope.log_magnitudes(log_mel, width)
        share = excitation.aperiodicity.to(log) @ self._shares
        noise = log + 0.5 * share.clamp(min=LEAST).log() - math.log(self.envelope.noise_scale)
        pulse = minimum_phase(log + 0.5 * (1.0 - share).clamp(min=LEAST).log())
        first, self._frames = self._frames, self._frames + len(log_mel)
        sound = torch.zeros(len(log_mel) * self.hop + self.size + 2 * self.hop).to(log)
        sound = _add(sound, [(torch.arange(len(self._tail)), self._tail)])
        sound = _add(sound, [self._noise(noise, first), *self._pulses(pulse, excitation.frequency.double().numpy())])
        # In the last frame's second half the next frame has its part, and a pulse may lie a sample before it.
        certain = self._frames * self.hop - self.hop // 2 - 1 - self._given
        out, self._tail = sound[:certain], sound[certain:]
        self._given += certain
        return out

    def finish(self) -> Tensor:
        """Return the last samples, so that there are hop for each frame; the next push begins another utterance."""
        sound = self._tail
        if self._last is not None:
            pulse, frequency = self._last
            sound = _add(sound, self._pulses(pulse[None], np.array([frequency]), end=True))
        sound = sound[: self._frames * self.hop - self._given]
        self._restart()
        return sound

    def _noise(self, log: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """Return where from self._given on, and which samples, of filtered noise: windows of two hops, one a frame."""
        hop, frames = self.hop, len(log)
        new = frames * hop + (hop if not len(self._white) else 0)
        white = torch.cat([self._white, torch.from_numpy(self._random.standard_normal(new)).float()])
        self._white = white[-hop:]
        pieces = white.unfold(0, 2 * hop, hop) * torch.hann_window(2 * hop)
        made = torch.fft.irfft(torch.fft.rfft(pieces, self.size) * minimum_phase(log).exp(), self.size)
        starts = (first + torch.arange(frames)) * hop - hop // 2 - self._given
        return _laid(made, starts)

    def _pulses(self, spectra: Tensor, frequency: Array, end: bool = False) -> list[tuple[Tensor, Tensor]]:
        """Return pulses of complex log spectra [T, size / 2 + 1] at a pitch [T], from the last frame's middle on.

        They reach to the middle of these frames' last; at the end, which gives the last frame again, to its end.
        """
        half, first = self.hop // 2, self._frames - len(frequency)
        begin = 0 if self._last is None else (first + end) * self.hop - half
        stop = self._frames * self.hop - (0 if end else half)
        if self._last is not None and not end:
            first -= 1
            spectra = torch.cat([self._last[0][None], spectra])
            frequency = np.concatenate([[self._last[1]], frequency])
        self._last = spectra[-1], float(frequency[-1])
        place = ((np.arange(begin, stop) + 0.5) / self.hop - 0.5 - first).clip(0, len(frequency) - 1)
        low, high = _neighbours(place, frequency > 0)
        weight = place - np.floor(place)
        turns, late = self._turns(frequency, place, low, high, weight)
        if not len(turns):
            return []
        one, other = torch.from_numpy(low[turns]), torch.from_numpy(high[turns])
        share = torch.from_numpy(weight[turns]).to(spectra.real)[:, None]
        angles = torch.arange(self.size // 2 + 1) * (2 * math.pi / self.size)
        # A pulse lies up to a sample before the one at which its period was seen to begin.
        early = torch.from_numpy(1.0 - late).to(spectra.real)[:, None]
        logs = spectra[one] + share * (spectra[other] - spectra[one]) - 1j * angles * early
        made = torch.fft.irfft(logs.exp() * (angles > 0), self.size)
        return [_laid(made, torch.from_numpy(begin + turns - 1) - self._given)]

    def _turns(self, frequency: Array, place: Array, low: Places, high: Places, weight: Array) -> tuple[Places, Array]:
        """Return at which of the samples a period has begun since the one before, and by how much of a sample.

        Each sample lies at a place among the frames, between two of them and nearer to the second by a weight.
        """
        on = frequency[np.floor(place + 0.5).astype(np.int64)] > 0
        log = np.log(np.where(frequency > 0, frequency, 1.0))
        speed = np.exp(log[low] * (1 - weight) + log[high] * weight) / self.config.sample_rate  # turns per sample
        turns, late = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
        edges = np.flatnonzero(np.diff(on.astype(np.int8), prepend=0, append=0))
        for start, after in zip(edges[::2], edges[1::2], strict=True):
            # A stretch that begins here begins with a pulse; one that goes on has its phase from before.
            before = self._phase if start == 0 and self._on else -speed[start]
            phase = np.cumsum(np.concatenate([[before], speed[start:after]]))
            turn = np.flatnonzero(np.diff(np.floor(phase)) > 0)
            turns.append(start + turn)
            late.append((phase[turn + 1] - np.floor(phase[turn + 1])) / speed[start + turn])
            self._phase = phase[-1] - np.floor(phase[-1])
        self._on = bool(on[-1]) if len(on) else self._on
        return np.concatenate(turns), np.concatenate(late)


def _neighbours(place: Array, voiced: NDArray[np.bool_]) -> tuple[Places, Places]:
    """Return the frames before and after each place, an unvoiced one replaced by the other: it has no pulse."""
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, len(voiced) - 1)
    return np.where(voiced[low], low, high), np.where(voiced[high], high, low)


def _laid(made: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places and samples of pieces [N, size] that start somewhere; what lies before 0 is cut off."""
    places = starts[:, None] + torch.arange(made.shape[1])
    inside = places >= 0
    return places[inside], made[inside]


def _add(sound: Tensor, pieces: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    for places, samples in pieces:
        fits = places < len(sound)
        sound = sound.index_add(0, places[fits], samples[fits])
    return sound


def _interpolation(frequencies: Tensor) -> Tensor:
    """Return [bands, F]: how a value for each band becomes one for each frequency, by lines between their middles."""
    middles = [(low + high) / 2 for low, high in pairwise(EDGES)]
    bands = np.eye(len(middles))
    return torch.from_numpy(np.stack([np.interp(frequencies.numpy(), middles, row) for row in bands])).float()
