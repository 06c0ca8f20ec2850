"""Features without an archive: computed when they are asked for, or once for a work that goes through them often."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch

from unitdisc.data.change import changed
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FloatMatrix
from unitdisc.errors import MOST_FAILED, DataError
from unitdisc.features.archives import POOL
from unitdisc.features.cmvn import Cmvn, Normalisation, normalised
from unitdisc.features.configs import FeatureConfig
from unitdisc.features.frames import FrameMaker
from unitdisc.processes import in_order


class LiveFrames:
    """Features computed from audio when asked for; normalisation by speaker hears all of a speaker first."""

    def __init__(self, config: FeatureConfig, data: DataDir, change: str = "", device: str = "cpu") -> None:
        """Prepare; with `change`, a name of data/change.py, the audio is changed first."""
        self.config, self.data, self.change = config, data, change
        self.maker = FrameMaker(config, device)
        self.counts: dict[str, int] = {}  # frames of each utterance, where whoever made this knows them
        self._ahead: dict[str, FloatMatrix | DataError] = {}
        self._by_speaker: dict[str, Normalisation] = {}

    def __getitem__(self, utt: str) -> np.ndarray:
        """Return an utterance's frames, normalised; none of one that is too short."""
        speaker = self.data.utt2spk[utt]
        frames = self._frames(utt)
        if not len(frames):
            return frames
        if self.config.cmvn == "speaker" and speaker not in self._by_speaker:
            stats = Cmvn(self.maker.dim)
            for other in self.data.spk2utt[speaker]:
                with suppress(DataError, OSError):  # as in an archive: what cannot be read counts for nothing
                    stats.add_(frames if other == utt else self._frames(other))
            self._by_speaker[speaker] = stats.normalisation(self.config.cmvn_variance)
        return normalised(frames, self.config, self._by_speaker.get(speaker))

    def _frames(self, utt: str) -> FloatMatrix:
        """Return an utterance's frames [T, D] before normalisation; none of one that is too short."""
        if utt in self._ahead and self.frames(utt):
            return self.raw(utt)
        samples = self._samples(utt)
        if not self.config.grid.frames(len(samples)):
            return np.zeros((0, self.maker.dim), dtype=np.float32)
        return self.maker.raw(samples, self.config.sample_rate)

    def raw(self, utt: str) -> FloatMatrix:
        """Return an utterance's frames [T, D] before normalisation."""
        frames = self._ahead.get(utt)
        if isinstance(frames, DataError):
            raise frames
        return self.maker.raw(self._samples(utt), self.config.sample_rate) if frames is None else frames

    def look_ahead_(self, utts: Sequence[str]) -> None:
        """Make what is asked for next together, if that is faster; what was made before is forgotten."""
        self._ahead = {}
        if not self.maker.batched:
            return
        waves: dict[str, np.ndarray] = {}
        for utt in utts:
            try:
                waves[utt] = self._samples(utt)
            except (DataError, OSError) as error:
                self._ahead[utt] = DataError(str(error))
        made = self.maker.raw_of_all(list(waves.values()), self.config.sample_rate)
        self._ahead.update(zip(waves, made, strict=True))

    def _samples(self, utt: str) -> np.ndarray:
        samples = self.data.source(utt).load(self.config.sample_rate)
        return changed(samples, self.config.sample_rate, self.change, utt) if self.change else samples

    def __contains__(self, utt: object) -> bool:
        """Tell whether there is such an utterance."""
        return utt in self.data.utt2spk

    def frames(self, utt: str) -> int:
        """Return an utterance's number of frames."""
        if utt in self.counts:
            return self.counts[utt]
        return self.config.grid.frames(self.data.source(utt).samples(self.config.sample_rate))


class _Place(NamedTuple):
    first: int  # byte
    frames: int


class KeptFrames:
    """The features of a data directory, computed once, in a file without a name that ends with this process.

    Those of self-supervised models are kept as float16.
    """

    def __init__(self, config: FeatureConfig, data: DataDir, home: Path, jobs: int = 1, device: str = "cpu") -> None:
        """Compute all; the file lies on the disk of `home`."""
        self.config, self.data = config, data
        self.failed: dict[str, str] = {}
        self._places: dict[str, _Place] = {}
        self._stats: dict[str, Cmvn] = {}
        self._file: BinaryIO = tempfile.TemporaryFile(dir=home)  # noqa: SIM115  # as long as this object
        self._type, self._dim = np.dtype(np.float32), 0
        for made in _all_frames(config, data, jobs, device):
            for utt, frames in made.items():
                self._add(utt, frames)
        self._file.flush()
        if len(self.failed) > MOST_FAILED * len(data.utts) or not self._places:
            first = ": ".join(next(iter(self.failed.items()), ("there are no utterances", "")))
            raise DataError(f"{data.path}: {len(self.failed)} of {len(data.utts)} utterances cannot be used; {first}")
        self._by_speaker = {spk: stats.normalisation(config.cmvn_variance) for spk, stats in self._stats.items()}

    def _add(self, utt: str, frames: FloatMatrix | str) -> None:
        if isinstance(frames, str):
            self.failed[utt] = frames
            return
        self._type, self._dim = frames.dtype, frames.shape[1]
        self._places[utt] = _Place(self._file.tell(), len(frames))
        self._file.write(np.ascontiguousarray(frames).tobytes())
        self._stats.setdefault(self.data.utt2spk[utt], Cmvn(self._dim)).add_(frames.astype(np.float32))

    def __getitem__(self, utt: str) -> np.ndarray:
        """Return an utterance's frames [T, D], normalised."""
        place = self._places[utt]
        self._file.seek(place.first)
        content = self._file.read(place.frames * self._dim * self._type.itemsize)
        frames = np.frombuffer(content, self._type).reshape(-1, self._dim).astype(np.float32)
        return normalised(frames, self.config, self._by_speaker[self.data.utt2spk[utt]])

    def __contains__(self, utt: object) -> bool:
        """Tell whether there are features of an utterance."""
        return utt in self._places

    def frames(self, utt: str) -> int:
        """Return an utterance's number of frames."""
        return self._places[utt].frames

    def normalisation(self) -> Normalisation:
        """Return mean and deviation of all frames."""
        total = Cmvn(self._dim)
        for stats in self._stats.values():
            total.stats += stats.stats
        return total.normalisation(self.config.cmvn_variance)


Made = dict[str, "FloatMatrix | str"]  # frames, or what is wrong with the audio


def _all_frames(config: FeatureConfig, data: DataDir, jobs: int, device: str) -> Iterator[Made]:
    """Make the frames of all utterances, always the same ones together."""
    pools = [data.utts[n : n + POOL] for n in range(0, len(data.utts), POOL)]
    if jobs == 1 or len(pools) == 1:
        live = LiveFrames(config, data, device=device)
        yield from (_made(live, pool) for pool in pools)
        return
    yield from in_order(_work, pools, min(jobs, len(pools)), _start, (config, str(data.path), device), preload=__name__)


def _made(live: LiveFrames, utts: Sequence[str]) -> Made:
    live.look_ahead_(utts)
    made: Made = {}
    for utt in utts:
        try:
            frames = live.raw(utt)
            made[utt] = frames.astype(np.float16) if live.maker.batched else frames
        except (DataError, OSError) as error:
            made[utt] = str(error)
    return made


_here: list[LiveFrames] = []  # in one of several processes


def _start(config: FeatureConfig, data: str, device: str) -> None:
    torch.set_num_threads(1)
    _here.append(LiveFrames(config, DataDir.read(data), device=device))


def _work(utts: Sequence[str]) -> Made:
    return _made(_here[0], utts)
