"""The Python API: what the command gives, from arrays."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import make_data, tiny_model
from places import TOP
from score_files import PERIOD, write_alignment, write_unit_file

import unitdisc
from unitdisc.data.alignment import Interval
from unitdisc.data.kaldi import DataDir
from unitdisc.data.units import read_units
from unitdisc.encode import encode
from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.bitrate import bitrate_scores
from unitdisc.evaluate.boundaries import boundary_scores
from unitdisc.evaluate.clusters import cluster_scores, usage_scores
from unitdisc.evaluate.per import mapping_per
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.train import TrainConfig, train
from unitdisc.train_config import Config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with train/, exp/, test/ and its units/."""
    root = tmp_path_factory.mktemp("api")
    model = tiny_model()
    extract(make_data(root / "train", features=False), ExtractConfig(model.features, model.targets))
    options = TrainConfig(steps=4, batch=4, chunk=40, save_every=4, validate_every=4, log_every=4, device="cpu")
    train(Config(model, options), root / "exp", root / "train", root / "train")
    make_data(root / "test", 4, seed=3, features=False)
    encode(root / "exp", root / "test", root / "units")
    return root


def test_units_are_those_of_the_command_alone_and_in_a_list(run: Path):
    model, lines = unitdisc.load_model(run / "exp"), list(read_units(run / "units"))
    waves = [soundfile.read(run / "test" / f"{line.utt}.wav", dtype="float32") for line in lines]
    for (wave, rate), line in zip(waves, lines, strict=True):
        np.testing.assert_array_equal(model.units(wave, rate), line.frames)
        np.testing.assert_array_equal(model.units(torch.from_numpy(wave), rate), line.frames)
    (rate,) = {rate for _, rate in waves}
    together = model.units([wave for wave, _ in waves], rate)
    for row, line in zip(together, lines, strict=True):
        np.testing.assert_array_equal(row, line.frames)
    codebook = np.load(run / "units" / "codebook.npy")
    np.testing.assert_allclose(model.vectors(waves[0][0], rate), codebook[lines[0].frames], atol=1e-6)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.integers(800, 12000), rate=st.sampled_from([8000, 16000, 22050]), seed=st.integers(0, 99))
def test_units_of_any_wave_are_those_of_the_command(run: Path, tmp_path: Path, samples: int, rate: int, seed: int):
    wave = np.random.default_rng(seed).uniform(-0.3, 0.3, samples).astype(np.float32)
    wave = (np.rint(wave * 32768) / 32768).astype(np.float32)  # as a file holds it
    folder = tmp_path / f"{samples}-{rate}-{seed}"
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / "a.wav", (wave * 32768).astype(np.int16), rate)
    (folder / "wav.scp").write_text("a a.wav\n")
    (folder / "utt2spk").write_text("a a\n")
    encode(run / "exp", folder, folder / "units", force=True)
    (line,) = read_units(folder / "units")
    np.testing.assert_array_equal(unitdisc.load_model(run / "exp").units(wave, rate), line.frames)


def test_a_model_speaks_and_converts(run: Path):
    model = unitdisc.load_model(run / "exp")
    data = DataDir.read(run / "test")
    wave, rate = soundfile.read(data.path / f"{data.utts[0]}.wav", dtype="float32")
    units = model.units(wave, rate)
    said = model.speak(units, speaker=model.speakers[0])
    assert said.dtype == np.float32
    assert len(said) == pytest.approx(len(units) * model.period * model.rate, rel=0.05)
    assert np.isfinite(said).all()
    np.testing.assert_array_equal(said, model.speak(units, speaker=model.speakers[0]))
    converted = model.convert(wave, rate, speaker=model.speakers[0])
    assert abs(len(converted) / model.rate - len(wave) / rate) < 2 * model.period
    with pytest.raises(DataError, match="this model knows"):
        model.speak(units, speaker="nobody")
    with pytest.raises(DataError, match="expected units"):
        model.speak([10**6])


def test_scores_of_arrays_are_those_of_closed_forms():
    alignment = {"u": [Interval(0.0, 0.1, "A"), Interval(0.1, 0.2, "B")]}
    perfect = {"u": np.repeat([3, 7], 10)}
    assert unitdisc.pnmi(perfect, alignment, 0.01).value == pytest.approx(1.0)
    assert unitdisc.pnmi({"u": np.zeros(20, int)}, alignment, 0.01).value == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("units", [np.zeros((4, 2), int), [0.0, 1.9], [np.nan], ["1"]])
def test_what_are_no_units_is_refused(units: object):
    with pytest.raises(DataError, match=r"expected units \[T\] as whole numbers, got"):
        unitdisc.bitrate({"u": units}, 0.01)


def test_other_scores_of_arrays_are_those_of_files(tmp_path: Path):
    random, names = np.random.default_rng(0), ["a", "b", "c"]
    units = {utt: random.integers(5, size=60) for utt in ("u1", "u2")}
    phones = {utt: np.repeat(random.permutation(3), 20) for utt in units}
    path = write_unit_file(tmp_path / "units.jsonl", units, 5)
    ctm = write_alignment(tmp_path / "phones.ctm", phones, names)
    pairs = AlignedUnits(path, Labeller(ctm))
    ours = {
        **unitdisc.clusters(units, ctm, PERIOD),
        **unitdisc.boundaries(units, ctm, PERIOD),
        **unitdisc.usage(units, PERIOD, codes=5),
        "per": unitdisc.per(units, ctm, PERIOD),
    }
    theirs = [*cluster_scores(pairs), *boundary_scores(pairs), *usage_scores(path), mapping_per(pairs, None)]
    assert {name: score.value for name, score in ours.items()} == {score.name: score.value for score in theirs}
    rates = {score.definition: score.value for score in bitrate_scores(path)}
    assert {name: score.value for name, score in unitdisc.bitrate(units, PERIOD, codes=5).items()} == rates


def test_a_model_is_trained_on_arrays(tmp_path: Path):
    random = np.random.default_rng(1)
    waves = {f"{speaker}-{n}": random.uniform(-0.3, 0.3, 12000).astype("f4") for speaker in "ab" for n in range(3)}
    options = TrainConfig(steps=3, batch=2, chunk=20, save_every=3, validate_every=3, log_every=3, device="cpu")
    config = Config(tiny_model(), options)
    speakers = {utt: utt[0] for utt in waves}
    model = unitdisc.train_model(config, waves, 16000, speakers, tmp_path / "mine")
    assert model.speakers == ("a", "b")
    assert len(model.units(waves["a-0"], 16000)) > 0
    with pytest.raises(DataError, match="a-0 has none"):
        unitdisc.train_model(config, waves, 16000, {}, tmp_path / "other")


def test_the_page_runs():
    page = (TOP / "docs" / "python.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(block, {})


def test_importing_the_package_loads_no_torch():
    code = "import sys, unitdisc; dir(unitdisc); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_torch_hub_knows_what_loading_imports(run: Path):
    code = "import sys, hubconf; hubconf.model(sys.argv[1]); print(*hubconf.dependencies); "
    code += "print(*(module.__file__ for name, module in sys.modules.items() if name.startswith('unitdisc.')))"
    done = subprocess.run([sys.executable, "-c", code, run / "exp"], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told, files = done.stdout.splitlines()
    imported = {
        name for file in files.split() for name in re.findall(r"^(?:import|from) (\w+)", Path(file).read_text(), re.M)
    }
    assert imported - sys.stdlib_module_names - {"unitdisc"} <= set(told.split())
