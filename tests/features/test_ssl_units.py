"""From recordings and a self-supervised model on disk to scored units: no configuration, no archive, no network."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import make_data, tiny_model
from ssl_models import of_transformers

from unitdisc.checkpoint import load_model
from unitdisc.cli import main
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader
from unitdisc.data.units import read_units
from unitdisc.decoders.configs import NoDecoderConfig
from unitdisc.encode import encode
from unitdisc.features.configs import HubertConfig, LogMelConfig
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.features.ssl_network import Network
from unitdisc.live import LiveFrames
from unitdisc.model import LossWeights
from unitdisc.networks.configs import PredictionConfig
from unitdisc.networks.encoders.configs import GatedEncoderConfig
from unitdisc.quantizers.configs import KMeansConfig
from unitdisc.train import TrainConfig, train
from unitdisc.train_config import Config, TargetsConfig


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make recordings and a tiny HuBERT with random weights."""
    folder = tmp_path_factory.mktemp("ssl")
    make_data(folder / "data", 70, features=False)  # more than are made together
    of_transformers(folder / "hubert", "hubert", False)
    return folder


def unitdisc(words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 0


def test_two_commands_make_units_and_a_third_scores_them(place: Path, tmp_path: Path, capsys):
    wavs = tmp_path / "wavs"
    wavs.mkdir()
    for path in list((place / "data").glob("*.wav"))[:8]:
        (wavs / path.name).write_bytes(path.read_bytes())
    unitdisc(f"kmeans --hubert {place}/hubert --layer 2 {tmp_path}/km8 --train {wavs} --codes 8")
    unitdisc(f"encode {tmp_path}/km8 {wavs} {tmp_path}/units")
    assert not list(tmp_path.rglob("feats.*"))
    capsys.readouterr()
    unitdisc(f"score bitrate {tmp_path}/units --json")
    scores = json.loads(capsys.readouterr().out)
    assert scores
    lines = list(read_units(tmp_path / "units"))
    assert len(lines) == 8
    model, transformers = load_model(tmp_path / "km8"), pytest.importorskip("transformers")
    theirs = transformers.HubertModel.from_pretrained(place / "hubert").eval()
    data = DataDir.read(tmp_path / "units" / "data")
    centres = model.quantizer.codewords()[0]
    same = total = 0
    for line in lines:  # by hand: transformers, one utterance at a time, and the nearest centre
        wave = torch.from_numpy(data.source(line.utt).load(16000))[None]
        with torch.no_grad():
            frames = theirs(wave, output_hidden_states=True).hidden_states[2][0]
        nearest = torch.cdist(frames.double(), centres.double()).argmin(1).numpy()
        same, total = same + int((nearest == line.frames).sum()), total + len(nearest)
    assert same > 0.995 * total


def test_units_are_the_same_for_any_number_of_jobs_and_from_an_archive(place: Path, tmp_path: Path):
    unitdisc(f"kmeans --hubert {place}/hubert --layer 3 {tmp_path}/km --train {place}/data --codes 6 --jobs 2")
    unitdisc(f"kmeans --hubert {place}/hubert --layer 3 {tmp_path}/km1 --train {place}/data --codes 6")
    one, two = (load_model(tmp_path / name).quantizer.codewords()[0] for name in ("km", "km1"))
    assert torch.equal(one, two)
    encode(tmp_path / "km", place / "data", tmp_path / "one")
    encode(tmp_path / "km", place / "data", tmp_path / "two", jobs=2)
    assert (tmp_path / "one/units.jsonl").read_bytes() == (tmp_path / "two/units.jsonl").read_bytes()


def test_several_layers_are_made_in_one_pass_beside_each_other(place: Path, tmp_path: Path, monkeypatch):
    make_data(tmp_path / "data", 6, features=False)
    make_data(tmp_path / "again", 6, features=False)
    passes = []
    forward = Network.forward
    monkeypatch.setattr(Network, "forward", lambda *words: passes.append(1) or forward(*words))
    unitdisc(f"features --hubert {place}/hubert --layers 1,3 --half {tmp_path}/data")
    assert len(passes) == 1
    unitdisc(f"features --hubert {place}/hubert --layers 1,3 {tmp_path}/again")
    native = pytest.importorskip("kaldi_native_io")
    for layer in (1, 3):
        exact, half = (FeatureReader(tmp_path / name / f"layer-{layer}.scp") for name in ("again", "data"))
        live = LiveFrames(HubertConfig(checkpoint=place / "hubert", layer=layer), DataDir.read(tmp_path / "data"))
        live.look_ahead_(live.data.utts)
        with native.RandomAccessFloatMatrixReader(f"scp:{tmp_path}/data/layer-{layer}.scp") as kaldi:
            for utt in exact:
                assert np.array_equal(exact[utt], live[utt])
                assert np.abs(half[utt] - exact[utt]).max() <= np.ptp(exact[utt]) / 65535
                assert np.allclose(kaldi[utt], half[utt], atol=1e-6)
        sizes = [(tmp_path / name / f"layer-{layer}.ark").stat().st_size for name in ("data", "again")]
        assert sizes[0] < 0.55 * sizes[1]
    # k-means and encoding read the archive of their layer: the recordings are needed no more.
    for path in (tmp_path / "data").glob("*.wav"):
        path.unlink()
    unitdisc(f"kmeans --hubert {place}/hubert --layer 3 {tmp_path}/km --train {tmp_path}/data --codes 4")
    unitdisc(f"encode {tmp_path}/km {tmp_path}/data {tmp_path}/units")
    assert len(list(read_units(tmp_path / "units"))) == 6


def test_an_extraction_that_was_stopped_goes_on_to_the_same_bytes(place: Path, tmp_path: Path):
    config = ExtractConfig(HubertConfig(checkpoint=place / "hubert", layer=1))
    data = [make_data(tmp_path / name, 8, features=False) for name in ("whole", "stopped")]
    extract(data[0], config)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(data[1], config, progress=stop)
    extract(data[1], config)
    assert (data[0].path / "feats.ark").read_bytes() == (data[1].path / "feats.ark").read_bytes()


def config_on(features: HubertConfig, **changes: object) -> Config:
    targets = LogMelConfig(hop=320, window=400, snip_edges=True)
    return Config(tiny_model(features=features, targets=targets, **changes), TrainConfig(steps=2, batch=2, chunk=20))


@pytest.mark.parametrize("kind", ["vqvae", "predictive"])
def test_a_training_on_such_features_and_its_units(place: Path, tmp_path: Path, kind: str):
    make_data(tmp_path / "data", 4, features=False)
    features = HubertConfig(checkpoint=place / "hubert", layer=2)
    config = config_on(features)
    if kind == "predictive":
        config = config_on(
            features, encoder=GatedEncoderConfig(channels=8, stride=1, dilations=(1,)), quantizer=KMeansConfig(codes=4),
            decoder=NoDecoderConfig(), weights=LossWeights(prediction=1), prediction=PredictionConfig(clusters=(3,)),
        )  # fmt: skip
        targets = TargetsConfig(sample=60, dim=4, classes=4, splice=1)
        config = replace(config, train=replace(config.train, targets=targets, average=0))
    train(config, tmp_path / "exp", tmp_path / "data", tmp_path / "data")
    encode(tmp_path / "exp", tmp_path / "data", tmp_path / "units")
    assert len(list(read_units(tmp_path / "units"))) == 4
    assert load_model(tmp_path / "exp").quantizer.codewords()[0].isfinite().all()
