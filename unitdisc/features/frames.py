"""Samples to the frames that a model reads: resampled, made into features, normalised as the configuration says.

This is the only way from audio to a model, so that units are the same whoever asks for them.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unitdisc.data.resample import resample
from unitdisc.data.store import FloatMatrix
from unitdisc.errors import ConfigError, DataError
from unitdisc.features.base import FeatureModule, Features
from unitdisc.features.build import build_raw_features
from unitdisc.features.cmvn import Normalisation, normalised
from unitdisc.features.configs import ArchiveConfig, FeatureConfig
from unitdisc.processes import single_thread


class FrameMaker:
    """Makes frames of one recording at a time."""

    def __init__(
        self,
        config: ArchiveConfig,
        device: str | torch.device = "cpu",
        *,
        warp: float = 1.0,
        layers: Sequence[int] = (),
    ) -> None:
        """Prepare for a device; a warp is that of `build_raw_features`, layers those of a self-supervised model."""
        self.config, self.device = config, torch.device(device)
        self._features = build_raw_features(config, warp, layers).to(self.device)
        self.dim, self.batched = int(str(self._features.dim)), self._features.batched

    def raw(self, samples: ArrayLike, rate: int) -> FloatMatrix:
        """Return features [T, D] of samples [S] in -1..1, before normalisation: what archives hold."""
        (frames,) = self.raw_of_all([samples], rate)
        if isinstance(frames, DataError):
            raise frames
        return frames

    def raw_of_all(self, recordings: Sequence[ArrayLike], rate: int) -> list[FloatMatrix | DataError]:
        """Return the features of each recording, or what is wrong with it; those made faster so are made together."""
        return [made if isinstance(made, DataError) else made[0] for made in self.raw_of_layers(recordings, rate)]

    def raw_of_layers(self, recordings: Sequence[ArrayLike], rate: int) -> list[tuple[FloatMatrix, ...] | DataError]:
        """Return the features of each recording in each layer, or what is wrong with it."""
        made: dict[int, tuple[FloatMatrix, ...] | DataError] = {}
        waves: dict[int, Tensor] = {}
        for number, samples in enumerate(recordings):
            wave = resample(_checked(samples, rate), rate, self.config.sample_rate)
            if self.config.grid.frames(len(wave)):
                waves[number] = torch.from_numpy(np.ascontiguousarray(wave)).to(self.device)
            else:
                made[number] = DataError(f"{len(wave)} samples are too few for a frame of {self.config.grid.window}")
        numbers = list(waves)
        groups = [numbers] if self.batched and numbers else [[number] for number in numbers]
        # On one thread of a CPU frames are the same bit for bit for any number of jobs.
        with single_thread() if self.device.type == "cpu" else nullcontext(), torch.inference_mode():
            for group in groups:
                counts = torch.tensor([len(waves[number]) for number in group], device=self.device)
                batch = [waves[number] for number in group]
                layers = self._features.of_layers(
                    batch[0][None] if len(batch) == 1 else pad_sequence(batch, True), counts
                )
                for row, number in enumerate(group):
                    length = self.config.grid.frames(len(waves[number]))
                    matrices = tuple(frames[row, :length].cpu().numpy() for frames in layers.values())
                    finite = all(np.isfinite(matrix).all() for matrix in matrices)
                    made[number] = matrices if finite else DataError("features are not finite")
        return [made[number] for number in range(len(recordings))]

    def frames_of(self, samples: ArrayLike, rate: int, of_speaker: Normalisation | None = None) -> FloatMatrix:
        """Return frames [T, D] as the model reads them; `cmvn: speaker` needs the speaker's mean and deviation."""
        check_speaker(self.config, of_speaker)
        return normalised(self.raw(samples, rate), self.config, of_speaker)


class ModelFeatures(FeatureModule):
    """Batches of waveforms to frames as a model reads them, normalised as the configuration says."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config, self.raw = config, build_raw_features(config)
        self.dim, self.grid = int(str(self.raw.dim)), config.grid

    def forward(self, waves: Tensor, samples: Tensor, of_speakers: list[Normalisation] | None = None) -> Features:
        """Turn waves [B, S] in -1..1, each with its number of samples [B] and its speaker's statistics, into frames."""
        check_speaker(self.config, of_speakers)
        frames, lengths = self.raw(waves, samples)
        if self.config.cmvn not in ("none", "global"):  # those are left to the model
            for row, length in enumerate(lengths.tolist()):
                own = frames[row, :length].cpu().numpy()
                of_speaker = of_speakers[row] if of_speakers is not None else None
                frames[row, :length] = torch.from_numpy(normalised(own, self.config, of_speaker)) if length else 0
        return Features(frames, lengths)


def build_features(config: FeatureConfig) -> ModelFeatures:
    """Make what turns waveforms into the frames of a model: forward(waves [B, S], samples [B]) -> Features."""
    return ModelFeatures(config)


def check_speaker(config: ArchiveConfig, of_speaker: object) -> None:
    """Refuse to normalise by a speaker of whom nothing is known."""
    if config.cmvn == "speaker" and of_speaker is None:
        raise ConfigError(
            "features.cmvn is speaker: what a recording is normalised by follows from all recordings of its speaker; "
            "encode a data directory with `unitdisc encode`, or give the speaker's mean and deviation"
        )


def _checked(samples: ArrayLike, rate: int) -> np.ndarray:
    wave = np.asarray(samples)
    if wave.ndim != 1:
        raise DataError(f"expected the samples of one channel, [S], got an array of shape {list(wave.shape)}")
    if wave.dtype.kind != "f":
        raise DataError(f"expected samples between -1 and 1 as floating point numbers, got {wave.dtype}")
    if rate < 1:
        raise DataError(f"expected a sample rate in Hz, got {rate}")
    return wave.astype(np.float32, copy=False)
