"""Arrays of jobs: features and units made in parts, by jobs and by processes, have the bytes of one job."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_up import make_data

from unitdisc import config
from unitdisc.cli import main
from unitdisc.errors import DataError
from unitdisc.features import extract as module
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.features.partial import parts_of
from unitdisc.processes import Part


def run(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, the paths in indexes left out."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes().replace(str(folder).encode(), b"") for p in found}


def feature_config() -> ExtractConfig:
    from made_up import tiny_model

    return ExtractConfig(tiny_model().features, tiny_model().targets)


def test_parts_have_bounds_that_meet():
    assert [Part(n, 3).bounds(7) for n in (1, 2, 3)] == [(0, 2), (2, 4), (4, 7)]
    assert [Part(n, 3).bounds(1) for n in (1, 2, 3)] == [(0, 0), (0, 0), (0, 1)]


@pytest.mark.parametrize("done", [(1, 2, 3), (3, 1), (2,)])
def test_features_made_in_parts_have_the_bytes_of_one_job(done: tuple[int, ...], tmp_path: Path):
    data = make_data(tmp_path / "data", 8, features=False)
    shutil.copytree(data.path, tmp_path / "copy" / "data")
    whole = type(data).read(tmp_path / "copy" / "data")
    extract(whole, feature_config())
    for number in done:
        summary = extract(data, feature_config(), part=Part(number, 3))
        assert 0 < summary.utterances < 8
        assert not (data.path / "feats.scp").exists()
    assert [part.number for part in parts_of(data.path)] == sorted(done)
    assert extract(data, feature_config()).utterances == 8
    assert parts_of(data.path) == []
    here, there = files(data.path), files(whole.path)
    assert here.keys() == there.keys()
    assert {name for name in here if here[name] != there[name]} <= {"feats.scp", "targets.scp", "cmvn.scp"}
    assert extract(data, feature_config()).made == ()


def test_what_jobs_have_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = make_data(tmp_path / "data", 8, features=False)
    for number in (1, 2):
        extract(data, feature_config(), part=Part(number, 2))
    monkeypatch.setattr(module, "_make_task", None)
    assert extract(data, feature_config()).utterances == 8


def test_the_share_of_failures_is_that_of_all_utterances(tmp_path: Path):
    data = make_data(tmp_path / "data", 8, features=False)
    sound = {utt: (data.path / f"{utt}.wav").read_bytes() for utt in data.utts[:2]}
    for utt in sound:
        (data.path / f"{utt}.wav").write_bytes(b"no!")
    parts = [Part(number, 4) for number in (1, 2, 3, 4)]  # the first has both, and no other
    for part in parts:
        extract(data, feature_config(), part=part, max_failed=0.25)
    with pytest.raises(DataError, match=r"2 of 8 utterances cannot be used, .* a share of 0\.2\."):
        extract(data, feature_config(), max_failed=0.2)
    for utt, blob in sound.items():  # mended, they are tried again
        (data.path / f"{utt}.wav").write_bytes(blob)
    assert extract(data, feature_config(), max_failed=0).utterances == 8


def test_a_part_that_is_being_made_is_waited_for_by_nobody(tmp_path: Path):
    data = make_data(tmp_path / "data", 8, features=False)
    extract(data, feature_config(), part=Part(1, 2))
    from unitdisc.features.partial import PartialArchives

    held = PartialArchives(data.path, (), "key", {}, Part(1, 2))
    with pytest.raises(DataError, match="another run is making these features"):
        extract(data, feature_config())
    held.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model and data of 140 utterances without features."""
    import torch
    from made_up import tiny_model

    from unitdisc import checkpoint
    from unitdisc.model import UnitModel
    from unitdisc.train_config import Config

    root = tmp_path_factory.mktemp("trained")
    make_data(root / "data", 140, features=False)
    tree = {"decoder": {"kind": "none"}, "weights": {"input_reconstruction": 1.0}}
    tree |= {"quantizer": {"codes": 8, "dim": 8, "schedule": {"warm_up": 0, "until": 0}}}
    whole = config.from_tree(Config, {"model": tree}, "")
    whole = Config(config.from_tree(type(whole.model), {**config.to_tree(tiny_model()), **tree}, ""), whole.train)
    torch.manual_seed(0)
    state = {"config": config.to_tree(whole), "speakers": ["a"], "phones": [], "step": 1, "reestimated_at": 1}
    model = UnitModel(whole.model, ["a"])
    checkpoint.save(
        root / "exp" / "checkpoints" / "00000001.pt", {**state, "model": model.state_dict(), "average": None}
    )
    return root


