"""What a decoder gets wrong of a voice, learnt from a recording of it, and put right in all that it says.

The recording's own content is said in the voice, and held against the recording. What differs is explained twice: by
an affine map of log-mel, which can shift formants as well as levels, and, for what is left, by the frames of the
recording that say nearly the same, since voices differ from sound to sound.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from unitdisc.postfilter import speech_weights

RIDGE = 0.03  # weight of a map that changes nothing, in variances of log-mel
NEAR = 16  # frames of the recording that a frame is corrected by
SHARPNESS = 10.0  # how much more a nearer one counts: exp(SHARPNESS * cosine)
SMOOTH = 5  # frames over which a correction by near frames is averaged


class Correction(NamedTuple):
    """How log-mel that is said in a voice is to be changed."""

    mean: Tensor  # [M]: of what the decoder said of the recording
    slope: Tensor  # [M, M]
    offset: Tensor  # [M]
    centre: Tensor  # [D]: mean of the recording's content vectors
    keys: Tensor  # [N, D]: these less their mean, of length one, a row for each frame
    rests: Tensor  # [N, M]: what the map leaves of their error
    hold: int  # frames of a content vector

    @torch.no_grad()
    def __call__(self, log_mel: Tensor, vectors: Tensor) -> Tensor:
        """Correct log-mel [T, M] of content vectors [T', D]."""
        if not len(log_mel):
            return log_mel
        mapped = log_mel + (log_mel - self.mean) @ self.slope + self.offset
        nearness, near = (_keys(vectors, self.centre) @ self.keys.T).topk(min(NEAR, len(self.keys)), dim=1)
        rests = (self.rests[near] * torch.softmax(SHARPNESS * nearness, dim=1)[:, :, None]).sum(1)
        return mapped + _smoothed(_each_frame(rests, self.hold, len(log_mel)))


def fit_correction(said: Tensor, real: Tensor, vectors: Tensor, hold: int) -> Correction:
    """Learn from log-mel [T, M] that was said of a recording's content vectors [T', D], and the recording's own."""
    frames = min(len(said), len(real))
    said, real = said[:frames], real[:frames]
    weights = speech_weights(real)
    share = (weights / weights.sum())[:, None]
    mean, offset = (share * said).sum(0), (share * (real - said)).sum(0)
    centred = said - mean
    covariance = (share * centred).T @ centred
    ridge = (RIDGE * covariance.diagonal().mean() + 1e-8) * torch.eye(len(mean)).to(said)
    slope = torch.linalg.solve(covariance + ridge, (share * centred).T @ (real - said - offset))
    rests = real - said - centred @ slope - offset
    centre = vectors.mean(0)
    keys = _each_frame(_keys(vectors, centre), hold, frames)
    return Correction(mean, slope, offset, centre, keys, rests, hold)


def _keys(vectors: Tensor, centre: Tensor) -> Tensor:
    return F.normalize(vectors - centre, dim=1)


def _each_frame(rows: Tensor, hold: int, frames: int) -> Tensor:
    """Repeat the rows of units [T', D] for each of their frames [T, D]; after the last one, it goes on."""
    return rows[(torch.arange(frames, device=rows.device) // hold).clamp(max=len(rows) - 1)]


def _smoothed(rows: Tensor) -> Tensor:
    return F.avg_pool1d(rows.T[None], SMOOTH, 1, SMOOTH // 2, count_include_pad=False)[0].T
