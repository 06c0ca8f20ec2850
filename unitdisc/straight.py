"""A training straight from audio: no features lie on the disk, whoever reads a batch makes its frames.

EXP/data/train-HASH.npy   the number of frames of each utterance, so that headers are read once
"""

from pathlib import Path

import numpy as np

from unitdisc import dist
from unitdisc.config import digest
from unitdisc.data.kaldi import DataDir, data_digest
from unitdisc.errors import ConfigError
from unitdisc.features.cmvn import Cmvn, Normalisation
from unitdisc.features.configs import ExcitationConfig, FeatureConfig
from unitdisc.files import whole_file
from unitdisc.live import LiveFrames
from unitdisc.model_config import ModelConfig

SAMPLE = 1000  # utterances, spread over all, whose frames give mean and deviation where those of all are wanted


def check_straight(config: ModelConfig) -> None:
    """Refuse a model that needs all recordings before its first step."""
    if config.features.cmvn == "speaker":
        raise ConfigError(
            "train.straight: features.cmvn is speaker, which needs all recordings of a speaker before the first step; "
            "set it to utterance, sliding, global or none, or train.straight to false"
        )
    if any(isinstance(features, ExcitationConfig) for features in config.decoder.archives(config.targets).values()):
        raise ConfigError(
            "train.straight: this decoder needs the pitch, and the range of each speaker's before the first step; set "
            "another decoder.kind, or train.straight to false"
        )


def straight_frames(config: FeatureConfig, data: DataDir, counts: Path) -> LiveFrames:
    """Return what makes the frames of a data directory; their numbers are kept in files that begin as `counts` says."""
    grid = config.grid
    of = digest([data_digest(data.path), config.sample_rate, grid.hop, grid.window, grid.snip_edges])
    path, frames = counts.with_name(f"{counts.name}-{of}.npy"), LiveFrames(config, data)
    if dist.is_main() and not path.is_file():
        counted = np.array([frames.frames(utt) for utt in data.utts], dtype=np.int32)
        with whole_file(path, binary=True) as out:
            np.save(out, counted, allow_pickle=False)
    dist.barrier()
    frames.counts = dict(zip(data.utts, np.load(path, allow_pickle=False).tolist(), strict=True))
    return frames


def sampled_normalisation(config: FeatureConfig, data: DataDir, variance: bool = True) -> Normalisation:
    """Return mean and deviation of the frames of some utterances, which are all if they are few."""
    frames = LiveFrames(config, data)
    stats = Cmvn(frames.maker.dim)
    for place in np.unique(np.linspace(0, len(data.utts) - 1, SAMPLE).astype(int)):
        stats.add_(frames[data.utts[place]])
    return stats.normalisation(variance)