def encoded(root: Path, out: Path, *more: str) -> dict[str, bytes]:
    run(["encode", str(root / "exp"), str(root / "data"), str(out), *more])
    return {n: b for n, b in files(out).items() if "made" not in n} if (out / "units.jsonl").exists() else {}


def test_units_encoded_in_parts_have_the_bytes_of_one_job(trained: Path, tmp_path: Path, capsys):
    one = encoded(trained, tmp_path / "one")
    for number in (3, 1, 2):
        assert encoded(trained, tmp_path / "parts", "--job", f"{number}/3") == {}
    assert "part 2 of 3: 64 utterances encoded" in capsys.readouterr().out
    assert encoded(trained, tmp_path / "parts") == one
    assert encoded(trained, tmp_path / "late", "--job", "2/2") == {}  # the other job never ran
    assert encoded(trained, tmp_path / "late") == one


@pytest.mark.parametrize("text", ["3", "0/2", "3/2", "a/b", "1/"])
def test_jobs_that_cannot_be_are_refused(text: str, capsys):
    with pytest.raises(SystemExit):
        main(["encode", "exp", "data", "out", "--job", text])
    assert "expected a job as 3/8, the third of eight" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["features", "encode"])
def test_processes_of_torchrun_have_the_bytes_of_one(verb: str, trained: Path, tmp_path: Path):
    data = tmp_path / "data"
    shutil.copytree(trained / "data", data)
    (tmp_path / "features.yaml").write_text("features: {kind: mfcc}\n")
    words = {
        "features": ["features", str(tmp_path / "features.yaml"), str(data)],
        "encode": ["encode", str(trained / "exp"), str(data), str(tmp_path / "out")],
    }[verb]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "unitdisc"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *words], capture_output=True, text=True, env=environment, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    name = "feats.ark" if verb == "features" else "units.jsonl"
    two = (data if verb == "features" else tmp_path / "out") / name
    alone = two.read_bytes()
    run([*words, "--force"])
    assert two.read_bytes() == alone


def copied(trained: Path, folder: Path) -> Path:
    """Copy model and data into a folder, with a configuration of features."""
    shutil.copytree(trained / "exp", folder / "exp")
    shutil.copytree(trained / "data", folder / "data")
    (folder / "features.yaml").write_text("features: {kind: mfcc}\n")
    return folder


FEATURES, ENCODE = ["features", "features.yaml", "data"], ["encode", "exp", "data", "units"]


def test_parts_may_come_from_a_machine_that_shares_no_disk(trained: Path, tmp_path: Path, monkeypatch):
    here, there, alone = (copied(trained, tmp_path / name) for name in ("here", "there", "alone"))
    monkeypatch.chdir(alone)
    run(ENCODE)
    run(FEATURES)
    monkeypatch.chdir(there)
    run([*ENCODE, "--job", "2/3"])
    run([*FEATURES, "--job", "2/3"])
    shutil.copytree(there / "data", here / "data", dirs_exist_ok=True)  # as rsync does
    shutil.copytree(there / "units", here / "units")
    shutil.rmtree(there)
    monkeypatch.chdir(here)
    for part in ("1/3", "3/3"):
        run([*ENCODE, "--job", part])
        run([*FEATURES, "--job", part])
    monkeypatch.setattr(module, "_make_task", None)
    monkeypatch.setattr("unitdisc.encode._Encoder.encode", None)
    run(ENCODE)
    run(FEATURES)
    for folder in ("data", "units"):
        one, parts = files(alone / folder), files(here / folder)
        assert {name for name in one if "made" not in name and one[name] != parts.get(name)} == set(), folder
        assert one.keys() - {name for name in one if ".lock" in name} <= parts.keys()


