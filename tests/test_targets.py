"""Targets: clusters that an encoder predicts, made anew while it trains; nothing is lost by a kill or a split."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from made_up import make_data, tiny_model
from test_train import TRAIN, assert_same

from unitdisc import checkpoint, config
from unitdisc.checkpoint import load_model, step_files
from unitdisc.data.units import read_units
from unitdisc.decoders.configs import NoDecoderConfig
from unitdisc.encode import encode
from unitdisc.errors import CheckpointError, ConfigError
from unitdisc.features.configs import AugmentConfig
from unitdisc.model import LossWeights, ModelConfig
from unitdisc.networks.configs import PredictionConfig
from unitdisc.networks.encoders.configs import GatedEncoderConfig
from unitdisc.quantizers.configs import KMeansConfig
from unitdisc.quantizers.schedule import ScheduleConfig
from unitdisc.runlog import read_metrics
from unitdisc.targets import LabelFile, write_labels
from unitdisc.train import train
from unitdisc.train_config import Config, Linear, MuonConfig, TargetsConfig

TARGETS = TargetsConfig(at=(0.0, 0.5), sample=300, classes=8, dim=6)
OPTIONS = replace(
    TRAIN,
    steps=8,
    warmup=0,
    schedule=Linear(),
    optimizer=MuonConfig(),
    targets=TARGETS,
    average=0.0,
    augment=AugmentConfig(versions=2, warp=0.15),
    learning_rate=2e-3,
)
KILLER = """
import os, signal, sys
import torch
from unitdisc import config, targets, train
torch.set_num_threads(1)
place = sys.argv[5]
die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
calls = []
def at(function, call):
    def wrapped(*a, **k):
        calls.append(1)
        if len(calls) == call:
            die()
        return function(*a, **k)
    return wrapped
if place == "clustering":
    targets.kmeans = at(targets.kmeans, 4)
if place == "encoding":
    targets.nearest_units = at(targets.nearest_units, 28)
if place == "labels":
    targets.write_labels = at(targets.write_labels, 4)
if place == "hash":
    targets.files_hash = at(targets.files_hash, 4)
if place == "codebook":
    train.output_sample = at(train.output_sample, 1)
