"""What excites the vocal tract: pitch, voicing, and how much of each band is noise.

As frames of a feature archive: log F0 (in unvoiced frames a line between its neighbours), voicing (0 or 1), and the
noise's share of the power in each band.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unitdisc.data.timing import FrameGrid
from unitdisc.features.aperiodicity import BANDS, aperiodicity
from unitdisc.features.base import FeatureModule, Features
from unitdisc.features.configs import ExcitationConfig
from unitdisc.features.framing import frame_counts
from unitdisc.features.pitch import PitchOptions, pitch

Array = NDArray[np.float64]

DIM = 2 + BANDS
VOICING = 1  # the column; log F0 is the first, the bands are the rest
NOWHERE = 120.0  # Hz: what an utterance without a voiced frame says of its pitch


class Excitation(NamedTuple):
    """The source of one utterance."""

    frequency: Tensor  # [T] Hz, float64; 0: unvoiced
    aperiodicity: Tensor  # [T, BANDS]: the noise's share of the power, 1 in unvoiced frames

    def to_frames(self) -> Tensor:
        """Return what a feature archive holds [T, DIM]."""
        log, voiced = log_contour(self.frequency.numpy())
        beside = torch.from_numpy(np.stack([log, voiced], axis=1))
        return torch.cat([beside, self.aperiodicity.double()], 1).float()

    @classmethod
    def of_frames(cls, frames: Tensor) -> "Excitation":
        """Take up frames [T, DIM] of an archive, or of a decoder: voiced is what is above one half."""
        voiced = frames[:, 1] > 0.5
        frequency = torch.where(voiced, frames[:, 0].double().exp(), 0.0)
        return cls(frequency, torch.where(voiced[:, None], frames[:, 2:].clamp(0.0, 1.0), 1.0))


def analyse(wave: NDArray[np.floating], grid: FrameGrid, options: PitchOptions | None = None) -> Excitation:
    """Return the excitation of the grid's frames of a waveform."""
    frequency = pitch(wave, grid, options)
    return Excitation(torch.from_numpy(frequency), torch.from_numpy(aperiodicity(wave, frequency, grid)))


def log_contour(frequency: Array) -> tuple[Array, Array]:
    """Return log F0 without gaps [T], and the voicing [T]."""
    voiced = frequency > 0
    if not voiced.any():
        return np.full(len(frequency), np.log(NOWHERE)), voiced.astype(np.float64)
    known = np.flatnonzero(voiced)
    return np.interp(np.arange(len(frequency)), known, np.log(frequency[known])), voiced.astype(np.float64)


class ExcitationFeatures(FeatureModule):
    """Excitation as features, beside those of an encoder or the targets of a decoder."""

    def __init__(self, config: ExcitationConfig) -> None:
        super().__init__()
        self.grid, self.dim = config.grid, DIM
        self.options = PitchOptions(config.fmin, config.fmax)

    @torch.no_grad()
    def forward(self, waves: Tensor, samples: Tensor) -> Features:
        """Turn waves [B, S], each with its number of samples [B], into frames."""
        rows = [
            analyse(wave[: int(count)].cpu().double().numpy(), self.grid, self.options).to_frames()
            for wave, count in zip(waves, samples, strict=True)
        ]
        frames = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(waves.device)
        return Features(frames, frame_counts(samples, self.grid))
