"""Training straight from audio: what is learnt is what stored features teach, and nothing lies on the disk."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data.test_prefetch import assert_equal
from data.test_shards import put_webdataset
from made_up import make_data, tiny_model
from test_targets import OPTIONS, small_model
from test_train import TRAIN, assert_same

from unitdisc import checkpoint
from unitdisc import train as train_module
from unitdisc.cli import main
from unitdisc.config import dump
from unitdisc.corpus import open_corpus
from unitdisc.data.audio import AudioSource
from unitdisc.data.batches import ChunkPlan
from unitdisc.data.kaldi import DataDir
from unitdisc.data.prefetch import Prefetcher
from unitdisc.decoders.voice import VoiceDecoderConfig
from unitdisc.errors import ConfigError
from unitdisc.features.augment import AugmentConfig
from unitdisc.features.configs import CmvnKind, MfccConfig
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.runlog import read_metrics
from unitdisc.train import train
from unitdisc.train_config import Config, TrainConfig

STRAIGHT = replace(TRAIN, straight=True, workers=0)
AUGMENT = AugmentConfig(versions=2, warp=0.2, tempo=0.2, degraded=0.5)


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audio")
    make_data(root / "train", 6, features=False)
    make_data(root / "dev", 3, seed=1, features=False)
    return root


def hearing(cmvn: CmvnKind) -> ModelConfig:
    return tiny_model(features=MfccConfig(cmvn=cmvn))


def losses(exp: Path, *kinds: str) -> list[float]:
    return [row["loss"] for row in read_metrics(exp) if row["kind"] in (kinds or ("train", "dev"))]


@pytest.mark.parametrize("cmvn", ["utterance", "global"])
def test_losses_are_those_of_stored_features(audio: Path, tmp_path: Path, cmvn: CmvnKind):
    for name, straight in (("stored", False), ("straight", True)):
        options = replace(STRAIGHT, straight=straight)
        train(Config(hearing(cmvn), options), tmp_path / name, audio / "train", audio / "dev")
    assert len(losses(tmp_path / "stored")) == 6
    np.testing.assert_allclose(losses(tmp_path / "straight"), losses(tmp_path / "stored"), rtol=1e-4)
    assert list((tmp_path / "stored").rglob("*.ark"))
    assert not list((tmp_path / "straight").rglob("*.ark"))


def test_a_prediction_from_changed_speech_learns_the_same(audio: Path, tmp_path: Path):
    for name, straight in (("stored", False), ("straight", True)):
        options = replace(OPTIONS, straight=straight, workers=0, augment=AUGMENT)
        train(Config(small_model(), options), tmp_path / name, audio / "train", audio / "dev")
    np.testing.assert_allclose(losses(tmp_path / "straight"), losses(tmp_path / "stored"), rtol=1e-4)


def test_killed_and_begun_again_equals_uninterrupted(audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config, places = Config(hearing("utterance"), STRAIGHT), (audio / "train", audio / "dev")
    train(config, tmp_path / "whole", *places)
    step, calls = train_module.train_step, []

    def dies(*rest: object) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise MemoryError
        step(*rest)  # type: ignore[arg-type]

    monkeypatch.setattr(train_module, "train_step", dies)
    with pytest.raises(MemoryError):
        train(config, tmp_path / "killed", *places)
    monkeypatch.setattr(AudioSource, "samples", lambda *rest: pytest.fail("headers are read once"))
    train(config, tmp_path / "killed", *places)
    assert len(calls) == 8  # two steps were saved
    assert_same(checkpoint.newest(tmp_path / "killed"), checkpoint.newest(tmp_path / "whole"))


def test_any_number_of_workers_reads_the_same_batches(audio: Path, tmp_path: Path):
    data, config = DataDir.read(audio / "train"), hearing("utterance")
    corpus = open_corpus(config, data, UnitModel(config, sorted(data.spk2utt)), tmp_path / "train")
    assert train_module.usual_workers(corpus, torch.device("cpu")) == 1
    plan = ChunkPlan(corpus, 4, 16, seed=1, align=2, window=2)
    read = {}
    for workers in (0, 1, 2):
        reader = Prefetcher(corpus, plan, workers=workers)
        read[workers] = {step: reader.batch(step) for step in (3, 4, 5, 0)}
        reader.close()
    for step, batch in read[0].items():
        assert batch.targets is not None
        assert_equal(read[1][step], batch)
        assert_equal(read[2][step], batch)


def put_folder(audio: Path, folder: Path) -> Path:
    """Copy the recordings of a data directory into a folder for each speaker."""
    for path in audio.glob("*.wav"):
        (folder / path.name[0]).mkdir(parents=True, exist_ok=True)
        (folder / path.name[0] / path.name).write_bytes(path.read_bytes())
    return folder


PREDICTION = replace(OPTIONS, straight=True, workers=1, augment=AUGMENT, targets=replace(OPTIONS.targets, at=(0.0,)))


@pytest.mark.parametrize(
    ("model", "options"),
    [
        pytest.param(hearing("global"), STRAIGHT, id="statistics of all"),
        pytest.param(small_model(), PREDICTION, id="prediction from changed speech", marks=pytest.mark.slow),
    ],
)
def test_two_processes_train_as_one(audio: Path, tmp_path: Path, model: ModelConfig, options: TrainConfig):
    places = [put_folder(audio / side, tmp_path / side) for side in ("train", "dev")]  # one of them reads the names
    train(Config(model, options), tmp_path / "one", *places)
    (tmp_path / "a.yaml").write_text(dump(Config(model, options)))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "unitdisc",
        "train", f"{tmp_path}/a.yaml", f"{tmp_path}/two", "--train", f"{places[0]}", "--dev", f"{places[1]}",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not list((tmp_path / "two").rglob("*.ark"))
    # Those of "train" are of the chunks that the first process had; those of "dev" of the model after the same batches.
    np.testing.assert_allclose(losses(tmp_path / "two", "dev"), losses(tmp_path / "one", "dev"), rtol=1e-4)
    one, two = (checkpoint.newest(tmp_path / name) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    for name, value in one["model"].items():
        if name.startswith(("encoder", "prediction", "decoder")):
            assert torch.allclose(value, two["model"][name], atol=2e-4), name


def test_tar_archives_are_trained_on_as_they_are(tmp_path: Path):
    shards = put_webdataset(tmp_path / "shards")
    config = Config(hearing("utterance"), replace(STRAIGHT, chunk=8, window=3, steps=4))
    (tmp_path / "a.yaml").write_text(dump(config))
    with pytest.raises(SystemExit, match="0"):
        main(["train", f"{tmp_path}/a.yaml", f"{tmp_path}/exp", "--train", f"{shards}", "--dev", f"{shards}"])
    assert all(np.isfinite(losses(tmp_path / "exp")))
    assert sorted(p.name for p in (tmp_path / "exp" / "data").iterdir() if p.suffix != ".npy") == []
    tree = checkpoint.newest(tmp_path / "exp")
    assert tree is not None
    assert tree["speakers"] == ["a", "b"]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (hearing("speaker"), "set it to utterance, sliding, global or none"),
        (tiny_model(features=MfccConfig(cmvn="utterance"), decoder=VoiceDecoderConfig()), "needs the pitch"),
    ],
)
def test_what_needs_all_recordings_first_is_refused(audio: Path, tmp_path: Path, model: ModelConfig, says: str):
    with pytest.raises(ConfigError, match=says):
        train(Config(model, STRAIGHT), tmp_path / "exp", audio / "train", audio / "dev")


def test_nothing_of_what_was_read_is_kept_in_memory(audio: Path, tmp_path: Path):
    data, config = DataDir.read(audio / "train"), hearing("utterance")
    corpus = open_corpus(config, data, UnitModel(config, sorted(data.spk2utt)), tmp_path / "train")
    before = {name: len(value) for name, value in vars(corpus.frames).items() if isinstance(value, dict)}
    for utt in data.utts:
        assert torch.from_numpy(corpus.frames[utt]).isfinite().all()
    assert {name: len(value) for name, value in vars(corpus.frames).items() if isinstance(value, dict)} == before
