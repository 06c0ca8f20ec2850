"""A run's folder: begun by what is written into it, and errors of the disk that name the file."""

import json
from dataclasses import replace
from io import FileIO
from pathlib import Path

import pytest
from made_up import make_data, tiny_model
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_train import TRAIN

from unitdisc import runlog
from unitdisc.data.subsets import subset
from unitdisc.errors import DataError
from unitdisc.features.configs import MfccConfig
from unitdisc.runlog import RunLog
from unitdisc.train import train
from unitdisc.train_config import Config


def test_a_refused_training_leaves_nothing_behind(tmp_path: Path):
    make_data(tmp_path / "bare", 4)
    other = tiny_model(features=MfccConfig(ceps=12))
    with pytest.raises(DataError, match="made with another config"):
        train(Config(other, replace(TRAIN, tensorboard=True)), tmp_path / "exp", *[tmp_path / "bare"] * 2)
    assert not (tmp_path / "exp").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: expected a folder to write to, got a file"):
        train(Config(tiny_model(), TRAIN), tmp_path / "file", *[tmp_path / "bare"] * 2)


def test_tensorboard_reads_the_numbers(tmp_path: Path):
    log = RunLog(tmp_path, tensorboard=True)
    for step in (1, 2):
        log.metrics(step, "train", {"loss": step / 2, "utts": ["a"]})
    log.metrics(2, "dev", {"loss": 7})
    log.close()
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert board.Tags()["scalars"] == ["train/loss", "dev/loss"]
    assert [(event.step, event.value) for event in board.Scalars("train/loss")] == [(1, 0.5), (2, 1.0)]


def test_a_full_disk_names_the_file(tmp_path: Path):
    wanted = r"{}: cannot be written: the disk is full; free some space, then give the same command again to go on"
    for name in ("metrics.jsonl", "log.txt"):
        (tmp_path / name).symlink_to("/dev/full")
    log = RunLog(tmp_path)
    with pytest.raises(DataError, match=wanted.format(r"metrics\.jsonl")):
        log.metrics(1, "train", {"loss": 1.0})
    with pytest.raises(DataError, match=wanted.format(r"log\.txt")):
        log.say("all is well")
    log.close()
    board = runlog._Board(tmp_path)
    board._file = FileIO("/dev/full", "a")
    with pytest.raises(DataError, match=wanted.format("/dev/full")):
        board.add(1, {"loss": 1.0})
    board.close()


def test_a_training_that_goes_on_with_other_data_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    whole = make_data(tmp_path / "whole", 8)
    part = subset(whole, tmp_path / "part", whole.utts[:5])
    model, said = tiny_model(), []
    for steps, data in ((2, whole), (4, whole), (6, part)):
        train(Config(model, replace(TRAIN, steps=steps)), tmp_path / "exp", data.path, whole.path)
        said.append(capsys.readouterr().err)
    assert [" so far, and goes on with " in text for text in said] == [False, False, True]
    assert f"exp: was trained on {whole.path} so far, and goes on with {part.path}; another folder" in said[2]
    starts = json.loads((tmp_path / "exp" / "env.json").read_text())["starts"]
    assert len({start["train"]["lists"] for start in starts}) == 2


def test_the_same_lists_elsewhere_are_the_same_data(tmp_path: Path):
    assert runlog._other_data({"data": "a", "lists": "1"}, {"data": "b", "lists": "1"}) == ""
    assert runlog._other_data({"data": "a"}, {"data": "a", "lists": "1"}) == ""
    assert runlog._other_data({"data": "a", "lists": "2"}, {"data": "a", "lists": "1"}).startswith("a has changed")
    assert runlog._other_data({"data": "a"}, None) == ""