train.train(config.load(sys.argv[1], train.Config), *sys.argv[2:5])
"""


def small_model(**changes: object) -> ModelConfig:
    model = tiny_model(
        encoder=GatedEncoderConfig(channels=16, dilations=(1, 2)),
        quantizer=KMeansConfig(codes=8),
        decoder=NoDecoderConfig(),
        weights=LossWeights(prediction=1.0),
        prediction=PredictionConfig(clusters=(4, 6)),
    )
    return replace(model, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    make_data(root / "train", 6)
    make_data(root / "dev", 3, seed=1)
    return root


def run(data: Path, exp: Path, options: object = OPTIONS, **model: object) -> dict:
    train(Config(small_model(**model), options), exp, data / "train", data / "dev")  # type: ignore[arg-type]
    return checkpoint.newest(exp)  # type: ignore[return-value]


def drive(data: Path, exp: Path, place: str) -> int:
    path = exp.parent / f"{exp.name}.yaml"
    path.write_text(config.dump(Config(small_model(), OPTIONS)))
    command = [sys.executable, "-c", KILLER, str(path), str(exp), str(data / "train"), str(data / "dev"), place]
    return subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    exp = tmp_path_factory.mktemp("whole")
    assert drive(data, exp, "nowhere") == 0
    return exp


def test_one_command_gives_units(data: Path, whole: Path, tmp_path: Path):
    rows = read_metrics(whole)
    assert [r["step"] for r in rows if r["kind"] == "targets"] == [0, 4]
    dev = [r for r in rows if r["kind"] == "dev"]
    assert {"loss", "prediction", "perplexity", "used_codes", "pnmi"} <= dev[-1].keys()
    assert "perplexity" not in dev[-2]
    encode(whole, data / "dev", tmp_path / "units")
    units = {line.utt: line.units for line in read_units(tmp_path / "units" / "units.jsonl")}
    assert len(units) == 3
    assert len({u for row in units.values() for u in row}) > 1


@pytest.mark.parametrize("place", ["clustering", "encoding", "labels", "hash", "codebook"])
def test_a_training_killed_while_it_makes_targets_goes_on_as_if_it_had_not_been(
    data: Path, whole: Path, tmp_path: Path, place: str
):
    exp = tmp_path / "killed"
    assert drive(data, exp, place) == -signal.SIGKILL
    assert drive(data, exp, "nowhere") == 0
    assert_same(checkpoint.newest(exp), checkpoint.newest(whole))
    assert sorted(p.name for p in (exp / "targets").iterdir()) == sorted(p.name for p in (whole / "targets").iterdir())


def test_two_processes_train_as_one(data: Path, tmp_path: Path):
    options = replace(OPTIONS, targets=replace(TARGETS, at=(0.0,)))
    one = run(data, tmp_path / "one", options)
    path = tmp_path / "config.yaml"
    path.write_text(config.dump(Config(small_model(), options)))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
        "-m", "unitdisc", "train", str(path), str(tmp_path / "two"),
        "--train", str(data / "train"), "--dev", str(data / "dev"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    two = checkpoint.newest(tmp_path / "two")
    assert two is not None
    assert two["targets"] == one["targets"]
    for name, value in one["model"].items():
        if name.startswith(("encoder", "prediction")):
            assert torch.allclose(value, two["model"][name], atol=2e-4), name
    assert bool(two["model"]["quantizer.fitted"])


def test_a_training_in_bfloat16_goes_on_as_if_it_had_not_been_stopped(data: Path, tmp_path: Path):
    half = replace(OPTIONS, precision="bfloat16")
    whole, full = run(data, tmp_path / "whole", half), run(data, tmp_path / "full")
    run(data, tmp_path / "stopped", half)
    *_, last = checkpoint.step_files(tmp_path / "stopped")
    last.unlink()
    assert checkpoint.step_files(tmp_path / "stopped")
    assert_same(run(data, tmp_path / "stopped", half), whole)
    different = [name for name, value in full["model"].items() if not torch.equal(value, whole["model"][name])]
    assert any(name.startswith("encoder") for name in different)
    assert {value.dtype for value in whole["model"].values() if value.is_floating_point()} == {torch.float32}


def test_labels_that_are_not_the_checkpoints_are_refused(data: Path, whole: Path, tmp_path: Path):
    exp = tmp_path / "exp"
    options = replace(OPTIONS, steps=8, save_every=3)
    run(data, exp, options)
    for path in (exp / "checkpoints").glob("00000008.pt"):
        path.unlink()
    labels = exp / "targets" / "00000004.npy"
    content = bytearray(labels.read_bytes())
    content[-2] ^= 1
    labels.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"00000004\.npy: not the targets that the checkpoint was trained on"):
        run(data, exp, options)
    labels.unlink()
    with pytest.raises(CheckpointError, match=r"00000004\.npy: the targets of this training are lost or damaged"):
        run(data, exp, options)


def test_the_encoder_learns_to_predict(data: Path, tmp_path: Path):
    options = replace(
        OPTIONS, steps=60, validate_every=60, save_every=60, log_every=10, targets=replace(TARGETS, at=(0.0,))
    )
    run(data, tmp_path / "exp", options)
    labels = np.concatenate(list(LabelFile(tmp_path / "exp" / "targets" / "00000000-dev").values()))
    shares = [np.bincount(column) / len(column) for column in labels.T]
    by_frequency = -sum(float((p[p > 0] * np.log(p[p > 0])).sum()) for p in shares)  # what clusters' shares alone give
    (dev,) = [r["prediction"] for r in read_metrics(tmp_path / "exp") if r["kind"] == "dev"]
    assert dev < 0.8 * by_frequency


def test_other_losses_and_a_decoder_train_beside_the_prediction(data: Path, tmp_path: Path):
    model = tiny_model()
    tree = run(
        data, tmp_path / "exp", quantizer=model.quantizer, decoder=model.decoder,
        weights=LossWeights(prediction=1.0, input_reconstruction=0.3, ctc=0.5),
    )  # fmt: skip
    assert tree["step"] == 8
    dev = [r for r in read_metrics(tmp_path / "exp") if r["kind"] == "dev"][-1]
    assert {"prediction", "input_reconstruction", "ctc", "reconstruction"} <= dev.keys()


LATE = replace(OPTIONS, targets=replace(TARGETS, at=(0.0,)), freeze=0.5, save_every=2)


@pytest.mark.parametrize("kind", ["vq", "ema", "kmeans", "rvq"])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_codebook_and_decoder_learn_after_the_encoder(data: Path, tmp_path: Path, kind: str, average: float):
    changes = {"model": {"quantizer": {"kind": kind, "codes": 8}}}
    quantizer = config.from_tree(Config, changes, "").model.quantizer
    if kind == "vq":
        quantizer = replace(quantizer, dim=None, norm="none", schedule=ScheduleConfig(warm_up=0, until=0))
    elif kind != "kmeans":
        quantizer = replace(quantizer, schedule=ScheduleConfig(warm_up=0, until=0))
    exp = tmp_path / "exp"
    run(data, exp, replace(LATE, average=average), quantizer=quantizer, decoder=tiny_model().decoder)
    trees = [checkpoint.load(path) for path in checkpoint.step_files(exp)]
    moved = [
        {
            name.split(".")[0]
            for name, value in one["model"].items()
            if value.is_floating_point() and not torch.equal(value, other["model"][name])
        }
        for one, other in pairwise(trees)
    ]
    assert [tree["step"] for tree in trees] == [2, 4, 6, 8]
    assert moved[0] == {"encoder", "prediction"}
    assert moved[2] - {"quantizer"} == {"decoder", "conditioning"}
    rows = {r["step"]: r for r in read_metrics(exp) if r["kind"] == "dev"}
    assert "reconstruction" not in rows[4]
    assert {"reconstruction", "perplexity"} <= rows[6].keys()
    assert "prediction" not in rows[6]
    assert [r["step"] for r in read_metrics(exp) if r["kind"] == "codebook"] == [4]


def test_a_thawed_encoder_learns_slowly(data: Path, tmp_path: Path):
    trees = []
    for thaw in (0.1, 1.0):
        options = replace(LATE, thaw=thaw, steps=4, freeze=0.75, save_every=1)
        run(data, tmp_path / str(thaw), options, decoder=tiny_model().decoder)
        trees.append([checkpoint.load(path)["model"] for path in checkpoint.step_files(tmp_path / str(thaw))[-2:]])
    name = "encoder.first.weight"
    slow, fast = (last[name] - before[name] for before, last in trees)
    torch.testing.assert_close(slow, 0.1 * fast, atol=1e-6, rtol=1e-3)
    assert fast.abs().max() > 0


@pytest.mark.parametrize("kind", ["vq", "ema", "kmeans"])
def test_a_decoder_is_trained_for_the_units_of_another_model(data: Path, tmp_path: Path, kind: str):
    changes = {"model": {"quantizer": {"kind": kind, "codes": 8}}}
    quantizer = config.from_tree(Config, changes, "").model.quantizer
    if kind != "kmeans":
        quantizer = replace(quantizer, schedule=ScheduleConfig(warm_up=1, every=2, until=5, reservoir=64))
    run(data, tmp_path / "units", OPTIONS, quantizer=quantizer)
    units = load_model(tmp_path / "units")
    options = replace(OPTIONS, units_of=str(tmp_path / "units"), learning_rate=1e-2, augment=AugmentConfig())
    weights = LossWeights()
    run(data, tmp_path / "voice", options, quantizer=quantizer, decoder=tiny_model().decoder, weights=weights)
    voice = load_model(tmp_path / "voice")
    assert voice.codebook_hash() == units.codebook_hash()
    assert voice.model_hash() == units.model_hash()
    first, *_, last = (checkpoint.load(path)["model"] for path in step_files(tmp_path / "voice"))
    assert any(not torch.equal(first[name], last[name]) for name in first if name.startswith("decoder."))
    with pytest.raises(ConfigError, match=r"has model\.quantizer\.codes 8, the configuration 9; features, encoder and"):
        run(data, tmp_path / "other", options, quantizer=replace(quantizer, codes=9), decoder=tiny_model().decoder)
    with pytest.raises(ConfigError, match="leave freeze at 1"):
        replace(options, freeze=0.5)


def test_a_frozen_encoder_with_nothing_else_to_learn_is_refused(data: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="nothing would learn"):
        run(data, tmp_path / "exp", replace(OPTIONS, freeze=0.5))


def test_labels_come_back_as_they_were_written(tmp_path: Path):
    random = np.random.default_rng(0)
    labels = {
        utt: random.integers(1 << 16, size=(n, 3)).astype(np.uint16) for utt, n in {"b": 4, "a": 0, "ü": 7}.items()
    }
    write_labels(tmp_path / "x", {u: len(x) for u, x in labels.items()}, 3, labels.values())
    there = LabelFile(tmp_path / "x")
    assert list(there) == ["b", "a", "ü"]
    for utt, wanted in labels.items():
        assert np.array_equal(there[utt], wanted)


def test_a_training_straight_from_audio_is_that_on_archives(data: Path, whole: Path, tmp_path: Path):
    for name in ("train", "dev"):
        shutil.copytree(data / name, tmp_path / name, ignore=shutil.ignore_patterns("feats*", "targets*", "cmvn*"))
    exp = tmp_path / "exp"
    run(tmp_path, exp, replace(OPTIONS, steps=4))
    run(tmp_path, exp)  # goes on with what there is
    assert_same(checkpoint.newest(exp)["model"].keys(), checkpoint.newest(whole)["model"].keys())
    straight = tmp_path / "straight"
    assert_same(run(tmp_path, straight)["model"], run(data, tmp_path / "archives")["model"])
    assert not (tmp_path / "train" / "feats.scp").exists()
    starts = json.loads((straight / "env.json").read_text())["starts"]
    assert starts[0]["train"]["data"] == str(tmp_path / "train")


def hard_data(folder: Path, speakers: dict[str, str]) -> None:
    """Write utterances that are hard: silence, one frame, one second, a click, and ordinary ones."""
    random = np.random.default_rng(3)
    ordinary = 0.1 * random.standard_normal(16000)
    click = np.zeros(8000)
    click[4000] = 1.0
    waves = {"a": np.zeros(16000), "b": ordinary[:200], "c": ordinary, "d": click, "e": ordinary[::-1]}
    folder.mkdir(parents=True)
    for utt, wave in waves.items():
        soundfile.write(folder / f"{utt}.wav", wave, 16000)
    (folder / "wav.scp").write_text("".join(f"{utt} {utt}.wav\n" for utt in waves))
    (folder / "utt2spk").write_text("".join(f"{utt} {speakers.get(utt, utt)}\n" for utt in waves))


@pytest.mark.parametrize(
    "speakers", [{}, dict.fromkeys("abcde", "one"), {"a": "s", "b": "s"}], ids=["none", "one", "two"]
)
def test_hard_utterances_and_few_speakers_train(tmp_path: Path, speakers: dict[str, str]):
    for name in ("train", "dev"):
        hard_data(tmp_path / name, speakers)
    augment = AugmentConfig(versions=2, warp=0.2, tempo=0.2, degraded=0.5)
    tree = run(tmp_path, tmp_path / "exp", replace(OPTIONS, augment=augment, workers=0))
    assert all(torch.isfinite(value).all() for value in tree["model"].values() if value.is_floating_point())
    encode(tmp_path / "exp", tmp_path / "train", tmp_path / "units")
    units = {line.utt: int(sum(line.durations)) for line in read_units(tmp_path / "units" / "units.jsonl")}
    assert units == {"a": 50, "b": 1, "c": 50, "d": 25, "e": 50}


def test_recordings_that_are_no_numbers_are_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("train", "dev"):
        make_data(tmp_path / name, 120 if name == "train" else 3, features=False)
    soundfile.write(tmp_path / "train" / "a-00.wav", np.full(8000, np.nan, np.float32), 16000, subtype="FLOAT")
    run(tmp_path, tmp_path / "exp", replace(OPTIONS, workers=0))
    assert "a-00 is left out" in capsys.readouterr().err
    assert "a-00" not in LabelFile(tmp_path / "exp" / "targets" / "00000004")


@pytest.mark.parametrize(("at", "says"), [((0.5,), "from 0 on"), ((0.0, 1.0), "below 1"), ((0.5, 0.0), "rising")])
def test_a_schedule_that_makes_no_sense_is_refused(at: tuple[float, ...], says: str):
    with pytest.raises(ConfigError, match=says):
        TargetsConfig(at=at)


def test_the_schedule_scales_with_the_steps():
    assert TargetsConfig().starts(1200) == [0, 300, 750]
    assert TargetsConfig().starts(12) == [0, 3, 8]
    assert TargetsConfig(at=(0.0, 0.01)).starts(10) == [0]
