"""Changed utterances: filters warped as Kaldi warps them, versions that are always the same, batches read ahead."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio.compliance.kaldi as compliance
from made_data import put_data

from unitdisc.data.batches import ChunkPlan, Corpus, Prefetcher
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import ConfigError
from unitdisc.features.acoustic import kaldi_banks
from unitdisc.features.augment import AugmentConfig, Draw, Versions
from unitdisc.features.cmvn import load_normalised
from unitdisc.features.configs import LogMelConfig, MfccConfig
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.features.frames import FrameMaker

FEATURES = MfccConfig(cmvn="utterance")
AUGMENT = AugmentConfig(versions=3, warp=0.18)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataDir:
    folder = put_data(tmp_path_factory.mktemp("data"), utts=4)
    extract(DataDir.read(folder), ExtractConfig(FEATURES))
    return DataDir.read(folder)


def versions_of(data: DataDir, folder: Path, augment: AugmentConfig = AUGMENT, seed: int = 0) -> Versions:
    return Versions(FEATURES, augment, data, seed, folder, frames=1000)


@pytest.mark.parametrize("warp", [0.8, 0.93, 1.06, 1.25])
@pytest.mark.parametrize("config", [MfccConfig(), MfccConfig(sample_rate=8000, window=200, hop=80, mels=15)])
def test_warped_filters_are_kaldis(config: MfccConfig, warp: float):
    n_fft = 1 << (config.window - 1).bit_length()
    theirs, _ = compliance.get_mel_banks(config.mels, n_fft, config.sample_rate, config.fmin, 0.0, 100.0, -500.0, warp)
    torch.testing.assert_close(kaldi_banks(config, n_fft, warp)[:-1].T.float(), theirs, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(kaldi_banks(config, n_fft, warp), kaldi_banks(config, n_fft), atol=1e-2)


def test_a_warp_of_one_changes_nothing():
    assert torch.equal(kaldi_banks(FEATURES, 512, 1.0), kaldi_banks(FEATURES, 512))


def test_a_band_too_narrow_to_warp_is_refused():
    with pytest.raises(ConfigError, match="needs a wider band than 20 to 600 Hz"):
        kaldi_banks(MfccConfig(fmax=600, mels=5, ceps=5), 512, 1.1)


def test_warps_spread_over_their_range_and_their_middle_is_none():
    warps = np.array([Draw(AUGMENT, 0, "utt", n).warp for n in range(2000)])
    assert 1 / 1.18 - 0.006 <= warps.min() < 0.87
    assert 1.16 < warps.max() <= 1.186
    assert np.log(warps).mean() == pytest.approx(0, abs=0.01)


def test_a_version_is_the_same_however_it_is_made(data: DataDir, tmp_path: Path):
    utt = data.utts[1]
    one = versions_of(data, tmp_path).frames(utt, 2)
    assert list(tmp_path.rglob("*.npy"))
    again = versions_of(data, tmp_path).frames(utt, 2)
    never_kept = versions_of(data, tmp_path / "none", AugmentConfig(versions=3, warp=0.18, kept=0))
    assert np.array_equal(one, again)
    assert np.array_equal(one, never_kept.frames(utt, 2))
    assert not (tmp_path / "none").exists()
    draw = Draw(AUGMENT, 0, utt, 2)
    direct = FrameMaker(FEATURES, warp=draw.warp).frames_of(data.source(utt).load(16000), 16000)
    np.testing.assert_allclose(one, direct, atol=4e-3)


def test_versions_of_other_seeds_and_options_are_others(data: DataDir, tmp_path: Path):
    utt, makers = data.utts[0], [versions_of(data, tmp_path), versions_of(data, tmp_path, seed=1)]
    assert len({m.folder for m in makers}) == 2
    assert not np.array_equal(makers[0].frames(utt, 0), makers[1].frames(utt, 0))
    assert not np.array_equal(makers[0].frames(utt, 0), makers[0].frames(utt, 1))


def test_processes_read_the_batches_that_a_thread_reads(data: DataDir, tmp_path: Path):
    frames = load_normalised(data.path, FEATURES)
    corpus = Corpus(data, frames, ["s0", "s1"], versions=versions_of(data, tmp_path), stride=2)
    plan = ChunkPlan(corpus, 4, 10, seed=3, align=2)
    readers = [Prefetcher(corpus, plan, workers=workers) for workers in (0, 2)]
    try:
        for step in (0, 1, 2, 5, 6):  # a step that is left out begins anew
            one, two = (reader.batch(step) for reader in readers)
            assert one.utts == two.utts
            for name in ("frames", "heard", "lengths", "seeds", "units", "speakers"):
                assert torch.equal(getattr(one, name), getattr(two, name)), name
            assert one.heard is not None
            assert one.heard.shape == one.frames.shape
            assert not torch.equal(one.heard, one.frames)
    finally:
        for reader in readers:
            reader.close()


@pytest.mark.parametrize(
    ("features", "says"),
    [(LogMelConfig(), "set features.kind to mfcc or fbank"), (MfccConfig(cmvn="speaker"), "cmvn to utterance")],
)
def test_features_that_cannot_be_changed_are_refused(data: DataDir, tmp_path: Path, features: object, says: str):
    with pytest.raises(ConfigError, match=says):
        Versions(features, AUGMENT, data, 0, tmp_path, 100)  # type: ignore[arg-type]
