"""From samples to the units of `unitdisc encode`, by every public way that leads there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from made_up import make_data, tiny_model

import unitdisc
from unitdisc.data.kaldi import DataDir
from unitdisc.data.units import read_units
from unitdisc.encode import encode
from unitdisc.errors import ConfigError, DataError
from unitdisc.features.cmvn import read_stats
from unitdisc.features.configs import MfccConfig
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.features.frames import FrameMaker
from unitdisc.train import TrainConfig, train
from unitdisc.train_config import Config


@pytest.fixture(scope="module", params=["none", "global", "utterance", "sliding", "speaker"])
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DataDir, Path]:
    """Train a model, and encode recordings, half of them at another rate; return its folder, the data and the units."""
    root = tmp_path_factory.mktemp(request.param)
    features = MfccConfig(cmvn=request.param, cmvn_window=20, cmvn_min_window=5)
    model = replace(tiny_model(), features=features)
    extract(make_data(root / "train", features=False), ExtractConfig(model.features, model.targets))
    options = TrainConfig(steps=3, batch=4, chunk=40, save_every=3, validate_every=3, log_every=3, device="cpu")
    train(Config(model, options), root / "exp", root / "train", root / "train")
    data = make_data(root / "test", 4, seed=3, features=False)
    for path in sorted((root / "test").glob("a-*.wav")):
        wave, _ = soundfile.read(path)
        soundfile.write(path, wave, 22050)
    encode(root / "exp", root / "test", root / "units")
    return root / "exp", data, root / "units"


def samples_of(data: DataDir, utt: str) -> tuple[np.ndarray, int]:
    return soundfile.read(data.path / f"{utt}.wav", dtype="float32")


def test_a_model_makes_the_units_of_encode_from_samples(encoded: tuple[Path, DataDir, Path]):
    exp, data, out = encoded
    model = unitdisc.load_model(exp).network
    speakers = {}
    if model.config.features.cmvn == "speaker":
        extract(data, ExtractConfig(model.config.features, None))
        speakers = {spk: stats.normalisation() for spk, stats in read_stats(data.path).items()}
    lines = {line.utt: line for line in read_units(out)}
    assert len(lines) == 4
    for utt, line in lines.items():
        frames = model.frames_of(*samples_of(data, utt), speakers.get(data.utt2spk[utt]))
        got = model.encode(frames[None], torch.tensor([len(frames)])).units[0, :, 0]
        assert np.array_equal(got.numpy(), line.frames)


def test_units_of_arrays_are_those_of_the_command(encoded: tuple[Path, DataDir, Path]):
    exp, data, out = encoded
    model = unitdisc.load_model(exp)
    lines = {line.utt: line for line in read_units(out)}
    for rate in (16000, 22050):  # each rate is that of one speaker's recordings
        utts = [utt for utt in data.utts if samples_of(data, utt)[1] == rate]
        waves, speakers = [samples_of(data, utt)[0] for utt in utts], [data.utt2spk[utt] for utt in utts]
        for utt, units in zip(utts, model.units(waves, rate, speakers), strict=True):
            assert np.array_equal(units, lines[utt].frames)
    if model.network.config.features.cmvn == "speaker":
        with pytest.raises(ConfigError, match=r"features\.cmvn is speaker"):
            model.units(waves, rate)


def test_features_by_batch_are_those_that_the_model_reads(encoded: tuple[Path, DataDir, Path]):
    exp, data, out = encoded
    model = unitdisc.load_model(exp).network
    module = unitdisc.build_features(model.config.features)
    utts = [utt for utt in data.utts if utt.startswith("b")]
    waves = [torch.from_numpy(samples_of(data, utt)[0]) for utt in utts]
    counts = torch.tensor([len(wave) for wave in waves])
    padded = torch.nn.utils.rnn.pad_sequence(waves, True)
    if model.config.features.cmvn == "speaker":
        with pytest.raises(ConfigError, match=r"features\.cmvn is speaker"):
            module(padded, counts)
        return
    units = model.encode(*module(padded, counts)).units
    lines = {line.utt: line for line in read_units(out)}
    for row, utt in zip(units[:, :, 0].tolist(), utts, strict=True):
        assert [unit for unit in row if unit >= 0] == lines[utt].frames.tolist()


def test_a_speaker_of_whom_nothing_is_known_is_refused():
    with pytest.raises(ConfigError, match=r"features\.cmvn is speaker: .* `unitdisc encode`"):
        FrameMaker(MfccConfig(cmvn="speaker")).frames_of(np.zeros(16000, np.float32), 16000)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros((2, 16000)), 16000, r"one channel, \[S\], got an array of shape \[2, 16000\]"),
        (np.zeros(16000, np.int16), 16000, "between -1 and 1 as floating point numbers, got int16"),
        (np.zeros(16000), 0, "expected a sample rate in Hz, got 0"),
        (np.zeros(0), 16000, "0 samples are too few for a frame of 400"),
        (np.full(16000, np.nan), 16000, "features are not finite"),
    ],
)
def test_what_is_no_recording_is_refused(samples: np.ndarray, rate: int, message: str):
    with pytest.raises(DataError, match=message):
        FrameMaker(MfccConfig()).frames_of(samples, rate)
