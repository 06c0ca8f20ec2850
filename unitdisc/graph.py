"""A model as one graph, samples to units: what is traced for ONNX.

Everything is written as operations on tensors of any length, so features stand here a second time, without the blocks
that make them fast in `features/acoustic.py`; tests hold the two together. A graph computes in another order than the
model itself, so that now and then a frame that lies between two codewords gets the other one.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unitdisc.errors import ConfigError
from unitdisc.features.acoustic import EPSILON, FULL_SCALE, KaldiFeatures, LogMel
from unitdisc.features.build import build_raw_features
from unitdisc.features.cmvn import VARIANCE_FLOOR
from unitdisc.features.configs import FbankConfig, FeatureConfig, LogMelConfig, MfccConfig
from unitdisc.model import UnitModel


def _counted(*ends: Any) -> Tensor:
    """Return the numbers up to, or from and up to, scalar tensors: a trace follows what torch's types forbid."""
    return torch.arange(*ends)


class FrameGraph(nn.Module):
    """Samples [S] at the model's rate to frames [T, D], normalised by utterance where the configuration says so."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        if not isinstance(config, (MfccConfig, FbankConfig, LogMelConfig)):
            raise ConfigError(f"features of kind {config.kind} are not in the graph; those of mfcc, fbank, logmel are")
        if config.cmvn in ("speaker", "sliding"):
            raise ConfigError(
                f"features.cmvn is {config.cmvn}: a graph normalises by the training data (global), by utterance, "
                "or not at all"
            )
        if getattr(config, "dither", 0):
            raise ConfigError("features.dither is above 0: a graph adds no noise")
        made = build_raw_features(config)
        assert isinstance(made, (KaldiFeatures, LogMel))
        self.config, self.grid, self.features = config, config.grid, made
        steps = torch.arange(config.window, dtype=torch.float64)[:, None]
        bins = torch.arange(made.n_fft // 2, dtype=torch.float64)
        angles = 2 * math.pi * steps * bins / made.n_fft
        self.register_buffer("cosine", angles.cos().float())
        self.register_buffer("sine", angles.sin().float())

    cosine: Tensor  # [window, n_fft / 2]
    sine: Tensor

    def forward(self, samples: Tensor) -> Tensor:
        """Return frames [T, D]."""
        windows = self._windows(samples)
        frames = self._log_mel(windows) if isinstance(self.features, LogMel) else self._kaldi(windows, self.features)
        return self._by_utterance(frames) if self.config.cmvn == "utterance" else frames

    def count(self, samples: Tensor) -> Tensor:
        """Return T, as a tensor that a trace follows."""
        size, grid = torch._shape_as_tensor(samples)[0], self.grid
        if grid.snip_edges:
            return torch.div(size - grid.window, grid.hop, rounding_mode="trunc") + 1
        return torch.div(size + grid.hop // 2, grid.hop, rounding_mode="trunc")

    def _windows(self, samples: Tensor) -> Tensor:
        """Return [T, window]: samples under each window, mirrored at the ends."""
        grid, size = self.grid, torch._shape_as_tensor(samples)[0]
        first = 0 if grid.snip_edges else grid.hop // 2 - grid.window // 2
        starts = _counted(self.count(samples))[:, None] * grid.hop + first
        places = torch.remainder(starts + torch.arange(grid.window), 2 * size)
        places = torch.where(places < size, places, 2 * size - 1 - places)
        return samples.index_select(0, places.flatten()).reshape(-1, grid.window)

    def _power(self, windows: Tensor) -> Tensor:
        return (windows @ self.cosine).square() + (windows @ self.sine).square()

    def _log_mel(self, windows: Tensor) -> Tensor:
        assert isinstance(self.config, LogMelConfig)
        power = self._power(windows * self.features.window)
        banks = self.features.banks[:, : self.config.mels]
        return (power.sqrt() @ banks).clamp(min=self.config.floor).log()

    def _kaldi(self, windows: Tensor, features: KaldiFeatures) -> Tensor:
        config = features.config
        centred = windows - windows.mean(1, keepdim=True)
        past = torch.cat([centred[:, :1], centred[:, :-1]], 1)
        energies = self._power((centred - config.preemphasis * past) * features.window)
        energies = energies @ features.banks[:, : config.mels]
        floor = torch.tensor(max(config.floor, EPSILON))
        if config.floor_db:
            mean = energies.double().mean() * 10 ** (-config.floor_db / 10)
            floor = torch.maximum(floor, mean.float())
        frames = torch.maximum(energies, floor).log()
        if isinstance(config, MfccConfig):
            frames = frames @ features.cepstra[: config.mels]
        if config.energy:
            energy = (centred.double().square().sum(1, keepdim=True) * FULL_SCALE**2).clamp(min=EPSILON).log().float()
            frames = torch.cat([energy, frames[:, 1:] if isinstance(config, MfccConfig) else frames], 1)
        return self._deltas(frames, features)

    def _deltas(self, frames: Tensor, features: KaldiFeatures) -> Tensor:
        deltas = features.deltas
        if deltas.orders == 0:
            return frames
        columns = F.pad(frames.t()[None], (deltas.reach, deltas.reach), "replicate").transpose(0, 1)
        differences = F.conv1d(columns, deltas.filters)  # [D, orders, T]
        return torch.cat([frames, differences.permute(2, 1, 0).flatten(1)], 1)

    def _by_utterance(self, frames: Tensor) -> Tensor:
        exact = frames.double()
        mean = exact.mean(0)
        if not self.config.cmvn_variance:
            return frames - mean.float()
        spread = (exact.square().mean(0) - mean.square()).clamp(min=VARIANCE_FLOOR)
        return (frames - mean.float()) / spread.sqrt().float()


class UnitGraph(nn.Module):
    """Samples [S] at the model's rate to units [T'] int64, those of several codebooks in mixed radix."""

    def __init__(self, model: UnitModel) -> None:
        super().__init__()
        if not model.quantizer.codes:
            raise ConfigError("the model has no codebook (quantizer.kind: none), so a graph has no units to say")
        self.frames = FrameGraph(model.config.features)
        self.encoder, self.quantizer = model.encoder, model.quantizer
        self.register_buffer("mean", model.mean)
        self.register_buffer("std", model.std)

    mean: Tensor  # [D]
    std: Tensor

    def forward(self, samples: Tensor) -> Tensor:
        """Return units [T']."""
        frames, stride = (self.frames(samples) - self.mean) / self.std, self.encoder.stride
        count = self.frames.count(samples)
        # Whole units of frames, the last ones masked: no layer then has anything left over that it would have to pad.
        units = torch.div(count + stride - 1, stride, rounding_mode="trunc")
        padded = torch.cat([frames, frames.new_zeros(stride - 1, frames.shape[1])])
        padded = padded.index_select(0, _counted(units * stride))
        vectors, _ = self.encoder(padded[None], count[None])
        columns = self.quantizer.encode(vectors)[0]
        compound = columns[:, 0]
        for group, codes in enumerate(self.quantizer.codes[1:], start=1):
            compound = compound * codes + columns[:, group]
        return compound


class StreamGraph(nn.Module):
    """Pieces of samples to the units that are certain: state in, state out; the units are those of the whole.

    The state holds the samples that later units still depend on, and how many of their units have been given.
    """

    def __init__(self, model: UnitModel) -> None:
        super().__init__()
        config = model.config.features
        if model.encoder.context is None:
            raise ConfigError("this encoder needs whole utterances (its LSTM reads them from both ends): no streaming")
        if config.cmvn == "utterance" or getattr(config, "floor_db", False):
            raise ConfigError(
                "features.cmvn: utterance and features.floor_db need the whole utterance for each frame: no streaming; "
                "train with cmvn: global and floor_db: 0, or take the format onnx"
            )
        self.whole = UnitGraph(model)
        grid, stride = config.grid, model.encoder.stride
        deltas = int(getattr(config, "deltas", 0)) * int(getattr(config, "delta_window", 0))
        frames = model.encoder.context + deltas + math.ceil(grid.window / grid.hop)
        self.side = math.ceil(frames / stride) + 1  # units that an edge of the samples may reach
        self.hop = grid.hop * stride

    def forward(self, samples: Tensor, state: Tensor, given: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take samples [S], the state [M] with its count of units given [1], and whether they are the last [1].

        Return units [T'], the next state [M'] and its count [1]; they begin empty and 0.
        """
        samples = torch.cat([state, samples])
        units = self.whole(samples)
        total = torch._shape_as_tensor(units)[0]
        end = torch.where(last[0], total, torch.maximum(total - self.side, given[0]))
        first = torch.clamp(end - self.side, min=0)
        kept = _counted(first * self.hop, torch._shape_as_tensor(samples)[0])
        new = units.index_select(0, _counted(given[0], end))
        return new, samples.index_select(0, kept), (end - first)[None]
