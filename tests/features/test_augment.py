"""Changed utterances: filters warped as Kaldi warps them, versions that are always the same, batches read ahead."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio.compliance.kaldi as compliance
from made_data import put_audio, put_data

from unitdisc.data.audio import AudioSource
from unitdisc.data.batches import Chunk, ChunkPlan, Corpus
from unitdisc.data.kaldi import DataDir
from unitdisc.data.prefetch import Prefetcher
from unitdisc.errors import ConfigError, DataError
from unitdisc.features.acoustic import kaldi_banks
from unitdisc.features.augment import Draw, Versions
from unitdisc.features.cmvn import load_normalised
from unitdisc.features.configs import AugmentConfig, LogMelConfig, MfccConfig
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
    return Versions(FEATURES, augment, data, seed, folder, data.utts, 1000)


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
    warps = np.array([Draw(AUGMENT, 160, 0, "utt", n).warp for n in range(2000)])
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
    draw = Draw(AUGMENT, 160, 0, utt, 2)
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
        Versions(features, AUGMENT, data, 0, tmp_path, data.utts, 1000)  # type: ignore[arg-type]


DEGRADED = AugmentConfig(versions=40, degraded=1, rooms=0, microphones=0, telephones=0, noises=0, kept=0)


@pytest.mark.parametrize("part", ["rooms", "microphones", "telephones", "noises"])
def test_each_degradation_changes_the_sound_and_the_share_that_is_asked_for(data: DataDir, tmp_path: Path, part: str):
    utt = data.utts[0]
    clean = versions_of(data, tmp_path, DEGRADED).frames(utt, 0)
    half = versions_of(data, tmp_path, replace(DEGRADED, **{part: 0.5}))
    changed = [not np.array_equal(half.frames(utt, version), clean) for version in range(40)]
    assert 10 <= sum(changed) <= 30
    assert np.isfinite(half.frames(utt, 0)).all()
    share = versions_of(data, tmp_path, replace(DEGRADED, degraded=0.5, **{part: 1.0}))
    assert 10 <= sum(not np.array_equal(share.frames(utt, version), clean) for version in range(40)) <= 30


def test_a_recording_is_decoded_once_and_versions_are_the_same_as_if_nothing_were_kept(
    data: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "flac"
    folder.mkdir()
    for utt in data.utts:
        soundfile.write(folder / f"{utt}.flac", data.source(utt).load(16000), 16000)
    (folder / "wav.scp").write_text("".join(f"{utt} {utt}.flac\n" for utt in data.utts))
    (folder / "utt2spk").write_text((data.path / "utt2spk").read_text())
    flacs, load, decoded = DataDir.read(folder), AudioSource.load, []

    def counting(source: AudioSource, *args: int, **options: int) -> np.ndarray:
        decoded.append(source.path.stem)
        return load(source, *args, **options)

    monkeypatch.setattr(AudioSource, "load", counting)
    everything = replace(DEGRADED, versions=12, rooms=0.5, noises=1.0, tempo=0.2)
    utt = flacs.utts[0]
    never_kept = [versions_of(flacs, tmp_path / "none", everything).make(utt, version) for version in range(12)]
    assert len(decoded) > len(flacs.utts)
    decoded.clear()
    kept = [versions_of(flacs, tmp_path, replace(everything, kept=1)).make(utt, version) for version in range(12)]
    assert sorted(decoded) == sorted(set(decoded))
    for one, other in zip(never_kept, kept, strict=True):
        assert np.array_equal(one, other)


def test_a_version_of_one_utterance_opens_no_other(tmp_path: Path):
    many = DataDir.read(put_data(tmp_path / "data", utts=8))
    for utt in many.utts[1:]:
        many.source(utt).path.unlink()
    assert len(versions_of(many, tmp_path).frames(many.utts[0], 0))


def test_noise_of_a_folder_is_used(data: DataDir, tmp_path: Path):
    put_audio(tmp_path / "noise" / "a.wav", 500, seed=9)
    augment = replace(DEGRADED, noises=1.0, noise_folder=str(tmp_path / "noise"), snr=(0.0, 0.0))
    frames = [versions_of(data, tmp_path, augment).frames(data.utts[0], version) for version in range(4)]
    assert all(np.isfinite(f).all() for f in frames)
    with pytest.raises(DataError, match="has no recordings"):
        versions_of(data, tmp_path, replace(augment, noise_folder=str(tmp_path) + "/none"))


def test_silence_and_one_frame_stay_finite(tmp_path: Path):
    folder = tmp_path / "data"
    (folder).mkdir()
    soundfile.write(folder / "a.wav", np.zeros(16000, np.float32), 16000)
    put_audio(folder / "b.wav", 240)
    (folder / "wav.scp").write_text("a a.wav\nb b.wav\n")
    (folder / "utt2spk").write_text("a a\nb b\n")
    silent = DataDir.read(folder)
    everything = replace(DEGRADED, rooms=1, microphones=1, telephones=1, noises=1, warp=0.2, tempo=0.2)
    for version in range(8):
        for utt in silent.utts:
            frames = versions_of(silent, tmp_path / "x", everything).frames(utt, version)
            assert len(frames)
            assert np.isfinite(frames).all()


def test_a_tempo_keeps_pitch_and_labels_in_place(data: DataDir, tmp_path: Path):
    utt = max(data.utts, key=lambda u: data.source(u).samples(16000))
    fast = versions_of(data, tmp_path, AugmentConfig(versions=30, tempo=0.3, kept=0))
    clean = load_normalised(data.path, FEATURES)
    tempos = [fast.tempo(utt, version) for version in range(30)]
    assert 0.76 < min(tempos) < 0.9
    assert 1.1 < max(tempos) < 1.31
    for version in (int(np.argmin(tempos)), int(np.argmax(tempos))):
        frames, tempo = fast.frames(utt, version), tempos[version]
        assert len(frames) == pytest.approx(clean.frames(utt) / tempo, abs=1)
        corpus = Corpus(data, clean, ["s0", "s1"], versions=fast, stride=2)
        whole = Chunk(utt, 0, clean.frames(utt))
        batch = corpus.batch([whole], [version])
        assert batch.heard is not None
        assert batch.units is not None
        units = batch.units[0]
        assert len(units) == -(-int(batch.lengths[0]) // 2)
        # The static cepstra of a unit are those of the unchanged unit that it is said to be.
        ours = batch.heard[0, :, :13][: 2 * len(units) // 2 * 2].numpy()
        theirs = clean[utt][:, :13]
        places = np.minimum(units.numpy() * 2, len(theirs) - 1)
        near = np.linalg.norm(ours[::2] - theirs[places], axis=1).mean()
        far = np.linalg.norm(ours[::2] - theirs[places[::-1]], axis=1).mean()
        assert near < 0.6 * far