@pytest.mark.parametrize("words", [FEATURES, ENCODE])
def test_parts_are_made_anew_if_what_is_there_was_made_of_something_else(
    words: list[str], trained: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(copied(trained, tmp_path / "work"))
    run(words)
    shorter = [line for line in Path("data/utt2spk").read_text().splitlines(keepends=True) if "9 " not in line]
    kept = {line.split()[0] for line in shorter}
    wavs = Path("data/wav.scp").read_text().splitlines(keepends=True)
    Path("data/utt2spk").write_text("".join(shorter))
    Path("data/wav.scp").write_text("".join(line for line in wavs if line.split()[0] in kept))
    for part in ("1/2", "2/2"):
        run([*words, "--renew", "--job", part])
    monkeypatch.setattr(module, "_make_task", None)
    monkeypatch.setattr("unitdisc.encode._Encoder.encode", None)
    run([*words, "--renew"])
    capsys.readouterr()
    run([*words, "--renew", "--job", "1/2"])
    assert capsys.readouterr().out == f"{words[-1]}: unchanged\n"


def test_an_encoding_of_fewer_utterances_keeps_no_vectors_of_the_others(trained: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(copied(trained, tmp_path / "work"))
    run(ENCODE)
    assert len(Path("units/vectors.scp").read_text().splitlines()) == 140
    for name in ("utt2spk", "wav.scp"):
        lines = Path("data", name).read_text().splitlines(keepends=True)
        Path("data", name).write_text("".join(lines[:64]))
    run([*ENCODE, "--force"])
    assert len(Path("units/vectors.scp").read_text().splitlines()) == 64
    assert sorted(path.name for path in Path("units/vectors").iterdir()) == ["00000.ark", "00000.scp"]


LOSES_ONE = """
import os, signal, sys, time
from unitdisc import dist
from unitdisc.cli import main
from unitdisc.encode import _Encoder
from unitdisc.features import extract
def then_lost(work):
    def lost(*arguments, **named):
        if dist.rank() == 1:
            while not os.path.exists("first"):  # until the other has made something
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        made = work(*arguments, **named)
        open("first", "w").close()
        return made
    return lost
extract._make_task, _Encoder.encode = then_lost(extract._make_task), then_lost(_Encoder.encode)
main(sys.argv[1:])
"""


@pytest.mark.slow  # five starts of torch for each verb
@pytest.mark.parametrize("verb", ["features", "encode"])
def test_a_process_that_is_killed_ends_the_others_and_any_number_goes_on(
    verb: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    words, made = {"features": (FEATURES, "data/feats.ark"), "encode": (ENCODE, "units/units.jsonl")}[verb]
    copied(trained, tmp_path / "alone")
    monkeypatch.chdir(tmp_path / "alone")
    run(words)
    copied(trained, tmp_path / "lost")
    monkeypatch.chdir(tmp_path / "lost")
    Path("program.py").write_text(LOSES_ONE)
    several = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    done = subprocess.run([*several, "2", "program.py", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr  # torchrun says which process was lost, and ends the others
    assert not Path(made).exists()
    again = subprocess.run([*several, "3", "-m", "unitdisc", *words], capture_output=True, text=True, timeout=250)
    assert again.returncode == 0, again.stderr
    assert verb == "encode" or "part 1 of 2 of feats" in again.stdout  # the three go on with the two's parts
    assert Path(made).read_bytes() == (tmp_path / "alone" / made).read_bytes()
    assert not list(Path().glob("*/*.partial*")) + list(Path().glob("*/.shards"))
