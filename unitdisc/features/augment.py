"""Speech that was never recorded so: each utterance in several versions, changed at random, for an encoder to train on.

A version is a pure function of the seed, the utterance and its number, whoever makes it and when. So it may be kept on
the disk or made anew, and a training that goes on hears what it would have heard.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from unitdisc.config import digest
from unitdisc.data.audio import AudioSource
from unitdisc.data.change import add_noise, coloured_noise, equalise, limit_band, reverberate
from unitdisc.data.corpora import AUDIO
from unitdisc.data.kaldi import DataDir, data_digest
from unitdisc.data.store import FloatMatrix
from unitdisc.errors import ConfigError, DataError
from unitdisc.features.acoustic import FULL_SCALE
from unitdisc.features.configs import AugmentConfig, FbankConfig, FeatureConfig, MfccConfig
from unitdisc.features.frames import FrameMaker
from unitdisc.files import whole_file

WARP_STEP = 0.01  # warps are rounded to this, so that filters are made once
LONGEST = 30.0  # s of a recording that stands for noise
VOICES, VOICE = 64, 10.0  # other utterances that are heard as noise, and s of each: so many are decoded once and kept
RECIPE = 2  # counts the changes of what is written here; versions of another recipe are made again


class Draw:
    """What one version of an utterance is like."""

    def __init__(self, config: AugmentConfig, hop: int, seed: int, utt: str, version: int) -> None:
        self.random = np.random.default_rng([seed, zlib.crc32(utt.encode()), version])
        stretch, speed = (math.exp(math.log1p(x) * self.random.uniform(-1, 1)) for x in (config.warp, config.tempo))
        self.warp = round(round(stretch / WARP_STEP) * WARP_STEP, 6)  # 1: as it is
        self.hop = max(round(hop * speed), 1)  # samples: a frame is made so often
        self.tempo = self.hop / hop  # times as fast
        self.degraded = bool(self.random.random() < config.degraded)


class Versions:
    """The versions of the utterances of a data directory, ready for the model."""

    def __init__(
        self,
        features: FeatureConfig,
        augment: AugmentConfig,
        data: DataDir,
        seed: int,
        folder: Path,
        utts: Sequence[str],
        frames: int,
    ) -> None:
        """Prepare for the utterances that can be used, of so many frames in all; keep in a folder what may be kept."""
        if not isinstance(features, (MfccConfig, FbankConfig)):
            raise ConfigError("augment: set features.kind to mfcc or fbank; others cannot be changed so")
        if features.cmvn == "speaker":
            raise ConfigError("augment: a version is normalised by itself; set features.cmvn to utterance")
        self.count, self._recordings = augment.versions, _recordings(augment.noise_folder)
        self.augment, self._features, self._data, self._seed = augment, features, data, seed
        self.retimed = augment.tempo > 0
        about = [RECIPE, digest(features), digest(augment), seed, data_digest(data.path)]
        self.folder = folder / digest(about)
        self._utts, self._number = utts, {utt: number for number, utt in enumerate(utts)}
        room, size = augment.kept * 1e9, 2 * frames * features.grid.hop  # bytes; of what is decoded, 16 bits a sample
        self._keeps_decoded = size <= room / 2 and augment.versions > 1
        room -= size if self._keeps_decoded else 0
        self._kept = min(int(room / (2 * frames * FrameMaker(features).dim)), augment.versions)
        self._voices = np.random.default_rng([seed, 3]).integers(len(utts), size=VOICES)
        self._loud: dict[int, FloatMatrix] = {}

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

    def tempo(self, utt: str, version: int) -> float:
        """Return how many times as fast as the utterance a version is."""
        return self._draw(utt, version).tempo

    def make(self, utt: str, version: int) -> FloatMatrix:
        """Return the frames [T, D] of a version, made anew."""
        draw, rate = self._draw(utt, version), self._features.sample_rate
        samples = self._decoded(utt)
        if draw.degraded and len(samples):
            samples = self._degraded(samples, rate, draw.random).astype(np.float32)
        return _maker(replace(self._features, hop=draw.hop), draw.warp).frames_of(samples, rate)

    def _decoded(self, utt: str) -> FloatMatrix:
        """Return the samples [S] of an utterance, to 16 bits; what is dear to decode is decoded once."""
        path = self.folder / "decoded" / f"{self._number[utt]}.npy"
        if self._keeps_decoded and path.is_file():
            return np.load(path, allow_pickle=False) * np.float32(1 / FULL_SCALE)
        source, rate = self._data.source(utt), self._features.sample_rate
        samples = np.clip(np.rint(source.load(rate) * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        if self._keeps_decoded and source.path.suffix.lower() != ".wav":
            with whole_file(path, binary=True) as out:
                np.save(out, samples, allow_pickle=False)
        return samples * np.float32(1 / FULL_SCALE)

    def _draw(self, utt: str, version: int) -> Draw:
        return Draw(self.augment, self._features.hop, self._seed, utt, version)

    def _degraded(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
        augment, level = self.augment, float(np.sqrt(np.mean(samples**2)))
        room, microphone, telephone, noise = random.random(4) < (
            augment.rooms,
            augment.microphones,
            augment.telephones,
            augment.noises,
        )
        if room:
            samples = reverberate(samples, rate, random, random.uniform(*augment.decay), random.uniform(0, 10))
        if noise:
            snr = random.uniform(*augment.snr)
            samples = add_noise(samples, rate, random, snr, self._noise(len(samples), rate, random))
        if microphone:
            samples = equalise(samples, rate, random, 4.0)
        if telephone:
            samples = limit_band(samples, rate, random, random.uniform(100, 400), random.uniform(3000, 7000))
        return samples * (level / max(float(np.sqrt(np.mean(samples**2))), 1e-12))

    def _noise(self, count: int, rate: int, random: np.random.Generator) -> np.ndarray:
        """Return noise [count]: of the folder of recordings, if there is one, white, coloured, or four voices."""
        kind = int(random.integers(0 if self._recordings else 1, 4))
        if kind == 0:
            recording = self._recordings[random.integers(len(self._recordings))]
            return _looped(recording.load(rate, count=int(LONGEST * rate)), count, random)
        if kind == 1:
            return random.standard_normal(count, dtype=np.float32)
        if kind == 2:
            return coloured_noise(count, random, random.uniform(0, 2))
        voices = [self._voice(i, rate) for i in random.choice(self._voices, size=4)]
        return np.sum([_looped(voice, count, random) for voice in voices], axis=0)

    def _voice(self, number: int, rate: int) -> FloatMatrix:
        """Return the beginning [S] of an utterance, all of them as loud as each other; each is decoded once."""
        if number not in self._loud:
            samples = self._decoded(self._utts[number])[: int(VOICE * rate)]
            self._loud[number] = samples / max(float(np.sqrt(np.mean(samples**2))), 1e-12)
        return self._loud[number]


def _recordings(folder: str) -> list[AudioSource]:
    """Return the recordings in a folder, in order."""
    if not folder:
        return []
    try:
        paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in AUDIO)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
    if not paths:
        raise DataError(f"augment.noise_folder: {folder} has no recordings ({', '.join(AUDIO)})")
    return [AudioSource(path) for path in paths]


def _looped(samples: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Return [count] of samples from a random place on, again and again if they are too few."""
    if not len(samples):
        return np.zeros(count, np.float32)
    return np.resize(np.roll(samples, -int(random.integers(len(samples)))), count)


@lru_cache(maxsize=512)
def _maker(config: FeatureConfig, warp: float) -> FrameMaker:
    return FrameMaker(config, warp=warp)
