"""Mean and variance normalisation: statistics as Kaldi keeps them, and features that are normalised when read."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unitdisc.data.kaldi import read_speakers
from unitdisc.data.store import FeatureReader, FloatMatrix
from unitdisc.errors import DataError
from unitdisc.features.configs import ArchiveConfig

VARIANCE_FLOOR = 1e-10  # a column that never changes becomes 0, not infinite


class Normalisation(NamedTuple):
    """What to subtract, and what to divide by."""

    mean: FloatMatrix  # [D]
    std: FloatMatrix  # [D]


class Cmvn:
    """Sums over frames: [2, D + 1] float64, Kaldi's layout (sums and count; squares and 0)."""

    def __init__(self, stats: NDArray[np.float64] | int) -> None:
        self.stats = np.zeros((2, stats + 1)) if isinstance(stats, int) else np.array(stats, dtype=np.float64)

    @property
    def count(self) -> float:
        """Return the number of frames."""
        return float(self.stats[0, -1])

    def add_(self, frames: FloatMatrix) -> None:
        """Count frames [T, D] in."""
        self.stats += frame_sums(frames)

    def normalisation(self, variance: bool = True) -> Normalisation:
        """Return mean and standard deviation, the latter 1 unless variance."""
        if self.count < 1:
            raise DataError("no frames to normalise by; the features are empty")
        mean = self.stats[0, :-1] / self.count
        spread = np.maximum(self.stats[1, :-1] / self.count - mean**2, VARIANCE_FLOOR)
        std = np.sqrt(spread) if variance else np.ones_like(mean)
        return Normalisation(mean.astype(np.float32), std.astype(np.float32))

    def apply(self, frames: FloatMatrix, variance: bool = True) -> FloatMatrix:
        """Return frames [T, D] normalised."""
        mean, std = self.normalisation(variance)
        return (frames - mean) / std


def frame_sums(frames: FloatMatrix) -> NDArray[np.float64]:
    """Return the statistics [2, D + 1] of frames [T, D]."""
    stats = np.zeros((2, frames.shape[1] + 1))
    exact = frames.astype(np.float64)
    stats[0, :-1], stats[0, -1] = exact.sum(axis=0), len(frames)
    stats[1, :-1] = np.square(exact).sum(axis=0)
    return stats


def sliding(frames: FloatMatrix, window: int, min_window: int, centred: bool, variance: bool) -> FloatMatrix:
    """Return frames [T, D] normalised by those around (or, not centred, before) each, as Kaldi's apply-cmvn-sliding.

    At the ends a window is moved, not cut; one that is not centred takes in frames to come up to min_window.
    """
    count = len(frames)
    index = np.arange(count)
    first = index - (window // 2 if centred else window)
    last = first + window if centred else np.maximum(index + 1, min_window)
    if centred:
        last = last + np.maximum(-first, 0)
    first = np.maximum(first, 0)
    over = np.maximum(last - count, 0)
    first, last = np.maximum(first - over, 0), last - over
    sums = np.zeros((count + 1, frames.shape[1]))
    np.cumsum(frames, axis=0, dtype=np.float64, out=sums[1:])
    size = (last - first)[:, None]
    mean = (sums[last] - sums[first]) / size
    if not variance:
        return (frames - mean).astype(np.float32)
    np.cumsum(np.square(frames, dtype=np.float64), axis=0, out=sums[1:])
    spread = np.maximum((sums[last] - sums[first]) / size - mean**2, VARIANCE_FLOOR)
    return np.where(size > 1, (frames - mean) / np.sqrt(spread), 0).astype(np.float32)


def normalised(frames: FloatMatrix, config: ArchiveConfig, of_speaker: Normalisation | None) -> FloatMatrix:
    """Return frames [T, D] as the model takes them; "none" and "global" leave them to it."""
    if config.cmvn == "speaker":
        assert of_speaker is not None
        return (frames - of_speaker.mean) / of_speaker.std
    if config.cmvn == "utterance":
        return Cmvn(frame_sums(frames)).apply(frames, config.cmvn_variance)
    if config.cmvn == "sliding":
        return sliding(frames, config.cmvn_window, config.cmvn_min_window, config.cmvn_centred, config.cmvn_variance)
    return frames


class NormalisedReader(Mapping[str, FloatMatrix]):
    """Features that are ready for the model: normalised by speaker, utterance or a sliding window, as configured."""

    def __init__(self, features: FeatureReader, config: ArchiveConfig, by_speaker: Mapping[str, Normalisation]) -> None:
        self.features, self.config = features, config
        self._by_utt = by_speaker

    def __getitem__(self, utt: str) -> FloatMatrix:
        """Read one utterance's features, float32 [T, D]."""
        return normalised(self.features[utt], self.config, self._by_utt.get(utt))

    def frames(self, utt: str) -> int:
        """Return an utterance's number of frames."""
        return self.features.frames(utt)

    def __iter__(self) -> Iterator[str]:
        """Go through the utterances in the order of the archive."""
        return iter(self.features)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.features)


def load_normalised(data_dir: str | Path, config: ArchiveConfig, name: str = "feats") -> NormalisedReader:
    """Open DATA/feats.scp (or targets.scp) as a config wants it.

    "none" and "global" leave the features as they are: the model subtracts what it was trained with.
    """
    from unitdisc.features.manifest import check_manifest

    data_dir = Path(data_dir)
    check_manifest(data_dir, config, name)
    features = FeatureReader(data_dir / f"{name}.scp")
    if config.cmvn != "speaker":
        return NormalisedReader(features, config, {})
    stats = read_stats(data_dir, name)
    utt2spk, _ = read_speakers(data_dir)
    by_speaker = {spk: cmvn.normalisation(config.cmvn_variance) for spk, cmvn in stats.items() if cmvn.count}
    missing = [utt for utt in features if utt2spk.get(utt) not in by_speaker]
    if missing:
        raise DataError(
            f"{data_dir / stats_name(name)}: has no statistics of {utt2spk.get(missing[0])!r}, the speaker of "
            f"{missing[0]} and {len(missing) - 1} more; run `unitdisc features --force`"
        )
    return NormalisedReader(features, config, {utt: by_speaker[utt2spk[utt]] for utt in features})


def stats_name(name: str = "feats") -> str:
    """Return the name of the file of statistics by speaker that belongs to an archive."""
    return "cmvn.scp" if name == "feats" else f"{name}_cmvn.scp"


def read_stats(data_dir: str | Path, name: str = "feats") -> dict[str, Cmvn]:
    """Read the statistics of each speaker."""
    reader = FeatureReader(Path(data_dir) / stats_name(name))
    return {spk: Cmvn(reader.exact(spk)) for spk in reader}


def global_normalisation(data_dirs: Iterable[str | Path], variance: bool = True, name: str = "feats") -> Normalisation:
    """Return mean and deviation over all frames of data directories, from the statistics beside their features."""
    total: NDArray[np.float64] | int = 0
    for data_dir in data_dirs:
        total = sum((cmvn.stats for cmvn in read_stats(data_dir, name).values()), start=total)
    if isinstance(total, int):
        raise DataError("no data directory to take statistics from")
    return Cmvn(total).normalisation(variance)
