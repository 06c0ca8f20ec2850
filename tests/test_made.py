"""Outputs know what they were made of: unchanged, gone on with, refused, made anew; one maker at a time."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from commands import RUN
from made_up import make_data, tiny_model
from recipe_files import EGS

from unitdisc import config
from unitdisc import made as made_module
from unitdisc.cli import parser
from unitdisc.cli.train import making_of_training
from unitdisc.errors import DataError, UnitdiscError
from unitdisc.made import Making, is_unchanged, made
from unitdisc.train_config import Config, TrainConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("one")
    return tmp_path


def making(folder: Path, **settings: object) -> Making:
    reads = {"reads": lambda: ["data/a.txt", "data/b.txt"]}
    return Making(folder / "out", settings, {"data": folder / "data"}, holds=("units.txt",), **reads)  # type: ignore


def make(what: Making, text: str = "units", **how: bool) -> str:
    """Make an output as a verb would; return what was done."""
    with made(what, **how) as task:
        if task.unchanged:
            return "unchanged"
        done = "anew" if task.force else "made"
        if text == "fail":
            raise UnitdiscError("told to fail")
        what.output.mkdir(exist_ok=True)
        (what.output / "units.txt").write_text(text)
        task.result = {"written": len(text)}
        return done


def test_what_is_made_of_the_same_is_left(folder: Path):
    what = making(folder, codes=5, model={"jitter": 0.1, "kinds": ("a", "b")})
    assert (is_unchanged(what), make(what), is_unchanged(what), make(what)) == (False, "made", True, "unchanged")
    with made(what) as task:
        assert task.result == {"written": 5}
    assert sorted(path.name for path in what.output.iterdir()) == [".made.json", "units.txt"]
    assert make(what, force=True) == "anew"
    assert make(what) == "unchanged"


def test_it_is_the_same_wherever_it_and_its_inputs_are(folder: Path):
    make(making(folder, codes=5))
    (folder / "elsewhere").mkdir()
    for name in ("out", "data"):
        (folder / name).rename(folder / "elsewhere" / name)
    assert make(making(folder / "elsewhere", codes=5)) == "unchanged"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("settings", "(model.jitter: 0.1 there, 0.2 here)"),
        ("input", "(data/a.txt has changed)"),
        ("lost", "(data/a.txt is no longer there)"),
        ("new", "(data/b.txt was not there)"),
        ("place", "(data/a.txt is not read any more)"),
    ],
)
def test_what_is_made_of_something_else_is_refused_or_made_anew(change: str, said: str, folder: Path):
    make(making(folder, model={"jitter": 0.1}))
    if change == "input":
        (folder / "data" / "a.txt").write_text("two")
    elif change == "lost":
        (folder / "data" / "a.txt").unlink()
    elif change == "new":
        (folder / "data" / "b.txt").write_text("new")
    what = making(folder, model={"jitter": 0.2 if change == "settings" else 0.1})
    if change == "place":  # a version that names its places in another way
        what = replace(what, places={"data-0": folder / "data"}, reads=lambda: ["data-0/a.txt"])
    with pytest.raises(DataError) as refused:
        make(what)
    text = str(refused.value).replace(f"{folder}/", "")
    assert text == f"out: made of something else {said}; --renew makes it anew"
    assert make(what, renew=True) == "anew"
    assert make(what) == make(what, renew=True) == "unchanged"


def test_another_version_is_a_reason_to_renew_but_not_to_refuse(folder: Path, monkeypatch: pytest.MonkeyPatch):
    what = making(folder)
    make(what)
    monkeypatch.setattr(made_module, "__version__", "99.0")
    assert make(what) == "unchanged"
    assert make(what, renew=True) == "anew"


def test_a_loose_setting_lets_the_work_go_on(folder: Path):
    what = Making(folder / "out", {"train": {"steps": 5}}, {}, holds=("units.txt",), loose=("train",))
    make(what)
    longer = Making(folder / "out", {"train": {"steps": 6}}, {}, holds=("units.txt",), loose=("train",))
    assert make(longer) == "made"
    assert make(longer) == "unchanged"


def test_what_was_lost_is_made_again(folder: Path):
    make(making(folder))
    (folder / "out" / "units.txt").unlink()
    assert make(making(folder)) == "made"


def test_what_was_begun_goes_on_and_anew_to_the_end(folder: Path):
    make(making(folder, codes=1))
    for _ in range(2):  # what is there may be half of one and half of the other
        with pytest.raises(UnitdiscError, match="told to fail"):
            make(making(folder, codes=2), "fail", renew=True)
    assert make(making(folder, codes=2)) == "anew"
    (folder / "out" / "units.txt").unlink()
    with pytest.raises(UnitdiscError, match="told to fail"):
        make(making(folder, codes=3), "fail", renew=True)
    assert make(making(folder, codes=3)) == "made"  # begun when there was nothing to replace


def test_a_refused_work_leaves_nothing(folder: Path):
    what = Making(folder / "new" / "deep" / "out", {}, {}, holds=("units.txt",))
    with pytest.raises(UnitdiscError, match="told to fail"):
        make(what, "fail")
    assert not (folder / "new").exists()


def test_of_an_output_without_a_record_the_work_decides_and_renewing_replaces(folder: Path):
    what = making(folder)
    what.output.mkdir()
    (what.output / "units.txt").write_text("of an older version")
    assert make(what) == "made"
    for broken in ("", "{", '{"state": "done"}'):
        (what.output / ".made.json").write_text(broken)
        assert make(what, renew=True) == "anew"


def test_a_file_has_its_record_beside_it(folder: Path):
    what = Making(folder / "page.html", {"n": 1}, {"data": folder / "data"})
    with made(what):
        what.output.write_text("page")
    assert json.loads((folder / ".page.html.made.json").read_text())["state"] == "done"
    assert is_unchanged(what)
    (folder / "data" / "more.txt").write_text("more")  # a folder that is read as a whole
    assert not is_unchanged(what)


def test_what_is_set_aside_is_kept_under_new_names(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "strftime", lambda _: "now")
    said: list[str] = []
    for codes in range(4):
        what = Making(folder / "out", {"codes": codes}, {}, holds=("units.txt",), aside=True)
        with made(what, renew=True, say=said.append) as task:
            assert not task.force
            assert list(what.output.glob("[!.]*")) == []
            (what.output / "units.txt").write_text(str(codes))
    names = ["out.before-now", "out.before-now+", "out.before-now++"]
    assert [(folder / name / "units.txt").read_text() for name in names] == ["0", "1", "2"]
    assert said[0] == f"{folder}/out held another one: set aside as {folder}/out.before-now"
    assert not list(folder.rglob("*.lock"))


def slowly(folder: Path, how: dict[str, bool], out: "multiprocessing.Queue[str]") -> None:
    with made(making(folder), say=out.put, **how) as task:
        if not task.unchanged:
            out.put("begun")
            time.sleep(1)
            (folder / "out" / "units.txt").write_text("units")
    out.put("unchanged" if task.unchanged else "made")


def test_of_two_at_once_the_second_waits_or_is_told_who_is_at_it(folder: Path):
    context = multiprocessing.get_context("fork")
    one, two = context.Queue(), context.Queue()
    first = context.Process(target=slowly, args=(folder, {}, one))
    first.start()
    assert one.get(timeout=20) == "begun"
    with pytest.raises(DataError, match=f"out: process {first.pid} on .* is at it; wait for it, or stop it"):
        make(making(folder))
    slowly(folder, {"renew": True}, two)
    assert "is at it; waiting for its end" in two.get(timeout=20)
    assert (one.get(timeout=20), two.get(timeout=20)) == ("made", "unchanged")
    first.join()


def test_only_the_first_of_several_processes_keeps_the_record(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "1")
    assert make(making(folder)) == "made"
    assert not list((folder / "out").glob(".*"))


# The verbs.


def unitdisc(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "unitdisc", *words]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, env=os.environ | environment)


CONFIG = "model: {features: {kind: mfcc}}\n"


def test_features_and_kmeans_are_unchanged_then_refused_then_made_anew(tmp_path: Path):
    make_data(tmp_path / "data", 3, features=False)
    (tmp_path / "c.yaml").write_text(CONFIG)
    features = ("features", "c.yaml", "data")
    kmeans = ("kmeans", "c.yaml", "exp", "--train", "data", "--codes", "2", "--passes", "1")
    assert unitdisc(tmp_path, *features, "--unchanged").returncode == 3
    for verb in (features, kmeans):
        got = unitdisc(tmp_path, *verb)
        assert got.returncode == 0, got.stderr
    for words in ((), ("--set", "model.features.cmvn=none")):  # archives are not normalised
        assert unitdisc(tmp_path, *features, *words).stdout == "data: unchanged\n"
    for verb in (features, (*kmeans, "--renew", "--unchanged")):
        quick = subprocess.run([sys.executable, "-c", RUN, *verb], cwd=tmp_path, text=True, capture_output=True)
        assert (quick.stdout, quick.stderr) == (f"{verb[2]}: unchanged\n", "False\n")  # without torch
    other = unitdisc(tmp_path, *features, "--set", "model.features.dither=0.5")
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr.startswith(
        "unitdisc features: data: made of something else (features.dither: nothing there, 0.5"
    )
    again = unitdisc(tmp_path, *features, "--set", "model.features.dither=0.5", "--renew")
    assert again.returncode == 0, again.stderr
    changed = unitdisc(tmp_path, *kmeans)
    assert (changed.returncode, "(data/feats.scp has changed)" in changed.stderr) == (1, True)


def training(folder: Path, *changes: str, renew: bool = True) -> Making:
    """Return what a training of a data directory is made of."""
    words = ["train", folder / "c.yaml", folder / "exp", "--train", folder / "data", "--dev", folder / "data"]
    words += ["--set", *changes] if changes else []
    return making_of_training(parser().parse_args([*map(str, words), *["--renew"] * renew]))


def trained(what: Making) -> bool:
    """Train as a stub does, unless that is done; tell whether it was."""
    with made(what, renew=True) as task:
        if not task.unchanged:
            (what.output / "checkpoints").mkdir(parents=True)
            for name in ("config.yaml", "checkpoints/1.pt"):
                (what.output / name).write_text("weights")
    return not task.unchanged


def test_a_training_depends_on_its_frames_and_where_it_learns_from_them_its_phones(tmp_path: Path):
    data = tmp_path / "data"
    make_data(data)
    (tmp_path / "c.yaml").write_text("train: {steps: 5}\n")
    assert [trained(training(tmp_path)) for _ in range(2)] == [True, False]
    assert is_unchanged(training(tmp_path, renew=False))
    text = (data / "phones.ctm").read_text()
    (data / "phones.ctm").write_text(text + "\n")  # of which it learns nothing
    for name in ("feats.ark", "wav.scp"):  # made again, the same; and the recordings have moved
        (data / name).touch()
    (data / "wav.scp").write_text((data / "wav.scp").read_text() + "\n")
    assert not trained(training(tmp_path))

    for weight in ("ctc", "framewise"):
        assert trained(training(tmp_path, f"model.weights.{weight}=0.5"))
        assert not trained(training(tmp_path, f"model.weights.{weight}=0.5"))
        (data / "phones.ctm").write_text(text + f"# {weight}\n")
        assert trained(training(tmp_path, f"model.weights.{weight}=0.5"))

    frames = (data / "feats.ark").read_bytes()
    (data / "feats.ark").write_bytes(frames[:-4] + bytes(4))
    assert trained(training(tmp_path, "model.weights.framewise=0.5"))
    assert len(list(tmp_path.glob("exp.before-*"))) == 5


def test_a_training_goes_on_for_longer_but_with_renew_begins_anew(tmp_path: Path):
    make_data(tmp_path / "data")
    (tmp_path / "c.yaml").write_text("train: {steps: 5}\n")
    trained(training(tmp_path))
    with made(training(tmp_path, "train.steps=9", renew=False)) as task:
        assert (task.unchanged, task.force) == (False, False)
    assert not list(tmp_path.glob("exp.before-*"))
    with pytest.raises(DataError, match=r"exp: made of something else \(model.jitter: nothing there, 0.5 here\)"):
        made(training(tmp_path, "model.jitter=0.5", renew=False)).__enter__()
    assert trained(training(tmp_path, "train.steps=7"))
    assert len(list(tmp_path.glob("exp.before-*"))) == 1


def test_a_training_that_begins_anew_keeps_the_log_of_its_job(tmp_path: Path):
    make_data(tmp_path / "data")
    (tmp_path / "c.yaml").write_text(config.dump(Config(tiny_model(), TrainConfig(steps=2, batch=2, chunk=32))))
    trained(training(tmp_path))
    (tmp_path / "exp" / "log").mkdir()
    (tmp_path / "exp" / "log" / "features.log").touch()
    train = [sys.executable, "-m", "unitdisc", "train", "c.yaml", "exp", "--train", "data", "--dev", "data"]
    command = [EGS / "common" / "cmd.sh", "exp/log/train.log", *train, "--set", "train.seed=1", "--renew"]
    got = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
    assert (got.returncode, got.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.glob("exp/log/*")) == ["features.log", "train.log"]
    log = (tmp_path / "exp" / "log" / "train.log").read_text()
    assert "exp held another one: set aside as exp.before-" in log
    assert log.splitlines()[-1].startswith("# ended with code 0 ")
