"""Speech that was never recorded so: each utterance in several versions, changed at random, for an encoder to train on.

A version is a pure function of the seed, the utterance and its number, whoever makes it and when. So it may be kept on
the disk or made anew, and a training that goes on hears what it would have heard.
"""

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from unitdisc.config import digest
from unitdisc.data.kaldi import DataDir, data_digest
from unitdisc.data.store import FloatMatrix
from unitdisc.errors import ConfigError
from unitdisc.features.configs import FbankConfig, FeatureConfig, MfccConfig
from unitdisc.features.frames import FrameMaker
from unitdisc.files import whole_file

WARP_STEP = 0.01  # warps are rounded to this, so that filters are made once


@dataclass(frozen=True)
class AugmentConfig:
    """How an encoder hears the utterances that it trains on."""

    versions: int = 8  # of each utterance; one is drawn each time
    warp: float = 0.0  # the frequencies of voices are multiplied by up to 1 + warp, or divided
    kept: float = 4.0  # GB of versions that are kept on the disk while training; others are made each time

    def __post_init__(self) -> None:
        if self.versions < 1 or not 0 <= self.warp < 0.5 or self.kept < 0:
            raise ConfigError(
                "augment: versions must be above 0, warp in 0..0.5, kept not below 0, "
                f"got {self.versions}, {self.warp}, {self.kept}"
            )

    @property
    def on(self) -> bool:
        """Tell whether anything is changed."""
        return self.warp > 0


class Draw:
    """What one version of an utterance is like."""

    def __init__(self, config: AugmentConfig, seed: int, utt: str, version: int) -> None:
        random = np.random.default_rng([seed, zlib.crc32(utt.encode()), version])
        stretch = math.exp(math.log1p(config.warp) * random.uniform(-1, 1))
        self.warp = round(round(stretch / WARP_STEP) * WARP_STEP, 6)  # 1: as it is


class Versions:
    """The versions of the utterances of a data directory, ready for the model."""

    def __init__(
        self, features: FeatureConfig, augment: AugmentConfig, data: DataDir, seed: int, folder: Path, frames: int
    ) -> None:
        """Keep in a folder what may be kept; the data has so many frames in all."""
        if not isinstance(features, (MfccConfig, FbankConfig)):
            raise ConfigError("augment: set features.kind to mfcc or fbank; others cannot be changed so")
        if features.cmvn == "speaker":
            raise ConfigError("augment: a version is normalised by itself; set features.cmvn to utterance")
        self.count = augment.versions
        self.augment, self._features, self._data, self._seed = augment, features, data, seed
        about = [digest(features), digest(augment), seed, data_digest(data.path)]
        self.folder = folder / digest(about)
        self._number = {utt: number for number, utt in enumerate(data.utts)}
        size = frames * FrameMaker(features).dim * 2
        self._kept = min(int(augment.kept * 1e9 / max(size, 1)), augment.versions)

    def frames(self, utt: str, version: int) -> FloatMatrix:
        """Return the frames [T, D] of a version, to half precision."""
        path = self.folder / str(version) / f"{self._number[utt]}.npy"
        if version < self._kept and path.is_file():
            return np.load(path, mmap_mode="r", allow_pickle=False).astype(np.float32)
        frames = self.make(utt, version).astype(np.float16)
        if version < self._kept:
            with whole_file(path, binary=True) as out:
                np.save(out, frames, allow_pickle=False)
        return frames.astype(np.float32)

    def make(self, utt: str, version: int) -> FloatMatrix:
        """Return the frames [T, D] of a version, made anew."""
        draw = Draw(self.augment, self._seed, utt, version)
        samples = self._data.source(utt).load(self._features.sample_rate)
        return _maker(self._features, draw.warp).frames_of(samples, self._features.sample_rate)


@lru_cache(maxsize=64)
def _maker(config: FeatureConfig, warp: float) -> FrameMaker:
    return FrameMaker(config, warp=warp)
