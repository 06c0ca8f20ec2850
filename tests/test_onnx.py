"""A model as ONNX: onnxruntime says the model's own units, at any length, whole and piece by piece."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import tiny_model, tones

import unitdisc
from unitdisc import checkpoint
from unitdisc import config as configs
from unitdisc.cli import main
from unitdisc.errors import ConfigError, DataError, UnitdiscError
from unitdisc.features.configs import FbankConfig, HubertConfig, LogMelConfig, MfccConfig
from unitdisc.graph import FrameGraph
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.networks.encoders.configs import (
    ConvEncoderConfig,
    ConvLSTMEncoderConfig,
    GatedEncoderConfig,
    LinearEncoderConfig,
    NoEncoderConfig,
)
from unitdisc.onnx_file import export_onnx
from unitdisc.quantizers.configs import EMAConfig, FSQConfig, KMeansConfig, ResidualVQConfig, VQConfig
from unitdisc.quantizers.fsq import FSQ

BASE = tiny_model()
CASES = {
    "conv": BASE,
    "strides": replace(BASE, encoder=ConvEncoderConfig(channels=16, strides=(2, 3))),
    "gated": replace(
        BASE, encoder=GatedEncoderConfig(channels=16), features=MfccConfig(cmvn="utterance", floor_db=25)
    ),
    "lstm": replace(BASE, encoder=ConvLSTMEncoderConfig(cells=8, layers=2, channels=4)),
    "linear": replace(BASE, encoder=LinearEncoderConfig(splice=2, dim=8, stride=2)),
    "kmeans": replace(BASE, encoder=NoEncoderConfig(), quantizer=KMeansConfig(codes=9)),
    "groups": replace(BASE, quantizer=VQConfig(codes=8, dim=8, codebooks=2)),
    "rvq": replace(BASE, quantizer=ResidualVQConfig(codes=8, dim=8, codebooks=2)),
    "ema": replace(BASE, quantizer=EMAConfig(codes=8, dim=8)),
    "fsq": replace(BASE, quantizer=FSQConfig(levels=(3, 4))),
    "snipped": replace(
        BASE, features=FbankConfig(snip_edges=True, energy=True), targets=LogMelConfig(snip_edges=True)
    ),
    "logmel": replace(BASE, features=LogMelConfig(cmvn="none")),
}  # fmt: skip


def write_model(folder: Path, config: ModelConfig) -> Path:
    """Write a checkpoint of a model with random weights whose codes are in use."""
    torch.manual_seed(0)
    model = UnitModel(config, ["a"]).eval()
    model.begin_step_(10_000)
    wave = torch.from_numpy(tones(np.random.default_rng(9), 200.0, 20)[0]).float()
    frames = model.frames_of(wave, 16000)
    model.mean.copy_(frames.mean(0))
    model.std.copy_(frames.std(0) + 1e-3)
    with torch.no_grad():
        vectors = model.encoder(model.normalise(frames)[None], torch.tensor([len(frames)]))[0][0]
    if isinstance(model.quantizer, FSQ):
        model.quantizer.front.begin_(vectors)
    model.quantizer.begin_(vectors, torch.Generator().manual_seed(1))
    tree = {"config": {"model": configs.to_tree(config)}, "speakers": ["a"], "phones": [], "step": 1}
    path = folder / "model.pt"
    checkpoint.save(path, {**tree, "model": model.state_dict(), "average": None})
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """Return what gives a model and the graph of a case, exported once."""
    kept: dict = {}

    def get(name: str, stream: bool = False):
        if (name, stream) not in kept:
            folder = tmp_path_factory.mktemp(f"{name}-{stream}")
            path = write_model(folder, CASES[name])
            export_onnx(path, folder / "m.onnx", stream=stream)
            kept[name, stream] = unitdisc.load_model(path), onnxruntime.InferenceSession(folder / "m.onnx")
        return kept[name, stream]

    return get


def sound(samples: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    wave = tones(random, random.uniform(100, 300), samples // 1600 + 1)[0][:samples]
    return wave.astype(np.float32)


@pytest.mark.parametrize("name", list(CASES))
def test_onnxruntime_says_the_same_units_at_any_length(made, name: str):
    model, session = made(name)
    total = 0
    for samples in (400, 401, 640, 799, 1000, 1601, 4801, 16000, 33333, 80123):
        wave = sound(samples, samples)
        units = model.units(wave, 16000)
        (ours,) = session.run(None, {"samples": wave})
        np.testing.assert_array_equal(ours, units, err_msg=str(samples))
        total += len(set(units.tolist()))
    assert total > 20  # of several codes


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.integers(160, 40000), seed=st.integers(0, 999))
def test_any_wave_has_the_same_units(made, samples: int, seed: int):
    model, session = made("gated")
    wave = sound(samples, seed)
    np.testing.assert_array_equal(session.run(None, {"samples": wave})[0], model.units(wave, 16000))


@pytest.mark.parametrize("name", ["conv", "strides", "snipped", "linear", "logmel"])
@pytest.mark.parametrize("piece", [333, 4000, 50000])
def test_a_stream_of_pieces_has_the_units_of_the_whole(made, name: str, piece: int):
    model, session = made(name, stream=True)
    wave = sound(60123 if piece > 1000 else 12345, piece)
    state, given, units, longest = np.zeros(0, np.float32), np.zeros(1, np.int64), [], 0
    starts = list(range(0, len(wave), piece))
    for start in starts:
        inputs = {"samples": wave[start : start + piece], "state": state, "given": given}
        if len(state) + len(inputs["samples"]) < 400:  # not a whole window yet
            state = np.concatenate([state, inputs["samples"]])
            continue
        new, state, given = session.run(None, {**inputs, "last": np.array([start == starts[-1]])})
        units.append(new)
        longest = max(longest, len(state))
    np.testing.assert_array_equal(np.concatenate(units), model.units(wave, 16000))
    assert longest < 16000  # the state does not grow with the utterance
    assert len(starts) < 4 or sum(len(new) > 0 for new in units[:-1]) > 2  # units come before the end


@pytest.mark.parametrize(
    "config",
    [
        MfccConfig(cmvn="none", energy=True),
        FbankConfig(cmvn="utterance", cmvn_variance=False, floor=3.0, window_type="hamming", deltas=1),
        MfccConfig(sample_rate=8000, hop=80, window=200, lifter=0, deltas=0, floor_db=10),
        LogMelConfig(cmvn="none", n_fft=1024, window=800, hop=200),
    ],
)
def test_frames_of_the_graph_are_those_of_the_features(config):
    made = unitdisc.build_features(config)
    for samples in (900, 16000):
        wave = torch.from_numpy(sound(samples, 5))
        frames, _ = made(wave[None], torch.tensor([samples]))
        torch.testing.assert_close(FrameGraph(config)(wave), frames[0], atol=2e-3, rtol=1e-4)


def test_the_command_writes_a_valid_file_with_its_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write_model(tmp_path, BASE)
    arguments = ["export", str(path), str(tmp_path / "m.onnx"), "--format", "onnx"]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    assert "samples at 16000 Hz to a unit each 0.02 s" in capsys.readouterr().out
    written = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(written)
    facts = {entry.key: entry.value for entry in written.metadata_props}
    model = unitdisc.load_model(path)
    assert facts["codebook"] == model.network.codebook_hash()
    assert (facts["sample_rate"], facts["period"], facts["codes"]) == ("16000", "0.02", "8")
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert (end.value.code, capsys.readouterr().out) == (0, f"{tmp_path}/m.onnx: unchanged\n")
    for wrong, message in (
        ([*arguments, "--format", "textgrid"], "one file of a model"),
        ([*arguments[:2], str(tmp_path / "folder"), *arguments[3:]], r"expected a file NAME\.onnx"),
    ):
        with pytest.raises(SystemExit) as end:
            main(wrong)
        assert end.value.code == 1
        assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("change", "stream", "message"),
    [
        ({"features": MfccConfig(cmvn="speaker")}, False, "features.cmvn is speaker"),
        ({"features": MfccConfig(cmvn="sliding")}, False, "features.cmvn is sliding"),
        ({"features": MfccConfig(dither=1.0)}, False, "a graph adds no noise"),
        ({"features": MfccConfig(cmvn="utterance")}, True, "take the format onnx"),
        ({"features": MfccConfig(floor_db=20)}, True, "no streaming"),
        ({"encoder": ConvLSTMEncoderConfig(cells=8, layers=2, channels=4)}, True, "no streaming"),
    ],
)
def test_what_a_graph_cannot_do_is_said(tmp_path: Path, change: dict, stream: bool, message: str):
    path = write_model(tmp_path, BASE)
    tree = checkpoint.load(path)
    tree["config"]["model"] = configs.to_tree(replace(BASE, **change))
    if "encoder" in change:
        path = write_model(tmp_path, replace(BASE, **change))
    else:
        checkpoint.save(path, tree)
    with pytest.raises(ConfigError, match=message):
        export_onnx(path, tmp_path / "m.onnx", stream=stream)
    assert not (tmp_path / "m.onnx").exists()


def test_features_of_another_network_are_refused():
    with pytest.raises(ConfigError, match="features of kind hubert are not in the graph"):
        FrameGraph(HubertConfig())


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(UnitdiscError, match=r"pip install 'unitdisc\[export\]'"):
        export_onnx(tmp_path / "none", tmp_path / "m.onnx")
    with pytest.raises(DataError, match=r"NAME\.onnx"):
        export_onnx(tmp_path / "none", tmp_path / "m")
