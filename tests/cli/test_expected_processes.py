"""Other processes import what they need while a verb does so itself: if there is work for them, and only then."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import RUN
from made_up import make_data

from unitdisc import shard_files
from unitdisc.cli import main


class Expected(BaseException):
    """A verb expects processes; it need not go on."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def expect(jobs: int, preload: str) -> None:
        if jobs > 1:
            raise Expected(preload)

    monkeypatch.setattr("unitdisc.processes.expect_processes", expect)
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / "data", 6, features=False)
    (tmp_path / "conf.yaml").write_text("features: {kind: mfcc}\n")
    return tmp_path


def expected(command: str) -> str:
    """Return what the processes that a verb expects are to import; nothing if it goes on without."""
    try:
        with pytest.raises(SystemExit):
            main(command.split())
    except Expected as module:
        return str(module)
    return ""


def run(command: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(command.split())
    assert not end.value.code


def test_features_expect_processes_if_some_are_to_be_computed(folder: Path):
    features, module = "features conf.yaml data", "unitdisc.features.extract"
    assert expected(f"{features} --jobs 2") == module
    assert expected("features conf.yaml nowhere --jobs 2") == ""
    run(f"{features} --job 1/2")
    assert expected(f"{features} --jobs 2 --job 2/2") == module
    run(f"{features} --job 2/2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unitdisc.processes.expect_processes", pytest.fail)
        run(f"{features} --jobs 2")  # it puts the parts together
        (folder / "data" / ".features.made.json").unlink()  # nothing says of what they are, but they are there
        run(f"{features} --jobs 2")
    assert expected(f"{features} --jobs 2 --force") == module


def test_encode_expects_processes_if_there_is_work_for_two(folder: Path, monkeypatch: pytest.MonkeyPatch):
    command, module, out = "encode exp data out --jobs 2", "unitdisc.encode", folder / "out"
    assert expected(command) == ""  # one shard
    monkeypatch.setattr(shard_files, "SHARD", 2)
    assert expected(command) == module
    assert expected(f"{command} --job 1/2") == module
    assert expected(f"{command} --job 2/2") == ""
    (out / ".shards").mkdir(parents=True)
    for number in (0, 2):
        (out / ".shards" / f"{number:05d}.done").touch()
    assert expected(command) == ""
    (out / ".shards" / "00002.done").unlink()
    assert expected(command) == module
    (out / "encode.json").write_text("{}")
    assert expected(command) == ""
    assert expected(f"{command} --force") == module


def test_compare_expects_processes_unless_only_its_columns_change(folder: Path, monkeypatch: pytest.MonkeyPatch):
    make_data(folder / "test", seed=1, features=False)
    command = "compare exp --train data --test test --jobs 2"
    assert expected(command) == "unitdisc.compare.scoring"

    def compare(*_: object) -> None:
        for name in ("table.md", "table.json"):
            (folder / "exp" / "compare" / name).write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr("unitdisc.compare.comparison.compare", compare)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unitdisc.processes.expect_processes", lambda *_: None)
        expected(command)
    assert json.loads((folder / "exp" / "compare" / ".made.json").read_text())["state"] == "begun"
    assert expected(f"{command} --no-baselines") == ""
    (folder / "exp" / "model.pt").touch()  # another model
    assert expected(f"{command} --renew") == "unitdisc.compare.scoring"


@pytest.mark.parametrize("command", ["features conf.yaml data", "encode exp data out"])
def test_they_are_expected_before_torch_is_imported(folder: Path, command: str):
    code = RUN.replace(
        "try:",
        "from unitdisc import processes, shard_files\n"
        "shard_files.SHARD = 2\n"
        "processes.expect_processes = lambda jobs, preload: sys.exit()\n"
        "try:",
    )
    words = [*command.split(), "--jobs", "2"]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "False"), done.stderr
